"""Losses of ten training steps of small networks, kept as numbers, so that no change of them goes unnoticed.

The numbers were written by the reference backend in float64 (``python tests/test_trajectories.py`` prints
the table anew; compare before you paste: a change here is a change of what the library computes). Those of
the two-layer sigmoid network have a second source, the lines of NumPy in `sigmoid_by_hand`. All data and
first weights come from sines and cosines, not from a generator of random numbers that could change.

Tolerances: 1e-9 in float64, five orders of magnitude above what the backends differ by. In float32 every
operation has an error of up to eps / 2; a loss depends on some dozens of operations in a row in each of ten
steps, and on the first weights, which are rounded too: 200 eps, about 2e-5.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tasks import Array, lowered

from fastnet.backends import reference
from fastnet.layers import Dense, Dropout, Layer
from fastnet.optimizers import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSprop, Rprop

ROWS, INPUTS, STEPS = 24, 5, 10


def wave(*shape: int, pitch: float) -> Array:
    """Numbers between -1 and 1 that look irregular and are the same everywhere."""
    count = np.arange(1, 1 + int(np.prod(shape)))
    return np.sin(pitch * count + np.cos(1.7 * count)).reshape(shape)


# name: (layers, loss, optimizer, rows of a batch)
NETWORKS: dict[str, tuple[list[Layer], str, Optimizer, int]] = {
    "two-layer sigmoid, SGD": (
        [Dense(4, "sigmoid"), Dense(3, "sigmoid")], "mean_squared_error", SGD(0.5), 24,
    ),
    "relu, softmax, momentum": (
        [Dense(9, "relu"), Dense(7, "relu"), Dense(3, "softmax")], "cross_entropy", SGD(0.1, 0.9), 7,
    ),
    "tanh, Adam, dropout": (
        [Dropout(0.2), Dense(9, "tanh"), Dropout(0.5), Dense(3)], "huber", Adam(0.05), 7,
    ),
    "gelu, silu, AdamW, clipped": (
        [Dense(9, "gelu"), Dense(9, "silu"), Dense(3)], "half_squared_error",
        AdamW(0.05, weight_decay=0.1, clip_norm=1.0), 7,
    ),
    "elu, sigmoid, RMSprop": (
        [Dense(9, "elu", bias=False), Dense(3, "sigmoid")], "binary_cross_entropy", RMSprop(0.02), 5,
    ),
    "leaky relu, softplus, AdaGrad": (
        [Dense(9, "leaky_relu"), Dense(3, "softplus")], "poisson", AdaGrad(0.1), 24,
    ),
    "tanh, Nesterov, decay": (
        [Dense(9, "tanh"), Dense(3, "tanh")], "perceptron",
        SGD(0.2, 0.8, nesterov=True, weight_decay=0.05, clip_value=0.1), 8,
    ),
    # Not the absolute error: its slopes of +-1 add up to 0, but for rounding, and Rprop looks at the sign.
    "softplus, Rprop": ([Dense(9, "softplus"), Dense(3)], "mean_squared_error", Rprop(0.02), 24),
    "relu, absolute error": ([Dense(9, "relu"), Dense(3)], "mean_absolute_error", SGD(0.2), 9),
}  # fmt: skip

LOSSES: dict[str, list[float]] = {
    "two-layer sigmoid, SGD": [
        0.17762342654818, 0.17675133932908, 0.17593198583517, 0.17516271330498, 0.17444079475891,
        0.17376347520269, 0.17312801116824, 0.1725317036486, 0.17197192473186, 0.17144613841282,
    ],
    "relu, softmax, momentum": [
        1.9783078230305, 1.1347146533912, 1.7180096075882, 1.7472635666522, 0.93197531893778,
        0.85943134012032, 1.7378306765634, 0.88580865468204, 0.65747270296474, 1.1676465358425,
    ],
    "tanh, Adam, dropout": [
        1.9112200725715, 1.3876089580064, 1.0215073583928, 0.96446385253306, 0.86291434785692,
        1.2726820576712, 0.86405243466685, 0.79817415602566, 0.99117403003886, 1.0012045563941,
    ],
    "gelu, silu, AdamW, clipped": [
        41.915656669048, 20.498974562628, 8.172724305559, 5.181759090674, 2.4462498259663,
        3.2558427811019, 3.6452670508111, 2.1642687833498, 1.7257517985984, 2.5854407433563,
    ],
    "elu, sigmoid, RMSprop": [
        1.0423009827635, 0.68926494173332, 0.83462583025548, 0.85004443219184, 0.76673713188735,
        0.7632173524069, 0.66679064115649, 0.68697779587211, 0.70473812059449, 0.76293115702406,
    ],
    "leaky relu, softplus, AdaGrad": [
        1.2136979554661, 0.93903714677353, 0.86439377375184, 0.8324396126277, 0.81492692819801,
        0.80369631298445, 0.79696065955344, 0.79226358769788, 0.7883793122878, 0.78587064576258,
    ],
    "tanh, Nesterov, decay": [
        0.29003224486374, 0.27576218918795, 0.34835249863976, 0.24880369358024, 0.23742302693351,
        0.25690127478161, 0.24111591809293, 0.21992964912919, 0.20424180282632, 0.18907463184308,
    ],
    "softplus, Rprop": [
        1.3402372815111, 1.0415001972405, 0.75907307469267, 0.50960425708774, 0.32443429432822,
        0.22912378793337, 0.18208956506244, 0.18539873321773, 0.17338335145637, 0.15544818771838,
    ],
    "relu, absolute error": [
        1.1479824085668, 0.97000681379151, 0.61769698011161, 0.82176600039378, 0.64549192950673,
        0.52454335359663, 0.70057975567788, 0.48819523971307, 0.61415676913946, 0.54608285571281,
    ],
}  # fmt: skip


def targets(loss: str) -> Array:
    values = wave(ROWS, 3, pitch=2.3)
    if loss == "cross_entropy":
        return values.argmax(axis=1)
    if loss == "perceptron":
        return np.where(values > 0, 1.0, -1.0)
    return 0.5 + 0.5 * values  # between 0 and 1: right for every other loss


def trajectory(module: Any, name: str, dtype: str) -> Array:
    """The loss of each of ten steps."""
    layers, loss, optimizer, batch_size = NETWORKS[name]
    graph = lowered(layers, INPUTS)
    parameters = wave(graph.parameter_count, pitch=0.9).astype(dtype)
    executor = module.Executor(
        graph,
        parameters,
        loss=loss,
        optimizer=optimizer.name,
        hyper=optimizer.hyper(),
        gradients=np.zeros_like(parameters),
        state=np.zeros((len(optimizer.states), parameters.size), dtype),
        batch_size=batch_size,
        seed=12,
    )
    y = targets(loss)
    y = y if y.ndim == 1 else y.astype(dtype)
    x, rate = wave(ROWS, INPUTS, pitch=3.1).astype(dtype), float(optimizer.learning_rate(np.zeros(1))[0])
    rows = np.arange(ROWS)
    losses = np.empty(STEPS)
    progress = np.zeros(6)
    for step in range(STEPS):
        progress[1:] = 0
        batch = np.roll(rows, -batch_size * step)[:batch_size].copy()
        assert executor.train(x, y, None, batch, np.array([rate]), progress, 1e9)
        norm = 1.0 if loss == "half_squared_error" else progress[reference.NORM]
        losses[step] = progress[reference.LOSS_SUM] / norm
    return losses


def sigmoid_by_hand(
    x: Array, t: Array, w1: Array, b1: Array, w2: Array, b2: Array, rate: float, steps: int
) -> Array:
    """Losses of gradient descent on the mean squared error, as textbooks write it."""
    losses = []
    for _ in range(steps):
        hidden = 1 / (1 + np.exp(-(x @ w1 + b1)))
        y = 1 / (1 + np.exp(-(hidden @ w2 + b2)))
        error = y - t
        losses.append((error**2).mean())
        delta2 = 2 * error / error.size * y * (1 - y)
        delta1 = (delta2 @ w2.T) * hidden * (1 - hidden)
        w2, b2 = w2 - rate * (hidden.T @ delta2), b2 - rate * delta2.sum(axis=0)
        w1, b1 = w1 - rate * (x.T @ delta1), b1 - rate * delta1.sum(axis=0)
    return np.array(losses)


def assert_near(actual: Array, name: str, dtype: str) -> None:
    tolerance = 1e-9 if dtype == "float64" else 200 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(actual, LOSSES[name], rtol=tolerance, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_ten_steps(kernels: ModuleType, dtype: str, name: str) -> None:
    assert_near(trajectory(kernels, name, dtype), name, dtype)


def test_second_source_of_the_sigmoid_network() -> None:
    flat = wave(5 * 4 + 4 + 4 * 3 + 3, pitch=0.9)
    w1, b1, w2, b2 = np.split(flat, [20, 24, 36])
    x, t = wave(ROWS, INPUTS, pitch=3.1), targets("mean_squared_error")
    losses = sigmoid_by_hand(x, t, w1.reshape(5, 4), b1, w2.reshape(4, 3), b2, 0.5, STEPS)
    assert_near(losses, "two-layer sigmoid, SGD", "float64")


CHANGES: dict[str, Callable[[Array], Array]] = {
    "first loss": lambda losses: losses * (np.arange(STEPS) != 0),
    "last loss by 0.1 %": lambda losses: losses * (1 + 0.001 * (np.arange(STEPS) == STEPS - 1)),
    "one step late": lambda losses: np.roll(losses, 1),
    "no learning": lambda losses: np.full(STEPS, losses[0]),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", NETWORKS)
def test_changes_are_noticed(dtype: str, name: str, change: str) -> None:
    """Negative control."""
    with pytest.raises(AssertionError):
        assert_near(CHANGES[change](np.array(LOSSES[name])), name, dtype)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_learn(name: str) -> None:
    """Else a trajectory would say nothing of the updates."""
    assert len(set(LOSSES[name])) == STEPS
    if NETWORKS[name][3] == ROWS:
        assert LOSSES[name][-1] < LOSSES[name][0]


if __name__ == "__main__":
    for title in NETWORKS:
        print(title, [float(f"{one:.14g}") for one in trajectory(reference, title, "float64")])
