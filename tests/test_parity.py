"""Negative controls: the checker of the kernels must find planted bugs."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from parity import (
    INF,
    MARGIN,
    NAN,
    Array,
    Case,
    all_cases,
    check,
    compare,
    public_functions,
    run,
    update_terms,
)

from fastnet.backends import reference


def one_wrong(values: Array) -> Array:
    wrong = values.copy()
    if values.size:
        where = int(np.argmax(np.where(np.isfinite(values), np.abs(values), 0)))
        wrong.flat[where] = values.flat[where] * values.dtype.type(1.01)
    return wrong


def last_unwritten(right: Array, before: Array) -> Array:
    return np.append(right.ravel()[:-1], before.ravel()[-1:]).reshape(right.shape)


BUGS: dict[str, Callable[[Array, Array], Array]] = {
    # (what is right, what was there before) -> what is written
    "flipped sign": lambda right, _: -right,
    "factor 1.01": lambda right, _: right * right.dtype.type(1.01),
    "zeros": lambda right, _: np.zeros_like(right),
    "transpose": lambda right, _: (right.T if right.ndim > 1 else right[::-1]).copy().reshape(right.shape),
    "one wrong element": lambda right, _: one_wrong(right),
    "stale buffer": lambda _, before: before,
    "last element not written": lambda right, before: last_unwritten(right, before),
}


def broken(case: Case, bug: Callable[[Array, Array], Array], output: int) -> Any:
    """The reference with a bug in one of its outputs."""

    def kernel(*arguments: Any) -> Any:
        written = arguments[len(case.reads) + output]
        before = written.copy()
        returned = getattr(reference, case.kernel)(*arguments)
        written[...] = bug(written, before)
        return returned

    return SimpleNamespace(**{case.kernel: kernel})


def control_cases(dtype: str) -> list[Case]:
    return list(all_cases(np.random.default_rng(5), dtype, 9, 9, 9))


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_found(dtype: str, bug: str) -> None:
    found = set()
    for case in control_cases(dtype):
        right, _ = run(reference, case)
        for output, (values, before) in enumerate(zip(right, case.writes, strict=True)):
            if np.array_equal(BUGS[bug](values, before), values):
                continue  # such as minus zero, of the step function's slope
            with pytest.raises(AssertionError):
                check(broken(case, BUGS[bug], output), case)
            found.add(case.kernel)
    assert found == set(public_functions()) - {"count_correct"}  # which writes nothing


@pytest.mark.parametrize("bug", ["sum", "norm", "count"])
def test_wrong_numbers_returned_are_found(dtype: str, bug: str) -> None:
    def kernel(*arguments: Any) -> Any:
        first, second = getattr(reference, name)(*arguments)
        return {"count": (first + 1, second), "sum": (first * 1.01, second), "norm": (first, 2 * second)}[bug]

    name = "count_correct" if bug == "count" else "loss_and_slope"
    cases = [case for case in control_cases(dtype) if case.kernel == name]
    assert cases
    for case in cases:
        with pytest.raises(AssertionError):
            check(SimpleNamespace(**{name: kernel}), case)


def test_an_optimizer_whose_terms_are_not_known_is_refused() -> None:
    one = np.ones(3)
    with pytest.raises(ValueError, match="terms of the optimizer 'no such'"):
        update_terms("no such", {}, one, one, np.ones((1, 3)), np.ones((1, 3)), 0.1, 1)


def test_writes_where_nothing_may_be_written_are_found(dtype: str) -> None:
    (case,) = [case for case in control_cases(dtype) if case.kernel == "dense_backward_bias"]

    def outside(position: int) -> Callable[..., None]:
        def kernel(d_z: Array, d_bias: Array) -> None:
            reference.dense_backward_bias(d_z, d_bias)
            d_bias.base[position] = 0.0

        return kernel

    def into_input(d_z: Array, d_bias: Array) -> None:
        reference.dense_backward_bias(d_z, d_bias)
        d_z.base[MARGIN] = 7.0

    for kernel in (outside(MARGIN - 1), outside(MARGIN + 9), into_input):
        with pytest.raises(AssertionError, match=r"wrote outside|changed an input"):
            check(SimpleNamespace(dense_backward_bias=kernel), case)


@pytest.mark.parametrize("wrong", [NAN, INF, -INF, 1e30], ids=str)
def test_values_that_should_be_finite_are_found(wrong: float) -> None:
    compare(np.zeros(3), np.zeros(3), 0.0)
    with pytest.raises(AssertionError):
        compare(np.array([0.0, wrong, 0.0]), np.zeros(3), 1.0)
    with pytest.raises(AssertionError):
        compare(np.zeros(3), np.array([0.0, wrong, 0.0]), 1.0)
