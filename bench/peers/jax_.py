"""JAX: a whole epoch in one jitted `lax.scan`, two steps to an iteration, the data on the device before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.peers.tasks import Task
from bench.peers.timing import Epochs, clocked
from bench.workloads import RATE, Array

VERSION = jax.__version__
UNROLL = (
    2  # of 1, 2, 4, 8 and 16 the best: nets of some hundred weights win up to a third, the others nothing
)

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda z: jnp.maximum(z, 0),
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
}


def cannot(task: Task) -> str:
    return ""


def start(threads: int) -> None:
    """XLA takes the CPUs of the process's affinity."""
    jax.config.update("jax_platforms", "cpu")


def forward(task: Task, layers: Any, a: Any, key: Any = None) -> Any:
    """Total inputs of the last layer."""
    activation = ACTIVATIONS[task.activation]
    for index, (w, b) in enumerate(layers[:-1]):
        a = activation(a @ w + b)
        if key is not None:
            kept = jax.random.bernoulli(jax.random.fold_in(key, index), 1 - task.dropout, a.shape)
            a = jnp.where(kept, a / (1 - task.dropout), 0)
    w, b = layers[-1]
    return a @ w + b


def loss_of(task: Task, layers: Any, x: Any, y: Any, key: Any) -> Any:
    z = forward(task, layers, x, key)
    if not task.labels:
        return jnp.square(z - y).mean()
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()


def update(task: Task, layers: Any, state: Any, gradients: Any, count: Any) -> tuple[Any, Any]:
    """One update: new layers and the optimizer's new state."""
    each = jax.tree.map
    if task.weight_decay:
        gradients = [(g + task.weight_decay * w, h) for (g, h), (w, _) in zip(gradients, layers, strict=True)]
    if task.optimizer == "adam":
        mean = each(lambda m, g: 0.9 * m + 0.1 * g, state[0], gradients)
        square = each(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], gradients)
        rate, root = RATE / (1 - 0.9**count), 1 / (1 - 0.999**count)
        change = each(lambda m, v: rate * m / (jnp.sqrt(v * root) + 1e-8), mean, square)
        return each(jnp.subtract, layers, change), (mean, square)
    if task.momentum:
        gradients = each(lambda v, g: task.momentum * v + g, state[0], gradients)
        state = (gradients,)
    return each(lambda w, g: w - RATE * g, layers, gradients), state


def whole_epoch(task: Task) -> Callable[..., Any]:
    """A jitted function: (layers, state, count), x and y (steps, batch, ...) -> the three later, loss."""

    def one_step(carried: Any, batch: Any) -> Any:
        layers, state, count = carried
        key = jax.random.fold_in(jax.random.key(0, impl="rbg"), count) if task.dropout else None
        loss, gradients = jax.value_and_grad(lambda layers: loss_of(task, layers, *batch, key))(layers)
        count = count + 1
        layers, state = update(task, layers, state, gradients, count.astype(task.dtype))
        return (layers, state, count), loss

    def epoch(carried: Any, x: Any, y: Any) -> Any:
        carried, losses = lax.scan(one_step, carried, (x, y), unroll=UNROLL)
        return carried, losses.mean()

    return jax.jit(epoch, donate_argnums=0)


def training(task: Task, x: Array, y: Array) -> Epochs:
    jax.config.update("jax_enable_x64", task.dtype == "float64")
    xs, ys = (jnp.asarray(one.reshape(-1, task.batch, *one.shape[1:])) for one in (x, y))
    layers = jax.tree.map(jnp.asarray, task.first_weights())
    state = tuple(jax.tree.map(jnp.zeros_like, layers) for _ in range(task.states()))
    carried, run = (layers, state, jnp.asarray(0)), whole_epoch(task)

    def epoch() -> float:
        nonlocal carried
        carried, loss = run(carried, xs, ys)
        jax.block_until_ready(carried)
        return float(loss)

    return clocked(epoch)


def prediction(task: Task) -> Callable[[Array], Array]:
    jax.config.update("jax_enable_x64", task.dtype == "float64")
    layers = jax.tree.map(jnp.asarray, task.first_weights())

    @jax.jit
    def output(layers: Any, x: Any) -> Any:
        z = forward(task, layers, x)
        return jax.nn.softmax(z) if task.labels else z

    return lambda x: np.asarray(output(layers, x))
