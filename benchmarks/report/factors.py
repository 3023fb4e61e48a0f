"""What rows say of each other: which is the reference, how much faster, from where on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..result import Result, Row, grouped

BASELINES = ("loops", "compiled loops", "vectorised")  # what counts as 1, the first that is there
KNOWN = (*BASELINES, "bound", "kernels", "fused", "captured")


def timed(rows: Iterable[Row]) -> list[Row]:
    """Those that have figures."""
    return [row for row in rows if row.status == "ok" and row.seconds and row.median > 0.0]


def label(row: Row) -> str:
    """How a row computes, in a few words: `numba fused`, `loops`, `torch eager`."""
    if row.variant in ("", "lamina", row.backend):
        return row.backend
    return row.variant if row.backend == "loops" else f"{row.backend} {row.variant}"


def order(row: Row) -> tuple[int, str, str]:
    """Sorts ways of computing from loops to fused, others behind."""
    at = KNOWN.index(row.variant) if row.variant in KNOWN else len(KNOWN)
    return at, row.backend, row.variant


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the lowest median, or None without any."""
    return min(timed(rows), key=lambda row: row.median, default=None)


def variant(rows: Iterable[Row], word: str) -> Row | None:
    """The fastest row of a variant."""
    return fastest(row for row in rows if row.variant == word)


def baseline(rows: Sequence[Row]) -> Row | None:
    """The row that counts as 1: loops, else compiled loops, else vectorised, else the slowest."""
    for word in BASELINES:
        if found := variant(rows, word):
            return found
    return max(timed(rows), key=lambda row: row.median, default=None)


def guessed(*rows: Row) -> bool:
    """Whether a figure made of these rows rests on an extrapolation."""
    return any(row.measured for row in rows)


def mean(factors: Iterable[float]) -> float:
    """The geometric mean, as fits factors; NaN without any."""
    logs = [math.log(factor) for factor in factors]
    return math.exp(statistics.fmean(logs)) if logs else float("nan")


def own_backends(result: Result) -> frozenset[str]:
    """The names of lamina's backends in a result; all others are peers."""
    return frozenset(each["name"] for each in result.environment.get("backends") or ())


@dataclass(frozen=True)
class Crossing:
    """At `size` (estimated between two measured sizes) `winner` overtakes `loser`.

    seconds: where their lines meet.
    """

    size: float
    seconds: float
    winner: str
    loser: str


def crossings(rows: Iterable[Row], size: Callable[[Row], float]) -> tuple[str, list[Crossing]]:
    """Who is fastest at the smallest size, and every change of the lead.

    A lead changes only where the spreads are apart, so noise makes no crossing.
    """
    by_size = grouped(timed(rows), size)
    first, leader = "", ""
    found: list[Crossing] = []
    before: dict[str, Row] = {}
    for at in sorted(by_size):
        here = {label(row): row for row in by_size[at]}
        best = min(here, key=lambda name: here[name].median)
        if not leader:
            first = leader = best
        elif best != leader and not (leader in here and here[leader].overlaps(here[best])):
            found.append(_meeting(before, here, leader, best, size))
            leader = best
        before = here
    return first, found


def _meeting(
    before: dict[str, Row],
    here: dict[str, Row],
    loser: str,
    winner: str,
    size: Callable[[Row], float],
) -> Crossing:
    """Where two lines meet in the logarithmic plane; at the larger size where one has no line."""
    low, high = before.get(winner), here[winner]
    if low is None or not {loser} <= before.keys() & here.keys():
        return Crossing(size(high), high.median, winner, loser)
    lost = max(math.log(low.median / before[loser].median), 0.0)
    won = math.log(here[loser].median / high.median)
    share = lost / (lost + won)
    return Crossing(
        size(low) * (size(high) / size(low)) ** share,
        low.median * (high.median / low.median) ** share,
        winner,
        loser,
    )
