"""What a model of a table predicts from the shell and in Python: the same numbers."""

from __future__ import annotations

import csv
import io
import json
import logging
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.command import jobs, predictions
from lamina.core.data.database import Reading

TOWNS = ("Ulm", "Bonn", "Kiel", "Jena")


def table(folder: Path, rows: int = 200) -> Path:
    """Numbers with gaps, a category, a date, yes and no, names of rows; a price and a kind."""
    rng = np.random.default_rng(3)
    lines = ["id,size,town,built,garden,price,kind"]
    for i in range(rows):
        size, town = rng.normal(100, 20), TOWNS[rng.integers(4)]
        built = f"20{10 + i % 10}-{1 + i % 12:02d}-{1 + i % 28:02d}"
        garden = "yes" if rng.random() < 0.5 else "no"
        price = 1000 * size + 5000 * (garden == "yes")
        kind = "big" if size > 100 else "small"
        shown = "" if i % 17 == 0 else f"{size:.2f}"
        lines.append(f"r{i},{shown},{town},{built},{garden},{price:.0f},{kind}")
    path = folder / "homes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


NEW: dict[str, list[Any]] = {  # another order of columns, a new word, missing cells, one more
    "garden": ["no", "yes", None, "no"],
    "note": ["a", "b", "c", "d"],
    "built": ["2015-03-04", "2019-12-31", "2012-07-01", None],
    "town": ["Bonn", "Hamm", None, "Ulm"],
    "size": [80.5, 120.25, None, 99.0],
}


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[lm.Sequential, Path]:
    """A model that the shell trained, from its file; and the new rows as CSV."""
    label = request.param
    file = tmp_path / "m.safetensors"
    settings = jobs.Settings(
        str(table(tmp_path)), label=label, hidden=(8,), epochs=3, backend="numpy",
        drop="price" if label == "kind" else "kind", recipe="simple",
    )  # fmt: skip
    jobs.train(settings, lambda text: None, save=file, verbose=0)
    new = tmp_path / "new.csv"
    with new.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(NEW)
        writer.writerows(zip(*NEW.values(), strict=True))
    return lm.load(file, backend="numpy"), new


def pandas_frame() -> Any:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame(NEW)
    frame["built"] = pandas.to_datetime(frame["built"])
    frame["garden"] = frame["garden"].map({"yes": True, "no": False}).astype("boolean")
    frame["town"] = frame["town"].astype("category")
    return frame


def polars_frame() -> Any:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame(NEW)
    return frame.with_columns(polars.col("built").str.to_date())


def arrow_table() -> Any:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return pyarrow.table(NEW)


SOURCES: dict[str, Any] = {
    "pandas": pandas_frame,
    "polars": polars_frame,
    "Arrow": arrow_table,
    "a dictionary": lambda: NEW,
    "a dictionary of arrays": lambda: {
        name: np.array(cells, dtype=object) for name, cells in NEW.items()
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("made", ["kind", "price"], indirect=True)
@pytest.mark.parametrize("source", SOURCES)
def test_the_same_numbers(
    made: tuple[lm.Sequential, Path], source: str, caplog: pytest.LogCaptureFixture
) -> None:
    model, new = made
    shell = list(csv.reader(io.StringIO(predictions.predict(model, new))))
    with caplog.at_level(logging.WARNING, "lamina"):
        found = model.predict(SOURCES[source]())
    assert any("'Hamm' in 1 row, which training never saw" in line for line in caplog.messages)
    if model.encoding.task == "regression":
        assert [float(row[0]) for row in shell[1:]] == pytest.approx(found[:, 0].tolist(), rel=1e-6)
        return
    np.testing.assert_allclose(
        [[float(cell) for cell in row[1:]] for row in shell[1:]],
        np.hstack([1 - found, found]), atol=1e-6,
    )  # fmt: skip
    classes = model.predict_classes(SOURCES[source]())
    assert classes.tolist() == [row[0] for row in shell[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("made", ["kind"], indirect=True)
def test_paths_queries_and_options(made: tuple[lm.Sequential, Path]) -> None:
    model, new = made
    wanted = model.predict(NEW)
    np.testing.assert_allclose(model.predict(new), wanted)
    np.testing.assert_allclose(model.predict(str(new)), wanted)
    np.testing.assert_allclose(model.predict(f"SELECT * FROM '{new}'"), wanted)
    np.testing.assert_allclose(model.predict(f"from '{new}' select * exclude (note)"), wanted)
    some = model.predict(f"SELECT * FROM '{new}' WHERE town = 'Bonn'")
    np.testing.assert_allclose(some, wanted[:1])
    text = new.read_text()
    new.write_text(text.replace(",", ";").replace(".", ","))
    assert predictions.predict(model, new).count("\n") == 5
    new.write_text(text.replace("Hamm", "Bonn").replace(",,", ",-,"))
    told: list[str] = []
    lines = predictions.predict(model, new, reading=Reading(missing=("-",)), say=told.append)
    assert lines.count("\n") == 5
    assert told == [
        "new.csv: not looked at, as training had no such column: note",
        "column 'town' has 1 missing cell, of which training had none",
        "column 'built' has 1 missing cell, of which training had none",
    ]
    with pytest.raises(lm.BadInput, match="line 4, column 'town' is empty"):
        predictions.predict(model, new, reading=Reading(missing=("-",)), strict=True)
    with pytest.raises(lm.UnknownName, match="no column 'size'"):
        model.predict({name: cells for name, cells in NEW.items() if name != "size"})
    with pytest.raises(lm.BadInput, match="the query cannot be answered"):
        model.predict("SELECT * FROM 'nowhere.csv'")


@pytest.mark.slow
@pytest.mark.parametrize("made", ["kind"], indirect=True)
def test_arrays_stay_as_they_were(made: tuple[lm.Sequential, Path]) -> None:
    model, new = made
    x = model.encoding.features(new)
    np.testing.assert_allclose(model.predict(x), model.predict(new))
    assert model.predict_classes(x).dtype == np.int32


OLD = {
    "columns": [
        {"name": "size", "categories": [], "fill": "2.5"},
        {"name": "area", "categories": [], "fill": None},
        {"name": "town", "categories": ["Bonn", "Ulm"], "fill": "Ulm"},
    ],
    "label": "price", "task": "regression", "classes": [], "mean": 100.0, "scale": 10.0,
}  # fmt: skip


def test_files_from_before_there_were_kinds(tmp_path: Path) -> None:
    from lamina.core.data.encoding import Encoding

    model = lm.Sequential(
        [lm.Standardize(), lm.Dense(1)], "mean_squared_error", backend="numpy", dtype="float64"
    )
    model.encoding = Encoding.from_json(json.loads(json.dumps(OLD)))
    x = np.array([[1.0, 5.0, 1, 0], [2.5, 6.0, 0, 1], [3.0, 7.0, 0, 0]])
    model.fit(x, [1.0, 2.0, 3.0], batch_size=3, verbose=0)
    model.save(tmp_path / "m.safetensors")
    model = lm.load(tmp_path / "m.safetensors", backend="numpy")
    assert model.encoding.feature_names == ("size", "area", "town=Bonn", "town=Ulm")
    rows = {"area": [5, 6, 7], "size": [1, None, 3], "town": ["Bonn", None, "Kiel"]}
    found = model.predict(rows)
    np.testing.assert_allclose(found, 100.0 + 10.0 * model.predict(x))
    with pytest.raises(lm.BadInput, match="row 1, column 'area' is empty"):
        model.predict({**rows, "area": [5, None, 7]})
