"""Steps element by element: arithmetic, comparisons, dropout, and those of elementwise kernels."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

import numpy as np

from .. import dropout
from ..elementwise import ELEMENTWISE
from ..jit import jit
from .machine import bytes_at, doubles, integers, line, pointer, real, words
from .slots import NUMBER, PARTS, SEED, STEP, Like, Record
from .steps import step

ARITHMETIC = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")


@step
def arithmetic(a: Record, like: Like) -> None:
    """0 code, 1 how many, 2 x, 3 y, 4 out."""
    count = a[1]
    combine(a[0], line(a[2], count, like), line(a[3], count, like), line(a[4], count, like))


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
    """One loop a code, so that each is vectorised."""
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
    """Numbers to booleans. 0 code, 1 kind, 2 how many, 3 x, 4 y, 5 out.

    Kinds: 0 reals, 1 int32, 2 booleans.
    """
    out = bytes_at(a[5])
    for i in range(a[2]):
        if a[1] == 0:
            found = compared(a[0], pointer(a[3], like)[i], pointer(a[4], like)[i])
        elif a[1] == 1:
            found = compared(a[0], words(a[3])[i], words(a[4])[i])
        else:
            found = compared(a[0], bytes_at(a[3])[i], bytes_at(a[4])[i])
        out[i] = found


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
    dropout.dropout_words(
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
