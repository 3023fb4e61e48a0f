"""The explicit loops of products, sums and rows, for reading beside `vectorized/`.

Nothing here works on a whole array: elements are read, a formula is applied, an element of an `out`
array is written. The formulas are in `scalar.py`, losses and masks in `training.py`, optimizer
updates in `updates.py`, what only moves elements (transposes, slices, casts) in `drivers.py`.

The same source is compiled as the "compiled loops". That is why formulas come in as arguments, and
why a sum starts from a zero of the array's dtype: started from 0.0, a compiler would carry it in
float64 and round otherwise than Python does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
Formula = Callable[..., Any]


# Elementwise: all arrays are flat and of one length. An element is read before the same element of
# `out` is written, so `out` may be one of the inputs.


def map_one(f: Formula, x: Array, out: Array) -> None:
    """out[i] = f(x[i])."""
    for i in range(out.shape[0]):
        out[i] = f(x[i])


def map_two(f: Formula, a: Array, b: Array, out: Array) -> None:
    """out[i] = f(a[i], b[i])."""
    for i in range(out.shape[0]):
        out[i] = f(a[i], b[i])


def map_three(f: Formula, a: Array, b: Array, c: Array, out: Array) -> None:
    """out[i] = f(a[i], b[i], c[i])."""
    for i in range(out.shape[0]):
        out[i] = f(a[i], b[i], c[i])


def clip(f: Formula, x: Array, low: float, high: float, out: Array) -> None:
    """out[i] = f(x[i], low, high)."""
    for i in range(out.shape[0]):
        out[i] = f(x[i], low, high)


def activate(f: Formula, x: Array, alpha: float, out: Array) -> None:
    """out[i] = f(x[i], alpha)."""
    for i in range(out.shape[0]):
        out[i] = f(x[i], alpha)


def activate_backward(f: Formula, gradient: Array, y: Array, alpha: float, out: Array) -> None:
    """out[i] = f(gradient[i], y[i], alpha)."""
    for i in range(out.shape[0]):
        out[i] = f(gradient[i], y[i], alpha)


# Products


def matmul(a: Array, b: Array, out: Array) -> None:
    """a @ b; a: (m, k), b: (k, n), out: (m, n)."""
    m, n = out.shape
    zero = out.dtype.type(0)
    for i in range(m):
        for j in range(n):
            total = zero
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            out[i, j] = total


def dense(
    f: Formula, x: Array, weight: Array, bias: Array | None, alpha: float, out: Array
) -> None:
    """f(x @ weight + bias); x: (n, n_in), weight: (n_in, n_out), bias: (1, n_out)."""
    rows, outputs = out.shape
    zero = out.dtype.type(0)
    for i in range(rows):
        for j in range(outputs):
            total = zero
            for k in range(x.shape[1]):
                total += x[i, k] * weight[k, j]
            if bias is not None:
                total += bias[0, j]
            out[i, j] = f(total, alpha)


def dense_backward(
    f: Formula,
    gradient: Array,
    x: Array,
    weight: Array,
    y: Array | None,
    alpha: float,
    before: Array,
    weight_gradient: Array,
    bias_gradient: Array | None,
    x_gradient: Array | None,
) -> None:
    """Gradients of weight, of the bias if it has one, of x if it is needed.

    before: scratch for the gradient before the activation, of the shape of gradient and y.
    """
    rows, outputs = gradient.shape
    zero = gradient.dtype.type(0)
    for i in range(rows):
        for j in range(outputs):
            if y is None:
                before[i, j] = gradient[i, j]
            else:
                before[i, j] = f(gradient[i, j], y[i, j], alpha)
    for k in range(x.shape[1]):
        for j in range(outputs):
            total = zero
            for i in range(rows):
                total += x[i, k] * before[i, j]
            weight_gradient[k, j] = total
    if bias_gradient is not None:
        for j in range(outputs):
            total = zero
            for i in range(rows):
                total += before[i, j]
            bias_gradient[0, j] = total
    if x_gradient is not None:
        for i in range(rows):
            for k in range(x.shape[1]):
                total = zero
                for j in range(outputs):
                    total += before[i, j] * weight[k, j]
                x_gradient[i, k] = total


# Reductions: x is (kept, reduced), out is (kept,)


def sum_rows(x: Array, out: Array) -> None:
    """The sum of each row; x: (rows, columns), out: (rows,)."""
    zero = out.dtype.type(0)
    for i in range(x.shape[0]):
        total = zero
        for j in range(x.shape[1]):
            total += x[i, j]
        out[i] = total


def mean_rows(x: Array, out: Array) -> None:
    """The arithmetic mean of each row; x: (rows, columns), out: (rows,)."""
    zero, count = out.dtype.type(0), out.dtype.type(x.shape[1])
    for i in range(x.shape[0]):
        total = zero
        for j in range(x.shape[1]):
            total += x[i, j]
        out[i] = total / count


def max_rows(x: Array, out: Array) -> None:
    """The largest element of each row; NaN where there is one."""
    for i in range(x.shape[0]):
        best = x[i, 0]
        for j in range(1, x.shape[1]):
            value = x[i, j]
            if value > best or value != value:  # NaN alone differs from itself
                best = value
        out[i] = best


def argmax_rows(x: Array, out: Array) -> None:
    """The position of the largest element of each row, the first one of several or of NaN."""
    for i in range(x.shape[0]):
        place = 0
        for j in range(1, x.shape[1]):
            value, best = x[i, j], x[i, place]
            if value > best or (value != value and best == best):
                place = j
        out[i] = place


# Moving elements


def copy(x: Array, out: Array) -> None:
    """out[index] = x[index] for arrays of any rank; the dtypes may differ."""
    for index in np.ndindex(out.shape):
        out[index] = x[index]


def zeros(out: Array) -> None:
    """out[index] = 0 for an array of any rank."""
    for index in np.ndindex(out.shape):
        out[index] = 0


def gather_rows(x: Array, indices: Array, out: Array) -> None:
    """out[i] = x[indices[i]]; x: (rows, width), indices: (n,), out: (n, width)."""
    for i in range(out.shape[0]):
        source = indices[i]
        for j in range(out.shape[1]):
            out[i, j] = x[source, j]


def scatter_rows(x: Array, indices: Array, out: Array) -> None:
    """out[indices[i]] += x[i], from zeros; x: (n, width), indices: (n,), out: (rows, width)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
    for i in range(x.shape[0]):
        target = indices[i]
        for j in range(x.shape[1]):
            out[target, j] += x[i, j]


def pick(x: Array, labels: Array, out: Array) -> None:
    """out[i] = x[i, labels[i]]; labels, out: (n, 1)."""
    for i in range(out.shape[0]):
        out[i, 0] = x[i, labels[i, 0]]


def one_hot(labels: Array, out: Array) -> None:
    """out[i, j] = 1 where j is the label of row i, else 0; labels: (n, 1), out: (n, classes)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = labels[i, 0] == j


# Activations of a whole row; `out` may be one of the inputs.


def softmax(x: Array, out: Array) -> None:
    """exp(x) / sum(exp(x)) along each row, the row's maximum taken off first."""
    zero = out.dtype.type(0)
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            if x[i, j] > largest:
                largest = x[i, j]
        total = zero
        for j in range(x.shape[1]):
            out[i, j] = np.exp(x[i, j] - largest)
            total += out[i, j]
        for j in range(x.shape[1]):
            out[i, j] /= total


def softmax_backward(gradient: Array, y: Array, out: Array) -> None:
    """y * (gradient - sum(gradient * y)) along each row."""
    zero = out.dtype.type(0)
    for i in range(y.shape[0]):
        total = zero
        for j in range(y.shape[1]):
            total += gradient[i, j] * y[i, j]
        for j in range(y.shape[1]):
            out[i, j] = y[i, j] * (gradient[i, j] - total)


def log_softmax(x: Array, out: Array) -> None:
    """log(softmax(x)) along each row, without the detour through exp and back."""
    zero = out.dtype.type(0)
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            if x[i, j] > largest:
                largest = x[i, j]
        total = zero
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - largest)
        logarithm = np.log(total)
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] - largest - logarithm


def log_softmax_backward(gradient: Array, y: Array, out: Array) -> None:
    """gradient - softmax * sum(gradient) along each row."""
    zero = out.dtype.type(0)
    for i in range(y.shape[0]):
        total = zero
        for j in range(y.shape[1]):
            total += gradient[i, j]
        for j in range(y.shape[1]):
            out[i, j] = gradient[i, j] - np.exp(y[i, j]) * total
