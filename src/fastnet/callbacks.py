"""What watches training.

A callback is called when training begins, about ten times a second while it goes on, after each epoch and
when it ends. It is given the trainer each time.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.arrays import as_count, as_number
from fastnet.errors import GradientWarning, OverfittingWarning, check_target, warn

if TYPE_CHECKING:
    from fastnet.training import Trainer

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientMonitor",
    "OverfittingMonitor",
]

_AGAINST_EXPLODING = (
    "a smaller learning rate, smaller first weights, inputs and targets of about 1, or clip_norm help"
)
_AGAINST_VANISHING = (
    "'relu' instead of 'sigmoid' or 'tanh', fewer layers, or the first weights that fit the activation help"
)
# Of these, more is better; of everything else (losses, errors), less.
_MORE_IS_BETTER = ("accuracy", "precision", "recall", "f1", "r2", "auc", "score")


class Callback:
    """Base of all callbacks; its methods do nothing, so that a callback needs only those it cares about.

    A callback may read everything of the trainer, write to ``trainer.network.parameters`` and call
    ``trainer.stop(reason)``. What it raises ends the training and comes out of `fit`.

    Attributes
    ----------
    reads_gradients : bool
        Set it to True in a class that looks at ``trainer.gradients`` after a training that diverged: then
        each step leaves its gradients there, which takes some time. Without, those of the last step before
        `on_progress` and `on_epoch_end` are there all the same.
    """

    reads_gradients = False

    def on_train_begin(self, trainer: Trainer) -> None:
        """Called when `fit` begins, after its arguments were checked: the place to find one's own mistakes.

        Where this raises, nothing is trained. What will be measured is in ``trainer.run.quantities``.
        """

    def on_progress(self, trainer: Trainer, done: float, logs: Mapping[str, float]) -> None:
        """Called within an epoch, about ten times a second.

        Parameters
        ----------
        trainer : Trainer
            Who trains.
        done : float
            The part of this epoch that is done, 0 to 1.
        logs : mapping of str to float
            Loss and, where there is one, accuracy of this epoch so far.
        """

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Called after each epoch and its validation; trainer and history are up to date.

        Parameters
        ----------
        trainer : Trainer
            Who trains.
        epoch : int
            How many epochs are complete, over all calls of `fit`: 1 after the first.
        logs : mapping of str to float
            What was measured in this epoch: ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``.
        """

    def on_train_end(self, trainer: Trainer) -> None:
        """Called when `fit` ends, in whatever way: also after Ctrl-C or an error."""

    def __repr__(self) -> str:
        names = inspect.signature(type(self)).parameters
        kept = [f"{name}={getattr(self, name)!r}" for name in names if hasattr(self, name)]
        return f"{type(self).__name__}({', '.join(kept)})"


class EarlyStopping(Callback):
    """Stop when a quantity has not improved for some epochs, and go back to the best weights.

    L. Prechelt, "Early Stopping - But When?", 1998.

    Parameters
    ----------
    monitor : str, default "val_loss"
        What to watch, a name in the logs. Of an accuracy more is better, of a loss less.
    patience : int, default 5
        Stop after this many epochs in a row without improvement; at least 1.
    min_delta : float, default 0.0
        What counts as an improvement: more than this.
    restore_best : bool, default True
        At the end of training, however it comes about, put the weights of the best epoch back.

    Attributes
    ----------
    best : float
        Best value of the last training; NaN before the first.
    best_epoch : int
        The epoch it came from, as in `Callback.on_epoch_end`; 0 before the first.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; when training begins: `monitor` is not measured (the message lists what is).
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best: bool = True,
    ) -> None:
        self.monitor = monitor
        self.patience = as_count("patience", patience)
        self.min_delta = as_number("min_delta", min_delta, 0.0)
        self.restore_best = bool(restore_best)
        self._forget()

    def _forget(self) -> None:
        self.best, self.best_epoch, self._waited = math.nan, 0, 0
        self._best_parameters: NDArray[Any] | None = None

    def on_train_begin(self, trainer: Trainer) -> None:
        """Check what there will be to watch, and forget what an earlier training left."""
        _check_monitor(trainer, self)
        self._forget()

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Keep the weights if they are the best so far; else count, and stop if it was enough."""
        value = logs[self.monitor]
        if _better(value, self.best, self.monitor, self.min_delta):
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best:
                self._best_parameters = trainer.network.parameters.copy()
            return
        self._waited += 1
        if self._waited >= self.patience:
            reason = f"{self.monitor} has not improved for {self._waited} epochs"
            if self.best_epoch:
                reason += f" on {self.best:.6g} of epoch {self.best_epoch}"
                reason += "; its weights are restored" if self.restore_best else ""
            trainer.stop(reason)

    def on_train_end(self, trainer: Trainer) -> None:
        """Put the best weights back."""
        if self._best_parameters is not None:
            trainer.network.parameters[...] = self._best_parameters
            self._best_parameters = None


class Checkpoint(Callback):
    """Save the trainer after each epoch, so that the training can be resumed from there.

    Parameters
    ----------
    path : path-like
        Where to: ``"run.ckpt"`` is replaced by each save, ``"run-{epoch:03d}.ckpt"`` keeps all. The folder
        must be there.
    monitor : str, default "val_loss"
        What `save_best_only` watches; see `EarlyStopping`.
    save_best_only : bool, default False
        Save only after an epoch that was better than all before.

    Raises
    ------
    ValueError
        `path` has braces that do not hold ``epoch``; when training begins: `monitor` is not measured (the
        message lists what is).
    FileNotFoundError
        When training begins: there is no such folder.
    OSError
        During training: the file cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], monitor: str = "val_loss", save_best_only: bool = False
    ) -> None:
        import string

        self.path = os.fspath(path)
        try:
            unknown = {field for _, field, _, _ in string.Formatter().parse(self.path)} - {None, "epoch"}
            self.path.format(epoch=1)
        except (ValueError, LookupError) as error:
            raise ValueError(f"path is {self.path!r}; wanted no braces but {{epoch}}: {error}") from None
        if unknown:
            raise ValueError(f"path is {self.path!r}; wanted no braces but {{epoch}}")
        self.monitor = monitor
        self.save_best_only = bool(save_best_only)
        self.best = math.nan

    def on_train_begin(self, trainer: Trainer) -> None:
        """Check where to save, and what there will be to watch."""
        check_target(self.path.format(epoch=trainer.epoch + 1))
        if self.save_best_only:
            _check_monitor(trainer, self)

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Save, if this epoch is to be saved."""
        if self.save_best_only:
            if not _better(logs[self.monitor], self.best, self.monitor):
                return
            self.best = logs[self.monitor]
        trainer.save(self.path.format(epoch=epoch))


class CSVLog(Callback):
    """Write one line per epoch to a CSV file: the epoch and all that was measured.

    Parameters
    ----------
    path : path-like
        Where to. The folder must be there.
    append : bool, default False
        Go on with a file that is there, instead of replacing it. A second training with the same CSVLog does
        so anyway.

    Raises
    ------
    ValueError
        When training begins: the columns in the file are not those of this training.
    FileNotFoundError
        When training begins: there is no such folder.
    OSError
        When training begins, or later: the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path = os.fspath(path)
        self.append = bool(append)
        self._goes_on = self.append
        self._file: IO[str] | None = None
        self._columns: list[str] = []

    def on_train_begin(self, trainer: Trainer) -> None:
        """Open the file, and read its columns if it goes on; what is in it stays until there is a line."""
        import csv

        check_target(self.path)
        assert trainer.run is not None
        wanted = ["epoch", *trainer.run.quantities]
        self._file = open(self.path, "a+", newline="", encoding="utf-8")  # noqa: SIM115 - on_train_end closes it
        self._file.seek(0)
        self._columns = next(csv.reader(self._file), []) if self._goes_on else []
        if self._columns and not set(wanted) <= set(self._columns):
            known = ", ".join(self._columns)
            raise ValueError(f"{self.path} has the columns {known}; this training has {', '.join(wanted)}")

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Write a line, and hand it to the operating system."""
        import csv

        assert self._file is not None  # on_train_begin opened it
        if not self._goes_on:
            self._file.truncate(0)
            self._goes_on = True
        values = {"epoch": epoch, **logs}
        writer = csv.writer(self._file, lineterminator="\n")
        if not self._columns:
            self._columns = list(values)
            writer.writerow(self._columns)
        writer.writerow([values.get(column, "") for column in self._columns])
        self._file.flush()

    def on_train_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class GradientMonitor(Callback):
    """Warn, once for each layer, when its gradients vanish or explode.

    After each epoch, the relative gradient of each layer is computed for the last batch: the root mean
    square of the gradient of its weights and biases, divided by that of the weights and biases themselves
    (taken as at least 0.001). In networks that learn well it is about the same in all layers.

    * It *vanishes* below `vanishing` times the largest relative gradient of the layers after this one: the
      error does not find its way back through them (Y. Bengio, P. Simard and P. Frasconi, 1994; X. Glorot and
      Y. Bengio, 2010). A gradient that is exactly 0, as when all ReLU units of a layer are off, must be so in
      three epochs in a row, because a small batch may do that by chance.
    * It *explodes* where it is above `exploding`, times the learning rate: a plain step would change the
      layer by `exploding` times its own size; or where it is not finite.

    The first test depends neither on the loss nor on the optimizer, as it compares layers. The second is
    about plain gradient descent: Adam and its like divide the size of the gradient out.

    Parameters
    ----------
    vanishing : float, default 1e-3
        From 0 (never) to 1.
    exploding : float, default 10.0
        Positive.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong.

    Warns
    -----
    GradientWarning
        The message names the layers, the epoch, the numbers and what may help. All layers that are found in
        an epoch are in one message, and a layer is named once in a training for each of the two.
    """

    reads_gradients = True

    def __init__(self, vanishing: float = 1e-3, exploding: float = 10.0) -> None:
        self.vanishing = as_number("vanishing", vanishing, 0.0)
        self.exploding = as_number("exploding", exploding, 0.0)
        if self.vanishing > 1.0:
            raise ValueError(f"vanishing is {vanishing:g}; wanted a number from 0 to 1")
        if self.exploding == 0.0:
            raise ValueError("exploding is 0; wanted a positive number")
        self._warned: set[tuple[str, int]] = set()
        self._zeros: dict[int, int] = {}

    def on_train_begin(self, trainer: Trainer) -> None:
        """Forget what an earlier training left."""
        self._warned, self._zeros = set(), {}

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Look at the last batch's gradients."""
        gradients = _relative_gradients(trainer)
        self._find_exploding(trainer, epoch, gradients)
        self._find_vanishing(trainer, epoch, gradients)

    def on_train_end(self, trainer: Trainer) -> None:
        """Look once more where training diverged, because that epoch has no end."""
        if trainer.run is not None and trainer.run.diverged:
            self._find_exploding(trainer, trainer.epoch + 1, _relative_gradients(trainer))

    def _find_exploding(self, trainer: Trainer, epoch: int, gradients: dict[int, float]) -> None:
        rate = _learning_rate(trainer)
        # Written so that NaN explodes too.
        found = {layer: one for layer, one in gradients.items() if not rate * one <= self.exploding}
        rest = f"; the learning rate is {rate:g}; {_AGAINST_EXPLODING}"
        self._warn(trainer, f"explode in epoch {epoch}", found, rest)

    def _find_vanishing(self, trainer: Trainer, epoch: int, gradients: dict[int, float]) -> None:
        found = {}
        largest_after = compared = 0.0
        for layer, relative in reversed(gradients.items()):
            self._zeros[layer] = self._zeros.get(layer, 0) + 1 if relative == 0.0 else 0
            if relative < self.vanishing * largest_after and (relative > 0.0 or self._zeros[layer] >= 3):
                found[layer], compared = relative, largest_after
            if relative > largest_after:
                largest_after = relative
        rest = f", but {compared:.2g} in a later layer; {_AGAINST_VANISHING}"
        self._warn(trainer, f"vanish in epoch {epoch}", found, rest)

    def _warn(self, trainer: Trainer, what: str, found: dict[int, float], rest: str) -> None:
        """Warn of the layers that were found for the first time, all in one message."""
        kind = what.split()[0]
        new = {layer: one for layer, one in sorted(found.items()) if (kind, layer) not in self._warned}
        self._warned.update((kind, layer) for layer in new)
        if new:
            layers = [
                f"{one:.2g} in layer {layer} ({_describe(trainer, layer)})" for layer, one in new.items()
            ]
            warn(
                f"gradients {what}: relative to the weights they are {', '.join(layers)}{rest}",
                GradientWarning,
            )


class OverfittingMonitor(Callback):
    """Warn, once, when the accuracy on the training data leaves that on the validation data behind.

    Without both accuracies in the logs it does nothing.

    Parameters
    ----------
    gap : float, default 0.1
        How far apart the accuracies may be; from 0 to 1.
    patience : int, default 3
        Warn after this many epochs in a row with a larger gap; at least 1.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong.

    Warns
    -----
    OverfittingWarning
        The message says both accuracies and what may help.
    """

    def __init__(self, gap: float = 0.1, patience: int = 3) -> None:
        self.gap = as_number("gap", gap, 0.0)
        if self.gap > 1.0:
            raise ValueError(f"gap is {gap:g}; wanted a number from 0 to 1")
        self.patience = as_count("patience", patience)
        self._seen, self._warned = 0, False

    def on_train_begin(self, trainer: Trainer) -> None:
        """Forget what an earlier training left."""
        self._seen, self._warned = 0, False

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Compare the accuracies."""
        training, validation = logs.get("accuracy", math.nan), logs.get("val_accuracy", math.nan)
        self._seen = self._seen + 1 if training - validation > self.gap else 0
        if self._seen >= self.patience and not self._warned:
            self._warned = True
            warn(
                f"overfitting: in epoch {epoch} the accuracy is {training:.4g} on the training data and "
                f"{validation:.4g} on the validation data; more data, a smaller network, Dropout, "
                "weight_decay or EarlyStopping help",
                OverfittingWarning,
            )


def _check_monitor(trainer: Trainer, callback: EarlyStopping | Checkpoint) -> None:
    """Check that what a callback monitors will be measured."""
    assert trainer.run is not None  # there is one from on_train_begin to on_train_end
    name, measured = callback.monitor, trainer.run.quantities
    if name not in measured:
        hint = "; for val_... give fit validation=(x, y)" if name.startswith("val_") else ""
        raise ValueError(
            f"{type(callback).__name__} monitors {name!r}; this training has: {', '.join(measured)}{hint}"
        )


def _better(value: float, best: float, name: str, margin: float = 0.0) -> bool:
    """Whether a value beats the best one by more than a margin; NaN beats nothing, and all beat NaN."""
    if math.isnan(best):
        return not math.isnan(value)
    if any(word in name for word in _MORE_IS_BETTER):
        return value > best + margin
    return value < best - margin


def _learning_rate(trainer: Trainer) -> float:
    """Return the learning rate of the next step."""
    schedule = trainer.optimizer.learning_rate
    return schedule(float(trainer.epoch if schedule.unit == "epochs" else trainer.steps))


def _relative_gradients(trainer: Trainer) -> dict[int, float]:
    """Return each layer's root mean square gradient, divided by that of its parameters."""
    sums: dict[int, list[float]] = {}
    for slot in trainer.network.graph.slots:
        part = slice(slot.offset, slot.offset + slot.size)
        gradient, value = sums.setdefault(slot.layer, [0.0, 0.0])
        with np.errstate(over="ignore", invalid="ignore"):
            gradient += float(np.square(trainer.gradients[part], dtype=np.float64).sum())
            value += float(np.square(trainer.network.parameters[part], dtype=np.float64).sum())
        sums[slot.layer] = [gradient, value]
    sizes: dict[int, int] = {}
    for slot in trainer.network.graph.slots:
        sizes[slot.layer] = sizes.get(slot.layer, 0) + slot.size
    return {
        layer: math.sqrt(gradient) / max(math.sqrt(value), 1e-3 * math.sqrt(sizes[layer]))
        for layer, (gradient, value) in sums.items()
    }


def _describe(trainer: Trainer, index: int) -> str:
    """Return a layer in short: ``Dense(16, sigmoid)``."""
    layer: Any = trainer.network.layers[index]
    parts = [str(getattr(layer, name)) for name in ("units", "activation") if hasattr(layer, name)]
    return f"{type(layer).__name__}({', '.join(parts)})"
