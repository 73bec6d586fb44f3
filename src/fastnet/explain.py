"""One step of training with every number shown, as annotated articles do it by hand.

The package always loads this module, because one that is loaded later takes the place of the function of the
same name. So that this costs nothing, all the rest is in `fastnet.explanation`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from fastnet.checks import LossSpec
    from fastnet.explanation import Explanation
    from fastnet.network import Network

__all__ = ["explain"]


def explain(
    net: Network,
    x: ArrayLike,
    y: ArrayLike,
    loss: LossSpec = "half_squared_error",
    learning_rate: float = 1.0,
) -> Explanation:
    """Compute one step of plain gradient descent on a whole batch and keep every number of it.

    The network is not changed. The formulas are those of `fastnet.backends.reference`, in the network's
    dtype; dropout is off.

    Parameters
    ----------
    net : Network
        Read only.
    x : array_like (N, inputs)
        Samples, at least one.
    y : array_like (N, outputs) or (N,)
        Targets, as in `Network.fit`.
    loss : str, Loss or callable, default "half_squared_error"
        As in `Network.fit`.
    learning_rate : float, default 1.0
        Positive.

    Returns
    -------
    Explanation
        ``explanation.layers[0].delta`` and so on; ``print(explanation)`` shows all of it.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong.

    Examples
    --------
    >>> import fastnet as fn
    >>> net = fn.Network([fn.Dense(1, bias=False, weights_init=[[0.5], [-1.0]])], inputs=2, dtype="float64")
    >>> fn.explain(net, [[2.0, 1.0]], [[1.0]], learning_rate=0.25).layers[0].new_weights.tolist()
    [[1.0], [-0.75]]
    """
    from fastnet.explanation import explanation_of

    return explanation_of(net, x, y, loss, learning_rate)
