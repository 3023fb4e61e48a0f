"""Steps that must not be taken: after them a number would not be finite.

Every executor looks at the loss and at the gradient before the update, the walker of one process at
the loss before the backward pass already, and leaves the state's parameters, statistics and slots
as they were. So a training that diverges keeps finite parameters and optimizer slots, at the same
step on every backend, and nobody keeps copies to go back to.

Who looks, and when the host learns of it, is the executor's choice. The walker waits for every sum
and norm and stops at once. A device that computes while the host runs on sets a flag of its own,
without which nothing of a step is done, and the host reads it once a run: the state is the same,
and `examination.py` then finds the instruction and the layer, by walking that one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from ..kernels import ops
from .program import Instruction, Program
from .state import Control, State


@cache
def largest_norm(dtype: str) -> float:
    """What the norm of a gradient may not reach, for a learning rate up to 1.

    Its square must be finite, for the slots of Adam and RMSprop hold squares.
    """
    return float(np.sqrt(float(np.finfo(dtype).max)) / 16.0)


def limit(dtype: str, rate: float) -> float:
    """What the norm of a gradient may not reach at a learning rate."""
    return largest_norm(dtype) / max(rate, 1.0)


def normed(program: Program) -> tuple[str, ...]:
    """The flat segments whose norm is looked at before an update; see `Op.decays`."""
    decays = any(ops.get(one.op).decays for one in program.update)
    return ("gradients", "parameters") if decays else ("gradients",)


def layer_at(forward: Sequence[Instruction], position: int) -> str:
    """The layer of an instruction: up to its last one, a layer's instructions may say no number.

    The loss belongs to none; then it is the last layer's.
    """
    numbers = [(at, one.layer) for at, one in enumerate(forward) if one.layer.isdigit()]
    after = [layer for at, layer in numbers if at >= position]
    before = [layer for at, layer in numbers if at < position]
    return after[0] if after else before[-1] if before else ""


def stop_at_loss(control: Control, program: Program, position: int) -> None:
    """Asks for a stop. position: the forward instruction that first made what is not finite."""
    control.stop = True
    control.nonfinite_instruction = position
    control.nonfinite_layer = layer_at(program.forward, position)


def stop_at_gradient(control: Control, state: State, rate: float) -> None:
    """Asks for a stop, and says which layer's gradient it is."""
    control.stop = True
    control.nonfinite_layer = layer_beyond(state, limit(state.dtype, rate))


def layer_beyond(state: State, norm: float) -> str:
    """The first layer with a gradient that is not finite or whose norm reaches that one."""
    flat = state.read("gradients").astype(np.float64)
    with np.errstate(all="ignore"):
        for entry in state.layout.entries:
            part = flat[entry.offset : entry.offset + entry.size]
            if entry.trainable and not np.sqrt(part @ part) < norm:
                return str(entry.layer)
    return ""
