"""Dropout, with masks that follow from a counter: no mask depends on another, or on the order of work."""

from __future__ import annotations

import numpy as np

from fastnet.backends.reference.arrays import Array

_WORD = (1 << 64) - 1


def _mix(x: int) -> int:
    """One output of splitmix64 (Steele, Lea and Flood 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _WORD
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _WORD
    return x ^ (x >> 31)


def dropout_key(seed: int, step: int, op: int) -> int:
    """The 64-bit key of one mask: a function of seed, step and operation, and of nothing else."""
    return _mix(_mix(_mix(seed & _WORD) ^ (step & _WORD)) ^ (op & _WORD))


def dropout(x: Array, y: Array, rate: float, key: int) -> None:
    """y = x m / (1 - rate), each m 0 with probability `rate`, else 1: x (N, O) -> y (N, O).

    Element i of the row-major matrix is kept where a 32-bit hash of (i, key) is not below rate * 2^32
    (multipliers from Wellons' search, "hash prospector", 2018). Backward is the same function.
    """
    h = np.arange(x.size, dtype=np.uint32) * np.uint32(0x9E3779B1) + np.uint32(key & 0xFFFFFFFF)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    h = (h ^ (h >> np.uint32(15))) + np.uint32(key >> 32)
    h = h * np.uint32(0x735A2D97)
    h ^= h >> np.uint32(15)
    keep = h.reshape(x.shape) >= np.uint32(min(int(rate * 4294967296.0), 4294967295))
    y[...] = np.where(keep, x * x.dtype.type(1.0 / (1.0 - rate)), x.dtype.type(0))
