"""What other processes took of the machine during a measurement: Linux says so, elsewhere it is none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

STAT = Path("/proc/stat")
TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01
ALLOWED = 0.1  # seconds of others for each second, and no less than two ticks, as both clocks are rounded
TRIES, PAUSE = 3, 0.2


def machine_seconds() -> float:
    """CPU time that all processes have used since the start, and that other machines took from this one."""
    user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK


def process_seconds(process: int) -> float:
    """CPU time that one process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def children_seconds() -> float:
    """CPU time that processes have used which this one started and which have ended."""
    return float(sum(os.times()[2:4]))


def watched(measure: Callable[[], Result], own_seconds: Callable[[], float]) -> tuple[Result, bool]:
    """Measure; and whether others than `own_seconds` tells of used the CPUs meanwhile."""
    if not STAT.is_file():
        return measure(), False
    start, before = time.perf_counter(), machine_seconds() - own_seconds()
    result = measure()
    others = machine_seconds() - own_seconds() - before
    return result, others > max(ALLOWED * (time.perf_counter() - start), 2 * TICK)


def undisturbed(measure: Callable[[], Result], own_seconds: Callable[[], float]) -> Result:
    """Measure; again, where others used the CPUs meanwhile, but not for ever."""
    for attempt in range(TRIES):
        result, disturbed = watched(measure, own_seconds)
        if not disturbed:
            break
        time.sleep(PAUSE * attempt)
    return result
