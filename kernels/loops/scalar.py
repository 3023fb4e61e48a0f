"""The formulas for single numbers: what the loops apply to one element at a time.

A formula runs as plain Python and compiled alike. Its constants are made in the type of its
argument: beside a float32, Python takes a bare 1.0 for a float32 and a compiler for a float64. The
exponentials are NumPy's because those return inf and nan where `math` raises.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..vectorized.activations import FAR, GELU_CUBIC, GELU_TANH, INV_SQRT_2PI, SQRT_HALF

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


# Activations, each followed by its derivative times the gradient that comes from above. All of them
# take alpha, so that a loop can call any; only leaky_relu and elu look at it.


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
