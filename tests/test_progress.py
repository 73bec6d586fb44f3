"""What `fit` shows while it goes on: a bar for people, lines where asked for, otherwise nothing."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

import fastnet as fn
from fastnet.callbacks import Callback
from fastnet.progress import Progress

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What was written, frame by frame, without escape sequences."""
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue())  # colours
        text = re.sub(r"\x1b\[\??[0-9;]*[A-Za-z]", "\n", text)
        return [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """A function that makes standard error a terminal; pytest would undo it between fixture and test."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")

    def plug_in() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return plug_in


def fit(epochs: int = 3, **arguments: object) -> fn.History:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    y = (x[:, 0] > 0).astype(int)
    return fn.mlp([3, 2], output="softmax", seed=0).fit(x, y, epochs=epochs, **arguments)


def drive(progress: Progress, epochs: int = 2) -> Callback:
    """Begin a training of 100 samples an epoch, without a training."""
    progress.on_train_begin(SimpleNamespace(run=SimpleNamespace(epochs=epochs, samples=100)))
    return progress


# ---- lines and silence


def test_a_line_for_each_epoch(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    history = fit(epochs=300, verbose=1)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 300
    for epoch in (0, 299):
        loss, accuracy = history["loss"][epoch], history["accuracy"][epoch]
        pattern = rf"epoch {epoch + 1}/300  loss {loss:.4f}  accuracy {accuracy:.4f}  [\d,]+ samples/s"
        assert re.fullmatch(pattern, lines[epoch])
    assert err == ""


def test_validation_is_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    fit(epochs=1, verbose=1, validation=(np.zeros((4, 3)), [0, 0, 1, 1]))
    assert re.search(r"val_loss \d\.\d{4}  val_accuracy 0\.5000", capsys.readouterr().out)


@pytest.mark.parametrize("verbose", [None, 0])
def test_nothing_is_shown_where_nobody_watches(
    verbose: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(verbose=verbose)
    assert capsys.readouterr() == ("", "")


def test_nothing_is_shown_without_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as in a windowed program
    fit()


def test_nothing_is_shown_on_a_terminal_if_so_asked(plug: Callable[[], Terminal]) -> None:
    terminal = plug()
    fit(verbose=0)
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("verbose", [2, -1, True, "yes"])
def test_bad_verbose(verbose: object) -> None:
    with pytest.raises(ValueError, match=r"verbose is .*; wanted None .*, 0 .* or 1"):
        Progress(verbose)


# ---- the bar


def test_a_bar_on_a_terminal(plug: Callable[[], Terminal], capsys: pytest.CaptureFixture[str]) -> None:
    terminal = plug()
    pytest.importorskip("rich")
    history = fit(epochs=3)
    last = terminal.lines()[-1]
    assert last.startswith("epoch 3/3")
    for text in (
        f"loss {history['loss'][-1]:.4f}",
        f"accuracy {history['accuracy'][-1]:.4f}",
        "samples/s",
        "━",
    ):
        assert text in last
    assert terminal.getvalue().startswith(HIDE)
    assert terminal.getvalue().count(SHOW) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_the_terminal_is_clean_after_an_interrupt_or_error(
    plug: Callable[[], Terminal], error: BaseException
) -> None:
    terminal = plug()
    pytest.importorskip("rich")

    class Raise(Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            raise error

    stdout, stderr = sys.stdout, sys.stderr
    with pytest.raises(type(error)):
        fit(callbacks=[Raise()])
    assert terminal.getvalue().count(HIDE) == terminal.getvalue().count(SHOW) == 1
    assert terminal.getvalue().rindex(SHOW) > terminal.getvalue().rindex("epoch")
    assert (sys.stdout, sys.stderr) == (stdout, stderr)  # rich had put its own in their places


def test_the_bar_is_not_drawn_more_than_ten_times_a_second(
    plug: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = plug()
    pytest.importorskip("rich")
    now = [0.0]
    monkeypatch.setattr("fastnet.progress.time.perf_counter", lambda: now[0])
    progress = drive(Progress(), epochs=1000)
    for epoch in range(1, 1001):
        now[0] += 0.001
        progress.on_epoch_end(SimpleNamespace(), epoch, {"loss": 1.0 / epoch})
    frames = terminal.getvalue().count("epoch")
    progress.on_train_end(SimpleNamespace())
    assert 10 <= frames <= 13
    assert terminal.lines()[-1].startswith("epoch 1000/1000")  # the last one is shown, though nothing was due
    assert "loss 0.0010" in terminal.lines()[-1]
    assert "100,000 samples/s" in terminal.lines()[-1]


def test_the_bar_moves_within_an_epoch(plug: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = plug()
    pytest.importorskip("rich")
    now = [0.0]
    monkeypatch.setattr("fastnet.progress.time.perf_counter", lambda: now[0])
    progress = drive(Progress())
    now[0] = 10.0
    progress.on_progress(SimpleNamespace(), 0.5, {"loss": 0.25})
    assert "epoch 1/2" in terminal.lines()[-1] and "loss 0.2500  5 samples/s" in terminal.lines()[-1]
    quarter = terminal.lines()[-1].count("━")
    now[0] = 20.0
    progress.on_epoch_end(SimpleNamespace(), 1, {"loss": 0.2})
    now[0] = 30.0
    progress.on_progress(SimpleNamespace(), 0.5, {"loss": 0.1})
    assert "epoch 2/2" in terminal.lines()[-1] and "loss 0.1000  5 samples/s" in terminal.lines()[-1]
    assert quarter > 0
    progress.on_train_end(SimpleNamespace())


@pytest.mark.parametrize(
    ("columns", "left_out"), [(140, set()), (100, {"val_loss"}), (80, {"val_loss", "val_accuracy"})]
)
def test_a_narrow_terminal_does_without_validation(
    plug: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, columns: int, left_out: set[str]
) -> None:
    terminal = plug()
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", str(columns))
    fit(validation=(np.zeros((4, 3)), [0, 0, 1, 1]))
    last = terminal.lines()[-1]
    names = {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert {name for name in names if re.search(rf"(^| ){name} \d", last)} == names - left_out
    assert last.startswith("epoch 3/3") and "samples/s" in last and "…" not in last
    assert len(last) <= columns


def test_lines_where_rich_is_not_installed(
    plug: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = plug()
    monkeypatch.setitem(sys.modules, "rich.console", None)
    now = [0.0]
    monkeypatch.setattr("fastnet.progress.time.perf_counter", lambda: now[0])
    progress = drive(Progress(), epochs=35)
    for epoch in range(1, 36):
        now[0] += 0.1
        progress.on_progress(SimpleNamespace(), 0.5, {"loss": 9.0})
        progress.on_epoch_end(SimpleNamespace(), epoch, {"loss": 1.0})
    progress.on_train_end(SimpleNamespace())
    shown = [int(re.match(r"epoch (\d+)/35  loss 1\.0000", line)[1]) for line in terminal.lines()]
    assert shown[0] == 1 and shown[-1] == 35
    assert 4 <= len(shown) <= 5  # one a second, and the last
    assert "\x1b" not in terminal.getvalue()


def test_lines_on_a_dumb_terminal(plug: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = plug()
    monkeypatch.setenv("TERM", "dumb")
    fit()
    assert terminal.lines()[-1].startswith("epoch 3/3")
    assert "\x1b" not in terminal.getvalue()


def test_what_callbacks_print_goes_where_it_should(
    plug: Callable[[], Terminal], capsys: pytest.CaptureFixture[str]
) -> None:
    plug()

    class Talk(Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            print("hello", epoch)

    fit(callbacks=[Talk()])
    assert capsys.readouterr().out == "hello 1\nhello 2\nhello 3\n"  # standard output is a file here
