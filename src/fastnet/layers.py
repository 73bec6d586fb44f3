"""The layers: what a user stacks to make a network.

A layer is first a recipe, made without knowing its input. A network copies the recipe, lets it add its
operations to the graph (`Layer.lower`), and then gives it its share of the network's parameters
(`Layer.bind`). From then on the layer shows them as live, writable views.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet import activations, initializers
from fastnet.arrays import as_count, as_number, as_numbers, require_finite
from fastnet.graph import GraphBuilder, Slot
from fastnet.initializers import Initializer

__all__ = ["LAYERS", "Dense", "Dropout", "Flatten", "Layer", "from_config"]

InitializerSpec: TypeAlias = str | Initializer | Callable[..., ArrayLike] | ArrayLike
"""A name, an initializer, a function ``(rng, shape, fan_in, fan_out) -> array``, or the values themselves."""


class Layer(ABC):
    """What all layers share.

    Attributes
    ----------
    name : str
        What files call it.
    weights : ndarray
        Only in layers that have weights.
    bias : ndarray or None
        Likewise.
    """

    name: ClassVar[str]
    # For type checkers, which do not know what kind ``net.layers[0]`` is of; this makes no attribute.
    weights: NDArray[Any]
    bias: NDArray[Any] | Any  # or None, which nobody should have to rule out who knows of a bias

    def __init__(self) -> None:
        self._slots: tuple[Slot, ...] = ()
        self._views: dict[str, NDArray[Any]] = {}

    @abstractmethod
    def lower(self, builder: GraphBuilder, buffer: int, index: int) -> int:
        """Add this layer's operations to a graph.

        Parameters
        ----------
        builder : GraphBuilder
            The graph so far.
        buffer : int
            Number of the buffer that holds this layer's input.
        index : int
            Position of this layer in its network.

        Returns
        -------
        int
            Number of the buffer that holds its output.

        Raises
        ------
        ValueError
            The shape of the input does not fit.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return a JSON-able description, from which `from_config` makes an equal recipe."""

    def initialize(self, rng: np.random.Generator, parameters: NDArray[Any]) -> None:  # noqa: B027
        """Draw the first values of this layer's slices of `parameters`, (P,), and write them there.

        A layer without parameters has nothing to do here.
        """

    def bind(self, parameters: NDArray[Any]) -> None:
        """Take this layer's slices of `parameters`, (P,), as its own: they become its views."""
        self._views = {slot.name: _view(parameters, slot) for slot in self._slots}

    def recipe(self) -> Layer:
        """Return a copy that belongs to no network."""
        return copy.copy(self)

    def __getstate__(self) -> dict[str, Any]:
        # A copy belongs to no network: its views would be those of another, or mere copies of them.
        return {**self.__dict__, "_slots": (), "_views": {}}

    def _read(self, name: str) -> NDArray[Any]:
        if name not in self._views:
            raise RuntimeError(
                f"this {type(self).__name__} belongs to no network, so it has no {name}; "
                "a network copies its layers: read them from net.layers"
            )
        return self._views[name]

    def _write(self, name: str, values: ArrayLike) -> None:
        view = self._read(name)
        array = as_numbers(name, values)
        if array.shape != view.shape:
            raise ValueError(f"{name} has shape {array.shape}; the layer's has {view.shape}")
        require_finite(name, array)
        view[...] = array


class Dense(Layer):
    """A fully connected layer: ``activation(x @ weights + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str
        A name in `fastnet.activations.ACTIVATIONS`.
    bias : bool
        Whether each unit has a bias.
    weights_init : str, Initializer, callable or array_like, optional
        First values of the weights: a name such as ``"he_normal"``, an initializer, a function
        ``(rng, shape, fan_in, fan_out) -> array``, or the values, of shape (inputs, units). None takes the
        one that fits the activation.
    bias_init : str, Initializer, callable or array_like
        First values of the bias, of shape (units,).

    Attributes
    ----------
    weights : ndarray (inputs, units)
        Live, writable view into the network's parameters.
    bias : ndarray (units,) or None
        Likewise; None in a layer without bias.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind or out of range.
    """

    name = "dense"

    def __init__(
        self,
        units: int,
        activation: str = "identity",
        *,
        bias: bool = True,
        weights_init: InitializerSpec | None = None,
        bias_init: InitializerSpec = "zeros",
    ) -> None:
        super().__init__()
        self.units = as_count("units", units)
        self.activation = activations.get(activation).name
        if not isinstance(bias, bool | np.bool_):
            raise TypeError(f"bias is {bias!r}; wanted True or False (for first values there is bias_init)")
        self.has_bias = bool(bias)
        self.weights_init = None if weights_init is None else _initializer("weights_init", weights_init)
        self.bias_init = _initializer("bias_init", bias_init)

    @property
    def weights(self) -> NDArray[Any]:
        """The weights, (inputs, units): a live, writable view into the network's parameters."""
        return self._read("weights")

    @weights.setter
    def weights(self, values: ArrayLike) -> None:
        self._write("weights", values)

    @property
    def bias(self) -> NDArray[Any] | None:
        """The bias, (units,): a live, writable view; None in a layer without bias."""
        return self._read("bias") if self.has_bias else None

    @bias.setter
    def bias(self, values: ArrayLike) -> None:
        if not self.has_bias:
            raise ValueError("this Dense was made with bias=False, so it has no bias to set")
        self._write("bias", values)

    def lower(self, builder: GraphBuilder, buffer: int, index: int) -> int:
        """Add a dense operation and, unless the activation is the identity, an activation."""
        shape = builder.shape(buffer)
        if len(shape) != 1:
            raise ValueError(
                f"its input has the shape {shape}; Dense needs a flat one: put Flatten() before it"
            )
        slots = [builder.parameter((shape[0], self.units), decay=True, name="weights", layer=index)]
        if self.has_bias:
            slots.append(builder.parameter((self.units,), decay=False, name="bias", layer=index))
        output = builder.buffer((self.units,))
        builder.add("dense", (buffer,), output, layer=index, slots=slots)
        self._slots = tuple(slots)
        if self.activation == "identity":
            return output
        activated = builder.buffer((self.units,))
        builder.add("activation", (output,), activated, layer=index, name=self.activation)
        return activated

    def initialize(self, rng: np.random.Generator, parameters: NDArray[Any]) -> None:
        """Draw weights, then bias, in float64, and write them into `parameters`."""
        fan_in, fan_out = self._slots[0].shape
        weights_init = self.weights_init or initializers.get(activations.get(self.activation).initializer)
        for slot, initializer in zip(self._slots, (weights_init, self.bias_init), strict=False):
            try:
                values = initializer(rng, slot.shape, fan_in, fan_out)
            except ValueError as error:
                raise ValueError(f"{slot.name}_init: {error}") from None
            _view(parameters, slot)[...] = values

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description; given values are not in it."""
        return {
            "name": self.name,
            "units": self.units,
            "activation": self.activation,
            "bias": self.has_bias,
            "weights_init": None if self.weights_init is None else self.weights_init.config(),
            "bias_init": self.bias_init.config(),
        }

    def __repr__(self) -> str:
        shown = [str(self.units), repr(self.activation)]
        shown += [] if self.has_bias else ["bias=False"]
        shown += [] if self.weights_init is None else [f"weights_init={self.weights_init!r}"]
        shown += [] if isinstance(self.bias_init, initializers.Zeros) else [f"bias_init={self.bias_init!r}"]
        return f"Dense({', '.join(shown)})"


class Dropout(Layer):
    """In training, set values to zero at random and scale the rest up; elsewhere, do nothing.

    Each value is dropped with probability `rate`, and the others are divided by ``1 - rate``, so that the
    expected value stays (N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", 2014, in its "inverted" form).

    Parameters
    ----------
    rate : float
        From 0 (included) to 1 (excluded).

    Raises
    ------
    TypeError, ValueError
        `rate` is not a number, or out of range.
    """

    name = "dropout"

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = as_number("rate", rate, 0.0)
        if self.rate >= 1.0:
            raise ValueError(f"rate is {self.rate:g}; wanted the part of the values to drop, below 1")

    def lower(self, builder: GraphBuilder, buffer: int, index: int) -> int:
        """Add a dropout operation; with rate 0, nothing."""
        if self.rate == 0.0:
            return buffer
        output = builder.buffer(builder.shape(buffer))
        builder.add("dropout", (buffer,), output, layer=index, rate=self.rate)
        return output

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"name": self.name, "rate": self.rate}

    def __repr__(self) -> str:
        return f"Dropout({self.rate:g})"


class Flatten(Layer):
    """Make each sample a row: shape (C, H, W) becomes (C * H * W,), in row-major order."""

    name = "flatten"

    def lower(self, builder: GraphBuilder, buffer: int, index: int) -> int:
        """Add a flatten operation; for an input that is flat already, nothing."""
        shape = builder.shape(buffer)
        if len(shape) == 1:
            return buffer
        output = builder.buffer((math.prod(shape),))
        builder.add("flatten", (buffer,), output, layer=index)
        return output

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return "Flatten()"


LAYERS: dict[str, type[Layer]] = {kind.name: kind for kind in (Dense, Dropout, Flatten)}
"""Every layer by the name that files know it by. The list is closed: a file cannot name another class."""


def from_config(config: Mapping[str, Any]) -> Layer:
    """Make the layer that `Layer.config` described.

    Raises
    ------
    ValueError
        The description names no known layer, or its arguments are wrong.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in LAYERS:
        raise ValueError(f"unknown layer {name!r}; known: {', '.join(LAYERS)}")
    for key in ("weights_init", "bias_init"):
        if arguments.get(key) is not None:
            if not isinstance(arguments[key], Mapping):
                raise ValueError(f"{key} is {arguments[key]!r}; wanted the description of an initializer")
            arguments[key] = initializers.from_config(arguments[key])
    try:
        return LAYERS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"a layer cannot be made from {dict(config)!r}: {error}") from None


class _Function(Initializer):
    """A user's function as an initializer; a file keeps the values it made, not the function."""

    def __init__(self, function: Callable[..., ArrayLike]) -> None:
        self.function = function

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return the function's values, checked."""
        return initializers.Given(self.function(rng, shape, fan_in, fan_out))(rng, shape, fan_in, fan_out)

    def config(self) -> dict[str, Any]:
        """Return the description of given values."""
        return {"name": "given"}

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


def _initializer(argument: str, spec: InitializerSpec) -> Initializer:
    """Return the initializer that `spec` stands for; errors name the argument."""
    if callable(spec) and not isinstance(spec, Initializer):
        makers: Collection[object] = initializers.INITIALIZERS.values()
        if spec not in makers:  # for `he_normal` without brackets, `get` says what to write
            return _Function(spec)
    try:
        return initializers.get(spec)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}: {error}") from None


def _view(flat: NDArray[Any], slot: Slot) -> NDArray[Any]:
    return flat[slot.offset : slot.offset + slot.size].reshape(slot.shape)
