"""A network from foreign layers: what every reader here ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import DTypeLike, NDArray

from fastnet.architecture import check_layers, lower
from fastnet.checks import check_dtype, check_shape
from fastnet.layers import Dense, Layer
from fastnet.network import Network

__all__ = ["Part", "assemble"]


class Part(NamedTuple):
    """A layer, and the values of its parameters where it has some.

    Attributes
    ----------
    layer : Layer
        A recipe.
    weights : ndarray (inputs, units), optional
        Of a `Dense`.
    bias : ndarray (units,), optional
        Of a `Dense` with bias.
    """

    layer: Layer
    weights: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None


def assemble(parts: Sequence[Part], inputs: int | Sequence[int], dtype: DTypeLike = "float32") -> Network:
    """Return the network of these parts.

    Raises
    ------
    ValueError
        A layer does not fit the one before, a value is not finite or an array has the wrong shape; the
        message names the layer.
    """
    layers = check_layers([part.layer for part in parts])
    shape, dtype = check_shape(inputs), check_dtype(dtype)
    values = [dict(zip(("weights", "bias"), part[1:], strict=True)) for part in parts]
    for slot in lower(layers, shape)[1].slots:  # before anything is allocated for what they claim
        found = values[slot.layer][slot.name]
        if found is None or found.shape != slot.shape:
            given = "none" if found is None else f"{found.shape}"
            raise ValueError(f"layers[{slot.layer}]: {slot.name} has shape {given}; wanted {slot.shape}")
    network = Network(layers, shape, dtype, seed=0)
    for index, (layer, part) in enumerate(zip(network.layers, parts, strict=True)):
        if isinstance(layer, Dense) and part.weights is not None:
            try:
                layer.weights = part.weights
                if part.bias is not None:
                    layer.bias = part.bias
            except ValueError as error:
                raise ValueError(f"layers[{index}]: {error}") from None
    return network
