"""What is measured: networks of three sizes, trained and run by fastnet and by NumPy written by hand.

The code by hand is meant to be what a competent person writes for one network: one flat vector of parameters
with views, buffers made once, in-place operations, labels instead of one-hot rows, no gradient of the input.
Both sides do the same: they gather the rows of a batch, compute its loss, and make one update. `verify` makes
sure of it before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import fastnet as fn
from fastnet import backends
from fastnet.backends.reference import LOSS_SUM, NORM

Array = npt.NDArray[Any]

RATE = 1e-3


@dataclass(frozen=True)
class Workload:
    """One network, how it is trained, and the batches it is trained with."""

    sizes: tuple[int, ...]
    output: str
    loss: str
    optimizer: str
    batches: tuple[int, ...]

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes))

    def network(self) -> fn.Network:
        return fn.mlp(list(self.sizes), activation="relu", output=self.output, seed=1)

    def data(self, rows: int) -> tuple[Array, Array]:
        rng = np.random.default_rng(2)
        x = rng.random((rows, self.sizes[0]), np.float32)
        if self.loss == "cross_entropy":
            return x, rng.integers(0, self.sizes[-1], rows)
        return x, rng.random((rows, self.sizes[-1]), np.float32)


WORKLOADS = (
    Workload((784, 128, 64, 10), "softmax", "cross_entropy", "sgd", (1, 8, 64, 256)),
    Workload((10, 32, 32, 1), "identity", "mean_squared_error", "adam", (1, 32)),
    Workload((4, 16, 16, 2), "identity", "mean_squared_error", "adam", (1, 32)),
)


class ByHand:
    """A network of ReLU layers in plain NumPy, for batches of one size."""

    def __init__(self, workload: Workload, batch: int) -> None:
        sizes = workload.sizes
        self.labels, self.adam = workload.loss == "cross_entropy", workload.optimizer == "adam"
        self.batch = batch
        self.parameters = workload.network().parameters.copy()
        self.gradients = np.empty_like(self.parameters)
        self.weights, self.biases = self.views(self.parameters, sizes)
        self.d_weights, self.d_biases = self.views(self.gradients, sizes)
        self.mean, self.square = np.zeros_like(self.parameters), np.zeros_like(self.parameters)
        self.scratch, self.root = np.empty_like(self.parameters), np.empty_like(self.parameters)
        self.outputs = [np.empty((batch, size), np.float32) for size in sizes]
        self.deltas = [np.empty((batch, size), np.float32) for size in sizes]
        self.rows = np.arange(batch)
        self.steps = 0

    @staticmethod
    def views(flat: Array, sizes: tuple[int, ...]) -> tuple[list[Array], list[Array]]:
        weights, biases, at = [], [], 0
        for i, o in pairwise(sizes):
            weights.append(flat[at : at + i * o].reshape(i, o))
            biases.append(flat[at + i * o : at + i * o + o])
            at += i * o + o
        return weights, biases

    def forward(self, x: Array, outputs: list[Array]) -> Array:
        a, last = x, len(self.weights) - 1
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = outputs[k + 1]
            np.matmul(a, w, out=z)
            z += b
            a = z if k == last else np.maximum(z, 0, out=z)
        return a

    def step(self, x: Array, y: Array, rows: Array) -> float:
        """One update on the rows of x and y; returns the loss."""
        a, delta = self.outputs, self.deltas[-1]
        np.take(x, rows, axis=0, out=a[0], mode="clip")
        y = y[rows]
        output = self.forward(a[0], a)
        if self.labels:
            output -= output.max(axis=1, keepdims=True)
            np.exp(output, out=delta)
            total = delta.sum(axis=1, keepdims=True)
            loss = float((np.log(total[:, 0]) - output[self.rows, y]).mean())
            delta /= total
            delta[self.rows, y] -= 1
            delta *= 1 / self.batch
        else:
            np.subtract(output, y, out=delta)
            loss = float(np.square(delta).mean())
            delta *= 2 / delta.size
        for k in range(len(self.weights) - 1, -1, -1):
            delta = self.deltas[k + 1]
            np.matmul(a[k].T, delta, out=self.d_weights[k])
            delta.sum(axis=0, out=self.d_biases[k])
            if k:
                np.matmul(delta, self.weights[k].T, out=self.deltas[k])
                self.deltas[k] *= a[k] > 0
        self.update()
        return loss

    def update(self) -> None:
        g, scratch, root = self.gradients, self.scratch, self.root
        self.steps += 1
        if not self.adam:
            g *= RATE
            self.parameters -= g
            return
        self.mean *= 0.9
        np.multiply(g, 0.1, out=scratch)
        self.mean += scratch
        self.square *= 0.999
        g *= g
        g *= 0.001
        self.square += g
        np.sqrt(self.square, out=root)
        root *= (1 - 0.999**self.steps) ** -0.5
        root += 1e-8
        np.divide(self.mean, root, out=scratch)
        scratch *= RATE / (1 - 0.9**self.steps)
        self.parameters -= scratch

    def predict(self, x: Array) -> Array:
        """Output for any number of rows."""
        a = x
        for w, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            a = a @ w
            a += b
            np.maximum(a, 0, out=a)
        a = a @ self.weights[-1]
        a += self.biases[-1]
        if self.labels:
            a -= a.max(axis=-1, keepdims=True)
            np.exp(a, out=a)
            a /= a.sum(axis=-1, keepdims=True)
        return a


@contextmanager
def using(backend: str, threads: int = 1) -> Iterator[None]:
    """Switch backend and threads, those of the BLAS included, and back."""
    before = backends.active(), backends.get_num_threads()
    backends.use(backend)
    backends.set_num_threads(threads)
    try:
        with blas_threads(threads):
            yield
    finally:
        backends.use(before[0])
        backends.set_num_threads(before[1])


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # scikit-learn brings it; without it the BLAS keeps its own number
        yield
        return
    with threadpool_limits(threads, "blas"):
        yield


def steps_for(batch: int) -> int:
    """Steps of one epoch: so many that starting it costs nothing beside them."""
    return max(50, 400 // batch)


def visits(batch: int, steps: int) -> tuple[int, Array]:
    """How many rows of data there are, and the order in which one epoch visits them, some of them twice."""
    rng, rows = np.random.default_rng(3), min(batch * steps, 2560)
    order = np.concatenate([rng.permutation(rows) for _ in range(-(-batch * steps // rows))])
    return rows, order[: batch * steps]


Epoch = Callable[[], float]
"""Make all steps of one epoch; returns the mean of the losses."""


def fastnet_epoch(workload: Workload, batch: int, steps: int) -> Epoch:
    """An epoch of the active backend, by one call, as `Trainer.fit` makes it."""
    rows, order = visits(batch, steps)
    network, (x, y) = workload.network(), workload.data(rows)
    optimizer = fn.optimizers.OPTIMIZERS[workload.optimizer](RATE)
    gradients = np.zeros_like(network.parameters)
    state = np.zeros((len(optimizer.states), gradients.size), np.float32)
    executor = network.executor(
        loss=workload.loss,
        optimizer=optimizer.name,
        hyper=optimizer.hyper(),
        gradients=gradients,
        state=state,
        batch_size=batch,
    )
    rates, progress = np.full(steps, RATE), np.zeros(6)

    def epoch() -> float:
        progress[1:] = 0
        if not executor.train(x, y, None, order, rates, progress, 1e9):
            raise FloatingPointError("the loss is not finite")
        return float(progress[LOSS_SUM] / progress[NORM])

    return epoch


def by_hand_epoch(workload: Workload, batch: int, steps: int) -> Epoch:
    """The same epoch, by hand."""
    rows, order = visits(batch, steps)
    network, (x, y) = ByHand(workload, batch), workload.data(rows)

    def epoch() -> float:
        total = 0.0
        for start in range(0, len(order), batch):
            total += network.step(x, y, order[start : start + batch])
        return total / steps

    return epoch


@cache
def verify(workload: Workload, batch: int, steps: int = 20) -> None:
    """Raise unless all contenders compute the same losses over three epochs, and these change.

    They do the same operations in float32, in other orders: an error of some hundreds of eps of 1e-7 for sums
    of up to 784 terms. A wrong learning rate, moment or batch changes the losses by more than 1e-3.
    """
    hand = by_hand_epoch(workload, batch, steps)
    right = [hand() for _ in range(3)]
    if not (np.isfinite(right).all() and abs(right[0] - right[2]) > 1e-3 * right[0]):
        raise AssertionError(f"{workload.name}: the losses {right} by hand do not change")
    for backend in backends.available():
        with using(backend):
            epoch = fastnet_epoch(workload, batch, steps)
            np.testing.assert_allclose([epoch() for _ in range(3)], right, rtol=1e-4, err_msg=backend)


@cache
def verify_predictions(workload: Workload) -> None:
    """Raise unless all contenders predict the same."""
    x, _ = workload.data(50)
    hand, network = ByHand(workload, 1), workload.network()
    for backend in backends.available():
        with using(backend):
            np.testing.assert_allclose(network.predict(x), hand.predict(x), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(network.predict(x[0]), hand.predict(x[0]), rtol=1e-4, atol=1e-6)
