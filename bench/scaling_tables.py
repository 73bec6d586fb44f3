"""What a report of `bench.scaling` says: a table for each section, with what is wanted beside the figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from bench.compare import FLOOR
from bench.peers.table import median, put, shown

Raw = dict[str, Any]
Table = tuple[list[str], list[list[str]]]
"""Headings, and the cells of each row; the last one is the verdict."""

MARKS = ("<!-- scaling: begin -->", "<!-- scaling: end -->")

TWO_THREADS = {"784-128-64-10, SGD, batch 256": 1.7, "784-1024-1024-10, SGD, batch 256": 1.7}
"""How many times as fast as one thread two must be; nowhere may they be slower."""

TWO_NETS = 1.9
MEMORY = 40.0  # MB above the arrays that `fit` is given
EPOCH = 16.0  # kB of Python objects, such as the epoch's row of the history
IDLE = 1.0  # ms of CPU time in a second of sleep: the clock's and the interpreter's own


def verdict(figure: float, wanted: float, noise: float = 0.0) -> str:
    """``ok``; ``equal``, where no more than the noise is missing, a part of what is wanted; or ``BELOW``."""
    return "ok" if figure >= wanted else "equal" if figure >= wanted * (1 - noise) else "BELOW"


def limited(figure: float, most: float) -> str:
    return "ok" if figure <= most else "ABOVE"


def paired(slow: Iterable[float], fast: Iterable[float]) -> float:
    """Median of the ratios of measurements that were made one after the other."""
    return statistics.median(one / other for one, other in zip(slow, fast, strict=True))


def agreed(found: Raw) -> list[tuple[str, Raw]]:
    """Tasks in which all computed the same numbers; `wrong` names the others."""
    return [(title, content) for title, content in found.items() if not content["left_out"]]


def threads(found: Raw) -> Table:
    """Of several pairs of processes: the medians."""
    rows = []
    for title, content in agreed(found):
        pairs = list(content["results"].values())
        one, two = (statistics.median(median(pair[count]) for pair in pairs) for count in ("1", "2"))
        ratios = [paired(pair["1"]["seconds"], pair["2"]["seconds"]) for pair in pairs]
        ratio, wanted = statistics.median(ratios), TWO_THREADS.get(title, 1.0)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append([title, shown(one), shown(two), f"{ratio:.2f}", spread, f"{wanted:g}"])
        rows[-1].append(verdict(ratio, wanted, FLOOR if wanted == 1 else 0))
    return ["microseconds", "1 thread", "2 threads", "ratio", "of the pairs", "at least", ""], rows


def python(found: Raw) -> Table:
    rows = []
    for title, measured in found.items():
        for threads in ("1", "2"):
            alone, both = (measured["rates"][f"{nets}x{threads}"] for nets in (1, 2))
            ratio = paired(both, alone)
            first = [f"{title}, {threads} thread{'s' if threads > '1' else ''} each"]
            cells = [f"{statistics.median(one):,.0f}" for one in (alone, both)]
            bound = [f"{TWO_NETS:g}", verdict(ratio, TWO_NETS)] if threads == "1" else ["", ""]
            rows.append([*first, *cells, f"{ratio:.2f}", *bound])
    return ["steps a second", "one net", "two nets", "ratio", "at least", ""], rows


def memory(found: Raw) -> Table:
    rows = []
    for measured in found.values():
        if "given" not in measured:
            continue
        kind = f"{measured.get('pixels', 'float32')}, labels {measured.get('labels', 'int64')}"
        given, converted, peak = (measured[name] / 1e6 for name in ("given", "converted", "peak"))
        cells = [f"{given:.0f}", f"{converted:.1f}", f"{peak:.1f}"]
        # Rows of another type are copied as a whole, by design: there is no bound for that.
        bound = [f"{MEMORY:g}", limited(peak, MEMORY)] if "pixels" not in measured else ["", ""]
        rows.append([f"60,000 and 10,000 rows, {kind}, batch {measured.get('batch', 64)}", *cells, *bound])
    return ["MB", "given", "converted copies", "peak above what was given", "at most", ""], rows


def epochs(found: Raw) -> Table:
    rows = []
    for measured in found.values():
        if "kept" not in measured:
            continue
        peak, kept = (measured[name] / 1e3 for name in ("peak", "kept"))
        held_out = f"{measured['held_out']:,} rows held out" if measured["held_out"] else "nothing held out"
        rows.append([held_out, f"{peak:.1f}", f"{kept:.1f}", f"{EPOCH:g}", limited(peak, EPOCH)])
    return ["kB of a warm epoch", "at once", "kept", "at most", ""], rows


def idle(found: Raw) -> Table:
    rows = []
    for measured in found.values():
        each = 1e3 * measured["cpu"] / measured["seconds"]
        rows.append(["CPU time, ms in each second of sleep", f"{each:.2f}", f"{IDLE:g}", limited(each, IDLE)])
        asleep = "ok" if measured["states"] == "S" else "AWAKE"
        rows.append(
            [f"states of threads, {measured['workers']} of them a worker", measured["states"], "S", asleep]
        )
    return ["two threads, after a training", "", "wanted", ""], rows


BESIDE = ("numpy", "numpy, SSE")
"""What `baseline` is compared with: the NumPy backend as it is, and without AVX."""


def baseline(found: Raw) -> Table:
    rows = []
    for title, content in agreed(found):
        results = content["results"]
        cells, ratios = [], []
        for count in ("1", "2"):
            own = results["baseline"][count]
            cells.append(shown(median(own)))
            ratios += [paired(results[name][count]["seconds"], own["seconds"]) for name in BESIDE]
        cells[1:1] = [f"{one:.2f}" for one in ratios[:2]]
        cells += [f"{one:.2f}" for one in ratios[2:]]
        words = [verdict(one, 1.0, FLOOR) for one in ratios]
        rows.append([title, *cells, " ".join(words)])
    columns = [text for count in ("1 thread", "2 threads") for text in (count, "NumPy", "NumPy, SSE")]
    return ["microseconds of baseline, and times as fast as", *columns, "at least 1"], rows


def kernels(found: Raw) -> Table:
    rows = []
    for title, content in found.items():
        own = [content[name]["baseline"] for name in BESIDE]
        ratios = [paired(content[name]["numpy"], one) for name, one in zip(BESIDE, own, strict=True)]
        words = [verdict(one, 1.0, FLOOR) for one in ratios]
        rows.append(
            [title, shown(statistics.median(own[0])), *(f"{one:.2f}" for one in ratios), " ".join(words)]
        )
    return ["microseconds of baseline, and times as fast as", "", "NumPy", "NumPy, SSE", "at least 1"], rows


TABLES: tuple[tuple[str, Callable[[Raw], Table]], ...] = (
    ("threads", threads),
    ("python", python),
    ("memory", memory),
    ("memory", epochs),
    ("idle", idle),
    ("baseline", baseline),
    ("kernels", kernels),
)


def lines(table: Table) -> str:
    """A table in Markdown."""
    headings, rows = table
    cells = [headings, ["---", *["--:"] * (len(headings) - 2), "---"], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def measured_on(report: Raw) -> str:
    return f"{report['machine']['cpu']}, Python {report['machine']['python']}, {report['date']}."


def markdown(report: Raw) -> str:
    """All tables, and what was measured on."""
    parts = [measured_on(report)]
    for section, table in TABLES:
        headings, rows = table(report["sections"].get(section, {}))
        if rows:
            parts.append(lines((headings, rows)))
            parts.extend(apart(report["sections"][section]))
            missed = sum(not {"ok", "equal"}.issuperset(row[-1].split()) for row in rows)
            parts.append(f"{section}: {len(rows)} rows, {missed} with a bound that is missed")
    return "\n\n".join(parts)


def apart(found: Raw) -> list[str]:
    """How far apart the CPUs were, where that was measured."""
    seen = [content["apart"] for content in found.values() if content.get("apart", {}).get("most")]
    if not seen:
        return []
    least, most = min(one["least"] for one in seen), max(one["most"] for one in seen)
    far, disturbed = (sum(one[what] for one in seen) for what in ("far", "disturbed"))
    return [
        f"a cache line from one CPU to the other: {least:.0f} to {most:.0f} ns; {far} measurements "
        f"while they were far apart, {disturbed} beside other processes"
    ]


def ratios(sections: Raw) -> Table:
    """The ratios of `threads` and `baseline`, task by task."""
    two = [[row[0], row[3], row[5]] for row in threads(sections["threads"])[1]]
    own = {row[0]: [row[at] for at in (2, 5, 3, 6)] for row in baseline(sections["baseline"])[1]}
    beside = [f"{what}, {count}" for what in ("NumPy", "NumPy, SSE") for count in (1, 2)]
    headings = [
        "times as fast",
        "two threads as one",
        "at least",
        *(f"`baseline` as {one}" for one in beside),
    ]
    return headings, [[*row, *own.get(row[0], [""] * 4)] for row in two]


def write(report: Raw) -> None:
    """Put all but the kernels into the page."""
    sections = report["sections"]
    tables = [table(sections[name]) for name, table in TABLES if name in ("python", "memory", "idle")]
    put("\n\n".join([*map(lines, [*tables, ratios(sections)]), measured_on(report)]), MARKS)


def wrong(report: Raw) -> list[str]:
    """Who did not compute the same numbers."""
    return [
        f"{title}: {name} {why}"
        for section in report["sections"].values()
        for title, content in section.items()
        for name, why in content.get("left_out", {}).items()
    ]
