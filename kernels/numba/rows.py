"""What works along rows: softmax, its logarithm, their derivatives, rows taken by number.

Matrices are row-major; a block of rows is worked on at a time, which stays in the nearest cache.
Sums over a row are in float64 and in a fixed order: the same numbers every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import fast_math
from .elementwise import BLOCK, exp
from .jit import jit

Array = Any


@jit
def softmax(x: Array, out: Array) -> None:
    """The softmax of each row, a block of rows at a time; out may be x.

    The block is worked on in memory of its own: where out is x, no loop could be vectorised.
    """
    rows, columns = x.shape
    block = max(1, BLOCK // columns)
    largest, totals = np.empty(block, x.dtype), np.empty(block)
    scratch = np.empty((block, columns), x.dtype)
    for start in range(0, rows, block):
        source = x[start : start + block]
        shift_exp(source, largest, scratch[: source.shape[0]])
        scale_rows(scratch[: source.shape[0]], totals, out[start : start + block])


@jit
def log_softmax(x: Array, out: Array) -> None:
    """x - log(sum(exp(x))) for each row, the row's maximum taken off first; out may be x."""
    count, columns = x.shape
    block = max(1, BLOCK // columns)
    largest, totals = np.empty(block, x.dtype), np.empty(block)
    shifts, scratch = np.empty(block, x.dtype), np.empty((block, columns), x.dtype)
    for start in range(0, count, block):
        source, target = x[start : start + block], out[start : start + block]
        height = source.shape[0]
        shift_exp(source, largest, scratch[:height])
        sum_rows(scratch[:height], totals)
        for i in range(height):
            shifts[i] = fast_math.log(totals[i])
        for i in range(height):
            top, shift = largest[i], shifts[i]
            for j in range(columns):
                target[i, j] = (source[i, j] - top) - shift


@jit
def softmax_backward(gradient: Array, y: Array, out: Array) -> None:
    """y (g - sum(g y)) for each row; out may be g or y."""
    count, columns = gradient.shape
    for i in range(count):
        total = 0.0
        for j in range(columns):
            total += gradient[i, j] * y[i, j]
        mean = gradient.dtype.type(total)
        for j in range(columns):
            out[i, j] = y[i, j] * (gradient[i, j] - mean)


@jit
def log_softmax_backward(gradient: Array, y: Array, out: Array) -> None:
    """g - exp(y) sum(g) for each row; out may be g or y."""
    count, columns = gradient.shape
    block = max(1, min(BLOCK // columns, count))
    flat_y, scratch = y.reshape(-1), np.empty(block * columns, y.dtype)
    for start in range(0, count, block):
        stop = min(start + block, count)
        part = scratch[: (stop - start) * columns]
        exp(flat_y[start * columns : stop * columns], part)  # a row would not fill a vector
        for i in range(start, stop):
            total = 0.0
            for j in range(columns):
                total += gradient[i, j]
            whole, probabilities = gradient.dtype.type(total), part[(i - start) * columns :]
            for j in range(columns):
                out[i, j] = gradient[i, j] - probabilities[j] * whole


@jit
def shift_exp(x: Array, largest: Array, out: Array) -> None:
    """out = exp(x - the row's maximum), the maxima kept."""
    rows, columns = x.shape
    for i in range(rows):
        top = x[i, 0]
        for j in range(1, columns):
            top = max(top, x[i, j])
        largest[i] = top
        for j in range(columns):
            out[i, j] = x[i, j] - top
    flat = out.reshape(-1)  # along all rows at once: a row of ten would not fill a vector
    for i in range(flat.size):
        flat[i] = fast_math.exp_below(flat[i])


@jit
def sum_rows(x: Array, totals: Array) -> None:
    """The rows' sums, in float64: over thousands of classes a float32 sum loses two digits."""
    rows, columns = x.shape
    for i in range(rows):
        total = 0.0
        for j in range(columns):
            total += x[i, j]
        totals[i] = total


@jit
def scale_rows(x: Array, totals: Array, out: Array) -> None:
    """out = x over the sum of its row, the sums kept."""
    rows, columns = x.shape
    sum_rows(x, totals)
    for i in range(rows):
        share = x.dtype.type(1.0 / totals[i])
        for j in range(columns):
            out[i, j] = x[i, j] * share


@jit
def gather_rows(x: Array, indices: Array, out: Array) -> None:
    """Row i of out = row indices[i] of x."""
    for i in range(indices.shape[0]):
        at = indices[i]
        for j in range(x.shape[1]):
            out[i, j] = x[at, j]
