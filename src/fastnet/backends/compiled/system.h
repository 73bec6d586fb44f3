/* What the CPU and the operating system support, and this thread's floating-point mode.
 *
 * For gcc, clang and clang-cl. This file is compiled without any instruction-set flag.
 */
#ifndef FASTNET_SYSTEM_H
#define FASTNET_SYSTEM_H

enum {
    FASTNET_AVX2 = 1,
    FASTNET_FMA = 2,
    FASTNET_AVX512F = 4,
    FASTNET_AVX512DQ = 8,
    FASTNET_AVX512BW = 16,
    FASTNET_AVX512VL = 32,
    FASTNET_NEON = 64
};

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

/* The register states that the operating system saves at a task switch (XCR0). */
static unsigned fastnet_saved_states(void) {
    unsigned low, high;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" /* xgetbv; older assemblers lack the name */
                     : "=a"(low), "=d"(high)
                     : "c"(0));
    return low;
}

static int fastnet_saves_avx512(void) {
#ifdef __APPLE__
    /* macOS enables this state at a thread's first use of it, so XCR0 does not tell. */
    int present = 0;
    size_t size = sizeof(present);
    return sysctlbyname("hw.optional.avx512f", &present, &size, NULL, 0) == 0 && present;
#else
    return (fastnet_saved_states() & 0xe6) == 0xe6; /* xmm, ymm, mask registers, both parts of zmm */
#endif
}

static int fastnet_cpu_features(void) {
    unsigned eax, ebx, ecx, edx;
    int found = 0;
    /* leaf 1, ecx: bit 27 = the operating system uses xsave, bit 28 = AVX, bit 12 = FMA */
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 27)) || !(ecx & (1u << 28))) return 0;
    if ((fastnet_saved_states() & 0x6) != 0x6) return 0; /* xmm and ymm */
    if (ecx & (1u << 12)) found |= FASTNET_FMA;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return found;
    if (ebx & (1u << 5)) found |= FASTNET_AVX2;
    if ((ebx & (1u << 16)) && fastnet_saves_avx512()) {
        found |= FASTNET_AVX512F;
        if (ebx & (1u << 17)) found |= FASTNET_AVX512DQ;
        if (ebx & (1u << 30)) found |= FASTNET_AVX512BW;
        if (ebx & (1u << 31)) found |= FASTNET_AVX512VL;
    }
    return found;
}

#elif defined(__aarch64__)

static int fastnet_cpu_features(void) {
    return FASTNET_NEON; /* part of the architecture */
}

#else

static int fastnet_cpu_features(void) {
    return 0;
}

#endif

/* The control register that holds rounding and the flushing of subnormals: MXCSR, or FPCR on AArch64. */
#if defined(__SSE__)

#include <xmmintrin.h>

/* Bits 0-5 are flags that any inexact operation raises, not a mode. */
static unsigned long long fastnet_float_mode(void) {
    return _mm_getcsr() & ~0x3fu;
}

static void fastnet_set_float_mode(unsigned long long mode) {
    _mm_setcsr((unsigned)mode);
}

#elif defined(__aarch64__)

static unsigned long long fastnet_float_mode(void) {
    unsigned long long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}

static void fastnet_set_float_mode(unsigned long long mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
}

#else

static unsigned long long fastnet_float_mode(void) {
    return 0;
}

static void fastnet_set_float_mode(unsigned long long mode) {
    (void)mode;
}

#endif

#endif
