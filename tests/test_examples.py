"""Every example is short, runs away from the source, and writes what it says it writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))

# What must be found in the output of each, and the files it writes. A new example gets its line here.
EXPECTED: dict[str, tuple[list[str], list[str]]] = {
    "perceptron": (
        [
            r"total input 0\.5, output 1",
            r"1 1   -1\.0  0",
            r"outputs \[1 1 1 0\], wanted \[1 1 1 0\]",
            r"XOR: [1-4] of 4 rows are still wrong",
        ],
        [],
    ),
    "leaky_relu_and_loss": ([r"leaky_relu\(-200\.0\) =  -2\.00", r"0\.8   0\.08", r"0\.6   0\.18"], []),
    "eleven_lines": (
        [
            r"-0\.54629709",
            r"0\.23002982",
            r"0\.14752178",
            r"-0\.40469539",
            r"\[1 1 1\] -> 0\.99\d+, wanted 1",
        ],
        [],
    ),
    "parity": ([r"not shown: 100% right", r"54 = 00110110: even"], ["learning_rates.png"]),
    "two_layer_sigmoid": ([r"0 xor 1 = 0\.9\d+", r"1 xor 1 = 0\.0\d+"], ["two_layer_sigmoid.png"]),
    "mnist": (
        [
            r"tutorial: .*\n  test accuracy 0\.[78]\d+, \d\.\d+ seconds",
            r"tuned: .*\n  test accuracy 0\.9[5-9]",
        ],
        [],
    ),
    "autoencoder": (
        [r"mean squared error: 0\.01\d+; of the mean image: 0\.07", r"noise +(100|9\d)% are called strange"],
        ["autoencoder.png"],
    ),
    "microcontroller": (
        [
            r"network: test accuracy 0\.9[6-9]",
            r"wrote int8/digits\.h\n(in C: test accuracy 0\.9[6-9]|no C compiler)",
        ],
        ["float/digits.h", "int8/digits.h"],
    ),
    "scikit_learn": (
        [
            r"the same weights to \de-1\d, \d+ times as fast",
            r"best: .*accuracy 0\.9[5-9]",
            r"below the 90 % line: (8\d|9\d) %",
        ],
        [],
    ),
    "spirals": ([r"test accuracy (0\.9[5-9]|1\.0)"], ["spirals.png"]),
}

STARTS = {".png": b"\x89PNG", ".h": b"/* digits.h: a neural network"}


def test_every_example_is_expected() -> None:
    assert [path.stem for path in SCRIPTS] == sorted(EXPECTED)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_is_at_most_40_lines(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 40
    assert lines[0].startswith('"""')


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs(script: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    arguments = []
    source = script.read_text(encoding="utf-8")
    if "plot" in source:
        pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    if "datasets.digits" in source or "sklearn" in source:
        pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    if script.stem == "mnist":
        arguments = [str(request.getfixturevalue("mnist_root")), "--epochs", "1"]
    environment = {**os.environ, "MPLBACKEND": "Agg", "FASTNET_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    patterns, files = EXPECTED[script.stem]
    for pattern in patterns:
        assert re.search(pattern, done.stdout), f"{pattern!r} is not in:\n{done.stdout}"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == files
    for name in files:
        content = (tmp_path / name).read_bytes()
        assert content.startswith(STARTS[Path(name).suffix]) and len(content) > 5_000
        assert f"wrote {name}" in done.stdout


def test_an_example_writes_where_it_is_told(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    folder = tmp_path / "pictures"
    folder.mkdir()
    subprocess.run(
        [sys.executable, str(EXAMPLES / "parity.py"), str(folder)], cwd=tmp_path, check=True, timeout=60
    )
    assert [path.name for path in tmp_path.rglob("*.png")] == ["learning_rates.png"]
    assert (folder / "learning_rates.png").is_file()
