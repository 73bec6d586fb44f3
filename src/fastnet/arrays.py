"""Turning what a caller passes into arrays of numbers, with errors that name the argument.

These checks are shared by the modules that take data: datasets, transforms and metrics.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Enough elements to amortise NumPy's call overhead, few enough to stay in the L2 cache as float64.
_CHUNK_ELEMENTS = 1 << 16

_KINDS = {"U": "strings", "S": "byte strings", "T": "strings", "O": "objects", "c": "complex numbers"}


def as_numbers(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as an array of bool, integer or float dtype; an array that is one is not copied.

    Parameters
    ----------
    name : str
        What errors call the argument.
    value : array_like

    Raises
    ------
    TypeError
        If it holds strings, objects, complex numbers or dates.
    ValueError
        If nested sequences have different lengths, or values of a masked array are masked.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular array of numbers: {error}") from None
    if array.dtype.kind not in "biuf":
        found = _KINDS.get(array.dtype.kind, f"values of type {array.dtype}")
        raise TypeError(f"{name} holds {found}; wanted numbers (float, integer or bool)")
    if type(value) is not np.ndarray:
        _refuse_masked(name, value)
    return array


def _refuse_masked(name: str, value: object) -> None:
    """Raise a `ValueError` if values are masked: what stands behind a mask is no number to learn from."""
    masked = sys.modules.get("numpy.ma")  # NumPy loads it when it is first used
    if masked is None:
        return
    parts = value if isinstance(value, list | tuple) else (value,)
    count = sum(int(one.mask.sum()) for one in parts if isinstance(one, masked.MaskedArray))
    if count:
        found = "is a masked array" if isinstance(value, np.ndarray) else "holds masked arrays"
        raise ValueError(
            f"{name} {found} with {count} masked value{'s' if count > 1 else ''}; wanted numbers only: "
            "fill them first (numpy.ma.filled), or leave out their rows"
        )


def as_floats(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as a finite, C-contiguous, native float32 or float64 array, copied only if need be.

    float64 and wider become float64; everything else (float32, float16, integers, bool) float32.

    Raises
    ------
    TypeError
        If it does not hold numbers.
    ValueError
        If it is ragged, has no dimensions, or holds NaN or infinity.
    """
    array = as_numbers(name, value)
    if array.ndim == 0:
        raise ValueError(f"{name} is a single number; wanted an array")
    floats = np.ascontiguousarray(array, dtype=float_type(array))
    require_finite(name, floats)
    return floats


def float_type(array: NDArray[Any]) -> type[np.float32] | type[np.float64]:
    """Return the float type that data of this array's dtype is kept in."""
    return np.float64 if array.dtype.kind == "f" and array.dtype.itemsize >= 8 else np.float32


def require_finite(name: str, array: NDArray[Any]) -> None:
    """Raise a `ValueError` that names the first NaN or infinity of `array`, if there is one."""
    if array.dtype.kind != "f":
        return
    # One NaN or infinity makes the sum one too, and a sum needs no temporary array. A sum that
    # overflows proves nothing, hence the second look.
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):
            return
    for rows in row_chunks(array):
        bad = ~np.isfinite(array[rows])
        if bad.any():
            place = [int(i) for i in np.argwhere(bad)[0]]
            place[0] += rows.start
            where = ", ".join(map(str, place))
            raise ValueError(f"{name}[{where}] is {array[tuple(place)]}; wanted finite numbers")


def as_labels(name: str, value: ArrayLike, classes: int | None = None) -> NDArray[np.int64]:
    """Return class labels, (N,) integers from 0, as int64; integral floats and bool are accepted.

    Parameters
    ----------
    name : str
        What errors call the argument.
    value : array_like, (N,)
    classes : int, optional
        The labels must be smaller than this.

    Raises
    ------
    TypeError
        If it does not hold numbers.
    ValueError
        If it is not of one dimension, or a label is not a whole number in 0 .. classes - 1.
    """
    array = as_numbers(name, value)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; wanted labels of shape (N,)")
    require_finite(name, array)
    if array.dtype.kind == "f":
        array = array.astype(np.float64)  # float16 cannot be compared with large integers
        broken = array != np.rint(array)
        if broken.any():
            row = int(np.flatnonzero(broken)[0])
            raise ValueError(f"{name}[{row}] is {array[row]}; wanted a whole number, the label of a class")
    limit = np.iinfo(np.int64).max if classes is None else classes
    outside = (array < 0) | (array >= limit)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        wanted = "labels from 0 up" if classes is None else f"labels in 0 .. {classes - 1}"
        raise ValueError(f"{name}[{row}] is {array[row]}; wanted {wanted}")
    return array.astype(np.int64)


def as_count(name: str, value: object, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as an int of at least `minimum` and at most `maximum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; wanted an integer")
    if value < minimum or (maximum is not None and value > maximum):
        wanted = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        raise ValueError(f"{name} is {value}; wanted an integer {wanted}")
    return int(value)


def as_number(name: str, value: object, minimum: float = -math.inf) -> float:
    """Return `value` as a finite float of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {value!r}; wanted a number")
    if not (math.isfinite(value) and value >= minimum):
        wanted = "a finite number" if minimum == -math.inf else f"a finite number of at least {minimum:g}"
        raise ValueError(f"{name} is {value}; wanted {wanted}")
    return float(value)


def as_generator(seed: int | None) -> np.random.Generator:
    """Return the random generator of a seed; None takes fresh entropy from the operating system."""
    return np.random.default_rng(None if seed is None else as_count("seed", seed, minimum=0))


def row_chunks(array: NDArray[Any]) -> Iterator[slice]:
    """Yield slices that walk the rows of `array` in pieces that fit the cache."""
    step = max(1, _CHUNK_ELEMENTS // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of `array` that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros that start at a cache line, so that no vector register's load needs two.

    They share no line with other arrays: networks that are trained at once would take it from each other.
    """
    line = 64
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(-(-size // line) * line + line, np.uint8)
    start = -memory.__array_interface__["data"][0] % line
    zeros: NDArray[Any] = memory[start : start + size].view(dtype).reshape(shape)
    return zeros
