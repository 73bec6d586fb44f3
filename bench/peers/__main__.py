"""Run fastnet and its peers on the same work, in turns, and say who is how fast."""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.distance import Near, meter
from bench.peers import PEERS, limits, table
from bench.peers.contest import NO_SWITCH, contest, start_all
from bench.peers.tasks import TASKS

Report = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    add = parser.add_argument
    add(
        "--only",
        action="append",
        metavar="TEXT",
        help="tasks whose title has this text in it; may be repeated",
    )
    add("--peers", nargs="+", default=list(PEERS), choices=PEERS, help="default: all that are installed")
    add("--turns", type=int, default=5, help="measurements of each contender (default: %(default)s)")
    add("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    add(
        "--patience",
        type=float,
        default=10,
        metavar="SECONDS",
        help="for repeating what was disturbed, for each task (default: %(default)s)",
    )
    add("--isa", default="", choices=["", "avx2"], help="hold fastnet and its peers to this instruction set")
    add("--no-limits", action="store_true", help="do not measure what the machine could do")
    add("--json", type=Path, metavar="FILE", help="write what was measured")
    add("--load", type=Path, metavar="FILE", help="read what was measured instead of measuring")
    add("--table", action="store_true", help="write table and chart of docs/performance.md")
    return parser.parse_args()


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return {"cpu": model, "system": platform.system(), "python": platform.python_version()}


def run(options: argparse.Namespace) -> Report:
    """Measure everything that was asked for."""
    tasks = [task for title, task in TASKS.items() if any(one in title for one in options.only or [""])]

    def measure_limits() -> limits.Limits:
        left_out = {"missing": "not asked for"}
        return left_out if options.no_limits else limits.measure(options.threads, options.isa)

    report: Report = {
        "kind": "peers",
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "isa": options.isa,
        "turns": options.turns,
        "limits": measure_limits(),
        "peers": {},
        "tasks": {},
    }
    left_out = [peer for peer in options.peers if options.isa and peer in NO_SWITCH]
    for peer in left_out:
        report["peers"][peer] = {"missing": f"cannot be held to {options.isa}"}
    peers = [peer for peer in options.peers if peer not in left_out]
    with ExitStack() as stack:
        contenders = start_all(peers, options.threads, options.isa, stack)
        for one in contenders:
            report["peers"][one.peer] = one.about
        print(table.heading(report), flush=True)
        present = [one for one in contenders if not one.missing]
        distance, least = meter(stack), math.inf
        for task in tasks:
            near = Near(distance, options.patience, least)
            measured = contest(task, present, options.turns, near)
            report["tasks"][task.title] = {**measured, "apart": near.found()}
            least = near.least
            print(table.block(report, task.title), flush=True)
    # Once more at the end: the best of the two is nearer to what the machine can do.
    report["limits"] = limits.best(report["limits"], measure_limits())
    return report


def main() -> int:
    options = arguments()
    start = time.perf_counter()
    report = json.loads(options.load.read_text()) if options.load else run(options)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    print(table.markdown(report))
    if options.table:
        from bench.peers import chart

        table.write(report)
        chart.write(report)
    print(f"{time.perf_counter() - start:.0f} s")
    wrong = [title for title, task in report["tasks"].items() if table.wrong(task)]
    for title in wrong:
        print(f"WRONG: {title}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
