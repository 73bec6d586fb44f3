# The executor: one graph on one parameter vector, run without the GIL.


cdef class Executor:
    """Runs one graph on one flat parameter vector; owns the buffers, and nothing else.

    The parameters and methods are those of `fastnet.backends.reference.Executor`.
    """

    cdef Program program
    cdef Workspace space                # of training
    cdef Workspace row_space            # of single rows
    cdef Workspace spaces[POOL_MOST]    # of prediction, one for each thread
    cdef int spaces_made
    cdef void **owned                   # every block of memory, to be freed in the end
    cdef Py_ssize_t owned_count
    cdef readonly object graph, parameters, gradients, state
    cdef readonly Py_ssize_t batch_size
    cdef Py_ssize_t block_rows          # most rows of predict_plain
    cdef Py_ssize_t pass_rows           # that a thread takes through the whole network at a time, predicting
    cdef int threads
    cdef double prediction_worth, row_worth, training_worth
    cdef double operations              # multiply-adds of one row, forward, and
    cdef double row_operations          # those of a single one that threads share
    cdef Py_ssize_t inputs, outputs
    cdef object lock, empty, dtype, x, __weakref__
    cdef const real **input_rows
    cdef Py_ssize_t stride
    cdef real *panels                   # buffers of each thread, see `Batch`: `depth` lines of GROUP, a strip,
    cdef const real **corners           # `depth` lines of UPDATE_ROWS, and pointers to them
    cdef Py_ssize_t depth
    cdef bint wide                      # whether some layer is
    cdef double *losses
    cdef Py_ssize_t *correct
    cdef double *sums
    cdef Py_ssize_t last_count
    cdef bint last_training
    cdef uint64 last_step
    cdef double row_end                 # when the last single row was through
    cdef int row_calls                  # that followed one another, until then,
    cdef int row_naps                   # and of these, how many threads slept in
    cdef double row_alone_until         # when several threads are tried again for it,
    cdef double row_alone               # and the seconds of one thread alone that came before
    cdef Pace pace                      # of training by several threads

    def __init__(
        self, graph, parameters, *, loss="", metric="", loss_parameter=1.0, loss_scale=1.0, optimizer="",
        hyper=None, gradients=None, state=None, batch_size=1, seed=0, threads=1, threads_from=None, keeps_gradients=False,
    ):
        cdef Program *p = &self.program
        cdef real[::1] values = parameters
        cdef real[:, ::1] rows
        cdef Py_ssize_t i
        self.graph, self.parameters, self.gradients, self.state = graph, parameters, gradients, state
        self.batch_size, self.threads = batch_size, min(threads, <int>POOL_MOST)
        self.prediction_worth = PREDICTION_WORTH if threads_from is None else threads_from
        self.row_worth = ROW_WORTH if threads_from is None else threads_from
        self.training_worth = TRAINING_WORTH if threads_from is None else threads_from
        self.pace = new_pace()
        p.layer_worth = LAYER_WORTH if threads_from is None else threads_from / 2
        self.lock = threading.Lock()
        self.inputs, self.outputs = graph.size(0), graph.size(graph.output)
        self.block_rows = graph.block_rows
        widest = max(graph.size(buffer) for buffer in range(len(graph.shapes)))
        self.pass_rows = max(<Py_ssize_t>LEAST_PASS, min(<Py_ssize_t>MOST_PASS, PASS_VALUES // <Py_ssize_t>widest // 4 * 4))
        p.parameters = &values[0] if values.shape[0] else NULL
        p.parameter_count = values.shape[0]
        if gradients is not None:
            values = gradients
            p.gradients = &values[0] if values.shape[0] else NULL
        if state is not None:
            rows = state
            for i in range(min(rows.shape[0], 2)):
                p.states[i] = &rows[i, 0] if rows.shape[1] else NULL
        name = _LOGITS.get((graph.output_activation, loss), loss)
        p.loss, p.metric, p.loss_parameter = _LOSSES[name], _METRICS[metric], <real><double>loss_parameter
        p.loss_scale = loss_scale
        p.boundary = <real>(0.0 if name != loss else 0.5)
        p.hyper = _hyper(optimizer, hyper or {})
        p.seed = seed & 0xFFFFFFFFFFFFFFFF
        p.keeps_gradients = keeps_gradients
        self._lower(name != loss)
        self.row_operations = self._shared(1, False)
        self.empty, self.dtype = np.empty, parameters.dtype
        self._allocate(&self.row_space, 1, False)
        if loss or gradients is not None:
            self._allocate(&self.space, batch_size, True)
            self._allocate_pieces()
            self.losses = <double *>self._memory(batch_size * sizeof(double))
            self.correct = <Py_ssize_t *>self._memory(batch_size * sizeof(Py_ssize_t))
            self.sums = <double *>self._memory((p.parameter_count // NORM_RUN + 1) * sizeof(double))
        self.stride = max(batch_size, self.pass_rows)
        self.input_rows = <const real **>self._memory(self.threads * self.stride * sizeof(void *))
        if self.depth:
            self.depth = min(max(self.depth, batch_size if self.wide else 0), <Py_ssize_t>DEPTH)
            self.depth = (self.depth + 15) // 16 * 16  # so that each thread's buffers start at a cache line
            self.panels = <real *>self._memory(self.threads * panel_size(self.depth) * sizeof(real))
            self.corners = <const real **>self._memory(self.threads * self.depth * sizeof(void *))

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.owned_count):
            free(self.owned[i])
        free(self.owned)

    # ---- memory

    cdef void *_memory(self, Py_ssize_t size) except NULL:
        """Zeroed memory of whole cache lines, which nobody shares, that lives as long as the executor."""
        cdef void *block = calloc((size + 63) // 64 * 64 + 64, 1)
        cdef void **owned = <void **>malloc((self.owned_count + 1) * sizeof(void *))
        if block == NULL or owned == NULL:
            free(block)
            free(owned)
            raise MemoryError(f"no memory for a buffer of {size} bytes")
        memcpy(owned, self.owned, self.owned_count * sizeof(void *))
        free(self.owned)
        self.owned = owned
        self.owned[self.owned_count] = block
        self.owned_count += 1
        return <void *>((<uintptr_t>block + 63) & ~<uintptr_t>63)

    def _lower(self, paired):
        """Turn the graph into operations in C; a paired loss takes the place of the last one."""
        cdef Program *p = &self.program
        cdef Operation *op
        ops = self.graph.ops
        p.buffers = len(self.graph.shapes)
        p.count = len(ops)
        p.trained = p.count - (1 if paired else 0)
        p.output = self.graph.output
        p.end = self.graph.output if not paired else ops[p.count - 1].inputs[0]
        p.ops = <Operation *>self._memory(max(p.count, 1) * sizeof(Operation))
        p.sizes = <Py_ssize_t *>self._memory(p.buffers * sizeof(Py_ssize_t))
        for number in range(p.buffers):
            p.sizes[number] = self.graph.size(number)
        source_is_input = {0}
        for number, one in enumerate(ops):
            op = &p.ops[number]
            op.kind = _KINDS[one.kind]
            op.source, op.target, op.number = one.inputs[0], one.output, number
            op.inputs, op.outputs = p.sizes[op.source], p.sizes[op.target]
            op.bias = -1
            if op.kind == DENSE:
                op.weights = one.slots[0].offset
                if len(one.slots) > 1:
                    op.bias = one.slots[1].offset
                self.operations += <double>op.inputs * op.outputs
                op.wide = is_wide(op.inputs, op.outputs)
                self.wide = self.wide or op.wide
                if is_far(op.inputs, op.outputs):
                    self.pass_rows = max(self.pass_rows, <Py_ssize_t>FAR_PASS)
                if op.wide or self.gradients is not None:
                    self.depth = max(self.depth, op.inputs, op.outputs)
                op.returns = self.gradients is not None and op.source not in source_is_input
            elif op.kind == ACTIVATION:
                op.activation = _ACTIVATIONS[one.attributes["name"]]
                self.operations += 16.0 * op.outputs
            elif op.kind == DROPOUT:
                op.rate = one.attributes["rate"]
            if op.kind == FLATTEN and op.source in source_is_input:
                source_is_input.add(op.target)
        self._fuse()
        p.narrow = is_narrow(p)

    cdef int _fuse(self) except -1:
        """Let dense layers do the relu that follows them, where nobody else reads what comes before it, and on the
        way back the slope of the one before them."""
        cdef Program *p = &self.program
        cdef int i, k
        readers = [0] * p.buffers
        for i in range(p.count):
            readers[p.ops[i].source] += 1
        readers[p.end] += 1
        for i in range(p.count):
            if p.ops[i].kind == ACTIVATION and p.ops[i].activation == act.RELU and readers[p.ops[i].source] == 1:
                for k in range(p.count):
                    if p.ops[k].kind == DENSE and p.ops[k].target == p.ops[i].source:
                        p.ops[k].rectifies = p.ops[i].done = True
            if p.ops[i].done and readers[p.ops[i].target] == 1:
                for k in range(p.trained):
                    if p.ops[k].kind == DENSE and p.ops[k].source == p.ops[i].target and p.ops[k].returns:
                        p.ops[k].gated = p.ops[i].undone = True
        return 0

    cdef int _allocate(self, Workspace *space, Py_ssize_t capacity, bint trains) except -1:
        """Buffers for so many rows. An operation works in place where nobody needs what it overwrites."""
        cdef Program *p = &self.program
        cdef Operation *op
        cdef Py_ssize_t i
        cdef Py_ssize_t pieces = 0
        cdef int b, k
        space.capacity = capacity
        space.values = <real **>self._memory(p.buffers * sizeof(void *))
        space.deltas = <real **>self._memory(p.buffers * sizeof(void *))
        space.rows = <const real ***>self._memory(2 * p.buffers * sizeof(void *))
        written_by = {}
        for k in range(p.count):
            op = &p.ops[k]
            written_by[op.target] = op.kind
            if op.kind == DENSE:
                pieces = max(pieces, pieces_of_prediction(op.inputs, op.outputs, op.wide) * op.outputs)
            # On the way back an activation needs its own output, and some need their input.
            shared = op.kind == FLATTEN or not trains and (
                op.kind == DROPOUT or op.kind == ACTIVATION and space.values[op.source] != NULL
            ) or op.source in written_by and written_by[op.source] == DENSE and not (
                op.kind == DENSE or op.kind == ACTIVATION and act.slope_needs_input(op.activation)
            )
            if shared:
                space.values[op.target] = space.values[op.source]
            else:
                space.values[op.target] = <real *>self._memory(capacity * op.outputs * sizeof(real))
        space.pieces = <real *>self._memory(pieces * sizeof(real))
        if trains:
            for b in range(p.buffers):
                space.deltas[b] = <real *>self._memory(capacity * p.sizes[b] * sizeof(real))
            for k in range(p.count):
                op = &p.ops[k]
                if op.kind != DENSE:
                    space.deltas[op.target] = space.deltas[op.source]
        elif p.loss != los.NO_LOSS:
            space.deltas[p.end] = <real *>self._memory(capacity * p.sizes[p.end] * sizeof(real))
        for b in range(p.buffers):
            space.rows[b] = <const real **>self._memory(capacity * sizeof(void *))
            space.rows[b + p.buffers] = <const real **>self._memory(capacity * sizeof(void *))
            for i in range(capacity):
                if space.values[b] != NULL:
                    space.rows[b][i] = space.values[b] + i * p.sizes[b]
                if space.deltas[b] != NULL:
                    space.rows[b + p.buffers][i] = space.deltas[b] + i * p.sizes[b]
        return 0

    cdef int _allocate_pieces(self) except -1:
        """Room for the pieces of long sums, and for the second halves of those over large batches."""
        cdef Operation *op
        cdef Py_ssize_t rows, count
        cdef int i
        for i in range(self.program.count):
            op = &self.program.ops[i]
            if op.kind == DENSE and self.threads > 1 and in_halves(self.batch_size, op.inputs, op.wide):
                if self.program.halves == NULL:
                    self.program.halves = <real *>self._memory(self.program.parameter_count * sizeof(real))
            rows = 0
            for count in (SMALL_BATCH, MEDIUM_BATCH):
                count = min(self.batch_size, count)
                if op.kind == DENSE and pieces_of(count, op.inputs, op.outputs) > 1:
                    rows = max(rows, pieces_of(count, op.inputs, op.outputs) * count)
            if rows > 0:
                op.pieces = <real *>self._memory(rows * op.outputs * sizeof(real))
        return 0

    cdef Job _job(self, const real *x, Py_ssize_t rows) noexcept:
        cdef Job job
        job.program, job.spaces = &self.program, &self.space
        job.x, job.rows = x, rows
        job.input_rows, job.stride, job.panels = self.input_rows, self.stride, self.panels
        job.corners, job.depth = self.corners, self.depth
        job.targets.labels = job.targets.order = NULL
        job.targets.values = job.targets.weights = NULL
        job.losses, job.correct, job.sums = self.losses, self.correct, self.sums
        job.out = NULL
        job.learning_rates = job.progress = NULL
        job.training, job.finite, job.last = False, True, False
        job.step = 0
        job.batch_size = self.batch_size
        job.look, job.left, job.began = 1, -1, 0
        job.timed, job.least = False, INFINITY
        job.deadline = job.value = 0
        job.taken = 0
        return job

    cdef int _parts(self, double operations, double worth) noexcept nogil:
        """One thread below the number of multiply-adds from which a second one pays."""
        return self.threads if operations >= worth else 1

    cdef double _shared(self, Py_ssize_t count, bint learns) noexcept nogil:
        """Multiply-adds of `count` rows in layers that threads share: what counts for whether they are worth it."""
        cdef double shared = 0
        cdef Operation *op
        cdef int i
        for i in range(self.program.count):
            op = &self.program.ops[i]
            if op.kind == DENSE:
                if split_of(self.program.layer_worth, count, op.inputs, op.outputs, self.threads) != ALONE:
                    shared += <double>count * op.inputs * op.outputs * (1 if not learns else 3 if op.returns else 2)
        return shared

    cdef int _training_parts(self, Py_ssize_t count) noexcept nogil:
        return self._parts(self._shared(count, True), self.training_worth)

    # ---- inference

    cdef int _prepare(self, int parts) except -1:
        cdef int i
        while self.spaces_made < parts:
            self._allocate(&self.spaces[self.spaces_made], self.pass_rows, False)
            if self.program.narrow:
                for i in range(2):
                    self.spaces[self.spaces_made].turned[i] = <real *>self._memory(NARROW * TURNED_ROWS * sizeof(real))
            self.spaces_made += 1
        return 0

    def predict(self, const real[:, ::1] x, real[:, ::1] out):
        """out = the network's output, without dropout: x (N, I) -> out (N, O).

        Returns whether x is finite: it is looked at here, while it is in the cache. Where it is not, `out` is
        anything.
        """
        cdef int parts = self._parts(self.operations * x.shape[0], self.prediction_worth)
        cdef Job job
        if x.shape[0] == 0:
            return True
        with self.lock:
            self._prepare(parts)
            job = self._job(&x[0, 0], x.shape[0])
            job.spaces, job.losses = self.spaces, NULL
            job.stride = _stride(x.shape[0], TURNED_PASS if self.program.narrow else self.pass_rows, parts)
            job.out = &out[0, 0]
            with nogil:
                pool_offer(_predict_job, &job, parts)
        return bool(job.finite)

    def predict_plain(self, x):
        """The output (O,) of a row (I,), or (N, O) of rows (N, I), or None where x takes looking after.

        That is, where it is not just an array of the right kind, finite, with at most `Graph.block_rows` rows.
        """
        cdef Py_buffer view
        cdef bint fits
        if not PyObject_CheckBuffer(x):
            return None
        try:
            PyObject_GetBuffer(x, &view, PyBUF_ND | PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        except (BufferError, ValueError):
            return None
        try:
            fits = (
                0 < view.ndim <= 2 and view.shape[view.ndim - 1] == self.inputs and view.format != NULL
                and view.format[0] == (c"f" if sizeof(real) == 4 else c"d") and view.format[1] == 0
            )
            if fits and (view.ndim == 1 or view.shape[0] == 1):
                if view.ndim == 1:
                    result = self.empty(self.outputs, self.dtype)
                else:
                    result = self.empty((1, self.outputs), self.dtype)
                return result if self._predict_row(<const real *>view.buf, result) else None
            if fits and 0 < view.shape[0] <= self.block_rows:
                result = self.empty((view.shape[0], self.outputs), self.dtype)
                return result if self.predict(x, result) else None
            return None
        finally:
            PyBuffer_Release(&view)

    cdef bint _predict_row(self, const real *x, result) except -1:
        """result (O,) = the output of the row x (I,); returns whether x is finite."""
        cdef Py_buffer output
        cdef Job job = self._job(x, 1)
        PyObject_GetBuffer(result, &output, PyBUF_WRITABLE)
        job.spaces, job.out = &self.row_space, <real *>output.buf
        if self.row_operations >= GIL_WORTH:
            with self.lock, nogil:
                self._run_row(&job)
        else:
            with cython.critical_section(self):  # nothing in it calls Python: no other thread comes in between
                if self.row_operations < self.row_worth:
                    _row_job(&job, 0, 1)
                else:
                    self._run_row(&job)
        PyBuffer_Release(&output)
        return job.finite

    cdef void _run_row(self, Job *job) noexcept nogil:
        """Several threads only where one call follows another: to wake one takes longer than most networks.

        Once they are awake, they stay so for a while. If they fall asleep during calls, others want the cores.
        """
        cdef double now = pool_seconds()
        cdef unsigned naps = pool_naps()
        if now - self.row_end > BURST_GAP:
            self.row_calls = 0
        self.row_calls = min(self.row_calls + 1, <int>BURST + 1)
        if self.threads == 1 or self.row_calls <= BURST or now < self.row_alone_until:
            _row_job(job, 0, 1)
        else:
            pool_run(_row_job, job, self.threads)
            self.row_naps = self.row_naps + 1 if pool_naps() != naps else 0
            if self.row_naps == 0:
                self.row_alone = 0
            elif self.row_naps == 3:  # the first one may have been the waking
                self.row_alone = min(max(ALONE_LEAST, 2 * self.row_alone), ALONE_MOST)
                self.row_naps, self.row_alone_until = 0, pool_seconds() + self.row_alone
        self.row_end = pool_seconds()

    def evaluate(self, const real[:, ::1] x, y, const real[::1] sample_weight=None):
        """Loss as (sum, norm), and (correct, total) of the metric, without dropout."""
        cdef int parts = self._parts(self.operations * x.shape[0], self.prediction_worth)
        cdef Py_ssize_t count = x.shape[0]
        cdef _Data data = _Data(x, y, sample_weight)
        cdef double[::1] losses = np.empty(count)
        cdef Py_ssize_t[::1] correct = np.zeros(count, np.intp)
        cdef Py_ssize_t width = self.program.sizes[self.program.end]
        cdef Py_ssize_t right = 0
        cdef double total = 0
        cdef Batch batch
        cdef Job job
        cdef Py_ssize_t i
        batch.count = count
        if count:
            with self.lock:
                self._prepare(parts)
                job = self._job(&x[0, 0], count)
                job.spaces, job.stride = self.spaces, _stride(count, self.pass_rows, parts)
                job.targets = data.targets
                job.losses, job.correct = &losses[0], &correct[0]
                with nogil:
                    pool_offer(_predict_job, &job, parts)
        for i in range(count):
            total += losses[i]
            right += correct[i]
        norm = norm_of(&self.program, &batch, &data.targets, 0)
        if self.program.metric == los.NO_METRIC:
            return total, norm, 0, 0
        return total, norm, right, count * (1 if self.program.metric == los.ARGMAX else width)

    # ---- training

    cdef int _check_rows(self, Py_ssize_t rows) except -1:
        if self.program.gradients == NULL and self.program.parameter_count:
            raise RuntimeError("the executor was made for prediction only, without gradients")
        if rows > self.batch_size:
            raise ValueError(f"x has {rows} rows; the executor was made for batches of at most {self.batch_size}")
        return 0

    def loss_and_gradients(
        self, const real[:, ::1] x, y, const real[::1] sample_weight=None, bint training=False, uint64 step=1
    ):
        """Loss of these rows, at most `batch_size`; writes the gradients."""
        cdef _Data data = _Data(x, y, sample_weight)
        cdef Job job
        self._check_rows(x.shape[0])
        with self.lock:
            job = self._job(&x[0, 0], x.shape[0])
            job.targets, job.training, job.step = data.targets, training, step
            with nogil:
                pool_run(_gradients_job, &job, self._training_parts(x.shape[0]))
        return job.value

    def forward(self, const real[:, ::1] x, bint training=True, uint64 step=1):
        """The output (N, O), for a loss that is not ours."""
        cdef Job job
        cdef Batch batch
        cdef const real **rows
        cdef real[:, ::1] out = np.empty((x.shape[0], self.outputs), self.parameters.dtype)
        cdef Py_ssize_t i
        self._check_rows(x.shape[0])
        with self.lock:
            job = self._job(&x[0, 0], x.shape[0])
            job.training, job.step = training, step
            with nogil:
                pool_run(_forward_job, &job, self._training_parts(x.shape[0]))
            self.x, self.last_count, self.last_training, self.last_step = x, x.shape[0], training, step
            batch.input_rows = self.input_rows
            rows = rows_of(&self.space, &batch, self.program.end)
            for i in range(x.shape[0]):
                memcpy(&out[i, 0], rows[i], self.outputs * sizeof(real))
        return np.asarray(out)

    def backward(self, const real[:, ::1] d_output):
        """Gradients from dL/d output (N, O), after `forward`."""
        cdef const real[:, ::1] x = self.x
        cdef Job job
        if self.x is None:
            raise RuntimeError("backward() needs a forward() first")
        if d_output.shape[0] != self.last_count or d_output.shape[1] != self.outputs:
            raise ValueError(
                f"d_output has shape {(d_output.shape[0], d_output.shape[1])}; "
                f"wanted {(self.last_count, self.outputs)}, as forward() returned"
            )
        with self.lock:
            job = self._job(&x[0, 0], self.last_count)
            job.training, job.step = self.last_training, self.last_step
            memcpy(
                self.space.deltas[self.program.end], &d_output[0, 0], self.last_count * self.outputs * sizeof(real)
            )
            with nogil:
                pool_run(_backward_job, &job, self._training_parts(self.last_count))

    def update(self, double learning_rate, uint64 step):
        """One update of the parameters from the gradients."""
        cdef Job job
        with self.lock:
            job = self._job(NULL, self.last_count or self.batch_size)
            job.learning_rates, job.step = &learning_rate, step
            with nogil:
                pool_run(_update_job, &job, self._training_parts(self.batch_size))

    cdef void _train_run(self, Job *job, int parts) noexcept nogil:
        """Train by several threads, or by one where that is faster: a stage at most, so call it again."""
        cdef double start = pool_seconds()
        cdef double before = job.progress[STEP]
        cdef Stage stage = self.pace.stage
        cdef Py_ssize_t steps
        job.left, job.began = self.pace.left, 0
        job.timed, job.least = stage == COMPARING, INFINITY
        if stage == ALONE_AGAIN:
            _train_job(job, 0, 1)
        else:
            pool_run(_train_alone_job if stage == COMPARING else _train_job, job, parts)
        steps = <Py_ssize_t>(job.progress[STEP] - before)
        if stage == COMPARING:  # the quickest step: a thread that waits may stand in the way of others
            note(&self.pace, steps, job.least if job.least < INFINITY else 0, job.least < INFINITY)
        elif stage == PROBING:  # without the first step, which waits for threads that sleep
            note(&self.pace, steps, pool_seconds() - job.began if steps > 1 else 0, max(steps - 1, 0))
        else:
            note(&self.pace, steps, pool_seconds() - start, steps)

    def train(
        self, const real[:, ::1] x, y, const real[::1] sample_weight, const long long[::1] order,
        const double[::1] learning_rates, double[::1] progress, double seconds,
    ):
        """Train on the rows `order` of x and y, batch by batch, from where `progress` stands.

        Returns at the end of `order`, or at the first end of a batch after `seconds`. Returns False
        where a batch's loss is not finite; its update is then left out.
        """
        cdef _Data data = _Data(x, y, sample_weight, order)
        cdef double work = 3 * self.operations * min(self.batch_size, order.shape[0])
        cdef int parts = self._training_parts(min(self.batch_size, order.shape[0]))
        cdef Job job
        self._check_rows(1)
        with self.lock:
            job = self._job(&x[0, 0], order.shape[0])
            job.targets, job.training = data.targets, True
            job.learning_rates, job.progress = &learning_rates[0], &progress[0]
            job.deadline = pool_seconds() + seconds
            job.look = max(1, <int>min(64.0, 3e6 / (work + 1)))
            with nogil:
                while job.finite and not job.last and job.progress[ROW] < job.rows:
                    if parts == 1:
                        _train_job(&job, 0, 1)
                    else:
                        self._train_run(&job, parts)
        PyErr_CheckSignals()
        return bool(job.finite)


cdef Py_ssize_t _stride(Py_ssize_t rows, Py_ssize_t most, int parts) noexcept:
    """Rows of one pass through the network, at most `most`, which are fours, too: fours, as any number of them is made of tiles of 6 and 4, and
    such that every thread has as many passes."""
    cdef Py_ssize_t share = (rows + parts - 1) // parts
    cdef Py_ssize_t passes = (share + most - 1) // most
    return (share + passes * 4 - 1) // (passes * 4) * 4
