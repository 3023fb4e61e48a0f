"""What was not finite in a step that an executor did not take, found by walking that one."""

from __future__ import annotations

from . import guard
from .state import Control
from .walker import WalkerBinding


def examine(
    walk: WalkerBinding, control: Control, number: int, cursor: int, rows: int, at_loss: bool,
    together: bool = False,
) -> None:  # fmt: skip
    """Says in `control` what was not finite in a step that was not taken, by walking it.

    walk: on the state as it was before the step. number: of the step in its run. cursor: its first
    row. at_loss: whether the loss was not finite, else the gradient. together: all processes walk
    it, and one whose own loss is finite says nothing of an instruction.
    """
    probe = Control(control.batch, cursor, learning_rates=control.learning_rates, part=control.part)
    walk.examine(probe, number, rows, together)
    control.stop, control.nonfinite_step = True, number
    control.nonfinite_layer = probe.nonfinite_layer
    control.nonfinite_instruction = probe.nonfinite_instruction if together else -1
    if at_loss and not together:  # a walk may round to a number what was none
        forward, found = walk.program.forward, probe.nonfinite_instruction
        control.nonfinite_instruction = found if found >= 0 else len(forward) - 1
        control.nonfinite_layer = guard.layer_at(forward, control.nonfinite_instruction)
