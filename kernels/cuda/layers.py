"""The dense layer and activations: launches around products that the backend's BLAS computes.

A product is asked for as `product(a, b, out, transpose_a, transpose_b)`: out = a b, each factor
transposed first where it says so, all three row-major matrices of one dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..op import Attrs, Specs
from .activations import CODES
from .arrays import Array, Out, dtype_of, empty, line, matrix
from .launch import WARP, flat, launch
from .reductions import chunks, column_sums

Product = Callable[[Array, Array, Array, bool, bool], None]


def product(a: Array, b: Array, out: Array, transpose_a: bool, transpose_b: bool) -> None:
    """out = a b, by CuPy."""
    import cupy

    cupy.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)


# What kernels take


def matrices(specs: Specs, attrs: Attrs) -> bool:
    """Whether all inputs are matrices with elements."""
    return all(s.rank == 2 and 0 not in s.shape for s in specs)


def known_activation(specs: Specs, attrs: Attrs) -> bool:
    """Whether a layer of some size ends in an activation that has a number."""
    return attrs["activation"] in CODES and all(0 not in s.shape for s in specs)


def floats(specs: Specs, attrs: Attrs) -> bool:
    """Whether the inputs are floating, of one shape and dtype."""
    return len(set(specs)) == 1 and specs[0].dtype.startswith("float")


# Kernels


def matmul(
    multiply: Product, out: Out, a: Array, b: Array, *, transpose_a: bool, transpose_b: bool
) -> None:
    """A product of matrices; one that is transposed in memory is no copy."""
    a, transpose_a = _factor(a, transpose_a)
    b, transpose_b = _factor(b, transpose_b)
    multiply(a, b, out[0], transpose_a, transpose_b)


def _factor(x: Array, transposed: bool) -> tuple[Array, bool]:
    if not x.flags.c_contiguous and x.T.flags.c_contiguous:
        return x.T, not transposed
    return line(x), transposed


def dense(
    multiply: Product, out: Out, x: Array, weight: Array, bias: Array | None = None, *,
    activation: str, alpha: float,
) -> None:  # fmt: skip
    """Product, then bias and activation in place."""
    y, (weight, transposed) = matrix(out[0]), _factor(weight, False)
    multiply(matrix(x), weight, y, False, transposed)
    if bias is not None or activation != "linear":
        launch(
            "bias_activation", dtype_of(y), *flat(y.size),
            y, None if bias is None else line(bias), y.size, y.shape[1], CODES[activation], alpha,
        )  # fmt: skip


def dense_backward(
    multiply: Product, out: Out, gradient: Array, x: Array, weight: Array,
    y: Array | None = None, *, activation: str, alpha: float, bias: bool, input: bool,
) -> None:  # fmt: skip
    """Derivative of the activation with the bias's gradient, then a product or two."""
    g, x = matrix(gradient), matrix(x)
    if activation == "linear":
        y = None
    if bias:
        g = bias_gradient(g, None if y is None else matrix(y), out[1], activation, alpha)
    elif y is not None:
        made = empty(g.shape, dtype_of(g))
        launch(
            "activation_gradient", dtype_of(g), *flat(g.size),
            g, matrix(y), made, g.size, CODES[activation], alpha,
        )  # fmt: skip
        g = made
    multiply(x, g, out[0], True, False)
    if input:
        weight, transposed = _factor(weight, False)
        multiply(g, weight, matrix(out[-1]), False, not transposed)


def bias_gradient(
    gradient: Array, y: Array | None, sums: Array, activation: str, alpha: float
) -> Array:
    """Writes the sums of columns; gives the gradient before the activation."""
    dtype, (rows, columns) = dtype_of(gradient), gradient.shape
    made = gradient if y is None else empty(gradient.shape, dtype)
    blocks, chunk = chunks(rows)
    parts = sums if blocks == 1 else empty((blocks, columns), dtype)
    launch(
        "activation_bias_gradient", dtype, (-(-columns // WARP), blocks), (WARP, 8),
        gradient, y, made, parts, rows, columns, chunk, CODES[activation], alpha,
    )  # fmt: skip
    if blocks > 1:
        column_sums(parts, sums, blocks, columns)
    return made


def activation(code: int) -> Any:
    """An activation alone."""

    def run(out: Out, x: Array, *, alpha: float = 0.0) -> None:
        if x.size:
            launch("activation", dtype_of(x), *flat(x.size), line(x), out[0], x.size, code, alpha)

    return run


def activation_backward(code: int) -> Any:
    """The derivative of an activation alone; inputs: the gradient, and x or y."""

    def run(out: Out, *inputs: Array, alpha: float = 0.0) -> None:
        gradient, value = inputs
        if value.size:
            launch(
                "activation_gradient", dtype_of(value), *flat(value.size),
                line(gradient), line(value), out[0], value.size, code, alpha,
            )  # fmt: skip

    return run
