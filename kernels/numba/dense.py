"""The dense layer and its derivative: products through BLAS, sums over rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .activations import LINEAR, activate, activate_backward
from .jit import jit

Array = Any


@jit
def matmul(a: Array, b: Array, out: Array) -> None:
    """out = a @ b for matrices; either may be the transpose of a row-major one."""
    np.dot(a, b, out)


@jit
def dense(
    x: Array, weight: Array, bias: Array, code: int, alpha: Any, out: Array, streams_pay: bool
) -> None:  # fmt: skip
    """out = activation(x @ weight + bias); streams_pay: as in `activate`."""
    np.dot(x, weight, out)
    if bias.shape[0] > 0 or code != LINEAR:
        activate(out, bias, code, alpha, out, streams_pay)


@jit
def dense_backward(
    g: Array, x: Array, weight: Array, y: Array, code: int, alpha: Any,
    g_weight: Array, g_bias: Array, g_x: Array, streams_pay: bool,
) -> None:  # fmt: skip
    """Gradients of weight, bias and x; the last two are left out where they have no rows.

    streams_pay: as in `activate`.
    """
    gz = g
    if code != LINEAR:
        gz = np.empty_like(g)
        activate_backward(g, y, code, alpha, gz, streams_pay)
    np.dot(x.T, gz, g_weight)
    if g_bias.shape[0] > 0:
        column_sums(gz, g_bias)
    if g_x.shape[0] > 0:
        np.dot(gz, weight.T, g_x)


@jit
def column_sums(x: Array, out: Array) -> None:
    """out[0] = the sum of the rows: sums of 128 rows, then their sum.

    In one long float32 sum the error grows with the rows; here with their number over 128.
    """
    rows, columns = x.shape
    part = np.empty(columns, x.dtype)
    out[0, :] = 0
    for start in range(0, rows, 128):
        part[:] = 0
        piece = x[start : start + 128]
        for i in range(piece.shape[0]):
            for j in range(columns):
                part[j] += piece[i, j]
        for j in range(columns):
            out[0, j] += part[j]
