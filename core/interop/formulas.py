"""Operations as expressions of simpler ones, which every runtime has in every dtype."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...kernels.vectorized.operations import ERF_MIDDLE, ERF_SMALL, ratio
from ..graph.functions import ops
from ..graph.graph import Node, constant

ROOT_HALF = math.sqrt(0.5)
INNER, CUBIC = math.sqrt(2.0 / math.pi), 0.044715  # of GELU's tanh form
SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848


def log1p(x: Node) -> Node:
    """log(1 + x), near 0 as well: x log(u) / (u - 1) with u = 1 + x as rounded (W. Kahan)."""
    one, u = constant(1.0, x.dtype), x + 1.0
    rest = u - one
    near, far = ops.equal(rest, 0.0), ops.equal(rest, x)  # infinity is far
    logs = ops.log(u)
    between = logs * x / ops.where(near, one, rest)
    return ops.where(near, x, ops.where(far, logs, between))


def expm1(x: Node) -> Node:
    """exp(x) - 1, near 0 as well: 2 t / (1 - t) with t = tanh(x / 2)."""
    small = abs(x) < 1.0
    t = ops.where(small, ops.tanh(x * 0.5), 0.5)
    return ops.where(small, (t + t) / (1.0 - t), ops.exp(x) - 1.0)


def erf(x: Node) -> Node:
    """The error function by Cody's rational approximations, as in the operation's reference."""
    size = abs(x)
    near = ops.minimum(size, 0.5)
    small = near * ratio(near * near, *ERF_SMALL)
    far = ops.clip(size, low=0.46875, high=6.0)
    large = 1.0 - ops.exp(-far * far) * ratio(far, *ERF_MIDDLE)
    value = ops.sign(x) * ops.where(size <= 0.46875, small, large)
    return ops.where(ops.equal(size, size), value, x)


def gelu(x: Node) -> Node:
    """x Phi(x)."""
    return x * 0.5 * (ops.erf(x * ROOT_HALF) + 1.0)


def gelu_whole(x: Node) -> Node:
    """The same where the runtime has no error function."""
    return x * 0.5 * (erf(x * ROOT_HALF) + 1.0)


def gelu_tanh(x: Node) -> Node:
    """The tanh form of GELU."""
    return x * 0.5 * (ops.tanh((x + x * x * x * CUBIC) * INNER) + 1.0)


def silu(x: Node) -> Node:
    """x sigmoid(x)."""
    return x * ops.sigmoid(x)


def silu_whole(x: Node) -> Node:
    """The same in an expression that older runtimes do not take for an operator they lack."""
    return x / (ops.exp(-x) + 1.0)


def softplus(x: Node) -> Node:
    """log(1 + exp(x)), which cannot overflow."""
    return ops.maximum(x, 0.0) + log1p(ops.exp(-abs(x)))


def mish(x: Node) -> Node:
    """x tanh(softplus(x))."""
    return x * ops.tanh(ops.softplus(x))


def mish_whole(x: Node) -> Node:
    """The same where the runtime has no softplus."""
    return x * ops.tanh(softplus(x))


def elu(x: Node, alpha: float = 1.0) -> Node:
    """x above zero, alpha (exp(x) - 1) below."""
    return ops.where(x > 0.0, x, expm1(ops.minimum(x, 0.0)) * alpha)


def selu(x: Node) -> Node:
    """scale * x above zero, scale * alpha (exp(x) - 1) below."""
    low = expm1(ops.minimum(x, 0.0)) * (SELU_SCALE * SELU_ALPHA)
    return ops.where(x > 0.0, x * SELU_SCALE, low)


def leaky_relu(x: Node, alpha: float = 0.01) -> Node:
    """x above zero, alpha x below."""
    return ops.where(x > 0.0, x, x * alpha)


def hard_sigmoid(x: Node) -> Node:
    """x / 6 + 1 / 2 between 0 and 1."""
    return ops.clip((x + 3.0) / 6.0, low=0.0, high=1.0)


def hard_swish(x: Node) -> Node:
    """x hard_sigmoid(x)."""
    return x * hard_sigmoid(x)


def softsign(x: Node) -> Node:
    """x / (1 + |x|)."""
    return x / (abs(x) + 1.0)


ALWAYS: dict[str, Callable[..., Node]] = {  # no operator of the set that is written
    "log1p": log1p, "expm1": expm1, "silu": silu, "gelu_tanh": gelu_tanh,
}  # fmt: skip
SINGLE: dict[str, Callable[..., Node]] = {**ALWAYS, "gelu": gelu, "mish": mish}
DOUBLE: dict[str, Callable[..., Node]] = {  # float64, for which runtimes have fewer operators
    **ALWAYS, "silu": silu_whole, "erf": erf, "gelu": gelu_whole, "mish": mish_whole,
    "softplus": softplus, "elu": elu, "selu": selu, "leaky_relu": leaky_relu,
    "hard_sigmoid": hard_sigmoid, "hard_swish": hard_swish, "softsign": softsign,
}  # fmt: skip
