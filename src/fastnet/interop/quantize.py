"""Weights of 8 bits, and the arithmetic that is done with them, in NumPy.

A unit's weights are whole numbers from -127 to 127 times a float of the unit's own. What is multiplied with
them becomes whole numbers of 16 bits just before, with one float for all; so a sum of products is exact, in
32 bits. Why: ``docs/decisions/0017-eight-bit-weights-sixteen-bit-values.md``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_INPUTS", "Quantized", "dense", "quantize", "quantize_rows", "value_limit"]

WEIGHT_LIMIT = 127
_SUM_LIMIT = 2**31 - 1
_SMALLEST = np.float32(1e-30)  # what is not above this is 0, as the inverse of its unit may not be finite

MOST_INPUTS = _SUM_LIMIT // WEIGHT_LIMIT**2
"""With more than 133,144 inputs, values would have fewer bits than the weights."""


class Quantized(NamedTuple):
    """Weights in whole numbers.

    Attributes
    ----------
    weights : ndarray (units, inputs), int8
        From -127 to 127; a row for each unit.
    scale : ndarray (units,), float32
        The weights are these whole numbers times this.
    """

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]


def quantize(weights: NDArray[Any]) -> Quantized:
    """Round weights to 8 bits, symmetrically, with a scale for each unit.

    Parameters
    ----------
    weights : ndarray (inputs, units)
        Finite.

    Returns
    -------
    Quantized
        The largest weight of each unit is 127 or -127; a unit whose weights are all 0 has the scale 0.
    """
    columns = weights.astype(np.float64)
    scale = (np.abs(columns).max(axis=0) / WEIGHT_LIMIT).astype(np.float32)
    wide = np.where(scale > 0, scale, 1).astype(np.float64)
    # Where a scale is subnormal, it is rounded coarsely, and the largest quotient may be above the limit.
    whole = np.clip(np.rint(columns / wide), -WEIGHT_LIMIT, WEIGHT_LIMIT)
    return Quantized(np.ascontiguousarray(whole.T.astype(np.int8)), scale)


def value_limit(inputs: int) -> int:
    """Return the largest whole number for values, of 16 bits, with which no sum over `inputs` leaves 32."""
    return min(2**15 - 1, _SUM_LIMIT // (WEIGHT_LIMIT * inputs))


def quantize_rows(x: NDArray[np.float32]) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Round each row to whole numbers, halves away from 0.

    Parameters
    ----------
    x : ndarray (N, inputs), float32
        Any numbers.

    Returns
    -------
    whole : ndarray (N, inputs), int16
        The largest of a row is `value_limit`; in rows of 0, or with NaN or infinity, all are 0.
    scale : ndarray (N, 1), float32
        Rows are these whole numbers times this. NaN where a row holds NaN or infinity.
    """
    limit = np.float32(value_limit(x.shape[1]))
    largest = np.abs(x).max(axis=1, keepdims=True)
    usable = (largest > _SMALLEST) & np.isfinite(largest)
    divisor = np.where(usable, largest, np.float32(1))
    scaled = np.where(usable, x, np.float32(0)) * (limit / divisor)
    whole = np.trunc(scaled + np.where(x < 0, np.float32(-0.5), np.float32(0.5)))
    broken = np.where(np.isfinite(largest), np.float32(0), np.float32(np.nan))
    return whole.astype(np.int16), np.where(usable, divisor / limit, broken)


def dense(x: NDArray[np.float32], layer: Quantized, bias: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Return x W + b in whole numbers: x (N, inputs) -> (N, units), float32 each."""
    whole, scale = quantize_rows(x)
    sums = whole.astype(np.float64) @ layer.weights.T.astype(np.float64)  # exact: below 2**31, of 2**53
    result: NDArray[np.float32] = sums.astype(np.float32) * (scale * layer.scale)
    return result if bias is None else result + bias
