"""The normal distribution and GELU, for a compiler to vectorise: see `fast_math`.

Largest error, measured likewise:

          bell   normal   gelu
float32    1.5      6.5   5.0 *
float64    1.5    1.0 *   1.5 *

* of the last place of 1, or of x: small values have lost digits. In float64 the error function is
libm's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from .fast_math import Number, compiled, exp_below, fma, interpolated, polynomial

# The share of the normal distribution beyond x > 0, over the bell and t = 1 / (1 + reach x), is
# smooth in t: from 1, where x is 0, to where the bell is 0, mapped to [-1, 1].
_REACH = 0.44 * math.sqrt(0.5)
_LAST = 1.0 / (1.0 + _REACH * 14.0)
_LINE = (2.0 / (1.0 - _LAST), -(1.0 + _LAST) / (1.0 - _LAST))


def _tail_ratio(line: float) -> float:
    t = (line - _LINE[1]) / _LINE[0]
    x = (1.0 / t - 1.0) / _REACH
    return 0.5 * math.erfc(math.sqrt(0.5) * x) * math.exp(0.5 * x * x) / t


_ratio = polynomial(interpolated(_tail_ratio, 9), [])

# erfc(x / sqrt(2)) = P(x)^-4 for x from 0 on, to 5e-8: a form of Abramowitz and Stegun's, 7.1.28.
# Fitted for the least maximum of that error up to 4 sqrt(2); beyond, P grows on and the value goes
# to 0.
_root = polynomial(
    [
        1.0, 0.199469864, 0.0994932279, 0.0261461511, 0.00584584242, 0.000677853008, 0.00102493726,
        -0.000432199275, 0.000189973493, -3.72739414e-05, 3.96684572e-06,
    ], [],
)  # fmt: skip


def bell(x: Number) -> Number:
    """e ** (-x^2 / 2)."""
    return np.exp(-0.5 * x * x)


@compiled(bell)
def _bell(x: Any) -> Any:
    number = np.float32 if x == types.float32 else np.float64
    half, far = number(0.5), number(20.0 if x == types.float32 else 40.0)  # from there on it is 0

    def compute(x: Number) -> Number:
        y = abs(x)
        y = far if y > far else y
        square = y * y
        lost = fma(y, y, -square)  # the square's rounding, which the exponential would multiply
        value = exp_below(-half * square)
        return fma(value, -half * lost, value)

    return compute


def normal(x: Number) -> Number:
    """The share of the normal distribution below x."""
    return 0.5 * math.erfc(-math.sqrt(0.5) * x)


@compiled(normal)
def _normal(x: Any) -> Any:
    reach, scale, shift = map(np.float32, (_REACH, *_LINE))
    one, half, root = np.float32(1.0), 0.5, math.sqrt(0.5)

    def compute(x: Number) -> Number:
        t = one / fma(abs(x), reach, one)
        tail = bell(x) * (t * _ratio(fma(t, scale, shift)))
        return tail if x < 0 else one - tail

    def libm(x: Number) -> Number:
        return half + half * math.erf(root * x)

    return compute if x == types.float32 else libm


def gelu(x: Number) -> Number:
    """x times the share of the normal distribution below x."""
    return x * normal(x)


@compiled(gelu)
def _gelu(x: Any) -> Any:
    one, two, half = np.float32(1.0), np.float32(2.0), np.float32(0.5)

    def compute(x: Number) -> Number:
        square = _root(abs(x))
        square *= square
        beyond = one / (square * square)  # twice the share beyond |x|
        return half * x * (beyond if x < 0 else two - beyond)

    def wide(x: Number) -> Number:
        return x * normal(x)

    return compute if x == types.float32 else wide
