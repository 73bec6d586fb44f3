"""Every kernel of every backend against the reference, element by element; `parity.py` is the checker."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from parity import (
    INF,
    KERNEL_LOSSES,
    NAN,
    NOT_FINITE,
    Case,
    activation_cases,
    all_cases,
    check,
    dense_cases,
    dropout_case,
    loss_case,
    numbers,
    optimizer_cases,
    outputs_for,
    public_functions,
    update_case,
)

from fastnet.activations import ACTIVATIONS
from fastnet.backends import reference
from fastnet.optimizers import OPTIMIZERS

SIZES = (0, 1, 7, 9, 17, 33, 65)
MATRICES = [(n, o) for n in (0, 1, 5) for o in SIZES] + [(33, 17), (65, 65)]

# ---- dense -----------------------------------------------------------------------------------------------


def test_dense_at_awkward_sizes(kernels: ModuleType, dtype: str, rng: np.random.Generator) -> None:
    for n, i, o in product(SIZES, repeat=3):
        for case in dense_cases(rng, dtype, n, i, o):
            check(kernels, case)


def test_dense_with_long_sums(kernels: ModuleType, dtype: str, rng: np.random.Generator) -> None:
    for n, i, o in ((9, 70, 1030), (13, 1030, 70), (1030, 9, 17)):
        for case in dense_cases(rng, dtype, n, i, o):
            check(kernels, case)


@pytest.mark.parametrize("special", [(NAN,), (INF,), NOT_FINITE], ids=str)
def test_dense_with_values_that_are_not_finite(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, special: Sequence[float]
) -> None:
    for n, i, o in product((1, 7, 18), (1, 9, 33), (1, 7, 65)):
        for case in dense_cases(rng, dtype, n, i, o, special):
            check(kernels, case)


# ---- activations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str) -> None:
    for n, o in MATRICES:
        if not (name == "softmax" and o == 0):  # there is no distribution over no classes
            for case in activation_cases(rng, dtype, name, numbers(rng, dtype, n, o)):
                check(kernels, case)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_at_the_edges(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str
) -> None:
    info = np.finfo(dtype)
    edges = [0.0, -0.0, 30.0, -30.0, 100.0, -100.0, 1e4, -1e4, float(info.tiny), -float(info.tiny)]
    edges += [float(info.smallest_subnormal), 1.0, -1.0, *NOT_FINITE]
    for o in (1, 7, 17, 33):
        z = numbers(rng, dtype, 40, o, special=edges)
        for case in activation_cases(rng, dtype, name, z):
            check(kernels, case)
        for case in activation_cases(rng, dtype, name, numbers(rng, dtype, 40, o), NOT_FINITE):
            check(kernels, case)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_the_largest_numbers(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str
) -> None:
    largest = float(np.finfo(dtype).max)
    rows = [[largest] * 7, [-largest] * 7, [largest, -largest, 0, 1, -1, largest, 2], [-INF] * 7, [INF] * 7]
    for case in activation_cases(rng, dtype, name, np.array(rows, dtype)):
        check(kernels, case)


# ---- dropout ---------------------------------------------------------------------------------------------


def test_dropout_masks_are_exactly_equal(kernels: ModuleType, dtype: str, rng: np.random.Generator) -> None:
    for n, o in MATRICES:
        for rate in (0.0, 0.2, 0.5, 0.999, 1 - 1e-12):
            for key in (0, 1, 2**64 - 1, reference.dropout_key(7, 3, 1)):
                check(kernels, dropout_case(rng, dtype, n, o, rate, key))


# ---- losses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["none", "some", "zero"])
@pytest.mark.parametrize("name", KERNEL_LOSSES)
def test_losses(kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str, weights: str) -> None:
    for n, o in MATRICES:
        for kind in ("labels", "rows") if name == "softmax_cross_entropy" else ("rows",):
            if o or name != "softmax_cross_entropy":
                output = outputs_for(rng, dtype, name, n, o)
                check(kernels, loss_case(rng, dtype, name, output, kind, weights))


@pytest.mark.parametrize("delta", [0.1, 3.0])
def test_huber_has_a_threshold(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, delta: float
) -> None:
    check(kernels, loss_case(rng, dtype, "huber", numbers(rng, dtype, 9, 17), "rows", "some", delta))


@pytest.mark.parametrize("level", [0.1, 0.7])
def test_quantile_has_a_level(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, level: float
) -> None:
    check(kernels, loss_case(rng, dtype, "quantile", numbers(rng, dtype, 9, 17), "rows", "some", level))


@pytest.mark.parametrize("name", KERNEL_LOSSES)
def test_losses_have_a_factor(kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str) -> None:
    output = outputs_for(rng, dtype, name, 9, 17)
    check(kernels, loss_case(rng, dtype, name, output, "rows", "some", 0.5, 3.0))


@pytest.mark.parametrize("name", KERNEL_LOSSES)
def test_losses_of_outputs_that_are_not_finite(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str
) -> None:
    for special in (*NOT_FINITE, 1e4, -1e4):
        for o in (1, 7, 17, 33):
            output = outputs_for(rng, dtype, name, 1, o)
            output[0, rng.integers(o)] = abs(special) if name == "poisson" else special
            for kind in ("labels", "rows") if name == "softmax_cross_entropy" else ("rows",):
                check(kernels, loss_case(rng, dtype, name, output, kind, "none"))


@pytest.mark.parametrize("metric", ["", "argmax", "threshold", "sign"])
def test_right_answers_are_counted_alike(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, metric: str
) -> None:
    for n, o in MATRICES:
        output, target = numbers(rng, dtype, n, o).round(1), numbers(rng, dtype, n, o).round(1)
        labels = rng.integers(0, max(o, 1), n)
        for boundary in (0.0, 0.5):
            if o or metric != "argmax":
                check(kernels, Case("count_correct", [output, target], [], (metric, boundary)))
            if o and metric == "argmax":
                check(kernels, Case("count_correct", [output, labels], [], (metric, boundary)))


def test_argmax_of_nan_is_the_first_nan(kernels: ModuleType, dtype: str) -> None:
    output = np.array([[1, NAN, 2], [NAN, 3, 1], [3, 2, NAN], [INF, 1, INF]], dtype)
    for label in range(3):
        check(kernels, Case("count_correct", [output, np.full(4, label)], [], ("argmax", 0.5)))


# ---- optimizers ------------------------------------------------------------------------------------------

OPTIONS: dict[str, list[dict[str, float]]] = {
    "sgd": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "adam": [{}, {"beta1": 0.0, "beta2": 0.5, "epsilon": 1e-3}],
}
COMMON: list[dict[str, float]] = [
    {},
    {"weight_decay": 0.03},
    {"clip_value": 0.5},
    {"clip_norm": 0.7},
    {"clip_norm": 1e9},
    {"weight_decay": 0.1, "clip_value": 0.4, "clip_norm": 0.3},
]


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_epsilon_before_the_correction(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str
) -> None:
    hyper = {**OPTIMIZERS[name](0.1, epsilon=1e-3, weight_decay=0.0).hyper(), "plain_epsilon": 1.0}
    w, state = numbers(rng, dtype, 50), np.zeros((2, 50), dtype)
    gradients, decay = numbers(rng, dtype, 50), np.zeros(50, dtype)
    check(kernels, update_case(name, hyper, gradients, decay, w, state, 0.1, 1))
    # After one step m = 0.1 g and v = 0.001 g^2; c is the square root of 0.001.
    g, before = gradients.astype(np.float64), w.astype(np.float64)
    kernels.update(gradients, decay, w, state, name, hyper, 0.1, 1)
    c = np.sqrt(0.001)
    np.testing.assert_allclose(w, before - 0.1 * c * g / (c * np.abs(g) + 1e-3), rtol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str) -> None:
    for own, common in product(OPTIONS.get(name, [{}]), COMMON):
        for count in SIZES:
            for case in optimizer_cases(rng, dtype, name, own | common, count):
                check(kernels, case)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_norm_of_long_gradients(kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str) -> None:
    """Longer than the runs in which squares are summed."""
    for count in (4096, 4097, 10_000):
        for case in optimizer_cases(rng, dtype, name, {"clip_norm": 0.5}, count, steps=2):
            check(kernels, case)


@pytest.mark.parametrize("options", [{}, {"clip_value": 0.5}, {"clip_norm": 0.7}], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_with_gradients_that_are_not_finite(
    kernels: ModuleType, dtype: str, rng: np.random.Generator, name: str, options: dict[str, float]
) -> None:
    for special in NOT_FINITE:
        hyper = OPTIMIZERS[name](0.1, **options).hyper()
        state = np.abs(numbers(rng, dtype, len(OPTIMIZERS[name](0.1).states), 33))
        g, w = numbers(rng, dtype, 33, special=[special]), numbers(rng, dtype, 33)
        check(kernels, update_case(name, hyper, g, np.zeros(33, dtype), w, state, 0.1, 2))


# ---- any shape -------------------------------------------------------------------------------------------


@hypothesis_settings(max_examples=25)
@given(n=st.integers(0, 40), i=st.integers(0, 70), o=st.integers(1, 70), seed=st.integers(0, 2**32))
def test_any_shape(kernels: ModuleType, dtype: str, n: int, i: int, o: int, seed: int) -> None:
    for case in all_cases(np.random.default_rng(seed), dtype, n, i, o):
        check(kernels, case)


def test_inputs_may_be_memory_mapped(kernels: ModuleType, dtype: str, tmp_path: Path) -> None:
    np.arange(63, dtype=dtype).tofile(tmp_path / "x")
    x = np.memmap(tmp_path / "x", dtype, "r", shape=(7, 9))
    z = np.empty((7, 1), dtype)
    kernels.dense_forward(x, np.ones((9, 1), dtype), None, z)
    np.testing.assert_array_equal(z[:, 0], x.sum(axis=1))


# ---- the same calls in every backend ---------------------------------------------------------------------


def shape_of(function: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults of the parameters, in order."""
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_every_kernel_is_tested(rng: np.random.Generator) -> None:
    assert {case.kernel for case in all_cases(rng, "float32", 3, 4, 5)} == set(public_functions())


def test_signatures_are_equal(kernels: ModuleType) -> None:
    for name in public_functions():
        assert shape_of(getattr(kernels, name)) == shape_of(getattr(reference, name)), name
        assert getattr(kernels, name).__doc__.splitlines()[0], name
    methods = [name for name, one in vars(reference.Executor).items() if callable(one) and name[0] != "_"]
    assert len(methods) >= 8
    for name in methods:
        assert shape_of(getattr(kernels.Executor, name)) == shape_of(getattr(reference.Executor, name)), name
