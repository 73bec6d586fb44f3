"""NumPy by hand: `bench.workloads.ByHand`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.peers.tasks import Task
from bench.peers.timing import Epochs, clocked
from bench.workloads import Array, ByHand

VERSION = np.__version__


def cannot(task: Task) -> str:
    return "" if task.plain else "written for ReLU, float32, and SGD or Adam without more"


def start(threads: int) -> None:
    """The BLAS read its number of threads from the environment."""


def training(task: Task, x: Array, y: Array) -> Epochs:
    network, batch = ByHand(task, task.batch), task.batch
    order = np.arange(len(x))

    def epoch() -> float:
        starts = range(0, len(x), batch)
        return sum(network.step(x, y, order[at : at + batch]) for at in starts) / len(starts)

    return clocked(epoch)


def prediction(task: Task) -> Callable[[Array], Array]:
    return ByHand(task, 1).predict
