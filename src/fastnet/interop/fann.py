"""FANN's text files, which its `fann_save` writes.

The first line names the version; the others are ``key=value``, of which those of `_KEYS` say what the
network is and the rest how it was trained (``src/fann_io.c`` of FANN 2.2, https://github.com/libfann/fann).
Layers count one neuron more than they have units: the last one is the bias, 1, of the layer that follows.

Nothing is allocated for what a file claims before as many numbers have been found in it.
"""

from __future__ import annotations

import math
import os
import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnet.checks import check_dtype
from fastnet.errors import FastnetFormatError, existing, warn
from fastnet.interop.assemble import Part, assemble
from fastnet.layers import Dense
from fastnet.network import Network

__all__ = ["from_fann"]

_Floats = NDArray[np.float64]

_VERSIONS = ("FANN_FLO_2.0", "FANN_FLO_2.1")
_NEURONS = "neurons (num_inputs, activation_function, activation_steepness)"
_CONNECTIONS = "connections (connected_to_neuron, weight)"
_SCALE = ("scale_mean", "scale_deviation", "scale_new_min", "scale_factor")
_OPTIONAL = {"scale_included", *(f"{name}_{side}" for name in _SCALE for side in ("in", "out"))}
_KEYS = {"num_layers", "connection_rate", "network_type", "layer_sizes", _NEURONS, _CONNECTIONS}

_WHOLE, _REAL = r"(\d{1,9})", r"([-+.\dEeNnAaIiFf]{1,60})"
_ITEMS = {
    "layer_sizes": re.compile(rf"{_WHOLE}(?: +|$)"),
    _NEURONS: re.compile(rf"\({_WHOLE}, {_WHOLE}, {_REAL}\)(?: +|$)"),
    _CONNECTIONS: re.compile(rf"\({_WHOLE}, {_REAL}\)(?: +|$)"),
}
_REALS = re.compile(rf"{_REAL}(?: +|$)")

# By FANN's numbers (`fann_data.h`).
_ACTIVATIONS = (
    "FANN_LINEAR",
    "FANN_THRESHOLD",
    "FANN_THRESHOLD_SYMMETRIC",
    "FANN_SIGMOID",
    "FANN_SIGMOID_STEPWISE",
    "FANN_SIGMOID_SYMMETRIC",
    "FANN_SIGMOID_SYMMETRIC_STEPWISE",
    "FANN_GAUSSIAN",
    "FANN_GAUSSIAN_SYMMETRIC",
    "FANN_GAUSSIAN_STEPWISE",
    "FANN_ELLIOT",
    "FANN_ELLIOT_SYMMETRIC",
    "FANN_LINEAR_PIECE",
    "FANN_LINEAR_PIECE_SYMMETRIC",
    "FANN_SIN_SYMMETRIC",
    "FANN_COS_SYMMETRIC",
    "FANN_SIN",
    "FANN_COS",
)
# What each is here, and what its total input is multiplied by besides the steepness s: FANN's sigmoid is
# 1 / (1 + exp(-2 s z)). A threshold is not "step": it is 1 where the total input is 0, and "step" is 0.
_EXPRESSED = {
    "FANN_LINEAR": ("identity", 1.0),
    "FANN_SIGMOID": ("sigmoid", 2.0),
    "FANN_SIGMOID_STEPWISE": ("sigmoid", 2.0),
    "FANN_SIGMOID_SYMMETRIC": ("tanh", 1.0),
    "FANN_SIGMOID_SYMMETRIC_STEPWISE": ("tanh", 1.0),
}
# How far these are from the exact functions, which stand for them.
_STEPWISE = {"FANN_SIGMOID_STEPWISE": 0.034, "FANN_SIGMOID_SYMMETRIC_STEPWISE": 0.067}

# FANN keeps the total input, times the steepness s, between -150 / s and 150 / s. Up to this steepness,
# sigmoid and tanh are there within 8e-6 of where they go; steeper ones have other limits than the functions.
_STEEPEST = 24.0

# Connections that are not there become weights 0: so many weights for each that is, and so many in any case.
_SPARSEST, _SMALL = 64, 1 << 20


class _Layer(NamedTuple):
    """One layer of the file: weights (inputs + 1, units) with the bias last, and its units."""

    weights: _Floats
    activations: tuple[str, ...]
    steepness: _Floats


def from_fann(path: str | os.PathLike[str], dtype: DTypeLike = "float32") -> Network:
    """Read a network that FANN wrote with `fann_save`: a ``.net`` file.

    It reads layered networks with FANN_LINEAR, FANN_SIGMOID or FANN_SIGMOID_SYMMETRIC in each layer.
    Steepness goes into the weights, and connections that a sparse network lacks become weights 0. Scaling, if
    the file has it, goes into the first and the last layer (into one of its own after outputs that are not
    linear): `predict` then does what `fann_scale_input`, `fann_run` and `fann_descale_output` do together.
    FANN keeps the output of a FANN_LINEAR unit within ±150 / steepness; here nothing is cut.

    Parameters
    ----------
    path : path-like
        A file of version FANN_FLO_2.0 or FANN_FLO_2.1.
    dtype : {"float32", "float64"}
        Of the network.

    Returns
    -------
    Network

    Warns
    -----
    UserWarning
        A layer has FANN's stepwise approximation of an activation, which is also FANN's default; the network
        has the exact function.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FastnetFormatError
        It is no such file, a damaged one, or holds what a network here cannot express, which is named.
    """
    kind, name = check_dtype(dtype), os.fspath(path)
    try:
        with existing(name), open(name, "rb") as file:
            _check_version(file.readline(40))
            fields = _fields(file.read())
        layers = _layers(fields)
        with np.errstate(all="ignore"):  # what is too large becomes infinite, which `assemble` finds
            parts = [_part(number, layer) for number, layer in enumerate(layers, 1)]
            if fields.get("scale_included", "0") != "0":
                parts = _scaled(parts, fields)
            parts = [Part(layer, _as(kind, weights), _as(kind, bias)) for layer, weights, bias in parts]
        network = assemble(parts, len(layers[0].weights) - 1, kind)
    except ValueError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise FastnetFormatError(f"{name}: {error}") from None
    _warn_of_steps(name, layers)
    return network


# ---- the text -----------------------------------------------------------------------------------------


def _check_version(line: bytes) -> None:
    version = line.strip().decode("ascii", "replace")
    if version in _VERSIONS:
        return
    if version.startswith("FANN_FIX_"):
        raise FastnetFormatError(
            f"it is a network of whole numbers ({version}), written by fann_save_to_fixed; wanted the one of "
            "floats that it was made from, written by fann_save"
        )
    if version.startswith("FANN_FLO_"):
        raise FastnetFormatError(
            f"its version is {version}; wanted {' or '.join(_VERSIONS)}: FANN 2 can read it and write it anew"
        )
    raise FastnetFormatError(f"it begins with {version[:20]!r}; wanted FANN's text format, {_VERSIONS[-1]}")


def _fields(content: bytes) -> dict[str, str]:
    """Return what the lines of `_KEYS` and `_OPTIONAL` say."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError as error:
        raise FastnetFormatError(f"it is not text: byte {content[error.start]:#x}") from None
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and (key in _KEYS or key in _OPTIONAL):
            if key in fields:
                raise FastnetFormatError(f"it has {key!r} twice")
            fields[key] = value.strip(" \t\r")
        if key == "learning_rate" and "," in value:
            raise FastnetFormatError(
                f"its numbers have commas (learning_rate={value.strip()[:20]}): FANN wrote it under a locale "
                "with decimal commas; read it there and write it anew under LC_NUMERIC=C"
            )
    for key in sorted(_KEYS):
        if key not in fields:
            raise FastnetFormatError(f"it lacks {key!r}; it may have been cut off")
    return fields


def _items(fields: dict[str, str], key: str) -> _Floats:
    """Return the numbers of a line of items, (items, numbers of each)."""
    text, item = fields[key], _ITEMS.get(key, _REALS)
    values, place = array("d"), 0
    while place < len(text):
        found = item.match(text, place)
        try:
            if found is None:
                raise ValueError
            values.extend(map(float, found.groups()))
        except ValueError:
            raise FastnetFormatError(
                f"{key.partition(' ')[0]} has {text[place : place + 30]!r} where a number or item was wanted"
            ) from None
        place = found.end()
    return np.array(values).reshape(-1, item.groups)


def _number(fields: dict[str, str], key: str) -> float:
    found = _REALS.fullmatch(fields[key])
    try:
        return float(found[1] if found else "")
    except ValueError:
        raise FastnetFormatError(f"{key} is {fields[key][:20]!r}; wanted a number") from None


# ---- the network --------------------------------------------------------------------------------------


def _layers(fields: dict[str, str]) -> list[_Layer]:
    """Return the layers after the input's, checked against each other."""
    if _number(fields, "network_type") != 0:
        raise FastnetFormatError(
            f"its network_type is {fields['network_type'][:20]}; wanted 0, a layered network (1 is one with "
            "shortcuts, such as cascade training makes)"
        )
    sizes = _items(fields, "layer_sizes")[:, 0].astype(np.int64)
    if len(sizes) != _number(fields, "num_layers") or len(sizes) < 2 or sizes.min() < 2:
        raise FastnetFormatError(
            f"layer_sizes is {fields['layer_sizes'][:40]!r} and num_layers {fields['num_layers'][:20]!r}; "
            "wanted two layers or more, each of a unit and a bias at least"
        )
    neurons, connections = _items(fields, _NEURONS), _items(fields, _CONNECTIONS)
    if len(neurons) != sizes.sum():
        raise FastnetFormatError(f"it has {len(neurons)} neurons; its layer_sizes add up to {sizes.sum()}")
    if len(connections) != neurons[:, 0].sum():
        raise FastnetFormatError(
            f"it has {len(connections)} connections; its neurons have {neurons[:, 0].sum():.0f} together"
        )
    _check_size(sum(int(i) * (int(o) - 1) for i, o in pairwise(sizes)), len(connections))
    if neurons[: sizes[0], 0].any():
        raise FastnetFormatError("neurons of its first layer have connections; wanted none")
    full = _number(fields, "connection_rate") >= 1
    starts = np.cumsum(sizes) - sizes
    return [
        _layer(number, rows, used, start, full)
        for number, (rows, used, start) in enumerate(_split(neurons, connections, sizes, starts), 1)
    ]


def _split(
    neurons: _Floats, connections: _Floats, sizes: NDArray[np.int64], starts: NDArray[np.int64]
) -> Iterator[tuple[_Floats, _Floats, tuple[int, int]]]:
    """Yield each layer's neurons, their connections, and where the layer before starts and ends."""
    used = 0
    for number in range(1, len(sizes)):
        rows = neurons[starts[number] : starts[number] + sizes[number]]
        count = int(rows[:, 0].sum())
        before = int(starts[number - 1]), int(starts[number])
        yield rows, connections[used : used + count], before
        used += count


def _layer(
    number: int, neurons: _Floats, connections: _Floats, before: tuple[int, int], full: bool
) -> _Layer:
    """Return one layer; `full` says that FANN takes its connections by their order."""
    counts = neurons[:, 0].astype(np.int64)
    if counts[-1] != 0 or counts[:-1].min() == 0:
        raise FastnetFormatError(
            f"layer {number} has a unit without connections or a bias with some; wanted units, then one bias"
        )
    sources, units, inputs = connections[:, 0].astype(np.int64), len(counts) - 1, before[1] - before[0]
    if sources.min() < before[0] or sources.max() >= before[1]:
        raise FastnetFormatError(
            f"layer {number} is connected to neurons {sources.min()} to {sources.max()}; wanted those of the "
            f"layer before, {before[0]} to {before[1] - 1}"
        )
    places = (sources - before[0]) * units + np.repeat(np.arange(units), counts[:-1])
    if full:  # then FANN does not look at what they are connected to
        if not np.array_equal(places, np.arange(inputs * units).reshape(inputs, units).T.ravel()):
            raise FastnetFormatError(
                f"layer {number} lacks connections or has them out of order at connection_rate 1"
            )
    elif len(np.unique(places)) != len(places):
        raise FastnetFormatError(f"layer {number} has the same connection twice")
    weights = np.zeros(inputs * units)
    weights[places] = connections[:, 1]
    names = tuple(_activation(number, int(one)) for one in np.unique(neurons[:-1, 1]))
    return _Layer(weights.reshape(inputs, units), names, neurons[:-1, 2])


def _check_size(size: int, connections: int) -> None:
    """Refuse to make room for much more than the file holds."""
    if size > max(_SMALL, _SPARSEST * connections):
        raise FastnetFormatError(
            f"it would need {size} weights for its {connections} connections; wanted at least one connection "
            f"for {_SPARSEST} weights"
        )


def _activation(number: int, found: int) -> str:
    """Return FANN's name of an activation."""
    if found >= len(_ACTIVATIONS):
        raise FastnetFormatError(f"layer {number} has the unknown activation function {found}")
    name = _ACTIVATIONS[found]
    if name not in _EXPRESSED:
        known = ", ".join(_EXPRESSED)
        raise FastnetFormatError(
            f"layer {number} has {name}, which no activation here equals; wanted one of {known}"
        )
    return name


def _part(number: int, layer: _Layer) -> Part:
    """Return a layer with its steepness in the weights."""
    (activation, factor), *others = {_EXPRESSED[name] for name in layer.activations}
    if others:
        raise FastnetFormatError(
            f"layer {number} has units with different activations ({', '.join(layer.activations)}); "
            "wanted one for all"
        )
    low, high = float(layer.steepness.min()), float(layer.steepness.max())
    highest = math.inf if activation == "identity" else _STEEPEST
    if not (low > 0 and math.isfinite(high) and high <= highest):  # also where one is NaN
        raise FastnetFormatError(
            f"layer {number} has a steepness of {low if low <= 0 else high:g}; wanted more than 0 and, but "
            f"for FANN_LINEAR, no more than {_STEEPEST:g}"
        )
    weights = layer.weights * (layer.steepness * factor)
    return Part(Dense(weights.shape[1], activation), weights[:-1], weights[-1])


def _scaled(parts: list[Part], fields: dict[str, str]) -> list[Part]:
    """Return the layers with the scaling of inputs and outputs in them."""
    (first, weights, bias), *_ = parts
    assert weights is not None and bias is not None
    slope, shift = _scale(fields, "in", len(weights))
    parts = [Part(first, slope[:, None] * weights, bias + shift @ weights), *parts[1:]]
    *others, (last, weights, bias) = parts
    assert weights is not None and bias is not None and isinstance(last, Dense)
    slope, shift = _scale(fields, "out", last.units)
    slope, shift = 1 / slope, -shift / slope
    if last.activation == "identity":
        return [*others, Part(last, weights * slope, bias * slope + shift)]
    _check_size(last.units**2, last.units)
    return [*parts, Part(Dense(last.units), np.diag(slope), shift)]


def _scale(fields: dict[str, str], side: str, count: int) -> tuple[_Floats, _Floats]:
    """Return slope and shift of what FANN does to the numbers of one side before they meet the network.

    ``((x - mean) / deviation + 1) * factor + new_min``, and the inverse afterwards (`fann_scale_input`).
    """
    found = []
    for name in _SCALE:
        key = f"{name}_{side}"
        if key not in fields:
            raise FastnetFormatError(f"it lacks {key!r}; it may have been cut off")
        values = _items(fields, key)[:, 0]
        if len(values) != count or not np.isfinite(values).all():
            raise FastnetFormatError(f"{key} is {fields[key][:30]!r}; wanted {count} finite numbers")
        if name in ("scale_deviation", "scale_factor") and not values.all():
            raise FastnetFormatError(f"{key} has a 0, by which nothing can be divided")
        found.append(values)
    mean, deviation, new_min, factor = found
    slope = factor / deviation
    return slope, factor - mean * slope + new_min


def _as(dtype: np.dtype[Any], values: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if values is None else values.astype(dtype)


def _warn_of_steps(path: str, layers: list[_Layer]) -> None:
    """Say in which layers an exact function stands for an approximation."""
    found = {name for layer in layers for name in layer.activations if name in _STEPWISE}
    for name in sorted(found):
        warn(
            f"{path} has {name}, straight lines in place of a curve; the network has the curve, from which "
            f"each such unit differs by up to {_STEPWISE[name]}",
            UserWarning,
        )
