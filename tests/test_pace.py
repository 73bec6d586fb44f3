"""Training by several threads, as long as they are faster than one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tasks import COMPILED, Task, bits, lowered

from fastnet.backends.isa import PACKAGE
from fastnet.layers import Dense
from fastnet.optimizers import SGD, Adam

Stages = list[tuple[str, int]]
Pace = Callable[[list[float], list[float]], Stages]


@pytest.fixture(scope="module")
def pace() -> Pace:
    """The stages of steps that take so long alone, and together."""
    if not COMPILED:
        pytest.skip("there is no compiled backend here")
    return importlib.import_module(f"{PACKAGE}._system").training_pace


def share(stages: Stages, *names: str) -> float:
    """The part of the steps that were trained in these stages."""
    return sum(steps for name, steps in stages if name in names) / sum(steps for _, steps in stages)


def test_faster_threads_go_on(pace: Pace) -> None:
    stages = pace([1.0] * 20_000, [0.7] * 20_000)
    assert {name for name, _ in stages} == {"together", "comparing"}
    assert share(stages, "comparing") < 0.015


def test_slower_threads_stop(pace: Pace) -> None:
    stages = pace([1.0] * 20_000, [1.5] * 20_000)
    assert stages[:5] == [
        ("together", 30),  # nothing to compare with yet
        ("comparing", 6),
        ("together", 30),
        ("comparing", 6),
        ("together", 30),
    ]
    assert stages[5] == ("alone again", 600) and stages[7] == ("alone again", 1200)
    assert share(stages, "alone again") > 0.99
    much = pace([1.0] * 500_000, [1.5] * 500_000)
    assert max(steps for _, steps in much) == 16 * 600  # so that a better time is seen


def test_equal_threads_go_on(pace: Pace) -> None:
    assert share(pace([1.0] * 5_000, [1.04] * 5_000), "alone again") == 0


def test_one_slow_round_changes_nothing(pace: Pace) -> None:
    """As when the machine does something else for a while."""
    together = [0.7] * 20_000
    together[1000], together[5000] = 100.0, 100.0
    stages = pace([1.0] * 20_000, together)
    assert share(stages, "alone again") == 0
    assert share(stages, "comparing") < 0.015


def test_a_change_is_seen(pace: Pace) -> None:
    count = 60_000
    together = [0.7 if i < 10_000 or i >= 30_000 else 2.0 for i in range(count)]
    stages = pace([1.0] * count, together)
    position, seconds = 0, 0.0
    for name, steps in stages:
        end = position + steps
        seconds += steps if name in ("comparing", "alone again") else sum(together[position:end])
        position = end
    best = 0.7 * 40_000 + 20_000
    assert seconds < 1.1 * best
    assert sum(together) > 1.3 * best  # what it would take without


def test_the_first_step_after_a_sleep_does_not_count(pace: Pace) -> None:
    """Probes after a stage alone wait for threads that sleep: that is no reason to let them sleep on."""
    count = 3_000
    together = [2.0 if i < 200 else 0.7 for i in range(count)]
    stages = pace([1.0] * count, together)
    position = 0
    for name, steps in stages:
        if name == "probing":
            together[position] = 500.0
        position += steps
    assert pace([1.0] * count, together) == stages
    assert stages[-1][0] != "alone again"


@pytest.mark.parametrize(("batch", "optimizer"), [(1, SGD(0.01)), (16, Adam(0.001))], ids=str)
def test_no_stage_changes_a_bit(compiled: ModuleType, dtype: str, batch: int, optimizer: Any) -> None:
    """With so narrow layers several threads are slower: all stages come, and calls end in each."""
    graph = lowered([*[Dense(3, "tanh") for _ in range(12)], Dense(3, "softmax")], 260)

    def result(threads: int, calls: int) -> list[bytes]:
        rows = batch * 2000 // calls + (batch > 1)
        options: dict[str, Any] = {"optimizer": optimizer, "labels": True, "metric": "argmax"}
        task = Task(graph, "cross_entropy", dtype, rows, batch_size=batch, threads=threads, **options)
        executor = task.executor(compiled, threads_from=0)
        for _ in range(calls):
            assert task.train(executor)
        return [*bits(task), task.gradients.tobytes()]

    for calls in (1, 50):
        assert result(2, calls) == result(1, calls)
