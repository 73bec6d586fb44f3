"""The dense layer: z = x W + b, and its three gradients."""

from __future__ import annotations

import numpy as np

from fastnet.backends.reference.arrays import Array


def dense_forward(x: Array, weights: Array, bias: Array | None, z: Array) -> None:
    """z = x W + b: x (N, I), weights (I, O), bias (O,) or None -> z (N, O)."""
    np.dot(x, weights, out=z)
    if bias is not None:
        z += bias


def dense_backward_weights(x: Array, d_z: Array, d_weights: Array) -> None:
    """dW = x^T dz: x (N, I), d_z (N, O) -> d_weights (I, O)."""
    np.dot(x.T, d_z, out=d_weights)


def dense_backward_bias(d_z: Array, d_bias: Array) -> None:
    """db = sum over the rows of dz: d_z (N, O) -> d_bias (O,)."""
    np.add.reduce(d_z, axis=0, out=d_bias)


def dense_backward_input(d_z: Array, weights: Array, d_x: Array) -> None:
    """dx = dz W^T: d_z (N, O), weights (I, O) -> d_x (N, I)."""
    np.dot(d_z, weights.T, out=d_x)
