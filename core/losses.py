"""Losses and metrics: functions on nodes that give one value a row.

The *loss* belongs to one example; the *cost*, what training lowers, is its weighted mean over rows
(and over outputs where there are several), as in course section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..kernels.errors import BadInput, ShapeError, unknown
from ..kernels.spec import ROWS
from . import names
from .graph.graph import Node, constant, make

Function = Callable[[Node, Node], Node]


@dataclass(frozen=True)
class Loss:
    """A loss by name.

    needs: the activation that its predictions must come from, or None. labels: its targets are
    class numbers, one a row, or rows of probabilities; else they have the predictions' shape.
    """

    name: str
    needs: str | None = None
    labels: bool = False
    function: Function | None = None

    def total(self, y: Node, p: Node, weights: Node) -> Node:
        """The weighted sum over rows, of shape ()."""
        if self.labels and y.dtype != "int32":
            (z,) = (n for n in p.inputs if n is not None)  # of the softmax: its logarithm is finite
            rows = -(y * make("log_softmax", z)).sum(axis=1, keepdims=True)
            return weighted_sum(f"loss {self.name}", rows, weights)
        if self.function is None:
            return make("sum", make(self.name, p, y, weights))
        return weighted_sum(f"loss {self.name}", self.function(y, p), weights)


def weighted_sum(what: str, rows: Node, weights: Node) -> Node:
    """The sum over rows of weight times value, the mean over outputs first. Raises: ShapeError."""
    if not isinstance(rows, Node) or rows.ndim not in (1, 2) or rows.shape[0] != ROWS:
        raise ShapeError(
            f"[{what}] must return one value a row, (n, 1) or (n, outputs), not {rows!r}"
        )
    if rows.dtype == "bool":
        rows = make("cast", rows, dtype=weights.dtype)
    if rows.ndim == 1:
        rows = rows.reshape((ROWS, 1))
    if rows.shape[1] != 1:
        rows = rows.mean(axis=1, keepdims=True)
    return make("sum", rows * weights)


BUILTIN = {
    "cross_entropy": Loss("cross_entropy", "softmax", labels=True),
    "binary_cross_entropy": Loss("binary_cross_entropy", "sigmoid"),
    "mean_squared_error": Loss("mean_squared_error"),
}


def get(choice: str | Function) -> Loss:
    """The loss for a name or a function loss(y_true, y_pred). Raises: UnknownName, BadInput."""
    if isinstance(choice, str):
        name = names.own("loss", choice)
        if name not in BUILTIN:
            raise unknown("loss", choice, BUILTIN)
        return BUILTIN[name]
    if not callable(choice):
        raise BadInput(f"a loss is a name or a function loss(y_true, y_pred), not {choice!r}")
    return Loss(getattr(choice, "__name__", "loss"), function=choice)


def check_last(loss: Loss, prediction: Node, last: str) -> None:
    """Raises BadInput when the last layer does not fit the loss, saying which activation does."""
    if prediction.ndim != 2:
        raise BadInput(
            f"[{loss.name}] the last layer must give rows of outputs, not {prediction!r}"
        )
    if loss.needs is None:
        return
    if prediction.op != loss.needs:
        raise BadInput(
            f"[{loss.name}] takes probabilities from {loss.needs}, but the last layer is {last}:"
            f' give it activation="{loss.needs}"'
        )
    if loss.labels and prediction.shape[1] == 1:
        raise BadInput(
            f"[{loss.name}] softmax over one output is always 1: use two outputs or more, or"
            ' activation="sigmoid" with loss="binary_cross_entropy"'
        )


# Metrics


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


def _absolute(y: Node, p: Node, loss: Loss) -> Node:
    return abs(p - y)


def _squared(y: Node, p: Node, loss: Loss) -> Node:
    return (p - y) ** 2


METRICS: dict[str, Callable[[Node, Node, Loss], Node]] = {
    "accuracy": _accuracy,
    "mean_absolute_error": _absolute,
    "mean_squared_error": _squared,
}


@dataclass(frozen=True)
class Metric:
    """A metric by name, as a function of targets and predictions that gives one value a row."""

    name: str
    function: Function | None = None

    def total(self, y: Node, p: Node, weights: Node, loss: Loss) -> Node:
        """The weighted sum over rows, of shape ()."""
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
