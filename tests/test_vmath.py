"""The kernels' own exp, log, tanh and so on: how many ulp they are from the true values, and the edges.

float32 is compared with NumPy and `math.erfc` in float64, which is exact enough; float64 with mpmath.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import mpmath
import numpy as np
import numpy.typing as npt
import pytest

Array = npt.NDArray[np.floating]

SQRT_HALF = math.sqrt(0.5)
DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)


class Case(NamedTuple):
    """One function: the largest error in ulp, the ends of its inputs for each dtype, and the truth."""

    bound: float
    ends: dict[str, tuple[float, float]]
    wide: Callable[[Array], Array]  # of float64
    exact: Callable[[mpmath.mpf], mpmath.mpf]
    flushed: float = 4.0  # results below so many times the smallest normal number may become zero
    borders: tuple[float, ...] = ()  # where one formula gives way to another


def _normal(x: Array) -> Array:
    """Phi(x)."""
    return 0.5 * np.asarray(np.frompyfunc(math.erfc, 1, 1)(-SQRT_HALF * x), np.float64)


def _exact_normal(x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2


EXP = tuple((k + 0.5) * math.log(2) for k in (-30, -2, -1, 0, 1, 2, 30))  # where exp's power of 2 changes
TAIL = {"float32": (-13.5, 9.0), "float64": (-38.0, 9.0)}
CASES = {
    "exp": Case(
        1.5, {"float32": (-95.0, 88.72), "float64": (-730.0, 709.78)}, np.exp, mpmath.exp, borders=EXP
    ),
    "expm1": Case(
        2.7, {"float32": (-30.0, 88.72), "float64": (-50.0, 709.78)}, np.expm1, mpmath.expm1, borders=EXP
    ),
    "log": Case(
        1.0, {"float32": (0.0, 3.0), "float64": (0.0, 3.0)}, np.log, mpmath.log,
        borders=tuple(SQRT_HALF * 2.0**k for k in (-9, -1, 0, 1, 9)),
    ),
    "sigmoid": Case(
        2.8, {"float32": (-95.0, 95.0), "float64": (-730.0, 730.0)},
        lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + mpmath.exp(-x)), borders=EXP,
    ),
    "tanh": Case(
        3.0, {"float32": (-12.0, 12.0), "float64": (-24.0, 24.0)}, np.tanh, mpmath.tanh,
        borders=(-10.0, *(0.5 * x for x in EXP), 10.0),
    ),
    "softplus": Case(
        2.5, {"float32": (-95.0, 95.0), "float64": (-730.0, 730.0)},
        lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
        lambda x: mpmath.log1p(mpmath.exp(x)), borders=EXP,
    ),
    "erf": Case(
        2.8, {"float32": (-5.0, 5.0), "float64": (-7.0, 7.0)},
        lambda x: np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64), mpmath.erf, borders=(-0.75, 0.75),
    ),
    "gelu": Case(8.5, TAIL, lambda x: x * _normal(x), lambda x: x * _exact_normal(x)),
    "gelu_slope": Case(
        8.5, TAIL,
        lambda x: _normal(x) + x * DENSITY_0 * np.exp(-0.5 * x * x),
        lambda x: _exact_normal(x) + x * mpmath.npdf(x), flushed=32.0,
    ),
}  # fmt: skip
MONOTONIC = sorted(CASES.keys() - {"gelu", "gelu_slope"})


def near(borders: tuple[float, ...], dtype: str, count: int) -> Array:
    """The `count` numbers on either side of each border, in rows."""
    step = np.arange(-count, count + 1)
    middle = np.array(borders, dtype)[:, None]
    return (middle + step * np.spacing(np.abs(middle))).astype(dtype)


@functools.cache
def inputs(name: str, dtype: str) -> Array:
    """Everywhere, densely around 0 (log: 1), of every magnitude, and around the borders."""
    case, count = CASES[name], 20_000 if dtype == "float32" else 800
    rng = np.random.default_rng(7)
    low, high = case.ends[dtype]
    tiny, largest = np.finfo(dtype).tiny, np.finfo(dtype).max
    magnitude = np.exp(rng.uniform(math.log(tiny), math.log(largest if name == "log" else high), count))
    parts = [
        rng.uniform(low, high, count),
        rng.normal(1.0 if name == "log" else 0.0, 1.0, count),
        magnitude * rng.choice([math.copysign(1.0, low), 1.0], count),
        1.0 + rng.normal(0.0, 1e-3, count),
        near(case.borders, dtype, 8).ravel(),
    ]
    x = np.concatenate(parts).astype(dtype)
    return np.abs(x[x != 0]) if name == "log" else x


@functools.cache
def truth(name: str, dtype: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The true values at `inputs`, as sums of two float64."""
    x = inputs(name, dtype)
    if dtype == "float32":
        wide = CASES[name].wide(x.astype(np.float64))
        return wide, np.zeros_like(wide)
    with mpmath.workprec(160):
        values = [CASES[name].exact(mpmath.mpf(float(one))) for one in x]
        high = np.array([float(value) for value in values])
        return high, np.array([float(value - one) for value, one in zip(values, high, strict=True)])


def ulp_errors(name: str, dtype: str, result: Array) -> npt.NDArray[np.float64]:
    """Error of `result` at `inputs`, in units of the last place of the true value; infinite for NaN."""
    high, low = truth(name, dtype)
    info = np.finfo(dtype)
    scale = np.maximum(np.abs(high), info.tiny)
    if name == "gelu_slope":  # its two terms cancel for negative x
        x = inputs(name, dtype).astype(np.float64)
        scale = np.maximum(scale, np.where(x < 0, _normal(x), 0.0))
    ulp = np.ldexp(1.0, np.frexp(scale)[1] - 1 - info.nmant)
    with np.errstate(over="ignore"):
        error = np.abs((result.astype(np.float64) - high) - low) / ulp
    floor = CASES[name].flushed * float(info.tiny)
    error[(np.abs(high) < floor) & (np.abs(result) <= floor)] = 0.0
    return np.where(np.isnan(error), np.inf, error)


def evaluate(compiled: ModuleType, name: str, x: Array) -> Array:
    """The function at each x; what is not written stays NaN."""
    out = np.full_like(x, np.nan)
    compiled.vector_math(name, x, out)
    return out


def test_every_function_is_tested(compiled: ModuleType) -> None:
    assert set(compiled.MATH) == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_error_is_within_the_bound(compiled: ModuleType, dtype: str, name: str) -> None:
    x = inputs(name, dtype)
    errors = ulp_errors(name, dtype, evaluate(compiled, name, x))
    worst = int(np.argmax(errors))
    assert errors[worst] <= CASES[name].bound, f"{errors[worst]} ulp at {x[worst]!r}"


@pytest.mark.parametrize("name", CASES)
def test_the_checker_notices_what_is_wrong(dtype: str, name: str) -> None:
    """Negative control: starting from the right values, each of these is more than the bound."""
    bound = CASES[name].bound
    right = truth(name, dtype)[0].astype(dtype)
    assert ulp_errors(name, dtype, right).max() <= 1.0
    middle = int(np.argmin(np.abs(np.abs(right) - 0.6)))
    assert 0.1 < abs(right[middle]) < 1.0
    for wrong in (
        right * right.dtype.type(1 + max(8.0, 2 * bound) * np.finfo(dtype).eps),
        -right,
        np.where(np.arange(right.size) == middle, np.nan, right),
        np.where(np.arange(right.size) == middle, right * right.dtype.type(1.00001), right),
        np.where(np.abs(right) < 1e-3, 0, right),
        np.roll(right, 1),
    ):
        assert ulp_errors(name, dtype, wrong.astype(dtype)).max() > bound


SPECIAL = {
    # x: result, both exact; signs of zeros count
    "exp": [(0.0, 1.0), (-0.0, 1.0), (math.inf, math.inf), (-math.inf, 0.0), (1e4, math.inf), (-1e4, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (math.inf, math.inf), (-math.inf, -1.0), (1e4, math.inf),
              (-1e4, -1.0)],
    "log": [(0.0, -math.inf), (-0.0, -math.inf), (1.0, 0.0), (math.inf, math.inf), (-1.0, math.nan),
            (-math.inf, math.nan), (-1e-30, math.nan)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (math.inf, 1.0), (-math.inf, 0.0), (1e4, 1.0), (-1e4, 0.0)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (math.inf, 1.0), (-math.inf, -1.0), (30.0, 1.0), (-30.0, -1.0)],
    "softplus": [(math.inf, math.inf), (-math.inf, 0.0), (1e4, 1e4), (-1e4, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (math.inf, 1.0), (-math.inf, -1.0), (1e30, 1.0), (-1e30, -1.0)],
    "gelu": [(0.0, 0.0), (-0.0, -0.0), (math.inf, math.inf), (1e30, 1e30), (-math.inf, 0.0), (-1e30, 0.0)],
    "gelu_slope": [(0.0, 0.5), (-0.0, 0.5), (math.inf, 1.0), (1e30, 1.0), (-math.inf, -0.0), (-1e30, -0.0)],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_special_values(compiled: ModuleType, dtype: str, name: str) -> None:
    x, expected = np.array([*SPECIAL[name], (math.nan, math.nan)], dtype).T.copy()
    result = evaluate(compiled, name, x)
    np.testing.assert_array_equal(result, expected)
    signed = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[signed]), np.signbit(expected[signed]))


def test_largest_finite_exp(compiled: ModuleType, dtype: str) -> None:
    """The last number whose exp is finite, and the first whose exp is not."""
    limit = math.log(np.finfo(dtype).max)
    last = np.dtype(dtype).type(limit)
    if float(last) > limit:
        last = np.nextafter(last, np.dtype(dtype).type(0))
    first = last + 2 * np.spacing(last)
    for name in ("exp", "expm1"):
        result = evaluate(compiled, name, np.array([last, first], dtype))
        assert np.isfinite(result[0]) and result[1] == np.inf


def test_logarithm_of_subnormals(compiled: ModuleType, dtype: str) -> None:
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([1, 2, 3, 1000, 12345], dtype) * tiny
    np.testing.assert_allclose(evaluate(compiled, "log", x), np.log(x), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_odd_functions_are_exactly_odd(compiled: ModuleType, dtype: str, name: str) -> None:
    x = inputs(name, dtype)
    np.testing.assert_array_equal(evaluate(compiled, name, -x), -evaluate(compiled, name, x))


@pytest.mark.parametrize("name", MONOTONIC)
def test_no_steps_down_at_borders(compiled: ModuleType, dtype: str, name: str) -> None:
    """A growing function may waver by an ulp or two from one number to the next, no more."""
    x = near(CASES[name].borders, dtype, 200)
    result = evaluate(compiled, name, x.ravel()).reshape(x.shape)
    drop = result[:, :-1] - result[:, 1:]
    assert np.all(drop <= 2 * np.spacing(np.abs(result[:, 1:])))
    assert np.all(result[:, -1] >= result[:, 0])


@pytest.mark.parametrize("name", CASES)
def test_bits_depend_on_the_value_alone(compiled: ModuleType, dtype: str, name: str) -> None:
    """Neither on the lane nor on the neighbours nor on how many there are."""
    x = inputs(name, dtype)[:67]
    whole = evaluate(compiled, name, x)
    for count in (0, 1, 2, 3, 5, 8, 15, 16, 17, 33):
        for start in (0, 1, 7):
            part = slice(start, start + count)
            np.testing.assert_array_equal(evaluate(compiled, name, x[part]), whole[part])
