"""One update of a run of parameters; the reference has the formulas.

What is the same for all parameters of a step is worked out once, in `rates_of`.
"""

from libc.math cimport pow, sqrt

from fastnet.backends.compiled.simd cimport (
    LANES, forced, real, vabs, vcopysign, vlt, vload, vload_n, vmax, vmin, vreal, vrounded, vselect, vset1, vsqrt,
    vstore, vstore_n,
)

cdef enum Optimizer:
    NO_OPTIMIZER
    SGD_PLAIN
    SGD_MOMENTUM
    SGD_NESTEROV
    ADAGRAD
    RMSPROP
    ADAM
    ADAMW
    RPROP

cdef inline dict optimizer_names():
    """Each by the name that Python knows it by."""
    return {
        "": NO_OPTIMIZER,
        "sgd": SGD_PLAIN,
        "adagrad": ADAGRAD,
        "rmsprop": RMSPROP,
        "adam": ADAM,
        "adamw": ADAMW,
        "rprop": RPROP,
    }


cdef struct Hyper:
    # An optimizer's numbers, by the names that its Python object has.
    Optimizer optimizer
    double weight_decay, clip_norm, clip_value, momentum, beta1, beta2, rho, epsilon
    double eta_minus, eta_plus, step_min, step_max
    bint shares_decay   # weight decay is divided by the weights of the batch
    bint plain_epsilon  # of Adam: added before the correction of the mean square

cdef struct Rates:
    # The numbers of one step.
    Optimizer optimizer
    bint clips, first
    real clip_value, scale, learning_rate, decay, momentum, beta1, rest1, beta2, rest2, epsilon, correction
    real eta_minus, eta_plus, step_min, step_max


cdef inline Rates rates_of(
    const Hyper *h, double learning_rate, double step, double scale, double weights,
) noexcept nogil:
    """Numbers of step 1, 2, ...; `scale` is what the gradient's norm asks for, 1 where it is short enough; `weights` is
    the sum of those of the batch."""
    cdef double decay = h.weight_decay
    cdef Rates r
    r.optimizer = h.optimizer
    r.clips = h.clip_value > 0
    r.first = step == 1
    r.clip_value = h.clip_value
    r.scale = scale
    r.learning_rate = learning_rate
    if h.shares_decay:
        decay = decay / weights if weights > 0 else 0
    r.decay = decay
    r.momentum = h.momentum
    r.beta1, r.rest1 = h.beta1, 1 - h.beta1
    r.beta2, r.rest2 = h.beta2, 1 - h.beta2
    r.epsilon = h.epsilon
    r.correction = 1
    r.eta_minus, r.eta_plus, r.step_min, r.step_max = h.eta_minus, h.eta_plus, h.step_min, h.step_max
    if h.optimizer == RMSPROP:
        r.beta2, r.rest2 = h.rho, 1 - h.rho
    elif h.optimizer == ADAMW:
        r.decay = learning_rate * decay
    if h.optimizer == ADAM or h.optimizer == ADAMW:
        r.correction = 1 / sqrt(1 - power(h.beta2, step))
        r.learning_rate = learning_rate / (1 - power(h.beta1, step))
        if h.plain_epsilon:
            r.epsilon = h.epsilon * r.correction
    return r


cdef inline double power(double beta, double step) noexcept nogil:
    """beta^step for 0 <= beta < 1, or 0 where 1 - beta^step is 1: log beta <= -(1 - beta), and exp(-38) < 2^-54."""
    return pow(beta, step) if step * (1 - beta) < 38 else 0


cdef inline vreal sign(vreal x) noexcept nogil:
    """-1, 0 or 1; NaN stays NaN."""
    return vselect(vlt(vset1(0), vabs(x)), vcopysign(vset1(1), x), x)


cdef inline forced update_vector(
    const Rates *r, vreal g, vreal *w, vreal *s, vreal *t, bint decays, bint shaped, Optimizer optimizer,
) noexcept nogil:
    """New values of one vector of parameters w and of its states s and t."""
    cdef vreal agreement
    if shaped:
        if r.clips:
            g = vmax(vset1(-r.clip_value), vmin(vset1(r.clip_value), g))
        if r.scale != 1:
            g = vrounded(g * vset1(r.scale))
        if decays and r.decay != 0:
            if optimizer == ADAMW:
                w[0] = w[0] - vset1(r.decay) * w[0]
            else:
                g = g + vset1(r.decay) * w[0]
    if optimizer == SGD_PLAIN:
        w[0] = w[0] - vset1(r.learning_rate) * g
    elif optimizer == SGD_MOMENTUM:
        s[0] = vset1(r.momentum) * s[0] + g
        w[0] = w[0] - vset1(r.learning_rate) * s[0]
    elif optimizer == SGD_NESTEROV:
        s[0] = vset1(r.momentum) * s[0] + g
        w[0] = w[0] - vset1(r.learning_rate) * (g + vset1(r.momentum) * s[0])
    elif optimizer == ADAGRAD:
        s[0] = s[0] + g * g
        w[0] = w[0] - vset1(r.learning_rate) * g / (vsqrt(s[0]) + vset1(r.epsilon))
    elif optimizer == RMSPROP:
        s[0] = vset1(r.beta2) * s[0] + vrounded(vset1(r.rest2) * g * g)
        w[0] = w[0] - vset1(r.learning_rate) * g / (vsqrt(s[0]) + vset1(r.epsilon))
    elif optimizer == ADAM or optimizer == ADAMW:
        s[0] = vset1(r.beta1) * s[0] + vrounded(vset1(r.rest1) * g)
        t[0] = vset1(r.beta2) * t[0] + vrounded(vset1(r.rest2) * (g * g))
        w[0] = w[0] - vset1(r.learning_rate) * s[0] / (vsqrt(t[0]) * vset1(r.correction) + vset1(r.epsilon))
    elif optimizer == RPROP:
        if r.first:
            t[0] = vset1(r.learning_rate)
        agreement = g * s[0]
        t[0] = vselect(vlt(vset1(0), agreement), t[0] * vset1(r.eta_plus), t[0])
        t[0] = vselect(vlt(agreement, vset1(0)), t[0] * vset1(r.eta_minus), t[0])
        t[0] = vmax(vset1(r.step_min), vmin(vset1(r.step_max), t[0]))
        s[0] = vselect(vlt(agreement, vset1(0)), vset1(0), g)
        w[0] = w[0] - sign(s[0]) * t[0]


cdef inline forced update_rows(
    const Rates *rates, const real *g, Py_ssize_t ld_g, real *w, real *s, real *t, Py_ssize_t rows, Py_ssize_t run,
    Py_ssize_t ld, bint decays, bint shaped, Optimizer optimizer, int states,
) noexcept nogil:
    """Update `rows` runs of `run` parameters that start `ld` apart, their gradients `ld_g`; the last arguments are known
    when compiled."""
    cdef Rates r = rates[0]  # a copy, so that the compiler knows that no store changes it
    cdef Py_ssize_t row, i, n
    cdef vreal wi, si, ti
    si = ti = vset1(0)
    for row in range(rows):
        for i from 0 <= i <= run - LANES by LANES:
            wi = vload(w + i)
            if states > 0:
                si = vload(s + i)
            if states > 1:
                ti = vload(t + i)
            update_vector(&r, vload(g + i), &wi, &si, &ti, decays, shaped, optimizer)
            vstore(w + i, wi)
            if states > 0:
                vstore(s + i, si)
            if states > 1:
                vstore(t + i, ti)
        n = run % LANES
        if n > 0:
            i = run - n
            wi = vload_n(w + i, n)
            if states > 0:
                si = vload_n(s + i, n)
            if states > 1:
                ti = vload_n(t + i, n)
            update_vector(&r, vload_n(g + i, n), &wi, &si, &ti, decays, shaped, optimizer)
            vstore_n(w + i, wi, n)
            if states > 0:
                vstore_n(s + i, si, n)
            if states > 1:
                vstore_n(t + i, ti, n)
        g += ld_g
        w += ld
        if states > 0:
            s += ld
        if states > 1:
            t += ld


cdef inline bint is_plain(const Rates *r, bint decays) noexcept nogil:
    """Whether the gradient is taken as it is: not clipped, and without weight decay."""
    return not r.clips and r.scale == 1 and not (decays and r.decay != 0)


cdef inline void update_run(
    const Rates *r, const real *g, Py_ssize_t ld_g, real *w, real *s, real *t, Py_ssize_t rows, Py_ssize_t run,
    Py_ssize_t ld, bint decays,
) noexcept nogil:
    """Update `rows` runs of `run` parameters w, `ld` apart, from their gradients g, `ld_g` apart, and with two states or
    NULL."""
    cdef bint plain = is_plain(r, decays)
    if r.optimizer == SGD_PLAIN and plain:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, False, SGD_PLAIN, 0)
    elif r.optimizer == SGD_PLAIN:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, SGD_PLAIN, 0)
    elif r.optimizer == SGD_MOMENTUM:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, SGD_MOMENTUM, 1)
    elif r.optimizer == SGD_NESTEROV:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, SGD_NESTEROV, 1)
    elif r.optimizer == ADAGRAD:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, ADAGRAD, 1)
    elif r.optimizer == RMSPROP:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, RMSPROP, 1)
    elif (r.optimizer == ADAM or r.optimizer == ADAMW) and plain:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, False, ADAM, 2)
    elif r.optimizer == ADAM:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, ADAM, 2)
    elif r.optimizer == ADAMW:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, ADAMW, 2)
    elif r.optimizer == RPROP:
        update_rows(r, g, ld_g, w, s, t, rows, run, ld, decays, True, RPROP, 2)


cdef inline double squares(const real *g, Py_ssize_t count, real clip_value) noexcept nogil:
    """Sum of squares of a run of the gradient, each value cut to the clip first (0: none)."""
    cdef double total = 0
    cdef double value
    cdef Py_ssize_t i
    for i in range(count):
        value = g[i]
        if clip_value > 0:
            value = max(-<double>clip_value, min(<double>clip_value, value))
        total += value * value
    return total
