# What the threads of one call do: train, evaluate, predict. No Python in here but for `_Data`.


cdef enum:
    PASS_VALUES = 6144          # of the widest layer that a thread predicts at a time: activations stay in its cache
    LEAST_PASS = 96             # rows; with fewer, tiles do not pay,
    MOST_PASS = 384             # and with more, no call is saved that would be felt;
    FAR_PASS = 256              # and at least, where weights come from far away, and are put together anew for each pass;
    TURNED_PASS = 1280          # of a narrow network, whose values are but those of TURNED_ROWS at any time
    PREDICTION_WORTH = 2000000  # multiply-adds of a call from which threads are woken: some 20 us;
    ROW_WORTH = 100000          # of a single row, in the
    BURST = 8                   # calls, and more, that follow one another
    LAYER_WORTH = 96000         # multiply-adds of a dense layer, forward, from which threads share it in training
    TRAINING_WORTH = 200000     # multiply-adds of a step in such layers, from which threads are used


cdef double GIL_WORTH = 5e5     # multiply-adds of a single row from which the GIL is released: some ten microseconds
cdef double BURST_GAP = 1e-4    # seconds within which the next call does
cdef double ALONE_LEAST = 0.03  # seconds of one thread alone where others want the cores: twice as many each time, up to
cdef double ALONE_MOST = 1.0


cdef class _Data:
    """Targets and weights of a data set; keeps alive what its pointers point to."""

    cdef Targets targets
    cdef const long long[::1] labels
    cdef const real[:, ::1] values
    cdef const real[::1] weights
    cdef const long long[::1] order

    def __cinit__(self, x, y, sample_weight, order=None):
        self.targets.labels = NULL
        self.targets.values = NULL
        self.targets.weights = NULL
        self.targets.order = NULL
        if y.ndim == 1:
            self.labels = y
            self.targets.labels = &self.labels[0]
        else:
            self.values = y
            self.targets.values = &self.values[0, 0]
        if sample_weight is not None:
            self.weights = sample_weight
            self.targets.weights = &self.weights[0]
        if order is not None:
            self.order = order
            self.targets.order = &self.order[0]


cdef struct Job:
    # What the threads of one call share. Pointers to arrays of a number for each row, or for each thread.
    Program *program
    Workspace *spaces            # one for all (training), or one for each thread (prediction)
    const real *x
    Py_ssize_t rows              # of x, or of the order
    const real **input_rows      # `stride` for each thread
    Py_ssize_t stride
    real *panels                 # `panel_size(depth)` for each thread
    const real **corners         # `depth` for each thread
    Py_ssize_t depth
    Targets targets
    double *losses
    Py_ssize_t *correct
    real *out
    double *sums                 # squares of the gradient
    Py_ssize_t batch_size
    const double *learning_rates
    double *progress
    double deadline
    int look                     # steps between two looks at the clock
    Py_ssize_t left              # steps until the threads part, though the call goes on; below 0: they do not
    double began                 # when the first of them was done
    bint timed                   # each full batch is timed, and
    double least                 # the seconds of the quickest one are this
    bint training, finite, last
    uint64 step
    double value
    Py_ssize_t taken             # blocks of rows, predicting, that threads have taken so far


cdef enum:
    STEP
    ROW
    LOSS_SUM
    NORM
    CORRECT
    TOTAL


cdef Py_ssize_t panel_size(Py_ssize_t depth) noexcept nogil:
    """Values of one thread's panel, strip and corner, see `Batch`."""
    return depth * GROUP + UPDATE_ROWS * PANEL + depth * UPDATE_ROWS


cdef Batch _batch(Job *job, Py_ssize_t row, Py_ssize_t count, int part, int parts) noexcept nogil:
    """The batch of `count` rows that starts at `row`."""
    cdef Batch batch
    cdef Py_ssize_t inputs = job.program.sizes[0]
    cdef const long long *order = job.targets.order
    cdef Py_ssize_t i
    batch.count, batch.part, batch.parts = count, part, parts
    batch.input_rows = job.input_rows + part * job.stride
    batch.panel = job.panels + part * panel_size(job.depth)
    batch.strip = batch.panel + job.depth * GROUP
    batch.corner = batch.strip + UPDATE_ROWS * PANEL
    batch.corner_rows = job.corners + part * job.depth
    batch.training, batch.learns, batch.keeps, batch.step = job.training, True, True, job.step
    batch.next, batch.begun, batch.weights = NULL, False, <double>count
    for i in range(count):
        batch.input_rows[i] = job.x + (order[row + i] if order != NULL else row + i) * inputs
    return batch


cdef bint _losses(Job *job, Batch *batch, Py_ssize_t row, double *value, double *norm) noexcept nogil:
    """Forward and loss; every thread adds the rows up itself, in the same order. False where the loss is not finite."""
    cdef Split split = wait_for_rows(batch, forward(job.program, job.spaces, batch, job.program.trained))
    cdef Py_ssize_t i
    norm[0] = norm_of(job.program, batch, &job.targets, row)
    loss_part(job.program, job.spaces, batch, &job.targets, split, row, norm[0], job.losses, job.correct)
    if batch.part == 0:
        job.left -= 1
        job.last = row + batch.count >= job.rows or (
            batch.step % <uint64>job.look == 0 and pool_seconds() >= job.deadline
        )
    pool_barrier(batch.parts)
    value[0] = 0
    for i in range(batch.count):
        value[0] += job.losses[i]
    return isfinite(value[0])


cdef bint _learn(Job *job, Batch *batch, double learning_rate, bint updates) noexcept nogil:
    """Backward, and the update: layer by layer, unless the norm of the whole gradient must be known first. Returns
    whether the next batch is begun."""
    cdef opt.Hyper *hyper = &job.program.hyper
    cdef opt.Rates rates
    cdef const opt.Rates *now = NULL
    cdef bint small = False
    if updates and hyper.clip_norm == 0:
        rates = opt.rates_of(hyper, learning_rate, <double>batch.step, 1, batch.weights)
        small = batch.parts == 1 and is_small_update(job.program, &rates)
        if not small:
            now = &rates
    backward(job.program, job.spaces, batch, now)
    if now != NULL:
        return begins_next(job.program, job.spaces, batch, now)
    if small:
        update_all(job.program, &rates)
    elif updates:
        pool_barrier(batch.parts)
        _update(job, batch, learning_rate)
    return False


cdef void _update(Job *job, Batch *batch, double learning_rate) noexcept nogil:
    cdef opt.Hyper *hyper = &job.program.hyper
    cdef opt.Rates rates
    cdef double total = 0
    cdef Py_ssize_t i
    if hyper.clip_norm > 0:
        squares_part(job.program, job.sums, batch.part, batch.parts)
        pool_barrier(batch.parts)
        for i in range((job.program.parameter_count + NORM_RUN - 1) // NORM_RUN):
            total += job.sums[i]
    rates = opt.rates_of(hyper, learning_rate, <double>batch.step, _clip_scale(hyper, total), batch.weights)
    update_part(job.program, batch, &rates)


cdef void _train_job(void *context, int part, int parts) noexcept nogil:
    """Batch after batch, until the order, the time or `left` is at its end."""
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Py_ssize_t row = <Py_ssize_t>job.progress[ROW]
    cdef uint64 step = <uint64>job.progress[STEP]
    cdef Py_ssize_t width = job.program.sizes[job.program.end]
    cdef Py_ssize_t i, right
    cdef double value, norm
    cdef double now
    cdef double then = pool_seconds() if job.timed else 0
    cdef bint last, parting
    cdef bint begun = False
    cdef Batch batch
    while row < job.rows:
        batch = _batch(job, row, min(job.batch_size, job.rows - row), part, parts)
        batch.begun = begun
        step += 1
        batch.step = step
        if not _losses(job, &batch, row, &value, &norm):
            if part == 0:
                job.finite = False
            break
        # Every thread reads it here, between two barriers, so that all stop after the same step. The gradients of
        # that step stay for whoever looks at them.
        last = job.last
        parting = last or job.left == 0
        batch.keeps = last or job.program.keeps_gradients
        if job.batch_size == 1 and not parting:
            batch.next = job.x + job.targets.order[row + 1] * job.program.sizes[0]
        begun = _learn(job, &batch, job.learning_rates[row // job.batch_size], True)
        row += batch.count
        if part == 0:
            job.progress[STEP] = <double>step
            job.progress[ROW] = <double>row
            job.progress[LOSS_SUM] += value
            job.progress[NORM] += norm
            if job.program.metric != los.NO_METRIC:
                right = 0
                for i in range(batch.count):
                    right += job.correct[i]
                job.progress[CORRECT] += <double>right
                job.progress[TOTAL] += <double>(batch.count * (1 if job.program.metric == los.ARGMAX else width))
        # Where threads share the inputs of the first layer and its product is begun, each goes on with what it wrote itself;
        # the next barrier comes before anybody writes what others still read here. Else it is this one.
        if not begun or split_of_layer(job.program, &batch, job.program.ops) == ALONE:
            pool_barrier(parts)
        if part == 0 and job.began == 0:
            job.began = pool_seconds()
        if part == 0 and job.timed:
            now = pool_seconds()
            if batch.count == job.batch_size:
                job.least = min(job.least, now - then)
            then = now
        if parting:
            break
    fastnet_restore(mode)


cdef void _train_alone_job(void *context, int part, int parts) noexcept nogil:
    """The same by the first thread; the others wait for it, and stay awake for about a millisecond."""
    if part == 0:
        _train_job(context, 0, 1)


cdef void _gradients_job(void *context, int part, int parts) noexcept nogil:
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Batch batch = _batch(job, 0, job.rows, part, parts)
    cdef double value, norm
    _losses(job, &batch, 0, &value, &norm)
    _learn(job, &batch, 0, False)
    if part == 0:
        job.value = value / norm if norm != 0 else 0
    fastnet_restore(mode)


cdef void _forward_job(void *context, int part, int parts) noexcept nogil:
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Batch batch = _batch(job, 0, job.rows, part, parts)
    forward(job.program, job.spaces, &batch, job.program.trained)
    fastnet_restore(mode)


cdef void _backward_job(void *context, int part, int parts) noexcept nogil:
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Batch batch = _batch(job, 0, job.rows, part, parts)
    _learn(job, &batch, 0, False)
    fastnet_restore(mode)


cdef void _update_job(void *context, int part, int parts) noexcept nogil:
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Batch batch
    batch.count, batch.part, batch.parts, batch.step = job.batch_size, part, parts, job.step
    batch.weights = <double>job.rows
    _update(job, &batch, job.learning_rates[0])
    fastnet_restore(mode)


cdef real _not_finite(const real *x, Py_ssize_t count) noexcept nogil:
    """0 where all values are finite; NaN otherwise."""
    cdef real sum = 0
    cdef Py_ssize_t i
    cdef vreal sums
    cdef vreal one
    for i from 0 <= i < count by LANES:
        one = vload(x + i) if count - i >= LANES else vload_n(x + i, count - i)
        one = one - one
        sums = one if i == 0 else sums + one
    return vsum(sums) if count else sum


cdef void _row_job(void *context, int part, int parts) noexcept nogil:
    """All threads take a single row through the network together."""
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Py_ssize_t outputs = job.program.sizes[job.program.output]
    cdef const real **rows
    cdef Batch batch
    batch.count, batch.part, batch.parts = 1, part, parts
    batch.input_rows = &job.x
    batch.training = batch.learns = batch.keeps = batch.begun = False
    batch.step = 0
    forward(job.program, job.spaces, &batch, job.program.count)
    pool_barrier(parts)
    if part == 0:
        job.finite = _not_finite(job.x, job.program.sizes[0]) == 0
        rows = rows_of(job.spaces, &batch, job.program.output)
        memcpy(job.out, rows[0], outputs * sizeof(real))
    fastnet_restore(mode)


cdef inline void _alone(Batch *batch) noexcept nogil:
    """These rows are predicted, by this thread only."""
    batch.part, batch.parts, batch.learns = 0, 1, False


cdef void _predict_job(void *context, int part, int parts) noexcept nogil:
    """Threads take rows through the whole network, block by block while there are any; with losses, up to the loss."""
    cdef Job *job = <Job *>context
    cdef unsigned long long mode = fastnet_flush()
    cdef Program *program = job.program
    cdef Workspace *space = job.spaces + part
    cdef Py_ssize_t outputs = program.sizes[program.output]
    cdef Py_ssize_t row, count, i
    cdef const real *x
    cdef real *out
    cdef Batch batch
    while True:
        row = pool_next(&job.taken) * job.stride
        if row >= job.rows:
            break
        count = min(job.stride, job.rows - row)
        if job.losses != NULL:
            batch = _batch(job, row, count, part, parts)
            _alone(&batch)
            forward(program, space, &batch, program.trained)
            loss_part(program, space, &batch, &job.targets, EVENLY, row, 0, job.losses + row, job.correct + row)
            continue
        x = job.x + row * program.sizes[0]
        out = job.out + row * outputs
        if _not_finite(x, count * program.sizes[0]) != 0:
            job.finite = False  # whichever thread writes it, it is the same
        if WORTH_TURNING and program.narrow and count >= TURNED_ROWS:
            predict_turned(program, space.turned, x, count, out)
            continue
        batch = _batch(job, row, count, part, parts)
        _alone(&batch)
        forward(program, space, &batch, program.count)
        if space.values[program.output] != NULL:
            memcpy(out, space.values[program.output], count * outputs * sizeof(real))
            continue
        for i in range(count):  # a network that returns its input
            memcpy(out + i * outputs, batch.input_rows[i], outputs * sizeof(real))
    fastnet_restore(mode)
