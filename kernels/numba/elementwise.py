"""Operations element by element, for flat arrays: what a kernel and a native step are made from.

A loop is called like its operation and takes the row's inputs, then its output, all of one size;
the output may be one of the inputs. To write one here is all that Numba needs of an operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..vectorized.activations import NOTHING
from . import fast_gelu, fast_math
from .jit import jit

Array = Any
Loop = Callable[..., None]

BLOCK = 2048  # elements worked on at a time: what goes in and comes out fits a first-level cache
ELEMENTWISE: dict[str, Loop] = {}  # operation -> its compiled loop


def elementwise(function: Loop) -> Loop:
    """Compiles a loop and notes it as that of the operation of its name."""
    ELEMENTWISE[function.__name__] = made = jit(function)
    return made


@elementwise
def exp(x: Array, out: Array) -> None:
    """e ** x."""
    for i in range(x.size):
        out[i] = fast_math.exp(x[i])


@elementwise
def gelu(x: Array, out: Array) -> None:
    """x Phi(x); out may be x."""
    for i in range(x.size):
        out[i] = fast_gelu.gelu(x[i])


@elementwise
def gelu_backward(gradient: Array, x: Array, out: Array) -> None:
    """g (Phi(x) + x phi(x)); out may be g or x."""
    for i in range(gradient.size):
        out[i] = gradient[i] * fast_gelu.gelu_slope(x[i])


@elementwise
def gelu_tanh(x: Array, out: Array) -> None:
    """The tanh form of GELU; out may be x."""
    for i in range(x.size):
        out[i] = fast_gelu.gelu_tanh(x[i])


@elementwise
def gelu_tanh_backward(gradient: Array, x: Array, out: Array) -> None:
    """The gradient times the derivative of the tanh form; out may be g or x."""
    for i in range(gradient.size):
        out[i] = gradient[i] * fast_gelu.gelu_tanh_slope(x[i])


@elementwise
def silu(x: Array, out: Array) -> None:
    """x sigmoid(x); out may be x."""
    for i in range(x.size):
        out[i] = x[i] * fast_math.sigmoid(x[i])


@elementwise
def silu_backward(gradient: Array, x: Array, out: Array) -> None:
    """g s (1 + x (1 - s)), s being sigmoid(x); out may be g or x."""
    one, far = x.dtype.type(1), x.dtype.type(NOTHING)
    for i in range(gradient.size):
        near = min(max(x[i], -far), far) if x[i] == x[i] else x[i]
        s = fast_math.sigmoid(near)
        out[i] = gradient[i] * (s * (one + near * (one - s)))


@elementwise
def mish(x: Array, out: Array) -> None:
    """x tanh(softplus(x)); out may be x."""
    zero, one, two = x.dtype.type(0), x.dtype.type(1), x.dtype.type(2)
    for i in range(x.size):
        u = fast_math.exp_below(-abs(x[i]))
        above = one + two * u if x[i] >= zero else u * (u + two)
        out[i] = x[i] * (above / (above + (two * u * u if x[i] >= zero else two)))


@elementwise
def mish_backward(gradient: Array, x: Array, out: Array) -> None:
    """g (t + x (1 - t^2) sigmoid(x)), t being tanh(softplus(x)); out may be g or x."""
    zero, one, two, four = x.dtype.type(0), x.dtype.type(1), x.dtype.type(2), x.dtype.type(4)
    far = x.dtype.type(NOTHING)
    for i in range(gradient.size):
        near = min(max(x[i], -far), far) if x[i] == x[i] else x[i]
        u = fast_math.exp_below(-abs(near))
        above = one + two * u if near >= zero else u * (u + two)
        whole = above + (two * u * u if near >= zero else two)
        slope = four * u * (one + u) * (u if near >= zero else one)
        out[i] = gradient[i] * (above / whole + near * slope / (whole * whole))


@elementwise
def hard_swish(x: Array, out: Array) -> None:
    """x times x / 6 + 1 / 2 kept between 0 and 1; out may be x."""
    zero, one, three, six = x.dtype.type(0), x.dtype.type(1), x.dtype.type(3), x.dtype.type(6)
    for i in range(x.size):
        y = (x[i] + three) / six
        raised = zero if y < zero else y
        out[i] = x[i] * (one if raised > one else raised)


@elementwise
def hard_swish_backward(gradient: Array, x: Array, out: Array) -> None:
    """g times 0, x / 3 + 1 / 2 between -3 and 3, or 1; out may be g or x."""
    zero, three, half = x.dtype.type(0), x.dtype.type(3), x.dtype.type(0.5)
    for i in range(gradient.size):
        middle = gradient[i] * (x[i] / three + half)
        beyond = middle if x[i] < three else gradient[i]
        out[i] = zero if x[i] <= -three else beyond
