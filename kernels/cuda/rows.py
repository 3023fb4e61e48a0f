"""Softmax and losses: row by row, or all elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import Array, Out, dtype_of, empty, line, matrix, size, whole_numbers
from .launch import THREADS, WARP, flat, launch, recorder, teams

ONE_BLOCK = 8192  # elements up to which a loss is one launch of one block
MOST_PARTS = 1024


def softmax(logarithm: bool) -> Any:
    """Softmax, or its logarithm."""

    def run(out: Out, x: Array) -> None:
        if x.size:
            x = matrix(x)
            launch("softmax_rows", dtype_of(x), *teams(*x.shape), x, out[0], *x.shape, logarithm)

    return run


def softmax_backward(logarithm: bool) -> Any:
    """The derivative of softmax, or of its logarithm."""

    def run(out: Out, gradient: Array, y: Array) -> None:
        if y.size:
            g, y = matrix(gradient), matrix(y)
            launch(
                "softmax_rows_backward", dtype_of(y), *teams(*y.shape),
                g, y, out[0], *y.shape, logarithm,
            )  # fmt: skip

    return run


def row_loss(kernel: str) -> Any:
    """A loss with one number a row, of numbers."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        p, targets = matrix(p), matrix(targets)
        floor = (_floor(p),) if kernel == "binary_cross_entropy_rows" else ()
        if p.size:
            launch(
                kernel, dtype_of(p), *teams(*p.shape),
                p, targets, _given(weights), out[0], *p.shape, *floor,
            )  # fmt: skip

    return run


def cross_entropy(out: Out, p: Array, labels: Array, weights: Array | None = None) -> None:
    """One number a row, of classes."""
    p = matrix(p)
    if p.size:
        launch(
            "cross_entropy_rows", dtype_of(p), *flat(p.shape[0], 1),
            p, whole_numbers(labels), _given(weights), out[0], *p.shape, _floor(p),
        )  # fmt: skip


def difference(factor: float) -> Any:
    """factor / k (p - t) times the row's weight: the derivative of two losses."""

    def run(out: Out, p: Array, targets: Array, weights: Array | None = None) -> None:
        if p.size:
            columns = p.shape[-1]
            launch(
                "scaled_difference", dtype_of(p), *flat(p.size), line(p), line(targets),
                _given(weights), out[0], p.size, columns, factor / columns,
            )  # fmt: skip

    return run


def softmax_cross_entropy_backward(
    out: Out, p: Array, labels: Array, weights: Array | None = None
) -> None:
    """(p - one_hot(label)) times the row's weight."""
    if p.size:
        launch(
            "label_gradient", dtype_of(p), *flat(p.size),
            line(p), whole_numbers(labels), _given(weights), out[0], p.size, p.shape[-1],
        )  # fmt: skip


def softmax_cross_entropy(
    out: Out, z: Array, labels: Array, weights: Array | None = None, *,
    gradient: Array | None = None, bias: Array | None = None,
) -> None:  # fmt: skip
    """Probabilities and the sum of losses.

    gradient: where that at z goes, if it is wanted. bias: (1, k), where z lacks it so far.
    """
    z, (p, total) = matrix(z), out
    rows, columns = z.shape
    if z.size <= ONE_BLOCK and columns <= 8 * WARP:
        grid: Any = (1,)
        block: Any = (WARP, min(max(rows, 1), 32))
    else:
        grid, block = teams(rows, columns)
        grid = (min(grid[0], MOST_PARTS),)
    parts = empty((grid[0],), "float64") if grid[0] > 1 else None
    launch(
        "softmax_cross_entropy_rows", dtype_of(z), grid, block, z, _given(bias),
        whole_numbers(labels), _given(weights), p, gradient, parts, total, rows, columns,
    )  # fmt: skip
    join(parts, total)


def sigmoid_binary_cross_entropy(
    out: Out, z: Array, targets: Array, weights: Array | None = None, *,
    gradient: Array | None = None, bias: Array | None = None,
) -> None:  # fmt: skip
    """Probabilities and the sum of losses.

    gradient: where that at z goes, if it is wanted. bias: (1, k), where z lacks it so far.
    """
    z, (p, total) = line(z), out
    grid, block = _along(z.size)
    parts = empty((grid[0],), "float64") if grid[0] > 1 else None
    launch(
        "sigmoid_binary_cross_entropy_all", dtype_of(z), grid, block, z, _given(bias),
        line(targets), _given(weights), p, gradient, parts, total, z.size, z.shape[-1],
    )  # fmt: skip
    join(parts, total)


def squared_error(
    out: Out, p: Array, targets: Array, weights: Array | None = None, *,
    gradient: Array | None = None,
) -> None:  # fmt: skip
    """The sum over rows of their squared errors. gradient: where that at p goes, if it is wanted.

    It is `mean_squared_error` and the sum of what that makes.
    """
    p, (total,) = line(p), out
    grid, block = _along(p.size)
    parts = empty((grid[0],), "float64") if grid[0] > 1 else None
    launch(
        "squared_error_all", dtype_of(p), grid, block, p, line(targets), _given(weights),
        gradient, parts, total, p.size, p.shape[-1],
    )  # fmt: skip
    join(parts, total)


def _along(count: int) -> tuple[tuple[int], tuple[int, ...]]:
    """Blocks and threads where a loss is added up over elements: one block for few."""
    if count <= ONE_BLOCK and recorder() is None:
        return (1,), (min(WARP * max(-(-count // WARP), 1), 1024),)
    (blocks,), threads = flat(count)
    return (min(blocks, MOST_PARTS),), threads


def join(parts: Array | None, total: Array, scale: float = 1.0) -> None:
    """Adds up the parts of a sum, if it is in parts."""
    if parts is not None:
        launch(
            "join_parts", dtype_of(total), (1,), (THREADS,),
            parts, total, size(parts.shape), scale,
        )  # fmt: skip


def _given(weights: Array | None) -> Array | None:
    return None if weights is None else line(weights)


def _floor(p: Array) -> float:
    return float(np.finfo(dtype_of(p)).smallest_normal)
