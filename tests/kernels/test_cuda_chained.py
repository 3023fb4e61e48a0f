"""Generated CUDA kernels: compiled by NVRTC, and run on the CPU in several orders of threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import nvrtc
import pytest
from cuda_host.cases import placed
from cuda_host.fixtures import cuda, missing  # noqa: F401
from cuda_host.memory import Array
from cuda_host.modules import ORDERS, State
from generated import Builder, norm, normed
from lamina.backends.fused import Threads
from lamina.kernels import ops
from lamina.kernels.chain import Chain
from lamina.kernels.cuda import chained
from lamina.kernels.cuda.namespace import Namespace

dtypes = pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)]
)
on_the_cpu = pytest.mark.usefixtures("cuda")
FEW = (0, 3, 6, 11)
SHAPES = [(1, 1), (3, 10), (70, 37), (5, 300), (2, 1030), (600, 5)]
ELEMENTS = [
    op.name for op in ops.OPS.values()
    if op.independent == "elements" and not op.name.endswith("_update")
    and op.name not in ("keep", "cast")
]  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, math.inf, -math.inf, math.nan, 30.0]


def run(
    device: Any, chain: Chain, dtype: str, rows: int, columns: int, inputs: Sequence[Any],
    orders: Sequence[int] = FEW,
) -> list[np.ndarray]:  # fmt: skip
    """The outputs of a chain, which are the same in every order."""
    kernel = Threads(device, chain, dtype, rows, columns)
    first: list[np.ndarray] = []
    for order in orders:
        State.order = order
        out = []
        for at in chain.outputs:
            made = chain.operands[at]
            shape = {"full": (rows, columns), "row": (rows, 1), "column": (1, columns),
                     "scalar": ()}[made.extent]  # fmt: skip
            out.append(placed(np.full(shape, 99, made.dtype), 0))
        given = [placed(np.asarray(x), 1) for x in inputs]
        kernel.run(tuple(out), given)
        found = [np.array(one, subok=False) for one in out]
        first = first or found
        for one, same in zip(found, first, strict=True):
            assert one.tobytes() == same.tobytes(), f"other bits in order {order}"
    return first


@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@dtypes
def test_a_norm_with_sums_of_every_kind(
    cuda: Any,  # noqa: F811
    rows: int,
    columns: int,
    dtype: str,
) -> None:
    rng = np.random.default_rng(rows)
    x, (scale, shift) = rng.standard_normal((rows, columns)), rng.standard_normal((2, 1, columns))
    given = [v.astype(dtype) for v in (x, scale, shift)]
    orders = ORDERS if (rows, columns) == (5, 300) else FEW
    found = run(cuda, norm(dtype, 1, 1), dtype, rows, columns, given, orders)
    least = {"float32": (1e-4, 3e-4), "float64": (1e-11, 1e-11)}[dtype]
    for one, other in zip(found, normed(x, scale, shift), strict=True):
        np.testing.assert_allclose(np.ravel(one), np.ravel(other), *least)


def elements(dtype: str, names: Sequence[str]) -> tuple[Chain, list[Any], list[tuple[str, Any]]]:
    """One chain of operations on elements, its inputs, and what comes out."""
    chain, inputs, ids, outputs = Builder(dtype), [], [], []
    rng, expected = np.random.default_rng(3), []
    for name in names:
        op = ops.get(name)
        one = next(s for s in op.samples(rng, dtype, 10) if len({x.shape for x in s.inputs}) == 1)
        given = [np.asarray(x).ravel() for x in one.inputs]
        if name not in ("clip", "where") and given[0].dtype.kind == "f":
            pairs = np.array(np.meshgrid(*[np.array(SPECIAL, dtype)] * len(given)))
            pairs = pairs.reshape(len(given), -1)
            given = [np.concatenate([x, p]) for x, p in zip(given, pairs, strict=True)]
        given = [np.resize(x, 200) for x in given]
        attrs = op.complete(one.attrs)
        wide = [x.astype("float64") if x.dtype.kind == "f" else x for x in given]
        with np.errstate(all="ignore"):
            right = op.reference(np, *wide, **attrs)
        own = [chain.value("full", x.dtype.name) for x in given]
        result = "bool" if right.dtype == bool else dtype
        outputs.append(chain.add(name, *own, dtype=result, **attrs))
        ids += own
        inputs += given
        expected.append((name, right))
    return chain.built(ids, outputs, 1, 1), inputs, expected


@pytest.mark.slow
@dtypes
def test_operations_on_elements(cuda: Any, dtype: str) -> None:  # noqa: F811
    """The samples of the table, in the row's tolerance; what is not finite is so in both."""
    fused, inputs, expected = elements(dtype, ELEMENTS)
    found = run(cuda, fused, dtype, 1, 200, inputs, (0, 7))
    for one, (name, right) in zip(found, expected, strict=True):
        value = np.ravel(one)
        with np.errstate(all="ignore"):
            narrow = right.astype(value.dtype)
        finite = np.isfinite(narrow)
        np.testing.assert_array_equal(value[~finite], narrow[~finite], name)
        allowed = ops.get(name).tolerance[dtype]
        usual = finite & (abs(right.astype(float)) < 1e3)
        for part in (finite, usual):
            off = abs(value[part].astype("float64") - right[part])
            size = abs(right[part].astype(float)).max(initial=0.0)
            assert off.max(initial=0.0) <= allowed.absolute + allowed.relative * size, name


@pytest.mark.slow
@on_the_cpu
def test_labels(cuda: Any) -> None:  # noqa: F811
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((19, 37)), rng.integers(0, 37, (19, 1))
    for kind in ("int32", "int64"):
        chain = Builder("float64")
        one, label = chain.value("full"), chain.value("row", kind)
        picked = chain.add("pick", one, label, extent="row")
        hot = chain.add("one_hot", label, to="float64")
        fused = chain.built([one, label], [picked, hot], 1, 1)
        found = run(cuda, fused, "float64", 19, 37, [x, labels.astype(kind)])
        np.testing.assert_array_equal(np.ravel(found[0]), x[np.arange(19), labels[:, 0]])
        np.testing.assert_array_equal(found[1], np.eye(37)[labels[:, 0]])


@pytest.mark.slow
@dtypes
def test_casts(cuda: Any, dtype: str) -> None:  # noqa: F811
    kinds = ("float32", "float64", "int32", "int64", "bool")
    chain, x = Builder(dtype), {k: np.array([0, 1, 2, 3, 100] * 3).astype(k) for k in kinds}
    ids = {k: chain.value("full", k) for k in kinds}
    pairs = [(a, b) for a in kinds for b in kinds]
    made = [chain.add("cast", ids[a], dtype=b, to=b) for a, b in pairs]
    found = run(cuda, chain.built(list(ids.values()), made, 1, 1), dtype, 1, 15, list(x.values()))
    for one, (a, b) in zip(found, pairs, strict=True):
        np.testing.assert_array_equal(np.ravel(one), x[a].astype(b), f"{a} to {b}")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [
    "sm_90", *(pytest.param(a, marks=pytest.mark.slow) for a in ("sm_75", "sm_80", "sm_100")),
])  # fmt: skip
@dtypes
def test_generated_kernels_compile(dtype: str, architecture: str) -> None:
    if nvrtc.library() is None:
        missing(nvrtc.MISSING)
    some = [elements(dtype, ELEMENTS[at::4])[0] for at in range(4)]
    for fused in (norm(dtype, 1, 1), *some):
        source = chained.source(fused, dtype)
        threads = {entry.name: entry.threads for entry in source.entries.values()}
        assert nvrtc.faults(source.code, architecture, source.options, threads, 255) == ""
        assert "atomic" not in source.text


def test_what_has_no_kernel_is_left_to_others() -> None:
    chain = Builder("float32")
    x, bias = chain.value("full"), chain.value("column")
    twice = chain.add("add", bias, bias, extent="column")
    y = chain.add("multiply", x, twice)
    assert chained.possible(chain.built([x, bias], [y], 1, 1))
    assert not chained.possible(chain.built([x, bias], [y, twice], 1, 1))


def test_what_generated_code_lacks_is_said() -> None:
    with pytest.raises(AttributeError, match="'linspace'"):
        Namespace().linspace  # noqa: B018


@pytest.mark.slow
@on_the_cpu
def test_an_array_that_is_not_row_major_is_copied(cuda: Any) -> None:  # noqa: F811
    chain = Builder("float32")
    x = chain.value("full")
    fused = chain.built([x], [chain.add("exp", x)], 1, 1)
    host = np.random.default_rng(0).standard_normal((9, 7)).astype("float32")
    turned = placed(np.ascontiguousarray(host.T), 0).T
    assert isinstance(turned, Array)
    out = placed(np.zeros((9, 7), "float32"), 0)
    Threads(cuda, fused, "float32", 9, 7).run((out,), [turned])
    np.testing.assert_allclose(np.asarray(out), np.exp(host), rtol=1e-6)
