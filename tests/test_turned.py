"""Predictions of many rows; those of narrow networks go with lanes along them, which nobody can tell."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from tasks import Task, lowered

from fastnet.activations import ACTIVATIONS
from fastnet.layers import Dense, Dropout, Flatten, Layer

ROWS = (16, 31, 32, 33, 64, 100, 700, 3000)


def narrow(name: str) -> list[Layer]:
    """Networks with every number of outputs of a tile, and turned in every way."""
    return {
        "few": [Dense(16, "relu"), Dense(16, "relu", bias=False), Dense(2)],
        "odd": [Dense(37, "relu"), Dense(13, "gelu"), Dense(11, "softmax")],
        "mixed": [Flatten(), Dropout(0.5), Dense(8, "sigmoid"), Dropout(0.1), Dense(4, "elu"), Dense(8)],
        "widest": [Dense(64, "tanh"), Dense(31)],
        "one": [Dense(5, "relu"), Dense(1)],
        "wide": [Dense(65, "relu"), Dense(3)],
    }[name]


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 8, 17])
@pytest.mark.parametrize("name", ["few", "odd", "mixed", "widest", "one", "wide"])
def test_many_rows_have_the_bits_of_few(
    kernels: ModuleType, backend: str, dtype: str, name: str, inputs: int
) -> None:
    """Fewer rows than make two vectors are never turned."""
    if backend == "numpy":
        pytest.skip("NumPy's BLAS adds up in an order of its own")
    task = Task(lowered(narrow(name), inputs), "", dtype, max(ROWS))
    executor = task.executor(kernels, threads=2)
    outputs = task.graph.size(task.graph.output)
    expected = np.concatenate([executor.predict_plain(task.x[i : i + 5]) for i in range(0, max(ROWS), 5)])
    for rows in ROWS:
        out = np.full((rows, outputs), np.nan, dtype)
        assert executor.predict(task.x[:rows], out)
        assert out.tobytes() == expected[:rows].tobytes()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("width", [23, 50, 63])
def test_any_number_of_rows_is_predicted(kernels: ModuleType, dtype: str, width: int, threads: int) -> None:
    """Threads take them in passes, of which each fills a workspace as large as the network allows."""
    graph = lowered([Dense(width, "tanh"), Dense(1)], 3)
    task = Task(graph, "huber", dtype, rows=800, threads=threads)
    executor, whole = task.executor(kernels, threads_from=0), np.empty((800, 1), task.dtype)
    executor.predict(task.x, whole)
    for rows in (*range(90, 800, 37), *range(4 * (6144 // width) - 6, 4 * (6144 // width) + 6)):
        if rows > 800:
            continue
        some = np.full((rows, 1), np.nan, task.dtype)
        executor.predict(task.x[:rows], some)
        np.testing.assert_allclose(some, whole[:rows], rtol=1e-5)
        loss, norm, *_ = executor.evaluate(task.x[:rows], task.y[:rows])
        assert np.isfinite(loss) and norm == rows


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_every_activation(kernels: ModuleType, backend: str, dtype: str, name: str) -> None:
    if backend == "numpy":
        pytest.skip("NumPy's BLAS adds up in an order of its own")
    for layers in ([Dense(7, name), Dense(3)], [Dense(7), Dense(3, name)]):
        task = Task(lowered(layers, 6), "", dtype, 70)
        executor = task.executor(kernels)
        out = np.full((70, 3), np.nan, dtype)
        assert executor.predict(task.x, out)
        assert out.tobytes() == b"".join(executor.predict_plain(row).tobytes() for row in task.x)


def test_what_is_not_finite_is_seen_and_stays_in_its_row(kernels: ModuleType, dtype: str) -> None:
    task = Task(lowered(narrow("few"), 4), "", dtype, 96)
    executor = task.executor(kernels)
    clean, out = np.zeros((96, 2), dtype), np.zeros((96, 2), dtype)
    assert executor.predict(task.x, clean)
    task.x[40, 1] = np.nan
    assert not executor.predict(task.x, out)
    keep = np.arange(96) != 40
    close = {"rtol": 100 * float(np.finfo(dtype).eps), "atol": 1e-6}
    np.testing.assert_allclose(out[keep], clean[keep], **close)
    assert executor.predict(np.ascontiguousarray(task.x[keep]), out[:95])  # nothing is left of it
    np.testing.assert_allclose(out[:95], clean[keep], **close)
