"""Graphs for each rule of simplification: one before it, and the text of what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from graph_support import parameter, text
from lamina.core.graph.functions import ops
from lamina.core.graph.graph import Node, constant, leaf, make
from lamina.kernels.spec import ROWS, Spec

X, Y, C, R, V, S = (
    parameter(*of) for of in (("x", 5, 3), ("y", 5, 3), ("c", 5, 1), ("r", 1, 3), ("v", 3), ("s",))
)
K = parameter("k", 5, 1, dtype="int32")
I = parameter("i", 5, 3, dtype="int32")  # noqa: E741
B = parameter("b", 5, 3, dtype="bool")
F = parameter("f", 5, 3, dtype="float32")
M = leaf("batch", Spec((ROWS, 3), "float64"), "m")  # rows of a batch

SHIFTED = X - ops.max(X, axis=-1, keepdims=True)
E = ops.exp(SHIFTED)


def wide(x: Node, *shape: Any) -> Node:
    return make("broadcast_to", x, shape=shape)


def root(x: Node) -> Node:
    return ops.sqrt(abs(x) + 0.25)


def placed(x: Node, start: int, stop: int) -> Node:
    """Columns among zeros, five of them."""
    return make("unslice", x, shape=(5, 6), starts=(0, start), stops=(5, stop), steps=(1, 1))


@dataclass(frozen=True)
class Example:
    """A graph before a rule, and its text after that rule alone.

    exact: the same bits, up to the sign of a zero. finite: holds for finite numbers in the middle;
    else for infinities, NaN and the ends of the range as well.
    """

    before: Node
    after: str
    exact: bool = True
    finite: bool = False


EXAMPLES: dict[str, list[Example]] = {
    "constants_folded": [
        Example(X * (constant(2.0) * 3.0 + 1.0), "multiply(x, 7)"),
        Example(make("reshape", constant(1.0), shape=(1, 1)) + X, "add(1, x)"),
        Example(wide(constant(2.0), 5, 3) + X, "add(broadcast_to(2, (5, 3)), x)"),
    ],
    "zero_added": [
        Example(X + 0.0, "x"), Example(0.0 + X, "x"), Example(X - 0.0, "x"), Example(I + 0, "i"),
        Example(R + np.zeros((1, 1)), "r"), Example(X - (-0.0), "x"),
        Example(V + np.zeros((1, 1)), "broadcast_to(v, (1, 3))"),
    ],
    "zero_minus": [Example(0.0 - X, "negative(x)")],
    "one_times": [
        Example(X * 1.0, "x"), Example(1.0 * X, "x"), Example(X / 1.0, "x"), Example(I * 1, "i"),
        Example(V * np.ones((1, 1)), "broadcast_to(v, (1, 3))"),
    ],
    "minus_one_times": [
        Example(X * -1.0, "negative(x)"), Example(X / -1.0, "negative(x)"),
        Example(-1 * I, "negative(i)"),
    ],
    "negative_twice": [Example(ops.negative(-X), "x"), Example(ops.negative(-I), "i")],
    "negative_added": [Example(X + -Y, "subtract(x, y)"), Example(-R + Y, "subtract(y, r)")],
    "negative_subtracted": [Example(X - -C, "add(x, c)")],
    "negative_less": [
        Example(-X - Y, "negative(add(x, y))"), Example(-C - Y, "subtract(negative(c), y)"),
    ],
    "negative_of_difference": [Example(-(X - C), "subtract(c, x)")],
    "negatives_multiplied": [
        Example(-X * -Y, "multiply(x, y)"), Example(-C / -Y, "divide(c, y)"),
    ],
    "negative_times_number": [
        Example(-X * 3.0, "multiply(x, negative(3))"), Example(-X / 3.0, "divide(x, negative(3))"),
        Example(3.0 / -X, "divide(negative(3), x)"), Example(0.0 * -X, "multiply(negative(0), x)"),
    ],
    "negative_of_scaled": [
        Example(-(X * 3.0), "multiply(x, negative(3))"),
        Example(-(X / 3.0), "divide(x, negative(3))"),
        Example(-(3.0 / X), "divide(negative(3), x)"),
    ],
    "negative_factor": [
        Example(-X * Y, "negative(multiply(x, y))"), Example(X / -Y, "negative(divide(x, y))"),
        Example(-C * Y, "multiply(negative(c), y)"),
    ],
    "negative_summed": [
        Example((-X).sum(axis=0), "negative(sum(x, (0,)))"),
        Example((-X).mean(), "negative(mean(x, None))"),
    ],
    "negative_moved": [
        Example((-X).T, "negative(transpose(x, axes=(1, 0)))"),
        Example((-X).reshape(15), "negative(reshape(x, (15,)))"),
        Example(ops.pick(-X, K), "negative(pick(x, k))"),
    ],
    "sign_forgotten": [Example(abs(-X), "abs(x)"), Example(abs(abs(X)), "abs(x)")],
    "scaled_twice": [
        Example(X * 0.5 * 3.0, "multiply(x, 1.5)", exact=False),
        Example(X / 4.0 / 3.0, "multiply(x, 0.0833333)", exact=False),
        Example(3.0 * X * 7.0, "multiply(x, 21)", exact=False),
        Example(X * 3.0 * 0.5, "multiply(multiply(x, 3), 0.5)"),  # would not overflow any more
        Example(F * 1e-30 * 1e-30, "multiply(multiply(f, 1e-30), 1e-30)"),
    ],
    "mean_scaled": [
        Example(X.mean(axis=1) * 2.0, "multiply(sum(x, (1,)), 0.666667)", exact=False),
        Example(M.mean(axis=0) * 2.0, "multiply(mean(m, (0,)), 2)"),  # as many as the batch has
    ],
    "divided_by_power_of_two": [
        Example(X / 4.0, "multiply(x, 0.25)"), Example(X / -0.5, "multiply(x, -2)"),
        Example(X / 3.0, "divide(x, 3)"), Example(F / 2.0**127, "divide(f, 1.70141e+38)"),
    ],
    "divided_by_root": [
        Example(X / ops.sqrt(C), "multiply(x, divide(1, sqrt(c)))", exact=False),
        Example(X / (ops.sqrt(C) + 0.1), "multiply(x, divide(1, add(sqrt(c), 0.1)))", exact=False),
        Example(X / ops.sqrt(Y), "divide(x, sqrt(y))"), Example(X / C, "divide(x, c)"),
    ],
    "whole_power": [
        Example(X**1.0, "x"), Example(X**2.0, "multiply(x, x)", exact=False),
        Example(X**3.0, "multiply(multiply(x, x), x)", exact=False),
        Example(X**-1.0, "divide(1, x)", exact=False), Example(X**5.0, "power(x, 5)"),
    ],
    "half_power": [
        Example(abs(X) ** 0.5, "sqrt(abs(x))", exact=False),
        Example((X * X + 0.1) ** -0.5, "divide(1, sqrt(add(multiply(x, x), 0.1)))", exact=False),
        Example(X**0.5, "power(x, 0.5)"),
        Example((abs(X) - 0.1) ** 0.5, "power(subtract(abs(x), 0.1), 0.5)"),
    ],
    "branches_equal": [
        Example(ops.where(B, X, X), "x"), Example(ops.where(B, R, R), "broadcast_to(r, (5, 3))"),
    ],
    "nothing_moved": [
        Example(X.reshape(5, 3), "x"),
        Example(wide(X, 5, 3), "x"),
        Example(ops.cast(X, "float64"), "x"),
        Example(ops.transpose(X, (0, 1)), "x"),
        Example(X[:, 0:3], "x"),
        Example(placed(parameter("w", 5, 6), 0, 6), "w"),
    ],
    "reshaped_twice": [Example(X.reshape(15).reshape(3, 5), "reshape(x, (3, 5))")],
    "transposed_twice": [
        Example(ops.transpose(ops.transpose(X.reshape(5, 3, 1), (1, 2, 0)), (0, 2, 1)),
                "transpose(reshape(x, (5, 3, 1)), axes=(1, 0, 2))"),
    ],
    "transpose_multiplied": [
        Example(X.T @ Y, "matmul(x, y, transpose_a=True, transpose_b=False)"),
        Example(X @ Y.T, "matmul(x, y, transpose_a=False, transpose_b=True)"),
        Example(make("matmul", X.T, Y, transpose_a=True, transpose_b=True),
                "matmul(x, y, transpose_a=False, transpose_b=True)"),
    ],
    "cast_twice": [
        Example(ops.cast(ops.cast(F, "float64"), "float32"), "cast(f, dtype=float32)"),
        Example(ops.cast(ops.cast(B, "int32"), "float64"), "cast(b, dtype=float64)"),
        Example(ops.cast(ops.cast(X, "float32"), "float64"),
                "cast(cast(x, dtype=float32), dtype=float64)"),
    ],
    "broadcast_twice": [Example(wide(wide(V, 1, 3), 5, 3), "broadcast_to(v, (5, 3))")],
    "broadcast_absorbed": [
        Example(X + wide(C, 5, 3), "add(x, c)"),
        Example(wide(R, 5, 3) * wide(S, 5, 3), "broadcast_to(multiply(r, s), (5, 3))"),
        Example(ops.where(wide(C, 5, 3) > 0.0, X, wide(R, 5, 3)),
                "where(greater(c, 0), x, r)"),
    ],
    "broadcast_later": [
        Example(ops.exp(wide(C, 5, 3)), "broadcast_to(exp(c), (5, 3))"),
        Example(ops.elu(wide(R, 5, 3)), "broadcast_to(elu(r, alpha=1.0), (5, 3))"),
    ],
    "slices_added": [
        Example(placed(X, 3, 6) + placed(Y, 0, 3), "unslice(concatenate(y, x, 1), (5, 6),"
                " starts=(0, 0), stops=(5, 6), steps=(1, 1))"),
        Example(placed(X, 1, 4) + placed(C, 0, 1), "unslice(concatenate(c, x, 1), (5, 6),"
                " starts=(0, 0), stops=(5, 4), steps=(1, 1))"),
    ],
    "one_element_reduced": [
        Example(C.sum(axis=1), "reshape(c, (5,))"),
        Example(C.mean(axis=-1, keepdims=True), "reshape(c, (5, 1))"),
        Example(ops.max(K, axis=1), "reshape(k, (5,))"), Example(C.sum(), "sum(c, None)"),
    ],
    "reduction_reshaped": [
        Example(X.sum(axis=0).reshape(1, 3), "sum(x, (0,), keepdims=True)"),
        Example(X.mean(axis=1, keepdims=True).reshape(5), "mean(x, (1,))"),
        Example(X.sum(axis=0).reshape(3, 1), "reshape(sum(x, (0,)), (3, 1))"),
    ],
    "largest_of_largest": [
        Example(ops.max(ops.max(X, axis=0), axis=0), "max(x, (0, 1))"),
        Example(ops.max(ops.max(X.reshape(5, 3, 1), axis=0), axis=1),
                "max(reshape(x, (5, 3, 1)), (0, 2))"),
    ],
    "copies_reduced": [
        Example(wide(C, 5, 4).sum(axis=1),
                "reshape(broadcast_to(multiply(c, 4), (5, 1)), (5,))", exact=False),
        Example(ops.max(wide(V, 5, 3), axis=0), "reshape(broadcast_to(v, (1, 3)), (3,))"),
        Example(wide(C, 5, 3).sum(), "sum(broadcast_to(c, (5, 3)), None)"),
    ],
    "copied_after_reduction": [
        Example(wide(C, 5, 4).sum(axis=0),
                "reshape(broadcast_to(sum(c, (0,), keepdims=True), (1, 4)), (4,))"),
        Example(wide(V, 5, 3).mean(axis=1, keepdims=True),
                "reshape(broadcast_to(mean(v, (0,), keepdims=True), (5, 1)), (5, 1))"),
    ],
    "softmax_spelled": [
        Example(E / E.sum(axis=1, keepdims=True), "softmax(x)", exact=False),
        Example(E / E.sum(axis=0, keepdims=True), text(E / E.sum(axis=0, keepdims=True))),
    ],
    "log_softmax_spelled": [
        Example(SHIFTED - ops.log(E.sum(axis=-1, keepdims=True)), "log_softmax(x)", exact=False),
    ],
    "logarithm_of_softmax": [
        Example(ops.log(ops.softmax(X)), "log_softmax(x)", exact=False, finite=True),
    ],
    "logarithm_of_picked": [
        Example(ops.log(ops.pick(ops.softmax(X), K)),
                "pick(log_softmax(x), k)", exact=False, finite=True),
    ],
    "sigmoid_spelled": [
        Example(1.0 / (1.0 + ops.exp(-X)), "sigmoid(negative(negative(x)))", exact=False),
        Example(1.0 / (ops.exp(X) + 1.0), "sigmoid(negative(x))", exact=False),
        Example(Y / (1.0 + ops.exp(-X)), "multiply(y, sigmoid(negative(negative(x))))",
                exact=False, finite=True),
        Example(Y / (1.0 + ops.exp(-R)), "multiply(y, sigmoid(negative(negative(r))))",
                exact=False, finite=True),
        Example(Y / (1.0 - ops.exp(-X)), "divide(y, subtract(1, exp(negative(x))))"),
    ],
    "softplus_spelled": [
        Example(ops.log(1.0 + ops.exp(X)), "softplus(x)", exact=False, finite=True),
        Example(ops.log(ops.exp(X) + 2.0), "log(add(exp(x), 2))"),
    ],
    "softplus_of_exponential": [
        Example(ops.log1p(ops.exp(X)), "softplus(x)", exact=False, finite=True),
    ],
    "silu_spelled": [
        Example(X * ops.sigmoid(X), "silu(x)", exact=False),
        Example(ops.sigmoid(X) * X, "silu(x)", exact=False),
        Example(X * ops.sigmoid(Y), "multiply(x, sigmoid(y))"),
    ],
    "mish_spelled": [
        Example(X * ops.tanh(ops.softplus(X)), "mish(x)", exact=False),
        Example(X * ops.tanh(ops.softplus(Y)), "multiply(x, tanh(softplus(y)))"),
        Example(X * ops.sigmoid(ops.softplus(X)), "multiply(x, sigmoid(softplus(x)))"),
    ],
    "logarithm_of_sigmoid": [
        Example(ops.log(ops.sigmoid(X)),
                "negative(softplus(negative(x)))", exact=False, finite=True),
    ],
    "logarithm_of_rest": [
        Example(ops.log(1.0 - ops.sigmoid(X)), "negative(softplus(x))", exact=False, finite=True),
        Example(ops.log1p(-ops.sigmoid(X)), "negative(softplus(x))", exact=False, finite=True),
        Example(ops.log(2.0 - ops.sigmoid(X)), "log(subtract(2, sigmoid(x)))"),
    ],
    "loss_weighted": [
        Example(ops.cross_entropy(ops.softmax(X), K) * C, "cross_entropy(softmax(x), k, c)"),
        Example(C * ops.binary_cross_entropy(X, Y), "binary_cross_entropy(x, y, c)"),
        Example(ops.cross_entropy(ops.softmax(X), K) * X,
                "multiply(cross_entropy(softmax(x), k), x)"),
    ],
}  # fmt: skip
