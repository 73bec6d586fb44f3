"""Small networks with data, which the tests of the executors train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnet import backends
from fastnet.backends import reference
from fastnet.graph import Graph, GraphBuilder
from fastnet.layers import Dense, Dropout, Layer
from fastnet.losses import LOSSES
from fastnet.optimizers import SGD, Adam, Optimizer

Array = npt.NDArray[Any]
COMPILED = [name for name in backends.available() if name != "numpy"]


def lowered(layers: Iterable[Layer], *shape: int) -> Graph:
    builder = GraphBuilder(shape)
    buffer = 0
    for index, layer in enumerate(layers):
        buffer = layer.lower(builder, buffer, index)
    return builder.build(buffer)


@dataclass
class Task:
    """A network, data for it, and how it is trained."""

    graph: Graph
    loss: str
    dtype: str
    rows: int = 41
    optimizer: Optimizer = field(default_factory=lambda: SGD(0.1))
    metric: str = ""
    labels: bool = False
    weighted: bool = False
    batch_size: int = 8
    seed: int = 3
    threads: int = 1

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        inputs, outputs = self.graph.size(0), self.graph.size(self.graph.output)
        self.parameters = (rng.normal(size=self.graph.parameter_count) * 0.4).astype(self.dtype)
        self.x = rng.normal(size=(self.rows, inputs)).astype(self.dtype)
        kind = LOSSES[self.loss].targets if self.loss else "any"
        target = rng.random((self.rows, outputs))
        if self.loss == "cross_entropy":
            target /= target.sum(axis=1, keepdims=True)
        target = {"sign": np.where(target > 0.5, 1, -1), "unit": target}.get(kind, 4 * target)
        self.y = target.astype(self.dtype)
        if self.labels:
            self.y = rng.integers(0, outputs, self.rows)
        self.weight = None
        if self.weighted:
            self.weight = (rng.random(self.rows) * (rng.random(self.rows) < 0.8)).astype(self.dtype)
        self.order = rng.permutation(self.rows)
        self.progress = np.zeros(6)

    def executor(self, module: ModuleType, **changed: Any) -> Any:
        self.gradients = np.full_like(self.parameters, np.nan)
        self.state = np.zeros((len(self.optimizer.states), self.parameters.size), self.dtype)
        options = {
            "loss": self.loss,
            "metric": self.metric,
            "optimizer": self.optimizer.name,
            "hyper": self.optimizer.hyper(),
            "gradients": self.gradients,
            "state": self.state,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "threads": self.threads,
            "threads_from": 0,  # however small the network is
        }
        return module.Executor(self.graph, self.parameters, **{**options, **changed})

    def train(self, executor: Any, seconds: float = 1e9) -> bool:
        """One epoch; the learning rate falls from step to step."""
        self.progress[1:] = 0
        rates = 0.1 / np.arange(1, len(self.order) // self.batch_size + 2)
        finite = True
        while finite and self.progress[reference.ROW] < len(self.order):
            before = self.progress[reference.ROW]
            finite = executor.train(self.x, self.y, self.weight, self.order, rates, self.progress, seconds)
            assert not finite or self.progress[reference.ROW] > before
        return finite

    def perturbed(self, rng: np.random.Generator) -> None:
        """Change parameters and data by the rounding error of the longest sum."""
        longest = max(self.batch_size, *(self.graph.size(b) for b in range(len(self.graph.shapes))))
        size = longest * float(np.finfo(self.dtype).eps)
        for values in (self.parameters, self.x):
            values *= (1 + size * rng.choice([-1.0, 1.0], values.shape)).astype(self.dtype)


def sandwich(name: str, width: int = 9, outputs: int = 7) -> Graph:
    """Two hidden layers with this activation and one without bias."""
    return lowered([Dense(width, name), Dense(17, name, bias=False), Dense(outputs)], 7)


def deep(dtype: str, **options: Any) -> Task:
    layers = [Dropout(0.1), Dense(33, "relu"), Dropout(0.3), Dense(17, "gelu"), Dense(10, "softmax")]
    options = {"optimizer": Adam(0.1), "labels": True, "metric": "argmax", **options}
    return Task(lowered(layers, 20), "cross_entropy", dtype, **options)


def bits(task: Task) -> tuple[bytes, ...]:
    return tuple(one.tobytes() for one in (task.parameters, task.state, task.gradients, task.progress))


def trained(
    module: ModuleType, task: Task, epochs: int = 2, seconds: float = 1e9, **options: Any
) -> tuple[bytes, ...]:
    executor = task.executor(module, **options)
    for _ in range(epochs):
        assert task.train(executor, seconds)
    return bits(task)
