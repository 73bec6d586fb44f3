"""Checking what callers pass, before anything is changed.

Each function returns its argument in the form in which the executors want it, or raises a `ValueError` or
`TypeError` that names the argument, what was wanted and what came. Data that is right already is neither
copied nor converted, and costs about a microsecond.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet import losses
from fastnet.arrays import as_count, as_number, as_numbers, require_finite
from fastnet.graph import Graph
from fastnet.losses import Loss

__all__ = [
    "ClassWeight",
    "LossFunction",
    "LossSpec",
    "check_dtype",
    "check_inputs",
    "check_loss",
    "check_metric",
    "check_sample_weight",
    "check_samples",
    "check_seed",
    "check_shape",
    "check_targets",
    "check_weights",
    "is_finite",
]

Array: TypeAlias = NDArray[Any]
LossFunction: TypeAlias = Callable[[Array, Array], tuple[float, ArrayLike]]
"""A loss of the user's own: ``(output, target) -> (value, d_output)``, output and d_output (N, O)."""
LossSpec: TypeAlias = str | Loss | LossFunction
ClassWeight: TypeAlias = Mapping[Any, float] | Literal["balanced"]

# Below this, one dot product is the cheapest look for NaN, and no BLAS spreads it over threads.
_SMALL = 8192
_CHUNK = 1 << 16  # elements: enough to amortise the calls, few enough to be in the cache for a second look
_SEED_LIMIT = 1 << 63


# ---- descriptions of a network ------------------------------------------------------------------------


def check_dtype(dtype: object) -> np.dtype[Any]:
    """Return float32 or float64 as a native dtype."""
    try:
        name = np.dtype(dtype).name if dtype is not None else ""  # type: ignore[call-overload]
    except TypeError:
        name = ""
    if name in ("float32", "float64"):
        return np.dtype(name)
    raise ValueError(f"dtype is {dtype!r}; wanted 'float32' or 'float64'")


def check_seed(seed: object) -> int:
    """Return a seed, 0 .. 2**63 - 1; None draws one from the operating system."""
    if seed is None:
        return int.from_bytes(os.urandom(8), "little") % _SEED_LIMIT
    return as_count("seed", seed, 0, _SEED_LIMIT - 1)


def check_shape(inputs: object) -> tuple[int, ...]:
    """Return the shape of one sample from a number of features or from a shape."""
    if isinstance(inputs, (tuple, list)):
        if not inputs:
            raise ValueError(
                "inputs is an empty shape; wanted a number of features or a shape such as (1, 28, 28)"
            )
        return tuple(as_count("inputs", size) for size in inputs)
    return (as_count("inputs", inputs),)


# ---- losses and metrics ---------------------------------------------------------------------------------


def check_loss(loss: LossSpec, graph: Graph) -> Loss | LossFunction:
    """Return the loss, after checking that it fits what the network puts out."""
    if not isinstance(loss, (str, Loss)) and callable(loss):
        return loss
    found = losses.get(loss)
    activation = graph.output_activation
    if activation not in found.outputs:
        raise ValueError(
            f"loss {found.name!r} does not fit an output layer with the activation {activation!r}: "
            f"{found.instead}"
        )
    if found.name == "cross_entropy" and graph.size(graph.output) == 1:
        raise ValueError(
            "loss 'cross_entropy' is always 0 where the network has one output: for two classes take one "
            "output with the activation 'sigmoid' and loss='binary_cross_entropy', or two outputs"
        )
    return found


def check_metric(loss: Loss | LossFunction, graph: Graph, targets: Array) -> str:
    """Return how the executors count right predictions; ``""`` where there is no accuracy to speak of."""
    if not isinstance(loss, Loss):  # whose targets may be anything, but for labels
        return "argmax" if graph.output_activation == "softmax" and targets.ndim == 1 else ""
    if loss.classifies:
        return "argmax" if loss.labels else "sign" if loss.targets == "sign" else "threshold"
    activation = graph.output_activation
    if activation == "softmax":
        return "argmax"
    if activation in ("sigmoid", "step") and bool(((targets == 0) | (targets == 1)).all()):
        return "threshold"
    return ""


# ---- data -----------------------------------------------------------------------------------------------


def check_inputs(
    x: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "x", finite: bool = True
) -> Array:
    """Return samples, (N, *shape), as finite, C-contiguous rows (N, I) of a dtype.

    Whether they are finite is left to others where `finite` is False.

    Raises
    ------
    TypeError
        They are not numbers.
    ValueError
        They have another shape, or one is NaN, infinite or too large for the dtype.
    """
    array = as_numbers(name, x)
    if array.shape[1:] != shape or array.ndim == 0:
        raise ValueError(_shape_problem(name, array, shape))
    rows = _finite(name, array, dtype) if finite else _converted(array, dtype)
    return rows.reshape(len(array), math.prod(shape))


def check_samples(x: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], name: str = "x") -> Array:
    """Return rows as `check_inputs` does, but at least one."""
    rows = check_inputs(x, shape, dtype, name)
    if not len(rows):
        raise ValueError(f"{name} has no rows; wanted at least one")
    return rows


def check_targets(
    y: ArrayLike,
    rows: int,
    loss: Loss | LossFunction,
    graph: Graph,
    dtype: np.dtype[Any],
    name: str = "y",
    inputs: str = "x",
) -> Array:
    """Return targets as an executor wants them: int64 labels (N,), or rows (N, O) of a dtype.

    Parameters
    ----------
    y : array_like
        Labels (N,) where the loss takes them; else (N, O), or (N,) where there is one output. A function as
        loss gets rows of any shape.
    rows : int
        N, the number of samples in x.
    loss : Loss or callable
        Decides which targets are legal.
    graph : Graph
        Its output's shape is wanted.
    dtype : dtype
        Of the result, unless that is labels.
    name, inputs : str
        What errors call y and x.

    Raises
    ------
    TypeError
        They are not numbers.
    ValueError
        They have another shape, or one is out of the loss's range.
    """
    array = as_numbers(name, y)
    shape = graph.shapes[graph.output]
    if array.ndim == 0 or len(array) != rows:
        found = "is a single number" if array.ndim == 0 else f"has {len(array)} rows"
        raise ValueError(f"{name} {found}; {inputs} has {rows}")
    if not isinstance(loss, Loss):
        return _free_targets(name, array, shape, dtype)
    if loss.labels and array.ndim == 1:
        return _labels(name, array, math.prod(shape))
    if array.ndim == 1 and shape == (1,):
        array = array[:, None]
    if array.shape[1:] != shape:
        raise ValueError(_target_problem(name, array, shape, loss))
    _check_range(name, array, loss)
    targets = _finite(name, array, dtype).reshape(rows, math.prod(shape))
    if loss.name == "cross_entropy":
        _check_rows_of_probabilities(name, targets)
    return targets


def check_sample_weight(
    weight: ArrayLike | None, rows: int, dtype: np.dtype[Any], name: str = "sample_weight"
) -> Array | None:
    """Return the weights of samples, (N,), not negative and not all 0; None stays None."""
    if weight is None:
        return None
    array = as_numbers(name, weight)
    if array.shape != (rows,):
        raise ValueError(f"{name} has shape {array.shape}; wanted ({rows},), one weight for each row of x")
    array = _finite(name, array, dtype)
    if rows and array.min() < 0:
        row = int(np.flatnonzero(array < 0)[0])
        raise ValueError(f"{name}[{row}] is {array[row]:g}; a weight is not negative")
    if rows and not array.max() > 0:
        raise ValueError(f"{name} is 0 everywhere; at least one sample must count")
    return array


def check_weights(
    sample_weight: ArrayLike | None,
    class_weight: ClassWeight | None,
    targets: Array,
    loss: Loss | LossFunction,
    graph: Graph,
    dtype: np.dtype[Any],
) -> Array | None:
    """Return the product of the weights of samples and of their classes, (N,), or None."""
    if not isinstance(loss, Loss):
        for name, given in (("sample_weight", sample_weight), ("class_weight", class_weight)):
            if given is not None:
                raise ValueError(
                    f"{name} needs a loss from the table; a function as loss weights samples itself"
                )
    weight = check_sample_weight(sample_weight, len(targets), dtype)
    if class_weight is None:
        return weight
    by_class = _class_weights(class_weight, _classes_of(targets), graph.size(graph.output))
    both = by_class if weight is None else by_class * weight
    if not both.max() > 0:
        raise ValueError(
            "sample_weight and class_weight give every sample the weight 0; at least one must count"
        )
    return both.astype(dtype)


# ---- their parts ----------------------------------------------------------------------------------------


def _converted(array: Array, dtype: np.dtype[Any]) -> Array:
    """Convert to a C-contiguous, aligned array of a dtype; what is too large becomes infinite."""
    if array.dtype == dtype:
        converted = np.ascontiguousarray(array)
    else:
        with np.errstate(over="ignore"):
            converted = np.ascontiguousarray(array, dtype)
    return converted if converted.flags.aligned else converted.copy()


def _finite(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """Convert, and refuse NaN and infinity."""
    converted = _converted(array, dtype)
    if not is_finite(converted):
        require_finite(name, array)
        place = np.unravel_index(int(np.flatnonzero(~np.isfinite(converted))[0]), array.shape)
        where = ", ".join(map(str, place))
        raise ValueError(f"{name}[{where}] is {array[place]}; that is too large for {dtype}")
    return converted


def is_finite(array: Array) -> bool:
    """Whether no value is NaN or infinite; needs no memory, as it is asked after every epoch."""
    if array.size <= _SMALL and math.isfinite(np.vdot(array, array)):
        return True  # (a product that overflows proves nothing)
    flat = array.reshape(-1)
    chunks = (flat[i : i + _CHUNK] for i in range(0, flat.size, _CHUNK))
    # NaN is the largest and the smallest of the numbers that it is among.
    return all(math.isfinite(chunk.max()) and math.isfinite(chunk.min()) for chunk in chunks)


def _shape_problem(name: str, array: Array, shape: tuple[int, ...]) -> str:
    """Say what is wrong with the shape of samples."""
    wanted = f"(N, {', '.join(map(str, shape))})"
    if array.ndim and array.shape[-1] == 0:
        return f"{name} has no values; wanted {wanted}"
    if len(shape) > 1 or array.ndim > 2 or array.ndim == 0:
        return f"{name} has shape {array.shape}; wanted {wanted}"
    if array.ndim == 1 and array.shape == shape:
        return f"{name} has shape {array.shape}; wanted (N, {shape[0]}): for one sample write {name}[None]"
    if array.ndim == 1 and shape == (1,):
        return (
            f"{name} has shape {array.shape}; wanted (N, 1): for samples of one feature write {name}[:, None]"
        )
    return f"{name} has {array.shape[-1]} features; the network's input has {shape[0]}"


def _target_problem(name: str, array: Array, shape: tuple[int, ...], loss: Loss) -> str:
    """Say what is wrong with the shape of targets."""
    wanted = f"(N, {', '.join(map(str, shape))})"
    if loss.labels:
        wanted += " or labels (N,)"
    hint = ""
    if array.ndim == 1:
        hint = ": for class labels take loss='cross_entropy' with a 'softmax' output, or one-hot rows"
    return f"{name} has shape {array.shape}; loss {loss.name!r} wants {wanted}{hint}"


def _labels(name: str, array: Array, classes: int) -> Array:
    """Return class labels as int64."""
    if array.dtype.kind == "f":
        require_finite(name, array)
        whole = np.rint(array)
        if not np.array_equal(array, whole):
            row = int(np.flatnonzero(array != whole)[0])
            raise ValueError(f"{name}[{row}] is {array[row]}; wanted a whole number, the label of a class")
    if array.dtype == np.int64:
        # One look instead of two: as unsigned numbers, negative ones are the largest.
        inside = not array.size or int(array.view(np.uint64).max()) < classes
    else:
        inside = not array.size or (array.min() >= 0 and array.max() < classes)
    if not inside:
        row = int(np.flatnonzero((array < 0) | (array >= classes))[0])
        raise ValueError(
            f"{name}[{row}] is {array[row]}; wanted labels in 0 .. {classes - 1}, "
            f"as the network has {classes} outputs"
        )
    return np.ascontiguousarray(array, np.int64)


def _check_range(name: str, array: Array, loss: Loss) -> None:
    """Refuse targets that the loss has no meaning for, NaN among them."""
    if loss.targets == "any" or not array.size:
        return
    if loss.targets == "sign":
        outside, wanted = np.abs(array) != 1, "-1 or 1"
        right = not outside.any()
    elif loss.targets == "positive":
        right, wanted = bool(array.min() >= 0), "no negative number"
    else:
        right, wanted = bool(array.min() >= 0 and array.max() <= 1), "a number from 0 to 1"
    if right:
        return
    require_finite(name, array)
    if loss.targets != "sign":
        outside = (array < 0) | (array > 1) if loss.targets == "unit" else array < 0
    place = tuple(int(i) for i in np.argwhere(outside)[0])
    where = ", ".join(map(str, place))
    raise ValueError(f"{name}[{where}] is {array[place]}; loss {loss.name!r} wants {wanted}")


def _check_rows_of_probabilities(name: str, rows: Array) -> None:
    """Refuse rows that do not sum to 1, as those of several labels at once do not."""
    sums = rows.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero(np.abs(sums - 1.0) > 0.01)
    if wrong.size:
        raise ValueError(
            f"{name}[{wrong[0]}] sums to {sums[wrong[0]]:g}; loss 'cross_entropy' wants rows of "
            "probabilities, which sum to 1 (for several labels at once: 'sigmoid' outputs and "
            "loss='binary_cross_entropy')"
        )


def _free_targets(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return targets for a function as loss: whole numbers (N,) as int64 labels, others as they are."""
    if array.ndim == 1 and shape == (1,):
        array = array[:, None]
    if array.ndim == 1 and array.dtype.kind in "biu":
        return np.ascontiguousarray(array, np.int64)
    return _finite(name, array, dtype)


def _classes_of(targets: Array) -> NDArray[np.int64]:
    """Return the class of each row: its label, its only value, or the place of its largest."""
    if targets.ndim == 1:
        return targets
    if targets.shape[1] > 1:
        if not (((targets == 0) | (targets == 1)).all() and (targets.sum(axis=1) == 1).all()):
            raise ValueError("class_weight needs labels, or rows with one 1 and zeros elsewhere, in y")
        labels: NDArray[np.int64] = np.argmax(targets, axis=1)
        return labels
    column = targets[:, 0]
    whole = column.astype(np.int64)
    if not np.array_equal(whole, column):
        row = int(np.flatnonzero(whole != column)[0])
        raise ValueError(f"class_weight needs labels in y, but y[{row}] is {column[row]:g}")
    return whole


def _class_weights(class_weight: ClassWeight, labels: NDArray[np.int64], outputs: int) -> NDArray[np.float64]:
    """Return the weight of each sample's class, (N,)."""
    found, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            raise ValueError(
                f"class_weight is {class_weight!r}; wanted 'balanced' or a dict of weights by label"
            )
        balanced: NDArray[np.float64] = (len(labels) / (len(found) * counts))[which]
        return balanced
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            f"class_weight is a {type(class_weight).__name__}; wanted 'balanced' or a dict by label"
        )
    if not class_weight:
        raise ValueError("class_weight is empty; wanted 'balanced' or a dict of weights by label")
    weights = {label: as_number(f"class_weight[{label!r}]", w, 0.0) for label, w in class_weight.items()}
    legal = set(range(max(outputs, 2))) | set(found.tolist())  # one output: two classes
    for label in weights:
        if label not in legal:
            raise ValueError(
                f"class_weight has a weight for {label!r}, which is no class; known: {sorted(legal)}"
            )
    table = np.array([weights.get(label, 1.0) for label in found.tolist()])
    return table[which]
