"""NumPy kernels of losses, alone or with the activation before them, and of their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .activations import row_maxima, row_sums
from .operations import Array, Out, number


@lru_cache(maxsize=16)
def row_starts(rows: int, columns: int) -> Array:
    """Where each row begins in a flat matrix."""
    return np.arange(rows) * columns


def label_places(labels: Array, columns: int) -> Array:
    """Where each row's label stands in a flat matrix."""
    return row_starts(labels.size, columns) + labels.reshape(-1)


def pick(out: Out, x: Array, labels: Array) -> None:
    """The element of each row at its label."""
    places = label_places(labels, x.shape[-1])
    np.take(x.reshape(-1), places, out=out[0].reshape(-1), mode="clip")


def mean_squared_error(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
    """The mean over a row's outputs of (p - t)^2, times the row's weight."""
    (rows,) = out
    each = p - targets
    each *= each
    np.add.reduce(each, axis=-1, keepdims=True, out=rows)
    rows /= number(p.shape[-1], rows.dtype)
    if weights is not None:
        rows *= weights


def softmax_cross_entropy(out: Out, z: Array, labels: Array, weights: Array | None = None) -> None:
    """Probabilities, and the weighted sum of log(sum(exp(z))) - z[label]."""
    p, loss = out
    np.subtract(z, row_maxima(z), out=p)
    at_label = p.reshape(-1).take(label_places(labels, p.shape[-1])).reshape(labels.shape)
    np.exp(p, out=p)
    total = row_sums(p)
    p /= total
    each = np.log(total, out=total)
    each -= at_label
    if weights is not None:
        each *= weights
    np.add.reduce(each, axis=None, out=loss)


def softmax_cross_entropy_backward(
    out: Out, p: Array, labels: Array, weights: Array | None = None
) -> None:
    """p - 1 at the label, times the row's weight."""
    (g,) = out
    np.copyto(g, p)
    g.reshape(-1)[label_places(labels, g.shape[-1])] -= 1.0
    if weights is not None:
        g *= weights


def sigmoid_binary_cross_entropy(
    out: Out, z: Array, targets: Array, weights: Array | None = None
) -> None:
    """Probabilities, and the weighted sum of max(z, 0) - z t + log1p(exp(-|z|))."""
    p, loss = out
    positive = (z >= number(0.0, z.dtype)).astype(z.dtype)
    each = positive - targets
    each *= z
    small = np.copysign(z, number(-1.0, z.dtype))  # -|z|
    np.exp(small, out=small)
    each += np.log1p(small)
    np.maximum(small, positive, out=p)
    small += number(1.0, small.dtype)
    p /= small
    rows = each if each.shape[-1] == 1 else each.mean(axis=-1, keepdims=True)
    if weights is not None:
        rows *= weights
    np.add.reduce(rows, axis=None, out=loss)


def difference(factor: float) -> Callable[..., None]:
    """factor / k (p - t) times the row's weight: the derivative of two losses."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        (g,) = out
        np.subtract(p, targets, out=g)
        scale = factor / p.shape[-1]
        if scale != 1.0:
            g *= number(scale, g.dtype)
        if weights is not None:
            g *= weights

    return run


mean_squared_error_backward = difference(2.0)
sigmoid_binary_cross_entropy_backward = difference(1.0)
