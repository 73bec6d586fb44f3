"""What callbacks find out before anything is trained, and how they are shown."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_bad_input import snapshot

import fastnet as fn
from fastnet import callbacks
from fastnet.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, GradientMonitor, OverfittingMonitor
from fastnet.errors import MissingFileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
Y = (X[:, 0] > 0).astype(int)
HELD_OUT = (X[:10], Y[:10])


def trainer() -> fn.Trainer:
    net = fn.Network([fn.Dense(5, "tanh"), fn.Dense(2, "softmax")], inputs=4, seed=0)
    return fn.Trainer(net, optimizer=fn.Adam(0.01))


def in_folder(name: str) -> Callable[[Path], Callback]:
    """A callback that writes into a folder that is not there."""
    return lambda folder: getattr(callbacks, name)(folder / "missing" / "file")


def other_columns(folder: Path) -> Callback:
    (folder / "log.csv").write_text("epoch,loss,mean\n1,0.5,0.1\n")
    return CSVLog(folder / "log.csv", append=True)


MEASURED = "this training has: loss, accuracy"
MISTAKES: list[tuple[Callable[[Path], Callback], type[Exception], str]] = [
    (
        lambda folder: EarlyStopping(),
        ValueError,
        f"EarlyStopping monitors 'val_loss'; {MEASURED}; for val_.* validation=",
    ),
    (lambda folder: EarlyStopping("acc"), ValueError, f"EarlyStopping monitors 'acc'; {MEASURED}$"),
    (
        lambda folder: Checkpoint(folder / "run.ckpt", save_best_only=True),
        ValueError,
        f"Checkpoint monitors 'val_loss'; {MEASURED}; for val_",
    ),
    (
        lambda folder: Checkpoint(folder / "run.ckpt", "f1", save_best_only=True),
        ValueError,
        f"Checkpoint monitors 'f1'; {MEASURED}$",
    ),
    (in_folder("Checkpoint"), MissingFileError, "no such folder to write to: '.*missing'"),
    (in_folder("CSVLog"), MissingFileError, "no such folder to write to: '.*missing'"),
    (lambda folder: Checkpoint(folder), IsADirectoryError, "it is a folder; wanted the path of a file"),
    (lambda folder: CSVLog(folder), IsADirectoryError, "it is a folder; wanted the path of a file"),
    (
        other_columns,
        ValueError,
        "log.csv has the columns epoch, loss, mean; this training has epoch, loss, accuracy$",
    ),
]


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize(("make", "error", "message"), MISTAKES)
def test_a_mistake_is_found_before_anything_is_trained(
    tmp_path: Path, make: Callable[[Path], Callback], error: type[Exception], message: str, trained: bool
) -> None:
    one = trainer()
    if trained:
        one.fit(X, Y, epochs=2, verbose=0)
        one.history.stopped = "enough"
    broken = make(tmp_path)
    untouched, files = snapshot(one), [(path, path.read_text()) for path in tmp_path.iterdir()]
    history = one.network.history
    with pytest.raises(error, match=message):
        one.fit(X, Y, epochs=2, callbacks=[broken], verbose=0)
    assert snapshot(one) == untouched
    assert one.network.history is history and one.history.stopped == ("enough" if trained else "")
    assert [(path, path.read_text()) for path in tmp_path.iterdir()] == files
    other = trainer().network
    with pytest.raises(error, match=message):
        other.fit(X, Y, callbacks=[broken], verbose=0)
    assert other.history is None


def test_what_is_right_is_not_refused(tmp_path: Path) -> None:
    """Negative control: the same callbacks, with validation data and folders that are there."""
    one = trainer()
    watching = [
        EarlyStopping(),
        EarlyStopping("val_accuracy"),
        EarlyStopping("accuracy"),
        Checkpoint(tmp_path / "run.ckpt", save_best_only=True),
        Checkpoint(tmp_path / "all.ckpt", "unknown"),  # which is not asked for
        CSVLog(tmp_path / "log.csv", append=True),
    ]
    one.fit(X, Y, epochs=1, validation=HELD_OUT, callbacks=watching, verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.ckpt", "log.csv", "run.ckpt"]


def test_a_file_without_a_folder_goes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trainer().fit(X, Y, epochs=1, callbacks=[Checkpoint("run.ckpt"), CSVLog("run.csv")], verbose=0)
    assert sorted(os.listdir()) == ["run.ckpt", "run.csv"]


def squares(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    error = output - np.eye(output.shape[1])[target] if target.ndim == 1 else output - target
    return float((error**2).sum()), 2 * error


@pytest.mark.parametrize("validation", [None, HELD_OUT], ids=["alone", "validation"])
@pytest.mark.parametrize(
    ("output", "loss", "y"),
    [
        ("softmax", "cross_entropy", Y),
        ("softmax", squares, Y),
        ("softmax", squares, np.eye(2)[Y]),
        ("identity", "mean_squared_error", np.eye(2)[Y]),
        ("sigmoid", "mean_squared_error", np.eye(2)[Y]),
        ("sigmoid", "mean_squared_error", np.eye(2)[Y] / 2),
    ],
)
def test_what_is_announced_is_what_is_measured(
    backend: str, output: str, loss: object, y: np.ndarray, validation: object
) -> None:
    class Compare(Callback):
        def on_train_begin(self, trainer: fn.Trainer) -> None:
            announced.extend(trainer.run.quantities)

    announced: list[str] = []
    net = fn.Network([fn.Dense(2, output)], inputs=4, seed=0)
    held_out = None if validation is None else (X[:10], y[:10])
    history = net.fit(X, y, loss=loss, epochs=1, validation=held_out, callbacks=[Compare()], verbose=0)
    assert announced == list(history)


def test_a_log_that_was_there_is_kept_until_there_is_a_line(tmp_path: Path) -> None:
    """Another callback's mistake must not cost the last training's log."""
    path, log = tmp_path / "run.csv", CSVLog(tmp_path / "run.csv")
    path.write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(ValueError, match="EarlyStopping"):
        trainer().fit(X, Y, callbacks=[log, EarlyStopping()], verbose=0)
    assert path.read_text() == "epoch,loss\n1,0.5\n"
    trainer().fit(X, Y, epochs=2, callbacks=[log], verbose=0)
    assert re.fullmatch(r"epoch,loss,accuracy\n1,.*\n2,.*\n", path.read_text())
    trainer().fit(X, Y, epochs=1, callbacks=[log], verbose=0)
    assert path.read_text().count("\n") == 4


def test_reprs_are_the_calls(tmp_path: Path) -> None:
    shown = {
        "EarlyStopping(monitor='loss', patience=3, min_delta=0.0, restore_best=True)": EarlyStopping(
            "loss", 3
        ),
        "Checkpoint(path='run.ckpt', monitor='val_loss', save_best_only=False)": Checkpoint(Path("run.ckpt")),
        "CSVLog(path='run.csv', append=False)": CSVLog(Path("run.csv")),
        "GradientMonitor(vanishing=0.01, exploding=10.0)": GradientMonitor(0.01),
        "OverfittingMonitor(gap=0.1, patience=3)": OverfittingMonitor(),
        "Callback()": Callback(),
    }
    for text, one in shown.items():
        assert repr(one) == text
        assert repr(eval(text)) == text
    log = CSVLog(tmp_path / "run.csv")
    before = repr(log)
    trainer().fit(X, Y, epochs=1, callbacks=[log], verbose=0)
    assert repr(log) == before

    class Mine(Callback):
        def __init__(self, every: int, unkept: int) -> None:
            self.every = every

    assert repr(Mine(3, 4)) == "Mine(every=3)"
