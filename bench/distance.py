"""How far apart two CPUs are: what two threads gain depends on it, and on a virtual machine it changes.

A virtual machine's host may move its CPUs at any time. On a processor of several chips a cache line takes
some 25 ns between two CPUs of one chip, and 170 ns between chips; two threads that work on the same weights
are then no faster than one, while two that have nothing in common do not notice.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.peers.disturbance import watched
from bench.peers.limits import build

SOURCE = Path(__file__).with_name("distance.h")
FAR = 2.0  # times the least distance that was seen
PAUSE = 0.5  # seconds


def meter(stack: ExitStack) -> Callable[[], float]:
    """A function that measures the distance of two CPUs, in nanoseconds; 0 where that is not possible.

    Its program is deleted with the stack.
    """
    cpus = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cpus) < 2:
        return lambda: 0.0
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    program = build(folder, "float32", "", SOURCE)
    if isinstance(program, str):
        return lambda: 0.0
    command = [str(program), *map(str, cpus)]
    return lambda: float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Near:
    """Repeats a measurement during which the CPUs were far apart, or other processes used them.

    Parameters
    ----------
    distance : callable
        That of two CPUs, in nanoseconds.
    patience : float
        Seconds, of all repetitions together, after which a measurement counts all the same.

    Attributes
    ----------
    least, most : float
        Nanoseconds.
    far, disturbed : int
        Measurements that count although the CPUs were far apart, or used by others.
    """

    def __init__(self, distance: Callable[[], float], patience: float) -> None:
        self.distance, self.patience = distance, patience
        self.least = self.most = distance()
        self.far = self.disturbed = 0

    def found(self) -> dict[str, float]:
        """What goes into the file."""
        return {"least": self.least, "most": self.most, "far": self.far, "disturbed": self.disturbed}

    def look(self) -> bool:
        """Whether the CPUs are far apart now."""
        found = self.distance()
        self.least, self.most = min(self.least, found), max(self.most, found)
        return found > FAR * self.least

    def __call__(self, measure: Callable[[], Any], own_seconds: Callable[[], float]) -> Any:
        """Measure, and again where it must be."""
        while True:
            start, far = time.perf_counter(), self.look()
            result, disturbed = watched(measure, own_seconds)
            far = self.look() or far
            if not (far or disturbed) or self.patience <= 0:
                self.far, self.disturbed = self.far + far, self.disturbed + disturbed
                return result
            time.sleep(PAUSE)
            self.patience -= time.perf_counter() - start
