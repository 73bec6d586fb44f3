"""The products of the backward pass: gradients of weights, bias and input, and plain descent within them."""

from fastnet.backends.compiled.blocks cimport Blocks
from fastnet.backends.compiled.gemm cimport gated
from fastnet.backends.compiled.simd cimport (
    HALF, LANES, NV, VECTOR_BYTES, forced, hload_n, hreal, hset1, real, single, vload, vload_n, vlow, vprefetch, vreal,
    vset1, vstore, vstore_n, vsums, vwide,
)

cdef enum Start:
    ANEW        # a sum starts at zero,
    GOES_ON     # from what is there,
    ADDS        # or at zero, and is then added to what is there

# ---- dW = x^T dz ------------------------------------------------------------------------------------

cdef inline forced weights_tile(
    const real **rows, const real *d_z, Py_ssize_t stride, real *result, real rate,
    Py_ssize_t terms, Py_ssize_t first, Py_ssize_t ld, Py_ssize_t tail, int R, int V, bint full, bint half, bint fused,
    Start start,
) noexcept nogil:
    """result[r][v] = sum over n of rows[n][first + r] d_z[n][v], or, fused, -= rate times that sum. The rows of d_z are
    `stride` apart, those of the result `ld`. The last vector is a `half` one where its lanes are so few."""
    cdef vreal acc[6][8]
    cdef vreal line[8]
    cdef vreal element
    cdef hreal ends[6]
    cdef hreal end
    cdef int W = V - 1 if half else V
    cdef const real *x
    cdef Py_ssize_t n
    cdef int r, v
    for r in range(R):
        for v in range(V):
            if start != GOES_ON:
                acc[r][v] = vset1(0)
            else:
                acc[r][v] = (
                    vload(result + r * ld + v * LANES) if full or v < V - 1 else vload_n(result + r * ld + v * LANES, tail)
                )
    if stride != ld:  # wide: the result is far away
        for r in range(R):
            for v in range(V):
                vprefetch(result + r * ld + v * LANES)
    if half:
        for r in range(R):
            ends[r] = vlow(acc[r][V - 1])
    for n in range(terms):
        x = rows[n] + first
        for v in range(W):
            line[v] = vload(d_z + v * LANES) if full or v < V - 1 else vload_n(d_z + v * LANES, tail)
        if half:
            end = hload_n(d_z + W * LANES, tail)
        for r in range(R):
            element = vset1(x[r])
            for v in range(W):
                acc[r][v] = acc[r][v] + element * line[v]
            if half:
                ends[r] = ends[r] + hset1(x[r]) * end
        d_z += stride
    if half:
        for r in range(R):
            acc[r][V - 1] = vwide(ends[r])
    if start == ADDS:
        for r in range(R):
            for v in range(V):
                line[v] = (
                    vload(result + r * ld + v * LANES) if full or v < V - 1 else vload_n(result + r * ld + v * LANES, tail)
                )
                acc[r][v] = line[v] + acc[r][v]
    for r in range(R if fused and not full else 0):  # before the first is stored: see `descend_row_tile`
        for v in range(V):
            if full or v < V - 1:
                acc[r][v] = vload(result + r * ld + v * LANES) - vset1(rate) * acc[r][v]
            else:
                acc[r][v] = vload_n(result + r * ld + v * LANES, tail) - vset1(rate) * acc[r][v]
    for r in range(R):
        for v in range(V):
            if fused and full:
                acc[r][v] = vload(result + r * ld + v * LANES) - vset1(rate) * acc[r][v]
            if full or v < V - 1:
                vstore(result + r * ld + v * LANES, acc[r][v])
            else:
                vstore_n(result + r * ld + v * LANES, acc[r][v], tail)


cdef inline forced weights_rows(
    const real **rows, const real *d_z, Py_ssize_t stride, real *result, real rate,
    Py_ssize_t terms, Py_ssize_t first, Py_ssize_t last, Py_ssize_t ld, Py_ssize_t tail, int V, bint full, bint half,
    bint fused, Start start,
) noexcept nogil:
    """Inputs first .. last of one panel."""
    cdef Py_ssize_t i = first
    while i + 6 <= last and last - i != 8:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 6, V, full, half, fused, start)
        i += 6
    while i + 4 <= last:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 4, V, full, half, fused, start)
        i += 4
    if i + 2 <= last:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 2, V, full, half, fused, start)
        i += 2
    if i < last:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 1, V, full, half, fused, start)


cdef inline void weights_column(
    const real **rows, const real *d_z, real *d_weights, Py_ssize_t terms, Py_ssize_t first, Py_ssize_t last, bint adds,
) noexcept nogil:
    """d_weights[i] = sum over n of rows[n][i] d_z[n] for a single output: lanes along the inputs."""
    cdef vreal sums
    cdef Py_ssize_t i = first
    cdef Py_ssize_t n
    while i + LANES <= last:
        sums = vset1(0)
        for n in range(terms):
            sums = sums + vload(rows[n] + i) * vset1(d_z[n])
        if adds:
            sums = vload(d_weights + i) + sums
        vstore(d_weights + i, sums)
        i += LANES
    if i < last:
        sums = vset1(0)
        for n in range(terms):
            sums = sums + vload_n(rows[n] + i, last - i) * vset1(d_z[n])
        if adds:
            sums = vload_n(d_weights + i, last - i) + sums
        vstore_n(d_weights + i, sums, last - i)


cdef inline forced weights_panel(
    const real **rows, const real *d_z, Py_ssize_t stride, real *result, real rate, Py_ssize_t terms, Py_ssize_t ld,
    Blocks *at, bint fused, Start start,
) noexcept nogil:
    """One block of at most NV vectors across, whose columns of d_z start at `d_z`."""
    cdef Py_ssize_t width = at.column_end - at.column
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tail = width - (vectors - 1) * LANES
    cdef bint few = HALF > 0 and tail <= HALF
    result += at.column
    if width == NV * LANES:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, NV, True, False, fused, start)
    elif vectors == 1 and tail == LANES:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 1, True, False, fused, start)
    elif NV > 2 and vectors == 2 and tail == LANES:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 2, True, False, fused, start)
    elif vectors == 1 and few:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 1, False, True, fused, start)
    elif vectors == 1:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 1, False, False, fused, start)
    elif vectors == 2 and few:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 2, False, True, fused, start)
    elif vectors == 2:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 2, False, False, fused, start)
    elif NV > 2 and vectors == 3 and few:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 3, False, True, fused, start)
    elif NV > 2 and vectors == 3:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 3, False, False, fused, start)
    elif NV > 2 and vectors == 4 and few:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 4, False, True, fused, start)
    elif NV > 2 and vectors == 4:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 4, False, False, fused, start)


cdef inline single weights_block(
    const real **rows, const real *d_z, Py_ssize_t stride, real *d_weights, Py_ssize_t terms, Py_ssize_t ld, Blocks *at,
    Start start,
) noexcept nogil:
    """One block of d_weights (I, ld) = rows^T d_z, whose columns of d_z start at `d_z`, rows `stride` apart. A single
    column does not go on."""
    if ld == 1:
        weights_column(rows, d_z, d_weights, terms, at.row, at.row_end, start == ADDS)
    else:
        weights_panel(rows, d_z, stride, d_weights, 0, terms, ld, at, False, start)


cdef inline void descend_block(
    const real **rows, const real *d_z, Py_ssize_t stride, real *weights, real rate, Py_ssize_t terms, Py_ssize_t ld,
    Blocks *at,
) noexcept nogil:
    """One block of weights (I, ld) -= rate rows^T d_z, where ld > 1: the gradient never leaves the registers."""
    weights_panel(rows, d_z, stride, weights, rate, terms, ld, at, True, ANEW)


cdef inline forced descend_row_tile(
    const real *x, const real *d_z, real *weights, real rate, const real *next, real *z,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld, Py_ssize_t tail, int V, bint full, bint ahead,
) noexcept nogil:
    """Rows term .. end of weights -= rate x^T d_z, for a single row x; with `ahead`, z = the sum of these rows, each times
    its `next`."""
    cdef vreal acc[8]
    cdef vreal slope[8]
    cdef vreal line, element
    # A masked store of AVX-512 holds up loads of all 64 bytes that it reaches over until it is in the cache. So the first
    # vector of the next row is read before the last one of this row is stored.
    cdef bint early = VECTOR_BYTES == 64 and not full
    cdef vreal following = vset1(0)
    cdef vreal then = vset1(0)
    cdef Py_ssize_t k
    cdef int v
    weights += term * ld
    if early:
        following = vload(weights) if V > 1 else vload_n(weights, tail)
    for v in range(V):
        acc[v] = vset1(0)
        slope[v] = vload(d_z + v * LANES) if full or v < V - 1 else vload_n(d_z + v * LANES, tail)
    for k in range(term, end):
        element = vset1(x[k])
        if ahead:
            then = vset1(next[k])
        for v in range(V):
            if early and v == 0:
                line = following
            else:
                line = vload(weights + v * LANES) if full or v < V - 1 else vload_n(weights + v * LANES, tail)
            line = line - vset1(rate) * (element * slope[v] + vset1(0))  # a sum as in a tile: 0 + -0 is 0
            if full or v < V - 1:
                vstore(weights + v * LANES, line)
            else:
                if early and k + 1 < end:
                    following = vload(weights + ld) if V > 1 else vload_n(weights + ld, tail)
                vstore_n(weights + v * LANES, line, tail)
            if ahead:
                acc[v] = acc[v] + then * line
        weights += ld
    for v in range(V if ahead else 0):
        if full or v < V - 1:
            vstore(z + v * LANES, acc[v])
        else:
            vstore_n(z + v * LANES, acc[v], tail)


cdef inline void descend_row_few(
    const real *x, const real *d_z, real *weights, real rate, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    Py_ssize_t columns,
) noexcept nogil:
    """The same for so few columns that a masked vector reaches over several rows, which would wait for one another."""
    cdef Py_ssize_t j, k
    for j in range(columns):
        for k in range(term, end):
            weights[k * ld + j] -= rate * (x[k] * d_z[j] + <real>0)


cdef inline forced descend_row_columns(
    const real *x, const real *d_z, real *w, real rate, const real *next, real *z,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld, Py_ssize_t column, Py_ssize_t last, bint ahead,
) noexcept nogil:
    """The columns from `column` to `last`, in tiles as wide as they come."""
    cdef Py_ssize_t vectors, tail
    while column + 2 * NV * LANES <= last:
        descend_row_tile(x, d_z + column, w + column, rate, next, z + column, term, end, ld, 0, 2 * NV, True, ahead)
        column += 2 * NV * LANES
    while column < last:
        vectors = min(<Py_ssize_t>NV, (last - column + LANES - 1) // LANES)
        tail = min(<Py_ssize_t>LANES, last - column - (vectors - 1) * LANES)
        if vectors == 1 and tail < LANES // 2 and not ahead:
            descend_row_few(x, d_z + column, w + column, rate, term, end, ld, tail)
        elif vectors == 1:
            descend_row_tile(x, d_z + column, w + column, rate, next, z + column, term, end, ld, tail, 1, False, ahead)
        elif vectors == 2:
            descend_row_tile(x, d_z + column, w + column, rate, next, z + column, term, end, ld, tail, 2, False, ahead)
        elif NV > 2 and vectors == 3:
            descend_row_tile(x, d_z + column, w + column, rate, next, z + column, term, end, ld, tail, 3, False, ahead)
        elif NV > 2 and vectors == 4:
            descend_row_tile(x, d_z + column, w + column, rate, next, z + column, term, end, ld, tail, 4, False, ahead)
        column += vectors * LANES


cdef inline void descend_row(
    const real *x, const real *d_z, real *weights, real rate, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """Plain descent of all of this thread's blocks of weights (I, ld), for a batch of the single row x."""
    descend_row_columns(x, d_z, weights, rate, NULL, NULL, at.row, at.row_end, ld, at.column_end, at.last, False)


cdef inline void descend_ahead(
    const real *x, const real *d_z, real *weights, real rate, const real *next, real *z,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
) noexcept nogil:
    """The same for rows term .. end of the weights, and their part of the next batch's forward product, z (ld,): so
    weights are read once for both."""
    descend_row_columns(x, d_z, weights, rate, next, z, term, end, ld, 0, ld, True)


cdef inline void bias_block(
    const real *d_z, real *d_bias, Py_ssize_t terms, Py_ssize_t ld, Blocks *at, bint adds,
) noexcept nogil:
    """One block of d_bias[o] = sum over n of d_z[n][o]; with `adds`, it is added to what is there."""
    cdef Py_ssize_t o = at.column
    cdef Py_ssize_t n
    cdef vreal total
    while o + LANES <= at.column_end:
        total = vset1(0)
        for n in range(terms):
            total = total + vload(d_z + n * ld + o)
        if adds:
            total = vload(d_bias + o) + total
        vstore(d_bias + o, total)
        o += LANES
    if o < at.column_end:
        total = vset1(0)
        for n in range(terms):
            total = total + vload_n(d_z + n * ld + o, at.column_end - o)
        if adds:
            total = vload_n(d_bias + o, at.column_end - o) + total
        vstore_n(d_bias + o, total, at.column_end - o)


# ---- dx = dz W^T for few rows -----------------------------------------------------------------------

cdef inline bint few_rows(Py_ssize_t count, Py_ssize_t outputs) noexcept nogil:
    """Whether sums along the rows of W cost less than turning it: about 3 cycles for each input and row of
    the batch, against 0.3 for each weight. More than some rows would read W from a farther cache too often."""
    return count <= 4 and count * 9 <= outputs


cdef inline void input_block(
    const real **rows, const real *w, real *d_x, const real *gate, Py_ssize_t inputs, Py_ssize_t outputs, Blocks *at,
) noexcept nogil:
    """One block of d_x[n][i] = rows[n] . w[i], lanes along the sum; some inputs at a time. `gate` as in `Finish`."""
    cdef int groups = 2 if VECTOR_BYTES == 16 else 1  # of sums: with four alone, each addition waits for the one before
    cdef int count = groups * LANES
    cdef vreal acc[16]
    cdef vreal d_z, sums
    cdef const real *line[16]
    cdef Py_ssize_t whole = outputs - outputs % LANES
    cdef Py_ssize_t i, n, j, o, left
    cdef int r
    for i from at.column <= i < at.column_end by count:
        left = min(<Py_ssize_t>count, at.column_end - i)
        for r in range(count):
            line[r] = w + (i + min(<Py_ssize_t>r, left - 1)) * outputs  # the last one again, beyond the end
        for n in range(at.row, at.row_end):
            for r in range(count):
                acc[r] = vset1(0)
            for j from 0 <= j < whole by LANES:
                d_z = vload(rows[n] + j)
                for r in range(count):
                    acc[r] = acc[r] + vload(line[r] + j) * d_z
            if whole < outputs:
                d_z = vload_n(rows[n] + whole, outputs - whole)
                for r in range(count):
                    acc[r] = acc[r] + vload_n(line[r] + whole, outputs - whole) * d_z
            for r in range(groups):
                o = i + r * LANES
                if o < at.column_end:
                    sums = vsums(acc + r * LANES)
                    if gate != NULL:
                        sums = gated(sums, vload_n(gate + n * inputs + o, min(<Py_ssize_t>LANES, at.column_end - o)))
                    vstore_n(d_x + n * inputs + o, sums, min(<Py_ssize_t>LANES, at.column_end - o))
