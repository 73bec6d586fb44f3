"""What a training needs besides time: memory while it goes on, and no CPU time when it is over."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_threads import allocated, needs_mallinfo

import fastnet as fn
from fastnet import backends

ROOT = Path(__file__).parent.parent
if not (ROOT / "bench").is_dir():
    pytest.skip("the tests run without the benchmarks, which measure the memory", allow_module_level=True)

needs_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
needs_compiled = pytest.mark.skipif(
    os.environ.get("FASTNET_BACKEND", backends.available()[0]) == "numpy", reason="of compiled kernels alone"
)

MB = 1_000_000
MOST = 40 * MB  # above the arrays that `fit` is given
WARM_EPOCH = 8_000  # bytes: Python's objects, such as the epoch's row of the history
FOR_EACH_HELD_OUT = 16  # bytes: a loss and an answer of each row of a block
KEPT = 1_000  # bytes of an epoch: its row
HEAP = 5_000  # bytes of fifty epochs
AWAKE = 0.02  # CPU seconds in a second of sleep

HOARD = """
import numpy as np
class Hoard(fn.callbacks.Callback):
    def on_epoch_end(self, trainer, epoch, logs):
        np.ones({bytes}, np.uint8).sum()
"""
KEEPER = """
kept = []
class Keeper(fn.callbacks.Callback):
    def on_epoch_end(self, trainer, epoch, logs):
        kept.append(bytes(2000))
"""
SPIN = """
import hashlib, threading
def spin():  # without the GIL, as a worker would
    while True:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000)
def start():
    threading.Thread(target=spin, daemon=True).start()
"""


def ask(expression: str, before: str = "", **environment: str) -> dict[str, Any]:
    """What a function of `bench.probes` returns, in a process of its own."""
    code = (
        f"import json, fastnet as fn\nfrom bench.probes import *\n{before}\nprint(json.dumps({expression}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# ---- the peak


@needs_linux
def test_mnist_needs_little_more_than_its_arrays(backend: str) -> None:
    found = ask("memory(batch=128)", FASTNET_BACKEND=backend)
    assert found["given"] > 200 * MB and found["converted"] == 0
    assert 0 < found["peak"] <= MOST


@needs_linux
def test_64_mb_more_are_seen() -> None:
    """Negative control: a callback holds them for a moment, at the end of an epoch."""
    found = ask("memory(rows=6_000, held_out=1_000, callbacks=[Hoard()])", HOARD.format(bytes=64 * MB))
    assert found["peak"] > MOST


@needs_linux
@pytest.mark.parametrize(
    ("pixels", "labels"), [("float32", "uint8"), ("uint8", "uint8"), ("float64", "int32")]
)
def test_rows_of_another_type_are_copied_once(pixels: str, labels: str) -> None:
    found = ask(f"memory({pixels!r}, {labels!r})")
    assert found["peak"] - found["converted"] <= MOST


# ---- a warm epoch


@needs_compiled
def test_a_warm_epoch_allocates_no_array() -> None:
    """However many rows there are; a batch alone would be 200 kB, the parameters 400."""
    few, many = ask("epochs(rows=3_000)"), ask("epochs(rows=12_000)")
    assert many["peak"] <= WARM_EPOCH and many["kept"] <= KEPT
    assert many["peak"] <= few["peak"] + 256


@needs_compiled
def test_rows_held_out_need_some_bytes_each() -> None:
    found = ask("epochs(held_out=2_000)")
    assert found["peak"] <= WARM_EPOCH + 2_000 * FOR_EACH_HELD_OUT and found["kept"] <= KEPT


def test_an_array_in_a_warm_epoch_is_seen() -> None:
    """Negative control: 64 kB, for a moment."""
    assert ask("epochs(callbacks=[Hoard()])", HOARD.format(bytes=1 << 16))["peak"] > WARM_EPOCH


def test_what_an_epoch_keeps_is_seen() -> None:
    """Negative control: 2 kB."""
    assert ask("epochs(callbacks=[Keeper()])", KEEPER)["kept"] > KEPT


class Heap(fn.callbacks.Callback):
    """Bytes in use, in the C heaps and mapped for large blocks, at the end of each epoch."""

    def __init__(self, at_epoch_end: Callable[[], object]) -> None:
        self.seen: list[int] = []
        self.look, self.at_epoch_end = allocated(), at_epoch_end

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: object) -> None:
        self.at_epoch_end()
        self.seen.append(self.look())


def heap_growth(threads: int, at_epoch_end: Callable[[], object] = lambda: None) -> int:
    """Bytes that the C heap grew by in fifty warm epochs."""
    rng = np.random.default_rng(0)
    x, y = rng.random((2000, 30), np.float32), rng.integers(0, 10, 2000)
    fn.set_num_threads(threads)
    heap = Heap(at_epoch_end)
    net = fn.mlp([30, 200, 10], activation="relu", output="softmax", seed=1)
    net.fit(x, y, epochs=60, batch_size=100, validation=(x, y), callbacks=[heap], verbose=0)
    return heap.seen[-1] - heap.seen[9]


@needs_mallinfo
@pytest.mark.parametrize("threads", [1, 2])
def test_the_heap_does_not_grow_from_epoch_to_epoch(backend: str, threads: int) -> None:
    """That nothing is allocated *within* an epoch is for test_threads.py to say."""
    assert heap_growth(threads) < HEAP


@needs_mallinfo
def test_a_block_that_is_not_freed_is_seen() -> None:
    """Negative control: 2 kB in each epoch, which Python does not know of."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    assert heap_growth(1, lambda: libc.malloc(2000)) > HEAP


# ---- after the training


@needs_linux
@needs_compiled
def test_the_threads_of_a_training_sleep_when_it_is_over() -> None:
    found = ask("idle(seconds=0.5)")
    assert found["workers"] == min(2, backends.usable_cpus()) - 1
    assert set(found["states"]) <= {"S"}
    assert found["cpu"] / found["seconds"] < AWAKE


@needs_linux
def test_a_thread_that_spins_is_seen() -> None:
    """Negative control."""
    found = ask("idle(seconds=0.5, after=start)", SPIN)
    assert "R" in found["states"] and found["cpu"] / found["seconds"] > AWAKE
