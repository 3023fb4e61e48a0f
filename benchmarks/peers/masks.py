"""Dropout's masks, so that what is random is checked like all else.

No two libraries draw the same numbers. So each tells the masks of its checked steps, float64 on
NumPy computes with those, and losses and weights must agree as those of any network do: a mask that
was not applied as told, or scaled otherwise, is seen. The masks themselves are looked at as well.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ...core.graph.graph import Node
from ...core.layers import Context, Dropout, Layer
from ...core.model import Sequential
from ...kernels.errors import BadInput
from ..networks import layers_of, loss_of
from .peer import CHECKED, Task

SIGMAS = 6.0  # by which the share that is kept may miss its expectation


def shape(task: Task) -> tuple[int, int, int]:
    """Of all masks of the checked steps: (steps, batch, hidden units of all layers)."""
    return CHECKED, task.network.batch, sum(task.network.sizes[1:-1])


def pack(masks: np.ndarray) -> str:
    """Masks as a word of JSON, a bit for each number."""
    return base64.b64encode(np.packbits(masks).tobytes()).decode("ascii")


def unpack(text: str, task: Task) -> np.ndarray:
    """The masks of a word. Raises: BadInput where it holds others."""
    found = np.frombuffer(base64.b64decode(text), np.uint8)
    wanted = shape(task)
    if len(found) != -(-math.prod(wanted) // 8):
        raise BadInput(f"it told masks of {8 * len(found)} numbers, not of {math.prod(wanted)}")
    return np.unpackbits(found, count=math.prod(wanted)).astype(bool).reshape(wanted)


def oddity(masks: np.ndarray, task: Task) -> str:
    """What is wrong with masks as random ones; "" for nothing."""
    rate = task.network.dropout
    kept, allowed = float(masks.mean()), SIGMAS * math.sqrt(rate * (1.0 - rate) / masks.size)
    if abs(kept - (1.0 - rate)) > allowed:
        return f"its masks keep {kept:.3f} of the numbers, not {1.0 - rate:.3f}"
    if len({step.tobytes() for step in masks}) < len(masks):
        return "it does not draw a new mask at every step"
    ends = np.cumsum((0, *task.network.sizes[1:-1]))
    layers = [np.ascontiguousarray(masks[..., a:b]) for a, b in pairwise(ends)]
    if len({layer.tobytes() for layer in layers}) < len(layers):
        return "two of its layers have the same masks"
    return ""


class _Front(Layer):
    """x without the columns behind its features, which are the masks and are kept for `_Given`."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.whole: Node | None = None

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        self.whole = x
        return x[:, : self.features]


class _Given(Layer):
    """x times a mask, which is some columns of the model's input."""

    def __init__(self, front: _Front, start: int) -> None:
        self.front, self.start = front, start

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        assert self.front.whole is not None
        assert isinstance(x.shape[1], int)
        return x * self.front.whole[:, self.start : self.start + x.shape[1]]


def answer(task: Task, masks: np.ndarray) -> dict[str, Any]:
    """The task's answer in its dtype on NumPy, with masks that are given: see `shape`."""
    network = task.network
    front = _Front(network.sizes[0])
    starts = accumulate(network.sizes)  # the first mask stands behind x, and so on
    layers = [
        _Given(front, next(starts)) if isinstance(layer, Dropout) else layer
        for layer in layers_of(network)
    ]
    model = Sequential(
        [front, *layers], loss_of(network), backend="numpy", dtype=network.dtype, seed=0
    )
    model.build(sum(network.sizes[:-1])).set_weights(task.weights)
    factors = masks.astype(network.dtype) / (1.0 - network.dropout)
    losses = [
        model.train_on_batch(np.concatenate([x, factor], axis=1), y)["loss"]
        for (x, y), factor in zip(task.checked, factors, strict=True)
    ]
    told = [float(np.mean(losses))] if task.mode == "epoch" else losses
    found = {"losses": np.array(told), "weights": model.get_weights()}
    running = model.state.read("statistics")
    return {**found, "statistics": running} if running.size else found
