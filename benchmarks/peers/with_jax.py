"""JAX: jit for each step, and the whole loop of steps inside one jit; the state is donated."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .peer import BETA1, BETA2, CHECKED, EPSILON, RATE, Inference, Peer, Task, Workload

ACTIVATIONS: dict[str, Any] = {
    "linear": lambda z: z,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
}


def logits(activation: str, weights: list[Any], x: Any) -> Any:
    """The last layer's sums, (rows, n_out)."""
    act = ACTIVATIONS[activation]
    for i in range(0, len(weights) - 2, 2):
        x = act(x @ weights[i] + weights[i + 1])
    return x @ weights[-2] + weights[-1]


def cost(activation: str, weights: list[Any], x: Any, y: Any) -> Any:
    """The mean loss; y: (rows, 1) of 0 and 1, or (rows, n_out) one-hot."""
    z = logits(activation, weights, x)
    if z.shape[1] == 1:
        return jnp.mean(jax.nn.softplus(z) - y * z)
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(z), axis=1))


def step(activation: str, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """One step of Adam; returns the new state and the loss before it."""
    weights, means, squares, count = state
    if weights[-1].shape[1] > 1:  # the labels stay small in memory; XLA fuses the comparison
        y = jax.nn.one_hot(y, weights[-1].shape[1], dtype=x.dtype)
    loss, gradients = jax.value_and_grad(partial(cost, activation))(weights, x, y)
    count = count + 1
    rate = RATE / -jnp.expm1(count * math.log(BETA1))  # 1 - 0.9^t, without cancellation
    scale = lax.rsqrt(-jnp.expm1(count * math.log(BETA2)))
    means = jax.tree.map(lambda m, g: BETA1 * m + (1.0 - BETA1) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: BETA2 * v + (1.0 - BETA2) * g * g, squares, gradients)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) * scale + EPSILON), weights, means, squares
    )
    return (weights, means, squares, count), loss


class Training:
    """A jitted step, called from Python."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.step = jax.jit(partial(step, task.network.activation), donate_argnums=0)
        size, wide = task.network.batch, task.network.binary
        x, y = task.block
        self.x = jnp.asarray(x).reshape(-1, size, x.shape[1])
        self.y = jnp.asarray(y[:, None].astype(x.dtype) if wide else y)
        self.y = self.y.reshape(-1, size, 1) if wide else self.y.reshape(-1, size)
        self.batches = [(jnp.copy(a), jnp.copy(b)) for a, b in zip(self.x, self.y, strict=True)]
        self.reset()

    def reset(self) -> None:
        """New arrays; the old ones were donated."""
        weights = [jnp.array(w) for w in self.task.weights]
        zeros = [[jnp.zeros_like(w) for w in weights] for _ in range(2)]
        count = jnp.zeros((), self.task.network.dtype)
        self.state = jax.block_until_ready((weights, *zeros, count))

    def perform(self, units: int) -> None:
        """Steps."""
        state, batches = self.state, self.batches
        for number in range(units):
            state, _ = self.step(state, *batches[number % len(batches)])
        self.state = jax.block_until_ready(state)

    def answer(self) -> dict[str, Any]:
        """Ten steps."""
        losses = []
        for number in range(CHECKED):
            self.state, loss = self.step(self.state, *self.batches[number % len(self.batches)])
            losses.append(float(loss))
        return {"losses": np.array(losses), "weights": [np.asarray(w) for w in self.state[0]]}

    def accuracy(self) -> float:
        """Not asked of it."""
        return float("nan")


class Loop(Training):
    """The loop of steps inside one jit; the number of steps is an argument, so nothing recompiles.

    The loss of every step comes back as a running sum, as it does from `fit`.
    """

    def __init__(self, task: Task) -> None:
        activation = task.network.activation

        def loop(state: Any, x: Any, y: Any, units: Any) -> Any:
            def body(number: Any, carry: Any) -> Any:
                at = number % len(x)
                state, loss = step(activation, carry[0], x[at], y[at])
                return state, carry[1] + loss

            return lax.fori_loop(0, units, body, (state, jnp.zeros((), x.dtype)))

        self.loop = jax.jit(loop, donate_argnums=0)
        super().__init__(task)

    def perform(self, units: int) -> None:
        """Steps."""
        self.state, self.total = jax.block_until_ready(
            self.loop(self.state, self.x, self.y, np.int32(units))
        )

    def answer(self) -> dict[str, Any]:
        """Ten steps: as many loops, each longer by one, tell each step's loss."""
        totals = [0.0]
        for units in range(1, CHECKED + 1):
            self.reset()
            self.perform(units)
            totals.append(float(self.total))
        return {"losses": np.diff(totals), "weights": [np.asarray(w) for w in self.state[0]]}


class Predictions(Inference):
    """A jitted forward pass, from NumPy to NumPy."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.weights = [jnp.asarray(w) for w in task.weights]
        last = jax.nn.sigmoid if task.network.binary else jax.nn.softmax
        self.forward = jax.jit(lambda w, x: last(logits(task.network.activation, w, x)))

    def predict(self) -> np.ndarray:
        """The probabilities."""
        return np.asarray(self.forward(self.weights, self.x))


def workload(peer: Peer, task: Task) -> Workload:
    """The task in JAX; double precision must be switched on before arrays are made."""
    jax.config.update("jax_enable_x64", task.network.dtype == "float64")
    if task.mode == "inference":
        return Predictions(task)
    return Loop(task) if peer.variant == "whole loop" else Training(task)
