"""What `fastnet.explain` computes and returns, and how it is shown as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastnet.arrays import as_number
from fastnet.backends import reference
from fastnet.checks import Array, LossFunction, LossSpec, check_loss, check_samples, check_targets
from fastnet.evaluation import call_loss
from fastnet.graph import Graph, Op
from fastnet.losses import Loss

if TYPE_CHECKING:
    from fastnet.network import Network

__all__ = ["Explanation", "LayerStep", "explanation_of"]

# What `str` shows of one layer at most; the arrays have everything.
_MOST_SAMPLES, _MOST_INPUTS, _MOST_UNITS = 12, 10, 8


@dataclass(frozen=True, eq=False)
class LayerStep:
    """What one step of training does in one `Dense` layer; N samples, I inputs, O units.

    Attributes
    ----------
    index : int
        Position of the layer in ``net.layers``.
    description : str
        The layer in short, such as ``Dense(1, sigmoid)``.
    activation : str
        Name of its activation.
    inputs : ndarray (N, I)
        What it reads.
    weights, bias : ndarray (I, O) and (O,)
        Before the step; `bias` is None in a layer without one.
    total_input : ndarray (N, O)
        ``inputs @ weights + bias``.
    output : ndarray (N, O)
        ``activation(total_input)``.
    error : ndarray (N, O)
        Minus the slope of the loss with respect to `output`: the direction in which `output` should go. For
        `half_squared_error` it is ``target - output`` in the last layer; in the others it is what the next
        layer sends back, ``delta @ weights.T`` of that. (For softmax with cross-entropy see `slope`.)
    slope : ndarray (N, O) or None
        Derivative of the activation at `total_input`. None for softmax, each of whose outputs depends on all
        total inputs; with `cross_entropy`, `error` is then ``target - output`` and `delta` is ``error / N``.
    delta : ndarray (N, O)
        ``error * slope``: minus the slope of the loss with respect to `total_input`.
    weight_update, bias_update : ndarray (I, O) and (O,)
        ``learning_rate * inputs.T @ delta`` and ``learning_rate * delta.sum(axis=0)``.
    new_weights, new_bias : ndarray (I, O) and (O,)
        The sums of both.
    """

    index: int
    description: str
    activation: str
    inputs: Array
    weights: Array
    bias: Array | None
    total_input: Array
    output: Array
    error: Array
    slope: Array | None
    delta: Array
    weight_update: Array
    bias_update: Array | None
    new_weights: Array
    new_bias: Array | None


@dataclass(frozen=True, eq=False)
class Explanation:
    """One step of gradient descent on a whole batch; ``print`` it to read it.

    Attributes
    ----------
    loss : str
        Name of the loss.
    learning_rate : float
        Size of the step.
    loss_before, loss_after : float
        The loss of this batch with the weights before and after the step.
    target : ndarray (N, O) or None
        The targets as rows, labels as zeros with a one; None where a function as loss has others.
    layers : tuple of LayerStep
        The `Dense` layers, from the input's side to the output's.
    """

    loss: str
    learning_rate: float
    loss_before: float
    loss_after: float
    target: Array | None
    layers: tuple[LayerStep, ...]

    def __str__(self) -> str:
        lines = [
            f"One step of gradient descent: loss {self.loss}, learning rate {self.learning_rate:g}",
            f"loss before {self.loss_before:.8f}, after {self.loss_after:.8f}",
        ]
        for layer in self.layers:
            last = layer is self.layers[-1]
            lines += ["", *_layer_text(layer, self.loss, self.target if last else None, last)]
        return "\n".join(lines)


def explanation_of(
    net: Network, x: ArrayLike, y: ArrayLike, loss: LossSpec, learning_rate: float
) -> Explanation:
    """Do what `fastnet.explain` says."""
    found = check_loss(loss, net.graph)
    rows = check_samples(x, net.input_shape, net.dtype).copy()  # what is shown stays, whatever becomes of x
    targets = check_targets(y, len(rows), found, net.graph, net.dtype).copy()
    rate = as_number("learning_rate", learning_rate)
    if rate <= 0.0:
        raise ValueError(f"learning_rate is {rate:g}; wanted a positive number")
    parameters = net.parameters.copy()
    values = _forward(net.graph, parameters, rows)
    before, error, delta = _loss(found, net.graph, values, targets)
    steps = _backward(net, parameters, values, error, delta, rate)
    for op, step in steps:  # `parameters` is our own copy
        _parts(parameters, op)[0][...] = step.new_weights
        if step.new_bias is not None:
            _parts(parameters, op)[1][...] = step.new_bias
    after = _loss(found, net.graph, _forward(net.graph, parameters, rows), targets)[0]
    name = found.name if isinstance(found, Loss) else getattr(found, "__name__", "function")
    target = _as_rows(targets, values[net.graph.output])
    return Explanation(name, rate, before, after, target, tuple(step for _, step in steps))


def _parts(parameters: Array, op: Op) -> list[Array]:
    """Return views of the weights and, where there is one, the bias of a dense operation."""
    return [parameters[slot.offset : slot.offset + slot.size].reshape(slot.shape) for slot in op.slots]


def _forward(graph: Graph, parameters: Array, x: Array) -> dict[int, Array]:
    """Return the value of each buffer, (N, size)."""
    values = {0: x}
    for op in graph.ops:
        source = values[op.inputs[0]]
        out = np.empty((len(x), graph.size(op.output)), x.dtype)
        if op.kind == "dense":
            weights, *bias = _parts(parameters, op)
            reference.dense_forward(source, weights, bias[0] if bias else None, out)
        elif op.kind == "activation":
            reference.activation_forward(source, out, str(op.attributes["name"]))
        elif op.kind in ("dropout", "flatten"):  # rows are flat already, and dropout is off
            out[...] = source
        else:
            raise ValueError(f"explain knows no operation {op.kind!r}, of layer {op.layer}")
        values[op.output] = out
    return values


def _loss(
    loss: Loss | LossFunction, graph: Graph, values: dict[int, Array], targets: Array
) -> tuple[float, Array, Array | None]:
    """Return the loss, the error of the output and, where activation and loss are one, the last delta."""
    output = values[graph.output]
    if not isinstance(loss, Loss):
        value, d_output = call_loss(loss, output.copy(), targets)
        return value, 0.0 - d_output, None
    slope = np.empty_like(output)
    if not (loss.paired and loss.paired == graph.output_activation):
        total, norm = reference.loss_and_slope(
            output, targets, None, slope, loss.name, loss.parameter, loss.scale
        )
        return total / norm, 0.0 - slope, None
    total_input = values[next(op.inputs[0] for op in graph.ops if op.output == graph.output)]
    name = f"{loss.paired}_{loss.name}"
    total, norm = reference.loss_and_slope(
        total_input, targets, None, slope, name, loss.parameter, loss.scale
    )
    delta = 0.0 - slope
    if loss.paired == "softmax":
        rows = _as_rows(targets, output)
        assert rows is not None
        return total / norm, rows - output, delta
    return total / norm, _quotient(delta, _slope(total_input, output, loss.paired)), delta


def _backward(
    net: Network,
    parameters: Array,
    values: dict[int, Array],
    error: Array,
    last_delta: Array | None,
    rate: float,
) -> list[tuple[Op, LayerStep]]:
    """Go back through the graph; return its dense operations, in order, with what happens in each."""
    graph = net.graph
    errors = {graph.output: error}  # by buffer: minus the slope of the loss with respect to its values
    activations: dict[int, Op] = {}  # by the buffer they read
    steps = []
    for op in reversed(graph.ops):
        source = op.inputs[0]
        if op.kind == "activation":
            activations[source] = op
            if op.output == graph.output and last_delta is not None:
                errors[source] = last_delta
            else:
                errors[source] = np.empty_like(values[source])
                name = str(op.attributes["name"])
                reference.activation_backward(
                    values[source], values[op.output], errors[op.output], errors[source], name
                )
        elif op.kind == "dense":
            step = _layer_step(net, op, activations.get(op.output), parameters, values, errors, rate)
            errors[source] = step.delta @ step.weights.T
            steps.append((op, step))
        else:
            errors[source] = errors[op.output]
    return steps[::-1]


def _layer_step(
    net: Network,
    op: Op,
    activation: Op | None,
    parameters: Array,
    values: dict[int, Array],
    errors: dict[int, Array],
    rate: float,
) -> LayerStep:
    """Return what happens in one dense layer, whose activation is an operation of its own or the identity."""
    weights, *biases = (part.copy() for part in _parts(parameters, op))
    bias = biases[0] if biases else None
    name = "identity" if activation is None else str(activation.attributes["name"])
    output = op.output if activation is None else activation.output
    inputs, delta = values[op.inputs[0]], errors[op.output]
    weight_update = rate * (inputs.T @ delta)
    bias_update = None if bias is None else rate * delta.sum(axis=0)
    return LayerStep(
        index=op.layer,
        description=f"{type(net.layers[op.layer]).__name__}({weights.shape[1]}, {name})",
        activation=name,
        inputs=inputs,
        weights=weights,
        bias=bias,
        total_input=values[op.output],
        output=values[output],
        error=errors[output],
        slope=None if name == "softmax" else _slope(values[op.output], values[output], name),
        delta=delta,
        weight_update=weight_update,
        bias_update=bias_update,
        new_weights=weights + weight_update,
        new_bias=None if bias is None else bias + bias_update,
    )


def _slope(total_input: Array, output: Array, name: str) -> Array:
    """Return the derivative of an elementwise activation."""
    slope = np.empty_like(total_input)
    reference.activation_backward(total_input, output, np.ones_like(total_input), slope, name)
    return slope


def _quotient(delta: Array, slope: Array) -> Array:
    """Return the error of which `delta` is the product with `slope`; infinite where only the slope is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        quotient: Array = np.divide(delta, slope, out=np.zeros_like(delta), where=delta != 0)
    return quotient


def _as_rows(targets: Array, output: Array) -> Array | None:
    """Return targets in the shape of the output: labels become rows with a 1 at their place."""
    if targets.shape == output.shape:
        return targets
    if (
        targets.ndim == 1
        and targets.dtype.kind == "i"
        and targets.min() >= 0
        and targets.max() < output.shape[1]
    ):
        rows: Array = np.eye(output.shape[1], dtype=output.dtype)[targets]
        return rows
    return None


# ---- as text --------------------------------------------------------------------------------------------


def _layer_text(layer: LayerStep, loss: str, target: Array | None, last: bool) -> list[str]:
    """Return the lines about one layer: its formulas, inputs, samples unit by unit, and weights."""
    samples, inputs = layer.inputs.shape
    bias = "" if layer.bias is None else " + bias"
    lines = [
        f"layer {layer.index}: {layer.description}, {_count(inputs, 'input')}, {_count(samples, 'sample')}",
        f"  total input = inputs . weights{bias};  output = {layer.activation}(total input)",
        f"  {_backward_formulas(layer, loss, last)}",
        "  weight update = learning rate * inputs^T . delta;  new weight = weight + weight update",
    ]
    shown = range(min(inputs, _MOST_INPUTS))
    columns = [("sample", _numbers(np.arange(samples)))]
    columns += [(f"input {i}", _numbers(layer.inputs[:, i])) for i in shown]
    lines += [
        "",
        *_table(columns),
        *_rest(samples, _MOST_SAMPLES, "samples"),
        *_rest(inputs, _MOST_INPUTS, "inputs"),
    ]
    units = layer.weights.shape[1]
    for unit in range(min(units, _MOST_UNITS)):
        lines += [
            "",
            f"  unit {unit}",
            *_samples_of_unit(layer, unit, target),
            "",
            *_weights_of_unit(layer, unit),
        ]
    return lines + _rest(units, _MOST_UNITS, "units")


def _backward_formulas(layer: LayerStep, loss: str, last: bool) -> str:
    """Return the formulas of error and delta that hold in this layer."""
    softmax = layer.slope is None
    if last and (loss == "half_squared_error" or (softmax and loss == "cross_entropy")):
        error = "error = target - output"
    elif last:
        error = "error = -(slope of the loss with respect to output)"
    else:
        error = "error = delta . weights^T of the next layer"
    if not softmax:
        return f"{error};  slope = d output / d total input;  delta = error * slope"
    if last and loss == "cross_entropy":
        return f"{error};  delta = error / samples (softmax and cross_entropy together)"
    return f"{error};  delta = output * (error - sum of output * error over the units)"


def _samples_of_unit(layer: LayerStep, unit: int, target: Array | None) -> list[str]:
    """Return the table of what each sample does in one unit."""
    named = [
        ("total input", layer.total_input),
        ("output", layer.output),
        ("target", target),
        ("error", layer.error),
        ("slope", layer.slope),
        ("delta", layer.delta),
    ]
    columns = [("sample", _numbers(np.arange(len(layer.inputs))))]
    columns += [(name, _numbers(values[:, unit])) for name, values in named if values is not None]
    return _table(columns) + _rest(len(layer.inputs), _MOST_SAMPLES, "samples")


def _weights_of_unit(layer: LayerStep, unit: int) -> list[str]:
    """Return the table of one unit's weights, the bias last."""
    inputs = len(layer.weights)
    names = [str(i) for i in range(min(inputs, _MOST_SAMPLES))]
    parts = [layer.weights, layer.weight_update, layer.new_weights]
    columns = [part[: len(names), unit] for part in parts]
    if layer.bias is not None and layer.bias_update is not None and layer.new_bias is not None:
        names.append("bias")
        biases = (layer.bias, layer.bias_update, layer.new_bias)
        columns = [np.append(column, bias[unit]) for column, bias in zip(columns, biases, strict=True)]
    titles = ("weight", "weight update", "new weight")
    shown = [(title, _numbers(column)) for title, column in zip(titles, columns, strict=True)]
    return _table([("input", names), *shown], most=len(names)) + _rest(inputs, _MOST_SAMPLES, "inputs")


def _numbers(values: Array) -> list[str]:
    """Return numbers to 8 decimals; whole ones without, very large and very small ones with an exponent."""
    if np.array_equal(values, np.rint(values)) and np.all(np.abs(values) < 1e8):
        return [f"{value:z.0f}" for value in values]
    largest = float(np.max(np.abs(values)))
    kind = "f" if 1e-4 <= largest < 1e7 else "e"
    return [f"{value:z.8{kind}}" for value in values]


def _table(columns: Sequence[tuple[str, Sequence[str]]], most: int = _MOST_SAMPLES) -> list[str]:
    """Return the lines of a table: each column has a title and right-aligned cells."""
    widths = [max(len(title), *map(len, cells[:most])) for title, cells in columns]
    rows: list[tuple[Any, ...]] = [tuple(title for title, _ in columns)]
    rows += list(zip(*(cells[:most] for _, cells in columns), strict=True))
    return [
        "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]


def _rest(count: int, most: int, things: str) -> list[str]:
    """Return a line about what is left out, if anything is."""
    return [f"  ... and {count - most} more {things}"] if count > most else []


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
