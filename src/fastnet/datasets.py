"""Datasets to train on: classics, small ones that teach, and your own CSV files.

`digits` and `mnist` have a part to test on and return ``(train, test)``; all others return one `Dataset`,
which ``split`` divides. Samples are float32 (of `csv`, float64); classes are int64 labels of shape (N,),
also where there are two, 0 and 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.arrays import as_count, as_generator, as_number
from fastnet.columns import Columns, Task, read_table
from fastnet.data import Dataset
from fastnet.download import cache_folder, fetch
from fastnet.errors import FastnetFormatError, MissingFileError, missing
from fastnet.idx import read_idx

__all__ = [
    "MNIST_SHA256",
    "MNIST_URLS",
    "csv",
    "digits",
    "mnist",
    "moons",
    "nand",
    "parity",
    "read_idx",
    "spirals",
    "trask",
    "xor",
]

_DIGIT_NAMES = tuple(map(str, range(10)))
_MNIST_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

MNIST_URLS: tuple[str, ...] = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Where MNIST is downloaded from, in this order: the mirrors of PyTorch and TensorFlow."""

MNIST_SHA256: Mapping[str, str] = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""The SHA-256 sums of the files as LeCun, Cortes and Burges published them."""


def digits(test: float = 0.25, seed: int | None = 0) -> tuple[Dataset, Dataset]:
    """Return the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn.

    They are the test part of the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin and
    C. Kaynak, 1998, https://doi.org/10.24432/C50P49).

    Parameters
    ----------
    test : float, default 0.25
        The part to test on, with all digits in equal shares.
    seed : int or None, default 0
        The same seed makes the same split.

    Returns
    -------
    train, test : Dataset
        x (N, 64) float32, the pixels 0 .. 16 brought to 0 .. 1; y (N,) labels 0 .. 9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.
    TypeError, ValueError
        If `test` is not a number between 0 and 1.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise missing("loading the digits", "scikit-learn", "cli") from None
    pixels, labels = load_digits(return_X_y=True)
    data = Dataset(
        (pixels / 16.0).astype(np.float32),
        labels,
        feature_names=[f"pixel_{row}_{column}" for row in range(8) for column in range(8)],
        class_names=_DIGIT_NAMES,
        name="digits",
    )
    return data.split(test, stratify=True, seed=seed)


def mnist(
    root: str | os.PathLike[str] | None = None,
    *,
    flat: bool = True,
    urls: Sequence[str] = MNIST_URLS,
    checksums: Mapping[str, str] = MNIST_SHA256,
) -> tuple[Dataset, Dataset]:
    """Return MNIST: 60,000 handwritten digits of 28 x 28 pixels to train on and 10,000 to test on.

    The four IDX files, gzipped or not, are looked for in `root` or, without it, in the folder that the
    environment variable FASTNET_DATA names; in either, a folder `mnist` inside will do. If neither is
    given they are downloaded, once, to the cache: FASTNET_CACHE, else XDG_CACHE_HOME/fastnet, else
    ~/.cache/fastnet. Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/. Other
    sets with the same names and shapes, such as Fashion-MNIST, can be read from their folder too.

    Parameters
    ----------
    root : path, optional
        The folder with the files.
    flat : bool, default True
        Whether x is (N, 784) or (N, 1, 28, 28).
    urls : sequence of str
        Base addresses to download from, tried in this order.
    checksums : mapping of str to str
        The SHA-256 sum that a downloaded file of each name must have. Files in `root` or FASTNET_DATA
        may differ: only their form is checked.

    Returns
    -------
    train, test : Dataset
        x float32, the pixels 0 .. 255 brought to 0 .. 1; y (N,) labels 0 .. 9.

    Raises
    ------
    FileNotFoundError
        If `root` or FASTNET_DATA is given and a file is not there.
    OSError
        If the files cannot be downloaded.
    FastnetFormatError
        If a file is damaged or not of MNIST's form.
    """
    paths = {stem: _mnist_path(stem, root, urls, checksums) for stem in _MNIST_STEMS}
    images, labels, test_images, test_labels = (paths[stem] for stem in _MNIST_STEMS)
    return _mnist_part(images, labels, flat), _mnist_part(test_images, test_labels, flat)


def _mnist_path(
    stem: str, root: str | os.PathLike[str] | None, urls: Sequence[str], checksums: Mapping[str, str]
) -> Path:
    """Return where the file with this name, or this name and .gz, is; download it if no folder is given."""
    folder, origin = (root, "root") if root is not None else (os.environ.get("FASTNET_DATA"), "FASTNET_DATA")
    if not folder:
        name = f"{stem}.gz"
        if name not in checksums:
            raise ValueError(f"checksums has no sum for {name}")
        try:
            return fetch(name, cache_folder() / "mnist", urls=urls, sha256=checksums[name])
        except OSError as error:
            raise OSError(f"{error}; a folder that has it can be given as root or in FASTNET_DATA") from error
    for place in (Path(folder), Path(folder) / "mnist"):
        for name in (stem, f"{stem}.gz"):
            if (place / name).is_file():
                return place / name
    raise MissingFileError(f"no file {stem} or {stem}.gz in {folder} ({origin}) or its folder mnist")


def _mnist_part(images_path: Path, labels_path: Path, flat: bool) -> Dataset:
    """Return the dataset of a file of images and a file of their labels."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        raise FastnetFormatError(
            f"{images_path} holds {images.dtype} of shape {images.shape}; wanted uint8 of shape (N, 28, 28)"
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise FastnetFormatError(
            f"{labels_path} holds {labels.dtype} of shape {labels.shape}; "
            f"wanted uint8 of shape {images.shape[:1]}, a label for each image"
        )
    if labels.max() > 9:
        raise FastnetFormatError(f"{labels_path} holds the label {labels.max()}; wanted 0 .. 9")
    x = images.reshape((-1, 784) if flat else (-1, 1, 28, 28)).astype(np.float32)
    x /= 255.0
    return Dataset(x, labels, class_names=_DIGIT_NAMES, name="mnist")


def csv(
    path: str | os.PathLike[str],
    target: str,
    *,
    task: Task | None = None,
    delimiter: str | None = None,
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    max_categories: int = 100,
) -> Dataset:
    """Return the table in a CSV file, with one of its columns as the target.

    Numbers are taken as they are; a column of text becomes one feature of 0 or 1 for each of its
    categories, in sorted order; a mixture of the two is an error. To read further files the same way, as
    for predictions, use `fastnet.columns.Columns`, which this function is a shorthand for.

    Parameters
    ----------
    path : str or path-like
        UTF-8 text whose first line names the columns.
    target : str
        The column to be predicted.
    task : {"classification", "regression"}, optional
        By default text is classified; so are integers of at most 20 different values that number at most
        half the rows; other numbers are a regression.
    delimiter : str, optional
        The character between fields; found from comma, semicolon, tab and bar if not given.
    exclude : sequence of str
        Columns to leave out, such as names and numbers that only identify a row.
    categorical : sequence of str
        Columns whose values are categories, also where some or all are numbers. Of the target, `task` says
        that.
    max_categories : int, default 100
        A column with more categories than this is an error.

    Returns
    -------
    Dataset
        x (N, F) float64 with feature names; y (N,) int64 labels with class names for a classification,
        float64 numbers without for a regression.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FastnetFormatError
        If the file is not in order, a column is not there, a value is missing (the message names line
        and column) or not finite, at least half of a column are numbers and the others are not, or the
        target does not suit the task.
    TypeError, ValueError
        If an argument is not what it should be.
    """
    table = read_table(path, delimiter=delimiter)
    columns = Columns.fit(
        table, target, task=task, exclude=exclude, categorical=categorical, max_categories=max_categories
    )
    return columns.dataset(table)


def nand() -> Dataset:
    """Return the truth table of NAND: x (4, 2), y (4,) is 0 only where both inputs are 1."""
    return _truth_table(2, [1, 1, 1, 0], "nand")


def xor() -> Dataset:
    """Return the truth table of XOR: x (4, 2), y (4,) is 1 where the inputs differ.

    A network without a hidden layer cannot learn it.
    """
    return _truth_table(2, [0, 1, 1, 0], "xor")


def parity(bits: int) -> Dataset:
    """Return all binary numbers of so many bits, in order, and whether they are even.

    Parameters
    ----------
    bits : int
        From 1 to 20.

    Returns
    -------
    Dataset
        x (2**bits, bits), the most significant bit first; y is 1 for even and 0 for odd numbers.

    Raises
    ------
    TypeError, ValueError
        If `bits` is not an integer from 1 to 20.
    """
    bits = as_count("bits", bits, 1, 20)
    return _truth_table(bits, 1 - np.arange(2**bits) % 2, "parity", class_names=("odd", "even"))


def trask() -> Dataset:
    """Return the four rows of the 11-line network: x 001, 011, 101, 111 and y 0, 0, 1, 1, the first bit.

    From A. Trask, "A Neural Network in 11 lines of Python (Part 1)", 2015,
    https://iamtrask.github.io/2015/07/12/basic-python-network/. The last input is always 1: it stands
    for the bias.
    """
    return Dataset(_bits(3)[1::2], [0, 0, 1, 1], name="trask")


def spirals(n: int = 300, classes: int = 3, noise: float = 0.2, seed: int | None = 0) -> Dataset:
    """Return points of the plane on spiral arms, one class for each arm, in random order.

    Parameters
    ----------
    n : int, default 300
        Number of points, at least one a class, shared equally as far as they divide.
    classes : int, default 3
        Number of arms, at least 2.
    noise : float, default 0.2
        Standard deviation of the angle, in radians. Arms of K classes are 2 pi / K apart.
    seed : int or None, default 0
        The same seed gives the same points.

    Returns
    -------
    Dataset
        x (n, 2) within the unit circle; y (n,) labels 0 .. classes - 1.

    Raises
    ------
    TypeError, ValueError
        If a number is not in its range.
    """
    classes = as_count("classes", classes, minimum=2)
    n = as_count("n", n, minimum=classes)
    noise = as_number("noise", noise, minimum=0.0)
    random = as_generator(seed)
    labels = np.arange(n) % classes
    # The k-th point of each arm is at the same radius; an arm turns by 4 radians from center to rim.
    radius = (np.arange(n) // classes + 1) / -(-n // classes)
    angle = 4.0 * radius + 2.0 * np.pi * labels / classes + noise * random.standard_normal(n)
    points = radius[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _points(points, labels, random, "spirals")


def moons(n: int = 200, noise: float = 0.1, seed: int | None = 0) -> Dataset:
    """Return points of the plane on two half circles that reach into each other, in random order.

    Parameters
    ----------
    n : int, default 200
        Number of points, at least 2; half of them, rounded up, on the upper half circle.
    noise : float, default 0.1
        Standard deviation of what is added to each coordinate. The circles have radius 1.
    seed : int or None, default 0
        The same seed gives the same points.

    Returns
    -------
    Dataset
        x (n, 2); y (n,) labels, 0 for the half circle around (0, 0), which is above, and 1 for the one
        around (1, 0.5), which is below.

    Raises
    ------
    TypeError, ValueError
        If a number is not in its range.
    """
    n = as_count("n", n, minimum=2)
    noise = as_number("noise", noise, minimum=0.0)
    random = as_generator(seed)
    upper = np.linspace(0.0, np.pi, n - n // 2)
    lower = np.linspace(0.0, np.pi, n // 2)
    points = np.concatenate(
        [
            np.stack([np.cos(upper), np.sin(upper)], axis=1),
            np.stack([1.0 - np.cos(lower), 0.5 - np.sin(lower)], axis=1),
        ]
    )
    points += noise * random.standard_normal(points.shape)
    return _points(points, np.repeat([0, 1], [len(upper), len(lower)]), random, "moons")


def _bits(count: int) -> NDArray[np.float32]:
    """Return the binary numbers of `count` bits, (2**count, count), the most significant bit first."""
    numbers = np.arange(2**count)[:, np.newaxis]
    return (numbers >> np.arange(count - 1, -1, -1) & 1).astype(np.float32)


def _truth_table(
    inputs: int, outputs: ArrayLike, name: str, class_names: Sequence[str] | None = None
) -> Dataset:
    return Dataset(_bits(inputs), outputs, class_names=class_names, name=name)


def _points(
    points: NDArray[np.float64], labels: NDArray[np.int64], random: np.random.Generator, name: str
) -> Dataset:
    order = random.permutation(len(points))
    return Dataset(points[order].astype(np.float32), labels[order], name=name)
