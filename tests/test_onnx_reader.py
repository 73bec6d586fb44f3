"""Networks from ONNX files: every operator, and what is refused by name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet as fn

onnx = pytest.importorskip("onnx", reason="needs the extra: onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import Node, check_same, model, numbers, outputs, written  # noqa: E402

# ---- operators ----------------------------------------------------------------------------------------

W, V = numbers(3, 4), numbers(4, 2)
B, C = numbers(4), numbers(2)
HALF, ONE, ROOT = np.float32(0.5), np.float32(1), np.float32(math.sqrt(2))
FIRST: Node = ("Gemm", "x w b", "z")


def unary(operator: str, **attributes: Any) -> tuple[list[Node], dict[str, Any]]:
    return [FIRST, (operator, "z", "y", attributes)], {"w": W, "b": B}


def after(*nodes: Node, **constants: Any) -> tuple[list[Node], dict[str, Any]]:
    """Nodes that make ``y`` of a dense layer's output, ``z``."""
    return [FIRST, *nodes], {"w": W, "b": B, **constants}


GELU = [("Div", "z root", "a"), ("Erf", "a", "e"), ("Add", "e one", "p")]
GELU_CONSTANTS = {"root": ROOT, "one": ONE, "half": HALF}
READ: dict[str, tuple[list[Node], dict[str, Any]]] = {
    "gemm without bias": ([("Gemm", "x w", "y")], {"w": W}),
    "gemm with an empty name": ([("Gemm", "x w ", "y")], {"w": W}),
    "gemm transposed": ([("Gemm", "x w b", "y", {"transB": 1})], {"w": np.ascontiguousarray(W.T), "b": B}),
    "gemm with factors": ([("Gemm", "x w b", "y", {"alpha": 0.5, "beta": -2.0})], {"w": W, "b": B}),
    "gemm with one number": ([("Gemm", "x w b", "y")], {"w": W, "b": np.float32(3)}),
    "gemm with one number in a list": ([("Gemm", "x w b", "y")], {"w": W, "b": np.float32([3])}),
    "gemm with a row": ([("Gemm", "x w b", "y")], {"w": W, "b": B[None]}),
    "matmul": ([("MatMul", "x w", "y")], {"w": W}),
    "matmul add": ([("MatMul", "x w", "z"), ("Add", "z b", "y")], {"w": W, "b": B}),
    "add matmul": ([("MatMul", "x w", "z"), ("Add", "b z", "y")], {"w": W, "b": B}),
    "matmul add a row": ([("MatMul", "x w", "z"), ("Add", "z b", "y")], {"w": W, "b": B[None]}),
    "matmul sub": ([("MatMul", "x w", "z"), ("Sub", "z b", "y")], {"w": W, "b": B}),
    "sub matmul": ([("MatMul", "x w", "z"), ("Sub", "b z", "y")], {"w": W, "b": B}),
    "one unit": (
        [("MatMul", "x w", "z"), ("Add", "z b", "a"), ("Relu", "a", "y")],
        {"w": W[:, :1], "b": B[:1]},
    ),
    "matmul of a transpose": (
        [("Transpose", "w", "t", {"perm": [1, 0]}), ("MatMul", "x t", "y")],
        {"w": W.T.copy()},
    ),
    "two without activation": ([("MatMul", "x w", "z"), ("Gemm", "z v c", "y")], {"w": W, "v": V, "c": C}),
    "shared weights": (
        [("MatMul", "x w", "a"), ("Relu", "a", "b"), ("MatMul", "b w", "y")],
        {"w": numbers(3, 3)},
    ),
    **{
        name: unary(name)
        for name in ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "Gelu", "Softplus", "Softmax")
    },
    "leaky relu 0.01": unary("LeakyRelu", alpha=0.01),
    "elu 1": unary("Elu", alpha=1.0),
    "gelu none": unary("Gelu", approximate="none"),
    "softmax 1": unary("Softmax", axis=1),
    "softmax -1": unary("Softmax", axis=-1),
    "gelu, halved last": after(*GELU, ("Mul", "z p", "q"), ("Mul", "q half", "y"), **GELU_CONSTANTS),
    "gelu, halved first": after(("Mul", "half z", "h"), *GELU, ("Mul", "h p", "y"), **GELU_CONSTANTS),
    "gelu, halved within": after(*GELU, ("Mul", "half p", "q"), ("Mul", "z q", "y"), **GELU_CONSTANTS),
    "silu": after(("Sigmoid", "z", "s"), ("Mul", "z s", "y")),
    "silu, the other way round": after(("Sigmoid", "z", "s"), ("Mul", "s z", "y")),
    "silu of exp": after(
        ("Neg", "z", "n"), ("Exp", "n", "e"), ("Add", "one e", "d"), ("Div", "z d", "y"), one=ONE
    ),
    "softplus of log": after(("Exp", "z", "e"), ("Add", "e one", "p"), ("Log", "p", "y"), one=ONE),
    "softplus, safely": after(
        ("Abs", "z", "a"),
        ("Neg", "a", "n"),
        ("Exp", "n", "e"),
        ("Add", "e one", "p"),
        ("Log", "p", "l"),
        ("Relu", "z", "r"),
        ("Add", "r l", "y"),
        one=ONE,
    ),
    "leaky relu of max": after(("Mul", "z small", "s"), ("Max", "z s", "y"), small=np.float32(0.01)),
    "relu of max": after(("Max", "z zero", "y"), zero=np.float32(0)),
    "step": after(("Greater", "z zero", "g"), ("Cast", "g", "y", {"to": 1}), zero=np.float32(0)),
    "relu of where": after(("Greater", "z zero", "g"), ("Where", "g z zero", "y"), zero=np.float32(0)),
    "relu of where, from 0 on": after(
        ("GreaterOrEqual", "z zero", "g"), ("Where", "g z zero", "y"), zero=np.float32(0)
    ),
    "leaky relu of where": after(
        ("Mul", "z small", "s"),
        ("Less", "z zero", "l"),
        ("Where", "l s z", "y"),
        zero=np.float32(0),
        small=np.float32(0.01),
    ),
    "threshold": after(("LessOrEqual", "z zero", "l"), ("Where", "l zero z", "y"), zero=np.float32(0)),
    "a scale made of a whole number": after(
        ("Cast", "whole", "two", {"to": 1}), ("Mul", "z two", "y"), whole=np.array(2)
    ),
    "tanh, scaled twice": after(
        ("Mul", "z two", "a"), ("Div", "a two", "d"), ("Tanh", "d", "y"), two=np.float32(2)
    ),
    "a multiple of an activation": after(
        ("Tanh", "z", "t"),
        ("Mul", "t small", "m"),
        ("Add", "m two", "a"),
        ("MatMul", "a v", "y"),
        small=np.float32(1e-3),
        two=np.float32(2),
        v=V * 100,
    ),
    "identity and dropout": after(("Identity", "z", "a"), ("Dropout", "a", "d m"), ("Relu", "d", "y")),
    "dropout with inputs": after(
        ("Dropout", "z ratio training", "d"), ("Relu", "d", "y"), ratio=HALF, training=np.array(False)
    ),
    "casts": (
        [("Cast", "x", "c", {"to": 1}), ("Cast", "c", "d", {"to": 1}), ("MatMul", "d w", "y")],
        {"w": W},
    ),
    "cast like": ([("CastLike", "w x", "c"), ("MatMul", "x c", "y")], {"w": W.astype("float64")}),
    "flatten": ([("Flatten", "x", "f"), ("MatMul", "f w", "y")], {"w": W}),
    "standardised": (
        [("Sub", "x mean", "a"), ("Div", "a scale", "s"), ("Gemm", "s w b", "y")],
        {"w": W, "b": B, "mean": numbers(3, seed=1), "scale": np.float32([1, 2, 4])},
    ),
    "standardised after an activation": (
        [FIRST, ("Relu", "z", "r"), ("Mul", "r s", "m"), ("Add", "m t", "a"), ("Gemm", "a v c", "y")],
        {"w": W, "b": B, "s": numbers(4, seed=1), "t": numbers(4, seed=2), "v": V, "c": C},
    ),
    "pixels": (
        [("Div", "x most", "s"), ("Sub", "s half", "c"), ("MatMul", "c w", "y")],
        {"w": W, "most": np.float32(255), "half": HALF},
    ),
    "actions scaled": after(
        ("Tanh", "z", "t"), ("Mul", "t s", "m"), ("Add", "m b", "y"), s=numbers(4, seed=1)
    ),
    "actions scaled by one number": after(("Tanh", "z", "t"), ("Mul", "t s", "y"), s=np.float32(2)),
    "target scaled": after(("Mul", "z s", "m"), ("Add", "m t", "y"), s=numbers(4, seed=1), t=np.float32(2)),
    "target scaled by one number": after(("Mul", "z s", "m"), ("Add", "m t", "y"), s=HALF, t=ONE),
    "scaled before the bias": (
        [("MatMul", "x w", "z"), ("Mul", "z s", "m"), ("Add", "m b", "a"), ("Tanh", "a", "y")],
        {"w": W, "b": B, "s": numbers(4, seed=1)},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_operators(name: str, tmp_path: Path) -> None:
    made = model(*READ[name])
    net = fn.from_onnx(written(made, tmp_path))
    x = numbers(50, 3, seed=9) * 3
    wanted = outputs(made, x)
    check_same(net.predict(x), wanted)
    for wrong in (wanted * 1.01, -wanted, np.roll(wanted, 1, axis=0)):
        with pytest.raises(AssertionError):
            check_same(net.predict(x), wrong)


IMAGES: dict[str, list[Node]] = {
    "flatten": [("Flatten", "x", "f")],
    "flatten from behind": [("Flatten", "x", "f", {"axis": -3})],
    "reshape (0, -1)": [("Reshape", "x keep", "f")],
    "reshape (-1, 12)": [("Reshape", "x size", "f")],
    "reshape of the shape": [
        ("Shape", "x", "s"),
        ("Gather", "s first", "n"),
        ("Unsqueeze", "n axes", "u"),
        ("Concat", "u rest", "k", {"axis": 0}),
        ("Reshape", "x k", "f"),
    ],
    "reshape of single sizes": [
        ("Shape", "x", "s"),
        ("Gather", "s first", "n"),
        ("Unsqueeze", "n axes", "u"),
        ("Unsqueeze", "open axes", "o"),
        ("Concat", "u o", "k", {"axis": 0}),
        ("Reshape", "x k", "f"),
    ],
    "reshape of one size": [
        ("Shape", "x", "s", {"start": 0, "end": 1}),
        ("Cast", "s", "i", {"to": 7}),
        ("Concat", "i rest", "k", {"axis": 0}),
        ("Reshape", "x k", "f"),
    ],
    "scaled": [("Mul", "x half", "h"), ("Flatten", "h", "f")],
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str, tmp_path: Path) -> None:
    integers = {"keep": [0, -1], "size": [-1, 12], "rest": [-1], "axes": [0]}
    constants = {key: np.array(value) for key, value in integers.items()} | {"first": np.array(0)}
    constants |= {"w": numbers(12, 4), "half": HALF, "open": np.array(-1)}
    made = model([*IMAGES[name], ("MatMul", "f w", "y")], constants, shape=("N", 3, 2, 2))
    net = fn.from_onnx(written(made, tmp_path))
    assert net.input_shape == (3, 2, 2) and isinstance(net.layers[0], fn.Flatten)
    x = numbers(5, 3, 2, 2)
    check_same(net.predict(x), outputs(made, x))


@pytest.mark.parametrize("target", [[5, 12], [5, -1], [-1, 12]])
def test_images_of_a_fixed_number(tmp_path: Path, target: list[int]) -> None:
    constants = {"w": numbers(12, 4), "s": np.array(target)}
    made = model([("Reshape", "x s", "f"), ("MatMul", "f w", "y")], constants, shape=(5, 3, 2, 2))
    x = numbers(5, 3, 2, 2)
    check_same(fn.from_onnx(written(made, tmp_path)).predict(x), outputs(made, x))


def test_two_classes_have_two_columns_and_one_of_an_estimator(tmp_path: Path) -> None:
    """What skl2onnx writes of a classifier, and `from_sklearn` of the same one."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
    x = numbers(60, 3, dtype="float64")
    estimator = linear_model.LogisticRegression(solver="liblinear").fit(x, x[:, 0] > x[:, 1])
    nodes = [
        ("MatMul", "x w", "m"),
        ("Add", "m b", "z"),
        ("Sigmoid", "z", "p"),
        ("Sub", "one p", "q"),
        ("Concat", "q p", "y", {"axis": 1}),
    ]
    constants = {"w": estimator.coef_.T, "b": estimator.intercept_, "one": np.ones(1)}
    both = fn.from_onnx(written(model(nodes, constants, dtype="float64"), tmp_path)).predict(x)
    check_same(both, estimator.predict_proba(x))
    check_same(fn.from_sklearn(estimator).predict(x), both[:, 1:])


def test_constants_in_every_field(dtype: str, tmp_path: Path) -> None:
    """Raw bytes or a list of numbers, in an initializer or a node."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    w, b = numbers(3, 2, dtype=dtype), numbers(2, dtype=dtype)
    made = model([("Gemm", "x w b", "y")], {"b": b}, dtype=dtype)
    made.graph.initializer.append(helper.make_tensor("w", kind, [3, 2], w.ravel()))
    x = numbers(4, 3, dtype=dtype)
    net = fn.from_onnx(written(made, tmp_path))
    check_same(net.predict(x), x @ w + b)
    assert net.dtype == dtype
    value = helper.make_tensor("value", kind, [3, 2], w.ravel())
    made = model([("Constant", "", "w", {"value": value}), ("MatMul", "x w", "y")], {}, dtype=dtype)
    check_same(fn.from_onnx(written(made, tmp_path)).predict(x), x @ w)


def test_constants_without_a_tensor(tmp_path: Path) -> None:
    nodes = [
        ("Constant", "", "scale", {"value_float": 0.25}),
        ("Constant", "", "bias", {"value_floats": [1.0, -2.0, 3.0]}),
        ("Constant", "", "shape", {"value_ints": [-1, 3]}),
        ("Reshape", "x shape", "r"),
        ("Mul", "r scale", "m"),
        ("Add", "m bias", "a"),
        ("MatMul", "a w", "y"),
    ]
    made = model(nodes, {"w": W})
    x = numbers(4, 3)
    check_same(fn.from_onnx(written(made, tmp_path)).predict(x), outputs(made, x))


def test_old_files_list_their_constants_as_inputs(tmp_path: Path) -> None:
    made = model([("Gemm", "x w b", "y")], {"w": W, "b": B}, opset=7)
    made.ir_version = 3
    for name, array in (("w", W), ("b", B)):
        made.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape))
    x = numbers(4, 3)
    check_same(fn.from_onnx(written(made, tmp_path)).predict(x), x @ W + B)


def test_features_that_the_file_leaves_open(tmp_path: Path) -> None:
    nodes = [("Mul", "x s", "m"), ("Gemm", "m w b", "y")]
    made = model(nodes, {"w": W, "b": B, "s": numbers(3)}, shape=("N", None))
    net = fn.from_onnx(written(made, tmp_path))
    assert net.input_shape == (3,)
    x = numbers(4, 3, seed=1)
    check_same(net.predict(x), outputs(made, x))
    wrong = model(nodes, {"w": W, "b": B, "s": numbers(2)}, shape=("N", None))
    with pytest.raises(fn.FastnetFormatError, match=r"Gemm.*weights of shape \(3, 4\).*\(2,\)"):
        fn.from_onnx(written(wrong, tmp_path))


def test_widths_that_contradict_each_other(tmp_path: Path) -> None:
    """Where the file leaves the features open, the first constant that has one for each says how many."""
    constants = {"w": W, "two": numbers(2), "three": numbers(3)}
    for nodes in (
        [("Mul", "x two", "a"), ("Add", "a three", "b"), ("MatMul", "b w", "y")],
        [("ai.onnx.ml.Scaler", "x", "a", {"offset": [1.0, 2.0], "scale": [1.0] * 3}), ("MatMul", "a w", "y")],
        [("ai.onnx.ml.Scaler", "x", "a", {"offset": [1.0], "scale": [1.0] * 2}), ("MatMul", "a w", "y")],
    ):
        with pytest.raises(fn.FastnetFormatError, match=rf"operator .*{nodes[-2][0]}|MatMul"):
            fn.from_onnx(written(model(nodes, constants, shape=("N", None)), tmp_path))


def test_a_scaler_of_one_number_or_of_many(tmp_path: Path) -> None:
    x = numbers(4, 3)
    for offset, scale in (([1.0], [2.0]), ([1.0, 2.0, 3.0], [2.0]), ([0.0], [1.0, 0.5, 2.0])):
        made = model(
            [("ai.onnx.ml.Scaler", "x", "s", {"offset": offset, "scale": scale}), ("Gemm", "s w b", "y")],
            {"w": W, "b": B},
        )
        check_same(fn.from_onnx(written(made, tmp_path)).predict(x), outputs(made, x))


def test_wide_and_narrow_weights_make_a_wide_network(tmp_path: Path) -> None:
    nodes = [("MatMul", "x w", "a"), ("Cast", "a", "b", {"to": TensorProto.DOUBLE}), ("MatMul", "b v", "y")]
    made = model(nodes, {"w": W, "v": V.astype("float64")})
    assert fn.from_onnx(written(made, tmp_path)).dtype == "float64"


def test_scaled_actions_are_a_layer_of_the_same_dtype(tmp_path: Path, dtype: str) -> None:
    nodes = [("MatMul", "x w", "z"), ("Tanh", "z", "t"), ("Mul", "t two", "y")]
    made = model(nodes, {"w": W.astype(dtype), "two": np.array(2, dtype)}, dtype=dtype)
    net = fn.from_onnx(written(made, tmp_path))
    assert repr(net.layers) == "(Dense(4, 'tanh', bias=False), Dense(4, 'identity'))" and net.dtype == dtype


# ---- what is refused, by name -------------------------------------------------------------------------


def graph_attribute(name: str) -> Any:
    return helper.make_attribute(name, helper.make_graph([], "inner", [], []))


MORE = {"w": W, "b": B, "v": V, "c": C}
REFUSED: dict[str, tuple[list[Node], dict[str, Any], str]] = {
    **{
        name: (*unary(name), rf"operator {name} \(node 'node1'\) is none that fastnet reads; it reads Gemm, ")
        for name in ("Conv", "BatchNormalization", "Clip", "Selu", "LogSoftmax", "If", "Loop", "NoSuch")
    },
    "of another domain": (
        *unary("com.microsoft.Gelu"),
        r"operator com\.microsoft\.Gelu \(node 'node1'\) is none",
    ),
    "not at the end": (
        [("Celu", "x", "a"), ("MatMul", "a w", "b2"), ("Relu", "b2", "y")],
        {"w": W},
        "operator Celu .* is none",
    ),
    "another alpha": (
        *unary("LeakyRelu", alpha=0.2),
        r"LeakyRelu .*alpha is 0\.2; fastnet has it with 0\.01 only",
    ),
    "another elu": (*unary("Elu", alpha=2.0), r"Elu .*alpha is 2; fastnet has it with 1 only"),
    "an approximation": (*unary("Gelu", approximate="tanh"), r"Gelu .*approximate is b'tanh'"),
    "another axis": (*unary("Softmax", axis=0), r"Softmax .*axis 0"),
    "an unknown attribute": (
        *unary("Relu", beta=1.0),
        r"Relu .*attribute 'beta' which fastnet does not know",
    ),
    "a wrong attribute": (*unary("LeakyRelu", alpha=1), r"LeakyRelu .*'alpha' is of the wrong type"),
    "no attribute": (*unary("Cast"), r"Cast .*lacks the attribute 'to'"),
    "a cast to integers": (*unary("Cast", to=7), r"Cast .*casts to int64"),
    "a cast to half": (*unary("Cast", to=10), r"Cast .*casts to float16"),
    "transA": ([("Gemm", "x w", "y", {"transA": 1})], MORE, r"Gemm .*transA is 1"),
    "weights on the left": ([("MatMul", "w x", "y")], {"w": numbers(2, 3)}, r"MatMul .*weights on the left"),
    "weights of three dimensions": (
        [("MatMul", "x w", "y")],
        {"w": numbers(1, 3, 2)},
        r"MatMul .*\(1, 3, 2\)",
    ),
    "weights that do not fit": ([("MatMul", "x w", "y")], {"w": numbers(4, 2)}, r"MatMul .*\(4, 2\).*\(3,\)"),
    "two products": ([("MatMul", "x w", "a"), ("MatMul", "x a", "y")], MORE, r"MatMul .*two computed"),
    "a branch": (
        [("MatMul", "x w", "a"), ("Relu", "a", "b1"), ("MatMul", "b1 s", "c1"), ("Add", "c1 b1", "y")],
        {"w": W, "s": numbers(4, 4)},
        r"Add \(node 'node3'\): joins two branches",
    ),
    "a concatenation": (
        [("MatMul", "x w", "a"), ("MatMul", "x w", "d"), ("Concat", "a d", "y", {"axis": 1})],
        MORE,
        r"Concat .*joins branches",
    ),
    "an activation first": (
        [("Relu", "x", "a"), ("MatMul", "a w", "y")],
        MORE,
        r"Relu .*no Gemm or MatMul is before",
    ),
    "two activations": (
        *after(("Relu", "z", "r"), ("Tanh", "r", "y")),
        r"Tanh .*no activation that fastnet has",
    ),
    "softmax of relu": (*after(("Relu", "z", "r"), ("Softmax", "r", "y")), r"Softmax .*no Gemm or MatMul"),
    "half a gelu": (*after(*GELU[:2], ("Mul", "z e", "y"), **GELU_CONSTANTS), r"Mul .*no activation"),
    "gelu by tanh, written out": (  # within 5e-4 of gelu
        *after(
            *(("Mul", "z z", "s"), ("Mul", "s z", "c"), ("Mul", "c k", "m"), ("Add", "z m", "i")),
            *(("Mul", "i r", "j"), ("Tanh", "j", "t"), ("Add", "t one", "p"), ("Mul", "z p", "q")),
            ("Mul", "q half", "y"),
            k=np.float32(0.044715),
            r=np.float32(math.sqrt(2 / math.pi)),
            one=ONE,
            half=HALF,
        ),
        r"Mul .*no activation",
    ),
    "relu up to 100": (
        *after(("Relu", "z", "r"), ("Min", "r most", "y"), most=np.float32(100)),
        r"Min .*no activation",
    ),
    "exp up to exp(200)": (
        *after(("Min", "z most", "m"), ("Exp", "m", "y"), most=np.float32(200)),
        r"Exp .*no activation",
    ),
    "exp up to exp(690)": (
        [("MatMul", "x w", "z"), ("Min", "z most", "m"), ("Exp", "m", "y")],
        {"w": W.astype("float64"), "most": np.float64(690)},
        r"Exp .*no activation",
    ),
    "a shifted relu": (
        *after(("Greater", "z t", "g"), ("Where", "g z zero", "y"), t=np.float32(0.01), zero=np.float32(0)),
        r"Where .*no activation",
    ),
    "at least 0": (
        *after(
            ("Greater", "zero z", "g"),
            ("Cast", "g", "h", {"to": 1}),
            ("Sub", "one h", "y"),
            zero=np.float32(0),
            one=ONE,
        ),
        r"Sub .*no activation",
    ),
    "features of a constant": (
        [("Unsqueeze", "w axes", "u"), ("MatMul", "x u", "y")],
        {"w": W, "axes": np.array([0])},
        r"Unsqueeze .*input 0 is a constant of type float32; wanted integers",
    ),
    "more dimensions": (
        *after(("Unsqueeze", "z axes", "y"), axes=np.array([0])),
        "Unsqueeze .*something else",
    ),
    "a condition": (*after(("Greater", "z zero", "y"), zero=np.float32(0)), r"Greater .*no activation"),
    "scaling alone": ([("Mul", "x half", "y")], {"half": HALF}, r"Mul .*no output of an activation"),
    "scaling of many outputs": (
        [("MatMul", "x w", "z"), ("Tanh", "z", "t"), ("Mul", "t half", "y")],
        {"w": numbers(3, 2049), "half": HALF},
        r"Mul .*more than 2048 outputs",
    ),
    "a slope each": (*after(("Mul", "z s", "n"), ("Max", "z n", "y"), s=B), r"Max .*joins two branches"),
    "a bound each": (*after(("Max", "z s", "y"), s=B), r"Max .*a constant for each feature"),
    "a bias too long": ([("Gemm", "x w b", "y")], {"w": W, "b": C}, r"Gemm .*shape \(2,\)"),
    "a bias for each sample": (
        [("Gemm", "x w b", "y")],
        {"w": W, "b": numbers(5, 4)},
        r"Gemm .*shape \(5, 4\)",
    ),
    "dropout in training": (
        *after(("Dropout", "z r t", "y"), r=HALF, t=np.array(True)),
        r"Dropout .*as in training",
    ),
    "a mask of dropout": (
        *after(("Dropout", "z", "d m"), ("Add", "d m", "y")),
        r"'m' is neither in the file nor",
    ),
    "samples into features": (
        [("MatMul", "x w", "z"), ("Reshape", "z s", "y")],
        {**MORE, "s": np.array([-1, 1])},
        r"Reshape .*\(-1, 1\)",
    ),
    "half weights": (
        [("MatMul", "x w", "y")],
        {"w": W.astype("float16")},
        "tensor 'w' is float16; wanted float32",
    ),
    "integer weights": ([("MatMul", "x w", "y")], {"w": np.ones((3, 2), "int8")}, "tensor 'w' is int8"),
    "whole weights": ([("MatMul", "x w", "y")], {"w": np.ones((3, 2), "int32")}, "constant of type int32"),
    "NaN": ([("MatMul", "x w", "y")], {"w": np.full((3, 2), np.nan, "float32")}, r"layers\[0\].*nan"),
    "division by 0": (
        [("MatMul", "x w", "z"), ("Div", "z d", "y")],
        {"w": W, "d": np.zeros(4, "float32")},
        r"layers\[0\]",
    ),
    "no layer": ([("Shape", "x", "y")], {}, "does not depend on the input"),
    "a constant output": ([("Identity", "w", "y")], {"w": W}, "output 'y' does not depend on the input"),
    "too few inputs": ([("Gemm", "x", "y")], {}, r"Gemm .*has 1 inputs; wanted 2 to 3"),
    "an empty input": ([("Add", " x", "y")], {}, r"Add .*has 2 inputs; wanted 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path) -> None:
    nodes, constants, message = REFUSED[name]
    with pytest.raises(fn.FastnetFormatError, match=rf"model\.onnx: .*{message}") as caught:
        fn.from_onnx(written(model(nodes, constants), tmp_path))
    assert "\n" not in str(caught.value)


def test_inputs_and_outputs_that_are_refused(tmp_path: Path) -> None:
    def refuse(made: Any, message: str) -> None:
        with pytest.raises(fn.FastnetFormatError, match=message):
            fn.from_onnx(written(made, tmp_path))

    nodes, constants = [("MatMul", "x w", "y")], {"w": W}
    refuse(model(nodes, constants, shape=(3,)), r"'x' has the shape \(3,\)")
    refuse(model(nodes, constants, shape=("N", None, 3)), r"'x' has the shape \(None, None, 3\)")
    refuse(model(nodes, constants, dtype="int64"), "'x' is int64; wanted float32")
    refuse(model(nodes, constants, dtype="float16"), "'x' is float16")
    refuse(model(nodes, constants, opset=6), "operator set is version 6; fastnet reads 7 and later")
    refuse(
        model([*nodes, ("MatMul", "x w", "u")], constants, outputs=("y", "u")),
        "2 outputs of numbers: 'y', 'u'",
    )
    refuse(model([], {}, outputs=()), "0 outputs of numbers; wanted one")
    two = model([("Add", "x u", "y")], {})
    two.graph.input.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, ["N", 3]))
    refuse(two, "2 inputs: 'x', 'u'; wanted one")
    shapeless = model(nodes, constants)
    shapeless.graph.input[0].type.tensor_type.ClearField("shape")
    refuse(shapeless, r"'x' has the shape \(\)")
    sequence = model(nodes, constants)
    sequence.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None))
    refuse(sequence, "'x' is no tensor")
    function = model(nodes, constants)
    operators = [helper.make_opsetid("", 20)]
    function.functions.append(
        helper.make_function("mine", "f", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], operators)
    )
    refuse(function, "a function of its own, 'f'")


def test_a_quantized_file_is_refused_by_its_operator(tmp_path: Path) -> None:
    constants = {"s": ONE, "w": np.ones((3, 2), "int8"), "z": np.int8(0)}
    made = model([("DequantizeLinear", "w s z", "d"), ("MatMul", "x d", "y")], constants)
    with pytest.raises(fn.FastnetFormatError, match="operator DequantizeLinear"):
        fn.from_onnx(written(made, tmp_path))


def test_metadata_is_data(tmp_path: Path) -> None:
    made = model([("MatMul", "x w", "y")], {"w": W})
    for text, message in (
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "is a list"),
        ('{"a": NaN}', "NaN"),
    ):
        helper.set_model_props(made, {"fastnet.metadata": text})
        with pytest.raises(fn.FastnetFormatError, match=f"metadata .*{message}"):
            fn.from_onnx(written(made, tmp_path))
    helper.set_model_props(made, {"fastnet.metadata": '{"a": [1]}', "other": "__import__('os')"})
    assert fn.from_onnx(written(made, tmp_path)).metadata == {"a": [1]}
    assert numpy_helper.to_array(made.graph.initializer[0]).tobytes() == W.tobytes()
