"""Predictions of narrow networks, with lanes along the rows.

A row of a narrow layer's output does not fill its vectors: two outputs leave fourteen lanes empty. So as many rows as
make TURNED vectors go through the whole network together, turned: value k of all of them is TURNED vectors, and weights
are broadcast. Each sum has the same terms in the same order as in the tiles of `gemm`, so the bits are the same.
"""

from fastnet.backends.compiled.activations cimport SOFTMAX, activation_run, softmax_run
from fastnet.backends.compiled.panels cimport transpose
from fastnet.backends.compiled.program cimport ACTIVATION, DENSE, Operation, Program
from fastnet.backends.compiled.simd cimport LANES, forced, real, vload, vmax, vreal, vset1, vstore, vturn

cdef enum:
    WORTH_TURNING = LANES >= 8      # shorter vectors are filled by the outputs
    TURNED = 2                      # vectors of rows that go together
    TURNED_ROWS = TURNED * LANES
    NARROW = 64                     # most values of a row in a narrow network, and
    NARROW_WEIGHTS = 4096           # most weights of all its layers: they are read over and over from the nearest cache


cdef inline bint is_narrow(Program *program) noexcept nogil:
    """Whether predictions go through the network turned.

    A single output has its own order of terms, see `forward_column`, and softmax goes along rows: it may only come last.
    """
    cdef Operation *op
    cdef Py_ssize_t weights = 0
    cdef int i
    for i in range(program.count):
        op = &program.ops[i]
        if op.inputs > NARROW or op.outputs > NARROW:
            return False
        if op.kind == DENSE:
            weights += op.inputs * op.outputs
            if op.outputs == 1:
                return False
        elif op.kind == ACTIVATION and op.activation == SOFTMAX and i < program.count - 1:
            return False
    return WORTH_TURNING and 0 < weights <= NARROW_WEIGHTS


cdef inline void turn_in(const real *x, Py_ssize_t count, Py_ssize_t width, real *y) noexcept nogil:
    """y (width, TURNED_ROWS) = the `count` rows of x (count, width), turned; beyond them, y keeps what it has."""
    cdef int v
    if count < TURNED_ROWS or not (width == 2 or width == 4 or width == 8):
        transpose(x, width, y, TURNED_ROWS, count, width)
        return
    for v in range(TURNED):
        vturn(x + v * LANES * width, LANES, y + v * LANES, TURNED_ROWS, width, True)


cdef inline void turn_out(const real *x, Py_ssize_t count, Py_ssize_t width, real *y) noexcept nogil:
    """y (count, width) = the first rows of x (width, TURNED_ROWS), turned back."""
    cdef int v
    if count < TURNED_ROWS or not (width == 2 or width == 4 or width == 8):
        transpose(x, TURNED_ROWS, y, width, width, count)
        return
    for v in range(TURNED):
        vturn(x + v * LANES, TURNED_ROWS, y + v * LANES * width, LANES, width, False)


cdef inline forced turned_tile(
    const real *x, const real *w, const real *bias, bint rectifies, real *y, Py_ssize_t inputs, Py_ssize_t ld, int J,
) noexcept nogil:
    """J outputs of a layer, whose columns of weights start at `w`."""
    cdef vreal acc[8][TURNED]
    cdef vreal value[TURNED]
    cdef vreal weight
    cdef Py_ssize_t k
    cdef int j, v
    for j in range(J):
        for v in range(TURNED):
            acc[j][v] = vset1(0)
    for k in range(inputs):
        for v in range(TURNED):
            value[v] = vload(x + v * LANES)
        for j in range(J):
            weight = vset1(w[j])
            for v in range(TURNED):
                acc[j][v] = acc[j][v] + value[v] * weight
        x += TURNED_ROWS
        w += ld
    for j in range(J):
        for v in range(TURNED):
            if bias != NULL:
                acc[j][v] = acc[j][v] + vset1(bias[j])
            if rectifies:
                acc[j][v] = vmax(vset1(0), acc[j][v])
            vstore(y + j * TURNED_ROWS + v * LANES, acc[j][v])


cdef inline void turned_layer(const real *x, const real *parameters, Operation *op, real *y) noexcept nogil:
    """y (outputs, TURNED_ROWS) = the dense layer of x (inputs, TURNED_ROWS)."""
    cdef const real *w = parameters + op.weights
    cdef const real *bias = parameters + op.bias if op.bias >= 0 else NULL
    cdef Py_ssize_t left = op.outputs
    cdef int J
    while left > 0:
        J = 8 if left >= 8 and LANES == 16 else 4 if left >= 4 else 2 if left >= 2 else 1
        if J == 8:
            turned_tile(x, w, bias, op.rectifies, y, op.inputs, op.outputs, 8)
        elif J == 4:
            turned_tile(x, w, bias, op.rectifies, y, op.inputs, op.outputs, 4)
        elif J == 2:
            turned_tile(x, w, bias, op.rectifies, y, op.inputs, op.outputs, 2)
        else:
            turned_tile(x, w, bias, op.rectifies, y, op.inputs, op.outputs, 1)
        left -= J
        w += J
        y += J * TURNED_ROWS
        if bias != NULL:
            bias += J


cdef inline void predict_turned(
    Program *program, real **space, const real *x, Py_ssize_t rows, real *out,
) noexcept nogil:
    """out (rows, outputs) = the narrow network's output for x (rows, inputs). `space` has two buffers."""
    cdef Py_ssize_t outputs = program.sizes[program.output]
    cdef Py_ssize_t row, count
    cdef Operation *op
    cdef int k, at
    for row from 0 <= row < rows by TURNED_ROWS:
        count = min(<Py_ssize_t>TURNED_ROWS, rows - row)
        at = 0
        turn_in(x + row * program.sizes[0], count, program.sizes[0], space[at])
        for k in range(program.count):
            op = &program.ops[k]
            if op.kind == DENSE:
                turned_layer(space[at], program.parameters, op, space[1 - at])
                at = 1 - at
            elif op.kind == ACTIVATION and not op.done and op.activation != SOFTMAX:
                activation_run(op.activation, space[at], space[at], op.outputs * TURNED_ROWS)
        turn_out(space[at], count, outputs, out + row * outputs)
    op = &program.ops[program.count - 1]
    if op.kind == ACTIVATION and op.activation == SOFTMAX:
        softmax_run(out, out, rows, outputs)
