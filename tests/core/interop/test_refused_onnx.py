"""What is refused of ONNX files: operators that lamina lacks, bombs, data elsewhere, forgeries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from support import GOLDEN

onnx = pytest.importorskip("onnx")

from onnx_support import FLOAT, NODE, write  # noqa: E402


def test_an_operator_that_lamina_lacks_is_named_with_its_node(tmp_path: Path) -> None:
    ports = {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 2])}
    path = write(tmp_path / "m.onnx", [NODE("Cos", ["x"], ["y"], name="turn")], *ports)
    with pytest.raises(lm.CheckpointError, match=r"node 'turn' \(Cos -> y\): lamina has no oper"):
        lm.load_onnx(path, "numpy")
    path = write(tmp_path / "m.onnx", [NODE("Odd", ["x"], ["y"], domain="own")], *ports)
    with pytest.raises(lm.CheckpointError, match=r"node \(own.Odd -> y\): lamina has no operator"):
        lm.load_onnx(path, "numpy")
    path = write(tmp_path / "m.onnx", [NODE("Cast", ["x"], ["y"], to=10)], *ports)
    with pytest.raises(lm.CheckpointError, match="no dtype float16: it has float32"):
        lm.load_onnx(path, "numpy")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(lm.CheckpointError, match="there is no file"):
        lm.load_onnx(tmp_path / "none.onnx", "numpy")
    path = tmp_path / "m.onnx"
    for content in (b"", b"\x00" * 50, b"words", b"\x89PNG"):
        path.write_bytes(content)
        with pytest.raises(lm.CheckpointError, match=r"m\.onnx"):
            lm.load_onnx(path, "numpy")


@pytest.mark.parametrize(
    ("nodes", "weights", "what"),
    [
        ([("Expand", ["x", "s"], "y")], {"s": [2**40, 1, 1]}, "at most"),
        ([("ConstantOfShape", ["s"], "z"), ("Add", ["x", "z"], "y")], {"s": [2**31, 2**31]}, "at"),
        ([("Tile", ["x", "s"], "y")], {"s": [1, 2**40]}, "at most"),
        ([("Concat", ["x", "x"], "a")] + [("Concat", [f"{'a' * i}", f"{'a' * i}"], "a" * (i + 1))
          for i in range(1, 40)] + [("Identity", ["a" * 40], "y")], {}, "at most"),
        ([("Reshape", ["x", "s"], "y")], {"s": [-1, 2**40]}, "does not fit"),
        ([("Gather", ["x", "s"], "y")], {"s": [7]}, "indices"),
        ([("Add", ["x"], "y")], {}, "input 1 is missing"),
        ([("Add", ["x", "ghost"], "y")], {}, "nothing before it makes 'ghost'"),
        ([("MatMul", ["x", "s"], "y")], {"s": [[1.0]] * 5}, "2 columns but b has 5 rows"),
    ],
)  # fmt: skip
def test_bombs_and_nonsense_are_refused(
    nodes: list[Any], weights: dict[str, Any], what: str, tmp_path: Path
) -> None:
    made = [NODE(kind, inputs, [out], **({"axis": 1} if kind in ("Concat", "Gather") else {}))
            for kind, inputs, out in nodes]  # fmt: skip
    held = {
        n: np.array(a, "float32" if isinstance(np.ravel(a)[0], float) else "int64")
        for n, a in weights.items()
    }
    path = write(tmp_path / "m.onnx", made, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, None)}, held)
    with pytest.raises(lm.CheckpointError, match=what):
        lm.load_onnx(path, "numpy").predict([[1.0, 2.0]])


@pytest.mark.slow
def test_bombs_that_are_made_on_the_host(tmp_path: Path) -> None:
    def whole(*numbers: int) -> np.ndarray:
        return np.array(numbers, np.int64)

    grow = [NODE("Concat", [f"a{i}", f"a{i}"], [f"a{i + 1}"], axis=0) for i in range(40)]
    chain = [NODE("Exp", [f"a{i}"], [f"a{i + 1}"]) for i in range(200)]
    outer = [NODE("Add", ["u", "v"], [f"b{i}"]) for i in range(9)]
    square = NODE("ConstantOfShape", ["s"], ["a0"])
    end = [NODE("ReduceMax", ["e"], ["m"], keepdims=0), NODE("Add", ["x", "m"], ["y"])]
    size = [NODE("Cast", ["m"], ["k"], to=7), NODE("Reshape", ["x", "k"], ["y"])]
    for nodes, weights, what in (
        ([*grow, NODE("Reshape", ["x", "a40"], ["y"])], {"a0": whole(1, 2)}, "at most"),
        ([square, NODE("EyeLike", ["a0"], ["e"]), *end], {"s": whole(16000, 16000)}, "at most"),
        ([square, NODE("Trilu", ["a0"], ["e"]), *end], {"s": whole(16000, 16000)}, "at most"),
        (
            [square, *chain, NODE("ReduceMax", ["a200"], ["m"]), *size],
            {"s": whole(1_000_000)}, "too many to be made on the host",
        ),
        (
            [*outer, NODE("Concat", [f"b{i}" for i in range(9)], ["e"], axis=0), *end],
            {"u": np.ones((4096, 1), "int64"), "v": np.ones((1, 4096), "int64")}, "too many",
        ),
    ):  # fmt: skip
        path = tmp_path / "m.onnx"
        write(path, nodes, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, None)}, weights)
        with pytest.raises(lm.CheckpointError, match=what):
            lm.load_onnx(path, "numpy")


def external(path: Path, location: str, length: int = 16, offset: int = 0) -> None:
    """A graph whose weight of four numbers lies in another file."""
    write(
        path, [NODE("MatMul", ["x", "w"], ["y"])], {"x": (FLOAT, ["n", 2])},
        {"y": (FLOAT, ["n", 2])}, {"w": np.zeros((2, 2), "float32")},
    )  # fmt: skip
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    told = {"location": location, "offset": str(offset), "length": str(length)}
    for key, value in told.items():
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def test_data_beside_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    weights = np.arange(4, dtype="float32")
    (folder / "data" / "w.bin").write_bytes(b"head" + weights.tobytes())
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    path = folder / "m.onnx"
    external(path, "data/w.bin", offset=4)
    made = lm.load_onnx(path, "numpy").predict([[1.0, 1.0]])
    np.testing.assert_array_equal(made, [[2.0, 4.0]])
    for place, why in (
        ("../w.bin", "outside the model's folder"), ("/etc/passwd", "outside"),
        ("data/../../w.bin", "outside"), ("link.bin", "behind a link"), ("none.bin", "not there"),
    ):  # fmt: skip
        external(path, place)
        with pytest.raises(lm.CheckpointError, match=why):
            lm.load_onnx(path, "numpy")
    for more in ({"length": 12}, {"offset": 8}, {"offset": -1}):
        external(path, "data/w.bin", **more)
        with pytest.raises(lm.CheckpointError, match="needs 16 bytes"):
            lm.load_onnx(path, "numpy")


def test_a_forged_encoding_is_refused(tmp_path: Path) -> None:
    model = onnx.load(GOLDEN / "onnx" / "lamina_table.onnx")
    path = tmp_path / "m.onnx"
    for key, value, why in (
        ("lamina.encoding", "[]", "does not describe its table"),
        ("lamina.encoding", "{" * 5000, "does not describe its table"),
        ("lamina.features", "ghost", "its graph has not"),
        ("lamina.features_dtype", "int32", "dtype 'int32'"),
    ):
        forged = onnx.ModelProto.FromString(model.SerializeToString())
        for prop in forged.metadata_props:
            prop.value = value if prop.key == key else prop.value
        path.write_bytes(forged.SerializeToString())
        with pytest.raises(lm.CheckpointError, match=why):
            lm.load_onnx(path, "numpy")
