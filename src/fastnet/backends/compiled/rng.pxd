"""Random masks from a counter: a hash of the element's index and of a key, so that no thread depends on another."""

from fastnet.backends.compiled.simd cimport real

ctypedef unsigned int uint32
ctypedef unsigned long long uint64


cdef inline uint64 mix(uint64 x) noexcept nogil:
    """One output of splitmix64 (Steele, Lea and Flood 2014)."""
    x += <uint64>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline uint64 dropout_key(uint64 seed, uint64 step, uint64 op) noexcept nogil:
    """The key of one mask."""
    return mix(mix(mix(seed) ^ step) ^ op)


cdef inline void dropout_run(
    const real *x, real *y, Py_ssize_t count, uint32 first, real scale, uint32 threshold, uint64 key,
) noexcept nogil:
    """y[i] = x[i] scale where the hash of first + i is at least the threshold, else 0; x and y may be the same."""
    cdef uint32 low = <uint32>key
    cdef uint32 high = <uint32>(key >> 32)
    cdef uint32 h
    cdef Py_ssize_t i
    for i in range(count):
        h = (first + <uint32>i) * <uint32>0x9E3779B1 + low
        h = (h ^ (h >> 16)) * <uint32>0x21F0AAAD
        h = (h ^ (h >> 15)) + high
        h = h * <uint32>0x735A2D97
        h = h ^ (h >> 15)
        y[i] = x[i] * scale if h >= threshold else 0
