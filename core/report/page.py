"""The report as one HTML page that needs no network, no library and no server."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from ...kernels.files import write as write_file
from ..markup import Markup, document, element, part
from . import charts
from .charts import Axis
from .measures import Report
from .words import figure, lost

MOST_CLASSES = 20  # of a table of who was taken for whom
MOST_COLUMNS = 30  # by importance


def page(report: Report) -> str:
    """The page as HTML."""
    sections = [each for part in PARTS if (each := part(report))]
    body = element("main", _header(report), *sections)
    title = f"{report.label} of {report.title}"
    return document(title, "en", body, part(__package__, "style.css"))


def write(report: Report, path: str | os.PathLike[str]) -> None:
    """Writes the page to a file, whole or not at all. Raises: OSError."""
    write_file(os.fspath(path), page(report))


def _header(report: Report) -> Markup:
    network, *others = report.contestants
    name = "R2" if report.task == "regression" else "accuracy"
    best = max(others, key=lambda one: one.scores[name])
    headlines = [
        (figure(network.scores[name]), f"{name} on {report.rows[1]} rows that were held out"),
        (figure(best.scores[name]), f"{name} of {best.name}, the best beside it"),
        (f"{report.seconds:.1f} s", f"to train on {report.rows[0]} rows"),
    ]
    return element(
        "header",
        element("p", "lamina train", class_="brand"),
        element("h1", f"{report.label} of {report.title}"),
        element("p", report.network, class_="machine"),
        element(
            "ul",
            *(element("li", element("b", told), element("span", what)) for told, what in headlines),
            class_="headlines plainlines",
        ),
        element("p", report.advice, class_="lead"),
        *(element("p", note, class_="from") for note in report.notes),
    )


def _section(title: str, lead: str, *body: Markup) -> Markup:
    return element("section", element("h2", title), element("p", lead), *body)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: bool = True) -> Markup:
    """A table whose first column names its rows."""
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", *(element("th", head, scope="col") for head in heads))),
            element(
                "tbody",
                *(
                    element("tr", element("th", first, scope="row"), *(element("td", c) for c in r))
                    for first, *r in rows
                ),
            ),
            class_="figures" if numbers else "plain",
        ),
        class_="wide", tabindex=0,
    )  # fmt: skip


def _scores(report: Report) -> Markup:
    names = list(report.contestants[0].scores)
    rows = [
        [one.name, *(figure(one.scores[n]) if n in one.scores else "" for n in names)]
        for one in report.contestants
    ]
    return _section(
        "Did it earn its keep?",
        "The same rows to train on, the same to be tested on; none of the others was tuned.",
        table(["", *names], rows),
    )


def _training(report: Report) -> Markup | None:
    curves = {name: values for name, values in report.history.items() if name.endswith("loss")}
    values = [value for each in curves.values() for value in each]
    longest = max(map(len, curves.values()), default=0)
    if longest < 2:
        return None
    x, y = Axis(1.0, float(longest)), Axis.around(values)
    drawn: list[Markup] = []
    names = {"loss": "rows it learns from", "val_loss": "rows held out"}
    keys = []
    for slot, (name, each) in enumerate(curves.items(), 2):
        points = [(float(epoch), float(value)) for epoch, value in enumerate(each, 1)]
        drawn += charts.curve(x, y, points, slot)
        keys.append(element("li", element("i"), names.get(name, name), class_=f"s{slot}"))
    chart = charts.plane("Loss by epoch", x, y, ("epoch", "loss"), *drawn)
    return _section(
        "The training",
        "The mean over the members that were still learning, epoch by epoch; each keeps its best.",
        element("ul", *keys, class_="legend"),
        element("figure", chart, class_="card plot"),
    )


def _importance(report: Report) -> Markup | None:
    if not report.importance:
        return None
    rows = [
        (name, mean, f"{figure(mean)} ± {figure(deviation)}")
        for name, mean, deviation in report.importance[:MOST_COLUMNS]
    ]
    return _section(
        "Which columns matter",
        f"How much {lost(report)} gets worse where a column's cells are shuffled among the rows"
        " held out. Columns that say the same share what they are worth.",
        charts.bars(rows),
    )


def _classes(report: Report) -> Markup | None:
    if not report.per_class:
        return None
    rows = [
        [name, f"{p:.3f}", f"{r:.3f}", f"{f:.3f}", str(n)] for name, p, r, f, n in report.per_class
    ]
    parts = [table([report.label, "precision", "recall", "F1", "rows"], rows)]
    if len(report.classes) <= MOST_CLASSES:
        told = [
            [name, *map(str, row)]
            for name, row in zip(report.classes, report.confusion, strict=True)
        ]
        parts += [
            element("h3", "Who is taken for whom"),
            element("p", "A row for what it is, a column for what was said."),
            table(["", *report.classes], told),
        ]
    return _section(
        "Class by class",
        "Precision: how many of those said to be one are. Recall: how many of those that are one"
        " were found.",
        *parts,
    )


def _calibration(report: Report) -> Markup | None:
    if not report.bins:
        return None
    least = min(each.confidence for each in report.bins)
    axis = Axis(min(least, min(each.right for each in report.bins)) - 0.05, 1.02)
    even = charts.curve(axis, axis, [(axis.low, axis.low), (1.0, 1.0)], 0)
    points = [
        (one.confidence, one.right, f"{one.confidence:.0%} sure, {one.right:.0%} right: {one.rows}")
        for one in report.bins
    ]
    drawn = [*even, *charts.curve(axis, axis, [p[:2] for p in points], 3)]
    drawn += charts.dots(axis, axis, points, 3)
    chart = charts.plane("Calibration", axis, axis, ("how sure", "how often right"), *drawn)
    rows = [[f"{b.confidence:.1%}", f"{b.right:.1%}", str(b.rows)] for b in report.bins]
    return _section(
        "Can its probabilities be believed?",
        f"Of the rows it is 80 % sure of, 80 % should be right. The mean gap is"
        f" {report.calibration:.3f}.",
        element("figure", chart, class_="card plot"),
        table(["how sure", "how often right", "rows"], rows),
    )


def _points(report: Report) -> Markup | None:
    if not report.points:
        return None
    axis = Axis.around([value for pair in report.points for value in pair])
    drawn = charts.curve(axis, axis, [(axis.low, axis.low), (axis.high, axis.high)], 0)
    named = [(a, b, f"is {figure(a)}, said {figure(b)}") for a, b in report.points]
    drawn += charts.dots(axis, axis, named, 2)
    chart = charts.plane("Said and true", axis, axis, ("what it is", "what was said"), *drawn)
    return _section(
        "Said and true",
        f"Rows that were held out, in units of {report.label}; on the line nothing is missed.",
        element("figure", chart, class_="card plot"),
    )


def _worst(report: Report) -> Markup | None:
    if not report.worst:
        return None
    names = list(report.worst[0].cells)
    rows = [
        [str(row.number), row.wanted, row.given, figure(row.loss),
         *(figure(row.cells[name]) for name in names)]
        for row in report.worst
    ]  # fmt: skip
    return _section(
        "The rows it missed most",
        "Worth a look: a label may be wrong there, or a column may be missing. Rows are counted"
        " from 0.",
        table(["row", "is", "said", "loss", *names], rows),
    )


PARTS = (_scores, _training, _importance, _classes, _calibration, _points, _worst)
