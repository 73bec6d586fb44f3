"""Writes docs/reference.md from the tables in the code: ``python docs/make_reference.py``.

A test compares the file with what this script makes, so a new row cannot be forgotten.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastnet import callbacks, datasets, metrics
from fastnet.activations import ACTIVATIONS
from fastnet.initializers import INITIALIZERS
from fastnet.layers import LAYERS
from fastnet.losses import LOSSES
from fastnet.optimizers import OPTIMIZERS
from fastnet.schedules import SCHEDULES

TARGET = Path(__file__).with_name("reference.md")
TARGETS = {"any": "any", "unit": "from 0 to 1", "positive": "not negative", "sign": "-1 or 1"}


def cell(text: str) -> str:
    """Text that can stand in a table."""
    return " ".join(text.split()).replace("|", r"\|")


def table(*columns: str, rows: Iterable[Iterable[str]]) -> list[str]:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(map(cell, line))} |" for line in lines]


def prose(thing: object) -> str:
    """The first two paragraphs of a docstring, as Markdown."""
    text = re.split(r"\n\n[A-Z][a-z]+\n-+\n", inspect.getdoc(thing) or "")[0]
    return "\n\n".join(text.split("\n\n")[:2]).replace("``", "`")


def call(thing: Callable[..., Any], name: str) -> str:
    """A name with its parameters and their defaults; those that all optimizers share are left out."""
    parameters = inspect.signature(thing).parameters.values()
    shown = [one.replace(annotation=inspect.Parameter.empty) for one in parameters]
    shown = [one if len(repr(one.default)) < 40 else one.replace(default=...) for one in shown]
    if thing in OPTIMIZERS.values():
        shown = [one for one in shown if one.name not in ("clip_norm", "clip_value")]
    return f"`{name}{inspect.Signature(shown)}`".replace("Ellipsis", "...")


def outputs(allowed: frozenset[str]) -> str:
    """Which activations the output layer may have."""
    return "any" if allowed == ACTIVATIONS.keys() else ", ".join(f"`{one}`" for one in sorted(allowed))


def interval(low: float, high: float) -> str:
    """Bounds of an output."""
    ends = (format(one, "g").replace("inf", "∞") for one in (low, high))
    return " to ".join(ends)


def described(things: dict[str, Any]) -> list[str]:
    """A table of what is called by the users, with its arguments."""
    return table("call", "what it is", rows=((call(one, name), prose(one)) for name, one in things.items()))


def reference() -> str:
    """The whole page."""
    lines = [
        "# Reference",
        "",
        "Written by `python docs/make_reference.py` from the tables in the code; do not edit.",
        "",
        'Names in the first column are what `fastnet` takes: `fn.Dense(10, "relu")`, '
        '`net.fit(x, y, loss="huber", optimizer=fn.Adam(1e-3))`.',
        "",
        "## Layers",
        "",
        *described({kind.__name__: kind for kind in LAYERS.values()}),
        "",
        "## Activations",
        "",
        "z is the total input, a the output. The initializer is what `Dense` takes where none is given.",
        "",
        *table(
            "name",
            "formula",
            "output",
            "initializer",
            rows=(
                (
                    f"`{row.name}`",
                    f"`{row.formula}`",
                    interval(row.minimum, row.maximum),
                    f"`{row.initializer}`",
                )
                for row in ACTIVATIONS.values()
            ),
        ),
        "",
        "## Losses",
        "",
        "y is the output, t the target. A mean divides by the sum of the sample weights "
        "([why](decisions/0006-mean-losses-divide-by-the-weights.md)). Where output activation and loss are "
        "paired, both are computed from the total inputs, stably. In place of a name, "
        "`fn.losses.huber(delta)` sets the threshold d, `fn.losses.quantile(level)` the level q, and a "
        "function `(output, target) -> (value, d_output)` is a loss of your own.",
        "",
        *table(
            "name",
            "formula",
            "output layer",
            "paired with",
            "targets",
            rows=(
                (
                    f"`{row.name}`",
                    f"`{row.formula}`",
                    outputs(row.outputs),
                    f"`{row.paired}`" if row.paired else "",
                    TARGETS[row.targets] + (", or labels" if row.labels else ""),
                )
                for row in LOSSES.values()
            ),
        ),
        "",
        "## Optimizers",
        "",
        "g is the gradient, w a parameter. All take a schedule in place of the learning rate, and the "
        "keywords `clip_value=` and `clip_norm=` (in this order, before anything else). Weight decay leaves "
        "biases alone ([why](decisions/0007-weight-decay-leaves-biases-alone.md)).",
        "",
        *described({kind.__name__: kind for kind in OPTIMIZERS.values()}),
        "",
        "## Schedules",
        "",
        "In `fn.schedules`. A length is given in `epochs=` or in `steps=`, one of the two.",
        "",
        *described({kind.__name__: kind for kind in SCHEDULES.values()}),
        "",
        "## Initializers",
        "",
        'In `fn.initializers`; by name (`weights_init="he_normal"`) they have the arguments shown here. An '
        "array gives the values themselves, a function `(rng, shape, fan_in, fan_out) -> array` makes them.",
        "",
        *described(INITIALIZERS),
        "",
        "## Callbacks",
        "",
        "In `fn.callbacks`. `OverfittingMonitor` is on by default where there is validation data and an "
        "accuracy.",
        "",
        *described({name: getattr(callbacks, name) for name in callbacks.__all__}),
        "",
        "## Metrics",
        "",
        'In `fn.metrics`, as functions; by name in `net.evaluate(x, y, metrics=("accuracy", "f1"))`.',
        "",
        *described(metrics.METRICS),
        "",
        "## Data sets",
        "",
        "In `fn.datasets`.",
        "",
        *described({n: one for n in datasets.__all__ if inspect.isfunction(one := getattr(datasets, n))}),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
