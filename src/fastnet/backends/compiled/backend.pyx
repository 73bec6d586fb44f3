"""The compiled backend: the kernels of `fastnet.backends.reference` under the same names, and its executor.

Compiled once for each instruction set and dtype; `ISA`, `DTYPE` and `VECTOR_BYTES` say which one this is.
"""

import cython
import threading

import numpy as np

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY, isfinite, sqrt
from libc.stdlib cimport calloc, free, malloc
from libc.stdint cimport uintptr_t
from libc.string cimport memcmp, memcpy

from fastnet.backends.compiled cimport activations as act
from fastnet.backends.compiled cimport losses as los
from fastnet.backends.compiled cimport optimizers as opt
from fastnet.backends.compiled cimport vmath
from fastnet.backends.compiled.backward cimport (
    NORM_RUN, backward, begins_next, is_small_update, squares_part, update_all, update_part,
)
from fastnet.backends.compiled.blocks cimport (
    ALONE, COLUMNS, DEPTH, EVENLY, INPUTS, MEDIUM_BATCH, PANEL, ROWS, SMALL_BATCH, Blocks, Split, blocks_of, in_halves,
    is_far, is_wide, next_block, pieces_of, pieces_of_prediction, shares_halves, split_of,
)
from fastnet.backends.compiled.gemm cimport Finish, finish_with, forward_blocks
from fastnet.backends.compiled.gradients cimport ANEW, bias_block, weights_block
from fastnet.backends.compiled.pace cimport ALONE_AGAIN, COMPARING, PROBING, Pace, Stage, new_pace, note
from fastnet.backends.compiled.panels cimport input_blocks
from fastnet.backends.compiled.pool cimport (
    POOL_MOST, pool_barrier, pool_naps, pool_next, pool_offer, pool_run, pool_seconds, pool_survive_fork,
)
from fastnet.backends.compiled.program cimport (
    ACTIVATION, DENSE, DROPOUT, FLATTEN, UPDATE_ROWS, Batch, Operation, Program, Targets,
    Workspace, forward, loss_part, norm_of, rows_of, share, split_of_layer, threshold, wait_for_rows,
)
from fastnet.backends.compiled.rng cimport dropout_run, uint64
from fastnet.backends.compiled.simd cimport (
    DTYPE as _DTYPE, ISA as _ISA, GROUP, LANES, VECTOR_BYTES as _VECTOR_BYTES, fastnet_flush, fastnet_restore, real, vload,
    vload_n, vreal, vstore, vstore_n, vsum,
)
from fastnet.backends.compiled.turned cimport NARROW, TURNED_ROWS, WORTH_TURNING, is_narrow, predict_turned

ISA = (<bytes>_ISA).decode()
DTYPE = (<bytes>_DTYPE).decode()
VECTOR_BYTES = _VECTOR_BYTES

_ACTIVATIONS = act.activation_names()
_LOSSES = los.loss_names()
# Output activation and loss that are computed together, from the total inputs of the output layer.
_LOGITS = {
    ("softmax", "cross_entropy"): "softmax_cross_entropy",
    ("sigmoid", "binary_cross_entropy"): "sigmoid_binary_cross_entropy",
    ("exp", "poisson"): "exp_poisson",
}
_METRICS = {"": los.NO_METRIC, "argmax": los.ARGMAX, "threshold": los.THRESHOLD, "sign": los.SIGN}
_OPTIMIZERS = opt.optimizer_names()
_KINDS = {"dense": DENSE, "activation": ACTIVATION, "dropout": DROPOUT, "flatten": FLATTEN}

pool_survive_fork()

include "kernels.pxi"
include "jobs.pxi"
include "executor.pxi"
