"""What is run: networks, how they are trained or asked, and what is demanded of fastnet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import fastnet as fn
from bench.workloads import RATE, WORKLOADS, Array, Workload

DATA_NUMBERS = (
    1 << 24
)  # of a data set, about: 64 MB, so that rows come from main memory as they do in practice
CHECKED_STEPS = 4  # of each epoch of the check


@dataclass(frozen=True)
class Task(Workload):
    """One line of the table: a workload with one batch size, to train or to predict."""

    kind: str = "train"
    activation: str = "relu"
    dtype: str = "float32"
    dropout: float = 0.0
    momentum: float = 0.0
    weight_decay: float = 0.0
    at_least: float | None = None  # times as fast as the best peer
    aim: float | None = None

    @property
    def batch(self) -> int:
        """Rows of one update, or of one prediction."""
        return self.batches[0]

    @property
    def title(self) -> str:
        """What the table calls it; no two tasks have the same."""
        if self.kind == "predict":
            return f"predict {self.batch:,} row{'s' if self.batch > 1 else ''}, {self.name}"
        features = [
            self.activation if self.activation != "relu" else "",
            f"dropout {self.dropout:g}" if self.dropout else "",
            f"momentum {self.momentum:g}" if self.momentum else "",
            f"decay {self.weight_decay:g}" if self.weight_decay else "",
            self.dtype if self.dtype != "float32" else "",
        ]
        optimizer = {"sgd": "SGD", "adam": "Adam"}[self.optimizer]
        return ", ".join([self.name, optimizer, *filter(None, features), f"batch {self.batch}"])

    @property
    def name(self) -> str:
        """The sizes; equal ones in a row are counted."""
        sizes, last = self.sizes, self.sizes[-1]
        if len(set(sizes[:-1])) == 1 and len(sizes) > 4:
            return f"{len(sizes) - 1} x {sizes[0]}-{last}"
        return super().name

    @property
    def rows(self) -> int:
        """Rows of the data set, a multiple of the batch."""
        if self.kind == "predict":
            return self.batch
        rows = max(CHECKED_STEPS * self.batch, min(60_000, DATA_NUMBERS // self.sizes[0]))
        return rows // self.batch * self.batch

    @property
    def plain(self) -> bool:
        """Whether `bench.workloads.ByHand` can do it."""
        extras = self.dropout or self.momentum or self.weight_decay
        return self.activation == "relu" and self.dtype == "float32" and not extras

    def network(self) -> fn.Network:
        """The network that all contenders start from."""
        return fn.mlp(self.sizes, self.activation, self.output, self.dropout, self.dtype, seed=1)

    def first_weights(self) -> list[tuple[Array, Array]]:
        """Weights (I, O) and biases (O,) of each layer."""
        dense = [layer for layer in self.network().layers if isinstance(layer, fn.Dense)]
        return [(layer.weights.copy(), layer.bias.copy()) for layer in dense]

    def data(self, rows: int) -> tuple[Array, Array]:
        """The same for every contender: uniform in 0 .. 1; labels, or targets like the rows."""
        x, y = super().data(rows)
        return x.astype(self.dtype), y if self.labels else y.astype(self.dtype)

    @property
    def labels(self) -> bool:
        """Whether it is cross entropy of labels, and not the mean of squares."""
        return self.loss == "cross_entropy"

    def fastnet_optimizer(self) -> fn.optimizers.Optimizer:
        """fastnet's own."""
        if self.optimizer == "adam":
            return fn.Adam(RATE)
        return fn.SGD(RATE, momentum=self.momentum, weight_decay=self.weight_decay)

    # ---- what the task comes to at least

    def flops(self) -> float:
        """Floating-point operations of the matrix products of one step, or of one prediction."""
        products = [2.0 * self.batch * i * o for i, o in zip(self.sizes, self.sizes[1:], strict=False)]
        if self.kind == "predict":
            return sum(products)
        return 3 * sum(products) - products[0]  # forward, weights, inputs; the first layer's inputs need none

    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False))

    def states(self) -> int:
        """Vectors that the optimizer keeps."""
        return 2 if self.optimizer == "adam" else int(self.momentum > 0)

    def memory(self) -> int:
        """Bytes that every step goes through: parameters and the optimizer's vectors."""
        vectors = 1 if self.kind == "predict" else 1 + self.states()
        return vectors * self.parameters() * np.dtype(self.dtype).itemsize

    def traffic(self) -> int:
        """Bytes of `memory` that a step reads and writes at least, and the rows that it reads."""
        size = np.dtype(self.dtype).itemsize
        rows = self.batch * self.sizes[0] * size
        if self.kind == "predict":
            return self.memory() + rows
        passes = 1 + 2 + 2 * self.states()  # forward; the update reads and writes weights and state
        return passes * self.parameters() * size + rows


def network(*sizes: int, optimizer: str = "sgd", **options: Any) -> Task:
    """A network with softmax and cross entropy."""
    return Task(sizes, "softmax", "cross_entropy", optimizer, (), **options)


MNIST, REGRESSION, TINY = (Task(**vars(workload)) for workload in WORKLOADS)
WIDE = network(784, 1024, 1024, 10)


def step(
    task: Task, batch: int, at_least: float | None = None, aim: float | None = None, **changes: Any
) -> Task:
    """A training step of this network."""
    return replace(task, batches=(batch,), at_least=at_least, aim=aim, **changes)


def predict(task: Task, rows: int, at_least: float | None = None, aim: float | None = None) -> Task:
    """A prediction of so many rows."""
    return step(task, rows, at_least, aim, kind="predict")


MAIN = (
    step(MNIST, 1, 1.5, 2.2),
    step(MNIST, 8, 1.8, 2.5),
    step(MNIST, 64, 1.8, 2.5),
    step(MNIST, 256, 1.6, 2.0),
    step(WIDE, 64, 1.3, 1.7),
    step(WIDE, 256, 1.1, 1.3),
    step(REGRESSION, 1, 1.8, 3.5),
    step(REGRESSION, 32, 2.5, 4.0),
    step(TINY, 1, 3.0, 6.0),
    step(TINY, 32, 4.0, 7.0),
    predict(MNIST, 1, 2.0, 3.0),
    predict(TINY, 1, 9.0, 15.0),
    predict(MNIST, 10_000, 1.05, 1.2),
    predict(TINY, 10_000, 3.0, 6.0),
)
"""Those with a factor of their own."""

_DEEP = network(*[64] * 10, 10)
_ODD = network(37, 101, 37, 7)

EXTRA = tuple(
    replace(task, at_least=1.0)
    for task in (
        step(MNIST, 1024),
        step(MNIST, 4096),
        step(_DEEP, 1),
        step(_DEEP, 32),
        step(_DEEP, 256),
        step(_ODD, 1),
        step(_ODD, 32),
        step(_ODD, 37, optimizer="adam"),
        step(MNIST, 64, activation="tanh"),
        step(MNIST, 64, activation="sigmoid"),
        step(MNIST, 64, activation="gelu"),
        step(_DEEP, 32, activation="tanh"),
        step(network(64, 64, 1000), 64),
        step(network(16, 16, 16, 3, optimizer="adam"), 32, activation="gelu"),
        step(MNIST, 64, dropout=0.2),
        step(MNIST, 64, dtype="float64"),
        step(REGRESSION, 32, dtype="float64"),
        step(MNIST, 64, momentum=0.9),
        step(MNIST, 64, momentum=0.9, weight_decay=1e-4),
        step(MNIST, 64, optimizer="adam"),
        step(network(784, 2048, 2048, 10), 64),
        step(network(784, 2048, 2048, 10), 256),
        step(network(784, 4096, 4096, 10), 64),
        predict(REGRESSION, 1),
        predict(REGRESSION, 10_000),
        predict(MNIST, 100),
        predict(WIDE, 1),
        predict(WIDE, 1_000),
        predict(_DEEP, 1),
        predict(_DEEP, 10_000),
    )
)
"""Those in which no peer may be faster."""

TASKS = {task.title: task for task in (*MAIN, *EXTRA)}
