"""What this machine can run, and the calling thread's floating-point mode."""

cdef extern from "system.h" nogil:
    enum:
        FASTNET_AVX2
        FASTNET_FMA
        FASTNET_AVX512F
        FASTNET_AVX512DQ
        FASTNET_AVX512BW
        FASTNET_AVX512VL
        FASTNET_NEON
    int fastnet_cpu_features()
    unsigned long long fastnet_float_mode()
    void fastnet_set_float_mode(unsigned long long mode)


def cpu_features():
    """Instruction sets that both the CPU and the operating system support.

    Returns
    -------
    frozenset of str
        Names as in `fastnet.backends.isa`.
    """
    cdef int found = fastnet_cpu_features()
    names = {
        "avx2": FASTNET_AVX2,
        "fma": FASTNET_FMA,
        "avx512f": FASTNET_AVX512F,
        "avx512dq": FASTNET_AVX512DQ,
        "avx512bw": FASTNET_AVX512BW,
        "avx512vl": FASTNET_AVX512VL,
        "neon": FASTNET_NEON,
    }
    return frozenset([name for name, bit in names.items() if found & bit])


def float_mode():
    """The calling thread's floating-point mode.

    Returns
    -------
    int
        MXCSR without its exception flags, or FPCR on AArch64; 0 elsewhere.
    """
    return fastnet_float_mode()


def set_float_mode(mode):
    """Set the calling thread's floating-point mode.

    Parameters
    ----------
    mode : int
        As `float_mode` returned it.
    """
    fastnet_set_float_mode(mode)
