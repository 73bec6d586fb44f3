"""ONNX models made by hand, for the tests of the reader: a chain of nodes is a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

Node = tuple[Any, ...]
"""``("Gemm", "x w b", "y", {"transB": 1})``: operator, inputs, outputs, and attributes if there are any."""


def model(
    nodes: Sequence[Node],
    constants: Mapping[str, Any],
    shape: Sequence[int | str | None] = ("N", 3),
    opset: int = 20,
    dtype: str = "float32",
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """A model with the input ``x`` and, if nothing else is said, the output ``y``."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    made = []
    for number, (operator, inputs, output, *rest) in enumerate(nodes):
        domain, _, operator = operator.rpartition(".")
        names = {"name": f"node{number}", "domain": domain}
        made.append(helper.make_node(operator, inputs.split(" "), output.split(" "), **names, **dict(*rest)))
        if operator == "Constant":
            del made[-1].input[:]
    graph = helper.make_graph(
        made,
        "made",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def numbers(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def written(made: onnx.ModelProto | bytes, folder: Path) -> Path:
    """The path of a file with the model."""
    path = folder / "model.onnx"
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    return path


def outputs(made: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """What ONNX's own reference implementation says."""
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(made).run(None, {made.graph.input[0].name: x})[-1]


def check_same(found: np.ndarray, wanted: np.ndarray) -> None:
    """Demand outputs of the same shape that agree to 1e-5."""
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
