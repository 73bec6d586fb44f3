"""What this machine can run, the calling thread's floating-point mode, and the rule of `pace`, for tests."""

from fastnet.backends.compiled.pace cimport ALONE_AGAIN, COMPARING, PROBING, TOGETHER, Pace, new_pace, note

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


def training_pace(alone, together):
    """Say in which stages a training goes on, see `pace.pxd`.

    Parameters
    ----------
    alone, together : list of float
        Seconds of each step on one thread, and on several.

    Returns
    -------
    list of tuple
        The name of each stage, and its number of steps.
    """
    cdef Pace pace = new_pace()
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t end
    names = {TOGETHER: "together", COMPARING: "comparing", ALONE_AGAIN: "alone again", PROBING: "probing"}
    stages = []
    while i < len(alone):
        end = min(i + pace.left, len(alone))
        stages.append((names[pace.stage], end - i))
        if pace.stage == COMPARING:
            note(&pace, end - i, min(alone[i:end]), 1)
        elif pace.stage == PROBING:
            note(&pace, end - i, sum(together[i + 1 : end]), end - i - 1)
        else:
            note(&pace, end - i, sum((alone if pace.stage == ALONE_AGAIN else together)[i:end]), end - i)
        i = end
    return stages
