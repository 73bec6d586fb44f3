"""Missing files, weights that are not finite, and other trouble that is named for what it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import activations, initializers, losses, schedules
from fastnet.errors import FastnetFormatError, MissingFileError

TABLES = (activations.ACTIVATIONS, initializers.INITIALIZERS, losses.LOSSES, schedules.SCHEDULES)


@pytest.mark.parametrize(
    "read",
    [
        fn.load,
        fn.Trainer.load,
        fn.datasets.read_idx,
        fn.datasets.mnist,
        lambda path: fn.datasets.csv(path, target="y"),
    ],
)
def test_a_missing_file_is_both_kinds_of_error(tmp_path: Path, read) -> None:
    path = tmp_path / "nothing"
    with pytest.raises(MissingFileError, match="nothing") as caught:
        read(path)
    assert isinstance(caught.value, FastnetFormatError)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, FileNotFoundError)


def test_weights_that_are_not_finite_are_not_blamed_on_the_learning_rate(backend: str) -> None:
    net = fn.mlp([2, 3, 1], seed=0)
    net.layers[0].weights[0, 0] = np.nan
    with pytest.raises(ValueError, match="parameters hold NaN or infinity"):
        net.fit(np.ones((4, 2)), np.ones(4), loss="mean_squared_error", verbose=0)


def test_rows_predicted_at_the_same_time_are_not_mixed_up(backend: str) -> None:
    """Enough outputs for NumPy to let other threads in while it copies them."""
    net = fn.mlp([4, 2000], seed=0)
    rows = np.eye(4, dtype=np.float32)
    wanted = [net.predict(row) for row in rows]
    wrong = []

    def predict(index: int) -> None:
        for _ in range(3000):
            if not np.array_equal(net.predict(rows[index]), wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=predict, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_can_use_a_network_that_another_thread_was_using(backend: str) -> None:
    """The other thread holds the executor's lock when the child is made, and is not in the child."""
    if backend == "numpy":
        pytest.skip("NumPy's BLAS may hang where a process forks while another of its threads multiplies")
    net = fn.mlp([64, 256, 256, 1], seed=0)
    x = np.ones((3000, 64), np.float32)
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            net.predict(x)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if np.isfinite(net.predict(x[:200])).all() else 1)
            for _ in range(300):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    break
                stop.wait(0.02)
            else:
                os.kill(child, 9)
                os.waitpid(child, 0)
                pytest.fail("the child did not end")
            assert status == 0
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("name", "meant"), [("Relu", "relu"), ("ReLU", "relu"), ("Softmax", "softmax"), ("rleu", "relu")]
)
def test_an_unknown_name_suggests_the_one_that_is_meant_whatever_its_case(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown activation '{name}' \(did you mean '{meant}'\?\)"):
        fn.Dense(3, name)


def test_a_name_like_no_other_suggests_nothing() -> None:
    with pytest.raises(ValueError, match="unknown loss 'xyz'; known"):
        fn.losses.get("xyz")
    assert all(name == name.lower() for table in TABLES for name in table)  # as `unknown` takes them to be
