"""Training by SciPy's L-BFGS-B: the whole data set in each step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from fastnet.callbacks import Callback
from fastnet.checks import check_metric
from fastnet.errors import warn
from fastnet.evaluation import call_loss, loss_options
from fastnet.losses import Loss
from fastnet.run import Data, Run
from fastnet.sklearn.training import Fitting, Record, Reported, penalty

__all__ = ["minimise"]

BLOCK = 2048
"""Rows whose gradients are worked out at a time, so that memory does not grow with the data."""


class _Objective:
    """Loss and gradient of a whole data set, as a function of the parameters.

    SciPy works in float64, and so does this: a line search does not get far on a float32 loss.
    """

    def __init__(self, fitting: Fitting, data: Data, alpha: float) -> None:
        network, loss = fitting.network, fitting.loss
        self.data, self.alpha, self.loss = data, alpha, loss
        self.network = network.copy("float64")
        # A function may be a mean or a sum: it must see all rows together.
        self.block = min(BLOCK, len(data.x)) if isinstance(loss, Loss) else len(data.x)
        self.gradients = np.zeros(self.network.parameters.shape)
        self.executor = self.network.executor(
            **loss_options(loss), gradients=self.gradients, batch_size=self.block, seed=fitting.seed
        )
        self.samples = float(len(data.x) if data.weight is None else data.weight.sum(dtype=np.float64))
        self.decay = np.zeros_like(self.gradients)
        for slot in network.graph.slots:
            self.decay[slot.offset : slot.offset + slot.size] = slot.decay * alpha / self.samples
        self.value = np.nan
        """Of the last call, without the penalty."""

    def __call__(self, parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return loss and gradient."""
        self.network.parameters[...] = parameters
        total, gradient = 0.0, self.decay * parameters
        for start in range(0, len(self.data.x), self.block):
            value, share = self._block(slice(start, start + self.block))
            total += value * share
            gradient += self.gradients * share
        self.value = total
        return total + self.penalty(), gradient

    def penalty(self) -> float:
        """Return that of the parameters of the last call."""
        return penalty(self.network, self.alpha) / self.samples

    def _block(self, rows: slice) -> tuple[float, float]:
        """Write the gradient of some rows; return their loss and what part of the whole they are."""
        x, y = np.ascontiguousarray(self.data.x[rows], np.float64), self.data.y[rows]
        y = y if y.dtype.kind == "i" else np.ascontiguousarray(y, np.float64)
        if not isinstance(self.loss, Loss):
            value, slope = call_loss(self.loss, self.executor.forward(x, False, 1), y)
            self.executor.backward(slope)
            return value, 1.0
        weight = None
        if self.data.weight is not None:
            weight = np.ascontiguousarray(self.data.weight[rows], np.float64)
        value = self.executor.loss_and_gradients(x, y, weight)
        if self.loss.name == "half_squared_error":  # a plain sum
            return value, 1.0
        return value, float(len(x) if weight is None else weight.sum()) / self.samples


class _Iterations:
    """What follows each iteration of the minimiser: a record of it, and the callbacks.

    Callbacks see iterations as epochs.
    """

    def __init__(
        self, estimator: Any, objective: _Objective, record: Record, run: Run, reported: Reported
    ) -> None:
        self.estimator, self.objective, self.record = estimator, objective, record
        self.run, self.reported = run, reported
        self.listeners: Sequence[Callback] = ()
        self._start = time.perf_counter()

    def __call__(self, parameters: NDArray[np.float64]) -> None:
        """Take note of the parameters that an iteration ended with."""
        objective, record, run, fitting = self.objective, self.record, self.run, self.run.trainer
        if not np.array_equal(parameters, objective.network.parameters):  # those of the last call, as a rule
            objective(parameters)
        fitting.network.parameters[...] = parameters
        fitting.gradients[...] = objective.gradients
        record.n_iter += 1
        record.add_loss(self.reported[0](objective.value) + objective.penalty())
        logs = {"loss": objective.value} | ({} if run.validation is None else run.validated())
        if run.validation is not None:
            record.validation_loss_curve.append(self.reported[1](logs["val_loss"]))
        if self.estimator.verbose:
            print(f"Iteration {record.n_iter}, loss = {record.loss:.8f}")
        fitting.epoch += 1
        run.note(logs, self._start)
        self._start = time.perf_counter()
        for listener in self.listeners:
            listener.on_epoch_end(fitting, fitting.epoch, logs)
        if fitting.stop_reason:
            raise StopIteration


def minimise(
    estimator: Any,
    fitting: Fitting,
    record: Record,
    data: Data,
    validation: Data | None,
    reported: Reported,
    listeners: Sequence[Callback],
) -> None:
    """Train a network until the gradient is smaller than `tol`, or the iterations are used up.

    Warns
    -----
    ConvergenceWarning
        It stopped before a minimum was found.
    """
    objective = _Objective(fitting, data, float(estimator.alpha))
    metric = check_metric(fitting.loss, fitting.network.graph, data.y) if validation is not None else ""
    executor = fitting.executor_for(metric, 1)
    run = Run(fitting, executor, data, validation, estimator.max_iter, 1, False, metric)
    run.quantities = tuple(name for name in run.quantities if name != "accuracy")
    iterations = _Iterations(estimator, objective, record, run, reported)
    iterations.listeners = listeners
    record.n_iter, record.stopped = 0, False
    fitting.run, fitting.stop_reason = run, ""
    with ExitStack() as ends:
        ends.callback(setattr, fitting, "run", None)
        for listener in reversed(listeners):
            ends.callback(listener.on_train_end, fitting)
        for listener in listeners:
            listener.on_train_begin(fitting)
        result = minimize(
            objective,
            fitting.network.parameters.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=iterations,
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
        fitting.network.parameters[...] = result.x
        if record.n_iter == 0:  # it began at a minimum, or found no way down
            objective(result.x)
            record.loss = reported[0](objective.value) + objective.penalty()
            record.best_loss = min(record.loss, record.best_loss)
        fitting.history.stopped = fitting.stop_reason
    if result.status != 0 and not fitting.stop_reason:
        warn(
            f"lbfgs failed to converge after {record.n_iter} iteration(s): {result.message}. "
            "Scaled data or a larger max_iter may help",
            ConvergenceWarning,
        )
