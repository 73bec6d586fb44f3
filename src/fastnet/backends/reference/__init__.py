"""The specification: every kernel and the executor in plain NumPy.

Read this first, file by file: dense, activations, dropout, losses, optimizers, executor. The compiled
backend does the same, faster, in files of the same names; tests compare the two, number by number.

Letters: N rows of a batch, I inputs of a layer, O its outputs, P parameters of the network.
A kernel takes the arrays it reads, then the arrays it writes (all of them, always; nothing is
accumulated), then plain numbers. It checks nothing: shapes are checked once, above.
"""

from fastnet.backends.reference.activations import activation_backward, activation_forward
from fastnet.backends.reference.dense import (
    dense_backward_bias,
    dense_backward_input,
    dense_backward_weights,
    dense_forward,
)
from fastnet.backends.reference.dropout import dropout, dropout_key
from fastnet.backends.reference.executor import (
    CORRECT,
    LOSS_SUM,
    NORM,
    ROW,
    STEP,
    TOTAL,
    Executor,
)
from fastnet.backends.reference.losses import count_correct, loss_and_slope
from fastnet.backends.reference.optimizers import update

__all__ = [
    "CORRECT",
    "LOSS_SUM",
    "NORM",
    "ROW",
    "STEP",
    "TOTAL",
    "Executor",
    "activation_backward",
    "activation_forward",
    "count_correct",
    "dense_backward_bias",
    "dense_backward_input",
    "dense_backward_weights",
    "dense_forward",
    "dropout",
    "dropout_key",
    "loss_and_slope",
    "update",
]
