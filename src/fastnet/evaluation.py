"""Running a network over many rows without training it: predictions, loss and accuracy.

The rows are taken in blocks that a slow machine works off in a fraction of a second, because a signal such
as Ctrl-C is answered only between two calls into compiled code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnet.checks import Array, LossFunction, check_metric
from fastnet.graph import Graph
from fastnet.losses import Loss

__all__ = ["blocks", "call_loss", "evaluate", "loss_options", "predict"]


def blocks(graph: Graph, rows: int) -> Iterator[slice]:
    """Yield slices that walk `rows` rows in blocks of bounded work."""
    step = graph.block_rows
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def predict(executor: Any, graph: Graph, x: Array) -> tuple[Array, bool]:
    """Return the outputs, (N, O), for rows x, (N, I), and whether x is finite; else they mean nothing."""
    out = np.empty((len(x), graph.size(graph.output)), x.dtype)
    finite = all(executor.predict(x[rows], out[rows]) for rows in blocks(graph, len(x)))
    return out, finite


def evaluate(
    executor: Any,
    graph: Graph,
    loss: Loss | LossFunction,
    x: Array,
    y: Array,
    sample_weight: Array | None = None,
) -> tuple[float, float | None]:
    """Return loss and accuracy, without dropout, for checked rows and targets.

    Parameters
    ----------
    executor : Executor
        Made with this loss (none, if it is a function) and with the metric that accuracy is.
    graph : Graph
        The executor's.
    loss : Loss or callable
        What to compute.
    x : ndarray (N, I)
        Rows, N at least 1.
    y : ndarray (N, O) or (N,)
        Their targets.
    sample_weight : ndarray (N,), optional
        Weights of the rows in the loss; every row counts once in the accuracy.

    Returns
    -------
    loss : float
        A plain sum for `half_squared_error`, else a mean; what the function says if it is one.
    accuracy : float or None
        Part of right predictions; None where there is no accuracy to speak of.
    """
    if not isinstance(loss, Loss):
        from fastnet.backends.reference import count_correct

        output, _ = predict(executor, graph, x)
        correct, total = count_correct(output, y, check_metric(loss, graph, y), 0.5)
        return call_loss(loss, output, y)[0], correct / total if total else None
    loss_sum = norms = 0.0
    correct = total = 0
    for rows in blocks(graph, len(x)):
        weight = None if sample_weight is None else sample_weight[rows]
        value, norm, right, counted = executor.evaluate(x[rows], y[rows], weight)
        loss_sum, norms, correct, total = loss_sum + value, norms + norm, correct + right, total + counted
    if loss.name == "half_squared_error":
        norms = 1.0 / loss.scale
    return loss_sum / norms if norms else 0.0, correct / total if total else None


def call_loss(loss: LossFunction, output: Array, target: Array) -> tuple[float, Array]:
    """Call a user's loss and return its value and slope, (N, O), checked.

    The function may keep or change what it is given: it gets copies.

    Raises
    ------
    TypeError, ValueError
        It did not return a number and an array of the output's shape.
    """
    result = loss(output.copy(), target.copy())
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(
            f"the loss function returned {type(result).__name__}; wanted a tuple (value, d_output), "
            "the loss and its slope with respect to each output"
        )
    value, slope = result
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the loss function returned the value {value!r}; wanted a number") from None
    d_output = np.asarray(slope, output.dtype)
    if d_output.shape != output.shape:
        raise ValueError(
            f"the loss function returned d_output of shape {d_output.shape}; "
            f"wanted that of the output, {output.shape}"
        )
    return number, d_output


def loss_options(loss: Any) -> dict[str, Any]:
    """Return the options of an executor for a loss; a function runs outside of it."""
    if not isinstance(loss, Loss):
        return {}
    return {"loss": loss.name, "loss_parameter": loss.parameter, "loss_scale": loss.scale}
