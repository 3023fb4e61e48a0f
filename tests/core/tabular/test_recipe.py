"""The recipe's numbers, its networks, and the rates of their arrays."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.tabular.columns import Columns
from lamina.core.tabular.members import Job, batch_of, folds, network
from lamina.core.tabular.recipe import MOST_STEPS, Recipe


def test_numbers_go_by_the_task_and_by_how_many_rows_there_are() -> None:
    small, large = (Recipe().fitted(n, "classification") for n in (300, 50_000))
    assert (small.activation, Recipe().fitted(9, "regression").activation) == ("selu", "mish")
    assert small.members is not None
    assert large.members is not None
    assert small.members > large.members >= 1
    assert small.batch_size is not None
    assert large.batch_size is not None
    assert small.batch_size < large.batch_size
    huge = Recipe().fitted(20_000_000, "regression")
    assert huge.members == 1
    assert huge.epochs == 2  # 12,500 steps
    for rows in (300, 50_000, 700_000, 3_000_000, 20_000_000):
        one = Recipe().fitted(rows, "regression")
        assert one.epochs is not None
        assert one.batch_size is not None
        assert one.epochs * rows * 0.8 / one.batch_size <= MOST_STEPS


def test_what_is_asked_for_stays() -> None:
    asked: dict[str, Any] = {
        "hidden": (7,), "activation": "relu", "dropout": 0.5, "members": 3, "epochs": 9,
        "batch_size": 11, "learning_rate": 0.5, "patience": 4,
    }  # fmt: skip
    found = Recipe(**asked).fitted(100_000, "classification")
    assert {name: getattr(found, name) for name in asked} == asked
    assert found.fitted(10, "classification") == found


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"hidden": (0,)}, "hidden must be a whole number"),
        ({"members": 0}, "members must be a whole number"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\)"),
        ({"validation": 0.0}, "validation must be above 0"),
        ({"time": 0.0}, "time must be above 0"),
        ({"activation": "seluu"}, "did you mean 'selu'"),
    ],
)
def test_what_no_recipe_can_have(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises((lm.BadInput, lm.UnknownName), match=told):
        Recipe(**wrong)


def test_rates_are_those_of_the_neural_tangent_parametrization() -> None:
    columns = Columns(3, 1, (4,))
    recipe = Recipe(hidden=(16, 9)).fitted(50, "classification")
    backend = lm.get_backend("numpy")
    job = Job(
        np.zeros((50, 5)), np.zeros(50, int), None, columns, recipe, 3, "classification", backend,
        "float64", 0,
    )  # fmt: skip
    model = network(job, 0, 40, 4)
    width = 4 + recipe.embedding
    assert model.session.rates == {
        "2.weight": width**-0.5, "2.bias": 0.1, "4.weight": 0.25, "4.bias": 0.1,
        "6.weight": 1 / 3, "6.bias": 0.1,
    }  # fmt: skip
    rates = {entry.name: entry.rate for entry in model.state.layout.entries}
    assert rates["1.scale"] == 6.0
    weights = dict(zip(model.session.names, model.get_weights(), strict=True))
    assert 0.6 < weights["2.weight"].std() * width**0.5 < 1.4
    assert 0.5 < weights["2.bias"].std() < 1.5
    assert not weights["6.weight"].any()
    again, other = network(job, 0, 40, 4), network(job, 1, 40, 4)
    np.testing.assert_array_equal(weights["2.weight"], again.get_weights()[2])
    assert not np.array_equal(weights["2.weight"], other.get_weights()[2])


def test_batches_of_an_epoch_are_equal() -> None:
    for rows in (1, 5, 255, 257, 300, 941, 10_000):
        size = batch_of(rows, 256)
        steps = -(-rows // size)
        assert 1 <= size <= 384
        assert size * steps - rows < steps  # no batch is smaller by more than a row each


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_row_is_in_one_part(task: str) -> None:
    y = np.random.default_rng(0).integers(0, 3, 103) if task == "classification" else np.arange(103)
    parts = folds(y, task, 5, 7)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(103))
    assert {len(part) for part in parts} <= {20, 21}
    if task == "classification":
        for one in range(3):
            counts = [int((y[part] == one).sum()) for part in parts]
            assert max(counts) - min(counts) <= 1
    assert any((a != b).any() for a, b in zip(parts, folds(y, task, 5, 8), strict=True))


def test_columns_have_names_and_groups() -> None:
    columns = Columns(1, 2, (5,), ("age", "kind", "kind", "city"))
    assert columns.groups() == {"age": [0], "kind": [1, 2], "city": [3]}
    assert Columns(2).groups() == {"x0": [0], "x1": [1]}
    with pytest.raises(lm.BadInput, match="features have 3 columns, but 1 numbers"):
        columns.check(3)
