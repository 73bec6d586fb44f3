# The single kernels, for tests and benchmarks; the executor calls what they call, and little else.


cdef const real **_pointers(const real[:, ::1] x) except NULL:
    """Pointers to the rows of x; the caller frees them."""
    cdef const real **rows = <const real **>malloc(max(x.shape[0], 1) * sizeof(void *))
    cdef Py_ssize_t i
    if rows == NULL:
        raise MemoryError
    for i in range(x.shape[0]):
        rows[i] = &x[i, 0]
    return rows


def dense_forward(const real[:, ::1] x, const real[:, ::1] weights, const real[::1] bias, real[:, ::1] z):
    """z = x W + b: x (N, I), weights (I, O), bias (O,) or None -> z (N, O)."""
    cdef const real **rows = _pointers(x)
    cdef Py_ssize_t outputs = weights.shape[1]
    cdef Finish finish = finish_with(&bias[0] if bias is not None else NULL, False, NULL)
    cdef Blocks at = blocks_of(ROWS, x.shape[0], outputs, 0, 1)
    with nogil:
        forward_blocks(rows, x.shape[0], &weights[0, 0], &z[0, 0], &finish, 0, weights.shape[0], outputs, &at)
    free(rows)


def dense_backward_weights(const real[:, ::1] x, const real[:, ::1] d_z, real[:, ::1] d_weights):
    """dW = x^T dz: x (N, I), d_z (N, O) -> d_weights (I, O)."""
    cdef const real **rows = _pointers(x)
    cdef Blocks at = blocks_of(ROWS, x.shape[1], d_z.shape[1], 0, 1)
    with nogil:
        while next_block(&at):
            weights_block(
                rows, &d_z[0, at.column], d_z.shape[1], &d_weights[0, 0], x.shape[0], d_z.shape[1], &at, ANEW
            )
    free(rows)


def dense_backward_bias(const real[:, ::1] d_z, real[::1] d_bias):
    """db = sum over the rows of dz: d_z (N, O) -> d_bias (O,)."""
    cdef Blocks at = blocks_of(ROWS, 1, d_z.shape[1], 0, 1)
    with nogil:
        while next_block(&at):
            bias_block(&d_z[0, 0], &d_bias[0], d_z.shape[0], d_z.shape[1], &at, False)


def dense_backward_input(const real[:, ::1] d_z, const real[:, ::1] weights, real[:, ::1] d_x):
    """dx = dz W^T: d_z (N, O), weights (I, O) -> d_x (N, I)."""
    cdef const real **rows = _pointers(d_z)
    cdef Py_ssize_t inputs = weights.shape[0]
    cdef Py_ssize_t outputs = weights.shape[1]
    cdef real *panel = <real *>malloc(PANEL * DEPTH * sizeof(real))
    cdef Finish finish = finish_with(NULL, False, NULL)
    cdef Blocks at = blocks_of(ROWS, d_z.shape[0], inputs, 0, 1)
    if panel == NULL:
        free(rows)
        raise MemoryError
    with nogil:
        input_blocks(rows, d_z.shape[0], &weights[0, 0], &d_x[0, 0], &finish, inputs, outputs, &at, panel)
    free(panel)
    free(rows)


def activation_forward(const real[:, ::1] z, real[:, ::1] a, name):
    """a = f(z), elementwise or (softmax) along each row: z (N, O) -> a (N, O)."""
    cdef act.Activation f = _ACTIVATIONS[name]
    with nogil:
        if f != act.SOFTMAX:
            act.activation_run(f, &z[0, 0], &a[0, 0], z.shape[0] * z.shape[1])
        else:
            act.softmax_run(&z[0, 0], &a[0, 0], z.shape[0], z.shape[1])


def activation_backward(z, a, d_a, d_z, name):
    """dz = da f'(z); softmax: dz = a (da - sum over the row of a da): all (N, O)."""
    if name == "identity":
        d_z[...] = d_a  # NumPy copies as fast, and four typed views take longer than the copy of a small array
    else:
        _activation_backward(z, a, d_a, d_z, _ACTIVATIONS[name])


cdef _activation_backward(
    const real[:, ::1] z, const real[:, ::1] a, const real[:, ::1] d_a, real[:, ::1] d_z, act.Activation f
):
    cdef Py_ssize_t n
    with nogil:
        if f != act.SOFTMAX:
            act.slope_run(f, &z[0, 0], &a[0, 0], &d_a[0, 0], &d_z[0, 0], z.shape[0] * z.shape[1])
        else:
            for n in range(z.shape[0]):
                act.softmax_slope_row(&a[n, 0], &d_a[n, 0], &d_z[n, 0], z.shape[1])


def dropout(const real[:, ::1] x, real[:, ::1] y, double rate, uint64 key):
    """y = x m / (1 - rate), each m 0 with probability `rate`, else 1: x (N, O) -> y (N, O)."""
    with nogil:
        dropout_run(
            &x[0, 0], &y[0, 0], x.shape[0] * x.shape[1], 0, <real>(1.0 / (1.0 - rate)), threshold(rate), key
        )


def loss_and_slope(
    const real[:, ::1] output, target, const real[::1] sample_weight, real[:, ::1] d_output, name, double parameter=1.0,
    double scale=1.0,
):
    """Loss, as the pair (sum, norm), and dL/d output: output (N, O), target (N, O) or labels (N,) -> d_output (N, O)."""
    cdef Py_ssize_t size = output.shape[0] * output.shape[1]
    cdef _Data data = _Data(output, target, sample_weight)
    cdef Program program
    cdef Workspace space
    cdef Batch batch
    cdef real *values = <real *>NULL  # rows of `output` are the input's
    cdef real *slopes = &d_output[0, 0]
    cdef double norm
    cdef double total = 0
    cdef Py_ssize_t i
    cdef double[::1] losses = np.zeros(output.shape[0])
    program.loss = _LOSSES[name]
    program.metric = los.NO_METRIC
    program.loss_parameter, program.loss_scale = <real>parameter, scale
    program.end = 0
    program.sizes = &output.shape[1]
    space.values, space.deltas = &values, &slopes
    batch.count, batch.part, batch.parts = output.shape[0], 0, 1
    batch.input_rows = _pointers(output)
    norm = norm_of(&program, &batch, &data.targets, 0)
    if size:
        loss_part(&program, &space, &batch, &data.targets, EVENLY, 0, norm, &losses[0], NULL)
    free(batch.input_rows)
    for i in range(output.shape[0]):
        total += losses[i]
    return total, norm


def count_correct(const real[:, ::1] output, target, metric, double boundary):
    """How many predictions are right, and of how many: output (N, O), target (N, O) or labels (N,)."""
    cdef _Data data = _Data(output, target, None)
    cdef los.Metric kind = _METRICS[metric]
    cdef Py_ssize_t width = output.shape[1]
    cdef Py_ssize_t right = 0
    cdef Py_ssize_t i
    if kind == los.NO_METRIC:
        return 0, 0
    for i in range(output.shape[0]):
        right += los.correct_row(
            kind, &output[i, 0], data.targets.values + i * width if data.targets.values != NULL else NULL,
            data.targets.labels[i] if data.targets.labels != NULL else 0, width, <real>boundary,
        )
    return right, output.shape[0] * (1 if kind == los.ARGMAX else width)


def update(
    const real[::1] gradients, const real[::1] decay, real[::1] parameters, real[:, ::1] state, name, hyper,
    double learning_rate, double step
):
    """One update, step = 1, 2, ...: gradients, decay (P,) -> parameters (P,), state (S, P).

    `decay` is 1 where weight decay applies, else 0.
    """
    cdef opt.Hyper h = _hyper(name, hyper)
    cdef opt.Rates rates
    cdef Py_ssize_t count = gradients.shape[0]
    cdef real *s = &state[0, 0] if state.shape[0] > 0 else NULL
    cdef real *t = &state[1, 0] if state.shape[0] > 1 else NULL
    cdef double total = 0
    cdef Py_ssize_t i, end
    for i from 0 <= i < (count if h.clip_norm > 0 else 0) by NORM_RUN:
        total += opt.squares(&gradients[i], min(<Py_ssize_t>NORM_RUN, count - i), <real>h.clip_value)
    rates = opt.rates_of(&h, learning_rate, step, _clip_scale(&h, total), 1)
    i = 0
    while i < count:
        end = _equal_until(&decay[0], i, count) if h.weight_decay > 0 else count
        opt.update_run(
            &rates, &gradients[i], 0, &parameters[i], s + i if s != NULL else NULL, t + i if t != NULL else NULL,
            1, end - i, end - i, decay[i] != 0,
        )
        i = end


cdef Py_ssize_t _equal_until(const real *values, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """End of the run of equal values that starts at `first`."""
    cdef Py_ssize_t end = first + 1
    while end + 64 <= count and memcmp(values + end - 1, values + end, 64 * sizeof(real)) == 0:
        end += 64
    while end < count and values[end] == values[first]:
        end += 1
    return end


cdef opt.Hyper _hyper(name, hyper) except *:
    """An optimizer's numbers; what it does not have is 0."""
    cdef opt.Hyper h
    h.optimizer = _OPTIMIZERS[name]
    if name == "sgd" and hyper.get("momentum", 0):
        h.optimizer = opt.SGD_NESTEROV if hyper["nesterov"] else opt.SGD_MOMENTUM
    h.weight_decay = hyper.get("weight_decay", 0)
    h.clip_norm = hyper.get("clip_norm", 0)
    h.clip_value = hyper.get("clip_value", 0)
    h.momentum = hyper.get("momentum", 0)
    h.beta1 = hyper.get("beta1", 0)
    h.beta2 = hyper.get("beta2", 0)
    h.rho = hyper.get("rho", 0)
    h.epsilon = hyper.get("epsilon", 0)
    h.eta_minus = hyper.get("eta_minus", 0)
    h.eta_plus = hyper.get("eta_plus", 0)
    h.step_min = hyper.get("step_min", 0)
    h.step_max = hyper.get("step_max", 0)
    h.shares_decay = hyper.get("shares_decay", 0) != 0
    h.plain_epsilon = hyper.get("plain_epsilon", 0) != 0
    return h


cdef double _clip_scale(const opt.Hyper *h, double squares) noexcept nogil:
    """Factor that brings a gradient with this sum of squares down to the norm allowed."""
    cdef double norm = sqrt(squares)
    return h.clip_norm / norm if h.clip_norm > 0 and norm > h.clip_norm else 1


cdef vreal _math(int code, vreal x) noexcept nogil:
    if code == 0:
        return vmath.vexp(x)
    if code == 1:
        return vmath.vexpm1(x)
    if code == 2:
        return vmath.vlog(x)
    if code == 3:
        return vmath.vsigmoid(x)
    if code == 4:
        return vmath.vtanh(x)
    if code == 5:
        return vmath.vsoftplus(x)
    if code == 6:
        return vmath.verf(x)
    if code == 7:
        return vmath.vgelu(x)
    return vmath.vgelu_slope(x)


MATH = ("exp", "expm1", "log", "sigmoid", "tanh", "softplus", "erf", "gelu", "gelu_slope")
"""What `vector_math` knows."""


def vector_math(name, const real[::1] x, real[::1] out):
    """out = the approximation that the kernels use of an elementary function, one of `MATH`: x (N,) -> out (N,)."""
    cdef int code = MATH.index(name)
    cdef Py_ssize_t count = x.shape[0]
    cdef Py_ssize_t i
    for i from 0 <= i < count by LANES:
        if count - i >= LANES:
            vstore(&out[i], _math(code, vload(&x[i])))
        else:
            vstore_n(&out[i], _math(code, vload_n(&x[i], count - i)), count - i)


def layer_split(double worth, Py_ssize_t count, Py_ssize_t inputs, Py_ssize_t outputs, int threads):
    """How threads share a dense layer in training, see `split_of`: "alone", "inputs", "columns", "rows", or "halves"
    where they share the rows from the input to the gradient."""
    cdef Split split = split_of(worth, count, inputs, outputs, threads)
    if shares_halves(split, count, inputs, is_wide(inputs, outputs), threads):
        return "halves"
    return {ALONE: "alone", INPUTS: "inputs", ROWS: "rows", COLUMNS: "columns"}[split]
