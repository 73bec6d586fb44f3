"""The way back through a graph in C: gradients, and the update; each called by every thread of a job.

Threads share the work as on the way forward, see `program`; a layer's gradient is updated by the thread that made it.
But where sums over the batch are made `in_halves`, and an even number of threads shares its rows, each half of the
threads only sees its own rows, from the input to its half of the gradient; these are added up when all meet next.
"""

from libc.string cimport memcpy

from fastnet.backends.compiled.activations cimport SOFTMAX, slope_run, softmax_slope_row
from fastnet.backends.compiled.blocks cimport (
    ALONE, COLUMNS, PANEL, PIECES, ROWS, WHOLE, Blocks, Split, blocks_of, first_of_rows, first_term, group_of, in_halves,
    next_block, next_group, panels_of, shares_halves, weights_of,
)
from fastnet.backends.compiled.gemm cimport Finish, finish_with
from fastnet.backends.compiled.gradients cimport (
    ADDS, ANEW, GOES_ON, bias_block, descend_ahead, descend_block, descend_row, weights_block,
)
from fastnet.backends.compiled.optimizers cimport SGD_PLAIN, Rates, is_plain, squares, update_run
from fastnet.backends.compiled.panels cimport input_blocks, inputs_corner, run_rows, slopes_group
from fastnet.backends.compiled.pool cimport pool_barrier
from fastnet.backends.compiled.program cimport (
    ACTIVATION, DENSE, DROPOUT, FLATTEN, UPDATE_ROWS, Batch, Operation, Program, Workspace, first_piece, first_row,
    keep_split, rows_of, share, split_of_layer, threshold, wait_for, wait_for_rows,
)
from fastnet.backends.compiled.rng cimport dropout_key, dropout_run, uint32, uint64
from fastnet.backends.compiled.simd cimport LANES, real, vload, vload_n, vstore, vstore_n

cdef enum:
    UPDATE_RUN = 1024    # values of two halves that are added up, and updated while they are in the nearest cache
    SMALL_UPDATE = 2048  # parameters of a network that is updated at once

# ---- products -----------------------------------------------------------------------------------------

cdef inline bint halved(Batch *batch, Operation *op) noexcept nogil:
    return in_halves(batch.count, op.inputs, op.wide)


cdef inline bint is_split(Program *program, Batch *batch, Operation *op, Split split) noexcept nogil:
    return shares_halves(split, batch.count, op.inputs, op.wide, batch.parts)


cdef inline bint descends(Batch *batch, Operation *op, const Rates *rates) noexcept nogil:
    """Whether the weights are changed without their gradient being written: plain descent."""
    return (
        rates != NULL and not batch.keeps and op.outputs > 1 and not halved(batch, op)
        and rates.optimizer == SGD_PLAIN and is_plain(rates, True)
    )


cdef inline bint begins_next(Program *program, Workspace *space, Batch *batch, const Rates *rates) noexcept nogil:
    """Whether the next batch's first product is made with this batch's update: a single row follows a single row, and
    first comes a layer whose sums are made in pieces."""
    cdef Operation *op = program.ops
    return (
        batch.next != NULL and program.trained > 0 and op.kind == DENSE and space.values[op.source] == NULL
        and op.pieces != NULL and descends(batch, op, rates)
    )


cdef inline void descend_and_begin(
    Program *program, Workspace *space, Batch *batch, Operation *op, Split split, const Rates *rates,
) noexcept nogil:
    """The descent of the first layer's weights, piece by piece, with the next batch's product."""
    cdef Py_ssize_t piece
    cdef Py_ssize_t end = first_piece(batch, split, batch.part + 1, PIECES)
    for piece in range(first_piece(batch, split, batch.part, PIECES), end):
        descend_ahead(
            batch.input_rows[0], space.deltas[op.target], program.parameters + op.weights, rates.learning_rate, batch.next,
            op.pieces + piece * op.outputs, first_term(op.inputs, piece, PIECES),
            first_term(op.inputs, piece + 1, PIECES), op.outputs,
        )


cdef inline bint dense_backward_part(
    Program *program, Workspace *space, Batch *batch, Operation *op, Split split, const Rates *rates,
) noexcept nogil:
    """Gradients of the input, the weights and the bias; then, with `rates`, their update, at once unless the gradient is
    in two halves. Returns whether the threads met after the gradient of the input was there."""
    cdef const real **rows = rows_of(space, batch, op.source)
    cdef const real *d_z = space.deltas[op.target]
    cdef Py_ssize_t run = run_rows(op.inputs, op.outputs)
    cdef Py_ssize_t first = 0
    cdef bint meets = op.returns and rates != NULL and (split == ROWS or split == COLUMNS)
    cdef Blocks at
    if op.returns:
        input_part(program, space, batch, op, split)
    if is_split(program, batch, op, split):
        half_part(program, batch, op, rows, d_z)
        return False
    if meets:
        pool_barrier(batch.parts)  # before somebody updates weights that others still read
    at = weights_of(split, op.inputs, op.outputs, batch.part, batch.parts)
    if op == program.ops and begins_next(program, space, batch, rates):
        descend_and_begin(program, space, batch, op, split, rates)
    elif batch.count == 1 and descends(batch, op, rates):
        descend_row(rows[0], d_z, program.parameters + op.weights, rates.learning_rate, op.outputs, &at)
    else:
        while op.wide and batch.count - first > run:
            weights_part(program, batch, op, NULL, rows, d_z, at, first, run)
            first += run
        weights_part(program, batch, op, rates, rows, d_z, at, first, batch.count - first)
    if op.bias >= 0:
        at = blocks_of(ALONE if split == ALONE else COLUMNS, 1, op.outputs, batch.part, batch.parts)
        while next_block(&at):
            bias_part(program, batch, op, d_z, &at)
            if rates != NULL:
                update_gradients(program, rates, op.bias, op.outputs, &at, False)
    return meets


cdef inline void input_part(
    Program *program, Workspace *space, Batch *batch, Operation *op, Split split,
) noexcept nogil:
    """The gradient of the input."""
    cdef const real **d_rows = space.rows[op.target + program.buffers]
    cdef const real *weights = program.parameters + op.weights
    cdef real *d_x = space.deltas[op.source]
    cdef Finish finish = finish_with(NULL, False, space.values[op.source] if op.gated else NULL)
    cdef Blocks at = blocks_of(split, batch.count, op.inputs, batch.part, batch.parts)
    input_blocks(d_rows, batch.count, weights, d_x, &finish, op.inputs, op.outputs, &at, batch.panel)


cdef inline void half_part(
    Program *program, Batch *batch, Operation *op, const real **rows, const real *d_z,
) noexcept nogil:
    """This thread's part of one half of the gradient."""
    cdef int parts = batch.parts // 2
    cdef int half = batch.part // parts
    cdef int part = batch.part % parts
    cdef Py_ssize_t first = first_of_rows(batch.count, half, 2)
    cdef Py_ssize_t count = first_of_rows(batch.count, half + 1, 2) - first
    cdef real *gradients = program.halves if half else program.gradients
    cdef Blocks at = weights_of(ROWS, op.inputs, op.outputs, part, parts)
    d_z += first * op.outputs
    while next_block(&at):
        weights_block(rows + first, d_z + at.column, op.outputs, gradients + op.weights, count, op.outputs, &at, ANEW)
    if op.bias >= 0:
        at = blocks_of(COLUMNS, 1, op.outputs, part, parts)
        while next_block(&at):
            bias_block(d_z, gradients + op.bias, count, op.outputs, &at, False)


cdef inline void bias_part(
    Program *program, Batch *batch, Operation *op, const real *d_z, Blocks *at,
) noexcept nogil:
    """One block of the gradient of the bias."""
    cdef Py_ssize_t middle = first_of_rows(batch.count, 1, 2) if halved(batch, op) else batch.count
    bias_block(d_z, program.gradients + op.bias, middle, op.outputs, at, False)
    if middle < batch.count:
        bias_block(
            d_z + middle * op.outputs, program.gradients + op.bias, batch.count - middle, op.outputs, at, True
        )


cdef inline void weights_part(
    Program *program, Batch *batch, Operation *op, const Rates *rates, const real **rows, const real *d_z, Blocks whole,
    Py_ssize_t first, Py_ssize_t count,
) noexcept nogil:
    """What `count` rows of the batch, from the `first` on, add to this thread's part of the gradient of the weights; with
    `rates`, they are the last ones, and the weights are updated.

    Group by group; of each, a few rows of weights go by all panels before others do.
    """
    cdef bint gathered = op.wide and batch.count > 1
    cdef Py_ssize_t columns = group_of(op.inputs, op.outputs)
    cdef bint high = columns == PANEL and (rates == NULL or first == 0 and descends(batch, op, rates))
    cdef Py_ssize_t stride = PANEL if gathered else op.outputs
    cdef const real *slopes
    cdef const real **inputs = rows + first
    cdef Blocks group = whole
    cdef Blocks at
    d_z += first * op.outputs
    while next_group(&group, columns):
        if gathered:
            slopes_group(d_z, count, op.outputs, &group, batch.panel)
        while group.row < whole.row_end:
            group.row_end = whole.row_end if high else min(group.row + UPDATE_ROWS, whole.row_end)
            if gathered and columns > PANEL:
                inputs = batch.corner_rows
                inputs_corner(rows + first, count, group.row, group.row_end, batch.corner, inputs, UPDATE_ROWS)
            at = panels_of(&group)
            while next_block(&at):
                slopes = batch.panel + (at.column - group.column) * count if gathered else d_z + at.column
                weights_strip(program, batch, op, rates, inputs, slopes, stride, &at, first, count)
            group.row = group.row_end
        group.row, group.row_end = whole.row, whole.row_end


cdef inline void weights_strip(
    Program *program, Batch *batch, Operation *op, const Rates *rates, const real **rows, const real *slopes,
    Py_ssize_t stride, Blocks *at, Py_ssize_t first, Py_ssize_t count,
) noexcept nogil:
    """The same for some rows of weights of one panel, whose columns of d_z are `slopes`.

    Plain descent happens within the product's tiles, unless the gradients are wanted; other updates while the gradient is
    still in the nearest cache, in a strip of which nothing is left unless the gradients are wanted.
    """
    cdef real *gradients = program.gradients + op.weights
    cdef Py_ssize_t ld = op.outputs
    cdef Py_ssize_t middle = first_of_rows(count, 1, 2) if halved(batch, op) else count
    if first == 0 and descends(batch, op, rates):
        descend_block(rows, slopes, stride, program.parameters + op.weights, rates.learning_rate, count, op.outputs, at)
        return
    if rates != NULL and not batch.keeps and first == 0:
        if at.column_end - at.column < op.outputs:
            ld = PANEL
        gradients = batch.strip - at.row * ld - at.column  # so that the block, where it lies in the weights, is the strip
    weights_block(rows, slopes, stride, gradients, middle, ld, at, GOES_ON if first > 0 else ANEW)
    if middle < count:
        weights_block(rows + middle, slopes + middle * stride, stride, gradients, count - middle, ld, at, ADDS)
    if rates != NULL:
        update_block(program, rates, gradients + at.row * ld + at.column, ld, op.weights, op.outputs, at, True)


cdef inline void elementwise_backward_part(
    Program *program, Workspace *space, Batch *batch, Operation *op, Split split,
) noexcept nogil:
    cdef real *d_y = space.deltas[op.target]
    cdef real *d_x = space.deltas[op.source]
    cdef const real *z = space.values[op.source]
    cdef const real *a = space.values[op.target]
    cdef uint64 key = dropout_key(program.seed, batch.step, op.number)
    cdef real scale = <real>(1.0 / (1.0 - op.rate))
    cdef Py_ssize_t width = op.outputs
    cdef Py_ssize_t i, run, row
    cdef Blocks at = blocks_of(split, batch.count, width, batch.part, batch.parts)
    while next_block(&at):
        # Whole rows are one run; of narrower blocks each row is a run of its own.
        run = at.column_end - at.column
        row = at.row
        while row < at.row_end:
            i = row * width + at.column
            if run == width:
                run = (at.row_end - at.row) * width
                row = at.row_end
            row += 1
            if op.kind == ACTIVATION:
                slope_run(op.activation, z + i, a + i, d_y + i, d_x + i, run)
            elif op.kind == DROPOUT and batch.training:
                dropout_run(d_y + i, d_x + i, run, <uint32>i, scale, threshold(op.rate), key)
            elif d_x != d_y:
                memcpy(d_x + i, d_y + i, run * sizeof(real))


cdef inline void backward(Program *program, Workspace *space, Batch *batch, const Rates *rates) noexcept nogil:
    """All gradients, from the slopes at the end; with `rates`, the update of each layer right after its own."""
    cdef Split now = WHOLE
    cdef Split wanted
    cdef Operation *op
    cdef bint met = False   # at a barrier, since the slopes that the next layer reads were written
    cdef int halves = 0     # layers after operation i whose gradients are in halves end here; 0: there is none
    cdef int i
    cdef Py_ssize_t n
    for i in range(program.trained - 1, -1, -1):
        op = &program.ops[i]
        if op.kind == DENSE:
            wanted = split_of_layer(program, batch, op)
            if now == ROWS and batch.parts == 2 and is_split(program, batch, op, wanted):
                met = True  # no need to: a half is what this thread wrote itself
            if not met:
                wait_for(now, wanted, batch.parts)
                add_halves(program, batch, i + 1, halves, rates)
                halves = 0
            met = dense_backward_part(program, space, batch, op, wanted, rates)
            if halves == 0 and is_split(program, batch, op, wanted):
                halves = i + 1
            now = wanted
        elif op.undone or space.values[op.source] == NULL:
            continue  # done already, or nobody asks for the gradient of the input
        elif op.kind == ACTIVATION and op.activation == SOFTMAX:
            now = wait_for_rows(batch, now)
            met = False
            for n in range(first_row(batch, now, batch.part), first_row(batch, now, batch.part + 1)):
                softmax_slope_row(
                    space.values[op.target] + n * op.outputs, space.deltas[op.target] + n * op.outputs,
                    space.deltas[op.source] + n * op.outputs, op.outputs,
                )
        elif space.deltas[op.target] != space.deltas[op.source] or (
            op.kind != FLATTEN and (op.kind != DROPOUT or batch.training)
        ):
            now = keep_split(batch, now)
            met = False
            elementwise_backward_part(program, space, batch, op, now)
    if halves:
        pool_barrier(batch.parts)
        add_halves(program, batch, 0, halves, rates)


# ---- update -----------------------------------------------------------------------------------------

cdef inline void update_block(
    Program *program, const Rates *rates, const real *gradients, Py_ssize_t ld_g, Py_ssize_t offset, Py_ssize_t ld,
    Blocks *at, bint decays,
) noexcept nogil:
    """Update one block of the parameters (rows, ld) that start at `offset`; its gradients are `ld_g` apart."""
    cdef Py_ssize_t i = offset + at.row * ld + at.column
    cdef Py_ssize_t run = at.column_end - at.column
    cdef Py_ssize_t rows = at.row_end - at.row
    if run == ld and run == ld_g:
        run *= rows
        rows = 1
    update_run(
        rates, gradients, ld_g, program.parameters + i,
        program.states[0] + i if program.states[0] != NULL else NULL,
        program.states[1] + i if program.states[1] != NULL else NULL,
        rows, run, ld, decays,
    )


cdef inline void update_gradients(
    Program *program, const Rates *rates, Py_ssize_t offset, Py_ssize_t ld, Blocks *at, bint decays,
) noexcept nogil:
    """The same from where the gradients of all parameters are."""
    cdef const real *gradients = program.gradients + offset + at.row * ld + at.column
    update_block(program, rates, gradients, ld, offset, ld, at, decays)


cdef inline bint is_small_update(Program *program, const Rates *rates) noexcept nogil:
    """Whether the whole network is updated at once: where all of it is in the nearest cache, layers only cost calls."""
    return program.parameter_count <= SMALL_UPDATE and rates.optimizer != SGD_PLAIN and rates.decay == 0


cdef inline void update_all(Program *program, const Rates *rates) noexcept nogil:
    """Update all parameters, of which none decays."""
    update_run(
        rates, program.gradients, 0, program.parameters, program.states[0], program.states[1], 1,
        program.parameter_count, program.parameter_count, False,
    )


cdef inline void add_halves_run(
    Program *program, Batch *batch, const Rates *rates, Py_ssize_t offset, Py_ssize_t size, bint decays,
) noexcept nogil:
    """Add up the halves of this thread's share of the `size` values that start at `offset`; with `rates`, update them."""
    cdef Py_ssize_t lines = (size + 15) // 16
    cdef Py_ssize_t i = share(lines, batch.part, batch.parts) * 16
    cdef Py_ssize_t last = min(share(lines, batch.part + 1, batch.parts) * 16, size)
    cdef Py_ssize_t end, j
    cdef real *sums = program.gradients + offset
    cdef const real *others = program.halves + offset
    cdef Blocks at
    at.column, at.row, at.row_end = 0, 0, 1
    while i < last:
        end = min(i + UPDATE_RUN, last)
        for j from i <= j < end by LANES:
            if end - j >= LANES:
                vstore(sums + j, vload(sums + j) + vload(others + j))
            else:
                vstore_n(sums + j, vload_n(sums + j, end - j) + vload_n(others + j, end - j), end - j)
        if rates != NULL:
            at.column_end = end - i
            update_block(program, rates, sums + i, end - i, offset + i, end - i, &at, decays)
        i = end


cdef inline void add_halves(Program *program, Batch *batch, int first, int last, const Rates *rates) noexcept nogil:
    """Add up the halves of the gradients of the dense layers among the operations first .. last; update the weights."""
    cdef Operation *op
    cdef int i
    for i in range(first, last):
        op = &program.ops[i]
        if op.kind != DENSE or not is_split(program, batch, op, split_of_layer(program, batch, op)):
            continue
        add_halves_run(program, batch, rates, op.weights, op.inputs * op.outputs, True)
        if op.bias >= 0:
            add_halves_run(program, batch, rates, op.bias, op.outputs, False)


cdef inline void update_part(Program *program, Batch *batch, const Rates *rates) noexcept nogil:
    """Update this thread's parameters from the gradients."""
    cdef Operation *op
    cdef Blocks at
    cdef Split split
    cdef int i
    for i in range(program.count):
        op = &program.ops[i]
        if op.kind != DENSE:
            continue
        split = split_of_layer(program, batch, op)
        at = weights_of(split, op.inputs, op.outputs, batch.part, batch.parts)
        while next_block(&at):
            update_gradients(program, rates, op.weights, op.outputs, &at, True)
        if op.bias >= 0:
            at = blocks_of(ALONE if split == ALONE else COLUMNS, 1, op.outputs, batch.part, batch.parts)
            while next_block(&at):
                update_gradients(program, rates, op.bias, op.outputs, &at, False)


cdef enum:
    NORM_RUN = 4096  # values of the gradient whose squares are summed in one run, whatever the number of threads


cdef inline void squares_part(Program *program, double *sums, int part, int parts) noexcept nogil:
    """Sums of squares of this thread's runs of the gradient."""
    cdef Py_ssize_t runs = (program.parameter_count + NORM_RUN - 1) // NORM_RUN
    cdef Py_ssize_t i
    for i in range(share(runs, part, parts), share(runs, part + 1, parts)):
        sums[i] = squares(
            program.gradients + i * NORM_RUN, min(NORM_RUN, program.parameter_count - i * NORM_RUN),
            <real>program.hyper.clip_value,
        )
