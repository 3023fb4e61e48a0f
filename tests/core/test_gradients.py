"""Derivatives: every rule against finite differences, the course's formulas, fused and unfused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.core.graph.autodiff import compute
from lamina.core.graph.derivatives import RULES
from lamina.core.graph.fusion import fuse
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import Node, constant, make, order, outputs
from lamina.kernels.ops import OPS, PIECEWISE_CONSTANT

from .. import support

EPSILON = 1e-6
# Derivatives themselves and optimizer updates: nothing is differentiated twice.
WITHOUT = (
    *(name for name in OPS if name.endswith(("_backward", "_update"))),
    "assign",
    "clip_norm",
    "add_decay",
    "keep",
    "rescale",
    "shrink",
)


def floating(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


DIFFERENTIABLE = [
    name
    for name, row in OPS.items()
    if name in RULES
    and any(
        floating(i) for s in row.samples(np.random.default_rng(0), "float64", 4) for i in s.inputs
    )
]


def cases(name: str) -> list[tuple[int, Any, int]]:
    """(sample number, sample, input number) for every floating input of every sample."""
    samples = OPS[name].samples(np.random.default_rng(5), "float64", 4)
    return [
        (number, sample, at)
        for number, sample in enumerate(samples)
        for at, value in enumerate(sample.inputs)
        if floating(value)
    ]


def graph(name: str, sample: Any, share: list[np.ndarray]) -> tuple[Node, list[Node | None]]:
    """sum(output * share) over all outputs, and the inputs' nodes."""
    nodes = [None if i is None else constant(i) for i in sample.inputs]
    made = outputs(make(name, *nodes, **sample.attrs))
    parts = [
        make("sum", make("cast", out, dtype="float64") * w)
        for out, w in zip(made, share, strict=True)
    ]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total, nodes


def value(name: str, sample: Any, inputs: list[Any], share: list[np.ndarray]) -> float:
    """The same number by the vectorised reference."""
    row = OPS[name]
    made = row.reference(np, *inputs, **row.complete(sample.attrs))
    made = made if isinstance(made, tuple) else (made,)
    pairs = zip(made, share, strict=True)
    return float(sum(np.sum(np.asarray(m, dtype=np.float64) * w) for m, w in pairs))


def shares(name: str, sample: Any) -> list[np.ndarray]:
    row, rng = OPS[name], np.random.default_rng(9)
    made = row.reference(np, *sample.inputs, **row.complete(sample.attrs))
    return [
        rng.standard_normal(np.shape(m)) for m in (made if isinstance(made, tuple) else (made,))
    ]


def numeric(name: str, sample: Any, at: int, share: list[np.ndarray], step: float) -> np.ndarray:
    x = sample.inputs[at]
    result = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        sides = []
        for sign in (1.0, -1.0):
            moved = x.copy()
            moved[place] += sign * step
            inputs = [*sample.inputs[:at], moved, *sample.inputs[at + 1 :]]
            sides.append(value(name, sample, inputs, share))
        result[place] = (sides[0] - sides[1]) / (2.0 * step)
    return result


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_rule_against_finite_differences(name: str) -> None:
    checked = 0
    for number, sample, at in cases(name):
        share = shares(name, sample)
        total, nodes = graph(name, sample, share)
        (made,) = differentiate(total, [nodes[at]])
        where = f"{name}, sample {number}, input {at}"
        if name == "cast" and sample.attrs["dtype"] == "int32":
            assert made is None, where
            continue
        assert made is not None, where
        assert made.shape == sample.inputs[at].shape, where
        got = compute({"g": made}, "numpy")["g"]
        # the cast to float32 is linear but rounds: a wide step is exact enough
        single = name == "cast" and sample.attrs["dtype"] == "float32"
        wanted = numeric(name, sample, at, share, 0.5 if single else EPSILON)
        scale = max(1.0, np.abs(wanted).max(initial=0.0))
        tolerance = (2e-6 if single else 3e-8) * scale
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=tolerance, err_msg=where)
        checked += 1
    assert checked > 0


def test_every_operation_is_accounted_for() -> None:
    kinds = {name: (name in RULES, name in PIECEWISE_CONSTANT, name in WITHOUT) for name in OPS}
    assert {name: kind for name, kind in kinds.items() if sum(kind) != 1} == {}
    assert set(RULES) | set(PIECEWISE_CONSTANT) | set(WITHOUT) == set(OPS)
    assert set(DIFFERENTIABLE) == set(RULES)  # every rule is tested above


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_derivative_says_so(name: str) -> None:
    sample = next(iter(OPS[name].samples(np.random.default_rng(0), "float64", 2)))
    nodes = [constant(i) for i in sample.inputs]
    total = make("sum", make(name, *nodes, **sample.attrs))
    with pytest.raises(lm.NotDifferentiable, match=rf"\[{name}\] has no derivative"):
        differentiate(total, [nodes[0]])


@pytest.mark.parametrize(
    "name", [n for n in PIECEWISE_CONSTANT if n not in ("one_hot", "dropout_mask")]
)
def test_what_is_constant_almost_everywhere_passes_nothing_on(name: str) -> None:
    sample = next(iter(OPS[name].samples(np.random.default_rng(0), "float64", 2)))
    nodes = [constant(i) for i in sample.inputs]
    total = make("sum", make("cast", make(name, *nodes, **sample.attrs), dtype="float64"))
    assert differentiate(total, nodes) == [None] * len(nodes)


@pytest.mark.parametrize("backend", ["loops", "numpy", "numba"])
class TestCourse:
    """Sections 2.5 to 2.7."""

    def test_graph_of_three_numbers(self, backend: str) -> None:
        def J(a: Any, b: Any, c: Any) -> Any:  # noqa: N802
            return 3 * (a + b * c)

        assert lm.value_and_grad(J, backend=backend)(5, 3, 2) == (33.0, (3.0, 6.0, 9.0))
        assert lm.grad(J, backend=backend)(5, 3, 2) == (3.0, 6.0, 9.0)
        assert lm.grad(J, argnums=1, backend=backend)(5.0, 3.0, 2.0) == 6.0
        assert lm.grad(J, argnums=(2, 0), backend=backend)(5.0, 3.0, 2.0) == (9.0, 3.0)
        lines = str(lm.trace(J, 5.0, 3.0, 2.0, backend=backend)).splitlines()
        assert lines[0].split() == ["node", "operation", "value", "derivative"]
        assert lines[-1].split() == ["result", "multiply(3,", "v2)", "33", "1"]
        assert [line.split()[-1] for line in lines[1:4]] == ["3", "6", "9"]

    def test_logistic_regression(self, backend: str) -> None:
        x = np.array([[0.5], [-1.5]])
        w, b, y = np.array([[0.3, -0.2]]), 0.1, 1.0

        def loss_of(a: Any) -> Any:
            return -(y * lm.ops.log(a) + (1.0 - y) * lm.ops.log(1.0 - a))

        z = (w @ x).item() + b
        a = 1.0 / (1.0 + np.exp(-z))
        assert lm.grad(loss_of, backend=backend)(a) == pytest.approx(
            -y / a + (1 - y) / (1 - a), rel=1e-12
        )
        dz = lm.grad(lambda z: loss_of(lm.ops.sigmoid(z)), backend=backend)(z)
        assert dz == pytest.approx(a - y, rel=1e-12)
        dw, db = lm.grad(lambda w, b: loss_of(lm.ops.sigmoid(w @ x + b)).sum(), backend=backend)(
            w, b
        )
        np.testing.assert_allclose(dw, x.T * (a - y), rtol=1e-12)
        assert db == pytest.approx(a - y, rel=1e-12)

    def test_arrays(self, backend: str) -> None:
        rng = np.random.default_rng(1)
        a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
        found = lm.grad(lambda a, b: (lm.ops.tanh(a @ b) ** 2).sum(), backend=backend)(a, b)
        t = np.tanh(a @ b)
        inner = 2.0 * t * (1.0 - t * t)
        np.testing.assert_allclose(found[0], inner @ b.T, rtol=1e-10)
        np.testing.assert_allclose(found[1], a.T @ inner, rtol=1e-10)


def test_an_activation_with_two_losses() -> None:
    rng = np.random.default_rng(4)
    z, t1, t2 = rng.standard_normal((3, 2)), rng.random((3, 2)), rng.random((3, 2))

    def bce(p: Any, t: Any) -> Any:
        return lm.ops.sum(lm.ops.binary_cross_entropy(p, t))

    def f(z: Any) -> Any:
        p = lm.ops.sigmoid(z)
        return bce(p, t1) + 2.0 * bce(p, t2)

    p = 1.0 / (1.0 + np.exp(-z))
    each = [(-t * np.log(p) - (1.0 - t) * np.log(1.0 - p)).mean(axis=1).sum() for t in (t1, t2)]
    cost, dz = lm.value_and_grad(f, backend="numpy")(z)
    assert cost == pytest.approx(each[0] + 2.0 * each[1], rel=1e-12)
    np.testing.assert_allclose(dz, ((p - t1) + 2.0 * (p - t2)) / 2.0, rtol=1e-10)


def test_targets_and_weights_have_derivatives_although_the_loss_could_be_fused() -> None:
    rng = np.random.default_rng(5)
    z, t, w = rng.standard_normal((3, 2)), rng.random((3, 2)), rng.random((3, 1))

    def f(z: Any, t: Any, w: Any) -> Any:
        return lm.ops.sum(lm.ops.binary_cross_entropy(lm.ops.sigmoid(z), t, w))

    dz, dt, dw = lm.grad(f, backend="numpy")(z, t, w)
    p = 1.0 / (1.0 + np.exp(-z))
    np.testing.assert_allclose(dz, (p - t) * w / 2.0, rtol=1e-10)
    np.testing.assert_allclose(dt, -z * w / 2.0, rtol=1e-10)
    rows = (-t * np.log(p) - (1.0 - t) * np.log(1.0 - p)).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(dw, rows, rtol=1e-12)


def test_grad_refuses_what_it_cannot_do() -> None:
    with pytest.raises(lm.ShapeError, match="must return one number"):
        lm.grad(lambda x: x * 2.0, backend="numpy")(np.ones(3))
    with pytest.raises(lm.BadInput, match="argnums 3 is out of range for 1 arguments"):
        lm.grad(lambda x: x, argnums=3, backend="numpy")(1.0)
    with pytest.raises(lm.NotDifferentiable, match="argument 0"):
        lm.grad(lambda x: lm.ops.cast(x, "float64").sum(), backend="numpy")(np.arange(3))
    with pytest.raises(lm.NotDifferentiable, match="returns"):
        lm.grad(lambda x: x > 1.0, backend="numpy")(2.0)
    with pytest.raises(TypeError, match="no truth value"):
        lm.grad(lambda x: x if x > 0 else -x, backend="numpy")(1.0)
    assert lm.grad(lambda x: lm.ops.sign(x) + 1.0, backend="numpy")(2.0) == 0.0


@pytest.mark.parametrize("kind", ["int64", "int32", "uint8"])
def test_class_numbers_and_row_numbers_may_be_arrays(kind: str) -> None:
    labels, rows = np.array([[2], [0]], dtype=kind), np.array([1, 1, 0], dtype=kind)
    x = np.arange(6.0).reshape(2, 3)
    got = lm.grad(lambda x: lm.ops.pick(x, labels).sum(), backend="numpy")(x)
    np.testing.assert_array_equal(got, [[0, 0, 1], [1, 0, 0]])
    got = lm.grad(lambda x: lm.ops.gather_rows(x, rows).sum(), backend="numpy")(x)
    np.testing.assert_array_equal(got, [[1, 1, 1], [2, 2, 2]])


def both_ways(total: Node, wrt: list[Node], fused_op: str) -> tuple[list[Any], list[Any]]:
    """Value and gradients with and without fusion, after checking that fusion happened."""
    (fused,) = fuse([total])
    assert fused_op in {n.op for n in order([fused])}
    assert fused_op not in {n.op for n in order([total])}
    found = []
    for result in (total, fused):
        wanted = {"value": result}
        wanted |= {f"g{i}": g for i, g in enumerate(differentiate(result, wrt)) if g is not None}
        assert len(wanted) == 1 + len(wrt)
        found.append(list(compute(wanted, "numpy").values()))
    return found[0], found[1]


def close(pair: tuple[list[Any], list[Any]]) -> None:
    for a, b in zip(*pair, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("activation", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")]
)
def test_fused_losses_have_the_same_gradients(activation: str, loss: str, weighted: bool) -> None:
    rng = np.random.default_rng(2)
    z = constant(rng.standard_normal((5, 3)))
    labels = (
        rng.integers(0, 3, (5, 1)).astype("int32")
        if activation == "softmax"
        else rng.random((5, 3))
    )
    rest = [constant(labels)] + [constant(rng.random((5, 1)))] * weighted
    total = make("sum", make(loss, make(activation, z), *rest))
    close(both_ways(total, [z], f"{activation}_{loss}"))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    "activation", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus"]
)
def test_fused_dense_has_the_same_gradients(activation: str, bias: bool) -> None:
    if activation == "linear" and not bias:
        pytest.skip("a product alone is not fused")
    rng = np.random.default_rng(3)
    leaves = [constant(rng.standard_normal(s)) for s in ((5, 4), (4, 3), (1, 3))][: 2 + bias]
    z = make("matmul", leaves[0], leaves[1])
    z = z + leaves[2] if bias else z
    y = z if activation == "linear" else make(activation, z)
    total = make("sum", y * constant(rng.standard_normal((5, 3))))
    close(both_ways(total, leaves, "dense"))


@pytest.mark.parametrize("backend", ["loops", "numpy", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturated_inputs_stay_finite(backend: str, dtype: str) -> None:
    t = np.array([[0.0, 1.0, 1.0, 0.0]], dtype=dtype)
    z = np.array([[1000.0, -1000.0, 1000.0, -1000.0]], dtype=dtype)

    def bce(z: Any) -> Any:
        return lm.ops.sum(lm.ops.binary_cross_entropy(lm.ops.sigmoid(z), t))

    cost, dz = lm.value_and_grad(bce, backend=backend)(z)
    assert cost == pytest.approx(500.0)
    np.testing.assert_allclose(
        dz, (1.0 / (1.0 + np.exp(-np.clip(z, -500, 500).astype(float))) - t) / 4.0, atol=1e-7
    )

    def ce(z: Any, labels: Any) -> Any:
        return lm.ops.sum(lm.ops.cross_entropy(lm.ops.softmax(z), labels))

    far, label = np.array([[800.0, -800.0]], dtype=dtype), np.array([[1]])
    cost, dz = lm.value_and_grad(ce, argnums=0, backend=backend)(far, label)
    assert cost == 1600.0
    np.testing.assert_array_equal(dz, [[1.0, -1.0]])


@pytest.mark.parametrize("backend", ["loops", "numpy", "numba"])
def test_a_saturated_model_trains_on(backend: str) -> None:
    model = lm.Sequential(
        [lm.Dense(2, activation="softmax")], loss="cross_entropy", optimizer=lm.SGD(1.0),
        backend=backend, seed=0,
    ).build(1)  # fmt: skip
    model.set_weights([[[500.0, -500.0]], [0.0, 0.0]])
    x, y = np.array([[1.0], [2.0]]), np.array([1, 1])
    gradient = model.gradients(x, y)[0]
    np.testing.assert_array_equal(gradient["weight"], [[1.5, -1.5]])
    np.testing.assert_array_equal(gradient["bias"], [[1.0, -1.0]])
    assert model.train_on_batch(x, y)["loss"] == 1500.0


def test_the_weight_s_derivative_is_the_row_s_loss_when_saturated() -> None:
    z, weights = np.array([[800.0, -800.0], [0.5, 0.25]]), np.array([[1.0], [2.0]])
    labels = np.array([[1], [0]])

    def classes(z, w):
        return lm.ops.cross_entropy(lm.ops.softmax(z), labels, w).sum()

    def chances(z, w):
        return lm.ops.binary_cross_entropy(lm.ops.sigmoid(z), np.array([[0.0, 1.0]] * 2), w).sum()

    _, by_weight = lm.grad(classes, backend="numpy")(z, weights)
    np.testing.assert_allclose(by_weight[:, 0], [1600.0, np.log1p(np.exp(-0.25))], rtol=1e-12)
    _, by_weight = lm.grad(chances, backend="numpy")(z, weights)
    assert by_weight[0, 0] == pytest.approx(800.0)


def test_the_drawing_has_every_value_derivative_and_arrow() -> None:
    drawn = lm.trace(lambda a, b, c: 3 * (a + b * c), 5.0, 3.0, 2.0, backend="numpy").to_dot()
    assert drawn.startswith("digraph {")
    assert drawn.endswith("}")
    for label in ("a | input | 5 | d 3", "b | input | 3 | d 6", "c | input | 2 | d 9"):
        assert label in drawn
    assert "| 33 | d 1" in drawn
    assert drawn.count(" -> ") == 6  # two inputs for each of three operations


@pytest.mark.long
def test_an_argument_s_number_is_in_no_code(tmp_path: Path) -> None:
    """A function asked at many places is compiled once, not once for every place."""
    code = """
import contextlib, io
import lamina as lm
from lamina.kernels import compilation
f = lm.grad(lambda a, b: (lm.ops.tanh(3.5 * a + b) * a), backend="numba")
f(0.25, 0.5)
compilation.report()
with contextlib.redirect_stderr(io.StringIO()) as said:
    places = {f(0.1 * i, 0.2 * i) for i in range(1, 6)}
    compilation.report()
print(len(places), repr(said.getvalue()))
"""
    assert support.run_python(code, LAMINA_CACHE_DIR=str(tmp_path)) == "5 ''\n"
