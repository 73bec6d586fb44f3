"""Pictures of training: learning curves, rates compared, confusion matrices, images and weights.

Each function returns a `matplotlib.figure.Figure` and writes it where a path is given; the ending of the path
(``.png``, ``.svg``, ``.pdf``) says how. Nothing touches pyplot's state, so no display is needed and no figure
is left behind in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.arrays import as_count, as_numbers
from fastnet.errors import missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["confusion_matrix", "curves", "images", "learning_rates", "weights"]

Path: TypeAlias = str | PathLike[str]

_TRAINING, _VALIDATION, _QUIET = "#1f6fb4", "#d9622b", "#6b7280"
_DOTS_PER_INCH = 150


def curves(history: Mapping[str, Sequence[float]], path: Path | None = None) -> Figure:
    """Draw how loss, accuracy and whatever else was recorded went, epoch by epoch.

    One panel for each quantity, with training and validation in it; the best validation value is marked.
    An axis is logarithmic where values span more than a factor of 20.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value per epoch, such as `History`; ``val_loss`` is drawn with ``loss``.
    path : path-like, optional
        Where to write the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The history is empty.
    ImportError
        matplotlib is not installed.
    """
    groups: dict[str, dict[str, Sequence[float]]] = {}
    for name, values in history.items():
        if len(values):
            groups.setdefault(name.removeprefix("val_"), {})[name] = values
    if not groups:
        raise ValueError("history has no epochs; there is nothing to draw before training")
    figure = _figure(5.2 * len(groups), 3.8)
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (quantity, lines) in zip(panels, groups.items(), strict=True):
        for name, values in lines.items():
            if name == quantity:
                _line(axes, values, len(values), label="training", color=_TRAINING)
            else:
                label = "validation" + _mark_best(axes, values, lowest="accuracy" not in quantity)
                _line(axes, values, len(values), label=label, color=_VALIDATION, zorder=3)
        _scale(axes, [value for values in lines.values() for value in values])
        _label(axes, quantity.replace("_", " "))
        if len(lines) > 1:
            axes.legend(frameon=False)
    return _finished(figure, path)


def learning_rates(
    histories: Mapping[Any, Mapping[str, Sequence[float]]],
    path: Path | None = None,
    *,
    quantity: str = "loss",
) -> Figure:
    """Draw one quantity of several runs, to compare learning rates that are too small, good and too large.

    A run that diverged ends in a cross at its last finite value. The picture ends at ten times the largest
    first value, so that the good runs stay visible.

    Parameters
    ----------
    histories : mapping of label to history
        Labels are learning rates, or any text.
    path : path-like, optional
        Where to write the picture.
    quantity : str, default "loss"
        What to draw: a name in each history.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        There are no histories, or one has no such quantity, or no epochs; the message lists what it has.
    ImportError
        matplotlib is not installed.
    """
    if not histories:
        raise ValueError("histories is empty; wanted at least one run")
    for label, history in histories.items():
        if not len(history.get(quantity, ())):
            raise ValueError(f"the history of {label!r} has no {quantity!r}; it has: {', '.join(history)}")
    figure = _figure(6.4, 4.2)
    axes = figure.subplots()
    runs = {label: np.asarray(history[quantity], dtype=np.float64) for label, history in histories.items()}
    epochs = max(len(values) for values in runs.values())
    first = max((values[0] for values in runs.values() if np.isfinite(values[0])), default=0.0)
    ceiling = 10.0 * first if first > 0.0 else math.inf
    shades = np.linspace(0.0, 0.85, len(runs)) if len(runs) > 1 else [0.4]
    for (label, values), shade in zip(runs.items(), shades, strict=True):
        finite = np.flatnonzero(np.isfinite(values))
        diverged = len(finite) < len(values)
        color = _colors("viridis")(shade)
        _line(axes, values, epochs, label=f"{label} (diverged)" if diverged else f"{label}", color=color)
        if diverged and len(finite):
            axes.plot(finite[-1] + 1, values[finite[-1]], "x", color=color, markersize=9, markeredgewidth=2)
    shown = [value for values in runs.values() for value in values[np.isfinite(values)]]
    _scale(axes, [value for value in shown if value <= ceiling])
    if ceiling < max(shown, default=0.0):
        axes.set_ylim(top=ceiling)
    _label(axes, quantity.replace("_", " "))
    axes.legend(frameon=False, title="learning rate")
    return _finished(figure, path)


def confusion_matrix(
    matrix: ArrayLike, class_names: Sequence[Any] | None = None, path: Path | None = None
) -> Figure:
    """Draw a confusion matrix: rows are true classes, columns are predicted ones.

    Colours show the share of each true class, so that classes of different size compare; numbers show the
    counts.

    Parameters
    ----------
    matrix : array_like of int (C, C)
        How many samples of class ``row`` were taken for class ``column``.
    class_names : sequence, optional
        A name for each class; without it, 0, 1, ...
    path : path-like, optional
        Where to write the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The matrix is not square or empty, or the number of names is not that of the classes.
    ImportError
        matplotlib is not installed.
    """
    counts = as_numbers("matrix", matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"matrix has shape {counts.shape}; wanted (C, C), one row and column for each class")
    names = [str(name) for name in (range(len(counts)) if class_names is None else class_names)]
    if len(names) != len(counts):
        raise ValueError(f"class_names has {len(names)} names; matrix has {len(counts)} classes")
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    side = min(max(3.6, 1.6 + 0.46 * len(counts)), 14.0)
    figure = _figure(side + 0.9, side)
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    figure.colorbar(picture, ax=axes, label="share of the true class", shrink=0.85)
    if len(counts) <= 30:
        for row, column in np.argwhere(counts != 0):
            color = "white" if shares[row, column] > 0.55 else "#1f2937"
            axes.text(column, row, f"{counts[row, column]:g}", ha="center", va="center", color=color)
        tilt = 45.0 if max(map(len, names)) > 3 else 0.0
        axes.set_xticks(range(len(names)), names, rotation=tilt, ha="right" if tilt else "center")
        axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return _finished(figure, path)


def images(
    rows: Sequence[ArrayLike],
    shape: Sequence[int],
    path: Path | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draw samples as pictures in rows, such as digits in one row and their reconstructions below.

    All pictures have the same scale of grey, from the smallest value in them (black) to the largest (white).

    Parameters
    ----------
    rows : sequence of array_like (N, H * W) or (N, H, W)
        For each row of pictures, its samples, left to right. Rows may differ in length.
    shape : (H, W) or (C, H, W)
        Shape of one picture; C is 1 (grey) or 3 (red, green, blue).
    path : path-like, optional
        Where to write the picture.
    titles : sequence of str, optional
        A title for each row.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        A row does not have the size of `shape`, there are no pictures, or `titles` has another length.
    ImportError
        matplotlib is not installed.
    """
    shape = _picture_shape(shape)
    pictures = [_as_pictures(f"rows[{index}]", row, shape) for index, row in enumerate(rows)]
    columns = max((len(row) for row in pictures), default=0)
    if not columns:
        raise ValueError("rows is empty; wanted at least one picture")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"titles has {len(titles)} titles; rows has {len(pictures)} rows")
    low = min(float(row.min()) for row in pictures if len(row))
    high = max(float(row.max()) for row in pictures if len(row))
    height = 0.9 * shape[-2] / shape[-1] + (0.3 if titles is not None else 0.05)
    figure = _figure(max(0.9 * columns, 2.5), height * len(pictures) + 0.1)
    strips = figure.subfigures(len(pictures), 1, squeeze=False)[:, 0]
    for index, (row, strip) in enumerate(zip(pictures, strips, strict=True)):
        panels = strip.subplots(1, columns, squeeze=False)[0]
        for axes in panels:
            axes.set_axis_off()
        for picture, axes in zip(row, panels, strict=False):
            _show(axes, picture, "gray", low, high)
        if titles is not None:
            strip.suptitle(titles[index], x=0.01, ha="left", fontsize=10)
    return _finished(figure, path)


def weights(layer: Any, shape: Sequence[int], path: Path | None = None, *, most: int = 64) -> Figure:
    """Draw the weights of each unit of a layer as a picture: what the unit looks for.

    Red is positive, blue negative and white zero, on the same scale for all units.

    Parameters
    ----------
    layer : Dense or array_like (I, O)
        A layer, or its weights.
    shape : (H, W) or (C, H, W)
        Shape of one sample of the layer's input; with channels, their mean is drawn.
    path : path-like, optional
        Where to write the picture.
    most : int, default 64
        How many units to draw at most, the first ones.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        The weights are not of two dimensions, or their rows do not have the size of `shape`.
    ImportError
        matplotlib is not installed.
    """
    values = as_numbers("weights", getattr(layer, "weights", layer))
    most = as_count("most", most)
    if values.ndim != 2 or not values.size:
        raise ValueError(f"weights has shape {values.shape}; wanted (inputs, units)")
    shape = _picture_shape(shape)
    pictures = _as_pictures("weights.T", values.T[:most], shape)
    if pictures.ndim == 4:
        pictures = pictures.mean(axis=1)
    columns = min(len(pictures), max(4, math.isqrt(len(pictures) - 1) + 1))
    lines = -(-len(pictures) // columns)
    figure = _figure(max(0.95 * columns + 1.0, 3.0), 1.15 * lines * shape[-2] / shape[-1] + 0.2)
    grid = figure.subplots(lines, columns, squeeze=False)
    limit = float(np.abs(pictures).max()) or 1.0
    for axes in grid.flat:
        axes.set_axis_off()
    for unit, (picture, axes) in enumerate(zip(pictures, grid.flat, strict=False)):
        drawn = _show(axes, picture, "RdBu_r", -limit, limit)
        axes.set_title(f"unit {unit}", fontsize=8, pad=2)
    figure.colorbar(drawn, ax=grid, label="weight", fraction=0.05)
    return _finished(figure, path)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing("plotting", "matplotlib", "plot") from None
    return Figure(figsize=(width, height), layout="constrained")


def _colors(name: str) -> Any:
    import matplotlib

    return matplotlib.colormaps[name]


def _finished(figure: Figure, path: Path | None) -> Figure:
    if path is not None:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    return figure


def _line(axes: Axes, values: Sequence[float] | NDArray[Any], epochs: int, **style: Any) -> None:
    marker = "o" if epochs <= 20 else None  # a run of one epoch would show no line at all
    axes.plot(range(1, len(values) + 1), values, linewidth=1.8, marker=marker, markersize=3.5, **style)
    margin = max(0.02 * epochs, 0.2)
    axes.set_xlim(1 - margin, epochs + margin)


def _mark_best(axes: Axes, values: Sequence[float], lowest: bool) -> str:
    """Put a dot on the best value and return what the legend says of it."""
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).any():
        return ""
    best = int(np.nanargmin(numbers) if lowest else np.nanargmax(numbers))
    axes.plot(best + 1, numbers[best], "o", color=_VALIDATION, markersize=7, zorder=4)
    return f" (best {numbers[best]:.4g}, epoch {best + 1})"


def _scale(axes: Axes, values: Sequence[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0.0 and max(finite) > 20.0 * min(finite):
        axes.set_yscale("log")


def _label(axes: Axes, quantity: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(True, which="major", color="#e5e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_QUIET)


def _picture_shape(shape: Sequence[int]) -> tuple[int, ...]:
    sizes = tuple(as_count("shape", size) for size in shape)
    if len(sizes) not in (2, 3) or (len(sizes) == 3 and sizes[0] not in (1, 3)):
        raise ValueError(f"shape is {sizes}; wanted (H, W), or (C, H, W) with C 1 or 3")
    return sizes


def _as_pictures(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = as_numbers(name, values)
    if array.ndim < 2 or math.prod(array.shape[1:]) != math.prod(shape):
        raise ValueError(
            f"{name} has shape {array.shape}; wanted (N, {math.prod(shape)}), pictures of {shape}"
        )
    return array.astype(np.float64).reshape(len(array), *shape)


def _show(axes: Axes, picture: NDArray[np.float64], colors: str, low: float, high: float) -> Any:
    if picture.ndim == 3:  # (C, H, W); matplotlib wants (H, W) or red, green and blue from 0 to 1 last
        picture = picture[0] if len(picture) == 1 else (picture - low) / ((high - low) or 1.0)
        picture = picture if picture.ndim == 2 else picture.transpose(1, 2, 0)
    return axes.imshow(picture, cmap=colors, vmin=low, vmax=high, interpolation="nearest")
