"""Sparse samples: made dense some batches at a time, as the executors want rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnet.backends.reference import ROW
from fastnet.checks import Array

__all__ = ["DENSE_BYTES", "SparseExecutor", "SparseRows", "dense_or_rows"]

DENSE_BYTES = 1 << 27
"""What a matrix may take to be made dense as a whole; of a larger one, this much at a time."""


class SparseRows:
    """A sparse matrix (N, I) whose parts are dense, for `Data` and `fastnet.evaluation`.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array
        In the CSR format.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.dtype: np.dtype[Any] = matrix.dtype

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, rows: Any) -> Array:
        """Return some rows, dense and C-contiguous."""
        dense: Array = self.matrix[rows].toarray(order="C")
        return dense

    @property
    def row_bytes(self) -> int:
        """Memory of a dense row."""
        return int(self.matrix.shape[1]) * self.dtype.itemsize


def dense_or_rows(x: Any) -> Any:
    """Return samples as the trainer takes them: an array as it is, a sparse matrix dense if it is small."""
    if isinstance(x, np.ndarray):
        return x
    rows = SparseRows(x.tocsr())
    return rows[:] if len(rows) * rows.row_bytes <= DENSE_BYTES else rows


class SparseExecutor:
    """An executor's `train` for sparse rows; the results are those of dense ones, to the bit.

    Parameters
    ----------
    executor : Executor or FunctionExecutor
        That trains on dense rows.
    batch_size : int
        Samples of one update.
    """

    def __init__(self, executor: Any, batch_size: int) -> None:
        self._trains, self.batch_size = executor, batch_size
        self.executor = getattr(executor, "executor", executor)  # which evaluates

    def train(
        self,
        x: SparseRows,
        y: Array,
        sample_weight: Array | None,
        order: Array,
        learning_rates: Array,
        progress: Array,
        seconds: float,
    ) -> bool:
        """Train as `fastnet.backends.reference.Executor.train` does; but returns after a chunk."""
        first = int(progress[ROW])
        batches = max(1, DENSE_BYTES // max(1, self.batch_size * x.row_bytes))
        rows = order[first : first + batches * self.batch_size]
        weight = None if sample_weight is None else sample_weight[rows]
        rates = learning_rates[first // self.batch_size :]
        progress[ROW] = 0.0
        try:
            return bool(
                self._trains.train(x[rows], y[rows], weight, np.arange(len(rows)), rates, progress, seconds)
            )
        finally:
            progress[ROW] += first
