"""The progress of training, shown as a live bar or as lines of text."""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TextIO

from fastnet.callbacks import Callback

if TYPE_CHECKING:
    from rich.console import Console

    from fastnet.training import Trainer

__all__ = ["Progress"]


class Progress(Callback):
    """Show how training goes: a live bar, or a line of text for each epoch.

    The bar is drawn by rich; where that is not installed, there is a line a second instead.

    Parameters
    ----------
    verbose : int, optional
        None: a bar (on standard error) on a terminal or in a notebook, elsewhere nothing. 0: nothing. 1: a
        line for each epoch, on standard output.

    Raises
    ------
    ValueError
        `verbose` is something else.
    """

    def __init__(self, verbose: int | None = None) -> None:
        if verbose is not None and (isinstance(verbose, bool) or verbose not in (0, 1)):
            raise ValueError(
                f"verbose is {verbose!r}; wanted None (a bar), 0 (nothing) or 1 (a line an epoch)"
            )
        self.verbose = verbose
        self._view: _View | None = None
        self._epochs = self._samples = self._finished = 0
        self._begin = self._next = 0.0
        self._unseen: Mapping[str, float] | None = None

    def on_train_begin(self, trainer: Trainer) -> None:
        """Choose what to show."""
        run = trainer.run
        assert run is not None  # there is one from here to on_train_end
        self._epochs, self._samples, self._finished = run.epochs, run.samples, 0
        self._begin, self._next, self._unseen = time.perf_counter(), 0.0, None
        if self.verbose != 0:
            self._view = _Lines(sys.stdout) if self.verbose else _live(self._epochs)

    def on_progress(self, trainer: Trainer, done: float, logs: Mapping[str, float]) -> None:
        """Move the bar within an epoch."""
        if self._view is not None and self._view.live:
            self._show(self._view, done, logs)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Move the bar or write a line, unless the last one was just now."""
        self._finished += 1
        if self._view is None:
            return
        if time.perf_counter() >= self._next:
            self._show(self._view, 0.0, logs)
        else:
            self._unseen = logs

    def on_train_end(self, trainer: Trainer) -> None:
        """Show where it ended, and leave the terminal as it was."""
        view, self._view = self._view, None
        if view is not None:
            try:
                if self._unseen is not None:
                    self._show(view, 0.0, self._unseen)
            finally:
                view.close()

    def _show(self, view: _View, done: float, logs: Mapping[str, float]) -> None:
        now = time.perf_counter()
        position = self._finished + done
        speed = position * self._samples / max(now - self._begin, 1e-9)
        texts = {name: f"{name} {value:.4f}" for name, value in logs.items()}
        texts["speed"] = f"{speed:,.0f} samples/s"
        view.show(position, f"epoch {math.ceil(position)}/{self._epochs}", texts)
        self._next, self._unseen = now + view.pause, None


class _View(Protocol):
    """Where it is shown: `live` if within epochs too, and not again before `pause` seconds are over."""

    live: bool
    pause: float

    def show(self, position: float, epoch: str, texts: dict[str, str]) -> None:
        """Show a position, in epochs, with its name and what was measured, by name."""

    def close(self) -> None:
        """Leave the terminal as it was, below what was shown last."""


def _live(epochs: int) -> _View | None:
    """Return a view for a person who watches, on standard error; None where nobody does."""
    notebook = "ipykernel" in sys.modules
    if not notebook and (sys.stderr is None or not sys.stderr.isatty()):
        return None
    try:
        from rich.console import Console
    except ImportError:
        return _Lines(sys.stderr, 1.0)
    console = Console(stderr=True)
    if console.is_dumb_terminal or (console.is_jupyter and importlib.util.find_spec("ipywidgets") is None):
        return _Lines(sys.stderr, 1.0)
    return _Bar(console, epochs)


class _Lines:
    """Lines of text."""

    live = False

    def __init__(self, stream: TextIO, pause: float = 0.0) -> None:
        self._stream, self.pause = stream, pause

    def show(self, position: float, epoch: str, texts: dict[str, str]) -> None:
        print("  ".join([epoch, *texts.values()]), file=self._stream, flush=True)

    def close(self) -> None:
        """There is nothing to clean up."""


class _Bar:
    """A bar drawn by rich, without its thread, so that nothing runs between two calls."""

    live = True
    pause = 0.1
    _reserved = 20  # columns for the remaining time, a bar that is still one, and the space between

    def __init__(self, console: Console, epochs: int) -> None:
        from rich import progress

        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(bar_width=None),
            progress.TextColumn("{task.fields[numbers]}"),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            auto_refresh=False,
            redirect_stdout=sys.stdout is not None
            and sys.stdout.isatty(),  # a file gets what is printed to it
            expand=True,
        )
        self._task = self._progress.add_task(f"epoch 1/{epochs}", total=epochs, numbers="")
        self._progress.start()

    def show(self, position: float, epoch: str, texts: dict[str, str]) -> None:
        space = self._progress.console.width - len(epoch) - self._reserved
        for name in ("", "val_loss", "val_accuracy"):  # what a narrow terminal can do without
            texts.pop(name, None)
            numbers = "  ".join(texts.values())
            if len(numbers) <= space:
                break
        self._progress.update(
            self._task, completed=position, description=epoch, numbers=numbers, refresh=True
        )

    def close(self) -> None:
        self._progress.stop()
