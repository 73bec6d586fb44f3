"""Training as scikit-learn does it, by a `Trainer`: its order of samples, its penalty, when it stops."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from fastnet.arrays import aligned_zeros
from fastnet.backends.reference import LOSS_SUM, NORM, ROW, STEP
from fastnet.callbacks import Callback
from fastnet.checks import Array, check_metric
from fastnet.network import Network
from fastnet.optimizers import SGD, Adam, Optimizer
from fastnet.progress import Progress, _Lines
from fastnet.run import Data, Run
from fastnet.sklearn.parameters import Objective
from fastnet.sklearn.rows import SparseExecutor, SparseRows
from fastnet.training import Trainer

__all__ = ["Bar", "Fitting", "Record", "Reported", "Stopping", "optimizer_of", "penalty", "set_rate"]

Reported: TypeAlias = tuple[Callable[[float], float], Callable[[float], float]]
"""From a loss of the executors to ``loss_``, less the penalty: of the training and of the validation data."""


# ---- the penalty and the solvers --------------------------------------------------------------------------


class _Penalised(Optimizer):
    """An optimizer whose weight decay is divided by the samples of a batch, as ``alpha`` is."""

    samples = 1  # of a whole batch

    def config(self) -> dict[str, Any]:
        """Return the description of the nearest optimizer of fastnet's own, for checkpoints."""
        config = super().config()
        return {**config, "weight_decay": config["weight_decay"] / self.samples}

    def hyper(self) -> dict[str, float]:
        """Return the numbers of the update by name."""
        return {**super().hyper(), "shares_decay": 1.0, "plain_epsilon": 1.0}

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and self.samples == getattr(other, "samples", None)


class _Adam(_Penalised, Adam):
    """Adam as scikit-learn has it: epsilon is added to the root before its correction."""


class _SGD(_Penalised, SGD):
    """Gradient descent as scikit-learn has it."""


def optimizer_of(estimator: Any, learning_rate: float, batch_size: int) -> Optimizer:
    """Return the optimizer of a solver with scikit-learn's numbers; of "lbfgs" one that is not used."""
    alpha = float(estimator.alpha)
    optimizer: _Penalised
    if estimator.solver == "adam":
        beta1, beta2 = float(estimator.beta_1), float(estimator.beta_2)
        optimizer = _Adam(learning_rate, beta1, beta2, float(estimator.epsilon), alpha)
    elif estimator.solver == "lbfgs":
        optimizer = _SGD(learning_rate)
    else:
        # A momentum of 1 is legal there; the next smaller number is as good.
        momentum = min(float(estimator.momentum), math.nextafter(1.0, 0.0))
        optimizer = _SGD(learning_rate, momentum, bool(estimator.nesterovs_momentum and momentum), alpha)
    optimizer.samples = batch_size
    return optimizer


def penalty(network: Network, alpha: float) -> float:
    """Return alpha / 2 times the sum of the squared weights, without biases."""
    if alpha == 0.0:
        return 0.0
    total = 0.0
    with np.errstate(over="ignore"):  # infinite just before training diverges, which is an error of its own
        for slot in network.graph.slots:
            if slot.decay:
                end = slot.offset + slot.size
                for start in range(slot.offset, end, _DOT):
                    part = network.parameters[start : min(start + _DOT, end)]
                    total += float(np.dot(part, part))
    return 0.5 * alpha * total


_DOT = 8192  # values of one product: more, and a BLAS may wake its threads


class Tally:
    """An executor's `train`, one batch after the other, that adds up what scikit-learn's ``loss_`` is.

    That is the mean over batches, by their numbers of samples, of their losses and of the penalties before
    their updates; a batch's loss is a mean by the weights of its own samples. It takes some microseconds for
    each batch.

    Parameters
    ----------
    executor : Executor or FunctionExecutor
        That trains.
    batch_size : int
        Samples of one update.
    network : Network
        Whose weights are penalised.
    alpha : float
        Strength of the penalty.
    objective : Objective
        The loss.
    """

    def __init__(
        self, executor: Any, batch_size: int, network: Network, alpha: float, objective: Objective
    ) -> None:
        self._trains, self.batch_size = executor, batch_size
        self.network, self.alpha, self.objective = network, alpha, objective
        self.executor = getattr(executor, "executor", executor)  # which evaluates
        self._sum = 0.0

    def train(
        self,
        x: Any,
        y: Array,
        sample_weight: Array | None,
        order: Array,
        learning_rates: Array,
        progress: Array,
        seconds: float,
    ) -> bool:
        """Train as `fastnet.backends.reference.Executor.train` does."""
        deadline = time.perf_counter() + seconds
        while (first := int(progress[ROW])) < len(order):
            end = min(first + self.batch_size, len(order))
            before, loss_sum, norm = penalty(self.network, self.alpha), progress[LOSS_SUM], progress[NORM]
            # From zero: a batch that weighs little would be lost beside others.
            progress[LOSS_SUM] = progress[NORM] = 0.0
            if not self._trains.train(x, y, sample_weight, order[:end], learning_rates, progress, 0.0):
                return False
            mean = float(progress[LOSS_SUM] / progress[NORM]) if progress[NORM] else None
            progress[LOSS_SUM] += loss_sum
            progress[NORM] += norm
            if mean is not None:
                rows = order[first:end]
                weight = None if sample_weight is None else sample_weight[rows]
                share = float(len(rows) if weight is None else weight.sum(dtype=np.float64))
                loss = mean * self.objective.report + before / share
                if self.objective.constant is not None:
                    loss += self.objective.constant(y[rows], weight)
                self._sum += len(rows) * loss
            if time.perf_counter() >= deadline:
                break
        return True

    def take(self) -> float:
        """Return the sum over all samples since the last call."""
        taken, self._sum = self._sum, 0.0
        return taken


# ---- the order of samples ---------------------------------------------------------------------------------


class _Order:
    """The order of samples as scikit-learn draws it, each epoch's from the last; a trainer's generator."""

    def __init__(self, random_state: np.random.RandomState, samples: int, seed: int) -> None:
        self.random_state, self._order = random_state, np.arange(samples)
        # For a checkpoint, whose reader goes on with an order of fastnet's own.
        self.bit_generator = np.random.PCG64(seed)

    def shuffle(self, order: Array) -> None:
        """Write the next order into an array."""
        self.random_state.shuffle(self._order)
        order[...] = self._order


# ---- what is kept from call to call ------------------------------------------------------------------------


@dataclass
class Record:
    """What an estimator knows of its training, over all calls that went on with it.

    The names are those of scikit-learn's attributes.
    """

    loss_curve: list[float] = field(default_factory=list)
    validation_loss_curve: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    loss: float = math.nan
    best_loss: float = math.inf
    best_validation_score: float = -math.inf
    best_parameters: Array | None = None
    no_improvement: int = 0
    t: int = 0
    n_iter: int = 0
    rate: tuple[float, float] = (0.0, 0.0)  # learning_rate_init, and what has become of it
    stopped: bool = False

    def add_loss(self, loss: float) -> None:
        """Record the loss of an epoch or iteration."""
        self.loss = loss
        self.loss_curve.append(loss)
        self.best_loss = min(loss, self.best_loss)


class Fitting(Trainer):
    """The trainer of an estimator.

    It is pickled without what can be made again, so that it is as small as network and optimizer state.
    """

    def resume(self, other: Fitting | None) -> None:
        """Go on where another trainer of the same network ended, with its optimizer's state where it fits."""
        if other is None:
            return
        self.history, self.epoch = other.history, other.epoch
        if other.optimizer.states == self.optimizer.states and other.optimizer.name == self.optimizer.name:
            self.state_vectors[...] = other.state_vectors
            self.progress[STEP] = other.progress[STEP]

    def go(
        self,
        data: Data,
        validation: Data | None,
        *,
        epochs: int,
        batch_size: int,
        random_state: np.random.RandomState | None,
        stopping: Stopping,
        listeners: Sequence[Callback],
    ) -> Run:
        """Train for at most so many epochs, in a new order each where there is a random state.

        Accuracy is counted where somebody looks on.
        """
        watched = validation is not None or len(listeners) > 0
        metric = check_metric(self.loss, self.network.graph, data.y) if watched else ""
        keeps = any(listener.reads_gradients for listener in listeners)
        executor = self._executor("fit", metric, batch_size, keeps)
        if stopping.summed is not None:
            alpha = stopping.estimator.alpha
            executor = stopping.tally = Tally(executor, batch_size, self.network, alpha, stopping.summed)
        if isinstance(data.x, SparseRows):
            executor = SparseExecutor(executor, batch_size)
        if random_state is not None:
            self.rng = _Order(random_state, len(data.x), self.seed)  # type: ignore[assignment]
        run = Run(self, executor, data, validation, epochs, batch_size, random_state is not None, metric)
        try:
            self._go(run, [stopping, *listeners])
        finally:
            self.rng = np.random.Generator(np.random.PCG64(self.seed))  # no random state is kept, as there
        return run

    def executor_for(self, metric: str, batch_size: int) -> Any:
        """Return the executor that measures, and trains in batches."""
        return self._executor("fit", metric, batch_size)

    def forget_buffers(self) -> None:
        """Let go of the executors."""
        self._executors.clear()

    def __getstate__(self) -> dict[str, Any]:
        kept = super().__getstate__()
        for name in ("gradients", "rng", "_step_order", "_step_rate"):
            del kept[name]
        return kept

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        vectors = aligned_zeros(self.state_vectors.shape, self.network.dtype)
        vectors[...] = self.state_vectors
        self.state_vectors = vectors
        self.gradients = aligned_zeros(self.network.parameters.shape, self.network.dtype)
        self.rng = np.random.Generator(np.random.PCG64(self.seed))
        self._step_rows, self._step_order, self._step_rate = 0, np.arange(0), np.zeros(1)


# ---- what happens after each epoch ------------------------------------------------------------------------


class Stopping(Callback):
    """scikit-learn's record of a training, when it stops and what becomes of the learning rate.

    Parameters
    ----------
    estimator : BaseMLP
        Whose parameters rule.
    record : Record
        Written.
    samples : float
        Sum of the weights of the samples.
    batches : int
        Of an epoch.
    reported : pair of callable
        See `Reported`.
    score : callable, optional
        Of a trainer: the validation score, where that decides.
    incremental : bool
        Whether this is one epoch of many calls: the best weights come back only when it is time to stop.
    summed : Objective, optional
        What is added up batch by batch, by a `Tally`; None takes the penalty from the ends of each epoch.
    """

    def __init__(
        self,
        estimator: Any,
        record: Record,
        samples: float,
        batches: int,
        reported: Reported,
        score: Callable[[Trainer], float] | None,
        incremental: bool,
        summed: Objective | None,
    ) -> None:
        self.summed = summed
        self.tally: Tally | None = None
        self.estimator, self.record, self.incremental = estimator, record, incremental
        self.samples, self.batches, self.reported, self.score = samples, batches, reported, score
        self._before = 0.0

    def on_train_begin(self, trainer: Trainer) -> None:
        """Note where it starts from."""
        record = self.record
        record.n_iter, record.stopped = 0, False
        self._before = penalty(trainer.network, self.estimator.alpha)
        if self.score is not None and record.best_parameters is None:
            record.best_parameters = trainer.network.parameters.copy()

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Record the epoch, and stop where it no longer gets better."""
        assert trainer.run is not None
        estimator, record = self.estimator, self.record
        record.n_iter += 1
        record.t += trainer.run.samples
        best = record.best_loss
        if self.tally is None:
            record.add_loss(self.reported[0](logs["loss"]) + self._penalty_of_epoch(trainer))
        else:
            record.add_loss(self.tally.take() / trainer.run.samples)
        if "val_loss" in logs:
            record.validation_loss_curve.append(self.reported[1](logs["val_loss"]))
        if estimator.verbose:
            print(f"Iteration {record.n_iter}, loss = {record.loss:.8f}")
        if self.score is not None:
            self._compare_scores(trainer, self.score(trainer))
        else:
            worse = record.loss > best - estimator.tol
            record.no_improvement = record.no_improvement + 1 if worse else 0
        if estimator.solver == "sgd" and estimator.learning_rate == "invscaling":
            set_rate(trainer, record, estimator.learning_rate_init / (record.t + 1) ** estimator.power_t)
        if record.no_improvement > estimator.n_iter_no_change:
            self._stop(trainer)

    def on_train_end(self, trainer: Trainer) -> None:
        """Put the best weights back, where they are known and the training is over."""
        record = self.record
        if record.best_parameters is not None and (record.stopped or not self.incremental):
            trainer.network.parameters[...] = record.best_parameters
            record.best_parameters = None  # they are the network's own
        if self.incremental and record.stopped:
            record.no_improvement = 0  # whoever goes on all the same gets as many calls again

    def _penalty_of_epoch(self, trainer: Trainer) -> float:
        """Return the mean penalty of the batches of the epoch that ended.

        It counts before each update. Exact for one batch; else between the two ends of the epoch the squared
        weights are taken to change evenly.
        """
        before, self._before = self._before, penalty(trainer.network, self.estimator.alpha)
        total = self.batches * (before + self._before) / 2 + (before - self._before) / 2
        return total / self.samples if self.samples else 0.0

    def _compare_scores(self, trainer: Trainer, score: float) -> None:
        estimator, record = self.estimator, self.record
        record.validation_scores.append(score)
        if estimator.verbose:
            print(f"Validation score: {score:f}")
        worse = score < record.best_validation_score + estimator.tol
        record.no_improvement = record.no_improvement + 1 if worse else 0
        if score > record.best_validation_score:
            record.best_validation_score = score
            record.best_parameters = trainer.network.parameters.copy()

    def _stop(self, trainer: Trainer) -> None:
        """Stop, or with the adaptive learning rate first go on with smaller steps."""
        estimator, record = self.estimator, self.record
        what = "Validation score" if self.score is not None else "Training loss"
        message = (
            f"{what} did not improve more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} consecutive epochs."
        )
        adapts = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
        if adapts and record.rate[1] > 1e-6:
            set_rate(trainer, record, record.rate[1] / 5.0)
            record.no_improvement = 0
            message += f" Setting learning rate to {record.rate[1]:f}"
        else:
            record.stopped = True
            trainer.stop(message)
            message += " Learning rate too small. Stopping." if adapts else " Stopping."
        if estimator.verbose:
            print(message)


def set_rate(trainer: Trainer, record: Record, rate: float) -> None:
    """Change the learning rate; velocities, which are in steps there, are in gradients here."""
    before = record.rate[1]
    record.rate = (record.rate[0], rate)
    trainer.optimizer.learning_rate = rate
    if "velocity" in trainer.state:
        trainer.state["velocity"] *= before / rate


class Bar(Progress):
    """A progress bar because somebody asked for it: where none can be drawn, a line a second."""

    def __init__(self) -> None:
        super().__init__(None)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Choose what to show."""
        super().on_train_begin(trainer)
        if self._view is None and sys.stderr is not None:
            self._view = _Lines(sys.stderr, 1.0)
