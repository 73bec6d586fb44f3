"""Blocks: how threads share the result of a layer, and the walk over one thread's part of it."""

from fastnet.backends.compiled.simd cimport GROUP, LANES, MR, NV, real

cdef enum:
    ROW_TILES = 4       # for each thread, from which on rows are shared
    SMALL_BATCH = 48    # rows up to which long sums are made in four pieces, and
    MEDIUM_BATCH = 256  # those up to which in two, unless the weights are far;
    LONG_SUM = 256      # and the terms from which a sum is long
    PIECES = 4          # of a long sum, at most
    DEPTH = 1024        # most terms of a piece of a wide layer's sums: those of a panel
    LARGE_BATCH = 96    # rows from which sums over a batch are made in halves
    PANEL = NV * LANES  # columns of a panel
    WIDE = 1 << 16      # bytes of weights from which a layer is wide,
    SHARED_ROW = 1 << 19  # those from which a prediction's sums are made in pieces, for threads to share,
    FAR = 1 << 20       # and those that leave the second-level cache

cdef enum Split:
    WHOLE       # every thread may read all of it
    ALONE       # the first thread has all of it
    ROWS        # rows, by twos
    COLUMNS     # columns, by vectors
    INPUTS      # columns of activations and rows of weights, by the pieces of a long sum
    EVENLY      # rows, one by one

cdef struct Blocks:
    # A walk over the part of a (rows, columns) result that belongs to one thread.
    Py_ssize_t row, row_end         # the current block: rows ...
    Py_ssize_t column, column_end   # ... and columns, within one panel of NV vectors
    Py_ssize_t last                 # one past this thread's last column


cdef inline Py_ssize_t first_of_rows(Py_ssize_t rows, int part, int parts) noexcept nogil:
    """First row of a part, where they are split by ROWS; that of the next part is its end. An even number, as a tile of a
    single row is the slowest."""
    return rows if part == parts else rows * part // parts // 2 * 2


cdef inline Blocks blocks_of(Split split, Py_ssize_t rows, Py_ssize_t columns, int part, int parts) noexcept nogil:
    """This thread's part of activations that are split by ROWS, COLUMNS or INPUTS, or done ALONE."""
    cdef Blocks b
    cdef Py_ssize_t count
    b.row, b.row_end = 0, rows
    b.column_end, b.last = 0, columns
    if parts == 1:
        return b  # divisions take as long as the work of a small layer
    if split == ROWS:
        b.row, b.row_end = first_of_rows(rows, part, parts), first_of_rows(rows, part + 1, parts)
    elif split == COLUMNS:
        count = (columns + LANES - 1) // LANES
        b.column_end = count * part // parts * LANES
        b.last = min(count * (part + 1) // parts * LANES, columns)
    elif split == INPUTS:
        b.column_end = first_term(columns, PIECES * part // parts, PIECES)
        b.last = first_term(columns, PIECES * (part + 1) // parts, PIECES)
    elif part > 0:
        b.row_end = 0
    return b


cdef inline Blocks weights_of(Split split, Py_ssize_t inputs, Py_ssize_t outputs, int part, int parts) noexcept nogil:
    """This thread's part of a layer's weights, their gradients and their update."""
    cdef Blocks b = blocks_of(ROWS if split == INPUTS else split, inputs, outputs, part, parts)
    if split == INPUTS and parts > 1:
        b.row = first_term(inputs, PIECES * part // parts, PIECES)
        b.row_end = first_term(inputs, PIECES * (part + 1) // parts, PIECES)
    return b


cdef inline Py_ssize_t first_term(Py_ssize_t terms, Py_ssize_t piece, Py_ssize_t pieces) noexcept nogil:
    """First term of a piece of a sum; that of the next piece is its end."""
    return terms * piece // pieces


cdef inline bint is_far(Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil:
    """Whether a matrix leaves the second-level cache."""
    return inputs * outputs >= FAR // <Py_ssize_t>sizeof(real)


cdef inline Py_ssize_t pieces_of(Py_ssize_t count, Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil:
    """In how many pieces the sums of a forward pass of training are made, which are then added up in order.

    Threads that share long sums have each their own rows of the weights, in one piece of memory. If they shared the
    columns, what one core fetches ahead would be the other's. With more rows there is more to add up. It does not depend on
    the number of threads, so the bits do not, either.
    """
    if inputs < LONG_SUM:
        return 1
    if count <= SMALL_BATCH:
        return PIECES
    return 2 if count <= MEDIUM_BATCH and not is_far(inputs, outputs) else 1


cdef inline Py_ssize_t panels_deep(Py_ssize_t terms) noexcept nogil:
    """How many panels, one below the other, hold so many terms."""
    return (terms + DEPTH - 1) // DEPTH


cdef inline Py_ssize_t pieces_of_prediction(Py_ssize_t inputs, Py_ssize_t outputs, bint wide) noexcept nogil:
    """The same of a prediction, be it of one row or of many: their bits are the same.

    Of weights that come from far away, threads share a single row as they share a small batch: each has its own rows of
    the weights. Other wide layers have as many pieces as panels.
    """
    if not wide:
        return 1
    if inputs * outputs < SHARED_ROW // <Py_ssize_t>sizeof(real):
        return panels_deep(inputs)
    return (inputs + DEPTH * PIECES - 1) // (DEPTH * PIECES) * PIECES


cdef inline bint in_halves(Py_ssize_t count, Py_ssize_t inputs, bint wide) noexcept nogil:
    """Whether the sums over a batch, which are the gradients of weights and bias, are made in two halves.

    Two threads then have each their own rows from the input to the gradient, of which there is less than of what
    lies between: what one core has read, another writes ten times as slowly. It does not depend on the number of threads,
    so the bits do not, either.
    """
    return count >= LARGE_BATCH and count >= inputs and not wide


cdef inline bint shares_halves(Split split, Py_ssize_t count, Py_ssize_t inputs, bint wide, int parts) noexcept nogil:
    """Whether each thread makes its part of these gradients from the rows of one half."""
    return split == ROWS and parts % 2 == 0 and in_halves(count, inputs, wide)


cdef inline bint is_wide(Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil:
    """Whether a layer's products go through its weights in panels, see `panels`, and threads share it by columns, if
    there are panels for all of them, so that each fills its own."""
    return inputs * outputs >= WIDE // <Py_ssize_t>sizeof(real) and inputs >= PANEL and outputs >= PANEL


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
    if pieces_of(count, inputs, outputs) > 1 and (count <= SMALL_BATCH or parts <= 2):
        return INPUTS
    if count > (ROW_TILES * parts - 1) * MR and (not is_wide(inputs, outputs) or outputs < parts * PANEL):
        return ROWS
    # Where a row of weights does not end with a cache line, threads share lines, not only neighbourhoods.
    return ALONE if outputs % LANES != 0 and work < 4 * worth else COLUMNS


cdef inline Blocks run_of(const Blocks *whole, Py_ssize_t row, Py_ssize_t most) noexcept nogil:
    """The part of a walk, which has not begun, that starts at a row and has at most so many."""
    cdef Blocks b = whole[0]
    b.row, b.row_end = row, min(row + most, whole.row_end)
    return b


cdef inline Py_ssize_t group_of(Py_ssize_t inputs, Py_ssize_t outputs) noexcept nogil:
    """Columns of a group of panels, whose lines come from far away together; of nearer matrices it is one panel."""
    return GROUP if is_far(inputs, outputs) else PANEL


cdef inline bint next_group(Blocks *b, Py_ssize_t columns) noexcept nogil:
    """Step to this thread's next block of so many columns; False where there is none."""
    b.column = b.column_end
    b.column_end = min(b.column + columns, b.last)
    return b.column < b.column_end and b.row < b.row_end


cdef inline bint next_block(Blocks *b) noexcept nogil:
    """Step to this thread's next block; False where there is none."""
    return next_group(b, PANEL)


cdef inline Blocks panels_of(const Blocks *group) noexcept nogil:
    """A walk over the blocks of a group."""
    cdef Blocks b = group[0]
    b.column_end, b.last = group.column, group.column_end
    return b
