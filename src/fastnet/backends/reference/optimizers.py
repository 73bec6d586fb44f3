"""The optimizers' updates of the flat parameter vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from fastnet.backends.reference.arrays import Array

Hyper = Mapping[str, float]


def update(
    gradients: Array,
    decay: Array,
    parameters: Array,
    state: Array,
    name: str,
    hyper: Hyper,
    learning_rate: float,
    step: int,
) -> None:
    """One update, step = 1, 2, ...: gradients, decay (P,) -> parameters (P,), state (S, P).

    `decay` is 1 where weight decay applies, else 0. The gradient is clipped by value, then by norm,
    then decay is added (AdamW: taken from the weights themselves).
    """
    update_with(None, gradients, decay, parameters, state, name, hyper, learning_rate, step)


def update_with(
    scratch: Array | None,
    gradients: Array,
    decay: Array,
    parameters: Array,
    state: Array,
    name: str,
    hyper: Hyper,
    learning_rate: float,
    step: int,
) -> None:
    """`update`, where `scratch` (P,) saves NumPy an array; it may be `gradients`, which are then lost."""
    g, w = gradients, parameters
    if hyper["clip_value"]:
        g = np.clip(g, -hyper["clip_value"], hyper["clip_value"])
    if hyper["clip_norm"]:
        norm = math.sqrt(float(np.sum(np.square(g, dtype=np.float64))))
        if norm > hyper["clip_norm"]:
            g = g * g.dtype.type(hyper["clip_norm"] / norm)
    if hyper["weight_decay"] and name == "adamw":
        w -= decay * w.dtype.type(learning_rate * hyper["weight_decay"]) * w
    elif hyper["weight_decay"]:
        g = g + decay * g.dtype.type(hyper["weight_decay"]) * w
    UPDATES[name](g, w, state, hyper, learning_rate, step, scratch)


def _sgd(g: Array, w: Array, state: Array, h: Hyper, lr: float, step: int, scratch: Array | None) -> None:
    if len(state) == 0:
        w -= np.multiply(g, lr, out=scratch)
        return
    v = state[0]
    v *= h["momentum"]
    v += g
    if h["nesterov"]:
        v = np.add(g, h["momentum"] * v, out=scratch)
    w -= np.multiply(v, lr, out=scratch)


def _adagrad(g: Array, w: Array, state: Array, h: Hyper, lr: float, step: int, scratch: Array | None) -> None:
    s = state[0]
    s += g * g
    w -= lr * g / (np.sqrt(s) + h["epsilon"])


def _rmsprop(g: Array, w: Array, state: Array, h: Hyper, lr: float, step: int, scratch: Array | None) -> None:
    s = state[0]
    s *= h["rho"]
    s += (1 - h["rho"]) * g * g
    w -= lr * g / (np.sqrt(s) + h["epsilon"])


def _adam(g: Array, w: Array, state: Array, h: Hyper, lr: float, step: int, scratch: Array | None) -> None:
    # With c = sqrt(1 - beta2^step), m_hat / (sqrt(v_hat) + epsilon) is c m_hat / (sqrt(v) + c epsilon).
    m, v = state
    c = math.sqrt(1 - h["beta2"] ** step)
    m *= h["beta1"]
    m += (1 - h["beta1"]) * g
    v *= h["beta2"]
    squares = np.multiply(g, g, out=scratch)
    squares *= 1 - h["beta2"]
    v += squares
    change = np.sqrt(v, out=squares)
    change += h["epsilon"] if h.get("plain_epsilon") else c * h["epsilon"]
    np.divide(m, change, out=change)
    change *= lr * c / (1 - h["beta1"] ** step)
    w -= change


def _rprop(g: Array, w: Array, state: Array, h: Hyper, lr: float, step: int, scratch: Array | None) -> None:
    last, size = state
    if step == 1:
        size[...] = lr
    agreement = g * last
    size[agreement > 0] *= h["eta_plus"]
    size[agreement < 0] *= h["eta_minus"]
    np.clip(size, h["step_min"], h["step_max"], out=size)
    last[...] = np.where(agreement < 0, 0, g)
    w -= np.sign(last) * size


UPDATES: dict[str, Callable[[Array, Array, Array, Hyper, float, int, Array | None], None]] = {
    "sgd": _sgd,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
    "rprop": _rprop,
}
