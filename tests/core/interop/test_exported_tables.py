"""Tables in ONNX files: ONNX Runtime makes of a table's cells what `predict` makes of the table."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.data import times
from lamina.core.data.columns import Column
from lamina.core.data.encoding import Encoding

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from lamina.core.interop import dates  # noqa: E402
from lamina.core.interop.writing import IR, OPSET, Writer, elem_type  # noqa: E402

ROWS = 120
LAYERS: dict[str, tuple[list[Any], str]] = {
    "kind": ([lm.Dense(3, "softmax")], "cross_entropy"),
    "sold": ([lm.Dense(1, "sigmoid")], "binary_cross_entropy"),
    "price": ([lm.Dense(1)], "mse"),
}
TYPES = {
    "size": "number", "grade": "S<M<L", "gift": "yes/no", "colour": "category", "when": "date",
    "clock": "date",
}  # fmt: skip


def gone(values: list[Any], every: int, first: int) -> list[Any]:
    """Values, of which some are missing."""
    return [None if at % every == first else value for at, value in enumerate(values)]


def table(seed: int = 0) -> dict[str, list[Any]]:
    """A column of each kind, with missing cells; the label is left to the caller."""
    rng = np.random.default_rng(seed)
    day = datetime.datetime(1968, 2, 27, 5)
    moments = [day + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 200_000, ROWS)]
    words = ["red", "blue", "é", '=1+1, "x"', *"abcdefghijklmnopqrstuvwxyz"]
    mixed = [("none", "many")[at % 2] if at % 5 == 0 else str(at / 4) for at in range(ROWS)]
    return {
        "size": gone(rng.normal(5.0, 2.0, ROWS).tolist(), 11, 3),
        "weight": (1.7e9 + rng.normal(size=ROWS) * 100.0).tolist(),
        "colour": gone([words[int(n**2 * 30)] for n in rng.random(ROWS)], 7, 2),
        "gift": gone([("Yes", "No")[i] for i in rng.integers(0, 2, ROWS)], 13, 4),
        "grade": gone([("S", "M", "L")[i] for i in rng.integers(0, 3, ROWS)], 9, 5),
        "when": gone(moments, 10, 1),
        "clock": [moment.time() for moment in moments],
        "mixed": gone(mixed, 17, 3),
    }


def labels(name: str) -> list[Any]:
    return {
        "kind": ["setosa", "virginica", '=1+1, "x"'] * (ROWS // 3),
        "sold": ["no", "yes"] * (ROWS // 2),
        "price": [100.0 + 3.5 * (at % 30) for at in range(ROWS)],
    }[name]


def trained(label: str, columns: dict[str, list[Any]], **more: Any) -> lm.Sequential:
    types = {name: kind for name, kind in TYPES.items() if name in columns}
    given = {**columns, label: labels(label)}
    data = lm.datasets.load(given, 0.0, label=label, types=types, **more)
    assert data.encoding is not None
    layers, loss = LAYERS[label]
    front: list[Any] = [lm.Standardize(columns=data.encoding.numeric)]
    if data.encoding.embedded:
        front.append(lm.Embedding(data.encoding.embedded, 3))
    model = lm.Sequential([*front, lm.Dense(6, "relu"), *layers], loss, backend="numpy", seed=0)
    model.fit(data.x_train, data.y_train, epochs=3, verbose=0)
    model.encoding = data.encoding
    return model


def fed(session: Any, columns: dict[str, list[Any]]) -> dict[str, np.ndarray]:
    """The cells as a runtime takes them: words, numbers with NaN, or times as whole numbers."""
    made: dict[str, np.ndarray] = {}
    for port in session.get_inputs():
        cells = columns[port.name]
        if port.type == "tensor(string)":
            found = np.array(["" if cell is None else str(cell) for cell in cells], object)
        elif port.type == "tensor(int64)":
            day = datetime.date(1970, 1, 1)
            clock = isinstance(cells[0], datetime.time)
            moments = [datetime.datetime.combine(day, c) if clock else c for c in cells]
            found = np.array(moments, "datetime64[us]").astype(np.int64)
        else:
            kind = "float64" if port.type == "tensor(double)" else "float32"
            found = np.array([np.nan if cell is None else cell for cell in cells], kind)
        made[port.name] = found[:, None]
    return made


def answer(path: Path, columns: dict[str, list[Any]]) -> list[Any]:
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, fed(session, columns)))


def agrees(model: lm.Sequential, path: Path, columns: dict[str, list[Any]]) -> None:
    """Asserts that a runtime, and lamina of the file, answer as the model does."""
    lm.export_onnx(model, path)
    assert model.encoding is not None
    wanted = model.predict(columns)
    found = answer(path, columns)
    if model.encoding.task == "regression":
        np.testing.assert_allclose(found[0], wanted, rtol=1e-5)
    else:
        p = np.hstack([1.0 - wanted, wanted]) if wanted.shape[1] == 1 else wanted
        np.testing.assert_allclose(found[1], p, atol=1e-6)
        assert list(found[0]) == model.predict_classes(columns).tolist()
    back = lm.load_onnx(path, "numpy")
    assert back.encoding == model.encoding
    np.testing.assert_allclose(back.predict(columns), wanted, rtol=1e-6, atol=1e-6)
    if model.encoding.task != "regression":
        assert back.predict_classes(columns).tolist() == model.predict_classes(columns).tolist()


@pytest.mark.parametrize("label", LAYERS)
def test_every_kind_of_column(label: str, tmp_path: Path) -> None:
    model = trained(label, table())
    assert model.encoding is not None
    kinds = {column.name: column.kind for column in model.encoding.used}
    assert set(kinds.values()) == {"number", "yes/no", "category", "ordered", "date"}
    assert len(model.encoding.used) == len(table())
    assert model.encoding.used[-1].words == ("none", "many")  # among numbers
    agrees(model, tmp_path / "model.onnx", table())


def test_codes_of_a_category_with_many_words(tmp_path: Path) -> None:
    model = trained("kind", table(), embed_from=10)
    assert model.encoding is not None
    assert len(model.encoding.embedded) == 1
    agrees(model, tmp_path / "model.onnx", table())


def test_lamina_itself_runs_the_whole_graph(tmp_path: Path) -> None:
    columns = {name: table()[name] for name in ("size", "weight", "colour", "gift", "grade")}
    model, path = trained("kind", columns, embed_from=10), tmp_path / "model.onnx"
    lm.export_onnx(model, path)
    given = fed(runtime.InferenceSession(str(path)), columns)
    _, p = lm.OnnxBackend.run_model(onnx.load(path), list(given.values()), backend="numpy")
    np.testing.assert_allclose(p, model.predict(columns), atol=1e-6)


def test_words_that_training_never_saw_and_cells_that_training_never_missed(tmp_path: Path) -> None:
    model = trained("kind", table(), embed_from=10)
    other = table(1)
    other["colour"] = ["mauve", "", None, "red"] * (ROWS // 4)
    other["gift"] = ["TRUE", "n", "perhaps", None] * (ROWS // 4)
    other["grade"] = ["XL", "L", None, "M"] * (ROWS // 4)
    other["weight"] = [None, 1.7e9] * (ROWS // 2)
    other["mixed"] = ["7", "none", "2.5", "many"] * (ROWS // 4)
    agrees(model, tmp_path / "model.onnx", other)


def test_words_for_missing_that_were_named(tmp_path: Path) -> None:
    columns = {name: table()[name] for name in ("size", "gift", "colour")}
    columns["gift"] = ["-" if cell is None else cell for cell in columns["gift"]]
    model = trained("sold", columns, missing=["-"])
    assert model.encoding is not None
    assert model.encoding.used[1].indicator
    agrees(model, tmp_path / "model.onnx", columns)
    model = trained("sold", {"size": table()["size"]}, missing=["-"])
    agrees(model, tmp_path / "model.onnx", {"size": table(1)["size"]})


def test_columns_that_are_left_out_are_no_inputs(tmp_path: Path) -> None:
    columns = {"size": table()["size"], "id": [f"no {at}" for at in range(ROWS)]}
    model, path = trained("kind", columns), tmp_path / "model.onnx"
    agrees(model, path, columns)
    assert [port.name for port in onnx.load(path).graph.input] == ["size"]


def test_a_seldom_word_counts_with_the_other_seldom_ones(tmp_path: Path) -> None:
    words = [("red", "blue", "green", "grey")[at % 4] for at in range(ROWS)]
    columns = {"size": table()["size"], "colour": [*words[:-26], *"abcdefghijklmnopqrstuvwxyz"]}
    model = trained("sold", columns)
    assert model.encoding is not None
    assert model.encoding.used[1].rest
    agrees(model, tmp_path / "model.onnx", {**columns, "colour": [*words[:-3], "a", "z", None]})


@pytest.mark.slow
def test_the_recipe_s_ensemble(tmp_path: Path) -> None:
    words = [f"town {at % 30}" for at in range(ROWS)]
    columns = {**{n: table()[n] for n in ("size", "gift", "when")}, "town": words}
    small: dict[str, Any] = {
        "hidden": (8,), "members": 2, "epochs": 3, "backend": "numpy", "random_state": 0,
    }  # fmt: skip
    pytest.importorskip("sklearn")
    made = lm.TabularClassifier(**small).fit(columns, labels("kind"))
    lm.export_onnx(made, tmp_path / "model.onnx")
    label, p = answer(tmp_path / "model.onnx", columns)
    np.testing.assert_allclose(p, made.predict_proba(columns), atol=1e-5)
    assert list(label) == made.predict(columns).tolist()
    agrees(made.to_sequential(), tmp_path / "model.onnx", columns)
    price = lm.TabularRegressor(**small).fit(columns, labels("price"))
    agrees(price.to_sequential(), tmp_path / "model.onnx", columns)


def test_an_encoding_of_files_from_before(tmp_path: Path) -> None:
    columns = (
        Column("size", "number", (), 4.5), Column("age", "number", strict=True),
        Column("colour", "category", ("blue", "red"), "red"),
    )  # fmt: skip
    encoding = Encoding(columns, "kind", "classification", ("a", "b", "c"))
    model = lm.Sequential([lm.Dense(3, "softmax")], "cross_entropy", backend="numpy", seed=0)
    model.build(4).encoding = encoding
    cells = {"size": [1.0, None, 3.0], "age": [1.0, 2.0, 3.0], "colour": ["red", None, "green"]}
    agrees(model, tmp_path / "model.onnx", cells)


def test_the_calendar(tmp_path: Path) -> None:
    first, last = np.datetime64("1583-01-01", "us"), np.datetime64("2420-01-01", "us")
    rng = np.random.default_rng(0)
    some = rng.integers(first.astype(np.int64), last.astype(np.int64), 20_000)
    edges = np.arange("1896-02-26", "1904-03-05", dtype="datetime64[D]").astype("datetime64[us]")
    moments = np.concatenate([some, edges.astype(np.int64), [-1, 0, 1]])
    parts = ("elapsed", "month", "weekday", "hour")
    out, info = Writer("t"), onnx.helper.make_tensor_value_info
    made = dates.features(out, "t", parts, 7, False)
    graph = onnx.helper.make_graph(
        out.nodes, "dates", [info("t", elem_type("int64"), ["n", 1])],
        [info(name, elem_type("float64"), ["n", 1]) for name in made],
        [onnx.numpy_helper.from_array(a, n) for n, a in out.weights.items()],
    )  # fmt: skip
    sets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=IR)
    session = runtime.InferenceSession(model.SerializeToString())
    found = np.hstack(session.run(None, {"t": moments[:, None]}))
    wanted = times.features(moments.view("datetime64[us]"), parts, 7, False)
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-12)
