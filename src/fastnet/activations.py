"""The table of activations.

A row says what people and other modules need to know of an activation; its formula is in
`fastnet.backends.reference`, its kernel in ``backends/compiled/activations.pxd``. Tests, gradient
checks, benchmarks and the documentation walk these rows.
"""

from __future__ import annotations

from typing import NamedTuple

from fastnet.errors import unknown

__all__ = ["ACTIVATIONS", "Activation", "get"]


class Activation(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name : str
        What `Dense` takes.
    formula : str
        a, the output, as a function of z, the total input.
    initializer : str
        The initializer that keeps the variance of the signal through a layer with this activation.
    minimum, maximum : float
        Bounds of the output.
    kinks : tuple of float
        Where the derivative jumps; gradient checks stay away from there.
    """

    name: str
    formula: str
    initializer: str
    minimum: float = float("-inf")
    maximum: float = float("inf")
    kinks: tuple[float, ...] = ()


_ROWS = (
    Activation("identity", "a = z", "glorot_uniform"),
    Activation("step", "a = 1 if z > 0 else 0; its slope is taken as 0", "glorot_uniform", 0, 1, (0.0,)),
    Activation("sigmoid", "a = 1 / (1 + exp(-z))", "glorot_uniform", 0, 1),
    Activation("tanh", "a = tanh(z)", "glorot_uniform", -1, 1),
    Activation("relu", "a = max(z, 0)", "he_normal", 0, kinks=(0.0,)),
    Activation("leaky_relu", "a = z if z > 0 else z / 100", "he_normal", kinks=(0.0,)),
    Activation("elu", "a = z if z > 0 else exp(z) - 1", "he_normal", -1),
    Activation("gelu", "a = z / 2 * (1 + erf(z / sqrt(2)))", "he_normal", -0.17),
    Activation("silu", "a = z / (1 + exp(-z))", "he_normal", -0.2785),
    Activation("softplus", "a = log(1 + exp(z))", "he_normal", 0),
    Activation("exp", "a = exp(z)", "glorot_uniform", 0),
    Activation("softmax", "a_j = exp(z_j) / sum_k exp(z_k), over a row", "glorot_uniform", 0, 1),
)

ACTIVATIONS: dict[str, Activation] = {row.name: row for row in _ROWS}
"""Every activation by its name."""


def get(name: object) -> Activation:
    """Look an activation up.

    Parameters
    ----------
    name : str
        One of the names in `ACTIVATIONS`.

    Raises
    ------
    TypeError
        `name` is not a string.
    ValueError
        There is no such activation; the message lists those there are.
    """
    if not isinstance(name, str):
        raise TypeError(f"activation must be a name such as 'relu', not {type(name).__name__}")
    if name not in ACTIVATIONS:
        raise ValueError(unknown("activation", name, ACTIVATIONS))
    return ACTIVATIONS[name]
