"""What the executors have for a penalty that is part of the loss: decay by samples, and factors of losses."""

from __future__ import annotations

import functools
from types import ModuleType

import numpy as np
import pytest
from tasks import Task, lowered, sandwich, trained

import fastnet as fn
from fastnet.backends import reference
from fastnet.layers import Dense
from fastnet.loss_functions import FunctionExecutor
from fastnet.losses import LOSSES
from fastnet.optimizers import SGD, Adam, Optimizer

BATCHES = [4, 4, 3]
DECAY, RATE = 0.5, 0.1


class Shared(SGD):
    """Weight decay that is divided by the weights of each batch."""

    def hyper(self) -> dict[str, float]:
        return {**super().hyper(), "shares_decay": 1.0}


def decayed(
    kernels: ModuleType, dtype: str, optimizer: Optimizer, weighted: bool, function: bool = False
) -> float:
    """What is left of a weight of 1 after an epoch in which only decay acts: every input is 0."""
    make = functools.partial(
        Task, lowered([Dense(1, bias=False)], 1), "" if function else "mean_squared_error"
    )
    task = make(dtype, rows=sum(BATCHES), batch_size=BATCHES[0], optimizer=optimizer, weighted=weighted)
    task.parameters[...], task.x[...] = 1, 0
    if weighted:
        task.weight[...] = np.arange(11)
    task.order = np.arange(11)
    executor = task.executor(kernels)
    if function:
        executor = FunctionExecutor(executor, lambda output, target: (0.0, 0 * output), BATCHES[0], "")
    assert executor.train(task.x, task.y, task.weight, task.order, np.full(3, RATE), task.progress, 1e9)
    return float(task.parameters[0])


@pytest.mark.parametrize("clip_norm", [None, 1.0])  # with it, the update is a pass of its own
@pytest.mark.parametrize("weighted", [False, True])
def test_decay_is_divided_by_the_weights_of_each_batch(
    kernels: ModuleType, dtype: str, weighted: bool, clip_norm: float | None
) -> None:
    shares = [0 + 1 + 2 + 3, 4 + 5 + 6 + 7, 8 + 9 + 10] if weighted else BATCHES
    right = np.prod([1 - RATE * DECAY / share for share in shares])
    shared = Shared(RATE, weight_decay=DECAY, clip_norm=clip_norm)
    assert decayed(kernels, dtype, shared, weighted) == pytest.approx(right, rel=1e-6)
    plain = SGD(RATE, weight_decay=DECAY, clip_norm=clip_norm)
    assert decayed(kernels, dtype, plain, weighted) == pytest.approx((1 - RATE * DECAY) ** 3, rel=1e-6)


def test_decay_is_divided_where_the_loss_is_a_function(kernels: ModuleType, dtype: str) -> None:
    right = np.prod([1 - RATE * DECAY / share for share in BATCHES])
    shared = Shared(RATE, weight_decay=DECAY)
    assert decayed(kernels, dtype, shared, False, function=True) == pytest.approx(right, rel=1e-6)


class PlainAdam(Adam):
    """Adam as scikit-learn has it."""

    def hyper(self) -> dict[str, float]:
        return {**super().hyper(), "shares_decay": 1.0, "plain_epsilon": 1.0}


@pytest.mark.parametrize("plain", [False, True])
def test_a_plain_epsilon_is_added_before_the_correction(kernels: ModuleType, dtype: str, plain: bool) -> None:
    epsilon, w, m, v = 0.3, 1.0, 0.0, 0.0
    for step, share in enumerate(BATCHES, start=1):
        g = DECAY * w / (share if plain else 1)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        corrections = 1 - 0.9**step, 1 - 0.999**step
        if plain:
            w -= RATE * corrections[1] ** 0.5 / corrections[0] * m / (v**0.5 + epsilon)
        else:
            w -= RATE * m / corrections[0] / ((v / corrections[1]) ** 0.5 + epsilon)
    optimizer = (PlainAdam if plain else Adam)(RATE, epsilon=epsilon, weight_decay=DECAY)
    assert decayed(kernels, dtype, optimizer, weighted=False) == pytest.approx(w, rel=1e-6)


def test_a_batch_without_weight_does_not_decay(kernels: ModuleType, dtype: str) -> None:
    task = Task(sandwich("tanh"), "mean_squared_error", dtype, optimizer=Shared(RATE, weight_decay=DECAY))
    task.weight = np.zeros(task.rows, dtype)
    before = task.parameters.copy()
    assert task.train(task.executor(kernels))
    np.testing.assert_array_equal(task.parameters, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_share_it_alike(kernels: ModuleType, dtype: str, threads: int) -> None:
    if kernels is reference:
        pytest.skip("NumPy's threads are its own")
    optimizer = Shared(0.1, momentum=0.9, weight_decay=3.0)
    make = functools.partial(
        Task, sandwich("relu", 33), "mean_squared_error", dtype, rows=130, batch_size=64, optimizer=optimizer
    )
    assert trained(kernels, make(threads=threads)) == trained(kernels, make())


@pytest.mark.parametrize("name", LOSSES)
def test_a_factor_multiplies_loss_and_gradients(backend: str, dtype: str, name: str) -> None:
    row = LOSSES[name]
    output = row.paired or "identity"
    net = fn.Network([fn.Dense(5, "tanh"), fn.Dense(3, output)], 4, dtype, seed=1)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 4)), np.eye(3)[rng.integers(0, 3, 9)]
    y = 2 * y - 1 if row.targets == "sign" else y
    weight = rng.random(9)
    scaled = row._replace(scale=3.0)
    loss, gradients = net.loss_and_gradients(x, y, row, weight)
    three, three_times = net.loss_and_gradients(x, y, scaled, weight)
    assert three == pytest.approx(3 * loss, rel=1e-5)
    np.testing.assert_allclose(three_times, 3 * gradients, rtol=1e-4, atol=1e-6)
    evaluated = net.evaluate(x, y, scaled, metrics=(), sample_weight=weight)["loss"]
    assert evaluated == pytest.approx(three, rel=1e-5)
    trainer = fn.Trainer(net, scaled, fn.SGD(1e-9))
    assert trainer.step(x, y, weight) == pytest.approx(three, rel=1e-5)
    assert fn.explain(net, x, y, scaled).loss_before == pytest.approx(
        net.evaluate(x, y, scaled, metrics=())["loss"]
    )


def test_a_factor_is_in_checkpoints_and_in_the_repr(tmp_path) -> None:
    net = fn.Network([fn.Dense(1)], 1, seed=0)
    loss = fn.losses.quantile(0.3)._replace(scale=2.0)
    trainer = fn.Trainer(net, loss)
    assert "loss=quantile(0.3)._replace(scale=2.0)" in repr(trainer)
    trainer.save(tmp_path / "run.ckpt")
    assert fn.Trainer.load(tmp_path / "run.ckpt").loss == loss


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, float("nan")])
def test_levels_of_quantiles(level: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        fn.losses.quantile(level)


def test_the_best_constant_is_the_quantile(backend: str) -> None:
    y = np.arange(101.0) ** 2
    net = fn.Network([fn.Dense(1, weights_init="zeros")], 1, "float64", seed=0)
    loss, x = fn.losses.quantile(0.9), np.zeros((101, 1))
    net.fit(x, y, loss, fn.SGD(1000.0), epochs=200, batch_size=101, verbose=0)
    assert abs(net.predict([0.0])[0] - 90**2) < 250  # two of the targets


def test_exp_with_poisson_is_stable_far_out(backend: str, dtype: str) -> None:
    """Where exp(z) underflows the slope is y - t all the same; from the output alone it would be 0 or NaN."""
    net = fn.Network([fn.Dense(1, "exp", bias=False, weights_init=[[-1000.0]])], 1, dtype, seed=0)
    loss, gradients = net.loss_and_gradients([[1.0]], [[5.0]], "poisson")
    assert loss == pytest.approx(5000.0) and gradients == pytest.approx([-5.0])
