"""Steps of the dense layers: products, activations, sums of columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import activations
from ..jit import jit
from . import tiles
from .machine import gemm, line, matrix, real
from .slots import Like, Record
from .steps import step


@step
def product(a: Record, like: Like) -> None:
    """out = op(a) op(b) with BLAS, which counts columns first: the factors change places.

    0 routine, 1 and 2 character codes for b and a, 3 columns, 4 rows, 5 inner, 6 b, 7 its row
    length, 8 a, 9 its row length, 10 out, 11 its row length.
    """
    one = real(4607182418800017408, like)  # the bits of 1.0
    gemm(
        a[0], like, (a[1], a[2], a[3], a[4], a[5], one, a[6], a[7], a[8], a[9],
                     real(0, like), a[10], a[11]),
    )  # fmt: skip


@step
def product_tiles(a: Record, like: Like) -> None:
    """out = A B in tiles. 0 A, 1 its row step, 2 its inner step, 3 B, 4 its row length, 5 out,
    6 its row length, 7 rows, 8 inner, 9 columns, 10 inner block, 11 scratch for a panel or 0,
    12 bias or 0, 13 ReLU, 14 B packed before or 0, 15 scratch for A's transpose or 0,
    16 whether 3 is the transpose of B.
    """
    tiles.product(
        a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12],
        a[13], a[14], a[15], a[16], like,
    )  # fmt: skip


@step
def pack(a: Record, like: Like) -> None:
    """B as a product's panels. 0 B, 1 its row length, 2 rows, 3 first column, 4 last, 5 out."""
    tiles.pack(a[0], a[1], a[2], a[3], a[4], a[5], like)


@step
def pack_transposed(a: Record, like: Like) -> None:
    """The transpose of B's rows as panels. 0 B, 1 its row length, 2 rows, 3 columns, 4 out."""
    tiles.pack_transposed(a[0], a[1], a[2], a[3], a[4], like)


@step
def join(a: Record, like: Like) -> None:
    """out = the sum of matrices, plus a bias, maybe with ReLU.

    0 the first, 1 how many, 2 rows, 3 columns, 4 bias or 0, 5 ReLU, 6 out, 7 elements from one
    matrix to the next.
    """
    columns = a[3]
    size = a[2] * columns
    parts = line(a[0], (a[1] - 1) * a[7] + size, like)
    out, zero = line(a[6], size, like), real(0, like)
    for i in range(size):
        out[i] = parts[i]
    for k in range(1, a[1]):
        part = parts[k * a[7] :]
        for i in range(size):
            out[i] += part[i]
    for row in range(a[2]):
        y = out[row * columns :]
        if a[4] != 0:
            bias = line(a[4], columns, like)
            for j in range(columns):
                y[j] += bias[j]
        if a[5] != 0:
            for j in range(columns):
                y[j] = zero if y[j] <= zero else y[j]


@step
def vector_product(a: Record, like: Like) -> None:
    """out = x v + bias. 0 x, 1 rows, 2 inner, 3 v, 4 out, 5 bias or 0."""
    tiles.vector_product(a[0], a[1], a[2], a[3], a[4], a[5], like)


@step
def activate(a: Record, like: Like) -> None:
    """out = activation(x + bias). 0 x, 1 rows, 2 columns, 3 bias, 4 its rows, 5 code, 6 alpha,
    7 out, 8 whether streams pay.
    """
    activations.activate(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[4], a[2], like), a[5], real(a[6], like),
        matrix(a[7], a[1], a[2], like), a[8] != 0,
    )  # fmt: skip


@step
def activate_backward(a: Record, like: Like) -> None:
    """out = g times the derivative. 0 g, 1 rows, 2 columns, 3 y, 4 code, 5 alpha, 6 out,
    7 whether streams pay.
    """
    activations.activate_backward(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like), a[4], real(a[5], like),
        matrix(a[6], a[1], a[2], like), a[7] != 0,
    )  # fmt: skip


@step
def column_sums(a: Record, like: Like) -> None:
    """Sums of some columns. 0 x, 1 rows, 2 columns, 3 first, 4 how many, 5 out."""
    sum_columns(line(a[0], a[1] * a[2], like), a[1], a[2], a[3], line(a[5], a[4], like))


@jit
def sum_columns(x: Any, rows: int, columns: int, first: int, out: Any) -> None:
    """out = the sums of out.size columns from `first` on; 128 rows at a time, as `column_sums`."""
    out[:] = 0
    if columns == 1:  # sixteen rows at a time, or each addition would wait for the one before
        lanes = np.zeros(16, out.dtype)
        full = rows // 16 * 16
        for i in range(0, full, 16):
            some = x[i:]
            for lane in range(16):
                lanes[lane] += some[lane]
        for lane in range(16):
            out[0] += lanes[lane]
        for i in range(full, rows):
            out[0] += x[i]
        return
    part = np.empty(out.size, out.dtype)
    for start in range(0, rows, 128):
        part[:] = 0
        for i in range(start, min(start + 128, rows)):
            row = x[i * columns + first :]
            for j in range(part.size):
                part[j] += row[j]
        for j in range(part.size):
            out[j] += part[j]
