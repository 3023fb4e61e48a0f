"""What was measured and predicted of ranks, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ..peers.table import peer_label
from ..result import Row
from ..words import NONE, amount, factor, seconds, short
from .measurement import UNSEEN, Place, Scaling
from .model import Link


def label(row: Row) -> str:
    """`numba, 2 ranks x 1 thread`."""
    return row.variant if row.backend != "torch" else peer_label(row)


def off(row: Row) -> str:
    """How far a prediction is from what was measured, in percent."""
    if row.predicted is None or not row.seconds:
        return ""
    return f"{100.0 * (row.predicted / row.median - 1.0):+.0f} %"


def measured_table(found: Scaling) -> Table:
    """Steps on ranks of this machine: against one thread, and beside the model."""
    table = Table(title=f"{found.network.case}, {found.network.dtype}", title_justify="left")
    table.add_column("")
    for name in ("per step", "steps/s", "of one thread", "predicted", "off"):
        table.add_column(name, justify="right", no_wrap=True)
    first = found.rows[0]
    for row in (*found.rows, *found.others):
        if not row.seconds:
            table.add_row(label(row), row.status)
            continue
        table.add_row(
            label(row), seconds(row.median), short(1.0 / row.median),
            factor(first.median / row.median) if first.seconds else NONE,
            seconds(row.predicted) if row.predicted else "", off(row),
        )  # fmt: skip
    return table


def sums_table(rows: Sequence[Row]) -> Table:
    """The sum of an array over ranks, by its size: one column for each number of ranks."""
    columns = list(dict.fromkeys(row.variant for row in rows))
    table = Table(title="A sum over ranks of this machine", title_justify="left")
    for name in ("bytes", *columns):
        table.add_column(name, justify="right")
    for size in dict.fromkeys(row.bytes for row in rows):
        same = {row.variant: row for row in rows if row.bytes == size}
        table.add_row(
            amount(size), *(seconds(same[c].median) if c in same else NONE for c in columns)
        )
    return table


def links(found: Scaling) -> list[str]:
    """The straight lines that fit the sums, in words."""
    told = []
    for ranks, points in sorted(found.machine.sums.items()):
        link = Link.fitted(ranks, points)
        told.append(
            f"A sum over {ranks} ranks here: about {seconds(link.latency)} a message,"
            f" {short(link.bandwidth / 1e9)} GB/s."
        )
    return told


def hosts_table(found: Scaling, rows: Sequence[Row], batch: int) -> Table:
    """What the model says of more hosts."""
    table = Table(title=f"{found.network.case}, {UNSEEN}", title_justify="left")
    table.add_column("")
    for name in ("rows a rank", "per step", "steps/s", "of one host"):
        table.add_column(name, justify="right", no_wrap=True)
    first = rows[0].predicted
    for row in rows:
        if row.predicted is None or first is None:
            continue
        count = 1
        for part in row.variant.split(" x ")[:-1]:
            count *= int(part.split()[0])
        table.add_row(
            row.variant, str(-(-batch // count)), seconds(row.predicted),
            short(1.0 / row.predicted), factor(first / row.predicted),
        )  # fmt: skip
    return table


def verdict(found: Scaling, place: Place, link: Link | None) -> str:
    """From where on more ranks do not pay."""
    batch, machine = found.network.batch, found.machine
    if link is None:
        runs = [row for row in found.rows if row.seconds]
        best = min(runs, key=lambda row: row.median, default=None)
        return f"{found.network.name}: fastest here with {best.variant}." if best else ""
    pays, shortest = machine.most(batch, place.ranks, place.threads, link)
    least = machine.step(batch, place.ranks, place.threads, shortest, link)
    return (
        f"{found.network.name}, batch {batch}, {place.name} a host: from {pays}"
        f" host{'s' * (pays > 1)} on, twice as many shorten a step by less than a tenth; it is"
        f" shortest on {shortest} ({seconds(least)})."
    )
