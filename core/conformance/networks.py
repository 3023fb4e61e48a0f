"""Small networks with data, that the conformance kit runs on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...backends.program import Layout, Program
from ...kernels.spec import ROWS, Spec
from .. import losses
from ..averages import EMA
from ..graph.graph import Node, make
from ..layers import (
    Activation,
    Context,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Parameter,
    Standardize,
)
from ..normalization import BatchNorm, LayerNorm
from ..optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from ..programs import predict_program, train_program
from ..residual import Residual
from ..row_metrics import get_metric
from ..tracing import ForwardGraph, forward_graph, layout_of


@dataclass(frozen=True)
class Data:
    """Rows on the host, in float64 with values that float32 holds as well; see `DataBlock`."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None
    order: np.ndarray | None = None

    def columns(self, dtype: str) -> dict[str, np.ndarray]:
        """The columns of a data block; class numbers stay whole."""
        y = self.y if self.y.dtype.kind == "i" else self.y.astype(dtype)
        return {"x": self.x.astype(dtype), "y": y}


@dataclass(frozen=True)
class Network:
    """Layers with a loss, metrics and an optimizer.

    features: the shape of a row. outputs: of the last layer.
    """

    layers: tuple[Layer, ...]
    loss: str | losses.Function
    optimizer: Optimizer
    metrics: tuple[str | losses.Function, ...] = ()
    features: tuple[int, ...] = (4,)
    outputs: int = 3

    def graph(self, dtype: str, training: bool) -> ForwardGraph:
        """The forward graph."""
        return forward_graph(self.layers, self.features, dtype, training)

    def layout(self, dtype: str) -> Layout:
        """Where its arrays lie."""
        return layout_of(self.graph(dtype, True), self.optimizer.segments())

    def program(self, kind: str, dtype: str, capacity: int) -> Program:
        """The program that trains, evaluates, predicts, or gives gradients."""
        graph, layout = self.graph(dtype, kind in ("train", "gradients")), self.layout(dtype)
        if kind == "predict":
            return predict_program(graph, graph.prediction, layout, capacity)
        loss = losses.get(self.loss)
        return train_program(
            graph,
            layout,
            loss,
            [get_metric(name) for name in self.metrics],
            Spec((ROWS, 1), "int32") if loss.labels else Spec((ROWS, self.outputs), dtype),
            capacity,
            optimizer=self.optimizer if kind == "train" else None,
            differentiated=kind != "evaluate",
            last=self.layers[-1].brief(),
        )

    def start(self, segment: str, length: int, seed: int) -> np.ndarray:
        """First numbers of a segment, which float32 holds; those of statistics are positive."""
        rng = np.random.default_rng([seed, length])
        numbers = 0.5 * rng.standard_normal(length)
        return _single(numbers if segment == "parameters" else 0.5 + np.abs(numbers))

    def data(self, rows: int, seed: int = 0, weighted: bool = False, ordered: bool = False) -> Data:
        """Rows that look like what it is for; weights of all sizes, one of them zero."""
        rng = np.random.default_rng([seed, rows])
        x = _single(rng.standard_normal((rows, *self.features)))
        if self.loss == "cross_entropy":
            y = rng.integers(0, self.outputs, (rows, 1)).astype(np.int32)
        elif self.loss == "binary_cross_entropy":
            y = rng.integers(0, 2, (rows, self.outputs)).astype(np.float64)
        else:
            y = _single(rng.standard_normal((rows, self.outputs)))
        weights = rng.uniform(0.1, 3.0, rows) * (np.arange(rows) != 1) if weighted else None
        return Data(x, y, weights, rng.permutation(rows) if ordered else None)


def _single(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Twice(Layer):
    """x + tanh(x @ weight) @ weight: a parameter and an input with two uses each."""

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """A square weight."""
        return {"weight": Parameter((shape[0], shape[0]), decayed=True)}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The weight forth, and forth again."""
        weight = parameters["weight"]
        return x + make("matmul", make("tanh", make("matmul", x, weight)), weight)


@dataclass(frozen=True)
class Normed(Layer):
    """Rows without their mean, over their deviation, times a scale and plus a shift.

    Sums along rows between operations on elements, and sums down the rows in the backward pass: a
    region each way, for executors that have a way for them.
    """

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """A scale and a shift for each column."""
        return {name: Parameter((1, shape[0])) for name in ("scale", "shift")}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """With the variance that is there, plus a little."""
        off = x - x.mean(axis=-1, keepdims=True)
        deviation = make("sqrt", (off * off).mean(axis=-1, keepdims=True) + 0.1)
        return off / deviation * parameters["scale"] + parameters["shift"]


def bent(y_true: Node, y_pred: Node) -> Node:
    """Quadratic near zero, linear further out."""
    off = y_pred - y_true
    return make("where", abs(off) < 1.0, 0.5 * off * off, abs(off) - 0.5)


# The epsilons are large on purpose: an optimizer that divides by the size of the gradient would
# make noise of rounding wherever a gradient is close to zero.
CLASSIFIER = Network(
    (Dense(6, "relu"), Dense(3, "softmax")),
    "cross_entropy", Adam(epsilon=1e-3), ("accuracy",),
)  # fmt: skip
LOGISTIC = Network(
    (Dense(1, "sigmoid"),),
    "binary_cross_entropy", SGD(momentum=0.9), ("accuracy",), outputs=1,
)  # fmt: skip
REGRESSION = Network(
    (Dense(5, "tanh"), Dense(2)),
    "mean_squared_error", RMSprop(epsilon=1e-2), ("mean_absolute_error",), outputs=2,
)  # fmt: skip
DROPOUT = Network(
    (Dense(8, "tanh"), Dropout(0.5), Dense(2)), "mean_squared_error", SGD(), outputs=2
)
SHARED = Network(
    (Twice(), Dense(2, "leaky_relu")),
    "mean_squared_error", SGD(momentum=0.9, nesterov=True), outputs=2,
)  # fmt: skip
EVERYTHING = Network(
    (
        Flatten(), Standardize(), Dense(6, "gelu", weight_decay=0.01), Dropout(0.3),
        Dense(5, "softplus", use_bias=False), Dense(3, "softmax"),
    ),
    "cross_entropy", AdamW(epsilon=1e-3, clip_norm=0.5), ("accuracy",), features=(2, 2),
)  # fmt: skip
# Its metric is infinite where a target is 0.
UNBOUNDED = Network(
    (Dense(5, "tanh"), Dense(2)),
    "mean_squared_error", SGD(momentum=0.9), ("mean_absolute_error", lambda y, p: 1.0 / y),
    outputs=2,
)  # fmt: skip
# Wide enough for vectors, for what is left over of them, and for what is kept of a weight.
WIDE = Network(
    (Dense(70, "relu"), Dense(33, "tanh"), Dense(3, "softmax")),
    "cross_entropy", SGD(), ("accuracy",), features=(37,),
)  # fmt: skip
NORMED = Network(
    (Dense(7, "gelu"), Normed(), Dropout(0.2), Dense(3)), bent, SGD(momentum=0.9),
)  # fmt: skip
FINE_TUNED = Network(
    (Dense(5, "tanh", trainable=False), Dense(4, "relu", rate=0.5), Dense(3, "softmax")),
    "cross_entropy", AdamW(epsilon=1e-3, amsgrad=True, average=EMA(0.9)), ("accuracy",),
)  # fmt: skip
NORMS = Network(
    (
        Dense(6, use_bias=False), BatchNorm(momentum=0.3), Activation("silu"),
        Residual([LayerNorm(), Dense(6, "selu"), Residual([BatchNorm(), Dense(6, "mish")])]),
        Dense(3, "softmax"),
    ),
    "cross_entropy", SGD(momentum=0.9), ("accuracy",),
)  # fmt: skip
ROBUST = Network(
    (LayerNorm(), Dense(5, "softsign"), Dense(5, "hard_swish"), Dense(2, "hard_sigmoid")),
    "huber", RMSprop(epsilon=1e-2), outputs=2,
)  # fmt: skip
NETWORKS = {
    "a classifier": CLASSIFIER,
    "logistic regression": LOGISTIC,
    "a regression": REGRESSION,
    "dropout between layers": DROPOUT,
    "a parameter used twice": SHARED,
    "every kind of layer": EVERYTHING,
    "wide layers": WIDE,
    "frozen layers and averages": FINE_TUNED,
    "a norm and a loss of one's own": NORMED,
    "norms and residual blocks": NORMS,
    "Huber's loss": ROBUST,
}
