"""A contender's process: one peer on one number of threads.

It reads commands from its standard input and answers each with one line of JSON: ``{"do": "prepare", "task":
title}``, then any number of ``{"do": "measure"}``. It ends with its input.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and sys.argv[2] == "1" and hasattr(os, "sched_setaffinity"):
    # Before anything is imported: some libraries count the CPUs once, and some know no other way.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import importlib
import json
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.peers.tasks import CHECKED_STEPS, TASKS, Task
from bench.peers.timing import seconds_of

EPOCH = 0.03  # seconds of one epoch, about: of so many rows as that takes, or of the whole data set,
LEAST_STEPS = 4  # and steps at least: what is done once in an epoch is no part of a step
MEASUREMENT = 0.1  # seconds of one measurement, about, after one epoch that does not count
CHECKED_EPOCHS = 3
CHECKED_ROWS = 50

Answer = dict[str, Any]
Measure = Callable[[], float]
"""Measures once; returns the seconds of one step or one prediction."""


def prepare(peer: Any, task: Task) -> tuple[Measure, Answer]:
    """Check and calibrate."""
    return (prepare_training if task.kind == "train" else prepare_prediction)(peer, task)


def prepare_training(peer: Any, task: Task) -> tuple[Measure, Answer]:
    x, y = task.data(task.rows)
    few = CHECKED_STEPS * task.batch
    checked = peer.training(task, x[:few], y[:few])(CHECKED_EPOCHS)
    estimate = min(seconds for seconds, _ in checked) / CHECKED_STEPS
    steps = min(max(LEAST_STEPS, round(EPOCH / estimate)), task.rows // task.batch)
    x, y = x[: steps * task.batch], y[: steps * task.batch]
    start = time.perf_counter()
    epochs = peer.training(task, x, y)
    epochs(1)
    setup = time.perf_counter() - start
    once = epochs(2)[1][0]
    repeats = max(1, round(MEASUREMENT / once))

    def measure() -> float:
        return sum(seconds for seconds, _ in epochs(1 + repeats)[1:]) / (repeats * steps)

    losses = [loss for _, loss in checked]
    return measure, {"numbers": losses, "setup": setup - once, "steps": steps, "repeats": repeats}


def prepare_prediction(peer: Any, task: Task) -> tuple[Measure, Answer]:
    x, _ = task.data(max(task.rows, CHECKED_ROWS))
    start = time.perf_counter()
    predict = peer.prediction(task)
    given = x[: task.rows] if task.rows > 1 else x[0]
    predict(given)
    setup = time.perf_counter() - start
    once = seconds_of(lambda: predict(given), max(1, min(20, int(EPOCH / max(setup, 1e-6)))))
    once = seconds_of(lambda: predict(given), max(1, round(EPOCH / once)))  # the first calls may be slow
    repeats = max(1, round(MEASUREMENT / once))

    def measure() -> float:
        seconds_of(lambda: predict(given), max(1, repeats // 4))
        return timed_predictions(predict, given, repeats)

    outputs = predict(x[:CHECKED_ROWS]) if task.rows > 1 else np.stack([predict(x[i]) for i in range(5)])
    numbers = np.asarray(outputs, float).ravel().tolist()
    return measure, {"numbers": numbers, "setup": setup - once, "steps": 1, "repeats": repeats}


def timed_predictions(predict: Callable[[Any], Any], x: Any, repeats: int) -> float:
    """Seconds of one prediction; nothing but the call is in the loop."""
    start = time.perf_counter()
    for _ in range(repeats):
        predict(x)
    return (time.perf_counter() - start) / repeats


def serve(name: str, threads: int) -> None:
    # What libraries print goes to stderr; the answers have the real standard output for themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")

    start = time.perf_counter()
    try:
        peer = importlib.import_module(f"bench.peers.{name}_")
        peer.start(threads)
    except ImportError as error:
        answer(missing=str(error))
        return
    answer(version=peer.VERSION, imported=time.perf_counter() - start)
    measure: Measure | None = None
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "prepare":
                measure, task = None, TASKS[command["task"]]  # the one before, and its data, are let go
                if reason := peer.cannot(task):
                    answer(cannot=reason)
                    continue
                measure, content = prepare(peer, task)
                answer(**content)
            else:
                assert measure is not None, "measure before prepare"
                answer(seconds=measure())
        except Exception as error:
            answer(error=f"{error!r} {traceback.format_exc(limit=-2)}")


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
