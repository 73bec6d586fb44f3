"""Learning rates that change with time: one table, `SCHEDULES`, of names and classes.

A schedule is called with a time, or an array of times, and returns the learning rate at each. Its `unit`
says what time is: ``"epochs"`` (fractions count: updates so far / updates per epoch) or ``"steps"`` (updates
so far). Training starts at time 0. Where a schedule has a length, the rate at its end is exact, and stays.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.errors import unknown

__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "Exponential",
    "InverseScaling",
    "OneCycle",
    "Schedule",
    "Spec",
    "Step",
    "Warmup",
    "from_config",
    "get",
]

Unit: TypeAlias = Literal["epochs", "steps"]


class Schedule(ABC):
    """A learning rate as a function of time."""

    name: ClassVar[str]
    unit: Unit

    @overload
    def __call__(self, t: float) -> float: ...

    @overload
    def __call__(self, t: ArrayLike) -> NDArray[np.float64]: ...

    def __call__(self, t: ArrayLike) -> float | NDArray[np.float64]:
        """Return the learning rate at time `t`.

        Parameters
        ----------
        t : float or array_like of float
            Time since the start of training, in `unit`.

        Returns
        -------
        float or ndarray of float64
            Of the shape of `t`.

        Raises
        ------
        ValueError
            A time is negative or NaN.
        """
        times = np.asarray(t, dtype=np.float64)
        if times.size and not times.min() >= 0.0:  # written so that NaN fails too
            raise ValueError(f"t must not be negative or NaN, got {times.min():g}")
        rates = self._rates(times)
        return rates if times.ndim else float(rates)

    @abstractmethod
    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the rate at each time; `t` is not negative."""

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description, which `from_config` turns back into a schedule."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        described = {
            key: value.config() if isinstance(value, Schedule) else value
            for key, value in values.items()
            if value is not None
        }
        return {"name": self.name, **described}


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate for ever.

    Parameters
    ----------
    learning_rate : float
        Positive.

    Raises
    ------
    ValueError
        The rate is not positive and finite.
    """

    name: ClassVar[str] = "constant"
    unit: ClassVar[Unit] = "epochs"  # type: ignore[misc]
    learning_rate: float

    def __post_init__(self) -> None:
        _set_positive(self, "learning_rate")

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(t.shape, self.learning_rate)


@dataclass(frozen=True)
class Step(Schedule):
    """The rate times `factor` after each `every` epochs: ``learning_rate * factor ** floor(t / every)``.

    The drops by ten "when the error plateaus" of K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning
    for Image Recognition", 2016, at fixed times.

    Parameters
    ----------
    learning_rate : float
        Rate at the start; positive.
    every : float
        Time from one drop to the next, in `unit`; positive.
    factor : float, default 0.1
        What a drop multiplies the rate by; positive.
    unit : {"epochs", "steps"}, default "epochs"

    Raises
    ------
    ValueError
        An argument is out of range.
    """

    name: ClassVar[str] = "step"
    learning_rate: float
    _: KW_ONLY
    every: float
    factor: float = 0.1
    unit: Unit = "epochs"

    def __post_init__(self) -> None:
        _set_positive(self, "learning_rate", "every", "factor")
        _check_unit(self.unit)

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.learning_rate * self.factor ** np.floor(t / self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """The rate times `factor` in each epoch, smoothly: ``learning_rate * factor ** t``.

    Exponential decay as in A. Senior, G. Heigold, M. Ranzato and K. Yang, "An empirical study of learning
    rates in deep neural networks for speech recognition", ICASSP 2013. A factor above 1 raises the rate, to
    look for the largest usable one.

    Parameters
    ----------
    learning_rate : float
        Rate at the start; positive.
    factor : float
        What one epoch (or step) multiplies the rate by; positive.
    unit : {"epochs", "steps"}, default "epochs"

    Raises
    ------
    ValueError
        An argument is out of range.
    """

    name: ClassVar[str] = "exponential"
    learning_rate: float
    _: KW_ONLY
    factor: float
    unit: Unit = "epochs"

    def __post_init__(self) -> None:
        _set_positive(self, "learning_rate", "factor")
        _check_unit(self.unit)

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.learning_rate * self.factor**t


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """A rate that falls as a power of time: ``learning_rate / (1 + t) ** power``.

    With a power above 0.5 and up to 1 these are the step sizes of H. Robbins and S. Monro, "A Stochastic
    Approximation Method", 1951, for which stochastic gradient descent converges.

    Parameters
    ----------
    learning_rate : float
        Rate at the start; positive.
    power : float, default 0.5
        Positive.
    unit : {"epochs", "steps"}, default "epochs"

    Raises
    ------
    ValueError
        An argument is out of range.
    """

    name: ClassVar[str] = "inverse_scaling"
    learning_rate: float
    _: KW_ONLY
    power: float = 0.5
    unit: Unit = "epochs"

    def __post_init__(self) -> None:
        _set_positive(self, "learning_rate", "power")
        _check_unit(self.unit)

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.learning_rate / (1.0 + t) ** self.power


class _Timed(Schedule):
    """A schedule with a length, given as exactly one of `epochs` and `steps`."""

    epochs: float | None
    steps: float | None

    @property
    def unit(self) -> Unit:  # type: ignore[override]
        """What time is counted in: the keyword that gave the length."""
        return "steps" if self.epochs is None else "epochs"

    @property
    def length(self) -> float:
        """Length in `unit`."""
        length = self.steps if self.epochs is None else self.epochs
        assert length is not None  # checked when the schedule was made
        return length

    def _set_length(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            raise ValueError(f"{type(self).__name__} takes its length as epochs= or as steps=, got {given}")
        _set_positive(self, self.unit)


@dataclass(frozen=True)
class Cosine(_Timed):
    """Half a period of a cosine, from `learning_rate` down to `final`.

    ``final + (learning_rate - final) * (1 + cos(pi * t / length)) / 2``: I. Loshchilov and F. Hutter, "SGDR:
    Stochastic Gradient Descent with Warm Restarts", 2017, equation 5, without restarts.

    Parameters
    ----------
    learning_rate : float
        Rate at the start; positive.
    epochs, steps : float
        The length: exactly one of the two; positive.
    final : float, default 0.0
        Rate from the end on; between 0 and `learning_rate`. With 0, training past the end changes nothing.

    Raises
    ------
    ValueError
        An argument is out of range, or there is not exactly one length.
    """

    name: ClassVar[str] = "cosine"
    learning_rate: float
    _: KW_ONLY
    epochs: float | None = None
    steps: float | None = None
    final: float = 0.0

    def __post_init__(self) -> None:
        _set_positive(self, "learning_rate")
        self._set_length()
        final = _number("final", self.final)
        if not 0.0 <= final <= self.learning_rate:
            raise ValueError(f"final must be from 0 to learning_rate, {self.learning_rate:g}, got {final:g}")
        object.__setattr__(self, "final", final)

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        return _anneal(self.learning_rate, self.final, t / self.length)


@dataclass(frozen=True)
class OneCycle(_Timed):
    """One rise to a large rate and one long fall to a very small one, both along a cosine.

    L. Smith and N. Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates", 2018. They rose and fell along straight lines; cosines and the default numbers are what the field
    settled on.

    Parameters
    ----------
    peak : float
        The largest rate; positive.
    epochs, steps : float
        The length: exactly one of the two; positive.
    warmup : float, default 0.3
        The part of the length that rises; above 0 and below 1.
    start_divisor : float, default 25.0
        The rate starts at ``peak / start_divisor``; at least 1.
    final_divisor : float, default 1e4
        The rate ends, and stays, at ``peak / start_divisor / final_divisor``; at least 1.

    Raises
    ------
    ValueError
        An argument is out of range, or there is not exactly one length.
    """

    name: ClassVar[str] = "one_cycle"
    peak: float
    _: KW_ONLY
    epochs: float | None = None
    steps: float | None = None
    warmup: float = 0.3
    start_divisor: float = 25.0
    final_divisor: float = 1e4

    def __post_init__(self) -> None:
        _set_positive(self, "peak", "warmup", "start_divisor", "final_divisor")
        self._set_length()
        if not self.warmup < 1.0:
            raise ValueError(f"warmup must be a part of the length, below 1, got {self.warmup:g}")
        for argument in ("start_divisor", "final_divisor"):
            if getattr(self, argument) < 1.0:
                raise ValueError(f"{argument} must be at least 1, got {getattr(self, argument):g}")

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        start = self.peak / self.start_divisor
        rise = self.warmup * self.length
        rising = _anneal(start, self.peak, t / rise)
        falling = _anneal(self.peak, start / self.final_divisor, (t - rise) / (self.length - rise))
        return np.where(t < rise, rising, falling)


@dataclass(frozen=True)
class Warmup(_Timed):
    """A straight rise to the first rate of another schedule, which then begins.

    ``schedule(0) * (start + (1 - start) * t / length)``, and from ``t = length`` on ``schedule(t - length)``:
    the gradual warm-up of P. Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour",
    2017, section 2.2.

    Parameters
    ----------
    schedule : Schedule or float
        What follows. Its unit is the one of the length (a number fits both).
    epochs, steps : float
        Length of the warm-up: exactly one of the two; positive.
    start : float, default 0.01
        The part of the first rate to begin with; above 0, so that the first update counts, and at most 1.

    Raises
    ------
    ValueError
        An argument is out of range, there is not exactly one length, or the units differ.
    """

    name: ClassVar[str] = "warmup"
    schedule: Schedule | float
    _: KW_ONLY
    epochs: float | None = None
    steps: float | None = None
    start: float = 0.01

    def __post_init__(self) -> None:
        schedule = get(self.schedule)
        object.__setattr__(self, "schedule", schedule)
        self._set_length()
        _set_positive(self, "start")
        if self.start > 1.0:
            raise ValueError(f"start must be a part of the first rate, at most 1, got {self.start:g}")
        if not isinstance(schedule, Constant) and schedule.unit != self.unit:
            raise ValueError(
                f"Warmup counts {self.unit}; its schedule, {type(schedule).__name__}, counts {schedule.unit}"
            )

    def _rates(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        schedule = get(self.schedule)
        done = np.minimum(t / self.length, 1.0)
        rising = schedule(0.0) * (self.start * (1.0 - done) + done)
        return np.where(t < self.length, rising, schedule(np.maximum(t - self.length, 0.0)))


SCHEDULES: dict[str, type[Schedule]] = {
    kind.name: kind for kind in (Constant, Step, Exponential, InverseScaling, Cosine, OneCycle, Warmup)
}

Spec: TypeAlias = Schedule | float
"""What `get` takes: a schedule, or a number for a constant rate."""


def get(spec: Spec) -> Schedule:
    """Return `spec` if it is a schedule, and a `Constant` if it is a number.

    Raises
    ------
    ValueError
        The number is zero, negative, infinite or NaN.
    TypeError
        `spec` is neither a number nor a schedule; the message lists the schedules.
    """
    return spec if isinstance(spec, Schedule) else Constant(spec)


def from_config(config: Mapping[str, Any]) -> Schedule:
    """Return the schedule that ``schedule.config()`` described.

    Raises
    ------
    ValueError
        The name is missing or unknown (the message lists the known ones), or an argument is not one of its.
    """
    arguments = dict(config)
    name = arguments.pop("name", None)
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ValueError(unknown("schedule", name, SCHEDULES))
    for key, value in arguments.items():
        if isinstance(value, Mapping):
            arguments[key] = from_config(value)
    try:
        return SCHEDULES[name](**arguments)
    except TypeError as error:
        raise ValueError(f"a schedule cannot be made from {dict(config)!r}: {error}") from None


def _anneal(first: float, last: float, part: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go from `first` to `last` along half a cosine; exact at both ends, and outside of them."""
    remaining = (1.0 + np.cos(np.pi * np.clip(part, 0.0, 1.0))) / 2.0
    return first * remaining + last * (1.0 - remaining)


def _number(argument: str, value: object) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        wanted = "a number"
        if argument == "learning_rate":
            wanted += f" or a schedule ({', '.join(kind.__name__ for kind in SCHEDULES.values())})"
        raise TypeError(f"{argument} must be {wanted}, got {value!r}")
    return float(value)


def _set_positive(schedule: Schedule, *arguments: str) -> None:
    for argument in arguments:
        number = _number(argument, getattr(schedule, argument))
        if not (number > 0.0 and math.isfinite(number)):
            raise ValueError(f"{argument} must be positive and finite, got {number:g}")
        object.__setattr__(schedule, argument, number)


def _check_unit(unit: object) -> None:
    if unit not in ("epochs", "steps"):
        raise ValueError(f"unit must be 'epochs' or 'steps', got {unit!r}")
