"""Losses in NumPy by hand: the mean, and its gradient at what the last layer's sums are.

z: (n, outputs), which may be written over. y: (n,) numbers of classes, or (n, k) numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..spellings import DELTA, GAMMA, SMOOTHING
from .by_hand_layers import sigmoid, softplus

Array = np.ndarray


def softmax(z: Array) -> Array:
    """Over rows, in the memory of z."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    return z


def log_softmax(z: Array) -> Array:
    """Its logarithm, in the memory of z."""
    z -= z.max(axis=1, keepdims=True)
    z -= np.log(np.exp(z).sum(axis=1, keepdims=True))
    return z


def cross_entropy(z: Array, y: Array) -> tuple[Any, Array]:
    """-log of the probability of the class."""
    if z.shape[1] == 1:
        targets = y[:, None]
        p = sigmoid(z)
        loss = -np.log(np.where(targets, p, 1.0 - p)).mean()
        return loss, (p - targets.astype(p.dtype)) / p.dtype.type(len(z))
    numbers = np.arange(len(z))
    p = softmax(z)
    loss = -np.log(p[numbers, y]).mean()
    p[numbers, y] -= 1.0
    p /= len(z)
    return loss, p


def label_smoothing(z: Array, y: Array) -> tuple[Any, Array]:
    """Cross-entropy with a share of each target spread over all classes."""
    if z.shape[1] == 1:
        target = (y[:, None] * (1.0 - SMOOTHING) + 0.5 * SMOOTHING).astype(z.dtype)
        loss = (softplus(z) - target * z).mean()
        return loss, (sigmoid(z) - target) / z.dtype.type(len(z))
    targets = np.full_like(z, SMOOTHING / z.shape[1])
    targets[np.arange(len(z)), y] += 1.0 - SMOOTHING
    logs = log_softmax(z)
    loss = -(targets * logs).sum() / len(z)
    return loss, (np.exp(logs) - targets) / z.dtype.type(len(z))


def focal(z: Array, y: Array) -> tuple[Any, Array]:
    """Cross-entropy times (1 - probability of the class) ** GAMMA."""
    numbers = np.arange(len(z))
    if z.shape[1] == 1:
        sign = (2 * y[:, None] - 1).astype(z.dtype)
        log = -softplus(-sign * z)
        away = sign * (1.0 - np.exp(log))  # d log / d z
    else:
        logs = log_softmax(z)
        log = logs[numbers, y][:, None]
        away = -np.exp(logs)
        away[numbers, y] += 1.0
    missed = 1.0 - np.exp(log)
    slope = GAMMA * missed ** (GAMMA - 1.0) * (1.0 - missed) * log - missed**GAMMA
    return -(missed**GAMMA * log).mean(), slope * away / z.dtype.type(len(z))


def mean_squared_error(z: Array, y: Array) -> tuple[Any, Array]:
    """(z - y) ** 2."""
    z -= y
    return (z * z).mean(), z * (2.0 / z.size)


def mean_absolute_error(z: Array, y: Array) -> tuple[Any, Array]:
    """|z - y|."""
    z -= y
    return np.abs(z).mean(), np.sign(z) / z.dtype.type(z.size)


def huber(z: Array, y: Array) -> tuple[Any, Array]:
    """Half the square of a small error, a straight line beyond."""
    z -= y
    size = np.abs(z)
    loss = np.where(size < DELTA, 0.5 * size * size, DELTA * (size - 0.5 * DELTA)).mean()
    return loss, np.clip(z, -DELTA, DELTA) / z.dtype.type(z.size)


def gaussian(z: Array, y: Array) -> tuple[Any, Array]:
    """-log of a normal density less a constant: means, then logarithms of variances."""
    mean, log_variance = np.split(z, 2, axis=1)
    error, precision = mean - y, np.exp(-log_variance)
    weighted = error * precision
    loss = 0.5 * (log_variance + error * weighted).mean()
    both = np.concatenate([weighted, 0.5 * (1.0 - error * weighted)], axis=1)
    return loss, both / z.dtype.type(y.size)


LOSSES: dict[str, Callable[[Array, Array], tuple[Any, Array]]] = {
    f.__name__: f
    for f in (
        cross_entropy, label_smoothing, focal, mean_squared_error, mean_absolute_error, huber,
        gaussian,
    )
}  # fmt: skip
