"""Checking gradients against differences of the loss: for new layers, losses and kernels, and to teach."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet import activations, evaluation
from fastnet.arrays import as_count, as_number
from fastnet.checks import (
    Array,
    LossFunction,
    LossSpec,
    check_loss,
    check_samples,
    check_targets,
    check_weights,
)
from fastnet.evaluation import loss_options
from fastnet.losses import Loss
from fastnet.network import Network

__all__ = ["gradient_check"]

# With a step of 6e-6 the rounding of the loss makes differences wrong by about 4e-11 of it, and so by
# about 4e-6 of a gradient at the floor.
_STEP = float(np.cbrt(np.finfo(np.float64).eps))
_FLOOR = 1e-5


def gradient_check(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossSpec = "cross_entropy",
    epsilon: float | None = None,
    samples: int | None = None,
    sample_weight: ArrayLike | None = None,
    training: bool = False,
    seed: int = 0,
) -> float:
    """Compare the gradients of backpropagation with central differences of the loss.

    The largest of ``|a - n| / max(|a|, |n|, floor)`` over parameters, where a is the gradient by
    backpropagation, n is ``(L(p + h) - L(p - h)) / 2h`` and the floor is 1e-5 of the largest gradient (or
    of the loss, where that is larger), as below it n is mostly rounding. Signs count. Right gradients give
    about 1e-6 or less, wrong ones 1e-2 or more.

    The check is made in float64, on a copy: the network is not changed, and its dtype does not matter. A
    parameter is left out if its two perturbations put a total input, for any sample, on different sides of
    a kink of the activation (or of the loss), as the difference is not the slope there.

    Parameters
    ----------
    net : Network
        Its active backend, on its present parameters.
    x : array_like, (N, inputs)
        A few samples.
    y : array_like, (N, outputs) or labels (N,)
        Their targets.
    loss : str, Loss or callable
        As in `Network.fit`.
    epsilon : float, optional
        h for a parameter of size up to 1; in proportion for larger ones. By default 6e-6, the cube root of
        the machine precision.
    samples : int, optional
        Check only so many parameters, drawn at random.
    sample_weight : array_like, (N,), optional
        Weights of the samples.
    training : bool
        Whether dropout acts, with the same mask in all evaluations.
    seed : int
        Of the draw.

    Returns
    -------
    float
        The largest relative error.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong; or more than half of the parameters are at kinks (draw other samples).
    """
    h = _STEP if epsilon is None else as_number("epsilon", epsilon, 1e-12)
    copy = net.copy("float64")
    found = check_loss(loss, copy.graph)
    rows = check_samples(x, copy.input_shape, copy.dtype)
    targets = check_targets(y, len(rows), found, copy.graph, copy.dtype)
    weight = check_weights(sample_weight, None, targets, found, copy.graph, copy.dtype)
    value, gradients = copy.loss_and_gradients(x, y, found, sample_weight, training)

    count = len(gradients)
    chosen = np.arange(count)
    if samples is not None and as_count("samples", samples) < count:
        rng = np.random.default_rng(as_count("seed", seed, 0))
        chosen = np.sort(rng.choice(count, samples, replace=False))
    if not len(chosen):
        return 0.0
    measured = _Perturbed(copy, found, rows, targets, weight, training)
    numeric = np.array([measured.slope(int(index), h) for index in chosen])
    usable = ~np.isnan(numeric)
    if 2 * np.count_nonzero(usable) < len(chosen):
        raise ValueError(
            f"{len(chosen) - np.count_nonzero(usable)} of {len(chosen)} parameters are at kinks of the loss; "
            "take other samples x, or a smaller epsilon"
        )
    a, n = gradients[chosen][usable], numeric[usable]
    floor = _FLOOR * max(abs(value), float(np.abs(gradients).max()), np.finfo(np.float64).tiny)
    error = np.abs(a - n) / np.maximum(np.maximum(np.abs(a), np.abs(n)), floor)
    return float(error.max())


class _Perturbed:
    """The loss of a network, one of whose parameters is moved."""

    def __init__(
        self,
        network: Network,
        loss: Loss | LossFunction,
        x: Array,
        y: Array,
        weight: Array | None,
        training: bool,
    ) -> None:
        self.network, self.loss = network, loss
        self.x, self.y, self.weight, self.training = x, y, weight, training
        unread = np.zeros_like(network.parameters)
        options: dict[str, Any] = {"batch_size": len(x), "seed": network.seed, "gradients": unread}
        self._executor = network.executor(**loss_options(loss), **options)
        self._kinked = []  # executors that end at total inputs, and where the kinks are
        for number, op in enumerate(network.graph.ops):
            kinks = activations.get(op.attributes["name"]).kinks if op.kind == "activation" else ()
            if kinks:
                self._kinked.append((self._up_to(number, op.inputs[0], options), kinks))
        self._output = self._up_to(len(network.graph.ops), network.graph.output, options)

    def _up_to(self, number: int, buffer: int, options: dict[str, Any]) -> Any:
        """Return an executor of the first operations, whose output is a buffer's."""
        graph = self.network.graph._replace(ops=self.network.graph.ops[:number], output=buffer)
        kernels = type(self._executor)
        return kernels(graph, self.network.parameters, **options)

    def slope(self, index: int, h: float) -> float:
        """Return the central difference for one parameter; NaN at a kink."""
        parameters = self.network.parameters
        before = parameters[index]
        step = h * max(1.0, abs(before))
        ends = []
        for moved in (before - step, before + step):
            parameters[index] = moved
            ends.append((float(parameters[index]), self._value(), self._sides()))
        parameters[index] = before
        (low, low_value, low_sides), (high, high_value, high_sides) = ends
        if not np.array_equal(low_sides, high_sides):
            return float("nan")
        return (high_value - low_value) / (high - low)

    def _value(self) -> float:
        if isinstance(self.loss, Loss):
            return float(self._executor.loss_and_gradients(self.x, self.y, self.weight, self.training))
        output = self._executor.forward(self.x, self.training, 1)
        return evaluation.call_loss(self.loss, output, self.y)[0]

    def _sides(self) -> NDArray[np.bool_]:
        """Return on which side of every kink every total input is, and of the loss's kinks every output."""
        sides = []
        for executor, kinks in self._kinked:
            z = executor.forward(self.x, self.training, 1)
            sides += [(z > kink).ravel() for kink in kinks]
        if isinstance(self.loss, Loss) and self.loss.kinks:
            output = self._output.forward(self.x, self.training, 1)
            kink = {"y = t": self.y, "y = 0": 0.0}[self.loss.kinks]
            sides.append((output > kink).ravel())
        return np.concatenate(sides) if sides else np.zeros(0, bool)
