"""The C text that a header is put together from: kernels, activations, and the names that C keeps for itself.

``NAME`` stands for the name that everything in a header begins with. All of it is C99 and C++11, allocates
nothing, and takes no more from the C library than ``expf`` and ``tanhf``; so what other activations need is
built on these two here. Errors of these formulas are measured in ``tests/test_c_header.py``.
"""

from __future__ import annotations

__all__ = ["ACTIVATIONS", "COPY", "DENSE", "DENSE_INT8", "RESERVED", "SELF_TEST", "STANDARD_HEADERS"]

COPY = """\
static inline void NAME_copy(const float *x, int count, float *y)
{
    for (int i = 0; i < count; ++i) {
        y[i] = x[i];
    }
}
"""

DENSE = """\
/* y = weights x + bias: a row of weights for each unit; bias may be 0, which is none. */
static inline void NAME_dense(const float *x, int inputs, const float *weights, const float *bias,
    int units, float *y)
{
    for (int j = 0; j < units; ++j) {
        float sum = bias ? bias[j] : 0.0f;
        for (int i = 0; i < inputs; ++i) {
            sum += *weights++ * x[i];
        }
        y[j] = sum;
    }
}
"""

DENSE_INT8 = """\
/* q = x / scale, rounded; the scale, which is returned, makes the largest of them `limit`.
   NaN and infinity are no multiples of anything: the scale is NaN then, as is all that is made with it. */
static inline float NAME_quantize(const float *x, int count, float limit, int16_t *q)
{
    float largest = 0.0f;
    for (int i = 0; i < count; ++i) {
        const float size = x[i] < 0.0f ? -x[i] : x[i];
        if (!(size <= largest) && largest == largest) { /* once it is NaN it stays */
            largest = size;
        }
    }
    const int usable = largest > 1e-30f && largest <= 3.402823466e+38f;
    const float factor = usable ? limit / largest : 0.0f;
    for (int i = 0; i < count; ++i) {
        q[i] = (int16_t)(usable ? x[i] * factor + (x[i] < 0.0f ? -0.5f : 0.5f) : 0.0f);
    }
    return usable ? largest / limit : largest - largest;
}

/* y = weights x + bias, x and weights in whole numbers: a row of weights, and their scale, for each unit.
   No sum leaves 32 bits, as the more terms it has the smaller x was made. */
static inline void NAME_dense(const int16_t *x, float x_scale, int inputs, const int8_t *weights,
    const float *scale, const float *bias, int units, float *y)
{
    for (int j = 0; j < units; ++j) {
        int32_t sum = 0;
        for (int i = 0; i < inputs; ++i) {
            sum += (int32_t)*weights++ * x[i];
        }
        y[j] = (float)sum * (x_scale * scale[j]) + (bias ? bias[j] : 0.0f);
    }
}
"""

ACTIVATIONS: dict[str, str] = {
    "identity": "",
    "step": """\
static inline float NAME_step(float z)
{
    return z > 0.0f ? 1.0f : z <= 0.0f ? 0.0f : z; /* NaN stays NaN */
}
""",
    "sigmoid": """\
/* 1 / (1 + exp(-z)); the exponent is never above 0, so nothing overflows. */
static inline float NAME_sigmoid(float z)
{
    const float e = expf(z < 0.0f ? z : -z);
    return (z < 0.0f ? e : 1.0f) / (1.0f + e);
}
""",
    "tanh": """\
static inline float NAME_tanh(float z)
{
    return tanhf(z);
}
""",
    "relu": """\
static inline float NAME_relu(float z)
{
    return z < 0.0f ? 0.0f : z;
}
""",
    "leaky_relu": """\
static inline float NAME_leaky_relu(float z)
{
    return z < 0.0f ? 0.01f * z : z;
}
""",
    "elu": """\
/* z, or exp(z) - 1 = 2 t / (1 - t), t = tanh(z / 2), where it is negative: no digits cancel near 0. */
static inline float NAME_elu(float z)
{
    const float t = tanhf(z < 0.0f ? 0.5f * z : 0.0f);
    return z < 0.0f ? 2.0f * t / (1.0f - t) : z;
}
""",
    "gelu": """\
/* z Phi(z), Phi the normal distribution: Phi(-s) = erfc(s / sqrt 2) / 2, and erfc by formula 7.1.26 of
   M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", 1964 (C. Hastings, 1955), whose
   error is below 1.5e-7. Beyond 14 the tail is below the smallest number. */
static inline float NAME_gelu(float z)
{
    const float s = z < 0.0f ? -z : z;
    if (s > 14.0f) {
        return z < 0.0f ? 0.0f : z;
    }
    const float t = 1.0f / (1.0f + 0.23164189f * s); /* 0.3275911 / sqrt 2 */
    const float sum = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f +
        t * (-1.453152027f + t * 1.061405429f))));
    const float tail = 0.5f * sum * expf(-0.5f * s * s);
    return z * (z < 0.0f ? tail : 1.0f - tail);
}
""",
    "silu": """\
/* z / (1 + exp(-z)), as in a sigmoid; below -104 it is smaller than the smallest number. */
static inline float NAME_silu(float z)
{
    const float e = expf(z < 0.0f ? z : -z);
    return z < -104.0f ? 0.0f : z * ((z < 0.0f ? e : 1.0f) / (1.0f + e));
}
""",
    "softplus": """\
/* log(1 + exp(z)) = max(z, 0) + log1p(e), e = exp(-|z|), and log1p(e) = 2 artanh(s), s = e / (2 + e), whose
   series has powers of s^2 of at most 1/9: eight terms are exact to 2e-9. */
static inline float NAME_softplus(float z)
{
    const float e = expf(z < 0.0f ? z : -z);
    const float s = e / (2.0f + e);
    const float r = s * s;
    const float sum = 1.0f + r * (1.0f / 3 + r * (1.0f / 5 + r * (1.0f / 7 + r * (1.0f / 9 +
        r * (1.0f / 11 + r * (1.0f / 13 + r * (1.0f / 15)))))));
    return (z < 0.0f ? 0.0f : z) + 2.0f * s * sum;
}
""",
    "exp": """\
static inline float NAME_exp(float z)
{
    return expf(z);
}
""",
    "softmax": """\
/* exp(z - max) / sum of it: the largest exponent is 0, so nothing overflows. */
static inline void NAME_softmax(float *z, int count)
{
    float largest = z[0], sum = 0.0f;
    for (int i = 1; i < count; ++i) {
        if (z[i] > largest) {
            largest = z[i];
        }
    }
    for (int i = 0; i < count; ++i) {
        z[i] = expf(z[i] - largest);
        sum += z[i];
    }
    for (int i = 0; i < count; ++i) {
        z[i] /= sum;
    }
}
""",
}
"""Functions by the activation's name: ``NAME_relu(z)``; softmax takes a whole row instead."""

SELF_TEST = """\
/* The number of outputs that are not those the network had where it was written, so 0 if all is well. */
static inline int NAME_self_test(void)
{
    int wrong = 0;
    for (int k = 0; k < UPPER_TESTS; ++k) {
        float y[UPPER_OUTPUTS];
        NAME_predict(NAME_test_x[k], y);
        for (int j = 0; j < UPPER_OUTPUTS; ++j) {
            const float error = y[j] - NAME_test_y[k][j];
            if (!(error >= -UPPER_TOLERANCE && error <= UPPER_TOLERANCE)) { /* also if it is NaN */
                ++wrong;
            }
        }
    }
    return wrong;
}
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Keywords of C (to C23) and C++ (to C++20), and the other spellings of operators.
RESERVED = _words("""
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t
    class co_await co_return co_yield compl concept const const_cast consteval constexpr constinit continue
    decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast requires restrict return short signed sizeof static
    static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename
    typeof typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq
""")

# Of C23: a file of such a name would stand before the library's own where its folder is searched.
STANDARD_HEADERS = _words("""
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
    stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar
    wchar wctype
""")
