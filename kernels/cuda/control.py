"""What a captured step begins and ends with, a launch each.

A run's control block lies on the device: the numbers of its steps, totals in float64, and a flag of
shape (1,) that says whether all was finite so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .arrays import Array, dtype_of, line, size
from .launch import THREADS, flat, launch
from .rows import MOST_PARTS

MOST_SUMS = 4  # that one launch adds up
MOST_COLUMNS = 3  # of which one launch takes rows


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run's steps, and where those of the present one go.

    counters: (3,) int64, of the step to come; the first says which step of the run it is. table:
    (steps, columns) float64. row: (1, columns), and now: (1, 3), what a step reads.
    """

    counters: Array
    table: Array
    row: Array
    now: Array


@dataclass(frozen=True)
class Rows:
    """The rows of a run's steps, and where those of the present one go.

    count: how many it has. order: (steps, batch) int32. columns: what they are taken from, arrays
    with rows along the first axis and elements of 4 or 8 bytes, each with (count, ...) to write.
    shares: (steps, batch, 1) of one floating dtype with (count, 1) to write, or None.
    """

    count: int
    order: Array
    columns: Sequence[tuple[Array, Array]]
    shares: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class Sums:
    """What a step adds to its run.

    values: at most `MOST_SUMS` arrays of one element and one floating dtype. watched: which of them
    must be finite. factors, totals: (n + 1,) float64: what each value is multiplied by, and what
    the products are added to; the last factor is added as it is.
    """

    values: Sequence[Array]
    watched: Sequence[bool]
    factors: Array
    totals: Array


@dataclass(frozen=True)
class Norm:
    """A flat array whose squared Euclidean norm must be below a limit.

    limit: of one element, float64; NaN is not below it. parts: (MOST_PARTS,) float64. arrived: (1,)
    uint32, 0, and 0 again after each launch. Launches that share these two follow each other.
    """

    flat: Array
    limit: Array
    parts: Array
    arrived: Array


def begin(numbers: Numbers, rows: Rows | None = None) -> None:
    """Copies the numbers of the present step, and gathers its rows.

    One launch; one more for each three columns beyond the first.
    """
    columns = rows.columns if rows else ()
    for at in range(0, max(len(columns), 1), MOST_COLUMNS):
        last = at + MOST_COLUMNS >= len(columns)
        _begin(numbers, rows, columns[at : at + MOST_COLUMNS], last)


def _begin(
    numbers: Numbers, rows: Rows | None, columns: Sequence[tuple[Array, Array]], last: bool
) -> None:
    taken = [_words(*pair) for pair in columns]
    taken += [(None, None, 0)] * (MOST_COLUMNS - len(taken))
    count, batch = (rows.count, rows.order.shape[1]) if rows else (0, 0)
    shares = _words(*rows.shares) if rows and rows.shares and last else (None, None, 0)
    most = max(width for _, _, width in (*taken, shares))
    launch(
        "begin_step", "float32", *flat(count * most), numbers.counters, numbers.table,
        numbers.table.shape[1], numbers.row, numbers.now, rows.order if rows else None, batch,
        count, *taken[0], *taken[1], *taken[2], *shares,
    )  # fmt: skip


def _words(source: Array, target: Array) -> tuple[Array, Array, int]:
    """Rows as words of 4 bytes: from where, to where, and how many each."""
    import cupy

    words = target.dtype.itemsize // 4
    if not words:
        raise ValueError(f"[begin] rows of {target.dtype} are not made of words of 4 bytes")
    width = size(target.shape[1:]) * words
    return line(source).view(cupy.uint32), target.view(cupy.uint32), width


def judge(
    going: Array,
    sums: Sums | None = None,
    norm: Norm | None = None,
    counters: Array | None = None,
    trained: bool = False,
) -> None:
    """Adds up a step's sums, and clears the flag where something is not finite.

    going: (1,), whether all was finite so far: else nothing is added or changed. A sum that is not
    finite is still added. counters: those of `Numbers`, which go on to the next step, if this is
    the last that is asked of the present one. trained: whether all three count it.
    """
    values = sums.values if sums else ()
    if len(values) > MOST_SUMS or not (sums or norm or counters is not None):
        raise ValueError(f"[judge] takes a norm or up to {MOST_SUMS} sums, not {len(values)}")
    watched = sum(1 << at for at, one in enumerate(sums.watched) if one) if sums else 0
    blocks = min(flat(norm.flat.size, 8)[0][0], MOST_PARTS) if norm else 1
    like = norm.flat if norm else values[0] if values else None
    launch(
        "judge", "float64" if like is None else dtype_of(like), (blocks,), (THREADS,),
        *values, *[None] * (MOST_SUMS - len(values)), len(values), watched,
        *((sums.factors, sums.totals) if sums else (None, None)), going,
        *((norm.flat, norm.flat.size, norm.limit, norm.parts, norm.arrived) if norm else
          (None, 0, None, None, None)),
        counters, int(trained),
    )  # fmt: skip
