"""Losses of class numbers, with weights, numbers to ignore, and reductions."""

from __future__ import annotations

from ...graph.graph import Node, make
from ..values import Call, cast, expand, moved, operator, reshape, taken


@operator("NegativeLogLikelihoodLoss")
def _negative_log_likelihood(call: Call) -> Node:
    return _picked(call, call.node(0))


@operator("SoftmaxCrossEntropyLoss")
def _softmax_cross_entropy(call: Call) -> list[Node]:
    scores = call.node(0)
    last = scores.ndim - 1
    logs = moved(make("log_softmax", moved(scores, 1, last)), last, 1)
    return [_picked(call, logs), logs]


def _picked(call: Call, logs: Node) -> Node:
    """-weight[t] * logs[t] at each target t, ignored ones left out, and reduced."""
    targets, reduction = call.node(1), call.attr("reduction", "mean")
    ignored = call.attr("ignore_index")
    rows = moved(logs, 1, logs.ndim - 1)
    classes = rows.shape[-1]
    counted = None
    if ignored is not None:
        counted = make("not_equal", targets, int(ignored))
        targets = make("where", counted, targets, 0)
    targets = cast(targets, "int32")
    labels = reshape(targets, (*targets.shape, 1))
    loss = -reshape(make("pick", rows, labels), targets.shape)
    weights: Node | None = None
    if call.has(2):
        weight = call.node(2)
        if weight.shape != (classes,):
            raise call.refuse(f"needs one weight a class: {weight.spec} for {classes} classes")
        weights = taken(weight, targets, 0)
    if counted is not None:
        shares = cast(counted, loss.dtype)
        weights = shares if weights is None else weights * shares
    if weights is not None:
        loss = loss * weights
    if reduction == "none":
        return loss
    whole = make("sum", loss, axis=None, keepdims=False)
    if reduction == "sum":
        return whole
    if weights is None:
        return make("mean", loss, axis=None, keepdims=False)
    return whole / make("sum", expand(weights, loss.shape), axis=None, keepdims=False)
