"""What a captured step asks beside its numbers, in one launch.

A run's control block lies on the device: totals in float64, and a flag of shape (1,) that says
whether all was finite so far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .arrays import Array, dtype_of
from .launch import THREADS, flat, launch
from .rows import MOST_PARTS

MOST_SUMS = 4  # that one launch adds up


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


def judge(going: Array, sums: Sums | None = None, norm: Norm | None = None) -> None:
    """Adds up a step's sums, and clears the flag where something is not finite.

    going: (1,), whether all was finite so far: else nothing is added or changed. A sum that is not
    finite is still added.
    """
    values = sums.values if sums else ()
    if len(values) > MOST_SUMS or not (sums or norm):
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
    )  # fmt: skip
