"""The suite's tables on a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from .environment import title
from .result import Result, Row, grouped
from .words import seconds


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
    for kind, heading in titles.items():
        found = grouped((r for r in result.rows if r.kind == kind), lambda row: row.work)
        if found:
            console.print(_table(result, heading, found))
    console.print(
        "× against the plain loops (or the slowest); ~ measured on fewer elements and extrapolated;"
        " ≈ no clearer than the noise from the row above; % of the ceiling that binds."
    )
    compiled = sum(r.first_call or 0.0 for r in result.rows)
    console.print(f"First calls, compilation included, took {compiled:.1f} s.")
    for row in result.rows:
        if row.status == "skipped":
            console.print(f"skipped: {row.case}, {row.backend} {row.variant}: {row.reason}")
    left = result.environment.get("left_out")
    if left:
        console.print(f"{len(left)} groups were left out for want of time: --full measures all.")


def _table(result: Result, heading: str, found: dict[tuple[str, str, str], list[Row]]) -> Table:
    table = Table(title=heading, title_justify="left", header_style="bold", box=box.SIMPLE)
    table.add_column("work")  # these two fold where the terminal is narrow, the numbers never
    table.add_column("computed by")
    for name in ("time", "from–to", "×", "GFLOP/s", "GB/s", "ceiling"):
        table.add_column(name, justify="right", no_wrap=True)
    for (_, case, dtype), rows in found.items():
        against, above = base(rows), None
        for number, row in enumerate(rows):
            label = f"{case}" + ("" if dtype == "float32" else f", {dtype}") if not number else ""
            who = f"{row.backend}: {row.variant}"
            if not row.seconds:
                table.add_row(label, who, row.status, "", "", "", "", "")
                continue
            factor = against.median / row.median if against else float("nan")
            times = f"{factor:,.0f}" if factor >= 100.0 else f"{factor:.3g}"
            mark = ("~" if row.measured else "") + ("≈" if above and row.overlaps(above) else "")
            ceiling = result.ceiling(row)
            share, bound = ceiling.share(row) if ceiling else (float("nan"), "")
            table.add_row(
                label, who, mark + seconds(row.median),
                f"{seconds(row.low)}–{seconds(row.high)}", times,
                f"{row.flops / row.median / 1e9:,.2f}", f"{row.bytes / row.median / 1e9:,.2f}",
                f"{share:.0%} {bound}" if bound else "",
            )  # fmt: skip
            above = row
        table.add_section()
    return table
