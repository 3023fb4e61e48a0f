"""Layers: small frozen descriptions of parameters and of how a graph is extended.

A layer does no arithmetic itself. A layer of one's own is a frozen dataclass over `Layer`:

    @dataclass(frozen=True)
    class Scale(lm.Layer):
        def parameters(self, shape):
            return {"scale": lm.Parameter((1, shape[-1]), "ones")}

        def forward(self, x, parameters, context):
            return x * parameters["scale"]

It trains on every backend without another line.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np

from ..kernels.errors import BadInput, ShapeError, unknown
from ..kernels.ops import ACTIVATIONS
from ..kernels.spec import ROWS, Rows, Shape, Spec, concrete, size
from . import initializers, names
from .checks import check_count, check_number
from .graph.graph import Node, leaf, make
from .standardization import moments, reciprocal

Activator = str | Callable[[Node], Node] | None


@dataclass(frozen=True)
class Parameter:
    """One array of a layer, trained or (of `statistics`) not.

    shape: fixed numbers, such as (n_in, n_out) or (1, n_out).
    initializer: a name or an object of `lm.initializers`.
    decayed: whether weight decay applies (weights, not biases). decay: the layer's own coefficient.
    rate: a factor on the learning rate, from 0; at 0 it is frozen: nothing trains it.
    moving: a statistic that steps of training move, see `Context.observe`, and `learn` does not
        give.
    """

    shape: tuple[int, ...]
    initializer: initializers.Choice = "zeros"
    decayed: bool = False
    decay: float = 0.0
    rate: float = 1.0
    moving: bool = False


@dataclass(frozen=True)
class Context:
    """What a layer may know while the graph is made.

    training: whether this graph is one that trains. layer: the layer's number in the model.
    path: what stands before the names of its arrays where it is part of another layer: "0." in
        the first of a residual block. rates: factors on the learning rate that were set by name.
    observed: by name, what statistics are after the step; see `observe`.
    """

    training: bool
    layer: int
    path: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)
    observed: dict[str, Node] = field(default_factory=dict)

    def inside(self, part: int) -> Context:
        """That of a layer's own layer number `part`."""
        return replace(self, path=f"{self.path}{part}.")

    def name(self, array: str) -> str:
        """An array of this layer as the model knows it: "2.weight", "2.0.weight" in a block."""
        return f"{self.layer}.{self.path}{array}"

    @property
    def stream(self) -> int:
        """What keys the layer's random words."""
        return zlib.crc32(self.name("").encode()) if self.path else self.layer

    def weights(self, x: Node) -> Node:
        """The share of each row of x in the loss, (n, 1, ...) with as many axes as x.

        They add up to 1; of rows that weigh the same each is 1 / n. In training alone.
        """
        shares = leaf("batch", Spec((ROWS, 1), x.dtype), "weights")
        return shares if x.ndim == 2 else shares.reshape((ROWS, *[1] * (x.ndim - 1)))

    def observe(self, statistic: str, after: Node) -> None:
        """Says what a moving statistic is after this step of training, if the step is taken."""
        self.observed[self.name(statistic)] = after

    def dropout_mask(self, shape: Shape, dtype: str, rate: float) -> Node:
        """A mask of zeros (with probability `rate`) and 1 / (1 - rate), new at every step."""
        seed = leaf("control", Spec((), "int64"), "seed")
        counter = leaf("control", Spec((), "int64"), "counter")
        return make(
            "dropout_mask", seed, counter, shape=shape, rate=rate, stream=self.stream, dtype=dtype
        )


class Layer:
    """The protocol of a layer, with the defaults of one that has no parameters.

    shape: of an input's features, (features,) or (height, width, ...), without the batch axis.
    """

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """The trainable arrays, for an input whose features have that shape (no batch axis)."""
        return {}

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Arrays that are not trained: learned from the data once, at the first fit, or moving."""
        return {}

    def learn(self, x: np.ndarray, weights: np.ndarray | None = None) -> Mapping[str, np.ndarray]:
        """The statistics by name, from x: this layer's input over the training data.

        x: (n, ...) numbers on the host; perhaps a memory map. weights: (n,) float64 from 0, or None
            when all rows count alike. A layer whose `learn` takes x alone gets the rows that count.
        """
        return {}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The layer's output node, (n, ...).

        x: the input node, (n, ...). parameters: nodes of parameters and statistics by name.
        context: whether the graph trains, and masks for dropout.
        """
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def config(self) -> dict[str, Any]:
        """What the constructor needs to make the layer again, in words of JSON."""
        if not is_dataclass(self):
            return {}
        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    def brief(self) -> str:
        """The constructor's call with what differs from the defaults."""
        if not is_dataclass(self):
            return f"{type(self).__name__}()"
        told = []
        for f in fields(self):
            value = getattr(self, f.name)
            if f.default is MISSING:
                told.append(f"{value!r}")
            elif value != f.default:
                told.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(told)})"


def plain(value: Any) -> Any:
    """A setting in words of JSON: functions by name, initializers as a name and their fields."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.generic):
        return value.item()
    kind = type(value)
    if is_dataclass(value):
        settings = {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"class": kind.__name__, **settings}
    if callable(value) and hasattr(value, "__name__"):
        return {"function": value.__name__}
    raise BadInput(f"a setting of type {kind.__name__} cannot be written to a file: {value!r}")


def activate(x: Node, activation: Activator) -> Node:
    """The activation applied to a node. Raises: UnknownName with the nearest spelling."""
    known = check_activation(activation)
    if callable(known):
        return known(x)
    return x if known is None or known == "linear" else make(known, x)


def check_activation(activation: Activator) -> Activator:
    """The activation, by the name that it has here. Raises: UnknownName for one that is none."""
    if activation is None or callable(activation):
        return activation
    name = names.own("activation", activation) if isinstance(activation, str) else activation
    if not isinstance(name, str) or name not in (*ACTIVATIONS, "linear"):
        raise unknown("activation", activation, (*ACTIVATIONS, "linear"))
    return name


@dataclass(frozen=True)
class Dense(Layer):
    """activation(x @ weight + bias); x: (n, n_in), weight: (n_in, units), bias: (1, units).

    units: the number of outputs. activation: a name, a function on nodes, or None.
    use_bias: False leaves the bias away. kernel_initializer, bias_initializer: names or objects of
        `lm.initializers`; "auto" is He for the ReLU family and Xavier else.
    weight_decay: L2 coefficient whose product with the weight is added to its gradient (torch's
        `weight_decay`); biases are left alone, and the loss is reported without.
    trainable: False freezes the weights. rate: a factor on their learning rate, from 0, for
        fine-tuning; `Sequential.set_rates` changes it for single arrays, and later.
    Raises: BadInput, UnknownName; ShapeError for an input that is no rows of features.
    """

    units: int
    activation: Activator = None
    use_bias: bool = True
    kernel_initializer: initializers.Choice = "auto"
    bias_initializer: initializers.Choice = "zeros"
    weight_decay: float = 0.0
    trainable: bool = True
    rate: float = 1.0

    def __post_init__(self) -> None:
        check_count("Dense: units", self.units)
        object.__setattr__(self, "activation", check_activation(self.activation))
        initializers.get(self.kernel_initializer)
        initializers.get(self.bias_initializer)
        check_number("Dense: weight_decay", self.weight_decay, 0.0, np.inf, open_high=True)
        check_number("Dense: rate", self.rate, 0.0, np.inf, open_high=True)

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """weight and, unless switched off, bias."""
        if len(shape) != 1:
            raise ShapeError(
                f"[dense] takes rows of features, but its input has shape (n, "
                f"{', '.join(map(str, shape))}): put lm.Flatten() before it"
            )
        kernel = initializers.get(self.kernel_initializer, self.activation)
        rate, decay = self.rate if self.trainable else 0.0, self.weight_decay
        found = {"weight": Parameter((shape[0], self.units), kernel, True, decay, rate)}
        if self.use_bias:
            found["bias"] = Parameter((1, self.units), self.bias_initializer, rate=rate)
        return found

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """activation(x @ weight + bias)."""
        z = make("matmul", x, parameters["weight"])
        if self.use_bias:
            z = make("add", z, parameters["bias"])
        return activate(z, self.activation)


@dataclass(frozen=True)
class Flatten(Layer):
    """Images (n, height, width, ...) become rows of features (n, height * width * ...)."""

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The same numbers, two axes."""
        if x.ndim == 2:
            return x
        width = size(x.shape[1:])
        assert not isinstance(width, Rows)
        return make("reshape", x, shape=(x.shape[0], width))


@dataclass(frozen=True)
class Standardize(Layer):
    """(x - mean) / standard deviation per feature, learned from the training data at the first fit.

    x keeps its shape, (n, ...). The deviation is that of the whole population (divided by n); rows
    count as they do in the loss, by their weights. A feature that never changes is only centred.
    The statistics are saved with the model. As the first layer it keeps apart what the model's
    dtype would round together: the host takes a large mean off before the numbers are rounded.

    columns: how many, from the first, are standardized; the others (zeros and ones of categories)
    pass as they are. None: all. Raises: BadInput.
    """

    columns: int | None = None

    def __post_init__(self) -> None:
        if self.columns is not None:
            check_count("Standardize: columns", self.columns, least=0)

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """mean, and scale = 1 / standard deviation."""
        row = (1, *shape)
        return {"mean": Parameter(row, "zeros"), "scale": Parameter(row, "ones")}

    def learn(self, x: np.ndarray, weights: np.ndarray | None = None) -> Mapping[str, np.ndarray]:
        """Computed in float64, in two passes over a few rows at a time (x may be on disk)."""
        if self.columns is None:
            mean, deviation = moments(x, weights)
            return {"mean": mean, "scale": reciprocal(deviation)}
        row = (1, *x.shape[1:])
        mean, scale = np.zeros(row), np.ones(row)
        if self.columns:
            some, deviation = moments(x[:, : self.columns], weights)
            mean[:, : self.columns], scale[:, : self.columns] = some, reciprocal(deviation)
        return {"mean": mean, "scale": scale}

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """(x - mean) * scale."""
        return (x - parameters["mean"]) * parameters["scale"]


@dataclass(frozen=True)
class Dropout(Layer):
    """Drops each number with probability `rate` while training and scales the rest (inverted).

    x * mask, mask being 0 or 1 / (1 - rate) (Srivastava et al. 2014); x keeps its shape, (n, ...).

    rate: in [0, 1). Raises: BadInput.
    """

    rate: float

    def __post_init__(self) -> None:
        check_number("Dropout: rate", self.rate, 0.0, 1.0, open_high=True)

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x * mask in training, x elsewhere."""
        if not context.training or self.rate == 0:
            return x
        return x * context.dropout_mask(x.shape, x.dtype, float(self.rate))


@dataclass(frozen=True)
class Activation(Layer):
    """An activation by itself: behind a layer that has none, such as `BatchNorm` or `Residual`.

    x keeps its shape, (n, ...).

    activation: a name, or a function on nodes. Raises: UnknownName.
    """

    activation: Activator

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", check_activation(self.activation))

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """activation(x)."""
        return activate(x, self.activation)


def extend(
    layer: Layer, x: Node, context: Context
) -> tuple[Node, dict[str, Parameter], dict[str, Parameter]]:
    """Applies a layer to a node: its output, its parameters, its statistics.

    Raises: ShapeError when the layer's output is no batch of rows.
    """
    feature_shape = concrete(x.shape[1:], 1)
    parameters = dict(layer.parameters(feature_shape))
    statistics = dict(layer.statistics(feature_shape))
    nodes = {
        name: leaf("parameter", Spec(p.shape, x.dtype), context.name(name))
        for name, p in {**parameters, **statistics}.items()
    }
    return applied(layer, x, nodes, context), parameters, statistics


def applied(layer: Layer, x: Node, nodes: Mapping[str, Node], context: Context) -> Node:
    """A layer's output, (n, ...), with a name. nodes: its arrays by name. Raises: ShapeError."""
    kind = type(layer).__name__
    made = layer.forward(x, nodes, context)
    if not isinstance(made, Node) or made.ndim < 2 or made.shape[0] != ROWS:
        raise ShapeError(f"[{kind}] forward must return a batch of rows (n, ...), not {made!r}")
    if made is not x and not made.name:
        made.name = context.name(kind.lower())
    return made


def check_layers(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers of a network. Raises: BadInput for anything but a sequence of some."""
    if isinstance(layers, Layer):
        raise BadInput(f"the layers go into a list: Sequential([{layers.brief()}, ...], loss=...)")
    layers = tuple(layers)
    if not layers:
        raise BadInput("Sequential needs at least one layer, such as lm.Dense(10)")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise BadInput(f"a layer is an object such as lm.Dense(10), not {layer!r}")
    return layers
