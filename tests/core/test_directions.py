"""Which way is better, by the names of metrics and by what is declared."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core import metrics
from lamina.core.directions import MAX, MIN, direction


def share_of_ones(y_true: Any, y_pred: Any) -> float:
    return float(np.mean(y_pred == 1))


def test_every_name_has_one_direction() -> None:
    assert not MIN & MAX
    known = {*lm.metrics.names(), *metrics.NAMES, *metrics.SCIKIT} - {metrics.BEYOND}
    arrays = {"confusion_matrix", "multilabel_confusion_matrix"}
    lost = {n for n in known if direction(n, [metrics.get(n)]) is None}
    assert lost == arrays
    for name in metrics.SCIKIT:  # scikit-learn's own rule of names
        if name not in arrays and "corr" not in name:
            more = direction(name) == "max"
            assert more == name.endswith("_score"), name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("loss", "min"), ("val_loss", "min"), ("accuracy", "max"), ("val_f1", "max"),
        ("brier_score", "min"), ("val_brier_score_loss", "min"), ("r2", "max"), ("mape", "min"),
        ("top_7_accuracy", None), ("my_score", None), ("accuracy_loss", None),
    ],
)  # fmt: skip
def test_directions(name: str, wanted: Any) -> None:
    assert direction(name) == wanted


def test_a_declared_direction_comes_first() -> None:
    own = lm.metrics.whole(share_of_ones, "classes", mode="min", name="accuracy_score")
    assert direction("val_accuracy_score", [own]) == "min"
    assert direction("val_top_7_accuracy", [metrics.get("top_7_accuracy")]) == "max"
