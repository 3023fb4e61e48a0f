"""The sections that are tables: trainings, peers, ceilings, the machine, and all rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...core.markup import Markup, element, text
from ..result import Result, Row, grouped
from ..words import NONE, count, factor, seconds, short
from . import charts, svg
from .factors import fastest, guessed, label, mean, order, timed
from .source import Source, cells, legend, missing, numbered, table, told

Work = tuple[str, str, str]


def _cell(source: Source, row: Row | None, *more: Any, best: bool = False) -> Markup | None:
    """A time as a link to its row; its status where it was not timed."""
    if row is None:
        return None
    if not timed([row]):
        return element(
            "a", row.status if row.status != "ok" else NONE,
            href=source.href(row), class_=row.status, title=row.reason or None,
        )  # fmt: skip
    wave = "~" if guessed(row) else ""
    time: Any = wave + seconds(row.median)
    return element(
        "a", element("strong", time) if best else time, *more, href=source.href(row),
        title=f"{seconds(row.low)} to {seconds(row.high)}, {len(row.seconds)} rounds",
    )  # fmt: skip


def _only(rows: Iterable[Row]) -> Row | None:
    """The fastest of some rows, else one that was not timed."""
    rows = list(rows)
    return fastest(rows) or next(iter(rows), None)


def own(source: Source, kind: str) -> list[Markup]:
    """Networks by lamina's backends; the fastest of each line is bold."""
    rows = [row for row in source.rows(kind) if row.backend in source.own]
    if not rows:
        return []
    columns = list(dict.fromkeys(label(row) for row in sorted(rows, key=_rank(source))))
    body = []
    for (_, case, dtype), found in grouped(rows, lambda row: row.work).items():
        best = fastest(found)
        named = grouped(found, label)
        drawn = [
            _cell(source, each, best=each is best and each is not None)
            for each in (_only(named.get(name, [])) for name in columns)
        ]
        body.append(cells([case, element("small", f" {dtype}")], *drawn))
    caption = f"Medians, per {rows[0].unit}; the fastest is bold"
    return [table(caption, [kind, *columns], body, "figures"), missing(rows, source)]


def _rank(source: Source) -> Any:
    """Sorts rows as the registry lists backends."""
    names = [each["name"] for each in source.result.environment.get("backends") or ()]
    return lambda row: (names.index(row.backend), *order(row))


def contests(result: Result, mine: frozenset[str], kind: str) -> dict[Work, tuple[Row, list[Row]]]:
    """The work that peers did too: lamina's fastest row, and the peers' rows."""
    found = {}
    rows = [row for row in result.rows if row.kind == kind]
    for work, here in grouped(rows, lambda row: row.work).items():
        best = fastest(row for row in here if row.backend in mine)
        others = [row for row in here if row.backend not in mine]
        if best and others:
            found[work] = best, others
    return found


def peers(source: Source, kind: str) -> list[Markup]:
    """Peers against lamina's fastest backend: a chart, a table, and the geometric means."""
    found = contests(source.result, source.own, kind)
    if not found:
        return []
    others = [row for _, rows in found.values() for row in rows]
    columns = list(dict.fromkeys(label(row) for row in others))
    body = []
    lines: list[tuple[str, list[svg.Mark]]] = []
    names = numbered(columns, "lamina")
    gains: dict[str, list[float]] = {name: [] for name in columns}
    for (_, case, dtype), (best, rows) in found.items():
        by_name = {name: _only(row for row in rows if label(row) == name) for name in columns}
        drawn = []
        marks = [svg.Mark(1.0, told(best), source.href(best), 0)]
        for name, row in by_name.items():
            if row is None or not timed([row]):
                drawn.append(_cell(source, row))
                continue
            gain = row.median / best.median
            gains[name].append(gain)
            noise = " ±" if row.overlaps(best) else ""
            verdict = "ahead" if gain < 1.0 and not noise else "factor"
            drawn.append(
                _cell(source, row, " ", element("span", factor(gain), noise, class_=verdict))
            )
            marks.append(
                svg.Mark(gain, f"{told(row)}, {factor(gain)} lamina's time", source.href(row),
                         names[name])
            )  # fmt: skip
        lines.append((f"{case}, {dtype}", marks))
        own_cell = _cell(source, best, element("small", f" {label(best)}"))
        body.append(cells([case, element("small", f" {dtype}")], own_cell, *drawn))
    means = [
        [factor(mean(gains[name])), element("small", f" over {len(gains[name])}")]
        for name in columns
    ]
    body.append(cells("geometric mean", "1×", *means, class_="mean"))
    scale = svg.Scale.around([1.0, *(mark.x for _, marks in lines for mark in marks)])
    chart = svg.strips("How many times lamina's time", lines, scale, charts.times)
    caption = f"Medians, per {others[0].unit}, and how many times lamina's best that is"
    tip = element("p", class_="tip", aria_live="polite")
    return [
        legend(names, {"lamina", *columns}),
        element("figure", chart, tip),
        table(caption, [kind, "lamina's best", *columns], body, "figures"),
        missing(others, source),
    ]


def ceilings(source: Source) -> list[Markup]:
    """What the devices reach at best."""
    body = [
        cells(each.backend, each.dtype, f"{short(each.product)} GFLOP/s",
              f"{short(each.copy)} GB/s", f"{short(each.product / each.copy)} flops per byte")
        for each in source.result.ceilings
    ]  # fmt: skip
    heads = ["ceilings of", "dtype", "product", "copy", "they meet at"]
    caption = "Measured in the same run: a large product, and a copy larger than the caches"
    return [table(caption, heads, body, "figures")] if body else []


def environment(source: Source) -> list[Markup]:
    """Whatever the result says of the machine and its software."""
    found = dict(source.result.environment)
    backends = found.pop("backends", None) or ()
    body = [
        cells(name.replace("_gib", ", GiB").replace("_", " "), _plain(value))
        for name, value in found.items()
    ]
    status = [
        cells(each.get("name"), "yes" if each.get("available") else "no", each.get("device"),
              " ".join(filter(None, (each.get("reason"), each.get("fix")))))
        for each in backends
    ]  # fmt: skip
    parts = [table("The machine and its software", ["what", "is"], body, "plain")] if body else []
    if status:
        heads = ["backend", "can run", "device", "reason, and what mends it"]
        parts.append(table("Backends", heads, status, "plain"))
    return parts


def _plain(value: Any) -> str:
    """A value of the environment as words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) or NONE
    if isinstance(value, list):
        return "; ".join(map(_plain, value)) or NONE
    if isinstance(value, float):
        return short(value)
    return NONE if value is None else str(value)


HEADS = (
    "row", "status", "median", "low … high", "rounds", "first call", "transfer", "GFLOP/s", "GB/s",
    "of ceiling", "error / allowed", "extrapolated from", "reason",
)  # fmt: skip


def everything(source: Source) -> list[Markup]:
    """Every row of a result, with all that it says; charts and tables link here."""
    found = []
    for kind, rows in grouped(source.result.rows, lambda row: row.kind).items():
        body = [_row(source, row) for row in rows]
        caption = f"{source.name}: {len(rows)} rows of kind {kind}"
        found.append(table(caption, HEADS, body, "figures all"))
    return found


def _row(source: Source, row: Row) -> Markup:
    error = None if row.error is None else f"{row.error:.2g} / "
    allowed = None if row.allowed is None else f"{row.allowed:.2g}"
    known = bool(timed([row]))
    name = [[part, "/", element("wbr")] for part in (row.case, row.dtype, row.backend)]
    return cells(
        [*name, row.variant],
        element("span", row.status, class_=row.status),
        seconds(row.median),
        f"{seconds(row.low)} … {seconds(row.high)}" if known else None,
        len(row.seconds) or None,
        seconds(row.first_call),
        seconds(row.transfer),
        short(row.flops / row.median / 1e9) if known and row.flops else None,
        short(row.bytes / row.median / 1e9) if known and row.bytes else None,
        _share(source.result, row),
        [error, allowed] if error or allowed else None,
        f"{count(row.measured)} of {count(row.size)}" if row.measured else None,
        row.reason or None,
        id=source.anchor(row),
    )


def _share(result: Result, row: Row) -> str | None:
    ceiling = result.ceiling(row)
    share, of = ceiling.share(row) if ceiling and timed([row]) else (0.0, "")
    return f"{share:.0%} of {of}" if of else None


def tally(rows: Sequence[Row], source: Source) -> Markup:
    """How many rows there are, and which are wrong or were left out."""
    states = grouped(rows, lambda row: row.status)
    told_ = ", ".join(f"{count(len(found))} {name}" for name, found in states.items())
    told_ = f"{count(len(rows))} rows: {told_ or 'none'}."
    return text([element("p", told_), missing(states.get("wrong", []), source)])
