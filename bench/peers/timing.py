"""Clocks for epochs and predictions."""

from __future__ import annotations

import time
from collections.abc import Callable

Epoch = Callable[[], float]
"""Makes all steps of one epoch; returns the mean of the losses."""

Epochs = Callable[[int], list[tuple[float, float]]]
"""Runs so many epochs; returns the seconds and the mean loss of each."""


def clocked(epoch: Epoch) -> Epochs:
    """Epochs that are timed from outside."""

    def one() -> tuple[float, float]:
        start = time.perf_counter()
        loss = epoch()
        return time.perf_counter() - start, loss

    return lambda count: [one() for _ in range(count)]


def seconds_of(call: Callable[[], object], repeats: int) -> float:
    """Seconds of one call, on average."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
