"""Weights of eight bits: how exact they are, that C does the same, and what they cost in accuracy."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from c_programs import gcc, run
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

import fastnet as fn
from fastnet.interop import c_header, quantize

floats = st.floats(-1e6, 1e6, width=32)
shapes = numpy_strategies.array_shapes(min_dims=2, max_dims=2, max_side=12)
matrices = numpy_strategies.arrays(np.float32, shapes, elements=floats)


@given(matrices)
def test_weights_are_rounded_to_the_nearest(weights: np.ndarray) -> None:
    found = quantize.quantize(weights)
    assert found.weights.dtype == np.int8 and found.weights.shape == weights.T.shape
    assert np.abs(found.weights.astype(int)).max() <= 127
    scale = found.scale.astype(np.float64)
    normal = scale > 1e-37  # below, a scale has few digits of its own
    error = np.abs(found.weights.T * scale - weights)
    assert np.all(error[:, normal] <= scale[normal] * 0.5001)
    largest = np.abs(found.weights).max(axis=1)
    assert np.all(largest[normal] == 127)
    assert np.all(found.scale[~weights.any(axis=0)] == 0)


def test_subnormal_weights_stay_in_range() -> None:
    weights = np.array([[1e-45, 3e-44, 2e-43], [-1e-45, 1e-44, -2e-43]], np.float32)
    assert np.abs(quantize.quantize(weights).weights.astype(int)).max() <= 127


@given(matrices)
def test_values_are_rounded_to_the_nearest(x: np.ndarray) -> None:
    whole, scale = quantize.quantize_rows(x)
    limit = quantize.value_limit(x.shape[1])
    assert np.abs(whole.astype(int)).max() <= limit <= 32767
    assert np.all(np.abs(whole * scale.astype(np.float64) - x) <= scale * (0.5 + limit * 2e-7) + 1e-30)


@pytest.mark.parametrize("inputs", [1, 516, 517, 784, 10_000, quantize.MOST_INPUTS])
def test_no_sum_leaves_32_bits(inputs: int) -> None:
    limit = quantize.value_limit(inputs)
    assert 127 * limit * inputs < 2**31
    assert limit == 32767 or 127 * (limit + 1) * inputs >= 2**31  # and nothing is given away
    assert limit >= 127


def test_c_rounds_values_as_numpy_does(tmp_path: Path) -> None:
    """Bit by bit: halves, rows of 0, the smallest and the largest numbers, and what are none."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((300, 7)) * 10.0 ** rng.integers(-35, 36, (300, 1))
    halves = [
        [32767, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5],
        [0] * 7,
        [1e-31] * 7,
        [3.4e38, -3.4e38, 1, 0, 0, 0, -0.0],
    ]
    broken = [
        [np.nan, *range(6)],
        [1, np.inf, *range(5)],
        [*range(5), -np.inf, np.nan],
        [3e38] * 6 + [np.nan],
    ]
    x = np.concatenate([rows, halves, broken]).astype(np.float32)
    fn.mlp([7, 1], seed=0).to_c(tmp_path / "net.h", quantize="int8")
    (tmp_path / "program.c").write_text("""#include "net.h"
#include <stdio.h>

int main(void)
{
    float x[7];
    int16_t q[7];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        const float scale = net_quantize(x, 7, 32767.0f, q);
        fwrite(&scale, sizeof scale, 1, stdout);
        fwrite(q, sizeof q, 1, stdout);
    }
    return 0;
}
""")
    gcc(tmp_path, "-O2", "-ffp-contract=off", "program.c", "-o", "program")
    done = subprocess.run([tmp_path / "program"], input=x.tobytes(), capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.dtype([("scale", np.float32), ("q", np.int16, 7)]))
    whole, scale = quantize.quantize_rows(x)
    assert np.array_equal(found["q"], whole) and np.array_equal(found["scale"], scale[:, 0], equal_nan=True)
    assert whole[300].tolist() == [32767, 1, 2, 3, -1, -2, -3]
    assert np.isnan(scale[-4:]).all() and np.isfinite(scale[:-4]).all()


def test_sums_in_c_do_not_overflow(tmp_path: Path) -> None:
    """Every term as large as it can be, in one direction, and gcc checks what C leaves undefined."""
    for name, inputs in (("most", 600), ("full", 516)):
        fn.Network([fn.Dense(1, weights_init="zeros")], inputs).to_c(tmp_path / f"{name}.h", quantize="int8")
        text = (tmp_path / f"{name}.h").read_text().replace("    0, ", "    127, ").replace(" 0,", " 127,")
        text = text.replace("scale_0[1] = {\n    0.0f", "scale_0[1] = {\n    1.0f")
        (tmp_path / f"{name}.h").write_text(text)
    samples = {"most": np.ones((2, 600)), "full": -np.ones((2, 516))}
    results = run(
        tmp_path, samples, "-fsanitize=signed-integer-overflow", "-fsanitize-undefined-trap-on-error"
    )
    assert np.allclose(results["most"].outputs, 600 * 127, rtol=1e-6)
    assert np.allclose(results["full"].outputs, -516 * 127, rtol=1e-6)


def accuracy(net: fn.Network, data: fn.Dataset) -> float:
    outputs = c_header.forward(c_header.read_steps(net, "int8"), data.x)
    return float(np.mean(outputs.argmax(axis=1) == data.y))


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_digits_in_c_are_as_accurate(tmp_path: Path, activation: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    train, test = fn.datasets.digits()
    net = fn.mlp([64, 32, 10], activation, "softmax", seed=0)
    net.fit(*train, optimizer=fn.Adam(0.003), epochs=20, batch_size=32, verbose=0)
    net.to_c(tmp_path / "digits.h")
    net.to_c(tmp_path / "digits_int8.h", quantize="int8")
    results = run(tmp_path, {"digits": test.x, "digits_int8": test.x})
    found = [float(np.mean(one.outputs.argmax(axis=1) == test.y)) for one in results.values()]
    assert [one.wrong for one in results.values()] == [0, 0]
    assert found[0] == net.evaluate(*test)["accuracy"] > 0.95
    assert abs(found[1] - found[0]) <= 0.01
    # A network whose smaller weights are lost, as with 2 bits, would be seen.
    coarse = net.copy()
    for layer in coarse.layers:
        size = np.abs(layer.weights).max(axis=0)
        layer.weights = np.rint(layer.weights / size) * size
    assert coarse.evaluate(*test)["accuracy"] < found[0] - 0.01


def test_mnist_is_as_accurate(mnist_root: Path) -> None:
    train, test = fn.datasets.mnist(mnist_root)
    net = fn.mlp([784, 32, 10], output="softmax", seed=0)
    net.fit(train.x[:20_000], train.y[:20_000], optimizer=fn.Adam(0.002), epochs=1, batch_size=64, verbose=0)
    wanted = net.evaluate(*test)["accuracy"]
    assert wanted > 0.88 and abs(accuracy(net, test) - wanted) <= 0.01
