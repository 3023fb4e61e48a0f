"""Functions of the table in a user's own spelling.

Each is the same function, and not merely near it: where it differs, the spelling overflowed or lost
what the function keeps, and its docstring says where.
"""

from __future__ import annotations

from collections.abc import Iterator

from .graph import Node, make
from .rewriting import either_way, given, is_number, last_axis, rule, shaped


def _from_largest(x: Node) -> Node | None:
    """z of z - max(z) along the last axis."""
    if x.op != "subtract":
        return None
    z, largest = given(x)
    same = largest.op == "max" and largest.inputs[0] is z and last_axis(largest)
    return z if same else None


def _row_sum(x: Node) -> Node | None:
    """What is summed along the last axis."""
    return x.inputs[0] if x.op == "sum" and last_axis(x) else None


@rule("divide", floats=True)
def softmax_spelled(node: Node) -> Node | None:
    """exp(z - max(z)) / sum(exp(z - max(z))) = softmax(z), along the last axis."""
    e, total = given(node)
    if e.op != "exp" or _row_sum(total) is not e:
        return None
    z = _from_largest(given(e)[0])
    return None if z is None else make("softmax", z)


@rule("subtract", floats=True)
def log_softmax_spelled(node: Node) -> Node | None:
    """z - max(z) - log(sum(exp(z - max(z)))) = log_softmax(z), along the last axis."""
    shifted, log = given(node)
    z = _from_largest(shifted)
    if z is None or log.op != "log":
        return None
    e = _row_sum(given(log)[0])
    same = e is not None and e.op == "exp" and e.inputs[0] is shifted
    return make("log_softmax", z) if same else None


@rule("log", floats=True)
def logarithm_of_softmax(node: Node) -> Node | None:
    """log(softmax(z)) = log_softmax(z), which is finite where the probability vanished."""
    p = given(node)[0]
    return make("log_softmax", *p.inputs) if p.op == "softmax" else None


@rule("log", floats=True)
def logarithm_of_picked(node: Node) -> Node | None:
    """log(pick(softmax(z), k)) = pick(log_softmax(z), k), finite where the probability vanished."""
    x = given(node)[0]
    if x.op != "pick":
        return None
    p, labels = given(x)
    return make("pick", make("log_softmax", *p.inputs), labels) if p.op == "softmax" else None


@rule("divide", floats=True)
def sigmoid_spelled(node: Node) -> Node | None:
    """a / (1 + exp(-z)) = a sigmoid(z), whose derivative is finite where exp overflows."""
    a, total = given(node)
    for z in _above_one(total):
        sigmoid = make("sigmoid", make("negative", z))
        whole = sigmoid if is_number(a, 1) else make("multiply", a, sigmoid)
        return shaped(whole, node.shape)
    return None


def _above_one(x: Node) -> Iterator[Node]:
    """z of 1 + exp(z)."""
    for one, e in either_way(x) if x.op == "add" else ():
        if is_number(one, 1) and e.op == "exp" and e.shape == x.shape:
            yield given(e)[0]


@rule("log", floats=True)
def softplus_spelled(node: Node) -> Node | None:
    """log(1 + exp(z)) = softplus(z), which does not overflow and keeps what is far below one."""
    return next((make("softplus", z) for z in _above_one(given(node)[0])), None)


@rule("log1p", floats=True)
def softplus_of_exponential(node: Node) -> Node | None:
    """log1p(exp(z)) = softplus(z), which does not overflow."""
    e = given(node)[0]
    return make("softplus", *e.inputs) if e.op == "exp" else None


@rule("multiply", floats=True, alone=("sigmoid",))
def silu_spelled(node: Node) -> Node | None:
    """z sigmoid(z) = silu(z)."""
    for z, gate in either_way(node):
        if gate.op == "sigmoid" and gate.inputs[0] is z:
            return make("silu", z)
    return None


@rule("multiply", floats=True, alone=("tanh",))
def mish_spelled(node: Node) -> Node | None:
    """z tanh(softplus(z)) = mish(z)."""
    for z, gate in either_way(node):
        inner = given(gate)[0] if gate.op == "tanh" else None
        if inner is not None and inner.op == "softplus" and inner.inputs[0] is z:
            return make("mish", z)
    return None


@rule("log", floats=True)
def logarithm_of_sigmoid(node: Node) -> Node | None:
    """log(sigmoid(z)) = -softplus(-z), which is finite where the probability vanished."""
    p = given(node)[0]
    if p.op != "sigmoid":
        return None
    return make("negative", make("softplus", make("negative", *p.inputs)))


@rule("log", "log1p", floats=True)
def logarithm_of_rest(node: Node) -> Node | None:
    """log(1 - sigmoid(z)) = -softplus(z), which is finite where the probability is one."""
    x = given(node)[0]
    if node.op == "log1p" and x.op == "negative":
        p = given(x)[0]
    elif node.op == "log" and x.op == "subtract" and is_number(given(x)[0], 1):
        p = given(x)[1]
    else:
        return None
    if p.op != "sigmoid" or p.shape != node.shape:
        return None
    return make("negative", make("softplus", *p.inputs))


@rule("multiply", floats=True, alone=("cross_entropy", "binary_cross_entropy"))
def loss_weighted(node: Node) -> Node | None:
    """loss(p, y) * w = loss(p, y, w) for a loss by row without weights, and one weight a row."""
    for loss, weights in either_way(node):
        known = loss.op in ("cross_entropy", "binary_cross_entropy")
        if known and len(given(loss)) == 2 and weights.spec == loss.spec == node.spec:
            return make(loss.op, *loss.inputs, weights)
    return None
