"""Regions in blocks of rows on the numpy backend, and programs with regions on the others."""

from __future__ import annotations

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import blocked
from lamina.core.conformance import PROGRAMS, check_program
from lamina.core.graph.graph import Node
from region_checks import ROW_COUNT, Drawn

ops = lm.ops


@pytest.fixture(params=[1, 300, 1 << 22])
def everywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Every region goes in blocks: of one row, of a few, of all."""
    monkeypatch.setattr(blocked, "LARGE_BYTES", 0)
    monkeypatch.setattr(blocked, "BLOCK_BYTES", request.param)
    return int(request.param)


def run(drawn: Drawn, backend: str) -> tuple[lm.State, dict[str, np.ndarray]]:
    device = lm.get_backend(backend)
    state = drawn.state(device)
    binding = device.compile(drawn.program).bind(state, drawn.block(device))
    for _ in range(2):
        binding.run(lm.Control(batch=ROW_COUNT))
    return state, {name: binding.read(name) for name in drawn.program.outputs}


@pytest.mark.parametrize("seed", range(12))
def test_blocks_of_rows_compute_the_same(seed: int, everywhere: int) -> None:
    hold_to_plain(Drawn(seed))


@pytest.mark.long
@pytest.mark.parametrize("backend", support.CPU)
def test_walked_programs_with_regions_compute_the_same(backend: str) -> None:
    """Values in between share memory, which shows only where it is used."""
    for seed in range(12, 24):
        hold_to_plain(Drawn(seed), backend)


def hold_to_plain(drawn: Drawn, backend: str = "numpy") -> None:
    """Runs a program, twice, and compares with what it says."""
    plain, values = drawn.plain, drawn.values
    state, found = run(drawn, backend)
    off = {"float32": 1e-4, "float64": 1e-11}[drawn.dtype]
    pairs = [(found[name], values[id]) for name, id in drawn.program.outputs.items()]
    if drawn.program.gradients:
        pairs.append((state.read("gradients"), plain.state.read("gradients")))
    for got, want in pairs:
        np.testing.assert_allclose(got, want, rtol=off, atol=off * max(1.0, np.abs(want).max()))
    again, _ = run(drawn, backend)
    assert again.read("gradients").tobytes() == state.read("gradients").tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_conformance_kit_in_blocks(name: str, everywhere: int) -> None:
    assert check_program(lm.get_backend("numpy"), name, "float64") == []


def test_a_training_in_blocks(everywhere: int) -> None:
    """Partial batches, weights, dropout and labels; each step as without blocks."""
    model, x, y = support.variety("numpy")
    model.fit(x, y, epochs=2, batch_size=5, sample_weight=np.linspace(0.1, 2.0, 23), verbose=0)
    got = model.get_weights()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocked, "LARGE_BYTES", 1 << 60)
        model, x, y = support.variety("numpy")
        model.fit(x, y, epochs=2, batch_size=5, sample_weight=np.linspace(0.1, 2.0, 23), verbose=0)
    for one, other in zip(got, model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)


def exploding(y: Node, p: Node) -> Node:
    return ops.log(ops.exp(p * 1000.0)) - y


def test_who_is_not_finite_is_found_in_a_block(everywhere: int) -> None:
    """Although inner values are nowhere by then."""
    found = []
    for large in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blocked, "LARGE_BYTES", large)
            model = lm.Sequential([lm.Dense(2)], loss=exploding, backend="numpy", seed=0)
            with pytest.raises(lm.DivergenceError) as error:
                model.fit(np.ones((6, 3)) * 50.0, np.zeros((6, 2)), batch_size=6, verbose=0)
            found.append(str(error.value))
    assert found[0] == found[1]


@pytest.mark.long
def test_explain_and_profile_in_blocks(everywhere: int) -> None:
    model = lm.Sequential([lm.Dense(3)], loss=support.huber, backend="numpy", seed=0)
    x, y = np.ones((6, 2)), np.zeros((6, 3))
    model.fit(x, y, epochs=1, batch_size=6, verbose=0)
    told = lm.explain(model)
    assert "where   " in told
    assert "walked in blocks of rows: numpy kernel" in told
    assert "region, forward, n x 3: subtract, abs" in told
    timed = {row[1]: row[2] for row in lm.profile(model, x, y, steps=2).rows}
    assert timed["where"] > 0.0  # each instruction by itself


def test_small_regions_are_walked_as_they_stand() -> None:
    model = lm.Sequential([lm.Dense(3)], loss=support.huber, backend="numpy", seed=0)
    model.build(2)
    assert "region" not in lm.explain(model)
    assert "region" in lm.explain(model, batch_size=1 << 20)
    model.to("loops")
    assert "region" not in lm.explain(model, batch_size=1 << 20)
