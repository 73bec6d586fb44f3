"""Print the table of measured times, in Markdown: ``python bench/table.py``.

All contenders run in one process, in turns, so that what else the machine does meets all of them; a cell is
the median of the turns, for the better of one and two threads.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from workloads import (
    WORKLOADS,
    ByHand,
    Workload,
    by_hand_epoch,
    fastnet_epoch,
    steps_for,
    using,
    verify,
    verify_predictions,
)

from fastnet import backends

Contender = tuple[str, int]  # backend, or "by hand"; threads
HAND = "by hand"
PAUSE = 0.25  # seconds after which the threads of the BLAS have stopped to spin
TURN = 0.02  # seconds of one measurement, about


def contenders() -> list[Contender]:
    threads = sorted({1, min(2, backends.get_num_threads())})
    return [(name, count) for name in (backends.available()[0], "numpy", HAND) for count in threads]


def seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def measure(make: Callable[[Contender], tuple[Callable[[], object], int]], turns: int) -> dict[str, float]:
    """Median microseconds of one unit of work, for each name; `make` gives a call and its units."""
    times: dict[Contender, list[float]] = {}
    prepared = {}
    for who in contenders():
        with using("numpy" if who[0] == HAND else who[0], who[1]):
            call, units = make(who)
            call()
            prepared[who] = (call, units, max(1, int(TURN / max(seconds(call, 3), 1e-9))))
        time.sleep(PAUSE)
    for _ in range(turns):
        for who, (call, units, repeats) in prepared.items():
            with using("numpy" if who[0] == HAND else who[0], who[1]):
                call()
                times.setdefault(who, []).append(1e6 * seconds(call, repeats) / units)
            if who[1] > 1 and who[0] in ("numpy", HAND):
                time.sleep(PAUSE)
    best: dict[str, float] = {}
    for (name, _), values in times.items():
        best[name] = min(best.get(name, float("inf")), statistics.median(values))
    return best


def step_row(workload: Workload, batch: int, turns: int) -> dict[str, float]:
    verify(workload, batch)
    steps = steps_for(batch)

    def make(who: Contender) -> tuple[Callable[[], object], int]:
        return (by_hand_epoch if who[0] == HAND else fastnet_epoch)(workload, batch, steps), steps

    return measure(make, turns)


def predict_row(workload: Workload, rows: int, turns: int) -> dict[str, float]:
    verify_predictions(workload)
    x = workload.data(rows)[0]
    x = x[0] if rows == 1 else x

    def make(who: Contender) -> tuple[Callable[[], object], int]:
        predict = ByHand(workload, 1).predict if who[0] == HAND else workload.network().predict
        repeats = 200 if rows == 1 else 1

        def call() -> None:
            for _ in range(repeats):
                predict(x)

        return call, repeats

    return measure(make, turns)


def shown(microseconds: float) -> str:
    return f"{microseconds:.2f}" if microseconds < 9.95 else f"{microseconds:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--turns", type=int, default=15, help="measurements of each cell (default: %(default)s)"
    )
    turns = parser.parse_args().turns
    best = backends.available()[0]
    print(f"| microseconds (float32) | fastnet, {best} | fastnet, numpy | NumPy by hand |")
    print("|---|--:|--:|--:|", flush=True)

    def line(title: str, times: dict[str, float]) -> None:
        cells = [shown(times[name]) for name in (best, "numpy", HAND)]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)

    for workload in WORKLOADS:
        optimizer = {"sgd": "SGD", "adam": "Adam"}[workload.optimizer]
        for batch in workload.batches:
            title = f"training step, {workload.name}, {optimizer}, batch {batch}"
            line(title, step_row(workload, batch, turns))
    for workload in WORKLOADS:
        for rows in (1, 10_000):
            title = f"predict, {workload.name}, {rows:,} row{'s' if rows > 1 else ''}"
            line(title, predict_row(workload, rows, turns))


if __name__ == "__main__":
    main()
