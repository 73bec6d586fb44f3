"""The perceptron: its answers, its learning rule, its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastnet.perceptron import Perceptron

TABLE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
NAND = np.array([1, 1, 1, 0])


# ---- answering


def test_the_example_with_three_inputs() -> None:
    perceptron = Perceptron(weights=[0.5, -1.0, 1.5], bias=-1.5)
    total = perceptron.total_input([8, 5, 2])
    output = perceptron.predict([8, 5, 2])
    assert (total, output) == (0.5, 1)
    assert (type(total), type(output)) == (float, int)


def test_nand() -> None:
    nand = Perceptron(weights=[-2, -2], bias=3)
    np.testing.assert_array_equal(nand.total_input(TABLE), [3.0, 1.0, 1.0, -1.0])
    output = nand.predict(TABLE)
    np.testing.assert_array_equal(output, NAND)
    assert output.dtype == np.int64
    assert [nand(row) for row in TABLE] == NAND.tolist()


def test_a_total_input_of_zero_gives_zero() -> None:
    perceptron = Perceptron(weights=[1.0], bias=-1.0)
    assert perceptron.total_input([1.0]) == 0.0
    assert perceptron.predict([1.0]) == 0
    assert perceptron.predict([1.0 + 1e-15]) == 1


@pytest.mark.parametrize("kind", [list, np.float16, np.int8, bool, np.asfortranarray])
def test_any_array_of_numbers_is_accepted(kind: object) -> None:
    nand = Perceptron(weights=[-2, -2], bias=3)
    x = TABLE.tolist() if kind is list else kind(TABLE) if kind is np.asfortranarray else TABLE.astype(kind)
    np.testing.assert_array_equal(nand.predict(x), NAND)


def test_rows_and_single_samples_agree(rng: np.random.Generator) -> None:
    perceptron = Perceptron(rng.normal(size=7), 0.3)
    x = rng.normal(size=(20, 7))
    rows = perceptron.total_input(x)
    np.testing.assert_allclose(rows, [perceptron.total_input(row) for row in x], rtol=1e-13)
    assert perceptron.predict(x[:0]).shape == (0,)


# ---- learning


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 3, 4, 5])  # seed 2 happens to start with the right answers
def test_nand_is_learned_from_small_random_weights(seed: int, shuffle: bool) -> None:
    perceptron = Perceptron(inputs=2, seed=seed)
    assert np.all(np.abs(perceptron.weights) < 0.05)
    assert abs(perceptron.bias) < 0.05
    assert perceptron.predict(TABLE).tolist() != NAND.tolist()
    history = perceptron.fit(TABLE, NAND, shuffle=shuffle)
    np.testing.assert_array_equal(perceptron.predict(TABLE), NAND)
    assert history["mistakes"][-1] == 0
    assert all(history["mistakes"][:-1])  # it stops in the first epoch without a mistake
    assert len(history["mistakes"]) < 100


def test_the_rule_by_hand() -> None:
    # Total inputs, row by row: 0 is wrong, 1 is right, 1.5 is wrong, -2 is wrong.
    perceptron = Perceptron([0.0, 0.0], 0.0)
    x, y = [[1, 2], [1, 0], [0, 1], [-4, 0]], [1, 1, 0, 1]
    history = perceptron.fit(x, y, epochs=1, learning_rate=0.5)
    np.testing.assert_array_equal(perceptron.weights, [0.5 - 2.0, 1.0 - 0.5])
    assert perceptron.bias == 0.5 - 0.5 + 0.5
    assert history == {"mistakes": [3]}


def test_what_no_line_separates_takes_all_epochs() -> None:
    xor = Perceptron(seed=0)
    history = xor.fit(TABLE, [0, 1, 1, 0], epochs=17)
    assert len(history["mistakes"]) == 17
    assert all(history["mistakes"])


def test_separable_data_of_many_features_is_learned(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 10))
    side = x @ rng.normal(size=10) + 0.5
    x, y = x[np.abs(side) > 0.5], (side > 0)[np.abs(side) > 0.5]
    perceptron = Perceptron(seed=1)
    perceptron.fit(x, y, epochs=1000, shuffle=True)
    np.testing.assert_array_equal(perceptron.predict(x), y)


def test_fit_goes_on_from_where_it_was() -> None:
    # Without shuffling, two epochs at once are an epoch and another one.
    once, twice = Perceptron([0.01, -0.02], 0.03), Perceptron([0.01, -0.02], 0.03)
    mistakes = once.fit(TABLE, NAND, epochs=2)["mistakes"]
    assert mistakes == [twice.fit(TABLE, NAND, epochs=1)["mistakes"][0] for _ in range(2)]
    np.testing.assert_array_equal(once.weights, twice.weights)


def test_seed_of_weights_and_of_the_order() -> None:
    weights = [Perceptron(inputs=3, seed=seed).weights.tolist() for seed in (1, 1, 2)]
    assert weights[0] == weights[1] != weights[2]
    runs = []
    for seed in (1, 1, 2, 3, 4):
        perceptron = Perceptron([0.0, 0.0], 0.0)
        history = perceptron.fit(TABLE, NAND, shuffle=True, seed=seed)
        runs.append((history["mistakes"], perceptron.weights.tolist()))
    assert runs[0] == runs[1]
    assert any(run != runs[0] for run in runs[2:])


def test_given_weights_are_copied_and_a_given_bias_is_kept() -> None:
    weights = np.array([1.0, 2.0])
    perceptron = Perceptron(weights)
    assert perceptron.bias == 0.0
    perceptron.fit([[1.0, 1.0]], [0])
    np.testing.assert_array_equal(weights, [1.0, 2.0])
    assert Perceptron(bias=3.0, inputs=2).bias == 3.0
    learner = Perceptron(bias=3.0)
    learner.fit([[0.0]], [1])  # right at once, so nothing moves
    assert learner.bias == 3.0


def test_repr() -> None:
    assert repr(Perceptron([0.5, -1.0], -1.5)) == "Perceptron(weights=[ 0.5, -1. ], bias=-1.5)"
    assert repr(Perceptron()) == "Perceptron()"


# ---- errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": ["a"]}, TypeError, "weights holds strings"),
        ({"weights": [[1.0]]}, ValueError, r"weights has shape \(1, 1\)"),
        ({"weights": []}, ValueError, r"weights has shape \(0,\)"),
        ({"weights": [math.nan]}, ValueError, r"weights\[0\] is nan"),
        ({"bias": math.inf}, ValueError, "bias is inf"),
        ({"bias": "1"}, TypeError, "bias is '1'"),
        ({"inputs": 0}, ValueError, "inputs is 0"),
        ({"inputs": 2.0}, TypeError, "inputs is 2.0"),
        ({"weights": [1.0], "inputs": 2}, ValueError, "weights has 1 values; inputs is 2"),
        ({"seed": -1}, ValueError, "seed is -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Perceptron(**arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([1.0, 2.0, 3.0], ValueError, "x has 3 features; the perceptron has 2 inputs"),
        ([[1.0]], ValueError, "x has 1 features; the perceptron has 2 inputs"),
        (1.0, ValueError, r"x has shape \(\)"),
        (np.zeros((1, 2, 2)), ValueError, r"x has shape \(1, 2, 2\)"),
        ([], ValueError, "x is empty"),
        ([math.nan, 1.0], ValueError, r"x\[0\] is nan"),
        (["a", "b"], TypeError, "x holds strings"),
        ([None, None], TypeError, "x holds objects"),
    ],
)
def test_bad_samples(x: object, error: type[Exception], message: str) -> None:
    perceptron = Perceptron([1.0, 2.0], 0.0)
    for call in (perceptron.total_input, perceptron.predict):
        with pytest.raises(error, match=message):
            call(x)


def test_no_weights_yet() -> None:
    with pytest.raises(ValueError, match="no weights yet"):
        Perceptron().predict([1.0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": TABLE[0]}, ValueError, r"x has shape \(2,\); wanted \(N, I\)"),
        ({"x": TABLE[:0], "y": []}, ValueError, "x is empty"),
        ({"x": TABLE[:, :1]}, ValueError, "x has 1 features"),
        ({"y": NAND[:3]}, ValueError, r"y has shape \(3,\); x has 4 rows"),
        ({"y": [1, 1, -1, 1]}, ValueError, r"y\[2\] is -1; wanted 0 or 1"),
        ({"y": [1, 1, 0.5, 1]}, ValueError, r"y\[2\] is 0.5"),
        ({"y": [1, 1, 1, math.nan]}, ValueError, r"y\[3\] is nan"),
        ({"y": ["a"] * 4}, TypeError, "y holds strings"),
        ({"epochs": 0}, ValueError, "epochs is 0"),
        ({"epochs": 1.5}, TypeError, "epochs is 1.5"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate is 0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate is -1"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate is nan"),
        ({"x": TABLE * 1e300, "learning_rate": 1e300}, ValueError, "overflow"),
        ({"seed": "x"}, TypeError, "seed"),
    ],
)
def test_a_failed_fit_changes_nothing(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    perceptron = Perceptron([0.25, -0.25], 0.5)
    arguments = {"x": TABLE, "y": NAND, **change}
    with pytest.raises(error, match=message):
        perceptron.fit(arguments.pop("x"), arguments.pop("y"), **arguments)
    assert perceptron.weights.tolist() == [0.25, -0.25]
    assert perceptron.bias == 0.5
