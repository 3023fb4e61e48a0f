"""The explicit loops of training: losses and dropout masks.

As in `operations.py`, only elements are touched and every constant has the array's dtype. Weights
are one a row, (n, 1), and may be left out (None).
"""

from __future__ import annotations

import numpy as np

from ..philox import MULTIPLIERS, ROUNDS, WEYL, WORD
from .operations import Array, Formula

# Losses: one value a row, times the row's weight where weights are given.


def cross_entropy(
    log: Formula, p: Array, labels: Array, weights: Array | None, loss: Array
) -> None:
    """-log p[label]; p: (n, classes), labels: (n, 1) integers, loss: (n, 1)."""
    floor = np.finfo(p.dtype).tiny  # the smallest normal number
    for i in range(p.shape[0]):
        value = -log(p[i, labels[i, 0]], floor)
        if weights is not None:
            value *= weights[i, 0]
        loss[i, 0] = value


def binary_cross_entropy(
    log: Formula, p: Array, targets: Array, weights: Array | None, loss: Array
) -> None:
    """-t log p - (1 - t) log(1 - p), the mean over a row's outputs; p, targets: (n, k)."""
    number = p.dtype.type
    zero, one, count = number(0), number(1), number(p.shape[1])
    floor = np.finfo(p.dtype).tiny
    for i in range(p.shape[0]):
        total = zero
        for j in range(p.shape[1]):
            t = targets[i, j]
            total -= t * log(p[i, j], floor) + (one - t) * log(one - p[i, j], floor)
        value = total / count
        if weights is not None:
            value *= weights[i, 0]
        loss[i, 0] = value


def mean_squared_error(p: Array, targets: Array, weights: Array | None, loss: Array) -> None:
    """(p - t)^2, the mean over a row's outputs; p, targets: (n, k), loss: (n, 1)."""
    zero, count = p.dtype.type(0), p.dtype.type(p.shape[1])
    for i in range(p.shape[0]):
        total = zero
        for j in range(p.shape[1]):
            difference = p[i, j] - targets[i, j]
            total += difference * difference
        value = total / count
        if weights is not None:
            value *= weights[i, 0]
        loss[i, 0] = value


def mean_squared_error_backward(
    p: Array, targets: Array, weights: Array | None, out: Array
) -> None:
    """2 (p - t) / k, times the row's weight; `out` may be p or targets."""
    scale = p.dtype.type(2.0 / p.shape[1])
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            value = scale * (p[i, j] - targets[i, j])
            if weights is not None:
                value *= weights[i, 0]
            out[i, j] = value


def softmax_cross_entropy(
    z: Array, labels: Array, weights: Array | None, p: Array, loss: Array
) -> None:
    """Softmax probabilities p, which may be z, and the weighted sum over rows of the loss.

    The loss is log(sum(exp(z))) - z[label], finite however saturated z is.
    """
    zero = z.dtype.type(0)
    sum_of_losses = np.float64(0.0)  # over thousands of rows a float32 sum loses two digits
    for i in range(z.shape[0]):
        largest = z[i, 0]
        for j in range(1, z.shape[1]):
            if z[i, j] > largest:
                largest = z[i, j]
        labelled = z[i, labels[i, 0]] - largest  # read now: z may be overwritten below
        total = zero
        for j in range(z.shape[1]):
            p[i, j] = np.exp(z[i, j] - largest)
            total += p[i, j]
        for j in range(z.shape[1]):
            p[i, j] /= total
        value = np.log(total) - labelled
        if weights is not None:
            value *= weights[i, 0]
        sum_of_losses += value
    loss[()] = sum_of_losses


def softmax_cross_entropy_backward(
    p: Array, labels: Array, weights: Array | None, out: Array
) -> None:
    """(p - one_hot(label)) times the row's weight: the gradient at the softmax's input."""
    one = p.dtype.type(1)
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            value = p[i, j]
            if labels[i, 0] == j:
                value -= one
            if weights is not None:
                value *= weights[i, 0]
            out[i, j] = value


def sigmoid_binary_cross_entropy(
    z: Array, targets: Array, weights: Array | None, p: Array, loss: Array
) -> None:
    """Sigmoid probabilities p, which may be z, and the weighted sum over rows of the loss.

    The loss is max(z, 0) - z t + log1p(exp(-|z|)), the mean over a row's outputs.
    """
    number = z.dtype.type
    zero, one, count = number(0), number(1), number(z.shape[1])
    sum_of_losses = np.float64(0.0)  # over thousands of rows a float32 sum loses two digits
    for i in range(z.shape[0]):
        total = zero
        for j in range(z.shape[1]):
            x = z[i, j]
            small = np.exp(-abs(x))
            p[i, j] = (one if x >= 0 else small) / (one + small)
            total += (zero if x <= 0 else x) - x * targets[i, j] + np.log1p(small)
        value = total / count
        if weights is not None:
            value *= weights[i, 0]
        sum_of_losses += value
    loss[()] = sum_of_losses


def sigmoid_binary_cross_entropy_backward(
    p: Array, targets: Array, weights: Array | None, out: Array
) -> None:
    """(p - t) / k times the row's weight: the gradient at the sigmoid's input."""
    count = p.dtype.type(p.shape[1])
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            value = (p[i, j] - targets[i, j]) / count
            if weights is not None:
                value *= weights[i, 0]
            out[i, j] = value


# Dropout masks


def philox_words(
    multiply: Formula, key: tuple[int, int], stream: int, counter: tuple[int, int], skipped: int,
    out: Array,
) -> None:  # fmt: skip
    """32-bit words of Philox4x32-10, as many as `out` (uint32, flat) holds.

    key: the low and high word of the seed; counter: those of the training step; skipped: how many
    blocks of four words come before.
    """
    for block in range((out.shape[0] + 3) // 4):
        c0, c1, c2, c3 = skipped + block, stream, counter[0], counter[1]
        k0, k1 = key
        for _ in range(ROUNDS):
            high0, low0 = multiply(MULTIPLIERS[0], c0)
            high1, low1 = multiply(MULTIPLIERS[1], c2)
            c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
            k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
        words = (c0, c1, c2, c3)
        for place in range(min(4, out.shape[0] - 4 * block)):
            out[4 * block + place] = words[place]


def dropout_mask(words: Array, threshold: int, scale: float, out: Array) -> None:
    """Zero where the element's random word is below the threshold, else scale; all flat."""
    for i in range(out.shape[0]):
        if words[i] >= threshold:
            out[i] = scale
        else:
            out[i] = 0
