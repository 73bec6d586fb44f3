"""Bad input gets an error that names the argument, what was wanted and what came; nothing is changed."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

import fastnet as fn
from fastnet import callbacks
from fastnet.checks import is_finite

NAN, INF = float("nan"), float("inf")
X = np.linspace(-1, 1, 40).reshape(10, 4)
Y = np.arange(10) % 3


def network(dtype: str = "float32", output: str = "softmax") -> fn.Network:
    return fn.Network([fn.Dense(5, "tanh"), fn.Dense(3, output)], inputs=4, dtype=dtype, seed=0)


def with_item(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = np.array(array, np.float64)
    changed[place] = value
    return changed


BAD_X: dict[str, tuple[object, type[Exception], str]] = {
    "features": (X[:, :3], ValueError, "x has 3 features; the network's input has 4"),
    "row of wrong size": (X[0, :3], ValueError, "x has 3 features; the network's input has 4"),
    "dimensions": (X.reshape(10, 2, 2), ValueError, r"x has shape \(10, 2, 2\); wanted \(N, 4\)"),
    "number": (3.0, ValueError, r"x has shape \(\)"),
    "nothing": ([], ValueError, r"x has no values; wanted \(N, 4\)"),
    "rows of nothing": ([[], []], ValueError, r"x has no values; wanted \(N, 4\)"),
    "None": (None, TypeError, "x holds objects; wanted numbers"),
    "nan": (with_item(X, (7, 2), NAN), ValueError, r"x\[7, 2\] is nan; wanted finite"),
    "inf": (with_item(X, (0, 3), -INF), ValueError, r"x\[0, 3\] is -inf"),
    "strings": ([["a", "b", "c", "d"]], TypeError, "x holds strings; wanted numbers"),
    "numbers as text": (X.astype(str), TypeError, "x holds strings"),
    "bytes": (X.astype("S5"), TypeError, "x holds byte strings"),
    "objects": ([[object()] * 4], TypeError, "x holds objects"),
    "decimals": ([[decimal.Decimal(1)] * 4], TypeError, "x holds objects"),
    "complex": (X + 1j, TypeError, "x holds complex numbers"),
    "dates": ([[datetime.datetime(2020, 1, 1)] * 4], TypeError, "x holds objects"),
    "times": (np.zeros((2, 4), "M8[s]"), TypeError, "x holds values of type datetime64"),
    "ragged": ([[1, 2, 3, 4], [1, 2]], ValueError, "x is not a rectangular array"),
    "dict": ({"a": 1}, TypeError, "x holds objects"),
    "set": ({1, 2, 3, 4}, TypeError, "x holds objects"),
}


@pytest.mark.parametrize("name", BAD_X)
def test_bad_x(backend: str, dtype: str, name: str) -> None:
    x, error, message = BAD_X[name]
    net = network(dtype)
    trainer = fn.Trainer(net, optimizer="adam", seed=1)
    untouched = snapshot(trainer)
    rows = Y[: len(x)] if hasattr(x, "__len__") else Y[:1]
    for call in (
        lambda: net.predict(x),
        lambda: net.evaluate(x, rows),
        lambda: net.loss_and_gradients(x, rows),
        lambda: trainer.step(x, rows),
        lambda: trainer.fit(x, rows, verbose=0),
    ):
        with pytest.raises(error, match=message):
            call()
    with pytest.raises(error, match=message.replace("x", "validation x", 1)):
        trainer.fit(X, Y, validation=(x, rows), verbose=0)
    assert snapshot(trainer) == untouched


def snapshot(trainer: fn.Trainer) -> tuple[object, ...]:
    """Everything that a failed call must leave alone."""
    net = trainer.network
    return (
        net.parameters.tobytes(),
        net.history,
        trainer.state_vectors.tobytes(),
        trainer.history.to_dict(),
        str(trainer.rng.bit_generator.state),
        trainer.epoch,
        trainer.steps,
        trainer.run,
    )


def test_a_single_sample_is_for_predict_only() -> None:
    net = network()
    assert net.predict(X[0]).shape == (3,)
    with pytest.raises(
        ValueError, match=r"x has shape \(4,\); wanted \(N, 4\): for one sample write x\[None\]"
    ):
        net.evaluate(X[0], [1])
    narrow = fn.Network([fn.Dense(2, "softmax")], inputs=1)
    with pytest.raises(ValueError, match=r"wanted \(N, 1\): for samples of one feature write x\[:, None\]"):
        narrow.predict(np.arange(5.0))


def test_no_rows() -> None:
    net = network()
    assert net.predict(np.zeros((0, 4))).shape == (0, 3)
    for call in (net.evaluate, net.loss_and_gradients, fn.Trainer(net).step, fn.Trainer(net).fit):
        with pytest.raises(ValueError, match="x has no rows; wanted at least one"):
            call(np.zeros((0, 4)), np.zeros(0, int))
    with pytest.raises(ValueError, match="validation x has no rows"):
        net.fit(X, Y, validation=(X[:0], Y[:0]), verbose=0)


def test_not_finite_in_the_fast_path(backend: str, dtype: str) -> None:
    net = network(dtype)
    for value in (NAN, INF, -INF):
        with pytest.raises(ValueError, match="x"):
            net.predict(np.array([0.0, value, 0.0, 0.0], dtype))
    assert np.isfinite(net.predict(np.zeros(4, dtype))).all()


@pytest.mark.parametrize("size", [1, 8192, 8193, 1 << 16, (1 << 16) + 1, 200_000])
def test_one_number_that_is_not_finite_is_found_anywhere(size: int, dtype: str) -> None:
    values = np.full((size, 1), np.finfo(dtype).max, dtype)  # whose sums and products overflow
    with np.errstate(all="raise", over="ignore"):
        assert is_finite(values) and is_finite(-values) and is_finite(values[:0])
        for bad in (NAN, INF, -INF):
            for place in {0, size // 2, size - 1}:
                values[place] = bad
                assert not is_finite(values)
                values[place] = 0


def test_too_large_for_float32() -> None:
    net = network("float32")
    with pytest.raises(ValueError, match=r"x\[2, 1\] is 1e\+300; that is too large for float32"):
        net.predict(with_item(X, (2, 1), 1e300))
    assert np.isfinite(network("float64").predict(with_item(X, (2, 1), 1e300))).all()


@pytest.mark.parametrize("rows", [1, 3000, 100_001])
def test_one_bad_value_among_many_is_found(rows: int, rng: np.random.Generator) -> None:
    net = network()
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    assert len(net.predict(x)) == rows
    for row in {0, rows // 2, rows - 1}:
        for value in (NAN, INF):
            bad = x.copy()
            bad[row, 3] = value
            with pytest.raises(ValueError, match=rf"x\[{row}, 3\] is {value}"):
                net.predict(bad)
    # A sum of squares that overflows is no reason to refuse.
    assert len(net.predict(np.full((rows, 4), 1e30, np.float32))) == rows


BAD_LABELS: dict[str, tuple[object, type[Exception], str]] = {
    "rows": (Y[:9], ValueError, "y has 9 rows; x has 10"),
    "too large": (with_item(Y, (4,), 3), ValueError, r"y\[4\] is 3.*; wanted labels in 0 \.\. 2.* 3 outputs"),
    "far too large": (np.r_[Y[:9], 2**62], ValueError, r"y\[9\] is 4611686018427387904; wanted labels"),
    "unsigned": (
        np.r_[Y[:9].astype(np.uint64), np.uint64(2**64 - 1)],
        ValueError,
        r"y\[9\] is 18446744073709551615",
    ),
    "negative": (Y - 1, ValueError, r"y\[0\] is -1; wanted labels in 0 \.\. 2"),
    "negative int8": ((Y - 1).astype(np.int8), ValueError, r"y\[0\] is -1"),
    "fraction": (Y + 0.5, ValueError, r"y\[0\] is 0\.5; wanted a whole number"),
    "nan": (with_item(Y, (3,), NAN), ValueError, r"y\[3\] is nan"),
    "inf": (with_item(Y, (3,), INF), ValueError, r"y\[3\] is inf"),
    "strings": (["cat"] * 10, TypeError, "y holds strings"),
    "column": (
        Y[:, None],
        ValueError,
        r"y has shape \(10, 1\); loss 'cross_entropy' wants \(N, 3\) or labels \(N,\)",
    ),
    "columns": (np.eye(4)[Y], ValueError, r"y has shape \(10, 4\)"),
    "number": (1, ValueError, "y is a single number; x has 10"),
    "rows of logits": (np.eye(3)[Y] * 7, ValueError, r"y\[0, 0\] is 7.*wants a number from 0 to 1"),
    "several labels": (np.ones((10, 3)), ValueError, r"y\[0\] sums to 3; .*binary_cross_entropy"),
    "empty rows": (np.zeros((10, 3)), ValueError, r"y\[0\] sums to 0"),
    "nan rows": (with_item(np.eye(3)[Y], (5, 1), NAN), ValueError, r"y\[5, 1\] is nan"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(name: str) -> None:
    y, error, message = BAD_LABELS[name]
    check_targets("cross_entropy", "softmax", y, error, message)


BAD_TARGETS: list[tuple[str, str, object, type[Exception], str]] = [
    (
        "mean_squared_error",
        "identity",
        Y,
        ValueError,
        r"y has shape \(10,\); .* wants \(N, 3\): for class labels",
    ),
    ("mean_squared_error", "identity", np.zeros((10, 2)), ValueError, r"y has shape \(10, 2\)"),
    ("mean_squared_error", "identity", np.zeros((10, 3, 1)), ValueError, r"y has shape \(10, 3, 1\)"),
    (
        "mean_squared_error",
        "identity",
        with_item(np.zeros((10, 3)), (9, 2), INF),
        ValueError,
        r"y\[9, 2\] is inf",
    ),
    ("huber", "tanh", np.full((10, 3), "0"), TypeError, "y holds strings"),
    (
        "poisson",
        "softplus",
        with_item(np.ones((10, 3)), (1, 1), -0.5),
        ValueError,
        r"y\[1, 1\] is -0\.5.*no negative",
    ),
    ("poisson", "softplus", with_item(np.ones((10, 3)), (1, 1), NAN), ValueError, r"y\[1, 1\] is nan"),
    ("binary_cross_entropy", "sigmoid", np.full((10, 3), 2), ValueError, r"y\[0, 0\] is 2; .* from 0 to 1"),
    ("binary_cross_entropy", "sigmoid", np.full((10, 3), -1), ValueError, r"y\[0, 0\] is -1; .* from 0 to 1"),
    ("perceptron", "identity", np.zeros((10, 3)), ValueError, r"y\[0, 0\] is 0\.0; .* wants -1 or 1"),
    ("perceptron", "identity", with_item(np.ones((10, 3)), (3, 0), NAN), ValueError, r"y\[3, 0\] is nan"),
]


@pytest.mark.parametrize(("loss", "output", "y", "error", "message"), BAD_TARGETS)
def test_bad_targets(loss: str, output: str, y: object, error: type[Exception], message: str) -> None:
    check_targets(loss, output, y, error, message)


def check_targets(loss: str, output: str, y: object, error: type[Exception], message: str) -> None:
    trainer = fn.Trainer(network(output=output), loss=loss, seed=1)
    untouched = snapshot(trainer)
    for call in (
        lambda: trainer.network.evaluate(X, y, loss),
        lambda: trainer.network.loss_and_gradients(X, y, loss),
        lambda: trainer.step(X, y),
        lambda: trainer.fit(X, y, verbose=0),
        lambda: fn.gradient_check(trainer.network, X, y, loss),
    ):
        with pytest.raises(error, match=message):
            call()
    good = np.ones((10, 3)) / (3 if loss == "cross_entropy" else 1)
    validation_message = message.replace("y", "validation y", 1).replace("x has", "validation x has")
    with pytest.raises(error, match=validation_message):
        trainer.fit(X, good, validation=(X, y), verbose=0)
    assert snapshot(trainer) == untouched


def test_targets_of_one_output_may_be_a_vector(backend: str, dtype: str) -> None:
    net = fn.Network([fn.Dense(1, "sigmoid")], inputs=4, dtype=dtype, seed=0)
    for loss in ("mean_squared_error", "binary_cross_entropy", "poisson"):
        for y in (Y % 2, (Y % 2).astype(bool), (Y % 2).tolist(), np.float16(Y % 2)):
            assert net.evaluate(X, y, loss) == net.evaluate(X, np.asarray(y, float)[:, None], loss)


BAD_WEIGHTS: list[tuple[object, type[Exception], str]] = [
    (np.ones(9), ValueError, r"sample_weight has shape \(9,\); wanted \(10,\)"),
    (np.ones((10, 1)), ValueError, r"sample_weight has shape \(10, 1\)"),
    (2.0, ValueError, r"sample_weight has shape \(\)"),
    (with_item(np.ones(10), (6,), NAN), ValueError, r"sample_weight\[6\] is nan"),
    (with_item(np.ones(10), (6,), INF), ValueError, r"sample_weight\[6\] is inf"),
    (with_item(np.ones(10), (6,), -1), ValueError, r"sample_weight\[6\] is -1; a weight is not negative"),
    (np.zeros(10), ValueError, "sample_weight is 0 everywhere"),
    (["heavy"] * 10, TypeError, "sample_weight holds strings"),
]


@pytest.mark.parametrize(("weight", "error", "message"), BAD_WEIGHTS)
def test_bad_sample_weights(weight: object, error: type[Exception], message: str) -> None:
    trainer = fn.Trainer(network(), seed=1)
    untouched = snapshot(trainer)
    for call in (trainer.network.evaluate, trainer.network.loss_and_gradients, trainer.step, trainer.fit):
        with pytest.raises(error, match=message):
            call(X, Y, sample_weight=weight)
    assert snapshot(trainer) == untouched


BAD_ARGUMENTS: list[tuple[dict[str, object], type[Exception], str]] = [
    ({"epochs": 0}, ValueError, "epochs is 0; wanted an integer of at least 1"),
    ({"epochs": 1.5}, TypeError, "epochs is 1.5"),
    ({"batch_size": 0}, ValueError, "batch_size is 0"),
    ({"batch_size": -4}, ValueError, "batch_size is -4"),
    ({"batch_size": "all"}, TypeError, "batch_size is 'all'"),
    ({"batch_size": True}, TypeError, "batch_size is True"),
    ({"shuffle": "yes"}, TypeError, "shuffle is 'yes'; wanted True or False"),
    ({"verbose": 7}, ValueError, "verbose is 7"),
    ({"verbose": True}, ValueError, "verbose is True"),
    ({"validation": X}, TypeError, r"validation is a ndarray; wanted a pair \(x, y\)"),
    ({"validation": (X, Y, Y)}, TypeError, "validation is a tuple; wanted a pair"),
    ({"validation": 0.2}, TypeError, "validation is a float; wanted a pair"),
    ({"validation": (X[:, :2], Y)}, ValueError, "validation x has 2 features"),
    ({"validation": (X, Y[:3])}, ValueError, "validation y has 3 rows; validation x has 10"),
    ({"callbacks": callbacks.EarlyStopping()}, TypeError, "callbacks is a EarlyStopping; wanted a list"),
    ({"callbacks": [callbacks.EarlyStopping]}, TypeError, r"callbacks\[0\] is .*write EarlyStopping\(\)"),
    ({"callbacks": [print]}, TypeError, r"callbacks\[0\] is <built-in function print>; wanted a Callback"),
    ({"class_weight": "even"}, ValueError, "class_weight is 'even'; wanted 'balanced' or a dict"),
    ({"class_weight": [1, 2, 3]}, TypeError, "class_weight is a list; wanted 'balanced' or a dict"),
    ({"class_weight": {}}, ValueError, "class_weight is empty; wanted 'balanced' or a dict"),
    ({"class_weight": {0: -1.0}}, ValueError, r"class_weight\[0\] is -1"),
    ({"class_weight": {0: NAN}}, ValueError, r"class_weight\[0\] is nan"),
    ({"class_weight": {0: "x"}}, TypeError, r"class_weight\[0\] is 'x'"),
    ({"class_weight": {3: 1.0}}, ValueError, r"class_weight has a weight for 3, .* known: \[0, 1, 2\]"),
    ({"class_weight": {"cat": 1.0}}, ValueError, "class_weight has a weight for 'cat'"),
    ({"class_weight": {0: 0, 1: 0, 2: 0}}, ValueError, "every sample the weight 0"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD_ARGUMENTS)
def test_bad_arguments_of_fit(options: dict[str, object], error: type[Exception], message: str) -> None:
    trainer = fn.Trainer(network(), seed=1)
    untouched = snapshot(trainer)
    for fit in (trainer.fit, trainer.network.fit):
        with pytest.raises(error, match=message):
            fit(X, Y, **{"verbose": 0, **options})
    assert snapshot(trainer) == untouched


BAD_TRAINERS: list[tuple[str, dict[str, object], type[Exception], str]] = [
    (
        "softmax",
        {"loss": "crossentropy"},
        ValueError,
        "unknown loss 'crossentropy'.*known: half_squared_error",
    ),
    ("softmax", {"loss": 3}, TypeError, "loss must be a name"),
    ("softmax", {"optimizer": "adm"}, ValueError, "unknown optimizer 'adm'.*known: sgd, adagrad"),
    ("softmax", {"optimizer": fn.Adam}, TypeError, "optimizer must be an optimizer"),
    ("softmax", {"optimizer": 0.1}, TypeError, "optimizer must be an optimizer"),
    ("softmax", {"seed": -1}, ValueError, "seed is -1"),
    ("softmax", {"seed": 2**63}, ValueError, "seed is 9223372036854775808"),
    ("softmax", {"seed": "now"}, TypeError, "seed is 'now'"),
    (
        "identity",
        {"loss": "cross_entropy"},
        ValueError,
        "does not fit .*'identity': give the last layer .*'softmax'",
    ),
    ("softmax", {"loss": "binary_cross_entropy"}, ValueError, "'softmax': give the last layer .*'sigmoid'"),
    ("identity", {"loss": "poisson"}, ValueError, "'identity': give the last layer .*'softplus'"),
]


@pytest.mark.parametrize(("output", "options", "error", "message"), BAD_TRAINERS)
def test_bad_arguments_of_trainer(
    output: str, options: dict[str, object], error: type[Exception], message: str
) -> None:
    net = network(output=output)
    with pytest.raises(error, match=message):
        fn.Trainer(net, **options)
    before = net.parameters.copy()
    with pytest.raises(error, match=message):
        net.fit(X, Y, verbose=0, **options)
    np.testing.assert_array_equal(net.parameters, before)


@pytest.mark.parametrize("rate", [0, 0.0, -0.1, NAN, INF, -INF])
def test_bad_learning_rates(rate: float) -> None:
    for kind in (fn.SGD, fn.AdaGrad, fn.RMSprop, fn.Adam, fn.AdamW, fn.Rprop):
        with pytest.raises(ValueError, match=f"learning_rate .*{rate:g}"):
            kind(rate)


def test_one_output_has_no_cross_entropy() -> None:
    net = fn.Network([fn.Dense(1, "softmax")], inputs=4)
    with pytest.raises(ValueError, match=r"always 0 where the network has one output.*'sigmoid'"):
        net.fit(X, np.zeros(10), verbose=0)


def test_what_is_not_a_network() -> None:
    with pytest.raises(TypeError, match="network is a str; wanted a Network"):
        fn.Trainer("net.safetensors")


@pytest.mark.parametrize("metrics", ["accuracy", ("speed",), (3,)])
def test_bad_metrics(metrics: object) -> None:
    with pytest.raises((TypeError, ValueError), match="metric"):
        network().evaluate(X, Y, metrics=metrics)


Function = Callable[[np.ndarray, np.ndarray], object]
BAD_FUNCTIONS: list[tuple[Function, type[Exception], str]] = [
    (lambda output, target: 1.0, TypeError, r"returned float; wanted a tuple \(value, d_output\)"),
    (lambda output, target: (1.0, output, output), TypeError, "returned tuple; wanted a tuple"),
    (lambda output, target: (None, output), TypeError, "returned the value None; wanted a number"),
    (lambda output, target: (output, output), TypeError, "wanted a number"),
    (lambda output, target: (1.0, output[:, :1]), ValueError, r"d_output of shape \(10, 1\); .* \(10, 3\)"),
    (lambda output, target: (1.0, 0.0), ValueError, r"d_output of shape \(\)"),
]


@pytest.mark.parametrize(("function", "error", "message"), BAD_FUNCTIONS)
def test_bad_functions_as_loss(
    backend: str, function: Function, error: type[Exception], message: str
) -> None:
    trainer = fn.Trainer(network(), loss=function)
    before = trainer.network.parameters.copy()
    for call in (
        lambda: trainer.step(X, X[:, :3]),
        lambda: trainer.fit(X, X[:, :3], batch_size=10, verbose=0),
        lambda: trainer.network.evaluate(X, X[:, :3], function),
        lambda: trainer.network.loss_and_gradients(X, X[:, :3], function),
    ):
        with pytest.raises(error, match=message):
            call()
    np.testing.assert_array_equal(trainer.network.parameters, before)


def test_a_function_as_loss_weights_samples_itself() -> None:
    def squares(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        return 0.0, output - target

    for option in ({"sample_weight": np.ones(10)}, {"class_weight": "balanced"}):
        with pytest.raises(ValueError, match=f"{next(iter(option))} needs a loss from the table"):
            network().fit(X, X[:, :3], loss=squares, verbose=0, **option)


def test_class_weights_need_classes() -> None:
    net = network(output="identity")
    with pytest.raises(ValueError, match="class_weight needs labels, or rows with one 1"):
        net.fit(X, X[:, :3], loss="mean_squared_error", class_weight="balanced", verbose=0)
    one = fn.Network([fn.Dense(1)], inputs=4)
    with pytest.raises(ValueError, match=r"class_weight needs labels in y, but y\[0\] is 0\.5"):
        one.fit(X, np.full(10, 0.5), loss="mean_squared_error", class_weight="balanced", verbose=0)


@given(
    numpy_strategies.arrays(
        st.one_of(numpy_strategies.scalar_dtypes(), numpy_strategies.unicode_string_dtypes()),
        numpy_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.sampled_from(["float32", "float64"]),
)
def test_whatever_comes_gets_an_output_or_an_error(backend: str, x: np.ndarray, dtype: str) -> None:
    net = network(dtype)
    try:
        y = net.predict(x)
    except (ValueError, TypeError) as error:
        assert "x" in str(error)
        return
    assert y.shape == (*x.shape[:-1], 3) and np.isfinite(y).all()
