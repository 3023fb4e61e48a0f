"""The derivatives of the losses, alone and fused with the activation before them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...kernels.spec import FLOATS
from .derivatives import Gradient, chosen, first, inputs, one_hot, rule, scaled
from .graph import Node, make, outputs


@rule("cross_entropy", "binary_cross_entropy", "mean_squared_error")
def _plain_loss(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    g, (p, t, *weights) = first(gradients), inputs(node)
    unweighted = make(node.op, p, t)
    floor = float(np.finfo(p.dtype).smallest_normal)  # as in the loss: a smaller p counts as this
    dp = dt = dw = None
    if node.op == "mean_squared_error":
        base = make("mean_squared_error_backward", p, t, *weights)
        dp = scaled(base, g)
        dt = -dp if needs[1] else None
    elif node.op == "cross_entropy":
        dp = chosen(one_hot(t, p), -(1.0 / make("maximum", p, floor)) * _weighted(g, weights))
    else:
        share = _weighted(g, weights) / float(p.shape[-1])  # type: ignore[arg-type]
        dp = (p - t) / make("maximum", p * (1.0 - p), floor) * share
        if needs[1]:
            no, yes = (make("log", make("clip", q, low=floor, high=1.0)) for q in (1.0 - p, p))
            dt = (no - yes) * share
    if len(needs) > 2 and needs[2]:
        dw = unweighted * g
    return [dp if needs[0] else None, dt, dw][: len(needs)]


def _weighted(gradient: Node, weights: Sequence[Node]) -> Node:
    return scaled(weights[0], gradient) if weights else gradient


def _losses_from_logits(z: Node, t: Node) -> Node:
    """The loss of every row from what stands before the activation: finite for saturated rows."""
    if t.dtype not in FLOATS:
        return -make("pick", make("log_softmax", z), t)
    return (make("softplus", z) - z * t).mean(axis=-1, keepdims=True)


@rule("softmax_cross_entropy", "sigmoid_binary_cross_entropy")
def _fused_loss(node: Node, gradients: Sequence[Gradient], needs: Sequence[bool]) -> list[Gradient]:
    gp, g = gradients
    p = outputs(node)[0]
    z, t, *weights = inputs(node)
    dz: Gradient = None
    dt: Gradient = None
    dw: Gradient = None
    if g is not None:
        base = make(node.op + "_backward", p, t, *weights)
        dz = scaled(base, g)
    if gp is not None:
        through = make(node.op.split("_")[0] + "_backward", gp, p)
        dz = through if dz is None else dz + through
    if g is not None and needs[1] and t.dtype in FLOATS:  # the loss is linear in the targets
        dt = -z * (_weighted(g, weights) / float(z.shape[-1]))  # type: ignore[arg-type]
    if g is not None and len(needs) > 2 and needs[2]:
        dw = _losses_from_logits(z, t) * g
    return [dz, dt, dw][: len(needs)]
