"""The suite's tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from .environment import title
from .result import Result, Row, grouped
from .words import seconds

NUMBERS = ("time", "from–to", "×", "GFLOP/s", "GB/s", "ceiling")
DROPPED = ("GB/s", "GFLOP/s", "from–to", "ceiling", "×")  # first to last, where it is narrow
TEXT = 20  # what a column of words has at least: it folds between words, numbers never do
BETWEEN = 3  # from column to column
NEEDED = 2  # numbers beside which words may stand in two columns; with fewer they share one

Cells = dict[str, str]


def base(rows: list[Row]) -> Row | None:
    """The row that factors are given against: plain loops, else the slowest."""
    timed = [r for r in rows if r.seconds]
    loops = [r for r in timed if r.backend == "loops"]
    return next(iter(loops), None) or max(timed, key=lambda r: r.median, default=None)


def show(result: Result, console: Console) -> None:
    """All groups, by kind."""
    console.print(title(result.environment), style="bold")
    for ceiling in result.ceilings:
        console.print(
            f"ceilings of {ceiling.backend}, {ceiling.dtype}: product {ceiling.product:,.0f}"
            f" GFLOP/s, copy {ceiling.copy:,.1f} GB/s"
        )
    titles = {
        "story": "Logistic regression in five steps, a step of gradient descent",
        "training": "Training: forward, backward and Adam, a step through fit",
        "op": "Operations, a call",
    }
    hidden: set[str] = set()
    for kind, heading in titles.items():
        found = grouped((r for r in result.rows if r.kind == kind), lambda row: row.work)
        if found:
            table, names = _table(result, heading, found, console.width)
            console.print(table)
            hidden.update(name for name in NUMBERS if name not in names)
    console.print(
        "× against the plain loops (or the slowest); ~ measured on fewer elements and extrapolated;"
        " ≈ no clearer than the noise from the row above; % of the ceiling that binds."
    )
    if hidden:
        names = [name for name in NUMBERS if name in hidden]
        console.print(f"No room for {', '.join(names)} everywhere: a wider terminal has them.")
    compiled = sum(r.first_call or 0.0 for r in result.rows)
    console.print(f"First calls, compilation included, took {compiled:.1f} s.")
    for row in result.rows:
        if row.status == "skipped":
            console.print(f"skipped: {row.case}, {row.backend} {row.variant}: {row.reason}")
    left = result.environment.get("left_out")
    if left:
        console.print(f"{len(left)} groups were left out for want of time: --full measures all.")


def _table(
    result: Result, heading: str, found: dict[tuple[str, str, str], list[Row]], width: int
) -> tuple[Table, list[str]]:
    """A table for a width, and the numbers that there is room for, the most important first."""
    lines = [
        line
        for (_, case, dtype), rows in found.items()
        for line in _lines(result, case, dtype, rows)
    ]
    names, shared = _columns(lines, width)
    table = Table(title=heading, title_justify="left", header_style="bold", box=box.SIMPLE)
    if shared:
        table.add_column("work, computed by")
    else:
        table.add_column("work", min_width=_least([label for label, _, _ in lines]))
        table.add_column("computed by", min_width=_least([who for _, who, _ in lines]))
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for number, (label, who, cells) in enumerate(lines):
        if label and number:
            table.add_section()
        figures = [cells.get(name, "") for name in names]
        if not shared:
            table.add_row(label, who, *figures)
            continue
        if label:
            table.add_row(label)
        table.add_row(f"  {who}", *figures)
    return table, names


def _least(texts: Sequence[str]) -> int:
    """The width that a column of words needs to be read: TEXT, its longest word or its longest."""
    word = max((len(word) for text in texts for word in text.split()), default=0)
    return max(word, min(max(map(len, texts), default=0), TEXT))


def _columns(lines: list[tuple[str, str, Cells]], width: int) -> tuple[list[str], bool]:
    """The numbers there is room for, and whether work and who computed it share a column."""

    def longest(words: Iterable[str]) -> int:
        return max(map(len, words), default=0)

    texts = [_least([label for label, _, _ in lines]), _least([who for _, who, _ in lines])]
    names = list(NUMBERS)

    def needed(texts: list[int]) -> int:
        numbers = [longest([name, *(cells.get(name, "") for *_, cells in lines)]) for name in names]
        return sum(texts) + sum(numbers) + BETWEEN * (len(texts) + len(numbers)) + 1

    for name in DROPPED:
        if needed(texts) <= width:
            return names, False
        if len(names) == NEEDED:
            break
        names.remove(name)
    if needed(texts) > width and needed([max(texts) + 2]) > width:
        names.remove(DROPPED[-1])
    return names, needed(texts) > width


def _lines(
    result: Result, case: str, dtype: str, rows: list[Row]
) -> Iterator[tuple[str, str, Cells]]:
    """The work (in the first line alone), who computed it, and the numbers."""
    against, above = base(rows), None
    label = case + ("" if dtype == "float32" else f", {dtype}")
    for row in rows:
        who = f"{row.backend}: {row.variant}"
        if not row.seconds:
            yield label, who, {"time": row.status}
        else:
            factor = against.median / row.median if against else float("nan")
            mark = ("~" if row.measured else "") + ("≈" if above and row.overlaps(above) else "")
            ceiling = result.ceiling(row)
            share, bound = ceiling.share(row) if ceiling else (float("nan"), "")
            yield label, who, {
                "time": mark + seconds(row.median),
                "from–to": f"{seconds(row.low)}–{seconds(row.high)}",
                "×": f"{factor:,.0f}" if factor >= 100.0 else f"{factor:.3g}",
                "GFLOP/s": f"{row.flops / row.median / 1e9:,.2f}",
                "GB/s": f"{row.bytes / row.median / 1e9:,.2f}",
                "ceiling": f"{share:.0%} {bound}" if bound else "",
            }  # fmt: skip
            above = row
        label = ""
