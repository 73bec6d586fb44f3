"""Predictions of one row and of many: of wide layers, whose sums are made in pieces, the same bits."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tasks import Array, Task, lowered

from fastnet.layers import Dense

# Inputs and widths of layers. Threads share the sums of a row in "shared" and "both"; "deep" and "both" have
# more terms than a panel has lines; those of "lines" are read from end to end.
NETS = {
    "shared": (501, 600, 257, 3),
    "deep": (1101, 67, 3),
    "both": (4099, 131, 3),
    "lines": (259, 512, 1024, 3),
    "odd lines": (130, 1031, 300, 1),
}


def task_of(name: str, dtype: str, **options: Any) -> Task:
    inputs, *hidden, outputs = NETS[name]
    graph = lowered([*(Dense(width, "relu") for width in hidden), Dense(outputs)], inputs)
    task = Task(graph, options.pop("loss", ""), dtype, **options)
    task.parameters *= np.asarray(0.1, dtype)
    return task


def exact(name: str, task: Task) -> Array:
    """The outputs, in float64."""
    values, parameters = task.x.astype(np.float64), task.parameters.astype(np.float64)
    for number, (inputs, outputs) in enumerate(pairwise(NETS[name])):
        weights, bias, parameters = np.split(parameters, [inputs * outputs, (inputs + 1) * outputs])
        values = (np.maximum(values, 0) if number else values) @ weights.reshape(inputs, outputs) + bias
    return values


@pytest.mark.parametrize("name", NETS)
def test_a_row_has_the_same_bits_alone_and_among_others(compiled: ModuleType, dtype: str, name: str) -> None:
    task = task_of(name, dtype, rows=60)
    out = np.empty((60, NETS[name][-1]), dtype)
    assert task.executor(compiled, threads=1).predict(task.x, out)
    right = exact(name, task)
    limit = 100 * np.finfo(dtype).eps * np.abs(right).max()
    np.testing.assert_allclose(out, right, rtol=0, atol=limit)
    for threads in (1, 2, 3, 4, 6):
        executor = task.executor(compiled, threads=threads)
        for _ in range(3):  # after some calls that follow one another, threads take a row together
            alone = np.array([executor.predict_plain(row) for row in task.x])
            assert alone.tobytes() == out.tobytes()
        for rows in (1, 2, 5, 13):
            for first in range(0, 60 - rows, rows):
                few = executor.predict_plain(task.x[first : first + rows])
                assert few.tobytes() == out[first : first + rows].tobytes()


@pytest.mark.parametrize("name", ["shared", "deep", "lines"])
def test_an_evaluation_sees_these_bits(compiled: ModuleType, dtype: str, name: str) -> None:
    task = task_of(name, dtype, rows=257, loss="mean_squared_error")
    out = np.empty((257, NETS[name][-1]), dtype)
    executor = task.executor(compiled, threads=2)
    assert executor.predict(task.x, out)
    total = executor.evaluate(task.x, task.y)[0]
    each = [executor.evaluate(task.x[i : i + 1], task.y[i : i + 1])[0] for i in range(257)]
    assert sum(each) == total
    error = (out.astype(np.float64) - task.y) ** 2
    assert total == pytest.approx(error.sum(), rel=1e-5)
