"""Networks from ONNX files that PyTorch, Keras and skl2onnx wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet as fn

pytest.importorskip("onnx", reason="needs the extra: onnx")
from onnx_models import check_same

FILES = sorted((Path(__file__).parent / "data" / "onnx").glob("*.onnx"))


def test_there_are_files_of_every_exporter() -> None:
    assert {path.stem.split("_")[0] for path in FILES} == {"torch", "keras", "sklearn"} and len(FILES) >= 20


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_exporters(path: Path) -> None:
    """Against what the exporting library itself predicts; the files are made by tests/data/onnx/make.py."""
    net = fn.from_onnx(path)
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as kept:
        x, y = kept["x"], kept["y"]
    assert net.dtype == ("float64" if x.dtype == np.float64 else "float32")
    check_same(net.predict(x), y)
    net.layers[-1].weights[0, 0] += 0.1  # what would not be found is no check
    with pytest.raises(AssertionError):
        check_same(net.predict(x), y)


def test_the_layers_of_exporters() -> None:
    """Not only the outputs: no layer too many, and each activation as it was."""
    layers = {path.stem: repr(fn.from_onnx(path).layers) for path in FILES}
    torch = (
        "(Flatten(), Dense(5, 'gelu'), Dense(4, 'silu', bias=False), Dense(4, 'softplus'), "
        "Dense(4, 'elu'), Dense(4, 'tanh'), Dense(4, 'leaky_relu'), Dense(4, 'relu'), "
        "Dense(4, 'sigmoid'), Dense(4, 'identity'), Dense(3, 'softmax'))"
    )
    for name in ("torch_script", "torch_script_13", "torch_dynamo", "torch_dynamo_18", "torch_dynamo_raw"):
        assert layers[name] == torch
    keras = (
        "(Flatten(), Dense(5, 'silu'), Dense(4, 'softplus'), Dense(4, 'elu'), Dense(4, 'relu'), "
        "Dense(4, 'tanh'), Dense(4, 'sigmoid'), Dense(4, 'leaky_relu'), Dense(1, 'silu'), "
        "Dense(3, 'softmax'))"
    )
    assert layers["keras_torch"] == layers["keras_tensorflow"] == keras
    assert layers["keras_tensorflow_gelu"] == "(Dense(3, 'gelu', bias=False), Dense(1, 'gelu'))"
    assert layers["sklearn_standard"] == "(Dense(5, 'relu'), Dense(3, 'softmax'))"
    assert layers["sklearn_two_classes"] == "(Dense(5, 'sigmoid'), Dense(2, 'softmax'))"
    assert layers["sklearn_labels"] == "(Dense(5, 'relu'), Dense(3, 'sigmoid'))"


@pytest.mark.filterwarnings("ignore")
def test_what_torch_writes_here(tmp_path: Path) -> None:
    """With the PyTorch that is installed, whose new exporter puts large tensors into a second file."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    nn = torch.nn
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 40), nn.GELU(), nn.Linear(40, 40), nn.SiLU(), nn.Linear(40, 2))
    x = torch.randn(5, 6)
    torch.onnx.export(module.eval(), (x,), str(tmp_path / "net.onnx"), dynamo=False)
    check_same(fn.from_onnx(tmp_path / "net.onnx").predict(x.numpy()), module(x).detach().numpy())
    pytest.importorskip("onnxscript", reason="PyTorch's new exporter needs it")
    options: dict[str, Any] = {"dynamo": True, "verbose": False}
    torch.onnx.export(module, (x,), str(tmp_path / "one.onnx"), external_data=False, **options)
    check_same(fn.from_onnx(tmp_path / "one.onnx").predict(x.numpy()), module(x).detach().numpy())
    torch.onnx.export(module, (x,), str(tmp_path / "two.onnx"), external_data=True, **options)
    with pytest.raises(
        fn.FastnetFormatError, match=r"another file \('two\.onnx\.data'\).*external_data=False"
    ):
        fn.from_onnx(tmp_path / "two.onnx")
