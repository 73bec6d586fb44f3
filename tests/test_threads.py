"""What an executor owes the process around it: threads, floating-point mode, memory, fork, signals."""

from __future__ import annotations

import _thread
import ctypes
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tasks import COMPILED, Array, Task, bits, deep, lowered, trained

from fastnet.backends import reference
from fastnet.backends.isa import PACKAGE
from fastnet.layers import Dense, Dropout
from fastnet.optimizers import OPTIMIZERS, SGD, Adam

needs_compiled = pytest.mark.skipif(not COMPILED, reason="there is no compiled backend here")


def large(dtype: str, **options: Any) -> Task:
    """Large enough for several threads, with awkward widths and operations of every kind."""
    hidden = [Dropout(0.1), Dense(129, "relu"), Dropout(0.3), Dense(97, "gelu"), Dense(65, "softmax")]
    options = {"rows": 100, "batch_size": 33, "optimizer": Adam(0.01), "labels": True, **options}
    return Task(lowered([*hidden, Dense(10, "softmax")], 65), "cross_entropy", dtype, **options)


# ---- the same bits, whatever the threads --------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.01}, {"clip_value": 0.001}], ids=str)
def test_threads_do_not_change_a_bit(
    compiled: ModuleType, dtype: str, name: str, options: dict[str, float]
) -> None:
    def result(threads: int) -> tuple[bytes, ...]:
        optimizer = OPTIMIZERS[name](0.01, **options)
        return trained(compiled, large(dtype, threads=threads, metric="argmax", optimizer=optimizer))

    one = result(1)
    assert result(2) == one
    assert result(2) == one
    assert result(3) == one


def test_other_calls_give_the_same_bits_on_all_threads(compiled: ModuleType, dtype: str) -> None:
    def result(threads: int) -> list[bytes]:
        task = large(dtype, threads=threads, rows=1000, batch_size=1000, weighted=True, metric="argmax")
        executor = task.executor(compiled)
        out = np.full((1000, 10), np.nan, dtype)
        executor.predict(task.x, out)
        loss = executor.loss_and_gradients(task.x, task.y, task.weight, True, 3)
        numbers = np.array([loss, *executor.evaluate(task.x, task.y, task.weight)])
        results = [out.tobytes(), task.gradients.tobytes(), numbers.tobytes()]
        results.append(np.array(executor.forward(task.x, True, 7)).tobytes())
        executor.backward(np.ones((1000, 10), dtype))
        results.append(task.gradients.tobytes())
        executor.update(0.1, 1)
        return [*results, *bits(task)]

    one = result(1)
    assert result(2) == one
    assert result(3) == one


def test_workers_that_come_too_late_are_done_without(compiled: ModuleType, dtype: str) -> None:
    """Predictions wait for nobody who sleeps, steps do; a worker takes the one for the other at no time."""

    def result(threads: int) -> list[bytes]:
        task = large(dtype, threads=threads, rows=400, batch_size=200)
        executor = task.executor(compiled)
        out = np.full((400, 10), np.nan, dtype)
        seen = []
        for i in range(24):
            if threads > 1 and i % 3 == 0:
                time.sleep(0.002)  # the workers fall asleep
            for _ in range(1 + i % 4):
                out[...] = np.nan
                executor.predict(task.x, out)
                seen.append(out.tobytes())
            assert task.train(executor)
        return [*seen, *bits(task)]

    one = result(1)
    assert result(2) == one
    assert result(4) == one


@pytest.mark.parametrize("widths", [(129, 65), (600, 257)])
def test_single_rows_in_a_burst_give_the_same_bits(
    compiled: ModuleType, dtype: str, widths: tuple[int, ...]
) -> None:
    """Of many calls that follow one another, threads take the later ones together."""
    graph = lowered([*(Dense(width, "relu") for width in widths), Dense(10, "softmax")], 500)
    task = Task(graph, "cross_entropy", dtype, 40, labels=True)
    rows = [np.array(row) for row in task.x]
    expected = [task.executor(compiled, threads=1).predict_plain(row).tobytes() for row in rows]
    for threads in (2, 3):
        executor = task.executor(compiled, threads=threads)
        for _ in range(5):
            assert [executor.predict_plain(row).tobytes() for row in rows] == expected
        rows[7][3] = np.nan
        for row in rows[:7]:
            executor.predict_plain(row)
        assert executor.predict_plain(rows[7]) is None
        rows[7][3] = task.x[7, 3]


# Inputs and widths of layers, and rows of a batch; "long" has sums that a small batch makes in pieces, and
# "deep" sums of more terms than a panel has lines. Of "narrow", threads take half of a large batch each.
SHARED = {
    "wide": (3, 257, 130, 5),
    "long": (300, 33, 270, 10, 4),
    "deep": (1030, 267, 1030, 4),
    "narrow": (9, 71, 33, 1, 3),
}
BATCHES = (1, 2, 5, 9, 47, 49, 100)


@pytest.mark.parametrize("threads_from", [0, 20_000, 200_000])
@pytest.mark.parametrize(
    ("net", "rows"),
    [
        *product(["wide", "long"], BATCHES),
        *[("deep", 5), ("deep", 49), ("wide", 1030), ("narrow", 95), ("narrow", 97), ("narrow", 130)],
    ],
)
def test_no_way_to_share_a_layer_changes_a_bit(
    compiled: ModuleType, dtype: str, net: str, rows: int, threads_from: int
) -> None:
    def result(threads: int) -> list[bytes]:
        inputs, *widths = SHARED[net]
        graph = lowered(
            [*(Dense(width, "relu") for width in widths[:-1]), Dense(widths[-1], "softmax")], inputs
        )
        optimizer = SGD(0.01, momentum=0.5 if rows % 2 else 0.0, clip_norm=0.1 if rows in (5, 97) else None)
        options: dict[str, Any] = {"optimizer": optimizer, "labels": True, "metric": "argmax"}
        task = Task(graph, "cross_entropy", dtype, 3 * rows + 1, batch_size=rows, threads=threads, **options)
        executor = task.executor(compiled, threads_from=threads_from)
        assert task.train(executor) and task.train(executor)
        results = [*bits(task)]
        results.append(np.array(executor.forward(task.x[:rows], True, 7)).tobytes())
        executor.backward(np.ones((rows, widths[-1]), dtype))
        return [*results, task.gradients.tobytes()]

    one = result(1)
    assert result(2) == one
    assert result(3) == one
    assert result(4) == one


def test_every_way_to_share_a_layer_is_among_them(compiled: ModuleType) -> None:
    found = {
        compiled.layer_split(worth / 2, rows, inputs, outputs, 2)
        for worth in (0, 20_000, 200_000)
        for rows in BATCHES
        for sizes in SHARED.values()
        for inputs, outputs in pairwise(sizes)
    }
    assert found == {"alone", "inputs", "rows", "columns", "halves"}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
@pytest.mark.parametrize("name", COMPILED)
def test_two_threads_are_two(name: str) -> None:
    """Otherwise the tests above compare one thread with itself."""
    counts = in_new_process(
        name,
        """
        import os
        count = lambda: len(os.listdir("/proc/self/task"))
        before = count()
        task = large("float32", threads=1)
        trained(kernels, task)
        alone = count()
        trained(kernels, large("float32", threads=2))
        print(alone - before, count() - before)
        """,
    )
    assert counts.split() == ["0", "1"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
@pytest.mark.parametrize("name", COMPILED)
def test_single_rows_take_threads_only_in_a_burst(name: str) -> None:
    counts = in_new_process(
        name,
        """
        import os, time
        count = lambda: len(os.listdir("/proc/self/task"))
        graph = lowered([Dense(600, "relu"), Dense(257, "relu"), Dense(10)], 500)
        task = Task(graph, "", "float32", 2)
        executor, row = task.executor(kernels, threads=2), task.x[0].copy()
        before = count()
        for _ in range(20):
            executor.predict_plain(row)
            time.sleep(0.001)
        apart = count()
        for _ in range(2000):
            executor.predict_plain(row)
        print(apart - before, count() - before)
        """,
    )
    assert counts.split() == ["0", "1"]


def in_new_process(name: str, code: str) -> str:
    """What code prints in a process of its own, where `kernels` is a backend's module for float32."""
    tests = str(Path(__file__).parent)
    lines = [
        "import sys; sys.path.insert(0, " + repr(tests) + ")",
        "from tasks import *; from test_threads import large; import importlib",
        f"kernels = importlib.import_module('{PACKAGE}._{name}_f32')",
        "\n".join(line[8:] if line.startswith("        ") else line for line in code.splitlines()),
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- several Python threads ---------------------------------------------------------------------------


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """Run functions in threads that start together."""
    barrier = threading.Barrier(len(functions))

    def started(function: Callable[[], Any]) -> Any:
        barrier.wait()
        return function()

    with ThreadPoolExecutor(len(functions)) as pool:
        return [one.result() for one in [pool.submit(started, function) for function in functions]]


def test_two_trainings_at_once(kernels: ModuleType, backend: str, dtype: str) -> None:
    """Each as if alone, though only one of them can have the workers."""
    alone = [trained(kernels, large(dtype, threads=2, seed=seed), epochs=8) for seed in (1, 2)]
    assert alone[0] != alone[1]
    together = at_once(
        *(lambda seed=seed: trained(kernels, large(dtype, threads=2, seed=seed), epochs=8) for seed in (1, 2))
    )
    assert together == alone


def test_many_predict_on_one_executor(kernels: ModuleType, dtype: str) -> None:
    task = large(dtype, threads=2, rows=300)
    executor = task.executor(kernels)

    def blocks(offset: int) -> tuple[bytes, bytes]:
        x = task.x[offset:]
        out = np.full((len(x), 10), np.nan, dtype)
        for _ in range(5):
            executor.predict(x, out)
        rows = [executor.predict_plain(one) for one in x[:50]]
        return out.tobytes(), np.array(rows).tobytes()

    offsets = [0, 1, 50, 100, 203, 299, 7, 31]
    alone = [blocks(offset) for offset in offsets]
    assert at_once(*(lambda offset=offset: blocks(offset) for offset in offsets)) == alone


def test_prediction_during_training(kernels: ModuleType, dtype: str) -> None:
    """Of another network, on the same pool."""
    task, other = large(dtype, threads=2), large(dtype, threads=2, rows=300, seed=9)
    alone = trained(kernels, large(dtype, threads=2), epochs=10)
    executor = other.executor(kernels)
    right = np.full((300, 10), np.nan, dtype)
    executor.predict(other.x, right)

    def predictions() -> None:
        for _ in range(20):
            out = np.full_like(right, np.nan)
            executor.predict(other.x, out)
            np.testing.assert_array_equal(out, right)

    assert at_once(lambda: trained(kernels, task, epochs=10), predictions)[0] == alone


# ---- the floating-point mode --------------------------------------------------------------------------


def every_call(kernels: ModuleType, task: Task) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Each method of an executor."""
    executor = task.executor(kernels, batch_size=task.rows)
    out = np.empty((task.rows, 10), task.dtype)
    zeros = np.zeros_like(out)

    yield "predict", lambda: executor.predict(task.x, out)
    yield "predict_plain", lambda: executor.predict_plain(task.x[0])
    yield "predict_plain, left", lambda: executor.predict_plain(np.full_like(task.x[0], np.nan))
    yield "loss_and_gradients", lambda: executor.loss_and_gradients(task.x, task.y)
    yield "evaluate", lambda: executor.evaluate(task.x, task.y)
    yield "forward", lambda: executor.forward(task.x)
    yield "backward", lambda: executor.backward(zeros)
    yield "update", lambda: executor.update(0.01, 1)
    yield "train", lambda: task.train(task.executor(kernels))
    task.parameters[:5] = np.nan
    yield "train, not finite", lambda: task.train(task.executor(kernels))


@needs_compiled
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("flushed", [False, True])
def test_calls_leave_the_float_mode_alone(
    kernels: ModuleType, dtype: str, threads: int, flushed: bool
) -> None:
    from fastnet.backends.compiled import _system

    def calls() -> None:
        normal = _system.float_mode()
        before = normal | (0x8040 if reference_machine() else 1 << 24) if flushed else normal
        for make in (large, deep):
            for name, call in every_call(kernels, make(dtype, threads=threads)):
                _system.set_float_mode(before)
                try:
                    call()
                    after = _system.float_mode()
                finally:
                    _system.set_float_mode(normal)
                assert after == before, name

    calls()
    at_once(calls, calls)  # also those of threads


def reference_machine() -> bool:
    import platform

    return platform.machine().lower() in ("x86_64", "amd64")


def subnormal(values: Array) -> Array:
    return (values != 0) & (np.abs(values) < np.finfo(values.dtype).tiny)


@pytest.mark.parametrize("threads", [1, 2])
def test_training_flushes_subnormal_numbers(compiled: ModuleType, dtype: str, threads: int) -> None:
    """The moments of Adam, where the gradients are zero: they would decay for thousands of slow steps."""

    def after(module: ModuleType) -> Array:
        task = large(dtype, threads=threads)
        task.x[...] = 0
        executor = task.executor(module)
        task.state[...] = np.finfo(dtype).tiny / 4
        assert subnormal(task.state).all()
        assert task.train(executor)
        return subnormal(task.state)

    assert not after(compiled).any()
    assert after(reference).any()  # negative control


# ---- memory -------------------------------------------------------------------------------------------


MALLINFO = ctypes.c_size_t * 10  # struct mallinfo2; malloc.h has the names
HBLKHD, UORDBLKS = 4, 7


def allocated() -> Callable[[], int]:
    """Return a function that tells how many bytes are in use: in the C heaps, and mapped for large blocks."""

    class Mallinfo(ctypes.Structure):
        _fields_ = (("numbers", MALLINFO),)

    look = ctypes.CDLL(None).mallinfo2
    look.restype = Mallinfo

    def bytes_in_use() -> int:
        numbers = look().numbers
        return int(numbers[HBLKHD] + numbers[UORDBLKS])

    return bytes_in_use


def counts_allocations() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")


needs_mallinfo = pytest.mark.skipif(not counts_allocations(), reason="needs mallinfo2 of glibc 2.33 or later")


def sampled(work: Callable[[], Any], samples: int = 60) -> set[int]:
    """Bytes in use, seen again and again while `work` runs in another thread, which has released the GIL."""
    seen = [0] * samples
    count, look = 0, allocated()
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.01)
    while count < samples:
        seen[count] = look()
        time.sleep(0.001)
        if not thread.is_alive():
            break
        count += 1
    thread.join()
    assert count >= 10, "the work was too short to be watched"
    return set(seen[:count])


@needs_mallinfo
@pytest.mark.parametrize("threads", [1, 2])
def test_warm_training_allocates_nothing(compiled: ModuleType, dtype: str, threads: int) -> None:
    task = large(dtype, threads=threads)
    executor = task.executor(compiled)
    order = np.tile(np.arange(100), 100_000)
    rates = np.full(len(order) // 33 + 1, 1e-4)

    def train(seconds: float = 0.3) -> None:
        assert executor.train(task.x, task.y, None, order, rates, np.zeros(6), seconds)

    train(0.01)
    for _ in range(3):  # the interpreter itself may need a block now and then
        if len(sampled(train)) == 1:
            break
    else:
        pytest.fail("memory in use changed while the executor trained")


@needs_mallinfo
def test_one_stray_allocation_is_seen() -> None:
    """Negative control: 100 bytes, held for some milliseconds."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]

    def stray() -> None:
        for _ in range(40):
            block = libc.malloc(2000)
            time.sleep(0.004)
            libc.free(block)
            time.sleep(0.002)

    assert all(len(sampled(stray)) > 1 for _ in range(3))


def test_a_call_needs_as_much_python_memory_for_many_steps_as_for_few(
    compiled: ModuleType, dtype: str
) -> None:
    task = deep(dtype, batch_size=4)
    executor = task.executor(compiled)
    many = np.tile(np.arange(40), 100)
    rates = np.full(1000, 1e-4)

    def peak(order: Array) -> int:
        progress = np.zeros(6)
        tracemalloc.start()
        try:
            assert executor.train(task.x, task.y, None, order, rates, progress, 1e9)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(many)
    assert peak(many) <= peak(many[:8]) + 256


# ---- idle, fork, signals ------------------------------------------------------------------------------


def cpu_while_asleep() -> float:
    time.sleep(0.1)  # workers spin for some microseconds before they sleep
    before = time.process_time()
    time.sleep(0.3)
    return time.process_time() - before


def test_idle_workers_use_no_cpu(compiled: ModuleType, dtype: str) -> None:
    trained(compiled, large(dtype, threads=3))
    assert cpu_while_asleep() < 0.05


def test_busy_threads_are_seen() -> None:
    """Negative control."""
    ended = threading.Event()
    thread = threading.Thread(target=lambda: all(not ended.is_set() for _ in iter(int, 1)))
    thread.start()
    try:
        assert cpu_while_asleep() > 0.05
    finally:
        ended.set()
        thread.join()


FORK = """
        import os
        def result():
            return trained(kernels, large("float32", threads=2))
        before = result()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = 0 if result() == before and result() == before else 2
            finally:
                os._exit(status)
        assert result() == before
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", COMPILED)
def test_parent_and_child_train_after_a_fork(name: str) -> None:
    assert in_new_process(name, FORK).strip() == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("name", COMPILED)
def test_fork_while_another_thread_trains(name: str) -> None:
    """The child has no workers, whatever they were doing in the parent."""
    code = """
        import threading
        ended = threading.Event()
        def work():
            while not ended.is_set():
                trained(kernels, large("float32", threads=2, seed=8))
        thread = threading.Thread(target=work)
        thread.start()
        """
    output = in_new_process(name, code + FORK.rstrip() + "\n        ended.set(); thread.join()\n")
    assert output.strip() == "0"


def test_interrupt_comes_out_at_the_end_of_a_batch(kernels: ModuleType, dtype: str) -> None:
    """Progress is true: as many steps again, from the start, give the same bits."""
    task, again = (deep(dtype, rows=400_000, batch_size=8, optimizer=SGD(0.1)) for _ in range(2))
    executor = task.executor(kernels)
    rates = np.full(50_000, 1e-3)
    timer = threading.Timer(0.02, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        while task.progress[reference.ROW] < len(task.order):
            assert executor.train(task.x, task.y, None, task.order, rates, task.progress, 0.1)
    timer.join()
    rows = int(task.progress[reference.ROW])
    assert 0 < rows < 400_000
    assert rows == 8 * task.progress[reference.STEP]
    executor = again.executor(kernels)
    assert executor.train(again.x, again.y, None, again.order[:rows], rates, again.progress, 1e9)
    assert bits(again) == bits(task)
