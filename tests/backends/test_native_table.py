"""Every row of the table on the numba backend, each sample as a program: native, and right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends.conformance.operations import deviation, oracle
from lamina.backends.native.executor import Native, NativeBinding
from lamina.backends.native.spans import ByteCount, Span, span
from lamina.backends.native.tables import NativePlan
from lamina.backends.program import Layout, Program
from lamina.backends.state import Control, DataBlock, State
from lamina.core.graph.functions import ops
from lamina.core.graph.gradients import differentiate
from lamina.core.graph.graph import constant, leaf, make, order, outputs
from lamina.core.graph.planner import plan
from lamina.kernels.memory import address
from lamina.kernels.op import Sample
from lamina.kernels.ops import FUSABLE, OPS
from lamina.kernels.spec import FLOATS, INTEGERS, ITEMSIZE, Spec

ROWS = 9
WAYS = (("float32", 2), ("float64", 1))  # dtypes and shares


def program(op: str, sample: Sample, dtype: str) -> Program:
    """One operation on constants, in a program of that dtype."""
    given = [None if v is None else constant(v) for v in sample.inputs]
    if op == "dropout_mask":  # a seed has 64 bits
        given = [constant(v, "int64") for v in sample.inputs]
    made = outputs(make(op, *given, **sample.attrs))
    named = {str(number): node for number, node in enumerate(made)}
    return plan("function", dtype=dtype, capacity=1, layout=Layout(()), outputs=named)


def run(one: Program) -> tuple[list[np.ndarray], list[str]]:
    """What a program makes, and what is wrong with how: lines of `explain`, memory of others."""
    backend = lm.get_backend("numba")
    state = State(backend, one.layout, one.dtype, seed=0)
    native = backend.compile(one)
    assert isinstance(native, Native)
    binding = native.bind(state, DataBlock(backend, {}))
    assert isinstance(binding, NativeBinding)
    wrong = [line[2] for line in native.explain() if "walked" in line[2]]
    wrong += strays(one, binding._plan(1))
    if not wrong:
        binding.run(Control(batch=1))
    return [binding.read(name) for name in one.outputs if not wrong], wrong


def strays(one: Program, made: NativePlan) -> list[str]:
    """Tasks that say of memory that they touch it, and it is not that of their instruction."""
    found = []
    own = [span(address(array), ByteCount(array.nbytes)) for array in made.kept]
    for (_, instruction), rows in zip(one.instructions(), made.lowered, strict=True):
        outs = [*own, *(_place(made, id) for id in instruction.outputs)]
        ins = [*outs, *(_place(made, id) for id in instruction.inputs if id is not None)]
        for task in (task for row in rows or [] for task in row if task is not None):
            for parts, places in ((task.writes, outs), (task.reads, ins)):
                inside = (any(a <= p[0] and p[1] <= b for a, b in places) for p in parts)
                if not all(inside):
                    found.append(f"{task.step} touches {parts}, outside of {places}")
    return found


def _place(made: NativePlan, id: Any) -> Span:
    array = made.arrays[id]
    return span(made.addresses[id], ByteCount(array.nbytes))


def variants(op: str, dtype: str, rows: int) -> Iterator[tuple[Sample, str]]:
    """Samples with the dtype of the program: its own and another, and integers of every kind."""
    other = next(kind for kind in FLOATS if kind != dtype)
    for sample in OPS[op].samples(np.random.default_rng(0), dtype, rows):
        yield sample, dtype
        yield sample, other
        indices = OPS[op].indices
        if indices is None:
            continue
        at = indices.input
        for kind in INTEGERS:
            inputs = list(sample.inputs)
            inputs[at] = inputs[at].astype(kind)
            yield Sample(tuple(inputs), sample.attrs), dtype
    yield from others(op, dtype, rows)


def others(op: str, dtype: str, rows: int) -> Iterator[tuple[Sample, str]]:
    """What the samples of the table leave out."""
    rng = np.random.default_rng(1)

    def drawn(*shape: int, kind: str = dtype) -> Any:
        return (rng.standard_normal(shape) * 3.0).astype(kind)

    moved = ("gather_rows", "scatter_rows", "pick")
    if op in moved:
        for sample in list(OPS[op].samples(rng, dtype, rows)):
            for kind in (*INTEGERS, "bool"):
                x = np.abs(sample.inputs[0] * 3.0).astype(kind)
                yield Sample((x, sample.inputs[1]), sample.attrs), dtype
    if op == "scatter_rows":  # with as many columns as shares take each a part of
        yield Sample((drawn(rows, 80), rng.integers(0, 4, rows)), {"rows": 4}), dtype
    if op == "one_hot":
        labels = rng.integers(0, 5, (rows, 2, 1)).astype("int32")
        for kind in ITEMSIZE:
            yield Sample((labels,), {"classes": 5, "dtype": kind}), dtype
    if op == "argmax":
        for kind in INTEGERS:
            yield Sample((drawn(rows, 2, 4, kind=kind),), {"axis": -1}), dtype
        yield Sample((drawn(5),), {"axis": 0}), dtype
    if op in ("softmax", "log_softmax"):
        yield Sample((drawn(5),), {}), dtype
        yield Sample((drawn(rows, 2, 2, 3),), {}), dtype
    if op in ("sigmoid", "relu", "gelu"):
        yield Sample((drawn(),), {}), dtype
    if op.endswith("cross_entropy") or op.startswith(("mean_squared", "softmax_cross")):
        labels = OPS[op].indices is not None
        for lead in ((), (rows, 2)):
            p = np.abs(drawn(*lead, 4)) / 20.0 + 0.05
            size = (*lead, 1)
            targets = rng.integers(0, 4, size) if labels else np.abs(drawn(*lead, 4)) / 20.0
            weights = np.abs(drawn(*size))
            given = (p.astype(dtype), targets if labels else targets.astype(dtype))
            yield Sample(given, {}), dtype
            yield Sample((*given, weights), {}), dtype
    if op == "matmul":
        yield from _products(drawn, dtype)
    if op == "dense":
        yield Sample((drawn(rows, 2, 7), drawn(7, 3), None), {}), dtype
        yield Sample((drawn(rows, 2, 3, 7), drawn(7, 1)), {"activation": "relu"}), dtype
    if op == "dense_backward":
        g, x, w = drawn(rows, 2, 4), drawn(rows, 2, 7), drawn(7, 4)
        for bias in (False, True):
            for need in (False, True):
                yield Sample((g, x, w, None), {"bias": bias, "input": need}), dtype
    if op == "clip_norm":  # of any rank
        for shape in ((), (rows, 3), (rows, 2, 5)):
            yield Sample((drawn(*shape),), {"maximum": 0.5}), dtype
    if op == "dropout_mask":
        for kind in FLOATS:
            attrs = {"shape": (rows, 5), "rate": 0.5, "stream": 2**40 + 1, "dtype": kind}
            yield Sample((11, 12), attrs), dtype


def _products(drawn: Any, dtype: str) -> Iterator[tuple[Sample, str]]:
    """Leading axes that are equal, repeated or missing, few and many; each side either way."""
    leads = [((3,), (3,)), ((4, 1), (1, 3)), ((3,), ()), ((), (3,)), ((2, 3), (3,)), ((1,), (1,))]
    for lead_a, lead_b in leads:
        for sizes in ((5, 6, 4), (50, 40, 70)):
            for flip_a in (False, True):
                for flip_b in (False, True):
                    m, k, n = sizes
                    a = drawn(*lead_a, *((k, m) if flip_a else (m, k)))
                    b = drawn(*lead_b, *((n, k) if flip_b else (k, n)))
                    attrs = {"transpose_a": flip_a, "transpose_b": flip_b}
                    yield Sample((a, b), attrs), dtype


def differences(op: str, sample: Sample, kind: str) -> str:
    """What is wrong with a sample as a program of that dtype."""
    one = program(op, sample, kind)
    made, wrong = run(one)
    where = f"{sample.attrs}, {[getattr(v, 'shape', v) for v in sample.inputs]}, in {kind}"
    if wrong:
        return f"{where}: {wrong}"
    dtype = next((v.dtype.name for v in sample.inputs if _real(v)), kind)
    with np.errstate(all="ignore"):
        wanted = oracle(OPS[op], sample)
    specs = [one.values[id].spec for id in one.outputs.values()]
    for got, want, spec in zip(made, wanted, specs, strict=True):
        if (got.shape, got.dtype.name) != (spec.shape, spec.dtype):
            return f"{where}: {got.dtype.name}{got.shape} instead of {spec}"
        error, bound = deviation(got, want, OPS[op].tolerance[dtype])
        if not error <= bound:
            return f"{where}: off by {error:.3g}, allowed {bound:.3g}"
    return ""


def _real(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "shares"), WAYS)
@pytest.mark.parametrize("op", sorted(OPS))
def test_every_row_is_native_in_every_dtype(
    op: str, dtype: str, shares: int, many_threads: Any
) -> None:
    many_threads(shares)
    for sample, kind in variants(op, dtype, ROWS):
        assert not differences(op, sample, kind)


EMPTY = {
    "matmul": [(((3, 0), (0, 4)), {}), (((2, 3, 0), (2, 0, 4)), {}), (((0, 3), (3, 2)), {})],
    "dense": [
        *((((3, 0), (0, 4), (1, 4)), {"activation": name}) for name in FUSABLE),
        (((3, 0), (0, 4)), {}),
        (((0, 2), (2, 4), (1, 4)), {}),
    ],
    "dense_backward": [
        (((3, 4), (3, 0), (0, 4)), {}),
        (((3, 4), (3, 0), (0, 4), (3, 4)), {"activation": "tanh"}),
        (((3, 0), (3, 2), (2, 0)), {}),
        (((0, 4), (0, 2), (2, 4)), {}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", sorted(OPS))
def test_empty_arrays_are_no_work(op: str, dtype: str, many_threads: Any) -> None:
    many_threads(2)
    rng = np.random.default_rng(0)
    for sample in OPS[op].samples(rng, dtype, 0):
        assert not differences(op, sample, dtype)
    for shapes, attrs in EMPTY.get(op, []):
        arrays = tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)
        assert not differences(op, Sample(arrays, attrs), dtype)


@pytest.mark.slow
def test_numbers_of_the_host_and_of_the_program_meet() -> None:
    """A rate that the host gives and a step that stands in the program; so seed and counter."""
    arrays = [np.random.default_rng(n).random(40) for n in range(4)]
    rate = leaf("control", Spec((), "float64"), "learning_rate")
    seed = leaf("control", Spec((), "int64"), "seed")
    betas = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    mask = {"shape": (40,), "rate": 0.5, "stream": 3, "dtype": "float64"}
    updated = outputs(make("adam_update", *map(constant, arrays), rate, constant(3), **betas))
    nodes = {str(n): node for n, node in enumerate(updated)}
    nodes["mask"] = make("dropout_mask", seed, constant(12.0), **mask)
    one = plan("mixed", dtype="float64", capacity=1, layout=Layout(()), outputs=nodes)
    backend = lm.get_backend("numba")
    native = backend.compile(one)
    state = State(backend, one.layout, one.dtype, seed=2**40 + 5)
    binding = native.bind(state, DataBlock(backend, {}))
    binding.run(Control(batch=1, learning_rates=np.array([0.02])))
    assert not [line for line in native.explain() if "walked" in line[2]]
    wanted = OPS["adam_update"].reference(np, *arrays, 0.02, 3, **betas)
    for number, want in enumerate(wanted):
        np.testing.assert_allclose(binding.read(str(number)), want, rtol=1e-13)
    expected = OPS["dropout_mask"].reference(np, state.seed, 12, **mask)
    np.testing.assert_array_equal(binding.read("mask"), expected)


def test_what_is_broadcast_or_reduced_by_axis_alone_is_generated() -> None:
    """A step knows no axes: it would go through them element by element."""
    rng = np.random.default_rng(0)
    x, row = rng.standard_normal((6, 5)), rng.standard_normal((1, 5))
    ways = {
        "subtract": lambda a, b: a - b, "greater": lambda a, b: ops.cast(a > b, "float64"),
        "mean": lambda a, b: a.mean(axis=0), "sum": lambda a, b: a.sum(axis=1),
    }  # fmt: skip
    for name, function in ways.items():
        node = function(constant(x), constant(row))
        one = plan(name, dtype="float64", capacity=1, layout=Layout(()), outputs={"y": node})
        native = lm.get_backend("numba").compile(one)
        state = State(lm.get_backend("numba"), one.layout, "float64", seed=0)
        native.bind(state, DataBlock(lm.get_backend("numba"), {})).run(Control(batch=1))
        (said,) = [line[2] for line in native.explain() if line[1] == name]
        assert said.startswith("native: fused"), said
    same = lm.trace(lambda a: a - a * 2.0, x, backend="numba")
    np.testing.assert_array_equal(same.values[same.result], x - x * 2.0)


def test_a_mean_of_columns_counts_one_column() -> None:
    node = (constant(np.ones((6, 5)), name="x") ** 2).mean(axis=0).sum()
    (gradient,) = differentiate(node, [n for n in order([node]) if n.name == "x"])
    shapes = [n.shape for n in order([gradient]) if n.op == "broadcast_to"]
    assert (6, 1) in shapes
    assert shapes.count((6, 5)) == 1  # of the gradient, not of ones that are counted
