"""What watches training: stopping early, checkpoints, logs, monitors of gradients and of overfitting."""

from __future__ import annotations

import csv
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet.callbacks import (
    Callback,
    Checkpoint,
    CSVLog,
    EarlyStopping,
    GradientMonitor,
    OverfittingMonitor,
)

LAYER_SIZES = [6, 16, 2]


class Spy(Callback):
    """Keeps what each epoch ended with, and writes down the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.parameters: list[np.ndarray] = []
        self.logs: list[dict[str, float]] = []

    def on_train_begin(self, trainer: fn.Trainer) -> None:
        self.calls.append("begin")

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.calls.append(f"epoch {epoch}")
        self.parameters.append(trainer.network.parameters.copy())
        self.logs.append(dict(logs))

    def on_train_end(self, trainer: fn.Trainer) -> None:
        self.calls.append("end")


class Raise(Callback):
    """Raises after an epoch."""

    def __init__(self, error: BaseException, epoch: int) -> None:
        self.error, self.epoch = error, epoch

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        if epoch == self.epoch:
            raise self.error


def samples(seed: int = 0, count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, LAYER_SIZES[0]))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def trainer_for(optimizer: fn.Optimizer | None = None, seed: int = 0) -> fn.Trainer:
    net = fn.mlp(LAYER_SIZES, output="softmax", seed=seed)
    return fn.Trainer(net, optimizer=fn.Adam(0.02) if optimizer is None else optimizer)


def against(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Validation data with the wrong answers: the better the training, the worse its loss."""
    return x, 1 - y


# ---- the base


def test_the_order_of_calls(backend: str) -> None:
    spy, trainer = Spy(), trainer_for()
    trainer.fit(*samples(), epochs=2, callbacks=[spy], verbose=0)
    trainer.fit(*samples(), epochs=1, callbacks=[spy], verbose=0)
    assert spy.calls == ["begin", "epoch 1", "epoch 2", "end", "begin", "epoch 3", "end"]
    assert [logs["loss"] for logs in spy.logs] == trainer.history["loss"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_the_end_is_always_called(error: BaseException) -> None:
    spy = Spy()
    with pytest.raises(type(error)):
        trainer_for().fit(*samples(), epochs=5, callbacks=[spy, Raise(error, 2)], verbose=0)
    assert spy.calls == ["begin", "epoch 1", "epoch 2", "end"]


def test_the_base_does_nothing() -> None:
    plain, watched = trainer_for(), trainer_for()
    plain.fit(*samples(), epochs=2, verbose=0)
    watched.fit(*samples(), epochs=2, callbacks=[Callback()], verbose=0)
    np.testing.assert_array_equal(plain.network.parameters, watched.network.parameters)


# ---- early stopping


def test_early_stopping_restores_the_best_weights(backend: str) -> None:
    x, y = samples()
    spy, stopping, trainer = Spy(), EarlyStopping(patience=3), trainer_for()
    history = trainer.fit(
        x,
        y,
        epochs=50,
        validation=against(x, y),
        callbacks=[spy, stopping, OverfittingMonitor(gap=1)],
        verbose=0,
    )
    best = int(np.argmin(history["val_loss"]))
    assert len(history["loss"]) == best + 1 + 3
    np.testing.assert_array_equal(trainer.network.parameters, spy.parameters[best])
    assert not np.array_equal(trainer.network.parameters, spy.parameters[-1])
    assert (stopping.best, stopping.best_epoch) == (history["val_loss"][best], best + 1)
    reason = f"val_loss has not improved for 3 epochs on {stopping.best:.6g} of epoch {best + 1}"
    assert history.stopped == f"{reason}; its weights are restored"


def test_early_stopping_can_leave_the_last_weights() -> None:
    x, y = samples()
    spy, stopping, trainer = Spy(), EarlyStopping(patience=2, restore_best=False), trainer_for()
    history = trainer.fit(
        x,
        y,
        epochs=50,
        validation=against(x, y),
        callbacks=[spy, stopping, OverfittingMonitor(gap=1)],
        verbose=0,
    )
    assert len(history["loss"]) < 50
    np.testing.assert_array_equal(trainer.network.parameters, spy.parameters[-1])
    assert "restored" not in history.stopped


class Script(Callback):
    """Feeds another callback with values of its own."""

    def __init__(self, inner: Callback, name: str, values: list[float]) -> None:
        self.inner, self.name, self.values = inner, name, values

    def on_train_begin(self, trainer: fn.Trainer) -> None:
        trainer.run.quantities = (*trainer.run.quantities, self.name)
        self.inner.on_train_begin(trainer)

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
        self.inner.on_epoch_end(trainer, epoch, {**logs, self.name: self.values[epoch - 1]})

    def on_train_end(self, trainer: fn.Trainer) -> None:
        self.inner.on_train_end(trainer)


@pytest.mark.parametrize(
    ("name", "values", "arguments", "epochs", "best_epoch"),
    [
        ("val_loss", [3, 2, 1, 1, 1, 0], {"patience": 2}, 5, 3),  # the same again is no improvement
        (
            "val_loss",
            [3, 2, 2.5, 1, 1.5, 1.2, 0.5],
            {"patience": 2},
            6,
            4,
        ),  # an improvement starts the count anew
        ("val_loss", [3, 2.9, 2.8, 2.7, 0], {"patience": 3, "min_delta": 0.5}, 4, 1),
        ("val_loss", [3, 2.9, 2.4, 2.3, 2.3], {"patience": 2, "min_delta": 0.5}, 5, 3),
        ("val_accuracy", [0.1, 0.5, 0.4, 0.5, 0.9], {"patience": 2}, 4, 2),
        ("accuracy", [0.9, 0.95, 0.99, 1.0], {"patience": 1}, 4, 4),  # it never stops
        ("val_loss", [math.nan, 2, math.nan, math.inf, 1], {"patience": 2}, 4, 2),
        ("val_loss", [math.nan, math.nan, math.nan], {"patience": 2}, 2, 0),
        ("mean_absolute_error", [3, 2, 5, 1], {"patience": 1}, 3, 2),
    ],
)
def test_when_early_stopping_stops(
    name: str, values: list[float], arguments: dict[str, float], epochs: int, best_epoch: int
) -> None:
    stopping, spy, trainer = EarlyStopping(name, **arguments), Spy(), trainer_for()
    trainer.fit(*samples(), epochs=len(values), callbacks=[Script(stopping, name, values), spy], verbose=0)
    assert len(spy.parameters) == epochs
    assert stopping.best_epoch == best_epoch
    kept = spy.parameters[best_epoch - 1] if best_epoch else spy.parameters[-1]
    np.testing.assert_array_equal(trainer.network.parameters, kept)


def test_best_weights_come_back_when_the_epochs_run_out_and_after_an_interrupt() -> None:
    values = [2.0, 1.0, 3.0, 4.0]
    for extra in ([], [Raise(KeyboardInterrupt(), 4)]):
        spy, trainer = Spy(), trainer_for()
        callbacks = [Script(EarlyStopping(patience=9), "val_loss", values), spy, *extra]
        try:
            trainer.fit(*samples(), epochs=4, callbacks=callbacks, verbose=0)
        except KeyboardInterrupt:
            assert extra
        assert len(spy.parameters) == 4
        np.testing.assert_array_equal(trainer.network.parameters, spy.parameters[1])


def test_early_stopping_forgets_between_trainings() -> None:
    stopping, trainer = EarlyStopping(patience=2), trainer_for()
    trainer.fit(*samples(), epochs=3, callbacks=[Script(stopping, "val_loss", [0.1, 0.1, 9])], verbose=0)
    values = [math.nan] * 3 + [5.0, 4.0]  # worse than 0.1, but the best of the second training
    trainer.fit(*samples(), epochs=2, callbacks=[Script(stopping, "val_loss", values)], verbose=0)
    assert (stopping.best, stopping.best_epoch) == (4.0, 5)
    assert trainer.history.stopped == ""


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(patience=0), ValueError, "patience is 0"),
        (lambda: EarlyStopping(patience=1.5), TypeError, "patience is 1.5"),
        (lambda: EarlyStopping(min_delta=-1), ValueError, "min_delta is -1"),
        (lambda: EarlyStopping(min_delta=math.nan), ValueError, "min_delta is nan"),
        (lambda: GradientMonitor(vanishing=2), ValueError, "vanishing is 2"),
        (lambda: GradientMonitor(vanishing=-1), ValueError, "vanishing is -1"),
        (lambda: GradientMonitor(exploding=0), ValueError, "exploding is 0"),
        (lambda: OverfittingMonitor(gap=1.5), ValueError, "gap is 1.5"),
        (lambda: OverfittingMonitor(gap=math.nan), ValueError, "gap is nan"),
        (lambda: OverfittingMonitor(patience=0), ValueError, "patience is 0"),
        (
            lambda: Checkpoint("{epoc}.ckpt"),
            ValueError,
            r"path is '\{epoc\}.ckpt'; wanted no braces but \{epoch\}",
        ),
        (lambda: Checkpoint("{epoch}-{loss}.ckpt"), ValueError, "wanted no braces but"),
        (lambda: Checkpoint("{epoch.ckpt"), ValueError, "wanted no braces but"),
        (lambda: Checkpoint("{}.ckpt"), ValueError, "wanted no braces but"),
        (lambda: Checkpoint("{epoch:s}.ckpt"), ValueError, "wanted no braces but"),
        (lambda: Checkpoint(3), TypeError, "PathLike"),
    ],
)
def test_bad_arguments(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# ---- checkpoints


def test_checkpoints_can_be_resumed_from(backend: str, tmp_path: Path) -> None:
    x, y = samples()
    whole = trainer_for()
    whole.fit(x, y, epochs=4, callbacks=[Checkpoint(tmp_path / "run-{epoch:02d}.ckpt")], verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"run-0{i}.ckpt" for i in range(1, 5)]
    resumed = fn.Trainer.load(tmp_path / "run-02.ckpt")
    assert resumed.epoch == 2
    assert resumed.history["loss"] == whole.history["loss"][:2]
    resumed.fit(x, y, epochs=2, verbose=0)
    np.testing.assert_array_equal(resumed.network.parameters, whole.network.parameters)
    assert resumed.history["loss"] == whole.history["loss"]


def test_a_checkpoint_without_a_number_is_replaced(tmp_path: Path) -> None:
    trainer_for().fit(*samples(), epochs=3, callbacks=[Checkpoint(tmp_path / "run.ckpt")], verbose=0)
    assert [path.name for path in tmp_path.iterdir()] == ["run.ckpt"]
    assert fn.Trainer.load(tmp_path / "run.ckpt").epoch == 3


def test_only_the_best_is_kept(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "{epoch}.ckpt", save_best_only=True)
    values = [3.0, 2.0, 2.0, math.nan, 2.5, 1.0]
    trainer_for().fit(*samples(), epochs=6, callbacks=[Script(checkpoint, "val_loss", values)], verbose=0)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["1", "2", "6"]


# ---- the log


def test_the_log_is_the_history(backend: str, tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.csv", trainer_for()
    log = CSVLog(path)
    history = trainer.fit(*samples(), epochs=3, validation=samples(1), callbacks=[log], verbose=0)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", *history]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for name in history:
        assert [float(row[name]) for row in rows] == history[name]  # every digit
    trainer.fit(*samples(), epochs=1, callbacks=[log], verbose=0)  # without validation: empty cells
    lines = path.read_text().splitlines()
    assert len(lines) == 5
    assert lines[4].startswith("4,") and lines[4].endswith(",,")


def test_each_epoch_is_in_the_file_at_once(tmp_path: Path) -> None:
    class Count(Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            counts.append(len((tmp_path / "run.csv").read_text().splitlines()))

    counts: list[int] = []
    trainer_for().fit(*samples(), epochs=2, callbacks=[CSVLog(tmp_path / "run.csv"), Count()], verbose=0)
    assert counts == [2, 3]


def test_a_log_that_is_there_is_replaced_or_continued(tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.csv", trainer_for()
    for append, epochs in ((False, ["1"]), (True, ["1", "2"]), (False, ["3"])):
        trainer.fit(*samples(), epochs=1, callbacks=[CSVLog(path, append=append)], verbose=0)
        assert [line.split(",")[0] for line in path.read_text().splitlines()[1:]] == epochs


def test_a_log_with_other_columns_is_not_continued(tmp_path: Path) -> None:
    path, trainer = tmp_path / "run.csv", trainer_for()
    trainer.fit(*samples(), epochs=1, callbacks=[CSVLog(path)], verbose=0)
    before = path.read_text()
    with pytest.raises(
        ValueError, match=r"has the columns epoch, loss, accuracy; this training has .*val_loss"
    ):
        trainer.fit(
            *samples(), epochs=1, validation=samples(1), callbacks=[CSVLog(path, append=True)], verbose=0
        )
    assert path.read_text() == before


# ---- gradients


def layer_numbers(caught: list[warnings.WarningMessage]) -> list[int]:
    """The layers that warnings of gradients name."""
    assert {one.category for one in caught} <= {fn.GradientWarning}
    return [int(number) for one in caught for number in re.findall(r"in layer (\d+) \(", str(one.message))]


def watch(net: fn.Network, epochs: int, optimizer: fn.Optimizer | None = None, **monitor: float) -> list:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(
            *samples(), optimizer=optimizer, epochs=epochs, callbacks=[GradientMonitor(**monitor)], verbose=0
        )
    return caught


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "gelu", "silu", "elu"])
@pytest.mark.parametrize("batch_size", [1, 30])
def test_healthy_networks_are_left_in_peace(backend: str, activation: str, batch_size: int) -> None:
    x, y = samples()
    net = fn.mlp([6, 32, 32, 2], activation, "softmax", seed=1)
    net.fit(
        x,
        y,
        optimizer=fn.SGD(0.02),
        epochs=10,
        batch_size=batch_size,
        callbacks=[GradientMonitor()],
        verbose=0,
    )  # a warning would be an error


def test_vanishing_gradients_name_their_layers_once(backend: str) -> None:
    caught = watch(fn.mlp([6, *[16] * 8, 2], "sigmoid", "softmax", seed=1), epochs=3)
    named = layer_numbers(caught)
    assert len(named) == len(set(named))
    assert {0, 1, 2} <= set(named) <= set(range(7))  # the first ones, and never the last two
    assert len(caught) == 1  # all that were found in the first epoch, together
    message = str(caught[0].message)
    assert message.startswith("gradients vanish in epoch 1: relative to the weights they are ")
    assert "in layer 0 (Dense(16, sigmoid)), " in message
    assert "in a later layer" in message and "relu" in message
    assert {one.filename for one in caught} == {__file__}  # the line that called fit


def test_a_shallow_network_of_sigmoids_is_fine() -> None:
    assert watch(fn.mlp([6, 16, 2], "sigmoid", "softmax", seed=1), epochs=3) == []


def test_a_layer_whose_units_are_all_off_is_found_in_the_third_epoch() -> None:
    def dead() -> fn.Network:
        bias = np.full(16, -100.0)
        layers = [fn.Dense(16, "relu"), fn.Dense(16, "relu", bias_init=bias), fn.Dense(2, "softmax")]
        return fn.Network(layers, inputs=6, seed=0)

    assert watch(dead(), epochs=2) == []
    assert sorted(layer_numbers(watch(dead(), epochs=3))) == [0, 1]


def test_exploding_gradients_name_their_layers(backend: str) -> None:
    x, y = samples()
    net = fn.mlp([6, 16, 1], seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(
            x, 100.0 * y, loss="half_squared_error", optimizer=fn.SGD(1e-9), epochs=2,
            callbacks=[GradientMonitor(exploding=1e-8)], verbose=0,
        )  # fmt: skip
    assert sorted(layer_numbers(caught)) == [0, 1]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("gradients explode in epoch 1: relative to the weights they are ")
    assert "in layer 1 (Dense(1, identity))" in message and "the learning rate is 1e-09" in message


def test_a_layer_is_named_once_for_vanishing_and_once_for_exploding(monkeypatch: pytest.MonkeyPatch) -> None:
    net = fn.mlp([6, 5, 4, 2], output="softmax", seed=0)
    trainer, monitor = fn.Trainer(net, optimizer=fn.SGD(1.0)), GradientMonitor(1e-3, 10.0)
    epochs = [
        ({0: 1e-5, 1: 1.0, 2: 1.0}, [("vanish", [0])]),
        ({0: 1e-5, 1: 1e-6, 2: 1.0}, [("vanish", [1])]),
        ({0: 99.0, 1: 1e-6, 2: math.nan}, [("explode", [0, 2])]),
        ({0: 99.0, 1: 99.0, 2: 99.0}, [("explode", [1])]),
        ({0: 99.0, 1: 1e-6, 2: 99.0}, []),
    ]
    for number, (gradients, expected) in enumerate(epochs, 1):
        monkeypatch.setattr("fastnet.callbacks._relative_gradients", lambda _, found=gradients: found)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monitor.on_epoch_end(trainer, number, {})
        assert [(str(one.message).split()[1], layer_numbers([one])) for one in caught] == expected
        assert all(f"in epoch {number}:" in str(one.message) for one in caught)


def test_exploding_gradients_are_found_where_training_diverges_in_its_first_epoch(backend: str) -> None:
    x, y = samples()
    net = fn.mlp([6, 16, 1], seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(
            x, 100.0 * y, loss="half_squared_error", optimizer=fn.SGD(1.0), epochs=3, batch_size=8,
            callbacks=[GradientMonitor()], verbose=0,
        )  # fmt: skip
    assert fn.DivergenceWarning in {one.category for one in caught}
    explosions = [one for one in caught if one.category is fn.GradientWarning]
    assert {0, 1} >= set(layer_numbers(explosions)) and explosions
    assert all("explode in epoch 1:" in str(one.message) for one in explosions)


@pytest.mark.parametrize("reads", [True, False])
def test_gradients_before_a_divergence_stay_for_who_reads_them(backend: str, reads: bool) -> None:
    """Layers without bias, as plain descent updates weights without writing their gradients."""
    x, y = samples()
    net = fn.Network([fn.Dense(16, "relu", bias=False), fn.Dense(2, bias=False)], inputs=6, seed=0)
    targets = np.column_stack([100.0 * y, y]).astype(np.float32)
    hand, last = net.copy(), np.zeros(0)
    for start in range(0, len(x), 8):
        batch = slice(start, start + 8)
        loss, gradients = hand.loss_and_gradients(x[batch], targets[batch], "half_squared_error")
        if not np.isfinite(loss):
            break
        last = gradients.copy()
        hand.parameters[...] -= 0.5 * gradients

    class Reader(Callback):
        reads_gradients = reads

    trainer = fn.Trainer(net, loss="half_squared_error", optimizer=fn.SGD(0.5))
    with pytest.warns(fn.DivergenceWarning):
        trainer.fit(x, targets, epochs=1, batch_size=8, shuffle=False, callbacks=[Reader()], verbose=0)
    assert np.abs(last).max() > 1e6
    same = np.allclose(trainer.gradients, last, rtol=1e-3)
    assert same == reads  # whoever does not ask gets what is left


def test_the_relative_gradient_by_hand() -> None:
    """Twice the threshold warns, half of it does not; weights and biases count together."""
    x, y = samples()
    net = fn.mlp(LAYER_SIZES, output="softmax", dtype="float64", seed=0)

    class Measure(Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: dict[str, float]) -> None:
            count = sum(slot.size for slot in trainer.network.graph.slots if slot.layer == 0)
            gradient, values = trainer.gradients[:count], trainer.network.parameters[:count]
            measured.append(0.05 * math.sqrt(np.mean(gradient**2) / np.mean(values**2)))

    measured: list[float] = []
    net.copy().fit(x, y, optimizer=fn.SGD(0.05), epochs=1, callbacks=[Measure()], verbose=0, seed=5)
    for factor, warned in ((1.001, False), (0.999, True)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monitor = GradientMonitor(exploding=factor * measured[0])
            net.copy().fit(x, y, optimizer=fn.SGD(0.05), epochs=1, callbacks=[monitor], verbose=0, seed=5)
        assert (0 in layer_numbers(caught)) == warned


# ---- overfitting


def learned_by_heart() -> tuple[fn.Trainer, dict[str, object]]:
    """Random labels: nothing to learn but the samples themselves."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 6)), rng.integers(0, 2, 30)
    validation = (rng.normal(size=(100, 6)), rng.integers(0, 2, 100))
    net = fn.mlp([6, 64, 2], output="softmax", seed=0)
    fit = {"x": x, "y": y, "validation": validation, "epochs": 100, "verbose": 0}
    return fn.Trainer(net, optimizer=fn.Adam(0.02)), fit


def test_fit_warns_of_overfitting_once(backend: str) -> None:
    trainer, arguments = learned_by_heart()
    with pytest.warns(fn.OverfittingWarning) as caught:
        trainer.fit(**arguments)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "on the training data" in message and "on the validation data" in message
    assert caught[0].filename == __file__
    epoch = int(message.split("epoch ")[1].split()[0])
    gaps = np.subtract(trainer.history["accuracy"], trainer.history["val_accuracy"])
    in_a_row = [all(gaps[i - 2 : i + 1] > 0.1) for i in range(2, len(gaps))]
    assert epoch == in_a_row.index(True) + 3  # the first epoch that ends three with such a gap


def test_the_gap_and_patience_are_the_callers() -> None:
    trainer, arguments = learned_by_heart()
    trainer.fit(**arguments, callbacks=[OverfittingMonitor(gap=0.9)])  # a warning would be an error
    trainer, arguments = learned_by_heart()
    trainer.fit(**arguments, callbacks=[OverfittingMonitor(patience=101)])


@pytest.mark.parametrize(
    ("gaps", "epoch"),
    [
        ([0.2, 0.2, 0.2], 3),
        ([0.2, 0.2, 0.0, 0.2, 0.2], None),
        ([0.2, 0.0, 0.2, 0.2, 0.2], 5),
        ([0.1] * 9, None),
    ],
)
def test_only_a_gap_in_several_epochs_in_a_row_counts(gaps: list[float], epoch: int | None) -> None:
    monitor, trainer, warned = OverfittingMonitor(gap=0.125, patience=3), trainer_for(), None
    for number, gap in enumerate(gaps, 1):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            monitor.on_epoch_end(trainer, number, {"loss": 1.0, "accuracy": 0.75, "val_accuracy": 0.75 - gap})
        warned = number if caught else warned
    assert warned == epoch


def test_no_gap_no_warning() -> None:
    trainer, arguments = learned_by_heart()
    arguments["validation"] = (arguments["x"], arguments["y"])
    trainer.fit(**arguments)
    del arguments["validation"]
    trainer.fit(**arguments, callbacks=[OverfittingMonitor()])  # nothing to compare
