"""Say whether anything became slower: ``python bench/compare.py OLD.json NEW.json``; exits with 1 if so.

It reads what ``python -m bench.peers --json`` or ``pytest bench --benchmark-json`` wrote. A change counts
where it is larger than the noise: `SPREADS` times the spread of the two medians, taken from the measurements
themselves, and no less than `FLOOR` of the old time. Only fastnet's own times are compared; with ``--all``
the peers' as well, which show whether the machine was as fast as before.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLOOR = 0.05
SPREADS = 4.0
NORMAL = 1.4826  # standard deviations in one median absolute deviation


@dataclass(frozen=True)
class Timing:
    """Measurements of one thing.

    Attributes
    ----------
    median : float
        Seconds.
    error : float
        Standard error of the median, in seconds.
    """

    median: float
    error: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Estimate both from single measurements; a few outliers do not matter."""
        middle = statistics.median(seconds)
        deviation = NORMAL * statistics.median(abs(one - middle) for one in seconds)
        return cls(middle, _of_median(deviation, len(seconds)))


@dataclass(frozen=True)
class Change:
    """One thing before and after.

    Attributes
    ----------
    name : str
        What was measured.
    old, new : Timing
        Before and after.
    """

    name: str
    old: Timing
    new: Timing

    @property
    def factor(self) -> float:
        """New time divided by old."""
        return self.new.median / self.old.median

    @property
    def noise(self) -> float:
        """The part of the old time below which a change means nothing."""
        return max(FLOOR, SPREADS * math.hypot(self.old.error, self.new.error) / self.old.median)

    @property
    def verdict(self) -> str:
        """``slower``, ``faster`` or nothing."""
        if abs(self.factor - 1) <= self.noise:
            return ""
        return "slower" if self.factor > 1 else "faster"

    def __str__(self) -> str:
        times = f"{1e6 * self.old.median:12,.2f} -> {1e6 * self.new.median:12,.2f} us"
        return (
            f"{times}  x {self.factor:.2f}  (noise {100 * self.noise:.0f} %)  {self.verdict:6}  {self.name}"
        )


def _of_median(deviation: float, count: int) -> float:
    """Standard error of the median of so many normal numbers."""
    return math.sqrt(math.pi / 2) * deviation / math.sqrt(count)


def read(path: Path, every: bool = False) -> dict[str, Timing]:
    """Timings by name from either kind of file; `every` takes the peers' as well."""
    report = json.loads(path.read_text(encoding="utf-8"))
    if report.get("kind") == "peers":
        return {
            f"{title}: {peer} on {threads}": Timing.of(found["seconds"])
            for title, task in report["tasks"].items()
            for peer, by_threads in task["results"].items()
            if every or peer == "fastnet"
            for threads, found in by_threads.items()
        }
    if "benchmarks" in report:
        return {one["fullname"]: _of_benchmark(one["stats"]) for one in report["benchmarks"]}
    raise ValueError(f"{path}: neither a report of bench.peers nor one of pytest-benchmark")


def _of_benchmark(stats: dict[str, Any]) -> Timing:
    """Timing from pytest-benchmark's figures; half of the measurements lie within 2 x 0.674 deviations."""
    return Timing(stats["median"], _of_median(stats["iqr"] / 1.349, stats["rounds"]))


def compare(old: dict[str, Timing], new: dict[str, Timing]) -> list[Change]:
    """Everything that both have, the worst first."""
    changes = [Change(name, old[name], new[name]) for name in old if name in new]
    return sorted(changes, key=lambda change: -change.factor)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--all", action="store_true", help="compare the peers' times as well")
    options = parser.parse_args(arguments)
    old, new = (read(path, options.all) for path in (options.old, options.new))
    changes = compare(old, new)
    if not changes:
        print("the two files have nothing in common", file=sys.stderr)
        return 2
    for change in changes:
        if change.verdict:
            print(change)
    slower = [change for change in changes if change.verdict == "slower"]
    for name in sorted(set(old) - set(new)):
        print(f"only in {options.old}: {name}")
    print(f"{len(changes)} compared, {len(slower)} slower")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
