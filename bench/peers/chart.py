"""The chart of ``docs/performance.md``: each peer's time as a multiple of fastnet's."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure

from bench.peers import PEERS, table

PATH = table.PAGE.with_suffix(".svg")
COLOURS = {"numpy": "C7", "torch": "C3", "jax": "C0", "sklearn": "C1", "onnxruntime": "C2"}


def draw(report: dict[str, Any]) -> Figure:
    """One line for each task, one dot for each peer; to the right of 1, fastnet is faster."""
    titles = [
        title for title, one in report["tasks"].items() if table.best_peer(one) and table.fastnet_time(one)
    ]
    figure = Figure(figsize=(9, 1.2 + 0.27 * len(titles)), layout="constrained")
    axes = figure.add_subplot()
    for peer, colour in COLOURS.items():
        points = []
        for line, title in enumerate(titles):
            content = report["tasks"][title]
            if peer in content["results"]:
                own = table.fastnet_time(content)
                assert own is not None
                points.append((table.own_best(content["results"][peer])[1] / own[1], line))
        if points:
            axes.plot(*zip(*points, strict=True), "o", color=colour, label=PEERS[peer])
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(titles)), titles, fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("time of the peer / time of fastnet")
    axes.legend(loc="upper center", bbox_to_anchor=(0.3, -0.06), ncols=len(COLOURS), fontsize=8)
    return figure


def write(report: dict[str, Any]) -> None:
    """Save it, always with the same bytes for the same numbers."""
    with matplotlib.rc_context({"svg.hashsalt": "fastnet", "svg.fonttype": "none"}):
        draw(report).savefig(PATH, metadata={"Date": None})
