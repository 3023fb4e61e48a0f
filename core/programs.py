"""From a traced graph to a program: what is computed, simplified, fused, differentiated, planned.

Loaded when a model makes its first program: who only describes one does not wait for the compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..backends.program import Layout, Program
from ..kernels.spec import ROWS, Spec
from .graph.fusion import fuse
from .graph.gradients import differentiate
from .graph.graph import Node, leaf, order
from .graph.planner import plan
from .graph.simplify import simplify, simplify_all
from .graph.update import Update
from .losses import Loss, check_last
from .optimizers import Optimizer
from .row_metrics import Metric
from .tracing import ForwardGraph


def costs(
    graph: ForwardGraph, loss: Loss, metrics: Sequence[Metric], y: Spec, last: str
) -> tuple[Node, Node, dict[str, Node]]:
    """The leaves of targets and weights, and the loss and metrics by name, each of shape ()."""
    target = leaf("batch", y, "y")
    weights = leaf("batch", Spec((ROWS, 1), graph.x.dtype), "weights")
    p = graph.prediction
    check_last(loss, p, last)
    sums = {"loss": loss.total(target, p, weights)}
    for metric in metrics:
        sums[metric.name] = metric.total(target, p, weights, loss)
    return target, weights, sums


def train_program(
    graph: ForwardGraph,
    layout: Layout,
    loss: Loss,
    metrics: Sequence[Metric],
    y: Spec,
    capacity: int,
    *,
    optimizer: Optimizer | None,
    differentiated: bool,
    last: str,
    reduced: bool = False,
) -> Program:
    """The program that trains, that gives gradients (no optimizer), or that only evaluates.

    reduced: whether several processes each train on a part of the rows.
    """
    target, weights, sums = costs(graph, loss, metrics, y, last)
    wanted = [("sum", name) for name in sums] + [("statistic", name) for name in graph.observed]
    results = fuse(simplify([*sums.values(), *graph.observed.values()]))
    fused = dict(zip(wanted, results, strict=True))
    total = fused["sum", "loss"]
    entries = [e for e in layout.entries if e.trainable]
    gradients: dict[str, Node | None] = {}
    if differentiated:
        leaves = {n.source: n for n in order([total]) if n.op == "parameter"}
        wrt = [e.name for e in entries if e.name in leaves]
        found = differentiate(total, [leaves[name] for name in wrt])
        made = dict(zip(wrt, found, strict=True))
        gradients = {e.name: made.get(e.name) for e in entries}
        fused, gradients = simplify_all(fused, gradients)
    return plan(
        "train" if optimizer else "gradients" if differentiated else "evaluate",
        dtype=graph.x.dtype,
        capacity=capacity,
        layout=layout,
        columns=(graph.x, target, weights),
        sums={name: fused["sum", name] for name in sums},
        watched=("loss",) if differentiated else (),  # an evaluation goes on to the last row
        gradients=gradients,
        updates=[*(optimizer.updates(layout) if entries else ()), *moves(layout)]
        if optimizer
        else (),
        classes=_classes(graph, loss, y),
        observed={name: fused["statistic", name] for name in graph.observed},
        reduced=reduced,
    )


def moves(layout: Layout) -> list[Update]:
    """What the update does to statistics: those that move are what the step observed."""
    if not any(e.moving for e in layout.entries):
        return []
    return [Update("assign", ("statistics", "observed"), ("statistics",), {})]


def _classes(graph: ForwardGraph, loss: Loss, y: Spec) -> dict[str, int]:
    """What `inputs.targets` has seen to: class numbers of the loss are below its outputs."""
    width = graph.prediction.shape[-1]
    numbers = loss.labels and y.dtype == "int32"  # else rows of probabilities
    return {"y": width} if numbers and isinstance(width, int) else {}


def predict_program(graph: ForwardGraph, node: Node, layout: Layout, capacity: int) -> Program:
    """The program that computes one node of the forward graph, row by row."""
    return plan(
        "predict",
        dtype=graph.x.dtype,
        capacity=capacity,
        layout=layout,
        columns=(graph.x,),
        outputs={"prediction": fuse(simplify([node]))[0]},
        stacked=("prediction",),
    )
