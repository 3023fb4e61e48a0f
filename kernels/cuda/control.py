"""What a captured step asks beside its numbers, in one or two launches each.

A run's control block lies on the device: totals in float64, and a flag of shape (1,) that says
whether all was finite so far.
"""

from __future__ import annotations

from collections.abc import Sequence

from .arrays import Array, dtype_of
from .launch import THREADS, launch
from .reductions import parts_of

MOST_SUMS = 4  # that one launch adds up
SHORT = 1 << 15  # elements whose norm one block looks at


def add_up(
    values: Sequence[Array], watched: Sequence[bool], factors: Array, totals: Array, going: Array
) -> None:
    """Adds a step's sums to those of the run, and looks at those that must be finite.

    values: at most `MOST_SUMS` arrays of one element and one floating dtype. watched: which of them
    must be finite. factors, totals: (n + 1,) float64: what each value is multiplied by, and what
    the products are added to; the last factor is added as it is. going: (1,), whether all was
    finite so far: else nothing is added. It is false afterwards where a watched value is not
    finite, which is still added.
    """
    if not 0 < len(values) <= MOST_SUMS:
        raise ValueError(f"[add_up] takes 1 to {MOST_SUMS} values, not {len(values)}")
    bits = sum(1 << at for at, one in enumerate(watched) if one)
    given = [*values, *[None] * (MOST_SUMS - len(values))]
    launch(
        "add_up", dtype_of(values[0]), (1,), (32,), *given, len(values), bits, factors, totals,
        going,
    )  # fmt: skip


def look(flat: Array, limit: Array, going: Array) -> None:
    """Clears a flag where the squared Euclidean norm of a flat array is not below a limit.

    limit: of rank 0, float64, on the device; NaN is not below it. going: (1,).
    """
    dtype = dtype_of(flat)
    if flat.size <= SHORT:
        launch("look_at_short", dtype, (1,), (1024,), flat, flat.size, limit, going)
        return
    squares = parts_of("square_parts", flat)
    launch("look_at_norm", dtype, (1,), (THREADS,), squares, squares.size, limit, going)
