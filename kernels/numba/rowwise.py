"""Numba kernels of the less hot operations, and the whole table with them.

The log-softmax, the derivatives of both softmaxes, the two forms of GELU, the losses that are not
fused with their activation, and clipping by the norm. Matrices are row-major, sums in float64
and in a fixed order, as in `fused_cpu`; the drivers are at the end.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..op import Kernel, kernels
from . import fast_gelu, fast_math
from .drivers import floats, given, numba_kernels, rows
from .elementwise import ELEMENTWISE, elementwise
from .fused import BLOCK, mean_rows, shift_exp, sum_rows, weigh, weighted_sum
from .jit import jit

Array = Any
Out = tuple[Any, ...]


@jit
def log_softmax(x: Array, out: Array) -> None:
    """x - log(sum(exp(x))) for each row, the row's maximum taken off first; out may be x."""
    count, columns = x.shape
    block = max(1, BLOCK // columns)
    largest, totals = np.empty(block, x.dtype), np.empty(block)
    shifts, room = np.empty(block, x.dtype), np.empty((block, columns), x.dtype)
    for start in range(0, count, block):
        source, target = x[start : start + block], out[start : start + block]
        height = source.shape[0]
        shift_exp(source, largest, room[:height])
        sum_rows(room[:height], totals)
        for i in range(height):
            shifts[i] = fast_math.log(totals[i])
        for i in range(height):
            top, shift = largest[i], shifts[i]
            for j in range(columns):
                target[i, j] = (source[i, j] - top) - shift


@jit
def softmax_backward(g: Array, y: Array, out: Array) -> None:
    """y (g - sum(g y)) for each row; out may be g or y."""
    count, columns = g.shape
    for i in range(count):
        total = 0.0
        for j in range(columns):
            total += g[i, j] * y[i, j]
        mean = g.dtype.type(total)
        for j in range(columns):
            out[i, j] = y[i, j] * (g[i, j] - mean)


@jit
def log_softmax_backward(g: Array, y: Array, out: Array) -> None:
    """g - exp(y) sum(g) for each row; out may be g or y."""
    count, columns = g.shape
    block = max(1, min(BLOCK // columns, count))
    flat_y, room = y.reshape(-1), np.empty(block * columns, y.dtype)
    for start in range(0, count, block):
        stop = min(start + block, count)
        part = room[: (stop - start) * columns]
        exp_flat(flat_y[start * columns : stop * columns], part)  # a row would not fill a vector
        for i in range(start, stop):
            total = 0.0
            for j in range(columns):
                total += g[i, j]
            whole, chances = g.dtype.type(total), part[(i - start) * columns :]
            for j in range(columns):
                out[i, j] = g[i, j] - chances[j] * whole


@jit
def exp_flat(x: Array, out: Array) -> None:
    """e ** x."""
    for i in range(x.size):
        out[i] = fast_math.exp(x[i])


@elementwise
@jit
def gelu(x: Array, out: Array) -> None:
    """x Phi(x); out may be x."""
    for i in range(x.size):
        out[i] = fast_gelu.gelu(x[i])


@elementwise
@jit
def gelu_backward(g: Array, x: Array, out: Array) -> None:
    """g (Phi(x) + x phi(x)); out may be g or x."""
    for i in range(g.size):
        out[i] = g[i] * fast_gelu.gelu_slope(x[i])


@elementwise
@jit
def gelu_tanh(x: Array, out: Array) -> None:
    """The tanh form of GELU; out may be x."""
    for i in range(x.size):
        out[i] = fast_gelu.gelu_tanh(x[i])


@elementwise
@jit
def gelu_tanh_backward(g: Array, x: Array, out: Array) -> None:
    """The gradient times the derivative of the tanh form; out may be g or x."""
    for i in range(g.size):
        out[i] = g[i] * fast_gelu.gelu_tanh_slope(x[i])


@jit
def cross_entropy(p: Array, labels: Array, weights: Array, floor: Any, out: Array) -> None:
    """-log p[label] with p between floor and 1, times the row's weight."""
    one = p.dtype.type(1)
    count = p.shape[0]
    each = np.empty(min(BLOCK, count), p.dtype)
    for start in range(0, count, BLOCK):
        height = min(BLOCK, count - start)
        for i in range(height):
            each[i] = p[start + i, labels[start + i, 0]]
        for i in range(height):
            chance = floor if each[i] < floor else each[i]
            each[i] = -fast_math.log(one if chance > one else chance)
        weigh(each[:height], weights[start : start + height], out[start : start + height])


@jit
def binary_cross_entropy(p: Array, targets: Array, weights: Array, floor: Any, out: Array) -> None:
    """-t log p - (1 - t) log(1 - p), the mean over a row, times the row's weight."""
    one = p.dtype.type(1)
    count, columns = p.shape
    block = max(1, min(BLOCK // columns, count))
    each = np.empty(block * columns, p.dtype)
    flat_p, flat_t = p.reshape(-1), targets.reshape(-1)
    for start in range(0, count, block):
        stop = min(start + block, count)
        part_p = flat_p[start * columns : stop * columns]
        part_t = flat_t[start * columns : stop * columns]
        for i in range(part_p.size):
            yes, no, t = part_p[i], one - part_p[i], part_t[i]
            yes = floor if yes < floor else yes
            yes = one if yes > one else yes
            no = floor if no < floor else no
            no = one if no > one else no
            each[i] = -t * fast_math.log(yes) - (one - t) * fast_math.log(no)
        mean_rows(each, stop - start, columns)
        weigh(each[: stop - start], weights[start:stop], out[start:stop])


@jit
def sum_of_squares(g: Array) -> float:
    """In float64, whatever the dtype: millions of squares are summed one after the other."""
    return weighted_sum(g, g)


@jit
def scale_by(g: Array, factor: Any, out: Array) -> None:
    """g times a factor; out may be g."""
    for i in range(g.size):
        out[i] = g[i] * factor


# Drivers


def _line(x: Array) -> Array:
    """All elements in a row-major row that can be written."""
    x = np.ascontiguousarray(x)
    return (x if x.flags.writeable else x.copy()).reshape(-1)


def _rowwise(name: str, function: Any) -> Kernel:
    """Matrices in, one matrix out."""

    def run(out: Out, *inputs: Array) -> None:
        function(*map(rows, inputs), rows(out[0]))

    return Kernel(name, run)


def _elementwise(name: str, function: Any) -> Kernel:
    """Elements in, elements out."""

    def run(out: Out, *inputs: Array) -> None:
        function(*map(_line, inputs), out[0].reshape(-1))

    return Kernel(name, run, floats)


def _floored(name: str, function: Any) -> Kernel:
    """A loss of probabilities, kept from zero by the smallest normal number."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        floor = np.finfo(p.dtype).smallest_normal
        function(rows(p), rows(targets), given(weights, p), floor, rows(out[0]))

    return Kernel(name, run)


def clip_norm(out: Out, gradient: Array, *, maximum: float) -> None:
    """The gradient, shortened so that its norm is at most `maximum`; a NaN spreads over it."""
    gradient = _line(gradient)
    ratio = maximum / (math.sqrt(sum_of_squares(gradient)) + 1e-6)
    # written so that a NaN goes through, as it does through the reference's clip
    factor = 1.0 if ratio > 1.0 else ratio
    scale_by(gradient, gradient.dtype.type(factor), out[0])


def fused_cpu_kernels() -> dict[str, Kernel]:
    """Every Numba kernel, by operation; each is compiled at its first call."""
    return numba_kernels() | kernels(
        _rowwise("log_softmax", log_softmax),
        _rowwise("softmax_backward", softmax_backward),
        _rowwise("log_softmax_backward", log_softmax_backward),
        _elementwise("exp", exp_flat),
        *(_elementwise(name, kernel) for name, kernel in ELEMENTWISE.items()),
        _floored("cross_entropy", cross_entropy),
        _floored("binary_cross_entropy", binary_cross_entropy),
        Kernel("clip_norm", clip_norm),
    )
