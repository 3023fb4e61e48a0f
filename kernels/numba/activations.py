"""The activations that end a layer, chosen by number: with its bias, and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..vectorized.activations import SELU_FLOOR, SELU_SCALE
from . import fast_math, streams
from .elementwise import BLOCK
from .jit import jit

Array = Any

# Activations that `activate` and `activate_backward` know, by number: one compilation serves all.
LINEAR, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SELU, HARD_SIGMOID, SOFTSIGN = range(10)
CODES = {
    "linear": LINEAR, "sigmoid": SIGMOID, "tanh": TANH, "relu": RELU, "leaky_relu": LEAKY_RELU,
    "elu": ELU, "softplus": SOFTPLUS, "selu": SELU, "hard_sigmoid": HARD_SIGMOID,
    "softsign": SOFTSIGN,
}  # fmt: skip


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
    elif code == SELU:
        scale, floor = x.dtype.type(SELU_SCALE), x.dtype.type(SELU_FLOOR)
        for i in range(out.size):
            below = floor * fast_math.expm1(x[i])
            out[i] = scale * x[i] if x[i] > zero else below
    elif code == HARD_SIGMOID:
        three, six = x.dtype.type(3), x.dtype.type(6)
        for i in range(out.size):
            y = (x[i] + three) / six
            raised = zero if y < zero else y
            out[i] = one if raised > one else raised
    elif code == SOFTSIGN:
        for i in range(out.size):
            out[i] = x[i] / (one + abs(x[i]))
    else:
        for i in range(out.size):
            out[i] = x[i]


@jit
def activate(
    x: Array, bias: Array, code: int, alpha: Any, out: Array, streams_pay: bool
) -> None:  # fmt: skip
    """out = activation(x + bias); a bias of no rows is left out; out may be x; all row-major.

    streams_pay: whether an array larger than the caches is written past them: the same numbers.

    A block of rows at a time stays in the nearest cache, and the activation runs along the whole
    block: a loop along a row of one or ten elements would never fill a vector. Loops start at zero,
    over views: from any other start Numba looks for negative indices, element by element.
    """
    columns = x.shape[1]
    flat_x, flat = x.reshape(-1), out.reshape(-1)
    biased, large = bias.shape[0] > 0, streams_pay and streams.large(flat)
    if not biased and not large and x.ctypes.data != out.ctypes.data:
        activate_flat(flat_x, code, alpha, flat)
        return
    block = max(1, BLOCK // max(1, columns)) * max(1, columns) if biased else BLOCK
    scratch = np.empty(min(block, flat.size), x.dtype)
    shifted = np.empty(scratch.size if biased else 0, x.dtype)
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
        piece = scratch[: target.size]
        activate_flat(source, code, alpha, piece)
        if large:
            streams.send(piece, target)
        else:
            for i in range(target.size):
                target[i] = piece[i]
    if large:
        streams.settle()


@jit
def activate_backward(
    g: Array, y: Array, code: int, alpha: Any, out: Array, streams_pay: bool
) -> None:  # fmt: skip
    """out = g times the derivative at the output y; out may be g or y; all row-major.

    streams_pay: as in `activate`.
    """
    g, y, out = g.reshape(-1), y.reshape(-1), out.reshape(-1)
    # Softplus has an exponential to compute, which in pieces waits for memory at each one's start.
    if code == SOFTPLUS or not (streams_pay and streams.large(out)):
        activate_backward_flat(g, y, code, alpha, out)
        return
    scratch = np.empty(streams.PIECE, g.dtype)
    for start in range(0, out.size, streams.PIECE):
        target = out[start : start + streams.PIECE]
        piece = scratch[: target.size]
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
    elif code == SELU:
        scale, floor = g.dtype.type(SELU_SCALE), g.dtype.type(SELU_FLOOR)
        for i in range(g.size):
            out[i] = g[i] * (scale if y[i] > zero else y[i] + floor)
    elif code == HARD_SIGMOID:
        six = g.dtype.type(6)
        for i in range(g.size):
            out[i] = g[i] / six if zero < y[i] < one else zero
    elif code == SOFTSIGN:
        for i in range(g.size):
            rest = one - abs(y[i])
            out[i] = g[i] * rest * rest
    else:
        for i in range(g.size):
            out[i] = g[i]
