"""Reading networks from ONNX files, which are taken to be hostile.

Nothing in a file is executed, and nothing outside of it is read, also where it says that its tensors are
elsewhere. It is parsed by protobuf, which needs memory in proportion to the file; no code of ONNX that infers
shapes or loads data sees it. Of the graph, only what the output depends on is looked at, node by node, and
the size of the file bounds what that may come to before a network is made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import FastnetFormatError, existing, missing
from fastnet.interop.assemble import Part, assemble
from fastnet.interop.onnx_flow import Flow, Stage, Value, finish, parts, source
from fastnet.interop.onnx_operators import apply, check_operator, label_of
from fastnet.interop.onnx_tensors import TYPES, shown, tensor
from fastnet.layers import Dense
from fastnet.network import Network

__all__ = ["METADATA", "MOST_BYTES", "from_onnx"]

METADATA = "fastnet.metadata"
"""The key of a file's metadata that has a network's own, as JSON."""

MOST_BYTES = 2**31 - 1
"""No protobuf message is larger."""

_FIRST_OPSET = 7  # Add, Gemm and others broadcast as today from there on
_MOST_NODES = 10_000  # that an output depends on; a bound on the time that a small file can take
_SPARE_VALUES = 1 << 22  # that a file may come to beyond its size: one tensor may stand for several layers


def from_onnx(path: str | os.PathLike[str]) -> Network:
    """Read a network from an ONNX file, such as PyTorch, Keras and skl2onnx write for dense networks.

    Dropout is left out, as it does nothing where a network predicts; what scales the inputs becomes part of
    the first layer. Of a classifier's outputs, the probabilities are read and the labels are not. Two classes
    that share one logistic output (``1 - p`` and ``p``) become a softmax of two units, as the file has two
    columns; `from_sklearn` keeps the one, ``p``.

    Parameters
    ----------
    path : path-like
        The file; nothing else is read.

    Returns
    -------
    Network
        Of float32 or float64, as the file's weights are, with the outputs that ONNX Runtime gives.

    Raises
    ------
    ImportError
        The library onnx is missing.
    FileNotFoundError
        There is no such file.
    FastnetFormatError
        It is no ONNX file, a damaged one, or has what fastnet does not: the message names the operator.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise missing("reading ONNX files", "onnx", "onnx") from None
    name = os.fspath(path)
    with existing(name), open(name, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise FastnetFormatError(f"{name}: {size} bytes; an ONNX file has at most {MOST_BYTES}")
        data = file.read(size)
    try:
        return _network(onnx.ModelProto.FromString(data), len(data))
    except DecodeError:
        raise FastnetFormatError(f"{name}: not an ONNX file, or a damaged one") from None
    except UnicodeDecodeError:
        raise FastnetFormatError(f"{name}: a name in it is not UTF-8") from None
    except FastnetFormatError as error:
        raise FastnetFormatError(f"{name}: {error}") from None


def _network(model: Any, size: int) -> Network:
    """Return the network of a `ModelProto` that was parsed from so many bytes."""
    _check(model)
    graph = model.graph
    initializers = _named(graph.initializer, "tensor")
    source_name, first, double = _input(graph, initializers)
    target = _output(graph)
    with np.errstate(all="ignore"):  # what is not finite is refused in the end
        last = _Walk(graph, initializers, {source_name: source(first)}, size).value(target)
        if not isinstance(last, Flow):
            raise FastnetFormatError(f"output {shown(target)} does not depend on the input")
        layers = parts(finish(last))
        dtype = _dtype(layers, double)
        layers = [Part(one.layer, _as(one.weights, dtype), _as(one.bias, dtype)) for one in layers]
    inputs = [one if one is not None else _width(layers) for one in first.shape]
    try:
        network = assemble(layers, inputs, dtype)
    except ValueError as error:
        raise FastnetFormatError(str(error)) from None
    network.metadata = _metadata(model)
    return network


def _dtype(layers: Iterable[Part], double: bool) -> str:
    """Return the type of the widest weights; of a network without any, that of the input."""
    sizes = [one.weights.itemsize for one in layers if one.weights is not None]
    return "float64" if (8 in sizes if sizes else double) else "float32"


def _as(values: NDArray[Any] | None, dtype: str) -> NDArray[Any] | None:
    return None if values is None else values.astype(dtype, copy=False)


def _width(layers: Iterable[Part]) -> int:
    """Return the number of inputs of the first dense layer, where the file does not say it."""
    for one in layers:
        if isinstance(one.layer, Dense) and one.weights is not None:
            return len(one.weights)
    raise FastnetFormatError("it does not say how many inputs it has")


# ---- what is around the nodes -----------------------------------------------------------------------


def _check(model: Any) -> None:
    """Refuse a model with what is more than a graph of known operators."""
    if not model.HasField("graph") or not len(model.opset_import):
        raise FastnetFormatError(
            "not an ONNX file, or a damaged one: it has no graph, or names no operator set"
        )
    if len(model.functions):
        raise FastnetFormatError(
            f"it has a function of its own, {shown(model.functions[0].name)}; wanted operators"
        )
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if any(version < _FIRST_OPSET for version in versions):
        raise FastnetFormatError(
            f"its operator set is version {min(versions)}; fastnet reads {_FIRST_OPSET} and later ones"
        )


def _named(protos: Iterable[Any], kind: str) -> dict[str, Any]:
    """Return things by their names."""
    found: dict[str, Any] = {}
    for one in protos:
        if one.name in found:
            raise FastnetFormatError(f"it has two of the {kind} {shown(one.name)}")
        found[one.name] = one
    return found


def _input(graph: Any, initializers: Mapping[str, Any]) -> tuple[str, Stage, bool]:
    """Return the input's name, the first stage, and whether its numbers are of double precision."""
    inputs = _named((one for one in graph.input if one.name not in initializers), "input")
    if len(inputs) != 1:
        names = ", ".join(map(shown, list(inputs)[:3])) + (", ..." if len(inputs) > 3 else "")
        raise FastnetFormatError(f"it has {len(inputs)} inputs{': ' * bool(inputs)}{names}; wanted one")
    ((name, proto),) = inputs.items()
    kind = proto.type.tensor_type
    if kind.elem_type not in (1, 11):
        raise FastnetFormatError(
            f"input {shown(name)} is {TYPES.get(kind.elem_type, 'no tensor')}; wanted float32 or float64"
        )
    sizes = [one.dim_value if one.WhichOneof("value") == "dim_value" else 0 for one in kind.shape.dim]
    shape = tuple(one if one > 0 else None for one in sizes)
    if len(shape) < 2 or len(shape) > 8 or (len(shape) > 2 and None in shape[1:]):
        raise FastnetFormatError(
            f"input {shown(name)} has the shape {shown(shape)}; wanted samples and features, of known sizes"
        )
    samples = () if shape[0] is None else (np.asarray(shape[0]),)
    return name, Stage(None, "input", shape[1:], f"input {shown(name)}", samples), kind.elem_type == 11


def _output(graph: Any) -> str:
    """Return the name of the output: the only one, or the only one that is not of labels."""
    outputs = _named(graph.output, "output")
    numbers = [
        name
        for name, one in outputs.items()
        if one.type.WhichOneof("value") == "sequence_type" or one.type.tensor_type.elem_type in (0, 1, 11)
    ]
    if len(numbers) != 1:
        names = ", ".join(map(shown, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
        raise FastnetFormatError(
            f"it has {len(numbers)} outputs of numbers{': ' * bool(numbers)}{names}; wanted one"
        )
    return numbers[0]


def _metadata(model: Any) -> dict[str, Any]:
    """Return what `Network.to_onnx` kept of a network's metadata."""
    texts = [one.value for one in model.metadata_props if one.key == METADATA]
    if not texts:
        return {}
    try:
        found = json.loads(texts[0], parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise FastnetFormatError(f"its metadata is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise FastnetFormatError(f"its metadata is a {type(found).__name__}; wanted an object")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


# ---- the nodes --------------------------------------------------------------------------------------


class _Walk:
    """Computes what a tensor of the graph is, from the input on.

    Parameters
    ----------
    graph : onnx.GraphProto
        The graph.
    initializers : mapping of str to onnx.TensorProto
        Its constants.
    given : mapping of str to Flow
        Its input.
    size : int
        Bytes of the file.
    """

    def __init__(
        self, graph: Any, initializers: Mapping[str, Any], given: Mapping[str, Flow], size: int
    ) -> None:
        self._initializers = initializers
        self._values: dict[str, Value] = {**given}
        self._room = size + _SPARE_VALUES
        self._makers: dict[str, Any] = {}
        for node in graph.node:
            for output in node.output:
                if output and (output in self._makers or output in initializers or output in given):
                    raise FastnetFormatError(
                        f"{label_of(node)} makes {shown(output)}, which is there already"
                    )
                self._makers[output] = node

    def value(self, target: str) -> Value:
        """Return the value of a tensor by its name."""
        for node in self._order(target):
            check_operator(node)
            inputs = [self._get(name, node) if name else None for name in node.input]
            value = apply(node, inputs)
            self._spend(value, inputs)
            self._values[node.output[0]] = value
        return self._get(target, None)

    def _order(self, target: str) -> Iterator[Any]:
        """Yield the nodes that a tensor depends on, each after those that it depends on itself."""
        path, open_, done = [target], set(), set()
        while path:
            name = path[-1]
            node = self._makers.get(name)
            if name in done or node is None:
                path.pop()
            elif name in open_:
                path.pop()
                done.add(name)
                yield node
            else:
                open_.add(name)
                if len(open_) > _MOST_NODES:
                    raise FastnetFormatError(f"its output depends on more than {_MOST_NODES} nodes")
                wanted = [one for one in node.input if one and one not in done]
                if open_.intersection(wanted):
                    raise FastnetFormatError(f"{label_of(node)} depends on its own output")
                path += wanted

    def _get(self, name: str, node: Any) -> Value:
        """Return a value that was computed, or a constant."""
        if name in self._values:
            return self._values[name]
        if name not in self._initializers:
            wanted_by = f"{label_of(node)}: its input" if node is not None else "the output"
            raise FastnetFormatError(
                f"{wanted_by} {shown(name)} is neither in the file nor the result of a node"
            )
        value = self._values[name] = tensor(self._initializers[name], f"tensor {shown(name)}")
        self._spend(value, ())
        return value

    def _spend(self, value: Value, inputs: Iterable[Value | None]) -> None:
        """Count the numbers that are new in a value: a small file may not come to much more than it holds."""
        old = [one.stage for one in inputs if isinstance(one, Flow)]
        stage = value.stage if isinstance(value, Flow) else None
        while stage is not None and not any(stage is one for one in old):
            self._room -= sum(one.size for one in stage.values)
            stage = stage.before
        if isinstance(value, np.ndarray):
            self._room -= value.size
        if self._room < 0:
            raise FastnetFormatError("its layers would have many times the numbers that the file holds")
