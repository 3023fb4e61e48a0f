"""Tables: what is read, told apart, encoded, refused; and the jobs on top of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.command import jobs, predictions
from lamina.core.data import cells, engine, tables
from lamina.core.data.encoding import Encoding
from lamina.core.data.plan import Plan
from lamina.core.data.series import word_series

FLOWERS = """height,colour,soil,kind
10.5,red,sand,rose
13.0,blue,clay,iris
16.0,white,sand,lily
10.0,red,sand,rose
13.5,blue,clay,iris
15.5,white,sand,lily
"""


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


def words_of(path: Path, column: str) -> list[str]:
    """The cells of a column of a file, as they are written."""
    with engine.open_table(path, words=frozenset([column])) as table:
        series = table.series(column)
        return [series.text(row) for row in range(len(series))]


def flowers(folder: Path, rows: int = 300) -> Path:
    rng = np.random.default_rng(0)
    lines = ["height,colour,soil,kind"]
    for i in range(rows):
        kind = i % 3
        colour = ("red", "blue", "white")[kind if rng.random() > 0.1 else (kind + 1) % 3]
        height = 10 + 3 * kind + rng.normal()
        lines.append(
            f"{height:.2f},{colour},{('sand', 'clay')[kind % 2]},{['rose', 'iris', 'lily'][kind]}"
        )
    return write(folder / "flowers.csv", "\n".join(lines))  # fmt: skip


def houses(folder: Path, rows: int = 300) -> Path:
    rng = np.random.default_rng(1)
    lines = ["rooms;area;town;price"]
    for _ in range(rows):
        rooms, town = int(rng.integers(1, 8)), str(rng.choice(["Ulm", "Bonn"]))
        area = rooms * 25 + rng.normal() * 10
        lines.append(f"{rooms};{area:.1f};{town};{1000 * area + 20000 * (town == 'Bonn'):.0f}")
    return write(folder / "houses.csv", "\n".join(lines))


def test_columns_are_told_apart(tmp_path: Path) -> None:
    data = lm.datasets.load(write(tmp_path / "f.csv", FLOWERS), test_size=0.34)
    assert data.feature_names == (
        "height", "soil=sand", "colour=blue", "colour=red", "colour=white",
    )  # fmt: skip
    assert data.class_names == ("iris", "lily", "rose")
    assert data.task == "classification"
    assert "words" in data.why
    assert len(data.x_train) + len(data.x_test) == 6
    assert (data.encoding.numeric, data.encoding.one_hot, data.encoding.embedded) == (2, 3, ())
    whole = data.encoding.features(tmp_path / "f.csv")
    np.testing.assert_array_equal(whole[0], [10.5, 1, 0, 1, 0])
    np.testing.assert_array_equal(whole[1], [13.0, -1, 1, 0, 0])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_marks(separator: str, tmp_path: Path) -> None:
    text = FLOWERS.replace(",", separator).replace("red", '"red"').replace("\n", "\r\n")
    path = write(tmp_path / "f.csv", "\n" + text + "\r\n\r\n", "utf-8-sig")
    table = engine.open_table(path)
    assert table.columns == ("height", "colour", "soil", "kind")
    assert table.rows == 6
    assert words_of(path, "colour")[0] == "red"


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (["a", "b"], "classification"),
        (["0", "1", "1.0"], "classification"),
        ([str(i) for i in range(21)], "regression"),
        (["0.5", "1"], "regression"),
    ],
)
def test_the_task_is_decided_from_the_label(words: list[str], task: str) -> None:
    assert tables.decide_task(word_series(words))[0] == task


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no header"),
        ("a,b\n", "has no rows"),
        ("a,b\n1\n", "line 2: 1 cells, but the header has 2"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        ("a,a\n1,2\n", "the column name 'a' stands 2 times"),
        ("a\n1\n2\n", "has no column beside the label"),
        ("a,b\n1,x\n2,x\n3,x\n", "one class only (x)"),
        ("a,b\n,x\n,y\n,x\n,y\n", "no column to learn from ('a': every cell is empty)"),
        ('a,b\n"1,x\n', "line 2: a quote is opened and never closed"),
        ("a,b\n1,x\n", "one row is too few"),
        ("a,b\n1,x\n2,y\n3,z\n", "the label 'b' is different in every row"),
        ("a,b\n1,2.5\n2,2.5\n3,2.5\n", "is 2.5 in every row"),
        ("a\0,b\n1,x\n", "has zero bytes"),
    ],
)
def test_bad_files(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(lm.BadInput) as caught:
        lm.datasets.load(write(tmp_path / "bad.csv", text), test_size=0.3)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,x\n,y\n3,x\n4,y\n5,x\n6,y\n", "line 3, column 'a' is empty"),
        ("a,b\nnull,x\n1,y\n2,x\n3,y\n", "line 2, column 'a' is empty"),
        ("a,b\n1,x\n2,\n3,y\n4,x\n5,y\n", "line 3: the label is empty"),
    ],
)
def test_missing_cells_are_refused_when_asked(text: str, says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "bad.csv", text)
    assert len(lm.datasets.load(path, test_size=0.3).y_train)
    with pytest.raises(lm.BadInput, match=says):
        lm.datasets.load(path, test_size=0.3, impute=False)


def test_other_bad_files(tmp_path: Path) -> None:
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81\x00")
    for source, says in (
        (binary, "no text in utf-16"),
        (tmp_path / "no.csv", "there is no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "no.npz", "there is no file"),
    ):
        with pytest.raises(lm.BadInput, match=says):
            lm.datasets.load(source)
    with pytest.raises(lm.UnknownName, match="did you mean 'kind'"):
        lm.datasets.load(write(tmp_path / "f.csv", FLOWERS), label="kinds")
    with pytest.raises(lm.UnknownName, match="did you mean 'regression'"):
        lm.datasets.load("digits", task="regresion")


def test_missing_cells_are_imputed_when_asked(tmp_path: Path) -> None:
    text = FLOWERS.replace("13.0,blue", ",?").replace("10.0,red", "NA,red")
    path = write(tmp_path / "f.csv", text)
    with pytest.raises(lm.BadInput, match="is empty: fill it"):
        lm.datasets.load(path, impute=False)
    table = engine.open_table(path)
    label, notes = tables.label_of(table, "kind", "auto", Plan())
    assert notes == []
    encoding, plan = tables.learn(table, label, np.arange(6), Plan())
    x = encoding.features(table)
    told = dict(zip(encoding.feature_names, x[1], strict=True))
    assert told["height"] == 13.5  # the median of 10.5, 13.5, 15.5 and 16, the lower one
    assert told["height=(missing)"] == told["colour=(missing)"] == 1.0
    assert told["colour=red"] == 0.0
    assert [one.missing for one in plan] == [2, 1, 0]
    part, _ = tables.learn(table, label, np.array([0, 2, 5]), Plan())
    assert part.columns[0].fill == 15.5


def test_a_table_at_predict(tmp_path: Path) -> None:
    data = lm.datasets.load(write(tmp_path / "f.csv", FLOWERS), test_size=0.34)
    encoding = Encoding.from_json(json.loads(json.dumps(data.encoding.to_json())))
    assert encoding == data.encoding
    turned = write(tmp_path / "t.csv", "soil,note,height,colour\nclay,x,13,blue\n")
    np.testing.assert_array_equal(encoding.features(turned), [[13, -1, 1, 0, 0]])
    for text, says in (
        ("soil,hieght,colour\nclay,13,blue\n", "no column 'height': did you mean 'hieght'"),
        ("soil,height,colour\nclay,13,green\n", "'green', which training never saw"),
        ("soil,height,colour\nmoss,13,blue\n", "'moss', which training never saw"),
        ("soil,height,colour\nclay,13,\n", "line 2, column 'colour' is empty"),
        ("soil,height,colour\nclay,tall,blue\n", "line 2, column 'height' is 'tall'"),
    ):
        with pytest.raises(lm.LaminaError, match=says):
            encoding.features(write(tmp_path / "t.csv", text), strict=True)


def test_unseen_words_are_zeros_and_noted(tmp_path: Path) -> None:
    encoding = lm.datasets.load(write(tmp_path / "f.csv", FLOWERS), test_size=0.34).encoding
    text = "soil,note,height,colour\nclay,x,13,green\nmoss,y,,\n"
    table = engine.open_table(write(tmp_path / "t.csv", text))
    told: list[str] = []
    x = encoding.features(table, say=told.append)
    np.testing.assert_array_equal(x, [[13, -1, 0, 0, 0], [encoding.columns[0].fill, 0, 0, 0, 0]])
    assert encoding.extra(table) == ("note",)
    assert [line.split("'")[1] for line in told] == ["height", "colour", "soil"]
    assert "'green' in 1 row, which training never saw; 1 missing cell" in told[1]


@pytest.mark.long
def test_seldom_words_do_not_stop_the_training(tmp_path: Path) -> None:
    lines = [f"{i},{'pq'[i % 2]},{'no' if i % 3 else 'yes'}" for i in range(30)] + ["5,seldom,yes"]
    path = write(tmp_path / "s.csv", "a,c,y\n" + "\n".join(lines))
    alone = 0
    for seed in range(20):
        data = lm.datasets.load(path, seed=seed)
        if "c=seldom" not in data.feature_names:
            alone += 1
            assert not data.x_test[:, 1:].any(axis=1).all()
    assert 0 < alone < 20


def test_every_class_keeps_a_row_for_training(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "a,y\n1,u\n2,v\n3,w\n4,w\n5,w\n")
    for test_size in (0.01, 0.5, 0.99):
        data = lm.datasets.load(path, test_size=test_size)
        assert set(data.y_train) == {0, 1, 2}
        assert len(data.y_test) >= 1


def test_words_among_numbers_have_features_of_their_own(tmp_path: Path) -> None:
    told = [str(i) if i != 7 else "abc" for i in range(40)]
    lines = [f"{cell},{'pq'[i % 2]}" for i, cell in enumerate(told)]
    path = write(tmp_path / "m.csv", "a,y\n" + "\n".join(lines))
    data = lm.datasets.load(path)
    assert data.feature_names == ("a", "a=abc")
    assert "'abc' (m.csv, line 9, column 'a')" in data.plan[0].why
    x = data.encoding.features(path)
    np.testing.assert_array_equal(x[[6, 7, 8], 1], [0, 1, 0])
    np.testing.assert_array_equal(x[[6, 8], 0], [6, 8])
    assert lm.datasets.load(path, missing="abc").feature_names == ("a", "a=(missing)")
    lines = [f"n{i},{'pq'[i % 2]}" for i in range(2000)]
    with pytest.raises(lm.BadInput, match=r"2000 different words in 2000 rows.*--types a=category"):
        lm.datasets.load(write(tmp_path / "m.csv", "a,y\n" + "\n".join(lines)))
    assert cells.number("1_000") is None


def test_separators_and_line_ends_inside_cells(tmp_path: Path) -> None:
    text = '"price, EUR";place\n1;"a\nb"\n2;a\u2028b\n\n3\n'
    with pytest.raises(lm.BadInput, match="line 6: 1 cells, but the header has 2"):
        engine.open_table(write(tmp_path / "q.csv", text))
    path = write(tmp_path / "q.csv", text[:-2])
    assert engine.open_table(path).columns == ("price, EUR", "place")
    assert words_of(path, "place") == ["a\nb", "a\u2028b"]


def test_targets_of_a_regression_are_standardized_and_turned_back(tmp_path: Path) -> None:
    data = lm.datasets.load(houses(tmp_path))
    assert data.y_train.mean() == pytest.approx(0.0, abs=1e-12)
    assert data.y_train.std() == pytest.approx(1.0)
    prices = [float(word) for word in words_of(tmp_path / "houses.csv", "price")]
    both = np.concatenate([data.y_train, data.y_test])
    np.testing.assert_allclose(np.sort(data.encoding.units(both)), np.sort(prices))


class Frame:
    """As much of a data frame as lamina looks at."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self.data = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.column_stack(list(self.data.values())).astype(dtype)

    def __len__(self) -> int:
        return len(next(iter(self.data.values())))


def test_data_frames(tmp_path: Path) -> None:
    words = list(csv.reader(io.StringIO(FLOWERS)))
    frame = Frame({name: [row[i] for row in words[1:]] for i, name in enumerate(words[0])})
    frame.data["height"] = [float(h) for h in frame.data["height"]]
    data = lm.datasets.load(frame, label="kind", test_size=0.34)
    assert data.feature_names[0] == "height"
    del frame.data["kind"]
    frame.columns = ["soil", "colour", "height"]
    assert data.encoding.features(frame).shape == (6, 5)
    for columns, says in (
        ({}, "has no columns"),
        ({"a": [], "b": []}, "has no rows"),
        ({"a": [1, 2], "b": [1]}, "unequal lengths"),
        ({"a": [1, float("nan"), 3, 4], "b": list("xyxy")}, "row 1, column 'a' is empty"),
        ({"a": [1, None, 3, 4], "b": list("xyxy")}, "row 1, column 'a' is empty"),
    ):
        with pytest.raises(lm.BadInput, match=says):
            lm.datasets.load(Frame(columns), impute=False)
    a, b = np.random.default_rng(0).standard_normal((2, 20))
    model = lm.Sequential([lm.Dense(1)], "mean_squared_error", backend="numpy", seed=0)
    model.fit(Frame({"a": a, "b": b}), a, batch_size=20, verbose=0)
    model.save(tmp_path / "m.safetensors")
    for one in (model, lm.load(tmp_path / "m.safetensors", backend="numpy")):
        one.predict(np.column_stack([a, b]))
        for wrong, says in (
            ({"b": b, "a": a}, "another order"),
            ({"a": a, "bb": b}, "did you mean 'bb'"),
            ({"a": a, "b": b, "c": b}, r"not built on the column\(s\) c"),
        ):
            with pytest.raises(lm.LaminaError, match=says):
                one.predict(Frame(wrong))


def quiet(text: str) -> None:
    """Nowhere to say it."""


@pytest.mark.long
def test_jobs_on_a_table_of_words(tmp_path: Path) -> None:
    assert jobs.predict is predictions.predict  # scripts look for it beside `train`
    path, model_file = flowers(tmp_path), tmp_path / "m.safetensors"
    settings = jobs.Settings(str(path), hidden=(16,), epochs=40, backend="numpy")
    report = jobs.train(settings, quiet, save=model_file, verbose=0)
    assert report["test"]["accuracy"] > 0.9
    again = jobs.train(jobs.Settings.from_json(json.loads(json.dumps(report))), quiet, verbose=0)
    assert again["history"] == report["history"]
    new = write(tmp_path / "new.csv", "colour,height,soil\nred,10.1,sand\nblue,13.2,clay\n")
    rows = list(csv.DictReader(io.StringIO(predictions.predict(lm.load(model_file, "numpy"), new))))
    assert [row["kind"] for row in rows] == ["rose", "iris"]
    for row in rows:
        shares = [float(row[f"p({name})"]) for name in ("rose", "iris", "lily")]
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)


def test_jobs_on_a_table_of_numbers(tmp_path: Path) -> None:
    path, model_file = houses(tmp_path), tmp_path / "m.safetensors"
    settings = jobs.Settings(str(path), hidden=(32,), epochs=100, dropout=0.0, backend="numpy")
    report = jobs.train(settings, quiet, save=model_file, verbose=0)
    assert report["task"] == "regression"
    assert report["test"]["r2"] > 0.97
    assert report["test"]["mean_absolute_error"] < 8000
    new = write(tmp_path / "new.csv", "town;area;rooms\nBonn;100;4\nUlm;100;4\n")
    lines = predictions.predict(lm.load(model_file, "numpy"), new).split()
    assert lines[0] == "price"
    bonn, ulm = map(float, lines[1:])
    assert bonn == pytest.approx(120_000, rel=0.1)
    assert ulm == pytest.approx(100_000, rel=0.1)


def test_jobs_on_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)) * [1.0, 1000.0, 1e5]
    y = 2e5 + 5e4 * x[:, 0] + 30 * x[:, 1]
    path, model_file = tmp_path / "a.npz", tmp_path / "m.safetensors"
    np.savez(path, x=x, y=y)
    settings = jobs.Settings(str(path), hidden=(32,), epochs=60, dropout=0.0, backend="numpy")
    report = jobs.train(settings, quiet, save=model_file, verbose=0)
    assert report["test"]["r2"] > 0.97
    np.save(tmp_path / "new.npy", x[:5])
    model = lm.load(model_file, "numpy")
    lines = predictions.predict(model, tmp_path / "new.npy").split()
    assert lines[0] == "y"
    np.testing.assert_allclose([float(line) for line in lines[1:]], y[:5], atol=3e4)
    assert predictions.predict(model, path).count("\n") == 301
    np.savez(path, x=x.reshape(-1, 3, 1), y=np.arange(300) % 3)
    said: list[str] = []
    jobs.train(jobs.Settings(str(path), epochs=1, backend="numpy"), said.append, verbose=0)
    assert any("classification of 'y': the label holds 3 different whole" in line for line in said)


def test_settings_of_a_report() -> None:
    words = {"data": "moons", "hidden": [4], "backend": "auto"}
    found = jobs.Settings.from_json({"settings": words, "backend": "numpy"})
    assert (found.backend, found.hidden) == ("numpy", (4,))
    for wrong in ({"data": 5}, {"hidden": ["x"]}, {"epochs": "x"}, {"impute": 1}, {"seed": True}):
        with pytest.raises(lm.BadInput, match=f"setting {next(iter(wrong))!r} cannot be"):
            jobs.Settings.from_json({"settings": {**words, **wrong}, "backend": "numpy"})
    for told in ([], {}, {"settings": 3}, {"settings": {"hidden": 3}}, {"settings": {"layers": 3}}):
        with pytest.raises(lm.BadInput, match="no report of lamina"):
            jobs.Settings.from_json(told)


def test_a_resumed_job_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    log = tmp_path / "log.csv"
    whole = jobs.Settings("moons", hidden=(8,), epochs=6, backend="numpy")
    half = jobs.Settings("moons", hidden=(8,), epochs=2, backend="numpy")
    jobs.train(whole, quiet, save=first, verbose=0)
    jobs.train(half, quiet, save=second, log=log, verbose=0)
    jobs.train(whole, quiet, save=second, resume=True, log=log, verbose=0)
    models = [lm.load(path, backend="numpy") for path in (first, second)]
    for a, b in zip(*(m.get_weights() for m in models), strict=True):
        np.testing.assert_array_equal(a, b)
    with log.open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5", "6"]
    other = jobs.Settings(str(flowers(tmp_path)), backend="numpy")
    with pytest.raises(lm.BadInput, match="other columns"):
        jobs.train(other, quiet, save=second, resume=True, verbose=0)
    with pytest.raises(lm.BadInput, match="--save names"):
        jobs.train(half, quiet, resume=True, verbose=0)
