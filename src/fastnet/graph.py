"""The graph: what a network becomes before it is run.

A network is lowered to a flat list of operations over numbered buffers. Buffer 0 is the input; every
operation names the buffers it reads and the one it writes, and the slices ("slots") of the flat
parameter vector that it uses. Nothing here computes: the executors in `fastnet.backends` run a graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Graph", "GraphBuilder", "Op", "Slot"]

# Operations of one block: 0.1 s at 2 GFLOP/s, which even the NumPy backend reaches on a small machine.
_BLOCK_OPERATIONS = 2e8
_LEAST_ROWS = 512  # enough to keep several threads busy, and weights in use, however large the network
_OPERATIONS_PER_VALUE = 40  # of an activation; exp and its like, in NumPy


class Slot(NamedTuple):
    """A slice of the flat parameter vector that belongs to one layer.

    Attributes
    ----------
    offset : int
        Index of its first value in the flat vector.
    shape : tuple of int
        Shape of the layer's view.
    decay : bool
        Whether weight decay applies (weights: yes; biases: no).
    name : str
        What the layer calls it: ``"weights"`` or ``"bias"``.
    layer : int
        Index of the layer in the network.
    """

    offset: int
    shape: tuple[int, ...]
    decay: bool
    name: str
    layer: int

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


class Op(NamedTuple):
    """One operation: reads buffers and slots, writes one buffer.

    Attributes
    ----------
    kind : str
        ``"dense"``, ``"activation"``, ``"dropout"`` or ``"flatten"``.
    inputs : tuple of int
        Numbers of the buffers it reads. Never assume that it is the previous operation's output.
    output : int
        Number of the buffer it writes; no other operation writes it.
    slots : tuple of Slot
        Parameters: dense has weights (I, O), then bias (O,) where there is one.
    attributes : mapping
        What else it needs to know: ``{"name": "relu"}`` (activation), ``{"rate": 0.2}`` (dropout).
    layer : int
        Index of the layer it came from, for messages.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    slots: tuple[Slot, ...]
    attributes: Mapping[str, str | float]
    layer: int


class Graph(NamedTuple):
    """A whole network, ready to be executed.

    Attributes
    ----------
    shapes : tuple of tuple of int
        Shape of one sample in each buffer.
    ops : tuple of Op
        In an order in which they can be run.
    output : int
        Number of the buffer that is the network's output.
    slots : tuple of Slot
        Every slice of the parameter vector, in order and without gaps.
    parameter_count : int
        Length of the flat parameter vector.
    """

    shapes: tuple[tuple[int, ...], ...]
    ops: tuple[Op, ...]
    output: int
    slots: tuple[Slot, ...]
    parameter_count: int

    def size(self, buffer: int) -> int:
        """Values of one sample in a buffer."""
        return math.prod(self.shapes[buffer])

    @property
    def block_rows(self) -> int:
        """Rows that one call into compiled code may take: a signal such as Ctrl-C is answered between two.

        A slow machine works them off in a fraction of a second.
        """
        values = sum(self.size(buffer) for buffer in range(len(self.shapes)))
        operations = 2 * self.parameter_count + _OPERATIONS_PER_VALUE * values
        return max(_LEAST_ROWS, int(_BLOCK_OPERATIONS / operations))

    @property
    def output_activation(self) -> str:
        """Name of the activation that writes the output; ``"identity"`` where none does."""
        for op in self.ops:
            if op.output == self.output and op.kind == "activation":
                return str(op.attributes["name"])
        return "identity"


class GraphBuilder:
    """Collects buffers, slots and operations while layers lower themselves.

    Parameters
    ----------
    input_shape : sequence of int
        Shape of one sample of the input, which becomes buffer 0.
    """

    def __init__(self, input_shape: Sequence[int]) -> None:
        self._shapes: list[tuple[int, ...]] = [tuple(input_shape)]
        self._ops: list[Op] = []
        self._slots: list[Slot] = []
        self._parameter_count = 0

    def shape(self, buffer: int) -> tuple[int, ...]:
        """Shape of one sample in a buffer."""
        return self._shapes[buffer]

    def buffer(self, shape: Sequence[int]) -> int:
        """Add a buffer and return its number."""
        self._shapes.append(tuple(shape))
        return len(self._shapes) - 1

    def parameter(self, shape: Sequence[int], *, decay: bool, name: str, layer: int) -> Slot:
        """Reserve the next slice of the parameter vector."""
        slot = Slot(self._parameter_count, tuple(shape), decay, name, layer)
        self._parameter_count += slot.size
        self._slots.append(slot)
        return slot

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        output: int,
        *,
        layer: int,
        slots: Sequence[Slot] = (),
        **attributes: str | float,
    ) -> None:
        """Append an operation."""
        self._ops.append(Op(kind, tuple(inputs), output, tuple(slots), attributes, layer))

    def build(self, output: int) -> Graph:
        """Return the finished graph."""
        return Graph(tuple(self._shapes), tuple(self._ops), output, tuple(self._slots), self._parameter_count)
