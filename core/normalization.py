"""Layers that normalize: each row by its own features, or each feature by the rows of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..kernels.errors import BadInput
from .checks import check_number
from .graph.graph import Node, constant, make
from .layers import Context, Layer, Parameter

ALONE = 1e-6  # 1 - sum of squared shares, up to which one row of a batch counts alone


@dataclass(frozen=True)
class _Norm(Layer):
    """The common part: a scale and a shift for each feature, which are trained.

    epsilon: is added to variances, above 0. scale, shift: False leaves it away.
    trainable: False freezes the layer.
    """

    epsilon: float = 1e-5
    scale: bool = True
    shift: bool = True
    trainable: bool = True

    def __post_init__(self) -> None:
        name = type(self).__name__
        check_number(f"{name}: epsilon", self.epsilon, 0.0, np.inf, open_high=True)
        if self.epsilon == 0:
            raise BadInput(f"{name}: epsilon must be above 0, or a constant would be divided by 0")

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """scale and shift, (1, features), unless switched off."""
        row, rate = (1, *shape), 1.0 if self.trainable else 0.0
        starts = {"scale": "ones"} if self.scale else {}
        starts |= {"shift": "zeros"} if self.shift else {}
        return {name: Parameter(row, start, rate=rate) for name, start in starts.items()}

    def normalized(self, centred: Node, variance: Node, parameters: Mapping[str, Node]) -> Node:
        """centred / sqrt(variance + epsilon) * scale + shift.

        centred: x less its mean. variance: of a shape that fits it. parameters: scale and shift.
        """
        y = centred * (1.0 / make("sqrt", variance + float(self.epsilon)))
        if self.scale:
            y = y * parameters["scale"]
        return y + parameters["shift"] if self.shift else y


@dataclass(frozen=True)
class LayerNorm(_Norm):
    """Each row, less its mean, over its standard deviation (Ba, Kiros and Hinton 2016).

    y = (x - mean) / sqrt(variance + epsilon) * scale + shift, with mean and variance (divided by
    the number of features) of all features of a row, and scale and shift, (1, features), trained:
    torch.nn.LayerNorm. x keeps its shape, (n, ...).

    epsilon: above 0. scale, shift: False leaves it away. trainable: False freezes them.
    Raises: BadInput.
    """

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The same in training and elsewhere."""
        axes = tuple(range(1, x.ndim))
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = (centred * centred).mean(axis=axes, keepdims=True)
        return self.normalized(centred, variance, parameters)


@dataclass(frozen=True)
class BatchNorm(_Norm):
    """Each feature, less its mean, over its standard deviation in the batch (Ioffe, Szegedy 2015).

    y = (x - mean) / sqrt(variance + epsilon) * scale + shift, as torch.nn.BatchNorm1d. In training
    mean and variance are those of the batch's rows; each step moves the running ones towards them,
    running = (1 - momentum) * running + momentum * batch, with the unbiased variance (divided by
    n - 1). Evaluation and prediction take the running ones, which begin at 0 and 1, are saved with
    the model, and are no part of `get_weights`. x keeps its shape, (n, ...).

    Rows count as they do in the loss, by their weights; a row of weight 0 is as if it were not
    there. A batch in which one row counts alone has no variance: it is normalized by the running
    statistics, and leaves them as they are. A step that is not taken moves nothing; batches that
    are joined to one step (`accumulate`) move them once, to the mean of what they are.
    While it is frozen (`freeze`, or trainable=False) it trains by the running statistics too, and
    these stand still. An averaged model (`lm.EMA`, `lm.SWA`) has those of the moment.

    epsilon: above 0. scale, shift: False leaves it away. trainable: see above.
    momentum: the share of the batch, in (0, 1]; Keras's momentum is what is kept, 1 minus it.
    Raises: BadInput, in `fit` for batches of one row, and with `lm.LBFGS`.
    """

    momentum: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("BatchNorm: momentum", self.momentum, 0.0, 1.0, open_high=False)
        if self.momentum == 0:
            raise BadInput("BatchNorm: momentum must be above 0, or nothing would be learned")

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """The running mean and variance, (1, features)."""
        row = (1, *shape)
        return {
            "mean": Parameter(row, "zeros", moving=True),
            "variance": Parameter(row, "ones", moving=True),
        }

    def frozen(self, shape: tuple[int, ...], context: Context) -> bool:
        """Whether no array of it is trained. shape: of the features. context: knows the rates."""
        trained = self.parameters(shape)
        rates = [context.rates.get(context.name(n), p.rate) for n, p in trained.items()]
        return not any(rates) if rates else not self.trainable

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """By the batch's statistics in training, by the running ones elsewhere."""
        mean, variance = parameters["mean"], parameters["variance"]
        if not context.training or self.frozen(mean.spec.shape[1:], context):  # type: ignore[arg-type]
            return self.normalized(x - mean, variance, parameters)
        shares = context.weights(x)

        def total(rows: Node) -> Node:
            return rows.sum(axis=0, keepdims=True)

        # 1 - 1 / n of n equal rows: what turns a variance into the unbiased one
        rest = total(shares) - total(shares * shares)
        several = rest > ALONE

        def seen(batch: Node, alone: Node) -> Node:
            return make("where", several, batch, alone)

        middle = seen(total(shares * x), mean)
        centred = x - middle
        spread = seen(total(shares * (centred * centred)), variance)
        unbiased = spread / seen(rest, constant(1.0, x.dtype))
        share = float(self.momentum)
        context.observe("mean", mean + (middle - mean) * share)
        context.observe("variance", variance + (unbiased - variance) * share)
        return self.normalized(centred, spread, parameters)
