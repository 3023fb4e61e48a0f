"""Optimizers: frozen settings, and the operations of the update segment that they stand for.

The formulas are those of torch.optim. `clip_norm` shortens the whole gradient to that Euclidean
norm first; then layers' weight decay is added; then the rule is applied to all parameters at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..backends.program import Layout
from ..kernels.errors import BadInput, unknown
from . import schedules
from .checks import check_number
from .graph.planner import Update

Rate = float | Callable[[int], float]


@dataclass(frozen=True)
class Optimizer:
    """The common part.

    learning_rate: a number from 0, or a schedule: a function of the step number (from 0).
    clip_norm: the largest Euclidean norm of the whole gradient, above 0, or None.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    learning_rate: Rate = 0.01

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not callable(self.learning_rate):
            check_number(f"{name}: learning_rate", self.learning_rate, 0.0, np.inf, open_high=True)
        clip = getattr(self, "clip_norm", None)
        if clip is not None:
            check_number(f"{name}: clip_norm", clip, 0.0, np.inf, open_high=True)
            if clip == 0:
                raise BadInput(f"{name}: clip_norm must be above 0; None switches it off")
        for field in ("momentum", "rho", "beta1", "beta2"):
            if hasattr(self, field):
                check_number(f"{name}: {field}", getattr(self, field), 0.0, 1.0, open_high=True)
        for field in ("epsilon", "weight_decay"):
            if hasattr(self, field):
                check_number(f"{name}: {field}", getattr(self, field), 0.0, np.inf, open_high=True)

    def rates(self, first_step: int, count: int) -> np.ndarray:
        """The learning rates of `count` steps from `first_step` on, (count,) float64.

        Raises: BadInput where a schedule gives no finite number from 0.
        """
        if callable(self.learning_rate):
            steps = range(first_step, first_step + count)
            return np.array([schedules.check(float(self.learning_rate(s))) for s in steps])
        return np.full(count, float(self.learning_rate))

    def state(self) -> tuple[str, ...]:
        """The flat segments that the rule keeps between steps."""
        return self.slots

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row and its attributes, for the parameters that `layout` places."""
        raise NotImplementedError

    def updates(self, layout: Layout) -> list[Update]:
        """The update segment for that layout: norm clipped, layers' decay added, the rule."""
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
        op, attrs = self.rule(layout)
        slots = self.state()
        inputs = ("parameters", "gradients", *slots, "learning_rate")
        if op.startswith("adam"):
            inputs = (*inputs, "step")
        found.append(Update(op, inputs, ("parameters", *slots), attrs))
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
    Raises: BadInput.
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
    epsilon: keeps the quotient finite, from 0. clip_norm: as in SGD. Raises: BadInput.
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
    epsilon: keeps the quotient finite, from 0. clip_norm: as in SGD. Raises: BadInput.
    """

    slots: ClassVar[tuple[str, ...]] = ("mean", "square")

    learning_rate: Rate = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float | None = None

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row."""
        return "adam_update", {
            "beta1": float(self.beta1), "beta2": float(self.beta2), "epsilon": float(self.epsilon)
        }  # fmt: skip


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay on weights, not on biases (Loshchilov and Hutter 2019).

    Before Adam's step, weights are multiplied by 1 - learning_rate * weight_decay.

    weight_decay: from 0; the other settings are Adam's.
    """

    weight_decay: float = 0.01

    def rule(self, layout: Layout) -> tuple[str, dict[str, Any]]:
        """The table's row, with the number of leading elements that decay."""
        _, attrs = super().rule(layout)
        return "adamw_update", {
            **attrs, "weight_decay": float(self.weight_decay), "decayed": layout.decayed
        }  # fmt: skip


BUILTIN: dict[str, type[Optimizer]] = {c.__name__: c for c in (SGD, RMSprop, Adam, AdamW)}


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
