"""Losses: functions on nodes that give one value a row.

The *loss* belongs to one example; the *cost*, what training lowers, is its weighted mean over rows
(and over outputs where there are several), as in course section 2.2. What programs, histories and
errors call "loss" is the cost. `Cost` of an operation is something else: its work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..kernels.errors import BadInput, ShapeError, unknown
from ..kernels.spec import ROWS
from . import names
from .checks import check_number
from .graph.graph import Node, constant, make

Function = Callable[[Node, Node], Node]


Targets = Literal["numbers", "counts", "unit", "signs", "classes", "probabilities"]


class Loss:
    """A loss: one value for each row and output, of targets and predictions.

    name: what files and errors call it. needs: the activations that its predictions may come from,
    the usual one first, or none in particular. takes: what those give.
    targets: "numbers" any; "counts" from 0; "unit" in [0, 1]; "signs" -1 and 1, or 0 and 1;
        "classes" class numbers, one a row, or rows of probabilities; "probabilities" those alone.
        But for class numbers they have the predictions' shape.
    function: the user's own, loss(y_true, y_pred), or None.
    """

    name: str = "loss"
    needs: tuple[str, ...] = ()
    takes: str = "probabilities"
    targets: Targets = "numbers"
    function: Function | None = None

    @property
    def labels(self) -> bool:
        """Whether its targets may be class numbers, one a row."""
        return self.targets == "classes"

    @property
    def classes(self) -> bool:
        """Whether its targets tell classes apart, and are no measurements."""
        return self.targets in ("classes", "unit", "signs")

    def rows(self, y: Node, p: Node) -> Node:
        """One value for each row and output: (n, 1) or (n, outputs).

        y: the targets, (n, outputs) or (n, 1) class numbers. p: the predictions, (n, outputs).
        """
        raise NotImplementedError

    def total(self, y: Node, p: Node, weights: Node) -> Node:
        """The weighted sum over rows, of shape (). y, p: as in `rows`.

        weights: (n, 1), each row's share of the whole batch: they add up to 1, so the sum is a
            mean.
        """
        return weighted_sum(f"loss {self.name}", self.rows(y, p), weights)

    def told(self) -> str:
        """Its name, or the constructor's call where it has settings of its own."""
        plain = self.function is not None or BUILTIN.get(self.name) == self
        return self.name if plain else repr(self)


def before(p: Node) -> Node:
    """What stands before the activation that predictions come from: there nothing is saturated."""
    (z,) = (n for n in p.inputs if n is not None)
    return z


def tiny(p: Node) -> float:
    """The least number of p's dtype that is divided by, and whose logarithm is taken."""
    return float(np.finfo(p.dtype).smallest_normal)


@dataclass(frozen=True)
class Own(Loss):
    """A function of the user's."""

    name: str
    function: Function

    def rows(self, y: Node, p: Node) -> Node:
        """What the function returns."""
        return self.function(y, p)


@dataclass(frozen=True)
class Plain(Loss):
    """A loss without settings: a formula of (y, p), or the operation of its name."""

    name: str
    formula: Function | None = None
    needs: tuple[str, ...] = ()
    takes: str = "probabilities"
    targets: Targets = "numbers"

    def rows(self, y: Node, p: Node) -> Node:
        """The formula."""
        return make(self.name, p, y) if self.formula is None else self.formula(y, p)

    def total(self, y: Node, p: Node, weights: Node) -> Node:
        """The weighted sum over rows; an operation takes the weights itself."""
        if self.formula is None:
            return make("sum", make(self.name, p, y, weights))
        return super().total(y, p, weights)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """-sum(t log p) over the classes, after softmax; t is 1 for the row's class, 0 for others.

    Targets are class numbers, or rows of probabilities. `loss="cross_entropy"` is that without
    smoothing.

    label_smoothing: the share e, in [0, 1), that t gives to all classes alike:
        (1 - e) * t + e / classes (Szegedy et al. 2016), as torch.nn.CrossEntropyLoss.
    Raises: BadInput.
    """

    name = "cross_entropy"
    needs = ("softmax",)
    targets = "classes"

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        value = self.label_smoothing
        check_number("CrossEntropy: label_smoothing", value, 0.0, 1.0, open_high=True)

    def rows(self, y: Node, p: Node) -> Node:
        """By the logarithm of the softmax, which is finite for saturated rows."""
        logs, share = make("log_softmax", before(p)), float(self.label_smoothing)
        found = make("pick", logs, y) if whole(y) else (y * logs).sum(axis=1, keepdims=True)
        if share:
            found = found * (1.0 - share) + logs.mean(axis=1, keepdims=True) * share
        return -found

    def total(self, y: Node, p: Node, weights: Node) -> Node:
        """The weighted sum over rows."""
        if whole(y) and not self.label_smoothing:
            return make("sum", make("cross_entropy", p, y, weights))  # which is fused
        return super().total(y, p, weights)


@dataclass(frozen=True)
class Focal(Loss):
    """Cross-entropy that looks away from rows that are right already, after softmax.

    -sum(t (1 - p) ** gamma log p) over the classes (Lin et al. 2017, for several classes); t is as
    in `CrossEntropy`. For one class against the rest, after sigmoid: `BinaryFocal`.

    gamma: from 0, where it is cross-entropy. Raises: BadInput.
    """

    name = "focal"
    needs = ("softmax",)
    targets = "classes"

    gamma: float = 2.0

    def __post_init__(self) -> None:
        check_number("Focal: gamma", self.gamma, 0.0, np.inf, open_high=True)

    def rows(self, y: Node, p: Node) -> Node:
        """By the logarithm of the softmax."""
        logs = make("log_softmax", before(p))
        logs = make("pick", logs, y) if whole(y) else logs
        values = -(raised(-make("expm1", logs), self.gamma) * logs)  # expm1: 1 - p to all digits
        return values if whole(y) else (y * values).sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class BinaryFocal(Loss):
    """Binary cross-entropy that looks away from what is right already, after sigmoid.

    a (1 - q) ** gamma * binary cross-entropy, with q = p t + (1 - p) (1 - t), t in [0, 1], and
    a = alpha t + (1 - alpha) (1 - t) (Lin et al. 2017; torchvision.ops.sigmoid_focal_loss).

    gamma: from 0. alpha: the weight of the class 1, in [0, 1]; None weighs both alike, by 1.
    Raises: BadInput.
    """

    name = "binary_focal"
    needs = ("sigmoid",)
    targets = "unit"

    gamma: float = 2.0
    alpha: float | None = 0.25

    def __post_init__(self) -> None:
        check_number("BinaryFocal: gamma", self.gamma, 0.0, np.inf, open_high=True)
        if self.alpha is not None:
            check_number("BinaryFocal: alpha", self.alpha, 0.0, 1.0, open_high=False)

    def rows(self, y: Node, p: Node) -> Node:
        """By what stands before the sigmoid."""
        z = before(p)
        values = (make("softplus", z) - z * y) * raised(p + y - 2.0 * (p * y), self.gamma)
        if self.alpha is None:
            return values
        alpha = float(self.alpha)
        return values * (y * (2.0 * alpha - 1.0) + (1.0 - alpha))


@dataclass(frozen=True)
class Huber(Loss):
    """Half the squared error up to `delta`, and beyond it delta (|error| - delta / 2).

    Huber 1964; torch.nn.HuberLoss. error = p - y, any last activation.

    delta: above 0. Raises: BadInput.
    """

    name = "huber"

    delta: float = 1.0

    def __post_init__(self) -> None:
        check_number("Huber: delta", self.delta, 0.0, np.inf, open_high=True)
        if self.delta == 0:
            raise BadInput("Huber: delta must be above 0, or the loss would be 0 everywhere")

    def rows(self, y: Node, p: Node) -> Node:
        """c (error - c / 2), c being the error kept within delta: nothing far off is squared."""
        error, delta = p - y, float(self.delta)
        near = make("clip", error, low=-delta, high=delta)
        return near * (error - 0.5 * near)


@dataclass(frozen=True)
class Quantile(Loss):
    """The loss whose least mean is at a quantile (Koenker and Bassett 1978; the pinball loss).

    quantile * e where e = y - p is positive, (quantile - 1) * e elsewhere; any last activation.

    quantile: in (0, 1); at 0.5 it is half the absolute error. Raises: BadInput.
    """

    name = "quantile"

    quantile: float = 0.5

    def __post_init__(self) -> None:
        check_number("Quantile: quantile", self.quantile, 0.0, 1.0, open_high=True)
        if self.quantile == 0:
            raise BadInput("Quantile: quantile must be above 0")

    def rows(self, y: Node, p: Node) -> Node:
        """e times a factor that does not change with it."""
        e = y - p
        return e * (float(self.quantile) - make("cast", e < 0.0, dtype=e.dtype))


def whole(y: Node) -> bool:
    """Whether targets are class numbers, and no rows of probabilities."""
    return y.dtype == "int32"


def raised(base: Node, power: float) -> Node:
    """base ** power, of numbers from 0; the derivative is finite at 0 as well."""
    if power == 0.0:
        return constant(1.0, base.dtype)
    if power in (1.0, 2.0):
        return base if power == 1.0 else base * base
    return make("power", make("maximum", base, tiny(base)), float(power))


# Losses without settings


def _absolute(y: Node, p: Node) -> Node:
    """|p - y|."""
    return abs(p - y)


def _hinge(y: Node, p: Node) -> Node:
    """max(0, 1 - t p), t being 1 where y is above 0, -1 elsewhere."""
    sign = make("cast", y > 0.0, dtype=p.dtype) * 2.0 - 1.0
    return make("relu", 1.0 - sign * p)


def _poisson(y: Node, p: Node) -> Node:
    """p - y log p: minus the log-likelihood of counts with mean p, but for what y alone gives."""
    z = before(p)
    if p.op == "exp":
        return p - y * z
    # Far below 0 softplus is exp, and soon too small for a number.
    logs = make("where", z < FAR_BELOW, z, make("log", make("maximum", p, tiny(p))))
    return p - y * logs


def _kl_divergence(y: Node, p: Node) -> Node:
    """sum(y (log y - log p)) over the classes; where y is 0 nothing is added."""
    logs = make("log", make("maximum", y, tiny(p))) - make("log_softmax", before(p))
    return (y * logs).sum(axis=1, keepdims=True)


FAR_BELOW = -40.0  # exp(-40) is less than a rounding of 1


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


CLASSES: dict[str, type[Loss]] = {
    c.__name__: c for c in (CrossEntropy, Focal, BinaryFocal, Huber, Quantile)
}
BUILTIN: dict[str, Loss] = {
    one.name: one
    for one in (
        CrossEntropy(),
        Plain("binary_cross_entropy", needs=("sigmoid",), targets="unit"),
        Plain("mean_squared_error"),
        Plain("mean_absolute_error", _absolute),
        Huber(),
        Quantile(),
        Plain("poisson", _poisson, ("softplus", "exp"), "rates", "counts"),
        Plain("hinge", _hinge, targets="signs"),
        Plain("kl_divergence", _kl_divergence, ("softmax",), targets="probabilities"),
        Focal(),
        BinaryFocal(),
    )
}


def get(choice: str | Function | Loss) -> Loss:
    """The loss for a name, an object, or a function loss(y_true, y_pred).

    Raises: UnknownName, BadInput.
    """
    if isinstance(choice, str):
        name = names.own("loss", choice)
        if name not in BUILTIN:
            raise unknown("loss", choice, BUILTIN)
        return BUILTIN[name]
    if isinstance(choice, Loss):
        return choice
    name = getattr(choice, "__name__", "loss")
    if isinstance(choice, type) and CLASSES.get(name) is choice:
        raise BadInput(f"a loss is an object, loss=lm.{name}(), not its class")
    if not callable(choice):
        raise BadInput(f"a loss is a name or a function loss(y_true, y_pred), not {choice!r}")
    return Own(name, choice)


def check_last(loss: Loss, prediction: Node, last: str) -> None:
    """Raises BadInput when the last layer does not fit the loss, saying which activation does."""
    if prediction.ndim != 2:
        raise BadInput(
            f"[{loss.name}] the last layer must give rows of outputs, not {prediction!r}"
        )
    if loss.targets == "signs" and prediction.op in ("softmax", "sigmoid"):
        raise BadInput(
            f"[{loss.name}] takes numbers of either sign, but the last layer is {last}: leave its"
            " activation away"
        )
    if loss.needs and prediction.op not in loss.needs:
        other = {"focal": "binary_focal", "binary_focal": "focal"}.get(loss.name)
        fits = other and prediction.op in BUILTIN[other].needs
        raise BadInput(
            f"[{loss.name}] takes {loss.takes} from {' or '.join(loss.needs)}, but the last layer"
            f' is {last}: give it activation="{loss.needs[0]}"'
            + (f', or the model loss="{other}"' if fits else "")
        )
    if "softmax" in loss.needs and prediction.shape[1] == 1:
        raise BadInput(
            f"[{loss.name}] softmax over one output is always 1: use two outputs or more, or"
            ' activation="sigmoid" with loss="binary_cross_entropy"'
        )
