"""Activations: a from z, and dz from da. The reference has the formulas.

To add one: a name in the enum, its two lines here, and its name in `backend.pyx`'s table.
"""

from fastnet.backends.compiled.simd cimport (
    LANES, forced, real, vabs, vfill_n, vhighest, vint, vle, vlt, vload, vload_n, vmax, vmin, vreal, vselect, vset1,
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
    SOFTMAX


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
    return vset1(1)


cdef inline forced activation_loop(Activation f, const real *z, real *a, Py_ssize_t count) noexcept nogil:
    """a[i] = f(z[i]); z and a may be the same."""
    cdef Py_ssize_t i = 0
    while i + LANES <= count:
        vstore(a + i, activate(f, vload(z + i)))
        i += LANES
    if i < count:
        vstore_n(a + i, activate(f, vload_n(z + i, count - i)), count - i)


cdef inline void activation_run(Activation f, const real *z, real *a, Py_ssize_t count) noexcept nogil:
    """a[i] = f(z[i]), with a loop of its own for each f."""
    if f == IDENTITY:
        activation_loop(IDENTITY, z, a, count)
    elif f == STEP_FUNCTION:
        activation_loop(STEP_FUNCTION, z, a, count)
    elif f == SIGMOID:
        activation_loop(SIGMOID, z, a, count)
    elif f == TANH:
        activation_loop(TANH, z, a, count)
    elif f == RELU:
        activation_loop(RELU, z, a, count)
    elif f == LEAKY_RELU:
        activation_loop(LEAKY_RELU, z, a, count)
    elif f == ELU:
        activation_loop(ELU, z, a, count)
    elif f == GELU:
        activation_loop(GELU, z, a, count)
    elif f == SILU:
        activation_loop(SILU, z, a, count)
    elif f == SOFTPLUS:
        activation_loop(SOFTPLUS, z, a, count)


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


cdef inline void slope_run(
    Activation f, const real *z, const real *a, const real *d_a, real *d_z, Py_ssize_t count,
) noexcept nogil:
    """d_z[i] = d_a[i] f'(z[i]), with a loop of its own for each f."""
    if f == IDENTITY:
        slope_loop(IDENTITY, z, a, d_a, d_z, count)
    elif f == STEP_FUNCTION:
        slope_loop(STEP_FUNCTION, z, a, d_a, d_z, count)
    elif f == SIGMOID:
        slope_loop(SIGMOID, z, a, d_a, d_z, count)
    elif f == TANH:
        slope_loop(TANH, z, a, d_a, d_z, count)
    elif f == RELU:
        slope_loop(RELU, z, a, d_a, d_z, count)
    elif f == LEAKY_RELU:
        slope_loop(LEAKY_RELU, z, a, d_a, d_z, count)
    elif f == ELU:
        slope_loop(ELU, z, a, d_a, d_z, count)
    elif f == GELU:
        slope_loop(GELU, z, a, d_a, d_z, count)
    elif f == SILU:
        slope_loop(SILU, z, a, d_a, d_z, count)
    elif f == SOFTPLUS:
        slope_loop(SOFTPLUS, z, a, d_a, d_z, count)


# ---- softmax, a row at a time -----------------------------------------------------------------------

cdef inline real softmax_row(const real *z, real *a, Py_ssize_t count, real *total) noexcept nogil:
    """a = exp(z - max) / total for one row, and *total; returns the max. z and a may be the same."""
    cdef real low = <real>-3e38
    cdef real highest
    cdef vreal most = vset1(low)
    cdef vreal sums = vset1(0)
    cdef vreal e
    cdef Py_ssize_t i, n
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
