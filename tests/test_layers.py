"""Layers: recipes first, then live views into a network's parameters."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastnet as fn
from fastnet import initializers, layers
from fastnet.graph import GraphBuilder


def test_views_are_live_in_both_directions(backend: str, dtype: str) -> None:
    net = fn.Network([fn.Dense(3, "tanh"), fn.Dense(2)], inputs=4, dtype=dtype, seed=0)
    first, second = net.layers
    assert first.weights.shape == (4, 3) and first.bias.shape == (3,)
    assert second.weights.shape == (3, 2) and second.bias.shape == (2,)
    # The flat vector is: weights, bias, weights, bias, row-major and without gaps.
    net.parameters[...] = np.arange(net.parameters.size)
    assert first.weights[1, 2] == 5 and first.bias[0] == 12 and second.weights[0, 1] == 16
    assert second.bias[-1] == net.parameters[-1] == 22
    second.bias[1] = -7
    assert net.parameters[-1] == -7


def test_weights_given_by_assignment_reach_the_output(backend: str, dtype: str) -> None:
    net = fn.Network([fn.Dense(2)], inputs=3, dtype=dtype, seed=0)
    net.predict(np.zeros((1, 3)))  # an executor exists before the weights change
    net.layers[0].weights = [[1, 2], [3, 4], [5, 6]]
    net.layers[0].bias = (10, 20)
    assert net.parameters.tolist() == [1, 2, 3, 4, 5, 6, 10, 20]
    assert net.predict([[1, 1, 1], [1, 0, -1]]).tolist() == [[19, 32], [6, 16]]


def test_in_place_arithmetic_on_a_view() -> None:
    net = fn.Network([fn.Dense(2)], inputs=3, seed=0)
    before = net.parameters.copy()
    net.layers[0].weights *= 2
    np.testing.assert_array_equal(net.parameters[:6], 2 * before[:6])
    net.parameters -= 1
    np.testing.assert_array_equal(net.layers[0].weights.ravel(), 2 * before[:6] - 1)


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.zeros(6), 0.0, np.zeros((3, 2, 1))])
def test_assigned_weights_must_have_the_shape(values: object) -> None:
    net = fn.Network([fn.Dense(2)], inputs=3, seed=0)
    before = net.parameters.copy()
    with pytest.raises(ValueError, match=r"weights has shape .*; the layer's has \(3, 2\)"):
        net.layers[0].weights = values
    np.testing.assert_array_equal(net.parameters, before)


def test_assigned_weights_must_be_finite_numbers() -> None:
    net = fn.Network([fn.Dense(2)], inputs=1, seed=0)
    with pytest.raises(ValueError, match=r"weights\[0, 1\] is nan"):
        net.layers[0].weights = [[0.0, float("nan")]]
    with pytest.raises(TypeError, match="bias holds strings"):
        net.layers[0].bias = ["a", "b"]


def test_a_layer_without_bias() -> None:
    net = fn.Network([fn.Dense(2, bias=False)], inputs=3, seed=0)
    layer = net.layers[0]
    assert layer.bias is None and net.parameters.size == 6
    with pytest.raises(ValueError, match="bias=False"):
        layer.bias = [0, 0]


def test_reading_weights_of_a_recipe_says_where_they_are() -> None:
    recipe = fn.Dense(3)
    fn.Network([recipe], inputs=2)
    with pytest.raises(RuntimeError, match=r"belongs to no network.*net\.layers"):
        _ = recipe.weights
    with pytest.raises(RuntimeError, match="bias"):
        recipe.bias = [1, 2, 3]


def test_a_recipe_serves_several_layers_and_networks() -> None:
    recipe = fn.Dense(3, "relu")
    net = fn.Network([recipe, recipe], inputs=3, seed=0)
    other = fn.Network([recipe], inputs=3, seed=0)
    assert not np.shares_memory(net.layers[0].weights, net.layers[1].weights)
    assert not np.shares_memory(net.layers[0].weights, other.layers[0].weights)
    assert not np.array_equal(net.layers[0].weights, net.layers[1].weights)
    np.testing.assert_array_equal(net.layers[0].weights, other.layers[0].weights)


def test_a_copied_layer_belongs_to_no_network() -> None:
    net = fn.Network([fn.Dense(3, "relu")], inputs=2)
    for other in (
        copy.copy(net.layers[0]),
        copy.deepcopy(net.layers[0]),
        pickle.loads(pickle.dumps(net.layers[0])),
    ):
        assert repr(other) == "Dense(3, 'relu')"
        with pytest.raises(RuntimeError, match="belongs to no network"):
            _ = other.weights
    assert net.layers[0].weights.shape == (2, 3)


def test_initializers_by_name_object_function_and_array() -> None:
    def ramp(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
        return np.full(shape, 100 * fan_in + fan_out)

    recipes = [
        fn.Dense(2, weights_init="zeros", bias_init=initializers.uniform(5.0, 6.0)),
        fn.Dense(3, weights_init=ramp, bias_init=[1, 2, 3]),
        fn.Dense(1, weights_init=np.array([[0.5], [-1.0], [1.5]])),
    ]
    net = fn.Network(recipes, inputs=4, seed=3)
    assert not net.layers[0].weights.any()
    assert ((net.layers[0].bias >= 5) & (net.layers[0].bias < 6)).all()
    assert (net.layers[1].weights == 203).all() and net.layers[1].bias.tolist() == [1, 2, 3]
    assert net.layers[2].weights.ravel().tolist() == [0.5, -1.0, 1.5]


def test_first_weights_fit_the_activation() -> None:
    inputs, units = 400, 100
    expected = {"relu": 2 / inputs, "tanh": 2 / (inputs + units)}
    for activation, variance in expected.items():
        net = fn.Network([fn.Dense(units, activation)], inputs=inputs, seed=1)
        assert np.var(net.layers[0].weights) == pytest.approx(variance, rel=0.05)
        assert not net.layers[0].bias.any()


def test_first_weights_are_those_of_float64_cast() -> None:
    wide = fn.Network([fn.Dense(50, "relu")], inputs=20, dtype="float64", seed=5)
    narrow = fn.Network([fn.Dense(50, "relu")], inputs=20, dtype="float32", seed=5)
    np.testing.assert_array_equal(narrow.parameters, wide.parameters.astype(np.float32))
    assert not np.array_equal(narrow.parameters, wide.parameters)


def test_given_values_must_have_the_shape() -> None:
    with pytest.raises(ValueError, match=r"layers\[1\] \(Dense\): weights_init: .*\(2, 2\).*\(3, 1\)"):
        fn.Network([fn.Dense(3), fn.Dense(1, weights_init=np.ones((2, 2)))], inputs=2)
    with pytest.raises(ValueError, match=r"bias_init: .*\(5,\)"):
        fn.Network([fn.Dense(3, bias_init=np.ones(5))], inputs=2)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fn.Dense(0), ValueError, "units is 0; wanted an integer of at least 1"),
        (lambda: fn.Dense(-3), ValueError, "units is -3"),
        (lambda: fn.Dense(2.5), TypeError, "units is 2.5"),
        (lambda: fn.Dense(True), TypeError, "units is True"),
        (lambda: fn.Dense("relu"), TypeError, "units is 'relu'"),
        (
            lambda: fn.Dense(2, "rleu"),
            ValueError,
            "unknown activation 'rleu'.*did you mean 'relu'.*known: identity",
        ),
        (lambda: fn.Dense(2, np.tanh), TypeError, "activation must be a name"),
        (lambda: fn.Dense(2, bias="zeros"), TypeError, "bias is 'zeros'; wanted True or False.*bias_init"),
        (lambda: fn.Dense(2, weights_init="he"), ValueError, "weights_init: .*'he'.*he_normal"),
        (
            lambda: fn.Dense(2, weights_init=initializers.he_normal),
            TypeError,
            r"weights_init: .*he_normal\(\)",
        ),
        (lambda: fn.Dense(2, weights_init=[[1.0, float("nan")]]), ValueError, "weights_init: .*nan"),
        (lambda: fn.Dense(2, bias_init=None), TypeError, "bias_init"),
        (lambda: fn.Dropout(1.0), ValueError, "rate is 1; wanted .* below 1"),
        (lambda: fn.Dropout(-0.1), ValueError, "rate is -0.1"),
        (lambda: fn.Dropout(float("nan")), ValueError, "rate is nan"),
        (lambda: fn.Dropout("half"), TypeError, "rate is 'half'"),
    ],
)
def test_wrong_arguments_fail_at_once(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_dense_needs_a_flat_input() -> None:
    with pytest.raises(ValueError, match=r"layers\[0\] \(Dense\): .*\(1, 28, 28\).*Flatten\(\)"):
        fn.Network([fn.Dense(10)], inputs=(1, 28, 28))


def test_lowering() -> None:
    def lowered(*recipes: fn.Layer, inputs: tuple[int, ...] = (6,)) -> list[str]:
        builder, buffer = GraphBuilder(inputs), 0
        for index, recipe in enumerate(recipes):
            buffer = recipe.lower(builder, buffer, index)
        graph = builder.build(buffer)
        assert [op.output for op in graph.ops][-1:] == ([graph.output] if graph.ops else [])
        return [op.kind for op in graph.ops]

    assert lowered(fn.Dense(2)) == ["dense"]
    assert lowered(fn.Dense(2, "relu")) == ["dense", "activation"]
    assert lowered(fn.Flatten()) == [] and lowered(fn.Dropout(0)) == []
    assert lowered(fn.Flatten(), fn.Dropout(0.5), inputs=(2, 3)) == ["flatten", "dropout"]


def test_every_layer_comes_back_from_its_description() -> None:
    recipes = {
        "dense": fn.Dense(3, "gelu", bias=False, weights_init=initializers.normal(0.3), bias_init="zeros"),
        "dropout": fn.Dropout(0.25),
        "flatten": fn.Flatten(),
    }
    assert recipes.keys() == layers.LAYERS.keys()
    for recipe in recipes.values():
        again = layers.from_config(recipe.config())
        assert (
            type(again) is type(recipe) and again.config() == recipe.config() and repr(again) == repr(recipe)
        )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unknown layer None; known: dense, dropout, flatten"),
        ({"name": "os.system"}, "unknown layer 'os.system'"),
        ({"name": ["dense"]}, "unknown layer"),
        ({"name": "dense"}, "units"),
        ({"name": "dense", "units": 3, "colour": "red"}, "colour"),
        ({"name": "dense", "units": 3, "weights_init": [[1, 2, 3]]}, "weights_init .*description"),
        ({"name": "dropout", "rate": 7}, "rate is 7"),
    ],
)
def test_wrong_descriptions(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layers.from_config(config)


def test_dropout_acts_in_training_only(backend: str, dtype: str) -> None:
    ones = fn.Dense(1, bias=False, weights_init=np.ones((4000, 1)))
    net = fn.Network([fn.Dropout(0.75), ones], inputs=4000, dtype=dtype, seed=0)
    x = np.ones((1, 4000))
    assert net.predict(x) == 4000
    # d loss / d weights is the dropped input: 0 or 1 / (1 - rate), and 1 on average.
    _, inputs = net.loss_and_gradients(x, [[-1.0]], loss="half_squared_error", training=True)
    kept = inputs / inputs.max()
    assert set(np.unique(kept)) == {0.0, 1.0}
    assert kept.mean() == pytest.approx(0.25, abs=0.03)
    _, everything = net.loss_and_gradients(x, [[3999.0]], loss="half_squared_error")
    np.testing.assert_array_equal(everything, np.ones(4000))


def test_a_layer_without_weights_has_no_such_attribute() -> None:
    net = fn.Network([fn.Dropout(0.5), fn.Dense(1, bias=False)], inputs=2)
    with pytest.raises(AttributeError, match="'Dropout' object has no attribute 'weights'"):
        _ = net.layers[0].weights
    assert not hasattr(net.layers[0], "bias")
    assert net.layers[1].bias is None
