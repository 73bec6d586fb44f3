"""One step with every number shown: the classic numbers, the definitions, and agreement with training."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnet as fn
from fastnet.activations import ACTIVATIONS
from fastnet.losses import LOSSES

CLASSIC_X = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
CLASSIC_Y = np.array([[0], [0], [1], [1]])
CLASSIC_WEIGHTS = [0.39293837, -0.42772133, -0.54629709]

# The last slope is 0.35868411 * (1 - 0.35868411), and 0.64131589 times it is the last delta.
CLASSIC = {
    "total_input": [-0.54629709, -0.97401842, -0.15335872, -0.58108005],
    "output": [0.36672394, 0.27408027, 0.46173529, 0.35868411],
    "error": [-0.36672394, -0.27408027, 0.53826471, 0.64131589],
    "slope": [0.23223749, 0.19896028, 0.24853581, 0.23002982],
    "delta": [-0.08516705, -0.05453109, 0.13377806, 0.14752178],
    "new_weights": [0.67423821, -0.33473064, -0.40469539],
}


def classic_network() -> fn.Network:
    layer = fn.Dense(1, "sigmoid", bias=False, weights_init=np.array(CLASSIC_WEIGHTS)[:, None])
    return fn.Network([layer], inputs=3, dtype="float64")


def random_network(
    rng: np.random.Generator, output: str, outputs: int = 3, dtype: str = "float64"
) -> fn.Network:
    layers = [fn.Flatten(), fn.Dense(6, "tanh"), fn.Dropout(0.5), fn.Dense(5, "gelu", bias=False)]
    net = fn.Network([*layers, fn.Dense(outputs, output)], inputs=(2, 2), dtype=dtype, seed=3)
    net.parameters += rng.normal(0, 0.1, net.parameters.shape).astype(dtype)
    return net


# ---- the classic


@pytest.mark.parametrize("name", CLASSIC)
def test_the_classic_numbers(name: str) -> None:
    layer = fn.explain(classic_network(), CLASSIC_X, CLASSIC_Y).layers[0]
    values = getattr(layer, name)
    np.testing.assert_array_equal(np.round(values.ravel(), 8), CLASSIC[name])
    assert values.dtype == np.float64


def test_the_classic_is_printed_in_full() -> None:
    text = str(fn.explain(classic_network(), CLASSIC_X, CLASSIC_Y))
    for values in [CLASSIC_WEIGHTS, *CLASSIC.values()]:
        for value in values:
            assert f"{value:.8f}" in text
    assert "loss before 0.45531071, after 0.35931147" in text
    rows = [line.split() for line in text.splitlines()]
    last = [f"{CLASSIC[name][3]:.8f}" for name in ("total_input", "output", "error", "slope", "delta")]
    assert ["3", *last[:2], "1", *last[2:]] in rows  # sample, total input, output, target, error, ...
    assert ["3", "1", "1", "1"] in rows  # sample and its inputs
    assert ["0", "0.39293837", "0.28129984", "0.67423821"] in rows  # weight, update, new weight


def test_training_takes_the_explained_step(backend: str) -> None:
    net = classic_network()
    explanation = fn.explain(net, CLASSIC_X, CLASSIC_Y, learning_rate=1.0)
    trainer = fn.Trainer(net, loss="half_squared_error", optimizer=fn.SGD(1.0))
    assert trainer.step(CLASSIC_X, CLASSIC_Y) == pytest.approx(explanation.loss_before, rel=1e-12)
    np.testing.assert_allclose(net.layers[0].weights, explanation.layers[0].new_weights, rtol=1e-12)
    after = fn.explain(net, CLASSIC_X, CLASSIC_Y)
    assert after.loss_before == pytest.approx(explanation.loss_after, rel=1e-12)


# ---- definitions


LOSS_AND_OUTPUT = [
    (name, activation)
    for name, loss in LOSSES.items()
    for activation in ("identity", "sigmoid", "softmax", "softplus", "tanh")
    if activation in loss.outputs
]


def targets_for(loss: str, rng: np.random.Generator, samples: int, outputs: int) -> np.ndarray:
    if loss == "cross_entropy":
        return rng.integers(0, outputs, samples)
    if LOSSES[loss].targets == "sign":
        return rng.choice([-1.0, 1.0], (samples, outputs))
    return rng.uniform(0, 1, (samples, outputs))


@pytest.mark.parametrize(("loss", "output"), LOSS_AND_OUTPUT)
def test_updates_are_the_learning_rate_times_minus_the_gradient(
    backend: str, rng: np.random.Generator, loss: str, output: str
) -> None:
    net = random_network(rng, output)
    x, y = rng.normal(size=(7, 2, 2)), targets_for(loss, rng, 7, 3)
    before = net.parameters.copy()
    explanation = fn.explain(net, x, y, loss=loss, learning_rate=0.3)
    np.testing.assert_array_equal(net.parameters, before)  # it never changes the network
    value, gradients = net.loss_and_gradients(x, y, loss=loss)
    assert explanation.loss_before == pytest.approx(value, rel=1e-12)
    updates = [
        part.ravel()
        for s in explanation.layers
        for part in (s.weight_update, s.bias_update)
        if part is not None
    ]
    scale = np.abs(gradients).max()
    np.testing.assert_allclose(np.concatenate(updates), -0.3 * gradients, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.parametrize(("loss", "output"), LOSS_AND_OUTPUT)
def test_every_array_is_what_its_name_says(rng: np.random.Generator, loss: str, output: str) -> None:
    net = random_network(rng, output)
    x, y = rng.normal(size=(4, 2, 2)), targets_for(loss, rng, 4, 3)
    steps = fn.explain(net, x, y, loss=loss, learning_rate=0.3).layers
    assert [step.index for step in steps] == [1, 3, 4]
    assert [step.activation for step in steps] == ["tanh", "gelu", output]
    np.testing.assert_array_equal(steps[0].inputs, x.reshape(4, 4))
    for before, step in zip([None, *steps], steps, strict=False):
        layer = net.layers[step.index]
        np.testing.assert_array_equal(step.weights, layer.weights)
        if before is not None:
            np.testing.assert_array_equal(step.inputs, before.output)  # dropout is off
            np.testing.assert_allclose(before.error, step.delta @ step.weights.T, rtol=1e-12)
        bias = 0.0 if step.bias is None else step.bias
        np.testing.assert_allclose(step.total_input, step.inputs @ step.weights + bias, rtol=1e-12)
        if step.slope is not None:
            np.testing.assert_allclose(step.delta, step.error * step.slope, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(step.weight_update, 0.3 * step.inputs.T @ step.delta, rtol=1e-12)
        np.testing.assert_array_equal(step.new_weights, step.weights + step.weight_update)
        if step.bias is None:
            assert step.bias_update is step.new_bias is None
        else:
            np.testing.assert_array_equal(step.bias, layer.bias)
            np.testing.assert_allclose(step.bias_update, 0.3 * step.delta.sum(axis=0), rtol=1e-12)
            np.testing.assert_array_equal(step.new_bias, step.bias + step.bias_update)
    np.testing.assert_allclose(steps[-1].output, net.predict(x), rtol=1e-12)


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name not in ("softmax", "step")])
def test_slope_is_the_derivative(rng: np.random.Generator, activation: str) -> None:
    net = fn.Network([fn.Dense(4, activation)], inputs=3, dtype="float64", seed=1)
    x = rng.normal(size=(5, 3))
    step = fn.explain(net, x, np.zeros((5, 4))).layers[0]
    h = 1e-6
    net.layers[0].bias = np.full(4, h)
    above = net.predict(x)
    net.layers[0].bias = np.full(4, -h)
    np.testing.assert_allclose(step.slope, (above - net.predict(x)) / (2 * h), atol=1e-8)


def test_error_of_the_output(rng: np.random.Generator) -> None:
    net = random_network(rng, "identity")
    x, y = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 3))
    half, mean = (fn.explain(net, x, y, loss=name) for name in ("half_squared_error", "mean_squared_error"))
    output = half.layers[-1].output
    np.testing.assert_array_equal(half.layers[-1].error, y - output)
    np.testing.assert_allclose(mean.layers[-1].error, (y - output) * 2 / 12, rtol=1e-12)
    np.testing.assert_array_equal(half.target, y)


def test_the_parameter_of_a_loss_is_used(rng: np.random.Generator) -> None:
    net = random_network(rng, "identity")
    x, y = rng.normal(size=(4, 2, 2)), net.predict(rng.normal(size=(4, 2, 2))) + 10.0
    explanation = fn.explain(net, x, y, loss=fn.losses.huber(0.125))
    np.testing.assert_allclose(explanation.layers[-1].error, np.full((4, 3), 0.125 / 12), rtol=1e-12)


def test_softmax_with_cross_entropy(rng: np.random.Generator) -> None:
    net = random_network(rng, "softmax")
    x, labels = rng.normal(size=(4, 2, 2)), [0, 2, 1, 2]
    explanation = fn.explain(net, x, labels, loss="cross_entropy")
    step = explanation.layers[-1]
    rows = np.eye(3)[labels]
    assert step.slope is None
    np.testing.assert_array_equal(explanation.target, rows)
    np.testing.assert_allclose(step.error, rows - net.predict(x), rtol=1e-12)
    np.testing.assert_allclose(step.delta, step.error / 4, rtol=1e-9)
    assert "delta = error / samples" in str(explanation)
    as_rows = fn.explain(net, x, rows, loss="cross_entropy").layers[-1]
    np.testing.assert_allclose(as_rows.delta, step.delta, rtol=1e-12)


def test_a_saturated_sigmoid_with_cross_entropy_still_has_its_delta() -> None:
    net = fn.Network([fn.Dense(1, "sigmoid", weights_init=[[1.0]])], inputs=1, dtype="float64")
    step = fn.explain(net, [[800.0], [-800.0]], [[0.0], [0.0]], loss="binary_cross_entropy").layers[0]
    np.testing.assert_array_equal(step.delta, [[-0.5], [0.0]])  # (t - p) / 2, though the slopes are 0
    np.testing.assert_array_equal(step.error, [[-math.inf], [0.0]])


def test_a_function_as_loss(rng: np.random.Generator) -> None:
    def doubled(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((output - target) ** 2).sum()), 2 * (output - target)

    net = random_network(rng, "tanh")
    x, y = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 3))
    twice = fn.explain(net, x, y, loss=doubled, learning_rate=0.5)
    once = fn.explain(net, x, y, learning_rate=1.0)
    assert twice.loss == "doubled"
    for a, b in zip(twice.layers, once.layers, strict=True):
        np.testing.assert_allclose(a.new_weights, b.new_weights, rtol=1e-12)
    assert twice.loss_before == pytest.approx(2 * once.loss_before)


# ---- what it accepts, and what not


def test_float32_is_explained_in_float32(backend: str, rng: np.random.Generator) -> None:
    net = random_network(rng, "identity", dtype="float32")
    x, y = rng.normal(size=(4, 2, 2)), rng.normal(size=(4, 3))
    explanation = fn.explain(net, x, y, learning_rate=0.01)
    assert {step.new_weights.dtype for step in explanation.layers} == {np.dtype("float32")}
    net_without_dropout = fn.Network([net.layers[i] for i in (0, 1, 3, 4)], inputs=(2, 2))
    net_without_dropout.parameters = net.parameters
    trainer = fn.Trainer(net_without_dropout, loss="half_squared_error", optimizer=fn.SGD(0.01))
    trainer.step(x, y)
    for step, layer in zip(explanation.layers, net_without_dropout.layers[1:], strict=True):
        np.testing.assert_allclose(step.new_weights, layer.weights, rtol=1e-5, atol=1e-6)


def test_changing_what_it_returns_leaves_the_network_alone(rng: np.random.Generator) -> None:
    net = random_network(rng, "identity")
    before = net.parameters.copy()
    for step in fn.explain(net, rng.normal(size=(4, 2, 2)), np.zeros((4, 3))).layers:
        for name in ("weights", "new_weights", "inputs", "output"):
            getattr(step, name)[...] = 99.0
    np.testing.assert_array_equal(net.parameters, before)


def test_changing_the_input_afterwards_leaves_the_explanation_alone() -> None:
    x = CLASSIC_X.astype(np.float64)
    y = CLASSIC_Y.astype(np.float64)
    explanation = fn.explain(classic_network(), x, y)
    x[...] = y[...] = 5.0
    np.testing.assert_array_equal(explanation.layers[0].inputs, CLASSIC_X)
    np.testing.assert_array_equal(explanation.target, CLASSIC_Y)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": CLASSIC_X[:, :2]}, ValueError, "x has 2 features; the network's input has 3"),
        ({"x": CLASSIC_X[:0], "y": CLASSIC_Y[:0]}, ValueError, "x"),
        ({"x": np.full((4, 3), np.nan)}, ValueError, "nan"),
        ({"y": CLASSIC_Y[:3]}, ValueError, "y has 3 rows"),
        ({"loss": "half_squared"}, ValueError, "known: half_squared_error"),
        ({"loss": "cross_entropy"}, ValueError, "softmax"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate is 0"),
        ({"learning_rate": -1.0}, ValueError, "learning_rate is -1"),
        ({"learning_rate": math.nan}, ValueError, "learning_rate is nan"),
        ({"learning_rate": "1"}, TypeError, "learning_rate is '1'"),
    ],
)
def test_bad_arguments(change: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"x": CLASSIC_X, "y": CLASSIC_Y, **change}
    with pytest.raises(error, match=message):
        fn.explain(classic_network(), **arguments)


# ---- text


def test_text_of_a_large_network_is_short_and_says_what_it_leaves_out(rng: np.random.Generator) -> None:
    net = fn.mlp([40, 30, 20, 5], output="softmax", seed=1)
    text = str(fn.explain(net, rng.normal(size=(100, 40)), rng.integers(0, 5, 100), loss="cross_entropy"))
    assert len(text.splitlines()) < 1000
    assert max(map(len, text.splitlines())) < 160
    for left_out in ("and 88 more samples", "and 30 more inputs", "and 28 more inputs", "and 22 more units"):
        assert left_out in text


def test_text_shows_no_negative_zeros_and_keeps_small_numbers_readable() -> None:
    net = fn.Network([fn.Dense(1, weights_init=[[1e-9]])], inputs=1, dtype="float64")
    text = str(fn.explain(net, [[-1e-12], [1.5]], [[0.0], [0.0]]))
    assert "-0\n" not in text and "-0 " not in text and "-0.00000000" not in text
    assert "1.00000000e-09" in text


def test_text_has_a_line_for_the_bias() -> None:
    net = fn.Network([fn.Dense(1, weights_init=[[0.5]], bias_init=[0.25])], inputs=1, dtype="float64")
    rows = [line.split() for line in str(fn.explain(net, [[2.0]], [[1.0]], learning_rate=0.5)).splitlines()]
    assert ["bias", "0.25000000", "-0.12500000", "0.12500000"] in rows  # error 1 - 1.25, times 0.5
