"""Training by a loss of the user's own, a function ``(output, target) -> (value, d_output)``.

The function is Python, so each batch goes out of the executor and back: forward, function, backward, update.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from fastnet.backends.reference import CORRECT, LOSS_SUM, NORM, ROW, STEP, TOTAL, count_correct
from fastnet.backends.reference.executor import interrupts_held
from fastnet.checks import Array, LossFunction
from fastnet.evaluation import call_loss

__all__ = ["FunctionExecutor"]


class FunctionExecutor:
    """An executor's `train` for a loss that is a function.

    Parameters
    ----------
    executor : Executor
        Made without a loss.
    loss : callable
        The function.
    batch_size : int
        Samples of one update.
    metric : str
        How right predictions are counted, ``""`` where they are not.
    """

    def __init__(self, executor: Any, loss: LossFunction, batch_size: int, metric: str) -> None:
        self.executor, self.loss, self.batch_size, self.metric = executor, loss, batch_size, metric

    def train(
        self,
        x: Array,
        y: Array,
        sample_weight: None,
        order: Array,
        learning_rates: Array,
        progress: Array,
        seconds: float,
    ) -> bool:
        """Train as `fastnet.backends.reference.Executor.train` does.

        The loss of several batches is the mean of the function's values, weighted by their numbers of rows.
        """
        deadline = time.perf_counter() + seconds
        while progress[ROW] < len(order):
            row, step = int(progress[ROW]), int(progress[STEP]) + 1
            rows = order[row : row + self.batch_size]
            output, target = self.executor.forward(np.take(x, rows, axis=0), True, step), y[rows]
            value, slope = call_loss(self.loss, output, target)
            correct, total = count_correct(output, target, self.metric, 0.5)
            if not (math.isfinite(value) and np.isfinite(slope).all()):
                return False
            with interrupts_held() as interrupted:  # an update and its count belong together
                self.executor.backward(slope)
                self.executor.update(float(learning_rates[row // self.batch_size]), step)
                progress[STEP] = step
                progress[ROW] += len(rows)
                progress[LOSS_SUM] += value * len(rows)
                progress[NORM] += len(rows)
                progress[CORRECT] += correct
                progress[TOTAL] += total
            if interrupted:
                raise KeyboardInterrupt
            if time.perf_counter() >= deadline:
                break
        return True
