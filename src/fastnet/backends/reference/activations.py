"""Activations: a from z, and dz from da."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastnet.backends.reference.arrays import Array

_SQRT_HALF = math.sqrt(0.5)
_NORMAL_DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)
_ZERO = np.zeros((), np.float32)  # for float64 as well; NumPy takes an array sooner than a Python number
_erfc = np.frompyfunc(math.erfc, 1, 1)


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), where exp never overflows: e = exp(-|z|) is at most 1."""
    e: Array = np.exp(-np.abs(z))
    numerator: Array = np.where(z < 0, e, z.dtype.type(1))
    result: Array = numerator / (1 + e)
    return result


def _normal_cdf(z: Array) -> Array:
    """Phi(z) = erfc(-z / sqrt 2) / 2: the complement keeps the left tail's digits."""
    complement: Array = np.asarray(_erfc(z.astype(np.float64) * -_SQRT_HALF))
    return 0.5 * complement.astype(np.float64)


def _gelu_slope(z: Array) -> Array:
    """Phi(z) + z phi(z), phi the normal density; z phi(z) is 0 at both infinities."""
    wide: Array = np.clip(z.astype(np.float64), -1e100, 1e100)
    density: Array = _NORMAL_DENSITY_0 * np.exp(-0.5 * wide * wide)
    slope: Array = _normal_cdf(wide) + wide * density
    return slope.astype(z.dtype)


def _gelu(z: Array) -> Array:
    wide = z.astype(np.float64)
    with np.errstate(invalid="ignore"):  # -inf * 0 is a limit: 0
        return np.where(np.isneginf(wide), 0.0, wide * _normal_cdf(wide)).astype(z.dtype)


def _silu(z: Array) -> Array:
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(z), z.dtype.type(0), z * sigmoid(z))


def _silu_slope(z: Array, a: Array) -> Array:
    """s + a (1 - s), s the sigmoid; a (1 - s) is 0 at +infinity."""
    s = sigmoid(z)
    with np.errstate(invalid="ignore"):
        rest: Array = np.where(np.isposinf(z), z.dtype.type(0), a * (1 - s))
    return s + rest


def _softmax(z: Array) -> Array:
    """Each row: exp(z - max) / sum of it; the largest exponent is 0, so nothing overflows."""
    e: Array = z - np.maximum.reduce(z, axis=1, keepdims=True, initial=-np.inf)
    np.exp(e, out=e)
    e /= np.add.reduce(e, axis=1, keepdims=True)
    return e


def _into(formula: Callable[[Array], Array]) -> Callable[[Array, Array], object]:
    return lambda z, a: np.copyto(a, formula(z), casting="same_kind")


ACTIVATIONS: dict[str, tuple[Callable[[Array, Array], object], Callable[[Array, Array], Array]]] = {
    # name: (writes a, given z and a; da/dz as a function of z and a, where True and False are 1 and 0)
    "identity": (np.positive, lambda z, a: np.ones_like(z)),
    "step": (_into(lambda z: np.where(np.isnan(z), z, z > 0)), lambda z, a: np.zeros_like(z)),
    "sigmoid": (_into(sigmoid), lambda z, a: a * (1 - a)),
    "tanh": (np.tanh, lambda z, a: 1 - a * a),
    "relu": (lambda z, a: np.maximum(z, _ZERO, out=a), lambda z, a: a > _ZERO),
    "leaky_relu": (
        _into(lambda z: np.where(z > 0, z, z / 100)),
        lambda z, a: np.where(a > 0, a.dtype.type(1), a.dtype.type(0.01)),
    ),
    "elu": (
        _into(lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0)))),
        lambda z, a: np.where(a > 0, 1, a + 1),
    ),
    "gelu": (_into(_gelu), lambda z, a: _gelu_slope(z)),
    "silu": (_into(_silu), _silu_slope),
    "softplus": (
        _into(lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))),
        lambda z, a: -np.expm1(-a),  # sigmoid(z), from a alone
    ),
    "exp": (np.exp, lambda z, a: a),
}


def activation_forward(z: Array, a: Array, name: str) -> None:
    """a = f(z), elementwise or (softmax) along each row: z (N, O) -> a (N, O)."""
    if name == "softmax":
        a[...] = _softmax(z)
    else:
        ACTIVATIONS[name][0](z, a)


def activation_backward(z: Array, a: Array, d_a: Array, d_z: Array, name: str) -> None:
    """dz = da f'(z); softmax: dz = a (da - sum over the row of a da): all (N, O)."""
    if name == "softmax":
        d_z[...] = a * (d_a - np.sum(a * d_a, axis=1, keepdims=True))
    elif name == "identity":
        d_z[...] = d_a
    else:
        np.multiply(d_a, ACTIVATIONS[name][1](z, a), out=d_z, casting="same_kind")
