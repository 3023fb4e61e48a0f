"""Steps that must not be taken: after them a number would not be finite.

Every executor looks at the loss before the backward pass and at the gradient before the update, and
stops with the state as it was before the step. So a training that diverges keeps finite parameters
and optimizer slots, at the same step on every backend, and nobody keeps copies to go back to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .program import Instruction, Program
from .state import State


def bound(dtype: str) -> float:
    """What the norm of a gradient may not reach, for a learning rate up to 1; over a larger rate.

    Its square must be finite, for the slots of Adam and RMSprop hold squares.
    """
    return float(np.sqrt(float(np.finfo(dtype).max)) / 16.0)


def watched(program: Program) -> tuple[str, ...]:
    """The flat segments whose norm is looked at before an update.

    Decay multiplies parameters, which too large a rate makes grow without any gradient.
    """
    decays = any(one.op in ("add_decay", "adamw_update") for one in program.update)
    return ("gradients", "parameters") if decays else ("gradients",)


def layer_at(forward: Sequence[Instruction], position: int) -> str:
    """The layer of an instruction; the loss belongs to none, then it is the last layer's."""
    layers = [one.layer for one in forward[: position + 1] if one.layer.isdigit()]
    return layers[-1] if layers else ""


def layer_beyond(state: State, limit: float) -> str:
    """The first layer with a gradient that is not finite or whose norm reaches the limit."""
    flat = state.read("gradients").astype(np.float64)
    with np.errstate(all="ignore"):
        for entry in state.layout.entries:
            part = flat[entry.offset : entry.offset + entry.size]
            if entry.trainable and not np.sqrt(part @ part) < limit:
                return str(entry.layer)
    return ""
