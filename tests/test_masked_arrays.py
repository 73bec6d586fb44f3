"""Masked arrays: what is masked is not used as if it were a number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fastnet as fn

MASK = np.zeros((6, 2), bool)
MASK[[0, 0, 4], [0, 1, 1]] = True
X = np.linspace(-1, 1, 12).reshape(6, 2)
Y = np.linspace(0, 1, 6)


def masked(array: np.ndarray, mask: np.ndarray, dtype: str = "float64") -> np.ma.MaskedArray:
    return np.ma.MaskedArray(array.astype(dtype), mask=mask)


def network(dtype: str = "float32") -> fn.Network:
    return fn.mlp([2, 4, 1], "tanh", dtype=dtype, seed=0)


SQUARES = "mean_squared_error"
CALLS: dict[str, Callable[[object, object], object]] = {
    "predict": lambda x, y: network().predict(x),
    "fit": lambda x, y: network().fit(x, y, loss=SQUARES, epochs=1, verbose=0),
    "step": lambda x, y: fn.Trainer(network(), loss=SQUARES).step(x, y),
    "evaluate": lambda x, y: network().evaluate(x, y, loss=SQUARES),
    "loss_and_gradients": lambda x, y: network().loss_and_gradients(x, y, loss=SQUARES),
    "explain": lambda x, y: fn.explain(network("float64"), x, y, loss=SQUARES),
    "gradient_check": lambda x, y: fn.gradient_check(network("float64"), x, y, loss=SQUARES),
    "Dataset": lambda x, y: fn.Dataset(x, y),
    "Standardise": lambda x, y: fn.Standardise.fit(x),
    "Perceptron": lambda x, y: fn.Perceptron([1.0, 1.0]).predict(x),
    "mean_squared_error": lambda x, y: fn.metrics.mean_squared_error(x, X),
}


@pytest.mark.parametrize("name", CALLS)
def test_masked_values_are_refused(dtype: str, name: str) -> None:
    with pytest.raises(ValueError, match="is a masked array with 3 masked values; wanted numbers only: fill"):
        CALLS[name](masked(X, MASK, dtype), Y)
    with pytest.raises(ValueError, match="holds masked arrays with 3 masked values"):
        CALLS[name](list(masked(X, MASK, dtype)), Y)


@pytest.mark.parametrize("name", ["fit", "step", "evaluate", "loss_and_gradients", "explain", "Dataset"])
def test_masked_targets_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^y is a masked array with 1 masked value; "):
        CALLS[name](X, masked(Y, np.arange(6) == 3))
    with pytest.raises(ValueError, match=r"^y is a masked array with 6 masked values; "):
        CALLS[name](X, masked(Y, np.arange(6) >= 0))


def test_masked_weights_are_refused() -> None:
    weight = masked(np.ones(6), np.arange(6) == 3)
    with pytest.raises(ValueError, match=r"^sample_weight is a masked array with 1 masked value; "):
        network().evaluate(X, Y, loss=SQUARES, sample_weight=weight)


def test_a_masked_row_is_refused_in_the_fast_path(backend: str, dtype: str) -> None:
    net = network(dtype)
    row = masked(X[0], np.array([False, True]), dtype)
    with pytest.raises(ValueError, match=r"^x is a masked array with 1 masked value; "):
        net.predict(row)


def test_where_nothing_is_masked_all_is_as_usual(backend: str, dtype: str) -> None:
    net = network(dtype)
    for mask in (np.zeros((6, 2), bool), np.ma.nomask):
        x = masked(X, mask, dtype)
        assert np.array_equal(net.predict(x), net.predict(X.astype(dtype)))
        assert np.array_equal(net.predict(x[1]), net.predict(X[1].astype(dtype)))
        assert type(net.predict(x)) is np.ndarray
        assert net.evaluate(x, masked(Y, mask.any(axis=-1) if mask is not np.ma.nomask else mask), SQUARES)
