"""The executor: runs a graph, forward and backward, and trains."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastnet.backends.reference.activations import activation_backward, activation_forward
from fastnet.backends.reference.arrays import Array
from fastnet.backends.reference.dense import (
    dense_backward_bias,
    dense_backward_input,
    dense_backward_weights,
    dense_forward,
)
from fastnet.backends.reference.dropout import dropout, dropout_key
from fastnet.backends.reference.losses import LOGITS, count_correct, loss_and_slope
from fastnet.backends.reference.optimizers import update_with

if TYPE_CHECKING:
    from fastnet.graph import Graph, Slot


STEP, ROW, LOSS_SUM, NORM, CORRECT, TOTAL = range(6)
"""What `Executor.train` keeps in its `progress`."""

PREDICT_ROWS = 1024
"""Rows that one pass of `predict` and `evaluate` takes, so that memory does not grow with the data."""

FLUSH_STEPS = 64
"""Steps between two looks for moments that fade away: where the gradient is zero, as of a pixel that is never
set, they shrink into subnormal numbers, on which each operation takes a hundred times as long. The compiled
executor flushes those to zero in every operation; NumPy cannot."""

# Overflow and NaN are results here, not news: the compiled kernels are silent about them too.
_quiet = np.errstate(all="ignore")


class _Pass(NamedTuple):
    """A graph with buffers for a number of rows, and the calls that take them forward and back."""

    values: list[Array]
    deltas: list[Array]
    forward: list[Callable[[], object]]
    forward_to_loss: list[Callable[[], object]]
    backward: list[Callable[[], object]]


class Executor:
    """Runs one graph on one flat parameter vector; owns the buffers, and nothing else.

    Parameters
    ----------
    graph : Graph
        What to run.
    parameters, gradients : ndarray (P,)
        Flat vectors of the network's dtype; `gradients` is written by training.
    loss, metric : str
        Names, see `loss_and_slope` and `count_correct`; "" for prediction only.
    loss_parameter : float
        The threshold of the Huber loss, the level of the quantile loss.
    loss_scale : float
        Factor of loss and slope.
    optimizer : str
        Name, see `update`.
    hyper : mapping
        The optimizer's numbers by name. Beyond those it has: ``shares_decay`` divides the weight decay of a
        step by the weights of its samples (without weights: by their number), ``plain_epsilon`` adds Adam's
        epsilon to the root of the mean square before its correction; both 0 or 1.
    state : ndarray (S, P)
        The optimizer's state vectors.
    batch_size : int
        Most rows of one training step.
    seed : int
        Seed of the dropout masks.
    threads : int
        Most threads to use; without effect here (NumPy's own settings rule).
    threads_from : float, optional
        Multiply-adds of one call (in training: of one step) from which more than one thread is used;
        None takes the measured number. Without effect here.
    keeps_gradients : bool
        Whether each step of `train` leaves its gradients, so that those before a loss that is not finite can
        be seen. Otherwise only the last step of a call that returns True need do so, which is faster.
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Array,
        *,
        loss: str = "",
        metric: str = "",
        loss_parameter: float = 1.0,
        loss_scale: float = 1.0,
        optimizer: str = "",
        hyper: Mapping[str, float] | None = None,
        gradients: Array | None = None,
        state: Array | None = None,
        batch_size: int = 1,
        seed: int = 0,
        threads: int = 1,
        threads_from: float | None = None,
        keeps_gradients: bool = False,
    ) -> None:
        self.graph, self.parameters, self.gradients, self.state = graph, parameters, gradients, state
        self.metric, self.loss_parameter, self.loss_scale = metric, loss_parameter, loss_scale
        self.optimizer, self.hyper = optimizer, dict(hyper or {})
        self.batch_size, self.seed, self.keeps_gradients = batch_size, seed, keeps_gradients
        self.loss = LOGITS.get((graph.output_activation, loss), loss)
        # A paired loss starts from the total inputs, and the last activation is left out.
        self._paired = self.loss != loss
        self._boundary = 0.0 if self._paired else 0.5
        self._trained = len(graph.ops) - self._paired
        self._end = graph.ops[-1].inputs[0] if self._paired else graph.output
        # So far above the subnormal numbers that nothing gets there between two looks: 0.9^64 is 1e-3.
        self._floor = np.finfo(parameters.dtype).tiny * 1e6
        self._decay = np.zeros_like(parameters)
        for slot in graph.slots:
            self._decay[slot.offset : slot.offset + slot.size] = slot.decay
        self._passes: dict[tuple[int, bool], _Pass] = {}
        self._last: _Pass | None = None
        self._step = 0
        self._lock = threading.RLock()

    # -- forward and backward through the graph

    def _pass(self, rows: int, training: bool) -> _Pass:
        """The graph for so many rows: a full batch, or the last and shorter one."""
        if (rows, training) not in self._passes:
            if len(self._passes) >= 4:
                self._passes.clear()
            self._passes[rows, training] = self._bind(rows, training)
        return self._passes[rows, training]

    def _bind(self, rows: int, training: bool) -> _Pass:
        """Give every operation its arrays, once; a step is then nothing but calls."""
        graph, dtype = self.graph, self.parameters.dtype
        values, deltas = (
            [np.empty((rows, graph.size(b)), dtype) for b in range(len(graph.shapes))] for _ in range(2)
        )
        forward: list[Callable[[], object]] = []
        backward: list[Callable[[], object]] = []
        for number, op in enumerate(graph.ops):
            x, y = values[op.inputs[0]], values[op.output]
            d_x, d_y = deltas[op.inputs[0]], deltas[op.output]
            back: list[Callable[[], object]] = []
            if op.kind == "dense":
                weights = [_view(self.parameters, slot) for slot in op.slots]
                bias = weights[1] if len(op.slots) > 1 else None
                forward.append(partial(dense_forward, x, weights[0], bias, y))
                if self.gradients is not None:
                    d_weights = [_view(self.gradients, slot) for slot in op.slots]
                    back.append(partial(dense_backward_weights, x, d_y, d_weights[0]))
                    back += [partial(dense_backward_bias, d_y, d_bias) for d_bias in d_weights[1:]]
                if op.inputs[0] != 0:  # nobody asks for the gradient of the input
                    back.append(partial(dense_backward_input, d_y, weights[0], d_x))
            elif op.kind == "activation":
                name = str(op.attributes["name"])
                forward.append(partial(activation_forward, x, y, name))
                back.append(partial(activation_backward, x, y, d_y, d_x, name))
            elif op.kind == "dropout" and training:
                rate = float(op.attributes["rate"])
                forward.append(partial(self._dropout, x, y, rate, number))
                back.append(partial(self._dropout, d_y, d_x, rate, number))
            else:  # flatten, and dropout outside training
                forward.append(partial(np.copyto, y, x))
                back.append(partial(np.copyto, d_x, d_y))
            if number < self._trained:
                backward = back + backward
        return _Pass(values, deltas, forward, forward[: self._trained], backward)

    def _dropout(self, x: Array, y: Array, rate: float, number: int) -> None:
        dropout(x, y, rate, dropout_key(self.seed, self._step, number))

    def _outputs(self, x: Array) -> Array:
        """The output (N, O) for rows x, without dropout; a view that the next call overwrites."""
        through = self._pass(len(x), False)
        through.values[0][...] = x
        for call in through.forward:
            call()
        return through.values[self.graph.output]

    def _loss(self, through: _Pass, y: Array, sample_weight: Array | None) -> tuple[float, float, int, int]:
        """Forward from the input buffer to the loss; leaves all in place for the way back."""
        for call in through.forward_to_loss:
            call()
        end, slope = through.values[self._end], through.deltas[self._end]
        value, norm = loss_and_slope(
            end, y, sample_weight, slope, self.loss, self.loss_parameter, self.loss_scale
        )
        if not self.metric:
            return value, norm, 0, 0
        return (value, norm, *count_correct(end, y, self.metric, self._boundary))

    # -- inference

    @_quiet
    def predict(self, x: Array, out: Array) -> bool:
        """out = the network's output, without dropout: x (N, I) -> out (N, O).

        Returns whether x is finite: it is looked at here, while it is in the cache. Where it is not, `out` is
        anything.
        """
        finite = True
        with self._lock:
            for start in range(0, len(x), PREDICT_ROWS):
                block = slice(start, start + PREDICT_ROWS)
                finite = finite and bool(np.isfinite(x[block]).all())
                out[block] = self._outputs(x[block])
        return finite

    @_quiet
    def predict_plain(self, x: Any) -> Array | None:
        """The output (O,) of a row (I,), or (N, O) of rows (N, I), or None where x takes looking after.

        That is, where it is not just an array of the right kind, finite, of at most `Graph.block_rows` rows.
        """
        if not isinstance(x, np.ndarray) or x.dtype != self.parameters.dtype or not 0 < x.ndim <= 2:
            return None
        if x.shape[-1] != self.graph.size(0) or (x.ndim == 2 and not 0 < len(x) <= self.graph.block_rows):
            return None
        # One number tells of all but always; the squares of large ones may overflow, and then we look.
        if not math.isfinite(np.vdot(x, x)) and not np.isfinite(x).all():
            return None
        if x.ndim == 2:
            result = np.empty((len(x), self.graph.size(self.graph.output)), x.dtype)
            self.predict(x, result)
            return result
        with self._lock:
            row: Array = self._outputs(x[None, :])[0].copy()
        return row

    @_quiet
    def evaluate(
        self, x: Array, y: Array, sample_weight: Array | None = None
    ) -> tuple[float, float, int, int]:
        """Loss as (sum, norm), and (correct, total) of the metric, without dropout."""
        result = np.zeros(4)
        with self._lock:
            for start in range(0, len(x), PREDICT_ROWS):
                block = slice(start, start + PREDICT_ROWS)
                weight = None if sample_weight is None else sample_weight[block]
                through = self._pass(len(x[block]), False)
                through.values[0][...] = x[block]
                result += self._loss(through, y[block], weight)
        norm = 1.0 / self.loss_scale if self.loss == "half_squared_error" else float(result[1])
        return float(result[0]), norm, int(result[2]), int(result[3])

    # -- training

    @_quiet
    def loss_and_gradients(
        self, x: Array, y: Array, sample_weight: Array | None = None, training: bool = False, step: int = 1
    ) -> float:
        """Loss of these rows; writes the gradients."""
        with self._lock:
            through, self._step = self._pass(len(x), training), step
            through.values[0][...] = x
            value, norm, _, _ = self._loss(through, y, sample_weight)
            for call in through.backward:
                call()
        return value / norm if norm else 0.0

    @_quiet
    def forward(self, x: Array, training: bool = True, step: int = 1) -> Array:
        """The output (N, O), for a loss that is not ours; a view that the next call overwrites."""
        self._last, self._step = self._pass(len(x), training), step
        self._last.values[0][...] = x
        for call in self._last.forward_to_loss:
            call()
        return self._last.values[self._end]

    @_quiet
    def backward(self, d_output: Array) -> None:
        """Gradients from dL/d output (N, O), after `forward`."""
        if self._last is None:
            raise RuntimeError("backward() needs a forward() first")
        self._last.deltas[self._end][...] = d_output
        for call in self._last.backward:
            call()

    @_quiet
    def update(self, learning_rate: float, step: int) -> None:
        """One update of the parameters from the gradients."""
        weights = self.batch_size if self._last is None else len(self._last.values[0])
        self._update(learning_rate, step, float(weights))

    def _update(self, learning_rate: float, step: int, weights: float, scratch: Array | None = None) -> None:
        assert self.gradients is not None and self.state is not None
        g, w, state, decay = self.gradients, self.parameters, self.state, self._decay
        if step % FLUSH_STEPS == 0:
            faded = np.abs(state) < self._floor
            faded[1:] &= faded[:1]  # a mean square is as good as zero only where the mean is
            state[faded] = 0
        hyper: Mapping[str, float] = self.hyper
        if hyper.get("shares_decay"):
            hyper = {**hyper, "weight_decay": hyper["weight_decay"] / weights if weights else 0.0}
        update_with(scratch, g, decay, w, state, self.optimizer, hyper, learning_rate, step)

    @_quiet
    def train(
        self,
        x: Array,
        y: Array,
        sample_weight: Array | None,
        order: Array,
        learning_rates: Array,
        progress: Array,
        seconds: float,
    ) -> bool:
        """Train on the rows `order` of x and y, batch by batch, from where `progress` stands.

        Returns at the end of `order`, or at the first end of a batch after `seconds`. Returns False
        where a batch's loss is not finite; its update is then left out.
        """
        deadline = time.perf_counter() + seconds
        with self._lock, interrupts_held() as interrupted:
            row = int(progress[ROW])
            while row < len(order):
                rows = order[row : row + self.batch_size]
                through, self._step = self._pass(len(rows), True), int(progress[STEP]) + 1
                np.take(x, rows, axis=0, out=through.values[0], mode="clip")
                weight = None if sample_weight is None else sample_weight[rows]
                value, norm, correct, total = self._loss(through, y[rows], weight)
                if not math.isfinite(value):
                    return False
                for call in through.backward:
                    call()
                rate = float(learning_rates[row // self.batch_size])
                row += len(rows)
                ends = row >= len(order) or bool(interrupted) or time.perf_counter() >= deadline
                keeps = ends or self.keeps_gradients
                weights = float(len(rows) if weight is None else weight.sum(dtype=np.float64))
                self._update(rate, self._step, weights, scratch=None if keeps else self.gradients)
                progress[STEP], progress[ROW] = self._step, row
                progress[LOSS_SUM] += value
                progress[NORM] += norm
                if self.metric:
                    progress[CORRECT] += correct
                    progress[TOTAL] += total
                if ends:
                    break
        if interrupted:
            raise KeyboardInterrupt
        return True


def _view(flat: Array, slot: Slot) -> Array:
    return flat[slot.offset : slot.offset + slot.size].reshape(slot.shape)


@contextmanager
def interrupts_held() -> Iterator[list[int]]:
    """Ctrl-C appends to the list instead of stopping in the middle of an update.

    A signal handler that is not Python's own stays, and so does everything in threads other than the
    main one, where signals are never handled.
    """
    seen: list[int] = []
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield seen
        return
    signal.signal(signal.SIGINT, lambda number, _frame: seen.append(number))
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
