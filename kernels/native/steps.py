"""Steps: what a native program is made of. Each takes a record of 64-bit slots and writes memory.

A record holds addresses, sizes and numbers (float64 bits); what stands in which slot is said where
`backends/lowering.py` makes it. `like` is a null pointer that says the dtype. A step unpacks its
record and calls a kernel of `kernels/`; only what moves data or chooses is written here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import fused_cpu as fused
from .. import fused_cpu_rows as rowwise
from .. import fused_cpu_updates as updates
from ..jit import jit
from . import tiles
from .machine import (
    bytes_at,
    doubles,
    gemm,
    integers,
    line,
    matrix,
    matrix_words,
    pointer,
    real,
    words,
)

Record = Any
Like = Any

# Slots of the control block, which a run shares, and of the worker's own "now".
(
    STEPS, ROWS, ORDER, STOP, FAILED, RATES, FIRST_STEP, SEED, ROW_WEIGHTS, CURSOR, WEIGHT,
    WEIGHT_SUM, TOTAL, TRACE,
) = range(14)  # fmt: skip
LEADER = 15  # the core that the leading thread was last seen on
BARRIER, PHASE = 16, 24  # cache lines of their own
SUMS, RESULTS, COLUMNS = 32, 64, 96  # from there on; of a column its address and its order's
MOST = 32  # sums, results or columns of one program
CONTROL_SLOTS = COLUMNS + 2 * MOST
NUMBER, ROW, STEP, RATE = range(4)
NOW_SLOTS = 8


def load(a: Record, like: Like) -> None:
    """This worker's rows of a column: gathered in the order of the run, or read where they lie.

    0 now, 1 control, 2 column, 3 words a row, 4 buffer, 5 first row, 6 rows, 7 gather always,
    8 patches, 9 number of patches. A patch is the address of a slot that other steps read the
    column's address from, and the offset that goes there.
    """
    now, control = integers(a[0]), integers(a[1])
    base, order, width = control[COLUMNS + 2 * a[2]], control[COLUMNS + 2 * a[2] + 1], a[3]
    first, rows = a[5], a[6]
    address = base + 4 * width * now[ROW]
    if order != 0 or a[7] != 0:
        address = a[4]
        numbers = words(order + 4 * (now[ROW] + first))
        target = a[4] + 4 * width * first
        for i in range(rows):
            row = numbers[i] if order != 0 else now[ROW] + first + i
            source = base + 4 * width * row
            if width == 1:
                words(target)[i] = words(source)[0]
            elif width == 2:
                integers(target)[i] = integers(source)[0]
            else:
                copy_words(words(source), words(target + 4 * width * i), width)
    patches = integers(a[8])
    for i in range(a[9]):
        integers(patches[2 * i])[0] = address + patches[2 * i + 1]


@jit
def copy_words(source: Any, target: Any, count: int) -> None:
    """Copies 32-bit words."""
    for i in range(count):
        target[i] = source[i]


def load_weights(a: Record, like: Like) -> None:
    """The weights of the batch's rows over their sum; the sum goes to the control block.

    0 now, 1 control, 2 rows, 3 target.
    """
    now, control = integers(a[0]), integers(a[1])
    given, order, first = doubles(control[ROW_WEIGHTS]), control[ORDER], now[ROW]
    target = pointer(a[3], like)
    total = 0.0
    for i in range(a[2]):
        total += given[words(order)[first + i] if order != 0 else first + i]
    share = 1.0 / total if total > 0.0 else 0.0
    for i in range(a[2]):
        target[i] = share * given[words(order)[first + i] if order != 0 else first + i]
    doubles(a[1])[WEIGHT] = total


def account(a: Record, like: Like) -> None:
    """Adds the batch's values to the sums; asks for a stop where one is not finite.

    Where there is a trace, each step's values go there too, behind the step's weight.

    0 now, 1 control, 2 number of sums, 3... their addresses.
    """
    now, control, numbers = integers(a[0]), integers(a[1]), doubles(a[1])
    finite = True
    numbers[WEIGHT_SUM] += numbers[WEIGHT]
    trace = control[TRACE]
    if trace != 0:
        trace += 8 * (a[2] + 1) * now[NUMBER]
        doubles(trace)[0] = numbers[WEIGHT]
    for i in range(a[2]):
        value = np.float64(pointer(a[3 + i], like)[0])
        numbers[SUMS + i] += value * numbers[WEIGHT]
        if trace != 0:
            doubles(trace)[1 + i] = value
        if not abs(value) < np.inf:
            finite = False
    if not finite and control[STOP] == 0:
        control[STOP] = 2 * now[NUMBER] + 1
        control[FAILED] = now[NUMBER]


def guard(a: Record, like: Like) -> None:
    """Asks for a stop before an update that would leave the finite numbers.

    0 now, 1 control, 2 gradients or parameters, 3 how many, 4 the norm they may not reach at rates
    up to 1.
    """
    now, control = integers(a[0]), integers(a[1])
    limit = np.float64(real(a[4], like)) / max(1.0, doubles(a[0])[RATE])
    fine = updates.squares_below(line(a[2], a[3], like), limit * limit)
    if not fine and control[STOP] == 0:
        control[STOP] = 2 * now[NUMBER] + 2
        control[FAILED] = now[NUMBER]


def store_rows(a: Record, like: Like) -> None:
    """Copies a value's rows to where a run collects them.

    0 now, 1 control, 2 result, 3 words a row, 4 source, 5 first row, 6 rows.
    """
    now, control = integers(a[0]), integers(a[1])
    target = control[RESULTS + a[2]] + 4 * a[3] * (now[ROW] + a[5])
    copy_words(words(a[4] + 4 * a[3] * a[5]), words(target), a[3] * a[6])


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


def product_tiles(a: Record, like: Like) -> None:
    """out = A B in tiles. 0 A, 1 its row step, 2 its inner step, 3 B, 4 its row length, 5 out,
    6 its row length, 7 rows, 8 inner, 9 columns, 10 inner block, 11 whether to
    pack, 12 bias or 0, 13 ReLU.
    """
    tiles.product(
        a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12],
        a[13], like,
    )  # fmt: skip


def join(a: Record, like: Like) -> None:
    """out = the sum of matrices that lie one behind the other, plus a bias, maybe with ReLU.

    0 the first, 1 how many, 2 rows, 3 columns, 4 bias or 0, 5 ReLU, 6 out.
    """
    columns = a[3]
    size = a[2] * columns
    parts, out, zero = line(a[0], a[1] * size, like), line(a[6], size, like), real(0, like)
    for i in range(size):
        out[i] = parts[i]
    for k in range(1, a[1]):
        part = parts[k * size :]
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


def transpose(a: Record, like: Like) -> None:
    """0 source, 1 its row length, 2 rows, 3 columns, 4 target, 5 its row length."""
    tiles.transpose(a[0], a[1], a[2], a[3], a[4], a[5], like)


def vector_product(a: Record, like: Like) -> None:
    """out = x v + bias. 0 x, 1 rows, 2 inner, 3 v, 4 out, 5 bias or 0."""
    tiles.vector_product(a[0], a[1], a[2], a[3], a[4], a[5], like)


def activate(a: Record, like: Like) -> None:
    """out = activation(x + bias). 0 x, 1 rows, 2 columns, 3 bias, 4 its rows, 5 code, 6 alpha,
    7 out.
    """
    fused.activate(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[4], a[2], like), a[5], real(a[6], like),
        matrix(a[7], a[1], a[2], like),
    )  # fmt: skip


def activate_backward(a: Record, like: Like) -> None:
    """out = g times the derivative. 0 g, 1 rows, 2 columns, 3 y, 4 code, 5 alpha, 6 out."""
    fused.activate_backward(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like), a[4], real(a[5], like),
        matrix(a[6], a[1], a[2], like),
    )  # fmt: skip


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


def softmax_cross_entropy(a: Record, like: Like) -> None:
    """0 z, 1 rows, 2 columns, 3 labels, 4 weights, 5 p, 6 where the rows' sum goes (float64)."""
    labels = matrix_words(a[3], a[1])
    doubles(a[6])[0] = fused.softmax_cross_entropy_sum(
        matrix(a[0], a[1], a[2], like), labels, matrix(a[4], a[1], 1, like),
        matrix(a[5], a[1], a[2], like),
    )  # fmt: skip


def softmax_cross_entropy_backward(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 labels, 4 weights, 5 out."""
    fused.softmax_cross_entropy_backward(
        matrix(a[0], a[1], a[2], like), matrix_words(a[3], a[1]), matrix(a[4], a[1], 1, like),
        matrix(a[5], a[1], a[2], like),
    )  # fmt: skip


def sigmoid_binary_cross_entropy(a: Record, like: Like) -> None:
    """0 z, 1 rows, 2 columns, 3 targets, 4 weights, 5 p, 6 where the rows' sum goes (float64)."""
    doubles(a[6])[0] = fused.sigmoid_binary_cross_entropy_sum(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[1], 1, like), matrix(a[5], a[1], a[2], like),
    )  # fmt: skip


def scaled_difference(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 targets, 4 weights, 5 rows of weights, 6 factor, 7 out."""
    fused.scaled_difference(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[5], 1, like), real(a[6], like), matrix(a[7], a[1], a[2], like),
    )  # fmt: skip


def total(a: Record, like: Like) -> None:
    """One number from the workers' sums. 0 the sums (float64), 1 how many, 2 out."""
    found = 0.0
    for i in range(a[1]):
        found += doubles(a[0])[i]
    pointer(a[2], like)[0] = found


def sum_all(a: Record, like: Like) -> None:
    """The sum, or the mean, of all elements. 0 x, 1 how many, 2 out, 3 divisor."""
    found = 0.0
    x = line(a[0], a[1], like)
    for i in range(x.size):
        found += x[i]
    pointer(a[2], like)[0] = found / a[3]


def softmax(a: Record, like: Like) -> None:
    """0 x, 1 rows, 2 columns, 3 out."""
    fused.softmax(matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like))


def log_softmax(a: Record, like: Like) -> None:
    """0 x, 1 rows, 2 columns, 3 out."""
    rowwise.log_softmax(matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like))


def softmax_backward(a: Record, like: Like) -> None:
    """0 g, 1 rows, 2 columns, 3 y, 4 out."""
    rowwise.softmax_backward(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[1], a[2], like),
    )  # fmt: skip


def log_softmax_backward(a: Record, like: Like) -> None:
    """0 g, 1 rows, 2 columns, 3 y, 4 out."""
    rowwise.log_softmax_backward(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[1], a[2], like),
    )  # fmt: skip


def mean_squared_error(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 targets, 4 weights, 5 rows of weights, 6 out."""
    fused.mean_squared_error(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[5], 1, like), matrix(a[6], a[1], 1, like),
    )  # fmt: skip


def argmax(a: Record, like: Like) -> None:
    """The first largest of each row; NaN is larger than all. 0 x, 1 rows, 2 columns, 3 out."""
    x, out = matrix(a[0], a[1], a[2], like), words(a[3])
    for i in range(a[1]):
        best = 0
        for j in range(1, a[2]):
            if x[i, best] == x[i, best] and not x[i, j] <= x[i, best]:
                best = j
        out[i] = best


# Element by element over two matrices, each with a step along rows and along columns (0: repeated).
ARITHMETIC = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


def arithmetic(a: Record, like: Like) -> None:
    """0 code, 1 out, 2 rows, 3 columns, 4 x, 5 row step, 6 column step, 7 y, 8, 9 its steps."""
    code, rows, columns = a[0], a[2], a[3]
    if a[6] == 1 and a[9] == 1:
        if a[5] == columns and a[8] == columns:  # both whole: one long row
            columns, rows = rows * columns, 1
        for i in range(rows):
            combine(
                code, line(a[4] + i * a[5] * size_of(like), columns, like),
                line(a[7] + i * a[8] * size_of(like), columns, like),
                line(a[1] + i * columns * size_of(like), columns, like),
            )  # fmt: skip
        return
    x, y, out = pointer(a[4], like), pointer(a[7], like), pointer(a[1], like)
    for i in range(rows):
        for j in range(columns):
            out[i * columns + j] = combined(code, x[i * a[5] + j * a[6]], y[i * a[8] + j * a[9]])


@jit
def size_of(like: Like) -> Any:
    """Bytes of an element."""
    return line(0, 1, like).itemsize


@jit
def combined(code: int, x: Any, y: Any) -> Any:
    """One element; NaN wins in a maximum or minimum."""
    if code == 0:
        return x + y
    if code == 1:
        return x - y
    if code == 2:
        return x * y
    if code == 3:
        return x / y
    if code == 4:
        return x if x > y or x != x else y
    return x if x < y or x != x else y


@jit
def combine(code: int, x: Any, y: Any, out: Any) -> None:
    """Rows of elements: one loop a code, so that each is vectorised."""
    if code == 0:
        for i in range(out.size):
            out[i] = x[i] + y[i]
    elif code == 1:
        for i in range(out.size):
            out[i] = x[i] - y[i]
    elif code == 2:
        for i in range(out.size):
            out[i] = x[i] * y[i]
    elif code == 3:
        for i in range(out.size):
            out[i] = x[i] / y[i]
    else:
        for i in range(out.size):
            out[i] = combined(code, x[i], y[i])


def compare(a: Record, like: Like) -> None:
    """Numbers to truth values. The slots of `arithmetic`; 10: 0 reals, 1 int32, 2 truth values."""
    out = bytes_at(a[1])
    for i in range(a[2]):
        for j in range(a[3]):
            first, second = i * a[5] + j * a[6], i * a[8] + j * a[9]
            if a[10] == 0:
                found = compared(a[0], pointer(a[4], like)[first], pointer(a[7], like)[second])
            elif a[10] == 1:
                found = compared(a[0], words(a[4])[first], words(a[7])[second])
            else:
                found = compared(a[0], bytes_at(a[4])[first], bytes_at(a[7])[second])
            out[i * a[3] + j] = found


@jit
def compared(code: int, x: Any, y: Any) -> Any:
    """One comparison, in the order of COMPARISONS."""
    if code == 0:
        return x == y
    if code == 1:
        return x != y
    if code == 2:
        return x < y
    if code == 3:
        return x <= y
    return x > y if code == 4 else x >= y


def cast_truth(a: Record, like: Like) -> None:
    """Truth values as 0 and 1. 0 x, 1 how many, 2 out."""
    x, out = bytes_at(a[0]), pointer(a[2], like)
    for i in range(a[1]):
        out[i] = x[i]


def dropout_mask(a: Record, like: Like) -> None:
    """0 now, 1 control, 2 stream, 3 bar, 4 scale, 5 first block, 6 out, 7 how many."""
    control, now = integers(a[1]), integers(a[0])
    seed, counter = control[SEED], now[STEP] - 1
    updates.dropout_words(
        np.uint32(seed), np.uint32(seed >> 32), np.uint32(a[2]), np.uint32(counter),
        np.uint32(counter >> 32), np.uint32(a[3]), real(a[4], like), a[5], line(a[6], a[7], like),
    )  # fmt: skip


def gelu(a: Record, like: Like) -> None:
    """0 x, 1 how many, 2 root, 3 half, 4 one, 5 out."""
    rowwise.gelu(
        line(a[0], a[1], like), real(a[2], like), real(a[3], like), real(a[4], like),
        line(a[5], a[1], like),
    )  # fmt: skip


def gelu_backward(a: Record, like: Like) -> None:
    """0 g, 1 how many, 2 x, 3 root, 4 density, 5 half, 6 one, 7 out."""
    rowwise.gelu_backward(
        line(a[0], a[1], like), line(a[2], a[1], like), real(a[3], like), real(a[4], like),
        real(a[5], like), real(a[6], like), line(a[7], a[1], like),
    )  # fmt: skip


def gelu_tanh(a: Record, like: Like) -> None:
    """0 x, 1 how many, 2 scale, 3 cubic, 4 half, 5 one, 6 out."""
    rowwise.gelu_tanh(
        line(a[0], a[1], like), real(a[2], like), real(a[3], like), real(a[4], like),
        real(a[5], like), line(a[6], a[1], like),
    )  # fmt: skip


def gelu_tanh_backward(a: Record, like: Like) -> None:
    """0 g, 1 how many, 2 x, 3 scale, 4 cubic, 5 half, 6 one, 7 three, 8 out."""
    rowwise.gelu_tanh_backward(
        line(a[0], a[1], like), line(a[2], a[1], like), real(a[3], like), real(a[4], like),
        real(a[5], like), real(a[6], like), real(a[7], like), line(a[8], a[1], like),
    )  # fmt: skip


def sgd(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now."""
    rate = line(a[0], 1, like).dtype.type(doubles(a[3])[RATE])
    updates.sgd(line(a[0], a[2], like), line(a[1], a[2], like), rate)


def momentum(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 v, 5 factor, 6 Nesterov."""
    p = line(a[0], a[2], like)
    updates.momentum(
        p, line(a[1], a[2], like), line(a[4], a[2], like), p.dtype.type(doubles(a[3])[RATE]),
        real(a[5], like), a[6] != 0,
    )  # fmt: skip


def rmsprop(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 s, 5 rho, 6 1 - rho, 7 epsilon."""
    p = line(a[0], a[2], like)
    updates.rmsprop(
        p, line(a[1], a[2], like), line(a[4], a[2], like), p.dtype.type(doubles(a[3])[RATE]),
        real(a[5], like), real(a[6], like), real(a[7], like),
    )  # fmt: skip


def adam(a: Record, like: Like) -> None:
    """0 p, 1 g, 2 how many, 3 now, 4 m, 5 s, 6 beta1, 7 1 - beta1, 8 beta2, 9 1 - beta2,
    10 epsilon, 11 weight decay, 12 how many of the first decay.
    """
    p = line(a[0], a[2], like)
    rate, step = doubles(a[3])[RATE], integers(a[3])[STEP]
    wide = doubles(a[13])  # the betas in float64, for the corrections
    size = p.dtype.type(rate / (1.0 - wide[0] ** step))
    root = p.dtype.type(1.0 / np.sqrt(1.0 - wide[1] ** step))
    if a[12] > 0:
        updates.shrink(line(a[0], a[12], like), p.dtype.type(1.0 - rate * wide[2]))
    updates.adam(
        p, line(a[1], a[2], like), line(a[4], a[2], like), line(a[5], a[2], like), size, root,
        real(a[6], like), real(a[7], like), real(a[8], like), real(a[9], like), real(a[10], like),
    )  # fmt: skip


def squares(a: Record, like: Like) -> None:
    """The sum of squares in float64. 0 x, 1 how many, 2 out (float64)."""
    doubles(a[2])[0] = rowwise.sum_of_squares(line(a[0], a[1], like))


def clip(a: Record, like: Like) -> None:
    """0 g, 1 how many, 2 the workers' sums of squares, 3 how many of them, 4 maximum."""
    found = 0.0
    for i in range(a[3]):
        found += doubles(a[2])[i]
    g = line(a[0], a[1], like)
    ratio = np.float64(real(a[4], like)) / (np.sqrt(found) + 1e-6)
    rowwise.scale_by(g, g.dtype.type(1.0 if ratio > 1.0 else ratio), g)


def add_decay(a: Record, like: Like) -> None:
    """0 g, 1 p, 2 how many, 3 coefficient."""
    updates.add_scaled(line(a[0], a[2], like), line(a[1], a[2], like), real(a[3], like))


def fill(a: Record, like: Like) -> None:
    """One number everywhere. 0 where it stands, 1 how many, 2 out."""
    value, out = pointer(a[0], like)[0], pointer(a[2], like)
    for i in range(a[1]):
        out[i] = value


def copy(a: Record, like: Like) -> None:
    """0 source, 1 words, 2 target."""
    copy_words(words(a[0]), words(a[2]), a[1])
