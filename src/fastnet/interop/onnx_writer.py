"""Writing networks as ONNX files.

Operator set 13 is the oldest whose Softmax is over one axis alone, and dates from 2020. It has no Gelu, so
that is written out; so is what ONNX Runtime has no kernels for in double precision: LeakyRelu, Elu and
Softplus. Of Erf it has none either, so gelu's is of single precision, which leaves an error of 1e-7.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastnet.architecture import slot_name
from fastnet.errors import missing
from fastnet.graph import Op
from fastnet.interop.onnx_reader import METADATA, MOST_BYTES
from fastnet.storage import replace_file

if TYPE_CHECKING:
    from fastnet.network import Network

__all__ = ["OPSET", "to_onnx"]

OPSET = 13
_IR_VERSION = 7  # that of ONNX 1.8, which brought the operator set
_ROOM = 1 << 20  # bytes for all but the parameters


def to_onnx(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network as an ONNX file, with an input ``input`` and an output ``output``.

    The number of samples stays open. Dropout is left out, as it does nothing where a network predicts. The
    network's metadata goes along, as JSON.

    Parameters
    ----------
    network : Network
        Of float32 or float64, which become those of the input, the weights and the output.
    path : path-like
        Usually ending in ``.onnx``; replaced if it exists, whole or not at all.

    Raises
    ------
    ImportError
        The library onnx is missing.
    TypeError, ValueError
        An operation or the metadata cannot be written, or the file would be larger than ONNX allows, 2 GB.
    OSError
        The file cannot be written; one that was there is as before.
    """
    try:
        import onnx
    except ImportError:
        raise missing("writing ONNX files", "onnx", "onnx") from None
    size = network.parameters.nbytes
    if size + _ROOM > MOST_BYTES:
        raise ValueError(
            f"the network has {size} bytes of parameters; an ONNX file has at most {MOST_BYTES} in all"
        )
    model = _model(onnx, network)
    replace_file(path, model.SerializeToString())


def _model(onnx: Any, network: Network) -> Any:
    """Return the network as a `ModelProto`."""
    from fastnet import __version__

    helper, graph = onnx.helper, network.graph
    writer = _Writer(onnx, network)
    for op in graph.ops:
        writer.write(op)
    writer.name_output(graph.output)
    kind = helper.np_dtype_to_tensor_dtype(network.dtype)
    inputs, outputs = (
        helper.make_tensor_value_info(name, kind, ["batch", *shape])
        for name, shape in (("input", network.input_shape), ("output", network.output_shape))
    )
    made = helper.make_graph(writer.nodes, "fastnet", [inputs], [outputs], writer.initializers)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="fastnet",
        producer_version=__version__,
    )
    if network.metadata:
        try:
            text = json.dumps(network.metadata, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"the network's metadata cannot be written as JSON: {error}") from None
        helper.set_model_props(model, {METADATA: text})
    return model


class _Writer:
    """Writes operations as nodes, each into a tensor of its own name."""

    def __init__(self, onnx: Any, network: Network) -> None:
        self._onnx, self._network = onnx, network
        self._tensors = {0: "input"}  # names, by number of buffer
        self._constants: set[str] = set()
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def write(self, op: Op) -> None:
        """Write one operation of the graph."""
        kinds: dict[str, Callable[[Op], str]] = {
            "dense": self._dense,
            "activation": self._activation,
            "dropout": lambda op: self._tensors[op.inputs[0]],
            "flatten": self._flatten,
        }
        if op.kind not in kinds:
            raise ValueError(f"layers[{op.layer}]: the operation {op.kind!r} cannot be written as ONNX")
        self._tensors[op.output] = kinds[op.kind](op)

    def name_output(self, buffer: int) -> None:
        """Give the tensor of this buffer the name of the output."""
        name = self._tensors[buffer]
        if name == "input":
            self.nodes.append(self._onnx.helper.make_node("Identity", ["input"], ["output"], name="output"))
            return
        for node in self.nodes:
            node.output[:] = ["output" if one == name else one for one in node.output]
            node.input[:] = ["output" if one == name else one for one in node.input]

    def _node(self, name: str, operator: str, *inputs: str, **attributes: Any) -> str:
        node = self._onnx.helper.make_node(operator, inputs, [name], name=name, **attributes)
        self.nodes.append(node)
        return name

    def _tensor(self, name: str, values: NDArray[Any]) -> str:
        self.initializers.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def _constant(self, value: float) -> str:
        """Return the name of a number of the network's dtype."""
        name = f"constant.{value:.9g}"
        if name not in self._constants:
            self._constants.add(name)
            self._tensor(name, np.asarray(value, self._network.dtype))
        return name

    def _dense(self, op: Op) -> str:
        tensors = self._network.tensors()
        slots = [self._tensor(slot_name(slot), tensors[slot_name(slot)]) for slot in op.slots]
        return self._node(f"layers.{op.layer}.dense", "Gemm", self._tensors[op.inputs[0]], *slots)

    def _flatten(self, op: Op) -> str:
        return self._node(f"layers.{op.layer}.flatten", "Flatten", self._tensors[op.inputs[0]], axis=1)

    def _activation(self, op: Op) -> str:
        name, z = str(op.attributes["name"]), self._tensors[op.inputs[0]]
        place = f"layers.{op.layer}.{name}"
        composed = dict(_COMPOSED)
        if self._network.dtype == np.float64:
            composed |= _COMPOSED_DOUBLE
        if name in composed:
            return composed[name](self, place, z)
        if name not in _SINGLE:
            raise ValueError(f"layers[{op.layer}]: the activation {name!r} cannot be written as ONNX")
        operator, attributes = _SINGLE[name]
        return self._node(place, operator, z, **attributes)

    # ---- activations of several nodes; the last one has the name of the place

    def _step(self, place: str, z: str) -> str:
        positive = self._node(f"{place}.positive", "Greater", z, self._constant(0))
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(self._network.dtype)
        return self._node(place, "Cast", positive, to=kind)

    def _silu(self, place: str, z: str) -> str:
        return self._node(place, "Mul", z, self._node(f"{place}.sigmoid", "Sigmoid", z))

    def _gelu(self, place: str, z: str) -> str:
        """z (1 + erf(z / sqrt 2)) / 2: the nodes that runtimes know and replace by one."""
        ratio = self._node(f"{place}.ratio", "Div", z, self._constant(np.sqrt(2)))
        if self._network.dtype == np.float64:
            ratio = self._node(f"{place}.single", "Cast", ratio, to=self._onnx.TensorProto.FLOAT)
        erf = self._node(f"{place}.erf", "Erf", ratio)
        if self._network.dtype == np.float64:
            erf = self._node(f"{place}.double", "Cast", erf, to=self._onnx.TensorProto.DOUBLE)
        more = self._node(f"{place}.more", "Add", erf, self._constant(1))
        product = self._node(f"{place}.product", "Mul", z, more)
        return self._node(place, "Mul", product, self._constant(0.5))

    def _leaky_relu(self, place: str, z: str) -> str:
        """max(z, z / 100)."""
        return self._node(place, "Max", z, self._node(f"{place}.small", "Mul", z, self._constant(0.01)))

    def _elu(self, place: str, z: str) -> str:
        """max(z, 0) + exp(min(z, 0)) - 1."""
        low = self._node(f"{place}.low", "Min", z, self._constant(0))
        power = self._node(f"{place}.power", "Exp", low)
        below = self._node(f"{place}.below", "Sub", power, self._constant(1))
        return self._node(place, "Add", self._node(f"{place}.above", "Relu", z), below)

    def _softplus(self, place: str, z: str) -> str:
        """max(z, 0) + log(1 + exp(-|z|)), in which nothing overflows."""
        low = self._node(f"{place}.low", "Neg", self._node(f"{place}.size", "Abs", z))
        power = self._node(f"{place}.power", "Exp", low)
        more = self._node(f"{place}.more", "Add", power, self._constant(1))
        rest = self._node(f"{place}.rest", "Log", more)
        return self._node(place, "Add", self._node(f"{place}.above", "Relu", z), rest)


_SINGLE: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "softplus": ("Softplus", {}),
    "exp": ("Exp", {}),
    "softmax": ("Softmax", {"axis": 1}),
}
_Composer = Callable[[_Writer, str, str], str]
_COMPOSED: dict[str, _Composer] = {"step": _Writer._step, "silu": _Writer._silu, "gelu": _Writer._gelu}
_COMPOSED_DOUBLE: dict[str, _Composer] = {
    "leaky_relu": _Writer._leaky_relu,
    "elu": _Writer._elu,
    "softplus": _Writer._softplus,
}
