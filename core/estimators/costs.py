"""scikit-learn's costs: losses summed over outputs, and a penalty that a batch's rows share.

The cost of a batch is sum(w * loss) / sum(w) + alpha / 2 * sum(W ** 2) / sum(w), with w the weights
of its rows and W those of the network, biases left out (scikit-learn's `_backprop`). Its gradient
is what training follows.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.graph import Node, make, order
from ..losses import Loss, before, tiny
from ..row_metrics import Metric


@dataclass(frozen=True)
class Cost(Loss):
    """The common part.

    alpha: strength of the penalty; 0 where somebody else adds it.
    weighted: whether the last column of the targets is the rows' weights. They are no weights of
        lamina's then, whose epochs are means over weights: scikit-learn's are means over rows.
    """

    alpha: float = 0.0
    weighted: bool = False

    def summed(self, y: Node, p: Node, shares: Node) -> Node:
        """The sum over rows and outputs of share times loss, of shape (). shares: (n, 1)."""
        raise NotImplementedError

    def shared(self, y: Node, weights: Node) -> tuple[Node, Node, Node]:
        """The targets, the share of each row, and what a penalty on the whole batch is times.

        weights: 1 / n each, or lamina's shares of the rows.
        """
        if not self.weighted:
            return y, weights, weights.mean()
        last = _columns(y) - 1
        given = make("cast", y[:, last:], dtype=weights.dtype)
        mean = given.mean()
        return y[:, :last], weights * (given / mean), weights.mean() / mean

    def total(self, y: Node, p: Node, weights: Node) -> Node:
        """The cost of a batch."""
        y, shares, part = self.shared(y, weights)
        found = self.summed(y, p, shares)
        if not self.alpha:
            return found
        squares = [make("sum", w * w) for w in order([p]) if _penalized(w)]
        whole = sum(squares[1:], start=squares[0])
        return found + whole * part * (0.5 * self.alpha)


def _penalized(node: Node) -> bool:
    return node.op == "parameter" and node.source.endswith(".weight")


@dataclass(frozen=True)
class CrossEntropyCost(Cost):
    """-log p of the row's class, after softmax; targets are class numbers."""

    name = "log_loss"
    needs = ("softmax",)
    targets = "classes"

    def summed(self, y: Node, p: Node, shares: Node) -> Node:
        """By the table's operation, which is fused with softmax."""
        labels = y if y.dtype == "int32" else make("cast", y, dtype="int32")
        return make("sum", make("cross_entropy", p, labels, shares))


@dataclass(frozen=True)
class BinaryCost(Cost):
    """-(t log p + (1 - t) log(1 - p)) summed over outputs, after sigmoid."""

    name = "binary_log_loss"
    needs = ("sigmoid",)
    targets = "unit"

    def summed(self, y: Node, p: Node, shares: Node) -> Node:
        """By the table's operation, which takes the mean over outputs."""
        return _times(make("sum", make("binary_cross_entropy", p, y, shares)), _columns(p))


@dataclass(frozen=True)
class SquaredCost(Cost):
    """Half the squared error, summed over outputs."""

    name = "squared_error"

    def summed(self, y: Node, p: Node, shares: Node) -> Node:
        """By the table's operation, which takes the mean over outputs."""
        return make("sum", make("mean_squared_error", p, y, shares)) * (0.5 * _columns(p))


@dataclass(frozen=True)
class PoissonCost(Cost):
    """y log(y / p) - y + p summed over outputs, after exp: half the Poisson deviance."""

    name = "poisson"
    needs = ("exp",)
    takes = "positive numbers"
    targets = "counts"

    def summed(self, y: Node, p: Node, shares: Node) -> Node:
        """By the logarithm that stands before exp; where y is 0 its own is left out."""
        own = y * make("log", make("maximum", y, tiny(p))) - y
        rows = make("sum", own + p - y * before(p), axis=1, keepdims=True)
        return make("sum", rows * shares)


COSTS: dict[str, type[Cost]] = {  # by scikit-learn's name of the last activation
    "softmax": CrossEntropyCost,
    "logistic": BinaryCost,
    "identity": SquaredCost,
    "exp": PoissonCost,
}


def _columns(rows: Node) -> int:
    columns = rows.shape[-1]
    assert isinstance(columns, int)
    return columns


def _times(node: Node, factor: int) -> Node:
    return node if factor == 1 else node * float(factor)


@dataclass(frozen=True)
class Unpenalized(Metric):
    """The cost without its penalty: what scikit-learn tells of several outputs is no sum of them.

    cost: whose.
    """

    cost: Cost | None = None

    def total(self, y: Node, p: Node, weights: Node, loss: Loss) -> Node:
        """The weighted sum over rows."""
        assert self.cost is not None
        y, shares, _ = self.cost.shared(y, weights)
        return self.cost.summed(y, p, shares)
