"""Activations, layers and losses as JAX has them, or as its users write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ..spellings import DELTA, EPSILON, GAMMA, SMOOTHING

MOMENTUM = 0.1  # the share of a new batch in running statistics
ACTIVATIONS: dict[str, Any] = {
    "linear": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax,
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "selu": jax.nn.selu,
    "softsign": jax.nn.soft_sign,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
}

# Layers: x, the weights that are left, the activation, and a list for what batch norms found.
Layer = Callable[[Any, Iterator[Any], Any, list[Any]], Any]


def layer_norm(x: Any, left: Iterator[Any], act: Any, found: list[Any]) -> Any:
    """Over rows."""
    return jax.nn.standardize(x, axis=1, epsilon=EPSILON) * next(left) + next(left)


def batch_norm(x: Any, left: Iterator[Any], act: Any, found: list[Any]) -> Any:
    """Over columns; their means and variances are left in `found`."""
    mean = jnp.mean(x, axis=0, keepdims=True)
    variance = jnp.maximum(jnp.mean(x * x, axis=0, keepdims=True) - mean * mean, 0.0)
    found.append((mean, variance * (len(x) / max(len(x) - 1, 1))))
    normal = jax.nn.standardize(x, axis=0, mean=mean, variance=variance, epsilon=EPSILON)
    return normal * next(left) + next(left)


def residual(x: Any, left: Iterator[Any], act: Any, found: list[Any]) -> Any:
    """x + activation(x @ w + b)."""
    return x + act(x @ next(left) + next(left))


def gated(x: Any, left: Iterator[Any], act: Any, found: list[Any]) -> Any:
    """A gated linear unit."""
    return jax.nn.glu(x @ next(left) + next(left), axis=1)


LAYERS: dict[str, Layer] = {f.__name__: f for f in (layer_norm, batch_norm, residual, gated)}

# Losses: the mean, of z: (n, outputs), the last layer's sums, and y: (n, 1) of zeros and ones,
# (n, outputs) one-hot, or numbers.


def cross_entropy(z: Any, y: Any) -> Any:
    """-log of the probability of the class."""
    if z.shape[1] == 1:
        return jnp.mean(jax.nn.softplus(z) - y * z)
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z), axis=1))


def label_smoothing(z: Any, y: Any) -> Any:
    """Cross-entropy with a share of each target spread over all classes."""
    return cross_entropy(z, y * (1.0 - SMOOTHING) + SMOOTHING / max(z.shape[1], 2))


def focal(z: Any, y: Any) -> Any:
    """Cross-entropy times (1 - probability of the class) ** GAMMA."""
    if z.shape[1] == 1:
        log = -jax.nn.softplus(jnp.where(y > 0.5, -z, z))
    else:
        log = jnp.sum(y * jax.nn.log_softmax(z), axis=1)
    return -jnp.mean((1.0 - jnp.exp(log)) ** GAMMA * log)


def mean_squared_error(z: Any, y: Any) -> Any:
    """(z - y) ** 2."""
    return jnp.mean(jnp.square(z - y))


def mean_absolute_error(z: Any, y: Any) -> Any:
    """|z - y|."""
    return jnp.mean(jnp.abs(z - y))


def huber(z: Any, y: Any) -> Any:
    """Half the square of a small error, a straight line beyond."""
    error = jnp.abs(z - y)
    line = DELTA * (error - 0.5 * DELTA)
    return jnp.mean(jnp.where(error < DELTA, 0.5 * jnp.square(error), line))


def gaussian(z: Any, y: Any) -> Any:
    """-log of a normal density less a constant: means, then logarithms of variances."""
    mean, log_variance = jnp.split(z, 2, axis=1)
    return 0.5 * jnp.mean(log_variance + jnp.square(y - mean) * jnp.exp(-log_variance))


LOSSES: dict[str, Callable[[Any, Any], Any]] = {
    f.__name__: f
    for f in (
        cross_entropy, label_smoothing, focal, mean_squared_error, mean_absolute_error, huber,
        gaussian,
    )
}  # fmt: skip
