"""The executor: runs a graph, forward and backward, and trains."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
from fastnet.backends.reference.optimizers import update

if TYPE_CHECKING:
    from fastnet.graph import Graph, Op, Slot


STEP, ROW, LOSS_SUM, NORM, CORRECT, TOTAL = range(6)
"""What `Executor.train` keeps in its `progress`."""

PREDICT_ROWS = 1024
"""Rows that one pass of `predict` and `evaluate` takes, so that memory does not grow with the data."""

# Overflow and NaN are results here, not news: the compiled kernels are silent about them too.
_quiet = np.errstate(all="ignore")


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
        The threshold of the Huber loss.
    optimizer : str
        Name, see `update`.
    hyper : mapping
        The optimizer's numbers by name.
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
    """

    def __init__(
        self,
        graph: Graph,
        parameters: Array,
        *,
        loss: str = "",
        metric: str = "",
        loss_parameter: float = 1.0,
        optimizer: str = "",
        hyper: Mapping[str, float] | None = None,
        gradients: Array | None = None,
        state: Array | None = None,
        batch_size: int = 1,
        seed: int = 0,
        threads: int = 1,
        threads_from: float | None = None,
    ) -> None:
        self.graph, self.parameters, self.gradients, self.state = graph, parameters, gradients, state
        self.metric, self.loss_parameter = metric, loss_parameter
        self.optimizer, self.hyper = optimizer, dict(hyper or {})
        self.batch_size, self.seed = batch_size, seed
        self.loss = LOGITS.get((graph.output_activation, loss), loss)
        # A paired loss starts from the total inputs, and the last activation is left out.
        self._paired = self.loss != loss
        self._boundary = 0.0 if self._paired else 0.5
        self._train_ops = graph.ops[:-1] if self._paired else graph.ops
        self._end = self._train_ops[-1].output if self._train_ops else 0
        self._decay = np.zeros_like(parameters)
        for slot in graph.slots:
            self._decay[slot.offset : slot.offset + slot.size] = slot.decay
        self._weights = {slot: _view(parameters, slot) for slot in graph.slots}
        self._d_weights = {} if gradients is None else {slot: _view(gradients, slot) for slot in graph.slots}
        self._values: dict[int, list[Array]] = {}
        self._deltas: dict[int, list[Array]] = {}
        self._last: tuple[Array, list[Array], bool, int] | None = None
        self._lock = threading.RLock()

    # One workspace for each number of rows that comes up: a full batch and the last, shorter one.

    def _buffers(self, cache: dict[int, list[Array]], rows: int) -> list[Array]:
        if rows not in cache:
            if len(cache) >= 4:
                cache.clear()
            sizes = [self.graph.size(b) for b in range(len(self.graph.shapes))]
            cache[rows] = [np.empty((rows, size), self.parameters.dtype) for size in sizes]
        return cache[rows]

    # -- forward and backward through the graph

    def _forward(self, ops: Sequence[Op], values: list[Array], training: bool, step: int) -> None:
        for number, op in enumerate(ops):
            x, y = values[op.inputs[0]], values[op.output]
            if op.kind == "dense":
                bias = self._weights[op.slots[1]] if len(op.slots) > 1 else None
                dense_forward(x, self._weights[op.slots[0]], bias, y)
            elif op.kind == "activation":
                activation_forward(x, y, str(op.attributes["name"]))
            elif op.kind == "dropout" and training:
                dropout(x, y, float(op.attributes["rate"]), dropout_key(self.seed, step, number))
            else:  # flatten, and dropout outside training
                y[...] = x

    def _backward(self, values: list[Array], deltas: list[Array], training: bool, step: int) -> None:
        for number in range(len(self._train_ops) - 1, -1, -1):
            op = self._train_ops[number]
            x, y, d_y, d_x = values[op.inputs[0]], values[op.output], deltas[op.output], deltas[op.inputs[0]]
            if op.kind == "dense":
                dense_backward_weights(x, d_y, self._d_weights[op.slots[0]])
                if len(op.slots) > 1:
                    dense_backward_bias(d_y, self._d_weights[op.slots[1]])
                if op.inputs[0] != 0:  # nobody asks for the gradient of the input
                    dense_backward_input(d_y, self._weights[op.slots[0]], d_x)
            elif op.kind == "activation":
                activation_backward(x, y, d_y, d_x, str(op.attributes["name"]))
            elif op.kind == "dropout" and training:
                dropout(d_y, d_x, float(op.attributes["rate"]), dropout_key(self.seed, step, number))
            else:
                d_x[...] = d_y

    # -- inference

    @_quiet
    def predict(self, x: Array, out: Array) -> None:
        """out = the network's output, without dropout: x (N, I) -> out (N, O)."""
        with self._lock:
            for start in range(0, len(x), PREDICT_ROWS):
                rows = x[start : start + PREDICT_ROWS]
                values = [rows, *self._buffers(self._values, len(rows))[1:]]
                self._forward(self.graph.ops, values, False, 0)
                out[start : start + PREDICT_ROWS] = values[self.graph.output]

    @_quiet
    def predict_row(self, x: Any) -> Array | None:
        """The output (O,) for one row (I,), or None where x is not just an array of the right kind."""
        if (
            not isinstance(x, np.ndarray)
            or x.dtype != self.parameters.dtype
            or x.shape != (self.graph.size(0),)
        ):
            return None
        if not math.isfinite(x.sum()) and not np.isfinite(x).all():
            raise ValueError("x must be finite, but holds NaN or infinity")
        with self._lock:
            values = [x[None, :], *self._buffers(self._values, 1)[1:]]
            self._forward(self.graph.ops, values, False, 0)
            result: Array = values[self.graph.output][0].copy()
            return result

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
                result += self._loss(x[block], y[block], weight, False, 0)
        norm = 1.0 if self.loss == "half_squared_error" else float(result[1])
        return float(result[0]), norm, int(result[2]), int(result[3])

    def _loss(
        self, x: Array, y: Array, sample_weight: Array | None, training: bool, step: int
    ) -> tuple[float, float, int, int]:
        """Forward to the loss; leaves all in place for `_backward`."""
        values = [x, *self._buffers(self._values, len(x))[1:]]
        deltas = self._buffers(self._deltas, len(x))
        self._forward(self._train_ops, values, training, step)
        end = values[self._end]
        value, norm = loss_and_slope(end, y, sample_weight, deltas[self._end], self.loss, self.loss_parameter)
        self._last = (x, values, training, step)
        return (value, norm, *count_correct(end, y, self.metric, self._boundary))

    # -- training

    @_quiet
    def loss_and_gradients(
        self, x: Array, y: Array, sample_weight: Array | None = None, training: bool = False, step: int = 1
    ) -> float:
        """Loss of these rows; writes the gradients."""
        with self._lock:
            value, norm, _, _ = self._loss(x, y, sample_weight, training, step)
            self._backward(self._last[1], self._buffers(self._deltas, len(x)), training, step)  # type: ignore[index]
        return value / norm if norm else 0.0

    @_quiet
    def forward(self, x: Array, training: bool = True, step: int = 1) -> Array:
        """The output (N, O), for a loss that is not ours; a view that the next call overwrites."""
        values = [x, *self._buffers(self._values, len(x))[1:]]
        self._forward(self._train_ops, values, training, step)
        self._last = (x, values, training, step)
        return values[self._end]

    @_quiet
    def backward(self, d_output: Array) -> None:
        """Gradients from dL/d output (N, O), after `forward`."""
        if self._last is None:
            raise RuntimeError("backward() needs a forward() first")
        _, values, training, step = self._last
        deltas = self._buffers(self._deltas, len(d_output))
        deltas[self._end][...] = d_output
        self._backward(values, deltas, training, step)

    @_quiet
    def update(self, learning_rate: float, step: int) -> None:
        """One update of the parameters from the gradients."""
        assert self.gradients is not None and self.state is not None
        update(
            self.gradients,
            self._decay,
            self.parameters,
            self.state,
            self.optimizer,
            self.hyper,
            learning_rate,
            step,
        )

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
        with self._lock, _interrupts_held() as interrupted:
            while progress[ROW] < len(order):
                row, step = int(progress[ROW]), int(progress[STEP]) + 1
                rows = order[row : row + self.batch_size]
                batch = np.take(x, rows, axis=0, out=self._buffers(self._values, len(rows))[0], mode="clip")
                weight = None if sample_weight is None else sample_weight[rows]
                value, norm, correct, total = self._loss(batch, y[rows], weight, True, step)
                if not math.isfinite(value):
                    return False
                self._backward(self._last[1], self._buffers(self._deltas, len(rows)), True, step)  # type: ignore[index]
                self.update(float(learning_rates[row // self.batch_size]), step)
                progress += (1, len(rows), value, norm, correct, total)
                if interrupted or time.perf_counter() >= deadline:
                    break
        if interrupted:
            raise KeyboardInterrupt
        return True


def _view(flat: Array, slot: Slot) -> Array:
    return flat[slot.offset : slot.offset + slot.size].reshape(slot.shape)


@contextmanager
def _interrupts_held() -> Iterator[list[int]]:
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
