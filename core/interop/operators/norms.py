"""Normalizations, as graphs of means and variances."""

from __future__ import annotations

from ....kernels.spec import Dim
from ...graph.graph import Node, make
from ..values import Call, cast, operator, reshape


def mean(x: Node, axes: tuple[int, ...]) -> Node:
    """The mean over axes, which stay as ones."""
    return make("mean", x, axis=axes, keepdims=True) if axes else x


def inverse_root(variance: Node, epsilon: float) -> Node:
    """1 / sqrt(variance + epsilon)."""
    return 1.0 / make("sqrt", variance + epsilon)


def _standard(x: Node, axes: tuple[int, ...], epsilon: float) -> tuple[Node, Node, Node]:
    """x normalized over axes, the mean, and one over the deviation."""
    middle = mean(x, axes)
    centred = x - middle
    scale = inverse_root(mean(centred * centred, axes), epsilon)
    return centred * scale, middle, scale


def _channels(x: Node, array: Node) -> Node:
    """One number a channel, for x (n, channels, ...)."""
    shape: list[Dim] = [1] * x.ndim
    if x.ndim > 1:
        shape[1] = x.shape[1]
    return reshape(array, shape)


@operator("LayerNormalization")
def _layer(call: Call) -> list[Node]:
    given = call.node(0)
    x = cast(given, "float32") if call.attr("stash_type", 1) == 1 else given
    x = given if given.dtype == "float64" else x
    axis = call.axis(x.ndim, call.attr("axis", -1))
    axes = tuple(range(axis, x.ndim))
    y, middle, scale = _standard(x, axes, float(call.attr("epsilon", 1e-5)))
    y = cast(y, given.dtype) * call.node(1)
    return [y + call.node(2) if call.has(2) else y, middle, scale]


@operator("RMSNormalization")
def _root_mean_square(call: Call) -> Node:
    x = call.node(0)
    axes = tuple(range(call.axis(x.ndim, call.attr("axis", -1)), x.ndim))
    return x * inverse_root(mean(x * x, axes), float(call.attr("epsilon", 1e-5))) * call.node(1)


@operator("BatchNormalization")
def _batch(call: Call) -> list[Node]:
    x = call.node(0)
    scale, shift, average, variance = (call.node(i) for i in range(1, 5))
    epsilon, momentum = float(call.attr("epsilon", 1e-5)), float(call.attr("momentum", 0.9))
    results: list[Node] = []
    if call.version < 14:
        if call.wants(1) or (call.attr("is_test") == 0 and call.version < 7):
            raise call.refuse("training is known of operator set 14 on")
    elif call.attr("training_mode", 0):
        axes = tuple(a for a in range(x.ndim) if a != 1)
        seen = make("mean", x, axis=axes, keepdims=False)
        centred = x - _channels(x, seen)
        spread = make("mean", centred * centred, axis=axes, keepdims=False)
        results = [
            average * momentum + seen * (1.0 - momentum),
            variance * momentum + spread * (1.0 - momentum),
        ]
        average, variance = seen, spread
    factor = _channels(x, inverse_root(variance, epsilon))
    y = (x - _channels(x, average)) * factor
    return [y * _channels(x, scale) + _channels(x, shift), *results]


@operator("InstanceNormalization")
def _instance(call: Call) -> Node:
    x = call.node(0)
    y, _, _ = _standard(x, tuple(range(2, x.ndim)), float(call.attr("epsilon", 1e-5)))
    return y * _channels(x, call.node(1)) + _channels(x, call.node(2))


@operator("GroupNormalization")
def _group(call: Call) -> Node:
    x, groups = call.node(0), int(call.attr("num_groups", 0))
    channels = x.shape[1] if x.ndim > 1 else 0
    if not isinstance(channels, int) or groups < 1 or channels % groups:
        raise call.refuse("its groups do not part the channels")
    parted = reshape(x, (x.shape[0], groups, channels // groups, *x.shape[2:]))
    axes = tuple(range(2, parted.ndim))
    y, _, _ = _standard(parted, axes, float(call.attr("epsilon", 1e-5)))
    if call.version < 21:  # one scale a group
        ones = [1] * (parted.ndim - 2)
        y = y * reshape(call.node(1), (1, groups, *ones)) + reshape(
            call.node(2), (1, groups, *ones)
        )
        return reshape(y, x.shape)
    return reshape(y, x.shape) * _channels(x, call.node(1)) + _channels(x, call.node(2))


@operator("MeanVarianceNormalization")
def _mean_variance(call: Call) -> Node:
    x = call.node(0)
    axes = tuple(call.axis(x.ndim, a) for a in call.attr("axes", (0, 2, 3)))
    centred = x - mean(x, axes)
    return centred / (make("sqrt", mean(centred * centred, axes)) + 1e-9)


@operator("Dropout")
def _dropout(call: Call) -> list[Node]:
    x = call.node(0)
    trains = call.has(2) and bool(call.number(2))
    if trains and (not call.has(1) or call.number(1) != 0.0):
        raise call.refuse("a graph that drops numbers at random is no prediction")
    whole = make("equal", x, x)
    whole = make("equal", whole, whole)  # all true, NaN among the numbers or not
    return [x, whole if call.wants(1) else x]
