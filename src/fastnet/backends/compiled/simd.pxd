"""The vector type of simd.h, as Cython sees it.

`vreal` and `vint` are declared as numbers, so that `+ - * /` between vectors compile to themselves.
Comparisons do not (Cython would take them for one truth value): use `vlt` and its like. Mixing a
`real` into an expression works in C, but Cython may give a temporary the wrong type: use `vset1`.
"""

cdef extern from "simd.h" nogil:
    ctypedef double real
    ctypedef long long integer
    ctypedef double vreal
    ctypedef double hreal
    ctypedef long long vint

    # A return type that makes gcc and clang inline a function wherever it is called: tiles are written once,
    # with the number of rows and vectors as arguments, and each call compiles to its own unrolled loop.
    ctypedef void forced "FASTNET_FORCED"
    ctypedef void single "FASTNET_SINGLE"

    enum:
        MR "FASTNET_MR"
        NV "FASTNET_NV"
        LANES "FASTNET_LANES"
        GROUP "FASTNET_GROUP"
        HALF "FASTNET_HALF"  # lanes of an hreal, the lower half of a vector; 0: it is no quicker
        VECTOR_BYTES "FASTNET_BYTES"
    const char *DTYPE "FASTNET_DTYPE"
    const char *ISA "FASTNET_ISA"

    vreal vload(const real *p)
    void vstore(real *p, vreal v)
    void vprefetch(const real *p)
    vreal vload_n(const real *p, Py_ssize_t n)
    void vstore_n(real *p, vreal v, Py_ssize_t n)
    vreal vfill_n(vreal v, Py_ssize_t n, real fill)
    vreal vunit(Py_ssize_t i)
    vreal vset1(real x)
    hreal hset1(real x)
    hreal hload_n(const real *p, Py_ssize_t n)
    hreal vlow(vreal v)
    vreal vwide(hreal v)
    vint viset1(integer x)
    vreal vdiv(vreal a, vreal b)
    vreal vrounded(vreal x)

    vint vlt(vreal a, vreal b)
    vint vle(vreal a, vreal b)
    vint veq(vreal a, vreal b)
    vreal vselect(vint mask, vreal yes, vreal no)
    vreal vmax(vreal a, vreal b)
    vreal vmin(vreal a, vreal b)

    vint vbits(vreal v)
    vint vshl(vint v, int n)
    vint vshr(vint v, int n)
    vreal vfrombits(vint v)
    vreal vtoreal(vint v)
    vint vtoint(vreal v)
    vreal vabs(vreal v)
    vreal vneg(vreal v)
    vreal vcopysign(vreal size, vreal sign)
    vreal vsqrt(vreal v)
    real vsum(vreal v)
    real vhighest(vreal v)

    vreal vsums(vreal *rows)
    vreal vzip_low(vreal a, vreal b)
    vreal vzip_high(vreal a, vreal b)
    void vtranspose(vreal *rows)
    void vturn(const real *from_, Py_ssize_t ld_from, real *to, Py_ssize_t ld_to, Py_ssize_t width, bint into)
    void vtranspose_square(const real *source, Py_ssize_t ld_source, real *target, Py_ssize_t ld_target)
    void vtranspose_edge(
        const real *source, Py_ssize_t ld_source, real *target, Py_ssize_t ld_target, Py_ssize_t rows, Py_ssize_t columns
    )

    unsigned long long fastnet_flush()
    void fastnet_restore(unsigned long long mode)
