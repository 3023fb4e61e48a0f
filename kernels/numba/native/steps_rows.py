"""Steps over rows: softmax, losses and their derivatives."""

from __future__ import annotations

from .. import losses, rows
from .machine import doubles, line, matrix, matrix_words, pointer, real, words
from .slots import Like, Record
from .steps import step


@step
def softmax_cross_entropy(a: Record, like: Like) -> None:
    """0 z, 1 rows, 2 columns, 3 labels, 4 weights, 5 p, 6 where the rows' sum goes (float64)."""
    labels = matrix_words(a[3], a[1])
    doubles(a[6])[0] = losses.softmax_cross_entropy_sum(
        matrix(a[0], a[1], a[2], like), labels, matrix(a[4], a[1], 1, like),
        matrix(a[5], a[1], a[2], like),
    )  # fmt: skip


@step
def softmax_cross_entropy_backward(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 labels, 4 weights, 5 out."""
    losses.softmax_cross_entropy_backward(
        matrix(a[0], a[1], a[2], like), matrix_words(a[3], a[1]), matrix(a[4], a[1], 1, like),
        matrix(a[5], a[1], a[2], like),
    )  # fmt: skip


@step
def sigmoid_binary_cross_entropy(a: Record, like: Like) -> None:
    """0 z, 1 rows, 2 columns, 3 targets, 4 weights, 5 p, 6 where the rows' sum goes (float64)."""
    doubles(a[6])[0] = losses.sigmoid_binary_cross_entropy_sum(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[1], 1, like), matrix(a[5], a[1], a[2], like),
    )  # fmt: skip


@step
def scaled_difference(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 targets, 4 weights, 5 rows of weights, 6 factor, 7 out."""
    losses.scaled_difference(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[5], 1, like), real(a[6], like), matrix(a[7], a[1], a[2], like),
    )  # fmt: skip


@step
def total(a: Record, like: Like) -> None:
    """One number from the shares' sums. 0 the sums (float64), 1 how many, 2 out."""
    found = 0.0
    for i in range(a[1]):
        found += doubles(a[0])[i]
    pointer(a[2], like)[0] = found


@step
def sum_all(a: Record, like: Like) -> None:
    """The sum, or the mean, of all elements. 0 x, 1 how many, 2 out, 3 divisor."""
    found = 0.0
    x = line(a[0], a[1], like)
    for i in range(x.size):
        found += x[i]
    pointer(a[2], like)[0] = found / a[3]


@step
def softmax(a: Record, like: Like) -> None:
    """0 x, 1 rows, 2 columns, 3 out."""
    rows.softmax(matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like))


@step
def log_softmax(a: Record, like: Like) -> None:
    """0 x, 1 rows, 2 columns, 3 out."""
    rows.log_softmax(matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like))


@step
def softmax_backward(a: Record, like: Like) -> None:
    """0 g, 1 rows, 2 columns, 3 y, 4 out."""
    rows.softmax_backward(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[1], a[2], like),
    )  # fmt: skip


@step
def log_softmax_backward(a: Record, like: Like) -> None:
    """0 g, 1 rows, 2 columns, 3 y, 4 out."""
    rows.log_softmax_backward(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[1], a[2], like),
    )  # fmt: skip


@step
def mean_squared_error(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 targets, 4 weights, 5 rows of weights, 6 out."""
    losses.mean_squared_error(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[5], 1, like), matrix(a[6], a[1], 1, like),
    )  # fmt: skip


@step
def cross_entropy(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 labels, 4 weights, 5 rows of weights, 6 smallest p, 7 out."""
    losses.cross_entropy(
        matrix(a[0], a[1], a[2], like), matrix_words(a[3], a[1]), matrix(a[4], a[5], 1, like),
        real(a[6], like), matrix(a[7], a[1], 1, like),
    )  # fmt: skip


@step
def binary_cross_entropy(a: Record, like: Like) -> None:
    """0 p, 1 rows, 2 columns, 3 targets, 4 weights, 5 rows of weights, 6 smallest p, 7 out."""
    losses.binary_cross_entropy(
        matrix(a[0], a[1], a[2], like), matrix(a[3], a[1], a[2], like),
        matrix(a[4], a[5], 1, like), real(a[6], like), matrix(a[7], a[1], 1, like),
    )  # fmt: skip


@step
def argmax(a: Record, like: Like) -> None:
    """The first largest of each row; NaN is larger than all. 0 x, 1 rows, 2 columns, 3 out."""
    x, out = matrix(a[0], a[1], a[2], like), words(a[3])
    for i in range(a[1]):
        best = 0
        for j in range(1, a[2]):
            if x[i, best] == x[i, best] and not x[i, j] <= x[i, best]:
                best = j
        out[i] = best
