"""Networks: what they compute, what they accept, and copies of them."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

import fastnet as fn
from fastnet import backends
from fastnet.checks import check_metric


def by_hand(net: fn.Network, x: np.ndarray) -> np.ndarray:
    """A tanh layer and a softmax layer, in float64."""
    first, last = net.layers
    hidden = np.tanh(np.asarray(x, np.float64) @ first.weights + first.bias)
    e = np.exp(hidden @ last.weights.astype(np.float64) + last.bias)
    return e / e.sum(axis=1, keepdims=True)


def small(dtype: str = "float32", seed: int = 0) -> fn.Network:
    return fn.Network([fn.Dense(7, "tanh"), fn.Dense(3, "softmax")], inputs=5, dtype=dtype, seed=seed)


@pytest.mark.parametrize("rows", [0, 1, 2, 33, 3000])
def test_predict_is_the_formula(backend: str, dtype: str, rng: np.random.Generator, rows: int) -> None:
    net = small(dtype)
    x = rng.normal(size=(rows, 5))
    y = net.predict(x)
    assert y.shape == (rows, 3) and y.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(y, by_hand(net, x), rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(net(x), y)


def test_a_single_sample_is_a_row(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x = rng.normal(size=(4, 5)).astype(dtype)
    expected = net.predict(x)
    for sample, row in zip(x, expected, strict=True):
        fast = net.predict(sample)
        assert fast.shape == (3,) and fast.dtype == dtype
        np.testing.assert_allclose(fast, row, rtol=1e-5)
        np.testing.assert_allclose(net.predict(sample.tolist()), row, rtol=1e-5)
        np.testing.assert_allclose(net.predict(sample.astype(np.float64)), row, rtol=1e-5)


def test_outputs_are_new_arrays(backend: str, rng: np.random.Generator) -> None:
    net = small()
    rows, single = rng.normal(size=(2, 3, 5)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    first, one = net.predict(rows[0]), net.predict(single)
    kept, kept_one = first.copy(), one.copy()
    net.predict(rows[1]), net.predict(-single)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(one, kept_one)


def test_all_kinds_of_arrays_are_taken(backend: str, dtype: str, tmp_path: Path) -> None:
    net = small(dtype)
    whole = np.arange(-10, 10).reshape(4, 5)
    expected = net.predict(whole)
    read_only = whole.astype(dtype)
    read_only.setflags(write=False)
    mapped = np.memmap(tmp_path / "x.bin", dtype, "w+", shape=(4, 5))
    mapped[...] = whole
    mapped.flush()
    wide = np.zeros((4, 10), dtype)
    wide[:, ::2] = whole
    buffer = bytearray(1 + whole.size * np.dtype(dtype).itemsize)
    unaligned = np.frombuffer(buffer, dtype, offset=1).reshape(4, 5)
    unaligned[...] = whole
    for x in (
        whole.tolist(),
        whole.astype(np.int8),
        whole.astype(np.float16),
        np.asfortranarray(whole.astype(dtype)),
        whole[::-1].astype(dtype)[::-1],
        whole.astype(dtype)[:, ::-1].copy()[:, ::-1],
        whole.astype(np.dtype(dtype).newbyteorder()),
        wide[:, ::2],
        read_only,
        unaligned,
        np.memmap(tmp_path / "x.bin", dtype, "r", shape=(4, 5)),
    ):
        np.testing.assert_array_equal(net.predict(x), expected)
        np.testing.assert_allclose(net.predict(x[1]), expected[1], rtol=1e-5)
    np.testing.assert_array_equal(net.predict(whole > 0), net.predict((whole > 0).astype(float)))


def test_training_takes_all_kinds_of_arrays(backend: str, dtype: str) -> None:
    x = np.arange(40.0).reshape(8, 5) / 40
    y = np.arange(8) % 3
    read_only, labels = x.astype(dtype), y.astype(np.int64)
    read_only.setflags(write=False)
    labels.setflags(write=False)
    results = []
    for data, targets in (
        (x, y),
        (read_only, labels),
        (np.asfortranarray(x), y.astype(np.uint8)),
        (x[::-1].copy()[::-1], y.astype(np.float32)),
        (x.tolist(), y.tolist()),
    ):
        net = small(dtype)
        net.fit(data, targets, epochs=2, batch_size=3, verbose=0, seed=1)
        results.append(net.parameters)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_images_through_flatten(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = fn.Network([fn.Flatten(), fn.Dense(4, "sigmoid")], inputs=(1, 6, 5), dtype=dtype, seed=0)
    flat = fn.Network([fn.Dense(4, "sigmoid")], inputs=30, dtype=dtype, seed=0)
    images = rng.normal(size=(9, 1, 6, 5)).astype(dtype)
    expected = flat.predict(images.reshape(9, 30))
    np.testing.assert_array_equal(net.predict(images), expected)
    one = net.predict(images[3])
    assert one.shape == (4,)
    np.testing.assert_allclose(one, expected[3], rtol=1e-5)
    for wrong in (images.reshape(9, 30), images[0].ravel(), images[:, 0], images[0, 0]):
        with pytest.raises(ValueError, match=r"x has shape .*; wanted \(N, 1, 6, 5\)"):
            net.predict(wrong)
    net.fit(images, np.zeros((9, 4)), loss="mean_squared_error", epochs=1, verbose=0)


def test_mlp_is_its_layers() -> None:
    net = fn.mlp([4, 8, 6, 2], activation="tanh", output="softmax", dropout=0.2, dtype="float64", seed=9)
    drawn = "[Dense(8, 'tanh'), Dropout(0.2), Dense(6, 'tanh'), Dropout(0.2), Dense(2, 'softmax')]"
    assert repr(net) == f"Network({drawn}, inputs=4, dtype='float64')"
    assert [type(layer).__name__ for layer in fn.mlp([4, 8, 2]).layers] == ["Dense", "Dense"]
    assert net.seed == 9 and net.input_shape == (4,) and net.output_shape == (2,)


def test_seeds() -> None:
    np.testing.assert_array_equal(small(seed=4).parameters, small(seed=4).parameters)
    assert not np.array_equal(small(seed=4).parameters, small(seed=5).parameters)
    drawn = fn.Network([fn.Dense(7, "tanh"), fn.Dense(3, "softmax")], inputs=5)
    assert drawn.seed != fn.Network([fn.Dense(3)], inputs=5).seed
    np.testing.assert_array_equal(small(seed=drawn.seed).parameters, drawn.parameters)


def test_gradients_are_new_and_change_nothing(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)
    before = net.parameters.copy()
    value, gradients = net.loss_and_gradients(x, y)
    assert isinstance(value, float) and gradients.shape == before.shape and gradients.dtype == dtype
    p = by_hand(net, x)
    assert value == pytest.approx(-np.log(p[np.arange(6), y]).mean(), rel=1e-5)
    d_bias = (p - np.eye(3)[y]).mean(axis=0)
    np.testing.assert_allclose(gradients[-3:], d_bias, rtol=1e-4, atol=1e-6)
    kept = gradients.copy()
    net.loss_and_gradients(-x, y)
    np.testing.assert_array_equal(gradients, kept)
    np.testing.assert_array_equal(net.parameters, before)


def test_labels_and_one_hot_rows_are_the_same(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 3, 6)
    by_label, by_row = net.loss_and_gradients(x, y), net.loss_and_gradients(x, np.eye(3)[y])
    assert by_label[0] == pytest.approx(by_row[0], rel=1e-6)
    np.testing.assert_allclose(by_label[1], by_row[1], rtol=1e-4, atol=1e-7)


def test_a_weight_of_two_is_a_sample_given_twice(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x, y = rng.normal(size=(4, 5)), np.array([0, 1, 2, 1])
    weighted = net.loss_and_gradients(x, y, sample_weight=[2, 1, 0, 1])
    repeated = net.loss_and_gradients(x[[0, 0, 1, 3]], y[[0, 0, 1, 3]])
    assert weighted[0] == pytest.approx(repeated[0], rel=1e-5)
    np.testing.assert_allclose(weighted[1], repeated[1], rtol=1e-4, atol=1e-6)
    sums = net.evaluate(x, np.eye(3)[y], loss="half_squared_error", metrics=(), sample_weight=[2, 1, 0, 1])
    again = net.evaluate(x[[0, 0, 1, 3]], np.eye(3)[y[[0, 0, 1, 3]]], loss="half_squared_error", metrics=())
    assert sums == pytest.approx(again, rel=1e-5)


def half_square(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
    return float(((output - target) ** 2).sum() / 2), output - target


def test_a_function_as_loss(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x, y = rng.normal(size=(6, 5)), rng.uniform(size=(6, 3))
    own, built_in = (
        net.loss_and_gradients(x, y, half_square),
        net.loss_and_gradients(x, y, "half_squared_error"),
    )
    assert own[0] == pytest.approx(built_in[0], rel=1e-5)
    np.testing.assert_allclose(own[1], built_in[1], rtol=1e-4, atol=1e-6)
    assert net.evaluate(x, y, half_square) == pytest.approx({"loss": own[0]}, rel=1e-5)


def test_targets_of_a_function_as_loss(backend: str) -> None:
    got: list[np.ndarray] = []

    def spy(output: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray]:
        got.append(target)
        return 0.0, np.zeros_like(output)

    one = fn.Network([fn.Dense(1)], inputs=5, seed=0)
    one.evaluate(np.ones((3, 5)), [1, 2, 3], spy)  # (N, 1) as the output is, or a difference would be (N, N)
    small().evaluate(np.ones((3, 5)), np.array([1, 2, 0], np.int8), spy)
    small().evaluate(np.ones((3, 5)), np.ones((3, 7), int), spy)
    assert [(t.shape, t.dtype.name) for t in got] == [
        ((3, 1), "float32"),
        ((3,), "int64"),
        ((3, 7), "float32"),
    ]


def test_evaluate_is_the_formula(backend: str, dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x, y = rng.normal(size=(5000, 5)), rng.integers(0, 3, 5000)
    p = by_hand(net, x)
    right = p.argmax(axis=1) == y
    found = net.evaluate(x, y, metrics=("accuracy", "balanced_accuracy"))
    assert list(found) == ["loss", "accuracy", "balanced_accuracy"]
    assert found["loss"] == pytest.approx(-np.log(p[np.arange(5000), y]).mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(right.mean(), abs=2e-4)
    assert found["balanced_accuracy"] == pytest.approx(
        np.mean([right[y == k].mean() for k in range(3)]), abs=6e-4
    )
    weight = rng.uniform(size=5000)
    weighted = net.evaluate(x, y, sample_weight=weight)
    assert weighted["accuracy"] == pytest.approx(np.average(right, weights=weight), abs=2e-4)
    errors = (p - np.eye(3)[y]) ** 2
    squared = net.evaluate(x, np.eye(3)[y], loss="half_squared_error")
    assert squared["loss"] == pytest.approx(errors.sum() / 2, rel=1e-5)
    assert squared["accuracy"] == pytest.approx(right.mean(), abs=2e-4)


def test_accuracy_only_where_it_means_something(backend: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 2))
    regression = fn.Network([fn.Dense(1)], inputs=2, seed=0)
    assert list(regression.evaluate(x, x[:, 0], loss="mean_squared_error")) == ["loss"]
    gate = fn.Network([fn.Dense(1, "sigmoid")], inputs=2, seed=0)
    y = (x[:, 0] > 0).astype(int)
    expected = ((gate.predict(x)[:, 0] > 0.5) == y).mean()
    for loss in ("binary_cross_entropy", "mean_squared_error", "half_squared_error"):
        assert gate.evaluate(x, y, loss=loss)["accuracy"] == pytest.approx(expected)
    assert "accuracy" not in gate.evaluate(x, y * 0.7, loss="mean_squared_error")
    line = fn.Network([fn.Dense(1)], inputs=2, seed=0)
    signs = np.where(y, 1, -1)
    expected = (np.sign(line.predict(x)[:, 0]) == signs).mean()
    assert line.evaluate(x, signs, loss="perceptron")["accuracy"] == pytest.approx(expected)


def test_networks_follow_the_switch(dtype: str, rng: np.random.Generator) -> None:
    net = small(dtype)
    x = rng.normal(size=(9, 5))
    results = []
    for name in backends.available():
        backends.use(name)
        results.append(net.predict(x))
        assert type(net._connection[2]) is backends.kernels(dtype).Executor
    backends.set_num_threads(1)
    results.append(net.predict(x))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-4, atol=1e-6)


def test_predictions_from_several_threads(backend: str, rng: np.random.Generator) -> None:
    net = small()
    inputs = rng.normal(size=(4, 64, 5)).astype(np.float32)
    expected = [net.predict(x) for x in inputs]
    wrong: list[int] = []

    def work(number: int) -> None:
        for turn in range(50):
            if number == 0 and turn % 10 == 0:
                backends.use(backend)  # the others must survive the renewal of their executor
            rows = net.predict(inputs[number])
            one = net.predict(inputs[number][5])
            if not np.array_equal(rows, expected[number]) or not np.allclose(
                one, expected[number][5], rtol=1e-5
            ):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_copies_are_independent(backend: str, rng: np.random.Generator) -> None:
    net = small()
    net.metadata["classes"] = ["a", "b", "c"]
    net.predict(np.zeros((1, 5)))  # an executor, which must not be copied
    x = rng.normal(size=(3, 5))
    expected = net.predict(x)
    copies = [net.copy(), copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for other in copies:
        np.testing.assert_array_equal(other.predict(x), expected)
        assert other.config() == net.config()
        assert np.shares_memory(other.layers[0].weights, other.parameters)
        assert not np.shares_memory(other.parameters, net.parameters)
        other.metadata["classes"].append("d")
        other.layers[0].weights[...] = 0
    np.testing.assert_array_equal(net.predict(x), expected)
    assert net.metadata == {"classes": ["a", "b", "c"]}


def test_copy_to_another_dtype() -> None:
    net = small("float32")
    wide = net.copy("float64")
    assert wide.dtype == np.float64
    np.testing.assert_array_equal(wide.parameters, net.parameters)
    np.testing.assert_array_equal(wide.copy("float32").parameters, net.parameters)


def test_a_network_without_parameters(backend: str, dtype: str) -> None:
    net = fn.Network([fn.Flatten(), fn.Dropout(0.5)], inputs=(2, 2), dtype=dtype)
    x = np.arange(12.0).reshape(3, 2, 2)
    np.testing.assert_array_equal(net.predict(x), x.reshape(3, 4))
    assert net.parameters.shape == (0,)
    value, gradients = net.loss_and_gradients(x, x.reshape(3, 4) + 1, "half_squared_error")
    assert (value, gradients.size) == (6.0, 0)
    assert fn.gradient_check(net, x, x.reshape(3, 4) + 1, "half_squared_error") == 0.0
    history = net.fit(x, x.reshape(3, 4), loss="mean_squared_error", optimizer="adam", epochs=2, verbose=0)
    assert history.epochs == 2


def test_summary() -> None:
    net = fn.Network(
        [fn.Flatten(), fn.Dense(128, "relu"), fn.Dropout(0.2), fn.Dense(10, "softmax")], inputs=(1, 28, 28)
    )
    text = net.summary()
    assert repr(text) == str(text)  # a prompt shows it as a table
    lines = text.splitlines()
    assert [line.split()[-1] for line in lines if line.startswith("Dense")] == ["100,480", "1,290"]
    assert lines[2].split()[1:] == ["1", "x", "28", "x", "28"]
    assert next(line for line in lines if line.startswith("Flatten")).split()[1:] == ["784"]
    assert next(line for line in lines if line.startswith("total")).split() == ["total", "101,770"]
    assert net.parameters.size == 101_770
    json.dumps(net.config())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fn.Network([], inputs=3), ValueError, "layers is empty"),
        (lambda: fn.Network(fn.Dense(3), inputs=3), TypeError, "layers is a Dense; wanted a list"),
        (lambda: fn.Network(3, inputs=3), TypeError, "layers is a int; wanted a list"),
        (lambda: fn.Network([fn.Dense(3), 5], inputs=3), TypeError, r"layers\[1\] is 5; wanted a layer"),
        (lambda: fn.Network([fn.Flatten], inputs=3), TypeError, r"layers\[0\] is .*write Flatten\(\)"),
        (lambda: fn.Network([fn.Dense(3)], inputs=0), ValueError, "inputs is 0"),
        (lambda: fn.Network([fn.Dense(3)], inputs="4"), TypeError, "inputs is '4'"),
        (lambda: fn.Network([fn.Dense(3)], inputs=()), ValueError, "inputs is an empty shape"),
        (lambda: fn.Network([fn.Dense(3)], inputs=(3, -1)), ValueError, "inputs is -1"),
        (
            lambda: fn.Network([fn.Dense(3)], inputs=3, dtype="float16"),
            ValueError,
            "dtype is 'float16'; wanted",
        ),
        (lambda: fn.Network([fn.Dense(3)], inputs=3, dtype=None), ValueError, "dtype is None"),
        (lambda: fn.Network([fn.Dense(3)], inputs=3, dtype="real"), ValueError, "dtype is 'real'"),
        (lambda: fn.Network([fn.Dense(3)], inputs=3, seed=-1), ValueError, "seed is -1"),
        (lambda: fn.Network([fn.Dense(3)], inputs=3, seed=0.5), TypeError, "seed is 0.5"),
        (lambda: fn.mlp([4]), ValueError, "sizes has 1 numbers"),
        (lambda: fn.mlp("4-2"), TypeError, "sizes is '4-2'"),
        (lambda: fn.mlp([4, 2], output="sotfmax"), ValueError, "did you mean 'softmax'"),
        (lambda: small().copy("int8"), ValueError, "dtype is 'int8'"),
    ],
)
def test_wrong_descriptions(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((56, 1)), np.full(66, np.nan), "weights"])
def test_parameters_can_only_be_set_to_fitting_values(values: object) -> None:
    net = small()
    before = net.parameters.copy()
    with pytest.raises((ValueError, TypeError), match="parameters"):
        net.parameters = values
    np.testing.assert_array_equal(net.parameters, before)
    vector = net.parameters
    net.parameters = np.arange(vector.size)
    assert net.parameters is vector and net.layers[1].bias[-1] == vector.size - 1


@pytest.mark.parametrize(
    ("like", "counted"),
    [("cross_entropy", "argmax"), ("binary_cross_entropy", "threshold"), ("perceptron", "sign")],
)
def test_the_row_of_a_loss_says_how_right_predictions_are_counted(like: str, counted: str) -> None:
    """Also of one that nothing knows by its name."""
    row = fn.losses.LOSSES[like]._replace(name="new")
    graph = fn.Network([fn.Dense(1)], inputs=2).graph
    assert check_metric(row, graph, np.array([[1.0], [-0.5]])) == counted
    assert check_metric(row._replace(classifies=False), graph, np.array([[1.0], [-0.5]])) == ""
