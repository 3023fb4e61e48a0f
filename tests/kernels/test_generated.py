"""Generated code: operations on elements, chains with reductions, loops over axes, its files."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import generated
import numpy as np
import pytest
from generated import Builder, norm, normed, run
from lamina.kernels import cache, ops
from lamina.kernels.llvm import library
from lamina.kernels.llvm.code import Chained
from lamina.kernels.llvm.combine import Combine
from lamina.kernels.llvm.nest import Nest
from lamina.kernels.llvm.quotients import with_reciprocals
from lamina.kernels.memory import address

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
ELEMENTS = [
    op.name for op in ops.OPS.values()
    if op.independent == "elements" and not op.name.endswith("_update")
    and op.name not in ("keep", "cast")
]  # fmt: skip
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, math.inf, -math.inf, math.nan, 30.0]


def sample(name: str, dtype: str) -> Any:
    """The first sample of an operation whose inputs have one shape, ten rows."""
    rng = np.random.default_rng(3)
    for one in ops.get(name).samples(rng, dtype, 10):
        if len({x.shape for x in one.inputs}) == 1:
            return one
    raise AssertionError(f"{name} has no plain sample")


def by_reference(name: str, inputs: list[Any], attrs: dict[str, Any]) -> Any:
    """An operation's reference in float64."""
    wide = [x.astype("float64") if x.dtype.kind == "f" else x for x in inputs]
    with np.errstate(all="ignore"):
        return ops.get(name).reference(np, *wide, **attrs)


@pytest.mark.parametrize("name", ELEMENTS)
@dtypes
def test_operations_on_elements(name: str, dtype: str) -> None:
    """The samples of the table, in the row's tolerance; what is not finite is so in both."""
    one = sample(name, dtype)
    attrs = ops.get(name).complete(one.attrs)
    inputs = [np.asarray(x) for x in one.inputs]
    numbers = np.array([*SPECIAL], dtype)
    if name not in ("clip", "where") and inputs[0].dtype.kind == "f":
        pairs = np.array(np.meshgrid(*[numbers] * len(inputs))).reshape(len(inputs), -1)
        inputs = [np.concatenate([x.ravel(), p]) for x, p in zip(inputs, pairs, strict=True)]
    expected = by_reference(name, inputs, attrs).ravel()
    chain = Builder(dtype)
    ids = [chain.value("full", x.dtype.name) for x in inputs]
    result = "bool" if expected.dtype == bool else dtype
    made = chain.add(name, *ids, dtype=result, **attrs)
    (found,) = run(chain.built(ids, [made]), 1, expected.size, inputs)
    with np.errstate(all="ignore"):
        narrow = expected.astype(found.dtype)
    finite = np.isfinite(narrow)
    np.testing.assert_array_equal(found[~finite], narrow[~finite])
    allowed = ops.get(name).tolerance[dtype]
    usual = finite & (abs(expected) < 1e3)
    for part in (finite, usual):
        error = abs(found[part].astype("float64") - expected[part])
        bound = allowed.absolute + allowed.relative * abs(expected[part]).max(initial=0.0)
        assert error.max(initial=0.0) <= bound


@dtypes
def test_power_at_its_edges(dtype: str) -> None:
    values = np.array([*SPECIAL, -2.0, -3.0, 5.5], dtype)
    a, b = (x.ravel() for x in np.meshgrid(values, values))
    chain = Builder(dtype)
    x, y = chain.value("full"), chain.value("full")
    (found,) = run(chain.built([x, y], [chain.add("power", x, y)]), 1, a.size, [a, b])
    with np.errstate(all="ignore"):
        expected = a**b
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-14)
    for exponent in (1.0, 2.0, 3.0, 4.0, -1.0, 0.5):
        chain = Builder(dtype)
        x = chain.value("full")
        known = chain.value("scalar", known=exponent)
        (found,) = run(chain.built([x], [chain.add("power", x, known)]), 1, values.size, [values])
        with np.errstate(all="ignore"):
            expected = np.power(values, np.full_like(values, exponent))
        np.testing.assert_allclose(found, expected, rtol=1e-6 if dtype == "float32" else 1e-15)


CASTS = ("float32", "float64", "int32", "int64", "uint32", "bool")


@pytest.mark.parametrize("source", CASTS)
@pytest.mark.parametrize("target", CASTS)
def test_casts(source: str, target: str) -> None:
    numbers = [0, 1, 2, 3, 100, 2**31 - 1] if source != "bool" else [0, 1]
    if source.startswith("f"):
        numbers = [0.0, 0.75, 1.0, 99.5, 2.0**30]
    if source in ("float32", "float64", "int32", "int64") and target != "uint32":
        numbers = [*numbers, *(-x for x in numbers)]
    x = np.array(numbers, source)
    chain = Builder("float32")
    one = chain.value("full", source)
    made = chain.add("cast", one, dtype=target, to=target)
    (found,) = run(chain.built([one], [made]), 1, x.size, [x])
    np.testing.assert_array_equal(found.astype(target), x.astype(target))


SHAPES = [(1, 1), (1, 37), (2, 3), (16, 16), (17, 5), (33, 64), (40, 130), (5, 1000)]


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
@dtypes
def test_chains_with_reductions(rows: int, columns: int, dtype: str) -> None:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, columns))
    scale, shift = rng.standard_normal((2, columns))
    expected = normed(x, scale, shift)
    given = [v.astype(dtype) for v in (x, scale, shift)]
    least = {"float32": (1e-4, 2e-4), "float64": (1e-11, 1e-11)}[dtype]
    for width, lanes in ((0, 0), (4, 2), (2, 8), (0, 1)):
        chain = norm(dtype, width, lanes)
        forms = [chain, with_reciprocals(chain)]
        if columns % chain.width == 0:
            forms.append(replace(chain, past=True))
        for fused in forms:
            found = run(fused, rows, columns, given)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, np.ravel(other), *least)
            again = run(fused, rows, columns, given)
            assert all(a.tobytes() == b.tobytes() for a, b in zip(found, again, strict=True))


@pytest.mark.slow
def test_the_next_rows_are_fetched_where_results_go_past_the_caches() -> None:
    def fetches(one: Any) -> int:
        text: str = library._compile(Chained(one)).get_llvm_str()
        return text.count("call void @llvm.prefetch")

    assert fetches(norm("float32")) == 0
    assert fetches(replace(norm("float32"), past=True)) > 0


def test_labels() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((19, 7)), rng.integers(0, 7, 19)
    for kind in ("int32", "int64", "uint32"):
        chain = Builder("float64")
        one, label = chain.value("full"), chain.value("row", kind)
        picked = chain.add("pick", one, label, extent="row")
        hot = chain.add("one_hot", label, to="float64")
        found = run(chain.built([one, label], [picked, hot]), 19, 7, [x, labels.astype(kind)])
        np.testing.assert_array_equal(found[0], x[np.arange(19), labels])
        np.testing.assert_array_equal(found[1].reshape(19, 7), np.eye(7)[labels])


@dtypes
def test_quotients_are_those_of_a_division(dtype: str) -> None:
    """Bit for bit, where the reciprocal is no subnormal number."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((64, 50)) * 10.0 ** rng.integers(-20, 20, (64, 50))
    x[0, :4] = [0.0, np.inf, -np.inf, np.nan]
    square = np.abs(rng.standard_normal(64)) * 10.0 ** rng.integers(-15, 15, 64)
    square[:3] = [0.0, np.inf, 1.0]
    given = [x.astype(dtype), square.astype(dtype)]
    chain = Builder(dtype)
    one, row = chain.value("full"), chain.value("row")
    made = chain.add("divide", one, chain.add("sqrt", row, extent="row"))
    plain = chain.built([one, row], [made])
    better = with_reciprocals(plain)
    assert any(s.op == "quotient" for s in better.statements)
    (expected,), (found,) = (run(f, 64, 50, given) for f in (plain, better))
    np.testing.assert_array_equal(found, expected)


@dtypes
def test_sums_of_shares(dtype: str) -> None:
    for wide, count in ((dtype, 37), ("float64", 1)):
        parts = np.zeros((3, 64), wide)
        parts[:, :count] = np.random.default_rng(2).standard_normal((3, count))
        out = np.zeros(count, dtype)
        divisor = int(np.float64(5.0).view("int64"))
        record = [address(parts), 3, parts.strides[0], count, address(out), divisor]
        generated.call(Combine(wide, dtype, 8), record)
        expected = ((parts[0] + parts[1]) + parts[2])[:count] / np.dtype(wide).type(5)
        np.testing.assert_array_equal(out, expected.astype(dtype))


def nest(op: str, arrays: list[Any], out: Any, reduced: int, width: int, inner: Any) -> None:
    """Runs loops over axes, on arrays with distances of their own."""
    kept = out.ndim
    one = Nest(
        op, (), tuple(a.dtype.name for a in arrays), out.dtype.name, kept, reduced, width, inner,
        (None,) * len(arrays),
    )  # fmt: skip
    record = [*arrays[0].shape]
    for a in (*arrays, out):
        record += [a.__array_interface__["data"][0], *(s // a.itemsize for s in a.strides)]
    count = math.prod(arrays[0].shape[kept:])
    generated.call(one, [*record, count])


@pytest.mark.parametrize("width", [1, 8])
def test_loops_over_axes(width: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((4, 5, 19))
    y = np.broadcast_to(rng.standard_normal((5, 1)), x.shape)
    out = np.zeros(x.shape)
    nest("subtract", [x, y], out, 0, width, (1, 0))
    np.testing.assert_array_equal(out, x - y)
    out = np.zeros((4, 19))
    by_axis = x.transpose(0, 2, 1)
    for op in ("sum", "mean", "max"):
        nest(op, [by_axis], out, 1, width, (1,))
        np.testing.assert_allclose(out, getattr(np, op)(x, axis=1), rtol=1e-15)
    turned = np.zeros((19, 5, 4))
    nest("copy", [x.T], turned, 0, 1, (0,))
    np.testing.assert_array_equal(turned, x.T)
    whole = rng.integers(-9, 9, (6, 11)).astype("int32")
    whole[2, 3] = whole[2].max() + 1
    place = np.zeros(6, "int32")
    nest("argmax", [whole], place, 1, 1, (0,))
    np.testing.assert_array_equal(place, whole.argmax(1))
    x[1, 2, 3] = x[1, 4, 3] = np.nan
    place = np.zeros((4, 19), "int32")
    nest("argmax", [by_axis], place, 1, width, (1,))
    np.testing.assert_array_equal(place, x.argmax(1))


def small() -> Any:
    chain = Builder("float32")
    one = chain.value("full")
    return chain.built([one], [chain.add("exp", chain.add("exp", chain.add("abs", one)))])


def test_code_is_kept_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found on disk by the next process; damaged or stale code is compiled anew."""
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    one, compiled = Chained(small()), list[Any]()
    compile_now = library._compile
    monkeypatch.setattr(library, "_compile", lambda c: compiled.append(c) or compile_now(c))

    def fresh() -> None:
        monkeypatch.setattr(library, "_made", {})
        library.address(one)

    fresh()
    assert len(compiled) == 1
    fresh()
    assert len(compiled) == 1
    (file,) = tmp_path.rglob(f"{one.name}.code")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    monkeypatch.setattr(cache, "_told", set())
    with pytest.warns(RuntimeWarning, match="damaged"):
        fresh()
    assert len(compiled) == 2
    assert file.read_bytes()[32:] != content[:-1]
    file.write_bytes(bytes(32) + content[32:])
    fresh()
    assert len(compiled) == 3
    file.write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh()
    assert len(compiled) == 4


def test_one_name_for_one_text() -> None:
    assert small().name == small().name
    assert norm("float32").name != norm("float64").name
    assert norm("float32", 8).name != norm("float32", 16).name
