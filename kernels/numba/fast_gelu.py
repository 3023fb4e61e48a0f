"""GELU, its form by tanh, and their derivatives, for a compiler to vectorise: see `fast_math`.

Both are x times a share that grows from 0 to 1, s(-x) = 1 - s(x), so the derivatives too are
mirrored: d(x) = 1 - d(-x). Everything is computed for negative x, where nothing cancels.

Largest error, measured as there, in units of the last place of x, of derivatives of that of 1
(small values have lost digits):

          gelu   gelu_slope   gelu_tanh   gelu_tanh_slope
float32    4.0          3.0         2.5               1.5
float64    2.0          1.5         2.5               1.5

The error function of float64 is libm's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types

from ..vectorized.activations import GELU_CUBIC, GELU_TANH, INV_SQRT_2PI, SQRT_HALF
from .fast_math import exp_normal
from .instructions import Number, compiled, fma, polynomial

# Of a > 0, for float32. erfc(a / sqrt(2)) = P(a)^-4 to 1e-8: a form of Abramowitz and Stegun's,
# 7.1.28. (1 - a h(a)) / 2, where h is the normal distribution's density over its share beyond a,
# to 6e-8 of what it contributes. Both fitted for the least maximum of the error up to 4 sqrt(2);
# beyond, the quotient goes to 0.
ROOT = [
    1.0, 0.199471474, 0.0994655788, 0.0263250712, 0.00527055794, 0.0017248533, -0.000129239575,
    0.000362702034, -0.000152567009, 5.20999056e-05, -8.89633884e-06, 7.81124527e-07,
]  # fmt: skip
PART = [
    0.5, -0.398945113, -0.318268523, -0.0547020720, 0.0100089708, -0.000436888691, -0.000290313564,
    0.0000720970690, -5.6441960e-06,
]  # fmt: skip
_root, _part = polynomial(ROOT, []), polynomial(PART, [])
_FAR = 40.0  # from there on every derivative is 0 or 1


def _share(x: Number) -> Number:
    """The share of the normal distribution below x."""
    return 0.5 * math.erfc(-SQRT_HALF * x)


def gelu(x: Number) -> Number:
    """x times the share of the normal distribution below x."""
    return x * _share(x)


@compiled(gelu)
def _gelu(x: Any) -> Any:
    one, two, half, root = np.float32(1.0), np.float32(2.0), 0.5, SQRT_HALF
    half_single = np.float32(half)

    def compute(x: Number) -> Number:
        square = _root(abs(x))
        square *= square
        beyond = one / (square * square)  # twice the share beyond |x|
        return half_single * x * (beyond if x < 0 else two - beyond)

    def wide(x: Number) -> Number:
        return x * (half + half * math.erf(root * x))

    return compute if x == types.float32 else wide


def gelu_slope(x: Number) -> Number:
    """The derivative of `gelu`: the share below x, and x times the density at x."""
    return _share(x) + x * INV_SQRT_2PI * np.exp(-0.5 * x * x)


@compiled(gelu_slope)
def _gelu_slope(x: Any) -> Any:
    one, far = np.float32(1.0), np.float32(_FAR)
    half, root, density, far_wide = 0.5, SQRT_HALF, INV_SQRT_2PI, _FAR

    def compute(x: Number) -> Number:
        a = abs(x)
        a = far if a > far else a
        square = _root(a)
        square *= square
        below = _part(a) / (square * square)
        return below if x < 0 else one - below

    def wide(x: Number) -> Number:
        share = half + half * math.erf(root * x)
        x = far_wide if x > far_wide else -far_wide if x < -far_wide else x
        return share + x * (density * exp_normal(-half * x * x))

    return compute if x == types.float32 else wide


def gelu_tanh(x: Number) -> Number:
    """x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u)."""
    return 0.5 * x * (1.0 + np.tanh(GELU_TANH * (x + GELU_CUBIC * x * x * x)))


@compiled(gelu_tanh)
def _gelu_tanh(x: Any) -> Any:
    number = np.float32 if x == types.float32 else np.float64
    linear, cubic = number(2.0 * GELU_TANH), number(2.0 * GELU_TANH * GELU_CUBIC)
    one = number(1.0)

    def compute(x: Number) -> Number:
        small = exp_normal(-abs(x) * fma(x * x, cubic, linear))
        return x * ((small if x < 0 else one) / (one + small))

    return compute


def gelu_tanh_slope(x: Number) -> Number:
    """The derivative of `gelu_tanh`."""
    t = np.tanh(GELU_TANH * (x + GELU_CUBIC * x * x * x))
    inner = GELU_TANH * (1.0 + 3.0 * GELU_CUBIC * x * x)
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner


@compiled(gelu_tanh_slope)
def _gelu_tanh_slope(x: Any) -> Any:
    number = np.float32 if x == types.float32 else np.float64
    linear, cubic = number(2.0 * GELU_TANH), number(2.0 * GELU_TANH * GELU_CUBIC)
    one, three, far = number(1.0), number(3.0) * cubic, number(_FAR)

    def compute(x: Number) -> Number:
        a = abs(x)
        a = far if a > far else a
        square = a * a
        small = exp_normal(-a * fma(square, cubic, linear))
        share = one / (one + small)  # of |x|
        below = small * share * fma(-(a * share), fma(square, three, linear), one)
        return below if x < 0 else one - below

    return compute
