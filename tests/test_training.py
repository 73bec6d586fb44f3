"""Training: what an epoch does, what is recorded, and how it ends."""

from __future__ import annotations

import copy
import pickle
import time
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import backends, callbacks, schedules


def line(dtype: str = "float64", seed: int = 0) -> fn.Network:
    return fn.Network([fn.Dense(2)], inputs=3, dtype=dtype, seed=seed)


def classifier(dtype: str = "float32", seed: int = 0) -> fn.Network:
    return fn.Network([fn.Dense(16, "relu"), fn.Dense(3, "softmax")], inputs=4, dtype=dtype, seed=seed)


def blobs(rng: np.random.Generator, rows: int = 200) -> tuple[np.ndarray, np.ndarray]:
    y = rng.integers(0, 3, rows)
    return rng.normal(size=(rows, 4)) + 3 * np.eye(4)[y], y


def quiet(net: fn.Network, *args: object, **options: object) -> fn.History:
    return net.fit(*args, **{"verbose": 0, **options})


# ---- what an epoch does ----------------------------------------------------------------------------


def test_an_epoch_is_the_formula(backend: str, dtype: str, rng: np.random.Generator) -> None:
    """Batches of 4, 4 and 2 rows in order, by plain gradient descent on half the squared error."""
    net = line(dtype)
    x, t = rng.normal(size=(10, 3)), rng.normal(size=(10, 2))
    w, b = net.layers[0].weights.astype(np.float64), net.layers[0].bias.astype(np.float64)
    losses = []
    for _ in range(3):
        losses.append(0.0)
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
            error = x[rows] @ w + b - t[rows]
            losses[-1] += 0.5 * (error**2).sum()
            w, b = w - 0.05 * x[rows].T @ error, b - 0.05 * error.sum(axis=0)
    history = quiet(
        net, x, t, loss="half_squared_error", optimizer=fn.SGD(0.05), epochs=3, batch_size=4, shuffle=False
    )
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(net.layers[0].weights, w, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(net.layers[0].bias, b, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(history["loss"], losses, rtol=tolerance)


def test_steps_and_an_epoch_are_the_same(backend: str, dtype: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng)
    stepwise, whole = (fn.Trainer(classifier(dtype), optimizer=fn.Adam(0.01)) for _ in range(2))
    losses = [stepwise.step(x[i : i + 32], y[i : i + 32]) for i in range(0, 200, 32)]
    whole.fit(x, y, epochs=1, batch_size=32, shuffle=False, verbose=0)
    assert stepwise.network.parameters.tobytes() == whole.network.parameters.tobytes()
    assert stepwise.steps == whole.steps == 7
    assert whole.history["loss"][0] == pytest.approx(np.average(losses, weights=[32] * 6 + [8]), rel=1e-5)


def test_step_returns_the_loss_before_the_update(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 16)
    trainer = fn.Trainer(classifier(), optimizer=fn.SGD(0.1))
    before = trainer.network.evaluate(x, y)["loss"]
    value, gradients = trainer.network.loss_and_gradients(x, y)
    expected = trainer.network.parameters - np.float32(0.1) * gradients
    assert trainer.step(x, y) == pytest.approx(before, rel=1e-6) == pytest.approx(value, rel=1e-6)
    np.testing.assert_allclose(trainer.network.parameters, expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(trainer.gradients, gradients, rtol=1e-4, atol=1e-7)
    assert trainer.network.evaluate(x, y)["loss"] < before


def test_steps_of_growing_and_shrinking_batches(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 64)
    trainer, single = fn.Trainer(classifier(), optimizer="adam"), fn.Trainer(classifier(), optimizer="adam")
    for rows in (3, 64, 1, 17, 3):
        trainer.step(x[:rows], y[:rows])
        single._executors.clear()  # a new workspace for each
        single.step(x[:rows], y[:rows])
    np.testing.assert_array_equal(trainer.network.parameters, single.network.parameters)


def test_shuffling_visits_every_row_once_in_a_new_order(backend: str, rng: np.random.Generator) -> None:
    seen: list[float] = []

    def spy(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        seen.extend(target[:, 0])
        return 0.0, np.zeros_like(output)

    fn.Trainer(line(), loss=spy, seed=5).fit(
        np.ones((40, 3)), np.arange(80).reshape(40, 2), epochs=2, verbose=0
    )
    first, second = seen[:40], seen[40:]
    assert sorted(first) == sorted(second) == list(range(0, 80, 2))
    assert first != second and first != sorted(first)
    seen.clear()
    fn.Trainer(line(), loss=spy, seed=5).fit(
        np.ones((40, 3)), np.arange(80).reshape(40, 2), epochs=2, verbose=0
    )
    assert seen == first + second


def test_it_learns(backend: str, dtype: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 400)
    net = classifier(dtype)
    history = quiet(
        net, x[:300], y[:300], optimizer=fn.Adam(0.01), epochs=30, validation=(x[300:], y[300:]), seed=0
    )
    assert history["accuracy"][0] < 0.9 < 0.94 < history["val_accuracy"][-1]
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_weights_of_samples_and_classes(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 60)
    y[:45] = 0

    def trained(**options: object) -> np.ndarray:
        net = classifier("float64")
        quiet(net, x, y, epochs=2, batch_size=20, seed=1, **options)
        return net.parameters

    by_class = {0: 0.5, 1: 2.0}  # class 2: 1
    by_sample = np.array([0.5, 2.0, 1.0])[y]
    np.testing.assert_array_equal(trained(class_weight=by_class), trained(sample_weight=by_sample))
    both = trained(class_weight=by_class, sample_weight=by_sample)
    np.testing.assert_array_equal(both, trained(sample_weight=by_sample**2))
    counts = np.bincount(y)
    balanced = (60 / (3 * counts))[y]
    np.testing.assert_allclose(trained(class_weight="balanced"), trained(sample_weight=balanced), rtol=1e-12)
    assert not np.allclose(trained(class_weight=by_class), trained())


def test_class_weights_of_one_hot_rows(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 30)
    results = []
    for targets in (y, np.eye(3)[y]):
        net = classifier("float64")
        quiet(net, x, targets, class_weight={0: 3.0}, epochs=1, seed=0)
        results.append(net.parameters)
    np.testing.assert_allclose(*results, rtol=1e-9)


def test_class_weights_of_one_output(backend: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 3))
    y = (x[:, 0] > 0.7).astype(int)
    results = []
    for options in ({"class_weight": {0: 1, 1: 4}}, {"sample_weight": np.where(y, 4, 1)}):
        net = fn.Network([fn.Dense(1, "sigmoid")], inputs=3, dtype="float64", seed=0)
        quiet(net, x, y, loss="binary_cross_entropy", epochs=2, seed=0, **options)
        results.append(net.parameters)
    np.testing.assert_array_equal(*results)


def test_batches_whose_weights_are_all_zero_change_nothing(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 20)
    net, other = classifier(), classifier()
    weight = np.r_[np.zeros(10), np.ones(10)]
    history = quiet(net, x, y, sample_weight=weight, batch_size=5, epochs=1, shuffle=False)
    expected = quiet(other, x[10:], y[10:], batch_size=5, epochs=1, shuffle=False)
    np.testing.assert_allclose(net.parameters, other.parameters, rtol=1e-6)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_schedules_set_the_rate_of_each_step(backend: str) -> None:
    """With a constant gradient of -1 per row, a step of plain descent is the learning rate."""
    for schedule in (
        schedules.Exponential(0.5, factor=0.5),
        schedules.Step(0.5, every=1),
        schedules.Exponential(0.5, factor=0.9, unit="steps"),
        schedules.Cosine(0.5, epochs=3),
        0.25,
    ):
        net = fn.Network([fn.Dense(1, bias=False, weights_init="zeros")], inputs=1, dtype="float64")

        def constant(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
            return 1.0, np.full_like(output, -1.0 / len(output))

        trainer = fn.Trainer(net, loss=constant, optimizer=fn.SGD(schedule))
        trainer.fit(np.ones((6, 1)), np.ones((6, 1)), epochs=2, batch_size=2, verbose=0)
        trainer.fit(np.ones((6, 1)), np.ones((6, 1)), epochs=1, batch_size=2, verbose=0)
        rate = schedules.get(schedule)
        times = np.arange(9) if rate.unit == "steps" else np.arange(9) / 3
        assert net.parameters[0] == pytest.approx(rate(times).sum(), rel=1e-12)


def test_schedules_in_step(backend: str) -> None:
    net = fn.Network([fn.Dense(1, bias=False, weights_init="zeros")], inputs=1, dtype="float64")
    schedule = schedules.Exponential(0.5, factor=0.5, unit="steps")
    trainer = fn.Trainer(net, loss="mean_squared_error", optimizer=fn.SGD(schedule))
    for step in range(4):
        before = net.parameters[0]
        trainer.step([[1.0]], [before + 0.5])  # the slope is -1
        assert net.parameters[0] - before == pytest.approx(0.5**step / 2)


def test_the_rate_can_be_set_while_training_goes_on(backend: str) -> None:
    class Halve(callbacks.Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            trainer.optimizer.learning_rate = 0.5**epoch

    net = fn.Network([fn.Dense(1, bias=False, weights_init="zeros")], inputs=1, dtype="float64")
    trainer = fn.Trainer(
        net, loss=lambda output, target: (0.0, np.full_like(output, -1.0)), optimizer=fn.SGD(1.0)
    )
    trainer.fit([[1.0]], [[0.0]], epochs=4, callbacks=[Halve()], verbose=0)
    assert net.parameters[0] == 1 + 0.5 + 0.25 + 0.125
    trainer.optimizer.learning_rate = 8
    trainer.step([[1.0]], [[0.0]])
    assert net.parameters[0] == 9.875
    with pytest.raises(ValueError, match="learning_rate"):
        trainer.optimizer.learning_rate = 0.0
    assert trainer.optimizer == fn.SGD(8)


# ---- what is recorded ------------------------------------------------------------------------------


def test_history(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 120)
    net = classifier()
    trainer = fn.Trainer(net, optimizer=fn.SGD(0.05))
    history = trainer.fit(x, y, epochs=2, verbose=0)
    assert history is trainer.history is net.history
    assert list(history) == ["loss", "accuracy"] and history.epochs == 2 and trainer.epoch == 2
    again = trainer.fit(x, y, epochs=2, validation=(x[:50], y[:50]), verbose=0)
    assert again is history and history.epochs == trainer.epoch == 4
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert np.isnan(history["val_loss"][:2]).all() and np.isfinite(history["val_loss"][2:]).all()
    measured = net.evaluate(x[:50], y[:50])
    assert history["val_loss"][-1] == pytest.approx(measured["loss"], rel=1e-6)
    assert history["val_accuracy"][-1] == pytest.approx(measured["accuracy"])
    assert len(history.epoch_seconds) == 4 and history.seconds == pytest.approx(sum(history.epoch_seconds))
    assert "History of 4 epochs" in repr(history) and repr(history).count("\n") == 5
    plain = history.to_dict()
    plain["loss"].clear()
    assert len(history["loss"]) == 4
    with pytest.raises(KeyError, match="history has no 'speed'; it has: loss, accuracy"):
        history["speed"]
    copied = pickle.loads(pickle.dumps(net)).history
    np.testing.assert_equal(copied.to_dict(), history.to_dict())


def test_views_of_the_history_are_those_of_a_dict() -> None:
    history = fn.History()
    history.append({"loss": 0.5, "accuracy": 1.0}, 0.1)
    assert repr(history.keys()) == "dict_keys(['loss', 'accuracy'])"
    assert repr(history.values()) == "dict_values([[0.5], [1.0]])"
    assert dict(history.items()) == history.to_dict() == dict(history)


def test_history_repr_is_short() -> None:
    history = fn.History()
    assert repr(history) == "History of 0 epochs, 0 s"
    for epoch in range(1000):
        history.append({"loss": 1 / (epoch + 1)}, 0.25)
    history.stopped = "enough"
    assert repr(history).splitlines()[0] == "History of 1000 epochs, 250 s; stopped: enough"
    assert [line.split()[0] for line in repr(history).splitlines()[2:]] == [
        "1",
        "2",
        "3",
        "998",
        "999",
        "1000",
    ]


def test_history_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    history = fn.History()
    history.append({"loss": 1.0}, 0.1)
    history.append({"loss": 0.5, "val_loss": 0.7}, 0.1)
    history.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_accuracy_of_the_epoch(backend: str) -> None:
    net = fn.Network(
        [fn.Dense(2, "softmax", weights_init="zeros", bias_init=[0.0, 1.0])], inputs=1, dtype="float64"
    )
    history = quiet(
        net, np.ones((8, 1)), [1, 1, 1, 1, 1, 1, 0, 0], optimizer=fn.SGD(1e-9), epochs=1, batch_size=3
    )
    assert history["accuracy"] == [0.75]


def cross_entropy_by_hand(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    """Also spoils what it is given, which is its to spoil."""
    one_hot = np.eye(output.shape[1])[target]
    value, slope = -np.log(output[one_hot == 1]).mean(), -one_hot / output / len(output)
    output[...], target[...] = 0.0, 0
    return float(value), slope


def test_a_function_on_labels_has_an_accuracy(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 120)
    histories, measured = [], []
    for loss in ("cross_entropy", cross_entropy_by_hand):
        net = classifier("float64")
        histories.append(quiet(net, x, y, loss=loss, epochs=3, validation=(x[:50], y[:50])).to_dict())
        measured.append(net.evaluate(x, y, loss))
    assert y.any()
    assert list(histories[1]) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    for one, other in ((histories[0], histories[1]), (measured[0], measured[1])):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-9)
    assert histories[1]["accuracy"][-1] > 0.5


# ---- callbacks -------------------------------------------------------------------------------------


class Recorder(callbacks.Callback):
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def on_train_begin(self, trainer: fn.Trainer) -> None:
        assert trainer.run is not None
        self.calls.append(("begin", trainer.run.epochs, trainer.run.samples))

    def on_progress(self, trainer: fn.Trainer, done: float, logs: dict[str, float]) -> None:
        self.calls.append(("progress", done, dict(logs)))

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        assert trainer.epoch == epoch == trainer.history.epochs
        assert {name: values[-1] for name, values in trainer.history.items()} == logs
        self.calls.append(("epoch", epoch, dict(logs)))

    def on_train_end(self, trainer: fn.Trainer) -> None:
        self.calls.append(("end",))


def test_callbacks_are_called(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 50)
    recorder = Recorder()
    net = classifier()
    history = quiet(net, x, y, epochs=2, validation=(x, y), callbacks=[recorder])
    assert recorder.calls[0] == ("begin", 2, 50) and recorder.calls[-1] == ("end",)
    epochs = [call for call in recorder.calls if call[0] == "epoch"]
    assert [call[1] for call in epochs] == [1, 2]
    assert epochs[1][2] == {name: values[1] for name, values in history.items()}
    assert net.history.stopped == ""


def test_progress_within_an_epoch(backend: str, rng: np.random.Generator) -> None:
    def slow(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        time.sleep(0.06)
        return 1.0, np.zeros_like(output)

    recorder = Recorder()
    fn.Trainer(line(), loss=slow).fit(np.ones((6, 3)), np.ones((6, 2)), 1, 1, callbacks=[recorder], verbose=0)
    progress = [call for call in recorder.calls if call[0] == "progress"]
    assert progress and all(0 < call[1] < 1 for call in progress)
    assert progress[0][2] == {"loss": 1.0}


def test_a_callback_can_stop(backend: str, rng: np.random.Generator) -> None:
    class Stop(callbacks.Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            if epoch == 2:
                trainer.stop("two are enough")

    x, y = blobs(rng, 30)
    trainer = fn.Trainer(classifier())
    assert trainer.fit(x, y, epochs=9, callbacks=[Stop()], verbose=0).epochs == 2
    assert trainer.history.stopped == "two are enough"
    trainer.fit(x, y, epochs=1, verbose=0)
    assert trainer.history.stopped == "" and trainer.epoch == 3


def test_an_error_in_a_callback_ends_the_training(backend: str, rng: np.random.Generator) -> None:
    class Broken(callbacks.Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            raise LookupError("mine")

    x, y = blobs(rng, 30)
    recorder = Recorder()
    trainer = fn.Trainer(classifier())
    with pytest.raises(LookupError, match="mine"):
        trainer.fit(x, y, epochs=3, callbacks=[recorder, Broken()], verbose=0)
    assert recorder.calls[-1] == ("end",) and trainer.history.epochs == 1 and trainer.run is None
    trainer.fit(x, y, epochs=1, verbose=0)


def test_overfitting_is_watched_unless_it_cannot_be(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(24, 4)), rng.integers(0, 3, 24)
    net = fn.Network([fn.Dense(64, "relu"), fn.Dense(3, "softmax")], inputs=4, seed=0)
    held_out = (rng.normal(size=(60, 4)), rng.integers(0, 3, 60))
    with pytest.warns(fn.OverfittingWarning) as caught:
        net.fit(x, y, optimizer=fn.Adam(0.01), epochs=120, validation=held_out, verbose=0)
    assert len(caught) == 1
    net.fit(x, y, optimizer=fn.Adam(0.01), epochs=5, verbose=0)  # without validation: silence


# ---- where nothing must be in the way ----------------------------------------------------------------


def test_chunks_do_not_change_the_result(
    backend: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = blobs(rng)
    whole, chunked = fn.Trainer(classifier()), fn.Trainer(classifier())
    whole.fit(x, y, epochs=2, batch_size=1, verbose=0)
    monkeypatch.setattr("fastnet.run.CHUNK_SECONDS", 0.0)
    recorder = Recorder()
    chunked.fit(x, y, epochs=2, batch_size=1, callbacks=[recorder], verbose=0)
    # NumPy looks at the clock after each batch, compiled code after each 64th of such small ones.
    assert sum(call[0] == "progress" for call in recorder.calls) >= 2 * 3
    assert whole.network.parameters.tobytes() == chunked.network.parameters.tobytes()
    assert whole.history.to_dict() == chunked.history.to_dict()


def test_blocks_do_not_change_validation(
    backend: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = blobs(rng)
    net = classifier("float64")
    cases = [(y, "cross_entropy"), (np.eye(3)[y], "half_squared_error"), (np.eye(3)[y], "mean_squared_error")]
    weight = rng.uniform(size=200)
    whole = [net.evaluate(x, t, loss, sample_weight=weight) for t, loss in cases]
    predicted = net.predict(x)
    monkeypatch.setattr("fastnet.graph._BLOCK_OPERATIONS", 10_000)
    monkeypatch.setattr("fastnet.graph._LEAST_ROWS", 30)
    assert net.graph.block_rows < 100
    for (t, loss), one in zip(cases, whole, strict=True):
        assert net.evaluate(x, t, loss, sample_weight=weight) == pytest.approx(one, rel=1e-12)
    np.testing.assert_allclose(net.predict(x), predicted, rtol=1e-13)


def test_trainers_follow_the_switch(dtype: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 40)
    results = []
    for name in backends.available():
        trainer = fn.Trainer(classifier(dtype))
        trainer.step(x, y)
        backends.use(name)
        trainer.step(x, y)
        trainer.fit(x, y, epochs=1, verbose=0)
        results.append(trainer.network.parameters)
        assert type(trainer._executors["step"][1]) is backends.kernels(dtype).Executor
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-3, atol=1e-5)


def test_a_trainer_can_be_copied(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 40)
    trainer = fn.Trainer(classifier(), optimizer="adam")
    trainer.fit(x, y, epochs=1, verbose=0)
    trainer.step(x, y)
    for other in (copy.deepcopy(trainer), pickle.loads(pickle.dumps(trainer))):
        trained = copy.deepcopy(trainer)
        for one in (other, trained):
            one.fit(x, y, epochs=2, verbose=0)
            one.step(x, y)
        assert other.network.parameters.tobytes() == trained.network.parameters.tobytes()
    assert trainer.epoch == 1


def test_one_optimizer_serves_two_runs(backend: str, rng: np.random.Generator) -> None:
    x, y = blobs(rng, 40)
    optimizer = fn.Adam(0.01)
    first, second = (
        fn.Trainer(classifier(), optimizer=optimizer),
        fn.Trainer(classifier(), optimizer=optimizer),
    )
    first.fit(x, y, epochs=3, verbose=0)
    assert first.state["mean"].any() and not second.state["mean"].any()


def test_the_default_optimizer_and_seed() -> None:
    trainer = fn.Trainer(classifier(seed=17))
    assert trainer.optimizer == fn.SGD(0.1) and trainer.seed == 17
    assert "SGD" in repr(trainer) and "cross_entropy" in repr(trainer)


def test_one_line_an_epoch(
    backend: str, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    x, y = blobs(rng, 40)
    classifier().fit(x, y, epochs=3, verbose=1)
    assert [text.split()[1] for text in capsys.readouterr().out.splitlines()] == ["1/3", "2/3", "3/3"]
    classifier().fit(x, y, epochs=3)  # no terminal, no bar
    assert capsys.readouterr() == ("", "")
