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
