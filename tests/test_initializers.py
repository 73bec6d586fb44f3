"""First values of weights: distributions, names, errors, descriptions."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from fastnet import initializers
from fastnet.initializers import INITIALIZERS, Given, get

FAN_IN, FAN_OUT = 300, 500
SHAPE = (FAN_IN, FAN_OUT)

# The variance that the cited papers ask for, and whether the distribution is uniform.
EXPECTED = {
    "he_normal": (2 / FAN_IN, False),
    "he_uniform": (2 / FAN_IN, True),
    "glorot_normal": (2 / (FAN_IN + FAN_OUT), False),
    "glorot_uniform": (2 / (FAN_IN + FAN_OUT), True),
    "lecun_normal": (1 / FAN_IN, False),
    "lecun_uniform": (1 / FAN_IN, True),
    "uniform": (0.1**2 / 12, True),
    "normal": (0.05**2, False),
}


def draw(spec: object, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> np.ndarray:
    return get(spec)(np.random.default_rng(seed), shape, FAN_IN, FAN_OUT)


def test_every_random_initializer_is_tested() -> None:
    assert set(EXPECTED) | {"zeros"} == set(INITIALIZERS)


@pytest.mark.parametrize("name", EXPECTED)
def test_mean_and_variance_are_those_of_the_formula(name: str) -> None:
    variance, _ = EXPECTED[name]
    values = draw(name)
    # Five standard errors of the estimates from 150,000 values (a normal's kurtosis is the larger one).
    assert abs(values.mean()) < 5 * math.sqrt(variance / values.size)
    assert values.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / values.size))


@pytest.mark.parametrize("name", EXPECTED)
def test_shape_of_the_distribution(name: str) -> None:
    variance, uniform = EXPECTED[name]
    values = draw(name)
    limit = math.sqrt(3 * variance)
    if uniform:
        assert np.abs(values).max() <= limit
        assert np.abs(values).max() > 0.999 * limit
    else:  # a normal distribution has about 0.27 % beyond three standard deviations, a uniform one none
        assert 0.002 < np.mean(np.abs(values) > 3 * math.sqrt(variance)) < 0.0035


@pytest.mark.parametrize("name", INITIALIZERS)
def test_result_is_new_float64_of_the_shape_and_depends_on_the_generator_alone(name: str) -> None:
    first, again, other = draw(name, (3, 4)), draw(name, (3, 4)), draw(name, (3, 4), seed=2)
    assert first.shape == (3, 4)
    assert first.dtype == np.float64
    assert first is not again
    np.testing.assert_array_equal(first, again)
    assert (name == "zeros") == np.array_equal(first, other)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_size_zero_is_legal(name: str) -> None:
    assert get(name)(np.random.default_rng(0), (0, 4), 0, 4).shape == (0, 4)


def test_fan_in_and_out_are_not_confused() -> None:
    wide = get("he_normal")(np.random.default_rng(0), (100_000,), 8, 800)
    assert wide.std() == pytest.approx(0.5, rel=0.02)


def test_arguments_are_used() -> None:
    values = draw(initializers.uniform(2.0, 3.0))
    assert 2.0 <= values.min() < 2.001 < 2.999 < values.max() < 3.0
    assert draw(initializers.normal(7.0)).std() == pytest.approx(7.0, rel=0.02)
    assert not draw("zeros").any()


@pytest.mark.parametrize("kind", [np.int32, np.float64])
def test_a_given_array_is_copied(kind: type) -> None:
    array = np.arange(6, dtype=kind).reshape(2, 3)
    given = get(array)
    array[:] = 9
    values = given(np.random.default_rng(0), (2, 3), 2, 3)
    np.testing.assert_array_equal(values, [[0.0, 1, 2], [3, 4, 5]])
    values[:] = 9
    np.testing.assert_array_equal(given(np.random.default_rng(0), (2, 3), 2, 3), [[0.0, 1, 2], [3, 4, 5]])


def test_a_given_array_must_have_the_shape() -> None:
    with pytest.raises(ValueError, match=r"the given array has shape \(3, 2\); \(2, 3\) is wanted"):
        get(np.zeros((3, 2)))(np.random.default_rng(0), (2, 3), 2, 3)
    with pytest.raises(ValueError, match=r"shape \(1,\); \(3,\)"):  # it is not broadcast
        get([1.0])(np.random.default_rng(0), (3,), 2, 3)


def test_an_initializer_passes_through() -> None:
    initializer = initializers.he_normal()
    assert get(initializer) is initializer


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"unknown initializer 'he_norml'.*did you mean 'he_normal'"
    ) as caught:
        get("he_norml")
    assert all(name in str(caught.value) for name in INITIALIZERS)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (None, TypeError, "got None"),
        (0.1, TypeError, "got 0.1"),
        (initializers.he_normal, TypeError, r"did you mean he_normal\(\)"),
        ([["a"]], TypeError, "strings"),
        ([object()], TypeError, "objects"),
        ([[1.0], [2.0, 3.0]], ValueError, "rectangular"),
        ([1.0, math.nan], ValueError, r"\[1\] is nan"),
        ([[math.inf]], ValueError, "inf"),
    ],
)
def test_bad_specs(spec: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        get(spec)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.uniform(1.0, 0.0), "low must not be above high, got 1 and 0"),
        (lambda: initializers.uniform(math.nan, 1.0), "low is nan"),
        (lambda: initializers.uniform(0.0, math.inf), "high is inf"),
        (lambda: initializers.uniform(-1.7e308, 1.7e308), "high - low"),
        (lambda: initializers.normal(-0.1), "std is -0.1"),
        (lambda: initializers.normal(math.nan), "std is nan"),
    ],
)
def test_bad_arguments(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_arguments_must_be_numbers() -> None:
    with pytest.raises(TypeError, match="std is '1'"):
        initializers.normal("1")


@pytest.mark.parametrize(
    "initializer",
    [
        *(make() for make in INITIALIZERS.values()),
        initializers.uniform(-1, 2),
        initializers.normal(np.float32(2)),
    ],
    ids=repr,
)
def test_a_description_makes_an_equal_initializer(initializer: initializers.Initializer) -> None:
    description = json.loads(json.dumps(initializer.config()))
    again = initializers.from_config(description)
    assert again == initializer
    np.testing.assert_array_equal(draw(again), draw(initializer))


def test_a_description_of_given_values_leaves_them_out() -> None:
    description = get([1.0, 2.0]).config()
    assert description == {"name": "given"}
    again = initializers.from_config(description)
    assert isinstance(again, Given)
    assert again.config() == description
    with pytest.raises(ValueError, match="give the array again"):
        again(np.random.default_rng(0), (2,), 1, 2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unknown initializer None"),
        ({"name": "os.system"}, "unknown initializer 'os.system'.*he_normal"),
        ({"name": 3}, "unknown initializer 3"),
        ({"name": "he_normal", "std": 1.0}, "std"),
        ({"name": "normal", "std": -1.0}, "std"),
        ({"name": "given", "values": [1.0]}, "given"),
    ],
)
def test_bad_descriptions(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        initializers.from_config(config)
