"""Products with matrices that are put together anew, panel by panel, while they are read.

The lines of a wide matrix lie far from one another, each in another page and often in the same place of a cache, where
they drive one another out. So the lines of one panel, NV vectors wide and at most DEPTH deep, are put one after the
other into a buffer of each thread, and stay in its cache while the rows of the batch go by (Goto and van de Geijn,
"Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34, 2008). So is W^T, which nobody has, turned panel by
panel. The sums are made in the same order as elsewhere.
"""

from fastnet.backends.compiled.blocks cimport PANEL, Blocks, next_block, run_of
from fastnet.backends.compiled.gemm cimport (
    Finish, Lines, finish_with, forward_block, forward_panel, forward_tile, lines_of,
)
from fastnet.backends.compiled.simd cimport (
    LANES, NV, real, vload, vprefetch, vstore, vtranspose_edge, vtranspose_square,
)

cdef enum:
    DEPTH = 1024    # most lines of a panel
    SOON = 16       # vectors of a line that is turned, which are fetched before they are needed
    RUN = 1 << 20   # values of a wide layer, on its wider side, of the rows that go by all panels before others do
    FAR = 1 << 20   # bytes of a matrix that leaves the second-level cache


cdef inline Py_ssize_t run_rows(Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil:
    """How many rows go by all panels before others do: those of 4 MB stay in the last cache, for all of them."""
    return max(<Py_ssize_t>256, min(<Py_ssize_t>DEPTH, RUN // max(inputs, outputs, 1)))


cdef inline bint lies_far(Py_ssize_t terms, Py_ssize_t ld) noexcept nogil:
    """Whether a forward product gains by a panel: where a tile reads four cache lines of each line, only once the matrix
    leaves the second-level cache."""
    return PANEL * sizeof(real) < 256 or terms * ld >= FAR // <Py_ssize_t>sizeof(real)


cdef inline void forward_panels(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t terms, Py_ssize_t ld,
    Blocks *at, real *panel,
) noexcept nogil:
    """One block of c = rows b, from the terms term .. terms; b (I, ld), c (N, ld). The first tile fills the panel as it
    goes."""
    cdef Finish nothing = finish_with(NULL, False, NULL)
    cdef const Finish *now
    cdef Blocks rest = at[0]
    cdef Py_ssize_t first = term
    cdef Py_ssize_t end
    cdef Lines lines
    if at.column_end - at.column < PANEL or at.row_end - at.row < 12 or not lies_far(terms, ld):
        forward_block(rows, b, c, finish, term, terms, ld, at)
        return
    rest.row += 6
    while term < terms:
        end = min(term + DEPTH, terms)
        now = finish if end == terms else &nothing
        lines = lines_of(b + term * ld + at.column, ld, term, end, term > first)
        forward_tile(rows, &lines, c, now, at.row, at.column, ld, LANES, 6, NV, True, False, panel)
        lines = lines_of(panel, PANEL, term, end, term > first)
        forward_panel(rows, &lines, c, now, ld, &rest)
        term = end


cdef inline void forward_wide(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t terms, Py_ssize_t ld,
    const Blocks *whole, real *panel,
) noexcept nogil:
    """All of this thread's blocks of c = rows b, from the terms term .. terms, run by run."""
    cdef Blocks at
    cdef Py_ssize_t most = run_rows(terms, ld)
    cdef Py_ssize_t row
    for row from whole.row <= row < whole.row_end by most:
        at = run_of(whole, row, most)
        while next_block(&at):
            forward_panels(rows, b, c, finish, term, terms, ld, &at, panel)


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
                vprefetch(w + (i + k) * ld + j + SOON * LANES)
            vtranspose_square(w + i * ld + j, ld, turned + j * ld_turned + i, ld_turned)


cdef inline void input_panels(
    const real **rows, const real *w, real *d_x, const Finish *finish, Py_ssize_t inputs, Py_ssize_t outputs, Blocks *at,
    real *panel,
) noexcept nogil:
    """One block of d_x = rows w^T for more than some rows; w (inputs, outputs), d_x (N, inputs)."""
    cdef Finish nothing = finish_with(NULL, False, NULL)
    cdef Py_ssize_t term = 0
    cdef Py_ssize_t end
    cdef Lines lines
    while True:
        end = min(term + DEPTH, outputs)
        if outputs == 1:  # a column is its own line
            lines = lines_of(w + at.column, PANEL, term, end, False)
        else:
            transpose(w + at.column * outputs + term, outputs, panel, PANEL, at.column_end - at.column, end - term)
            lines = lines_of(panel, PANEL, term, end, term > 0)
        forward_panel(rows, &lines, d_x, finish if end == outputs else &nothing, inputs, at)
        if end == outputs:
            return
        term = end


cdef inline void input_wide(
    const real **rows, const real *w, real *d_x, const Finish *finish, Py_ssize_t inputs, Py_ssize_t outputs,
    const Blocks *whole, real *panel,
) noexcept nogil:
    """All of this thread's blocks of d_x = rows w^T, run by run."""
    cdef Blocks at
    cdef Py_ssize_t most = run_rows(inputs, outputs)
    cdef Py_ssize_t row
    for row from whole.row <= row < whole.row_end by most:
        at = run_of(whole, row, most)
        while next_block(&at):
            input_panels(rows, w, d_x, finish, inputs, outputs, &at, panel)


cdef inline void slopes_panel(
    const real *d_z, Py_ssize_t count, Py_ssize_t ld, Blocks *at, real *panel
) noexcept nogil:
    """The columns of d_z (count, ld) that one block of the gradient of the weights needs, together."""
    cdef Py_ssize_t n, o
    cdef int v
    for n in range(count):
        if at.column_end - at.column == PANEL:
            for v in range(NV):
                vstore(panel + n * PANEL + v * LANES, vload(d_z + n * ld + at.column + v * LANES))
        else:
            for o in range(at.column_end - at.column):
                panel[n * PANEL + o] = d_z[n * ld + at.column + o]
