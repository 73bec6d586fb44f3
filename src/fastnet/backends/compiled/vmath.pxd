"""Elementary functions of vectors: exp, log, and those that activations and losses are made of.

Every function takes a few dozen instructions, none of which depends on the data: no tables, no
branches, no calls. NaN stays NaN; infinities give the limits.

The errors stated are the largest ones seen, in ulp (units in the last place of the correctly rounded
result), as float32 / float64, over all instruction sets; the tests hold every function to its bound.
An absolute error of up to 40 times the smallest normal number comes on top: intermediate results may be
subnormal, and then lose digits or are flushed to zero.

Where `x` is far from zero, exp needs it written as n ln 2 + r (W. J. Cody and W. Waite, "Software Manual
for the Elementary Functions", 1980): ln 2 is given as the sum of two constants, the first so short that its
product with n is exact. Every polynomial and quotient below is our own minimax fit by Remez' exchange (at
50 digits, its weight the relative error of the result), rounded to the dtype. Each is evaluated in
Estrin's order: pairs, then pairs of pairs, so that few operations wait for one another.
"""

from libc.math cimport INFINITY, NAN

from fastnet.backends.compiled.simd cimport (
    integer, real, vabs, vbits, vcopysign, vdiv, veq, vfrombits, vint, viset1, vlt, vmax, vmin, vreal,
    vselect, vset1, vshl, vshr,
)


# ---- constants ----

cdef inline vreal pick(double single, double double_) noexcept nogil:
    """One constant for each dtype, in every lane. The compiler keeps only the one that is needed."""
    return vset1(<real>(single if sizeof(real) == 4 else double_))


cdef inline vint pick_bits(long long single, long long double_) noexcept nogil:
    return viset1(<integer>(single if sizeof(real) == 4 else double_))


cdef inline int mantissa_bits() noexcept nogil:
    return 23 if sizeof(real) == 4 else 52


# ---- exp and its relatives ----

cdef inline vreal split_exp(vreal x, vreal rest, int less, vreal *power) noexcept nogil:
    """result = exp(x - rest) / 2^n - 1 and power = 2^(n - less), |rest| being small, less 0 or 1.

    The power is right from 0 = "2^-127" to infinity = "2^128" (float64: -1023, 1024); x must be within
    ln(2) / 2 of where these are reached. NaN gives NaN, and some power.

    Adding 1.5 2^23 (1.5 2^52) rounds to an integer, which then stands in the low bits; the exponent's
    bias is added along with it, so that a shift makes 2^n of it.
    """
    cdef vreal rounder = pick(12582912.0 + 127.0, 6755399441055744.0 + 1023.0) - vset1(<real>less)
    cdef vreal n = x * pick(1.442695, 1.4426950408889634) + rounder
    cdef vreal r, r2, r4, q
    power[0] = vfrombits(vshl(vbits(n), mantissa_bits()))
    n = n - rounder
    r = x - n * pick(0.693145751953125, 0.6931471805598903)
    r = r - n * pick(1.4286068e-06, 5.497923018708371e-14) - rest
    # exp(r) - 1 = r + r^2 q(r) for |r| <= 1.002 ln(2) / 2; error 1.7e-8 / 2.9e-17
    r2 = r * r
    if sizeof(real) == 4:
        q = (
            vset1(<real>0.49999997) + vset1(<real>0.16666542) * r
            + r2 * (vset1(<real>0.041667204) + vset1(<real>0.008366647) * r + r2 * vset1(<real>0.0013882498))
        )
    else:
        r4 = r2 * r2
        q = (
            vset1(<real>0.5000000000000006) + vset1(<real>0.16666666666666588) * r
            + r2 * (vset1(<real>0.04166666666657538) + vset1(<real>0.008333333333390423) * r)
            + r4 * (
                vset1(<real>0.0013888888932052596) + vset1(<real>0.00019841269717578707) * r
                + r2 * (vset1(<real>2.480150464956026e-05) + vset1(<real>2.755740824384876e-06) * r)
                + r4 * (vset1(<real>2.7626299070148564e-07) + vset1(<real>2.5053771920991616e-08) * r)
            )
        )
    return r + r2 * q


cdef inline vreal vexp(vreal x) noexcept nogil:
    """exp(x). Error: 1.1 / 1.1 ulp. Zero below -87 (-708)."""
    # exp(88.5) is a float32 though 2^128 is not, so we double at the end
    cdef vreal power
    cdef vreal e = split_exp(vmin(pick(88.73, 709.79), vmax(pick(-87.34, -708.4), x)), vset1(0), 1, &power)
    e = power + power * e
    return e + e


cdef inline vreal vexpm1(vreal x) noexcept nogil:
    """exp(x) - 1, accurate around 0 as well. Error: 1.8 / 2.3 ulp."""
    cdef vreal power
    cdef vreal e = split_exp(vmin(pick(88.73, 709.79), vmax(pick(-20, -40), x)), vset1(0), 1, &power)
    e = (power - vset1(<real>0.5)) + power * e
    return vcopysign(e + e, x)  # so that -0 stays -0


cdef inline vreal vsigmoid(vreal x) noexcept nogil:
    """1 / (1 + exp(-x)). Error: 2.4 / 2.2 ulp."""
    cdef vreal power, one = vset1(1)
    cdef vreal e = split_exp(-vmin(pick(88.02, 709.08), vmax(pick(-89, -710), x)), vset1(0), 0, &power)
    return vdiv(one, one + power * (one + e))  # not power + power e: infinity times a negative e


cdef inline vreal vtanh(vreal x) noexcept nogil:
    """tanh(x) = e / (e + 2), e = exp(2 |x|) - 1, with the sign of x. Error: 2.7 / 2.6 ulp."""
    cdef vreal a = vmin(pick(10, 20), vabs(x))  # the tanh of these is 1
    cdef vreal power
    cdef vreal e = split_exp(a + a, vset1(0), 0, &power)
    e = (power - vset1(1)) + power * e
    return vcopysign(vdiv(e, e + vset1(2)), x)


# ---- logarithms ----

cdef inline vreal vlog(vreal x) noexcept nogil:
    """The natural logarithm; of 0: -infinity, of negative numbers: NaN. Error: 0.9 / 0.9 ulp.

    x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2). With s = f / (2 + f),
    log(1 + f) = log((1 + s) / (1 - s)) = 2 s + s R(s^2) = f - f^2 / 2 + s (f^2 / 2 + R)
    (the rearrangement is W. J. Cody's; it keeps the error of s out of the leading term).
    """
    cdef vint small = vlt(x, pick(1.1754944e-38, 2.2250738585072014e-308))  # subnormal: times 2^23 (2^52)
    cdef vint bits = vbits(vselect(small, x * pick(8388608.0, 4503599627370496.0), x))
    cdef vint low = pick_bits(0x3f3504f3, 0x3fe6a09e667f3bcd)  # sqrt(1/2)
    cdef vint one = pick_bits(0x3f800000, 0x3ff0000000000000)
    cdef vreal k, f, s, w, w2, R, half_square
    bits = bits + (one - low)
    # the exponent as a real: put it below the leading bit of 2^23 (2^52), and subtract that and the bias
    k = vfrombits(vshr(bits, mantissa_bits()) | pick_bits(0x4b000000, 0x4330000000000000))
    k = k - pick(8388608.0 + 127.0, 4503599627370496.0 + 1023.0)
    k = k - vfrombits(small & vbits(pick(23, 52)))
    f = vfrombits((bits & pick_bits(0x7fffff, 0xfffffffffffff)) + low) - vset1(1)
    s = vdiv(f, vset1(2) + f)
    w = s * s
    # error 8.3e-10 / 2.3e-18
    if sizeof(real) == 4:
        R = vset1(<real>0.66666776) + w * (vset1(<real>0.39977565) + w * vset1(<real>0.29871207))
    else:
        w2 = w * w
        R = (
            vset1(<real>0.666666666666671) + w * vset1(<real>0.3999999999952094)
            + w2 * (
                vset1(<real>0.28571428729111364) + w * vset1(<real>0.22222199099446413)
                + w2 * (
                    vset1(<real>0.18183571532692488) + w * vset1(<real>0.15313155379309343)
                    + w2 * vset1(<real>0.14810683279889914)
                )
            )
        )
    half_square = f * f * vset1(<real>0.5)
    R = s * (half_square + w * R) + k * pick(1.4286068e-06, 5.497923018708371e-14)
    R = k * pick(0.693145751953125, 0.6931471805598903) + (f - (half_square - R))
    R = vselect(vlt(x, vset1(<real>INFINITY)), R, x)
    return vselect(
        vlt(vset1(0), x), R, vselect(veq(x, vset1(0)), vset1(<real>-INFINITY), vset1(<real>NAN))
    )


cdef inline vreal log1p_unit(vreal u) noexcept nogil:
    """log(1 + u) for 0 <= u <= 1: as in vlog, s = u / (2 + u), log(1 + u) = 2 s + s R = u - s (u - R)."""
    cdef vreal s = vdiv(u, vset1(2) + u)
    cdef vreal w = s * s
    cdef vreal w2 = w * w
    cdef vreal w4, R
    # error 6.3e-10 / 2.1e-18
    if sizeof(real) == 4:
        R = (
            vset1(<real>0.66666675) + w * vset1(<real>0.39998952)
            + w2 * (vset1(<real>0.28616923) + w * vset1(<real>0.21410878) + w2 * vset1(<real>0.24410051))
        )
    else:
        w4 = w2 * w2
        R = (
            vset1(<real>0.6666666666666631) + w * vset1(<real>0.4000000000015526)
            + w2 * (vset1(<real>0.28571428548098515) + w * vset1(<real>0.22222223954933554))
            + w4 * (
                vset1(<real>0.18181744431306193) + w * vset1(<real>0.15386549457467338)
                + w2 * (vset1(<real>0.13301106827084083) + w * vset1(<real>0.12105064233893179))
                + w4 * (vset1(<real>0.08344432803591299) + w * vset1(<real>0.17010785374713905))
            )
        )
    return u - s * (u - w * R)


cdef inline vreal vsoftplus(vreal z) noexcept nogil:
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)). Error: 2.0 / 2.0 ulp."""
    cdef vreal power
    cdef vreal e = split_exp(vmax(pick(-88.02, -709.08), -vabs(z)), vset1(0), 0, &power)
    return vmax(vset1(0), z) + log1p_unit(power + power * e)


# ---- the normal distribution ----

cdef inline vreal split_normal(vreal a, vreal *power) noexcept nogil:
    """exp(-a^2 / 2) = power (1 + result), for 0 <= a <= 14.3 (38.7).

    Half an ulp of a^2 would be many of the result. So a = h + l, where h has half the digits and h^2 is
    exact, and a^2 = h^2 + l (a + h).
    """
    cdef vreal h = vfrombits(vbits(a) & pick_bits(-0x1000, -0x8000000))
    cdef vreal half = vset1(<real>0.5)
    return split_exp(vmax(pick(-88.02, -709.08), -half * (h * h)), half * (a - h) * (a + h), 0, power)


cdef inline vreal mills_ratio(vreal a, vreal *denominator) noexcept nogil:
    """The numerator of Phi(-a) exp(a^2 / 2), Phi the normal distribution, for 0 <= a <= 14.3 (38.7).

    All coefficients of numerator and denominator are positive: nothing cancels. Error 1.1e-8 / 9.3e-17.
    """
    cdef vreal a2 = a * a
    cdef vreal a4, p, q
    # the constant terms, the largest ones for small a, come last: one rounding
    if sizeof(real) == 4:
        p = (
            vset1(<real>0.5568863) + a * vset1(<real>0.23264483)
            + a2 * (vset1(<real>0.05154526) + a * vset1(<real>0.0052155573))
        )
        q = (
            vset1(<real>2.128497) + a * vset1(<real>1.5276947)
            + a2 * (vset1(<real>0.596034) + a * vset1(<real>0.12921318) + a2 * vset1(<real>0.0130733065))
        )
        p = vset1(<real>0.6358838) + a * p
        q = vset1(<real>1.2717676) + a * q
    else:
        a4 = a2 * a2
        p = (
            vset1(<real>1.063590445933329) + a * vset1(<real>0.8152125077999752)
            + a2 * (vset1(<real>0.3969686338948449) + a * vset1(<real>0.13401568273937664))
            + a4 * (
                vset1(<real>0.03239572467890422) + a * vset1(<real>0.005606659944315329)
                + a2 * (vset1(<real>0.0006721993603622659) + a * vset1(<real>5.1046740346128646e-05))
                + a4 * vset1(<real>1.8979981009575857e-06)
            )
        )
        q = (
            vset1(<real>3.222619308605514) + a * vset1(<real>3.515238980153265)
            + a2 * (vset1(<real>2.3525286621911365) + a * vset1(<real>1.0729348476247718))
            + a4 * (
                vset1(<real>0.3497253852575614) + a * vset1(<real>0.08287947882124724)
                + a2 * (vset1(<real>0.014181767529717655) + a * vset1(<real>0.0016897114988571904))
                + a4 * (vset1(<real>0.00012795520267635155) + a * vset1(<real>4.757575705070783e-06))
            )
        )
        p = vset1(<real>0.6864642271286667) + a * p
        q = vset1(<real>1.3729284542573335) + a * q
    denominator[0] = q
    return p


cdef inline vreal normal_tail(vreal a) noexcept nogil:
    """Phi(-a)."""
    cdef vreal power, q
    cdef vreal e = split_normal(a, &power)
    cdef vreal p = mills_ratio(a, &q)
    return vdiv(p + p * e, q) * power


cdef inline vreal farthest(vreal z) noexcept nogil:
    """|z|, at most 14.3 (38.7), where Phi(-|z|) is zero."""
    return vmin(pick(14.3, 38.7), vabs(z))


cdef inline vreal vgelu(vreal z) noexcept nogil:
    """z Phi(z) = max(z, 0) - |z| Phi(-|z|); of -infinity: the limit, 0.

    Error: 7.2 / 7.8 ulp; 5.6 / 5.3 where multiplication and addition are fused.
    """
    cdef vreal a = farthest(z)
    return vmax(vset1(0), z) - a * normal_tail(a)


cdef inline vreal vgelu_slope(vreal z) noexcept nogil:
    """Phi(z) + z phi(z), phi the normal density. Error: 7.2 / 5.5 ulp, of Phi(z) where that is larger.

    For z < 0 both terms contain exp(-z^2 / 2), and they cancel near -0.75; for z > 0 it is 1 - slope(-z).
    """
    cdef vreal a = farthest(z)
    cdef vreal power, q
    cdef vreal e = split_normal(a, &power)
    cdef vreal p = mills_ratio(a, &q)
    cdef vreal slope = vdiv(p, q) - a * pick(0.3989423, 0.3989422804014327)  # 1 / sqrt(2 pi)
    slope = power * (slope + slope * e)
    return vselect(vlt(vset1(0), z), vset1(1) - slope, slope)


cdef inline vreal verf(vreal x) noexcept nogil:
    """The error function: x + x P(x^2) up to 0.75, then 1 - 2 Phi(-x sqrt 2). Error: 2.2 / 2.4 ulp."""
    cdef vreal w = x * x
    cdef vreal w2 = w * w
    cdef vreal a = farthest(x * pick(1.4142135, 1.4142135623730951))
    cdef vreal far = normal_tail(a)
    cdef vreal w4, P
    # error 7.2e-9 / 1.5e-17
    if sizeof(real) == 4:
        P = (
            vset1(<real>0.12837917) + w * vset1(<real>-0.3761262)
            + w2 * (
                vset1(<real>0.11283377) + w * vset1(<real>-0.026834624)
                + w2 * (vset1(<real>0.005114346) + w * vset1(<real>-0.00067495136))
            )
        )
    else:
        w4 = w2 * w2
        P = (
            vset1(<real>0.1283791670955126) + w * vset1(<real>-0.37612638903183715)
            + w2 * (vset1(<real>0.11283791670952481) + w * vset1(<real>-0.02686617064440249))
            + w4 * (
                vset1(<real>0.005223977615122404) + w * vset1(<real>-0.0008548326169098194)
                + w2 * (vset1(<real>0.0001205528877749845) + w * vset1(<real>-1.4924176644373394e-05))
                + w4 * (
                    vset1(<real>1.6430388331362647e-06) + w * vset1(<real>-1.5937601053967113e-07)
                    + w2 * vset1(<real>1.1463761746726186e-08)
                )
            )
        )
    far = vcopysign(vset1(1) - (far + far), x)
    return vselect(vlt(vabs(x), vset1(<real>0.75)), x + x * P, far)
