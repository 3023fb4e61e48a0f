"""Steps element by element: arithmetic, comparisons, dropout, and those of elementwise kernels."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

import numpy as np

from .. import updates
from ..elementwise import ELEMENTWISE
from ..jit import jit
from .machine import bytes_at, doubles, integers, line, pointer, real, words
from .slots import NUMBER, PARTS, SEED, STEP, Like, Record
from .steps import step

# Element by element over two matrices, each with a step along rows and along columns (0: repeated).
ARITHMETIC = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


@step
def arithmetic(a: Record, like: Like) -> None:
    """0 code, 1 out, 2 rows, 3 columns, 4 x, 5 row step, 6 column step, 7 y, 8, 9 its steps."""
    code, rows, columns = a[0], a[2], a[3]
    if a[6] == 1 and a[9] == 1:
        if a[5] == columns and a[8] == columns:  # both whole: one long row
            columns, rows = rows * columns, 1
        for i in range(rows):
            combine(
                code, line(a[4] + i * a[5] * size_of(like), columns, like),
                line(a[7] + i * a[8] * size_of(like), columns, like),
                line(a[1] + i * columns * size_of(like), columns, like),
            )  # fmt: skip
        return
    x, y, out = pointer(a[4], like), pointer(a[7], like), pointer(a[1], like)
    for i in range(rows):
        for j in range(columns):
            out[i * columns + j] = combined(code, x[i * a[5] + j * a[6]], y[i * a[8] + j * a[9]])


@jit
def size_of(like: Like) -> Any:
    """Bytes of an element."""
    return line(0, 1, like).itemsize


@jit
def combined(code: int, x: Any, y: Any) -> Any:
    """One element; NaN wins in a maximum or minimum."""
    if code == 0:
        return x + y
    if code == 1:
        return x - y
    if code == 2:
        return x * y
    if code == 3:
        return x / y
    if code == 4:
        return x if x > y or x != x else y
    return x if x < y or x != x else y


@jit
def combine(code: int, x: Any, y: Any, out: Any) -> None:
    """Rows of elements: one loop a code, so that each is vectorised."""
    if code == 0:
        for i in range(out.size):
            out[i] = x[i] + y[i]
    elif code == 1:
        for i in range(out.size):
            out[i] = x[i] - y[i]
    elif code == 2:
        for i in range(out.size):
            out[i] = x[i] * y[i]
    elif code == 3:
        for i in range(out.size):
            out[i] = x[i] / y[i]
    else:
        for i in range(out.size):
            out[i] = combined(code, x[i], y[i])


@step
def compare(a: Record, like: Like) -> None:
    """Numbers to booleans. The slots of `arithmetic`; 10: 0 reals, 1 int32, 2 booleans."""
    out = bytes_at(a[1])
    for i in range(a[2]):
        for j in range(a[3]):
            first, second = i * a[5] + j * a[6], i * a[8] + j * a[9]
            if a[10] == 0:
                found = compared(a[0], pointer(a[4], like)[first], pointer(a[7], like)[second])
            elif a[10] == 1:
                found = compared(a[0], words(a[4])[first], words(a[7])[second])
            else:
                found = compared(a[0], bytes_at(a[4])[first], bytes_at(a[7])[second])
            out[i * a[3] + j] = found


@jit
def compared(code: int, x: Any, y: Any) -> Any:
    """One comparison, in the order of COMPARISONS."""
    if code == 0:
        return x == y
    if code == 1:
        return x != y
    if code == 2:
        return x < y
    if code == 3:
        return x <= y
    return x > y if code == 4 else x >= y


@step
def cast_boolean(a: Record, like: Like) -> None:
    """Booleans as 0 and 1. 0 x, 1 how many, 2 out."""
    x, out = bytes_at(a[0]), pointer(a[2], like)
    for i in range(a[1]):
        out[i] = x[i]


@step
def dropout_mask(a: Record, like: Like) -> None:
    """0 now, 1 control, 2 stream, 3 threshold, 4 scale, 5 elements before, 6 out, 7 how many.

    Of several processes: 8 elements a row, or 0; 9 the run's own now-record, 10 control record.
    """
    control, now, skipped = integers(a[1]), integers(a[0]), a[5]
    seed, counter = control[SEED], now[STEP] - 1
    if a[8] != 0 and integers(a[10])[PARTS] != 0:
        part = doubles(integers(a[10])[PARTS] + 24 * integers(a[9])[NUMBER])
        skipped += a[8] * np.int64(part[2])
    updates.dropout_words(
        np.uint32(seed), np.uint32(seed >> 32), np.uint32(a[2]), np.uint32(counter),
        np.uint32(counter >> 32), np.uint32(a[3]), real(a[4], like), skipped,
        line(a[6], a[7], like),
    )  # fmt: skip


# Of elementwise kernels: how their records are laid out.


def _of_one(a: Record, like: Like) -> None:
    """0 x, 1 how many, 2 out."""
    kernel(line(a[0], a[1], like), line(a[2], a[1], like))  # type: ignore[name-defined]  # noqa: F821


def _of_two(a: Record, like: Like) -> None:
    """0 the first input, 1 how many, 2 the second, 3 out."""
    kernel(  # type: ignore[name-defined]  # noqa: F821
        line(a[0], a[1], like), line(a[2], a[1], like), line(a[3], a[1], like)
    )


def _derived(name: str, kernel: Any) -> Any:
    """The step of an elementwise kernel.

    The kernel is a global of its own globals: Numba keeps no closure over a kernel on disk.
    """
    count = len(inspect.signature(kernel.py_func).parameters) - 1
    code = {1: _of_one, 2: _of_two}[count].__code__.replace(co_name=name, co_qualname=name)
    return FunctionType(code, {**globals(), "kernel": kernel}, name)


for _name, _kernel in ELEMENTWISE.items():
    step(_derived(_name, _kernel))
