"""Losses of one row of outputs, and their slopes. The reference has the formulas.

To add one: a name in the enum and in `loss_names`, and its lines in `loss_vector`.
"""

from libc.math cimport log

from fastnet.backends.compiled.activations cimport softmax_row, softmax_vector
from fastnet.backends.compiled.simd cimport (
    LANES, real, vabs, vcopysign, vfill_n, vlt, vload, vload_n, vmax, vmin, vreal, vselect, vset1, vstore,
    vstore_n, vsum, vunit,
)
from fastnet.backends.compiled.vmath cimport vexp, vlog, vsigmoid, vsoftplus

cdef extern from *:
    """
    #ifdef FASTNET_DOUBLE
    #define FASTNET_TINY 2.2250738585072014e-308
    #else
    #define FASTNET_TINY 1.17549435e-38f
    #endif
    """
    const real TINY "FASTNET_TINY"

cdef enum Loss:
    NO_LOSS
    HALF_SQUARED_ERROR
    MEAN_SQUARED_ERROR
    MEAN_ABSOLUTE_ERROR
    HUBER
    POISSON
    EXP_POISSON
    QUANTILE
    SIGMOID_BINARY_CROSS_ENTROPY
    SOFTMAX_CROSS_ENTROPY
    PERCEPTRON

cdef inline dict loss_names():
    """Each by the name that Python knows it by."""
    return {
        "": NO_LOSS,
        "half_squared_error": HALF_SQUARED_ERROR,
        "mean_squared_error": MEAN_SQUARED_ERROR,
        "mean_absolute_error": MEAN_ABSOLUTE_ERROR,
        "huber": HUBER,
        "poisson": POISSON,
        "exp_poisson": EXP_POISSON,
        "quantile": QUANTILE,
        "sigmoid_binary_cross_entropy": SIGMOID_BINARY_CROSS_ENTROPY,
        "softmax_cross_entropy": SOFTMAX_CROSS_ENTROPY,
        "perceptron": PERCEPTRON,
    }


cdef enum Metric:
    NO_METRIC
    ARGMAX
    THRESHOLD
    SIGN


cdef inline vreal loss_vector(Loss kind, vreal y, vreal t, vreal d, vreal *slope) noexcept nogil:
    """Loss of each element, and its slope with respect to y."""
    cdef vreal zero = vset1(0)
    cdef vreal e = y - t
    cdef vreal size = vabs(e)
    cdef vreal floor
    if kind == HALF_SQUARED_ERROR:
        slope[0] = e
        return vset1(<real>0.5) * e * e
    if kind == MEAN_SQUARED_ERROR:
        slope[0] = e + e
        return e * e
    if kind == MEAN_ABSOLUTE_ERROR:
        slope[0] = vselect(vlt(zero, size), vcopysign(vset1(1), e), e)
        return size
    if kind == HUBER:
        slope[0] = vmax(zero - d, vmin(d, e))
        return vselect(vlt(d, size), d * (size - vset1(<real>0.5) * d), vset1(<real>0.5) * e * e)
    if kind == POISSON:
        floor = vmax(vset1(TINY), y)
        slope[0] = vset1(1) - t / floor
        return y - t * vlog(floor)
    if kind == EXP_POISSON:
        floor = vexp(y)
        slope[0] = floor - t
        return floor - t * y
    if kind == QUANTILE:
        slope[0] = vselect(vlt(zero, e), vset1(1) - d, vselect(vlt(e, zero), zero - d, e))
        return slope[0] * e
    if kind == SIGMOID_BINARY_CROSS_ENTROPY:
        slope[0] = vsigmoid(y) - t
        return vsoftplus(y) - y * t
    # PERCEPTRON
    e = t * y
    slope[0] = vselect(vlt(e, zero), zero - t, zero)
    return vmax(zero, zero - e)


cdef inline double loss_row(
    Loss kind, const real *y, const real *t, real *d_y, Py_ssize_t count, real parameter, real factor,
) noexcept nogil:
    """Loss of one row, d_y = factor times the slope. y and d_y may be the same."""
    cdef vreal total = vset1(0)
    cdef vreal slope, value
    cdef Py_ssize_t i, n
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            value = loss_vector(kind, vload(y + i), vload(t + i), vset1(parameter), &slope)
            vstore(d_y + i, slope * vset1(factor))
        else:
            value = loss_vector(kind, vload_n(y + i, n), vload_n(t + i, n), vset1(parameter), &slope)
            value = vfill_n(value, n, 0)
            vstore_n(d_y + i, slope * vset1(factor), n)
        total = total + value
    return vsum(total)


cdef inline void loss_column(
    Loss kind, const real *y, const real *t, real *d_y, real parameter, const real *factors, double *losses,
) noexcept nogil:
    """What `loss_row` does, for LANES rows of a single output: lanes along the rows."""
    cdef vreal slope
    cdef real values[LANES]
    cdef int i
    vstore(values, loss_vector(kind, vload(y), vload(t), vset1(parameter), &slope))
    vstore(d_y, slope * vload(factors))
    for i in range(LANES):
        losses[i] = values[i]


cdef inline double cross_entropy_label(
    const real *z, long long label, real *d_z, Py_ssize_t count, real factor,
) noexcept nogil:
    """-log softmax(z)[label] of one row, and d_z = factor (softmax(z) - one at the label)."""
    cdef real highest, total
    cdef real at = z[label]
    cdef vreal slope
    cdef Py_ssize_t i, n
    if count <= LANES:  # all of it in a register: what was just stored with a mask is slow to read
        slope = softmax_vector(vload_n(z, count), count, &highest, &total) - vunit(label)
        vstore_n(d_z, slope * vset1(factor), count)
        return log(total) - <double>(at - highest)
    highest = softmax_row(z, d_z, count, &total)
    d_z[label] -= 1
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            vstore(d_z + i, vload(d_z + i) * vset1(factor))
        else:
            vstore_n(d_z + i, vload_n(d_z + i, n) * vset1(factor), n)
    return log(total) - <double>(at - highest)


cdef inline double cross_entropy_row(
    const real *z, const real *t, real *d_z, Py_ssize_t count, real factor,
) noexcept nogil:
    """-sum of t log softmax(z) of one row, and d_z = factor (softmax(z) sum(t) - t); z is not d_z."""
    cdef real total
    cdef real highest = softmax_row(z, d_z, count, &total)
    cdef real log_total = <real>log(total)
    cdef vreal loss = vset1(0)
    cdef vreal sums = vset1(0)
    cdef vreal ti, mass, term
    cdef Py_ssize_t i, n
    for i from 0 <= i < count by LANES:
        n = count - i
        ti = vload(t + i) if n >= LANES else vload_n(t + i, n)
        term = vload(z + i) if n >= LANES else vload_n(z + i, n)
        term = ti * (term - vset1(highest) - vset1(log_total))
        # A target of exactly 0 counts for nothing, also where its logit is -infinity.
        loss = loss - vselect(vlt(vset1(0), vabs(ti)), term, ti)
        sums = sums + ti
    mass = vset1(vsum(sums))
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            vstore(d_z + i, (vload(d_z + i) * mass - vload(t + i)) * vset1(factor))
        else:
            vstore_n(d_z + i, (vload_n(d_z + i, n) * mass - vload_n(t + i, n)) * vset1(factor), n)
    return vsum(loss)


cdef inline Py_ssize_t largest(const real *y, Py_ssize_t count) noexcept nogil:
    """Index of the first largest value; NaN counts as larger than all others."""
    cdef Py_ssize_t best = 0
    cdef Py_ssize_t i
    for i in range(1, count):
        if y[best] != y[best]:
            break
        if not y[i] <= y[best]:
            best = i
    return best


cdef inline Py_ssize_t correct_row(
    Metric metric, const real *y, const real *t, long long label, Py_ssize_t count, real boundary,
) noexcept nogil:
    """How many predictions of one row are right; t is NULL where the label counts."""
    cdef Py_ssize_t right = 0
    cdef Py_ssize_t i
    if metric == ARGMAX:
        if t != NULL:
            label = largest(t, count)
        return largest(y, count) == label
    for i in range(count):
        if metric == THRESHOLD:
            right += (y[i] > boundary) == (t[i] > <real>0.5)
        else:
            right += y[i] * t[i] > 0
    return right
