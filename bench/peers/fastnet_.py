"""fastnet: `Trainer.fit`, and `Network.predict`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import pairwise

import fastnet as fn
from bench.peers.tasks import Task
from bench.peers.timing import Epochs
from bench.workloads import Array

VERSION = f"{fn.__version__} ({fn.backend()})"


class Clock(fn.callbacks.Callback):
    """Reads the time where training begins, after the checks of the data, and at the end of each epoch."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_begin(self, trainer: fn.Trainer) -> None:
        self.times = [time.perf_counter()]

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        self.times.append(time.perf_counter())


def cannot(task: Task) -> str:
    return ""


def start(threads: int) -> None:
    fn.set_num_threads(threads)


def training(task: Task, x: Array, y: Array) -> Epochs:
    trainer = fn.Trainer(task.network(), loss=task.loss, optimizer=task.fastnet_optimizer(), seed=0)
    clock = Clock()

    def epochs(count: int) -> list[tuple[float, float]]:
        history = trainer.fit(
            x, y, epochs=count, batch_size=task.batch, shuffle=False, callbacks=[clock], verbose=0
        )
        seconds = [after - before for before, after in pairwise(clock.times)]
        return list(zip(seconds, map(float, history["loss"][-count:]), strict=True))

    return epochs


def prediction(task: Task) -> Callable[[Array], Array]:
    return task.network().predict
