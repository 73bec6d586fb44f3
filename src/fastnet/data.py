"""Samples with their targets, and the transforms that bring them to a scale a network likes.

A `Dataset` holds the arrays; `Standardise` and `Normalise` are fitted on the training part and applied
to every part; `one_hot` and `from_one_hot` change between labels and rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnet.arrays import as_count, as_floats, as_generator, as_labels, as_number, as_numbers, read_only
from fastnet.transforms import Normalise, Standardise, Transform, transform_from_config

__all__ = [
    "Dataset",
    "Normalise",
    "Standardise",
    "Transform",
    "from_one_hot",
    "one_hot",
    "transform_from_config",
]


class Dataset:
    """Samples `x` with their targets `y`, row by row.

    A dataset does not change: its arrays are read-only, and what looks like a change returns a new one.
    It unpacks like a pair, ``x, y = dataset``, so `len` counts the rows while iteration yields two arrays.

    Parameters
    ----------
    x : array_like, (N, ...)
        One sample a row: (N, F) features or (N, C, H, W) images. float32 and float64 are kept, without
        a copy where the array is C-contiguous; integers, bool and float16 become float32.
    y : array_like, (N,) or (N, O)
        Targets. Integers or bool of shape (N,) are class labels and become int64; anything else is
        numbers, kept as `x` is.
    feature_names : sequence of str, optional
        One name for each number in a sample.
    class_names : sequence of str, optional
        What label 0, 1, ... means, or the columns of a two-dimensional `y`.
    name : str, optional
        What the data is called in reports.

    Raises
    ------
    TypeError
        If an array holds strings or objects.
    ValueError
        If an array is empty, ragged or not finite, if the numbers of rows differ, if a label has no
        class name, or if there are too few or too many names.

    Examples
    --------
    >>> data = Dataset([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]], [0, 1, 0, 1])
    >>> train, test = data.split(0.5, stratify=True)
    >>> x, y = train
    >>> x.shape, y.shape
    ((2, 2), (2,))
    """

    __slots__ = ("_class_names", "_feature_names", "_name", "_x", "_y")

    def __init__(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        feature_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        name: str = "",
    ) -> None:
        self._x = read_only(_samples(x))
        self._y = read_only(_targets(y))
        if len(self._x) != len(self._y):
            raise ValueError(f"x has {len(self._x)} rows and y has {len(self._y)}; wanted as many of each")
        self._feature_names = _names("feature_names", feature_names, math.prod(self._x.shape[1:]))
        if self._y.ndim == 2:
            self._class_names = _names("class_names", class_names, self._y.shape[1])
        else:
            self._class_names = _names("class_names", class_names, None)
            if self._class_names is not None:
                as_labels("y", self._y, len(self._class_names))
        self._name = name

    @property
    def x(self) -> NDArray[Any]:
        """The samples, (N, ...), float32 or float64, read-only."""
        return self._x

    @property
    def y(self) -> NDArray[Any]:
        """The targets, (N,) or (N, O), int64 labels or float32 or float64 numbers, read-only."""
        return self._y

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """A name for each number in a sample, or None."""
        return self._feature_names

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes in the order of their labels, or None."""
        return self._class_names

    @property
    def name(self) -> str:
        """What the data is called."""
        return self._name

    def __len__(self) -> int:
        return len(self._x)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        yield self._x
        yield self._y

    def __getitem__(self, index: slice | ArrayLike) -> Dataset:
        """Return the rows that a slice, an array of row numbers or a mask of N bool selects.

        Raises
        ------
        IndexError
            If a row number or the length of a mask does not fit.
        TypeError
            If `index` is of another kind; one row is ``dataset.x[i], dataset.y[i]``.
        ValueError
            If no row is selected.
        """
        rows = index if isinstance(index, slice) else self._row_numbers(index)
        x = self._x[rows]
        if len(x) == 0:
            raise ValueError(f"the index selects none of the {len(self)} rows; wanted at least one")
        return self._replaced(np.ascontiguousarray(x), np.ascontiguousarray(self._y[rows]))

    def __repr__(self) -> str:
        title = f"{self._name!r}, " if self._name else ""
        classes = f", {len(self._class_names)} classes" if self._class_names is not None else ""
        x, y = self._x, self._y
        return f"Dataset({title}{len(x)} rows, x {x.shape} {x.dtype}, y {y.shape} {y.dtype}{classes})"

    def split(
        self, fraction: float = 0.25, *, stratify: bool = False, seed: int | None = 0
    ) -> tuple[Dataset, Dataset]:
        """Return the rows, shuffled, as two datasets: one to train on and one to test on.

        Parameters
        ----------
        fraction : float, default 0.25
            The part of the rows, strictly between 0 and 1, that goes into the second dataset. The
            number is rounded, and neither dataset is left empty.
        stratify : bool, default False
            Give both datasets the classes in equal shares, as near as whole rows allow, and at least
            one row of each class. A class is a distinct value, or a distinct row, of `y`.
        seed : int or None, default 0
            The same seed makes the same split. None: a different one each time.

        Returns
        -------
        train, test : Dataset

        Raises
        ------
        TypeError
            If `fraction` or `seed` is not a number.
        ValueError
            If `fraction` is not between 0 and 1, there are fewer than two rows, or `stratify` is asked
            for and `y` holds no classes or a class has too few rows.
        """
        fraction = as_number("fraction", fraction)
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"fraction is {fraction:g}; wanted a number strictly between 0 and 1")
        rows = len(self)
        if rows < 2:
            raise ValueError("a dataset of 1 row cannot be split; wanted at least 2 rows")
        order = as_generator(seed).permutation(rows)
        test_rows = min(max(math.floor(fraction * rows + 0.5), 1), rows - 1)
        in_test = np.zeros(rows, dtype=bool)
        if stratify:
            classes, sizes = self._classes()
            counts = _shares(sizes, test_rows)
            by_class = order[np.argsort(classes[order], kind="stable")]
            rank = np.arange(rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            in_test[by_class[rank < np.repeat(counts, sizes)]] = True
        else:
            in_test[order[:test_rows]] = True
        return self[order[~in_test[order]]], self[order[in_test[order]]]

    def shuffle(self, seed: int | None = 0) -> Dataset:
        """Return the same rows in a random order; the same seed gives the same order."""
        return self[as_generator(seed).permutation(len(self))]

    def batches(
        self, batch_size: int, *, shuffle: bool = False, seed: int | None = None, drop_last: bool = False
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Return an iterator over ``(x, y)`` of `batch_size` rows each.

        Parameters
        ----------
        batch_size : int
            Rows in a batch. The last batch is shorter if it does not divide the number of rows.
        shuffle : bool, default False
            Visit the rows in a random order. Otherwise the batches are views, not copies.
        seed : int or None
            The same seed gives the same order. None: a different one each time.
        drop_last : bool, default False
            Leave out a last batch that is shorter than the others.

        Raises
        ------
        TypeError, ValueError
            If `batch_size` is not an integer of at least 1. Raised at once, not at the first batch.
        """
        size = as_count("batch_size", batch_size)
        order = as_generator(seed).permutation(len(self)) if shuffle else None
        end = len(self) - len(self) % size if drop_last else len(self)
        return self._walk(size, end, order)

    def standardise(self) -> tuple[Dataset, Standardise]:
        """Return the dataset with features of mean 0 and deviation 1, and the transform that did it."""
        transform = Standardise.fit(self)
        return transform(self), transform

    def normalise(self, low: ArrayLike = 0.0, high: ArrayLike = 255.0) -> tuple[Dataset, Normalise]:
        """Return the dataset with `low` .. `high` brought to 0 .. 1, and the transform that did it."""
        transform = Normalise(low, high)
        return transform(self), transform

    def with_x(self, x: ArrayLike) -> Dataset:
        """Return a dataset of other samples, as many, for the same targets and names.

        The names of the features are kept if a sample has the same shape as before.

        Raises
        ------
        TypeError, ValueError
            As for a new dataset.
        """
        samples = _samples(x)
        if len(samples) != len(self):
            raise ValueError(f"x has {len(samples)} rows; the dataset has {len(self)}")
        return self._replaced(samples, self._y)

    def _replaced(self, x: NDArray[Any], y: NDArray[Any]) -> Dataset:
        """Return a dataset of arrays that are known to be good, with this one's names."""
        other = object.__new__(Dataset)
        other._x, other._y = read_only(x), read_only(y)
        other._feature_names = self._feature_names if x.shape[1:] == self._x.shape[1:] else None
        other._class_names = self._class_names
        other._name = self._name
        return other

    def _row_numbers(self, index: ArrayLike) -> NDArray[Any]:
        rows = np.asarray(None if isinstance(index, tuple) else index)  # data[i, j] would mislead
        if rows.ndim == 1 and rows.size == 0:
            return rows.astype(np.intp)  # [] is of dtype float64
        if rows.ndim != 1 or rows.dtype.kind not in "biu":
            raise TypeError(
                f"index is {index!r}; wanted a slice, a one-dimensional array of row numbers or a mask "
                "(one row is dataset.x[i], dataset.y[i])"
            )
        return rows

    def _walk(
        self, size: int, end: int, order: NDArray[np.int64] | None
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        for start in range(0, end, size):
            stop = min(start + size, end)
            rows = slice(start, stop) if order is None else order[start:stop]
            yield self._x[rows], self._y[rows]

    def _classes(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the number of the class of each row, and the size of each class."""
        y = self._y
        if y.dtype.kind == "f" and y.ndim == 1 and not np.array_equal(y, np.rint(y)):
            raise ValueError("stratify needs classes; y holds numbers that are not whole, as in a regression")
        values, classes, sizes = np.unique(y, axis=0, return_inverse=True, return_counts=True)
        if sizes.min() < 2:
            single = values[int(np.argmin(sizes))]
            raise ValueError(f"stratify needs at least 2 rows of each class; class {single} has 1")
        return classes.reshape(-1), sizes


def _shares(sizes: NDArray[np.intp], total: int) -> NDArray[np.intp]:
    """Divide `total` rows among classes in proportion to their sizes, 1 .. size - 1 rows for each.

    Every class gets its share rounded down; the rows left over go to the largest remainders.
    """
    rest = int(sizes.sum()) - total
    if min(total, rest) < len(sizes):
        raise ValueError(
            f"stratify needs a row of each of the {len(sizes)} classes on both sides of the split; "
            f"fraction makes {rest} and {total} rows"
        )
    share = sizes * (total / sizes.sum())
    counts: NDArray[np.intp] = np.clip(np.floor(share).astype(np.intp), 1, sizes - 1)
    while counts.sum() < total:
        counts[np.argmax(np.where(counts < sizes - 1, share - counts, -np.inf))] += 1
    while counts.sum() > total:
        counts[np.argmin(np.where(counts > 1, share - counts, np.inf))] -= 1
    return counts


def _samples(x: ArrayLike) -> NDArray[Any]:
    array = as_floats("x", x)
    if array.ndim == 1:
        raise ValueError(
            f"x has shape {array.shape}; wanted (N, ...), one sample a row: x.reshape(-1, 1) makes one "
            "feature of it"
        )
    if array.size == 0:
        raise ValueError(f"x has shape {array.shape}; wanted at least one row and one feature")
    return array


def _targets(y: ArrayLike) -> NDArray[Any]:
    array = as_numbers("y", y)
    if array.ndim not in (1, 2):
        raise ValueError(f"y has shape {array.shape}; wanted (N,) or (N, O)")
    if array.size == 0:
        raise ValueError(f"y has shape {array.shape}; wanted at least one row and one target")
    if array.ndim == 1 and array.dtype.kind != "f":
        if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"y holds {array.max()}; wanted integers that fit 64 bits with a sign")
        return np.ascontiguousarray(array, dtype=np.int64)
    return as_floats("y", array)


def _names(argument: str, names: Sequence[str] | None, wanted: int | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{argument} is {names!r}; wanted a sequence of strings")
    if wanted is not None and len(names) != wanted:
        raise ValueError(f"{argument} has {len(names)} names; wanted {wanted}")
    return tuple(names)


def one_hot(labels: ArrayLike, classes: int | None = None, *, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return a row for each label: 1 in the label's column and 0 in the others.

    Parameters
    ----------
    labels : array_like, (N,)
        Whole numbers from 0.
    classes : int, optional
        The number of columns K. By default the largest label plus 1.
    dtype : dtype, default float32

    Returns
    -------
    ndarray, (N, K)

    Raises
    ------
    TypeError
        If the labels are not numbers.
    ValueError
        If a label is not a whole number in 0 .. K - 1, or `classes` is not given and there is no label.

    Examples
    --------
    >>> one_hot([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    if classes is None:
        numbers = as_labels("labels", labels)
        if numbers.size == 0:
            raise ValueError("labels is empty; wanted at least one label, or the number of classes")
        classes = int(numbers.max()) + 1
    else:
        numbers = as_labels("labels", labels, as_count("classes", classes))
    rows = np.zeros((len(numbers), classes), dtype=dtype)
    rows[np.arange(len(numbers)), numbers] = 1
    return rows


def from_one_hot(rows: ArrayLike) -> NDArray[np.int64]:
    """Return the label of each row, the inverse of `one_hot`.

    For rows of probabilities the likeliest label is ``rows.argmax(axis=1)``; here every row must hold a
    single 1 and otherwise 0.

    Parameters
    ----------
    rows : array_like, (N, K)

    Returns
    -------
    ndarray of int64, (N,)

    Raises
    ------
    TypeError
        If it does not hold numbers.
    ValueError
        If it is not two-dimensional, or a row is not a single 1 among zeros.
    """
    array = as_numbers("rows", rows)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"rows has shape {array.shape}; wanted (N, K)")
    ones = array == 1
    bad = (ones.sum(axis=1) != 1) | ((array != 0) & ~ones).any(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ValueError(f"rows[{row}] is {array[row]}; wanted a single 1 and otherwise 0")
    labels: NDArray[np.int64] = ones.argmax(axis=1).astype(np.int64)
    return labels
