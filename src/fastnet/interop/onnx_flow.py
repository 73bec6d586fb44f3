"""The way of the data through a foreign network, and the layers that it comes to.

While the nodes of a graph are read one after the other, a value that depends on the input is a `Flow`: the
stage that it follows, and what was done since to each number alone, as the values of that function at fixed
places. So an activation is known by what it computes, in however many nodes an exporter wrote it. `parts`
makes layers of a chain of stages.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnet.activations import ACTIVATIONS
from fastnet.backends.reference.activations import activation_forward
from fastnet.errors import FastnetFormatError
from fastnet.interop.assemble import Part
from fastnet.layers import Dense, Dropout, Flatten

__all__ = ["PROBES", "Flow", "Sizes", "Stage", "Value", "affine", "finish", "parts", "source"]

Array: TypeAlias = NDArray[Any]

# Close where activations bend, and so far out that a bound on a function's values shows.
_RIGHT = np.unique(np.concatenate([np.arange(0.25, 16.1, 0.25), np.geomspace(1e-8, 1e30, 77)]))
PROBES: Array = np.concatenate([-_RIGHT[::-1], [0.0], _RIGHT])
"""Where functions are looked at. Two that agree here to a millionth are taken for the same."""

_NEAR = np.abs(PROBES) <= 80  # beyond, a formula may overflow: log(1 + exp(z)) does where softplus does not
_ZERO, _ONE = int(np.flatnonzero(PROBES == 0)[0]), int(np.flatnonzero(PROBES == 1)[0])
_EXACT, _ROUNDING = 1e-12, 1e-14  # of a product and a sum, and of the term in it
_MOST_SCALED = 2048  # outputs of an activation: the layer that scales them has so many weights, squared
# Above what constants rounded to float32 can do, and far below gelu against its tanh approximation.
_TOLERANCE = 1e-6


class Stage(NamedTuple):
    """One step of the chain, and by `before` all those that lead to it.

    Attributes
    ----------
    before : Stage or None
        The previous one.
    kind : str
        "input", "dense", "affine", "flatten", "activation" or "two classes".
    shape : tuple of (int or None)
        Of one sample of its output; None where the file leaves it open.
    label : str
        The node it comes from, for messages.
    values : tuple of ndarray
        Dense: weights (inputs, units). Affine: factor and term, each () or (width,), float64.
    activation : str
        Its name, of an activation.
    """

    before: Stage | None
    kind: str
    shape: tuple[int | None, ...]
    label: str
    values: tuple[Array, ...] = ()
    activation: str = ""


class Flow(NamedTuple):
    """What depends on the input: a stage's output, and a function of each of its numbers.

    Attributes
    ----------
    stage : Stage
        The last stage.
    values : ndarray
        The function at `PROBES`, float64; bool where it is a condition.
    label : str
        The node it comes from, for messages.
    """

    stage: Stage
    values: Array
    label: str


class Sizes(NamedTuple):
    """Numbers computed from a shape; None is the number of samples."""

    values: tuple[int | None, ...]


Value: TypeAlias = Flow | Sizes | Array


def source(stage: Stage) -> Flow:
    """Return a stage's output as it is."""
    return Flow(stage, PROBES, stage.label)


def affine(flow: Flow, label: str, factor: Array, term: Array) -> Flow:
    """Return ``factor * flow + term``, where each is one number or has one for each feature."""
    stage = finish(flow)
    widths = {one.size for one in (factor, term) if one.ndim} | {
        one for one in stage.shape if one is not None
    }
    if (factor.ndim or term.ndim) and (len(stage.shape) != 1 or len(widths) != 1):
        raise FastnetFormatError(f"{label}: constants that do not go with samples of shape {stage.shape}")
    shape = stage.shape if not (factor.ndim or term.ndim) else tuple(widths)
    return source(Stage(stage, "affine", shape, label, (factor, term)))


def finish(flow: Flow) -> Stage:
    """Return the stage whose output the flow is: its own one, or one or two more for its function.

    Raises
    ------
    FastnetFormatError
        The function is no activation, nor a multiple of one, nor affine.
    """
    stage, values, label = flow
    if values is PROBES:
        return stage
    for name in ACTIVATIONS if values.dtype != np.bool_ else ():
        if name == "softmax":  # which is no function of each number alone
            continue
        found = _multiple(values, name)
        if found is not None:
            if name != "identity":
                stage = Stage(stage, "activation", stage.shape, label, (), name)
            if found != (1, 0):
                stage = Stage(stage, "affine", stage.shape, label, tuple(map(np.asarray, found)))
            return stage
    raise FastnetFormatError(
        f"{label}: what it computes is no activation that fastnet has; known: {', '.join(ACTIVATIONS)}"
    )


def _multiple(values: Array, name: str) -> tuple[float, float] | None:
    """Return factor and term by which a function comes from an activation; None if it does not."""
    known, tolerance = (PROBES, _EXACT) if name == "identity" else (_activation(name), _TOLERANCE)
    factor = float((values[_ONE] - values[_ZERO]) / (known[_ONE] - known[_ZERO]))
    term = float(values[_ZERO] - factor * known[_ZERO])
    if name != "identity" and abs(factor - 1) <= tolerance and abs(term) <= tolerance:
        factor, term = 1.0, 0.0
    if not math.isfinite(factor) or not math.isfinite(term):
        return None
    compared = np.isfinite(values) | _NEAR
    room = tolerance * abs(factor) * np.maximum(1, np.abs(known)) + _ROUNDING * abs(term)
    same = np.isfinite(known) & (np.abs(values - (factor * known + term)) <= room)
    return (factor, term) if same[compared].all() else None


def _activation(name: str) -> Array:
    """Return an activation at `PROBES`."""
    values: Array = np.empty((1, len(PROBES)))
    activation_forward(PROBES[None], values, name)
    row: Array = values[0]
    return row


# ---- layers -----------------------------------------------------------------------------------------


class _Open(NamedTuple):
    """A dense layer whose activation is still to come."""

    weights: Array
    bias: Array | None


class _Chain:
    """Collects layers; what scales and shifts between them goes into the one before, or the one after."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._open: _Open | None = None
        self._factor: Array | None = None
        self._term: Array | None = None
        self._scaled_by = ""

    def affine(self, stage: Stage) -> None:
        factor, term = stage.values
        self._scaled_by = stage.label
        self._term = term if self._term is None else self._term * factor + term
        self._factor = factor if self._factor is None else self._factor * factor

    def flatten(self, stage: Stage) -> None:
        self.parts.append(Part(Flatten()))

    def dense(self, stage: Stage) -> None:
        if self._open is not None:
            self._close("identity")
        weights, bias = stage.values[0], None
        if self._factor is not None and self._term is not None:
            if self._term.any():
                bias = np.broadcast_to(self._term, weights.shape[:1]) @ weights
            if (self._factor != 1).any():
                weights = (weights * np.reshape(self._factor, (-1, 1))).astype(weights.dtype)
            self._factor = self._term = None
        self._open = _Open(weights, bias)

    def activation(self, stage: Stage) -> None:
        if self._open is None:
            raise FastnetFormatError(
                f"{stage.label}: no Gemm or MatMul is before it; fastnet's activations are in dense layers"
            )
        self._close(stage.activation)

    def two_classes(self, stage: Stage) -> None:
        """``(1 - sigmoid(z), sigmoid(z))`` is the softmax of ``(0, z)``."""
        if self._open is None:
            raise FastnetFormatError(f"{stage.label}: joins two branches that come from no Gemm or MatMul")
        self._settle()
        weights, bias = self._open
        wide = np.concatenate([np.zeros_like(weights), weights], axis=1)
        self._open = _Open(wide, None if bias is None else np.concatenate([np.zeros_like(bias), bias]))
        self._close("softmax")

    def end(self) -> list[Part]:
        if self._open is not None:
            self._close("identity")
        if self._factor is not None:
            self._scale_outputs()
        return self.parts or [Part(Dropout(0.0))]  # which does nothing to a sample of any shape

    def _scale_outputs(self) -> None:
        """Scale what an activation put out, such as actions of a tanh, in a layer of its own."""
        weights = self.parts[-1].weights if self.parts else None
        if weights is None or weights.shape[1] > _MOST_SCALED:
            raise FastnetFormatError(
                f"{self._scaled_by}: scales what is no output of an activation, or more than {_MOST_SCALED} "
                "outputs, and no Gemm or MatMul follows"
            )
        self._open = _Open(np.eye(weights.shape[1], dtype=weights.dtype), None)
        self._close("identity")

    def _settle(self) -> None:
        """Let the open layer do the scaling that follows it."""
        if self._open is None or self._factor is None or self._term is None:
            return
        weights, bias = self._open
        if (self._factor != 1).any():
            weights = (weights * self._factor).astype(weights.dtype)
            bias = None if bias is None else bias * self._factor
        term = np.broadcast_to(self._term, weights.shape[1:])
        self._open = _Open(weights, term if bias is None else bias + term)
        self._factor = self._term = None

    def _close(self, activation: str) -> None:
        self._settle()
        assert self._open is not None
        weights, bias = self._open
        layer = Dense(weights.shape[1], activation, bias=bias is not None)
        self.parts.append(Part(layer, weights, bias))
        self._open = None


def parts(last: Stage) -> list[Part]:
    """Return the layers that the stages up to the last one come to.

    Raises
    ------
    FastnetFormatError
        There are no such layers; the message names the operator.
    """
    stages = []
    stage: Stage | None = last
    while stage is not None:
        stages.append(stage)
        stage = stage.before
    chain = _Chain()
    take = {
        "affine": chain.affine,
        "flatten": chain.flatten,
        "dense": chain.dense,
        "activation": chain.activation,
        "two classes": chain.two_classes,
    }
    for stage in reversed(stages[:-1]):  # without the input
        take[stage.kind](stage)
    return chain.end()
