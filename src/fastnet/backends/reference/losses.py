"""Losses and their slopes, and the counting of right answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnet.backends.reference.activations import sigmoid
from fastnet.backends.reference.arrays import Array

LOGITS = {
    ("softmax", "cross_entropy"): "softmax_cross_entropy",
    ("sigmoid", "binary_cross_entropy"): "sigmoid_binary_cross_entropy",
    ("exp", "poisson"): "exp_poisson",
}
"""Output activation and loss that are computed together, from the total inputs of the output layer."""


def _huber(y: Array, t: Array, d: float) -> tuple[Array, Array]:
    e = np.abs(y - t)
    return np.where(e <= d, 0.5 * e * e, d * (e - 0.5 * d)), np.clip(y - t, -d, d)


def _poisson(y: Array, t: Array) -> tuple[Array, Array]:
    floor = np.maximum(y, np.finfo(y.dtype).tiny)  # log(0) where softplus underflows
    return y - t * np.log(floor), 1 - t / floor


def _exp_poisson(z: Array, t: Array) -> tuple[Array, Array]:
    return (y := np.exp(z)) - t * z, y - t


def _quantile(y: Array, t: Array, q: float) -> tuple[Array, Array]:
    slope = np.where(y > t, 1 - q, np.where(y < t, -q, y - t))  # 0 at the target; NaN stays
    return np.where(y > t, (1 - q) * (y - t), q * (t - y)), slope


def _sigmoid_binary_cross_entropy(z: Array, t: Array) -> tuple[Array, Array]:
    return np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))), sigmoid(z) - t


ELEMENTWISE: dict[str, Callable[[Array, Array, float], tuple[Array, Array]]] = {
    # name: (output, target, parameter) -> (loss of each element, its slope with respect to the output)
    "half_squared_error": lambda y, t, _: (0.5 * (e := y - t) * e, e),
    "mean_squared_error": lambda y, t, _: ((e := y - t) * e, 2 * e),
    "mean_absolute_error": lambda y, t, _: (np.abs(e := y - t), np.sign(e)),
    "huber": _huber,
    "poisson": lambda y, t, _: _poisson(y, t),
    "exp_poisson": lambda z, t, _: _exp_poisson(z, t),
    "quantile": _quantile,
    "sigmoid_binary_cross_entropy": lambda z, t, _: _sigmoid_binary_cross_entropy(z, t),
    "perceptron": lambda y, t, _: (np.maximum(-t * y, 0), np.where(t * y < 0, -t, 0)),
}


def _softmax_cross_entropy(z: Array, t: Array) -> tuple[Array, Array]:
    """Loss of each row, (N, 1), and dL/dz = p sum(t) - t, from the logits; t: labels (N,) or rows (N, O)."""
    shifted = z - np.maximum.reduce(z, axis=1, keepdims=True)
    e = np.exp(shifted)
    total = np.add.reduce(e, axis=1, keepdims=True)
    if t.ndim == 1:
        at_label = np.arange(0, z.size, z.shape[1]) + t  # in the row-major matrix
        e /= total
        e.ravel()[at_label] -= 1
        return np.log(total) - shifted.ravel()[at_label][:, None], e
    log_p = shifted - np.log(total)
    return -np.sum(np.where(t == 0, 0, t * log_p), axis=1, keepdims=True), e / total * t.sum(
        axis=1, keepdims=True
    ) - t


def loss_and_slope(
    output: Array,
    target: Array,
    sample_weight: Array | None,
    d_output: Array,
    name: str,
    parameter: float = 1.0,
    scale: float = 1.0,
) -> tuple[float, float]:
    """Loss and dL/d output: output (N, O), target (N, O) or labels (N,), weights (N,) -> d_output (N, O).

    Returns the pair (sum, norm): the loss is sum / norm. The norm is the sum of the weights (times O for
    losses that are means over outputs), and 1 for `half_squared_error`, which is a plain sum; divided by the
    scale. Where all weights are 0, the norm is 0, and so are the sum and the slope.
    """
    if name == "softmax_cross_entropy":
        values, slope = _softmax_cross_entropy(output, target)
    else:
        values, slope = ELEMENTWISE[name](output, target, parameter)
    if sample_weight is None:
        total_weight = float(len(output))
    else:
        total_weight = float(sample_weight.sum(dtype=np.float64))
        values, slope = values * sample_weight[:, None], slope * sample_weight[:, None]
    norm = (1.0 if name == "half_squared_error" else total_weight * values.shape[1]) / scale
    np.multiply(slope, 1.0 / norm if norm else 0.0, out=d_output, casting="same_kind")
    return float(np.add.reduce(values, axis=None, dtype=np.float64)), norm


def count_correct(output: Array, target: Array, metric: str, boundary: float) -> tuple[int, int]:
    """How many predictions are right, and of how many: output (N, O), target (N, O) or labels (N,).

    "argmax": the largest output is at the label (or at the largest target), one for each row.
    "threshold": output and target are on the same side of the boundary and of 1/2, one for each element.
    "sign": output and target have the same sign, one for each element.
    """
    if metric == "argmax":
        labels = target if target.ndim == 1 else target.argmax(axis=1)
        return int(np.count_nonzero(output.argmax(axis=1) == labels)), len(output)
    if metric == "threshold":
        return int(np.count_nonzero((output > boundary) == (target > 0.5))), output.size
    if metric == "sign":
        return int(np.count_nonzero(output * target > 0)), output.size
    return 0, 0
