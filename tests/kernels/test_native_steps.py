"""The steps of the native executor, one by one: against NumPy, with memory around them that says
when something was read or written that does not belong to it."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
import support
from lamina.kernels.numba.native import compiled, slots
from lamina.kernels.numba.native.register_tile import BYTES, WIDE
from lamina.kernels.numba.native.tiles import SCRATCH, transposed_row

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
AROUND = 40  # elements before and behind every array
MARK = 12345.0


def fenced(values: Any, dtype: str, around: float = np.nan, shift: int = 0) -> Any:
    """A copy with other numbers before and behind it: NaN spreads from whatever reads it."""
    values = np.asarray(values, dtype)
    whole = np.full(values.size + 2 * AROUND + shift, around, dtype)
    inside = whole[AROUND + shift : AROUND + shift + values.size]
    inside[:] = values.reshape(-1)
    return whole, inside.reshape(values.shape)


def intact(whole: Any, inside: Any) -> bool:
    """Whether nothing around an output was written."""
    before = (inside.ctypes.data - whole.ctypes.data) // whole.itemsize
    return bool((whole[:before] == MARK).all() and (whole[before + inside.size :] == MARK).all())


def run(name: str, dtype: str, *slots: Any) -> None:
    """Calls a step with a record; arrays stand for their addresses."""
    record = np.array([s.ctypes.data if isinstance(s, np.ndarray) else s for s in slots], np.int64)
    step = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(compiled.step(name, dtype))
    step(record.ctypes.data, None)


SIZES = [
    (1, 1, 1), (1, 7, 3), (1, 9, 300), (2, 4, 64), (3, 5, 65), (4, 8, 16), (5, 3, 33), (6, 1, 128),
    (7, 130, 70), (12, 16, 15), (13, 17, 47), (25, 40, 10), (48, 129, 130), (61, 257, 191),
    (21, 40, 7), (19, 17, 6), (9, 33, 5), (11, 20, 3), (10, 16, 2), (18, 9, 4), (25, 7, 7),
]  # fmt: skip


@dtypes
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("transposed", ["", "read as it lies", "copied"])
def test_products(sizes: tuple[int, int, int], transposed: str, dtype: str) -> None:
    rows, inner, columns = sizes
    rng = np.random.default_rng(rows + inner)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
    bias = rng.standard_normal(columns)
    _, left = fenced(a.T if transposed else a, dtype, shift=3)
    (_, right), (_, shift) = fenced(b, dtype), fenced(bias, dtype, shift=1)
    steps = (1, rows) if transposed else (inner, 1)
    for block in (128, 16):
        item = np.dtype(dtype).itemsize
        around, scratch = fenced(np.zeros(SCRATCH // item), dtype, MARK)
        long = rows * transposed_row(block, inner, item)
        beside, copy = fenced(np.zeros(long), dtype, MARK)
        for place in (0, scratch):
            for added, relu in ((0, 0), (1, 0), (1, 1)):
                whole, out = fenced(np.full((rows, columns), 7.0), dtype, MARK, 5)
                run(
                    "product_tiles", dtype, left, *steps, right, columns, out, columns, rows,
                    inner, columns, block, place, shift if added else 0, relu, 0,
                    copy if transposed == "copied" else 0, 0,
                )  # fmt: skip
                expected = a @ b + added * bias
                expected = np.maximum(expected, 0) if relu else expected
                tolerance = 1e-5 if dtype == "float32" else 1e-13
                np.testing.assert_allclose(out, expected, atol=tolerance * inner)
                assert intact(whole, out)
                assert intact(around, scratch)
                assert intact(beside, copy)


@dtypes
def test_products_in_the_largest_blocks(dtype: str) -> None:
    rows, columns, block = 13, 150, SCRATCH // (WIDE * BYTES)
    inner = 2 * block + 5
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
    (_, left), (_, right) = fenced(a, dtype), fenced(b, dtype)
    around, scratch = fenced(np.zeros(SCRATCH // np.dtype(dtype).itemsize), dtype, MARK)
    whole, out = fenced(np.full((rows, columns), 7.0), dtype, MARK)
    run("product_tiles", dtype, left, inner, 1, right, columns, out, columns, rows, inner,
        columns, block, scratch, 0, 0, 0, 0, 0)  # fmt: skip
    np.testing.assert_allclose(out, a @ b, atol=1e-3 if dtype == "float32" else 1e-11)
    assert intact(whole, out)
    assert intact(around, scratch)


@dtypes
@pytest.mark.parametrize("rows", [1, 6, 17])
@pytest.mark.parametrize("columns", [3, 64, 130, 170])
def test_products_with_a_transpose_in_panels(rows: int, columns: int, dtype: str) -> None:
    inner = 37
    rng = np.random.default_rng(columns)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((columns, inner + 2))
    (_, left), (_, right) = fenced(a, dtype), fenced(b, dtype)
    around, panels = fenced(np.zeros(inner * columns), dtype, MARK)
    run("pack_transposed", dtype, right, inner + 2, columns, inner, panels)
    assert intact(around, panels)
    item = np.dtype(dtype).itemsize
    wide = WIDE * BYTES // item
    full = columns // wide * wide
    rest = panels.ctypes.data + full * (inner - 1) * item
    for block in (128, 16):
        whole, out = fenced(np.full((rows, columns), 7.0), dtype, MARK)
        run("product_tiles", dtype, left, inner, 1, rest, columns - full, out, columns, rows,
            inner, columns, block, 0, 0, 0, panels, 0, 0)  # fmt: skip
        np.testing.assert_allclose(out, a @ b[:, :inner].T, rtol=1e-4, atol=1e-4)
        assert intact(whole, out)


LARGEST = SCRATCH // (WIDE * BYTES)


@dtypes
@pytest.mark.parametrize(
    ("sizes", "block"),
    [*((sizes, block) for sizes in SIZES for block in (128, 16)),
     ((7, 2 * LARGEST + 3, 200), LARGEST)],
    ids=str,
)  # fmt: skip
def test_products_with_a_factor_turned_as_it_is_used(
    sizes: tuple[int, int, int], block: int, dtype: str
) -> None:
    """The same bits as of the factor itself, which lies in longer rows than it has."""
    rows, inner, columns = sizes
    rng = np.random.default_rng(columns)
    a, b = rng.standard_normal((rows, inner)), rng.standard_normal((columns, inner + 2))
    bias = rng.standard_normal(columns)
    (_, left), (_, turned), (_, shift) = (fenced(one, dtype) for one in (a, b, bias))
    _, right = fenced(b[:, :inner].T, dtype)
    around, scratch = fenced(np.zeros(SCRATCH // np.dtype(dtype).itemsize), dtype, MARK)
    expected = np.empty((rows, columns), dtype)
    whole, out = fenced(np.full((rows, columns), 7.0), dtype, MARK, 5)
    head, tail = (left, inner, 1), (rows, inner, columns, block, scratch, shift, 1, 0, 0)
    run("product_tiles", dtype, *head, right, columns, expected, columns, *tail, 0)
    run("product_tiles", dtype, *head, turned, inner + 2, out, columns, *tail, 1)
    assert intact(whole, out)
    assert intact(around, scratch)
    if rows == 1:  # longer stretches of columns, in another order
        np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    else:
        np.testing.assert_array_equal(out, expected)


@dtypes
def test_products_of_a_part(dtype: str) -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 20, 200))
    (_, left), (_, right) = fenced(a[:, :9], dtype), fenced(b[:9], dtype)
    whole, out = fenced(np.full((20, 200), MARK), dtype, MARK)
    run("product_tiles", dtype, left[2:], 9, 1, right[:, 64:], 200, out[2:, 64:], 200,
        15, 9, 100, 128, 0, 0, 0, 0, 0, 0)  # fmt: skip
    expected = np.full((20, 200), MARK)
    expected[2:17, 64:164] = (a[:, :9] @ b[:9])[2:17, 64:164]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    assert intact(whole, out)


@dtypes
@pytest.mark.parametrize("inner", [1, 2, 3, 4, 5, 8, 9, 16, 31, 64, 65])
@pytest.mark.parametrize("rows", [1, 3, 16, 37])
def test_products_with_a_column(rows: int, inner: int, dtype: str) -> None:
    rng = np.random.default_rng(inner)
    x, v = rng.standard_normal((rows, inner)), rng.standard_normal(inner)
    (_, left), (_, right), (_, bias) = (fenced(n, dtype, shift=1) for n in (x, v, [0.5]))
    for added in (0, 1):
        whole, out = fenced(np.zeros(rows), dtype, MARK, 3)
        run("vector_product", dtype, left, rows, inner, right, out, bias if added else 0)
        np.testing.assert_allclose(out, x @ v + 0.5 * added, rtol=1e-5, atol=1e-5)
        assert intact(whole, out)


@dtypes
@pytest.mark.parametrize("columns", [1, 3, 16, 40])
def test_sums_of_columns(columns: int, dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((300, columns))
    _, source = fenced(x, dtype)
    first, many = columns // 3, columns - columns // 3
    whole, out = fenced(np.zeros(many), dtype, MARK, 1)
    run("column_sums", dtype, source, 300, columns, first, many, out)
    np.testing.assert_allclose(out, x[:, first:].sum(0), rtol=1e-4, atol=1e-4)
    assert intact(whole, out)


def bits(number: float) -> int:
    return int(np.float64(number).view(np.int64))


@dtypes
@pytest.mark.parametrize("name", ["adam", "rmsprop", "momentum", "gelu_backward", "activate"])
def test_an_element_s_place_changes_no_bit(name: str, dtype: str) -> None:
    """In a vector, in what is left over and alone, the same operations are rounded alike."""
    size = 1003
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(size) ** 2 + 0.1 for _ in range(4)]
    now = np.zeros(8, np.int64)
    now[2], now.view(np.float64)[3] = 3, 0.01
    wide = np.array([0.9, 0.999, 0.0])
    b1, rest1, b2, rest2, tiny = map(bits, (0.9, 0.1, 0.999, 0.001, 1e-8))

    def made(part: slice) -> list[Any]:
        p, g, m, s = arrays = [a[part].astype(dtype) for a in start]
        n = p.size
        if name == "adam":
            run(name, dtype, p, g, n, now, m, s, b1, rest1, b2, rest2, tiny, 0, wide)
        elif name == "rmsprop":
            run(name, dtype, p, g, n, now, s, b1, rest1, tiny)
        elif name == "momentum":
            run(name, dtype, p, g, n, now, m, b1, 1)
        elif name == "gelu_backward":
            run(name, dtype, g, n, p, s)
        else:
            run(name, dtype, p, n, 1, p, 0, 2, bits(0.01), s)
        return arrays

    support.same_by_parts(made, size)


@dtypes
def test_a_rank_alone_asks_nobody_for_a_sum(dtype: str) -> None:
    asked = []
    function = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int64] * 6)(
        lambda *given: asked.append(given) or 0
    )
    for ranks, hosts, calls in ((1, 1, 0), (1, 2, 1), (0, 0, 1)):
        sums, control = np.zeros(slots.SUM_SLOTS, np.int64), np.zeros(slots.CONTROL_SLOTS, np.int64)
        sums[slots.CALL], sums[slots.MOST_BYTES] = (
            ctypes.cast(function, ctypes.c_void_p).value,
            1 << 40,
        )
        sums[slots.RANKS], sums[slots.HOSTS] = ranks, hosts
        control[slots.REDUCTION] = sums.ctypes.data
        gradient = np.arange(3, dtype=dtype)
        asked.clear()
        run("all_reduce", dtype, control, gradient, 3, gradient, 0)
        assert len(asked) == calls
        np.testing.assert_array_equal(gradient, [0, 1, 2])
        control[slots.LOST] = 1
        run("all_reduce", dtype, control, gradient, 3, gradient, 0)
        assert np.isnan(gradient[0])
