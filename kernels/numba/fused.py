"""Numba kernels of the hot operations: products through BLAS, everything around them in one pass.

Each function is compiled at its first call and cached by itself. Activations are chosen by number,
so one compilation serves all of them. Sums run in a fixed order: the same numbers every time. All
matrices are row-major.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..samples import ACTIVATIONS
from . import fast_math, streams
from .jit import jit

Array = Any

CODES = {name: number for number, name in enumerate(ACTIVATIONS)}
LINEAR, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS = range(len(ACTIVATIONS))
BLOCK = 2048  # elements worked on at a time: what goes in and comes out fits a first-level cache


@jit
def activate_flat(x: Array, code: int, alpha: Any, out: Array) -> None:
    """out = activation(x), of the same size, in other memory.

    In place a choice between x and something else would be stored through a mask, which on
    processors without AVX-512 takes several times as long as the choice.
    """
    one, zero = x.dtype.type(1), x.dtype.type(0)
    if code == RELU:
        for i in range(out.size):
            out[i] = zero if x[i] <= zero else x[i]
    elif code == TANH:
        for i in range(out.size):
            out[i] = fast_math.tanh(x[i])
    elif code == SIGMOID:
        for i in range(out.size):
            out[i] = fast_math.sigmoid(x[i])
    elif code == LEAKY_RELU:
        for i in range(out.size):
            out[i] = x[i] * (one if x[i] > zero else alpha)
    elif code == ELU:
        for i in range(out.size):
            below = alpha * fast_math.expm1(x[i])
            out[i] = x[i] if x[i] > zero else below
    elif code == SOFTPLUS:
        for i in range(out.size):
            small = fast_math.log1p_unit(fast_math.exp_below(-abs(x[i])))
            out[i] = (zero if x[i] <= zero else x[i]) + small
    else:
        for i in range(out.size):
            out[i] = x[i]


@jit
def activate(x: Array, bias: Array, code: int, alpha: Any, out: Array) -> None:
    """out = activation(x + bias); a bias of no rows is left out; out may be x; all row-major.

    A block of rows at a time stays in the nearest cache, and the activation runs along the whole
    block: a loop along a row of one or ten elements would never fill a vector. Loops start at zero,
    over views: from any other start Numba looks for negative indices, element by element.
    """
    columns = x.shape[1]
    flat_x, flat = x.reshape(-1), out.reshape(-1)
    biased, large = bias.shape[0] > 0, streams.large(flat)
    if not biased and not large and x.ctypes.data != out.ctypes.data:
        activate_flat(flat_x, code, alpha, flat)
        return
    block = max(1, BLOCK // max(1, columns)) * max(1, columns) if biased else BLOCK
    room = np.empty(min(block, flat.size), x.dtype)
    shifted = np.empty(room.size if biased else 0, x.dtype)
    for start in range(0, flat.size, block):
        source, target = flat_x[start : start + block], flat[start : start + block]
        if biased:
            for i in range(target.size // columns):
                row, result = source[i * columns :], shifted[i * columns :]
                for j in range(columns):
                    result[j] = row[j] + bias[0, j]
            source = shifted
        if biased and not large:
            activate_flat(source[: target.size], code, alpha, target)
            continue
        piece = room[: target.size]
        activate_flat(source, code, alpha, piece)
        if large:
            streams.send(piece, target)
        else:
            for i in range(target.size):
                target[i] = piece[i]
    if large:
        streams.settle()


@jit
def activate_backward(g: Array, y: Array, code: int, alpha: Any, out: Array) -> None:
    """out = g times the derivative at the output y; out may be g or y; all row-major."""
    g, y, out = g.reshape(-1), y.reshape(-1), out.reshape(-1)
    # Softplus has an exponential to compute, which in pieces waits for memory at each one's start.
    if code == SOFTPLUS or not streams.large(out):
        activate_backward_flat(g, y, code, alpha, out)
        return
    room = np.empty(streams.PIECE, g.dtype)
    for start in range(0, out.size, streams.PIECE):
        target = out[start : start + streams.PIECE]
        piece = room[: target.size]
        activate_backward_flat(
            g[start : start + piece.size], y[start : start + piece.size], code, alpha, piece
        )
        streams.send(piece, target)
    streams.settle()


@jit
def activate_backward_flat(g: Array, y: Array, code: int, alpha: Any, out: Array) -> None:
    """`activate_backward` on flat arrays."""
    one, zero = g.dtype.type(1), g.dtype.type(0)
    if code == RELU:
        for i in range(g.size):
            out[i] = g[i] if y[i] > zero else zero
    elif code == TANH:
        for i in range(g.size):
            out[i] = g[i] * (one - y[i] * y[i])
    elif code == SIGMOID:
        for i in range(g.size):
            out[i] = g[i] * y[i] * (one - y[i])
    elif code == LEAKY_RELU:
        for i in range(g.size):
            out[i] = g[i] if y[i] > zero else alpha * g[i]
    elif code == ELU:
        for i in range(g.size):
            out[i] = g[i] if y[i] > zero else g[i] * (y[i] + alpha)
    elif code == SOFTPLUS:
        for i in range(g.size):
            out[i] = -g[i] * fast_math.expm1(-y[i])
    else:
        for i in range(g.size):
            out[i] = g[i]


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


@jit
def dense(x: Array, weight: Array, bias: Array, code: int, alpha: Any, out: Array) -> None:
    """out = activation(x @ weight + bias)."""
    np.dot(x, weight, out)
    if bias.shape[0] > 0 or code != LINEAR:
        activate(out, bias, code, alpha, out)


@jit
def dense_backward(
    g: Array, x: Array, weight: Array, y: Array, code: int, alpha: Any,
    g_weight: Array, g_bias: Array, g_x: Array,
) -> None:  # fmt: skip
    """Gradients of weight, bias and x; the last two are left out where they have no rows."""
    gz = g
    if code != LINEAR:
        gz = np.empty_like(g)
        activate_backward(g, y, code, alpha, gz)
    np.dot(x.T, gz, g_weight)
    if g_bias.shape[0] > 0:
        column_sums(gz, g_bias)
    if g_x.shape[0] > 0:
        np.dot(gz, weight.T, g_x)


@jit
def matmul(a: Array, b: Array, out: Array) -> None:
    """out = a @ b for matrices; either may be the transpose of a row-major one."""
    np.dot(a, b, out)


@jit
def gather_rows(x: Array, indices: Array, out: Array) -> None:
    """Row i of out = row indices[i] of x."""
    for i in range(indices.shape[0]):
        at = indices[i]
        for j in range(x.shape[1]):
            out[i, j] = x[at, j]


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
def softmax(x: Array, out: Array) -> None:
    """The softmax of each row, a block of rows at a time; out may be x.

    The block is worked on in memory of its own: where out is x, no loop could be vectorised.
    """
    rows, columns = x.shape
    block = max(1, BLOCK // columns)
    largest, totals = np.empty(block, x.dtype), np.empty(block)
    room = np.empty((block, columns), x.dtype)
    for start in range(0, rows, block):
        source = x[start : start + block]
        shift_exp(source, largest, room[: source.shape[0]])
        scale_rows(room[: source.shape[0]], totals, out[start : start + block])


@jit
def softmax_cross_entropy(z: Array, labels: Array, weights: Array, p: Array, loss: Array) -> None:
    """Probabilities, and the weighted sum of log(sum(exp(z))) - z[label]; p may be z."""
    loss[0] = softmax_cross_entropy_sum(z, labels, weights, p)


@jit
def softmax_cross_entropy_sum(z: Array, labels: Array, weights: Array, p: Array) -> float:
    """As `softmax_cross_entropy`; returns the sum in float64."""
    rows, columns = z.shape
    block = max(1, min(BLOCK // columns, rows))
    room = np.empty((block, columns), z.dtype)
    largest, totals = np.empty(block, z.dtype), np.empty(block)
    cost = 0.0  # float64, as the sums of rows
    for start in range(0, rows, block):
        source = z[start : start + block]
        count = source.shape[0]
        shift_exp(source, largest, room[:count])
        for i in range(count):
            largest[i] -= source[i, labels[start + i, 0]]
        scale_rows(room[:count], totals, p[start : start + block])
        for i in range(count):
            totals[i] = fast_math.log(totals[i])
        for i in range(count):
            totals[i] += largest[i]
        cost += weighted_sum(totals[:count], weights[start : start + count])
    return cost


@jit
def softmax_cross_entropy_backward(p: Array, labels: Array, weights: Array, out: Array) -> None:
    """(p - one_hot(label)) times the row's weight."""
    one = p.dtype.type(1)
    rows, columns = p.shape
    weighted = weights.shape[0] > 0
    for i in range(rows):
        w = weights[i, 0] if weighted else one
        for j in range(columns):
            out[i, j] = p[i, j] * w
        label = labels[i, 0]
        out[i, label] = (p[i, label] - one) * w


@jit
def sigmoid_binary_cross_entropy(
    z: Array, targets: Array, weights: Array, p: Array, loss: Array
) -> None:
    """Probabilities, and the weighted sum of max(z, 0) - z t + log1p(exp(-|z|)); p may be z."""
    loss[0] = sigmoid_binary_cross_entropy_sum(z, targets, weights, p)


@jit
def sigmoid_binary_cross_entropy_sum(z: Array, targets: Array, weights: Array, p: Array) -> float:
    """As `sigmoid_binary_cross_entropy`; returns the sum in float64."""
    rows, columns = z.shape
    flat_z, flat_t, flat_p = z.reshape(-1), targets.reshape(-1), p.reshape(-1)
    block = max(1, min(BLOCK // columns, rows))
    each, chance = np.empty(block * columns, z.dtype), np.empty(block * columns, z.dtype)
    cost = 0.0
    for start in range(0, rows, block):
        first, stop = start * columns, min(start + block, rows) * columns
        part_z, part_t, part_p = flat_z[first:stop], flat_t[first:stop], flat_p[first:stop]
        # Into memory of its own first: where p is z, no loop that writes it could be vectorised.
        binary_losses(part_z, part_t, chance, each)
        for i in range(part_p.size):
            part_p[i] = chance[i]
        count = part_z.size // columns
        mean_rows(each, count, columns)
        cost += weighted_sum(each[:count], weights[start : start + count])
    return cost


@jit
def binary_losses(z: Array, t: Array, chance: Array, each: Array) -> None:
    """Sigmoids and losses of elements. Three loops: one alone would run out of registers."""
    one, zero = z.dtype.type(1), z.dtype.type(0)
    for i in range(z.size):
        chance[i] = fast_math.exp_below(-abs(z[i]))
    for i in range(z.size):
        x = z[i]
        above = zero if x <= zero else x
        each[i] = above - x * t[i] + fast_math.log1p_unit(chance[i])
    for i in range(z.size):
        small = chance[i]
        chance[i] = (one if z[i] >= zero else small) / (one + small)


LANES = 64  # sums kept apart: of fewer, each addition would wait for the one before


@jit
def weighted_sum(each: Array, weights: Array) -> float:
    """The sum of elements times weights, in float64; (0, 1): no weights.

    Every LANES-th element goes to one sum, and the sums are added up in halves: a fixed order.
    """
    sums = np.zeros(LANES)
    w, full = weights.reshape(-1), each.size // LANES * LANES
    for i in range(0, full, LANES):
        part = each[i:]
        if w.size > 0:
            factors = w[i:]
            for lane in range(LANES):
                sums[lane] += np.float64(part[lane]) * np.float64(factors[lane])
        else:
            for lane in range(LANES):
                sums[lane] += part[lane]
    for i in range(full, each.size):
        sums[i - full] += np.float64(each[i]) * (np.float64(w[i]) if w.size > 0 else 1.0)
    half = LANES // 2
    while half:
        for lane in range(half):
            sums[lane] += sums[lane + half]
        half //= 2
    total: float = sums[0]
    return total


@jit
def scaled_difference(p: Array, targets: Array, weights: Array, scale: Any, out: Array) -> None:
    """scale (p - t) times the row's weight: the derivative of two losses; out may be p."""
    columns = max(p.shape[1], 1)
    flat_p, flat_t, flat = p.reshape(-1), targets.reshape(-1), out.reshape(-1)
    w = weights.reshape(-1)
    block = max(BLOCK // columns, 1) * columns
    room = np.empty(min(block, flat.size), p.dtype)
    for start in range(0, flat.size, block):
        part_p, part_t = flat_p[start : start + block], flat_t[start : start + block]
        part = flat[start : start + block]
        for i in range(part.size):
            room[i] = (part_p[i] - part_t[i]) * scale
        if w.size == 0:
            for i in range(part.size):
                part[i] = room[i]
            continue
        factors = w[start // columns :]
        if columns == 1:
            for i in range(part.size):
                part[i] = room[i] * factors[i]
            continue
        for row in range(part.size // columns):
            factor, first = factors[row], row * columns
            for j in range(first, first + columns):
                part[j] = room[j] * factor


@jit
def mean_rows(each: Array, rows: int, columns: int) -> None:
    """The first elements become the means of the rows, which are summed in float64."""
    for i in range(rows if columns > 1 else 0):
        row = each[i * columns :]
        total = 0.0
        for j in range(columns):
            total += row[j]
        each[i] = total / columns


@jit
def weigh(each: Array, weights: Array, out: Array) -> None:
    """A column of losses, each times its row's weight where there are weights."""
    flat, w = out.reshape(-1), weights.reshape(-1)
    if w.size > 0:
        for i in range(each.size):
            flat[i] = each[i] * w[i]
    else:
        for i in range(each.size):
            flat[i] = each[i]


@jit
def mean_squared_error(p: Array, targets: Array, weights: Array, out: Array) -> None:
    """The mean square of each row's differences, times the row's weight."""
    rows, columns = p.shape
    block = max(1, min(BLOCK // columns, rows))
    each = np.empty(block * columns, p.dtype)
    flat_p, flat_t = p.reshape(-1), targets.reshape(-1)
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        part_p = flat_p[start * columns : stop * columns]
        part_t = flat_t[start * columns : stop * columns]
        for i in range(part_p.size):
            difference = part_p[i] - part_t[i]
            each[i] = difference * difference
        mean_rows(each, stop - start, columns)
        weigh(each[: stop - start], weights[start:stop], out[start:stop])
