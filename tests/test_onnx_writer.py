"""Networks as ONNX files: valid, run by ONNX Runtime to the same outputs, and whole or not there at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import fastnet as fn
from fastnet.activations import ACTIVATIONS
from fastnet.backends.reference.activations import activation_forward
from fastnet.graph import Op
from fastnet.interop import onnx_writer

onnx = pytest.importorskip("onnx", reason="needs the extra: onnx")
from onnx import numpy_helper  # noqa: E402


def runtime_outputs(path: Path, x: np.ndarray) -> np.ndarray:
    """What ONNX Runtime computes from a file."""
    runtime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (output,) = session.run(["output"], {"input": x})
    return output


def check_runtime(path: Path, net: fn.Network, x: np.ndarray) -> None:
    """Demand a valid file, and outputs that agree to 1e-5, of the largest output where that is above 1."""
    onnx.checker.check_model(os.fspath(path), full_check=True)
    found, wanted = runtime_outputs(path, x), net.predict(x)
    assert found.dtype == wanted.dtype == net.dtype and found.shape == wanted.shape
    room = 1e-5 * max(1.0, float(np.abs(wanted).max(initial=0)))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=room)


def well_conditioned(net: fn.Network, x: np.ndarray) -> np.ndarray:
    """The samples where rounding does not decide: away from the jumps of steps, not far up exponentials."""
    buffers, keep = {0: x.astype(np.float64)}, np.ones(len(x), bool)
    for op in net.graph.ops:
        z = buffers[op.inputs[0]]
        if op.kind == "dense":
            weights, *bias = (net.parameters[s.offset : s.offset + s.size].reshape(s.shape) for s in op.slots)
            with np.errstate(all="ignore"):  # what overflows is left out
                out = z @ weights.astype(np.float64) + (bias[0] if bias else 0)
        elif op.kind == "activation":
            out = np.empty_like(z)
            with np.errstate(all="ignore"):
                activation_forward(z, out, op.attributes["name"])
            if op.attributes["name"] == "step":
                keep &= (np.abs(z) > 1e-3).all(axis=1)
            if op.attributes["name"] == "exp":  # a relative error of z's absolute one
                keep &= (z < 10).all(axis=1)
        else:
            out = z.reshape(len(z), -1) if op.kind == "flatten" else z
        buffers[op.output] = out
    return x[keep]


@st.composite
def networks(draw: st.DrawFn) -> fn.Network:
    """Any network: layers, activations, shapes, dtype and values."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    layers: list[fn.Layer] = [fn.Flatten()] if len(shape) > 1 or draw(st.booleans()) else []
    for _ in range(draw(st.integers(0 if layers else 1, 4))):
        activation = draw(st.sampled_from(sorted(ACTIVATIONS)))
        layers.append(fn.Dense(draw(st.integers(1, 9)), activation, bias=draw(st.booleans())))
        layers += [fn.Dropout(0.5)] if draw(st.booleans()) else []
    net = fn.Network(layers, shape, draw(st.sampled_from(["float32", "float64"])), seed=0)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    net.parameters = rng.normal(size=net.parameters.shape) * draw(st.sampled_from([0.3, 1.0, 2.0]))
    return net


@given(net=networks(), rows=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_random_networks_agree_with_onnx_runtime(
    tmp_path: Path, net: fn.Network, rows: int, seed: int
) -> None:
    x = np.random.default_rng(seed).normal(size=(rows, *net.input_shape)).astype(net.dtype)
    x = well_conditioned(net, x)
    assume(len(x))
    net.to_onnx(tmp_path / "net.onnx")
    check_runtime(tmp_path / "net.onnx", net, x)
    again = fn.from_onnx(tmp_path / "net.onnx")
    assert again.parameters.tobytes() == net.parameters.tobytes()
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_of_large_and_small_numbers(activation: str, dtype: str, tmp_path: Path) -> None:
    """Where a decomposition could overflow, or lose what the whole has."""
    net = fn.Network([fn.Dense(6, activation, bias=False, weights_init=np.eye(6))], 6, dtype)
    net.to_onnx(tmp_path / "net.onnx")
    x = np.array(
        [[0, 1e-30, -1e-3, 1e-3, 0.5, -0.5], [1, -1, 6, -6, 20, -20], [90, -90, 500, -500, 800, -800]]
    )
    x = np.minimum(x, 80) if activation == "exp" else x  # no decomposition, and infinite beyond 88
    check_runtime(tmp_path / "net.onnx", net, x.astype(dtype))
    check_runtime(tmp_path / "net.onnx", net, np.empty((0, 6), dtype))


def planted(path: Path, change: Any) -> None:
    """Change a file that is right."""
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)


def replaced(name: str, function: Any) -> Any:
    def change(graph: Any) -> None:
        (found,) = (one for one in graph.initializer if one.name == name)
        found.CopyFrom(numpy_helper.from_array(function(numpy_helper.to_array(found)), name))

    return change


PLANTED = {
    "transposed": replaced("layers.0.weights", lambda w: np.ascontiguousarray(w.T)),
    "scaled": replaced("layers.0.weights", lambda w: w * np.float32(1.01)),
    "one wrong": replaced("layers.1.bias", lambda b: b + np.array([0, 1e-3, 0], np.float32)),
    "another function": lambda graph: setattr(graph.node[1], "op_type", "Sigmoid"),
    "no bias": lambda graph: graph.node[2].input.pop(),
    "no valid operator": lambda graph: setattr(graph.node[1], "op_type", "Tanhh"),
    "a wrong shape": lambda graph: setattr(graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 4),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(tmp_path: Path, rng: np.random.Generator, bug: str) -> None:
    net = fn.mlp([3, 3, 3], activation="tanh", seed=0)
    net.parameters = rng.normal(size=net.parameters.shape)
    net.to_onnx(tmp_path / "net.onnx")
    x = rng.normal(size=(20, 3)).astype(np.float32)
    check_runtime(tmp_path / "net.onnx", net, x)
    planted(tmp_path / "net.onnx", PLANTED[bug])
    refusals = (AssertionError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError)
    with pytest.raises(refusals):
        check_runtime(tmp_path / "net.onnx", net, x)


# ---- what is in a file --------------------------------------------------------------------------------


def test_names_shapes_and_who_wrote_it(tmp_path: Path) -> None:
    layers = [fn.Flatten(), fn.Dense(5, "gelu"), fn.Dropout(0.2), fn.Dense(3, "softmax", bias=False)]
    net = fn.Network(layers, (2, 3), seed=0)
    net.metadata = {"classes": ["a", "ä"]}
    net.to_onnx(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    ((x,), (y,)) = model.graph.input, model.graph.output
    assert (x.name, y.name) == ("input", "output")
    shapes = [[d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim] for one in (x, y)]
    assert shapes == [["batch", 2, 3], ["batch", 3]]
    assert (model.producer_name, model.producer_version) == ("fastnet", fn.__version__)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", onnx_writer.OPSET)]
    names = [one.name for one in model.graph.initializer if one.name.startswith("layers")]
    assert names == ["layers.1.weights", "layers.1.bias", "layers.3.weights"]
    nodes = [node.name for node in model.graph.node]
    assert nodes[:2] == ["layers.0.flatten", "layers.1.dense"] and nodes[-1] == "layers.3.softmax"
    assert "Dropout" not in {node.op_type for node in model.graph.node}


def test_a_network_comes_back(backend: str, dtype: str, tmp_path: Path, rng: np.random.Generator) -> None:
    layers = [fn.Flatten(), *(fn.Dense(4, name, bias=name != "elu") for name in ACTIVATIONS)]
    net = fn.Network([*layers[:4], fn.Dropout(0.3), *layers[4:]], (2, 2), dtype, seed=0)
    net.metadata = {"classes": ["a", "ä"], "mean": [0.1]}
    net.to_onnx(str(tmp_path / "net.onnx"))
    again = fn.from_onnx(str(tmp_path / "net.onnx"))
    described = [(type(one), getattr(one, "activation", None), one.bias is None) for one in again.layers[1:]]
    assert described == [(fn.Dense, name, name == "elu") for name in ACTIVATIONS]
    assert again.parameters.tobytes() == net.parameters.tobytes()
    assert again.metadata == net.metadata and again.dtype == dtype and again.input_shape == (2, 2)
    x = rng.normal(size=(3, 2, 2))
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    again.fit(x, [0, 1, 2], epochs=1, verbose=0)  # it is a network like any other


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2)])
@pytest.mark.parametrize("layers", [[fn.Dropout(0.5)], [fn.Flatten()], [fn.Dense(3), fn.Dropout(0.1)]])
def test_networks_that_end_or_consist_of_what_does_nothing(
    tmp_path: Path, layers: list[fn.Layer], shape: tuple[int, ...]
) -> None:
    flatten = [fn.Flatten()] if len(shape) > 1 and isinstance(layers[0], fn.Dense) else []
    net = fn.Network([*flatten, *layers], shape, seed=0)
    net.to_onnx(tmp_path / "net.onnx")
    x = np.arange(2 * np.prod(shape), dtype=np.float32).reshape(2, *shape)
    check_runtime(tmp_path / "net.onnx", net, x)
    again = fn.from_onnx(tmp_path / "net.onnx")
    assert again.output_shape == net.output_shape
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


# ---- what cannot be written ---------------------------------------------------------------------------


def test_what_has_no_place_in_a_file_is_named(tmp_path: Path) -> None:
    net = fn.mlp([2, 3, 1])
    op = net.graph.ops[1]
    for bad, name in (
        (op._replace(kind="convolution"), "convolution"),
        (Op(*op[:4], {"name": "sine"}, 0), "sine"),
    ):
        net.graph = net.graph._replace(ops=(net.graph.ops[0], bad, *net.graph.ops[2:]))
        with pytest.raises(ValueError, match=rf"layers\[0\]: the \w+ '{name}' cannot be written as ONNX"):
            net.to_onnx(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_network_too_large_for_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_writer, "MOST_BYTES", onnx_writer._ROOM + 35)
    fn.mlp([3, 2]).to_onnx(tmp_path / "small.onnx")  # 32 bytes
    with pytest.raises(ValueError, match=r"36 bytes of parameters; an ONNX file has at most \d+ in all"):
        fn.mlp([2, 3]).to_onnx(tmp_path / "large.onnx")
    assert not (tmp_path / "large.onnx").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    net = fn.mlp([2, 1])
    net.to_onnx(path)
    old = path.read_bytes()
    for value, error in (({1}, TypeError), (float("nan"), ValueError)):
        net.metadata = {"when": value}
        with pytest.raises(error, match="metadata cannot be written as JSON"):
            net.to_onnx(path)
    net.metadata = {}

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        net.to_onnx(path)
    assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        net.to_onnx(tmp_path / "nowhere" / "net.onnx")
