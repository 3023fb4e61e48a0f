"""Models as ONNX files: ONNX Runtime answers as `predict` does, for every layer and operation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends.conformance.operations import oracle, specs
from lamina.core.graph.graph import Node, constant, leaf, make
from lamina.kernels import ops
from support import Scale, classes, classifier, run_python

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

from lamina.core.interop.writers import WRITERS, compose  # noqa: E402
from lamina.core.interop.writing import IR, OPSET, Writer, elem_type  # noqa: E402

DTYPES = ("float32", pytest.param("float64", marks=pytest.mark.slow))
LAYERS: dict[str, list[Any]] = {
    "dense": [lm.Dense(5, "relu"), lm.Dense(3, "softmax")],
    "without bias": [lm.Dense(5, use_bias=False), lm.Dense(3, "softmax")],
    "standardized": [lm.Standardize(), lm.Dense(3, "softmax")],
    "dropout": [lm.Dense(5, "tanh"), lm.Dropout(0.5), lm.Dense(3, "softmax")],
    "norms": [lm.Dense(5), lm.BatchNorm(), lm.Activation("silu"), lm.LayerNorm(),
              lm.Dense(3, "softmax")],
    "bare norms": [lm.LayerNorm(scale=False), lm.BatchNorm(shift=False), lm.Dense(3, "softmax")],
    "a block": [lm.Dense(5), lm.Residual([lm.Dense(5, "gelu"), lm.Residual([lm.LayerNorm()])]),
                lm.Dense(3, "softmax")],
    "one's own": [Scale(0.5), lm.Dense(4, lambda z: lm.ops.sign(z) * lm.ops.log1p(abs(z))),
                  lm.Dense(3, "softmax")],
}  # fmt: skip


def answer(path: Path, **inputs: Any) -> list[np.ndarray]:
    """What ONNX Runtime makes of the inputs, each cast to what the file says."""
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kinds = {"tensor(double)": "float64", "tensor(float)": "float32", "tensor(string)": "object"}
    given = {i.name: np.asarray(inputs[i.name], kinds[i.type]) for i in session.get_inputs()}
    return session.run(None, given)  # type: ignore[no-any-return]


def agrees(model: lm.Sequential, x: np.ndarray, path: Path) -> None:
    """Asserts that the runtime answers as the model does, for two numbers of rows."""
    lm.export_onnx(model, path)
    for rows in (len(x), 1):
        (found,) = answer(path, x=x[:rows])
        wanted = model.predict(x[:rows])
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, dtype: str, tmp_path: Path) -> None:
    x, y = classes(30, 4)
    model = classifier(layers=LAYERS[name], dtype=dtype)
    model.fit(x, y, epochs=2, batch_size=30, verbose=0)
    agrees(model, x, tmp_path / "model.onnx")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ops.ACTIVATIONS)
def test_every_activation(name: str, dtype: str, tmp_path: Path) -> None:
    layers = [lm.Dense(6, name), lm.Dense(2)]
    model = lm.Sequential(layers, "mse", dtype=dtype, backend="numpy", seed=3).build(4)
    x = np.random.default_rng(0).standard_normal((20, 4)) * 3.0
    agrees(model, x, tmp_path / "model.onnx")
    back = lm.load_onnx(tmp_path / "model.onnx", "numpy")
    assert isinstance(back, lm.Sequential)
    assert [layer.brief() for layer in back.layers] == [layer.brief() for layer in model.layers]
    np.testing.assert_array_equal(back.predict(x), model.predict(x))


def test_numbers_that_the_dtype_does_not_hold_apart(tmp_path: Path) -> None:
    x, y = classes(60, 3)
    x[:, 1] += 1.7e9
    model = classifier(layers=[lm.Standardize(), lm.Dense(3, "softmax")], dtype="float32")
    model.fit(x, y, epochs=2, verbose=0)
    assert model.session.shift is not None
    agrees(model, x, tmp_path / "model.onnx")
    back = lm.load_onnx(tmp_path / "model.onnx", "numpy")
    assert isinstance(back, lm.Sequential)
    np.testing.assert_array_equal(back.predict(x), model.predict(x))
    back.fit(x, y, epochs=1, verbose=0)


@dataclass(frozen=True)
class Crowd(lm.Layer):
    """Rows that look at each other, in shapes that count them."""

    def forward(self, x: Node, parameters: Any, context: Any) -> Node:
        shares = lm.ops.softmax(x @ x.T)
        first = lm.ops.broadcast_to(constant(np.ones((1, 1)), x.dtype), (x.shape[0], 1))
        parts = x.reshape(x.shape[0], 2, 2)[:, ::2].reshape(-1, 2)
        middle = x - x.mean(axis=0, keepdims=True)
        return lm.ops.concatenate([shares @ x, first, parts, middle], axis=1)


def test_rows_that_depend_on_each_other(tmp_path: Path) -> None:
    model = lm.Sequential([Crowd(), lm.Dense(2)], "mse", backend="numpy", seed=0).build(4)
    x = np.random.default_rng(0).standard_normal((9, 4)).astype("float32")
    agrees(model, x, tmp_path / "model.onnx")
    back = lm.load_onnx(tmp_path / "model.onnx", "numpy")
    np.testing.assert_allclose(back.predict(x), model.predict(x), atol=1e-6)


def test_images(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((8, 3, 4)).astype("float32")
    model = lm.Sequential([lm.Flatten(), lm.Dense(1, "sigmoid")], "bce", backend="numpy", seed=0)
    agrees(model.build((3, 4)), x, tmp_path / "model.onnx")


# Single operations


def graph_of(result: Node, leaves: Sequence[Node], path: Path) -> None:
    """Writes an expression as a graph whose inputs are its leaves."""
    out = Writer("i0")
    names = {node: f"i{number}" for number, node in enumerate(leaves)}
    made = compose(out, result, dict(names))
    info = onnx.helper.make_tensor_value_info
    inputs = [info(names[n], elem_type(n.dtype), list(n.shape)) for n in leaves]
    outputs = [info(made, elem_type(result.dtype), list(result.shape))]
    held = [onnx.numpy_helper.from_array(a, n) for n, a in out.weights.items()]
    graph = onnx.helper.make_graph(out.nodes, "one", inputs, outputs, held)
    sets = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=IR)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_operation(name: str, dtype: str, tmp_path: Path) -> None:
    op = ops.get(name)
    path = tmp_path / "one.onnx"
    for sample in op.samples(np.random.default_rng(0), dtype, 6):
        arrays = [np.asarray(a) for a in sample.inputs if a is not None]
        found = [s for s in specs(sample) if s is not None]
        leaves = [leaf("batch", s, f"i{n}") for n, s in enumerate(found)]
        result = make(name, *leaves, **sample.attrs)
        graph_of(result, leaves, path)
        options = runtime.SessionOptions()  # what is asked for, not what it is optimized to
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (made,) = session.run(None, {f"i{n}": a for n, a in enumerate(arrays)})
        (wanted,) = oracle(op, sample)
        assert made.dtype.name == result.dtype
        assert made.shape == result.shape
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(made, wanted, rtol=tolerance, atol=tolerance)


def test_what_onnx_cannot_say_is_training() -> None:
    losses = ("cross_entropy", "binary_cross_entropy", "mean_squared_error")
    training = (
        "dropout_mask", "assign", "rescale", "clip_norm", "add_decay", "keep", "shrink",
    )  # fmt: skip
    for name in set(ops.OPS) - set(WRITERS):
        assert name.endswith(("_backward", "_update", *losses)) or name in training, name


# Files


def test_an_estimator_s_network(tmp_path: Path) -> None:
    class Estimator:
        def to_sequential(self) -> lm.Sequential:
            return classifier().build(4)

    lm.export_onnx(Estimator(), tmp_path / "model.onnx")
    x = np.random.default_rng(0).standard_normal((5, 4))
    back = lm.load_onnx(tmp_path / "model.onnx", "numpy")
    np.testing.assert_array_equal(back.predict(x), classifier().build(4).predict(x))


def test_metadata_says_what_the_graph_does_not(tmp_path: Path) -> None:
    model = classifier(dtype="float32").build(4)
    lm.export_onnx(model, tmp_path / "model.onnx")
    made = onnx.load(tmp_path / "model.onnx")
    told = {p.key: p.value for p in made.metadata_props}
    assert (made.producer_name, told["lamina.format"]) == ("lamina", "1")
    assert told["lamina.loss"] == "cross_entropy"
    assert "Dense(8, activation='relu')" in told["lamina.layers"]
    assert json.dumps(told)
    (rows,) = (d.dim_param for d in made.graph.input[0].type.tensor_type.shape.dim[:1])
    assert rows
    assert {t.name for t in made.graph.initializer} >= {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_an_older_file_is_whole_until_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        lm.export_onnx(classifier().build(4), path)
    monkeypatch.undo()
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(lm.NotBuilt):
        lm.export_onnx(classifier(), path)
    with pytest.raises(lm.BadInput, match="Standardize"):
        lm.export_onnx(classifier(layers=[lm.Standardize(), lm.Dense(3, "softmax")]).build(4), path)
    with pytest.raises(lm.BadInput, match=r"takes an lm\.Sequential, not list"):
        lm.export_onnx([], path)  # type: ignore[arg-type]
    odd = [lm.Dense(4, lambda z: lm.ops.relu_backward(z, z)), lm.Dense(3, "softmax")]
    with pytest.raises(lm.BadInput, match=r"\[relu_backward\] cannot be said in ONNX"):
        lm.export_onnx(classifier(layers=odd).build(4), path)
    assert not path.exists()


@pytest.mark.slow
def test_without_onnx_the_names_say_what_to_install(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["onnx"] = None
import lamina as lm
model = lm.Sequential([lm.Dense(2)], "mse", backend="numpy").build(3)
for use in (lambda: lm.export_onnx(model, "m.onnx"), lambda: lm.load_onnx("m.onnx"),
            lambda: lm.OnnxBackend.prepare(None)):
    try:
        use()
    except lm.BadInput as error:
        print(error)
"""
    told = run_python(code, cwd=tmp_path).splitlines()
    assert len(told) == 3
    assert all('pip install "lamina[onnx]"' in line for line in told)
