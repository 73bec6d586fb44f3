"""Matrix products, in register tiles.

A tile keeps R x V vectors of the result in registers and walks along the sum once: per term it loads V
vectors of B and broadcasts R elements of A. Each element of the result is one sum in one order (by
fused multiply-add where the machine has it), whatever tile it falls in; so the bits do not depend on
how the work is split between threads.

Nothing is packed here: most networks' matrices stay in the caches, and the rows of A, which in a shuffled batch
lie anywhere, are given by pointers. Matrices that do not are walked through in `panels`.
"""

from fastnet.backends.compiled.blocks cimport PIECES, Blocks, next_block
from fastnet.backends.compiled.simd cimport (
    LANES, NV, forced, real, vload, vload_n, vlt, vmax, vprefetch, vreal, vselect, vset1, vstore, vstore_n, vsum, vsums,
    vtranspose, vtranspose_edge, vtranspose_square, vzip_high, vzip_low,
)

cdef enum:
    FEW = 4         # most outputs for which turning the rows in registers pays, with vectors of 16
    AHEAD = 16      # lines of a wide matrix that are fetched before they are needed
    FAR = 1 << 19   # bytes of a matrix from which on it is read line by line for a single row

# ---- z = x W + b ------------------------------------------------------------------------------------

cdef struct Finish:
    # What becomes of a sum before it is stored: nothing comes by as cheaply as while it is in a register.
    const real *bias    # (columns,) added; or NULL
    bint rectifies      # relu
    const real *gate    # (N, columns) outputs of relu: times its slope there; or NULL


cdef inline Finish finish_with(const real *bias, bint rectifies, const real *gate) noexcept nogil:
    cdef Finish f
    f.bias, f.rectifies, f.gate = bias, rectifies, gate
    return f


cdef struct Lines:
    # The lines of B that a block needs, each with the block's columns of one term.
    const real *start
    Py_ssize_t stride       # between two lines
    Py_ssize_t term, end    # of the first line, and one past that of the last
    bint resumes            # c holds the sum of the terms before


cdef inline Lines lines_of(
    const real *start, Py_ssize_t stride, Py_ssize_t term, Py_ssize_t end, bint resumes
) noexcept nogil:
    cdef Lines b
    b.start, b.stride, b.term, b.end, b.resumes = start, stride, term, end, resumes
    return b


cdef inline vreal gated(vreal sum, vreal a) noexcept nogil:
    """sum times the slope of relu where its output is a."""
    return sum * vselect(vlt(vset1(0), a), vset1(1), vset1(0))


cdef inline forced forward_tile(
    const real **rows, const Lines *b, real *c, const Finish *finish, Py_ssize_t row, Py_ssize_t column,
    Py_ssize_t ld, Py_ssize_t tail, int R, int V, bint full, real *copy,
) noexcept nogil:
    """c[row + r][column + v] = sum over the terms k of rows[row + r][k] times line k of b; the last vector has `tail`
    lanes. Puts the lines, one after the other, into `copy`, unless that is NULL."""
    cdef vreal acc[6][8]
    cdef vreal line[8]
    cdef vreal element
    cdef const real *at = b.start
    cdef Py_ssize_t k
    cdef int r, v
    rows += row
    c += row * ld + column
    for r in range(R):
        for v in range(V):
            if not b.resumes:
                acc[r][v] = vset1(0)
            else:
                acc[r][v] = vload(c + r * ld + v * LANES) if full or v < V - 1 else vload_n(c + r * ld + v * LANES, tail)
    for k in range(b.term, b.end):
        for v in range(V):
            line[v] = vload(at + v * LANES) if full or v < V - 1 else vload_n(at + v * LANES, tail)
        if copy != NULL:  # lines that lie far apart: nobody else fetches them ahead
            for v in range(V):
                vprefetch(at + AHEAD * b.stride + v * LANES)
                vstore(copy + v * LANES, line[v])
            copy += V * LANES
        for r in range(R):
            element = vset1(rows[r][k])
            for v in range(V):
                acc[r][v] = acc[r][v] + element * line[v]
        at += b.stride
    if finish.bias != NULL:
        at = finish.bias + column
        for v in range(V):
            line[v] = vload(at + v * LANES) if full or v < V - 1 else vload_n(at + v * LANES, tail)
            for r in range(R):
                acc[r][v] = acc[r][v] + line[v]
    if finish.rectifies:
        for r in range(R):
            for v in range(V):
                acc[r][v] = vmax(vset1(0), acc[r][v])
    if finish.gate != NULL:
        at = finish.gate + row * ld + column
        for r in range(R):
            for v in range(V):
                line[v] = vload(at + v * LANES) if full or v < V - 1 else vload_n(at + v * LANES, tail)
                acc[r][v] = gated(acc[r][v], line[v])
            at += ld
    for r in range(R):
        for v in range(V):
            if full or v < V - 1:
                vstore(c + r * ld + v * LANES, acc[r][v])
            else:
                vstore_n(c + r * ld + v * LANES, acc[r][v], tail)


cdef inline forced forward_rows(
    const real **rows, const Lines *b, real *c, const Finish *finish, Blocks *at, Py_ssize_t ld, Py_ssize_t tail,
    int V, bint full,
) noexcept nogil:
    """The rows of one panel. Eight are two tiles of 4: a tile of 2 would wait for the cache, not for the sums."""
    cdef Py_ssize_t i = at.row
    while i + 6 <= at.row_end and at.row_end - i != 8:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 6, V, full, NULL)
        i += 6
    while i + 4 <= at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 4, V, full, NULL)
        i += 4
    if i + 2 <= at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 2, V, full, NULL)
        i += 2
    if i < at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 1, V, full, NULL)


cdef inline void forward_panel(
    const real **rows, const Lines *b, real *c, const Finish *finish, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of at most NV vectors across."""
    cdef Py_ssize_t width = at.column_end - at.column
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tail = width - (vectors - 1) * LANES
    if width == NV * LANES:
        forward_rows(rows, b, c, finish, at, ld, tail, NV, True)
    elif vectors == 1:
        forward_rows(rows, b, c, finish, at, ld, tail, 1, False)
    elif vectors == 2:
        forward_rows(rows, b, c, finish, at, ld, tail, 2, False)
    elif NV > 2 and vectors == 3:
        forward_rows(rows, b, c, finish, at, ld, tail, 3, False)
    elif NV > 2 and vectors == 4:
        forward_rows(rows, b, c, finish, at, ld, tail, 4, False)


cdef inline void forward_column(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """c[n] = rows[n] . b for a single output: lanes along the sum, where a tile would fill but one lane."""
    cdef vreal sums
    cdef real sum
    cdef Py_ssize_t whole = end - (end - term) % LANES
    cdef Py_ssize_t n, k
    for n in range(first, last):
        sums = vset1(0)
        for k from term <= k < whole by LANES:
            sums = sums + vload(rows[n] + k) * vload(b + k)
        if whole < end:
            sums = sums + vload_n(rows[n] + whole, end - whole) * vload_n(b + whole, end - whole)
        sum = vsum(sums)
        if finish.bias != NULL:
            sum += finish.bias[0]
        if finish.rectifies and sum < 0:  # NaN stays
            sum = 0
        if finish.gate != NULL:
            sum *= 1 if finish.gate[n] > 0 else 0
        c[n] = sum


cdef inline forced forward_few_rows(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, int outputs,
) noexcept nogil:
    """LANES rows of c (N, outputs) = rows b, lanes along the rows, whose values are turned in registers."""
    cdef vreal square[16]
    cdef vreal acc[FEW]
    cdef real lanes[FEW * LANES]
    cdef Py_ssize_t k, count
    cdef int i, j
    for j in range(outputs):
        acc[j] = vset1(0)
    for k from term <= k < end by LANES:
        count = end - k
        for i in range(LANES):
            square[i] = vload(rows[i] + k) if count >= LANES else vload_n(rows[i] + k, count)
        vtranspose(square)
        for i in range(LANES):
            if i < count:
                for j in range(outputs):
                    acc[j] = acc[j] + square[i] * vset1(b[(k + i) * outputs + j])
    for j in range(outputs):
        if finish.bias != NULL:
            acc[j] = acc[j] + vset1(finish.bias[j])
        if finish.rectifies:
            acc[j] = vmax(vset1(0), acc[j])
    if outputs == 2:
        vstore(c, vzip_low(acc[0], acc[1]))
        vstore(c + LANES, vzip_high(acc[0], acc[1]))
        return
    for j in range(outputs):
        vstore(&lanes[j * LANES], acc[j])
    for i in range(LANES):
        for j in range(outputs):
            c[i * outputs + j] = lanes[j * LANES + i]


cdef inline void forward_few(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    Blocks *at,
) noexcept nogil:
    """As many rows of a block with at most FEW outputs as make whole vectors: a tile's only vector would be mostly
    empty. The sums have the same order as there."""
    while at.row + LANES <= at.row_end:
        if ld == 2:
            forward_few_rows(rows + at.row, b, c + at.row * ld, finish, term, end, 2)
        elif ld == 3:
            forward_few_rows(rows + at.row, b, c + at.row * ld, finish, term, end, 3)
        else:
            forward_few_rows(rows + at.row, b, c + at.row * ld, finish, term, end, 4)
        at.row += LANES


cdef inline void forward_block(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    Blocks *at,
) noexcept nogil:
    """One block of c = rows b, from the terms term .. end; b (I, ld), c (N, ld)."""
    cdef Lines lines = lines_of(b + term * ld + at.column, ld, term, end, False)
    cdef Blocks rest = at[0]
    if ld == 1:
        forward_column(rows, b, c, finish, term, end, at.row, at.row_end)
        return
    if LANES == 16 and ld <= FEW and at.row + LANES <= at.row_end and at.column_end - at.column == ld:
        forward_few(rows, b, c, finish, term, end, ld, &rest)
    forward_panel(rows, &lines, c, finish, ld, &rest)


cdef inline void forward_single(
    const real *x, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """Columns first .. last, whole vectors, of c = x b for a single row x and a matrix that comes from far away: eight
    lines at a time, from end to end, with the next eight under way. The sums have the same order as in a tile."""
    cdef vreal sums
    cdef vreal element[8]
    cdef const real *line
    cdef Py_ssize_t k, o
    cdef int i, lines
    k = term
    while True:
        lines = <int>min(<Py_ssize_t>8, end - k)
        for i in range(8):
            element[i] = vset1(x[k + i] if i < lines else 0)
        for o from first <= o < last by LANES:
            sums = vload(c + o) if k > term else vset1(0)
            line = b + k * ld + o
            if lines == 8:
                for i in range(8):
                    sums = sums + element[i] * vload(line + i * ld)
            else:
                for i in range(lines):
                    sums = sums + element[i] * vload(line + i * ld)
            if k + lines == end:
                if finish.bias != NULL:
                    sums = sums + vload(finish.bias + o)
                if finish.rectifies:
                    sums = vmax(vset1(0), sums)
            vstore(c + o, sums)
        k += lines
        if k == end:
            return


cdef inline void forward_blocks(
    const real **rows, Py_ssize_t count, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end,
    Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """All of this thread's blocks, for a batch of `count` rows. A single one has twice as wide panels, so that b is read
    in longer runs and more sums are under way."""
    cdef Py_ssize_t wide = 8 * LANES
    cdef Py_ssize_t whole
    cdef Lines lines
    if count == 1 and at.row < at.row_end and (end - term) * ld >= FAR // <Py_ssize_t>sizeof(real):
        whole = at.last - (at.last - at.column_end) % LANES
        forward_single(rows[0], b, c, finish, term, end, ld, at.column_end, whole)
        at.column_end = whole
    while count == 1 and at.row < at.row_end and at.column_end + wide <= at.last:
        lines = lines_of(b + term * ld + at.column_end, ld, term, end, False)
        forward_tile(rows, &lines, c, finish, 0, at.column_end, ld, LANES, 1, 8, True, NULL)
        at.column_end += wide
    while next_block(at):
        forward_block(rows, b, c, finish, term, end, ld, at)


# ---- dW = x^T dz ------------------------------------------------------------------------------------

cdef inline forced weights_tile(
    const real **rows, const real *d_z, Py_ssize_t stride, real *result, real rate,
    Py_ssize_t terms, Py_ssize_t first, Py_ssize_t ld, Py_ssize_t tail, int R, int V, bint full, bint fused, bint resumes,
) noexcept nogil:
    """result[r][v] = sum over n of rows[n][first + r] d_z[n][v], or, fused, -= rate times that sum. The rows of d_z are
    `stride` apart, those of the result `ld`. With `resumes` the sum goes on from what is there."""
    cdef vreal acc[6][8]
    cdef vreal line[8]
    cdef vreal element
    cdef const real *x
    cdef Py_ssize_t n
    cdef int r, v
    for r in range(R):
        for v in range(V):
            if not resumes:
                acc[r][v] = vset1(0)
            else:
                acc[r][v] = (
                    vload(result + r * ld + v * LANES) if full or v < V - 1 else vload_n(result + r * ld + v * LANES, tail)
                )
    if stride != ld:  # wide: the result is far away
        for r in range(R):
            for v in range(V):
                vprefetch(result + r * ld + v * LANES)
    for n in range(terms):
        x = rows[n] + first
        for v in range(V):
            line[v] = vload(d_z + v * LANES) if full or v < V - 1 else vload_n(d_z + v * LANES, tail)
        for r in range(R):
            element = vset1(x[r])
            for v in range(V):
                acc[r][v] = acc[r][v] + element * line[v]
        d_z += stride
    for r in range(R):
        for v in range(V):
            if full or v < V - 1:
                if fused:
                    acc[r][v] = vload(result + r * ld + v * LANES) - vset1(rate) * acc[r][v]
                vstore(result + r * ld + v * LANES, acc[r][v])
            else:
                if fused:
                    acc[r][v] = vload_n(result + r * ld + v * LANES, tail) - vset1(rate) * acc[r][v]
                vstore_n(result + r * ld + v * LANES, acc[r][v], tail)


cdef inline forced weights_rows(
    const real **rows, const real *d_z, Py_ssize_t stride, real *result, real rate,
    Py_ssize_t terms, Py_ssize_t first, Py_ssize_t last, Py_ssize_t ld, Py_ssize_t tail, int V, bint full, bint fused,
    bint resumes,
) noexcept nogil:
    """Inputs first .. last of one panel."""
    cdef Py_ssize_t i = first
    while i + 6 <= last and last - i != 8:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 6, V, full, fused, resumes)
        i += 6
    while i + 4 <= last:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 4, V, full, fused, resumes)
        i += 4
    if i + 2 <= last:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 2, V, full, fused, resumes)
        i += 2
    if i < last:
        weights_tile(rows, d_z, stride, result + i * ld, rate, terms, i, ld, tail, 1, V, full, fused, resumes)


cdef inline void weights_column(
    const real **rows, const real *d_z, real *d_weights, Py_ssize_t terms, Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """d_weights[i] = sum over n of rows[n][i] d_z[n] for a single output: lanes along the inputs."""
    cdef vreal sums
    cdef Py_ssize_t i = first
    cdef Py_ssize_t n
    while i + LANES <= last:
        sums = vset1(0)
        for n in range(terms):
            sums = sums + vload(rows[n] + i) * vset1(d_z[n])
        vstore(d_weights + i, sums)
        i += LANES
    if i < last:
        sums = vset1(0)
        for n in range(terms):
            sums = sums + vload_n(rows[n] + i, last - i) * vset1(d_z[n])
        vstore_n(d_weights + i, sums, last - i)


cdef inline forced weights_panel(
    const real **rows, const real *d_z, Py_ssize_t stride, real *result, real rate, Py_ssize_t terms, Py_ssize_t ld,
    Blocks *at, bint fused, bint resumes,
) noexcept nogil:
    """One block of at most NV vectors across, whose columns of d_z start at `d_z`."""
    cdef Py_ssize_t width = at.column_end - at.column
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tail = width - (vectors - 1) * LANES
    result += at.column
    if width == NV * LANES:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, NV, True, fused, resumes)
    elif vectors == 1:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 1, False, fused, resumes)
    elif vectors == 2:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 2, False, fused, resumes)
    elif NV > 2 and vectors == 3:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 3, False, fused, resumes)
    elif NV > 2 and vectors == 4:
        weights_rows(rows, d_z, stride, result, rate, terms, at.row, at.row_end, ld, tail, 4, False, fused, resumes)


cdef inline void weights_block(
    const real **rows, const real *d_z, Py_ssize_t stride, real *d_weights, Py_ssize_t terms, Py_ssize_t ld, Blocks *at,
    bint resumes,
) noexcept nogil:
    """One block of d_weights (I, ld) = rows^T d_z, whose columns of d_z start at `d_z`, rows `stride` apart; with
    `resumes`, += (only where ld > 1)."""
    if ld == 1:
        weights_column(rows, d_z, d_weights, terms, at.row, at.row_end)
    else:
        weights_panel(rows, d_z, stride, d_weights, 0, terms, ld, at, False, resumes)


cdef inline void descend_block(
    const real **rows, const real *d_z, Py_ssize_t stride, real *weights, real rate, Py_ssize_t terms, Py_ssize_t ld,
    Blocks *at,
) noexcept nogil:
    """One block of weights (I, ld) -= rate rows^T d_z, where ld > 1: the gradient never leaves the registers."""
    weights_panel(rows, d_z, stride, weights, rate, terms, ld, at, True, False)


cdef inline forced descend_row_tile(
    const real *x, const real *d_z, real *weights, real rate, const real *next, real *z,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld, Py_ssize_t tail, int V, bint full, bint ahead,
) noexcept nogil:
    """Rows term .. end of weights -= rate x^T d_z, for a single row x; with `ahead`, z = the sum of these rows, each times
    its `next`."""
    cdef vreal acc[8]
    cdef vreal slope[8]
    cdef vreal line, element
    cdef vreal then = vset1(0)
    cdef Py_ssize_t k
    cdef int v
    weights += term * ld
    for v in range(V):
        acc[v] = vset1(0)
        slope[v] = vload(d_z + v * LANES) if full or v < V - 1 else vload_n(d_z + v * LANES, tail)
    for k in range(term, end):
        element = vset1(x[k])
        if ahead:
            then = vset1(next[k])
        for v in range(V):
            line = vload(weights + v * LANES) if full or v < V - 1 else vload_n(weights + v * LANES, tail)
            line = line - vset1(rate) * (element * slope[v])
            if full or v < V - 1:
                vstore(weights + v * LANES, line)
            else:
                vstore_n(weights + v * LANES, line, tail)
            if ahead:
                acc[v] = acc[v] + then * line
        weights += ld
    for v in range(V if ahead else 0):
        if full or v < V - 1:
            vstore(z + v * LANES, acc[v])
        else:
            vstore_n(z + v * LANES, acc[v], tail)


cdef inline forced descend_row_columns(
    const real *x, const real *d_z, real *w, real rate, const real *next, real *z,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld, Py_ssize_t column, Py_ssize_t last, bint ahead,
) noexcept nogil:
    cdef Py_ssize_t vectors, tail
    while column + 2 * NV * LANES <= last:
        descend_row_tile(x, d_z + column, w + column, rate, next, z + column, term, end, ld, 0, 2 * NV, True, ahead)
        column += 2 * NV * LANES
    while column < last:
        vectors = min(<Py_ssize_t>NV, (last - column + LANES - 1) // LANES)
        tail = min(<Py_ssize_t>LANES, last - column - (vectors - 1) * LANES)
        if vectors == 1:
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
    at.column_end = at.last


cdef inline void descend_ahead(
    const real *x, const real *d_z, real *weights, real rate, const real *next, real *z,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
) noexcept nogil:
    """The same for rows term .. end of the weights, and their part of the next batch's forward product, z (ld,): so
    weights are read once for both."""
    descend_row_columns(x, d_z, weights, rate, next, z, term, end, ld, 0, ld, True)


cdef inline void bias_block(
    const real *d_z, real *d_bias, Py_ssize_t terms, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of d_bias[o] = sum over n of d_z[n][o]."""
    cdef Py_ssize_t o = at.column
    cdef Py_ssize_t n
    cdef vreal total
    while o + LANES <= at.column_end:
        total = vset1(0)
        for n in range(terms):
            total = total + vload(d_z + n * ld + o)
        vstore(d_bias + o, total)
        o += LANES
    if o < at.column_end:
        total = vset1(0)
        for n in range(terms):
            total = total + vload_n(d_z + n * ld + o, at.column_end - o)
        vstore_n(d_bias + o, total, at.column_end - o)


# ---- dx = dz W^T for few rows -----------------------------------------------------------------------

cdef inline bint few_rows(Py_ssize_t count, Py_ssize_t outputs) noexcept nogil:
    """Whether sums along the rows of W cost less than turning it: about 3 cycles for each input and row of
    the batch, against 0.3 for each weight. More than some rows would read W from a farther cache too often."""
    return count <= 4 and count * 9 <= outputs


cdef inline void input_block(
    const real **rows, const real *w, real *d_x, const real *gate, Py_ssize_t inputs, Py_ssize_t outputs, Blocks *at,
) noexcept nogil:
    """One block of d_x[n][i] = rows[n] . w[i], lanes along the sum; LANES inputs at a time. `gate` as in `Finish`."""
    cdef vreal acc[16]
    cdef vreal d_z, sums
    cdef const real *line[16]
    cdef Py_ssize_t whole = outputs - outputs % LANES
    cdef Py_ssize_t i, n, j, left
    cdef int r
    for i from at.column <= i < at.column_end by LANES:
        left = min(<Py_ssize_t>LANES, at.column_end - i)
        for r in range(LANES):
            line[r] = w + (i + min(<Py_ssize_t>r, left - 1)) * outputs  # the last one again, beyond the end
        for n in range(at.row, at.row_end):
            for r in range(LANES):
                acc[r] = vset1(0)
            for j from 0 <= j < whole by LANES:
                d_z = vload(rows[n] + j)
                for r in range(LANES):
                    acc[r] = acc[r] + vload(line[r] + j) * d_z
            if whole < outputs:
                d_z = vload_n(rows[n] + whole, outputs - whole)
                for r in range(LANES):
                    acc[r] = acc[r] + vload_n(line[r] + whole, outputs - whole) * d_z
            sums = vsums(acc)
            if gate != NULL:
                sums = gated(sums, vload_n(gate + n * inputs + i, left))
            vstore_n(d_x + n * inputs + i, sums, left)


# ---- a matrix turned: dx = dz W^T for many rows is a forward product with it ------------------------

cdef inline void transpose(
    const real *w, Py_ssize_t ld, real *turned, Py_ssize_t ld_turned, Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """turned[j][i] = w[i][j] for `rows` rows and `columns` columns of w, which lie ld and ld_turned apart.

    In squares of vectors, which at the edges are not full.
    """
    cdef Py_ssize_t i, j
    cdef int k
    for i from 0 <= i < rows by LANES:
        for j from 0 <= j < columns by LANES:
            if rows - i < LANES or columns - j < LANES:
                vtranspose_edge(
                    w + i * ld + j, ld, turned + j * ld_turned + i, ld_turned, min(<Py_ssize_t>LANES, rows - i),
                    min(<Py_ssize_t>LANES, columns - j),
                )
                continue
            for k in range(LANES):
                vprefetch(w + (i + k) * ld + j + AHEAD * LANES)
            vtranspose_square(w + i * ld + j, ld, turned + j * ld_turned + i, ld_turned)


# ---- long sums, from their pieces -------------------------------------------------------------------

cdef inline void add_pieces(
    const real *pieces, Py_ssize_t stride, real *c, const Finish *finish, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of c = the sum of PIECES matrices, (N, ld) each, which start `stride` apart."""
    cdef Py_ssize_t n, j, k, count
    cdef vreal sums
    cdef int piece
    for n in range(at.row, at.row_end):
        for j from at.column <= j < at.column_end by LANES:
            count = min(<Py_ssize_t>LANES, at.column_end - j)
            k = n * ld + j
            sums = vload_n(pieces + k, count)
            for piece in range(1, PIECES):
                sums = sums + vload_n(pieces + piece * stride + k, count)
            if finish.bias != NULL:
                sums = sums + vload_n(finish.bias + j, count)
            if finish.rectifies:
                sums = vmax(vset1(0), sums)
            vstore_n(c + k, sums, count)
