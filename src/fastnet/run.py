"""One call of `Trainer.fit`: its epochs, one after the other.

An epoch is as few calls into compiled code as can be: one for each tenth of a second. Between two calls
progress is shown and Ctrl-C is answered.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import evaluation
from fastnet.backends.reference import CORRECT, ROW, STEP, TOTAL
from fastnet.callbacks import Callback
from fastnet.checks import Array, is_finite
from fastnet.schedules import Constant, Schedule

if TYPE_CHECKING:
    from fastnet.training import Trainer

__all__ = ["Data", "Run"]

CHUNK_SECONDS = 0.1
"""About how long one call into compiled code lasts."""


@dataclass(frozen=True, slots=True)
class Data:
    """Checked samples.

    Attributes
    ----------
    x : ndarray (N, I)
        Rows, at least one.
    y : ndarray (N, O) or (N,)
        Their targets.
    weight : ndarray (N,) or None
        Their weights.
    """

    x: Array
    y: Array
    weight: Array | None = None


class Run:
    """What one call of `Trainer.fit` does; callbacks find it as ``trainer.run``.

    Parameters
    ----------
    trainer : Trainer
        Whose network is trained.
    executor : Executor
        Made for `batch_size`.
    data : Data
        To train on.
    validation : Data or None
        To measure on after each epoch.
    epochs : int
        How many to run.
    batch_size : int
        Samples of one update, at most those there are.
    shuffle : bool
        Whether each epoch has an order of its own.
    metric : str
        How right predictions are counted, ``""`` where they are not.

    Attributes
    ----------
    epochs, batch_size : int
        As given.
    samples : int
        Rows of one epoch.
    quantities : tuple of str
        Names of what is measured in each epoch. A callback that adds values of its own to the logs adds
        their names here, in `Callback.on_train_begin`.
    diverged : str
        What happened, where the loss ceased to be finite.
    """

    def __init__(
        self,
        trainer: Trainer,
        executor: Any,
        data: Data,
        validation: Data | None,
        epochs: int,
        batch_size: int,
        shuffle: bool,
        metric: str,
    ) -> None:
        self.trainer, self.executor, self.data, self.validation = trainer, executor, data, validation
        self.epochs, self.batch_size, self.shuffle = epochs, batch_size, shuffle
        self.samples = len(data.x)
        names = ("loss", "accuracy") if metric else ("loss",)
        held_out = () if validation is None else tuple(f"val_{name}" for name in names)
        self.quantities: tuple[str, ...] = names + held_out
        self.diverged = ""
        self._order = np.arange(self.samples)
        self._sorted = self._order.copy() if shuffle else self._order
        self._steps = np.arange(-(-self.samples // batch_size))
        self._rates = np.zeros(len(self._steps))
        self._schedule: Schedule | None = None
        self._arrays = (trainer.network.parameters, trainer.state_vectors)  # what training changes
        self._saved = [np.empty_like(array) for array in self._arrays]
        self._saved_rng: Any = None

    def epoch(self, listeners: Sequence[Callback]) -> dict[str, float] | None:
        """Run one epoch and return what it measured; None if training diverged.

        In that case everything is as at the start of the epoch, and `diverged` says what happened. So it is
        after an error too, as in a loss function, but nothing is recorded.
        """
        trainer = self.trainer
        start = time.perf_counter()
        first_step = trainer.progress[STEP]
        self._save()
        try:
            whole = self._train(listeners)
            logs = self.measured()
            if whole and self.validation is not None:
                logs |= self.validated()
        except Exception:
            self._restore(first_step)
            raise
        if not whole:
            rate = self._rates[min(int(trainer.progress[STEP] - first_step), len(self._rates) - 1)]
            self._restore(first_step)
            self.diverged = (
                f"the loss was not finite in epoch {trainer.epoch + 1}, learning rate {rate:g}; "
                "the weights are those of the start of that epoch"
            )
            self.note({"loss": float("nan")}, start)
            return None
        trainer.epoch += 1
        self.note(logs, start)
        return logs

    def note(self, logs: Mapping[str, float], start: float) -> None:
        """Add an epoch to the history, which is the network's from then on."""
        trainer = self.trainer
        trainer.history.drop_diverged()
        trainer.history.append(logs, time.perf_counter() - start)
        trainer.history.stopped = ""
        trainer.network.history = trainer.history

    def measured(self) -> dict[str, float]:
        """Return loss and accuracy of the rows trained on so far in this epoch."""
        trainer = self.trainer
        logs = {"loss": trainer.mean_loss()}
        if trainer.progress[TOTAL]:
            logs["accuracy"] = float(trainer.progress[CORRECT] / trainer.progress[TOTAL])
        return logs

    def _train(self, listeners: Sequence[Callback]) -> bool:
        """Go through the rows once; False where a loss, or a weight at the end, was not finite."""
        data, progress = self.data, self.trainer.progress
        if self.shuffle:
            self._order[...] = self._sorted
            self.trainer.rng.shuffle(self._order)
        self._set_rates()
        progress[ROW:] = 0.0
        while True:
            whole = self.executor.train(
                data.x, data.y, data.weight, self._order, self._rates, progress, CHUNK_SECONDS
            )
            if not whole:
                return False
            if progress[ROW] >= self.samples:
                return is_finite(self.trainer.network.parameters)
            for listener in listeners:
                listener.on_progress(self.trainer, float(progress[ROW]) / self.samples, self.measured())

    def validated(self) -> dict[str, float]:
        """Return loss and accuracy of the validation data."""
        data, trainer = self.validation, self.trainer
        assert data is not None
        executor = getattr(self.executor, "executor", self.executor)  # that inside a FunctionExecutor
        loss, accuracy = evaluation.evaluate(
            executor, trainer.network.graph, trainer.loss, data.x, data.y, data.weight
        )
        return {"val_loss": loss} | ({} if accuracy is None else {"val_accuracy": accuracy})

    def _set_rates(self) -> None:
        """Write the learning rate of each step of the epoch that begins."""
        trainer = self.trainer
        schedule = trainer.optimizer.learning_rate
        if isinstance(schedule, Constant):
            if schedule is not self._schedule:
                self._rates[...] = schedule.learning_rate
        elif schedule.unit == "epochs":
            self._rates[...] = schedule(trainer.epoch + self._steps / len(self._steps))
        else:
            self._rates[...] = schedule(trainer.steps + self._steps)
        self._schedule = schedule

    def _save(self) -> None:
        """Keep what an epoch changes."""
        for saved, array in zip(self._saved, self._arrays, strict=True):
            saved[...] = array
        if self.shuffle:
            self._saved_rng = self.trainer.rng.bit_generator.state

    def _restore(self, first_step: float) -> None:
        """Go back to the start of the epoch."""
        for saved, array in zip(self._saved, self._arrays, strict=True):
            array[...] = saved
        self.trainer.progress[STEP] = first_step
        if self.shuffle:
            self.trainer.rng.bit_generator.state = self._saved_rng
