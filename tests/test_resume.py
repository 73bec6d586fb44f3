"""A training that is saved and loaded goes on, to the bit, as if nothing had happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import backends, callbacks, schedules
from fastnet.backends.threads import usable_cpus
from fastnet.optimizers import OPTIMIZERS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 6))
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int) + (X[:, 2] > 0)


def trainer(dtype: str = "float32", **options: object) -> fn.Trainer:
    layers = [fn.Dense(12, "relu"), fn.Dropout(0.3), fn.Dense(9, "tanh"), fn.Dense(3, "softmax")]
    net = fn.Network(layers, inputs=6, dtype=dtype, seed=4)
    return fn.Trainer(net, **{"optimizer": fn.Adam(0.01), "seed": 9, **options})


def same(one: fn.Trainer, other: fn.Trainer) -> None:
    assert one.network.parameters.tobytes() == other.network.parameters.tobytes()
    assert one.state.keys() == other.state.keys()
    assert one.state_vectors.tobytes() == other.state_vectors.tobytes()
    assert one.history.to_dict() == other.history.to_dict()
    assert (one.epoch, one.steps, one.seed) == (other.epoch, other.steps, other.seed)
    assert one.optimizer == other.optimizer and one.loss == other.loss


def fit(one: fn.Trainer, epochs: int, **options: object) -> None:
    one.fit(X, Y, epochs=epochs, batch_size=32, validation=(X[:40], Y[:40]), verbose=0, **options)


OPTIMIZER_EXAMPLES = {
    **{name: kind() for name, kind in OPTIMIZERS.items()},
    "momentum": fn.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3, clip_norm=1.0),
    "warmed": fn.AdamW(schedules.Warmup(schedules.Cosine(0.01, epochs=6), epochs=2), clip_value=0.1),
    "steps": fn.RMSprop(schedules.OneCycle(0.01, steps=20)),
}


@pytest.mark.parametrize("name", OPTIMIZER_EXAMPLES)
def test_resume_is_bit_identical(backend: str, dtype: str, tmp_path: Path, name: str) -> None:
    whole, first = (trainer(dtype, optimizer=OPTIMIZER_EXAMPLES[name]) for _ in range(2))
    fit(whole, 5)
    fit(first, 2)
    first.save(tmp_path / "run.ckpt")
    resumed = fn.Trainer.load(tmp_path / "run.ckpt")
    same(resumed, first)
    fit(first, 1)  # what goes on elsewhere does not matter
    fit(resumed, 3)
    same(resumed, whole)
    assert resumed.network.history is resumed.history


def test_steps_resume_too(backend: str, tmp_path: Path) -> None:
    whole, first = trainer(), trainer()
    losses = [whole.step(X[i : i + 7], Y[i : i + 7]) for i in range(0, 70, 7)]
    before = [first.step(X[i : i + 7], Y[i : i + 7]) for i in range(0, 35, 7)]
    first.save(tmp_path / "run.ckpt")
    resumed = fn.Trainer.load(tmp_path / "run.ckpt")
    assert resumed.steps == 5
    after = [resumed.step(X[i : i + 7], Y[i : i + 7]) for i in range(35, 70, 7)]
    assert before + after == losses
    same(resumed, whole)


def test_a_checkpoint_made_in_the_middle(backend: str, tmp_path: Path) -> None:
    whole = trainer()
    fit(whole, 4, callbacks=[callbacks.Checkpoint(tmp_path / "run-{epoch}.ckpt")])
    resumed = fn.Trainer.load(tmp_path / "run-3.ckpt")
    assert resumed.epoch == 3 and resumed.history.epochs == 3
    fit(resumed, 1)
    same(resumed, whole)


def large(dtype: str = "float32") -> fn.Trainer:
    """Large enough for `fit` to wake a second thread."""
    layers = [fn.Dense(300, "relu"), fn.Dropout(0.3), fn.Dense(257, "tanh"), fn.Dense(3, "softmax")]
    net = fn.Network(layers, inputs=6, dtype=dtype, seed=4)
    return fn.Trainer(net, optimizer=fn.Adam(0.01), seed=9)


def test_repeats_and_other_numbers_of_threads_give_the_same_bits(backend: str, dtype: str) -> None:
    results = []
    for threads in (1, 2, 1):
        backends.set_num_threads(threads)
        one = large(dtype)
        fit(one, 3)
        results.append(one)
    same(results[0], results[1])
    same(results[0], results[2])


COUNT_THREADS = """
import os
from fastnet import backends
from test_resume import fit, large
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
for threads in (1, 2):
    backends.set_num_threads(threads)
    fit(large(), 1)
    print(count() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's list of threads")
@pytest.mark.skipif(usable_cpus() < 2, reason="there is one CPU")
def test_that_training_used_two_threads(backend: str) -> None:
    """Otherwise the test above compares one thread with itself."""
    if backend == "numpy":
        pytest.skip("its threads are those of its BLAS")
    variables = {**os.environ, "FASTNET_BACKEND": backend, "OPENBLAS_NUM_THREADS": "1"}
    variables["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", COUNT_THREADS], capture_output=True, text=True, env=variables, timeout=60
    )
    assert done.stdout.split() == ["0", "1"], done.stderr


def test_one_fit_or_several(backend: str) -> None:
    whole, parts = trainer(), trainer()
    fit(whole, 4)
    for epochs in (1, 2, 1):
        fit(parts, epochs)
    same(parts, whole)


def test_another_seed_is_another_training(backend: str) -> None:
    one, other = trainer(seed=1), trainer(seed=2)
    fit(one, 1)
    fit(other, 1)
    assert not np.array_equal(one.network.parameters, other.network.parameters)


@pytest.mark.parametrize("left_out", ["state", "rng", "steps"])
def test_everything_in_the_checkpoint_is_needed(backend: str, tmp_path: Path, left_out: str) -> None:
    """Negative control: a checkpoint that forgets something does not go on to the same bits."""
    whole, first = trainer(), trainer()
    fit(whole, 3)
    fit(first, 1)
    first.save(tmp_path / "run.ckpt")
    resumed = fn.Trainer.load(tmp_path / "run.ckpt")
    if left_out == "state":
        resumed.state_vectors[...] = 0
    elif left_out == "rng":
        resumed.rng = trainer().rng
    else:
        resumed.progress[0] = 0
    fit(resumed, 2)
    assert not np.array_equal(resumed.network.parameters, whole.network.parameters)


def squares(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    return float(((output - target) ** 2).mean()), 2 * (output - target) / output.size


def test_a_function_as_loss_must_be_given_again(backend: str, tmp_path: Path) -> None:
    y = np.eye(3)[Y]
    whole, first = trainer(loss=squares), trainer(loss=squares)
    whole.fit(X, y, epochs=3, verbose=0)
    first.fit(X, y, epochs=1, verbose=0)
    first.save(tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match=r"run\.ckpt: the loss was a function: give it again"):
        fn.Trainer.load(tmp_path / "run.ckpt")
    resumed = fn.Trainer.load(tmp_path / "run.ckpt", loss=squares)
    resumed.fit(X, y, epochs=2, verbose=0)
    same(resumed, whole)


def test_a_huber_threshold_is_kept(tmp_path: Path) -> None:
    first = trainer(loss=fn.losses.huber(0.3))
    assert "loss=huber(0.3)," in repr(first)
    first.save(tmp_path / "run.ckpt")
    assert fn.Trainer.load(tmp_path / "run.ckpt").loss == fn.losses.huber(0.3)


def test_history_and_metadata_are_kept(tmp_path: Path) -> None:
    first = trainer()
    first.network.metadata["unit"] = "mm"
    first.fit(X, Y, epochs=2, verbose=0)
    fit(first, 1)  # val_loss begins in the third epoch: NaN before
    first.stop("enough")
    first.history.stopped = "enough"
    first.save(tmp_path / "run.ckpt")
    resumed = fn.Trainer.load(tmp_path / "run.ckpt")
    np.testing.assert_equal(resumed.history.to_dict(), first.history.to_dict())
    assert np.isnan(resumed.history["val_loss"][:2]).all()
    assert resumed.history.epoch_seconds == first.history.epoch_seconds
    assert resumed.history.stopped == "enough" and resumed.network.metadata == {"unit": "mm"}
