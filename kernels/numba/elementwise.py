"""Operations element by element, for flat arrays: what a kernel and a native step are made from.

A loop is called like its operation and takes the row's inputs, then its output, all of one size;
the output may be one of the inputs. To write one here is all that Numba needs of an operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
