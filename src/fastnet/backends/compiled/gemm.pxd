"""Matrix products, in register tiles.

A tile keeps R x V vectors of the result in registers and walks along the sum once: per term it loads V
vectors of B and broadcasts R elements of A. Each element of the result is one sum in one order (by
fused multiply-add where the machine has it), whatever tile it falls in; so the bits do not depend on
how the work is split between threads.

Nothing is packed: a network's matrices stay in the caches, and the rows of A, which in a shuffled batch
lie anywhere, are given by pointers.
"""

from fastnet.backends.compiled.simd cimport (
    LANES, MR, NV, forced, real, vload, vload_n, vlt, vmax, vreal, vselect, vset1, vstore, vstore_n, vsum, vsums,
    vtranspose_square,
)

cdef enum:
    ROW_TILES = 4       # for each thread, from which on rows are shared
    SMALL_BATCH = 48    # rows up to which long sums are made in pieces,
    LONG_SUM = 256      # and the terms from which a sum is long
    PIECES = 4          # of a long sum

# ---- blocks: how a result is shared between threads -------------------------------------------------

cdef enum Split:
    WHOLE       # every thread may read all of it
    ALONE       # the first thread has all of it
    ROWS        # rows, by tiles of MR
    COLUMNS     # columns, by vectors
    INPUTS      # columns of activations and rows of weights, by the pieces of a long sum
    EVENLY      # rows, one by one

cdef struct Blocks:
    # A walk over the part of a (rows, columns) result that belongs to one thread.
    Py_ssize_t row, row_end         # the current block: rows ...
    Py_ssize_t column, column_end   # ... and columns, within one panel of NV vectors
    Py_ssize_t last                 # one past this thread's last column


cdef inline Blocks blocks_of(Split split, Py_ssize_t rows, Py_ssize_t columns, int part, int parts) noexcept nogil:
    """This thread's part of activations that are split by ROWS, COLUMNS or INPUTS, or done ALONE."""
    cdef Blocks b
    cdef Py_ssize_t count
    b.row, b.row_end = 0, rows
    b.column_end, b.last = 0, columns
    if parts == 1:
        return b  # divisions take as long as the work of a small layer
    if split == ROWS:
        count = (rows + MR - 1) // MR
        b.row, b.row_end = count * part // parts * MR, min(count * (part + 1) // parts * MR, rows)
    elif split == COLUMNS:
        count = (columns + LANES - 1) // LANES
        b.column_end = count * part // parts * LANES
        b.last = min(count * (part + 1) // parts * LANES, columns)
    elif split == INPUTS:
        b.column_end = first_term(columns, PIECES * part // parts)
        b.last = first_term(columns, PIECES * (part + 1) // parts)
    elif part > 0:
        b.row_end = 0
    return b


cdef inline Blocks weights_of(Split split, Py_ssize_t inputs, Py_ssize_t outputs, int part, int parts) noexcept nogil:
    """This thread's part of a layer's weights, their gradients and their update."""
    cdef Blocks b = blocks_of(ROWS if split == INPUTS else split, inputs, outputs, part, parts)
    if split == INPUTS and parts > 1:
        b.row, b.row_end = first_term(inputs, PIECES * part // parts), first_term(inputs, PIECES * (part + 1) // parts)
    return b


cdef inline Py_ssize_t first_term(Py_ssize_t terms, Py_ssize_t piece) noexcept nogil:
    """First term of a piece of a long sum; that of the next piece is its end."""
    return terms * piece // PIECES


cdef inline bint in_pieces(Py_ssize_t count, Py_ssize_t inputs) noexcept nogil:
    """Whether the sums of a forward pass of training are made in pieces, which are then added up in order.

    With few rows, threads that share the sums have each their own rows of the weights, in one piece of memory. If they
    shared the columns, what one core fetches ahead would be the other's. It does not depend on the number of threads,
    so the bits do not, either.
    """
    return count <= SMALL_BATCH and inputs >= LONG_SUM


cdef inline Split split_of(
    double worth, Py_ssize_t count, Py_ssize_t inputs, Py_ssize_t outputs, int parts,
) noexcept nogil:
    """How threads share a dense layer of a batch of `count` rows: its products, and the update of its weights.

    Below `worth` multiply-adds one thread is faster alone, as the weights stay in its cache. With few rows the same
    holds of each thread's inputs: it has the same ones in the forward pass, on the way back and in the update.
    """
    cdef double work = <double>count * inputs * outputs
    if work < worth:
        return ALONE
    if in_pieces(count, inputs):
        return INPUTS
    if count > (ROW_TILES * parts - 1) * MR:
        return ROWS
    # Where a row of weights does not end with a cache line, threads share lines, not only neighbourhoods.
    return ALONE if outputs % LANES != 0 and work < 4 * worth else COLUMNS


cdef inline bint next_block(Blocks *b) noexcept nogil:
    """Step to this thread's next block; False where there is none."""
    b.column = b.column_end
    b.column_end = min(b.column + NV * LANES, b.last)
    return b.column < b.column_end and b.row < b.row_end


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


cdef inline vreal gated(vreal sum, vreal a) noexcept nogil:
    """sum times the slope of relu where its output is a."""
    return sum * vselect(vlt(vset1(0), a), vset1(1), vset1(0))


cdef inline forced forward_tile(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t row, Py_ssize_t column,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld, Py_ssize_t tail, int R, int V, bint full,
) noexcept nogil:
    """c[row + r][column + v] = sum over k in term .. end of rows[row + r][k] b[k][column + v]; the last vector has
    `tail` lanes."""
    cdef vreal acc[6][8]
    cdef vreal line[8]
    cdef vreal element
    cdef const real *gate
    cdef Py_ssize_t k
    cdef int r, v
    rows += row
    b += term * ld + column
    c += row * ld + column
    for r in range(R):
        for v in range(V):
            acc[r][v] = vset1(0)
    for k in range(term, end):
        for v in range(V):
            line[v] = vload(b + v * LANES) if full or v < V - 1 else vload_n(b + v * LANES, tail)
        for r in range(R):
            element = vset1(rows[r][k])
            for v in range(V):
                acc[r][v] = acc[r][v] + element * line[v]
        b += ld
    if finish.bias != NULL:
        b = finish.bias + column
        for v in range(V):
            line[v] = vload(b + v * LANES) if full or v < V - 1 else vload_n(b + v * LANES, tail)
            for r in range(R):
                acc[r][v] = acc[r][v] + line[v]
    if finish.rectifies:
        for r in range(R):
            for v in range(V):
                acc[r][v] = vmax(vset1(0), acc[r][v])
    if finish.gate != NULL:
        gate = finish.gate + row * ld + column
        for r in range(R):
            for v in range(V):
                line[v] = vload(gate + v * LANES) if full or v < V - 1 else vload_n(gate + v * LANES, tail)
                acc[r][v] = gated(acc[r][v], line[v])
            gate += ld
    for r in range(R):
        for v in range(V):
            if full or v < V - 1:
                vstore(c + r * ld + v * LANES, acc[r][v])
            else:
                vstore_n(c + r * ld + v * LANES, acc[r][v], tail)


cdef inline forced forward_rows(
    const real **rows, const real *b, real *c, const Finish *finish, Blocks *at,
    Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld, Py_ssize_t tail, int V, bint full,
) noexcept nogil:
    """The rows of one panel. Eight are two tiles of 4: a tile of 2 would wait for the cache, not for the sums."""
    cdef Py_ssize_t i = at.row
    while i + 6 <= at.row_end and at.row_end - i != 8:
        forward_tile(rows, b, c, finish, i, at.column, term, end, ld, tail, 6, V, full)
        i += 6
    while i + 4 <= at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, term, end, ld, tail, 4, V, full)
        i += 4
    if i + 2 <= at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, term, end, ld, tail, 2, V, full)
        i += 2
    if i < at.row_end:
        forward_tile(rows, b, c, finish, i, at.column, term, end, ld, tail, 1, V, full)


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


cdef inline void forward_block(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    Blocks *at,
) noexcept nogil:
    """One block of c = rows b, from the terms term .. end; b (I, ld), c (N, ld)."""
    cdef Py_ssize_t width = at.column_end - at.column
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tail = width - (vectors - 1) * LANES
    if ld == 1:
        forward_column(rows, b, c, finish, term, end, at.row, at.row_end)
    elif width == NV * LANES:
        forward_rows(rows, b, c, finish, at, term, end, ld, tail, NV, True)
    elif vectors == 1:
        forward_rows(rows, b, c, finish, at, term, end, ld, tail, 1, False)
    elif vectors == 2:
        forward_rows(rows, b, c, finish, at, term, end, ld, tail, 2, False)
    elif NV > 2 and vectors == 3:
        forward_rows(rows, b, c, finish, at, term, end, ld, tail, 3, False)
    elif NV > 2 and vectors == 4:
        forward_rows(rows, b, c, finish, at, term, end, ld, tail, 4, False)


cdef inline void forward_blocks(
    const real **rows, Py_ssize_t count, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end,
    Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """All of this thread's blocks, for a batch of `count` rows. A single one has twice as wide panels, so that b is read
    in longer runs and more sums are under way."""
    cdef Py_ssize_t wide = 8 * LANES
    while count == 1 and at.row < at.row_end and at.column_end + wide <= at.last:
        forward_tile(rows, b, c, finish, 0, at.column_end, term, end, ld, LANES, 1, 8, True)
        at.column_end += wide
    while next_block(at):
        forward_block(rows, b, c, finish, term, end, ld, at)


# ---- dW = x^T dz ------------------------------------------------------------------------------------

cdef inline forced weights_tile(
    const real **rows, const real *d_z, real *result, real rate,
    Py_ssize_t terms, Py_ssize_t first, Py_ssize_t ld, Py_ssize_t tail, int R, int V, bint full, bint fused,
) noexcept nogil:
    """result[r][v] = sum over n of rows[n][first + r] d_z[n][v], or, fused, -= rate times that sum."""
    cdef vreal acc[6][8]
    cdef vreal line[8]
    cdef vreal element
    cdef const real *x
    cdef Py_ssize_t n
    cdef int r, v
    for r in range(R):
        for v in range(V):
            acc[r][v] = vset1(0)
    for n in range(terms):
        x = rows[n] + first
        for v in range(V):
            line[v] = vload(d_z + v * LANES) if full or v < V - 1 else vload_n(d_z + v * LANES, tail)
        for r in range(R):
            element = vset1(x[r])
            for v in range(V):
                acc[r][v] = acc[r][v] + element * line[v]
        d_z += ld
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
    const real **rows, const real *d_z, real *result, real rate,
    Py_ssize_t terms, Py_ssize_t first, Py_ssize_t last, Py_ssize_t ld, Py_ssize_t tail, int V, bint full, bint fused,
) noexcept nogil:
    """Inputs first .. last of one panel."""
    cdef Py_ssize_t i = first
    while i + 6 <= last and last - i != 8:
        weights_tile(rows, d_z, result + i * ld, rate, terms, i, ld, tail, 6, V, full, fused)
        i += 6
    while i + 4 <= last:
        weights_tile(rows, d_z, result + i * ld, rate, terms, i, ld, tail, 4, V, full, fused)
        i += 4
    if i + 2 <= last:
        weights_tile(rows, d_z, result + i * ld, rate, terms, i, ld, tail, 2, V, full, fused)
        i += 2
    if i < last:
        weights_tile(rows, d_z, result + i * ld, rate, terms, i, ld, tail, 1, V, full, fused)


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
    const real **rows, const real *d_z, real *result, real rate, Py_ssize_t terms, Py_ssize_t ld, Blocks *at,
    bint fused,
) noexcept nogil:
    """One block of at most NV vectors across."""
    cdef Py_ssize_t width = at.column_end - at.column
    cdef Py_ssize_t vectors = (width + LANES - 1) // LANES
    cdef Py_ssize_t tail = width - (vectors - 1) * LANES
    d_z += at.column
    result += at.column
    if width == NV * LANES:
        weights_rows(rows, d_z, result, rate, terms, at.row, at.row_end, ld, tail, NV, True, fused)
    elif vectors == 1:
        weights_rows(rows, d_z, result, rate, terms, at.row, at.row_end, ld, tail, 1, False, fused)
    elif vectors == 2:
        weights_rows(rows, d_z, result, rate, terms, at.row, at.row_end, ld, tail, 2, False, fused)
    elif NV > 2 and vectors == 3:
        weights_rows(rows, d_z, result, rate, terms, at.row, at.row_end, ld, tail, 3, False, fused)
    elif NV > 2 and vectors == 4:
        weights_rows(rows, d_z, result, rate, terms, at.row, at.row_end, ld, tail, 4, False, fused)


cdef inline void weights_block(
    const real **rows, const real *d_z, real *d_weights, Py_ssize_t terms, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of d_weights (I, ld) = rows^T d_z; d_z (terms, ld)."""
    if ld == 1:
        weights_column(rows, d_z, d_weights, terms, at.row, at.row_end)
    else:
        weights_panel(rows, d_z, d_weights, 0, terms, ld, at, False)


cdef inline void descend_block(
    const real **rows, const real *d_z, real *weights, real rate, Py_ssize_t terms, Py_ssize_t ld, Blocks *at,
) noexcept nogil:
    """One block of weights (I, ld) -= rate rows^T d_z, where ld > 1: the gradient never leaves the registers."""
    weights_panel(rows, d_z, weights, rate, terms, ld, at, True)


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
    """Whether sums along the rows of W cost less than its transposed copy: about 3 cycles for each input and row of
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


# ---- dx = dz W^T for many rows is `forward_block` on this copy --------------------------------------

cdef inline void transpose(
    const real *w, real *turned, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t i, Py_ssize_t i_end, Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    """turned[j][i] = w[i][j] for rows i .. i_end and columns first .. last of w (rows, columns); turned (columns, rows).

    In squares of vectors; what is left at the edges, value by value.
    """
    cdef Py_ssize_t whole = i_end - (i_end - i) % LANES
    cdef Py_ssize_t j, k
    cdef Py_ssize_t done = first
    while done + LANES <= last:
        for k from i <= k < whole by LANES:
            vtranspose_square(w + k * columns + done, columns, turned + done * rows + k, rows)
        for j in range(done, done + LANES):
            for k in range(whole, i_end):
                turned[j * rows + k] = w[k * columns + j]
        done += LANES
    for j in range(done, last):
        for k in range(i, i_end):
            turned[j * rows + k] = w[k * columns + j]


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
