"""Sums, means and largest elements over axes that lie side by side."""

from __future__ import annotations

from typing import Any

from ..op import Attrs, Specs
from ..rules import normal_axes
from .arrays import Array, Out, dtype_of, empty, line, size
from .launch import THREADS, WARP, flat, launch, recorder, teams
from .rows import MOST_PARTS, join

CHUNK = 256  # rows of which a block adds up columns
MOST_DOWN = 65535  # blocks along the second axis of a grid


def side_by_side(specs: Specs, attrs: Attrs) -> bool:
    """Whether floating elements are reduced over neighbouring axes, and there are some."""
    spec = specs[0]
    axes = normal_axes("sum", spec, attrs)
    run = list(axes) == list(range(axes[0], axes[-1] + 1)) if axes else False
    return run and spec.dtype.startswith("float") and 0 not in spec.shape


def last_axis(specs: Specs, attrs: Attrs) -> bool:
    """Whether it is along the last axis of floating elements, and there are some."""
    spec = specs[0]
    last = spec.rank > 0 and attrs["axis"] in (-1, spec.rank - 1)
    return last and spec.dtype.startswith("float") and 0 not in spec.shape


def _spans(x: Array, axis: Any) -> tuple[int, int, int]:
    """How many elements there are before, in and behind the axes."""
    axes = tuple(range(x.ndim)) if axis is None else axis
    axes = sorted(a % x.ndim for a in ((axes,) if isinstance(axes, int) else axes))
    first, last = axes[0], axes[-1] + 1
    return size(x.shape[:first]), size(x.shape[first:last]), size(x.shape[last:])


def added(mean: bool) -> Any:
    """Sums, or means."""

    def run(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
        outer, count, inner = _spans(x, axis)
        x, dtype, scale = line(x), dtype_of(x), 1.0 / count if mean else 1.0
        if outer == inner == 1:
            total(x, out[0], scale)
        elif outer == 1 and count > 1:
            column_sums(x, out[0], count, inner, scale)
        elif inner == 1:
            launch("sum_rows", dtype, *teams(outer, count), x, out[0], outer, count, scale)
        else:
            launch(
                "sum_strided", dtype, *flat(outer * inner, 1), x, out[0], outer, count, inner,
                scale,
            )  # fmt: skip

    return run


def total(x: Array, out: Array, scale: float = 1.0) -> None:
    """The sum of all elements, times a number; in the same order for the same size."""
    dtype = dtype_of(x)
    if x.size <= 8 * THREADS:
        launch("sum_rows", dtype, (1,), (THREADS, 1), x, out, 1, x.size, scale)
        return
    join(parts_of("sum_parts", x), out, scale)


def chunks(rows: int) -> tuple[int, int]:
    """How many blocks add up columns, and so many rows of each."""
    if recorder() is not None:
        return 1, rows
    chunk = max(CHUNK, -(-rows // MOST_DOWN))
    return -(-rows // chunk), chunk


def column_sums(x: Array, out: Array, rows: int, columns: int, scale: float = 1.0) -> None:
    """The sums of the columns of a row-major matrix, times a number; parts of many rows first."""
    (blocks, chunk), dtype = chunks(rows), dtype_of(x)
    parts = out if blocks == 1 else empty((blocks, columns), dtype)
    launch(
        "sum_columns", dtype, (-(-columns // WARP), blocks), (WARP, 8), x, parts, rows, columns,
        chunk, scale if blocks == 1 else 1.0,
    )  # fmt: skip
    if blocks > 1:
        column_sums(parts, out, blocks, columns, scale)


def parts_of(kernel: str, x: Array) -> Array:
    """What each block adds up of a flat array, float64."""
    (blocks,), threads = flat(x.size, 8)
    parts = empty((min(blocks, MOST_PARTS),), "float64")
    launch(kernel, dtype_of(x), parts.shape, threads, x, parts, x.size)
    return parts


def largest(out: Out, x: Array, *, axis: Any, keepdims: bool) -> None:
    """The largest elements; NaN wins."""
    outer, count, inner = _spans(x, axis)
    x, dtype = line(x), dtype_of(x)
    if inner == 1:
        launch("max_rows", dtype, *teams(outer, count), x, out[0], outer, count)
    else:
        launch("max_strided", dtype, *flat(outer * inner, 1), x, out[0], outer, count, inner)


def argmax(out: Out, x: Array, *, axis: int, keepdims: bool) -> None:
    """Where the largest of each row is, the first one of several."""
    rows, columns = size(x.shape[:-1]), x.shape[-1]
    launch("argmax_rows", dtype_of(x), *teams(rows, columns), line(x), out[0], rows, columns)
