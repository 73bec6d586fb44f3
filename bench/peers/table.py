"""What a report says: blocks for the terminal, and the table of ``docs/performance.md``."""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any

from bench.peers import PEERS, limits
from bench.peers.tasks import TASKS

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
MARKS = ("<!-- table: begin -->", "<!-- table: end -->")
Report = dict[str, Any]


def shown(seconds: float) -> str:
    """Microseconds, with three digits that mean something."""
    us = 1e6 * seconds
    return f"{us:.2f}" if us < 9.995 else f"{us:.1f}" if us < 99.95 else f"{us:,.0f}"


def median(found: dict[str, Any]) -> float:
    return statistics.median(found["seconds"])


def own_best(by_threads: dict[str, Any]) -> tuple[str, float]:
    """The number of threads at which a peer's median is least, and that."""
    return min(((count, median(found)) for count, found in by_threads.items()), key=lambda one: one[1])


def best_peer(content: Report) -> tuple[str, str, float] | None:
    """Peer, threads and median of the fastest but fastnet."""
    peers = [(peer, *own_best(found)) for peer, found in content["results"].items() if peer != "fastnet"]
    return min(peers, key=lambda one: one[2], default=None)


def fastnet_time(content: Report) -> tuple[int, float] | None:
    """fastnet on the largest number of threads: what a user gets who sets nothing."""
    found = content["results"].get("fastnet")
    if not found:
        return None
    threads = max(map(int, found))
    return threads, median(found[str(threads)])


def ratio(content: Report) -> float | None:
    """How many times as fast as the best peer fastnet is."""
    peer, own = best_peer(content), fastnet_time(content)
    return peer[2] / own[1] if peer and own else None


def limit_part(report: Report, title: str) -> float | None:
    """The time at the machine's limit as a part of fastnet's."""
    own = fastnet_time(report["tasks"][title])
    if own is None:
        return None
    least = limits.seconds(TASKS[title], report["limits"], own[0])
    return None if least is None else least / own[1]


def wrong(content: Report) -> list[str]:
    """Contenders whose numbers were not those of the others."""
    return [f"{PEERS[peer]} {why}" for peer, why in content["left_out"].items() if why.startswith("WRONG")]


# ---- for the terminal


def heading(report: Report) -> str:
    lines = [
        f"{report['machine']['cpu']}, Python {report['machine']['python']}, {report['isa'] or 'every ISA'}"
    ]
    found = report["limits"]
    if "missing" in found:
        lines.append(f"limits of the machine: {found['missing']}")
    else:
        for name, rates in {**found["peak"], **found["bandwidth"]}.items():
            unit = "GFLOP/s" if name.startswith("float") else "GB/s"
            each = ", ".join(f"{rate / 1e9:.0f} on {count}" for count, rate in rates.items())
            lines.append(f"limit {name:8} {each} {unit}")
    for peer, about in report["peers"].items():
        problem = about.get("missing") or about.get("error")
        loaded = f"{about.get('version')}, imported in {about.get('imported', 0):.1f} s"
        lines.append(f"{PEERS[peer]:14} " + (f"MISSING: {problem}" if problem else loaded))
    return "\n".join(lines)


def block(report: Report, title: str) -> str:
    """All contenders of one task."""
    content = report["tasks"][title]
    lines = ["", title]
    for peer, by_threads in content["results"].items():
        for count, found in by_threads.items():
            least = min(found["seconds"])
            lines.append(
                f"  {PEERS[peer]:14} on {count}: median {shown(median(found)):>9} us, "
                f"minimum {shown(least):>9} us   ({found['steps']} at once; set-up {found['setup']:.2f} s)"
            )
    lines += [f"  {PEERS[peer]:14} {why}" for peer, why in content["left_out"].items()]
    if (apart := content.get("apart", {})).get("far") or apart.get("disturbed"):
        lines.append(
            f"  CPUs {apart['least']:.0f} to {apart['most']:.0f} ns apart; {apart['far']} measurements "
            f"while they were far apart or one core, {apart['disturbed']} beside other processes"
        )
    lines.append("  " + verdict(report, title))
    return "\n".join(lines)


def verdict(report: Report, title: str) -> str:
    """Ratios in one line."""
    content, task = report["tasks"][title], TASKS[title]
    peer, factor, part = best_peer(content), ratio(content), limit_part(report, title)
    words = []
    if factor is not None and peer is not None:
        words.append(f"{factor:.2f} x as fast as {PEERS[peer[0]]} on {peer[1]}")
        if task.at_least:
            words.append(f"wanted {task.at_least:g}" + (f" to {task.aim:g}" if task.aim else ""))
            words.append("ok" if factor >= task.at_least else "BELOW")
    if part is not None:
        words.append(f"{100 * part:.0f} % of the machine's limit")
    return "; ".join(words)


# ---- for the page


def markdown(report: Report) -> str:
    """The table; a peer's cell is its median at its own best number of threads, the fastest in bold."""
    peers = [
        peer
        for peer in PEERS
        if peer != "fastnet" and "missing" not in report["peers"].get(peer, {"missing": ""})
    ]
    threads = max(
        (int(count) for one in report["tasks"].values() for count in one["results"].get("fastnet", {})),
        default=1,
    )
    titles = ["microseconds", "fastnet, 1 thread", f"{threads} threads", *(PEERS[peer] for peer in peers)]
    lines = ["| " + " | ".join([*titles, "ratio", "at least", "aim", "of the limit"]) + " |"]
    lines.append("|---|" + "--:|" * (len(titles) + 3))
    lines += [row(report, title, peers) for title in report["tasks"]]
    return "\n".join(lines)


def row(report: Report, title: str, peers: list[str]) -> str:
    content, task = report["tasks"][title], TASKS[title]
    own, first, factor, part = (
        content["results"].get("fastnet", {}),
        best_peer(content),
        ratio(content),
        limit_part(report, title),
    )
    threads = max(own, key=int, default="")
    cells = [shown(median(own[count])) if count in own else "" for count in ("1", threads)]
    for peer in peers:
        found = content["results"].get(peer)
        text = shown(own_best(found)[1]) if found else "–"
        cells.append(f"**{text}**" if first and peer == first[0] else text)
    cells.append(f"{factor:.2f}" if factor else "")
    cells += [f"{wanted:g}" if wanted else "" for wanted in (task.at_least, task.aim)]
    cells.append(f"{100 * part:.0f} %" if part else "")
    return f"| {title} | {' | '.join(cells)} |"


def write(report: Report) -> None:
    """Put the table and what it was measured with into the page."""
    put(f"{markdown(report)}\n\n{measured_with(report)}", MARKS)


def put(made: str, marks: tuple[str, str]) -> None:
    """Put what was made between two marks of the page."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = marks
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{begin}\n{made}\n{end}", text), encoding="utf-8")


def measured_with(report: Report) -> str:
    """Machine, versions and limits, as a paragraph."""
    versions = ", ".join(
        f"{PEERS[peer]} {about.get('version', 'missing')}" for peer, about in report["peers"].items()
    )
    found = report["limits"]
    lines = [
        f"{report['machine']['cpu']}, Python {report['machine']['python']}, {report['turns']} turns.",
        f"Versions: {versions}.",
    ]
    if "missing" not in found:
        rates = {**found["peak"], **found["bandwidth"]}
        each = [
            f"{name} {' and '.join(f'{rate / 1e9:.0f}' for rate in by_threads.values())}"
            for name, by_threads in rates.items()
        ]
        counts = " and ".join(next(iter(rates.values())))
        lines.append(f"Limits on {counts} threads, GFLOP/s and GB/s: {', '.join(each)}.")
    return "\n".join(lines)
