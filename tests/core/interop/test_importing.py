"""Networks from ONNX files: of PyTorch, Keras, scikit-learn, by hand; to predict and to train."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from support import CPU, GOLDEN, classes, classifier, same

onnx = pytest.importorskip("onnx")

from onnx_support import FLOAT, INT64, NODE, golden, helper, numpy_helper, write  # noqa: E402

FILES = sorted(GOLDEN.glob("onnx/*.onnx"))
CHAINS = {
    "keras_gelu", "keras_relu", "keras_silu", "sklearn_classifier", "sklearn_linear",
    "sklearn_regressor", "torch_script_gelu", "torch_dynamo_gelu", "torch_script_gelu_tanh",
    "torch_dynamo_gelu_tanh", "torch_script_silu", "torch_dynamo_silu", "torch_script_images",
    "torch_dynamo_images", "torch_script_mish", "torch_dynamo_mish", "torch_script_hardswish",
    "torch_dynamo_relu", "torch_script_relu", "torch_script_elu", "lamina_table",
}  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_answers_of_other_libraries(path: Path) -> None:
    x, y = golden(path)
    network = lm.load_onnx(path, "numpy")
    made = network.predict(x)
    assert made.shape == y.shape
    np.testing.assert_allclose(made, y, rtol=1e-5, atol=1e-6)
    one = network.predict({n: c[:1] for n, c in x.items()} if isinstance(x, dict) else x[:1])
    np.testing.assert_allclose(one, y[:1], rtol=1e-5, atol=1e-6)
    chain = isinstance(network, lm.Sequential)
    assert chain or path.stem not in CHAINS


@pytest.mark.slow  # numba compiles
@pytest.mark.parametrize("backend", [name for name in CPU if name != "numpy"])
@pytest.mark.parametrize("name", ["torch_dynamo_gated", "torch_script_norms", "sklearn_logistic"])
def test_any_graph_on_every_backend(name: str, backend: str) -> None:
    path = GOLDEN / "onnx" / f"{name}.onnx"
    x, y = golden(path)
    network = lm.load_onnx(path, backend)
    assert network.backend.name == backend
    np.testing.assert_allclose(network.predict(x), y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network.to("numpy").predict(x), y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["torch_script_relu", "sklearn_classifier", "keras_relu"])
def test_a_chain_goes_on_training(name: str) -> None:
    network = lm.load_onnx(GOLDEN / "onnx" / f"{name}.onnx", "numpy")
    assert isinstance(network, lm.Sequential)
    x, y = classes(60, network.features[0])  # type: ignore[index]
    before = network.evaluate(x, y)["loss"]
    network.fit(x, y, epochs=30, verbose=0)
    assert network.evaluate(x, y)["loss"] < before


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    x, y = classes()
    layers = [lm.Standardize(), lm.Dense(5, "leaky_relu"), lm.Dense(3, "softmax")]
    for dtype in ("float32", "float64"):
        model = classifier(layers=layers, loss="focal", dtype=dtype)
        model.fit(x, y, epochs=2, verbose=0)
        lm.export_onnx(model, tmp_path / "model.onnx")
        back = lm.load_onnx(tmp_path / "model.onnx", "numpy")
        assert isinstance(back, lm.Sequential)
        assert (back.layers, back.loss, back.dtype) == (model.layers, model.loss, model.dtype)
        assert same(back.get_weights(), model.get_weights())
        assert back.predict(x).tobytes() == model.predict(x).tobytes()


def test_words_of_a_classifier() -> None:
    path = GOLDEN / "onnx" / "sklearn_words.onnx"
    x, y = golden(path)
    network = lm.load_onnx(path, "numpy")
    assert isinstance(network, lm.OnnxNetwork)
    found = network.run({"X": x})
    names = np.array(["setosa", "versicolor", "virginica"])
    assert list(found["label"]) == list(names[y.argmax(axis=1)])
    labels = lm.load_onnx(path, "numpy", output="label").predict(x)
    assert list(labels) == list(found["label"])
    with pytest.raises(lm.BadInput, match="no output 'p': there are label, probabilities"):
        lm.load_onnx(path, "numpy", output="p")


def test_a_table_s_encoding_comes_along() -> None:
    network = lm.load_onnx(GOLDEN / "onnx" / "lamina_table.onnx", "numpy")
    assert isinstance(network, lm.Sequential)
    assert network.encoding is not None
    assert network.encoding.classes == ("a", "b", "c")
    assert [c.name for c in network.encoding.columns] == ["size", "colour", "when"]
    assert network.session.shift is not None  # seconds since 1970


def test_a_table_s_whole_graph_takes_its_columns() -> None:
    path = GOLDEN / "onnx" / "lamina_table.onnx"
    cells: list[Any] = [
        np.array(each, object if isinstance(each[0][0], str) else "float64")
        for each in ([[0.13]] * 3, [["red"], ["NA"], ["mauve"]], [[1.7e9]] * 3)
    ]
    label, p = lm.OnnxBackend.run_model(onnx.load(path), cells, backend="numpy")
    network = lm.load_onnx(path, "numpy")
    rows = [[0.13, *shares, 1.7e9] for shares in ([0, 1], [1, 0], [0, 0])]
    np.testing.assert_allclose(p, network.predict(rows), atol=1e-6)
    assert list(label) == [network.encoding.classes[i] for i in p.argmax(axis=1)]  # type: ignore[union-attr]


def test_several_inputs_of_several_dtypes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "two.onnx",
        [NODE("Gather", ["table", "which"], ["rows"]), NODE("Mul", ["rows", "x"], ["y"])],
        {"which": (INT64, ["n"]), "x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])},
        {"table": np.arange(6, dtype="float32").reshape(3, 2)},
    )  # fmt: skip
    for backend in ("loops", "numpy"):
        network = lm.load_onnx(path, backend)
        made = network.predict({"which": [2, 0], "x": [[1.0, 2.0], [3.0, 4.0]]})
        np.testing.assert_array_equal(made, [[4.0, 10.0], [0.0, 4.0]])
        with pytest.raises(lm.BadInput, match="2 inputs: give a dictionary, or a data"):
            network.predict([[1.0, 2.0]])
        with pytest.raises(lm.BadInput, match="the inputs are which, x; not as given: z"):
            network.predict({"which": [1], "x": [[1.0, 2.0]], "z": 1})
        with pytest.raises(lm.DtypeError, match="takes whole numbers"):
            network.predict({"which": [1.5], "x": [[1.0, 2.0]]})
        with pytest.raises(lm.ShapeError, match="does not take an array of shape"):
            network.predict({"which": [1], "x": [[1.0, 2.0, 3.0]]})


def test_bytes_that_are_cast_at_once(tmp_path: Path) -> None:
    port, cast = (onnx.TensorProto.UINT8, ["n", 2]), NODE("Cast", ["x"], ["f"], to=FLOAT)
    nodes = [cast, NODE("Div", ["f", "c"], ["y"])]
    path, y = tmp_path / "bytes.onnx", {"y": (FLOAT, ["n", 2])}
    write(path, nodes, {"x": port}, y, {"c": np.float32(255.0)})
    network = lm.load_onnx(path, "numpy")
    made = network.predict(np.array([[0, 255], [51, 102]], "uint8"))
    np.testing.assert_allclose(made, [[0.0, 1.0], [0.2, 0.4]], atol=1e-7)
    for wrong, what in (([[0, 256]], "does not hold all"), ([[0.5, 1.0]], "takes whole numbers")):
        with pytest.raises(lm.DtypeError, match=what):
            network.predict(wrong)
    write(path, [NODE("Add", ["x", "x"], ["z"]), *nodes], {"x": port}, y, {"c": np.float32(2.0)})
    with pytest.raises(lm.CheckpointError, match="lamina does not compute in uint8"):
        lm.load_onnx(path, "numpy")


def test_rows_are_taken_together_where_they_depend_on_each_other(tmp_path: Path) -> None:
    path = write(
        tmp_path / "crowd.onnx",
        [NODE("ReduceMean", ["x", "first"], ["m"]), NODE("Sub", ["x", "m"], ["y"])],
        {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])}, {"first": np.array([0])},
    )  # fmt: skip
    network = lm.load_onnx(path, "numpy")
    x = np.random.default_rng(0).normal(size=(5000, 2)).astype("float32")
    np.testing.assert_allclose(network.predict(x), x - x.mean(axis=0), atol=1e-5)


def test_many_rows_and_copies(tmp_path: Path) -> None:
    path = GOLDEN / "onnx" / "torch_dynamo_norms.onnx"
    x, _ = golden(path)
    network = lm.load_onnx(path, "numpy")
    whole = network.predict(np.repeat(x, 500, axis=0))
    np.testing.assert_allclose(whole[::500], network.predict(x), rtol=1e-6)
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.predict(x), network.predict(x))
    assert "OnnxNetwork(" in repr(again)


def test_no_rows_and_one_row_at_a_time() -> None:
    for name in ("torch_dynamo_gated", "torch_one_row", "sklearn_logistic"):
        path = GOLDEN / "onnx" / f"{name}.onnx"
        x, y = golden(path)
        network = lm.load_onnx(path, "numpy")
        assert network.predict(x[:0]).shape == (0, y.shape[1])
        np.testing.assert_allclose(network.predict(x[:2]), y[:2], rtol=1e-5, atol=1e-6)


def test_data_frames(tmp_path: Path) -> None:
    cells, y = golden(GOLDEN / "onnx" / "sklearn_columns.onnx")

    class Table:
        columns = tuple(cells)

        def __getitem__(self, name: str) -> np.ndarray:
            return np.array(cells[name])[:, 0]

    network = lm.load_onnx(GOLDEN / "onnx" / "sklearn_columns.onnx", "numpy")
    np.testing.assert_allclose(network.predict(Table()), y, rtol=1e-5, atol=1e-6)
    with pytest.raises(lm.ShapeError, match=r"different numbers of rows \(size: 10, colour: 10"):
        network.predict({**cells, "width": cells["width"][:3]})
    model = classifier(dtype="float32").build(4)
    model.columns = ("a", "b", "c", "d")
    lm.export_onnx(model, tmp_path / "m.onnx")
    back = lm.load_onnx(tmp_path / "m.onnx", "numpy")
    assert isinstance(back, lm.Sequential)
    assert back.columns == model.columns


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]),
        ("i,i->", [(3,), (3,)]), ("ii->i", [(3, 3)]), ("iij->j", [(3, 3, 2)]), ("ij->ji", [(2, 3)]),
        ("ab,cd", [(2, 3), (4, 5)]), ("ba", [(2, 3)]),
        ("...ij,...jk->...ik", [(2, 1, 3), (2, 3, 2)]),
        ("a,b,c->cab", [(2,), (3,), (4,)]), ("ij,j,i->", [(2, 3), (3,), (2,)]),
        ("bhqd,bhkd->bhqk", [(2, 3, 4, 5), (2, 3, 6, 5)]), ("i...->...", [(2, 3)]),
    ],
)  # fmt: skip
def test_sums_over_named_axes(equation: str, shapes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    names = [f"x{i}" for i in range(len(arrays))]
    node = NODE("Einsum", names, ["y"], equation=equation)
    (made,) = lm.OnnxBackend.run_node(node, arrays, backend="numpy", opset_version=18)
    np.testing.assert_allclose(made, np.einsum(equation, *arrays), atol=1e-12)


def test_functions_of_a_file(tmp_path: Path) -> None:
    body = [NODE("Mul", ["a", "a"], ["s"]), NODE("Add", ["s", "b"], ["r"])]
    sets = [helper.make_opsetid("", 18)]
    function = helper.make_function("own", "SquareAdd", ["a", "b"], ["r"], body, sets)
    graph = helper.make_graph(
        [NODE("SquareAdd", ["x", "c"], ["y"], domain="own")], "g",
        [helper.make_tensor_value_info("x", FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", FLOAT, ["n", 2])],
        [numpy_helper.from_array(np.float32(3.0), "c")],
    )  # fmt: skip
    model = helper.make_model(
        graph, functions=[function], opset_imports=[*sets, helper.make_opsetid("own", 1)]
    )
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    made = lm.load_onnx(tmp_path / "f.onnx", "numpy").predict([[2.0, -1.0]])
    np.testing.assert_array_equal(made, [[7.0, 4.0]])
