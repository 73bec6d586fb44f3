"""What the machine could do at best, measured by a small program in C, compiled on the spot.

The limit of a task is the longer of two times: its floating-point operations at the rate of a register tile,
and the bytes it must move at the rate at which the cache that holds its parameters can be read. It is a bound
from below, for a machine that does nothing else; writes are counted as reads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.peers.disturbance import children_seconds, undisturbed
from bench.peers.tasks import Task

# A whole program; not called .c, as files of that name are taken for what Cython made.
SOURCE = Path(__file__).with_name("machine.h")
CACHES = {"L1": 32 << 10, "L2": 1 << 20, "L3": 16 << 20}  # where the system does not say
Limits = dict[str, Any]


def cache_sizes() -> dict[str, int]:
    """Bytes of each level, of one core: Linux says so."""
    found = dict(CACHES)
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and size.endswith("K"):
            found[f"L{level}"] = int(size[:-1]) << 10
    return found


def build(folder: str, dtype: str, isa: str, source: Path = SOURCE) -> Path | str:
    """Compile a program; a message where that is not possible."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return "no C compiler was found"
    program = Path(folder) / f"{source.stem}-{dtype}"
    flags = ["-mavx2", "-mfma"] if isa == "avx2" else ["-march=native"]
    real = {"float32": "float", "float64": "double"}[dtype]
    options = ["-O3", *flags, "-pthread", f"-DREAL={real}", "-o", str(program)]
    command = [compiler, *options, "-x", "c", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return program if done.returncode == 0 else f"the compiler failed: {done.stderr.strip()[:200]}"


def measure(threads: Iterable[int], isa: str = "") -> Limits:
    """Peak (FLOP/s) by dtype and threads, bandwidth (B/s) by level and threads; or why there are none."""
    sizes = cache_sizes()
    # Well inside each level; of the third, which all cores share, each thread reads a part of its own.
    reads = {
        "L1": sizes["L1"] // 2,
        "L2": sizes["L2"] * 5 // 8,
        "L3": sizes["L3"] // 4,
        "DRAM": sizes["L3"] * 8,
    }
    limits: Limits = {"caches": sizes, "peak": {}, "bandwidth": {}}
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "float64"):
            program = build(folder, dtype, isa)
            if isinstance(program, str):
                return {"missing": program}
            limits["peak"][dtype] = {str(count): run(program, "peak", count) for count in threads}
        for level, size in reads.items():
            rates = {str(count): run(program, "read", size, count) for count in threads}
            limits["bandwidth"][level] = rates
    return limits


def run(program: Path, *arguments: object) -> float:
    words = [str(program), *map(str, arguments)]

    def once() -> float:
        return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)

    return undisturbed(once, children_seconds)


def best(*several: Limits) -> Limits:
    """The best of several measurements, as a limit should be."""
    whole = [one for one in several if "missing" not in one]
    if not whole:
        return several[0]
    merged: Limits = {"caches": whole[0]["caches"]}
    for kind in ("peak", "bandwidth"):
        merged[kind] = {
            name: {count: max(one[kind][name][count] for one in whole) for count in rates}
            for name, rates in whole[0][kind].items()
        }
    return merged


def seconds(task: Task, limits: Limits, threads: int) -> float | None:
    """The least time that the task can take on so many threads; None where nothing was measured."""
    if "missing" in limits:
        return None
    count = str(threads)
    share = task.memory() / threads  # the first two levels are each core's own
    sizes = limits["caches"]
    level = next((one for one in ("L1", "L2") if share <= sizes[one]), "")
    level = level or ("L3" if task.memory() <= sizes["L3"] else "DRAM")
    arithmetic = task.flops() / limits["peak"][task.dtype][count]
    return max(arithmetic, task.traffic() / limits["bandwidth"][level][count])
