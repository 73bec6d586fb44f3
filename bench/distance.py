"""How far apart two CPUs are: what two threads gain depends on it, and on a virtual machine it changes.

A virtual machine's host may move its CPUs at any time. On a processor of several chips a cache line takes
some 25 ns between two CPUs of one chip, and 170 ns between chips; two threads that work on the same weights
then gain less, while two that have nothing in common do not notice. Or both CPUs are one core, and no two
threads are faster than one.
"""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers.disturbance import watched
from bench.peers.limits import build

SOURCE = Path(__file__).with_name("distance.h")
FAR = 2.0  # times the least distance that was seen
ONE_CORE = 1.5  # times as long as alone: two threads of one core take twice, two cores no longer
PAUSE = 0.5  # seconds
LOOKS = 20  # after which CPUs that were one core each time are taken to be one for good


class Place(NamedTuple):
    """Where two CPUs are: nanoseconds between them (0: not known), and whether both are one core."""

    distance: float
    one_core: bool


def meter(stack: ExitStack) -> Callable[[], Place]:
    """A function that finds out where two CPUs are; its program is deleted with the stack."""
    nowhere = Place(0.0, False)
    cpus = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cpus) < 2:
        return lambda: nowhere
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    program = build(folder, "float32", "", SOURCE)
    if isinstance(program, str):
        return lambda: nowhere
    command = [str(program), *map(str, cpus)]

    def measure() -> Place:
        words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        return Place(float(words[0]), float(words[1]) > ONE_CORE)

    return measure


class Near:
    """Repeats a measurement during which the CPUs were far apart or one core, or other processes used them.

    Parameters
    ----------
    place : callable
        That of two CPUs.
    patience : float
        Seconds, of all repetitions together, after which a measurement counts all the same.
    least : float
        The least distance that was seen before, in nanoseconds.

    Attributes
    ----------
    least, most : float
        Nanoseconds.
    far, disturbed : int
        Measurements that count although the CPUs were far apart or one core, or used by others.
    """

    def __init__(self, place: Callable[[], Place], patience: float, least: float = math.inf) -> None:
        self.place, self.patience = place, patience
        self.least, self.most = least, 0.0
        self.far = self.disturbed = self.looks = 0
        self.look()

    def found(self) -> dict[str, float]:
        """What goes into the file."""
        least = min(self.least, self.most)  # 0 where they were one core all the time
        return {"least": least, "most": self.most, "far": self.far, "disturbed": self.disturbed}

    def look(self) -> bool:
        """Whether the CPUs are far apart now, or one core."""
        found = self.place()
        self.looks += 1
        if found.one_core:
            return True
        self.least, self.most = min(self.least, found.distance), max(self.most, found.distance)
        return found.distance > FAR * self.least

    def __call__(self, measure: Callable[[], Any], own_seconds: Callable[[], float]) -> Any:
        """Measure, and again where it must be."""
        while True:
            start, far = time.perf_counter(), self.look()
            result, disturbed = watched(measure, own_seconds)
            far = self.look() or far
            hopeless = self.least == math.inf and self.looks > LOOKS
            if not ((far and not hopeless) or disturbed) or self.patience <= 0:
                self.far, self.disturbed = self.far + far, self.disturbed + disturbed
                return result
            time.sleep(PAUSE)
            self.patience -= time.perf_counter() - start
