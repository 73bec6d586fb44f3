"""``fastnet predict``: what a model makes of new data; and ``fastnet info MODEL``, what it says of itself."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from fastnet.cli_train import refuse_to_overwrite
from fastnet.columns import Columns, read_table
from fastnet.errors import FastnetFormatError
from fastnet.idx import read_idx
from fastnet.network import Network, load
from fastnet.transforms import Normalise, transform_from_config

__all__ = ["describe", "run"]


def run(options: argparse.Namespace) -> int:
    """Print what a model makes of new data, as CSV; return the exit code."""
    refuse_to_overwrite([options.model, options.file], [options.output])
    network = load(options.model)
    x = _inputs(network, options.model, options.file, options.delimiter)
    lines = list(_predictions(network, x, options.model))
    if options.output is None:
        _write(sys.stdout, lines)
        sys.stdout.flush()
    else:
        with open(options.output, "w", newline="", encoding="utf-8") as file:
            _write(file, lines)
    return 0


def _write(file: TextIO, lines: Sequence[Sequence[str]]) -> None:
    csv.writer(file, lineterminator="\n").writerows(lines)


def _inputs(network: Network, model: str, path: str, delimiter: str | None) -> NDArray[Any]:
    """Return the file's samples as the network wants them."""
    metadata = network.metadata
    is_array = path.endswith(".npy") or "ubyte" in Path(path).name
    if "columns" in metadata:
        if is_array:
            raise ValueError(f"{path} is no table; {model} was trained on the columns of a CSV file")
        columns = Columns.from_config(metadata["columns"])
        table = read_table(path, delimiter=columns.delimiter if delimiter is None else delimiter)
        return transform_from_config(metadata.get("scale", {}))(columns.encode(table))
    if delimiter is not None:
        raise ValueError(f"--delimiter is for CSV files; {model} was not trained on one")
    if Path(path).suffix.lower() in (".csv", ".tsv", ".txt"):
        kind = "images: an IDX file or a .npy array" if "images" in metadata else "a .npy array"
        raise ValueError(f"{path} is a table, and {model} was not trained on one; it takes {kind}")
    array = _read_array(path)
    if array.shape == network.input_shape:
        array = array[np.newaxis]
    return _pixels(array, metadata["images"], path) if "images" in metadata else array


def _read_array(path: str) -> NDArray[Any]:
    """Return the array of numbers in a .npy or IDX file."""
    if not path.endswith(".npy"):
        return read_idx(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise FastnetFormatError(f"{path} is not a .npy file, or a damaged one: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise FastnetFormatError(f"{path} does not hold an array of numbers")
    return array


def _pixels(array: NDArray[Any], description: object, path: str) -> NDArray[Any]:
    """Return images (N, H, W), or rows (N, H * W), as rows of numbers from 0 to 1."""
    try:
        assert isinstance(description, dict)
        height, width = map(int, description["shape"])
        scale = transform_from_config(description["scale"])
        assert isinstance(scale, Normalise)
        low, high = float(scale.low), float(scale.high)
    except (AssertionError, KeyError, TypeError, ValueError):
        raise FastnetFormatError(
            f"the model's description of its images is damaged: {description!r}"
        ) from None
    if array.shape == (height, width):
        array = array[np.newaxis]
    if array.ndim < 2 or math.prod(array.shape[1:]) != height * width:
        raise ValueError(f"{path} holds {array.dtype} of shape {array.shape}; wanted (N, {height}, {width})")
    rows = array.reshape(len(array), height * width)
    lowest, highest = (float(rows.min()), float(rows.max())) if rows.size else (low, high)
    if rows.dtype.kind == "f" and lowest >= 0.0 and highest <= 1.0:
        return rows
    if not (low <= lowest and highest <= high):
        raise ValueError(
            f"{path} holds numbers from {lowest:g} to {highest:g}; wanted pixels from {low:g} to {high:g}, "
            "or floats from 0 to 1"
        )
    return scale(rows)


def _predictions(network: Network, x: NDArray[Any], model: str) -> Iterator[Sequence[str]]:
    """Yield a header, and a line for each sample."""
    output, metadata = network.predict(x), network.metadata
    if metadata.get("task") == "classification":
        classes = metadata.get("classes")
        if not isinstance(classes, list) or len(classes) != output.shape[1]:
            raise FastnetFormatError(f"{model}: its list of classes is damaged: {classes!r}")
        yield "prediction", "probability"
        for row in output:
            best = int(row.argmax())
            yield str(classes[best]), f"{row[best]:.6f}"
    elif "target_scale" in metadata:
        yield ("prediction",)
        for value in transform_from_config(metadata["target_scale"]).inverse(output[:, 0]):
            yield (str(value),)
    else:
        yield tuple(f"output_{index}" for index in range(output.shape[1]))
        for row in output:
            yield tuple(map(str, row))


def describe(network: Network) -> str:
    """Return the network's summary and where it comes from."""
    metadata = network.metadata
    lines = [str(network.summary())]
    if "columns" in metadata:
        columns = Columns.from_config(metadata["columns"])
        names = ", ".join(column.name for column in columns.features)
        lines += ["", f"{columns.task} of {columns.target!r} from {names}"]
    elif "images" in metadata:
        shape = metadata["images"].get("shape") if isinstance(metadata["images"], dict) else None
        lines += ["", f"{metadata.get('task')} of images {shape}"]
    if metadata.get("classes"):
        lines.append(f"classes: {', '.join(map(str, metadata['classes']))}")
    if isinstance(metadata.get("training"), dict):
        lines.append("trained")
        lines += [f"  {name:<14} {value}" for name, value in metadata["training"].items()]
    return "\n".join(lines)
