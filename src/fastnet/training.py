"""The training loop: `Trainer`, which owns all that training needs besides the network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnet import backends, optimizers
from fastnet.arrays import aligned_zeros, as_count
from fastnet.backends.reference import LOSS_SUM, NORM, ROW, STEP
from fastnet.callbacks import Callback, OverfittingMonitor
from fastnet.checks import (
    Array,
    ClassWeight,
    LossFunction,
    LossSpec,
    check_loss,
    check_metric,
    check_samples,
    check_seed,
    check_targets,
    check_weights,
    is_finite,
)
from fastnet.data import Dataset
from fastnet.errors import DivergenceWarning, warn
from fastnet.evaluation import loss_options
from fastnet.history import History
from fastnet.loss_functions import FunctionExecutor
from fastnet.losses import LOSSES, Loss
from fastnet.network import Network
from fastnet.optimizers import SGD, Optimizer
from fastnet.progress import Progress
from fastnet.run import Data, Run
from fastnet.schedules import Constant

__all__ = ["Trainer"]


class Trainer:
    """Trains a network, step by step or epoch by epoch, and can be saved in between.

    Parameters
    ----------
    network : Network
        Changed in place.
    loss : str, Loss or callable
        A name in `fastnet.losses.LOSSES`, or a function ``(output, target) -> (value, d_output)``.
    optimizer : Optimizer or str, optional
        None is plain stochastic gradient descent, ``SGD(0.1)``.
    seed : int, optional
        Of shuffling and dropout, 0 .. 2**63 - 1; None takes the network's own.

    Attributes
    ----------
    network : Network
        As given.
    loss : Loss or callable
        What is made small.
    optimizer : Optimizer
        How.
    history : History
        Of all epochs that `fit` ran.
    epoch : int
        Number of epochs completed.
    gradients : ndarray (P,)
        Of the last batch, before clipping; in the order of ``network.parameters``.
    state_vectors : ndarray (S, P)
        The optimizer's; by name in `state`.
    progress : ndarray (6,)
        Counters that the executors keep, see `fastnet.backends.reference.Executor.train`.
    rng : numpy.random.Generator
        Of the order of samples.
    run : Run or None
        The call of `fit` that goes on, for callbacks.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong, or the loss does not fit the network's output.

    Notes
    -----
    The same seed, data, backend and dtype give the same bits, whatever the number of threads, and also
    when the training was saved and loaded in between.
    """

    def __init__(
        self,
        network: Network,
        loss: LossSpec = "cross_entropy",
        optimizer: Optimizer | str | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(network, Network):
            raise TypeError(f"network is a {type(network).__name__}; wanted a Network")
        self.network = network
        self._loss = check_loss(loss, network.graph)
        self._optimizer = SGD(0.1) if optimizer is None else optimizers.get(optimizer)
        self.seed = network.seed if seed is None else check_seed(seed)
        self.history = History()
        self.epoch = 0
        # A stream of its own: with the same seed, the first weights came from the plain one.
        self.rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=(1,))))
        # See Executor.train; its first number counts the updates.
        self.progress = aligned_zeros((6,), np.dtype(float))
        count = network.graph.parameter_count
        self.gradients = aligned_zeros((count,), network.dtype)
        self.state_vectors = aligned_zeros((len(self.optimizer.states), count), network.dtype)
        self.run: Run | None = None
        self.stop_reason = ""
        self._executors: dict[str, tuple[tuple[int, str, int, bool], Any]] = {}
        self._step_rows, self._step_order, self._step_rate = 0, np.arange(0), np.zeros(1)

    @property
    def loss(self) -> Loss | LossFunction:
        """What is made small; another one takes another trainer."""
        return self._loss

    @property
    def optimizer(self) -> Optimizer:
        """How; its learning rate can be set, another one takes another trainer."""
        return self._optimizer

    @property
    def steps(self) -> int:
        """Number of updates made."""
        return int(self.progress[STEP])

    @property
    def state(self) -> dict[str, Array]:
        """The optimizer's state vectors, (P,) each, by name: live views."""
        return dict(zip(self.optimizer.states, self.state_vectors, strict=True))

    def __repr__(self) -> str:
        loss: object = self.loss
        if not isinstance(loss, Loss):
            loss = getattr(loss, "__name__", loss)
        elif loss == LOSSES.get(loss.name):
            loss = loss.name
        return f"Trainer({self.network!r}, loss={loss!r}, optimizer={self.optimizer!r}, seed={self.seed})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_executors": {}}

    def _executor(self, use: str, metric: str, batch_size: int, keeps_gradients: bool = False) -> Any:
        """Return the executor for one use, renewed when the backend or an option has changed."""
        key = (backends.version(), metric, batch_size, keeps_gradients)
        if use not in self._executors or self._executors[use][0] != key:
            executor = self.network.executor(
                **loss_options(self.loss),
                metric=metric,
                optimizer=self.optimizer.name,
                hyper=self.optimizer.hyper(),
                gradients=self.gradients,
                state=self.state_vectors,
                batch_size=batch_size,
                seed=self.seed,
                keeps_gradients=keeps_gradients,
            )
            if not isinstance(self.loss, Loss):
                executor = FunctionExecutor(executor, self.loss, batch_size, metric)
            self._executors[use] = (key, executor)
        return self._executors[use][1]

    # ---- one step

    def step(self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Make one update on these samples, as one batch.

        Parameters
        ----------
        x : array_like, (N, inputs)
            Samples, at least one.
        y : array_like, (N, outputs) or labels (N,)
            Their targets.
        sample_weight : array_like, (N,), optional
            Weights of the samples.

        Returns
        -------
        float
            The loss of these samples before the update. NaN if it was not finite: then a
            `DivergenceWarning` is issued and the update left out.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; nothing was changed.

        Notes
        -----
        A schedule in epochs stands still here, as only `fit` completes epochs; one in steps does not.
        """
        network, progress = self.network, self.progress
        rows = check_samples(x, network.graph.shapes[0], network.dtype)
        count = len(rows)
        targets = check_targets(y, count, self.loss, network.graph, network.dtype)
        weight = None
        if sample_weight is not None:
            weight = check_weights(sample_weight, None, targets, self.loss, network.graph, network.dtype)
        if count != self._step_rows:
            self._step_rows, self._step_order = count, np.arange(count)
        schedule = self.optimizer.learning_rate
        if isinstance(schedule, Constant):
            self._step_rate[0] = schedule.learning_rate
        else:
            self._step_rate[0] = schedule(self.epoch if schedule.unit == "epochs" else self.steps)
        progress[ROW:] = 0.0
        executor = self._step_executor(count)
        if not executor.train(rows, targets, weight, self._step_order, self._step_rate, progress, 0.0):
            where = f"step {self.steps + 1}, learning rate {self._step_rate[0]:g}"
            warn(f"the loss was not finite in {where}; the update was left out", DivergenceWarning)
            return float("nan")
        return self.mean_loss()

    def _step_executor(self, count: int) -> Any:
        """Return the executor of `step`, with room for at least this number of rows."""
        found = self._executors.get("step")
        if found is not None and found[0][0] == backends.version() and found[0][2] >= count:
            return found[1]
        return self._executor("step", "", max(count, found[0][2] if found is not None else 0))

    def mean_loss(self) -> float:
        """Return the loss of the rows that `progress` covers."""
        loss_sum, norm = float(self.progress[LOSS_SUM]), float(self.progress[NORM])
        if isinstance(self.loss, Loss) and self.loss.name == "half_squared_error":
            return loss_sum * self.loss.scale  # a plain sum
        return loss_sum / norm if norm else 0.0

    # ---- many epochs

    def stop(self, reason: str = "stop() was called") -> None:
        """Ask `fit` to stop after this epoch; for callbacks.

        Parameters
        ----------
        reason : str
            Goes into ``history.stopped``.
        """
        self.stop_reason = str(reason)

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        epochs: int = 10,
        batch_size: int = 64,
        validation: tuple[ArrayLike, ArrayLike] | Dataset | None = None,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: int | None = None,
    ) -> History:
        """Train for some more epochs; the arguments are those of `Network.fit`.

        Returns
        -------
        History
            Of this call and the ones before; also in `history` and in the network's.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; nothing was changed.
        FileNotFoundError
            A callback cannot write where it should; nothing was changed.
        KeyboardInterrupt
            Ctrl-C was pressed; network and history are as after the last whole batch.

        Warns
        -----
        DivergenceWarning
            The loss was not finite any more. Training stopped, and everything is as at the start of that
            epoch, but for its row in the history. Another `fit`, with a smaller learning rate perhaps, trains
            the same epoch again.

        Notes
        -----
        An error within an epoch, as in a loss that is a function, undoes that epoch.
        """
        if not is_finite(self.network.parameters):
            raise ValueError("network.parameters hold NaN or infinity; wanted finite numbers to start from")
        data = self._data(x, y, sample_weight, class_weight)
        held_out = None if validation is None else self._validation(validation)
        epochs, batch_size = as_count("epochs", epochs), min(as_count("batch_size", batch_size), len(data.x))
        if not isinstance(shuffle, bool | np.bool_):
            raise TypeError(f"shuffle is {shuffle!r}; wanted True or False")
        metric = check_metric(self.loss, self.network.graph, data.y)
        listeners = self._listeners(callbacks, verbose, watched=bool(metric) and held_out is not None)
        keeps = any(listener.reads_gradients for listener in listeners)
        executor = self._executor("fit", metric, batch_size, keeps)
        run = Run(self, executor, data, held_out, epochs, batch_size, bool(shuffle), metric)
        self._go(run, listeners)
        if run.diverged:
            warn(run.diverged, DivergenceWarning)
        return self.history

    def _go(self, run: Run, listeners: Sequence[Callback]) -> None:
        """Run the epochs of one `fit`, watched."""
        self.run, self.stop_reason = run, ""
        with ExitStack() as ends:  # which are all called, in the order of the list, whatever raises
            ends.callback(setattr, self, "run", None)
            for listener in reversed(listeners):
                ends.callback(listener.on_train_end, self)
            try:
                for listener in listeners:
                    listener.on_train_begin(self)
                for _ in range(run.epochs):
                    logs = run.epoch(listeners)
                    if logs is None:
                        break
                    for listener in listeners:
                        listener.on_epoch_end(self, self.epoch, logs)
                    if self.stop_reason:
                        break
                self.history.stopped = run.diverged or self.stop_reason
            except KeyboardInterrupt:
                self.history.stopped = f"interrupted in epoch {self.epoch + 1}"
                self.network.history = self.history
                raise

    def _data(
        self, x: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None, class_weight: ClassWeight | None
    ) -> Data:
        """Return samples to train on, checked."""
        graph, dtype = self.network.graph, self.network.dtype
        rows = check_samples(x, graph.shapes[0], dtype)
        targets = check_targets(y, len(rows), self.loss, graph, dtype)
        weight = check_weights(sample_weight, class_weight, targets, self.loss, graph, dtype)
        return Data(rows, targets, weight)

    def _validation(self, validation: object) -> Data:
        """Return samples to measure on, checked."""
        if isinstance(validation, np.ndarray | str):
            pair = []
        else:
            try:
                pair = list(validation)  # type: ignore[call-overload]
            except TypeError:
                pair = []
        if len(pair) != 2:
            raise TypeError(f"validation is a {type(validation).__name__}; wanted a pair (x, y) or a Dataset")
        graph, dtype = self.network.graph, self.network.dtype
        rows = check_samples(pair[0], graph.shapes[0], dtype, "validation x")
        return Data(
            rows, check_targets(pair[1], len(rows), self.loss, graph, dtype, "validation y", "validation x")
        )

    def _listeners(self, given: object, verbose: int | None, *, watched: bool) -> list[Callback]:
        """Return the callbacks of one fit: those given, and those that are always there."""
        try:
            listeners: list[Any] = list(given)  # type: ignore[call-overload]
        except TypeError:
            raise TypeError(f"callbacks is a {type(given).__name__}; wanted a list of callbacks") from None
        for index, listener in enumerate(listeners):
            if not isinstance(listener, Callback):
                hint = f": write {listener.__name__}()" if isinstance(listener, type) else ""
                raise TypeError(f"callbacks[{index}] is {listener!r}; wanted a Callback{hint}")
        if watched and not any(isinstance(listener, OverfittingMonitor) for listener in listeners):
            listeners.append(OverfittingMonitor())
        return [Progress(verbose), *listeners]

    # ---- saving and loading

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: everything that `load` needs to go on, to the bit, as if nothing had happened.

        Parameters
        ----------
        path : path-like
            Replaced if it exists, whole or not at all.

        Raises
        ------
        TypeError, ValueError
            ``network.metadata`` cannot be written as JSON.
        OSError
            The file cannot be written.

        Notes
        -----
        The data and the callbacks are not in it, and neither is a loss that is a function.
        """
        from fastnet import checkpoints

        checkpoints.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], loss: LossSpec | None = None) -> Trainer:
        """Read a checkpoint that `save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        loss : str, Loss or callable, optional
            In place of the one in the file. Needed where that was a function.

        Raises
        ------
        FileNotFoundError
            There is no such file.
        FastnetFormatError
            It is not such a file, or a damaged one; the message says what is wrong with it.
        ValueError
            The loss was a function, and `loss` is not given.
        """
        from fastnet import checkpoints

        content = checkpoints.load(path)
        if loss is None:
            loss = content.loss
        if loss is None:
            raise ValueError(
                f"{os.fspath(path)}: the loss was a function: give it again, Trainer.load(path, loss=...)"
            )
        trainer = cls(content.network, loss=loss, optimizer=content.optimizer, seed=content.seed)
        for vector, values in zip(trainer.state_vectors, content.state, strict=True):
            vector[...] = values
        trainer.history = trainer.network.history = content.history
        trainer.epoch, trainer.progress[STEP] = content.epoch, content.steps
        trainer.rng.bit_generator.state = content.rng_state
        return trainer
