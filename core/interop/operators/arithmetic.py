"""Operators on single elements, products of matrices, and running sums."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from ....kernels.spec import FLOATS
from ...graph.graph import Node, constant, make
from ..values import (
    Call,
    cast,
    cut,
    integral,
    operator,
    real,
    reshape,
    transpose,
)
from .rounding import quotient


def _refuse_old_broadcast(call: Call) -> None:
    if call.attr("broadcast") and call.attr("axis") is not None:
        raise call.refuse("broadcasting along an axis, from before operator set 7, is not known")


def _pairwise(op: str) -> Any:
    def apply(call: Call) -> Node:
        _refuse_old_broadcast(call)
        return make(op, call.node(0), call.node(1))

    return apply


for _name, _op in (
    ("Add", "add"), ("Sub", "subtract"), ("Mul", "multiply"), ("Equal", "equal"),
    ("Less", "less"), ("LessOrEqual", "less_equal"), ("Greater", "greater"),
    ("GreaterOrEqual", "greater_equal"), ("Xor", "not_equal"),
):  # fmt: skip
    operator(_name)(_pairwise(_op))


@operator("Div")
def _div(call: Call) -> Node:
    _refuse_old_broadcast(call)
    a, b = call.node(0), call.node(1)
    return quotient(call, a, b) if integral(a.dtype) else make("divide", a, b)


@operator("And", "Or")
def _logical(call: Call) -> Node:
    _refuse_old_broadcast(call)
    a, b = call.node(0), call.node(1)
    if a.dtype != "bool" or b.dtype != "bool":
        raise call.refuse("takes booleans")
    fixed = constant(np.asarray(call.proto.op_type == "Or"))
    pair = (b, fixed) if call.proto.op_type == "And" else (fixed, b)
    return make("where", a, *pair)


@operator("Not")
def _not(call: Call) -> Node:
    return make("equal", call.node(0), constant(np.asarray(False)))


def _folded(op: str) -> Any:
    def apply(call: Call) -> Node:
        return reduce(lambda a, b: make(op, a, b), call.nodes())

    return apply


operator("Sum")(_folded("add"))
operator("Max")(_folded("maximum"))
operator("Min")(_folded("minimum"))


@operator("Mean")
def _mean(call: Call) -> Node:
    found = call.nodes()
    return reduce(lambda a, b: make("add", a, b), found) * (1.0 / len(found))


@operator("Where")
def _where(call: Call) -> Node:
    return make("where", *call.nodes())


@operator("Pow")
def _pow(call: Call) -> Node:
    x, exponent = call.node(0), call.node(1)
    if integral(x.dtype):
        return _whole_power(call, x, call.host(1))
    known = exponent.attrs["value"] if exponent.op == "constant" else np.zeros(2)
    if known.size == 1 and known.item() == 2.0 and exponent.ndim <= x.ndim:
        return x * x
    return make("power", x, cast(exponent, x.dtype))


def _whole_power(call: Call, x: Node, exponent: np.ndarray) -> Node:
    """Whole numbers to known powers, exactly: by squaring."""
    if (exponent < 0).any() or (exponent != np.trunc(exponent)).any() or (exponent > 63).any():
        raise call.refuse("whole numbers are raised to whole powers from 0 to 63")
    powers, result, square = exponent.astype(np.int64), None, x
    for bit in range(int(powers.max(initial=0)).bit_length() or 1):
        chosen = constant((powers >> bit & 1).astype(bool))
        factor = make("where", chosen, square, call.like(x, 1))
        result = factor if result is None else result * factor
        square = square * square
    assert result is not None
    return result


@operator("Neg")
def _neg(call: Call) -> Node:
    return -call.node(0)


@operator("Reciprocal")
def _reciprocal(call: Call) -> Node:
    return 1.0 / call.node(0)


@operator("IsNaN")
def _is_nan(call: Call) -> Node:
    x = call.node(0)
    return make("not_equal", x, x)


@operator("IsInf")
def _is_inf(call: Call) -> Node:
    x = call.node(0)
    both = call.attr("detect_negative", 1), call.attr("detect_positive", 1)
    if both == (1, 1):
        return make("equal", abs(x), call.like(x, np.inf))
    if both == (0, 0):
        return make("less", abs(x), call.like(x, -1))  # nowhere
    return make("equal", x, call.like(x, np.inf if both[1] else -np.inf))


def _unary(op: str, **attrs: Any) -> Any:
    return lambda call: make(op, call.node(0), **attrs)


for _name, _op in (
    ("Abs", "abs"), ("Sign", "sign"), ("Exp", "exp"), ("Log", "log"), ("Sqrt", "sqrt"),
    ("Erf", "erf"), ("Sigmoid", "sigmoid"), ("Tanh", "tanh"), ("Softplus", "softplus"),
    ("Softsign", "softsign"), ("Mish", "mish"), ("HardSwish", "hard_swish"),
):  # fmt: skip
    operator(_name)(_unary(_op))


@operator("Sinh")
def _sinh(call: Call) -> Node:
    e = make("expm1", call.node(0))
    return 0.5 * (e + e / (e + 1.0))


@operator("Cosh")
def _cosh(call: Call) -> Node:
    x = call.node(0)
    return 0.5 * (make("exp", x) + make("exp", -x))


@operator("Asinh")
def _asinh(call: Call) -> Node:
    x = call.node(0)
    size = abs(x)
    root = make("sqrt", 1.0 + size * size)
    return make("sign", x) * make("log1p", size + size * size / (1.0 + root))


@operator("Acosh")
def _acosh(call: Call) -> Node:
    x = call.node(0)
    return make("log", x + make("sqrt", (x - 1.0) * (x + 1.0)))


@operator("Atanh")
def _atanh(call: Call) -> Node:
    x = call.node(0)
    return 0.5 * (make("log1p", x) - make("log1p", -x))


# Products


@operator("MatMul")
def _matmul(call: Call) -> Node:
    return product(call, call.node(0), call.node(1))


def product(call: Call, a: Node, b: Node) -> Node:
    """a @ b as in NumPy, vectors among them; whole numbers are refused."""
    if a.dtype not in FLOATS or not a.ndim or not b.ndim:
        raise call.refuse("multiplies matrices of floating numbers")
    left, right = a.ndim == 1, b.ndim == 1
    a = reshape(a, (1, *a.shape)) if left else a
    b = reshape(b, (*b.shape, 1)) if right else b
    made = make("matmul", a, b)
    shape = list(made.shape)
    if right:
        shape.pop()
    if left:
        shape.pop(-1 if right else -2)
    return reshape(made, shape)


def _matrix(call: Call, index: int, flag: str) -> Node:
    """A matrix, transposed where an attribute says so; one that is known on the host, once."""
    given = call.tensor(index)
    if call.attr(flag, 0) and given.host is not None and given.host.ndim == 2:
        return call.constant(np.ascontiguousarray(given.host.T))
    x = call.node(index)
    if x.ndim != 2 or not real(x.dtype):
        raise call.refuse(f"multiplies matrices of floating numbers, not {x.spec}")
    return transpose(x, (1, 0)) if call.attr(flag, 0) else x


@operator("Gemm")
def _gemm(call: Call) -> Node:
    a, b = _matrix(call, 0, "transA"), _matrix(call, 1, "transB")
    made = make("matmul", a, b)
    alpha, beta = float(call.attr("alpha", 1.0)), float(call.attr("beta", 1.0))
    made = made if alpha == 1.0 else made * alpha
    if not call.has(2) or beta == 0.0:
        return made
    bias = call.node(2)
    return make("add", made, bias if beta == 1.0 else bias * beta)


@operator("CumSum", "CumProd")
def _cumulative(call: Call) -> Node:
    x = call.node(0)
    axis = call.axis(x.ndim, int(call.number(1)))
    length = x.shape[axis]
    adds = call.proto.op_type == "CumSum"
    if not isinstance(length, int):
        raise call.refuse("does not go along the rows of a batch")
    backwards, exclusive = call.attr("reverse", 0), call.attr("exclusive", 0)

    def shifted(node: Node, by: int) -> Node:
        """The node `by` places on, the neutral number in what is left free."""
        left, right = (0, length - by) if backwards else (by, length)
        part = cut(node, axis, by, length) if backwards else cut(node, axis, 0, length - by)
        starts, stops = [0] * node.ndim, list(node.shape)
        starts[axis], stops[axis] = left, right
        attrs = {"starts": tuple(starts), "stops": tuple(stops), "steps": (1,) * node.ndim}
        moved_on = make("unslice", part, shape=node.shape, **attrs)
        if adds:
            return moved_on
        fill = np.ones([1 if a != axis else length for a in range(node.ndim)])
        inside = [slice(None)] * node.ndim
        inside[axis] = slice(left, right)
        fill[tuple(inside)] = 0.0
        return moved_on + constant(fill, node.dtype)

    step = 1
    while step < length:
        other = shifted(x, step)
        x = x + other if adds else x * other
        step *= 2
    return shifted(x, 1) if exclusive and length else x
