"""Metrics that are means over rows: functions on nodes, computed beside the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..kernels.errors import BadInput, unknown
from . import names
from .graph.graph import Node, constant, make
from .losses import Function, Loss, weighted_sum


def _accuracy(y: Node, p: Node, loss: Loss) -> Node:
    if p.op == "softmax":
        if y.shape[1] != 1:  # rows of probabilities
            labels = make("argmax", y, axis=-1, keepdims=True)
        else:
            labels = y if y.dtype == "int32" else make("cast", y, dtype="int32")
        return make("equal", make("argmax", p, axis=-1, keepdims=True), labels)
    if p.op == "sigmoid":
        half = constant(0.5, p.dtype)
        return make("equal", make("greater_equal", p, half), make("greater_equal", y, half))
    raise BadInput(
        "[accuracy] counts classes, so the last layer must end in softmax or sigmoid: leave"
        ' metrics empty, or use "mean_absolute_error"'
    )


def _absolute_error(y: Node, p: Node, loss: Loss) -> Node:
    return abs(p - y)


def _squared(y: Node, p: Node, loss: Loss) -> Node:
    return (p - y) ** 2


METRICS: dict[str, Callable[[Node, Node, Loss], Node]] = {
    "accuracy": _accuracy,
    "mean_absolute_error": _absolute_error,
    "mean_squared_error": _squared,
}


@dataclass(frozen=True)
class Metric:
    """A metric by name, as a function of targets and predictions that gives one value a row."""

    name: str
    function: Function | None = None

    def total(self, y: Node, p: Node, weights: Node, loss: Loss) -> Node:
        """The weighted sum over rows, of shape ().

        y: (n, 1) class numbers or (n, outputs). p: (n, outputs). weights: (n, 1), each row's over
        their sum, so that the sum is a mean. Raises: ShapeError where it is not one value a row.
        """
        if self.function is None:
            return weighted_sum(f"metric {self.name}", METRICS[self.name](y, p, loss), weights)
        try:
            return weighted_sum(f"metric {self.name}", self.function(y, p), weights)
        except Exception as error:
            error.add_note(
                f"{self.name} was called with nodes, for one value a row; if it is a function of"
                f" arrays with all rows, use metrics=(lm.metrics.whole({self.name}),)"
            )
            raise


def get_metric(choice: str | Function) -> Metric:
    """The metric for a name or a function metric(y_true, y_pred). Raises: UnknownName, BadInput."""
    if isinstance(choice, str):
        name = names.own("metric", choice)
        if name not in METRICS:
            raise unknown("metric", choice, METRICS)
        return Metric(name)
    if not callable(choice):
        raise BadInput(f"a metric is a name or a function metric(y_true, y_pred), not {choice!r}")
    return Metric(getattr(choice, "__name__", "metric"), choice)
