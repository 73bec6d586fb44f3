/* The vector type, and the few operations on it that C's vector extensions lack.
 *
 * One module is compiled per instruction set and dtype; which one this is follows from the compiler's
 * own macros and from FASTNET_DOUBLE. Vectors have the instruction set's own size: wider ones are split
 * by the compiler, badly. gcc and clang (also clang-cl) understand all of it.
 */
#ifndef FASTNET_SIMD_H
#define FASTNET_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>
#endif

#ifdef FASTNET_DOUBLE
typedef double real;
typedef int64_t integer; /* as wide as a real */
typedef uint64_t uinteger;
#define FASTNET_DTYPE "float64"
#else
typedef float real;
typedef int32_t integer;
typedef uint32_t uinteger;
#define FASTNET_DTYPE "float32"
#endif

/* MR x NV vectors is the register tile: as many accumulators as leave registers for one row of B and
 * one broadcast element of A. */
#if defined(__AVX512F__)
#define FASTNET_ISA "avx512"
#define FASTNET_BYTES 64
#define FASTNET_NV 4
#elif defined(__AVX2__) && defined(__FMA__)
#define FASTNET_ISA "avx2"
#define FASTNET_BYTES 32
#define FASTNET_NV 2
#elif defined(__aarch64__) || defined(_M_ARM64)
#define FASTNET_ISA "neon"
#define FASTNET_BYTES 16
#define FASTNET_NV 4
#else
#define FASTNET_ISA "baseline"
#define FASTNET_BYTES 16
#define FASTNET_NV 2
#endif
#define FASTNET_MR 6
#define FASTNET_LANES (FASTNET_BYTES / (int)sizeof(real))

/* Columns of a group of panels: eight cache lines of each line of a matrix, or one panel that has four itself. */
#define FASTNET_GROUP ((FASTNET_BYTES == 64 ? 256 : 512) / (int)sizeof(real))

/* Unaligned and allowed to alias, so that any real* can be read as a vector. */
typedef real vreal __attribute__((vector_size(FASTNET_BYTES), aligned(sizeof(real)), may_alias));
typedef integer vint __attribute__((vector_size(FASTNET_BYTES), aligned(sizeof(real)), may_alias));
typedef uinteger vbit __attribute__((vector_size(FASTNET_BYTES), aligned(sizeof(real)), may_alias));

#define SIMD static inline __attribute__((always_inline))
#define FASTNET_FORCED __attribute__((always_inline)) void
#if defined(__clang__) /* one copy: not one of 40 KB for each constant argument, or for each caller */
#define FASTNET_SINGLE __attribute__((noinline)) void
#else
#define FASTNET_SINGLE __attribute__((noinline, noclone)) void
#endif

SIMD vreal vload(const real *p) { return *(const vreal *)p; }
SIMD void vstore(real *p, vreal v) { *(vreal *)p = v; }
SIMD void vprefetch(const real *p) { __builtin_prefetch(p); } /* p may be anywhere */
SIMD vreal vset1(real x) { return x - (vreal){0}; } /* not x + 0: that loses the sign of -0 */
SIMD vreal vdiv(vreal a, vreal b) { return a / b; } /* Cython's own / tests for 0, unless told otherwise */

/* x, of which the compiler does not know that it is a product. Of a sum of two products it may fuse either with the
 * addition, and need not choose the same one wherever it meets them: then a value's bits would depend on its place. */
SIMD vreal vrounded(vreal x) {
#if defined(__AVX512F__)
    __asm__("" : "+v"(x));
#elif defined(__x86_64__) || defined(_M_X64)
    __asm__("" : "+x"(x));
#elif defined(__aarch64__) || defined(_M_ARM64)
    __asm__("" : "+w"(x));
#endif
    return x;
}

/* ---- the first n lanes only, 0 < n <= LANES; the others are read as zero, and never written ---- */

#if FASTNET_BYTES == 64 && defined(FASTNET_DOUBLE)
SIMD vreal vload_n(const real *p, ptrdiff_t n) {
    return (vreal)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p);
}
SIMD void vstore_n(real *p, vreal v, ptrdiff_t n) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m512d)v);
}
#elif FASTNET_BYTES == 64
SIMD vreal vload_n(const real *p, ptrdiff_t n) {
    return (vreal)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
}
SIMD void vstore_n(real *p, vreal v, ptrdiff_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
}
#elif FASTNET_BYTES == 32
/* Stored in pieces: AMD's processors take a masked store in some forty steps.
 * A window on this table is a mask with n leading ones. */
static const integer fastnet_window[2 * FASTNET_LANES] = {
#ifdef FASTNET_DOUBLE
    -1, -1, -1, -1, 0, 0, 0, 0
#else
    -1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0
#endif
};
SIMD __m256i fastnet_mask(ptrdiff_t n) {
    return _mm256_loadu_si256((const __m256i *)(fastnet_window + FASTNET_LANES - n));
}
#ifdef FASTNET_DOUBLE
SIMD vreal vload_n(const real *p, ptrdiff_t n) { return (vreal)_mm256_maskload_pd(p, fastnet_mask(n)); }
SIMD void vstore_n(real *p, vreal v, ptrdiff_t n) {
    __asm__("" : "+x"(v)); /* one value: a compiler that computes the pieces apart may round them otherwise (no fma) */
    __m128d low = _mm256_castpd256_pd128((__m256d)v);
    if (n & 4) {
        *(vreal *)p = v;
        return;
    }
    if (n & 2) {
        _mm_storeu_pd(p, low);
        low = _mm256_extractf128_pd((__m256d)v, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, low);
}
#else
SIMD vreal vload_n(const real *p, ptrdiff_t n) { return (vreal)_mm256_maskload_ps(p, fastnet_mask(n)); }
SIMD void vstore_n(real *p, vreal v, ptrdiff_t n) {
    __asm__("" : "+x"(v)); /* one value: a compiler that computes the pieces apart may round them otherwise (no fma) */
    __m128 low = _mm256_castps256_ps128((__m256)v);
    if (n & 8) {
        *(vreal *)p = v;
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(p, low);
        low = _mm256_extractf128_ps((__m256)v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, low);
        low = _mm_movehl_ps(low, low);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, low);
}
#endif
#else
SIMD vreal vload_n(const real *p, ptrdiff_t n) {
    vreal v = {0};
    v[0] = p[0];
    if (n > 1) v[1] = p[1];
#ifndef FASTNET_DOUBLE
    if (n > 2) v[2] = p[2];
    if (n > 3) v[3] = p[3];
#endif
    return v;
}
SIMD void vstore_n(real *p, vreal v, ptrdiff_t n) {
    p[0] = v[0];
    if (n > 1) p[1] = v[1];
#ifndef FASTNET_DOUBLE
    if (n > 2) p[2] = v[2];
    if (n > 3) p[3] = v[3];
#endif
}
#endif

/* The lower half of a vector, for the end of a row: half the work where the processor takes a vector in two halves,
 * as Zen 4 takes those of 64 bytes. */
#if defined(__AVX512F__)
#define FASTNET_HALF (FASTNET_LANES / 2)
typedef real hreal __attribute__((vector_size(FASTNET_BYTES / 2), aligned(sizeof(real)), may_alias));
SIMD hreal hset1(real x) { return x - (hreal){0}; }
#ifdef FASTNET_DOUBLE
SIMD hreal hload_n(const real *p, ptrdiff_t n) {
    return (hreal)_mm256_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p);
}
SIMD hreal vlow(vreal v) { return (hreal)_mm512_castpd512_pd256((__m512d)v); }
SIMD vreal vwide(hreal v) { return (vreal)_mm512_zextpd256_pd512((__m256d)v); }
#else
SIMD hreal hload_n(const real *p, ptrdiff_t n) {
    return (hreal)_mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1u), p);
}
SIMD hreal vlow(vreal v) { return (hreal)_mm512_castps512_ps256((__m512)v); }
SIMD vreal vwide(hreal v) { return (vreal)_mm512_zextps256_ps512((__m256)v); }
#endif
#else /* one is as quick as the other */
#define FASTNET_HALF 0
typedef vreal hreal;
SIMD hreal hset1(real x) { return vset1(x); }
SIMD hreal hload_n(const real *p, ptrdiff_t n) { return vload_n(p, n); }
SIMD hreal vlow(vreal v) { return v; }
SIMD vreal vwide(hreal v) { return v; }
#endif

/* 1 in lane i, 0 elsewhere. */
static const real fastnet_unit[2 * FASTNET_LANES - 1] = {[FASTNET_LANES - 1] = 1};
SIMD vreal vunit(ptrdiff_t i) { return vload(fastnet_unit + FASTNET_LANES - 1 - i); }

/* The first n lanes of v, and `fill` in the others. */
SIMD vreal vfill_n(vreal v, ptrdiff_t n, real fill) {
#if FASTNET_BYTES == 64 && defined(FASTNET_DOUBLE)
    return (vreal)_mm512_mask_mov_pd(_mm512_set1_pd(fill), (__mmask8)((1u << n) - 1u), (__m512d)v);
#elif FASTNET_BYTES == 64
    return (vreal)_mm512_mask_mov_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1u), (__m512)v);
#elif FASTNET_BYTES == 32
    __m256i mask = fastnet_mask(n);
    return (vreal)((mask & (__m256i)v) | _mm256_andnot_si256(mask, (__m256i)(fill - (vreal){0})));
#else
    for (int i = 0; i < FASTNET_LANES; i++) v[i] = i < n ? v[i] : fill;
    return v;
#endif
}

/* ---- comparisons give masks of all ones or all zeros; gcc's C has no ?: on vectors ---- */

SIMD vint vlt(vreal a, vreal b) { return (vint)(a < b); }
SIMD vint vle(vreal a, vreal b) { return (vint)(a <= b); }
SIMD vint veq(vreal a, vreal b) { return (vint)(a == b); }
#if FASTNET_BYTES == 64
SIMD vreal vselect(vint mask, vreal yes, vreal no) { /* 0xca is the truth table of mask ? yes : no */
    return (vreal)_mm512_ternarylogic_epi32((__m512i)mask, (__m512i)yes, (__m512i)no, 0xca);
}
#elif FASTNET_BYTES == 32
SIMD vreal vselect(vint mask, vreal yes, vreal no) {
    return (vreal)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
}
#else
SIMD vreal vselect(vint mask, vreal yes, vreal no) {
    return (vreal)((mask & (vint)yes) | (~mask & (vint)no));
}
#endif

/* The larger, the smaller; where either is NaN: b. So vmax(zero, z) keeps a NaN of z. That is what x86's
 * instructions do, but neither NEON's nor, without -ffast-math, the compilers' own. */
#if FASTNET_BYTES == 64 && defined(FASTNET_DOUBLE)
SIMD vreal vmax(vreal a, vreal b) { return (vreal)_mm512_max_pd((__m512d)a, (__m512d)b); }
SIMD vreal vmin(vreal a, vreal b) { return (vreal)_mm512_min_pd((__m512d)a, (__m512d)b); }
#elif FASTNET_BYTES == 64
SIMD vreal vmax(vreal a, vreal b) { return (vreal)_mm512_max_ps((__m512)a, (__m512)b); }
SIMD vreal vmin(vreal a, vreal b) { return (vreal)_mm512_min_ps((__m512)a, (__m512)b); }
#elif FASTNET_BYTES == 32 && defined(FASTNET_DOUBLE)
SIMD vreal vmax(vreal a, vreal b) { return (vreal)_mm256_max_pd((__m256d)a, (__m256d)b); }
SIMD vreal vmin(vreal a, vreal b) { return (vreal)_mm256_min_pd((__m256d)a, (__m256d)b); }
#elif FASTNET_BYTES == 32
SIMD vreal vmax(vreal a, vreal b) { return (vreal)_mm256_max_ps((__m256)a, (__m256)b); }
SIMD vreal vmin(vreal a, vreal b) { return (vreal)_mm256_min_ps((__m256)a, (__m256)b); }
#elif (defined(__x86_64__) || defined(_M_X64)) && defined(FASTNET_DOUBLE)
SIMD vreal vmax(vreal a, vreal b) { return (vreal)_mm_max_pd((__m128d)a, (__m128d)b); }
SIMD vreal vmin(vreal a, vreal b) { return (vreal)_mm_min_pd((__m128d)a, (__m128d)b); }
#elif defined(__x86_64__) || defined(_M_X64)
SIMD vreal vmax(vreal a, vreal b) { return (vreal)_mm_max_ps((__m128)a, (__m128)b); }
SIMD vreal vmin(vreal a, vreal b) { return (vreal)_mm_min_ps((__m128)a, (__m128)b); }
#else
SIMD vreal vmax(vreal a, vreal b) { return vselect(vlt(b, a), a, b); }
SIMD vreal vmin(vreal a, vreal b) { return vselect(vlt(a, b), a, b); }
#endif

/* ---- bits and conversions ---- */

SIMD vint vbits(vreal v) { return (vint)v; }
SIMD vreal vfrombits(vint v) { return (vreal)v; }
SIMD vint viset1(integer x) { return x - (vint){0}; }
SIMD vint vshl(vint v, int n) { return v << n; }
SIMD vint vshr(vint v, int n) { return (vint)((vbit)v >> n); } /* zeros come in from above */
SIMD vreal vtoreal(vint v) { return __builtin_convertvector(v, vreal); }
SIMD vint vtoint(vreal v) { return __builtin_convertvector(v, vint); } /* towards zero */
SIMD vreal vabs(vreal v) { return (vreal)(vbits(v) & ~vbits(vset1((real)-0.0))); }
SIMD vreal vneg(vreal v) { return (vreal)(vbits(v) ^ vbits(vset1((real)-0.0))); }
SIMD vreal vcopysign(vreal size, vreal sign) {
    vint top = vbits(vset1((real)-0.0));
    return (vreal)((vbits(size) & ~top) | (vbits(sign) & top));
}

SIMD vreal vsqrt(vreal v) {
#if FASTNET_BYTES == 64 && defined(FASTNET_DOUBLE)
    return (vreal)_mm512_sqrt_pd((__m512d)v);
#elif FASTNET_BYTES == 64
    return (vreal)_mm512_sqrt_ps((__m512)v);
#elif FASTNET_BYTES == 32 && defined(FASTNET_DOUBLE)
    return (vreal)_mm256_sqrt_pd((__m256d)v);
#elif FASTNET_BYTES == 32
    return (vreal)_mm256_sqrt_ps((__m256)v);
#else
    for (int i = 0; i < FASTNET_LANES; i++)
#ifdef FASTNET_DOUBLE
        v[i] = __builtin_sqrt(v[i]);
#else
        v[i] = __builtin_sqrtf(v[i]);
#endif
    return v;
#endif
}

/* ---- across the lanes, always in the same order: the upper half is added to the lower ---- */

#if FASTNET_BYTES == 64 && defined(FASTNET_DOUBLE)
SIMD real vsum(vreal v) { return _mm512_reduce_add_pd((__m512d)v); }
SIMD real vhighest(vreal v) { return _mm512_reduce_max_pd((__m512d)v); }
#elif FASTNET_BYTES == 64
SIMD real vsum(vreal v) { return _mm512_reduce_add_ps((__m512)v); }
SIMD real vhighest(vreal v) { return _mm512_reduce_max_ps((__m512)v); }
#else
typedef real vhalf __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
SIMD real vsum(vreal v) {
    vhalf h;
#if FASTNET_BYTES == 32
    vhalf upper;
    memcpy(&h, &v, 16);
    memcpy(&upper, (const char *)&v + 16, 16);
    h += upper;
#else
    h = v;
#endif
#ifdef FASTNET_DOUBLE
    return h[0] + h[1];
#else
    return (h[0] + h[2]) + (h[1] + h[3]);
#endif
}
SIMD real vhighest(vreal v) { /* where some lane is NaN: unspecified */
    real x[FASTNET_LANES];
    memcpy(x, &v, sizeof x);
    for (int width = FASTNET_LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) x[i] = x[i] < x[i + width] ? x[i + width] : x[i];
    return x[0];
}
#endif

/* ---- a square of LANES vectors: turned about its diagonal, and the sums of its rows ---- */

/* The lanes of a and b in turn, from their lower and from their upper halves. */
#if FASTNET_BYTES == 64 && defined(FASTNET_DOUBLE)
SIMD vreal vzip_low(vreal a, vreal b) {
    return (vreal)_mm512_permutex2var_pd((__m512d)a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), (__m512d)b);
}
SIMD vreal vzip_high(vreal a, vreal b) {
    return (vreal)_mm512_permutex2var_pd((__m512d)a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), (__m512d)b);
}
#elif FASTNET_BYTES == 64
SIMD vreal vzip_low(vreal a, vreal b) {
    const __m512i at = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return (vreal)_mm512_permutex2var_ps((__m512)a, at, (__m512)b);
}
SIMD vreal vzip_high(vreal a, vreal b) {
    const __m512i at = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return (vreal)_mm512_permutex2var_ps((__m512)a, at, (__m512)b);
}
#elif FASTNET_BYTES == 32 && defined(FASTNET_DOUBLE)
SIMD vreal vzip_low(vreal a, vreal b) {
    __m256d even = _mm256_unpacklo_pd((__m256d)a, (__m256d)b), odd = _mm256_unpackhi_pd((__m256d)a, (__m256d)b);
    return (vreal)_mm256_permute2f128_pd(even, odd, 0x20);
}
SIMD vreal vzip_high(vreal a, vreal b) {
    __m256d even = _mm256_unpacklo_pd((__m256d)a, (__m256d)b), odd = _mm256_unpackhi_pd((__m256d)a, (__m256d)b);
    return (vreal)_mm256_permute2f128_pd(even, odd, 0x31);
}
#elif FASTNET_BYTES == 32
SIMD vreal vzip_low(vreal a, vreal b) {
    __m256 even = _mm256_unpacklo_ps((__m256)a, (__m256)b), odd = _mm256_unpackhi_ps((__m256)a, (__m256)b);
    return (vreal)_mm256_permute2f128_ps(even, odd, 0x20);
}
SIMD vreal vzip_high(vreal a, vreal b) {
    __m256 even = _mm256_unpacklo_ps((__m256)a, (__m256)b), odd = _mm256_unpackhi_ps((__m256)a, (__m256)b);
    return (vreal)_mm256_permute2f128_ps(even, odd, 0x31);
}
#elif (defined(__x86_64__) || defined(_M_X64)) && defined(FASTNET_DOUBLE)
SIMD vreal vzip_low(vreal a, vreal b) { return (vreal)_mm_unpacklo_pd((__m128d)a, (__m128d)b); }
SIMD vreal vzip_high(vreal a, vreal b) { return (vreal)_mm_unpackhi_pd((__m128d)a, (__m128d)b); }
#elif defined(__x86_64__) || defined(_M_X64)
SIMD vreal vzip_low(vreal a, vreal b) { return (vreal)_mm_unpacklo_ps((__m128)a, (__m128)b); }
SIMD vreal vzip_high(vreal a, vreal b) { return (vreal)_mm_unpackhi_ps((__m128)a, (__m128)b); }
#elif (defined(__aarch64__) || defined(_M_ARM64)) && defined(FASTNET_DOUBLE)
SIMD vreal vzip_low(vreal a, vreal b) { return (vreal)vzip1q_f64((float64x2_t)a, (float64x2_t)b); }
SIMD vreal vzip_high(vreal a, vreal b) { return (vreal)vzip2q_f64((float64x2_t)a, (float64x2_t)b); }
#elif defined(__aarch64__) || defined(_M_ARM64)
SIMD vreal vzip_low(vreal a, vreal b) { return (vreal)vzip1q_f32((float32x4_t)a, (float32x4_t)b); }
SIMD vreal vzip_high(vreal a, vreal b) { return (vreal)vzip2q_f32((float32x4_t)a, (float32x4_t)b); }
#else
SIMD vreal vzip_low(vreal a, vreal b) {
    vreal v;
    for (int i = 0; i < FASTNET_LANES; i++) v[i] = i % 2 ? b[i / 2] : a[i / 2];
    return v;
}
SIMD vreal vzip_high(vreal a, vreal b) {
    vreal v;
    for (int i = 0; i < FASTNET_LANES; i++) v[i] = i % 2 ? b[(i + FASTNET_LANES) / 2] : a[(i + FASTNET_LANES) / 2];
    return v;
}
#endif

/* Lane i of the result is the sum of rows[i]: each round adds neighbours and interleaves two halves of the rows. */
SIMD vreal vsums(vreal *rows) {
#pragma GCC unroll 4
    for (int half = FASTNET_LANES / 2; half; half /= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            rows[i] = vzip_low(rows[i], rows[i + half]) + vzip_high(rows[i], rows[i + half]);
    }
    return rows[0];
}

/* Each round interleaves the upper half of `count` vectors with the lower: the highest bit of a value's place becomes the
 * lowest. So log2(n) rounds take n x m values to m x n. */
SIMD void vinterleave(vreal *rows, int count, int n) {
    vreal next[FASTNET_LANES < 8 ? 8 : FASTNET_LANES];
#pragma GCC unroll 4
    for (int round = 1; round < n; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < count / 2; i++) {
            next[2 * i] = vzip_low(rows[i], rows[i + count / 2]);
            next[2 * i + 1] = vzip_high(rows[i], rows[i + count / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < count; i++) rows[i] = next[i];
    }
}
SIMD void vtranspose(vreal *rows) { vinterleave(rows, FASTNET_LANES, FASTNET_LANES); }

/* LANES rows of 2, 4 or 8 values, which lie in as many vectors: turned, and with `in` false, turned back. */
SIMD void vturn(const real *from, ptrdiff_t ld_from, real *to, ptrdiff_t ld_to, ptrdiff_t width, int in) {
    vreal rows[FASTNET_LANES < 8 ? 8 : FASTNET_LANES];
#define FASTNET_TURN(WIDTH)                                                     \
    for (int i = 0; i < WIDTH; i++) rows[i] = vload(from + i * ld_from);        \
    if (in) vinterleave(rows, WIDTH, FASTNET_LANES);                            \
    else vinterleave(rows, WIDTH, WIDTH);                                       \
    for (int i = 0; i < WIDTH; i++) vstore(to + i * ld_to, rows[i]);
    if (width == 2) {
        FASTNET_TURN(2)
    } else if (width == 4) {
        FASTNET_TURN(4)
    } else {
        FASTNET_TURN(8)
    }
#undef FASTNET_TURN
}

/* The same from one matrix, whose rows are `ld_from` apart, to another. */
SIMD void vtranspose_square(const real *from, ptrdiff_t ld_from, real *to, ptrdiff_t ld_to) {
    vreal square[FASTNET_LANES];
#pragma GCC unroll 16
    for (int i = 0; i < FASTNET_LANES; i++) square[i] = vload(from + i * ld_from);
    vtranspose(square);
#pragma GCC unroll 16
    for (int i = 0; i < FASTNET_LANES; i++) vstore(to + i * ld_to, square[i]);
}

/* The same of `rows` x `columns` of the square; of a few columns, value by value. */
SIMD void vtranspose_edge(
    const real *from, ptrdiff_t ld_from, real *to, ptrdiff_t ld_to, ptrdiff_t rows, ptrdiff_t columns) {
    vreal square[FASTNET_LANES];
    if (columns < 4) {
        for (ptrdiff_t j = 0; j < columns; j++)
            for (ptrdiff_t i = 0; i < rows; i++) to[j * ld_to + i] = from[i * ld_from + j];
        return;
    }
#pragma GCC unroll 16
    for (int i = 0; i < FASTNET_LANES; i++) square[i] = i < rows ? vload_n(from + i * ld_from, columns) : vset1(0);
    vtranspose(square);
#pragma GCC unroll 16
    for (int i = 0; i < FASTNET_LANES; i++)
        if (i < columns) vstore_n(to + i * ld_to, square[i], rows);
}

/* ---- the floating-point mode: subnormals cost a hundred cycles each, so they are flushed ---- */

SIMD uint64_t fastnet_flush(void) { /* returns the mode to restore */
#if defined(__x86_64__) || defined(_M_X64)
    uint32_t mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040u); /* flush to zero, denormals are zero */
    return mode;
#elif defined(__aarch64__) || defined(_M_ARM64)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1ull << 24)));
    return mode;
#else
    return 0;
#endif
}
SIMD void fastnet_restore(uint64_t mode) {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_setcsr((uint32_t)mode);
#elif defined(__aarch64__) || defined(_M_ARM64)
    __asm__ volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

#endif
