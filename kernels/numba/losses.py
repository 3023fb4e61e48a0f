"""Losses and their derivatives, alone and together with the activation before them.

A loss is worked on in blocks of rows that stay in the nearest cache. Weights of no rows stand for
none. Sums are in float64 and in a fixed order: the same numbers every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import fast_math
from .elementwise import BLOCK
from .jit import jit
from .rows import scale_rows, shift_exp

Array = Any


@jit
def softmax_cross_entropy(z: Array, labels: Array, weights: Array, p: Array, loss: Array) -> None:
    """Probabilities, and the weighted sum of log(sum(exp(z))) - z[label]; p may be z."""
    loss[0] = softmax_cross_entropy_sum(z, labels, weights, p)


@jit
def softmax_cross_entropy_sum(z: Array, labels: Array, weights: Array, p: Array) -> float:
    """As `softmax_cross_entropy`; returns the sum in float64."""
    rows, columns = z.shape
    block = max(1, min(BLOCK // columns, rows))
    scratch = np.empty((block, columns), z.dtype)
    largest, totals = np.empty(block, z.dtype), np.empty(block)
    cost = 0.0  # float64, as the sums of rows
    for start in range(0, rows, block):
        source = z[start : start + block]
        count = source.shape[0]
        shift_exp(source, largest, scratch[:count])
        for i in range(count):
            largest[i] -= source[i, labels[start + i, 0]]
        scale_rows(scratch[:count], totals, p[start : start + block])
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
    each, probability = np.empty(block * columns, z.dtype), np.empty(block * columns, z.dtype)
    cost = 0.0
    for start in range(0, rows, block):
        first, stop = start * columns, min(start + block, rows) * columns
        part_z, part_t, part_p = flat_z[first:stop], flat_t[first:stop], flat_p[first:stop]
        # Into memory of its own first: where p is z, no loop that writes it could be vectorised.
        binary_losses(part_z, part_t, probability, each)
        for i in range(part_p.size):
            part_p[i] = probability[i]
        count = part_z.size // columns
        mean_rows(each, count, columns)
        cost += weighted_sum(each[:count], weights[start : start + count])
    return cost


@jit
def binary_losses(z: Array, t: Array, probability: Array, each: Array) -> None:
    """Sigmoids and losses of elements. Three loops: one alone would run out of registers."""
    one, zero = z.dtype.type(1), z.dtype.type(0)
    for i in range(z.size):
        probability[i] = fast_math.exp_below(-abs(z[i]))
    for i in range(z.size):
        x = z[i]
        above = zero if x <= zero else x
        each[i] = above - x * t[i] + fast_math.log1p_unit(probability[i])
    for i in range(z.size):
        small = probability[i]
        probability[i] = (one if z[i] >= zero else small) / (one + small)


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


@jit
def scaled_difference(p: Array, targets: Array, weights: Array, scale: Any, out: Array) -> None:
    """scale (p - t) times the row's weight: the derivative of two losses; out may be p."""
    columns = max(p.shape[1], 1)
    flat_p, flat_t, flat = p.reshape(-1), targets.reshape(-1), out.reshape(-1)
    w = weights.reshape(-1)
    block = max(BLOCK // columns, 1) * columns
    scratch = np.empty(min(block, flat.size), p.dtype)
    for start in range(0, flat.size, block):
        part_p, part_t = flat_p[start : start + block], flat_t[start : start + block]
        part = flat[start : start + block]
        for i in range(part.size):
            scratch[i] = (part_p[i] - part_t[i]) * scale
        if w.size == 0:
            for i in range(part.size):
                part[i] = scratch[i]
            continue
        factors = w[start // columns :]
        if columns == 1:
            for i in range(part.size):
                part[i] = scratch[i] * factors[i]
            continue
        for row in range(part.size // columns):
            factor, first = factors[row], row * columns
            for j in range(first, first + columns):
                part[j] = scratch[j] * factor


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
            probability = floor if each[i] < floor else each[i]
            each[i] = -fast_math.log(one if probability > one else probability)
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
