"""Activations: a from z, and dz from da. The reference has the formulas.

To add one: a name in the enum, in `activation_names` and in `either_run`, and its lines in `activate` and `slope`.
"""

from libc.math cimport INFINITY

from fastnet.backends.compiled.simd cimport (
    LANES, forced, real, vfill_n, vhighest, vle, vlt, vload, vload_n, vmax, vmin, vreal, vselect, vset1,
    vstore, vstore_n, vsum,
)
from fastnet.backends.compiled.vmath cimport (
    vexp, vexpm1, vgelu, vgelu_slope, vsigmoid, vsoftplus, vtanh,
)

cdef enum Activation:
    IDENTITY
    STEP_FUNCTION
    SIGMOID
    TANH
    RELU
    LEAKY_RELU
    ELU
    GELU
    SILU
    SOFTPLUS
    EXP
    SOFTMAX


cdef inline dict activation_names():
    """Each by the name that Python knows it by."""
    return {
        "identity": IDENTITY,
        "step": STEP_FUNCTION,
        "sigmoid": SIGMOID,
        "tanh": TANH,
        "relu": RELU,
        "leaky_relu": LEAKY_RELU,
        "elu": ELU,
        "gelu": GELU,
        "silu": SILU,
        "softplus": SOFTPLUS,
        "exp": EXP,
        "softmax": SOFTMAX,
    }


cdef inline bint slope_needs_input(Activation f) noexcept nogil:
    """Whether z must be kept for the way back; the slopes of all others follow from a."""
    return f == GELU or f == SILU


cdef inline vreal vsilu(vreal z) noexcept nogil:
    """z sigmoid(z); z is held above -1e30, where the product is 0, so that -infinity gives its limit."""
    z = vmax(vset1(<real>-1e30), z)
    return z * vsigmoid(z)


cdef inline vreal vsilu_slope(vreal z) noexcept nogil:
    """s + z s (1 - s), s the sigmoid; at both infinities the limits."""
    cdef vreal s = vsigmoid(z)
    z = vmax(vset1(<real>-1e30), vmin(vset1(<real>1e30), z))
    return s + z * s * (vset1(1) - s)


cdef inline vreal activate(Activation f, vreal z) noexcept nogil:
    """a = f(z)."""
    if f == STEP_FUNCTION:
        return vselect(vlt(vset1(0), z), vset1(1), vselect(vle(z, vset1(0)), vset1(0), z))
    if f == SIGMOID:
        return vsigmoid(z)
    if f == TANH:
        return vtanh(z)
    if f == RELU:
        return vmax(vset1(0), z)
    if f == LEAKY_RELU:
        return vselect(vlt(vset1(0), z), z, z / vset1(100))
    if f == ELU:
        return vselect(vlt(vset1(0), z), z, vexpm1(z))
    if f == GELU:
        return vgelu(z)
    if f == SILU:
        return vsilu(z)
    if f == SOFTPLUS:
        return vsoftplus(z)
    if f == EXP:
        return vexp(z)
    return z


cdef inline vreal slope(Activation f, vreal z, vreal a) noexcept nogil:
    """da/dz; z is looked at only where `slope_needs_input` says so."""
    if f == STEP_FUNCTION:
        return vset1(0)
    if f == SIGMOID:
        return a * (vset1(1) - a)
    if f == TANH:
        return vset1(1) - a * a
    if f == RELU:
        return vselect(vlt(vset1(0), a), vset1(1), vset1(0))
    if f == LEAKY_RELU:
        return vselect(vlt(vset1(0), a), vset1(1), vset1(<real>0.01))
    if f == ELU:
        return vselect(vlt(vset1(0), a), vset1(1), a + vset1(1))
    if f == GELU:
        return vgelu_slope(z)
    if f == SILU:
        return vsilu_slope(z)
    if f == SOFTPLUS:
        return vset1(0) - vexpm1(vset1(0) - a)
    if f == EXP:
        return a
    return vset1(1)


cdef inline forced activation_loop(Activation f, const real *z, real *a, Py_ssize_t count) noexcept nogil:
    """a[i] = f(z[i]); z and a may be the same."""
    cdef Py_ssize_t i = 0
    while i + LANES <= count:
        vstore(a + i, activate(f, vload(z + i)))
        i += LANES
    if i < count:
        vstore_n(a + i, activate(f, vload_n(z + i, count - i)), count - i)


cdef inline forced slope_loop(
    Activation f, const real *z, const real *a, const real *d_a, real *d_z, Py_ssize_t count,
) noexcept nogil:
    """d_z[i] = d_a[i] f'(z[i]); d_a and d_z may be the same."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t n
    while i + LANES <= count:
        vstore(d_z + i, vload(d_a + i) * slope(f, vload(z + i), vload(a + i)))
        i += LANES
    n = count - i
    if n > 0:
        vstore_n(d_z + i, vload_n(d_a + i, n) * slope(f, vload_n(z + i, n), vload_n(a + i, n)), n)


cdef inline forced either_loop(
    Activation f, bint back, const real *z, real *a, const real *d_a, real *d_z, Py_ssize_t count,
) noexcept nogil:
    if back:
        slope_loop(f, z, a, d_a, d_z, count)
    else:
        activation_loop(f, z, a, count)


cdef inline forced either_run(
    Activation f, bint back, const real *z, real *a, const real *d_a, real *d_z, Py_ssize_t count,
) noexcept nogil:
    """A loop of its own for each f, in each direction."""
    if f == IDENTITY:
        either_loop(IDENTITY, back, z, a, d_a, d_z, count)
    elif f == STEP_FUNCTION:
        either_loop(STEP_FUNCTION, back, z, a, d_a, d_z, count)
    elif f == SIGMOID:
        either_loop(SIGMOID, back, z, a, d_a, d_z, count)
    elif f == TANH:
        either_loop(TANH, back, z, a, d_a, d_z, count)
    elif f == RELU:
        either_loop(RELU, back, z, a, d_a, d_z, count)
    elif f == LEAKY_RELU:
        either_loop(LEAKY_RELU, back, z, a, d_a, d_z, count)
    elif f == ELU:
        either_loop(ELU, back, z, a, d_a, d_z, count)
    elif f == GELU:
        either_loop(GELU, back, z, a, d_a, d_z, count)
    elif f == SILU:
        either_loop(SILU, back, z, a, d_a, d_z, count)
    elif f == SOFTPLUS:
        either_loop(SOFTPLUS, back, z, a, d_a, d_z, count)
    elif f == EXP:
        either_loop(EXP, back, z, a, d_a, d_z, count)


cdef inline void activation_run(Activation f, const real *z, real *a, Py_ssize_t count) noexcept nogil:
    """a[i] = f(z[i])."""
    either_run(f, False, z, a, NULL, NULL, count)


cdef inline void slope_run(
    Activation f, const real *z, const real *a, const real *d_a, real *d_z, Py_ssize_t count,
) noexcept nogil:
    """d_z[i] = d_a[i] f'(z[i])."""
    either_run(f, True, z, <real *>a, d_a, d_z, count)


# ---- softmax, a row at a time -----------------------------------------------------------------------

cdef inline vreal softmax_vector(vreal z, Py_ssize_t count, real *highest, real *total) noexcept nogil:
    """exp(z - max) / total for one row of at most a vector's width, and its max and total."""
    cdef vreal e
    highest[0] = vhighest(vfill_n(z, count, -<real>INFINITY))
    e = vfill_n(vexp(z - vset1(highest[0])), count, 0)
    total[0] = vsum(e)
    return e / vset1(total[0])


cdef inline void softmax_run(const real *z, real *a, Py_ssize_t rows, Py_ssize_t count) noexcept nogil:
    """All rows of z (rows, count) -> a, which may be the same. What is stored with a mask holds up what is read beside it,
    so a short row is read before the one above it is stored."""
    cdef real highest, total
    cdef vreal now, following
    cdef Py_ssize_t i
    if count > LANES:
        for i in range(rows):
            softmax_row(z + i * count, a + i * count, count, &total)
    elif rows > 0:
        following = vload_n(z, count)
        for i in range(rows):
            now = following
            if i + 1 < rows:
                following = vload_n(z + (i + 1) * count, count)
            vstore_n(a + i * count, softmax_vector(now, count, &highest, &total), count)


cdef inline real softmax_row(const real *z, real *a, Py_ssize_t count, real *total) noexcept nogil:
    """a = exp(z - max) / total for one row, and *total; returns the max. z and a may be the same."""
    cdef real low = -<real>INFINITY
    cdef real highest
    cdef vreal most = vset1(low)
    cdef vreal sums = vset1(0)
    cdef vreal e
    cdef Py_ssize_t i, n
    if count <= LANES:
        vstore_n(a, softmax_vector(vload_n(z, count), count, &highest, total), count)
        return highest
    for i from 0 <= i < count by LANES:
        n = count - i
        most = vmax(vload(z + i) if n >= LANES else vfill_n(vload_n(z + i, n), n, low), most)
    highest = vhighest(most)
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            e = vexp(vload(z + i) - vset1(highest))
            vstore(a + i, e)
        else:
            e = vfill_n(vexp(vload_n(z + i, n) - vset1(highest)), n, 0)
            vstore_n(a + i, e, n)
        sums = sums + e
    total[0] = vsum(sums)
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            vstore(a + i, vload(a + i) / vset1(total[0]))
        else:
            vstore_n(a + i, vload_n(a + i, n) / vset1(total[0]), n)
    return highest


cdef inline void softmax_slope_row(const real *a, const real *d_a, real *d_z, Py_ssize_t count) noexcept nogil:
    """d_z = a (d_a - sum of a d_a) for one row; d_a and d_z may be the same."""
    cdef vreal sums = vset1(0)
    cdef vreal dot
    cdef Py_ssize_t i, n
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            sums = sums + vload(a + i) * vload(d_a + i)
        else:
            sums = sums + vload_n(a + i, n) * vload_n(d_a + i, n)
    dot = vset1(vsum(sums))
    for i from 0 <= i < count by LANES:
        n = count - i
        if n >= LANES:
            vstore(d_z + i, vload(a + i) * (vload(d_a + i) - dot))
        else:
            vstore_n(d_z + i, vload_n(a + i, n) * (vload_n(d_a + i, n) - dot), n)
