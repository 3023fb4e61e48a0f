"""Numba kernels of the hot operations: products through BLAS, everything around them in one pass.

Each function is compiled at its first call and cached by itself. Activations are chosen by number,
so one compilation serves all of them. Sums run in a fixed order: the same numbers every time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .jit import jit
from .samples import ACTIVATIONS

Array = Any

CODES = {name: number for number, name in enumerate(ACTIVATIONS)}
LINEAR, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS = range(len(ACTIVATIONS))


@jit
def activate(x: Array, bias: Array, code: int, alpha: Any, out: Array) -> None:
    """out = activation(x + bias), row by row; a bias of no rows is left out; out may be x."""
    one, zero = x.dtype.type(1), x.dtype.type(0)
    rows, columns = x.shape
    biased = bias.shape[0] > 0
    for i in range(rows):
        if biased:
            for j in range(columns):
                out[i, j] = x[i, j] + bias[0, j]
        elif code == LINEAR:
            for j in range(columns):
                out[i, j] = x[i, j]
            continue
        else:
            for j in range(columns):
                out[i, j] = x[i, j]
        if code == RELU:
            for j in range(columns):
                out[i, j] = zero if out[i, j] <= zero else out[i, j]
        elif code == TANH:
            for j in range(columns):
                out[i, j] = np.tanh(out[i, j])
        elif code == SIGMOID:
            for j in range(columns):
                small = np.exp(-abs(out[i, j]))
                out[i, j] = (one if out[i, j] >= zero else small) / (one + small)
        elif code == LEAKY_RELU:
            for j in range(columns):
                out[i, j] = out[i, j] if out[i, j] > zero else alpha * out[i, j]
        elif code == ELU:
            for j in range(columns):
                out[i, j] = out[i, j] if out[i, j] > zero else alpha * np.expm1(out[i, j])
        elif code == SOFTPLUS:
            for j in range(columns):
                small = np.log1p(np.exp(-abs(out[i, j])))
                out[i, j] = (out[i, j] if out[i, j] > zero else zero) + small


@jit
def activate_backward(g: Array, y: Array, code: int, alpha: Any, out: Array) -> None:
    """out = g times the derivative at the output y; out may be g or y."""
    one, zero = g.dtype.type(1), g.dtype.type(0)
    rows, columns = g.shape
    for i in range(rows):
        if code == RELU:
            for j in range(columns):
                out[i, j] = g[i, j] if y[i, j] > zero else zero
        elif code == TANH:
            for j in range(columns):
                out[i, j] = g[i, j] * (one - y[i, j] * y[i, j])
        elif code == SIGMOID:
            for j in range(columns):
                out[i, j] = g[i, j] * y[i, j] * (one - y[i, j])
        elif code == LEAKY_RELU:
            for j in range(columns):
                out[i, j] = g[i, j] if y[i, j] > zero else alpha * g[i, j]
        elif code == ELU:
            for j in range(columns):
                out[i, j] = g[i, j] if y[i, j] > zero else g[i, j] * (y[i, j] + alpha)
        elif code == SOFTPLUS:
            for j in range(columns):
                out[i, j] = -g[i, j] * np.expm1(-y[i, j])
        else:
            for j in range(columns):
                out[i, j] = g[i, j]


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
        for j in range(gz.shape[1]):
            g_bias[0, j] = 0
        for i in range(gz.shape[0]):
            for j in range(gz.shape[1]):
                g_bias[0, j] += gz[i, j]
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
def softmax(x: Array, out: Array) -> None:
    """The softmax of each row; out may be x."""
    one = x.dtype.type(1)
    rows, columns = x.shape
    for i in range(rows):
        largest = x[i, 0]
        for j in range(1, columns):
            largest = max(largest, x[i, j])
        total = x.dtype.type(0)
        for j in range(columns):
            e = np.exp(x[i, j] - largest)
            out[i, j] = e
            total += e
        share = one / total
        for j in range(columns):
            out[i, j] *= share


@jit
def softmax_cross_entropy(z: Array, labels: Array, weights: Array, p: Array, loss: Array) -> None:
    """Probabilities, and the weighted sum of log(sum(exp(z))) - z[label]; p may be z."""
    one = z.dtype.type(1)
    rows, columns = z.shape
    weighted = weights.shape[0] > 0
    cost = 0.0  # float64: thousands of rows are summed one after the other
    for i in range(rows):
        largest = z[i, 0]
        for j in range(1, columns):
            largest = max(largest, z[i, j])
        at_label = z[i, labels[i, 0]] - largest
        total = z.dtype.type(0)
        for j in range(columns):
            e = np.exp(z[i, j] - largest)
            p[i, j] = e
            total += e
        share = one / total
        for j in range(columns):
            p[i, j] *= share
        one_loss = np.log(total) - at_label
        cost += one_loss * weights[i, 0] if weighted else one_loss
    loss[0] = cost


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
    one, zero = z.dtype.type(1), z.dtype.type(0)
    rows, columns = z.shape
    weighted = weights.shape[0] > 0
    cost = 0.0
    for i in range(rows):
        total = z.dtype.type(0)
        for j in range(columns):
            x = z[i, j]
            small = np.exp(-abs(x))
            total += (x if x > zero else zero) - x * targets[i, j] + np.log1p(small)
            p[i, j] = (one if x >= zero else small) / (one + small)
        total /= columns
        cost += total * weights[i, 0] if weighted else total
    loss[0] = cost


@jit
def scaled_difference(p: Array, targets: Array, weights: Array, scale: Any, out: Array) -> None:
    """scale (p - t) times the row's weight: the derivative of two losses; out may be p."""
    rows, columns = p.shape
    weighted = weights.shape[0] > 0
    for i in range(rows):
        factor = scale * weights[i, 0] if weighted else scale
        for j in range(columns):
            out[i, j] = (p[i, j] - targets[i, j]) * factor


@jit
def mean_squared_error(p: Array, targets: Array, weights: Array, out: Array) -> None:
    """The mean square of each row's differences, times the row's weight."""
    rows, columns = p.shape
    weighted = weights.shape[0] > 0
    for i in range(rows):
        total = p.dtype.type(0)
        for j in range(columns):
            d = p[i, j] - targets[i, j]
            total += d * d
        total /= columns
        out[i, 0] = total * weights[i, 0] if weighted else total
