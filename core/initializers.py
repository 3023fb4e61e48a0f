"""How weights begin. All numbers are drawn on the host in float64, the same for every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Union

import numpy as np

from ..kernels.errors import BadInput, unknown
from . import names


class Initializer(Protocol):
    """Draws the first values of an array: any function (shape, rng) of float64 numbers.

    args, kwargs: the shape, and the generator `rng` of numpy to draw from.
    """

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Float64 numbers of that shape; a weight's shape is (n_in, n_out)."""
        ...


@dataclass(frozen=True)
class Constant:
    """Every element the same `value`."""

    value: float = 0.0

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """The value, of that shape."""
        return np.full(shape, self.value)


@dataclass(frozen=True)
class RandomNormal:
    """Normal numbers of standard deviation `scale`: the course's 0.01 (section 3.7)."""

    scale: float = 0.01

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """scale * N(0, 1)."""
        return rng.standard_normal(shape) * self.scale


@dataclass(frozen=True)
class VarianceScaling:
    """Normal numbers of variance gain / n, n being the inputs or the mean of inputs and outputs.

    average: take that mean (Glorot and Bengio 2010), not the inputs alone (He et al. 2015).
    """

    gain: float = 1.0
    average: bool = False

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """N(0, gain / n)."""
        n = (shape[0] + shape[-1]) / 2.0 if self.average else float(shape[0])
        return rng.standard_normal(shape) * math.sqrt(self.gain / max(n, 1.0))


def zeros() -> Constant:
    """All zeros."""
    return Constant(0.0)


def ones() -> Constant:
    """All ones."""
    return Constant(1.0)


def random_normal(scale: float = 0.01) -> RandomNormal:
    """Normal numbers of the standard deviation `scale`."""
    return RandomNormal(scale)


def xavier() -> VarianceScaling:
    """Variance 2 / (n_in + n_out) (Glorot and Bengio 2010): for sigmoid and tanh."""
    return VarianceScaling(1.0, average=True)


def he() -> VarianceScaling:
    """Variance 2 / n_in (He et al. 2015): for the ReLU family."""
    return VarianceScaling(2.0)


def lecun() -> VarianceScaling:
    """Variance 1 / n_in (LeCun et al. 1998)."""
    return VarianceScaling(1.0)


NAMED: dict[str, Callable[[], Initializer]] = {
    "zeros": zeros, "ones": ones, "random_normal": random_normal,
    "xavier": xavier, "he": he, "lecun": lecun,
}  # fmt: skip
RELU_FAMILY = (
    "relu", "leaky_relu", "elu", "gelu", "gelu_tanh", "softplus", "silu", "mish", "hard_swish",
)  # fmt: skip
Choice = Union[str, Initializer]


def get(choice: Choice, activation: object = None) -> Initializer:
    """The initializer for a name or an object; "auto" is He for the ReLU family, Xavier else.

    choice: a name, or a function (shape, rng). activation: that of the layer, which "auto" goes by.
    Raises: UnknownName, BadInput.
    """
    if isinstance(choice, str):
        if choice == "auto":
            return he() if activation in RELU_FAMILY else xavier()
        name = names.own("initializer", choice)
        if name not in NAMED:
            raise unknown("initializer", choice, (*NAMED, "auto"))
        made: Initializer = NAMED[name]()
        return made
    if not callable(choice):
        raise BadInput(f"an initializer is a name or a function (shape, rng), not {choice!r}")
    return choice


BUILTIN = {c.__name__: c for c in (Constant, RandomNormal, VarianceScaling)}
