"""The `fastnet` command and CSV files: nothing that is read is written over, and how columns are taken."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from command_line import FLOWERS, HOUSES, Capture, fails, flowers, houses, run, write_csv

import fastnet as fn

pytestmark = pytest.mark.usefixtures("folder")
QUICK = ["--quiet", "--no-plot", "--epochs", "1"]


def other_names(path: str) -> list[str]:
    """Other ways to name a file."""
    with contextlib.suppress(OSError):  # Windows does not let everybody make one
        os.symlink(path, "symbolic.link")
    os.link(path, "hard.link")
    return [path, f"./{path}", str(Path(path).absolute()), f"../{Path.cwd().name}/{path}", *os.listdir()]


# ---- what is read is not written over


def test_train_does_not_write_over_its_data(capsys: Capture) -> None:
    write_csv("houses.csv", HOUSES, houses(60))
    before = Path("houses.csv").read_bytes()
    for name in other_names("houses.csv"):
        error = fails(capsys, "train", "houses.csv", "--target", "price", "--output", name, *QUICK)
        assert " is the same file as houses.csv, which is read; choose another --output" in error
    assert {"hard.link", "houses.csv"} <= set(os.listdir()) <= {"hard.link", "houses.csv", "symbolic.link"}
    assert all(Path(name).read_bytes() == before for name in os.listdir())


def test_train_does_not_write_over_its_data_by_default(capsys: Capture) -> None:
    for name in ("houses.safetensors", "houses.png"):  # where the model and the curves would be
        write_csv(name, HOUSES, houses(60))
        before = Path(name).read_bytes()
        error = fails(capsys, "train", name, "--target", "price", "--epochs", 1)
        assert f"{name} is the same file as {name}, which is read" in error
        assert os.listdir() == [name] and Path(name).read_bytes() == before
        os.remove(name)


def test_predict_does_not_write_over_what_it_reads(capsys: Capture) -> None:
    write_csv("houses.csv", HOUSES, houses(60))
    assert run("train", "houses.csv", "--target", "price", "--output", "model.st", *QUICK) == 0
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    for read in before:
        for name in other_names(read):
            if name not in before or name == read:
                error = fails(capsys, "predict", "model.st", "houses.csv", "--output", name)
                assert f"{name} is the same file as {read}, which is read" in error
        assert all(Path(name).read_bytes() == content for name, content in before.items())
        for name in ("symbolic.link", "hard.link"):
            Path(name).unlink(missing_ok=True)


def test_other_files_are_written_over(capsys: Capture) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    write_csv("houses.csv", HOUSES, houses(60))
    for name in ("houses.safetensors", "houses.png", "out.csv", "digits"):
        Path(name).write_text("old")
    assert run("train", "houses.csv", "--target", "price", "--quiet", "--epochs", 1) == 0
    assert run("predict", "houses.safetensors", "houses.csv", "--output", "out.csv") == 0
    assert run("train", "digits", "--output", "digits", *QUICK) == 0  # a name of data, not of a file
    assert all(Path(name).read_bytes() != b"old" for name in os.listdir())


# ---- columns


def test_categorical_columns(capsys: Capture) -> None:
    rows = [[index % 3 + 1, *row] for index, row in enumerate(flowers(60))]
    rows[7][0] = "-"
    write_csv("flowers.csv", ["plot", *FLOWERS], rows)
    train = ["train", "flowers.csv", "--target", "kind", *QUICK]
    error = fails(capsys, *train)
    assert "flowers.csv, line 9, column 'plot' is '-'; wanted a number, as 59 of" in error
    assert "(categorical)" in error and not Path("flowers.safetensors").exists()
    assert run(*train, "--categorical", "plot", "--categorical", "ground") == 0
    features = fn.load("flowers.safetensors").metadata["columns"]["features"]
    assert features[0] == {"name": "plot", "categories": ["-", "1", "2", "3"]}
    assert run("predict", "flowers.safetensors", "flowers.csv", "--output", "out.csv") == 0


@pytest.mark.parametrize(("delimiter", "option"), [(":", ":"), ("\t", "tab"), ("\t", "\t")])
def test_delimiter(delimiter: str, option: str, capsys: Capture) -> None:
    """In a file whose commas would be taken for the delimiter."""

    def write(name: str, between: str) -> None:
        lines = [["a, b", "c, d", "t, u"], *([f"{i}, m", f"{i % 4}.5, m", f"{i % 2}, m"] for i in range(40))]
        Path(name).write_text("".join(between.join(line) + "\n" for line in lines))

    write("x.csv", delimiter)
    train = ["train", "x.csv", "--target", "t, u", "--exclude", "a, b", *QUICK]
    if delimiter == ":":
        assert "x.csv has no column 't, u'" in fails(capsys, *train)
    assert run(*train, "--delimiter", option) == 0
    assert fn.load("x.safetensors").metadata["columns"]["delimiter"] == delimiter
    assert run("predict", "x.safetensors", "x.csv", "--output", "one.csv") == 0  # as in the training
    write("bar.csv", "|")
    assert "bar.csv has no column" in fails(capsys, "predict", "x.safetensors", "bar.csv")
    bar = ["predict", "x.safetensors", "bar.csv", "--delimiter", "|", "--output", "two.csv"]
    assert run(*bar) == 0
    assert Path("one.csv").read_text() == Path("two.csv").read_text()
    assert "delimiter is ''; wanted one character" in fails(capsys, *bar[:3], "--delimiter", "")


def test_a_delimiter_without_a_table(capsys: Capture) -> None:
    fn.mlp([2, 1], seed=0).save("own.st")
    error = fails(capsys, "predict", "own.st", "x.npy", "--delimiter", ";")
    assert "--delimiter is for CSV files; own.st was not trained on one" in error
