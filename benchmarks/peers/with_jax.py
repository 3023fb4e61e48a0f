"""JAX: jit for each step, and the whole loop of steps inside one jit; the state is donated."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..networks import Network
from .jax_parts import ACTIVATIONS, LAYERS, LOSSES, MOMENTUM
from .peer import (
    BETA1,
    BETA2,
    CHECKED,
    EPSILON,
    RATE,
    Inference,
    Peer,
    Task,
    Workload,
    one_of,
)  # fmt: skip


def outputs(network: Network, weights: list[Any], x: Any, key: Any = None) -> tuple[Any, list[Any]]:
    """The last layer's sums, (rows, n_out), and the statistics that batch norms found.

    key: of the masks of dropout; without one nothing is dropped.
    """
    left = iter(weights)
    act = one_of(ACTIVATIONS, "activation", network.activation)
    found: list[Any] = []
    for number in range(len(network.sizes) - 2):
        x = act(x @ next(left) + next(left))
        if network.layer:
            x = one_of(LAYERS, "layer", network.layer)(x, left, act, found)
        if network.dropout and key is not None:
            keep = 1.0 - network.dropout
            x = jnp.where(kept(network, key, number), x / keep, jnp.zeros_like(x))
    return x @ next(left) + next(left), found


def kept(network: Network, key: Any, number: int) -> Any:
    """The mask behind a hidden layer, (batch, width) booleans."""
    shape = (network.batch, network.sizes[number + 1])
    return jax.random.bernoulli(jax.random.fold_in(key, number), 1.0 - network.dropout, shape)


def key_of(count: Any) -> Any:
    """A key for every step."""
    return jax.random.fold_in(jax.random.key(0), count.astype(jnp.uint32))


def step(network: Network, state: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """One step of Adam; returns the new state and the loss before it."""
    weights, means, squares, count, running = state
    if not network.numbers and not network.binary:
        # the labels stay small in memory; XLA fuses the comparison
        y = jax.nn.one_hot(y, network.sizes[-1], dtype=x.dtype)
    key = key_of(count) if network.dropout else None
    loss_of = one_of(LOSSES, "loss", network.loss or "cross_entropy")

    def cost(weights: Any) -> Any:
        z, found = outputs(network, weights, x, key)
        return loss_of(z, y), found

    (loss, found), gradients = jax.value_and_grad(cost, has_aux=True)(weights)
    if running:
        running = jax.tree.map(lambda old, new: old + MOMENTUM * (new - old), running, found)
    count = count + 1
    rate = RATE / -jnp.expm1(count * math.log(BETA1))  # 1 - 0.9^t, without cancellation
    scale = lax.rsqrt(-jnp.expm1(count * math.log(BETA2)))
    means = jax.tree.map(lambda m, g: BETA1 * m + (1.0 - BETA1) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: BETA2 * v + (1.0 - BETA2) * g * g, squares, gradients)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) * scale + EPSILON), weights, means, squares
    )
    return (weights, means, squares, count, running), loss


def machine() -> str:
    """Where JAX works, and how."""
    found = jax.devices()[0]
    return f"{found.platform}: {found.device_kind}, TF32 off"


class Training:
    """A jitted step, called from Python."""

    def __init__(self, task: Task) -> None:
        self.task, self.machine = task, machine()
        network = task.network
        self.step = jax.jit(partial(step, network), donate_argnums=0)
        x, y = task.block
        if network.binary and not network.numbers:
            y = y[:, None].astype(x.dtype)
        self.x = jnp.asarray(x).reshape(-1, network.batch, x.shape[1])
        self.y = jnp.asarray(y).reshape(-1, network.batch, *y.shape[1:])
        self.batches = [(jnp.copy(a), jnp.copy(b)) for a, b in zip(self.x, self.y, strict=True)]
        self.reset()

    def reset(self) -> None:
        """New arrays; the old ones were donated."""
        network = self.task.network
        weights = [jnp.array(w) for w in self.task.weights]
        zeros = [[jnp.zeros_like(w) for w in weights] for _ in range(2)]
        count = jnp.zeros((), network.dtype)
        kept = network.sizes[1:-1] if network.layer == "batch_norm" else ()
        shapes = [((1, width), network.dtype) for width in kept]
        running = [(jnp.zeros(*shape), jnp.ones(*shape)) for shape in shapes]
        self.state = jax.block_until_ready((weights, *zeros, count, running))

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
        return self.told(losses)

    def told(self, losses: Any) -> dict[str, Any]:
        """The answer; masks are drawn once more, of the same keys."""
        found = {"losses": np.array(losses), "weights": [np.asarray(w) for w in self.state[0]]}
        network = self.task.network
        if running := jax.tree.leaves(self.state[-1]):
            found["statistics"] = np.concatenate([np.ravel(each) for each in running])
        if self.task.random:
            keys = [key_of(jnp.asarray(count, network.dtype)) for count in range(CHECKED)]
            layers = range(len(network.sizes) - 2)
            masks = [[kept(network, key, number) for number in layers] for key in keys]
            found["masks"] = np.array([np.concatenate(each, axis=1) for each in masks])
        return found

    def accuracy(self) -> float:
        """Not asked of it."""
        return float("nan")


class Loop(Training):
    """The loop of steps inside one jit; the number of steps is an argument, so nothing recompiles.

    The loss of every step comes back as a running sum, as it does from `fit`.
    """

    def __init__(self, task: Task) -> None:
        network = task.network

        def loop(state: Any, x: Any, y: Any, units: Any) -> Any:
            def body(number: Any, carry: Any) -> Any:
                at = number % len(x)
                state, loss = step(network, carry[0], x[at], y[at])
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
        return self.told(np.diff(totals))


class Predictions(Inference):
    """A jitted forward pass, from NumPy to NumPy."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.machine = machine()
        self.weights = [jnp.asarray(w) for w in task.weights]
        last = ACTIVATIONS[task.network.last]
        self.forward = jax.jit(lambda w, x: last(outputs(task.network, w, x)[0]))

    def predict(self) -> np.ndarray:
        """The probabilities."""
        return np.asarray(self.forward(self.weights, self.x))


def place(device: str) -> None:
    """Keeps JAX to one kind of device, before it makes an array; float32 is float32 there.

    Left alone, it would take a GPU where it finds one, and TF32 for products.
    """
    jax.config.update("jax_platforms", device)
    jax.config.update("jax_default_matmul_precision", "highest")


def workload(peer: Peer, task: Task) -> Workload:
    """The task in JAX; double precision must be switched on before arrays are made."""
    place(peer.device)
    jax.config.update("jax_enable_x64", task.network.dtype == "float64")
    if task.mode == "inference":
        return Predictions(task)
    return Loop(task) if peer.variant == "whole loop" else Training(task)
