"""Layers in NumPy by hand, forward and backward, their derivatives worked out on paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..spellings import EPSILON
from .peer import one_of

Array = Any  # of NumPy's
MOMENTUM = 0.1  # the share of a new batch in running statistics
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of selu


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z))."""
    return 1.0 / (1.0 + np.exp(-z))


def softplus(z: Array) -> Array:
    """log(1 + exp(z))."""
    return np.logaddexp(z, 0.0)


def _mish_slope(z: Array, a: Array) -> Array:
    t = np.tanh(softplus(z))
    return t + z * (1.0 - t * t) * sigmoid(z)


def _silu_slope(z: Array, a: Array) -> Array:
    s = sigmoid(z)
    return s * (1.0 + z * (1.0 - s))


def _gelu_tanh(z: Array) -> Array:
    return 0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))


def _gelu_tanh_slope(z: Array, a: Array) -> Array:
    c = math.sqrt(2.0 / math.pi)
    t = np.tanh(c * (z + 0.044715 * z**3))
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * z * z)


# Each activation, and its derivative as a function of where it was taken and of its value there.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Any]]] = {
    "linear": (lambda z: z, lambda z, a: 1.0),
    "sigmoid": (sigmoid, lambda z, a: a * (1.0 - a)),
    "tanh": (np.tanh, lambda z, a: 1.0 - a * a),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z, a: a > 0.0),
    "leaky_relu": (lambda z: np.maximum(z, 0.01 * z), lambda z, a: np.where(a > 0.0, 1.0, 0.01)),
    "elu": (
        lambda z: np.where(z > 0.0, z, np.expm1(z)),
        lambda z, a: np.where(a > 0.0, 1.0, a + 1.0),
    ),
    "softplus": (softplus, lambda z, a: -np.expm1(-a)),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope),
    "silu": (lambda z: z * sigmoid(z), _silu_slope),
    "mish": (lambda z: z * np.tanh(softplus(z)), _mish_slope),
    "selu": (
        lambda z: SCALE * np.where(z > 0.0, z, ALPHA * np.expm1(np.minimum(z, 0.0))),
        lambda z, a: np.where(z > 0.0, SCALE, a + SCALE * ALPHA),
    ),
    "softsign": (lambda z: z / (1.0 + np.abs(z)), lambda z, a: (1.0 - np.abs(a)) ** 2),
    "hard_sigmoid": (
        lambda z: np.clip(z / 6.0 + 0.5, 0.0, 1.0),
        lambda z, a: (np.abs(z) < 3.0) / 6.0,
    ),
    "hard_swish": (
        lambda z: z * np.clip(z / 6.0 + 0.5, 0.0, 1.0),
        lambda z, a: np.where(z < -3.0, 0.0, np.where(z < 3.0, z / 3.0 + 0.5, 1.0)),
    ),
}


class Layer:
    """A layer over its weights; `backward` asks for what `forward` kept.

    first: whether nobody needs the gradient of its input. running: its running statistics.
    """

    first = False
    running: Sequence[Array] = ()

    def forward(self, x: Array) -> Array:
        """x: (n, n_in) -> (n, n_out)."""
        raise NotImplementedError

    def backward(self, delta: Array) -> Array:
        """The gradient of its output -> that of its input; may write over `delta`."""
        raise NotImplementedError

    def gradients(self) -> list[Array]:
        """Of its weights, in their order, after `backward`."""
        return []


class Affine(Layer):
    """x @ w + b."""

    def __init__(self, w: Array, b: Array) -> None:
        self.w, self.b = w, b

    def forward(self, x: Array) -> Array:
        """x: (n, n_in) -> (n, n_out)."""
        self.x = x
        z: Array = x @ self.w
        z += self.b
        return z

    def backward(self, delta: Array) -> Array:
        """One product for w, one for x."""
        self.found = [self.x.T @ delta, delta.sum(axis=0, keepdims=True)]
        return delta if self.first else delta @ self.w.T

    def gradients(self) -> list[Array]:
        """Of w and b."""
        return self.found


class Activation(Layer):
    """A function of single numbers. Raises: BadInput for one that is not here."""

    def __init__(self, name: str) -> None:
        self.function, self.slope = one_of(ACTIVATIONS, "activation", name)

    def forward(self, x: Array) -> Array:
        """Of every number."""
        self.z, self.a = x, self.function(x)
        return self.a

    def backward(self, delta: Array) -> Array:
        """Times the slope, in the memory of `delta`."""
        delta *= self.slope(self.z, self.a)
        return delta


class Norm(Layer):
    """(x - mean) / sqrt(variance + epsilon) * scale + shift.

    axis: what mean and variance are over: 1 for rows, 0 for the columns of a batch.
    running: whether it also keeps running means and variances of the columns.
    """

    def __init__(self, scale: Array, shift: Array, axis: int, running: bool = False) -> None:
        self.scale, self.shift, self.axis = scale, shift, axis
        self.running = [np.zeros_like(scale), np.ones_like(scale)] if running else []

    def forward(self, x: Array) -> Array:
        """x: (n, width) -> (n, width)."""
        mean = x.mean(axis=self.axis, keepdims=True)
        self.normal = x - mean
        variance = (self.normal * self.normal).mean(axis=self.axis, keepdims=True)
        self.inverse = 1.0 / np.sqrt(variance + EPSILON)
        self.normal *= self.inverse
        rows = len(x)
        for kept, new in zip(
            self.running, (mean, variance * (rows / max(rows - 1, 1))), strict=False
        ):
            kept += MOMENTUM * (new - kept)
        out: Array = self.normal * self.scale
        out += self.shift
        return out

    def backward(self, delta: Array) -> Array:
        """In the memory of `delta`."""
        self.found = [
            (delta * self.normal).sum(axis=0, keepdims=True), delta.sum(axis=0, keepdims=True)
        ]  # fmt: skip
        delta *= self.scale
        inner = (delta * self.normal).mean(axis=self.axis, keepdims=True)
        delta -= delta.mean(axis=self.axis, keepdims=True)
        delta -= self.normal * inner
        delta *= self.inverse
        return delta

    def gradients(self) -> list[Array]:
        """Of scale and shift."""
        return self.found


class Residual(Layer):
    """x + activation(x @ w + b)."""

    def __init__(self, w: Array, b: Array, activation: str) -> None:
        self.inner = Affine(w, b)
        self.activation = Activation(activation)

    def forward(self, x: Array) -> Array:
        """x: (n, width) -> (n, width)."""
        return x + self.activation.forward(self.inner.forward(x))

    def backward(self, delta: Array) -> Array:
        """Both ways, added in the memory of `delta`."""
        delta += self.inner.backward(self.activation.backward(delta.copy()))
        return delta

    def gradients(self) -> list[Array]:
        """Of w and b."""
        return self.inner.gradients()


class Gated(Layer):
    """The first half of x @ w + b times the sigmoid of the second."""

    def __init__(self, w: Array, b: Array) -> None:
        self.inner = Affine(w, b)

    def forward(self, x: Array) -> Array:
        """x: (n, width) -> (n, width)."""
        self.value, gate = np.split(self.inner.forward(x), 2, axis=1)
        self.open = sigmoid(gate)
        return self.value * self.open

    def backward(self, delta: Array) -> Array:
        """Both halves, then the product."""
        gate = delta * self.value * self.open * (1.0 - self.open)
        delta *= self.open
        return self.inner.backward(np.concatenate([delta, gate], axis=1))

    def gradients(self) -> list[Array]:
        """Of w and b."""
        return self.inner.gradients()


class Drop(Layer):
    """x times a mask of zeros and 1 / (1 - rate), drawn anew each time."""

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.rng = rate, np.random.default_rng(seed)

    def forward(self, x: Array) -> Array:
        """x times a new mask."""
        self.kept = self.rng.random(x.shape, np.float32) >= self.rate
        self.mask = self.kept * x.dtype.type(1.0 / (1.0 - self.rate))
        return x * self.mask

    def backward(self, delta: Array) -> Array:
        """Times the same mask, in the memory of `delta`."""
        delta *= self.mask
        return delta


def hidden(name: str, left: Iterator[Array], activation: str) -> list[Layer]:
    """What stands behind a hidden layer, over the next of the weights. Raises: BadInput."""
    makers: dict[str, Callable[[], Layer]] = {
        "layer_norm": lambda: Norm(next(left), next(left), 1),
        "batch_norm": lambda: Norm(next(left), next(left), 0, name == "batch_norm"),
        "residual": lambda: Residual(next(left), next(left), activation),
        "gated": lambda: Gated(next(left), next(left)),
    }
    return [one_of(makers, "layer", name)()] if name else []
