"""The recipe as estimators: frames, arrays, words, missing cells, scikit-learn's tools."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SMALL: dict[str, Any] = {
    "hidden": (16,), "members": 2, "epochs": 12, "batch_size": 16, "backend": "numpy",
    "random_state": 0,
}  # fmt: skip


def shop(rows: int = 120, seed: int = 0) -> dict[str, list[Any]]:
    """A table with numbers that are missing, words, and what they mean."""
    rng = np.random.default_rng(seed)
    size = rng.normal(size=rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    score = 2 * size + np.where(colour == "red", 2, -1)
    return {
        "size": [None if n % 9 == 4 else float(v) for n, v in enumerate(size)],
        "colour": colour.tolist(),
        "score": score.tolist(),
        "kind": np.where(score > 1, "dear", np.where(score < -1, "cheap", "fair")).tolist(),
    }


def features(table: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: table[name] for name in ("size", "colour")}


@pytest.mark.slow
def test_classes_by_their_names() -> None:
    table = shop()
    model = lm.TabularClassifier(**SMALL).fit(features(table), table["kind"])
    assert model.classes_.tolist() == ["cheap", "dear", "fair"]
    assert model.score(features(table), table["kind"]) > 0.8
    p = model.predict_proba(features(table))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert (model.classes_[p.argmax(1)] == model.predict(features(table))).all()
    assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["size", "colour"]


@pytest.mark.slow
@pytest.mark.parametrize("labels", [[3, 7], [True, False], ["b", "a"]])
def test_labels_of_any_kind_come_back(labels: list[Any]) -> None:
    table = shop()
    y = np.array(labels)[(np.array(table["score"]) > 0).astype(int)]
    model = lm.TabularClassifier(**SMALL).fit(features(table), y)
    assert model.classes_.tolist() == sorted(labels)
    assert model.predict(features(table)).dtype == y.dtype
    assert model.score(features(table), y) > 0.8


@pytest.mark.long
def test_more_than_ten_classes_keep_their_order() -> None:
    y = np.repeat(np.arange(12), 6)
    x = np.column_stack([y + 0.0, -y]) + np.random.default_rng(0).normal(0, 0.05, (72, 2))
    model = lm.TabularClassifier(**{**SMALL, "epochs": 60, "members": 3}).fit(x, y)
    assert model.score(x, y) > 0.8


@pytest.mark.slow
def test_numbers_in_their_own_units() -> None:
    table = shop()
    y = 1e6 + 1e4 * np.array(table["score"])
    model = lm.TabularRegressor(**{**SMALL, "epochs": 30}).fit(features(table), y)
    assert model.score(features(table), y) > 0.7
    found = model.predict(features(table))
    assert found.shape == (120,)
    assert y.min() - 1 <= found.min() <= found.max() <= y.max() + 1


@pytest.mark.slow
def test_columns_in_another_order_new_words_and_missing_cells() -> None:
    pandas = pytest.importorskip("pandas")
    table = shop()
    frame = pandas.DataFrame(features(table))
    model = lm.TabularClassifier(**SMALL).fit(frame, pandas.Series(table["kind"], name="kind"))
    want = model.predict_proba(frame)
    np.testing.assert_array_equal(model.predict_proba(frame[["colour", "size"]]), want)
    np.testing.assert_array_equal(model.predict_proba(features(table)), want)
    odd = frame.assign(colour=["violet", None] * 60, more=1)
    assert np.isfinite(model.predict_proba(odd)).all()
    with pytest.raises(lm.UnknownName, match="no column 'size'"):
        model.predict(frame[["colour"]])


@pytest.mark.slow
def test_the_model_that_is_saved_predicts_in_the_shell(tmp_path: Path) -> None:
    from lamina.core.command.predictions import predict

    table = shop()
    model = lm.TabularClassifier(**SMALL).fit(features(table), table["kind"])
    model.model_.save(tmp_path / "m.safetensors")
    rows = zip(*(table[name] for name in ("size", "colour")), strict=True)
    text = "".join(f"{'' if a is None else repr(a)},{b}\n" for a, b in rows)
    (tmp_path / "t.csv").write_text("size,colour\n" + text)
    lines = predict(lm.load(tmp_path / "m.safetensors", "numpy"), tmp_path / "t.csv").split()
    assert lines[0] == "target,p(cheap),p(dear),p(fair)"
    assert [line.split(",")[0] for line in lines[1:]] == model.predict(features(table)).tolist()


@pytest.mark.slow
def test_scikit_learns_tools() -> None:
    x = np.random.default_rng(0).normal(size=(90, 3))
    y = (x[:, 0] > 0).astype(int)
    model = lm.TabularClassifier(**SMALL)
    assert clone(model).get_params() == model.get_params()
    assert cross_val_score(model, x, y, cv=3).mean() > 0.8
    chain = make_pipeline(StandardScaler(), model).fit(x, y)
    assert chain.score(x, y) > 0.8
    same = pickle.loads(pickle.dumps(chain))
    np.testing.assert_array_equal(same.predict_proba(x), chain.predict_proba(x))


@pytest.mark.slow
def test_the_same_for_the_same_random_state() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    first, again, other = (
        lm.TabularRegressor(**{**SMALL, "random_state": n}).fit(x, x[:, 0]).predict(x)
        for n in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
def test_arrays_with_missing_numbers_and_with_words() -> None:
    x = np.random.default_rng(0).normal(size=(80, 2))
    y = x[:, 0] > 0
    x[::7, 1] = np.nan
    model = lm.TabularClassifier(**SMALL).fit(x, y)
    assert model.score(x, y) > 0.8
    words = np.array([["a", 1], ["b", 2]] * 30, dtype=object)
    assert lm.TabularClassifier(**SMALL).fit(words, [0, 1] * 30).score(words, [0, 1] * 30) == 1.0


def test_weights_of_rows() -> None:
    x, y = np.zeros((60, 1)), np.arange(60) % 2
    x[:, 0] = np.arange(60) // 2
    model = lm.TabularClassifier(**SMALL).fit(x, y, sample_weight=np.where(y, 20.0, 1.0))
    assert (model.predict(x) == 1).all()


@pytest.mark.parametrize(
    ("kind", "x", "y", "told"),
    [
        ("C", np.ones((4, 2)), [1, 1, 1, 1], "y has one class only, "),
        ("R", np.ones((4, 2)), [1, 1, 1, 1], "'y' is 1 in every row"),
        ("R", np.eye(4), [1, 2, np.nan, 3], "first in row 2"),
        ("C", np.ones(4), [0, 1, 0, 1], "rows and columns"),
        ("C", np.eye(4), [[0, 1], [1, 0], [0, 1], [1, 1]], r"y must be a column"),
        ("C", np.eye(4), [0, 1, 0], "X has 4 rows, but y 3"),
        ("C", np.eye(4), ["a", None, "b", "a"], "y has no label in row 1"),
        ("C", np.eye(4), [0, 1, np.nan, 1], "y has no label in row 2"),
        ("C", np.eye(4), np.array([1, "a", 1, "a"], object), "kinds that have no order"),
        ("C", np.eye(4), [0, 1.5, 0, 1.5], "such as 1.5, which are no classes"),
        ("R", np.eye(4), ["a", "b", "a", "b"], "y holds words, such as 'a'"),
        ("R", np.eye(4), np.arange(4).astype("datetime64[s]"), "y holds times, such as"),
    ],
)
def test_what_they_refuse(kind: str, x: Any, y: Any, told: str) -> None:
    made = lm.TabularClassifier(**SMALL) if kind == "C" else lm.TabularRegressor(**SMALL)
    with pytest.raises(lm.BadInput, match=told):
        made.fit(x, y)


def test_columns_are_counted_before_a_prediction() -> None:
    model = lm.TabularClassifier(**SMALL).fit(np.eye(8), np.arange(8) % 2)
    with pytest.raises(lm.BadInput, match="X has 3 features, but TabularClassifier is expecting 8"):
        model.predict(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("C", {"loss": "mse"}, "'mean_squared_error' is not for classification: use one of cross"),
        ("R", {"loss": "poisson"}, "'poisson' is not for regression: use one of mean_squared"),
        ("C", {"hidden": "a"}, "hidden must be a whole number"),
    ],
)
def test_settings_that_they_refuse(kind: str, settings: dict[str, Any], told: str) -> None:
    made = lm.TabularClassifier if kind == "C" else lm.TabularRegressor
    with pytest.raises(lm.BadInput, match=told):
        made(**{**SMALL, **settings}).fit(np.eye(8), np.arange(8) % 2)


@pytest.mark.slow
def test_one_hidden_layer_is_a_number() -> None:
    x, y = np.eye(8), np.arange(8) % 2
    one, listed = (
        lm.TabularClassifier(**{**SMALL, "hidden": hidden}).fit(x, y) for hidden in (16, (16,))
    )
    np.testing.assert_array_equal(one.predict_proba(x), listed.predict_proba(x))


@pytest.mark.slow
def test_columns_go_by_place_where_only_one_table_had_names() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x[:, 0] > 0
    frame = {"b": x[:, 0], "a": x[:, 1]}
    of_names = lm.TabularClassifier(**SMALL).fit(frame, y)
    of_places = lm.TabularClassifier(**SMALL).fit(x, y)
    with pytest.warns(UserWarning, match="does not have valid feature names, but Tabular"):
        np.testing.assert_array_equal(of_names.predict(x), of_names.predict(frame))
    with pytest.warns(UserWarning, match="has feature names, but TabularClassifier was fitted wi"):
        np.testing.assert_array_equal(of_places.predict(frame), of_places.predict(x))


def test_a_fit_that_is_refused_leaves_what_was_fitted() -> None:
    x, y = np.eye(8), np.arange(8) % 2
    model = lm.TabularClassifier(**SMALL).fit(x, np.array(["no", "yes"])[y])
    before = model.predict(x)
    with pytest.raises(lm.BadInput):
        model.fit(np.full((9, 3), np.inf), np.array([*"abc"] * 3))
    np.testing.assert_array_equal(model.predict(x), before)
