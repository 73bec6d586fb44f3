"""The table of losses.

A row says what people and other modules need to know of a loss; its formula is in
`fastnet.backends.reference`, its kernel in ``backends/compiled/losses.pxd``.

A loss is a function of the network's output. Mean losses divide by the sum of the sample weights (by
the number of samples where there are none), so that a weight of 2 equals a sample given twice, and
scaling all weights changes nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fastnet.activations import ACTIVATIONS
from fastnet.errors import unknown

__all__ = ["LOSSES", "Loss", "get", "huber", "quantile"]


class Loss(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name : str
        What `Network.fit` takes.
    formula : str
        The loss as a function of the output y and the target t.
    outputs : frozenset of str
        The activations that the output layer may have.
    instead : str
        What to write where the output layer has another.
    paired : str
        The output activation with which loss and slope are computed from the logits, stably; or ``""``.
    labels : bool
        Whether the target may be a vector of integer labels.
    targets : str
        Which targets are legal: ``"any"``, ``"unit"`` (0..1), ``"positive"`` (not negative) or
        ``"sign"`` (-1 or 1).
    classifies : bool
        Whether accuracy is meaningful whatever the target.
    parameter : float
        The threshold of `huber`, the level of `quantile`; without effect elsewhere.
    kinks : str
        Where the slope jumps, ``"y = t"`` or ``"y = 0"``; ``""`` if nowhere. Gradient checks stay away from
        there.
    scale : float
        Positive factor of value and slope, for those who count otherwise: a mean over samples of sums over O
        outputs has the scale O.
    """

    name: str
    formula: str
    outputs: frozenset[str] = frozenset(ACTIVATIONS)
    instead: str = ""
    paired: str = ""
    labels: bool = False
    targets: str = "any"
    classifies: bool = False
    parameter: float = 1.0
    kinks: str = ""
    scale: float = 1.0

    def __repr__(self) -> str:
        made = self.name in ("huber", "quantile")
        name = f"{self.name}({self.parameter!r})" if made else f"LOSSES[{self.name!r}]"
        return name if self.scale == 1.0 else f"{name}._replace(scale={self.scale!r})"


_NON_NEGATIVE = frozenset(row.name for row in ACTIVATIONS.values() if row.minimum >= 0)

_ROWS = (
    Loss("half_squared_error", "1/2 sum (y - t)^2, the sum over everything"),
    Loss("mean_squared_error", "mean (y - t)^2, over samples and outputs"),
    Loss("mean_absolute_error", "mean |y - t|, over samples and outputs", kinks="y = t"),
    Loss("huber", "mean of e^2/2 where |e| <= d, else d(|e| - d/2); e = y - t, d = 1"),
    Loss(
        "poisson",
        "mean (y - t log y), over samples and outputs; y is the expected count",
        outputs=_NON_NEGATIVE,
        instead="give the last layer the activation 'exp' or 'softplus', whose output is never negative",
        paired="exp",
        targets="positive",
    ),
    Loss(
        "quantile",
        "mean of q (t - y) where y <= t, else (1 - q)(y - t), over samples and outputs; q = 0.5",
        parameter=0.5,
        kinks="y = t",
    ),
    Loss(
        "binary_cross_entropy",
        "mean -(t log y + (1 - t) log(1 - y)), over samples and outputs",
        outputs=frozenset({"sigmoid"}),
        instead="give the last layer the activation 'sigmoid'",
        paired="sigmoid",
        targets="unit",
        classifies=True,
    ),
    Loss(
        "cross_entropy",
        "mean over samples of -sum_k t_k log y_k; t: integer labels or rows of probabilities",
        outputs=frozenset({"softmax"}),
        instead="give the last layer the activation 'softmax' (one output per class), "
        "or take loss='binary_cross_entropy' with one 'sigmoid' output, or 'mean_squared_error' "
        "for regression",
        paired="softmax",
        labels=True,
        targets="unit",
        classifies=True,
    ),
    Loss(
        "perceptron",
        "mean max(0, -t y), over samples and outputs; t is -1 or 1",
        targets="sign",
        classifies=True,
        kinks="y = 0",
    ),
)

LOSSES: dict[str, Loss] = {row.name: row for row in _ROWS}
"""Every loss by its name."""


def huber(delta: float = 1.0) -> Loss:
    """Return the Huber loss with a threshold of its own (Huber 1964).

    Parameters
    ----------
    delta : float
        Where the parabola becomes a line, in units of the target; positive and finite.

    Raises
    ------
    ValueError
        `delta` is not positive and finite.
    """
    if not (math.isfinite(delta) and delta > 0):
        raise ValueError(f"delta must be positive and finite, got {delta!r}")
    return LOSSES["huber"]._replace(parameter=float(delta))


def quantile(level: float = 0.5) -> Loss:
    """Return the loss whose best constant output is a quantile of the targets (Koenker and Bassett 1978).

    Parameters
    ----------
    level : float
        The part of the targets that is to be below the output, above 0 and below 1.

    Raises
    ------
    ValueError
        `level` is out of range.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be above 0 and below 1, got {level!r}")
    return LOSSES["quantile"]._replace(parameter=float(level))


def get(loss: object) -> Loss:
    """Look a loss up.

    Parameters
    ----------
    loss : str or Loss
        One of the names in `LOSSES`, or a row itself.

    Raises
    ------
    TypeError
        `loss` is neither.
    ValueError
        There is no such loss; the message lists those there are.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(
            "loss must be a name such as 'mean_squared_error' or a function "
            f"(output, target) -> (value, d_output), not {type(loss).__name__}"
        )
    if loss not in LOSSES:
        raise ValueError(unknown("loss", loss, LOSSES))
    return LOSSES[loss]
