"""Makes the ONNX files of this folder with the libraries that people export from, and what those predict.

    python make.py torch keras sklearn        # in an environment with torch, onnxscript, keras, skl2onnx
    python make.py tensorflow                 # in one with tensorflow, keras, tf2onnx

The files here were written by PyTorch 2.13.0 with onnxscript 0.7.2, Keras 3.15.1 (on PyTorch, and on
TensorFlow 2.21.0 with tf2onnx 1.17.0), and scikit-learn 1.9.1 with skl2onnx 1.20.0. Beside each stands an
``.npz`` with inputs ``x`` and outputs ``y``: the library's own, not those of a runtime. Comments and the
exporters' notes on nodes, which hold paths of the machine, are taken out; nothing else is changed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow" if "tensorflow" in sys.argv else "torch")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx

FOLDER = Path(__file__).parent
ROWS = 4


def keep(name: str, model: onnx.ModelProto, x: np.ndarray, y: np.ndarray) -> None:
    """Write a model and what it predicts."""
    del model.metadata_props[:]
    model.doc_string = ""
    for thing in (
        model.graph,
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.input,
        *model.graph.output,
    ):
        thing.doc_string = ""
        if hasattr(thing, "metadata_props"):
            del thing.metadata_props[:]
    del model.graph.value_info[:]
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())
    np.savez(FOLDER / f"{name}.npz", x=x, y=y)
    print(name, sorted({node.op_type for node in model.graph.node}))


def exported(write: Callable[[str], object]) -> onnx.ModelProto:
    """What an exporter wrote into a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        write(path)
        return onnx.load(path)


def torch_models() -> None:
    """Both exporters of PyTorch, in several operator sets."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x.view(x.size(0), -1))

    every = [
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(5, 4, bias=False),
        nn.SiLU(),
    ]
    for activation in (
        nn.Softplus(),
        nn.ELU(),
        nn.Tanh(),
        nn.LeakyReLU(),
        nn.ReLU(),
        nn.Sigmoid(),
        nn.Identity(),
    ):
        every += [nn.Linear(4, 4), activation]
    network = nn.Sequential(*every, nn.Linear(4, 3), nn.Softmax(1)).eval()
    dynamic: dict[str, Any] = {
        "dynamo": True,
        "dynamic_shapes": ({0: torch.export.Dim.DYNAMIC},),
        "verbose": False,
    }
    dynamic["external_data"] = False
    script: dict[str, Any] = {"dynamo": False, "input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    cases = {
        "torch_script": (network, script),
        "torch_script_13": (network, {**script, "opset_version": 13, "do_constant_folding": False}),
        "torch_script_view": (Viewed().eval(), script),
        "torch_dynamo": (network, dynamic),
        "torch_dynamo_18": (network, {**dynamic, "opset_version": 18}),
        "torch_dynamo_raw": (network, {**dynamic, "optimize": False}),
        "torch_dynamo_fixed": (Viewed().eval(), {"dynamo": True, "external_data": False, "verbose": False}),
    }
    for name, (module, options) in cases.items():
        x = torch.randn(ROWS, 1, 2, 3)
        model = exported(lambda path, m=module, x=x, o=options: torch.onnx.export(m, (x,), path, **o))
        keep(name, model, x.numpy(), module(x).detach().numpy())
    double = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 1)).double().eval()
    x = torch.randn(ROWS, 3, dtype=torch.float64)
    model = exported(lambda path: torch.onnx.export(double, (x,), path, **dynamic))
    keep("torch_dynamo_double", model, x.numpy(), double(x).detach().numpy())


def keras_models() -> None:
    """Keras's own export: through tf2onnx on TensorFlow, through the older exporter on PyTorch."""
    import keras
    from keras import layers

    def made(name: str, *stack: keras.Layer, shape: tuple[int, ...]) -> None:
        model = keras.Sequential([keras.Input(shape), *stack])
        model.set_weights(
            [
                r.normal(size=w.shape) if w.ndim > 1 else r.uniform(0.1, 1, w.shape)
                for w in model.get_weights()
            ]
        )
        x = r.normal(size=(ROWS, *shape)).astype(np.float32)
        y = model.predict(x, verbose=0)
        keep(name, exported(lambda path: model.export(path, format="onnx", verbose=False)), x, y)

    r = np.random.default_rng(0)
    backend = keras.backend.backend()
    every: list[keras.Layer] = [layers.Flatten(), layers.Dense(5, "silu"), layers.Dropout(0.2)]
    every += [layers.Dense(4, one) for one in ("softplus", "elu", "relu", "tanh", "sigmoid")]
    every += [layers.Dense(4), layers.LeakyReLU(negative_slope=0.01), layers.Dense(1, "silu")]
    every += [layers.Dense(3, "softmax")]
    made(f"keras_{backend}", *every, shape=(2, 3, 1))
    made(
        f"keras_{backend}_gelu", layers.Dense(3, "gelu", use_bias=False), layers.Dense(1, "gelu"), shape=(4,)
    )
    if backend == "tensorflow":  # which writes batch normalisation as a product and a sum
        normal = [
            layers.Dense(4, "relu"),
            layers.BatchNormalization(),
            layers.Dense(3),
            layers.BatchNormalization(),
        ]
        made("keras_tensorflow_normal", *normal, layers.Dense(2, "sigmoid"), shape=(4,))


def sklearn_models() -> None:
    """skl2onnx, with and without names for the probabilities, and with what scales the inputs."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    r = np.random.default_rng(0)
    data = r.normal(2.0, 3.0, size=(60, 4))

    def made(name: str, model: Any, target: np.ndarray, dtype: str = "float32", **options: Any) -> None:
        x = data.astype(dtype)
        model.fit(x, target)
        y = (
            model.predict_proba(x)
            if hasattr(model, "predict_proba")
            else model.predict(x).reshape(len(x), -1)
        )
        keep(name, to_onnx(model, x[:1], **options), x[:ROWS], y[:ROWS])

    def classifier(**options: Any) -> MLPClassifier:
        return MLPClassifier(hidden_layer_sizes=(5,), max_iter=20, random_state=0, **options)

    def regressor(**options: Any) -> MLPRegressor:
        return MLPRegressor(hidden_layer_sizes=(5,), max_iter=20, random_state=0, **options)

    three, two = r.integers(0, 3, 60), r.integers(0, 2, 60)
    plain = {"options": {"zipmap": False}}
    made("sklearn_classes", classifier(), np.array(["a", "b", "c"])[three])
    made("sklearn_classes_9", classifier(activation="tanh"), three, target_opset=9)
    made("sklearn_two_classes", classifier(activation="logistic"), two)
    made("sklearn_two_classes_plain", classifier(), two, dtype="float64", **plain)
    made("sklearn_labels", classifier(), r.integers(0, 2, (60, 3)), **plain)
    made("sklearn_regressor", regressor(activation="identity"), r.normal(size=60))
    made("sklearn_standard", make_pipeline(StandardScaler(), classifier()), three, **plain)
    made(
        "sklearn_standard_double",
        make_pipeline(StandardScaler(), regressor()),
        r.normal(size=60),
        dtype="float64",
    )
    made("sklearn_minmax", make_pipeline(MinMaxScaler(), regressor()), r.normal(size=60))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    makers = {
        "torch": torch_models,
        "keras": keras_models,
        "tensorflow": keras_models,
        "sklearn": sklearn_models,
    }
    for word in sys.argv[1:] or ["torch", "keras", "sklearn"]:
        makers[word]()
