"""CPU execution of CUDA sources: each kernel against the oracle, in orders that races do not stand.

The kernels are compiled for the CPU, each CUDA thread is a fiber, and the launches go through the
backend's own code. The same call must give the same bits in every order of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cuda_host.cases import check, placed
from cuda_host.fixtures import cuda  # noqa: F401
from cuda_host.modules import ORDERS, State
from lamina.backends.conformance import operations
from lamina.kernels import philox
from lamina.kernels.cuda import reductions
from lamina.kernels.cuda.activations import CODES
from lamina.kernels.cuda.naive import naive_kernels
from lamina.kernels.cuda.rows import squared_error
from lamina.kernels.cuda.table import cuda_kernels
from lamina.kernels.ops import FUSABLE, OPS

TABLE, NAIVE = cuda_kernels(), naive_kernels()
FEW = (0, 3, 6)  # forward; the last thread first and greedy; shuffled and greedy
pytestmark = pytest.mark.usefixtures("cuda")
dtypes = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)]
)


def test_there_are_orders_of_every_kind() -> None:
    assert len(ORDERS) >= 8
    assert sum(order & 2 for order in ORDERS) >= 8  # greedy
    assert {order & 1 for order in ORDERS} == {0, 1}


@pytest.mark.parametrize("layout", operations.LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_row_s_samples(cuda: Any, layout: str, dtype: str) -> None:  # noqa: F811
    for at, name in enumerate(TABLE):
        State.order = ORDERS[at % len(ORDERS)]
        assert operations.check(cuda, name, dtype, layout) == []


def test_the_rows_have_kernels() -> None:
    """What has none is a ufunc, or moves nothing, or is no step of a usual network."""
    left = {n for n, op in OPS.items() if op.hot} - TABLE.keys()
    assert left == {"add", "multiply", "exp"}  # each is a launch of CuPy's
    updates = {n for n in OPS if n.endswith("_update")}
    assert updates < TABLE.keys()


SHAPES = {  # rows and columns: the orders
    (3, 10): FEW, (70, 37): FEW, (5, 300): ORDERS, (1, 1): FEW, (2, 1030): FEW, (130, 3): FEW,
}  # fmt: skip
QUICK = ((3, 10), (70, 37), (5, 300))


@pytest.mark.parametrize(
    "shape",
    [s if s in QUICK else pytest.param(s, marks=pytest.mark.slow) for s in SHAPES],
    ids=str,
)
@dtypes
def test_rows(dtype: str, shape: tuple[int, int]) -> None:
    rng, every = np.random.default_rng(1), SHAPES[shape]
    x, g = ((rng.standard_normal(shape) * 3).astype(dtype) for _ in range(2))
    p = rng.random(shape).astype(dtype) * 0.9 + 0.05
    y = (p / p.sum(1, keepdims=True)).astype(dtype)
    t = rng.random(shape).astype(dtype)
    labels = rng.integers(0, shape[1], (shape[0], 1)).astype("int32")
    weights = rng.random((shape[0], 1)).astype(dtype)
    for name in ("softmax", "log_softmax"):
        check(TABLE[name], dtype, x, orders=every)
        check(TABLE[f"{name}_backward"], dtype, g, y, orders=every)
    for name in ("mean_squared_error", "binary_cross_entropy"):
        check(TABLE[name], dtype, p, t, weights, orders=every)
    check(TABLE["cross_entropy"], dtype, y, labels, weights, orders=FEW)
    check(TABLE["softmax_cross_entropy"], dtype, x, labels, weights, orders=every)
    check(TABLE["softmax_cross_entropy"], dtype, x, labels, orders=FEW)
    check(TABLE["softmax_cross_entropy_backward"], dtype, y, labels, weights, orders=FEW)
    check(TABLE["sigmoid_binary_cross_entropy"], dtype, x, t, weights, orders=every)
    check(TABLE["sigmoid_binary_cross_entropy_backward"], dtype, p, t, orders=FEW)
    check(TABLE["mean_squared_error_backward"], dtype, p, t, weights, orders=FEW)
    check(TABLE["argmax"], dtype, x, orders=every)
    for axis in ((0,), (1,), (0, 1), None):
        for name in ("sum", "mean", "max"):
            check(TABLE[name], dtype, x, axis=axis, orders=every if axis == (1,) else FEW)
    check(TABLE["pick"], dtype, x, labels, orders=FEW)
    check(TABLE["one_hot"], dtype, labels, classes=shape[1], dtype=dtype, orders=FEW)


@pytest.mark.long
@dtypes
def test_losses_of_more_than_a_block(dtype: str) -> None:
    """Parts of a sum by block, and what joins them."""
    rng = np.random.default_rng(2)
    x, t = (rng.random((900, 11)).astype(dtype) for _ in range(2))
    labels = rng.integers(0, 11, (900, 1)).astype("int64")
    check(TABLE["softmax_cross_entropy"], dtype, x, labels, orders=FEW)
    check(TABLE["sigmoid_binary_cross_entropy"], dtype, x, t, orders=FEW)
    check(TABLE["sum"], dtype, x, orders=FEW)
    check(TABLE["mean"], dtype, x.reshape(30, 30, 11), axis=(1,), orders=FEW)
    check(TABLE["clip_norm"], dtype, x.reshape(-1), maximum=0.5, orders=FEW)


@dtypes
def test_the_gradient_beside_the_loss(cuda: Any, dtype: str) -> None:  # noqa: F811
    """In one pass over the rows it is what the operation of its own gives, and so is a bias."""
    rng, xp = np.random.default_rng(3), cuda.xp
    for shape in ((40, 37), (9, 300)):
        z = placed((rng.standard_normal(shape) * 3).astype(dtype), 1)
        weights = placed(rng.random((shape[0], 1)).astype(dtype), 0)
        labels = placed(rng.integers(0, shape[1], (shape[0], 1)).astype("int32"), 0)
        targets = placed(rng.random(shape).astype(dtype), 0)
        for name, second in (
            ("softmax_cross_entropy", labels), ("sigmoid_binary_cross_entropy", targets),
        ):  # fmt: skip
            p, beside, alone = (xp.empty(shape, dtype=dtype) for _ in range(3))
            total = xp.empty((), dtype=dtype)
            TABLE[name].function((p, total), z, second, weights, gradient=beside)
            TABLE[f"{name}_backward"].function((alone,), p, second, weights)
            tolerance = OPS[name].tolerance[dtype].relative
            np.testing.assert_allclose(beside, alone, rtol=0, atol=tolerance)
            bias = placed(rng.standard_normal((1, shape[1])).astype(dtype), 0)
            biased, later, again = (xp.empty(shape, dtype=dtype) for _ in range(3))
            for State.order in (0, 7):
                TABLE[name].function(
                    (biased, total), z, second, weights, bias=bias, gradient=later
                )  # fmt: skip
                other = xp.empty((), dtype=dtype)
                TABLE[name].function((again, other), z + bias, second, weights)
                np.testing.assert_allclose(biased, again, rtol=0, atol=tolerance)
                np.testing.assert_allclose(total, other, rtol=tolerance)


@pytest.mark.parametrize(
    "shape",
    [(7, 70, 65), *(pytest.param(s, marks=pytest.mark.slow) for s in ((300, 5, 37), (1, 1, 1)))],
    ids=str,
)
@dtypes
def test_layers(dtype: str, shape: tuple[int, int, int]) -> None:
    rng, (rows, width, units) = np.random.default_rng(4), shape
    x, g = (rng.standard_normal(s).astype(dtype) for s in ((rows, width), (rows, units)))
    weight = (rng.standard_normal((width, units)) / width**0.5).astype(dtype)
    bias = rng.standard_normal((1, units)).astype(dtype)
    y = (rng.random((rows, units)) * 0.9).astype(dtype)
    for activation in FUSABLE:
        for table in (TABLE, NAIVE):
            check(table["dense"], dtype, x, weight, bias, activation=activation, orders=FEW)
            check(
                table["dense_backward"], dtype, g, x, weight, y, activation=activation,
                orders=FEW,
            )  # fmt: skip
    check(TABLE["dense_backward"], dtype, g, x, weight, y, activation="tanh", orders=ORDERS)
    check(TABLE["dense_backward"], dtype, g, x, weight, y, activation="relu", bias=False)
    check(TABLE["matmul"], dtype, x, weight, orders=FEW)
    check(NAIVE["matmul"], dtype, x, g, transpose_a=True, orders=FEW)
    check(NAIVE["matmul"], dtype, g, weight, transpose_b=True, orders=FEW)
    for name in CODES.keys() - {"linear"}:
        check(TABLE[name], dtype, g, orders=FEW)
        check(TABLE[f"{name}_backward"], dtype, g, y, orders=FEW)


@pytest.mark.parametrize(
    "n", [1027, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5, 5000))]
)
@dtypes
def test_updates(dtype: str, n: int) -> None:
    """In place and not, aligned and not, with numbers of the host and of the device."""
    rng = np.random.default_rng(5)
    for name in TABLE:
        if not name.endswith("_update") and name not in ("shrink", "keep", "rescale", "add_decay"):
            continue
        for sample in OPS[name].samples(rng, dtype, n):
            check(TABLE[name], dtype, *sample.inputs, **sample.attrs, orders=FEW)
    p, g, m, v = (rng.random(n).astype(dtype) for _ in range(4))
    adam = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    check(NAIVE["adam_update"], dtype, p, g, m, v, 0.01, 7, **adam, orders=FEW)


@dtypes
def test_numbers_on_the_device(cuda: Any, dtype: str) -> None:  # noqa: F811
    """A captured step's numbers are read when the kernel runs; the bits are the same."""
    rng, changed = np.random.default_rng(6), 0
    for name, op in OPS.items():
        host = [i for i in op.inputs if i in ("learning_rate", "step", "seed", "counter")]
        if not host or name not in TABLE:
            continue
        for sample in op.samples(rng, dtype, 70):
            attrs, made = op.complete(sample.attrs), []
            for there in (False, True):
                given = [placed(x, 0) for x in sample.inputs]
                for at, number in enumerate(given):
                    if there and op.inputs[at] in host:
                        kind = "float64" if op.inputs[at] == "learning_rate" else "int64"
                        given[at] = cuda.asarray(np.array(number, dtype=kind))
                specs = [operations.specs(sample)[i] for i in range(len(given))]
                shapes = op.check(specs, attrs)
                out = tuple(cuda.xp.empty(s.shape, dtype=s.dtype) for s in shapes)
                TABLE[name].function(out, *given, **attrs)
                made.append([np.array(o, subok=False) for o in out])
            assert all(a.tobytes() == b.tobytes() for a, b in zip(*made, strict=True)), name
            changed += 1
    assert changed >= 12


@dtypes
def test_dropout_has_the_bits_of_the_host(dtype: str) -> None:
    for seed, counter, shape in (
        (0, 0, (3,)), (2**63 + 5, 7, (70, 37)), (2**64 - 1, 2**33 + 1, (1029,)),
    ):  # fmt: skip
        for stream in (0, 3, 2**32 - 1):
            attrs = {"shape": shape, "rate": 0.3, "stream": stream, "dtype": dtype}
            (mask,) = check(TABLE["dropout_mask"], dtype, seed, counter, **attrs, orders=FEW)
            words = philox.words(np, seed, stream, counter, mask.size)
            kept = words.reshape(shape) >= philox.threshold(0.3)
            np.testing.assert_array_equal(mask != 0, kept)


@dtypes
def test_numbers_that_are_not_finite(cuda: Any, dtype: str) -> None:  # noqa: F811
    """NaN and infinities go where the references have them."""
    odd = np.array([[np.nan, 1, 2], [np.inf, 0, -np.inf], [1, 2, 3]], dtype=dtype)
    for name in ("softmax", "log_softmax", "max", "argmax", "sum", "relu", "gelu", "silu"):
        op, x = OPS[name], placed(odd, 0)
        attrs = op.complete({"axis": -1} if name == "argmax" else {})
        if name in ("max", "sum"):
            attrs["axis"] = (1,)
        (spec,) = op.check([operations.spec_of(odd)], attrs)
        out = (cuda.xp.empty(spec.shape, dtype=spec.dtype),)
        TABLE[name].function(out, x, **attrs)
        with np.errstate(all="ignore"):
            right = np.asarray(op.reference(np, odd, **attrs))
        np.testing.assert_allclose(np.array(out[0], subok=False), right, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("shape", [(5, 37), (900, 11), (0, 3)], ids=str)
@dtypes
def test_the_squared_error_of_all_rows(cuda: Any, dtype: str, shape: Any) -> None:  # noqa: F811
    rng, seen = np.random.default_rng(8), []
    p, t, w = (rng.random(s).astype(dtype) for s in (shape, shape, (shape[0], 1)))
    for State.order in FEW:
        total, gradient = cuda.xp.empty((), dtype=dtype), cuda.xp.empty(shape, dtype=dtype)
        squared_error((total,), placed(p, 1), placed(t, 0), placed(w, 0), gradient=gradient)
        seen.append((total.tobytes(), gradient.tobytes()))
    assert len(set(seen)) == 1
    wide = [x.astype("float64") for x in (p, t, w)]
    loss, back = OPS["mean_squared_error"], OPS["mean_squared_error_backward"]
    np.testing.assert_allclose(total, loss.reference(np, *wide).sum(), rtol=1e-5)
    np.testing.assert_allclose(gradient, back.reference(np, *wide), rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 256, 257, 10**6, 10**8])
def test_chunks_of_rows_fit_a_grid(rows: int) -> None:
    blocks, chunk = reductions.chunks(rows)
    assert blocks <= 65535
    assert (blocks - 1) * chunk < rows <= blocks * chunk
