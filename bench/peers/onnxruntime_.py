"""ONNX Runtime: prediction alone."""

from __future__ import annotations

from collections.abc import Callable

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.peers.tasks import Task
from bench.workloads import Array

VERSION = onnxruntime.__version__
_threads = 1


def cannot(task: Task) -> str:
    if task.kind == "train":
        return "does not train"
    return "" if task.plain else "written for ReLU and float32"


def start(threads: int) -> None:
    global _threads
    _threads = threads


def model(task: Task) -> bytes:
    """The network as an ONNX file."""
    nodes, values, name = [], [], "x"
    layers = task.first_weights()
    for index, (w, b) in enumerate(layers):
        values += [numpy_helper.from_array(w, f"w{index}"), numpy_helper.from_array(b, f"b{index}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [f"z{index}"]))
        name = f"z{index}"
        if index < len(layers) - 1:
            nodes.append(helper.make_node("Relu", [name], [f"a{index}"]))
            name = f"a{index}"
    last = "Softmax" if task.labels else "Identity"
    nodes.append(helper.make_node(last, [name], ["y"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, size])
        for name, size in (("x", task.sizes[0]), ("y", task.sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], values)
    opset = helper.make_opsetid("", 17)
    # The newest version that onnx writes may be one that the runtime does not read yet.
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


def prediction(task: Task) -> Callable[[Array], Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = _threads, 1
    session = onnxruntime.InferenceSession(model(task), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x if x.ndim == 2 else x[None]})[0]
