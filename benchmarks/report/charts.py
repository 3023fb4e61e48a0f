"""The sections that are drawn: the story, the speed-ups, the roofline, the crossings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from ...core.markup import Markup, element
from ..result import Ceiling, Row, grouped
from ..words import about, amount, count, factor, seconds, short
from . import svg
from .factors import (
    baseline,
    crossings,
    guessed,
    label,
    mean,
    order,
    timed,
    variant,
)
from .source import Source, legend, missing, numbered, slots, told

STEPS = {  # what each step of the story does, by its number
    "1": "One number at a time: every example, and within it every feature, in plain Python."
    " Each multiplication passes through the interpreter.",
    "2": "The loop over features has become one dot product. Python still visits every example.",
    "3": "No loop is left to see: one matrix product takes all examples at once, and NumPy walks"
    " the memory in compiled code.",
    "4": "The passes over memory are merged as well: product, bias, sigmoid, loss and derivative"
    " run as few compiled kernels, with nothing written in between that is not needed.",
    "5": "The whole step is recorded on the GPU once, and replayed with a single launch.",
}


def story(source: Source) -> list[Markup]:
    """The steps from loops to captured, each with its time and its factors."""
    found = []
    for (_, case, dtype), rows in grouped(source.rows("story"), lambda row: row.work).items():
        rows = sorted(rows, key=lambda row: row.variant)
        known = timed(rows)
        scale = svg.Scale.around([1.0, *(known[0].median / row.median for row in known)])
        before: Row | None = None
        items = []
        for row in rows:
            last = bool(known) and row is known[-1]
            items.append(_step(source, row, before, known[0] if known else row, scale, last))
            before = row if row in known else before
        found.append(element("h3", f"{case}, {dtype}"))
        if len(known) > 1:
            gain = known[0].median / known[-1].median
            found.append(
                element(
                    "p", "From the first step to the last: ",
                    element("strong", factor(gain, guessed(known[0], known[-1]))), " as fast. ",
                    f"{seconds(known[0].median)} per {known[0].unit} became"
                    f" {seconds(known[-1].median)}. Bars: how many times as fast as the first step,"
                    " each line ten times the one before it.", class_="lead",
                )
            )  # fmt: skip
        found.append(element("ol", *items, class_="story"))
    return found


def _step(
    source: Source, row: Row, before: Row | None, first: Row, scale: svg.Scale, last: bool
) -> Markup:
    number, _, name = row.variant.partition(" ")
    name = name or row.variant
    where = "" if row.backend in name else f" on {row.backend}"
    head = [element("h4", name, element("small", where))]
    if number in STEPS:
        head.append(element("p", STEPS[number]))
    if not timed([row]):
        return element("li", *head, missing([row], source), class_="step skipped")
    gain = first.median / row.median
    mark = svg.Mark(gain, told(row), source.href(row), _story_slot(number), faint=guessed(row))
    value = f"{factor(gain, guessed(first, row))} the first" if row is not first else "counts as 1"
    bar = svg.Bar(mark, f"{seconds(row.median)} per {row.unit}", value)
    steps = []
    if before is not None:
        noise = ", within the noise" if before.overlaps(row) else ""
        steps = [
            element("strong", factor(before.median / row.median, guessed(before, row))),
            f" as fast as the step before{noise}",
        ]
    if guessed(row):
        steps.append(f" (extrapolated from {count(row.measured)} rows)")
    drawn = svg.bars(f"{name}: {value}", [bar], scale, times, thick=18, named=last)
    return element("li", *head, drawn, element("p", *steps, class_="gain"), class_="step")


def _story_slot(number: str) -> int:
    return (int(number) - 1) % 10 if number.isdigit() else 1


def times(value: float) -> str:
    """The name of a grid line of factors."""
    return f"{value:,.0f}×" if value >= 1.0 else f"{value:g}×"


def speedups(source: Source) -> list[Markup]:
    """All operations in one chart, and one chart of all sizes for each."""
    rows = source.rows("op")
    names = slots(rows)
    common = Counter(row.dtype for row in timed(rows)).most_common(1)
    cards: dict[str, list[Markup]] = {}
    for (_, dtype), found in grouped(rows, lambda row: (row.op or row.case, row.dtype)).items():
        cards.setdefault(dtype, []).append(_card(source, found, names))
    parts: list[Markup] = []
    for dtype, drawn in cards.items():
        body = element("div", *drawn, class_="cards")
        if common and dtype == common[0][0]:
            mine = [row for row in rows if row.dtype == dtype]
            parts[:0] = [*_overview(source, mine, names), element("h3", "One by one"), _HOW, body]
        else:
            parts.append(element("details", element("summary", f"The same in {dtype}"), body))
    return parts


_HOW = element(
    "p",
    "Each bar is the largest size measured, each dot on it a smaller one. Loops count as 1."
    " A wave (~), a pale bar or a ring: extrapolated from fewer elements.",
)


def _largest(rows: Sequence[Row]) -> list[Row]:
    """The rows of the largest case that loops were timed on; none without."""
    cases = grouped(sorted(timed(rows), key=lambda row: -row.size), lambda row: row.work)
    return next((found for found in cases.values() if variant(found, "loops")), [])


def _overview(source: Source, rows: Sequence[Row], names: dict[str, int]) -> list[Markup]:
    lines: list[tuple[float, str, list[svg.Mark]]] = []
    removed: list[float] = []
    merged: list[float] = []
    wave = False
    shown = set()
    for op, found in grouped(rows, lambda row: row.op or row.case).items():
        here = _largest(found)
        loops, plain, fused = (variant(here, w) for w in ("loops", "vectorised", "fused"))
        if loops is None or len(here) < 2:
            continue
        if plain:
            removed.append(loops.median / plain.median)
            wave |= guessed(loops, plain)
        if plain and fused:
            merged.append(plain.median / fused.median)
        marks = [_mark(source, row, loops, names) for row in sorted(here, key=order)]
        shown |= {label(row) for row in here}
        lines.append((max(mark.x for mark in marks), op, marks))
    if not lines:
        return []
    lines.sort(key=lambda each: -each[0])
    told_ = [f"{len(lines)} operations, each at the largest size that loops were timed on."]
    if removed:
        told_.append(f"Vectorised code is {factor(mean(removed), wave)} as fast as loops,")
        told_.append(f"fused code another {factor(mean(merged))}" if merged else "")
        told_.append("(geometric means).")
    scale = svg.Scale.around([1.0, *(mark.x for _, _, marks in lines for mark in marks)])
    drawn = svg.strips(
        "How many times as fast as loops", [(op, marks) for _, op, marks in lines], scale, times
    )
    return [element("p", " ".join(told_), class_="lead"), legend(names, shown), _figure(drawn)]


def _figure(*parts: Markup, **attributes: object) -> Markup:
    """A figure; the script writes the name of the mark in focus into its last line."""
    return element("figure", *parts, element("p", class_="tip", aria_live="polite"), **attributes)


def _mark(
    source: Source, row: Row, one: Row, names: dict[str, int], radius: float = 6.0
) -> svg.Mark:
    """A row by its factor."""
    gain = one.median / row.median
    noise = ", within the noise" if row is not one and row.overlaps(one) else ""
    name = f"{told(row)}, {'1×' if row is one else factor(gain, guessed(one, row))}{noise}"
    faint = guessed(row)
    return svg.Mark(gain, name, source.href(row), names[label(row)], faint=faint, radius=radius)


def _card(source: Source, rows: Sequence[Row], names: dict[str, int]) -> Markup:
    """One operation in one dtype: a bar for each way of computing."""
    ones = {work: baseline(found) for work, found in grouped(rows, lambda row: row.work).items()}
    known = timed(rows)
    top = max((row.size for row in known), default=0)
    items = []
    for name, found in grouped(sorted(known, key=order), label).items():
        *smaller, row = sorted(found, key=lambda each: each.size)
        one = ones[row.work]
        assert one is not None  # a row that was timed has at least itself
        at = f" at {count(row.size)}" if row.size != top else ""
        gain = "1×" if row is one else factor(one.median / row.median, guessed(one, row))
        value = f"{gain} · {'~' if guessed(row) else ''}{seconds(row.median)}{at}"
        others = [_mark(source, r, b, names, 3.5) for r in smaller if (b := ones[r.work])]
        items.append(svg.Bar(_mark(source, row, one, names), name, value, tuple(others)))
    lowest = {label(one) for one in ones.values() if one and one.variant != "loops"}
    notes = [f"{count(top)} elements" if top else ""]
    if lowest:
        notes.append(f"where loops were not timed, {' or '.join(sorted(lowest))} counts as 1")
    first = rows[0]
    parts = [
        element("h4", first.op or first.case, element("small", f" {first.dtype}")),
        element("p", "; ".join(note for note in notes if note), class_="from"),
    ]
    if items:
        marks = [mark.x for item in items for mark in (item.mark, *item.others)]
        scale = svg.Scale.around([1.0, *marks])
        parts.append(svg.bars(f"{first.op or first.case}, {first.dtype}", items, scale, times))
    return _figure(*parts, missing(rows, source), class_="card")


def roofline(source: Source) -> list[Markup]:
    """GFLOP/s against flops per byte under each device's two ceilings."""
    rows = [row for row in timed(source.result.rows) if row.flops > 0.0 and row.bytes > 0.0]
    names = numbered(sorted({row.backend for row in rows}))
    found = []
    for ceiling, here in grouped(rows, source.result.ceiling).items():
        if ceiling is not None:
            found.append(_roof(source, ceiling, here, names))
    return found


def _roof(source: Source, ceiling: Ceiling, rows: list[Row], names: dict[str, int]) -> Markup:
    ridge = ceiling.product / ceiling.copy
    largest: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row.op or row.case, label(row)
        largest[key] = max(largest.get(key, 0), row.size)
    marks = [
        svg.Mark(
            row.flops / row.bytes, told(row), source.href(row), names[row.backend],
            row.flops / row.median / 1e9,
            faint=guessed(row) or row.size < largest[row.op or row.case, label(row)],
            radius=5.0 if row.size >= largest[row.op or row.case, label(row)] else 3.0,
        )
        for row in rows
    ]  # fmt: skip
    marks.sort(key=lambda mark: (-mark.radius, mark.x))
    x = svg.Scale.around([ridge, *(mark.x for mark in marks)], room=1.3)
    y = svg.Scale.around([ceiling.product, *(mark.y for mark in marks)], room=1.3)
    corner = x.at(ridge), 100 - y.at(ceiling.product)
    start = max(x.low, y.low / ceiling.copy)  # where the sloping roof enters the plot
    low = x.at(start), 100 - y.at(start * ceiling.copy)
    drawn = [
        svg.line(*low, *corner, "roof"),
        svg.line(*corner, 100, corner[1], "roof"),
        svg.words(
            "100%", svg.percent(corner[1]), f"product {short(ceiling.product)} GFLOP/s", "ceiling",
            "end", dy="-7",
        ),
        svg.words(
            svg.percent((low[0] + corner[0]) / 2), svg.percent((low[1] + corner[1]) / 2),
            f"copy {short(ceiling.copy)} GB/s", "ceiling", "end", dx="-10", dy="-4",
        ),
    ]  # fmt: skip
    title = f"{ceiling.backend}, {ceiling.dtype}: {len(marks)} rows under their ceilings"
    chart = svg.plane(
        title, [marks], x, y, ("flops per byte", "GFLOP/s"), (short, short),
        joined=False, drawn=drawn, height=420,
    )  # fmt: skip
    shown = {row.backend for row in rows}
    return _figure(element("figcaption", title), legend(names, shown), chart)


def crossover(source: Source) -> list[Markup]:
    """Seconds against size: one figure for each operation and network, chosen by name."""
    figures: list[tuple[str, Markup]] = []
    ops = source.rows("op")
    for (op, dtype), rows in grouped(ops, lambda row: (row.op, row.dtype)).items():
        if op:
            figures += _curves(source, f"{op}, {dtype}", rows, lambda row: row.size, "elements")
    steps = source.rows("training", "inference")
    for (kind, net, dtype), rows in grouped(steps, lambda r: (r.kind, _bare(r), r.dtype)).items():
        name = f"{kind}: {net}, {dtype}"
        figures += _curves(source, name, rows, lambda row: row.size, "rows a batch")
    for dtype, rows in grouped(source.rows("training"), lambda row: row.dtype).items():
        name = f"training: all networks, {dtype}"
        figures += _curves(source, name, rows, lambda row: row.flops, "flops of a step")
    if not figures:
        return []
    options, drawn = [], []
    for number, (name, body) in enumerate(figures, 1):
        place = f"crossing-{source.number}-{number}"
        options.append(element("option", name, value=place))
        drawn.append(element("div", body, id=place))
    choice = f"choice-{source.number}"
    select = element("select", *options, id=choice, class_="choice")
    picker = element("p", element("label", "Show ", for_=choice), select, hidden=True)
    return [picker, element("div", *drawn, class_="curves")]


def _bare(row: Row) -> str:
    """A network's case without the size of its batch."""
    return re.sub(r", (batch \d+|\d+ rows?)\b", "", row.case)


def _curves(
    source: Source, name: str, rows: list[Row], size: Callable[[Row], float], unit: str
) -> list[tuple[str, Markup]]:
    """One figure, or none where fewer than two sizes were timed."""
    rows = sorted((row for row in timed(rows) if size(row) > 0), key=size)
    if len({size(row) for row in rows}) < 2:
        return []
    names = slots(rows)
    series = [
        [
            svg.Mark(
                size(row), told(row), source.href(row), names[label(row)], row.median,
                faint=guessed(row), radius=4.5,
            )
            for row in found
        ]
        for found in grouped(sorted(rows, key=order), label).values()
    ]  # fmt: skip
    x = svg.Scale.around((size(row) for row in rows), room=1.15, decades=False)
    y = svg.Scale.around(row.median for row in rows)
    first, found = crossings(rows, size)
    drawn = []
    for each in found:
        at = x.at(each.size)
        drawn.append(svg.line(at, 0, at, 100, "crossing"))
        drawn.append(
            svg.words(svg.percent(at), "0", f"≈ {about(each.size)}", "crossed", "middle", dy="-12")
        )
    told_ = [f"From the smallest size on {first} is fastest"]
    told_ += [f"from about {about(each.size)} {unit} on {each.winner}" for each in found]
    if not found:
        told_.append("and stays so within the noise")
    chart = svg.plane(
        name, series, x, y, (unit, "seconds"), (amount, seconds), joined=True, drawn=drawn
    )
    shown = {label(row) for row in rows}
    caption = element("figcaption", element("strong", name), element("br"), "; ".join(told_) + ".")
    return [(name, _figure(caption, legend(names, shown), chart))]
