"""What the two estimators share: from data to a trained network, and from a network to outputs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from fastnet import evaluation
from fastnet.callbacks import Callback
from fastnet.checks import Array, check_sample_weight, check_targets
from fastnet.errors import warn
from fastnet.layers import Dense
from fastnet.losses import Loss
from fastnet.network import Network
from fastnet.run import Data
from fastnet.sklearn import parameters
from fastnet.sklearn.parameters import Objective
from fastnet.sklearn.rows import SparseRows, dense_or_rows
from fastnet.sklearn.targets import GroupedCrossEntropy, Targets
from fastnet.sklearn.training import Bar, Fitting, Record, Stopping, optimizer_of, set_rate
from fastnet.training import Trainer

__all__ = ["BaseMLP", "is_stochastic"]

SPARSE = ("csr", "csc")
EVEN_ALPHA = 1e-4
"""The strongest penalty that may be taken to change evenly within an epoch: what it adds to a loss is far
smaller than the default `tol`."""


def is_stochastic(estimator: Any) -> bool:
    """Whether an estimator has `partial_fit`; says why not where it has none."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit needs solver 'sgd' or 'adam'; 'lbfgs' takes all data in each step")
    return True


class BaseMLP(BaseEstimator, ABC):  # type: ignore[misc]
    """Base of the estimators; their parameters are in `MLPClassifier` and `MLPRegressor`."""

    # ---- what the two differ in

    _regresses = False

    @abstractmethod
    def _new_targets(self, y: Any, incremental: bool, classes: Any) -> Targets:
        """Return what targets are, from the first ones."""

    @abstractmethod
    def _encoded(self, targets: Targets, y: Any, incremental: bool, classes: Any) -> Array:
        """Return later targets as numbers, after a look whether they go with the first ones."""

    # ---- training

    def _fit(
        self,
        X: Any,  # noqa: N803 - scikit-learn's name
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        incremental: bool = False,
        classes: Any = None,
    ) -> Any:
        """Train, from the start or from where the last call ended.

        A call that fails leaves the network there was, and with it what it knows of its samples.
        """
        names = ("n_features_in_", "feature_names_in_")
        known = self.__dict__
        before = {name: known[name] for name in names if name in known}
        try:
            self._train(X, y, sample_weight, validation, incremental, classes)
        except BaseException:
            for name in names:
                known.pop(name, None)
            known.update(before)
            raise
        return self

    def _train(
        self,
        X: Any,  # noqa: N803
        y: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
        incremental: bool,
        classes: Any,
    ) -> None:
        """Check, train and publish."""
        parameters.check(self)
        first = not hasattr(self, "network_") or not (self.warm_start or incremental)
        x, y = self._checked(X, y, first)
        targets = self._new_targets(y, incremental, classes) if first else self._targets
        encoded = targets.encode(y) if first else self._encoded(targets, y, incremental, classes)
        train = Part(x, encoded, _checked_weight(sample_weight, x))
        held_out = self._given_validation(targets, x, *validation)
        random_state = check_random_state(self.random_state)
        objective = targets.objective(self)
        network = self._network(x, targets, objective, random_state, first)
        if held_out is None and self.early_stopping and self.solver != "lbfgs":
            train, held_out = self._held_out(train, targets.stratifies, random_state)
        record = Record() if first else self._record
        train = train._replace(weight=targets.weights(self, train.encoded, train.weight))
        data = _data(train, targets, objective, network)
        held = None if held_out is None else _data(held_out, targets, objective, network)
        reported = (_reporter(objective, data), _reporter(objective, held or data))
        batch_size = self._batch_size(len(data.x))
        fitting = self._fitting(network, objective, record, batch_size, first)
        try:
            if self.solver == "lbfgs":
                from fastnet.sklearn.lbfgs import minimise

                minimise(self, fitting, record, data, held, reported, self._listeners())
            else:
                scores = self.early_stopping and held is not None and held_out is not None
                watch = _watch(targets, held, held_out) if scores else None
                stopping = Stopping(
                    self,
                    record,
                    float(len(data.x) if data.weight is None else data.weight.sum(dtype=np.float64)),
                    -(-len(data.x) // batch_size),
                    reported,
                    watch,
                    incremental,
                    objective if self._sums_batches(objective, data, batch_size) else None,
                )
                self._descend(fitting, data, held, stopping, batch_size, random_state)
        except BaseException:
            if not first:  # what was trained in whole epochs is there
                self._publish(fitting, record, targets)
            raise
        self._publish(fitting, record, targets)
        if not incremental:
            fitting.forget_buffers()

    def _descend(
        self,
        fitting: Fitting,
        data: Data,
        validation: Data | None,
        stopping: Stopping,
        batch_size: int,
        random_state: np.random.RandomState,
    ) -> None:
        """Train by a stochastic solver."""
        record = stopping.record
        try:
            run = fitting.go(
                data,
                validation,
                epochs=1 if stopping.incremental else self.max_iter,
                batch_size=batch_size,
                random_state=random_state if self.shuffle else None,
                stopping=stopping,
                listeners=self._listeners(),
            )
        except KeyboardInterrupt:
            if record.n_iter == 0:
                raise
            warn("Training interrupted by user.", UserWarning)
            return
        if run.diverged:
            raise ValueError(
                f"Solver produced non-finite parameter weights: {run.diverged}. The input data may contain "
                "large values and need to be preprocessed, or learning_rate_init may be too large"
            )
        if not stopping.incremental and record.n_iter == self.max_iter and not fitting.stop_reason:
            warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization "
                "hasn't converged yet.",
                ConvergenceWarning,
            )

    def _checked(self, X: Any, y: Any, first: bool) -> tuple[Any, Any]:  # noqa: N803
        """Return samples and targets as arrays; the samples of the network's dtype."""
        dtype: Any = (np.float64, np.float32)
        if not first:
            dtype = self.network_.dtype
            if self.dtype is not None and np.dtype(self.dtype) != dtype:
                raise ValueError(
                    f"warm_start and partial_fit go on with the network there is, of {dtype}; "
                    f"dtype now asks for {self.dtype!r}"
                )
        elif self.dtype is not None:
            dtype = np.dtype(self.dtype)
        x, y = validate_data(
            self,
            X,
            y,
            accept_sparse=SPARSE,
            multi_output=True,
            y_numeric=self._regresses,
            dtype=dtype,
            order="C",
            reset=first,
        )
        return dense_or_rows(x), _column(y)

    def _given_validation(
        self,
        targets: Targets,
        x: Any,
        X_val: Any,  # noqa: N803
        y_val: Any,
        sample_weight_val: Any,
    ) -> Part | None:
        """Return the caller's own validation data."""
        if X_val is None and y_val is None:
            if sample_weight_val is not None:
                raise ValueError("sample_weight_val is given, but X_val and y_val are not")
            return None
        if X_val is None or y_val is None:
            raise ValueError(f"{'X_val' if X_val is None else 'y_val'} is missing; wanted both, or neither")
        rows = validate_data(self, X_val, accept_sparse=SPARSE, reset=False, dtype=x.dtype, order="C")
        dtype = "numeric" if self._regresses else None
        y_val = check_array(y_val, accept_sparse="csr", ensure_2d=False, dtype=dtype, input_name="y_val")
        check_consistent_length(rows, y_val)
        rows = dense_or_rows(rows)
        weight = _checked_weight(sample_weight_val, rows, "sample_weight_val")
        return Part(rows, targets.encode(_column(y_val)), weight)

    def _network(
        self,
        x: Any,
        targets: Targets,
        objective: Objective,
        random_state: np.random.RandomState,
        first: bool,
    ) -> Network:
        """Return the network to train: the one there is, or a new one with scikit-learn's first weights."""
        hidden = parameters.hidden_layers(self)
        recipe = parameters.layers(hidden, targets.outputs, objective.activation)
        if not first:
            network: Network = self.network_
            if [one.config() for one in recipe] != [one.config() for one in network.layers]:
                raise ValueError(
                    f"warm_start and partial_fit go on with the network there is, {list(network.layers)!r}; "
                    f"hidden_layer_sizes, activation, dropout, loss and y now ask for {recipe!r}"
                )
            return network
        features = int(x.matrix.shape[1] if isinstance(x, SparseRows) else x.shape[1])
        network = Network(recipe, features, x.dtype, seed=0)
        last = "identity"
        for layer in network.layers:
            if isinstance(layer, Dense):
                last = layer.activation if layer is not network.layers[-1] else last
                _initialize(layer, last, random_state)
        if any(rate for _, _, rate in hidden):
            network.seed = int(random_state.randint(2**31))
        return network

    def _held_out(
        self, whole: Part, stratifies: bool, random_state: np.random.RandomState
    ) -> tuple[Part, Part]:
        """Split into data to train on and data to validate on, as scikit-learn does."""
        if self.validation_fraction == 0:
            raise ValueError(
                "validation_fraction is 0; for early stopping wanted more, or X_val and y_val in fit"
            )
        train, held_out = train_test_split(
            np.arange(len(whole.x)),
            random_state=random_state,
            test_size=self.validation_fraction,
            stratify=whole.encoded if stratifies else None,
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your "
                "dataset, or give X_val and y_val."
            )
        return whole.rows(train), whole.rows(held_out)

    def _batch_size(self, samples: int) -> int:
        if isinstance(self.batch_size, str):
            return min(200, samples)
        if self.batch_size > samples:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                UserWarning,
            )
        return min(int(self.batch_size), samples)

    def _sums_batches(self, objective: Objective, data: Data, batch_size: int) -> bool:
        """Whether losses of batches must be added up one by one to stop where scikit-learn does."""
        mean = getattr(objective.loss, "name", "") != "half_squared_error"  # which is a plain sum
        return mean and batch_size < len(data.x) and (data.weight is not None or self.alpha > EVEN_ALPHA)

    def _fitting(
        self,
        network: Network,
        objective: Objective,
        record: Record,
        batch_size: int,
        first: bool,
    ) -> Fitting:
        """Return the trainer: that of the last call, or one that has its state."""
        start = float(self.learning_rate_init)
        before = record.rate[1]
        if record.rate[0] != start:
            record.rate = (start, start)
        optimizer = optimizer_of(self, record.rate[1], batch_size)
        last: Fitting | None = None if first else self._trainer
        if last is not None and last.loss == objective.loss and last.optimizer == optimizer:
            return last
        fitting = Fitting(network, objective.loss, optimizer, seed=network.seed)
        fitting.resume(last)
        if last is not None and before and before != record.rate[1]:
            after, record.rate = record.rate[1], (start, before)
            set_rate(fitting, record, after)
        return fitting

    def _listeners(self) -> list[Callback]:
        bar = [Bar()] if self.progress_bar else []
        return [*bar, *parameters.check_callbacks(self.callbacks)]

    def _publish(self, fitting: Fitting, record: Record, targets: Targets) -> None:
        """Set what is known after training."""
        self._trainer, self._record, self._targets = fitting, record, targets
        network = self.network_ = fitting.network
        self.history_ = network.history = fitting.history
        self.n_iter_, self.t_ = record.n_iter, record.t
        self.loss_curve_ = record.loss_curve
        self.validation_loss_curve_ = record.validation_loss_curve
        self.loss_ = record.loss
        stops = bool(self.early_stopping) and self.solver != "lbfgs"
        self.best_loss_ = None if stops else record.best_loss
        self.validation_scores_ = record.validation_scores if stops else None
        self.best_validation_score_ = record.best_validation_score if stops else None
        self.stopped_ = record.stopped
        self.n_layers_ = sum(isinstance(layer, Dense) for layer in network.layers) + 1
        self.n_outputs_ = network.output_shape[0]
        self.out_activation_ = parameters.shown_activation(network.graph.output_activation)

    # ---- weights

    @property
    def coefs_(self) -> list[Array]:
        """The weight matrices, (inputs, units) each, layer by layer: live views of the network's."""
        return _Views([layer.weights for layer in self._dense()])

    @coefs_.setter
    def coefs_(self, values: Sequence[Any]) -> None:
        self.coefs_[:] = values

    @property
    def intercepts_(self) -> list[Array]:
        """The biases, (units,) each, layer by layer: live views of the network's."""
        return _Views([layer.bias for layer in self._dense()])

    @intercepts_.setter
    def intercepts_(self, values: Sequence[Any]) -> None:
        self.intercepts_[:] = values

    def _dense(self) -> list[Any]:
        network = self.__dict__.get("network_")
        if network is None:
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return [layer for layer in network.layers if isinstance(layer, Dense)]

    # ---- running it

    def _outputs(self, X: Any) -> Array:  # noqa: N803
        """Return the network's outputs, (N, O), for checked or unchecked samples.

        A plain array of the right kind goes straight to the network, which looks for NaN itself; everything
        else, and everything that is wrong, takes scikit-learn's checks.
        """
        known = self.__dict__
        if (
            X.__class__ is ndarray
            and X.ndim == 2
            and "network_" in known
            and "feature_names_in_" not in known
        ):
            network = known["network_"]
            if X.dtype == network.dtype and X.shape[1] == self.n_features_in_ and len(X):
                try:
                    output: Array = network.predict(X)
                    return output
                except ValueError:
                    pass  # NaN, of which scikit-learn's own error tells
        check_is_fitted(self)
        x = validate_data(self, X, accept_sparse=SPARSE, reset=False, dtype=self.network_.dtype, order="C")
        rows = dense_or_rows(x)
        return evaluation.predict(self.network_._connect()[2], self.network_.graph, rows)[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class Part(NamedTuple):
    """Samples, targets as numbers, and weights of the samples."""

    x: Any
    encoded: Array
    weight: Array | None

    def rows(self, rows: Array) -> Part:
        """Return some of them."""
        x = SparseRows(self.x.matrix[rows]) if isinstance(self.x, SparseRows) else self.x[rows]
        return Part(x, self.encoded[rows], None if self.weight is None else self.weight[rows])


def _data(part: Part, targets: Targets, objective: Objective, network: Network) -> Data:
    """Return samples as the trainer takes them."""
    loss, weight = objective.loss, part.weight
    y = targets.for_loss(part.encoded, loss, network.dtype)
    if isinstance(loss, Loss):
        y = check_targets(y, len(part.x), loss, network.graph, network.dtype, "y", "X")
    elif weight is not None and isinstance(loss, GroupedCrossEntropy):
        y, weight = np.column_stack([y, weight.astype(network.dtype)]), None
    elif weight is not None:
        raise ValueError(
            "sample_weight and class_weight do nothing with a function as loss, which weights itself"
        )
    return Data(part.x, y, None if weight is None else np.ascontiguousarray(weight, network.dtype))


def _watch(targets: Targets, data: Data | None, held_out: Part | None) -> Callable[[Trainer], float]:
    """Return the function of a trainer that is its validation score."""
    assert data is not None and held_out is not None

    def score(trainer: Trainer) -> float:
        assert trainer.run is not None
        executor = getattr(trainer.run.executor, "executor", trainer.run.executor)
        output, _ = evaluation.predict(executor, trainer.network.graph, data.x)
        if not np.isfinite(output).all():
            return math.nan
        return targets.score(output, held_out.encoded, held_out.weight)

    return score


class _Views(list[Array]):
    """Views of a network's parameters; setting one copies values in."""

    def __setitem__(self, index: Any, values: Any) -> None:
        if isinstance(index, slice):
            for view, value in zip(self[index], values, strict=True):
                view[...] = _of_shape(value, view)
        else:
            self[index][...] = _of_shape(values, self[index])


def _of_shape(value: Any, view: Array) -> Array:
    array = np.asarray(value)
    if array.shape != view.shape:
        raise ValueError(f"an array of shape {array.shape} is given; the network's has {view.shape}")
    return array


def _initialize(layer: Any, activation: str, random_state: np.random.RandomState) -> None:
    """Draw weights and biases as scikit-learn does (Glorot and Bengio 2010, equation 16)."""
    inputs, units = layer.weights.shape
    bound = math.sqrt((2.0 if activation == "sigmoid" else 6.0) / (inputs + units))
    layer.weights[...] = random_state.uniform(-bound, bound, (inputs, units))
    layer.bias[...] = random_state.uniform(-bound, bound, units)


def _column(y: Any) -> Any:
    """Return (N, 1) targets as (N,), as scikit-learn does, with its warning."""
    if isinstance(y, ndarray) and y.ndim == 2 and y.shape[1] == 1:
        from sklearn.utils import column_or_1d

        return column_or_1d(y, warn=True)
    return y


def _checked_weight(sample_weight: Any, x: Any, name: str = "sample_weight") -> Array | None:
    """Return the weights of samples (N,), of their dtype; None stays None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, Real):
        sample_weight = np.full(len(x), sample_weight, x.dtype)
    weight = check_array(sample_weight, ensure_2d=False, dtype=x.dtype, order="C", input_name=name)
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array")
    if len(weight) and not weight.any():
        raise ValueError(f"{name} is zero everywhere; at least one sample must count")
    return check_sample_weight(weight, len(x), x.dtype, name)


def _reporter(objective: Objective, data: Data) -> Callable[[float], float]:
    """Return the way from a loss of the executors to scikit-learn's `loss_`."""
    constant = 0.0 if objective.constant is None else objective.constant(data.y, data.weight)
    return lambda value: value * objective.report + constant
