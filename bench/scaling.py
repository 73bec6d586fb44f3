"""Threads, memory, idle CPU, and SSE2 beside NumPy: ``python -m bench.scaling``.

threads   two threads beside one, on every task of bench/peers/tasks.py
python    two networks trained from two Python threads, beside one from one
memory    what `fit` needs beyond the arrays it is given, and what a warm epoch allocates
idle      CPU time of a process that has trained and sleeps
baseline  the backend of every x86-64 CPU (SSE2) beside the NumPy backend: the same tasks
kernels   the same backends, on the kernels of bench_kernels.py
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import scaling_tables
from bench.distance import Near, meter
from bench.peers.__main__ import machine
from bench.peers.contest import ROOT, Contender, contest, environment
from bench.peers.tasks import TASKS, Task
from fastnet import backends

Raw = dict[str, Any]

ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Where only fastnet's own threads are asked about."""

SSE = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX F16C XOP FMA4 FMA3 AVX2 AVX512F AVX512CD AVX512_SKX "
    "AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR",
}
"""Holds NumPy to what a CPU of the same age has: without AVX, as where fastnet takes `baseline`."""

TRAINED_AT_ONCE = (
    "784-128-64-10, SGD, batch 64",
    "784-128-64-10, SGD, batch 256",
    "10-32-32-1, Adam, batch 32",
)
TRAINED_FOR_MEMORY: tuple[dict[str, Any], ...] = (
    {},
    {"batch": 256},
    {"batch": 4096},
    {"labels": "uint8"},
    {"pixels": "uint8", "labels": "uint8"},
    {"pixels": "float64"},
)
"""Arguments of `probes.memory`."""


def probe(name: str, threads: int, changes: Mapping[str, str] | None = None, **arguments: Any) -> Raw:
    """What a function of `bench.probes` returns, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.probes", name, json.dumps(arguments)],
        cwd=ROOT,
        env={**environment(threads, ""), **(changes or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"bench.probes {name}: {done.stderr}")
    answer: Raw = json.loads(done.stdout)
    return answer


def contests(
    contenders: list[Contender], tasks: list[Task], options: argparse.Namespace, stack: ExitStack
) -> Iterator[tuple[str, Raw]]:
    """Title and measurements of each task."""
    for one in contenders:
        if one.missing:
            raise RuntimeError(f"{one.name}: {one.missing}")
    distance, least = meter(stack), math.inf
    for task in tasks:
        near = Near(distance, options.patience, least)
        yield task.title, {**contest(task, contenders, options.turns, near), "apart": near.found()}
        least = near.least


def threads(tasks: list[Task], options: argparse.Namespace) -> Iterator[tuple[str, Raw]]:
    """Pairs of processes on one thread and on two.

    Where the memory of a process happens to lie makes one some per cent faster than another that does the
    same; hence several pairs.
    """
    with ExitStack() as stack:
        pairs = [
            stack.enter_context(Contender("fastnet", count, name=str(pair), changes=ONE_BLAS_THREAD))
            for pair in range(options.pairs)
            for count in (1, 2)
        ]
        yield from contests(pairs, tasks, options, stack)


def python(tasks: list[Task], options: argparse.Namespace) -> Iterator[tuple[str, Raw]]:
    for title in TRAINED_AT_ONCE:
        if any(task.title == title for task in tasks):
            numbers = {"turns": options.turns, "patience": options.patience}
            yield title, probe("python_threads", 2, ONE_BLAS_THREAD, title=title, **numbers)


def memory(tasks: list[Task], options: argparse.Namespace) -> Iterator[tuple[str, Raw]]:
    for arguments in TRAINED_FOR_MEMORY:
        yield f"memory {json.dumps(arguments)}", {**arguments, **probe("memory", 2, **arguments)}
    for held_out in (0, 10_000):
        yield f"epochs {held_out}", {"held_out": held_out, **probe("epochs", 2, held_out=held_out)}


def idle(tasks: list[Task], options: argparse.Namespace) -> Iterator[tuple[str, Raw]]:
    yield "idle", probe("idle", 2)


def baseline(tasks: list[Task], options: argparse.Namespace) -> Iterator[tuple[str, Raw]]:
    if "baseline" not in backends.available():
        return
    kinds: dict[str, dict[str, str]] = {
        "baseline": {"FASTNET_BACKEND": "baseline"},
        "numpy": {"FASTNET_BACKEND": "numpy"},
        "numpy, SSE": {"FASTNET_BACKEND": "numpy", **SSE},
    }
    with ExitStack() as stack:
        contenders = [
            stack.enter_context(Contender("fastnet", count, name=name, changes=changes))
            for count in (1, 2)
            for name, changes in kinds.items()
        ]
        yield from contests(contenders, tasks, options, stack)


def kernels(tasks: list[Task], options: argparse.Namespace) -> Iterator[tuple[str, Raw]]:
    """On one thread: a kernel that is called alone has no more."""
    if "baseline" not in backends.available():
        return
    measured = {
        name: probe("kernels", 1, changes, turns=options.turns)
        for name, changes in (("numpy", {}), ("numpy, SSE", SSE))
    }
    yield from (
        (title, {name: found[title] for name, found in measured.items()}) for title in measured["numpy"]
    )


SECTIONS: dict[str, Callable[[list[Task], argparse.Namespace], Iterator[tuple[str, Raw]]]] = {
    section.__name__: section for section in (threads, python, memory, idle, baseline, kernels)
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", nargs="+", default=list(SECTIONS), choices=SECTIONS, help="default: all")
    add("--tasks", nargs="+", default=[""], metavar="TEXT", help="tasks whose title has one of these in it")
    add("--turns", type=int, default=9, help="measurements of each (default: %(default)s)")
    add("--pairs", type=int, default=3, help="processes on one thread, and on two (default: %(default)s)")
    add(
        "--patience",
        type=float,
        default=60,
        metavar="SECONDS",
        help="for repeating what was disturbed, for each task (default: %(default)s)",
    )
    add("--json", type=Path, metavar="FILE", help="write what was measured")
    add("--load", type=Path, nargs="+", metavar="FILE", help="show what was written instead of measuring")
    add("--table", action="store_true", help="write the tables of docs/performance.md")
    return parser.parse_args()


def run(options: argparse.Namespace) -> Raw:
    """Measure what was asked for."""
    tasks = [task for title, task in TASKS.items() if any(text in title for text in options.tasks)]
    report: Raw = {"kind": "scaling", "machine": machine(), "date": time.strftime("%Y-%m-%d"), "sections": {}}
    for name in options.only:
        found = report["sections"][name] = {}
        for title, measured in SECTIONS[name](tasks, options):
            found[title] = measured
            print(f"{name}: {title}", file=sys.stderr, flush=True)
    return report


def loaded(paths: list[Path]) -> Raw:
    """The reports of these files as one; of a section that several have, the last."""
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    sections = {name: section for one in reports for name, section in one["sections"].items()}
    return {**reports[-1], "sections": sections}


def main() -> int:
    options = arguments()
    report = loaded(options.load) if options.load else run(options)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(scaling_tables.markdown(report))
    if options.table:
        scaling_tables.write(report)
    wrong = scaling_tables.wrong(report)
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
