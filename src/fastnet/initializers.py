"""How weights and biases get their first values: one table, `INITIALIZERS`, of names and functions.

An initializer is called as ``initializer(rng, shape, fan_in, fan_out)`` and returns a new float64 array.
`fan_in` is the number of inputs that feed one unit and `fan_out` the number of units that one input feeds.
It draws from `rng` alone, so the same generator state gives the same values.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.arrays import as_number, as_numbers, require_finite
from fastnet.errors import unknown

__all__ = [
    "INITIALIZERS",
    "Given",
    "Initializer",
    "Normal",
    "Scaled",
    "Spec",
    "Uniform",
    "Zeros",
    "from_config",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "uniform",
    "zeros",
]


class Initializer(ABC):
    """Something that makes the first values of an array of weights or biases."""

    @abstractmethod
    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return a new float64 array of the given shape.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness.
        shape : tuple of int
            Shape of the result, such as (inputs, units).
        fan_in, fan_out : int
            Connections into one unit, and out of one input.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return a JSON-able description, which `from_config` turns back into an initializer."""


@dataclass(frozen=True)
class Scaled(Initializer):
    """Random values around zero whose variance is ``gain / fan``.

    Parameters
    ----------
    name : str
        Its name in `INITIALIZERS`.
    gain : float
        Numerator of the variance.
    fan : {"in", "average"}
        Denominator of the variance: `fan_in`, or the mean of `fan_in` and `fan_out`.
    distribution : {"normal", "uniform"}
        Shape of the distribution; a uniform one reaches to ``sqrt(3 * variance)`` on both sides.
    """

    name: str
    gain: float
    fan: Literal["in", "average"]
    distribution: Literal["normal", "uniform"]

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return a new float64 array of the given shape."""
        fan = fan_in if self.fan == "in" else (fan_in + fan_out) / 2
        variance = self.gain / max(fan, 1)  # an array without inputs is empty, and legal
        if self.distribution == "normal":
            return rng.normal(0.0, math.sqrt(variance), shape)
        limit = math.sqrt(3.0 * variance)
        return rng.uniform(-limit, limit, shape)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return f"{self.name}()"


@dataclass(frozen=True)
class Uniform(Initializer):
    """Values drawn evenly from ``low`` to ``high``; made by `uniform`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        for argument in ("low", "high"):
            object.__setattr__(self, argument, as_number(argument, getattr(self, argument)))
        if self.low > self.high:
            raise ValueError(f"low must not be above high, got {self.low:g} and {self.high:g}")
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"high - low must be finite, got {self.low:g} and {self.high:g}")

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return a new float64 array of the given shape."""
        return rng.uniform(self.low, self.high, shape)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"name": "uniform", "low": self.low, "high": self.high}

    def __repr__(self) -> str:
        return f"uniform({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Normal(Initializer):
    """Values drawn from a normal distribution around zero; made by `normal`."""

    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", as_number("std", self.std, minimum=0.0))

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return a new float64 array of the given shape."""
        return rng.normal(0.0, self.std, shape)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"name": "normal", "std": self.std}

    def __repr__(self) -> str:
        return f"normal({self.std:g})"


@dataclass(frozen=True)
class Zeros(Initializer):
    """Zeros everywhere; made by `zeros`."""

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return a new float64 array of the given shape."""
        return np.zeros(shape)

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description."""
        return {"name": "zeros"}

    def __repr__(self) -> str:
        return "zeros()"


class Given(Initializer):
    """The values of a given array; made by passing an array where an initializer is wanted.

    A description of it (`config`) does not repeat the values: in a file they are the weights themselves. So
    an initializer that `from_config` made from such a description has no values, and cannot be called.

    Parameters
    ----------
    values : array_like of numbers
        Copied. Its shape must be the wanted one, exactly.

    Raises
    ------
    TypeError
        The values are not numbers.
    ValueError
        A value is NaN or infinite.
    """

    def __init__(self, values: ArrayLike) -> None:
        array = as_numbers("a given initial array", values)
        require_finite("a given initial array", array)
        self.values: NDArray[np.float64] | None = array.astype(np.float64)

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> NDArray[np.float64]:
        """Return a copy of the values, or raise ValueError if `shape` is not theirs."""
        if self.values is None:
            raise ValueError("a file does not keep the array of first values; give the array again")
        if self.values.shape != tuple(shape):
            raise ValueError(f"the given array has shape {self.values.shape}; {tuple(shape)} is wanted")
        return self.values.copy()

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description, without the values."""
        return {"name": "given"}

    def __repr__(self) -> str:
        return "given()" if self.values is None else f"given(shape={self.values.shape})"


def he_normal() -> Initializer:
    """Return an initializer for ReLU and its relatives: normal, variance ``2 / fan_in``.

    It keeps the variance of the signal from layer to layer when half of the units are off: K. He, X. Zhang,
    S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    return Scaled("he_normal", 2.0, "in", "normal")


def he_uniform() -> Initializer:
    """Return an initializer for ReLU and its relatives: even in ``+-sqrt(6 / fan_in)``.

    The variance of `he_normal` (He et al. 2015), ``limit**2 / 3 == 2 / fan_in``.
    """
    return Scaled("he_uniform", 2.0, "in", "uniform")


def glorot_normal() -> Initializer:
    """Return an initializer for tanh and sigmoid: normal, variance ``2 / (fan_in + fan_out)``.

    It balances the variance of signals going forward and of gradients coming back: X. Glorot and Y. Bengio,
    "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, equation 12.
    """
    return Scaled("glorot_normal", 1.0, "average", "normal")


def glorot_uniform() -> Initializer:
    """Return an initializer for tanh and sigmoid: even in ``+-sqrt(6 / (fan_in + fan_out))``.

    The "normalized initialization" of Glorot and Bengio 2010, equation 16.
    """
    return Scaled("glorot_uniform", 1.0, "average", "uniform")


def lecun_normal() -> Initializer:
    """Return an initializer that keeps the variance of total inputs at one: normal, variance ``1 / fan_in``.

    Y. LeCun, L. Bottou, G. Orr and K.-R. Mueller, "Efficient BackProp", 1998, section 4.6.
    """
    return Scaled("lecun_normal", 1.0, "in", "normal")


def lecun_uniform() -> Initializer:
    """Return an initializer that keeps the variance of total inputs at one: even in ``+-sqrt(3 / fan_in)``.

    The variance of `lecun_normal` (LeCun et al. 1998), ``limit**2 / 3 == 1 / fan_in``.
    """
    return Scaled("lecun_uniform", 1.0, "in", "uniform")


def uniform(low: float = -0.05, high: float = 0.05) -> Initializer:
    """Return an initializer that draws evenly from `low` (included) to `high` (excluded).

    Raises
    ------
    ValueError
        A limit is not finite, or `low` is above `high`.
    """
    return Uniform(low, high)


def normal(std: float = 0.05) -> Initializer:
    """Return an initializer that draws from a normal distribution with mean 0 and standard deviation `std`.

    Raises
    ------
    ValueError
        `std` is negative or not finite.
    """
    return Normal(std)


def zeros() -> Initializer:
    """Return an initializer that gives zeros: right for biases, wrong for the weights of hidden layers.

    Hidden units that start with equal weights get equal gradients and stay equal for ever.
    """
    return Zeros()


INITIALIZERS: dict[str, Callable[..., Initializer]] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "uniform": uniform,
    "normal": normal,
    "zeros": zeros,
}

Spec: TypeAlias = str | Initializer | ArrayLike
"""What `get` takes: a name, an initializer or an array of values."""


def get(spec: Spec) -> Initializer:
    """Return the initializer that `spec` stands for.

    Parameters
    ----------
    spec : str, Initializer or array_like of numbers
        A name in `INITIALIZERS` (with its default arguments), an initializer, or the values themselves.

    Raises
    ------
    ValueError
        The name is unknown (the message lists the known ones), or a given value is NaN or infinite.
    TypeError
        `spec` is none of the three.
    """
    if isinstance(spec, Initializer):
        return spec
    if isinstance(spec, str):
        return _lookup(spec)()
    if not hasattr(spec, "__len__"):  # a number, None, or one of the functions without its brackets
        name = getattr(spec, "__name__", "")
        hint = f" (did you mean {name}()?)" if name in INITIALIZERS else ""
        known = ", ".join(INITIALIZERS)
        raise TypeError(
            f"an initializer must be a name ({known}), an Initializer or an array, got {spec!r}{hint}"
        )
    return Given(spec)


def from_config(config: Mapping[str, Any]) -> Initializer:
    """Return the initializer that ``initializer.config()`` described.

    Raises
    ------
    ValueError
        The name is missing or unknown (the message lists the known ones), or an argument is not one of its.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if name == "given" and not arguments:
        initializer = Given(())
        initializer.values = None
        return initializer
    try:
        return _lookup(name)(**arguments)
    except TypeError as error:
        raise ValueError(f"an initializer cannot be made from {dict(config)!r}: {error}") from None


def _lookup(name: object) -> Callable[..., Initializer]:
    if not isinstance(name, str) or name not in INITIALIZERS:
        raise ValueError(f"{unknown('initializer', name, INITIALIZERS)}, or an array")
    return INITIALIZERS[name]
