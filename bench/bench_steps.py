"""Whole steps, predictions, and what `fit` adds; each contender is verified before it is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnet as fn
from bench.workloads import (
    WORKLOADS,
    ByHand,
    Workload,
    blas_threads,
    by_hand_epoch,
    fastnet_epoch,
    steps_for,
    using,
    verify,
    verify_predictions,
)
from fastnet import backends

Benchmark = Any

HAND = "by hand"
CONTENDERS = [*backends.available(), HAND]
STEPS = [(workload, batch) for workload in WORKLOADS for batch in workload.batches]


def name_of(value: object) -> str:
    return value.name if isinstance(value, Workload) else str(value)


def usable_threads() -> list[int]:
    return sorted({1, min(2, backends.get_num_threads())})


@pytest.mark.parametrize("threads", usable_threads())
@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize(("workload", "batch"), STEPS, ids=name_of)
def test_step(benchmark: Benchmark, workload: Workload, batch: int, contender: str, threads: int) -> None:
    """Time of `steps` steps, in one call; the table of `table.py` has the time of one."""
    verify(workload, batch)
    benchmark.group = f"step {workload.name}, batch {batch}"
    steps = benchmark.extra_info["steps"] = steps_for(batch)
    with using("numpy" if contender == HAND else contender, threads):
        benchmark((by_hand_epoch if contender == HAND else fastnet_epoch)(workload, batch, steps))


@pytest.mark.parametrize("rows", [1, 10_000])
@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_predict(benchmark: Benchmark, workload: Workload, contender: str, rows: int) -> None:
    verify_predictions(workload)
    benchmark.group = f"predict {workload.name}, rows {rows}"
    x = workload.data(rows)[0]
    x = x[0] if rows == 1 else x
    if contender == HAND:
        with blas_threads(backends.get_num_threads()):
            benchmark(ByHand(workload, 1).predict, x)
    else:
        with using(contender, backends.get_num_threads()):
            benchmark(workload.network().predict, x)


@pytest.mark.parametrize("what", ["fit", "epochs alone"])
def test_fit_overhead(benchmark: Benchmark, what: str) -> None:
    """Five epochs of twenty steps, by `fit` and by the executor alone: the difference is what `fit` adds."""
    workload, batch, steps = WORKLOADS[1], 32, 20
    benchmark.group = f"fit {workload.name}, batch {batch}"
    x, y = workload.data(batch * steps)
    if what == "fit":
        trainer = fn.Trainer(workload.network(), loss=workload.loss, optimizer=fn.Adam(1e-3), seed=0)
        benchmark(trainer.fit, x, y, epochs=5, batch_size=batch, verbose=0)
        assert np.isfinite(trainer.history["loss"]).all()
    else:
        epoch = fastnet_epoch(workload, batch, steps)
        benchmark(lambda: [epoch() for _ in range(5)])
