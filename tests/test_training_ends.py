"""How training ends when it does not end well: divergence, errors, Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_bad_input import snapshot
from test_training import Recorder, line

import fastnet as fn
from fastnet import callbacks, schedules

# ---- divergence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [fn.SGD(1e6, momentum=0.5), fn.SGD(1e6)], ids=repr)
def test_divergence_restores_the_start_of_the_epoch(
    backend: str, dtype: str, rng: np.random.Generator, optimizer: fn.Optimizer
) -> None:
    x, t = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    trainer = fn.Trainer(line(dtype), loss="mean_squared_error", optimizer=optimizer)
    start = trainer.network.parameters.copy()
    with pytest.warns(fn.DivergenceWarning, match=r"not finite in epoch 1, learning rate 1e\+06") as caught:
        history = trainer.fit(x, t, epochs=5, batch_size=1, verbose=0)
    assert caught[0].filename == __file__
    assert "epoch 1" in history.stopped and history.epochs == 1 and np.isnan(history["loss"][0])
    np.testing.assert_array_equal(trainer.network.parameters, start)
    assert not trainer.state_vectors.any()
    assert trainer.steps == trainer.epoch == 0
    assert np.isfinite(trainer.network.predict(x)).all()


def test_divergence_in_a_later_epoch(backend: str, rng: np.random.Generator) -> None:
    class Keep(callbacks.Callback):
        kept: np.ndarray

        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            self.kept = np.concatenate([trainer.network.parameters, trainer.state_vectors.ravel()])

    x, t = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    optimizer = fn.SGD(schedules.Step(0.01, every=2, factor=1e9), momentum=0.9)
    trainer, keep = fn.Trainer(line(), loss="mean_squared_error", optimizer=optimizer), Keep()
    with pytest.warns(fn.DivergenceWarning, match=r"epoch 3, learning rate 1e\+07"):
        trainer.fit(x, t, epochs=5, batch_size=2, callbacks=[keep], verbose=0)
    now = np.concatenate([trainer.network.parameters, trainer.state_vectors.ravel()])
    np.testing.assert_array_equal(now, keep.kept)
    assert trainer.epoch == 2 and trainer.steps == 200
    assert np.isfinite(trainer.history["loss"]).tolist() == [True, True, False]


def test_weights_that_overflow_in_the_last_step_are_not_kept(backend: str) -> None:
    """The loss of the only batch is finite; the weights after its update are not."""
    net = fn.Network([fn.Dense(1, bias=False, weights_init="zeros")], inputs=1, dtype="float32")
    with pytest.warns(fn.DivergenceWarning, match="epoch 1"):
        net.fit([[1e15]], [1e3], loss="mean_squared_error", optimizer=fn.SGD(1e30), epochs=2, verbose=0)
    assert net.parameters.tolist() == [0.0]


@pytest.mark.parametrize("result", [(np.nan, 1.0), (1.0, np.inf)], ids=["value", "slope"])
def test_divergence_of_a_function(backend: str, result: tuple[float, float]) -> None:
    def broken(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return result[0], np.full_like(output, result[1])

    trainer = fn.Trainer(line(), loss=broken)
    before = trainer.network.parameters.copy()
    with pytest.warns(fn.DivergenceWarning, match="epoch 1"):
        trainer.fit(np.ones((4, 3)), np.ones((4, 2)), epochs=2, verbose=0)
    with pytest.warns(fn.DivergenceWarning, match="step 1"):
        assert np.isnan(trainer.step(np.ones((4, 3)), np.ones((4, 2))))
    np.testing.assert_array_equal(trainer.network.parameters, before)


def test_divergence_in_a_step(backend: str, dtype: str) -> None:
    trainer = fn.Trainer(line(dtype), loss="mean_squared_error", optimizer=fn.SGD(0.1))
    trainer.network.parameters[0] = 1e200 if dtype == "float64" else 1e30
    before = trainer.network.parameters.copy()
    with pytest.warns(
        fn.DivergenceWarning, match=r"step 1, learning rate 0\.1; the update was left out"
    ) as caught:
        assert np.isnan(trainer.step(np.full((2, 3), 1e10), np.zeros((2, 2))))
    assert caught[0].filename == __file__ and trainer.steps == 0
    np.testing.assert_array_equal(trainer.network.parameters, before)


OPTIMIZERS = [fn.SGD(0.01, momentum=0.9), fn.Adam(0.01), fn.RMSprop(schedules.Step(0.01, every=2))]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda one: one.name)
@pytest.mark.parametrize("saved", [False, True])
def test_after_divergence_the_same_epoch_is_trained_again(
    backend: str, dtype: str, rng: np.random.Generator, tmp_path: Path, optimizer: fn.Optimizer, saved: bool
) -> None:
    """To the bits of a training that never diverged."""
    x, t = rng.normal(size=(90, 3)), rng.normal(size=(90, 2))

    def fit(trainer: fn.Trainer, rate: schedules.Schedule | float, epochs: int) -> list[int]:
        trainer.optimizer.learning_rate = rate
        recorder, log = Recorder(), callbacks.CSVLog(tmp_path / "run.csv", append=True)
        options = {"batch_size": 16, "validation": (x, t), "callbacks": [recorder, log], "verbose": 0}
        trainer.fit(x, t, epochs=epochs, **options)
        return [call[1] for call in recorder.calls if call[0] == "epoch"]

    def begun() -> fn.Trainer:
        net = fn.Network([fn.Dense(8, "relu"), fn.Dropout(0.2), fn.Dense(2)], inputs=3, dtype=dtype, seed=0)
        trainer = fn.Trainer(net, "mean_squared_error", fn.optimizers.from_config(optimizer.config()))
        assert fit(trainer, optimizer.learning_rate, 2) == [1, 2]
        return trainer

    whole, diverged = begun(), begun()
    before = snapshot(diverged)
    for _ in range(2):
        with pytest.warns(fn.DivergenceWarning, match=r"epoch 3, learning rate 1e\+200"):
            assert fit(diverged, 1e200, 5) == []
        now = snapshot(diverged)
        assert (now[0], now[2], now[4:]) == (before[0], before[2], before[4:])  # all but the history
        assert np.isfinite(diverged.history["loss"]).tolist() == [True, True, False]
        assert diverged.network.history is diverged.history and "epoch 3" in diverged.history.stopped
    if saved:
        diverged.save(tmp_path / "run.ckpt")
        diverged = fn.Trainer.load(tmp_path / "run.ckpt")
        assert np.isfinite(diverged.history["loss"]).tolist() == [True, True, False]
    (tmp_path / "run.csv").unlink()
    assert fit(whole, 1e-3, 2) == fit(diverged, 1e-3, 2) == [3, 4]
    assert snapshot(whole) == snapshot(diverged)  # history included
    assert diverged.history.epochs == diverged.epoch == 4 and diverged.history.stopped == ""
    lines = (tmp_path / "run.csv").read_text().splitlines()
    assert lines[1:3] == lines[3:5] and [text[:2] for text in lines[1:3]] == ["3,", "4,"]


# ---- errors ----------------------------------------------------------------------------------------


class Boom(callbacks.Callback):
    """Raises within an epoch."""

    def on_progress(self, trainer: fn.Trainer, done: float, logs: dict[str, float]) -> None:
        raise LookupError("mine")


def failing(call: int, result: object) -> tuple[list[int], object]:
    """A loss that answers its first calls well; and how often it was called."""
    calls = [0]

    def loss(output: np.ndarray, target: np.ndarray) -> object:
        calls[0] += 1
        if calls[0] < call:
            return float(((output - target) ** 2).mean()), 2 * (output - target) / output.size
        if result is None:
            raise LookupError("mine")
        return result

    return calls, loss


# With 6 batches and validation, an epoch has 7 calls: the 7th is the first validation, the 10th in epoch 2.
@pytest.mark.parametrize(("call", "epochs"), [(1, 0), (4, 0), (7, 0), (10, 1)])
@pytest.mark.parametrize(
    ("result", "error"), [(3.0, TypeError), ((1.0, np.zeros(5)), ValueError), (None, LookupError)]
)
def test_an_error_undoes_its_epoch_and_no_more(
    backend: str, rng: np.random.Generator, call: int, epochs: int, result: object, error: type[Exception]
) -> None:
    x, t = rng.normal(size=(48, 3)), rng.normal(size=(48, 2))
    net = line()
    net.fit(x, t, loss="mean_squared_error", epochs=2, verbose=0)
    earlier, start = net.history, net.copy()
    calls, loss = failing(call, result)
    one, recorder = fn.Trainer(net, loss, "adam"), Recorder()
    options = {"batch_size": 8, "validation": (x, t), "verbose": 0}
    with pytest.raises(error):
        one.fit(x, t, epochs=5, callbacks=[recorder], **options)
    assert calls[0] == call and recorder.calls[-1] == ("end",)
    other = fn.Trainer(start, failing(99, None)[1], "adam")
    if epochs:
        other.fit(x, t, epochs=epochs, **options)
    else:
        assert net.history is earlier and earlier.epochs == 2
        other.network.history = earlier
    assert snapshot(one) == snapshot(other)
    assert one.history.epochs == one.epoch == epochs


def test_an_error_within_an_epoch_undoes_it(
    backend: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastnet.run.CHUNK_SECONDS", 0.0)
    trainer = fn.Trainer(line(), "mean_squared_error", "adam")
    before = snapshot(trainer)
    with pytest.raises(LookupError, match="mine"):
        trainer.fit(np.ones((400, 3)), np.ones((400, 2)), batch_size=1, callbacks=[Boom()], verbose=0)
    assert trainer.progress[1] > 0  # rows were trained on
    assert snapshot(trainer) == before and trainer.network.history is None


def test_why_an_earlier_training_stopped_is_not_said_of_a_later_one() -> None:
    class StopThenRaise(callbacks.Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            if epoch == 2:
                raise LookupError("mine")
            trainer.stop("enough")

    trainer = fn.Trainer(line(), "mean_squared_error")
    x, t = np.ones((4, 3)), np.ones((4, 2))
    assert trainer.fit(x, t, callbacks=[StopThenRaise()], verbose=0).stopped == "enough"
    with pytest.raises(LookupError, match="mine"):
        trainer.fit(x, t, callbacks=[StopThenRaise()], verbose=0)
    assert trainer.history.epochs == 2 and trainer.history.stopped == ""


def test_all_callbacks_are_told_of_the_end_whatever_one_of_them_does() -> None:
    class Broken(callbacks.Callback):
        def on_train_end(self, trainer: fn.Trainer) -> None:
            ended.append(self)
            raise LookupError("mine")

    ended: list[callbacks.Callback] = []
    first, second, recorder = Broken(), Broken(), Recorder()
    trainer = fn.Trainer(line(), "mean_squared_error")
    with pytest.raises(LookupError, match="mine"):
        trainer.fit(np.ones((4, 3)), np.ones((4, 2)), callbacks=[first, second, recorder], verbose=0)
    assert ended == [first, second] and recorder.calls[-1] == ("end",)
    assert trainer.run is None and trainer.epoch == 10


# ---- Ctrl-C ----------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("phase", ["training", "validation", "function"])
def test_ctrl_c(backend: str, rng: np.random.Generator, phase: str) -> None:
    net = fn.Network(
        [fn.Dense(256, "tanh"), fn.Dense(256, "tanh"), fn.Dense(3, "softmax")], inputs=64, seed=0
    )
    x, y = rng.normal(size=(4000, 64)).astype(np.float32), rng.integers(0, 3, 4000)
    sizes = {
        "training": (4000, None),
        "validation": (8, (np.tile(x, (60, 1)), np.tile(y, 60))),
        "function": (4000, None),
    }
    rows, validation = sizes[phase]

    def squares(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return 1.0, 1e-3 * output

    trainer = fn.Trainer(
        net, loss=squares if phase == "function" else "cross_entropy", optimizer=fn.SGD(0.01)
    )
    recorder = Recorder()
    sent: list[float] = []

    def press() -> None:
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(
            x[:rows], y[:rows], epochs=100_000, validation=validation, callbacks=[recorder], verbose=0
        )
    waited = time.perf_counter() - sent[0]
    timer.join()
    assert waited < 0.5  # 0.2 s is the promise; the rest is for a busy machine
    assert recorder.calls[-1] == ("end",)
    assert trainer.history.stopped == f"interrupted in epoch {trainer.epoch + 1}"
    assert trainer.history.epochs == trainer.epoch
    assert np.isfinite(net.predict(x[:10])).all()
    steps = trainer.steps
    trainer.fit(x[:8], y[:8], epochs=1, verbose=0)  # and it goes on
    assert trainer.steps == steps + 1
