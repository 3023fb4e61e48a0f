"""What is said of a step that was not finite, by whom ever it was found."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import guard
from lamina.backends.program import Program, ValueId
from lamina.backends.state import Control, DataBlock, State
from lamina.backends.walker import Walker, WalkerBinding


def program() -> Program:
    return support.classifier("numpy").build(4).session.program("train", 8, 1)


@pytest.mark.parametrize("position", range(len(program().forward)))
def test_the_first_instruction_that_made_it_is_named(position: int) -> None:
    one, control = program(), Control(8)
    later = {id for made in one.forward[position:] for id in made.outputs}

    def read(id: ValueId) -> np.ndarray:
        return np.array([1.0, np.nan if id in later else 2.0])

    guard.stop_at_loss(control, one, read)
    assert control.stop
    assert control.nonfinite_instruction == position
    assert control.nonfinite_layer == guard.layer_at(one.forward, position)


def test_where_nothing_is_found_it_is_the_last_one() -> None:
    one, control = program(), Control(8)
    guard.stop_at_loss(control, one, lambda id: np.zeros(1))
    assert control.nonfinite_instruction == len(one.forward) - 1
    assert control.nonfinite_layer == guard.layer_at(one.forward, len(one.forward))


def test_a_rate_from_one_on_narrows_the_limit() -> None:
    for dtype in ("float32", "float64"):
        whole = guard.limit(dtype, 0.0)
        assert guard.limit(dtype, 1.0) == whole == guard.largest_norm(dtype)
        assert guard.limit(dtype, 4.0) == whole / 4.0


def bound(spoilt: float) -> WalkerBinding:
    backend: Any = lm.get_backend("numpy")
    one = program()
    state = State(backend, one.layout, "float64", 0)
    state.write("parameters", np.linspace(-1.0, 1.0, one.layout.length("parameters")))
    x, y = support.classes(16)
    x[8:] *= spoilt
    block = DataBlock(backend, {"x": x, "y": y.reshape(-1, 1).astype(np.int32)}, dtype="float64")
    return Walker(backend, one).bind(state, block)


@pytest.mark.parametrize(
    ("spoilt", "instruction", "layer"), [(1.0, -1, ""), (np.inf, 0, "0"), (1e155, -1, "0")]
)
def test_a_step_is_examined_without_being_taken(
    spoilt: float, instruction: int, layer: str
) -> None:
    binding = bound(spoilt)
    state = binding.state
    kept = ("parameters", *state.layout.slots)
    before = [state.read(name) for name in kept]
    control = Control(8, cursor=8, learning_rates=np.array([0.5, 0.1]))
    binding.examine(control, 1, 8)
    assert control.stop == bool(layer)
    assert (control.nonfinite_instruction, control.nonfinite_layer) == (instruction, layer)
    assert state.step == 0
    assert support.same(before, [state.read(name) for name in kept])
