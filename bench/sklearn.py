"""The estimators beside scikit-learn's own, on its digits: ``python -m bench.sklearn`` (or this file).

Both fit with default parameters and the same `random_state`, which makes the same network, and this is
verified first: as many epochs, the same weights but for rounding. They take turns, each with one thread and
with as many as there are; a measurement during which others used the CPUs is repeated, and one of several
threads also where a virtual machine's host has both CPUs on one core or on different chips. The ratio is that
of the better medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: its folder would stand before scikit-learn, with a module of that name
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np
import sklearn
from sklearn import neural_network
from sklearn.datasets import load_digits

import fastnet as fn
import fastnet.sklearn
from bench.distance import Near, meter
from bench.peers.disturbance import undisturbed
from bench.workloads import Array, blas_threads

WANTED = 5.0
Seconds = dict[tuple[str, int], list[float]]
"""Of each turn, by contender and number of threads."""

CONTENDERS: dict[str, Any] = {
    "fastnet": fastnet.sklearn.MLPClassifier,
    "scikit-learn": neural_network.MLPClassifier,
}


def verify(models: dict[str, Any], x: Array) -> None:
    """Check that both have trained the same network."""
    ours, theirs = models.values()
    if ours.n_iter_ != theirs.n_iter_:
        sys.exit(f"fastnet trained for {ours.n_iter_} epochs, scikit-learn for {theirs.n_iter_}")
    pairs = zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True)
    furthest = max(float(np.abs(a - b).max()) for a, b in pairs)
    apart = float(np.abs(ours.predict_proba(x) - theirs.predict_proba(x)).max())
    if not (furthest < 1e-6 and apart < 1e-6):
        sys.exit(f"the weights differ by {furthest:.1e}, the probabilities by {apart:.1e}")
    print(f"verified: {ours.n_iter_} epochs, weights within {furthest:.0e}, probabilities within {apart:.0e}")


def turns(tasks: dict[str, Callable[[], object]], count: int, threads: list[int], near: Near) -> Seconds:
    """Time each contender with each number of threads, in turns."""
    found: Seconds = {}
    for _ in range(count):
        for number in threads:
            for name, task in tasks.items():
                fn.set_num_threads(number)
                with blas_threads(number):
                    measured = near if number > 1 else undisturbed
                    seconds = measured(lambda task=task: clocked(task), time.process_time)
                found.setdefault((name, number), []).append(seconds)
    return found


def clocked(task: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def report(title: str, found: Seconds, unit: float, name: str) -> float:
    """Print a line for each contender; return how many times as fast the first one is, each at its best."""
    best: dict[str, float] = {}
    for (contender, threads), seconds in found.items():
        median = statistics.median(seconds)
        best[contender] = min(median, best.get(contender, median))
        print(
            f"{title:28} {contender:14} {threads} thread{'s' if threads > 1 else ' '}  "
            f"median {median * unit:9.3f} {name}, least {min(seconds) * unit:9.3f}"
        )
    ours, theirs = best.values()
    print(f"{title:28} fastnet is {theirs / ours:.1f} times as fast (wanted: {WANTED:g})")
    return theirs / ours


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sklearn", description=__doc__)
    parser.add_argument("--turns", type=int, default=7, help="default: %(default)s")
    parser.add_argument(
        "--threads",
        type=int,
        nargs="+",
        default=sorted({1, fn.get_num_threads()}),
        help="default: %(default)s",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=60,
        metavar="SECONDS",
        help="for repeating what was disturbed (default: %(default)s)",
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    x, y = load_digits(return_X_y=True)
    cpus = os.cpu_count()
    print(f"fastnet {fn.__version__} ({fn.backend()}), scikit-learn {sklearn.__version__}, {cpus} CPUs")
    models = {name: maker(random_state=0).fit(x, y) for name, maker in CONTENDERS.items()}
    verify(models, x)

    def fits(dtype: str) -> dict[str, Callable[[], object]]:
        data = x.astype(dtype)
        return {
            name: lambda maker=maker: maker(random_state=0).fit(data, y) for name, maker in CONTENDERS.items()
        }

    def calls(method: str, rows: int, count: int) -> dict[str, Callable[[], object]]:
        part, bound = x[:rows], {name: getattr(model, method) for name, model in models.items()}
        return {name: lambda call=call: [call(part) for _ in range(count)] for name, call in bound.items()}

    with ExitStack() as stack:
        near = Near(meter(stack), options.patience)

        def measured(tasks: dict[str, Callable[[], object]], threads: list[int]) -> Seconds:
            return turns(tasks, options.turns, threads, near)

        ratios = [report("fit digits", measured(fits("float64"), options.threads), 1, "s ")]
        report("fit digits, float32", measured(fits("float32"), options.threads), 1, "s ")
        ratios.append(report("predict one row", measured(calls("predict", 1, 1000), [1]), 1e3, "us"))
        report("predict_proba one row", measured(calls("predict_proba", 1, 1000), [1]), 1e3, "us")
        report("predict 1797 rows", measured(calls("predict", 1797, 10), options.threads), 1e5, "us")
    if near.far or near.disturbed:
        print(f"of these, {near.far} while the CPUs were apart or one core, {near.disturbed} disturbed")
    return 0 if min(ratios) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
