"""Layers, activations and losses by hand: what a user writes in `lm.ops`.

They are measured beside the built-in ones, and beside what other libraries have, under names that
begin with `own_`. Nothing here is faster than what anybody can write.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..core.graph.functions import ops
from ..core.graph.graph import Node
from ..core.layers import Context, Layer, Parameter, activate

EPSILON = 1e-5  # of the norms, added to the variance
DELTA = 1.0  # of Huber's loss: where it becomes a straight line
GAMMA = 2.0  # of the focal loss
SMOOTHING = 0.1  # of the labels

# Layers: of features (n, width), to as many. Each takes the network's activation, used or not.


@dataclass(frozen=True)
class OwnLayerNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, over each row (Ba et al. 2016)."""

    epsilon: float = EPSILON

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """scale and shift, each (1, width)."""
        row = (1, shape[-1])
        return {"scale": Parameter(row, "ones"), "shift": Parameter(row)}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x: (n, width) -> (n, width)."""
        centred = x - x.mean(axis=1, keepdims=True)
        variance = (centred**2).mean(axis=1, keepdims=True)
        normal = centred / ops.sqrt(variance + self.epsilon)
        return normal * parameters["scale"] + parameters["shift"]


@dataclass(frozen=True)
class OwnBatchNorm(Layer):
    """The same over each column (Ioffe and Szegedy 2015).

    It normalises by the rows at hand wherever it is used, in prediction too: it keeps no running
    statistics.
    """

    epsilon: float = EPSILON

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """scale and shift, each (1, width)."""
        row = (1, shape[-1])
        return {"scale": Parameter(row, "ones"), "shift": Parameter(row)}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x: (n, width) -> (n, width)."""
        centred = x - x.mean(axis=0, keepdims=True)
        variance = (centred**2).mean(axis=0, keepdims=True)
        normal = centred / ops.sqrt(variance + self.epsilon)
        return normal * parameters["scale"] + parameters["shift"]


@dataclass(frozen=True)
class OwnResidual(Layer):
    """x + activation(x @ weight + bias) (He et al. 2016).

    activation: a name or a function on nodes.
    """

    activation: str | Callable[[Node], Node] = "relu"

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """weight: (width, width), bias: (1, width)."""
        width = shape[-1]
        return {
            "weight": Parameter((width, width), "he", decayed=True), "bias": Parameter((1, width))
        }  # fmt: skip

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x: (n, width) -> (n, width)."""
        return x + activate(x @ parameters["weight"] + parameters["bias"], self.activation)


@dataclass(frozen=True)
class OwnGated(Layer):
    """The first half of x @ weight + bias, times the sigmoid of the other (Dauphin et al. 2017)."""

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """weight: (width, 2 width), bias: (1, 2 width)."""
        width = shape[-1]
        return {
            "weight": Parameter((width, 2 * width), "xavier", decayed=True),
            "bias": Parameter((1, 2 * width)),
        }

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x: (n, width) -> (n, width)."""
        z, width = x @ parameters["weight"] + parameters["bias"], x.shape[1]
        return z[:, :width] * ops.sigmoid(z[:, width:])


# Activations


def own_swish(x: Node) -> Node:
    """x times its sigmoid, which others call SiLU (Ramachandran et al. 2017)."""
    return x * ops.sigmoid(x)


def own_mish(x: Node) -> Node:
    """x tanh(softplus(x)) (Misra 2019)."""
    return x * ops.tanh(ops.softplus(x))


def own_gelu(x: Node) -> Node:
    """x times the normal distribution's share below it (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1.0 + ops.erf(x / math.sqrt(2.0)))


def own_selu(x: Node) -> Node:
    """x above 0, alpha (exp(x) - 1) below, both scaled (Klambauer et al. 2017)."""
    below = 1.6732632423543772 * ops.expm1(ops.minimum(x, 0.0))  # large x would overflow
    return 1.0507009873554805 * ops.where(x > 0.0, x, below)


def own_softsign(x: Node) -> Node:
    """x / (1 + |x|)."""
    return x / (1.0 + abs(x))


def own_hard_sigmoid(x: Node) -> Node:
    """x / 6 + 1 / 2, kept in [0, 1]."""
    return ops.clip(x / 6.0 + 0.5, low=0.0, high=1.0)


def own_hard_swish(x: Node) -> Node:
    """x times its hard sigmoid (Howard et al. 2019)."""
    return x * ops.clip(x / 6.0 + 0.5, low=0.0, high=1.0)


# Losses: (y, p) -> one value a row, or one for each output, of which lamina takes the mean. Where
# y: (n, 1) are numbers of classes, p: (n, classes) is what softmax would be taken of; with one
# output, what the sigmoid would be taken of, y being 0 or 1.


def own_huber(y: Node, p: Node) -> Node:
    """Half the square of a small error, a straight line beyond (Huber 1964)."""
    error = abs(p - y)
    return ops.where(error < DELTA, 0.5 * error**2, DELTA * (error - 0.5 * DELTA))


def own_mean_absolute_error(y: Node, p: Node) -> Node:
    """|p - y|."""
    return abs(p - y)


def own_mean_squared_error(y: Node, p: Node) -> Node:
    """(p - y) ** 2."""
    return (p - y) ** 2


def own_gaussian(y: Node, p: Node) -> Node:
    """-log of a normal density, less a constant (Nix and Weigend 1994).

    y: (n, k). p: (n, 2 k), first the means, then the logarithms of the variances.
    """
    k = y.shape[1]
    mean, log_variance = p[:, :k], p[:, k:]
    return 0.5 * (log_variance + (y - mean) ** 2 * ops.exp(-log_variance))


def own_cross_entropy(y: Node, p: Node) -> Node:
    """-log of the softmax at the class; with one output -log of the sigmoid at the class."""
    if p.shape[1] == 1:
        return ops.softplus(p) - y * p
    shifted = p - ops.max(p, axis=1, keepdims=True)
    logs = shifted - ops.log(ops.sum(ops.exp(shifted), axis=1, keepdims=True))
    return -ops.pick(logs, ops.cast(y, dtype="int32"))


def own_focal(y: Node, p: Node) -> Node:
    """Cross-entropy times (1 - probability of the class) ** gamma (Lin et al. 2017)."""
    if p.shape[1] == 1:
        found = ops.sigmoid(p)
        missed = 1.0 - (y * found + (1.0 - y) * (1.0 - found))
        return missed**GAMMA * (ops.softplus(p) - y * p)
    log = ops.pick(ops.log_softmax(p), ops.cast(y, dtype="int32"))
    return -((1.0 - ops.exp(log)) ** GAMMA) * log


def own_label_smoothing(y: Node, p: Node) -> Node:
    """Cross-entropy with a share of each target spread over all classes (Szegedy et al. 2016)."""
    if p.shape[1] == 1:
        target = y * (1.0 - SMOOTHING) + 0.5 * SMOOTHING
        return ops.softplus(p) - target * p
    classes = p.shape[1]
    assert isinstance(classes, int)
    labels = ops.one_hot(ops.cast(y, dtype="int32"), classes=classes, dtype=p.dtype)
    targets = labels * (1.0 - SMOOTHING) + SMOOTHING / classes
    return -ops.sum(targets * ops.log_softmax(p), axis=1, keepdims=True)


def smoothed_binary(y: Node, p: Node) -> Node:
    """Binary cross-entropy of smoothed targets, after a sigmoid: it has no setting for them."""
    return ops.binary_cross_entropy(p, y * (1.0 - SMOOTHING) + 0.5 * SMOOTHING)


LAYERS: dict[str, Callable[[str | Callable[[Node], Node]], Layer]] = {
    "own_layer_norm": lambda activation: OwnLayerNorm(),
    "own_batch_norm": lambda activation: OwnBatchNorm(),
    "own_residual": OwnResidual,
    "own_gated": lambda activation: OwnGated(),
}
ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    f.__name__: f
    for f in (
        own_swish, own_mish, own_gelu, own_selu, own_softsign, own_hard_sigmoid, own_hard_swish,
    )
}  # fmt: skip
LOSSES: dict[str, Callable[[Node, Node], Node]] = {
    f.__name__: f
    for f in (
        own_huber, own_mean_absolute_error, own_mean_squared_error, own_gaussian,
        own_cross_entropy, own_focal, own_label_smoothing,
    )
}  # fmt: skip
