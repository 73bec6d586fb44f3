"""The worker pool of pool.h, as Cython sees it."""

cdef extern from "pool.h" nogil:
    ctypedef void (*pool_job)(void *context, int part, int parts) noexcept nogil
    enum:
        POOL_MOST

    void pool_run(pool_job job, void *context, int parts)
    void pool_offer(pool_job job, void *context, int parts)
    Py_ssize_t pool_next(Py_ssize_t *taken)
    void pool_barrier(int parts)
    unsigned pool_naps()
    void pool_survive_fork()
    double pool_seconds()
