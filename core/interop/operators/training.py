"""Steps of optimizers, and gradients of a part of the graph (ai.onnx.preview.training)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ....kernels.spec import FLOATS
from ...graph.gradients import differentiate
from ...graph.graph import Node, make
from ..values import TRAINING, Call, cast, operator


def _groups(call: Call, slots: int) -> tuple[Node, Node, list[Sequence[Node]]]:
    """The rate, the step, and (parameter, gradient, slots ...) of each tensor."""
    rate, step, rest = call.node(0), call.node(1), call.nodes()[2:]
    parts = 2 + slots
    if not rest or len(rest) % parts:
        raise call.refuse(f"takes {parts} inputs for each tensor")
    count = len(rest) // parts
    return rate, step, [rest[i::count] for i in range(count)]


def _listed(found: Sequence[Sequence[Node]]) -> list[Node]:
    """All parameters, then all first slots, and so on."""
    return [each for group in zip(*found, strict=True) for each in group]


def _decayed(call: Call, x: Node, gradient: Node, name: str = "norm_coefficient") -> Node:
    coefficient = float(call.attr(name, 0.0))
    return gradient + x * coefficient if coefficient else gradient


def _each(call: Call, slots: int, step: Callable[..., Sequence[Node]]) -> list[Node]:
    rate, count, groups = _groups(call, slots)
    return _listed([step(rate, count, *group) for group in groups])


@operator("Adagrad", domain=TRAINING)
def _adagrad(call: Call) -> list[Node]:
    decay, epsilon = float(call.attr("decay_factor", 0.0)), float(call.attr("epsilon", 1e-6))

    def step(rate: Node, count: Node, x: Node, gradient: Node, square: Node) -> Sequence[Node]:
        gradient = _decayed(call, x, gradient)
        now = rate / (1.0 + cast(count, rate.dtype) * decay)
        square = square + gradient * gradient
        return x - now * gradient / (make("sqrt", square) + epsilon), square

    return _each(call, 1, step)


@operator("Momentum", domain=TRAINING)
def _momentum(call: Call) -> list[Node]:
    alpha, beta = float(call.attr("alpha", 0.0)), float(call.attr("beta", 0.0))
    nesterov = call.attr("mode", "standard") == "nesterov"

    def step(rate: Node, count: Node, x: Node, gradient: Node, velocity: Node) -> Sequence[Node]:
        gradient = _decayed(call, x, gradient)
        first = make("equal", count, 0)
        share = make("where", first, call.like(x, 1.0), call.like(x, beta))
        velocity = velocity * alpha + gradient * share
        taken = gradient + velocity * alpha if nesterov else velocity
        return x - rate * taken, velocity

    return _each(call, 1, step)


@operator("Adam", domain=TRAINING)
def _adam(call: Call) -> list[Node]:
    alpha, beta = float(call.attr("alpha", 0.9)), float(call.attr("beta", 0.999))
    epsilon = float(call.attr("epsilon", 1e-6))

    def step(
        rate: Node, count: Node, x: Node, gradient: Node, mean: Node, square: Node
    ) -> Sequence[Node]:
        gradient = _decayed(call, x, gradient)
        mean = mean * alpha + gradient * (1.0 - alpha)
        square = square * beta + gradient * gradient * (1.0 - beta)
        steps = cast(count, rate.dtype)
        unbiased = rate * make("sqrt", 1.0 - make("power", call.like(rate, beta), steps))
        unbiased = unbiased / (1.0 - make("power", call.like(rate, alpha), steps))
        now = make("where", make("greater", count, 0), unbiased, rate)
        x = x - now * mean / (make("sqrt", square) + epsilon)
        return _decayed_after(call, x), mean, square

    return _each(call, 2, step)


def _decayed_after(call: Call, x: Node) -> Node:
    coefficient = float(call.attr("norm_coefficient_post", 0.0))
    return x * (1.0 - coefficient) if coefficient else x


@operator("Gradient", domain=TRAINING)
def _gradient(call: Call) -> list[Node]:
    wanted, fixed = list(call.attr("xs", ())), list(call.attr("zs", ()))
    y = call.lookup(str(call.attr("y", ""))).node
    leaves = [call.lookup(str(name)).node for name in [*wanted, *fixed]]
    if [call.tensor(i).node for i in range(len(call.inputs))] != leaves:
        raise call.refuse("takes the gradient at other values than those of the graph")
    if y is None or y.dtype not in FLOATS or any(n is None for n in leaves):
        raise call.refuse("y and xs must be floating numbers that the graph computes")
    found = [n for n in leaves[: len(wanted)] if n is not None]
    whole = make("sum", y, axis=None, keepdims=False) if y.ndim else y
    made = differentiate(whole, found)
    return [
        make("broadcast_to", call.like(n, 0.0), shape=n.shape) if g is None else g
        for n, g in zip(found, made, strict=True)
    ]
