"""A graph in C: forward, loss, backward and update, each called by every thread of a job.

Threads share all buffers and split the elements of each result between them, so no two write the same
one, and meet at a barrier where the next operation reads what others wrote. How a layer is split is in
`split_of`: a small one is left to the first thread, which needs no barriers within a row of such layers.
The way back is in `backward`.
"""

from libc.math cimport NAN
from libc.string cimport memcpy

from fastnet.backends.compiled.activations cimport SOFTMAX, Activation, activation_run, softmax_row, softmax_run
from fastnet.backends.compiled.blocks cimport (
    ALONE, COLUMNS, EVENLY, INPUTS, ROWS, SMALL_BATCH, WHOLE, Blocks, Split, blocks_of, first_of_rows, first_term,
    next_block, panels_deep, pieces_of, pieces_of_prediction, split_of,
)
from fastnet.backends.compiled.gemm cimport Finish, add_pieces, finish_with, forward_blocks
from fastnet.backends.compiled.losses cimport (
    HALF_SQUARED_ERROR, NO_METRIC, SOFTMAX_CROSS_ENTROPY, Loss, Metric, correct_row, cross_entropy_label,
    cross_entropy_row, loss_column, loss_row,
)
from fastnet.backends.compiled.optimizers cimport Hyper
from fastnet.backends.compiled.panels cimport forward_wide
from fastnet.backends.compiled.pool cimport pool_barrier
from fastnet.backends.compiled.rng cimport dropout_key, dropout_run, uint32, uint64
from fastnet.backends.compiled.simd cimport LANES, MR, real

cdef enum:
    SHARED_SUMS = 8192    # sums from which threads share to add up their pieces
    UPDATE_ROWS = 4 * MR  # of a panel of the weights, whose gradient is updated while it is in the nearest cache

cdef enum Kind:
    DENSE
    ACTIVATION
    DROPOUT
    FLATTEN

cdef struct Operation:
    Kind kind
    int source, target              # buffers
    Py_ssize_t inputs, outputs      # values of one sample in each
    Py_ssize_t weights, bias        # offsets of the parameters; bias -1: none
    bint rectifies                  # a dense layer: relu follows, and is done with it
    bint gated                      # a dense layer: its input is the output of such a relu, whose slope is done with it
    bint done                       # relu: by the dense layer before it
    bint undone                     # relu: its slope, by the dense layer after it
    real *pieces                    # of the sums of a small batch; NULL: not of training, or short sums
    bint wide                       # a dense layer: see `is_wide`
    bint returns                    # a dense layer: somebody asks for the gradient of its input
    Activation activation
    double rate
    int number                      # in the graph

cdef struct Program:
    Operation *ops
    int count                       # operations of the network
    int trained                     # of these, how many come before the loss
    int buffers, output, end        # end: the buffer that the loss reads
    Py_ssize_t *sizes               # values of one sample in each buffer
    real *parameters
    real *gradients
    real *halves                    # as many values: of gradients over the second half of a batch; NULL: one thread
    real *states[2]
    Py_ssize_t parameter_count
    Loss loss
    Metric metric
    real loss_parameter, boundary
    double loss_scale
    Hyper hyper
    uint64 seed
    bint keeps_gradients
    bint narrow                     # see `is_narrow`
    double layer_worth              # multiply-adds of a dense layer from which threads share it

cdef struct Workspace:
    # Where the buffers of up to `capacity` rows lie. Buffers that can share memory do; those that are the
    # network's input itself have values[b] == NULL, and their rows are given by each thread's `input_rows`.
    Py_ssize_t capacity
    real **values
    real **deltas
    const real ***rows
    real *pieces                    # of the sums of a single row that is predicted
    real *turned[2]                 # of predictions of narrow networks

cdef struct Batch:
    # One step's rows, as one thread sees it.
    Py_ssize_t count
    const real **input_rows
    const real *next                # the only row of the next batch, which follows at once; or NULL
    bint begun                      # this batch's first product was made along with the last batch's update
    real *panel                     # this thread's buffers: of a group of panels;
    real *strip                     # of UPDATE_ROWS lines of one;
    real *corner                    # of as many inputs of many rows;
    const real **corner_rows        # and pointers to these rows
    bint training                   # dropout is on
    bint learns                     # a backward pass follows
    bint keeps                      # the gradients are wanted, not only the update
    uint64 step
    double weights                  # sum of the samples' weights, see `norm_of`
    int part, parts

cdef struct Targets:
    # The data set's targets and weights; row i of the batch is row order[i] (row i where order is NULL).
    const long long *labels         # or NULL
    const real *values              # or NULL
    const real *weights             # or NULL
    const long long *order


cdef inline const real **rows_of(Workspace *space, Batch *batch, int buffer) noexcept nogil:
    return batch.input_rows if space.values[buffer] == NULL else space.rows[buffer]


cdef inline Py_ssize_t share(Py_ssize_t count, int part, int parts) noexcept nogil:
    """First of a part, where `count` things are split evenly; that of the next part is its end."""
    return count * part // parts if parts > 1 else count * part


cdef inline Py_ssize_t first_row(Batch *batch, Split split, int part) noexcept nogil:
    """First row of a part of what is split EVENLY, by ROWS or done ALONE; that of the next part is its end."""
    if split == ALONE:
        return batch.count if part > 0 else 0
    if split == ROWS:
        return first_of_rows(batch.count, part, batch.parts)
    return share(batch.count, part, batch.parts)


cdef inline Py_ssize_t first_piece(Batch *batch, Split split, int part, Py_ssize_t pieces) noexcept nogil:
    """First piece of a part's sums; that of the next part is its end."""
    if split == ALONE:
        return pieces if part > 0 else 0
    return share(pieces, part, batch.parts)


cdef inline Split split_of_layer(Program *program, Batch *batch, Operation *op) noexcept nogil:
    return split_of(program.layer_worth, batch.count, op.inputs, op.outputs, batch.parts)


cdef inline void wait_for(Split now, Split wanted, int parts) noexcept nogil:
    """Wait for the other threads, unless this one wrote all that it is going to read."""
    if now != WHOLE and not (now == ALONE and wanted == ALONE):
        pool_barrier(parts)


cdef inline Split wait_for_rows(Batch *batch, Split now) noexcept nogil:
    """Wait, unless this thread wrote its rows itself; returns how rows are split from here on."""
    if now == WHOLE or now == EVENLY or now == ROWS or now == ALONE:
        return EVENLY if now == WHOLE else now
    pool_barrier(batch.parts)
    return EVENLY


cdef inline Split keep_split(Batch *batch, Split now) noexcept nogil:
    """How an elementwise operation is split: as its input is, so that nobody waits, where that is by blocks."""
    if now == WHOLE or now == EVENLY:
        wait_for(now, ROWS, batch.parts)
        return ROWS
    return now


# ---- forward ----------------------------------------------------------------------------------------

cdef inline Split dense_forward_part(
    Program *program, Workspace *space, Batch *batch, Operation *op, Split split,
) noexcept nogil:
    """One dense layer; returns how its result is split."""
    cdef const real **rows = rows_of(space, batch, op.source)
    cdef const real *weights = program.parameters + op.weights
    cdef real *z = space.values[op.target]
    cdef Finish finish = finish_with(program.parameters + op.bias if op.bias >= 0 else NULL, op.rectifies, NULL)
    cdef Blocks at
    cdef Py_ssize_t pieces = (
        pieces_of(batch.count, op.inputs, op.outputs) if batch.learns
        else pieces_of_prediction(op.inputs, op.outputs, op.wide)
    )
    if pieces > 1 and (batch.learns or batch.count == 1):
        return pieces_part(
            batch, op, split, rows, weights, z, &finish, op.pieces if batch.learns else space.pieces, pieces,
            batch.begun and op == program.ops,
        )
    at = blocks_of(split, batch.count, op.outputs, batch.part, batch.parts)
    if op.wide and batch.count > 1:
        pieces = panels_deep(op.inputs) if batch.learns else pieces
        forward_wide(rows, weights, z, &finish, 0, op.inputs, op.outputs, &at, batch.panel, pieces)
    else:
        forward_blocks(rows, batch.count, weights, z, &finish, 0, op.inputs, op.outputs, &at)
    return split


cdef inline Split pieces_part(
    Batch *batch, Operation *op, Split split, const real **rows, const real *weights, real *z, const Finish *finish,
    real *sums, Py_ssize_t pieces, bint begun,
) noexcept nogil:
    """A forward product whose long sums are put together from pieces, which are there if `begun`."""
    cdef Finish nothing = finish_with(NULL, False, NULL)
    cdef Py_ssize_t size = batch.count * op.outputs
    cdef bint shared = split == INPUTS or split == ALONE
    cdef Py_ssize_t piece = first_piece(batch, split, batch.part, pieces) if shared else 0
    cdef Py_ssize_t end = first_piece(batch, split, batch.part + 1, pieces) if shared else pieces
    cdef Py_ssize_t term, last
    cdef Blocks at
    while piece < end and not begun:
        term, last = first_term(op.inputs, piece, pieces), first_term(op.inputs, piece + 1, pieces)
        at = blocks_of(ROWS, batch.count, op.outputs, 0, 1)
        if not shared:
            at = blocks_of(split, batch.count, op.outputs, batch.part, batch.parts)
        if op.wide and batch.count > SMALL_BATCH:
            forward_wide(
                rows, weights, sums + piece * size, &nothing, term, last, op.outputs, &at, batch.panel,
                panels_deep(last - term),
            )
        else:
            forward_blocks(
                rows, batch.count, weights, sums + piece * size, &nothing, term, last, op.outputs, &at
            )
        piece += 1
    if split == INPUTS:
        pool_barrier(batch.parts)
        if batch.count > SMALL_BATCH:
            split = ROWS
        else:
            split = COLUMNS if size >= SHARED_SUMS else ALONE
    at = blocks_of(split, batch.count, op.outputs, batch.part, batch.parts)
    while next_block(&at):
        add_pieces(sums, pieces, size, z, finish, op.outputs, &at)
    return split


cdef inline uint32 threshold(double rate) noexcept nogil:
    """Hashes below it are dropped."""
    return <uint32>min(rate * 4294967296.0, 4294967295.0)


cdef inline void elementwise_forward_run(
    Operation *op, Batch *batch, const real *x, real *y, Py_ssize_t count, Py_ssize_t first, uint64 key,
) noexcept nogil:
    """`count` values from the one with index `first` of the batch."""
    if op.kind == ACTIVATION:
        activation_run(op.activation, x, y, count)
    elif op.kind == DROPOUT and batch.training:
        dropout_run(x, y, count, <uint32>first, <real>(1.0 / (1.0 - op.rate)), threshold(op.rate), key)
    elif x != y:
        memcpy(y, x, count * sizeof(real))


cdef inline void elementwise_forward_part(
    Program *program, Workspace *space, Batch *batch, Operation *op, Split split,
) noexcept nogil:
    cdef const real **rows = rows_of(space, batch, op.source)
    cdef real *y = space.values[op.target]
    cdef uint64 key = dropout_key(program.seed, batch.step, op.number)
    cdef Py_ssize_t width = op.outputs
    cdef Py_ssize_t i
    cdef Blocks at = blocks_of(split, batch.count, width, batch.part, batch.parts)
    while next_block(&at):
        if at.column_end - at.column == width and rows != batch.input_rows:
            i = at.row * width
            elementwise_forward_run(op, batch, rows[at.row], y + i, (at.row_end - at.row) * width, i, key)
            continue
        for i in range(at.row, at.row_end):
            elementwise_forward_run(
                op, batch, rows[i] + at.column, y + i * width + at.column, at.column_end - at.column,
                i * width + at.column, key,
            )


cdef inline void softmax_forward_part(Workspace *space, Batch *batch, Operation *op, Split split) noexcept nogil:
    cdef const real **rows = rows_of(space, batch, op.source)
    cdef real *y = space.values[op.target]
    cdef real total
    cdef Py_ssize_t first = first_row(batch, split, batch.part)
    cdef Py_ssize_t last = first_row(batch, split, batch.part + 1)
    cdef Py_ssize_t i
    if rows != batch.input_rows:
        if first < last:
            softmax_run(rows[first], y + first * op.outputs, last - first, op.outputs)
        return
    for i in range(first, last):
        softmax_row(rows[i], y + i * op.outputs, op.outputs, &total)


cdef inline Split forward(Program *program, Workspace *space, Batch *batch, int count) noexcept nogil:
    """Run the first `count` operations on a batch; returns how the last result is split."""
    cdef Split now = WHOLE
    cdef Split wanted
    cdef Operation *op
    cdef int i
    for i in range(count):
        op = &program.ops[i]
        if op.kind == DENSE:
            wanted = split_of_layer(program, batch, op)
            if now != ROWS or wanted != ROWS:  # of its own rows, a thread wrote all
                wait_for(now, wanted, batch.parts)
            now = dense_forward_part(program, space, batch, op, wanted)
        elif op.kind == ACTIVATION and op.activation == SOFTMAX:
            now = wait_for_rows(batch, now)
            softmax_forward_part(space, batch, op, now)
        elif op.done:
            continue
        elif space.values[op.target] != space.values[op.source] or (
            op.kind != FLATTEN and (op.kind != DROPOUT or batch.training)
        ):
            now = keep_split(batch, now)
            elementwise_forward_part(program, space, batch, op, now)
    return now


# ---- loss -------------------------------------------------------------------------------------------

cdef inline double norm_of(Program *program, Batch *batch, Targets *targets, Py_ssize_t row) noexcept nogil:
    """What the sum of the losses of a batch, which starts at `row`, is divided by; the batch learns its weights."""
    cdef double total = batch.count
    cdef Py_ssize_t i
    if targets.weights != NULL:
        total = 0
        for i in range(batch.count):
            total += targets.weights[targets.order[row + i] if targets.order != NULL else row + i]
    batch.weights = total
    if program.loss == HALF_SQUARED_ERROR:
        total = 1
    elif program.loss != SOFTMAX_CROSS_ENTROPY:
        total = total * program.sizes[program.end]
    return total / program.loss_scale


cdef inline Py_ssize_t loss_columns(
    Program *program, Workspace *space, Targets *targets, Py_ssize_t first, Py_ssize_t last, Py_ssize_t row,
    double inverse, double *losses,
) noexcept nogil:
    """`loss_part` of a single output without labels, as far as the rows first .. last make whole vectors: the first row
    that is left."""
    cdef real t[LANES]
    cdef real factors[LANES]
    cdef Py_ssize_t i, j, k
    for i from first <= i <= last - LANES by LANES:
        for k in range(LANES):
            j = targets.order[row + i + k] if targets.order != NULL else row + i + k
            t[k] = targets.values[j]
            factors[k] = <real>((targets.weights[j] if targets.weights != NULL else 1) * inverse)
        loss_column(
            program.loss, space.values[program.end] + i, t, space.deltas[program.end] + i, program.loss_parameter,
            factors, losses + i,
        )
        if targets.weights != NULL:
            for k in range(LANES):
                j = targets.order[row + i + k] if targets.order != NULL else row + i + k
                losses[i + k] *= targets.weights[j]
    return first + (last - first) // LANES * LANES if last > first else first


cdef inline void loss_part(
    Program *program, Workspace *space, Batch *batch, Targets *targets, Split split, Py_ssize_t row, double norm,
    double *losses, Py_ssize_t *correct,
) noexcept nogil:
    """This thread's rows: their losses (times their weights), right answers, and slopes over the norm."""
    cdef const real **rows = rows_of(space, batch, program.end)
    cdef real *slopes = space.deltas[program.end]
    cdef Py_ssize_t width = program.sizes[program.end]
    cdef double inverse = 1 / norm if norm != 0 else 0
    cdef double weight
    cdef const real *t
    cdef long long label
    cdef Py_ssize_t first = first_row(batch, split, batch.part)
    cdef Py_ssize_t last = first_row(batch, split, batch.part + 1)
    cdef Py_ssize_t i, j
    if width == 1 and program.metric == NO_METRIC and program.loss != SOFTMAX_CROSS_ENTROPY and rows != batch.input_rows:
        first = loss_columns(program, space, targets, first, last, row, inverse, losses)
    for i in range(first, last):
        j = targets.order[row + i] if targets.order != NULL else row + i
        weight = targets.weights[j] if targets.weights != NULL else 1
        t = targets.values + j * width if targets.values != NULL else NULL
        label = targets.labels[j] if targets.labels != NULL else 0
        if targets.labels != NULL and (label < 0 or label >= width):
            # Labels were checked, but whoever shares the array may have changed it since.
            losses[i] = NAN
            continue
        if program.metric != NO_METRIC:  # first: the slopes may overwrite the outputs
            correct[i] = correct_row(program.metric, rows[i], t, label, width, program.boundary)
        if program.loss != SOFTMAX_CROSS_ENTROPY:
            losses[i] = weight * loss_row(
                program.loss, rows[i], t, slopes + i * width, width, program.loss_parameter, <real>(weight * inverse)
            )
        elif t == NULL:
            losses[i] = weight * cross_entropy_label(
                rows[i], label, slopes + i * width, width, <real>(weight * inverse)
            )
        else:
            losses[i] = weight * cross_entropy_row(rows[i], t, slopes + i * width, width, <real>(weight * inverse))
