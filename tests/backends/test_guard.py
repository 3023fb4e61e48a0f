"""What is said of a step that was not finite, by whom ever it was found."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import guard
from lamina.backends.program import Instruction, Program
from lamina.backends.state import Control, DataBlock, State
from lamina.backends.walker import Walker, WalkerBinding


def program() -> Program:
    return support.classifier("numpy").build(4).session.program("train", 8, 1)


def test_layers_are_numbered_from_their_last_instruction_back() -> None:
    layers = ["0", "", "", "1", "2", "", "2", "", ""]
    forward = [Instruction("exp", (), (), {}, layer) for layer in layers]
    found = [guard.layer_at(forward, position) for position in range(len(layers))]
    assert found == ["0", "1", "1", "1", "2", "2", "2", "2", "2"]
    assert guard.layer_at(forward[1:3], 0) == ""


class Broken(lm.Layer):
    """The logarithm of what is below zero, among instructions that are fine."""

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return 1.0 + lm.ops.tanh(x) * lm.ops.log(lm.ops.tanh(x) - 2.0) * 2.0


@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("place", range(4))
def test_the_layer_that_made_it_is_named(backend: str, place: int) -> None:
    """Wherever it stands: before and behind layers of many instructions, and inside of one."""
    layers: list[Any] = [lm.Dense(5, "silu"), lm.LayerNorm(), lm.Dense(3, "softmax")]
    layers.insert(place, Broken() if place < 3 else lm.Residual([lm.LayerNorm(), Broken()]))
    if place == 3:
        layers.append(lm.Dense(3, "softmax"))
    model = lm.Sequential(layers, "cross_entropy", backend=backend, seed=0)
    x, y = support.classes(16)
    with pytest.raises(lm.DivergenceError, match=f"first in layer {place}") as caught:
        model.fit(x, y, epochs=1, batch_size=8, verbose=0)
    assert caught.value.layer == place


@pytest.mark.parametrize("backend", support.EVERY)
def test_a_last_layer_is_named_where_its_activation_is_part_of_the_loss(backend: str) -> None:
    model = lm.Sequential(
        [lm.Dense(4, "tanh"), lm.Dense(3, "softmax")], "cross_entropy", lm.SGD(0.0),
        backend=backend, dtype="float64", seed=0,
    ).build(4)  # fmt: skip
    weights = model.get_weights()
    weights[0], weights[2] = np.full((4, 4), 5.0), np.full((4, 3), 1e308)  # sums are infinite
    model.set_weights(weights)
    with pytest.raises(lm.DivergenceError) as caught:
        model.fit(np.ones((8, 4)), np.arange(8) % 3, epochs=1, batch_size=8, verbose=0)
    assert caught.value.layer == 1


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
