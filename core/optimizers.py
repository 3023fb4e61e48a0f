"""Optimizers: frozen settings, and the operations of the update stage that they stand for.

The formulas are those of torch.optim. `clip_norm` shortens the whole gradient to that Euclidean
norm first; then layers' weight decay is added; then the rule is applied to all parameters at once,
its step is scaled where a layer has a rate of its own, and the average follows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..backends.program import Layout
from ..kernels import ops
from ..kernels.errors import BadInput, unknown
from .averages import AVERAGE, Average
from .checks import check_count, check_number
from .graph.update import CONTROLS, Update

Rate = float | Callable[[int], float]
MOST_HISTORY = 1000  # SciPy's memory grows with its square


@dataclass(frozen=True)
class Optimizer:
    """The common part.

    learning_rate: a number from 0, or a schedule: a function of the step number (from 0).
    clip_norm, where a class has it: the largest Euclidean norm of the whole gradient, above 0, or
        None.
    average: an `lm.EMA` or `lm.SWA` of the weights to keep beside them, or None.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    learning_rate: Rate = 0.01
    average: Average | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not callable(self.learning_rate):
            check_number(f"{name}: learning_rate", self.learning_rate, 0.0, np.inf, open_high=True)
        clip = getattr(self, "clip_norm", None)
        if clip is not None:
            check_number(f"{name}: clip_norm", clip, 0.0, np.inf, open_high=True)
            if clip == 0:
                raise BadInput(f"{name}: clip_norm must be above 0; None switches it off")
        for word in ("momentum", "rho", "beta1", "beta2"):
            if hasattr(self, word):
                check_number(f"{name}: {word}", getattr(self, word), 0.0, 1.0, open_high=True)
        for word in ("epsilon", "weight_decay", "momentum_decay"):
            if hasattr(self, word):
                check_number(f"{name}: {word}", getattr(self, word), 0.0, np.inf, open_high=True)
        if self.average is not None and not isinstance(self.average, Average):
            raise BadInput(f"{name}: average is an lm.EMA or lm.SWA, not {self.average!r}")

    def rates(self, first_step: int, count: int) -> np.ndarray:
        """The learning rates of `count` steps from `first_step` on, (count,) float64.

        Raises: BadInput where a schedule gives no finite number from 0.
        """
        if callable(self.learning_rate):
            from . import schedules  # loaded by those who have one

            steps = range(first_step, first_step + count)
            return np.array([schedules.check(self.learning_rate(s)) for s in steps])
        return np.full(count, float(self.learning_rate))

    def state(self) -> tuple[str, ...]:
        """The flat segments that the rule keeps between steps."""
        return self.slots

    def segments(self) -> tuple[str, ...]:
        """All flat segments that are kept between steps: the rule's, and the average."""
        return (*self.state(), AVERAGE) if self.average else self.state()

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row and its attributes, for the parameters that `layout` places."""
        raise NotImplementedError

    def decoupled(self) -> float:
        """The weight decay that is taken off the weights before the rule's row, which has none."""
        return 0.0

    def updates(self, layout: Layout) -> list[Update]:
        """The update stage for that layout: norm clipped, layers' decay added, the rule."""
        found = []
        clip = getattr(self, "clip_norm", None)
        if clip is not None:
            attrs: dict[str, Any] = {"maximum": float(clip)}
            found.append(Update("clip_norm", ("gradients",), ("gradients",), attrs))
        for entry in layout.entries:
            if entry.trainable and entry.decay:
                attrs = {
                    "coefficient": float(entry.decay),
                    "start": entry.offset,
                    "stop": entry.offset + entry.size,
                }
                pair = ("gradients", "parameters")
                found.append(Update("add_decay", pair, ("gradients",), attrs))
        p, slots = ("parameters",), self.state()
        if layout.rescaled:
            found.append(Update("keep", p, ("before",), {}))
        if self.decoupled():
            attrs = {"weight_decay": float(self.decoupled()), "decayed": layout.decayed}
            found.append(Update("shrink", (*p, "learning_rate"), p, attrs))
        op, attrs = self.rule(layout)
        numbers = [name for name in ops.get(op).inputs if name in CONTROLS]
        found.append(Update(op, (*p, "gradients", *slots, *numbers), (*p, *slots), attrs))
        for rate, start, stop in layout.rescaled:
            attrs = {"factor": float(rate), "start": start, "stop": stop}
            found.append(Update("rescale", (*p, "before"), p, attrs))
        if self.average:
            inputs, attrs = (AVERAGE, *p, "step"), self.average.attributes()
            found.append(Update("average_update", inputs, (AVERAGE,), attrs))
        return found


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, with momentum and Nesterov's variant of it (torch.optim.SGD).

    w = w - learning_rate * v, with v = momentum * v + gradient; v is the gradient itself where
    momentum is 0.

    learning_rate: a number from 0, or a schedule of `lm.schedules`. momentum: in [0, 1).
    nesterov: step along gradient + momentum * v instead of v (Sutskever et al. 2013); needs a
        momentum above 0.
    clip_norm: the largest Euclidean norm of the whole gradient, above 0; None leaves it as it is.
    average: an `lm.EMA` or `lm.SWA` of the weights, or None. Raises: BadInput.
    """

    learning_rate: Rate = 0.01
    momentum: float = 0.0
    nesterov: bool = False
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise BadInput("SGD: nesterov needs a momentum above 0")

    def state(self) -> tuple[str, ...]:
        """The velocity, where there is momentum."""
        return ("velocity",) if self.momentum else ()

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """Plain, momentum or Nesterov."""
        if not self.momentum:
            return "sgd_update", {}
        name = "nesterov_update" if self.nesterov else "momentum_update"
        return name, {"momentum": float(self.momentum)}


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """Gradients divided by the root of their running mean square (Tieleman and Hinton 2012).

    w = w - learning_rate * gradient / (sqrt(s) + epsilon), with
    s = rho * s + (1 - rho) * gradient ** 2.

    learning_rate: a number from 0, or a schedule. rho: what is kept of the mean square, in [0, 1).
    epsilon: keeps the quotient finite, from 0. clip_norm, average: as in SGD. Raises: BadInput.
    """

    slots: ClassVar[tuple[str, ...]] = ("square",)

    learning_rate: Rate = 0.001
    rho: float = 0.9
    epsilon: float = 1e-8
    clip_norm: float | None = None

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row."""
        return "rmsprop_update", {"rho": float(self.rho), "epsilon": float(self.epsilon)}


@dataclass(frozen=True)
class Adam(Optimizer):
    """Steps by running means of the gradient and of its square (Kingma and Ba 2015).

    w = w - learning_rate * (m / c1) / (sqrt(s / c2) + epsilon), with
    m = beta1 * m + (1 - beta1) * gradient, s = beta2 * s + (1 - beta2) * gradient ** 2 and
    c = 1 - beta ** t at the t-th step, from 1.

    learning_rate: a number from 0, or a schedule. beta1, beta2: what is kept of the means, in
        [0, 1).
    epsilon: keeps the quotient finite, from 0. clip_norm, average: as in SGD.
    amsgrad: divide by the largest s so far in place of s (Reddi, Kale and Kumar 2018).
    Raises: BadInput.
    """

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

    learning_rate: Rate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float | None = None
    amsgrad: bool = field(default=False, kw_only=True)

    def state(self) -> tuple[str, ...]:
        """The running means, and the largest mean square where it is asked for."""
        return (*self.slots, "largest") if self.amsgrad else self.slots

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row."""
        return "amsgrad_update" if self.amsgrad else "adam_update", {
            "beta1": float(self.beta1), "beta2": float(self.beta2), "epsilon": float(self.epsilon)
        }  # fmt: skip


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay on weights, not on biases (Loshchilov and Hutter 2019).

    Before Adam's step, weights are multiplied by 1 - learning_rate * weight_decay.

    weight_decay: from 0; the other settings are Adam's.
    """

    weight_decay: float = 0.01

    def decoupled(self) -> float:
        """AMSGrad's row has no decay of its own."""
        return self.weight_decay if self.amsgrad else 0.0

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row, with the number of leading elements that decay."""
        name, attrs = super().rule(layout)
        if self.amsgrad:
            return name, attrs
        return "adamw_update", {
            **attrs, "weight_decay": float(self.weight_decay), "decayed": layout.decayed
        }  # fmt: skip


@dataclass(frozen=True)
class NAdam(Optimizer):
    """Adam with Nesterov's look ahead, and a momentum that warms up (Dozat 2016).

    w = w - learning_rate * (a * gradient + b * m) / (sqrt(s / c2) + epsilon), with m, s, c2 as in
    Adam, a = (1 - u_t) / (1 - u_1 ... u_t) and b = u_(t+1) / (1 - u_1 ... u_(t+1)), where
    u_t = beta1 * (1 - 0.96 ** (t * momentum_decay) / 2) (torch.optim.NAdam).

    learning_rate: a number from 0, or a schedule. beta1, beta2, epsilon: as in Adam.
    momentum_decay: how fast the momentum warms up, from 0. clip_norm, average: as in SGD.
    Raises: BadInput.
    """

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

    learning_rate: Rate = 0.002
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    momentum_decay: float = 0.004
    clip_norm: float | None = None

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row."""
        return "nadam_update", {
            "beta1": float(self.beta1), "beta2": float(self.beta2),
            "epsilon": float(self.epsilon), "momentum_decay": float(self.momentum_decay),
        }  # fmt: skip


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of their squares (Duchi, Hazan and Singer 2011).

    w = w - learning_rate * gradient / (sqrt(s) + epsilon), with s = s + gradient ** 2
    (torch.optim.Adagrad).

    learning_rate: a number from 0, or a schedule. epsilon: keeps the quotient finite, from 0.
    clip_norm, average: as in SGD. Raises: BadInput.
    """

    slots: ClassVar[tuple[str, ...]] = ("square",)

    learning_rate: Rate = 0.01
    epsilon: float = 1e-10
    clip_norm: float | None = None

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row."""
        return "adagrad_update", {"epsilon": float(self.epsilon)}


@dataclass(frozen=True)
class Lion(Optimizer):
    """Steps of one size, along the sign of a running mean of the gradient (Chen et al. 2023).

    w = w - learning_rate * sign(beta1 * m + (1 - beta1) * gradient), then
    m = beta2 * m + (1 - beta2) * gradient. Before it weights (not biases) are multiplied by
    1 - learning_rate * weight_decay. Its learning rate is some 3 to 10 times smaller than Adam's.

    learning_rate: a number from 0, or a schedule. beta1, beta2: what is kept, in [0, 1).
    weight_decay: from 0. clip_norm, average: as in SGD. Raises: BadInput.
    """

    slots: ClassVar[tuple[str, ...]] = ("mean",)

    learning_rate: Rate = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def decoupled(self) -> float:
        """All of its decay."""
        return self.weight_decay

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row."""
        return "lion_update", {"beta1": float(self.beta1), "beta2": float(self.beta2)}


@dataclass(frozen=True)
class LBFGS(Optimizer):
    """L-BFGS over all rows at once, by SciPy (Liu and Nocedal 1989; Byrd et al. 1995).

    An epoch of `fit` is a minimisation of up to `iterations` iterations, each with a line search of
    its own, from where the one before ended; it begins without their memory, so that a training
    goes on from a file as if it had not stopped. The cost is the weighted mean of the loss over all
    rows, with layers' weight decay. It is computed `batch_size` rows at a time, which changes
    nothing but the memory it takes. The history's loss is that before the epoch. For small networks
    and data without noise; dropout masks stay the same for an epoch.

    iterations: at most, of an epoch, from 1. history: how many steps the curvature is taken from,
        from 1 to 1000. tolerance: an epoch ends where no derivative is larger, from 0.
        learning_rate and average are not used.
    Raises: BadInput, for `train_on_batch`, batches from an iterable, and layers with a `rate`
    between 0 and 1.
    """

    learning_rate: Rate = field(default=1.0, init=False, repr=False)
    average: None = field(default=None, init=False, repr=False)
    iterations: int = 20
    history: int = 10
    tolerance: float = 1e-7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("LBFGS: iterations", self.iterations)
        check_count("LBFGS: history", self.history)
        if self.history > MOST_HISTORY:
            raise BadInput(f"LBFGS: history must be at most {MOST_HISTORY}, not {self.history!r}")
        check_number("LBFGS: tolerance", self.tolerance, 0.0, np.inf, open_high=True)

    def rates(self, first_step: int, count: int) -> np.ndarray:
        """It has no steps of a batch. Raises: BadInput."""
        raise BadInput("LBFGS works on all rows at once: train with fit(x, y)")

    def updates(self, layout: Layout) -> list[Update]:
        """None: SciPy makes the steps, on the host."""
        return []


BUILTIN: dict[str, type[Optimizer]] = {
    c.__name__: c for c in (SGD, RMSprop, Adam, AdamW, NAdam, Adagrad, Lion, LBFGS)
}


def get(choice: str | Optimizer) -> Optimizer:
    """The optimizer for a name (with its defaults) or an object. Raises: UnknownName, BadInput."""
    if isinstance(choice, Optimizer):
        return choice
    if isinstance(choice, str):
        named = {name.lower(): kind for name, kind in BUILTIN.items()}
        if choice.lower() not in named:
            raise unknown("optimizer", choice, named)
        return named[choice.lower()]()
    raise BadInput(f"an optimizer is a name or an object such as lm.Adam(1e-3), not {choice!r}")
