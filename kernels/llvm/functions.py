"""exp, log, tanh and their like on lanes: the formulas of `numba/fast_math.py`, which says why.

Error bounds are those of that module; `erf` follows Cody as the reference does, in float32 to some
4 ulp of 1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from ..numba import fast_gelu, fast_math
from ..numba.fast_math import LN2
from ..numba.instructions import magic_of
from ..vectorized.activations import NOTHING
from ..vectorized.operations import ERF_MIDDLE, ERF_SMALL
from .lanes import Lanes

ROOT = {True: 0x3F3504F3, False: 0x3FE6A09E667F3BCD}  # the bits of sqrt(1/2)


def polynomial(x: Lanes, single: list[float], double: list[float]) -> Lanes:
    """Horner's scheme over coefficients, lowest power first."""
    coefficients = single if x.single else double
    total = x.like(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = total.fma(x, c)
    return total


def _parts(x: Lanes) -> tuple[float, float, float]:
    """ln(2) in two parts, and 1/ln(2)."""
    high, low = LN2[types.float32 if x.single else types.float64]
    return high, low, 1.0 / math.log(2.0)


def _magic(x: Lanes, more: int = 0) -> float:
    return float(magic_of(types.float32 if x.single else types.float64, more))


def _two_to(shifted: Lanes) -> Lanes:
    return shifted.bits().shifted(left=23 if shifted.single else 52).number()


def _between(x: Lanes, least: float, most: float) -> Lanes:
    """Kept between two numbers; NaN stays."""
    select = x.writer.select
    x = select(x < least, least, x)
    return select(x > most, most, x)


def exp(x: Lanes) -> Lanes:
    """e ** x."""
    high, low, inverse = _parts(x)
    magic = _magic(x)
    x = _between(x, -104.0, 89.0) if x.single else _between(x, -746.0, 710.0)
    n = x.fma(inverse, magic) - magic
    first = x.fma(0.5 * inverse, magic)
    second = (n - (first - magic)) + magic
    r = (-n).fma(low, (-n).fma(high, x))
    tail = polynomial(r, fast_math.EXP_SHORT, fast_math.EXP_SERIES)
    value = r.fma(r.fma(tail, 1.0), 1.0)
    return value * _two_to(first) * _two_to(second)


def exp_below(x: Lanes) -> Lanes:
    """e ** x for x up to 0 and NaN."""
    high, low, inverse = _parts(x)
    lift = 32 if x.single else 64
    magic = _magic(x, lift)
    least = -104.0 if x.single else -746.0
    x = x.writer.select(x < least, least, x)
    shifted = x.fma(inverse, magic)
    n = shifted - magic
    r = (-n).fma(low, (-n).fma(high, x))
    tail = polynomial(r, fast_math.EXP_SHORT, fast_math.EXP_SERIES)
    value = r.fma(r.fma(tail, 1.0), 1.0)
    return value * _two_to(shifted) * 2.0**-lift


def expm1(x: Lanes) -> Lanes:
    """e ** x - 1, accurate for small x."""
    high, low, inverse = _parts(x)
    magic = _magic(x, -1)
    y = _between(x, -20.0, 89.0) if x.single else _between(x, -40.0, 710.0)
    shifted = y.fma(inverse, magic)
    n = shifted - magic
    r = (-n).fma(low, (-n).fma(high, y))
    scale = _two_to(shifted)
    tail = polynomial(r, fast_math.EXP_LONG, fast_math.EXP_SERIES)
    value = scale.fma((r * r).fma(tail, r), scale - 0.5) * 2.0
    small = 2.0 ** (-25 if x.single else -54)
    return x.writer.select(abs(x) < small, x, value)


def log(x: Lanes) -> Lanes:
    """The natural logarithm."""
    high, low, _ = _parts(x)
    select, number = x.writer.select, np.float32 if x.single else np.float64
    tiny = float(np.finfo(number).smallest_normal)
    lift, fraction = (25.0, 23) if x.single else (54.0, 52)
    small = x < tiny
    y = select(small, x * 2.0**lift, x)
    word = y.bits()
    power = (word - ROOT[x.single]).shifted(right=fraction)
    e = power.cast(x.dtype) - select(small, x.like(lift), x.like(0.0))
    f = (word - power.shifted(left=fraction)).number() - 1.0
    s = f / (2.0 + f)
    square = 0.5 * f * f
    z = s * s
    tail = z * polynomial(z, fast_math.LOG_SHORT, fast_math.LOG_SERIES)
    value = e.fma(high, f - (square - s.fma(square + tail, e * low)))
    value = select(x < math.inf, value, x)  # NaN too
    value = select((x > 0.0) | (x != x), value, math.nan)
    return select(x == 0.0, x.like(-math.inf), value)


def log1p(x: Lanes) -> Lanes:
    """log(1 + x), accurate for small x."""
    select = x.writer.select
    u = 1.0 + x
    lost = select((u > 0.0) & (u < math.inf), (x - (u - 1.0)) / u, x.like(0.0))
    small = 2.0 ** (-25 if x.single else -54)
    return select(abs(x) < small, x, log(u) + lost)


def log1p_unit(x: Lanes) -> Lanes:
    """log(1 + x) for x in [0, 1] and NaN."""
    if not x.single:
        return log1p(x)
    return x.fma(polynomial(x.fma(2.0, -1.0), fast_math.LOG1P_RATIO, []), x)


def tanh(x: Lanes) -> Lanes:
    """The hyperbolic tangent."""
    high, low, inverse = _parts(x)
    magic, most = _magic(x), 10.0 if x.single else 20.0
    y = abs(x)
    y = x.writer.select(y > most, most, y)
    shifted = y.fma(2.0 * inverse, magic)
    n = shifted - magic
    r = (-n).fma(0.5 * low, (-n).fma(0.5 * high, y))
    scale = _two_to(shifted)
    tail = polynomial(r, fast_math.TANH_LONG, fast_math.TANH_SERIES)
    e = scale.fma((r * r).fma(tail, r), scale.fma(0.5, -0.5))
    return (e / (e + 1.0)).with_sign(x)


def sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + exp(-x)), through exp(-|x|) so that it cannot overflow."""
    small = exp_below(-abs(x))
    return x.writer.select(x >= 0.0, x.like(1.0), small) / (1.0 + small)


def softplus(x: Lanes) -> Lanes:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|))."""
    return x.writer.select(x <= 0.0, x.like(0.0), x) + log1p_unit(exp_below(-abs(x)))


def gelu(x: Lanes) -> Lanes:
    """x times the share of the normal distribution below x."""
    if not x.single:
        return 0.5 * x * (1.0 + erf(math.sqrt(0.5) * x))
    square = polynomial(abs(x), fast_gelu.ROOT, [])
    square = square * square
    beyond = 1.0 / (square * square)
    return 0.5 * x * x.writer.select(x < 0.0, beyond, 2.0 - beyond)


def _ratio(x: Lanes, top: tuple[float, ...], bottom: tuple[float, ...]) -> Lanes:
    above, below = x * top[0], x * 1.0
    for a, b in zip(top[1:-1], bottom[:-1], strict=True):
        above, below = (above + a) * x, (below + b) * x
    return (above + top[-1]) / (below + bottom[-1])


def erf(x: Lanes) -> Lanes:
    """The error function."""
    select, size = x.writer.select, abs(x)
    near = select(size > 0.5, 0.5, size)
    small = near * _ratio(near * near, *ERF_SMALL)
    far = _between(size, 0.46875, 6.0)
    large = 1.0 - exp_below(-far * far) * _ratio(far, *ERF_MIDDLE)
    value = select(size <= 0.46875, small, large).with_sign(x)
    return select(x == x, value, x)


def power(a: Lanes, b: Lanes) -> Lanes:
    """a ** b: products for small whole numbers, in float32 through float64, else the C library."""
    select = a.writer.select
    if b.known is not None and float(b.known) in (1.0, 2.0, 3.0, 4.0, -1.0):
        return _whole_power(a, int(b.known))
    if b.known == 0.5:  # of -0.0 it is 0, of -infinity infinity, as C has it
        return select(a == -math.inf, a.like(math.inf), (a + 0.0).sqrt())
    if not a.single:
        return a.pow(b)
    size, exponent = abs(a).cast("float64"), b.cast("float64")
    value = exp(exponent * log(size))
    without_limit = (size == 1.0) & (abs(exponent) == math.inf)
    one = (a == 1.0) | (exponent == 0.0) | without_limit
    value = select(one, size.like(1.0), value)
    whole = exponent.rounded() == exponent
    half = exponent * 0.5
    odd = whole & (half.rounded() != half)
    negative = a.below_zero() & odd
    value = select(negative, -value, value)
    wrong = (a < 0.0) & ~whole & (size != math.inf) & (exponent == exponent)
    return select(wrong, value.like(math.nan), value).cast("float32")


def _whole_power(a: Lanes, exponent: int) -> Lanes:
    if exponent == -1:
        return 1.0 / a
    square = a if exponent == 1 else a * a
    return {1: a, 2: square}.get(exponent) or square * (a if exponent == 3 else square)


def sign(x: Lanes) -> Lanes:
    """-1, 0 or 1; NaN stays."""
    select = x.writer.select
    if x.dtype == "uint32":
        return select(x == 0, x.like(0), x.like(1))
    value = select(x > 0, x.like(1), select(x < 0, x.like(-1), x.like(0)))
    return select(x == x, value, x) if x.real else value


def quotient(x: Lanes, divisor: Lanes, reciprocal: Lanes) -> Lanes:
    """x / divisor by its reciprocal, see `quotients.py`."""
    found = x * reciprocal
    lacking = (-found).fma(divisor, x)
    # Infinity, or a division by zero, leaves nothing to correct.
    return x.writer.select(lacking == lacking, lacking.fma(reciprocal, found), found)


def silu(x: Lanes) -> Lanes:
    """x sigmoid(x)."""
    return x * sigmoid(x)


def silu_backward(gradient: Lanes, x: Lanes) -> Lanes:
    """g s (1 + x (1 - s)), s being sigmoid(x)."""
    near = _between(x, -NOTHING, NOTHING)
    s = sigmoid(near)
    return gradient * (s * (1.0 + near * (1.0 - s)))


def _mish_parts(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """exp(-|x|), and the two parts of the quotient that tanh(softplus(x)) is."""
    select = x.writer.select
    u = exp_below(-abs(x))
    above = select(x >= 0.0, 1.0 + 2.0 * u, u * (u + 2.0))
    return u, above, above + select(x >= 0.0, 2.0 * u * u, 2.0)


def mish(x: Lanes) -> Lanes:
    """x tanh(softplus(x))."""
    _, above, whole = _mish_parts(x)
    return x * (above / whole)


def mish_backward(gradient: Lanes, x: Lanes) -> Lanes:
    """g (t + x (1 - t^2) sigmoid(x)), t being tanh(softplus(x))."""
    near = _between(x, -NOTHING, NOTHING)
    u, above, whole = _mish_parts(near)
    slope = 4.0 * u * (1.0 + u) * x.writer.select(near >= 0.0, u, 1.0)
    return gradient * (above / whole + near * slope / (whole * whole))
