"""Forward products, in register tiles; `gradients` has the others.

A tile keeps R x V vectors of the result in registers and walks along the sum once: per term it loads V
vectors of B and broadcasts R elements of A. Each element of the result is one sum in one order (by
fused multiply-add where the machine has it), whatever tile it falls in, or, where callers make it in
pieces, one such sum for each; so the bits do not depend on how the work is split between threads.

Nothing is packed here: most networks' matrices stay in the caches, and the rows of A, which in a shuffled batch
lie anywhere, are given by pointers. Matrices that do not are walked through in `panels`.
"""

from fastnet.backends.compiled.blocks cimport Blocks, next_block
from fastnet.backends.compiled.simd cimport (
    HALF, LANES, NV, forced, hload_n, hreal, hset1, real, single, vload, vload_n, vlow, vlt, vmax, vprefetch, vreal,
    vselect, vset1, vstore, vstore_n, vsum, vsums, vtranspose, vwide, vzip_high, vzip_low,
)

cdef enum:
    FEW = 4             # most outputs for which turning the rows in registers pays, with vectors of 16
    AHEAD = 16          # lines of a wide matrix that are fetched before they are needed
    STREAMED = 1 << 17  # bytes of a matrix from which on it is read line by line for a single row,
    LONG_LINE = 2048    # and of one line
    ACROSS = 4          # vectors of such a line that are taken at a time

# ---- z = x W + b ------------------------------------------------------------------------------------

cdef struct Finish:
    # What becomes of a sum before it is stored: nothing comes by as cheaply as while it is in a register.
    const real *bias    # (columns,) added; or NULL
    bint rectifies      # relu
    const real *gate    # (N, columns) outputs of relu: times its slope there; or NULL, as in all forward products


cdef inline Finish finish_with(const real *bias, bint rectifies, const real *gate) noexcept nogil:
    cdef Finish f
    f.bias, f.rectifies, f.gate = bias, rectifies, gate
    return f


cdef struct Lines:
    # The lines of B that a block needs, each with the block's columns of one term.
    const real *start
    Py_ssize_t stride       # between two lines
    Py_ssize_t term, end    # of the first line, and one past that of the last
    bint resumes            # c holds the sum of the terms before, to which this one is added


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
    Py_ssize_t ld, Py_ssize_t tail, int R, int V, bint full, bint half, real *copy,
) noexcept nogil:
    """c[row + r][column + v] = sum over the terms k of rows[row + r][k] times line k of b; the last vector has `tail`
    lanes, and is a `half` one where they are so few. Gathers the lines in `copy`, unless that is NULL."""
    cdef vreal acc[6][8]
    cdef vreal line[8]
    cdef vreal element
    cdef hreal ends[6]
    cdef hreal end
    cdef int W = V - 1 if half else V
    cdef const real *at = b.start
    cdef Py_ssize_t k
    cdef int r, v
    rows += row
    c += row * ld + column
    for r in range(R):
        for v in range(V):
            acc[r][v] = vset1(0)
    if half:
        for r in range(R):
            ends[r] = vlow(acc[r][V - 1])
    for k in range(b.term, b.end):
        for v in range(W):
            line[v] = vload(at + v * LANES) if full or v < V - 1 else vload_n(at + v * LANES, tail)
        if copy != NULL:  # lines that lie far apart: nobody else fetches them ahead
            for v in range(V):
                vprefetch(at + AHEAD * b.stride + v * LANES)
                vstore(copy + v * LANES, line[v])
            copy += V * LANES
        if half:
            end = hload_n(at + W * LANES, tail)
        for r in range(R):
            element = vset1(rows[r][k])
            for v in range(W):
                acc[r][v] = acc[r][v] + element * line[v]
            if half:
                ends[r] = ends[r] + hset1(rows[r][k]) * end
        at += b.stride
    if half:
        for r in range(R):
            acc[r][V - 1] = vwide(ends[r])
    if b.resumes:
        for r in range(R):
            for v in range(V):
                line[v] = vload(c + r * ld + v * LANES) if full or v < V - 1 else vload_n(c + r * ld + v * LANES, tail)
                acc[r][v] = line[v] + acc[r][v]
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
    int V, bint full, bint half,
) noexcept nogil:
    """The rows of one panel. Eight are two tiles of 4: a tile of 2 would wait for the cache, not for the sums."""
    cdef Py_ssize_t i = at.row
    while i + 6 <= at.row_end and at.row_end - i != 8:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 6, V, full, half, NULL)
        i += 6
    while i + 4 <= at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 4, V, full, half, NULL)
        i += 4
    if i + 2 <= at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 2, V, full, half, NULL)
        i += 2
    if i < at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, ld, tail, 1, V, full, half, NULL)


cdef inline void forward_panel(
    const real **rows, const Lines *b, real *c, const Finish *finish, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of at most NV vectors across."""
    cdef Py_ssize_t width = at.column_end - at.column
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tail = width - (vectors - 1) * LANES
    cdef bint few = HALF > 0 and tail <= HALF
    if width == NV * LANES:
        forward_rows(rows, b, c, finish, at, ld, tail, NV, True, False)
    elif vectors == 1 and tail == LANES:
        forward_rows(rows, b, c, finish, at, ld, tail, 1, True, False)
    elif NV > 2 and vectors == 2 and tail == LANES:
        forward_rows(rows, b, c, finish, at, ld, tail, 2, True, False)
    elif vectors == 1 and few:
        forward_rows(rows, b, c, finish, at, ld, tail, 1, False, True)
    elif vectors == 1:
        forward_rows(rows, b, c, finish, at, ld, tail, 1, False, False)
    elif vectors == 2 and few:
        forward_rows(rows, b, c, finish, at, ld, tail, 2, False, True)
    elif vectors == 2:
        forward_rows(rows, b, c, finish, at, ld, tail, 2, False, False)
    elif NV > 2 and vectors == 3 and few:
        forward_rows(rows, b, c, finish, at, ld, tail, 3, False, True)
    elif NV > 2 and vectors == 3:
        forward_rows(rows, b, c, finish, at, ld, tail, 3, False, False)
    elif NV > 2 and vectors == 4 and few:
        forward_rows(rows, b, c, finish, at, ld, tail, 4, False, True)
    elif NV > 2 and vectors == 4:
        forward_rows(rows, b, c, finish, at, ld, tail, 4, False, False)


cdef inline vreal dot(const real *x, const real *b, Py_ssize_t count) noexcept nogil:
    """The products of x and b, (count,), added up in each lane."""
    cdef vreal sums = vset1(0)
    cdef Py_ssize_t whole = count - count % LANES
    cdef Py_ssize_t k
    for k from 0 <= k < whole by LANES:
        sums = sums + vload(x + k) * vload(b + k)
    if whole < count:
        sums = sums + vload_n(x + whole, count - whole) * vload_n(b + whole, count - whole)
    return sums


cdef inline void forward_column(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """c[n] = rows[n] . b for a single output: lanes along the sum, where a tile would fill but one lane."""
    cdef vreal lanes[LANES]
    cdef vreal sums
    cdef Py_ssize_t n = first
    cdef int count = LANES
    cdef int i
    while n < last:
        if last - n < LANES:
            count = 1
            sums = vset1(vsum(dot(rows[n] + term, b + term, end - term)))
        else:  # adds up each row's lanes in the same order
            for i in range(LANES):
                lanes[i] = dot(rows[n + i] + term, b + term, end - term)
            sums = vsums(lanes)
        if finish.bias != NULL:
            sums = sums + vset1(finish.bias[0])
        if finish.rectifies:
            sums = vmax(vset1(0), sums)
        vstore_n(c + n, sums, count)
        n += count


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
    Blocks *at, bint resumes,
) noexcept nogil:
    """One block of c = rows b, from the terms term .. end; b (I, ld), c (N, ld). A layer that `resumes` is wide."""
    cdef Lines lines = lines_of(b + term * ld + at.column, ld, term, end, resumes)
    cdef Blocks rest = at[0]
    if ld == 1:
        forward_column(rows, b, c, finish, term, end, at.row, at.row_end)
        return
    if LANES == 16 and ld <= FEW and at.row + LANES <= at.row_end and at.column_end - at.column == ld:
        forward_few(rows, b, c, finish, term, end, ld, &rest)
    forward_panel(rows, &lines, c, finish, ld, &rest)


cdef inline forced forward_lines(
    const real *x, const real *b, real *c, Py_ssize_t ld, Py_ssize_t terms, int V, bint begins,
) noexcept nogil:
    """V vectors of c += x b for some terms of a single row; or c = x b, where it `begins`."""
    cdef vreal sums[ACROSS]
    cdef Py_ssize_t k
    cdef int v
    for v in range(V):
        sums[v] = vset1(0) if begins else vload(c + v * LANES)
    for k in range(terms):
        for v in range(V):
            sums[v] = sums[v] + vset1(x[k]) * vload(b + v * LANES)
        b += ld
    for v in range(V):
        vstore(c + v * LANES, sums[v])


cdef inline single forward_single(
    const real *x, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    Py_ssize_t first, Py_ssize_t last,
) noexcept nogil:
    """Columns first .. last, whole vectors, of c = x b for a single row x and a matrix that comes from far away: a few lines
    at a time, from end to end. The sums have the same order as in a tile."""
    # Eight lines of 4,096 bytes leave no room beside them in those places of the nearest cache where they lie.
    cdef Py_ssize_t most = 4 if ld * <int>sizeof(real) == 4096 else 8
    cdef Py_ssize_t k, o, lines
    cdef vreal sums
    for k from term <= k < end by most:
        lines = min(most, end - k)
        o = first
        while o + ACROSS * LANES <= last:
            forward_lines(x + k, b + k * ld + o, c + o, ld, lines, ACROSS, k == term)
            o += ACROSS * LANES
        while o < last:
            forward_lines(x + k, b + k * ld + o, c + o, ld, lines, 1, k == term)
            o += LANES
    for o from first <= o < last by LANES:
        sums = vload(c + o)
        if finish.bias != NULL:
            sums = sums + vload(finish.bias + o)
        if finish.rectifies:
            sums = vmax(vset1(0), sums)
        vstore(c + o, sums)


cdef inline void forward_blocks(
    const real **rows, Py_ssize_t count, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end,
    Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """All of this thread's blocks, for a batch of `count` rows. A single one has twice as wide panels, so that b is read
    in longer runs and more sums are under way."""
    cdef Py_ssize_t wide = 8 * LANES
    cdef Py_ssize_t whole
    cdef Lines lines
    cdef bint streams = ld >= LONG_LINE // <int>sizeof(real) and (end - term) * ld >= STREAMED // <int>sizeof(real)
    if count == 1 and at.row < at.row_end and streams:
        whole = at.last - (at.last - at.column_end) % LANES
        forward_single(rows[0], b, c, finish, term, end, ld, at.column_end, whole)
        at.column_end = whole
    while count == 1 and at.row < at.row_end and at.column_end + wide <= at.last:
        lines = lines_of(b + term * ld + at.column_end, ld, term, end, False)
        forward_tile(rows, &lines, c, finish, 0, at.column_end, ld, LANES, 1, 8, True, False, NULL)
        at.column_end += wide
    while next_block(at):
        forward_block(rows, b, c, finish, term, end, ld, at, False)


# ---- long sums, from their pieces -------------------------------------------------------------------

cdef inline void add_pieces(
    const real *pieces, Py_ssize_t number, Py_ssize_t stride, real *c, const Finish *finish, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of c = the sum of so many matrices, (N, ld) each, which start `stride` apart."""
    cdef Py_ssize_t n, j, k, count, piece
    cdef vreal sums
    for n in range(at.row, at.row_end):
        for j from at.column <= j < at.column_end by LANES:
            count = min(<Py_ssize_t>LANES, at.column_end - j)
            k = n * ld + j
            sums = vload_n(pieces + k, count)
            for piece in range(1, number):
                sums = sums + vload_n(pieces + piece * stride + k, count)
            if finish.bias != NULL:
                sums = sums + vload_n(finish.bias + j, count)
            if finish.rectifies:
                sums = vmax(vset1(0), sums)
            vstore_n(c + k, sums, count)
