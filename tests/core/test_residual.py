"""Residual blocks, and activations as layers: names, summary, random words, errors."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from norm_support import norms


def test_names_weights_and_summary() -> None:
    model = norms().build(4)
    names = model.session.names
    assert "3.0.scale" in names
    assert "3.1.by" in names
    assert "3.3.1.weight" in names
    assert len(model.get_weights()) == len(names)
    assert model.gradients(*support.classes(8))[3]["3.1.weight"].shape == (6, 6)
    summary = model.summary()
    assert "Residual([LayerNorm(), Doubled(), Dropout(0.3), Residual(" in summary
    assert "BatchNorm(shift=False)" in summary
    total = sum(w.size for w in model.get_weights())
    assert f"{total:,} parameters" in summary
    model.set_rates({"3.3.1.weight": 0.5, 3: 0.25})
    assert model.state.layout["3.3.1.weight"].rate == 0.25


def test_random_words_differ_between_a_blocks_layers() -> None:
    drop = lm.Dropout(0.5)
    model = support.classifier(
        layers=[drop, lm.Residual([drop, drop]), lm.Residual([lm.Residual([drop])]), lm.Dense(3)],
        loss="mean_squared_error", metrics=(),
    ).build(4)  # fmt: skip
    program = model.session.program("train", 8, 3)
    streams = [one.attrs["stream"] for one in program.forward if one.op == "dropout_mask"]
    assert len(set(streams)) == 4
    assert streams[0] == 0  # as it was before there were blocks


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: lm.Residual(lm.Dense(3)), r"takes a list: Residual\(\[Dense\(3\)\]\)"),
        (lambda: lm.Residual([]), "at least one layer"),
        (lambda: lm.Residual(["relu"]), "an object such as lm.Dense"),
        (lambda: lm.BatchNorm(momentum=0.0), "momentum must be above 0"),
        (lambda: lm.BatchNorm(momentum=1.5), "momentum"),
        (lambda: lm.LayerNorm(epsilon=0.0), "epsilon must be above 0"),
        (lambda: lm.LayerNorm(epsilon=-1.0), "epsilon"),
    ],
)
def test_settings(make: Any, says: str) -> None:
    with pytest.raises(lm.BadInput, match=says):
        make()


def test_shapes_that_do_not_agree() -> None:
    def build(*layers: lm.Layer, shape: Any = 4) -> None:
        lm.Sequential([*layers, lm.Dense(2)], "mse").build(shape)

    with pytest.raises(
        lm.ShapeError,
        match=r"\(n, 8\) of rows \(n, 4\).*a layer of 4 outputs, or put lm\.Dense\(8\) before",
    ):
        build(lm.Residual([lm.Dense(8)]))
    with pytest.raises(lm.ShapeError, match=r"put lm\.Flatten\(\) before the block"):
        build(lm.Residual([lm.Flatten(), lm.Dense(6)]), shape=(2, 3))
    with pytest.raises(lm.BadInput, match=r"Standardize\(\) learns .* put it before the block"):
        build(lm.Residual([lm.Standardize()]))


def test_activations_by_themselves() -> None:
    x, y = support.classes(8)
    one = norms(layers=[lm.Dense(5), lm.Activation("swish"), lm.Dense(3, "softmax")])
    other = norms(layers=[lm.Dense(5, "silu"), lm.Dense(3), lm.Activation("softmax")])
    other.build(4).set_weights(one.build(4).get_weights())
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=1e-12)
    assert one.evaluate(x, y)["loss"] == pytest.approx(other.evaluate(x, y)["loss"])
    with pytest.raises(lm.UnknownName):
        lm.Activation("swosh")
