"""What each ONNX operator does to what is read: the table of those that a dense network is written with.

The operators are those of https://onnx.ai/onnx/operators from opset 7 on. An attribute that is not in the
table is refused, as an unknown operator is, so what a later opset may add to an operator is not passed over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import FastnetFormatError
from fastnet.interop.onnx_flow import PROBES, Flow, Sizes, Stage, Value, affine, finish, source
from fastnet.interop.onnx_tensors import TYPES, shown, tensor

__all__ = ["OPERATORS", "Node", "apply", "check_operator", "label_of"]

Array: TypeAlias = NDArray[Any]
Attributes: TypeAlias = Mapping[str, Any]

_FLOATS = (1, 11)  # TensorProto.FLOAT and DOUBLE
_INTEGERS = (6, 7)
_KINDS = {"f": "float32 or float64", "i": "integers", "b": "true or false"}  # of NumPy's dtypes


class Node(NamedTuple):
    """A node whose inputs are known.

    Attributes
    ----------
    operator : str
        With its domain, where that is not ONNX's own: "Gemm", "ai.onnx.ml.Scaler".
    label : str
        What messages call it.
    attributes : mapping
        Those of the table, as given or by default.
    inputs : tuple of (Flow, Sizes, ndarray or None)
        None where an optional one is left out.
    """

    operator: str
    label: str
    attributes: Attributes
    inputs: tuple[Value | None, ...]

    def refuse(self, reason: str) -> FastnetFormatError:
        """Return the error that says why this node cannot be read."""
        return FastnetFormatError(f"{self.label}: {reason}")


class _Operator(NamedTuple):
    run: Callable[[Node], Value]
    least: int = 1
    most: int = 1
    attributes: Attributes = MappingProxyType({})  # with their defaults; one that must be given is `int`


def _operator_of(proto: Any) -> str:
    """Return a node's operator, with its domain where that is not ONNX's own."""
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    return f"{domain}.{proto.op_type}" if domain else str(proto.op_type)


def label_of(proto: Any) -> str:
    """Return what messages call a node: its operator and its name."""
    name = proto.name or next(iter(proto.output), "")
    return f"operator {shown(_operator_of(proto))[1:-1]} (node {shown(name)})"


def check_operator(proto: Any) -> None:
    """Refuse a node whose operator is not in the table."""
    if _operator_of(proto) not in OPERATORS:
        raise FastnetFormatError(
            f"{label_of(proto)} is none that fastnet reads; it reads {', '.join(OPERATORS)}"
        )


def apply(proto: Any, inputs: Sequence[Value | None]) -> Value:
    """Return a node's first output.

    Parameters
    ----------
    proto : onnx.NodeProto
        The node, of an operator in the table.
    inputs : sequence of (Flow, Sizes, ndarray or None)
        Its inputs; None where an optional one is left out.

    Raises
    ------
    FastnetFormatError
        The node does what no layer of fastnet does; the message names its operator.
    """
    name, label = _operator_of(proto), label_of(proto)
    operator = OPERATORS[name]
    if not operator.least <= len(inputs) <= operator.most or any(
        one is None for one in inputs[: operator.least]
    ):
        wanted = f"{operator.least} to {operator.most}" if operator.most > operator.least else operator.most
        raise FastnetFormatError(f"{label} has {len(inputs)} inputs; wanted {wanted}")
    if name == "Constant":
        return _constant(proto, label)
    attributes = _attributes(proto, label, operator.attributes)
    return operator.run(Node(name, label, attributes, tuple(inputs)))


def _attributes(proto: Any, label: str, known: Attributes) -> Attributes:
    """Return a node's attributes, and the defaults of those that it has not."""
    found: dict[str, Any] = {}
    for one in proto.attribute:
        if one.name not in known or one.name in found:
            problem = "twice" if one.name in found else "which fastnet does not know"
            raise FastnetFormatError(f"{label} has the attribute {shown(one.name)} {problem}")
        values = {
            1: one.f,
            2: one.i,
            3: one.s,
            6: tuple(one.floats),
            7: tuple(one.ints),
            8: tuple(one.strings),
        }
        value, default = values.get(one.type), known[one.name]
        if not isinstance(value, default if isinstance(default, type) else type(default)):
            raise FastnetFormatError(f"{label}: the attribute {one.name!r} is of the wrong type")
        found[one.name] = value
    for name, default in known.items():
        if isinstance(default, type) and name not in found:
            raise FastnetFormatError(f"{label} lacks the attribute {name!r}")
    return {**known, **found}


def _constant(proto: Any, label: str) -> Value:
    """Return the value of a Constant: it has one attribute, and that says of which kind it is."""
    if len(proto.attribute) != 1:
        raise FastnetFormatError(f"{label} has {len(proto.attribute)} attributes; wanted one")
    one = proto.attribute[0]
    kind = (one.name, one.type)
    if kind == ("value", 4):
        return tensor(one.t, f"{label}: its value")
    if kind in (("value_float", 1), ("value_floats", 6)):
        return np.array(one.f if one.type == 1 else one.floats, np.float32)
    if kind in (("value_int", 2), ("value_ints", 7)):
        return np.array(one.i if one.type == 2 else one.ints, np.int64)
    raise FastnetFormatError(f"{label} has the attribute {shown(one.name)}, which fastnet does not know")


# ---- what a node may work on ------------------------------------------------------------------------


def _flow(node: Node, place: int = 0) -> Flow:
    """Return an input that must depend on the network's input, and be made of numbers."""
    value = node.inputs[place]
    if not isinstance(value, Flow):
        raise node.refuse("works on constants; fastnet reads it of what depends on the network's input")
    if value.values.dtype == np.bool_:
        raise node.refuse("works on a condition; wanted numbers")
    return value


def _numbers(node: Node, place: int, kinds: str = "f") -> Array:
    """Return an input that must be constant."""
    value = node.inputs[place]
    if not isinstance(value, np.ndarray):
        raise node.refuse(f"input {place} is computed; wanted a constant")
    if value.dtype.kind not in kinds:
        raise node.refuse(f"input {place} is a constant of type {value.dtype}; wanted {_KINDS[kinds]}")
    return value


def _integers(node: Node, place: int) -> tuple[int | None, ...]:
    """Return an input of a few integers, given or computed from a shape."""
    value = node.inputs[place]
    if isinstance(value, Sizes):
        return value.values
    found = _numbers(node, place, "i")
    if found.size > 8 or found.ndim > 1:
        raise node.refuse(f"input {place} has the shape {found.shape}; wanted a few integers")
    return tuple(int(one) for one in found.flat)


def _fitting(node: Node, place: int, stage: Stage) -> Array:
    """Return a constant for each sample: one number, (), or one for each feature, (width,); float64."""
    values = _numbers(node, place).astype(np.float64)
    if values.size == 1 and values.ndim <= len(stage.shape) + 1:
        return values.reshape(())
    width = stage.shape[0]
    flat = values.reshape(-1)
    if (
        len(stage.shape) == 1
        and values.shape in ((flat.size,), (1, flat.size))
        and width in (None, flat.size)
    ):
        return flat
    raise node.refuse(f"a constant of shape {values.shape} does not go with samples of shape {stage.shape}")


# ---- layers -----------------------------------------------------------------------------------------


def _dense(node: Node, weights: Array) -> Flow:
    stage = finish(_flow(node))
    if weights.ndim != 2 or len(stage.shape) != 1 or stage.shape[0] not in (None, weights.shape[0]):
        raise node.refuse(f"weights of shape {weights.shape} do not go with samples of shape {stage.shape}")
    return source(Stage(stage, "dense", (weights.shape[1],), node.label, (weights,)))


def _gemm(node: Node) -> Value:
    """alpha A B + beta C."""
    a = node.attributes
    if a["transA"] != 0 or a["transB"] not in (0, 1):
        raise node.refuse(f"transA is {a['transA']} and transB {a['transB']}; fastnet reads 0, and 0 or 1")
    weights = _numbers(node, 1)
    weights = weights.T if a["transB"] else weights
    flow = _dense(node, weights if a["alpha"] == 1 else weights * a["alpha"])
    if len(node.inputs) < 3 or node.inputs[2] is None:
        return flow
    term = _fitting(node, 2, flow.stage)
    return affine(flow, node.label, np.ones(()), term * a["beta"])


def _matmul(node: Node) -> Value:
    if isinstance(node.inputs[1], Flow):
        raise node.refuse("weights on the left or two computed matrices; fastnet reads data @ weights")
    return _dense(node, _numbers(node, 1))


def _scaler(node: Node) -> Value:
    """(x - offset) * scale, one number each or one for each feature."""
    flow = _flow(node)
    offset, scale = (np.array(node.attributes[name], np.float64) for name in ("offset", "scale"))
    offset, scale = (one.reshape(()) if one.size == 1 else one for one in (offset, scale))
    if offset.ndim and scale.ndim and offset.size != scale.size:
        raise node.refuse(f"has {offset.size} offsets and {scale.size} scales")
    return affine(flow, node.label, scale, -offset * scale)


def _softmax(node: Node) -> Value:
    stage = finish(_flow(node))
    if len(stage.shape) != 1 or node.attributes["axis"] not in (-1, 1):
        raise node.refuse(
            f"axis {node.attributes['axis']}, samples of shape {stage.shape}; fastnet's is over all features"
        )
    return source(Stage(stage, "activation", stage.shape, node.label, (), "softmax"))


def _same(node: Node) -> Value:
    """Return the input: Identity, and ZipMap, which only gives the probabilities their names."""
    value = node.inputs[0]
    assert value is not None
    return value


def _dropout(node: Node) -> Value:
    if len(node.inputs) == 3 and node.inputs[2] is not None and _numbers(node, 2, "b").any():
        raise node.refuse("drops at random, as in training; export the network for inference")
    return _flow(node)


def _cast(node: Node) -> Value:
    value, to = node.inputs[0], node.attributes["to"]
    if isinstance(value, Flow) and to in _FLOATS:
        condition = value.values.dtype == np.bool_
        return value._replace(values=value.values.astype(np.float64)) if condition else value
    if isinstance(value, Sizes) and to in _INTEGERS:
        return value
    known = {"f": _FLOATS, "i": _FLOATS + _INTEGERS}
    if isinstance(value, np.ndarray) and to in known.get(value.dtype.kind, ()):
        return value.astype(TYPES[to])
    raise node.refuse(f"casts to {TYPES.get(to, to)}; fastnet reads casts to float32 and float64")


def _cast_like(node: Node) -> Value:
    _flow(node, 1)
    value = node.inputs[0]
    return _flow(node) if isinstance(value, Flow) else _numbers(node, 0)


# ---- functions of each number -----------------------------------------------------------------------


def _each(function: Callable[[Array], Array]) -> Callable[[Node], Value]:
    def run(node: Node) -> Value:
        flow = _flow(node)
        return Flow(flow.stage, function(flow.values), node.label)

    return run


def _erf(z: Array) -> Array:
    return np.array([math.erf(one) for one in z])


def _erfc(z: Array) -> Array:
    return np.array([math.erfc(one) for one in z])


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def _with_alpha(function: Callable[[Array], Array], ours: float) -> Callable[[Node], Value]:
    """An activation with a parameter, which fastnet has with one value of it."""

    def run(node: Node) -> Value:
        alpha = node.attributes["alpha"]
        if not abs(alpha - ours) <= 1e-6:
            raise node.refuse(f"alpha is {alpha:.6g}; fastnet has it with {ours:g} only")
        return _each(function)(node)

    return run


def _gelu(node: Node) -> Value:
    if node.attributes["approximate"] != b"none":
        raise node.refuse(
            f"approximate is {shown(node.attributes['approximate'])}; fastnet's gelu is the exact one"
        )
    return _each(lambda z: z / 2 * _erfc(-z / math.sqrt(2)))(node)


def _pair(function: Callable[[Array, Array], Array]) -> Callable[[Node], Value]:
    """Two flows from the same stage, or a flow and a constant."""

    def run(node: Node) -> Value:
        flows = [one for one in node.inputs if isinstance(one, Flow)]
        if len(flows) == 2:
            left, right = _flow(node, 0), _flow(node, 1)
            if left.stage is not right.stage:
                raise node.refuse("joins two branches; fastnet reads chains of layers")
            return Flow(left.stage, function(left.values, right.values), node.label)
        place = 0 if flows and node.inputs[0] is flows[0] else 1
        flow = _flow(node, place)
        other = _fitting(node, 1 - place, flow.stage)
        # What is added first is taken for a bias, and what multiplies a number by its own for a scale.
        if other.ndim or (flow.values is PROBES and node.operator in ("Add", "Sub")):
            return _affine(node, flow, other, place)
        both = (flow.values, other) if place == 0 else (other, flow.values)
        return Flow(flow.stage, function(*both), node.label)

    return run


def _affine(node: Node, flow: Flow, other: Array, place: int) -> Flow:
    """Return the sum, difference, product or quotient of a flow and a constant; `place` is the flow's."""
    one, zero = np.ones(()), np.zeros(())
    if node.operator == "Add":
        return affine(flow, node.label, one, other)
    if node.operator == "Sub":
        return affine(flow, node.label, one, -other) if place == 0 else affine(flow, node.label, -one, other)
    if node.operator == "Mul":
        return affine(flow, node.label, other, zero)
    if node.operator == "Div" and place == 0:
        return affine(flow, node.label, 1 / other, zero)
    raise node.refuse("has a constant for each feature, which fastnet has no layer for")


def _where(node: Node) -> Value:
    condition = node.inputs[0]
    if not isinstance(condition, Flow) or condition.values.dtype != np.bool_:
        raise node.refuse("its condition does not depend on the network's input")
    chosen: list[Array] = []
    for place in (1, 2):
        value = node.inputs[place]
        if isinstance(value, Flow) and value.stage is not condition.stage:
            raise node.refuse("joins two branches; fastnet reads chains of layers")
        one = _flow(node, place).values if isinstance(value, Flow) else _fitting(node, place, condition.stage)
        if one.ndim and not isinstance(value, Flow):
            raise node.refuse("has a constant for each feature, which fastnet has no layer for")
        chosen.append(one)
    return Flow(condition.stage, np.where(condition.values, *chosen), node.label)


# ---- shapes -----------------------------------------------------------------------------------------


def _flat(node: Node, flow: Flow) -> Flow:
    stage = finish(flow)
    if len(stage.shape) == 1:
        return flow
    size = math.prod(one or 0 for one in stage.shape)  # none is open, where there are several
    return source(Stage(stage, "flatten", (size,), node.label))


def _flatten(node: Node) -> Value:
    flow, axis = _flow(node), node.attributes["axis"]
    rank = len(flow.stage.shape) + 1
    if axis not in (1, 1 - rank):
        raise node.refuse(f"axis is {axis}; fastnet flattens each sample, axis 1")
    return _flat(node, flow)


def _reshape(node: Node) -> Value:
    """(N, -1), in one of the ways to say so; or a size into a list of sizes."""
    wanted = _integers(node, 1)
    if isinstance(node.inputs[0], Sizes) and wanted == (-1,):
        return node.inputs[0]
    flow = _flow(node)
    shape = flow.stage.shape
    size = None if None in shape else math.prod(one or 0 for one in shape)
    batch: set[int | None] = {None} if node.attributes["allowzero"] else {None, 0}
    if len(wanted) == 2:
        samples, features = wanted
        if (samples in batch and features in (-1, size)) or (samples == -1 and features == size is not None):
            return _flat(node, flow)
        if samples is not None and samples > 0 and samples == _batch(flow.stage) and features in (-1, size):
            return _flat(node, flow)
    raise node.refuse(
        f"makes {shown(wanted)} of samples of shape {shape}; fastnet flattens each sample, (N, -1)"
    )


def _batch(stage: Stage) -> int | None:
    """Return the number of samples where the file fixes it, which the first stage knows."""
    while stage.before is not None:
        stage = stage.before
    return int(stage.values[0]) if stage.values else None


def _shape(node: Node) -> Value:
    sizes = (None, *_flow(node).stage.shape)
    if None in sizes[1:]:
        raise node.refuse("the file does not say how many features there are")
    return Sizes(sizes[node.attributes["start"] : node.attributes["end"]])


def _gather(node: Node) -> Value:
    sizes, places = node.inputs[0], _integers(node, 1)
    if not isinstance(sizes, Sizes) or node.attributes["axis"] != 0:
        raise node.refuse("gathers something else than the sizes of a shape")
    if any(place is None or not -len(sizes.values) <= place < len(sizes.values) for place in places):
        raise node.refuse(f"gathers {shown(places)} of {len(sizes.values)} sizes")
    return Sizes(tuple(sizes.values[place or 0] for place in places))


def _sizes(node: Node) -> Value:
    """Unsqueeze and Squeeze: of sizes, whether one stands alone or in a list makes no difference here."""
    if isinstance(node.inputs[0], Flow):
        raise node.refuse("changes the dimensions of something else than the sizes of a shape")
    return Sizes(_integers(node, 0))


def _concat(node: Node) -> Value:
    if not any(isinstance(one, Flow) for one in node.inputs):
        found = [one for place in range(len(node.inputs)) for one in _integers(node, place)]
        return Sizes(tuple(found[:9]))  # more than can be a shape that is read
    if len(node.inputs) != 2 or not all(isinstance(one, Flow) for one in node.inputs):
        raise node.refuse("joins branches; fastnet reads chains of layers")
    low, high = _flow(node, 0), _flow(node, 1)
    if low.stage is not high.stage or low.stage.shape != (1,) or node.attributes["axis"] not in (-1, 1):
        raise node.refuse("joins branches; fastnet reads chains of layers")
    sigmoid, label = finish(high), node.label
    if sigmoid.activation != "sigmoid" or not np.allclose(low.values, 1 - high.values, rtol=0, atol=1e-6):
        raise node.refuse("joins two outputs other than 1 - p and p of one sigmoid")
    return source(Stage(high.stage, "two classes", (2,), label))


def _transpose(node: Node) -> Value:
    matrix = _numbers(node, 0)
    if matrix.ndim != 2 or node.attributes["perm"] not in ((), (1, 0)):
        raise node.refuse("transposes something else than a constant matrix")
    return matrix.T


OPERATORS: dict[str, _Operator] = {
    "Gemm": _Operator(_gemm, 2, 3, {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}),
    "MatMul": _Operator(_matmul, 2, 2),
    "Add": _Operator(_pair(np.add), 2, 2),
    "Sub": _Operator(_pair(np.subtract), 2, 2),
    "Mul": _Operator(_pair(np.multiply), 2, 2),
    "Div": _Operator(_pair(np.divide), 2, 2),
    "Relu": _Operator(_each(lambda z: np.maximum(z, 0))),
    "LeakyRelu": _Operator(
        _with_alpha(lambda z: np.where(z > 0, z, z / 100), 0.01), attributes={"alpha": 0.01}
    ),
    "Elu": _Operator(
        _with_alpha(lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), 1.0), attributes={"alpha": 1.0}
    ),
    "Gelu": _Operator(_gelu, attributes={"approximate": b"none"}),
    "Swish": _Operator(_with_alpha(lambda z: z * _sigmoid(z), 1.0), attributes={"alpha": 1.0}),
    "Sigmoid": _Operator(_each(_sigmoid)),
    "Tanh": _Operator(_each(np.tanh)),
    "Softplus": _Operator(_each(lambda z: np.logaddexp(z, 0))),
    "Softmax": _Operator(_softmax, attributes={"axis": -1}),
    "Erf": _Operator(_each(_erf)),
    "Erfc": _Operator(_each(_erfc)),  # ONNX has none, but tf2onnx writes it for the gelu of Keras
    "Exp": _Operator(_each(np.exp)),
    "Log": _Operator(_each(np.log)),
    "Neg": _Operator(_each(np.negative)),
    "Abs": _Operator(_each(np.abs)),
    "Min": _Operator(_pair(np.minimum), 2, 2),
    "Max": _Operator(_pair(np.maximum), 2, 2),
    "Greater": _Operator(_pair(np.greater), 2, 2),
    "GreaterOrEqual": _Operator(_pair(np.greater_equal), 2, 2),
    "Less": _Operator(_pair(np.less), 2, 2),
    "LessOrEqual": _Operator(_pair(np.less_equal), 2, 2),
    "Where": _Operator(_where, 3, 3),
    "Identity": _Operator(_same),
    "Dropout": _Operator(_dropout, 1, 3, {"ratio": 0.5, "seed": 0}),
    "Cast": _Operator(_cast, attributes={"to": int, "saturate": 1}),
    "CastLike": _Operator(_cast_like, 2, 2, {"saturate": 1}),
    "Flatten": _Operator(_flatten, attributes={"axis": 1}),
    "Reshape": _Operator(_reshape, 2, 2, {"allowzero": 0}),
    "Transpose": _Operator(_transpose, attributes={"perm": ()}),
    "Constant": _Operator(_same, 0, 0),  # which `apply` reads itself
    "Shape": _Operator(_shape, attributes={"start": 0, "end": 9}),
    "Gather": _Operator(_gather, 2, 2, {"axis": 0}),
    "Squeeze": _Operator(_sizes, 1, 2, {"axes": ()}),
    "Unsqueeze": _Operator(_sizes, 1, 2, {"axes": ()}),
    "Concat": _Operator(_concat, 1, 9, {"axis": int}),
    "ai.onnx.ml.Scaler": _Operator(_scaler, attributes={"offset": (0.0,), "scale": (1.0,)}),
    "ai.onnx.ml.ZipMap": _Operator(_same, attributes={"classlabels_int64s": (), "classlabels_strings": ()}),
}
"""What is read, by operator, with the domain where it is not ONNX's own."""
