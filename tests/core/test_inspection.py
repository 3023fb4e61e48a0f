"""Looking at a model: gradients checked, summary, explanation, profile."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
import support

every_backend = pytest.mark.parametrize("backend", support.EVERY)


# Looking


def test_check_gradients_passes_and_fails() -> None:
    x, y = support.classes(12)
    layers = [lm.Dense(5, activation="gelu"), lm.Dropout(0.3), lm.Dense(3, activation="softmax")]
    model = support.classifier(layers=layers, dtype="float32").build(4)
    before = model.get_weights()
    found = lm.check_gradients(model, x, y, sample_weight=np.arange(12.0))
    assert found.passed
    assert bool(found)
    assert set(found.errors) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert max(found.errors.values()) < 1e-6
    assert str(found).count("ok") == 4
    assert support.same(model.get_weights(), before)
    assert model.state.step == 0


def test_check_gradients_catches_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.core.graph.derivatives import RULES
    from lamina.core.graph.graph import make

    def wrong(node: Any, gradients: Any, needs: Any) -> list[Any]:
        return [make("gelu_backward", gradients[0], node.inputs[0]) * 1.01]

    monkeypatch.setitem(RULES, "gelu", wrong)
    x, y = support.classes(12)
    layers = [lm.Dense(5, activation="gelu"), lm.Dense(3, activation="softmax")]
    found = lm.check_gradients(support.classifier(layers=layers), x, y)
    assert not found
    assert "WRONG" in str(found)
    assert found.errors["0.weight"] > 1e-3
    assert found.errors["1.weight"] < 1e-6


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = support.classifier()
    assert "not built" in model.summary()
    text = model.build(4).summary()
    assert text in capsys.readouterr().out
    assert "67 parameters" in text  # 4 * 8 + 8 + 8 * 3 + 3
    for part in (
        "Dense",
        "(n, 8)",
        "40",
        "27",
        "cross_entropy",
        "Adam",
        "numpy",
        "float64",
        "seed 7",
    ):
        assert part in text


@every_backend
def test_explain(backend: str) -> None:
    model = support.classifier(backend)
    with pytest.raises(lm.NotBuilt, match="explain needs a built model"):
        lm.explain(model)
    text = lm.explain(model.build(4))
    assert text.startswith(f"backend {backend} on {model.backend.device}")
    assert f"chosen by: asked for {backend!r}" in text
    rows = [line.split() for line in text.splitlines()]
    ran = [(row[0], row[1]) for row in rows if row[0] in ("forward", "backward", "update")]
    assert [op for _, op in ran].count("dense") == 2
    for one in (
        ("forward", "softmax_cross_entropy"), ("backward", "softmax_cross_entropy_backward"),
        ("backward", "dense_backward"), ("update", "adam_update"),
    ):  # fmt: skip
        assert one in ran


@pytest.mark.long
@pytest.mark.parametrize("backend", support.CPU)  # it measures the machine
def test_profile(backend: str) -> None:
    x, y = support.classes(16)
    model = support.classifier(backend)
    model.fit(x, y, batch_size=8, verbose=0)
    before, state = model.get_weights(), model.state.read("square")
    found = lm.profile(model, x, y, steps=3)
    assert support.same([*model.get_weights(), state], [*before, model.state.read("square")])
    assert (model.state.step, model.state.epoch) == (2, 1)
    ops = [row[1] for row in found.rows]
    assert ops.count("dense") == 2
    assert "adam_update" in ops
    assert all(row[2] > 0 for row in found.rows)
    assert found.seconds == pytest.approx(sum(row[2] for row in found.rows))
    assert backend in str(found)
    assert "GFLOP/s" in str(found)
