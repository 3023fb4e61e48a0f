"""How lamina compares with its peers, as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from ..networks import Network
from ..result import Row, grouped
from ..words import NONE, seconds
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
    the spread of the rounds, and the least ratio of all.
    """
    clear: dict[str, list[bool]] = {}
    found: dict[str, list[tuple[float, Row]]] = {}
    for same in grouped(rows, lambda row: row.work).values():
        own = best_own(same)
        for row in same:
            if own is None or not row.seconds:
                continue
            found.setdefault(peer_label(row), []).append((row.median / own.median, row))
            if row is not own and not row.overlaps(own):
                clear.setdefault(peer_label(row), []).append(row.median > own.median)
    table = Table(title="Time by that of lamina's best backend", title_justify="left")
    table.add_column("")
    for name in ("geometric mean", "cases", "slower", "faster", "least"):
        table.add_column(name, justify="right")
    for name, ratios in found.items():
        calls = clear.get(name, [])
        mean, least = geometric_mean([r for r, _ in ratios]), min(r for r, _ in ratios)
        noise = NOISE if any(r != 1.0 for r, _ in ratios) and not calls else " "
        table.add_row(
            name, f"{mean:.2f}{noise}", str(len(ratios)), str(sum(calls)),
            str(len(calls) - sum(calls)), f"{least:.2f}",
        )  # fmt: skip
    return table


def geometric_mean(ratios: Iterable[float]) -> float:
    """The mean that fits ratios; NaN of none.

    >>> round(geometric_mean([0.5, 2.0]), 6)
    1.0
    """
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logs) / len(logs)) if logs else float("nan")


def remarks(networks: Iterable[Network]) -> list[str]:
    """What readers should know of how some networks are measured."""
    networks = list(networks)
    told = []
    if numbers := dict.fromkeys(n.loss for n in networks if n.numbers):
        told.append(
            f"{', '.join(numbers)}: the last layer is linear, and classes are rows of zeros and a"
            " one, as real numbers (for one output 0 or 1)."
        )
    if any(n.dropout for n in networks):
        told.append(
            "dropout: each library draws masks of its own, new ones at every step; losses and"
            " weights are held to float64 with the masks that it drew."
        )
    if any(n.layer == "own_batch_norm" for n in networks):
        told.append("own_batch_norm keeps no running statistics, here and in its peers.")
    return told


@dataclass(frozen=True)
class Cell:
    """One place in a table of networks by what was put into them, and the rows measured for it."""

    network: str
    word: str
    rows: list[Row]

    def ratio(self, peer: str) -> tuple[float, bool]:
        """A peer's time by that of lamina's best, and whether they are apart; NaN without both."""
        own = best_own(self.rows)
        row = next((r for r in self.rows if peer_label(r) == peer and r.seconds), None)
        if own is None or row is None:
            return float("nan"), False
        return row.median / own.median, not row.overlaps(own)


def matrices(cells: Sequence[Cell]) -> list[Table]:
    """For each peer a table, cells down and networks across: its time by that of lamina's best.

    The last line and the last column are geometric means; the caption names the least cell.
    """
    own = {each.backend for cell in cells for each in cell.rows if each.variant in (OWN, PREPARED)}
    found = dict.fromkeys(
        peer_label(row) for cell in cells for row in cell.rows if row.backend not in own
    )
    return [_matrix(cells, peer) for peer in found]


def _matrix(cells: Sequence[Cell], peer: str) -> Table:
    networks = list(dict.fromkeys(cell.network for cell in cells))
    known = {(cell.network, cell.word): cell.ratio(peer) for cell in cells}
    table = Table(title=f"{peer}: time by that of lamina's best backend", title_justify="left")
    table.add_column("", overflow="fold")
    for name in (*networks, "mean"):
        table.add_column(name, justify="right", overflow="fold")

    def mean(at: Callable[[str, str], bool]) -> str:
        return _number(geometric_mean(r for k, (r, _) in known.items() if at(*k) and r == r))

    for word in dict.fromkeys(cell.word for cell in cells):
        line = [known.get((network, word), (float("nan"), False)) for network in networks]
        drawn = [_number(ratio) + (" " if apart else NOISE) for ratio, apart in line]
        table.add_row(word, *drawn, mean(lambda n, w, word=word: w == word))  # type: ignore[misc]
    means = [mean(lambda n, w, name=name: n == name) for name in networks]  # type: ignore[misc]
    table.add_row("mean", *means, mean(lambda n, w: True))
    timed = {key: ratio for key, (ratio, _) in known.items() if ratio == ratio}
    if timed:
        network, word = min(timed, key=lambda key: timed[key])
        table.caption = (
            f"{len(timed)} of {len(known)} cells; least {timed[network, word]:.2f}: {network},"
            f" {word}"
        )
        table.caption_justify = "left"
    return table


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio == ratio else NONE
