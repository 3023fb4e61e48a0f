"""Random calls of every operation, in a process of their own; and what they found, shrunk."""

from __future__ import annotations

import argparse
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.graph.graph import make
from lamina.kernels import attributes, ops
from maintenance import script
from support import CPU

GROUPS = [tuple(ops.OPS)[at : at + 13] for at in range(0, len(ops.OPS), 13)]  # a process each
CALLS = {"numba": 10, "numpy": 20, "loops": 8}


@pytest.mark.long
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: f"{names[0]} to {names[-1]}")
@pytest.mark.parametrize("backend", CPU)
def test_random_calls_give_a_value_or_an_error_in_words(
    backend: str, names: tuple[str, ...]
) -> None:
    given = argparse.Namespace(backend=backend, calls=CALLS[backend], seed=1)
    assert script("random_calls").in_a_process(names, given) == []


def test_guard_bytes_and_signals_are_findings(monkeypatch: Any) -> None:
    tool = script("random_calls")
    guards = tool.Guards()
    array = guards.array(np.zeros(3))
    assert not guards.broken()
    guards.memory[0][0][tool.GUARD + array.nbytes] = 0
    assert guards.broken()
    monkeypatch.setattr(tool, "__file__", "-c")
    monkeypatch.setattr(tool.sys, "executable", "/bin/false")
    given = argparse.Namespace(backend="numpy", calls=1, seed=0)
    assert tool.in_a_process(["add"], given) != []


@pytest.mark.parametrize("backend", CPU)
def test_updates_outside_a_training_leave_what_they_read(backend: str) -> None:
    g = np.linspace(-1.0, 1.0, 21)
    calls: list[tuple[Any, Any]] = [
        (lambda x: lm.ops.clip_norm(x, maximum=0.5), g * (0.5 / (np.linalg.norm(g) + 1e-6))),
        (lambda x: lm.ops.add_decay(x, x, coefficient=2.0, start=0, stop=40), 3.0 * g),
        (lambda x: lm.ops.sgd_update(x, x, 0.5), 0.5 * g),
        (
            lambda x: lm.ops.clip_norm(x.reshape(7, 3), maximum=9.0).reshape(-1), g,
        ),
    ]  # fmt: skip
    for f, want in calls:
        found = lm.trace(f, g, backend=backend)
        np.testing.assert_allclose(found.values[found.result], want, rtol=1e-12)
        np.testing.assert_array_equal(found.values[found.nodes[0]], g)


@pytest.mark.parametrize(
    ("op", "count", "attrs"),
    [
        ("momentum_update", 3, {"momentum": "x"}),
        ("rmsprop_update", 3, {"rho": 1.0, "epsilon": 1e-8}),
        ("rmsprop_update", 3, {"rho": 0.9, "epsilon": -1.0}),
        ("adam_update", 4, {"beta1": 0.9, "beta2": np.inf, "epsilon": 1e-8}),
        ("clip_norm", 1, {"maximum": "x"}),
        ("add_decay", 2, {"coefficient": 0.3, "start": -1, "stop": 3}),
        ("add_decay", 2, {"coefficient": 0.3, "start": 0, "stop": 1.5}),
    ],
)
def test_attributes_of_updates_are_refused_in_words(op: str, count: int, attrs: Any) -> None:
    with pytest.raises((lm.BadInput, lm.ShapeError), match=rf"\[{op}\]"):
        attributes.normal(op, attrs)


def test_buffers_of_another_rank_and_masks_of_whole_numbers_are_refused() -> None:
    row = np.ones(4)
    for inputs in ((row, 1.0, 0.1), (1.0, row, 0.1), (row, row, row)):
        with pytest.raises((lm.ShapeError, lm.DtypeError), match=r"\[sgd_update\]"):
            make("sgd_update", *(np.asarray(v) for v in inputs))
    with pytest.raises(lm.DtypeError, match="must be floating"):
        make("dropout_mask", 0, 0, shape=(2,), rate=0.5, stream=0, dtype="int32")
