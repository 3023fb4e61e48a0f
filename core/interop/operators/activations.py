"""Activations, with the settings that ONNX gives them."""

from __future__ import annotations

from typing import Any

from ...graph.graph import Node, make
from ..values import Call, empty, moved, operator, real, reshape, size_of

SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805


@operator("Relu")
def _relu(call: Call) -> Node:
    x = call.node(0)
    return make("relu", x) if real(x.dtype) else make("maximum", x, call.like(x, 0))


@operator("LeakyRelu")
def _leaky_relu(call: Call) -> Node:
    x, alpha = call.node(0), float(call.attr("alpha", 0.01))
    if alpha > 0:
        return make("leaky_relu", x, alpha=alpha)
    return make("where", x < 0.0, x * alpha, x)


@operator("PRelu")
def _prelu(call: Call) -> Node:
    x, slope = call.node(0), call.node(1)
    return make("where", make("less", x, call.like(x, 0)), x * slope, x)


@operator("ThresholdedRelu")
def _thresholded_relu(call: Call) -> Node:
    x = call.node(0)
    return make("where", x > float(call.attr("alpha", 1.0)), x, call.like(x, 0))


@operator("Elu")
def _elu(call: Call) -> Node:
    return _exponential(call.node(0), float(call.attr("alpha", 1.0)))


def _exponential(x: Node, alpha: float) -> Node:
    """x above zero, alpha (exp(x) - 1) below."""
    if alpha > 0:
        return make("elu", x, alpha=alpha)
    return make("where", x < 0.0, make("expm1", make("minimum", x, 0.0)) * alpha, x)


@operator("Celu")
def _celu(call: Call) -> Node:
    x, alpha = call.node(0), float(call.attr("alpha", 1.0))
    below = make("expm1", make("minimum", x * (1.0 / alpha), 0.0)) * alpha
    return make("maximum", x, 0.0) + below


@operator("Selu")
def _selu(call: Call) -> Node:
    x = call.node(0)
    alpha = float(call.attr("alpha", SELU_ALPHA))
    gamma = float(call.attr("gamma", SELU_GAMMA))
    if abs(alpha - SELU_ALPHA) < 1e-6 and abs(gamma - SELU_GAMMA) < 1e-6:
        return make("selu", x)
    return _exponential(x, alpha) * gamma


@operator("HardSigmoid")
def _hard_sigmoid(call: Call) -> Node:
    x, alpha, beta = call.node(0), float(call.attr("alpha", 0.2)), float(call.attr("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return make("hard_sigmoid", x)
    return make("clip", x * alpha + beta, low=0.0, high=1.0)


@operator("Gelu")
def _gelu(call: Call) -> Node:
    kind = call.attr("approximate", "none")
    return make("gelu_tanh" if kind == "tanh" else "gelu", call.node(0))


@operator("Swish")
def _swish(call: Call) -> Node:
    x, alpha = call.node(0), float(call.attr("alpha", 1.0))
    return make("silu", x) if alpha == 1.0 else x * make("sigmoid", x * alpha)


@operator("Shrink")
def _shrink(call: Call) -> Node:
    x, bias, lambd = call.node(0), call.attr("bias", 0.0), float(call.attr("lambd", 0.5))
    if not real(x.dtype):
        raise call.refuse("takes floating numbers")
    inner = make("where", x > lambd, x - float(bias), call.like(x, 0))
    return make("where", x < -lambd, x + float(bias), inner)


@operator("Clip")
def _clip(call: Call) -> Node:
    x = call.node(0)
    ends = [_limit(call, x, name, at) for at, name in enumerate(("min", "max"), 1)]
    low, high = (_number(end) for end in ends)
    if real(x.dtype) and low is not None and high is not None and low <= high:
        return make("clip", x, low=low, high=high)
    for end, op in zip(ends, ("maximum", "minimum"), strict=True):
        x = x if end is None else make(op, x, end)
    return x


def _number(end: Node | None) -> float | None:
    """A limit that is one number, and known."""
    if end is None or end.op != "constant" or end.ndim:
        return None
    return float(end.attrs["value"])


def _limit(call: Call, x: Node, name: str, at: int) -> Node | None:
    """One end of a range, from an input or, as it was before operator set 11, an attribute."""
    if call.has(at):
        return call.node(at)
    given = call.attr(name)
    return None if given is None else call.like(x, given)


@operator("Softmax", "LogSoftmax", "Hardmax")
def _along(call: Call) -> Node:
    x = call.node(0)
    axis = call.axis(x.ndim, call.attr("axis", -1 if call.version >= 13 else 1))
    apply = {"Softmax": _row("softmax"), "LogSoftmax": _row("log_softmax"), "Hardmax": _hardmax}
    function = apply[call.proto.op_type]
    if empty(x.shape):
        return x
    if call.version < 13:  # all axes from this one on are one
        whole = reshape(x, (*x.shape[:axis], size_of(x.shape, range(axis, x.ndim))))
        return reshape(function(whole), x.shape)
    last = x.ndim - 1
    return moved(function(moved(x, axis, last)), last, axis)


def _row(op: str) -> Any:
    return lambda x: make(op, x)


def _hardmax(x: Node) -> Node:
    place = make("argmax", x, axis=-1, keepdims=True)
    return make("one_hot", place, classes=x.shape[-1], dtype=x.dtype)
