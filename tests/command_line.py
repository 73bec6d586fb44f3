"""What the tests of the `fastnet` command share: calling it, and tables to call it on."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from fastnet import cli

Capture = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return cli.main([str(one) for one in arguments])


def fails(capsys: Capture, *arguments: object) -> str:
    """Run what must fail as a user's mistake: one line on standard error; return it."""
    capsys.readouterr()
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("fastnet: error: ") and error.count("\n") == 1 and error.endswith("\n"), error
    return error


def write_csv(path: str, header: list[str], rows: list[list[object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def flowers(count: int = 240) -> list[list[object]]:
    """Rows of length, width, ground and kind: kinds that lengths and ground tell apart."""
    rng = np.random.default_rng(1)
    rows: list[list[object]] = []
    for index in range(count):
        kind = ("aster", "rose", "tulip")[index % 3]
        length = rng.normal({"aster": 2.0, "rose": 5.0, "tulip": 5.0}[kind], 0.4)
        ground = "sand" if kind == "tulip" else "clay"
        rows.append([f"{length:.3f}", f"{1000 + 10 * rng.normal():.2f}", ground, kind])
    return rows


FLOWERS = ["length", "width", "ground", "kind"]


def houses(count: int = 400) -> list[list[object]]:
    """Rows of size, age and price: a price that is not linear in them, with noise of 5,000."""
    rng = np.random.default_rng(2)
    size, age = rng.uniform(40, 200, count), rng.uniform(0, 80, count)
    price = 3_000 * size - 2_000 * age + 40 * (age - 40) ** 2 + rng.normal(0, 5_000, count)
    return [[round(float(v), 2) for v in row] for row in zip(size, age, price, strict=True)]


HOUSES = ["size", "age", "price"]
