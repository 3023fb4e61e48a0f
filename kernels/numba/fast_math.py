"""exp, log, tanh and their like, for a compiler to vectorise.

Numba's wheels have no vector math library: np.exp in a loop is one libm call per element. These
are for float32 and float64, and branchless: range reduction, a series whose first terms left out
are below the rounding, and the exponent put together from the bits. NaN stays NaN; infinities,
overflow and subnormal numbers come out as IEEE says. In the interpreter (no compiler) they are
NumPy's functions.

Largest error measured against longer arithmetic, over the whole range of each function, in units
in the last place (`tests/kernels/test_elementary.py` holds it to the bound):

          exp   exp_below   exp_normal   expm1   log   log1p   log1p_unit   tanh   sigmoid
float32   1.0         1.0          1.0     1.5   1.0     1.5          1.5    2.5       2.5
float64   1.0         1.0          1.0     2.0   1.0     1.5          1.5    3.0       2.5
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from .instructions import (
    Number,
    compiled,
    exponent_of,
    fmuladd,
    magic_of,
    mantissa_of,
    polynomial,
    two_to,
    with_sign,
)


def interpolated(
    function: Callable[[float], float], degree: int, reach: float = 1.0
) -> list[float]:
    """The polynomial through a function at Chebyshev's points of [-reach, reach], lowest first."""
    points = np.polynomial.chebyshev.chebpts1(degree + 1)
    values = [function(float(x) * reach) for x in points]
    found = np.polynomial.Chebyshev.fit(points, values, degree, [-1.0, 1.0])
    powers = found.convert(kind=np.polynomial.Polynomial).coef
    return [float(c) / reach**power for power, c in enumerate(powers)]


# (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2: in float64 the next term, r^13/14!, is below half an
# ulp; in float32 interpolation needs a term or two less than the series, one of which is seen only
# where a difference from 1 is wanted.
EXP_SERIES = [1.0 / math.factorial(k) for k in range(2, 14)]
EXP_SHORT, EXP_LONG = (
    interpolated(lambda r: sum(c * r**k for k, c in enumerate(EXP_SERIES)), degree, math.log(2) / 2)
    for degree in (4, 5)
)
_exp_tail = polynomial(EXP_SHORT, EXP_SERIES)
_expm1_tail = polynomial(EXP_LONG, EXP_SERIES)
# ((e^2r - 1) / 2 - r) / r^2 for |r| <= ln(2) / 4
TANH_LONG, TANH_SERIES = (
    [c * 2.0 ** (k + 1) for k, c in enumerate(tail)] for tail in (EXP_LONG, EXP_SERIES)
)
_tanh_tail = polynomial(TANH_LONG, TANH_SERIES)
# (2 atanh(s) - 2 s) / (s * s^2) in s^2 for |s| <= 3 - sqrt(8), as log(1 + f) = 2 atanh(f / (2 + f))
LOG_SHORT, LOG_SERIES = ([2.0 / (2 * k + 3) for k in range(terms)] for terms in (5, 11))
_log_tail = polynomial(LOG_SHORT, LOG_SERIES)


# log1p(x) / x - 1 on [0, 1], in 2 x - 1, for float32: fitted for the least relative error, 3e-8.
LOG1P_RATIO = [
    -0.189069781, -0.144263333, 0.0331522711, -0.00846393087, 0.00228961625, -0.000632132689,
    0.000181038687, -6.69879822e-05, 2.04402122e-05,
]  # fmt: skip
_log1p_ratio = polynomial(LOG1P_RATIO, [])

# ln(2) in two parts: n times the first is exact for every exponent n.
LN2 = {
    types.float32: (0.693359375, math.log(2.0) - 0.693359375),
    types.float64: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}


def _constants(x: Any) -> tuple[Any, ...]:
    """Number type, parts of ln(2), 1/ln(2)."""
    number = np.float32 if x == types.float32 else np.float64
    high, low = LN2[x]
    return number, number(high), number(low), number(1.0 / math.log(2.0))


def exp(x: Number) -> Number:
    """e ** x."""
    return np.exp(x)


@compiled(exp)
def _exp(x: Any) -> Any:
    number, high, low, inverse = _constants(x)
    single, magic = x == types.float32, magic_of(x)
    least, most = (number(-104.0), number(89.0)) if single else (number(-746.0), number(710.0))
    half_inverse, one = number(0.5) * inverse, number(1.0)

    def compute(x: Number) -> Number:
        x = least if x < least else x
        x = most if x > most else x
        n = fmuladd(x, inverse, magic) - magic
        # Half of the exponent at a time: 2 ** n itself may be infinite or subnormal.
        first = fmuladd(x, half_inverse, magic)
        second = (n - (first - magic)) + magic
        r = fmuladd(-n, low, fmuladd(-n, high, x))
        value = fmuladd(r, fmuladd(r, _exp_tail(r), one), one)
        return value * two_to(first) * two_to(second)

    return compute


def exp_below(x: Number) -> Number:
    """e ** x for x up to 0 and NaN: two thirds of the work of `exp`."""
    return np.exp(x)


@compiled(exp_below)
def _exp_below(x: Any) -> Any:
    number, high, low, inverse = _constants(x)
    single = x == types.float32
    least = number(-104.0 if single else -746.0)
    lift = 32 if single else 64  # so that 2 ** n is not subnormal
    magic, lowered, one = magic_of(x, lift), number(2.0**-lift), number(1.0)

    def compute(x: Number) -> Number:
        x = least if x < least else x
        shifted = fmuladd(x, inverse, magic)
        n = shifted - magic
        r = fmuladd(-n, low, fmuladd(-n, high, x))
        value = fmuladd(r, fmuladd(r, _exp_tail(r), one), one)
        return value * two_to(shifted) * lowered

    return compute


def exp_normal(x: Number) -> Number:
    """e ** x for x up to 0 and NaN; 0 instead of subnormal numbers, which are slow to compute.

    Those from sqrt(1/2) of the smallest normal number on are there.
    """
    value = np.exp(x)
    least = math.sqrt(0.5) * np.finfo(value.dtype).smallest_normal
    return np.where(value < least, 0.0, value)


@compiled(exp_normal)
def _exp_normal(x: Any) -> Any:
    number, high, low, inverse = _constants(x)
    least = number(-88.0 if x == types.float32 else -709.0)  # there 2 ** n is 0
    magic, one = magic_of(x), number(1.0)

    def compute(x: Number) -> Number:
        x = least if x < least else x
        shifted = fmuladd(x, inverse, magic)
        n = shifted - magic
        r = fmuladd(-n, low, fmuladd(-n, high, x))
        return fmuladd(r, fmuladd(r, _exp_tail(r), one), one) * two_to(shifted)

    return compute


def expm1(x: Number) -> Number:
    """e ** x - 1, accurate for small x."""
    return np.expm1(x)


@compiled(expm1)
def _expm1(x: Any) -> Any:
    number, high, low, inverse = _constants(x)
    single, magic = x == types.float32, magic_of(x, -1)
    least, most = (number(-20.0), number(89.0)) if single else (number(-40.0), number(710.0))
    small = number(2.0 ** (-25 if single else -54))
    half, two = number(0.5), number(2.0)

    def compute(x: Number) -> Number:
        y = least if x < least else x
        y = most if y > most else y
        shifted = fmuladd(y, inverse, magic)
        n = shifted - magic
        r = fmuladd(-n, low, fmuladd(-n, high, y))
        scale = two_to(shifted)  # half of 2 ** n, which may be infinite
        value = fmuladd(scale, fmuladd(r * r, _expm1_tail(r), r), scale - half) * two
        return x if abs(x) < small else value  # a subnormal number halved loses its last bit

    return compute


def log(x: Number) -> Number:
    """The natural logarithm."""
    return np.log(x)


@compiled(log)
def _log(x: Any) -> Any:
    number, high, low, _ = _constants(x)
    single = x == types.float32
    tiny = number(np.finfo(number).smallest_normal)
    lift, lifted = (25.0, 2.0**25) if single else (54.0, 2.0**54)
    lift, lifted = number(lift), number(lifted)
    zero, one, two, half = number(0.0), number(1.0), number(2.0), number(0.5)
    infinity = number(math.inf)
    nan = number(math.nan)

    def compute(x: Number) -> Number:
        low_x = x < tiny
        y = x * lifted if low_x else x
        e = exponent_of(y) - (lift if low_x else zero)
        f = mantissa_of(y) - one
        s = f / (two + f)
        square = half * f * f
        z = s * s
        tail = z * _log_tail(z)
        value = fmuladd(e, high, f - (square - fmuladd(s, square + tail, e * low)))
        value = value if x < infinity else x  # NaN too
        value = value if x > zero or x != x else nan
        return -infinity if x == zero else value

    return compute


def log1p(x: Number) -> Number:
    """log(1 + x), accurate for small x."""
    return np.log1p(x)


@compiled(log1p)
def _log1p(x: Any) -> Any:
    number = np.float32 if x == types.float32 else np.float64
    small = number(2.0 ** (-25 if x == types.float32 else -54))
    zero, one = number(0.0), number(1.0)
    infinity = number(math.inf)

    def compute(x: Number) -> Number:
        u = one + x
        # What the sum lost, brought back to first order.
        lost = (x - (u - one)) / u if u > zero and u < infinity else zero
        value = log(u) + lost
        return x if abs(x) < small else value

    return compute


def log1p_unit(x: Number) -> Number:
    """log(1 + x) for x in [0, 1] and NaN: in float32 half the work of `log1p`."""
    return np.log1p(x)


@compiled(log1p_unit)
def _log1p_unit(x: Any) -> Any:
    one, two = np.float32(1.0), np.float32(2.0)

    def compute(x: Number) -> Number:
        return fmuladd(x, _log1p_ratio(fmuladd(x, two, -one)), x)

    def wide(x: Number) -> Number:  # it would take twenty coefficients of more digits than these
        return log1p(x)

    return compute if x == types.float32 else wide


def tanh(x: Number) -> Number:
    """The hyperbolic tangent."""
    return np.tanh(x)


@compiled(tanh)
def _tanh(x: Any) -> Any:
    number, high, low, inverse = _constants(x)
    magic = magic_of(x)
    most = number(10.0 if x == types.float32 else 20.0)  # from there on it is 1
    one, two, half = number(1.0), number(2.0), number(0.5)
    double_inverse, half_high, half_low = two * inverse, half * high, half * low

    def compute(x: Number) -> Number:
        y = abs(x)
        y = most if y > most else y
        # (e ** 2y - 1) / 2 as `expm1` has it, where 2 ** n is neither infinite nor subnormal.
        shifted = fmuladd(y, double_inverse, magic)
        n = shifted - magic
        r = fmuladd(-n, half_low, fmuladd(-n, half_high, y))
        scale = two_to(shifted)
        e = fmuladd(scale, fmuladd(r * r, _tanh_tail(r), r), fmuladd(scale, half, -half))
        return with_sign(e / (e + one), x)

    return compute


def sigmoid(x: Number) -> Number:
    """1 / (1 + exp(-x)), through exp(-|x|) so that it cannot overflow."""
    small = np.exp(-abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


@compiled(sigmoid)
def _sigmoid(x: Any) -> Any:
    number = np.float32 if x == types.float32 else np.float64
    one = number(1.0)

    def compute(x: Number) -> Number:
        small = exp_below(-abs(x))
        return (one if x >= 0 else small) / (one + small)

    return compute
