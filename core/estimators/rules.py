"""scikit-learn's update rules, by lamina's operations.

Its Adam has epsilon beside the root of the uncorrected mean square, and its momentum the learning
rate within the velocity: v = momentum * v - learning_rate * gradient, w = w + v.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import optimizers

if TYPE_CHECKING:
    from ..model import Sequential

LATE = 2**62  # at such a step beta ** step is 0, and Adam's operation corrects nothing
SLOWEST = 1e-30  # a learning rate below is this one: a velocity is divided by it


@dataclass(frozen=True)
class ScikitAdam(optimizers.Adam):
    """Adam in the order of Kingma and Ba 2015, section 2: the corrections are in the rate.

    w = w - rate * m / (sqrt(s) + epsilon), rate = learning_rate * sqrt(c2) / c1. Steps count from
    LATE.
    """

    def rates(self, first_step: int, count: int) -> np.ndarray:
        """The corrected rates of `count` steps."""
        t = np.arange(1, count + 1) + (first_step - LATE)
        plain = super().rates(first_step, count)
        corrected: np.ndarray = plain * np.sqrt(1.0 - self.beta2**t) / (1.0 - self.beta1**t)
        return corrected


@dataclass(frozen=True)
class ScikitSGD(optimizers.SGD):
    """Gradient descent whose momentum may be 1 as well."""

    def __post_init__(self) -> None:
        """scikit-learn has looked at the settings."""


def change_rate(model: Sequential, rate: float) -> None:
    """Gives an SGD another learning rate, and what it moves with the same velocity as before.

    lamina's velocity is scikit-learn's divided by minus the learning rate.
    """
    old, rate = model.optimizer.learning_rate, max(rate, SLOWEST)
    assert not callable(old)
    if rate == old:
        return
    if model.optimizer.state():
        model.state.write("velocity", model.state.read("velocity") * (old / rate))
    model.optimizer = replace(model.optimizer, learning_rate=rate)
