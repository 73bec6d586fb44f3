"""The optimizers: their formulas against scalar ones written from the papers, and their arguments."""

import math

import numpy as np
import pytest

import fastnet as fn
from fastnet import optimizers
from fastnet.backends import kernels
from fastnet.cli_train import LEARNING_RATES

GRADIENTS = [0.5, -0.2, 0.3, 0.0, -0.4, 0.1]
WEIGHTS = [0.7, -1.3]  # the first decays, the second does not


def sgd(gradients, w, rate, *, momentum=0.0, nesterov=False, weight_decay=0.0):
    velocity = 0.0
    for g in gradients:
        g = g + weight_decay * w
        velocity = momentum * velocity + g
        w -= rate * (g + momentum * velocity if nesterov else velocity)
    return w


def adagrad(gradients, w, rate, *, epsilon=1e-10, weight_decay=0.0):
    total = 0.0
    for g in gradients:
        g = g + weight_decay * w
        total += g * g
        w -= rate * g / (math.sqrt(total) + epsilon)
    return w


def rmsprop(gradients, w, rate, *, rho=0.9, epsilon=1e-8, weight_decay=0.0):
    mean = 0.0
    for g in gradients:
        g = g + weight_decay * w
        mean = rho * mean + (1 - rho) * g * g
        w -= rate * g / (math.sqrt(mean) + epsilon)
    return w


def adam(gradients, w, rate, *, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        if decoupled:
            w -= rate * weight_decay * w
        else:
            g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        w -= rate * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + epsilon)
    return w


def rprop(gradients, w, rate, *, eta_minus=0.5, eta_plus=1.2, step_min=1e-6, step_max=50.0, weight_decay=0.0):
    step, last = rate, 0.0
    for g in gradients:
        g = g + weight_decay * w
        if g * last > 0:
            step = min(step * eta_plus, step_max)
        elif g * last < 0:
            step, g = max(step * eta_minus, step_min), 0.0
        w -= math.copysign(step, g) if g else 0.0
        last = g
    return w


CASES = [
    (fn.SGD, sgd, {}),
    (fn.SGD, sgd, {"momentum": 0.9}),
    (fn.SGD, sgd, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (fn.AdaGrad, adagrad, {}),
    (fn.AdaGrad, adagrad, {"epsilon": 0.01, "weight_decay": 0.2}),
    (fn.RMSprop, rmsprop, {}),
    (fn.RMSprop, rmsprop, {"rho": 0.5, "epsilon": 0.01, "weight_decay": 0.2}),
    (fn.Adam, adam, {}),
    (fn.Adam, adam, {"beta1": 0.5, "beta2": 0.9, "epsilon": 0.01, "weight_decay": 0.2}),
    (fn.AdamW, lambda *a, **k: adam(*a, decoupled=True, **{"weight_decay": 0.01} | k), {}),
    (fn.AdamW, lambda *a, **k: adam(*a, decoupled=True, **k), {"weight_decay": 0.3, "beta1": 0.8}),
    (fn.Rprop, rprop, {}),
    (fn.Rprop, rprop, {"eta_minus": 0.4, "eta_plus": 1.5, "step_max": 0.06, "weight_decay": 0.01}),
]


def updated(optimizer, gradients, rate, dtype):
    """Two parameters after updates with the same gradients; weight decay is for the first."""
    module = kernels(np.dtype(dtype))
    parameters = np.array(WEIGHTS, dtype)
    state = np.zeros((len(optimizer.states), 2), dtype)
    decay = np.array([1, 0], dtype)
    for step, g in enumerate(gradients, 1):
        g = np.full(2, g, dtype)
        module.update(g, decay, parameters, state, optimizer.name, optimizer.hyper(), rate, step)
    return parameters


@pytest.mark.parametrize(("kind", "by_hand", "options"), CASES)
def test_formula(backend, kind, by_hand, options):
    without_decay = {**options, "weight_decay": 0.0}
    wanted = [
        by_hand(GRADIENTS, WEIGHTS[0], 0.05, **options),
        by_hand(GRADIENTS, WEIGHTS[1], 0.05, **without_decay),
    ]
    got = updated(kind(0.05, **options), GRADIENTS, 0.05, "float64")
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_a_wrong_formula_would_be_seen(backend):
    wanted = adam(GRADIENTS, WEIGHTS[0], 0.05)
    wrong = updated(fn.Adam(0.05, beta2=0.99), GRADIENTS, 0.05, "float64")[0]
    assert abs(wrong - wanted) > 1e-4


def test_clipping_by_value_comes_before_clipping_by_norm(backend, dtype):
    module = kernels(np.dtype(dtype))
    parameters = np.zeros(3, dtype)
    gradient = np.array([3.0, -0.3, 0.4], dtype)
    optimizer = fn.SGD(1.0, clip_value=1.2, clip_norm=0.65)
    module.update(
        gradient, parameters * 0, parameters, np.zeros((0, 3), dtype), "sgd", optimizer.hyper(), 1.0, 1
    )
    np.testing.assert_allclose(parameters, [-0.6, 0.15, -0.2], rtol=1e-6)  # of (1.2, -0.3, 0.4), length 1.3
    np.testing.assert_array_equal(gradient, np.array([3.0, -0.3, 0.4], dtype))


def test_a_short_gradient_is_not_scaled(backend, dtype):
    parameters = updated(fn.SGD(1.0, clip_norm=10.0), [0.5], 1.0, dtype)
    np.testing.assert_allclose(parameters, np.array(WEIGHTS) - 0.5, rtol=1e-6)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_description_makes_an_equal_optimizer(name):
    optimizer = optimizers.OPTIMIZERS[name](
        fn.schedules.Cosine(0.3, epochs=4), weight_decay=0.125, clip_norm=2.0
    )
    again = optimizers.from_config(optimizer.config())
    assert again == optimizer
    assert again.hyper() == optimizer.hyper()
    assert type(again) is type(optimizer)
    assert again != optimizers.OPTIMIZERS[name](0.3)
    assert "Cosine" in repr(again)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fn.SGD(0.0), "learning_rate"),
        (lambda: fn.SGD(-1.0), "learning_rate"),
        (lambda: fn.Adam(float("nan")), "learning_rate"),
        (lambda: fn.Adam(float("inf")), "learning_rate"),
        (lambda: fn.SGD(0.1, momentum=1.0), r"momentum must be in \[0, 1\)"),
        (lambda: fn.SGD(0.1, nesterov=True), "nesterov=True needs a momentum"),
        (lambda: fn.Adam(0.1, beta1=1.5), "beta1"),
        (lambda: fn.Adam(0.1, epsilon=0.0), "epsilon"),
        (lambda: fn.AdamW(0.1, weight_decay=-0.1), "weight_decay"),
        (lambda: fn.RMSprop(0.1, rho=-0.1), "rho"),
        (lambda: fn.Rprop(0.1, eta_plus=0.9), "eta_plus"),
        (lambda: fn.SGD(0.1, clip_norm=0.0), "clip_norm"),
        (lambda: fn.SGD(0.1, clip_value=float("nan")), "clip_value"),
        (lambda: optimizers.get("adamm"), "known: sgd, adagrad, rmsprop, adam, adamw, rprop"),
        (lambda: optimizers.from_config({"name": "newton"}), "unknown optimizer 'newton'"),
    ],
)
def test_wrong_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make", [lambda: fn.SGD("fast"), lambda: fn.SGD(0.1, momentum="0.9"), lambda: optimizers.get(3)]
)
def test_wrong_types(make):
    with pytest.raises(TypeError):
        make()


def test_every_optimizer_has_a_learning_rate_on_the_command_line():
    assert LEARNING_RATES.keys() == optimizers.OPTIMIZERS.keys()
    for name, rate in LEARNING_RATES.items():
        optimizers.OPTIMIZERS[name](rate)  # which checks it


def test_a_trainer_keeps_its_optimizer_and_its_loss():
    """Another optimizer has other state vectors."""
    trainer = fn.Trainer(fn.mlp([2, 1]), loss="mean_squared_error", optimizer=fn.SGD(0.1))
    with pytest.raises(AttributeError):
        trainer.optimizer = fn.Adam(0.1)
    with pytest.raises(AttributeError):
        trainer.loss = "huber"


def test_only_the_learning_rate_can_change():
    optimizer = fn.SGD(0.1, momentum=0.5, clip_norm=1.0)
    optimizer.learning_rate = 0.2
    assert optimizer.learning_rate(0.0) == 0.2
    for name in ("momentum", "weight_decay", "clip_norm", "clip_value"):
        with pytest.raises(AttributeError, match=f"{name} cannot change"):
            setattr(optimizer, name, 0.25)
    assert (optimizer.momentum, optimizer.clip_norm) == (0.5, 1.0)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam"])
def test_fading_moments_do_not_become_subnormal(backend, dtype, name):
    """Where the gradient is zero; training would become many times slower."""
    net = fn.Network([fn.Dense(4)], inputs=3, dtype=dtype, seed=0)
    options = {"momentum": 0.9} if name == "sgd" else {}
    optimizer = optimizers.OPTIMIZERS[name](0.01, **options)
    trainer = fn.Trainer(net, loss="mean_squared_error", optimizer=optimizer)
    x = np.array([[0.0, 1.0, 2.0]], dtype)  # the first input is never set
    trainer.fit(x, np.ones((1, 4)), epochs=130, verbose=0)
    tiny = np.finfo(dtype).tiny
    trainer.state_vectors[:, :4] = 2e6 * tiny
    for _ in range(200):
        trainer.step(x, np.ones((1, 4)))
        size = np.abs(trainer.state_vectors)
        assert not ((size > 0) & (size < tiny)).any()
    assert (size[:, 4:] > 0).any()
    assert (size[0, :4] == 0).all()
