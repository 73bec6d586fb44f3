"""Gradients against differences, and proof that the comparison finds bugs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnet as fn
from fastnet.activations import ACTIVATIONS
from fastnet.backends import reference
from fastnet.losses import LOSSES, Loss

RIGHT = 1e-5
"""What right gradients stay below; the planted bugs are above a hundred times this."""

PAIRS = [(activation, loss) for loss in LOSSES.values() for activation in sorted(loss.outputs)]


def targets(rng: np.random.Generator, loss: Loss, output: np.ndarray) -> np.ndarray:
    """Targets that are legal and leave every output a slope."""
    if loss.name == "cross_entropy":
        return rng.dirichlet(np.ones(output.shape[1]), len(output))
    if loss.targets == "sign":
        return rng.choice([-1.0, 1.0], output.shape)
    if loss.targets == "unit":
        return rng.uniform(size=output.shape)
    if loss.name == "poisson":  # at an output of 0 the loss is infinite, unless the target is 0 too
        return np.where(output == 0, 0.0, rng.poisson(2.0, output.shape))
    return output + rng.choice([-1.0, 1.0], output.shape) * rng.uniform(0.3, 3.0, output.shape)


@pytest.mark.parametrize(("activation", "loss"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_every_activation_with_every_loss(backend: str, activation: str, loss: Loss) -> None:
    rng = np.random.default_rng(7)
    net = fn.Network([fn.Dense(5, "tanh"), fn.Dense(3, activation)], inputs=4, dtype="float64", seed=2)
    net.layers[1].bias = [0.3, -0.2, 0.5]
    x = rng.normal(size=(6, 4))
    y = targets(rng, loss, net.predict(x))
    assert fn.gradient_check(net, x, y, loss) < RIGHT
    assert fn.gradient_check(net, x, y, loss, sample_weight=rng.uniform(0.1, 2.0, 6)) < RIGHT


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_activation_inside(backend: str, activation: str) -> None:
    rng = np.random.default_rng(3)
    layers = [fn.Dense(6, activation), fn.Dense(4, activation), fn.Dense(3, "softmax")]
    net = fn.Network(layers, inputs=4, dtype="float64", seed=1)
    x, y = rng.normal(size=(5, 4)), rng.integers(0, 3, 5)
    assert fn.gradient_check(net, x, y) < RIGHT


@st.composite
def networks(draw: st.DrawFn) -> tuple[fn.Network, np.ndarray, np.ndarray, str, bool]:
    """A whole network with inputs, targets, a loss, and whether dropout acts."""
    size = st.integers(1, 9)
    smooth = st.sampled_from(sorted(ACTIVATIONS.keys() - {"step", "softmax"}))
    shape = draw(
        st.one_of(st.tuples(size), st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)))
    )
    layers: list[fn.Layer] = [fn.Flatten()]
    for _ in range(draw(st.integers(0, 3))):
        layers.append(fn.Dense(draw(size), draw(smooth), bias=draw(st.booleans())))
        if draw(st.booleans()):
            layers.append(fn.Dropout(draw(st.sampled_from([0.2, 0.5]))))
    activation, loss = draw(
        st.sampled_from([(a, one) for a, one in PAIRS if a != "step" and one.name != "poisson"])
    )
    units = draw(st.integers(2, 5))
    layers.append(fn.Dense(units, activation, bias=draw(st.booleans())))
    net = fn.Network(layers, inputs=shape, dtype="float64", seed=draw(st.integers(0, 10_000)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    x = rng.normal(size=(draw(st.integers(1, 7)), *shape))
    return net, x, targets(rng, loss, net.predict(x)), loss.name, draw(st.booleans())


@given(networks())
@settings(max_examples=60)
def test_random_networks(backend: str, case: tuple[fn.Network, np.ndarray, np.ndarray, str, bool]) -> None:
    net, x, y, loss, training = case
    before = net.parameters.copy()
    error = fn.gradient_check(net, x, y, loss, samples=40, training=training)
    assert error < RIGHT
    np.testing.assert_array_equal(net.parameters, before)


def test_a_function_as_loss(backend: str) -> None:
    def quartic(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((output - target) ** 4).sum()), 4 * (output - target) ** 3

    def wrong(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return float(((output - target) ** 4).sum()), 3.96 * (output - target) ** 3

    rng = np.random.default_rng(1)
    net = fn.Network([fn.Dense(4, "gelu"), fn.Dropout(0.5), fn.Dense(2)], inputs=3, seed=0)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    assert fn.gradient_check(net, x, y, quartic) < RIGHT
    assert fn.gradient_check(net, x, y, quartic, training=True) < RIGHT
    assert fn.gradient_check(net, x, y, wrong) > 5e-3


def test_a_float32_network_is_checked_in_float64(backend: str) -> None:
    rng = np.random.default_rng(1)
    net = fn.Network([fn.Dense(5, "silu"), fn.Dense(3, "softmax")], inputs=4, dtype="float32", seed=0)
    assert fn.gradient_check(net, rng.normal(size=(6, 4)), rng.integers(0, 3, 6)) < RIGHT
    assert net.dtype == np.float32


def test_parameters_at_a_kink_are_left_out(backend: str) -> None:
    # The first unit's total input is exactly 0 for the sample: its one-sided slopes differ.
    net = fn.Network([fn.Dense(3, "relu"), fn.Dense(1)], inputs=2, dtype="float64", seed=0)
    net.layers[0].weights = [[1.0, 2.0, -1.0], [-1.0, 1.0, -1.0]]
    net.layers[1].weights = [[1.0], [1.0], [1.0]]
    x, y = [[1.0, 1.0]], [[1.0]]
    assert fn.gradient_check(net, x, y, "half_squared_error") < RIGHT
    net.layers[0].weights[...] = [[1.0, 2.0, -1.0], [-1.0, -2.0, 1.0]]
    with pytest.raises(ValueError, match="9 of 13 parameters are at kinks"):
        fn.gradient_check(net, x, y, "half_squared_error")


def jumps(name: str, output: float, target: float) -> bool:
    """Whether the slope of a loss differs on the two sides of an output."""
    slopes = np.empty((2, 1))
    outputs = np.array([[output - 1e-9], [output + 1e-9]])
    reference.loss_and_slope(outputs, np.full((2, 1), target), None, slopes, name, 1.0)
    return bool(abs(slopes[1, 0] - slopes[0, 0]) > 1e-3)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_kinks_are_where_slopes_jump(loss: Loss) -> None:
    target = 1.0 if loss.targets == "sign" else 0.7
    places = {"y = t": target, "y = 0": 0.0}
    if loss.targets == "positive":
        del places["y = 0"]  # the end of what outputs may be
    name = f"{loss.paired}_{loss.name}" if loss.paired else loss.name
    assert [kink for kink, output in places.items() if jumps(name, output, target)] == [
        kink for kink in places if kink == loss.kinks
    ]


@pytest.mark.parametrize("loss", [row for row in LOSSES.values() if row.kinks], ids=lambda loss: loss.name)
def test_parameters_at_a_kink_of_the_loss_are_left_out(backend: str, loss: Loss) -> None:
    """The first output is next to the kink: the difference reaches across it and is no slope."""
    net = fn.Network([fn.Dense(3, bias=False)], inputs=1, dtype="float64")
    kink = {"y = t": 1.0, "y = 0": 0.0}[loss.kinks]
    net.layers[0].weights[...] = [[kink + 1e-7, -0.5, -2.0]]
    assert fn.gradient_check(net, [[1.0]], np.ones((1, 3)), loss) < RIGHT
    unaware = loss._replace(kinks="")
    assert fn.gradient_check(net, [[1.0]], np.ones((1, 3)), unaware) > 0.1


def test_wrong_arguments() -> None:
    net = fn.Network([fn.Dense(2)], inputs=3)
    x, y = np.ones((2, 3)), np.ones((2, 2))
    for options, message in (
        ({"epsilon": 0.0}, "epsilon is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"loss": "cross_entropy"}, "does not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            fn.gradient_check(net, x, y, **{"loss": "half_squared_error", **options})


# ---- negative controls: the check must find bugs, wherever they are ----------------------------------------


def flipped_sign(net: fn.Network, g: np.ndarray) -> np.ndarray:
    return -g


def one_percent(net: fn.Network, g: np.ndarray) -> np.ndarray:
    return 1.01 * g


def zeros(net: fn.Network, g: np.ndarray) -> np.ndarray:
    return 0 * g


def stale(net: fn.Network, g: np.ndarray) -> np.ndarray:
    return np.full_like(g, 0.1)


def transposed_weights(net: fn.Network, g: np.ndarray) -> np.ndarray:
    slot = net.graph.slots[0]
    g[: slot.size] = g[: slot.size].reshape(slot.shape).T.ravel()
    return g


def without_bias(net: fn.Network, g: np.ndarray) -> np.ndarray:
    g[-net.graph.slots[-1].size :] = 0
    return g


def one_flipped(net: fn.Network, g: np.ndarray) -> np.ndarray:
    g[3] = -g[3]
    return g


def one_wrong(net: fn.Network, g: np.ndarray) -> np.ndarray:
    g[-1] *= 1.01
    return g


def not_divided_by_rows(net: fn.Network, g: np.ndarray) -> np.ndarray:
    return 8 * g


def not_a_number(net: fn.Network, g: np.ndarray) -> np.ndarray:
    g[2] = np.nan
    return g


BUGS = [
    flipped_sign,
    one_percent,
    zeros,
    stale,
    transposed_weights,
    without_bias,
    one_flipped,
    one_wrong,
    not_divided_by_rows,
    not_a_number,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_planted_bugs_are_found(
    backend: str, monkeypatch: pytest.MonkeyPatch, bug: Callable[[fn.Network, np.ndarray], np.ndarray]
) -> None:
    rng = np.random.default_rng(5)
    net = fn.Network([fn.Dense(5, "tanh"), fn.Dense(3, "softmax")], inputs=5, dtype="float64", seed=2)
    x, y = rng.normal(size=(8, 5)), rng.integers(0, 3, 8)
    assert fn.gradient_check(net, x, y) < RIGHT

    right = fn.Network.loss_and_gradients

    def wrong(self: fn.Network, *args: object, **options: object) -> tuple[float, np.ndarray]:
        value, gradients = right(self, *args, **options)
        return value, bug(self, gradients)

    monkeypatch.setattr(fn.Network, "loss_and_gradients", wrong)
    assert not fn.gradient_check(net, x, y) < 100 * RIGHT
