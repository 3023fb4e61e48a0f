"""What columns are taken for, why, and what features they become."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.command import networks
from lamina.core.command.settings import Settings
from lamina.core.data import plan

Y = ["p", "q"] * 20
NUMBERS = [i * 1.5 for i in range(40)]
CYCLE = {n: [f"w{i % n}" for i in range(40)] for n in (3, 8)}


def load(cells: list[Any], **options: Any) -> lm.datasets.Dataset:
    return lm.datasets.load({"a": cells, "n": NUMBERS, "y": Y}, test_size=0, **options)


# name: (cells, options, kind, a part of why, names of its features)
KINDS: dict[str, tuple[list[Any], dict[str, Any], str, str, list[str]]] = {
    "numbers": (NUMBERS, {}, "number", "its cells are numbers", ["a"]),
    "numbers in words": ([f"{v}" for v in NUMBERS], {}, "number", "its words are numbers", ["a"]),
    "numbers with gaps": ([None, *NUMBERS[1:]], {}, "number", "", ["a", "a=(missing)"]),
    "numbers, none": (["None", *map(str, NUMBERS[1:])], {}, "number", "", ["a", "a=(missing)"]),
    "numbers and a word": (["x", *map(str, NUMBERS[1:])], {}, "number", "'x'", ["a", "a=x"]),
    "truths": ([True, False] * 20, {}, "yes/no", "its two words", ["a=true"]),
    "yes and no": (["no", "yes"] * 20, {}, "yes/no", "its two words", ["a=yes"]),
    "two words": (["b", "a"] * 20, {}, "yes/no", "its two words, a and b", ["a=b"]),
    "yes, no and gaps": (["no", None] + ["yes"] * 38, {}, "yes/no", "", ["a=yes", "a=(missing)"]),
    "three words": (
        CYCLE[3], {}, "category", "3 different words", ["a=w0", "a=w1", "a=w2"],
    ),
    "words and gaps": (
        [None, *CYCLE[3][1:]], {}, "category", "", ["a=w0", "a=w1", "a=w2", "a=(missing)"],
    ),
    "a seldom word among many": (
        ["x"] + [f"w{i % 19:02d}" for i in range(19)] * 2 + ["v"], {}, "category",
        "the 2 least frequent count as one",
        [*(f"a=w{i:02d}" for i in range(19)), "a=(other)"],
    ),
    "codes": (CYCLE[8], {"embed_from": 8}, "category", "8 different words", ["a"]),
    "too few for codes": (CYCLE[3], {"embed_from": 8}, "category", "", ["a=w0", "a=w1", "a=w2"]),
    "numbers as words": (
        [1, 2, 3, 2] * 10, {"types": {"a": "category"}}, "category", "asked for",
        ["a=1", "a=2", "a=3"],
    ),
    "words in order": (
        ["S", "L", "M", "S"] * 10, {"types": "a=S<M<L"}, "ordered", "asked for", ["a"],
    ),
    "zeros in front": (["01", "02", "03", "02"] * 10, {}, "category", "", ["a=01", "a=02", "a=03"]),
    "zeros in front as numbers": (
        ["01", "02", "03", "02"] * 10, {"types": "a=number"}, "number", "asked for", ["a"],
    ),
    "days": (
        [f"2020-{m:02d}-01" for m in range(1, 9)] * 5, {}, "date", "its words are dates",
        ["a elapsed", "a month sin", "a month cos", "a weekday sin", "a weekday cos"],
    ),
    "hours of a day": (
        [f"2020-01-01 {h:02d}:00" for h in range(20)] * 2, {}, "date", "dates",
        ["a elapsed", "a hour sin", "a hour cos"],
    ),
    "names of rows": ([f"n{i}" for i in range(40)], {}, "identifier", "40 different words", []),
    "names of rows, asked for": (
        [f"n{i % 3}" for i in range(40)], {"types": "a=identifier"}, "identifier", "asked for", [],
    ),
    "sentences": (
        [f"the {i}th of many sentences that somebody wrote down" for i in range(40)], {}, "text",
        "40 different words", [],
    ),
    "always the same": (["x"] * 40, {}, "constant", "every cell is 'x'", []),
    "always the same number": ([3] * 40, {}, "constant", "every cell is 3", []),
    "always the same, asked for": ([3] * 40, {"types": "a=number"}, "number", "asked", ["a"]),
    "nothing": ([None] * 40, {}, "empty", "every cell is empty", []),
    "lists": ([[1]] * 40, {}, "other", "lists or bytes", []),
    "dropped": (CYCLE[3], {"drop": "a"}, "dropped", "asked for", []),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str) -> None:
    cells, options, kind, why, features = KINDS[name]
    data = load(cells, **options)
    found = data.plan[0]
    assert found.column.kind == kind
    assert why in found.why
    assert [f for f in data.feature_names if f != "n"] == features
    assert data.x_train.shape == (40, len(features) + 1)
    assert np.isfinite(data.x_train).all()
    restored = type(data.encoding).from_json(data.encoding.to_json())
    assert restored == data.encoding
    rows = {"n": NUMBERS, "a": cells}
    np.testing.assert_array_equal(restored.features(rows), data.x_train)


@pytest.mark.parametrize("name", ["id", "user_id", "ID", "rownames", "Unnamed: 0", "index"])
def test_numbers_of_rows_are_no_feature(name: str) -> None:
    rows = {name: list(range(40)), "n": NUMBERS, "y": Y}
    data = lm.datasets.load(rows, test_size=0)
    assert data.feature_names == ("n",)
    assert data.plan[0].otherwise == f"--types {name}=number"
    asked = lm.datasets.load(rows, test_size=0, types={name: "number"})
    assert asked.feature_names == (name, "n")
    rows[name] = [i // 2 for i in range(40)]
    assert lm.datasets.load(rows, test_size=0).feature_names == (name, "n")


def test_the_blocks_of_features() -> None:
    rows = {"c": CYCLE[3], "e": CYCLE[8], "b": [True, False] * 20, "n": NUMBERS, "y": Y}
    encoding = lm.datasets.load(rows, test_size=0, embed_from=8).encoding
    assert encoding.feature_names == ("b=true", "n", "c=w0", "c=w1", "c=w2", "e")
    assert (encoding.numeric, encoding.one_hot, encoding.embedded) == (2, 3, (9,))
    new = {"c": ["w1", "?"], "e": ["w7", "new"], "b": [None, True], "n": [1, None]}
    x = encoding.features(new)
    np.testing.assert_array_equal(x, [[0, 1, 0, 1, 0, 8], [1, 28.5, 0, 0, 0, 0]])
    with pytest.raises(lm.BadInput, match="row 1, column 'c' is '\\?', which training never saw"):
        encoding.features({**new, "n": [1, 2], "b": [True, True]}, strict=True)


@pytest.mark.parametrize("embed_from", [None, 8])
def test_rare_words_are_told_of_once(embed_from: int | None) -> None:
    """Training saw them, and counts them as one: that no row has what it never saw is true."""
    words = [f"w{i % 12}" for i in range(120)] + [f"rare{i}" for i in range(10)]
    rows = {"e": words, "n": list(range(130)), "y": [0, 1] * 65}
    data = lm.datasets.load(rows, test_size=0, embed_from=embed_from)
    assert [note for note in data.notes if "never saw" in note] == []
    assert "the 10 least frequent count as one" in data.plan[0].why
    assert data.encoding is not None
    told: list[str] = []
    x = data.encoding.features(rows, strict=True, say=told.append)
    assert told == []
    np.testing.assert_array_equal(x, data.x_train)


def test_yes_and_no_in_other_words() -> None:
    encoding = load(["TRUE", "FALSE"] * 20).encoding
    given = {"n": [0] * 6, "a": [True, "false", "Yes", 0, "perhaps", None]}
    told: list[str] = []
    x = encoding.features(given, say=told.append)
    assert x[:, 0].tolist() == [1, -1, 1, -1, 0, 0]
    assert told == ["column 'a' has 'perhaps' in 1 row, which training never saw"]


def test_days_go_round() -> None:
    days = ["2020-12-31", "2021-01-01", "2021-07-02", "2021-01-08"] * 10
    data = load(days)
    x = dict(zip(data.feature_names, data.x_train.T, strict=True))
    assert x["a elapsed"][:4].tolist() == [-1, 0, 182, 7]
    np.testing.assert_allclose(x["a month cos"][0], x["a month cos"][1], atol=0.02)
    np.testing.assert_allclose(x["a weekday sin"][1], x["a weekday sin"][3])
    assert x["a month cos"][2] < -0.9


@pytest.mark.parametrize(
    ("label", "task", "classes"),
    [
        (["007", "7"] * 20, "classification", ("007", "7")),
        (["1", "1.0"] * 20, "classification", ("1", "1.0")),
        ([1.0, 2.0] * 20, "classification", ("1", "2")),
        ([True, False] * 20, "classification", ("false", "true")),
        ([f"{i},5" for i in range(40)], "regression", ()),
        ([None, *range(39)], "regression", ()),
        (["none", *map(str, range(39))], "regression", ()),
    ],
)
def test_labels(label: list[Any], task: str, classes: tuple[str, ...]) -> None:
    data = lm.datasets.load({"n": NUMBERS, "y": label}, test_size=0)
    assert (data.task, data.class_names) == (task, classes)


def test_words_among_labels_of_numbers_are_refused() -> None:
    rows = {"n": NUMBERS, "y": ["soon", *map(str, range(39))]}
    with pytest.raises(lm.BadInput, match=r"'soon'.*--missing \"soon\".*--task classification"):
        lm.datasets.load(rows)
    assert lm.datasets.load(rows, missing="soon").task == "regression"


def test_labels_that_differ_in_writing_are_noted() -> None:
    data = lm.datasets.load({"n": NUMBERS, "y": ["1", "1.0"] * 20}, test_size=0)
    assert data.notes == ("the labels '1' and '1.0' are two classes, as they are written",)


def test_the_plan_as_a_table() -> None:
    rows = {"town": CYCLE[3], "id": list(range(40)), "n": [None, *NUMBERS[1:]], "y": Y}
    data = lm.datasets.load(rows, test_size=0)
    said = plan.lines(data.plan, 200)
    assert said[0].split() == ["column", "taken", "as", "why", "missing", "otherwise"]
    assert said[1].split("  ")[0] == "town"
    assert "category, 3 features" in said[1]
    assert "left out (identifier)" in said[2]
    assert "--types id=number" in said[2]
    assert "number, 2 features" in said[3]
    assert all(len(line) <= 80 for line in plan.lines(data.plan, 80))
    many = plan.lines(data.plan * 40)
    assert many[-1] == f"... and {len(data.plan) * 40 - plan.MOST} columns more"


def test_the_network_leaves_zeros_and_ones_alone() -> None:
    data = load(CYCLE[3])
    settings = networks.plain(Settings(hidden=(4,), backend="numpy"), data)
    model = networks.network(settings, data)
    assert model.layers[0] == lm.Standardize(columns=1)
    model.fit(data.x_train, data.y_train, epochs=1, verbose=0)
    mean = model.state.read("statistics")[:4]
    np.testing.assert_allclose(mean, [np.mean(NUMBERS), 0, 0, 0], rtol=1e-6)
    plain = networks.network(settings, lm.datasets.load({"n": NUMBERS, "y": Y}, test_size=0))
    assert plain.layers[0] == lm.Standardize()
