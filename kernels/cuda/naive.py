"""Launches of the naive kernels: one thread for each element or row, as a first attempt has it."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..op import Kernel, kernels
from . import layers
from .activations import CODES
from .arrays import Array, Out, dtype_of, empty, line, matrix, whole_numbers
from .launch import THREADS, launch, number


def _grid(count: int) -> tuple[tuple[int], tuple[int]]:
    return (max(-(-count // THREADS), 1),), (THREADS,)


def product(a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool) -> None:
    """out = a b, a thread for each element."""
    rows, columns = out.shape
    launch(
        "naive_product", dtype_of(out), *_grid(out.size), a, b, out, rows,
        a.shape[0 if transpose_a else 1], columns, transpose_a, transpose_b,
    )  # fmt: skip


def dense(
    out: Out, x: Array, weight: Array, bias: Array | None = None, *, activation: str, alpha: float
) -> None:
    """A product, then bias and activation."""
    y = matrix(out[0])
    product(matrix(x), line(weight), y, False, False)
    launch(
        "naive_bias_activation", dtype_of(y), *_grid(y.size), y,
        None if bias is None else line(bias), y.size, y.shape[1], CODES[activation], alpha,
    )  # fmt: skip


def dense_backward(
    out: Out, gradient: Array, x: Array, weight: Array, y: Array | None = None, *,
    activation: str, alpha: float, bias: bool, input: bool,
) -> None:  # fmt: skip
    """Each gradient by itself."""
    g = matrix(gradient)
    if y is not None:
        made = empty(g.shape, dtype_of(g))
        launch(
            "naive_activation_gradient", dtype_of(g), *_grid(g.size), g, matrix(y), made,
            g.size, CODES[activation], alpha,
        )  # fmt: skip
        g = made
    product(matrix(x), g, out[0], True, False)
    if bias:
        launch("naive_column_sums", dtype_of(g), *_grid(g.shape[1]), g, out[1], *g.shape)
    if input:
        product(g, line(weight), matrix(out[-1]), False, True)


def softmax_cross_entropy(out: Out, z: Array, labels: Array, weights: Array | None = None) -> None:
    """A thread for each row, then one thread for the sum."""
    z, (p, total) = matrix(z), out
    losses = empty((z.shape[0],), dtype_of(z))
    if z.shape[0]:
        launch(
            "naive_softmax_cross_entropy", dtype_of(z), *_grid(z.shape[0]), z,
            whole_numbers(labels), None if weights is None else line(weights), p, losses, *z.shape,
        )  # fmt: skip
    launch("naive_sum", dtype_of(z), (1,), (1,), losses, total, z.shape[0])


def adam_update(
    out: Out, parameter: Array, gradient: Array, mean: Array, square: Array,
    learning_rate: Any, step: Any, *, beta1: float, beta2: float, epsilon: float,
) -> None:  # fmt: skip
    """A thread for each parameter, and the corrections in each of them."""
    for target, source in zip(out, (parameter, mean, square), strict=True):
        if target is not source:
            target[...] = source
    if gradient.size:
        launch(
            "naive_adam", dtype_of(gradient), *_grid(gradient.size), out[0], line(gradient),
            *out[1:], gradient.size, *number(learning_rate), *number(step), beta1, beta2, epsilon,
        )  # fmt: skip


def naive_kernels() -> dict[str, Kernel]:
    """The naive kernels, by operation."""
    return kernels(
        Kernel("matmul", partial(layers.matmul, product), layers.matrices, product),
        Kernel("dense", dense, layers.known_activation),
        Kernel("dense_backward", dense_backward, layers.known_activation),
        Kernel("softmax_cross_entropy", softmax_cross_entropy),
        Kernel("adam_update", adam_update),
    )
