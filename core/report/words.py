"""The report as text for a terminal."""

from __future__ import annotations

import io

from .measures import Report

MOST_COLUMNS = 15  # by importance
WIDTH = 100


def text(report: Report) -> str:
    """The report in lines of at most a hundred columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    out = io.StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, legacy_windows=False)

    def table(title: str, *heads: str) -> Table:
        console.print(f"\n{title}", markup=False, highlight=False)
        made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number, head in enumerate(heads):
            made.add_column(head, justify="right" if number else "left", overflow="fold")
        return made

    names = list(report.contestants[0].scores)
    scores = table(f"Scores on {report.rows[1]} rows that were held out", "", *names)
    for one in report.contestants:
        scores.add_row(one.name, *(figure(one.scores[n]) if n in one.scores else "" for n in names))
    console.print(scores)
    console.print(report.advice, markup=False, highlight=False)
    if report.per_class:
        classes = table("Classes", report.label, "precision", "recall", "F1", "rows")
        for name, precision, recall, f1, rows in report.per_class:
            classes.add_row(
                escaped(name), f"{precision:.3f}", f"{recall:.3f}", f"{f1:.3f}", str(rows)
            )
        console.print(classes)
        sure = table(f"How sure, and how often right (error {report.calibration:.3f})", "sure",
                     "right", "rows")  # fmt: skip
        for bin in report.bins:
            sure.add_row(f"{bin.confidence:.0%}", f"{bin.right:.0%}", str(bin.rows))
        console.print(sure)
    if report.importance:
        columns = table(f"What shuffling a column costs ({lost(report)})", "column", "cost", "±")
        for name, mean, deviation in report.importance[:MOST_COLUMNS]:
            columns.add_row(escaped(name), figure(mean), figure(deviation))
        console.print(columns)
    worst = table("The rows that were predicted worst", "row", "is", "said", "loss")
    for row in report.worst:
        worst.add_row(str(row.number), escaped(row.wanted), escaped(row.given), figure(row.loss))
    console.print(worst)
    return out.getvalue().rstrip() + "\n"


def escaped(word: str) -> str:
    """A word whose brackets are no markup of rich's."""
    from rich.markup import escape

    return escape(word)


def figure(value: float) -> str:
    """A number with the digits that matter."""
    if 1e3 <= abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 1.0 else f"{value:.4g}"


def lost(report: Report) -> str:
    """What the importance of a column is counted in."""
    return "R2" if report.task == "regression" else "log loss"
