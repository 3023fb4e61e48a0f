"""How lamina compares with its peers, as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.table import Table

from ..result import Row, grouped
from ..words import seconds
from .peer import OWN, PREPARED

NOISE = "~"
WIDE = 76  # columns of a terminal from which on all of a table is shown


def peer_label(row: Row) -> str:
    """`torch, eager`; `lamina numba`."""
    return f"lamina {row.backend}" if row.variant == OWN else f"{row.backend}, {row.variant}"


def best_own(rows: Iterable[Row]) -> Row | None:
    """The fastest of lamina's backends."""
    own = [row for row in rows if row.variant in (OWN, PREPARED) and row.seconds]
    return min(own, key=lambda row: row.median, default=None)


def case_table(rows: list[Row], width: int) -> Table:
    """One piece of work: the median of the rounds, their spread, and the factor to lamina's best.

    A factor above 1 means that lamina is faster. width: of the terminal; a narrow one has no room
    for the spread.
    """
    wide = width >= WIDE
    own = best_own(rows)
    table = Table(title=f"{rows[0].case}, {rows[0].dtype}", title_justify="left")
    table.add_column("")
    for name in (f"per {rows[0].unit}", *(["low .. high"] if wide else []), "of lamina's"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if not row.seconds:
            table.add_row(peer_label(row), row.status)
            continue
        factor = ""
        if own is not None:
            noise = NOISE if row is not own and row.overlaps(own) else " "
            factor = f"{row.median / own.median:.2f}{noise}"
        spread = [f"{seconds(row.low)} .. {seconds(row.high)}"] if wide else []
        table.add_row(peer_label(row), seconds(row.median), *spread, factor)
    return table


def notes(rows: list[Row]) -> list[str]:
    """What there is to say about single rows: why one was not timed, or how well it learnt."""
    return [f"{peer_label(row)}: {row.reason}" for row in rows if row.reason]


def summary(rows: list[Row]) -> Table:
    """Each peer's time by that of lamina's best backend: the geometric mean over all work.

    Beside it the number of cases in which the peer was slower and faster than lamina by more than
    the spread of the rounds.
    """
    ratios: dict[str, list[float]] = {}
    clear: dict[str, list[bool]] = {}
    for same in grouped(rows, lambda row: row.work).values():
        own = best_own(same)
        for row in same:
            if own is None or not row.seconds:
                continue
            ratios.setdefault(peer_label(row), []).append(math.log(row.median / own.median))
            if row is not own and not row.overlaps(own):
                clear.setdefault(peer_label(row), []).append(row.median > own.median)
    table = Table(title="Time by that of lamina's best backend", title_justify="left")
    table.add_column("")
    for name in ("geometric mean", "cases", "slower", "faster"):
        table.add_column(name, justify="right")
    for name, logs in ratios.items():
        found = clear.get(name, [])
        mean = f"{math.exp(sum(logs) / len(logs)):.2f}{NOISE if any(logs) and not found else ' '}"
        table.add_row(name, mean, str(len(logs)), str(sum(found)), str(len(found) - sum(found)))
    return table
