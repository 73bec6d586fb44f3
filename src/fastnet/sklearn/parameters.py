"""What the estimators' parameters mean: checked, and turned into layers, losses and numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnet import losses
from fastnet.activations import ACTIVATIONS
from fastnet.arrays import as_count, as_number
from fastnet.callbacks import Callback
from fastnet.checks import LossFunction, check_dtype
from fastnet.errors import unknown
from fastnet.layers import Dense, Dropout, Layer
from fastnet.losses import LOSSES, Loss

__all__ = ["Objective", "check", "hidden_layers", "regression", "shown_activation"]

SOLVERS = ("sgd", "adam", "lbfgs")
RATES = ("constant", "invscaling", "adaptive")
HIDDEN = {"logistic": "sigmoid"} | {name: name for name in ACTIVATIONS}
"""Activations by the names that are taken: scikit-learn's and fastnet's own."""


class Objective(NamedTuple):
    """What training makes small.

    Attributes
    ----------
    loss : Loss or callable
        For the executors. scikit-learn's losses are means over samples of sums over outputs.
    activation : str
        Of the output layer.
    report : float
        From their value to what scikit-learn calls ``loss_``.
    constant : callable, optional
        Of targets (N, O) and weights (N,) or None: what ``loss_`` has beyond that.
    """

    loss: Loss | LossFunction
    activation: str
    report: float = 1.0
    constant: Callable[[Any, Any], float] | None = None


def shown_activation(name: str) -> str:
    """Return an activation by scikit-learn's name, where it has one."""
    return "logistic" if name == "sigmoid" else name


# ---- losses ---------------------------------------------------------------------------------------------


def regression(loss: Any, outputs: int, delta: float, quantile: float) -> Objective:
    """Return the objective of a regressor.

    A name of scikit-learn's vocabulary is a mean over samples of a sum over outputs, as there; a row of
    `fastnet.losses`, or the name of one that is not in that vocabulary, is taken as it is.
    """
    _between("delta", delta, 0.0, math.inf, low_too=False)
    _between("quantile", quantile, 0.0, 1.0, low_too=False)
    if isinstance(loss, str) and loss in _REGRESSION:
        name, factor = _REGRESSION[loss]
        row = {"huber": losses.huber(delta), "quantile": losses.quantile(quantile)}.get(name, LOSSES[name])
        if name == "poisson":
            return Objective(row._replace(scale=float(outputs)), "exp", constant=_poisson_constant)
        return Objective(row._replace(scale=factor * outputs), "identity", report=1 / outputs)
    return Objective(*as_it_is(loss, _REGRESSION))


def as_it_is(loss: Any, names: Sequence[str] | dict[str, Any]) -> tuple[Loss | LossFunction, str]:
    """Return a loss of fastnet's own or the user's, and the output activation that goes with it."""
    if callable(loss) and not isinstance(loss, Loss):
        return loss, "identity"
    if isinstance(loss, str) and loss not in LOSSES:
        raise ValueError(unknown("loss", loss, list(dict.fromkeys([*names, *LOSSES]))))
    row = losses.get(loss)
    return row, row.paired or "identity"


_REGRESSION = {
    # scikit-learn's name, where it has one: (the table's row, what it is multiplied by)
    "squared_error": ("mean_squared_error", 0.5),
    "absolute_error": ("mean_absolute_error", 1.0),
    "huber": ("huber", 1.0),
    "poisson": ("poisson", 1.0),
    "quantile": ("quantile", 1.0),
}


def _poisson_constant(targets: Any, weights: Any) -> float:
    """What half the deviance has beyond ``y - t log y``: the mean over samples of the sum of t log t - t."""
    t = np.asarray(targets, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(t > 0, t * np.log(t), 0.0) - t
    return float(np.average(values.sum(axis=1), weights=weights))


# ---- layers ---------------------------------------------------------------------------------------------


def hidden_layers(estimator: Any) -> list[tuple[int, str, float]]:
    """Return units, activation (fastnet's name) and dropout of each hidden layer."""
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if hasattr(sizes, "__iter__") and not isinstance(sizes, str) else [sizes]
    units = [_unit_count(one, sizes) for one in sizes]
    names = _one_each("activation", estimator.activation, len(units))
    rates = _one_each("dropout", estimator.dropout, len(units))
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"activation holds {name!r}; wanted names such as 'relu'")
        if name not in HIDDEN:
            raise ValueError(unknown("activation", name, HIDDEN))
    for rate in rates:
        _between("dropout", rate, 0.0, 1.0)
    return [(count, HIDDEN[name], float(rate)) for count, name, rate in zip(units, names, rates, strict=True)]


def layers(hidden: Sequence[tuple[int, str, float]], outputs: int, activation: str) -> list[Layer]:
    """Return the layers of a network."""
    stack: list[Layer] = []
    for units, name, rate in hidden:
        stack += [Dense(units, name), *([Dropout(rate)] if rate else [])]
    return [*stack, Dense(outputs, activation)]


def _unit_count(size: Any, sizes: list[Any]) -> int:
    try:
        return as_count("hidden_layer_sizes", size)
    except ValueError:
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}") from None


def _one_each(name: str, value: Any, count: int) -> list[Any]:
    """Return one value for each hidden layer."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return [value] * count
    values = list(value)
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values; wanted one for each of the {count} hidden layers")
    return values


# ---- checks ---------------------------------------------------------------------------------------------


def check(estimator: Any) -> None:
    """Check the parameters that all estimators have, but for `loss`.

    Raises
    ------
    TypeError, ValueError
        One of them is wrong; the message says what it is and what was wanted.
    """
    hidden_layers(estimator)
    _choice("solver", estimator.solver, SOLVERS)
    _choice("learning_rate", estimator.learning_rate, RATES)
    for name in ("alpha", "power_t", "tol"):
        as_number(name, getattr(estimator, name), 0.0)
    for name in ("learning_rate_init", "epsilon"):
        _between(name, getattr(estimator, name), 0.0, math.inf, low_too=False)
    for name in ("beta_1", "beta_2", "validation_fraction"):
        _between(name, getattr(estimator, name), 0.0, 1.0)
    if as_number("momentum", estimator.momentum, 0.0) > 1.0:
        raise ValueError(f"momentum is {estimator.momentum}; wanted a number from 0 to 1")
    for name in ("max_iter", "max_fun"):
        as_count(name, getattr(estimator, name))
    if estimator.n_iter_no_change != math.inf:
        as_count("n_iter_no_change", estimator.n_iter_no_change)
    if not isinstance(estimator.batch_size, str):
        as_count("batch_size", estimator.batch_size)
    elif estimator.batch_size != "auto":
        raise ValueError(f"batch_size is {estimator.batch_size!r}; wanted 'auto' or a number of samples")
    for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping", "progress_bar"):
        if not isinstance(getattr(estimator, name), bool | np.bool_):
            raise TypeError(f"{name} is {getattr(estimator, name)!r}; wanted True or False")
    if not isinstance(estimator.verbose, bool | np.bool_):
        as_count("verbose", estimator.verbose, 0)
    if estimator.dtype is not None:
        check_dtype(estimator.dtype)
    check_callbacks(estimator.callbacks)
    if estimator.solver == "lbfgs" and any(rate for _, _, rate in hidden_layers(estimator)):
        raise ValueError("dropout needs solver 'sgd' or 'adam': 'lbfgs' wants a loss that is always the same")


def check_callbacks(callbacks: Any) -> list[Callback]:
    """Return the callbacks, none for None."""
    if callbacks is None:
        return []
    if isinstance(callbacks, Callback) or not hasattr(callbacks, "__iter__"):
        raise TypeError(f"callbacks is {callbacks!r}; wanted a list of callbacks")
    for index, one in enumerate(callbacks):
        if not isinstance(one, Callback):
            raise TypeError(f"callbacks[{index}] is {one!r}; wanted a Callback")
    return list(callbacks)


def _choice(name: str, value: Any, known: Sequence[str]) -> None:
    if not (isinstance(value, str) and value in known):
        raise ValueError(unknown(name, value, known))


def _between(name: str, value: Any, low: float, high: float, *, low_too: bool = True) -> None:
    """Check that a number is from `low`, itself only with `low_too`, to below `high`."""
    number = as_number(name, value)
    if not ((number >= low if low_too else number > low) and number < high):
        raise ValueError(
            f"{name} is {number:g}; wanted {'at least' if low_too else 'above'} {low:g}"
            + (f" and below {high:g}" if high < math.inf else "")
        )
