"""Reversible changes of scale: fitted on the training data, applied to all, kept as JSON beside a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, Self, TypeVar, overload, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.arrays import as_numbers, float_type, read_only, require_finite, row_chunks
from fastnet.errors import FastnetFormatError

__all__ = ["Normalise", "Standardise", "Transform", "transform_from_config"]

_Floats = NDArray[np.float64]


@runtime_checkable
class Rescalable(Protocol):
    """What holds samples and can hold others in their place: a `Dataset`."""

    @property
    def x(self) -> NDArray[Any]:
        """The samples, (N, ...)."""

    def with_x(self, x: ArrayLike) -> Self:
        """Return the same with other samples."""


_R = TypeVar("_R", bound=Rescalable)


class Transform(ABC):
    """A reversible change of scale, ``z = (x - offset) / scale``.

    Offset and scale are single numbers, or one for each index of axis 1: a feature of (N, F), a channel
    of (N, C, H, W). A one-dimensional array counts as N values of one feature.

    The arithmetic is float64 whatever the data, so large offsets cost no accuracy; the result is float64
    for float64 and float32 for everything else.
    """

    def __init__(self, offset: _Floats, span: _Floats) -> None:
        self._offset = offset
        # A constant feature has no spread to divide by: it is moved, not stretched.
        self._scale = np.where(span > 0.0, span, 1.0)

    @overload
    def __call__(self, x: _R) -> _R: ...
    @overload
    def __call__(self, x: ArrayLike) -> NDArray[Any]: ...
    def __call__(self, x: Rescalable | ArrayLike) -> Rescalable | NDArray[Any]:
        """Return `x` on the new scale; the same as `transform`."""
        return self.transform(x)

    @overload
    def transform(self, x: _R) -> _R: ...
    @overload
    def transform(self, x: ArrayLike) -> NDArray[Any]: ...
    def transform(self, x: Rescalable | ArrayLike) -> Rescalable | NDArray[Any]:
        """Return `x` on the new scale: an array, or a dataset with the same targets.

        Parameters
        ----------
        x : Dataset or array_like, (N, F), (N, C, ...) or (N,)

        Raises
        ------
        TypeError
            If `x` does not hold numbers.
        ValueError
            If `x` holds NaN or infinity, or has another number of features or channels.
        """
        if isinstance(x, Rescalable):
            return x.with_x(self.transform(x.x))
        return self._rescaled(x, _forward)

    @overload
    def inverse(self, x: _R) -> _R: ...
    @overload
    def inverse(self, x: ArrayLike) -> NDArray[Any]: ...
    def inverse(self, x: Rescalable | ArrayLike) -> Rescalable | NDArray[Any]:
        """Return `x`, which is on the new scale, on the old one; raises as `transform` does."""
        if isinstance(x, Rescalable):
            return x.with_x(self.inverse(x.x))
        return self._rescaled(x, _backward)

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Return numbers and lists, fit for JSON, that `transform_from_config` takes back."""

    def _rescaled(
        self, x: ArrayLike, formula: Callable[[_Floats, _Floats, _Floats], _Floats]
    ) -> NDArray[Any]:
        array = as_numbers("x", x)
        if array.ndim == 0:
            raise ValueError("x is a single number; wanted an array")
        features = array.shape[1] if array.ndim > 1 else 1
        if self._offset.ndim == 1 and len(self._offset) != features:
            raise ValueError(
                f"x of shape {array.shape} has {features} features or channels; "
                f"this {type(self).__name__} was made for {len(self._offset)}"
            )
        require_finite("x", array)
        offset, scale = (_along_axis_1(values, array.ndim) for values in (self._offset, self._scale))
        result = np.empty(array.shape, dtype=float_type(array))
        for rows in row_chunks(array):
            result[rows] = formula(array[rows].astype(np.float64), offset, scale)
        return result


class Standardise(Transform):
    """Bring every feature to mean 0 and standard deviation 1: ``z = (x - mean) / std``.

    Fit it on the training data and apply it to all:

    >>> scale = Standardise.fit([[1.0, 5.0], [3.0, 5.0]])
    >>> scale([[1.0, 5.0], [3.0, 5.0], [2.0, 6.0]])
    array([[-1.,  0.],
           [ 1.,  0.],
           [ 0.,  1.]])

    Parameters
    ----------
    mean, std : array_like, (F,)
        One mean and one standard deviation for each feature or channel. A feature with deviation 0, a
        constant, is divided by 1.

    Raises
    ------
    TypeError, ValueError
        If they are not finite numbers of the same shape (F,), or a deviation is negative.
    """

    def __init__(self, mean: ArrayLike, std: ArrayLike) -> None:
        self.mean = read_only(_statistic("mean", mean))
        self.std = read_only(_statistic("std", std))
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape or self.mean.size == 0:
            raise ValueError(
                f"mean has shape {self.mean.shape} and std {self.std.shape}; wanted (F,) of both"
            )
        if self.std.min() < 0.0:
            raise ValueError(f"std holds {self.std.min():g}; wanted no negative number")
        super().__init__(self.mean, self.std)

    @classmethod
    def fit(cls, x: Rescalable | ArrayLike) -> Self:
        """Return the transform that standardises these samples.

        Parameters
        ----------
        x : Dataset or array_like, (N, F), (N, C, ...) or (N,)
            Mean and (population) standard deviation are taken of each feature over N, of each channel
            over N and the axes that follow, in float64.

        Raises
        ------
        TypeError
            If `x` does not hold numbers.
        ValueError
            If `x` is empty, holds NaN or infinity, or numbers too large to be squared.
        """
        array = _fittable(x)
        # Differences to the first value are exactly 0 where a feature is constant, so its deviation
        # is 0 and not a rounding error to divide by; and they keep the digits that a large mean costs.
        first = array[0].reshape(array.shape[1], -1)[:, 0].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            shift = _mean_difference(array, first, power=1)
            mean, std = first + shift, np.sqrt(_mean_difference(array, first + shift, power=2))
        if not np.isfinite(mean + std).all():
            raise ValueError(f"x holds {np.abs(array).max():g}; wanted numbers whose squares can be added up")
        return cls(mean, std)

    def config(self) -> dict[str, Any]:
        """Return ``{"name": "standardise", "mean": [...], "std": [...]}``."""
        return {"name": "standardise", "mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the transform that `config` describes.

        Raises
        ------
        FastnetFormatError
            If it is not a description that `config()` gives.
        """
        with _format_errors(config, "standardise", {"mean", "std"}):
            return cls(config["mean"], config["std"])

    def __repr__(self) -> str:
        return f"Standardise({len(self.mean)} features)"


class Normalise(Transform):
    """Bring `low` .. `high` to 0 .. 1: ``z = (x - low) / (high - low)``.

    Values beyond the two are not cut off. Without arguments it takes bytes, 0 .. 255, to 0 .. 1.

    Parameters
    ----------
    low, high : float or array_like, (F,), default 0 and 255
        What becomes 0 and what becomes 1: one number for everything, or one for each feature or channel.
        A feature whose low and high are equal, a constant, is divided by 1.

    Raises
    ------
    TypeError, ValueError
        If they are not finite numbers, or a low is above its high; two single numbers must differ.
    """

    def __init__(self, low: ArrayLike = 0.0, high: ArrayLike = 255.0) -> None:
        self.low = read_only(_statistic("low", low))
        self.high = read_only(_statistic("high", high))
        if self.low.ndim > 1 or self.low.shape != self.high.shape or self.low.size == 0:
            raise ValueError(
                f"low has shape {self.low.shape} and high {self.high.shape}; "
                "wanted two numbers, or (F,) of both"
            )
        with np.errstate(over="ignore"):
            span = self.high - self.low
        if not np.isfinite(span).all() or span.min() < 0.0 or (span.ndim == 0 and span == 0.0):
            raise ValueError(
                f"low is {self.low} and high is {self.high}; wanted low < high, not too far apart"
            )
        super().__init__(self.low, span)

    @classmethod
    def fit(cls, x: Rescalable | ArrayLike) -> Self:
        """Return the transform that takes each feature's or channel's own smallest and largest value.

        Raises
        ------
        TypeError
            If `x` does not hold numbers.
        ValueError
            If `x` is empty or holds NaN or infinity.
        """
        array = _fittable(x)
        axes = (0, *range(2, array.ndim))
        return cls(array.min(axis=axes), array.max(axis=axes))

    def config(self) -> dict[str, Any]:
        """Return ``{"name": "normalise", "low": ..., "high": ...}``."""
        return {"name": "normalise", "low": self.low.tolist(), "high": self.high.tolist()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the transform that `config` describes.

        Raises
        ------
        FastnetFormatError
            If it is not a description that `config()` gives.
        """
        with _format_errors(config, "normalise", {"low", "high"}):
            return cls(config["low"], config["high"])

    def __repr__(self) -> str:
        if self.low.ndim == 0:
            return f"Normalise({self.low:g}, {self.high:g})"
        return f"Normalise({len(self.low)} features)"


def transform_from_config(config: Mapping[str, Any]) -> Transform:
    """Return the `Standardise` or `Normalise` that a ``config()`` describes.

    Raises
    ------
    FastnetFormatError
        If it describes neither.
    """
    known: dict[str, type[Standardise] | type[Normalise]] = {
        "standardise": Standardise,
        "normalise": Normalise,
    }
    name = config.get("name") if isinstance(config, Mapping) else None
    if name not in known:
        raise FastnetFormatError(f"transform is {config!r}; wanted one of the names {', '.join(known)}")
    return known[name].from_config(config)


def _fittable(x: Rescalable | ArrayLike) -> NDArray[Any]:
    """Return the samples with their features on axis 1, checked but in their own dtype."""
    if isinstance(x, Rescalable):
        return x.x
    array = as_numbers("x", x)
    if array.size == 0 or array.ndim == 0:
        raise ValueError(f"x has shape {array.shape}; wanted at least one row and one feature")
    require_finite("x", array)
    return array[:, np.newaxis] if array.ndim == 1 else array


def _mean_difference(array: NDArray[Any], center: _Floats, power: int) -> _Floats:
    """Return the mean of ``(array - center) ** power`` of each feature or channel: (F,)."""
    axes = (0, *range(2, array.ndim))
    total: _Floats = np.zeros(array.shape[1])
    for rows in row_chunks(array):
        total += ((array[rows] - _along_axis_1(center, array.ndim)) ** power).sum(axis=axes)
    total /= array.size // array.shape[1]
    return total


def _forward(rows: _Floats, offset: _Floats, scale: _Floats) -> _Floats:
    return (rows - offset) / scale


def _backward(rows: _Floats, offset: _Floats, scale: _Floats) -> _Floats:
    return rows * scale + offset


def _along_axis_1(values: _Floats, ndim: int) -> _Floats:
    """Return (F,) shaped to meet axis 1 of an array of `ndim` dimensions; a single number as it is."""
    if values.ndim == 0 or ndim == 1:
        return values
    return values.reshape((1, -1) + (1,) * (ndim - 2))


def _statistic(name: str, value: ArrayLike) -> _Floats:
    array = as_numbers(name, value).astype(np.float64)
    require_finite(name, np.atleast_1d(array))
    return array


@contextmanager
def _format_errors(config: Mapping[str, Any], name: str, keys: set[str]) -> Iterator[None]:
    """Turn what is wrong with a description, which may come from a foreign file, into one kind of error."""
    if not isinstance(config, Mapping) or config.get("name") != name or set(config) != {"name", *keys}:
        raise FastnetFormatError(f"transform is {config!r}; wanted name {name!r} with {sorted(keys)}")
    try:
        yield
    except (TypeError, ValueError) as error:
        raise FastnetFormatError(f"transform {name!r} is damaged: {error}") from None
