"""What is measured in a process of its own: memory, CPU time while idle, Python threads, single kernels.

``python -m bench.probes NAME ARGUMENTS`` calls that function of `PROBES`, with the arguments of an object in
JSON, and prints what it returns, as JSON. The process is its own because what came before would be measured
too: memory that was used and let go, threads that other work started.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastnet as fn
from bench.distance import Near, meter
from bench.peers.disturbance import undisturbed
from bench.peers.tasks import TASKS
from bench.peers.timing import seconds_of
from bench.workloads import Array
from fastnet import backends

ROOT = Path(__file__).parents[1]
SELF = Path("/proc/self")  # Linux's; elsewhere memory and idle threads are not measured
SIZES = (784, 128, 64, 10)
Answer = dict[str, Any]
Callbacks = Iterable[fn.callbacks.Callback]


# ---- memory


def in_status(name: str) -> int:
    """A number of /proc/self/status, such as VmRSS, in bytes."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", (SELF / "status").read_text(), re.MULTILINE)
    assert found is not None, name
    return 1024 * int(found[1])


def peak_above(work: Callable[[], object]) -> int:
    """Bytes of resident memory that `work` used at most, beyond those that were resident before it."""
    before = in_status("VmRSS")
    (SELF / "clear_refs").write_text("5")  # the peak is that from now on
    work()
    return in_status("VmHWM") - before


def like_mnist(rows: int, pixels: str, labels: str) -> tuple[Array, Array]:
    """Rows of 784 pixels, 0 .. 255 where they are integers and else 0 .. 1, and their labels."""
    rng = np.random.default_rng(rows)
    x = rng.integers(0, 256, (rows, SIZES[0]), np.uint8)
    if np.dtype(pixels).kind == "f":
        x = x.astype(pixels)
        x /= 255
    return x, rng.integers(0, SIZES[-1], rows).astype(labels)


def training(
    rows: int, held_out: int, pixels: str = "float32", labels: str = "int64", **options: Any
) -> tuple[Callable[..., object], list[Array]]:
    """A `fit` of 784-128-64-10 that waits to be called, and the arrays that it is given."""
    x, y = like_mnist(rows, pixels, labels)
    held = like_mnist(held_out, pixels, labels) if held_out else None
    trainer = fn.Trainer(fn.mlp(SIZES, activation="relu", output="softmax", seed=1), optimizer=fn.SGD(0.01))
    return partial(trainer.fit, x, y, validation=held, verbose=0, **options), [x, y, *(held or ())]


def memory(
    pixels: str = "float32",
    labels: str = "int64",
    rows: int = 60_000,
    held_out: int = 10_000,
    batch: int = 64,
    callbacks: Callbacks = (),
) -> Answer:
    """Bytes of the arrays that `fit` is given, of its copies where it converts them, and its peak above."""
    fit, given = training(rows, held_out, pixels, labels, epochs=2, batch_size=batch, callbacks=callbacks)
    wanted = {1: np.dtype("int64"), 2: np.dtype("float32")}  # labels and rows
    converted = sum(one.size * wanted[one.ndim].itemsize for one in given if one.dtype != wanted[one.ndim])
    return {"given": sum(one.nbytes for one in given), "converted": converted, "peak": peak_above(fit)}


class Epochs(fn.callbacks.Callback):
    """Bytes that Python and NumPy use at the end of each epoch, and at its peak, above those at its start."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.peaks: list[int] = []

    def on_train_begin(self, trainer: fn.Trainer) -> None:
        self.start()

    def start(self) -> None:
        tracemalloc.reset_peak()
        self.before = tracemalloc.get_traced_memory()[0]

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        now, peak = tracemalloc.get_traced_memory()
        self.kept.append(now - self.before)
        self.peaks.append(peak - self.before)
        self.start()


def epochs(
    rows: int = 6_000, held_out: int = 0, batch: int = 64, count: int = 8, callbacks: Callbacks = ()
) -> Answer:
    """Bytes that warm epochs, all after the second, allocate at once and keep; callbacks are part of them."""
    watch = Epochs()
    fit, _ = training(rows, held_out, epochs=count, batch_size=batch, callbacks=[*callbacks, watch])
    tracemalloc.start()
    try:
        fit()
    finally:
        tracemalloc.stop()
    return {"peak": max(watch.peaks[2:]), "kept": max(watch.kept[2:])}


# ---- CPU time after a training


def other_threads() -> dict[int, str]:
    """State of each thread of this process but the one that asks: S where it sleeps, R where it runs."""
    found = {}
    for folder in (SELF / "task").iterdir():
        number = int(folder.name)
        if number != threading.get_native_id():
            found[number] = (folder / "stat").read_text().rpartition(")")[2].split()[0]
    return found


def idle(seconds: float = 2.0, threads: int = 2, after: Callable[[], object] = lambda: None) -> Answer:
    """CPU seconds that this process uses while it sleeps for some, after a training on so many threads.

    Then it looks twenty times at its threads: ``workers`` is the number of those that the training started,
    ``states`` is what all threads but this one were seen to do. `after` is called between training and sleep.
    """
    fn.set_num_threads(threads)
    before = set(other_threads())
    fit, _ = training(6_000, 1_000, epochs=2, batch_size=256)
    fit()
    workers = set(other_threads()) - before
    after()
    time.sleep(0.1)  # workers look for a hundred microseconds before they sleep
    start = time.process_time()
    time.sleep(seconds)
    used = time.process_time() - start
    states = set()
    for _ in range(20):
        time.sleep(0.01)
        states.update(other_threads().values())
    return {"cpu": used, "seconds": seconds, "workers": len(workers), "states": "".join(sorted(states))}


# ---- two Python threads


def throughput(trainers: list[fn.Trainer], data: list[tuple[Array, Array]], batch: int, count: int) -> float:
    """Steps a second of all of them together, each in a Python thread of its own for so many epochs."""
    barrier = threading.Barrier(len(trainers))

    def train(trainer: fn.Trainer, rows: tuple[Array, Array]) -> tuple[float, float]:
        fit = partial(trainer.fit, *rows, batch_size=batch, verbose=0)
        fit(epochs=1)
        barrier.wait()
        start = time.perf_counter()
        fit(epochs=count)
        return start, time.perf_counter()

    with ThreadPoolExecutor(len(trainers)) as pool:
        starts, ends = zip(*pool.map(train, trainers, data), strict=True)
    steps = len(trainers) * count * -(-len(data[0][0]) // batch)
    return float(steps / (max(ends) - min(starts)))


def python_threads(title: str, turns: int = 5, seconds: float = 0.5, patience: float = 0.0) -> Answer:
    """Steps a second of one net and of two, each on one thread and on two: lists, by "nets x threads".

    Disturbed measurements are repeated for up to `patience` seconds.
    """
    task = TASKS[title]
    trainers = [
        fn.Trainer(task.network(), loss=task.loss, optimizer=task.fastnet_optimizer(), seed=seed)
        for seed in (0, 1)
    ]
    data = [task.data(task.rows) for _ in trainers]
    fn.set_num_threads(1)
    rate = throughput(trainers[:1], data[:1], task.batch, 1)
    count = max(1, round(seconds * rate / (task.rows // task.batch)))
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        near = Near(meter(stack), patience)
        for _ in range(turns):
            for nets, threads in ((1, 1), (2, 1), (1, 2), (2, 2)):
                fn.set_num_threads(threads)
                measure = partial(throughput, trainers[:nets], data[:nets], task.batch, count)
                found.setdefault(f"{nets}x{threads}", []).append(near(measure, time.process_time))
    return {"rates": found, "apart": near.found()}


# ---- kernels

KERNEL_SECONDS = 0.002  # of one measurement of a kernel, about


def kernel_calls(case: Any, names: Iterable[str]) -> dict[str, tuple[Callable[[], object], int]]:
    """A call of this kernel for each backend, checked against the reference, and how often to repeat it."""
    from parity import check

    calls = {}
    for name in names:
        backends.use(name)
        module = backends.kernels("float32")
        check(module, case)
        writes = [one.copy() for one in case.writes]
        call = partial(getattr(module, case.kernel), *case.reads, *writes, *case.numbers)
        call()
        calls[name] = (call, max(1, int(KERNEL_SECONDS / seconds_of(call, 3))))
    return calls


def kernels(names: Iterable[str] = ("baseline", "numpy"), turns: int = 5) -> Answer:
    """Seconds of each kernel of bench_kernels.py, by title and backend."""
    sys.path.insert(0, str(ROOT / "tests"))  # where the checker is
    from bench.bench_kernels import ALL

    found: dict[str, dict[str, list[float]]] = {}
    with np.errstate(all="ignore"):
        for size, cases in ALL.items():
            calls = {
                f"{title}, {' x '.join(map(str, size))}": kernel_calls(case, names)
                for title, case in cases.items()
            }

            def turn(calls: Any = calls) -> list[tuple[str, str, float]]:
                return [
                    (title, name, seconds_of(*one))
                    for title, both in calls.items()
                    for name, one in both.items()
                ]

            for _ in range(turns):
                for title, name, seconds in undisturbed(turn, time.process_time):
                    found.setdefault(title, {}).setdefault(name, []).append(seconds)
    return found


PROBES: dict[str, Callable[..., Answer]] = {
    probe.__name__: probe for probe in (memory, epochs, idle, python_threads, kernels)
}


if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]](**json.loads(sys.argv[2]))))
