"""Identities of arithmetic: what makes a graph smaller and no value another.

Each holds for every number, infinities and NaN among them, up to the sign of a zero where its
docstring says so, and up to the operation's tolerance where it rounds otherwise. What would answer
another number at an infinity or a NaN is not here: x * 0, x - x, x / x, exp(log(x)).
"""

from __future__ import annotations

import math

import numpy as np

from ...kernels.ops import OPS
from ...kernels.rules import normal_axes
from ...kernels.spec import Rows, size
from .graph import Node, constant, make
from .rewriting import (
    ANY,
    either_way,
    given,
    is_number,
    literal,
    nonnegative,
    number,
    rule,
    shaped,
    smaller,
)

FOLDED = 4096  # elements that are computed while the graph is made, in and out


@rule(ANY)
def constants_folded(node: Node) -> Node | None:
    """An operation on literals alone is a literal, computed in its own dtype by its reference.

    Small ones only; broadcasts stay, since what reads them can do without; so do indices, which the
    planner checks.
    """
    row, found = OPS[node.op], given(node)
    if not found or not all(map(literal, found)) or len(node.specs) > 1 or node.spec.symbolic:
        return None
    if node.op == "broadcast_to" or row.indices is not None:
        return None
    sizes = [size(n.shape) for n in (*found, node)]
    if any(isinstance(s, Rows) or s > FOLDED for s in sizes):
        return None
    arrays = [None if n is None else n.attrs["value"] for n in node.inputs]
    with np.errstate(all="ignore"):
        made = np.asarray(row.reference(np, *arrays, **node.attrs)).astype(node.dtype)
    return constant(made.reshape(node.shape).copy())  # type: ignore[arg-type]


# Zero, one, minus one


@rule("add", "subtract")
def zero_added(node: Node) -> Node | None:
    """x + 0 = x and x - 0 = x; a -0.0 may stay one where the sum would be 0.0."""
    for x, zero in either_way(node):
        if is_number(zero, 0):
            return shaped(x, node.shape)
    return None


@rule("subtract", floats=True)
def zero_minus(node: Node) -> Node | None:
    """0 - x = -x; of 0.0 it is -0.0."""
    zero, x = given(node)
    return shaped(make("negative", x), node.shape) if is_number(zero, 0) else None


@rule("multiply", "divide")
def one_times(node: Node) -> Node | None:
    """x * 1 = x and x / 1 = x."""
    for x, one in either_way(node):
        if is_number(one, 1):
            return shaped(x, node.shape)
    return None


@rule("multiply", "divide")
def minus_one_times(node: Node) -> Node | None:
    """x * -1 = -x and x / -1 = -x."""
    for x, one in either_way(node):
        if is_number(one, -1):
            return shaped(make("negative", x), node.shape)
    return None


# Negation: outward, until something takes it in


@rule("negative")
def negative_twice(node: Node) -> Node | None:
    """-(-x) = x."""
    x = given(node)[0]
    return given(x)[0] if x.op == "negative" else None


@rule("add")
def negative_added(node: Node) -> Node | None:
    """a + -b = a - b."""
    for a, b in either_way(node):
        if b.op == "negative":
            return make("subtract", a, given(b)[0])
    return None


@rule("subtract")
def negative_subtracted(node: Node) -> Node | None:
    """a - -b = a + b."""
    a, b = given(node)
    return make("add", a, given(b)[0]) if b.op == "negative" else None


@rule("subtract", floats=True, alone=("negative",))
def negative_less(node: Node) -> Node | None:
    """-a - b = -(a + b), where -a is as large as the result; of zeros up to their sign."""
    a, b = given(node)
    if a.op != "negative" or a.shape != node.shape:
        return None
    return make("negative", make("add", given(a)[0], b))


@rule("negative", floats=True, alone=("subtract",))
def negative_of_difference(node: Node) -> Node | None:
    """-(a - b) = b - a; of equal numbers it is 0.0, not -0.0."""
    x = given(node)[0]
    return make("subtract", x.inputs[1], x.inputs[0]) if x.op == "subtract" else None


@rule("multiply", "divide")
def negatives_multiplied(node: Node) -> Node | None:
    """-a * -b = a * b and -a / -b = a / b."""
    a, b = given(node)
    if a.op != "negative" or b.op != "negative":
        return None
    return make(node.op, given(a)[0], given(b)[0])


@rule("multiply", "divide", floats=True)
def negative_times_number(node: Node) -> Node | None:
    """-x * c = x * -c, -x / c = x / -c and c / -x = -c / x."""
    a, b = given(node)
    if a.op == "negative" and number(b) is not None:
        return make(node.op, given(a)[0], make("negative", b))
    if b.op == "negative" and number(a) is not None:
        return make(node.op, make("negative", a), given(b)[0])
    return None


@rule("negative", floats=True, alone=("multiply", "divide"))
def negative_of_scaled(node: Node) -> Node | None:
    """-(x * c) = x * -c, -(x / c) = x / -c and -(c / x) = -c / x."""
    x = given(node)[0]
    if x.op not in ("multiply", "divide"):
        return None
    a, b = given(x)
    if number(b) is not None:
        return make(x.op, a, make("negative", b))
    return make(x.op, make("negative", a), b) if number(a) is not None else None


@rule("multiply", "divide", floats=True, alone=("negative",))
def negative_factor(node: Node) -> Node | None:
    """-a * b = -(a * b), -a / b and a / -b likewise, where the negative is as large as the result.

    One that is broadcast stays: there it costs less.
    """
    for at, x in enumerate(given(node)):
        if x.op == "negative" and x.shape == node.shape:
            inputs = list(node.inputs)
            inputs[at] = x.inputs[0]
            return make("negative", make(node.op, *inputs))
    return None


@rule("sum", "mean", floats=True, alone=("negative",))
def negative_summed(node: Node) -> Node | None:
    """sum(-x) = -sum(x) and mean(-x) = -mean(x); of zeros up to their sign."""
    x = given(node)[0]
    return make("negative", make(node.op, *x.inputs, **node.attrs)) if x.op == "negative" else None


@rule("reshape", "transpose", "slice", "pick", "gather_rows", alone=("negative",))
def negative_moved(node: Node) -> Node | None:
    """What only moves or picks elements of -x is the negative of what it makes of x."""
    x, *rest = given(node)
    if x.op != "negative":
        return None
    return make("negative", make(node.op, *x.inputs, *rest, **node.attrs))


@rule("abs", floats=True)
def sign_forgotten(node: Node) -> Node | None:
    """|-x| = |x| and ||x|| = |x|."""
    x = given(node)[0]
    return make("abs", *x.inputs) if x.op in ("negative", "abs") else None


# Numbers that scale


def scaled_by(node: Node) -> tuple[Node, float] | None:
    """(x, c) of x * c or x / c with a literal c; a quotient's c is the reciprocal."""
    if node.op not in ("multiply", "divide"):
        return None
    for x, c in either_way(node):
        value = number(c)
        if value is not None and number(x) is None and x.shape == node.shape:
            if node.op == "divide":
                return (x, 1.0 / value) if value else None
            return x, float(value)
    return None


def normal(value: float, dtype: str) -> bool:
    """Whether a number is finite and neither zero nor subnormal in a dtype."""
    limits = np.finfo(dtype)
    return float(limits.smallest_normal) <= abs(value) <= float(limits.max)


@rule("multiply", "divide", floats=True)
def scaled_twice(node: Node) -> Node | None:
    """(x * c) * d = x * (c * d), and quotients likewise; rounded once less.

    Not where c lifts and d lowers: what overflows between them would not any more.
    """
    outer = scaled_by(node)
    inner = scaled_by(outer[0]) if outer else None
    if outer is None or inner is None:
        return None
    (x, c), d = inner, outer[1]
    if (abs(c) > 1.0 and abs(d) < 1.0) or not all(normal(v, node.dtype) for v in (c, d, c * d)):
        return None
    return make("multiply", x, constant(c * d, node.dtype))


@rule("multiply", "divide", floats=True, alone=("mean",))
def mean_scaled(node: Node) -> Node | None:
    """mean(x) * c = sum(x) * (c / k) for k numbers a mean, rounded once less; quotients likewise.

    A mean by itself stays: as a scaled sum it would be two operations.
    """
    found = scaled_by(node)
    if found is None or found[0].op != "mean":
        return None
    mean, c = found
    x = given(mean)[0]
    counts = [x.shape[axis] for axis in normal_axes("mean", x.spec, mean.attrs)]
    if any(isinstance(d, Rows) for d in counts):
        return None
    factor = c / math.prod(d for d in counts if isinstance(d, int))
    if not (normal(c, node.dtype) and normal(factor, node.dtype)):
        return None
    return make("multiply", make("sum", x, **mean.attrs), constant(factor, node.dtype))


@rule("divide", floats=True)
def divided_by_power_of_two(node: Node) -> Node | None:
    """x / c = x * (1 / c), to the last bit, where c is a power of two."""
    x, c = given(node)
    value = number(c)
    if value is None or not value or abs(math.frexp(value)[0]) != 0.5:
        return None
    if not (normal(value, node.dtype) and normal(1.0 / value, node.dtype)):
        return None
    return make("multiply", x, np.divide(np.ones_like(c.attrs["value"]), c.attrs["value"]))


@rule("divide", floats=True)
def divided_by_root(node: Node) -> Node | None:
    """x / sqrt(v) = x * (1 / sqrt(v)), where the root is broadcast; so with sqrt(v) + c.

    A division costs several products. The reciprocal of a root neither overflows nor vanishes; with
    c above zero and normal so does that of the sum. It rounds once more.
    """
    x, root = given(node)
    sqrt = root
    if root.op == "add":
        for a, c in either_way(root):
            value = number(c)
            if a.op == "sqrt" and value is not None and 1e-30 < value < 1e30:
                sqrt = a
    if sqrt.op != "sqrt" or not smaller(root.spec, node.spec):
        return None
    return make("multiply", x, make("divide", constant(1.0, node.dtype), root))


@rule("power", floats=True)
def whole_power(node: Node) -> Node | None:
    """x ** 1 = x, x ** 2 = x * x, x ** 3 = x * x * x and x ** -1 = 1 / x."""
    x, exponent = given(node)
    value = number(exponent)
    if value not in (1, 2, 3, -1) or literal(x):
        return None
    if value == -1:
        return shaped(make("divide", constant(1.0, node.dtype), x), node.shape)
    made = x
    for _ in range(int(value) - 1):
        made = make("multiply", made, x)
    return shaped(made, node.shape)


@rule("power", floats=True)
def half_power(node: Node) -> Node | None:
    """x ** 0.5 = sqrt(x) and x ** -0.5 = 1 / sqrt(x), where x cannot be below zero.

    Of -inf the power is inf and the root NaN, and -0.0 differs as well.
    """
    x, exponent = given(node)
    value = number(exponent)
    if value not in (0.5, -0.5) or not nonnegative(x):
        return None
    root = make("sqrt", x)
    made = root if value == 0.5 else make("divide", constant(1.0, node.dtype), root)
    return shaped(made, node.shape)


@rule("where")
def branches_equal(node: Node) -> Node | None:
    """where(c, a, a) = a."""
    _, a, b = given(node)
    return shaped(a, node.shape) if a is b else None
