"""What training recorded, epoch by epoch."""

from __future__ import annotations

import math
import os
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["History"]

_ROWS_SHOWN = 3


class History(Mapping[str, list[float]]):
    """Lists of numbers by name, each with one value per epoch.

    The names are ``"loss"`` and, where they were measured, ``"accuracy"``, ``"val_loss"`` and
    ``"val_accuracy"``. Loss and accuracy of the training data are means over the epoch, as the weights
    changed and with dropout. A value that was not measured in an epoch is NaN.

    The last loss is NaN where training diverged: that epoch was undone. Where training goes on, with a
    smaller learning rate perhaps, the same epoch is trained again and takes its place.

    Attributes
    ----------
    epoch_seconds : list of float
        How long each epoch took, validation included.
    stopped : str
        Why training ended before its last epoch; ``""`` if it did not.

    Examples
    --------
    >>> history = History()
    >>> history.append({"loss": 0.5}, seconds=0.1)
    >>> history["loss"], history.epochs
    ([0.5], 1)
    """

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {"loss": []}
        self.epoch_seconds: list[float] = []
        self.stopped = ""

    @property
    def epochs(self) -> int:
        """Number of epochs recorded."""
        return len(self.epoch_seconds)

    @property
    def seconds(self) -> float:
        """How long all epochs took together."""
        return math.fsum(self.epoch_seconds)

    def append(self, values: Mapping[str, float], seconds: float) -> None:
        """Record one more epoch.

        Parameters
        ----------
        values : mapping of str to float
            By name; names that are new get NaN for the epochs before, names left out get NaN for this one.
        seconds : float
            How long it took.
        """
        for name in values:
            if name not in self._values:
                self._values[name] = [math.nan] * self.epochs
        for name, numbers in self._values.items():
            numbers.append(float(values.get(name, math.nan)))
        self.epoch_seconds.append(float(seconds))

    def drop_diverged(self) -> None:
        """Forget the last epoch if training diverged in it."""
        if self.epochs and math.isnan(self._values["loss"][-1]):
            for numbers in (*self._values.values(), self.epoch_seconds):
                numbers.pop()

    def __getitem__(self, name: str) -> list[float]:
        try:
            return self._values[name]
        except KeyError:
            raise KeyError(f"history has no {name!r}; it has: {', '.join(self._values)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    # The views of a Mapping would show the whole table.

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._values.keys()

    def values(self) -> ValuesView[list[float]]:
        """Return the lists."""
        return self._values.values()

    def items(self) -> ItemsView[str, list[float]]:
        """Return the names with their lists."""
        return self._values.items()

    def to_dict(self) -> dict[str, list[float]]:
        """Return a plain dict with copies of the lists."""
        return {name: list(values) for name, values in self._values.items()}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw the curves.

        Parameters
        ----------
        path : path-like, optional
            Where to write the picture; the ending, such as ``.png`` or ``.svg``, decides its format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            Nothing was recorded yet.
        ImportError
            matplotlib is not installed.
        """
        from fastnet import plotting

        return plotting.curves(self, path)

    def __repr__(self) -> str:
        unit = "epoch" if self.epochs == 1 else "epochs"
        lines = [f"History of {self.epochs} {unit}, {self.seconds:.3g} s"]
        if self.stopped:
            lines[0] += f"; stopped: {self.stopped}"
        if self.epochs:
            lines.append(_table_row("epoch", list(self._values)))
        for epoch in self._shown_epochs():
            cells = [f"{values[epoch]:.6g}" for values in self._values.values()]
            lines.append(_table_row(str(epoch + 1), cells))
        return "\n".join(lines)

    def _shown_epochs(self) -> list[int]:
        """Return the first epochs and the last ones."""
        if self.epochs <= 2 * _ROWS_SHOWN:
            return list(range(self.epochs))
        return [*range(_ROWS_SHOWN), *range(self.epochs - _ROWS_SHOWN, self.epochs)]

    def __getstate__(self) -> dict[str, Any]:
        return {"_values": self.to_dict(), "epoch_seconds": list(self.epoch_seconds), "stopped": self.stopped}


def _table_row(head: str, cells: list[str]) -> str:
    return f"{head:>5}" + "".join(f"  {cell:>12}" for cell in cells)
