"""Derivatives of operations, as graphs: one rule each for all that have one.

A rule takes the node, the gradients of its outputs (None where none arrives) and which inputs need
one, and returns a gradient or None per input. At the edges it is what torch gives, except where
`tests/core/test_edges.py` says otherwise. Those of losses are in `loss_derivatives.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from ...kernels.errors import NotDifferentiable
from ...kernels.ops import ACTIVATIONS, OPS
from ...kernels.spec import FLOATS, Shape
from .graph import Node, constant, make, outputs

Gradient = Node | None
Rule = Callable[[Node, Sequence[Gradient], Sequence[bool]], Iterable[Gradient]]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers the rule of one operation or several."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def sum_to(gradient: Node, shape: Shape) -> Node:
    """The gradient summed over the axes along which `shape` was broadcast."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    summed = tuple(range(extra)) + tuple(
        i + extra for i, d in enumerate(shape) if d == 1 and gradient.shape[i + extra] != 1
    )
    total = make("sum", gradient, axis=summed, keepdims=True) if summed else gradient
    return total if total.shape == shape else make("reshape", total, shape=shape)


def is_one(gradient: Node) -> bool:
    """Whether a gradient is the constant one, broadcast or not."""
    if gradient.op == "broadcast_to" and gradient.inputs[0] is not None:
        return is_one(gradient.inputs[0])
    return gradient.op == "constant" and bool((gradient.attrs["value"] == 1).all())


def scaled(base: Node, gradient: Node) -> Node:
    """base * gradient, without the product where the gradient is one."""
    return base if is_one(gradient) else make("multiply", base, gradient)


def first(gradients: Sequence[Gradient]) -> Node:
    """The gradient of an operation's only output."""
    assert gradients[0] is not None
    return gradients[0]


def inputs(node: Node) -> list[Node]:
    """The inputs that are given."""
    return [n for n in node.inputs if n is not None]


def chosen(condition: Node, gradient: Node) -> Node:
    """The gradient where the condition holds, else 0: an infinite one too, which times 0 is NaN."""
    return make("where", condition, gradient, constant(0.0, gradient.dtype))


def one(x: Node) -> Node:
    """The number 1 in a node's dtype, of shape ()."""
    return constant(1.0, x.dtype)


# Products


@rule("matmul")
def _matmul(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    g, (a, b) = first(gradients), inputs(node)
    ta, tb = node.attrs["transpose_a"], node.attrs["transpose_b"]
    da = db = None
    if needs[0]:
        da = (
            make("matmul", b, g, transpose_a=tb, transpose_b=True)
            if ta
            else make("matmul", g, b, transpose_b=not tb)
        )
        da = sum_to(da, a.shape)
    if needs[1]:
        db = (
            make("matmul", g, a, transpose_a=True, transpose_b=ta)
            if tb
            else make("matmul", a, g, transpose_a=not ta)
        )
        db = sum_to(db, b.shape)
    return [da, db]


@rule("dense")
def _dense(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    x, weight, *_ = node.inputs
    linear = node.attrs["activation"] == "linear"
    bias = len(needs) > 2 and node.inputs[2] is not None
    arguments = (first(gradients), x, weight) if linear else (first(gradients), x, weight, node)
    made = outputs(
        make(
            "dense_backward", *arguments,
            activation=node.attrs["activation"], alpha=node.attrs["alpha"],
            bias=bias, input=bool(needs[0]),
        )
    )  # fmt: skip
    return [made[-1] if needs[0] else None, made[0], made[1] if bias else None][: len(needs)]


# Elementwise arithmetic


@rule("add", "subtract", "multiply", "divide")
def _binary(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    g, (a, b) = first(gradients), inputs(node)
    if node.op == "multiply" and a is b:
        return [a * (g * 2.0), None]  # one product instead of two and their sum

    def left() -> Node:
        if node.op in ("add", "subtract"):
            return g
        if node.op == "multiply":
            return scaled(b, g)
        return make("divide", g, b)

    def right() -> Node:
        if node.op == "add":
            return g
        if node.op == "subtract":
            return -g
        if node.op == "multiply":
            return scaled(a, g)
        return -(g * node) / b

    return [
        sum_to(spread(left(), node.shape), a.shape) if needs[0] else None,
        sum_to(spread(right(), node.shape), b.shape) if needs[1] else None,
    ]


@rule("maximum", "minimum")
def _extreme(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    """The larger (or smaller) input has the gradient, each of two equal ones a half of it."""
    (a, b), half = inputs(node), first(gradients) * 0.5
    orders = ("greater", "greater_equal") if node.op == "maximum" else ("less", "less_equal")

    def share(mine: Node, other: Node) -> Node:
        # relu_backward chooses as `where` does, and has a native step, which `where` has not.
        beyond = (make("cast", make(o, mine, other), dtype=half.dtype) for o in orders)
        strictly, tied = (make("relu_backward", half, mask) for mask in beyond)
        return sum_to(strictly + tied, mine.shape)

    return [share(a, b) if needs[0] else None, share(b, a) if needs[1] else None]


@rule("power")
def _power(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    """b a**(b - 1) and a**b log(a); both 0 where a**0 and 0**b are constant."""
    g, (a, b) = first(gradients), inputs(node)
    da = db = None
    if needs[0]:
        da = g * b * make("power", a, b - 1.0)
        if not nowhere_zero(b):
            da = chosen(make("not_equal", b, 0.0), da)
        da = sum_to(da, a.shape)
    if needs[1]:
        db = g * node * make("log", a)
        if not nowhere_zero(a):
            base = make("where", b >= 0.0, a, one(a))  # 0 where a**b stays as b moves
            db = chosen(make("not_equal", base, 0.0), db)
        db = sum_to(db, b.shape)
    return [da, db]


def nowhere_zero(x: Node) -> bool:
    """Whether a node is a constant without a zero."""
    return x.op == "constant" and bool(x.attrs["value"].all())


def spread(gradient: Node, shape: Shape) -> Node:
    """The gradient at the full shape of the node that it belongs to."""
    return gradient if gradient.shape == shape else make("broadcast_to", gradient, shape=shape)


def _unary(name: str, derivative: Callable[[Node, Node, Node], Node]) -> None:
    """Registers a rule from (gradient, input, output) -> gradient of the input."""

    def apply(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
        return [derivative(first(gradients), inputs(node)[0], node)]

    apply.__wrapped__ = derivative  # type: ignore[attr-defined]  # where a reader finds the rule
    RULES[name] = apply


_unary("negative", lambda g, x, y: -g)
_unary("exp", lambda g, x, y: g * y)
_unary("log", lambda g, x, y: g / x)
_unary("log1p", lambda g, x, y: g / (x + 1.0))
_unary("expm1", lambda g, x, y: g * (y + 1.0))
_unary("sqrt", lambda g, x, y: g * 0.5 / y)
_unary("abs", lambda g, x, y: g * make("sign", x))
_unary("erf", lambda g, x, y: g * (2.0 / math.sqrt(math.pi)) * make("exp", -(x * x)))


def _activation(g: Node, x: Node, y: Node) -> Node:
    """Of each activation, by `_unary` below: `NAME_backward`, at the value that its row names."""
    return make(f"{y.op}_backward", g, x if OPS[y.op].derivative == "x" else y, **y.attrs)


for _name in ACTIVATIONS:
    _unary(_name, _activation)


@rule("clip")
def _clip(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    (x,) = inputs(node)
    if node.attrs["low"] > node.attrs["high"]:
        return [None]  # every element becomes `high`
    return [chosen(make("equal", x, node), first(gradients))]


@rule("where")
def _where(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    g, (condition, a, b) = first(gradients), inputs(node)
    zero = constant(0.0, g.dtype)
    da = sum_to(make("where", condition, g, zero), a.shape) if needs[1] else None
    db = sum_to(make("where", condition, zero, g), b.shape) if needs[2] else None
    return [None, da, db]


# Reductions and shapes


def _kept(node: Node, reduced: Node) -> Node:
    """A reduction's output or gradient with the reduced axes back as ones."""
    x = inputs(node)[0]
    axis = node.attrs["axis"]
    at = range(x.ndim) if axis is None else [a % x.ndim for a in axis]
    shape = tuple(1 if i in at else d for i, d in enumerate(x.shape))
    return reduced if reduced.shape == shape else make("reshape", reduced, shape=shape)


@rule("sum")
def _sum(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    (x,) = inputs(node)
    return [make("broadcast_to", _kept(node, first(gradients)), shape=x.shape)]


@rule("mean")
def _mean(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    (x,) = inputs(node)
    g = make("broadcast_to", _kept(node, first(gradients)), shape=x.shape)
    # The number of elements averaged may be the batch's: let the device count it.
    averaged = _kept(node, node).shape
    counted = tuple(1 if d == k else d for d, k in zip(x.shape, averaged, strict=True))
    ones = make("broadcast_to", one(x), shape=counted)
    count = make("sum", ones, axis=node.attrs["axis"], keepdims=True)
    return [g / count]


@rule("max")
def _max(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    (x,) = inputs(node)
    hits = make("cast", make("equal", x, _kept(node, node)), dtype=x.dtype)
    share = hits / make("sum", hits, axis=node.attrs["axis"], keepdims=True)
    return [_kept(node, first(gradients)) * share]


@rule("transpose")
def _transpose(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    axes = node.attrs["axes"]
    return [make("transpose", first(gradients), axes=tuple(map(axes.index, range(len(axes)))))]


@rule("reshape")
def _reshape(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    return [make("reshape", first(gradients), shape=inputs(node)[0].shape)]


@rule("broadcast_to")
def _broadcast(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    return [sum_to(first(gradients), inputs(node)[0].shape)]


@rule("slice")
def _slice(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    return [make("unslice", first(gradients), shape=inputs(node)[0].shape, **node.attrs)]


@rule("unslice")
def _unslice(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    cut = {name: value for name, value in node.attrs.items() if name != "shape"}
    return [make("slice", first(gradients), **cut)]


@rule("concatenate")
def _concat(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    g, (a, b) = first(gradients), inputs(node)
    axis = node.attrs["axis"] % a.ndim
    left, right = a.shape[axis], b.shape[axis]
    if not isinstance(left, int) or not isinstance(right, int):
        raise NotDifferentiable("[concatenate] along the batch axis has no derivative")

    def part(start: int, stop: int) -> Node:
        starts = tuple(start if i == axis else 0 for i in range(g.ndim))
        stops = tuple(stop if i == axis else d for i, d in enumerate(g.shape))
        return make("slice", g, starts=starts, stops=stops, steps=(1,) * g.ndim)

    return [part(0, left) if needs[0] else None, part(left, left + right) if needs[1] else None]


@rule("cast")
def _cast(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    x = inputs(node)[0]
    if x.dtype not in FLOATS or node.dtype not in FLOATS:
        return [None]
    return [make("cast", first(gradients), dtype=x.dtype)]


@rule("gather_rows")
def _gather(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    x, indices = inputs(node)
    return [make("scatter_rows", first(gradients), indices, rows=x.shape[0]), None]


@rule("scatter_rows")
def _scatter(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    return [make("gather_rows", first(gradients), inputs(node)[1]), None]


@rule("pick")
def _pick(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    x, labels = inputs(node)
    return [chosen(one_hot(labels, x), first(gradients)), None]


def one_hot(labels: Node, x: Node) -> Node:
    """Where the label of each row stands."""
    return make("one_hot", labels, classes=x.shape[-1], dtype="bool")
