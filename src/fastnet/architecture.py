"""What a network is made of: from layers to a graph, to a description in a file and back, and to a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import layers as layer_table
from fastnet.checks import check_dtype, check_seed, check_shape
from fastnet.graph import Graph, GraphBuilder, Slot
from fastnet.layers import LAYERS, Layer

if TYPE_CHECKING:
    from fastnet.storage import TensorKind

__all__ = ["Summary", "check_layers", "expected_tensors", "lower", "parse", "slot_name", "summarize"]


class Summary(str):
    """A table as text, which also prints as a table where a notebook or prompt shows its value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def check_layers(layers: object) -> list[Layer]:
    """Return the layers of a network as a list, at least one."""
    if isinstance(layers, Layer):
        raise TypeError(f"layers is a {type(layers).__name__}; wanted a list of layers")
    try:
        recipes: list[Any] = list(layers)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"layers is a {type(layers).__name__}; wanted a list of layers") from None
    if not recipes:
        raise ValueError("layers is empty; wanted at least one layer")
    for index, layer in enumerate(recipes):
        if not isinstance(layer, tuple(LAYERS.values())):
            hint = f": write {layer.__name__}()" if isinstance(layer, type) else ""
            raise TypeError(f"layers[{index}] is {layer!r}; wanted a layer such as Dense(10, 'relu'){hint}")
    return recipes


def lower(
    layers: Sequence[Layer], shape: tuple[int, ...]
) -> tuple[tuple[Layer, ...], Graph, list[tuple[int, ...]]]:
    """Lower layers to a graph; errors name the layer.

    Returns
    -------
    own : tuple of Layer
        Copies of the layers, which know their slots.
    graph : Graph
        What they come to.
    shapes : list of tuple of int
        Shape of one sample of each layer's output.
    """
    builder = GraphBuilder(shape)
    buffer, shapes = 0, []
    own = tuple(layer.recipe() for layer in layers)
    for index, layer in enumerate(own):
        try:
            buffer = layer.lower(builder, buffer, index)
        except ValueError as error:
            raise ValueError(f"layers[{index}] ({type(layer).__name__}): {error}") from None
        shapes.append(builder.shape(buffer))
    return own, builder.build(buffer), shapes


def parse(config: Mapping[str, Any]) -> tuple[list[Layer], tuple[int, ...], np.dtype[Any], int]:
    """Return layers, input shape, dtype and seed from what `Network.config` returned, checked."""
    if not isinstance(config["metadata"], dict):
        raise ValueError(f"metadata is {config['metadata']!r}; wanted an object")
    if config["seed"] is None:
        raise ValueError("seed is missing")
    layers = check_layers([layer_table.from_config(one) for one in config["layers"]])
    return layers, check_shape(config["inputs"]), check_dtype(config["dtype"]), check_seed(config["seed"])


def slot_name(slot: Slot) -> str:
    """Return the name by which files know a slot: ``layers.0.weights``."""
    return f"layers.{slot.layer}.{slot.name}"


def expected_tensors(config: Mapping[str, Any]) -> dict[str, TensorKind]:
    """Return the tensors that a network's description calls for, after checking it; allocates nothing."""
    layers, shape, dtype, _ = parse(config)
    return {slot_name(slot): (slot.shape, dtype.name) for slot in lower(layers, shape)[1].slots}


def summarize(layers: Sequence[Layer], graph: Graph, dtype: np.dtype[Any]) -> Summary:
    """Return a table of layers, output shapes and numbers of parameters."""
    shapes = [graph.shapes[0], *lower(layers, graph.shapes[0])[2]]
    counts = [sum(slot.size for slot in graph.slots if slot.layer == index) for index in range(len(layers))]
    rows = [("layer", "output", "parameters")]
    for name, shape, count in zip(["input", *map(repr, layers)], shapes, [0, *counts], strict=True):
        rows.append((name, " x ".join(map(str, shape)), f"{count:,}" if count else ""))
    rows.append(("total", "", f"{graph.parameter_count:,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    size = graph.parameter_count * dtype.itemsize / 1024
    return Summary(
        "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], f"{dtype.name}, {size:,.1f} KiB"])
    )
