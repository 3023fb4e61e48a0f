"""The formulas for single numbers: what the loops apply to one element at a time.

A formula runs as plain Python and compiled alike. Its constants are made in the type of its
argument: beside a float32, Python takes a bare 1.0 for a float32 and a compiler for a float64. The
exponentials are NumPy's because those return inf and nan where `math` raises. Activations all take
alpha, so that a loop can call any; only leaky_relu and elu look at it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..vectorized.activations import (
    FAR,
    GELU_CUBIC,
    GELU_TANH,
    INV_SQRT_2PI,
    NOTHING,
    SELU_FLOOR,
    SELU_SCALE,
    SQRT_HALF,
)

Number = Any


# Arithmetic


def add(a: Number, b: Number) -> Number:
    """a + b."""
    return a + b


def subtract(a: Number, b: Number) -> Number:
    """a - b."""
    return a - b


def multiply(a: Number, b: Number) -> Number:
    """a * b."""
    return a * b


def divide(a: Number, b: Number) -> Number:
    """a / b."""
    return a / b


def power(a: Number, b: Number) -> Number:
    """a ** b."""
    return a**b


def maximum(a: Number, b: Number) -> Number:
    """The larger of a and b; NaN when either is."""
    return a if a >= b or a != a else b


def minimum(a: Number, b: Number) -> Number:
    """The smaller of a and b; NaN when either is."""
    return a if a <= b or a != a else b


def equal(a: Number, b: Number) -> Number:
    """a == b."""
    return a == b


def not_equal(a: Number, b: Number) -> Number:
    """a != b."""
    return a != b


def less(a: Number, b: Number) -> Number:
    """a < b."""
    return a < b


def less_equal(a: Number, b: Number) -> Number:
    """a <= b."""
    return a <= b


def greater(a: Number, b: Number) -> Number:
    """a > b."""
    return a > b


def greater_equal(a: Number, b: Number) -> Number:
    """a >= b."""
    return a >= b


def where(condition: Number, a: Number, b: Number) -> Number:
    """a where the condition holds, b elsewhere."""
    return a if condition else b


def clip(x: Number, low: Number, high: Number) -> Number:
    """x, kept between low and high; NaN stays NaN."""
    raised = low if x < low else x
    return high if raised > high else raised


def negative(x: Number) -> Number:
    """-x."""
    return -x


def exp(x: Number) -> Number:
    """e ** x."""
    return np.exp(x)


def log(x: Number) -> Number:
    """The natural logarithm."""
    return np.log(x)


def log1p(x: Number) -> Number:
    """log(1 + x), accurate for small x."""
    return np.log1p(x)


def expm1(x: Number) -> Number:
    """exp(x) - 1, accurate for small x."""
    return np.expm1(x)


def sqrt(x: Number) -> Number:
    """The square root."""
    return np.sqrt(x)


def absolute(x: Number) -> Number:
    """The absolute value."""
    return abs(x)


def sign(x: Number) -> Number:
    """-1, 0 or 1."""
    return np.sign(x)


def erf(x: Number) -> Number:
    """The error function."""
    return type(x)(math.erf(x))


def safe_log(p: Number, floor: Number) -> Number:
    """log(p) with p kept between floor and 1, so that it is finite for every probability."""
    one = type(p)(1)
    raised = floor if p < floor else p
    return np.log(one if raised > one else raised)


# Activations, each followed by its derivative times the gradient that comes from above.


def linear(x: Number, alpha: Number) -> Number:
    """x."""
    return x


def linear_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """The gradient."""
    return gradient


def sigmoid(x: Number, alpha: Number) -> Number:
    """1 / (1 + exp(-x)), through exp(-|x|) so that it cannot overflow."""
    one = type(x)(1)
    small = np.exp(-abs(x))
    return (one if x >= 0 else small) / (one + small)


def sigmoid_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * y (1 - y)."""
    one = type(y)(1)
    return gradient * y * (one - y)


def tanh(x: Number, alpha: Number) -> Number:
    """The hyperbolic tangent."""
    return np.tanh(x)


def tanh_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * (1 - y^2)."""
    one = type(y)(1)
    return gradient * (one - y * y)


def relu(x: Number, alpha: Number) -> Number:
    """max(x, 0); NaN stays NaN."""
    zero = type(x)(0)
    return zero if x <= 0 else x


def relu_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """The gradient where the unit fired, zero elsewhere."""
    zero = type(gradient)(0)
    return gradient if y > 0 else zero


def leaky_relu(x: Number, alpha: Number) -> Number:
    """x above zero, alpha x below."""
    return x if x > 0 else alpha * x


def leaky_relu_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * (1 or alpha); alpha is positive, so y has the sign of x."""
    return gradient if y > 0 else alpha * gradient


def elu(x: Number, alpha: Number) -> Number:
    """x above zero, alpha (exp(x) - 1) below."""
    return x if x > 0 else alpha * np.expm1(x)


def elu_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * (1 or y + alpha)."""
    return gradient if y > 0 else gradient * (y + alpha)


def softplus(x: Number, alpha: Number) -> Number:
    """log(1 + exp(x)) as max(x, 0) + log1p(exp(-|x|))."""
    zero = type(x)(0)
    return (zero if x <= 0 else x) + np.log1p(np.exp(-abs(x)))


def softplus_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * (1 - exp(-y)), which is the sigmoid of x."""
    return -gradient * np.expm1(-y)


def gelu(x: Number, alpha: Number) -> Number:
    """x Phi(x) with the normal distribution function."""
    number = type(x)
    half, one = number(0.5), number(1)
    return half * x * (one + number(math.erf(number(SQRT_HALF) * x)))


def gelu_backward(gradient: Number, x: Number, alpha: Number) -> Number:
    """gradient * (Phi(x) + x phi(x))."""
    number = type(x)
    half, one = number(0.5), number(1)
    density = number(INV_SQRT_2PI) * np.exp(-half * x * x)
    below = half * (one + number(math.erf(number(SQRT_HALF) * x)))
    far = number(FAR)
    near = far if x > far else (-far if x < -far else x)  # infinity times density 0 would be NaN
    return gradient * (below + near * density)


def gelu_tanh(x: Number, alpha: Number) -> Number:
    """The tanh form of GELU."""
    number = type(x)
    half, one = number(0.5), number(1)
    return half * x * (one + np.tanh(number(GELU_TANH) * (x + number(GELU_CUBIC) * x * x * x)))


def gelu_tanh_backward(gradient: Number, x: Number, alpha: Number) -> Number:
    """The gradient times the derivative of the tanh form."""
    number = type(x)
    half, one, three = number(0.5), number(1), number(3)
    scale, cubic = number(GELU_TANH), number(GELU_CUBIC)
    far = number(FAR)
    x = far if x > far else (-far if x < -far else x)
    t = np.tanh(scale * (x + cubic * x * x * x))
    inner = scale * (one + three * cubic * x * x)
    return gradient * (half * (one + t) + half * x * (one - t * t) * inner)


def silu(x: Number, alpha: Number) -> Number:
    """x sigmoid(x)."""
    one = type(x)(1)
    small = np.exp(-abs(x))
    return x * ((one if x >= 0 else small) / (one + small))


def silu_backward(gradient: Number, x: Number, alpha: Number) -> Number:
    """gradient * s (1 + x (1 - s)), s being sigmoid(x)."""
    number = type(x)
    one, far = number(1), number(NOTHING)
    near = far if x > far else (-far if x < -far else x)  # infinity times s (1 - s) = 0 is NaN
    small = np.exp(-abs(near))
    s = (one if near >= 0 else small) / (one + small)
    return gradient * (s * (one + near * (one - s)))


def mish(x: Number, alpha: Number) -> Number:
    """x tanh(softplus(x)), the tangent as a quotient of polynomials of exp(-|x|)."""
    one, two = type(x)(1), type(x)(2)
    u = np.exp(-abs(x))
    above = one + two * u if x >= 0 else u * (u + two)
    return x * (above / (above + (two * u * u if x >= 0 else two)))


def mish_backward(gradient: Number, x: Number, alpha: Number) -> Number:
    """gradient * (t + x (1 - t^2) sigmoid(x)), t being tanh(softplus(x))."""
    number = type(x)
    one, two, four, far = number(1), number(2), number(4), number(NOTHING)
    near = far if x > far else (-far if x < -far else x)  # infinity times 1 - t^2 = 0 is NaN
    u = np.exp(-abs(near))
    above = one + two * u if near >= 0 else u * (u + two)
    whole = above + (two * u * u if near >= 0 else two)
    slope = four * u * (one + u) * (u if near >= 0 else one)
    return gradient * (above / whole + near * slope / (whole * whole))


def selu(x: Number, alpha: Number) -> Number:
    """scale * x above zero, scale * alpha (exp(x) - 1) below."""
    return type(x)(SELU_SCALE) * x if x > 0 else type(x)(SELU_FLOOR) * np.expm1(x)


def selu_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * (scale or y + scale * alpha)."""
    return gradient * (type(y)(SELU_SCALE) if y > 0 else y + type(y)(SELU_FLOOR))


def hard_sigmoid(x: Number, alpha: Number) -> Number:
    """x / 6 + 1 / 2, kept between 0 and 1; NaN stays NaN."""
    zero, one = type(x)(0), type(x)(1)
    y = (x + type(x)(3)) / type(x)(6)
    raised = zero if y < zero else y
    return one if raised > one else raised


def hard_sigmoid_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient / 6 between the bounds, zero at them and beyond."""
    zero, one = type(y)(0), type(y)(1)
    return gradient / type(y)(6) if zero < y < one else type(gradient)(0)


def hard_swish(x: Number, alpha: Number) -> Number:
    """x hard_sigmoid(x)."""
    zero, one = type(x)(0), type(x)(1)
    y = (x + type(x)(3)) / type(x)(6)
    raised = zero if y < zero else y
    return x * (one if raised > one else raised)


def hard_swish_backward(gradient: Number, x: Number, alpha: Number) -> Number:
    """gradient * (0, x / 3 + 1 / 2 between -3 and 3, or 1)."""
    three = type(x)(3)
    if x <= -three:
        return type(gradient)(0)
    return gradient * (x / three + type(x)(0.5)) if x < three else gradient


def softsign(x: Number, alpha: Number) -> Number:
    """x / (1 + |x|)."""
    return x / (type(x)(1) + abs(x))


def softsign_backward(gradient: Number, y: Number, alpha: Number) -> Number:
    """gradient * (1 - |y|)^2."""
    rest = type(y)(1) - abs(y)
    return gradient * rest * rest


# Random words


def multiply_words(constant: int, x: int) -> tuple[int, int]:
    """High and low 32-bit word of the product of two 32-bit words.

    It is put together from 16-bit halves, so that nothing exceeds 32 bits on the way.
    """
    low, high = constant & 0xFFFF, constant >> 16
    x_low, x_high = x & 0xFFFF, x >> 16
    low_low, high_low = low * x_low, high * x_low
    cross = (low_low >> 16) + (high_low & 0xFFFF) + low * x_high
    top = (high_low >> 16) + (cross >> 16) + high * x_high
    return top, ((cross & 0xFFFF) << 16) | (low_low & 0xFFFF)
