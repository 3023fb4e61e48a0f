"""The report: what it measures, as text and as a page."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.data.datasets import Dataset
from lamina.core.markup import VOID
from lamina.core.report import charts, measures, page, words
from lamina.core.report.charts import Axis
from lamina.core.report.measures import Contestant


def table(task: str, rows: int = 150) -> Dataset:
    """Three columns of which the first matters most, and the last not at all."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, rows))
    score = 3 * a + b + rng.normal(0, 0.3, rows)
    label: Any = np.where(score > 0, "<yes>", "no") if task == "classification" else score * 1e5
    frame = {"a": a.tolist(), "b": b.tolist(), "c": c.tolist(), "y": label.tolist()}
    return lm.datasets.load(frame, 0.3, label="y")


def trained(data: Dataset) -> lm.Sequential:
    classes = len(data.class_names)
    last = lm.Dense(1, "sigmoid") if classes == 2 else lm.Dense(1)
    loss = "binary_cross_entropy" if classes == 2 else "mse"
    model = lm.Sequential([lm.Standardize(), last], loss, lm.Adam(0.1), backend="numpy", seed=0)
    model.fit(data.x_train, data.y_train, epochs=60, verbose=0)
    return model


@cache
def made(task: str) -> measures.Report:
    data = table(task)
    history = {"loss": [0.9, 0.4, 0.2], "val_loss": [1.0, 0.5, 0.6]}
    return measures.report(trained(data), data, history, 1.5, "3-1, float32", ("a note",))


class Looker(HTMLParser):
    """Whether every element ends, and what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.links += [v or "" for name, v in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.slow
def test_classes() -> None:
    found = made("classification")
    names = [one.name for one in found.contestants]
    assert names == ["the network", "a linear model", "boosting", "the most frequent class"]
    assert set(found.contestants[0].scores) == {"accuracy", "log loss", "AUC"}
    assert found.contestants[0].scores["accuracy"] > 0.85
    assert found.contestants[-1].scores["AUC"] == 0.5
    held = found.rows[1]
    assert [name for name, *_ in found.importance][:2] == ["a", "b"]
    assert abs(found.importance[-1][1]) < 0.05
    assert sum(map(sum, found.confusion)) == held
    assert sum(n for *_, n in found.per_class) == held
    assert sum(one.rows for one in found.bins) == held
    losses = [row.loss for row in found.worst]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 10
    data = table("classification")
    assert data.held is not None
    assert {row.number for row in found.worst} <= set(data.held.tolist())
    at = data.held.tolist().index(found.worst[0].number)
    assert found.worst[0].cells["a"] == data.x_test[at, 0]
    assert found.worst[0].wanted == data.class_names[data.y_test[at]]


@pytest.mark.long
def test_numbers_are_in_their_own_units() -> None:
    found = made("regression")
    scores = found.contestants[0].scores
    assert scores["R2"] > 0.95
    assert 1e4 < scores["MAE"] < scores["RMSE"] < 1e5
    assert found.contestants[-1].name == "the mean"
    assert abs(found.contestants[-1].scores["R2"]) < 0.1
    assert len(found.points) == found.rows[1]
    assert not found.per_class
    assert found.importance[0][0] == "a"


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_page_is_whole_and_fetches_nothing(task: str, tmp_path: Path) -> None:
    found = made(task)
    page.write(found, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    look = Looker()
    look.feed(text)
    assert not look.open
    assert set(look.links) == {"data:,"}
    assert "<yes>" not in text
    told = " ".join(look.text)
    assert "Did it earn its keep?" in told
    assert "a note" in told
    for name in ("boosting", "a linear model", "Which columns matter", "The rows it missed most"):
        assert name in told
    assert ("Class by class" in told) == (task == "classification")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_the_text(task: str) -> None:
    found = made(task)
    text = words.text(found)
    assert max(map(len, text.splitlines())) <= 100
    assert f"Scores on {found.rows[1]} rows that were held out" in text
    assert "the network" in text
    assert ("<yes>" in text) == (task == "classification")


@pytest.mark.parametrize(
    ("own", "other", "told"),
    [
        (0.95, 0.7, "it earned its keep"),
        (0.9, 0.9, "are level"),
        (0.6, 0.9, "Boosting is ahead by 0.300"),
    ],
)
def test_advice(own: float, other: float, told: str) -> None:
    rivals = [Contestant("boosting", {"accuracy": other}), Contestant("x", {"accuracy": 0.1})]
    one = Contestant("the network", {"accuracy": own})
    assert told in measures.advised([one, *rivals], table("classification"))


def test_what_a_report_needs() -> None:
    data = lm.datasets.load("moons", 0.2)
    from dataclasses import replace

    none = replace(data, x_test=data.x_test[:0], y_test=data.y_test[:0])
    with pytest.raises(lm.BadInput, match="--report needs rows held out"):
        measures.report(trained(data), none, {}, 0.0, "")


def test_images_and_many_classes() -> None:
    data = lm.datasets.load("digits")
    layers = [lm.Dense(10, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", lm.Adam(0.01), backend="numpy", seed=0)
    model.fit(data.x_train, data.y_train, epochs=5, verbose=0)
    scores = measures.scored(data, measures.predicted(model, data.x_test))
    assert scores["accuracy"] > 0.8
    assert scores["AUC"] > 0.9


@pytest.mark.parametrize(
    "values", [[0.0], [1.0, 2.0], [-3e9, 7e9], [0.001, 0.0011], [float("nan")]]
)
def test_axes_hold_their_values_and_have_round_ticks(values: list[float]) -> None:
    axis = Axis.around(values)
    for value in values:
        if value == value:
            assert 0.0 <= axis.at(value) <= 100.0
    assert 2 <= len(axis.ticks()) <= 12
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks())
    assert charts.figure(axis.ticks()[0])
