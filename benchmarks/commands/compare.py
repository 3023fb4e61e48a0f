"""`lamina bench compare`: the table, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ...core.command.console import FAILED
from ...kernels.errors import BadInput
from ..comparison import ALPHA, Change, Comparison, compare, read
from ..spread import Spread, path, tree

SHOWN = 12  # unchanged rows in the table, the most different ones


def calibrate_spread(names: Sequence[str]) -> str:
    """Keeps the spread among results of one tree as this machine's; says what it is."""
    results = [result for name in names for result in read(name)]
    spread = Spread.of(results)
    file = spread.save()
    sizes = sorted(v.value**0.5 for v in spread.rows.values())
    middle, high = sizes[len(sizes) // 2], sizes[int(0.9 * (len(sizes) - 1))]
    return (
        f"{spread.runs} runs of {tree(results[0])}, {len(sizes)} rows: from run to run a median"
        f" varies by {middle:.1%} (standard deviation; every tenth row by more than {high:.1%})\n"
        f"kept in {file}"
    )


def bench_compare(old: str, new: str, threshold: float, force: bool, as_json: bool) -> int:
    """Compares and prints; 1 when something got slower or wrong, else 0. Raises: BadInput."""
    from rich.console import Console

    if threshold < 0.0:
        raise BadInput("--threshold is a share in percent from 0")
    found = compare(read(old), read(new), Spread.read(), threshold=threshold / 100.0, force=force)
    if as_json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        _show(found, Console())
    return FAILED if found.worse else 0


def _show(found: Comparison, console: object) -> None:
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    for note in found.notes:
        console.print(f"differs: {note}", style="yellow", highlight=False, markup=False)
    table = Table(title=f"{found.runs[0]} and {found.runs[1]} runs, {len(found.changes)} rows")
    for head in ("change", "visible", "old µs", "new µs"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("row", overflow="fold", min_width=24)
    unchanged = 0
    for change in found.changes:
        changed = change.verdict in ("slower", "faster")
        unchanged += not changed
        if changed or unchanged <= SHOWN:
            table.add_row(*_cells(change), style=_STYLES[change.verdict])
    console.print(table)
    for title, keys in (
        ("wrong in NEW", found.broken), ("only in OLD", found.only_old),
        ("only in NEW", found.only_new),
    ):  # fmt: skip
        for key in keys:
            console.print(f"{title}: {key}", markup=False, highlight=False, soft_wrap=True)
    for line in summary(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


_STYLES = {"slower": "red", "faster": "green", "same": "", "few": "dim"}


def _cells(change: Change) -> tuple[str, ...]:
    told = {"same": "", "few": " (too few rounds)"}.get(change.verdict, f" {change.verdict}")
    return (
        f"{change.ratio - 1.0:+.1%}", f"{change.visible - 1.0:.0%}", f"{change.old * 1e6:,.1f}",
        f"{change.new * 1e6:,.1f}", f"{change.key}{told}",
    )  # fmt: skip


def _percent(factor: float) -> str:
    """A factor as a change; beyond a tenfold one the figure says nothing."""
    return f"{factor - 1.0:.0%}" if factor < 10.0 else "more than a tenfold one"


def summary(found: Comparison) -> list[str]:
    """The outcome in sentences."""
    slower, faster = len(found.called("slower")), len(found.called("faster"))
    few = len(found.called("few"))
    seen = sorted(c.visible for c in found.changes)
    lines = [
        f"{slower} slower, {faster} faster, {len(found.changes) - slower - faster} within the"
        f" noise{f' ({few} of them with too few rounds to tell)' if few else ''}; all rows together"
        f" {found.drift - 1.0:+.1%}",
        f"a change is called from {_percent(seen[len(seen) // 2])} on in the middle row, from"
        f" {_percent(seen[int(0.9 * (len(seen) - 1))])} on in nine of ten; a comparison of a tree"
        f" with itself calls any with a chance of {ALPHA:.0%}",
    ]
    if not found.calibrated:
        lines.append(
            "the spread of this machine was not measured: it was taken from these results. Measure"
            " it with `lamina bench compare --calibrate A B C ...`, results of one tree, kept in"
            f" {path()}"
        )
    if min(found.runs) < 3:
        lines.append("three runs a side (folders of results) show smaller changes than one")
    return lines
