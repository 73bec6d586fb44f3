"""Products with matrices that are put together anew, panel by panel, while they are read.

The lines of a wide matrix lie far from one another, each in another page and often in the same place of a cache, where
they drive one another out. So the lines of one panel, NV vectors wide and at most DEPTH deep, are put one after the
other into a buffer of each thread, and stay in its cache while the rows of the batch go by (Goto and van de Geijn,
"Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34, 2008). Of narrow panels, those that lie side by side
are one group, whose lines are put together at once. W^T, which nobody has, is turned panel by panel. The sums are made in
the same order as elsewhere.
"""

from fastnet.backends.compiled.blocks cimport (
    DEPTH, PANEL, Blocks, first_term, group_of, is_far, next_block, next_group, panels_of, run_of,
)
from fastnet.backends.compiled.gemm cimport (
    AHEAD, Finish, Lines, finish_with, forward_block, forward_panel, forward_tile, lines_of,
)
from fastnet.backends.compiled.gradients cimport few_rows, input_block
from fastnet.backends.compiled.simd cimport (
    GROUP, LANES, NV, real, single, vload, vprefetch, vstore, vtranspose_edge, vtranspose_square,
)

cdef enum:
    SOON = 16       # vectors of a line that is turned, which are fetched before they are needed
    RUN = 1 << 20   # values of a wide layer, on its wider side, of the rows that go by all panels before others do


cdef inline Py_ssize_t run_rows(Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil:
    """How many rows go by all panels before others do: those of 4 MB stay in the last cache, for all of them."""
    return max(<Py_ssize_t>256, min(<Py_ssize_t>DEPTH, RUN // max(inputs, outputs, 1)))


cdef inline void gather(
    const real *b, Py_ssize_t ld, real *panels, Py_ssize_t panel_count, Py_ssize_t count,
) noexcept nogil:
    """Put `count` lines of b, `ld` apart, of so many panels together, panel by panel."""
    cdef Py_ssize_t k, p
    cdef int v
    for k in range(count):
        for p in range(panel_count):
            vprefetch(b + AHEAD * ld + p * PANEL)
            for v in range(NV):
                vstore(panels + (p * count + k) * PANEL + v * LANES, vload(b + p * PANEL + v * LANES))
        b += ld


cdef inline void forward_group(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t end, Py_ssize_t ld,
    const Blocks *group, real *panels, bint resumes,
) noexcept nogil:
    """One group of panels of c = rows b, from the terms term .. end; b (I, ld), c (N, ld). A single panel is gathered by
    the first tile as it goes."""
    cdef Py_ssize_t columns = group.column_end - group.column
    cdef Blocks at = panels_of(group)
    cdef Lines lines
    if columns == PANEL:
        lines = lines_of(b + term * ld + group.column, ld, term, end, resumes)
        forward_tile(rows, &lines, c, finish, group.row, group.column, ld, LANES, 6, NV, True, False, panels)
        at.row += 6
    else:
        gather(b + term * ld + group.column, ld, panels, columns // PANEL, end - term)
    while next_block(&at):
        if at.column_end - at.column == PANEL:
            lines = lines_of(panels + (at.column - group.column) * (end - term), PANEL, term, end, resumes)
        else:
            lines = lines_of(b + term * ld + at.column, ld, term, end, resumes)
        forward_panel(rows, &lines, c, finish, ld, &at)


cdef inline single forward_wide(
    const real **rows, const real *b, real *c, const Finish *finish, Py_ssize_t term, Py_ssize_t terms, Py_ssize_t ld,
    const Blocks *whole, real *panels, Py_ssize_t pieces,
) noexcept nogil:
    """All of this thread's blocks of c = rows b, from the terms term .. terms, run by run. Each sum is made in so many
    pieces, of at most DEPTH terms, which are added up in order."""
    cdef Finish nothing = finish_with(NULL, False, NULL)
    cdef const Finish *now
    cdef Blocks at
    cdef Py_ssize_t most = run_rows(terms, ld)
    cdef Py_ssize_t columns = group_of(terms, ld)
    cdef bint gathers   # a tile that reads four cache lines of each line gains by it only where they come from far away
    cdef Py_ssize_t row, piece, start, end
    for row from whole.row <= row < whole.row_end by most:
        at = run_of(whole, row, most)
        gathers = at.row_end - row >= 12 and (GROUP > PANEL or is_far(terms, ld))
        while next_group(&at, columns if gathers else PANEL):
            end = term
            for piece in range(pieces):
                start, end = end, term + first_term(terms - term, piece + 1, pieces)
                now = finish if end == terms else &nothing
                if gathers:
                    forward_group(rows, b, c, now, start, end, ld, &at, panels, piece > 0)
                else:
                    forward_block(rows, b, c, now, start, end, ld, &at, piece > 0)


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


cdef inline single input_blocks(
    const real **rows, Py_ssize_t count, const real *w, real *d_x, const Finish *finish, Py_ssize_t inputs,
    Py_ssize_t outputs, Blocks *at, real *panel,
) noexcept nogil:
    """All of this thread's blocks of d_x = rows w^T, for a batch of `count` rows."""
    if not few_rows(count, outputs):
        input_wide(rows, w, d_x, finish, inputs, outputs, at, panel)
        return
    while next_block(at):
        input_block(rows, w, d_x, finish.gate, inputs, outputs, at)


cdef inline void inputs_corner(
    const real **rows, Py_ssize_t count, Py_ssize_t first, Py_ssize_t last, real *corner, const real **corner_rows,
    Py_ssize_t most,
) noexcept nogil:
    """The inputs first .. last, at most so many, whole vectors, of `count` rows, together: corner_rows[n][i] = rows[n][i].
    Where rows are a power of two apart, they all lie in the same place of the nearest cache."""
    cdef Py_ssize_t n, i
    for n in range(count):
        corner_rows[n] = corner - first
        if last - first == most:
            for i from 0 <= i < most by LANES:
                vstore(corner + i, vload(rows[n] + first + i))
        else:
            for i in range(last - first):
                corner[i] = rows[n][first + i]
        corner += most


cdef inline void slopes_group(
    const real *d_z, Py_ssize_t count, Py_ssize_t ld, const Blocks *group, real *panels
) noexcept nogil:
    """The columns of d_z (count, ld) that one group of the gradient of the weights needs, together panel by panel."""
    cdef Blocks at = panels_of(group)
    cdef Py_ssize_t n, o
    cdef int v
    while next_block(&at):
        for n in range(count):
            if at.column_end - at.column == PANEL:
                for v in range(NV):
                    vstore(panels + n * PANEL + v * LANES, vload(d_z + n * ld + at.column + v * LANES))
            else:
                for o in range(at.column_end - at.column):
                    panels[n * PANEL + o] = d_z[n * ld + at.column + o]
        panels += count * PANEL
