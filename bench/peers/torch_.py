"""PyTorch, eager, with its fused optimizers.

This is its strongest form here: with ``torch.compile`` a step took 10 to 40 % longer, as the price of
entering compiled code is paid twice a step. Functions in place of modules save a few microseconds a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from bench.peers.tasks import Task
from bench.peers.timing import Epochs, clocked
from bench.workloads import RATE, Array

VERSION = torch.__version__

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
}
Layers = list[tuple[torch.Tensor, torch.Tensor]]


def cannot(task: Task) -> str:
    return ""


def start(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)


def layers_of(task: Task, train: bool) -> Layers:
    """Weights (O, I), as PyTorch has them, and biases."""
    return [
        (torch.from_numpy(w.T.copy()).requires_grad_(train), torch.from_numpy(b).requires_grad_(train))
        for w, b in task.first_weights()
    ]


def forward(task: Task, layers: Layers, a: torch.Tensor) -> torch.Tensor:
    """Total inputs of the last layer."""
    activation = ACTIVATIONS[task.activation]
    for w, b in layers[:-1]:
        a = activation(F.linear(a, w, b))
        if task.dropout:
            a = F.dropout(a, task.dropout)
    return F.linear(a, *layers[-1])


def optimizer_of(task: Task, layers: Layers) -> Any:
    weights, biases = zip(*layers, strict=True)
    groups = [{"params": weights, "weight_decay": task.weight_decay}, {"params": biases, "weight_decay": 0.0}]
    if task.optimizer == "adam":
        return torch.optim.Adam(groups, lr=RATE, fused=True)
    return torch.optim.SGD(groups, lr=RATE, momentum=task.momentum, fused=True)


def training(task: Task, x: Array, y: Array) -> Epochs:
    torch.manual_seed(0)
    layers = layers_of(task, True)
    optimizer = optimizer_of(task, layers)
    loss_of = F.cross_entropy if task.labels else F.mse_loss
    batches = list(zip(*(torch.from_numpy(one).split(task.batch) for one in (x, y)), strict=True))

    def epoch() -> float:
        total = 0.0
        for rows, targets in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(forward(task, layers, rows), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(batches)

    return clocked(epoch)


def prediction(task: Task) -> Callable[[Array], Array]:
    layers = layers_of(task, False)

    @torch.inference_mode()
    def predict(x: Array) -> Array:
        z = forward(task, layers, torch.from_numpy(x))
        return (torch.softmax(z, -1) if task.labels else z).numpy()

    return predict
