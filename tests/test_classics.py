"""The classics of the field come out right, on every backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastnet as fn

# ---- the perceptron


def test_the_textbook_perceptron() -> None:
    perceptron = fn.Perceptron(weights=[0.5, -1.0, 1.5], bias=-1.5)
    assert perceptron.total_input([8, 5, 2]) == 0.5
    assert perceptron.predict([8, 5, 2]) == 1
    assert perceptron.predict([7, 5, 2]) == 0  # a total input of exactly 0


def step_network(weights: list[list[float]], bias: list[float], dtype: str) -> fn.Network:
    layer = fn.Dense(1, "step", weights_init=weights, bias_init=bias)
    return fn.Network([layer], inputs=len(weights), dtype=dtype)


def test_the_textbook_perceptron_as_a_network(backend: str, dtype: str) -> None:
    net = step_network([[0.5], [-1.0], [1.5]], [-1.5], dtype)
    assert net.predict([[8, 5, 2], [7, 5, 2], [6, 5, 2]]).tolist() == [[1.0], [0.0], [0.0]]


def test_nand_with_given_weights(backend: str, dtype: str) -> None:
    x, y = fn.datasets.nand()
    assert fn.Perceptron(weights=[-2, -2], bias=3).predict(x).tolist() == y.tolist() == [1, 1, 1, 0]
    assert step_network([[-2.0], [-2.0]], [3.0], dtype).predict(x)[:, 0].tolist() == [1, 1, 1, 0]


def test_nand_is_learned_from_small_random_weights() -> None:
    x, y = fn.datasets.nand()
    right_at_once = 0
    for seed in range(20):
        perceptron = fn.Perceptron(inputs=2, seed=seed)
        assert perceptron.weights is not None and np.abs(perceptron.weights).max() <= 0.05
        right_at_once += perceptron.predict(x).tolist() == y.tolist()
        mistakes = perceptron.fit(x, y)["mistakes"]
        assert perceptron.predict(x).tolist() == [1, 1, 1, 0]
        assert mistakes[-1] == 0 and len(mistakes) <= 20
    assert right_at_once <= 2  # by chance


def test_nand_is_learned_by_a_network_with_the_perceptron_loss(backend: str, dtype: str) -> None:
    x, y = fn.datasets.nand()
    small = fn.initializers.uniform(-0.05, 0.05)
    net = fn.Network([fn.Dense(1, weights_init=small, bias_init=small)], inputs=2, dtype=dtype, seed=1)
    net.fit(x, 2.0 * y - 1.0, loss="perceptron", optimizer=fn.SGD(1.0), epochs=20, batch_size=1, verbose=0)
    assert (net.predict(x)[:, 0] > 0.0).tolist() == [True, True, True, False]


# ---- leaky ReLU, and what a squared error minds


def test_leaky_relu_divides_negatives_by_100(backend: str, dtype: str) -> None:
    net = fn.Network([fn.Dense(1, "leaky_relu", bias=False, weights_init=[[1.0]])], inputs=1, dtype=dtype)
    given = [[-200.0], [-1.0], [-0.5], [0.0], [0.5], [3.0]]
    wanted = [-2.0, -0.01, -0.005, 0.0, 0.5, 3.0]
    np.testing.assert_allclose(net.predict(given)[:, 0], wanted, rtol=2 * np.finfo(dtype).eps)


def test_four_small_errors_cost_less_than_a_large_one(backend: str, dtype: str) -> None:
    net = fn.Network([fn.Dense(4, bias=False, weights_init=np.eye(4))], inputs=4, dtype=dtype)
    losses = {
        sum(errors): net.loss_and_gradients([errors], [[0.0] * 4], loss="half_squared_error")[0]
        for errors in ([0.2, 0.2, 0.2, 0.2], [0.0, 0.0, 0.0, 0.6])
    }
    assert losses == pytest.approx({0.8: 0.08, 0.6: 0.18}, rel=1e-6)
    # A sum, over samples too: twice the same samples have twice the loss.
    twice = net.loss_and_gradients([[0.2] * 4] * 2, [[0.0] * 4] * 2, loss="half_squared_error")[0]
    assert twice == pytest.approx(0.16, rel=1e-6)


# ---- the network of eleven lines

ELEVEN_LINES = {
    "total_input": [-0.54629709, -0.97401842, -0.15335872, -0.58108005],
    "output": [0.36672394, 0.27408027, 0.46173529, 0.35868411],
    "error": [-0.36672394, -0.27408027, 0.53826471, 0.64131589],
    # The last is 0.35868411 * 0.64131589, which the delta below is made of.
    "slope": [0.23223749, 0.19896028, 0.24853581, 0.23002982],
    "delta": [-0.08516705, -0.05453109, 0.13377806, 0.14752178],
    "new_weights": [0.67423821, -0.33473064, -0.40469539],
}
EIGHT_DECIMALS = 0.51e-8


def eleven_lines() -> fn.Network:
    weights = [[0.39293837], [-0.42772133], [-0.54629709]]
    return fn.Network(
        [fn.Dense(1, "sigmoid", bias=False, weights_init=weights)], inputs=3, dtype="float64", seed=0
    )


def test_eleven_lines_explained_to_eight_decimals(backend: str) -> None:
    x, y = fn.datasets.trask()
    assert x.tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]] and y.tolist() == [0, 0, 1, 1]
    explanation = fn.explain(eleven_lines(), x, y, loss="half_squared_error", learning_rate=1.0)
    printed = str(explanation)
    for name, wanted in ELEVEN_LINES.items():
        shown = getattr(explanation.layers[0], name)[:, 0]
        np.testing.assert_allclose(shown, wanted, rtol=0, atol=EIGHT_DECIMALS, err_msg=name)
        for number in wanted:
            assert f"{number:.8f}" in printed, (name, number)


def test_eleven_lines_step_and_train(backend: str) -> None:
    x, y = fn.datasets.trask()
    net = eleven_lines()
    np.testing.assert_allclose(net.predict(x)[:, 0], ELEVEN_LINES["output"], rtol=0, atol=EIGHT_DECIMALS)
    trainer = fn.Trainer(net, loss="half_squared_error", optimizer=fn.SGD(1.0))
    trainer.step(x, y)
    new_weights = net.layers[0].weights[:, 0]
    np.testing.assert_allclose(new_weights, ELEVEN_LINES["new_weights"], rtol=0, atol=EIGHT_DECIMALS)
    trainer.fit(x, y, epochs=9_999, batch_size=4, shuffle=False, verbose=0)
    assert trainer.steps == 10_000
    output = net.predict(x)[:, 0]
    assert output[:2].max() < 0.01 and output[2:].min() > 0.99


# ---- parity


@pytest.mark.parametrize("seed", [0, 1])
def test_parity_holds_on_numbers_not_shown(backend: str, dtype: str, seed: int) -> None:
    data = fn.datasets.parity(bits=8)
    numbers = data.x @ 2.0 ** np.arange(7, -1, -1)
    assert data.y.tolist() == [int(number % 2 == 0) for number in numbers]
    train, test = data.split(0.25, stratify=True, seed=seed)
    assert not {tuple(row) for row in train.x} & {tuple(row) for row in test.x}
    net = fn.mlp([8, 16, 8, 1], activation="tanh", output="sigmoid", dtype=dtype, seed=seed)
    net.fit(*train, loss="binary_cross_entropy", optimizer=fn.SGD(0.5), epochs=30, batch_size=16, verbose=0)
    even = net.predict(test.x)[:, 0]
    assert np.array_equal(even > 0.5, test.y == 1)
    assert np.abs(even - test.y).max() < 0.1  # not by a hair


def test_parity_needs_the_right_learning_rate(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    train, _ = fn.datasets.parity(bits=8).split(0.25, stratify=True)

    def last_loss(rate: float) -> tuple[float, fn.History]:
        net = fn.mlp([8, 16, 8, 1], activation="tanh", output="sigmoid", seed=1)
        optimizer = fn.SGD(rate)
        options = {"loss": "binary_cross_entropy", "epochs": 30, "batch_size": 16, "verbose": 0}
        history = net.fit(*train, optimizer=optimizer, **options)
        return history["loss"][-1], history

    runs = {rate: last_loss(rate) for rate in (0.002, 0.5, 20.0)}
    assert runs[0.5][0] < 0.01
    assert 0.4 < runs[0.002][0] < 0.75  # hardly better than guessing, log(2)
    assert runs[20.0][0] > 1.0  # worse than guessing
    fn.plotting.learning_rates({rate: run[1] for rate, run in runs.items()}, tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 10_000


# ---- the two-layer sigmoid network


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-z))


def two_layer_step(parameters: list[np.ndarray], x: np.ndarray, y: np.ndarray, rate: float) -> None:
    """One step as textbooks write it: a loop over records, changes summed, then divided by their number."""
    w1, b1, w2, b2 = parameters
    changes = [np.zeros_like(one) for one in parameters]
    for record, target in zip(x, y, strict=True):
        hidden = sigmoid(record @ w1 + b1)
        output = sigmoid(hidden @ w2 + b2)
        slope = 2.0 * (output - target) / len(target)  # of the mean of squared errors
        output_delta = slope * output * (1.0 - output)
        hidden_delta = (w2 @ output_delta) * hidden * (1.0 - hidden)
        changes[0] += np.outer(record, hidden_delta)
        changes[1] += hidden_delta
        changes[2] += np.outer(hidden, output_delta)
        changes[3] += output_delta
    for one, change in zip(parameters, changes, strict=True):
        one -= rate * change / len(x)


@pytest.mark.parametrize("outputs", [1, 2])
def test_two_layers_step_by_step(backend: str, dtype: str, outputs: int, rng: np.random.Generator) -> None:
    x, y = rng.uniform(-1.0, 1.0, (21, 3)), rng.uniform(0.1, 0.9, (21, outputs))
    layers = [fn.Dense(5, "sigmoid"), fn.Dense(outputs, "sigmoid")]
    nets = [fn.Network(layers, inputs=3, dtype=dtype, seed=4) for _ in range(2)]
    mine = [one.astype("float64") for layer in nets[0].layers for one in (layer.weights, layer.bias)]
    trainers = [fn.Trainer(net, loss="mean_squared_error", optimizer=fn.SGD(0.7)) for net in nets]
    start = nets[0].parameters.copy()
    # Rounding errors of 100 steps, each of a few sums.
    tolerance = 100 * np.finfo(dtype).eps
    for _ in range(100):
        two_layer_step(mine, x, y, 0.7)
        trainers[0].step(x, y)
        trainers[1].fit(x, y, epochs=1, batch_size=21, verbose=0)
        wanted = np.concatenate([one.ravel() for one in mine])
        for net in nets:
            np.testing.assert_allclose(net.parameters, wanted, rtol=tolerance, atol=tolerance)
    assert np.abs(wanted - start).max() > 0.1  # it went somewhere


# ---- MNIST


@pytest.fixture(scope="module")
def mnist(mnist_root: Path) -> tuple[fn.Dataset, fn.Dataset]:
    return fn.datasets.mnist(mnist_root)


def small_mnist_network() -> fn.Network:
    return fn.mlp([784, 128, 64, 10], activation="relu", output="softmax", dropout=0.2, seed=0)


def test_mnist_the_tutorials_recipe_learns_slowly(backend: str, mnist: tuple[fn.Dataset, fn.Dataset]) -> None:
    train, test = mnist
    net = small_mnist_network()
    history = net.fit(*train, optimizer=fn.SGD(0.003), epochs=2, validation=test, verbose=0)
    assert history["loss"][1] < 0.7 * history["loss"][0]
    assert 0.75 < history["val_accuracy"][0] < history["val_accuracy"][1] < 0.9


def test_mnist_tuned_sgd_in_ten_epochs(backend: str, mnist: tuple[fn.Dataset, fn.Dataset]) -> None:
    train, test = mnist
    net = small_mnist_network()
    optimizer = fn.SGD(fn.schedules.OneCycle(0.1, epochs=10), momentum=0.9)
    net.fit(*train, optimizer=optimizer, epochs=10, verbose=0)
    assert net.evaluate(*test)["accuracy"] >= 0.975


def test_mnist_with_anything_in_twelve_epochs(backend: str, mnist: tuple[fn.Dataset, fn.Dataset]) -> None:
    train, test = mnist
    net = small_mnist_network()
    optimizer = fn.AdamW(fn.schedules.OneCycle(4e-3, epochs=12))
    net.fit(*train, optimizer=optimizer, epochs=12, batch_size=128, verbose=0)
    assert net.evaluate(*test)["accuracy"] >= 0.980


# ---- the autoencoder


def test_autoencoder_reconstructs_digits_and_notices_strangers(backend: str, dtype: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train, test = fn.datasets.digits()
    layers = [fn.Dense(64, "relu"), fn.Dense(8, "tanh"), fn.Dense(64, "relu"), fn.Dense(64, "sigmoid")]
    net = fn.Network(layers, inputs=64, dtype=dtype, seed=0)
    optimizer = fn.Adam(fn.schedules.OneCycle(0.01, epochs=30))
    net.fit(
        train.x, train.x, loss="mean_squared_error", optimizer=optimizer, epochs=30, batch_size=32, verbose=0
    )

    def strangeness(images: np.ndarray) -> np.ndarray:
        return np.square(net.predict(images) - images).mean(axis=1)

    def separation(strangers: np.ndarray) -> float:
        """How often, of a digit and a stranger, the stranger is the stranger one."""
        return float(np.mean(strangeness(test.x)[:, np.newaxis] < strangeness(strangers)))

    mean_image = np.square(test.x - train.x.mean(axis=0)).mean()
    assert strangeness(test.x).mean() < 0.3 * mean_image
    noise = np.random.default_rng(0).permuted(test.x, axis=1)  # the same pixels in any order
    mirrored = test.x.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)
    assert separation(noise) > 0.99
    assert separation(mirrored) > 0.98
    assert separation(test.x) == pytest.approx(0.5, abs=0.01)  # of what is no stranger, nothing
