"""One HTML page from results: it needs no network, no library and no server."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ...core import report as pages
from ...core.markup import Markup, document, element, part, text
from ...kernels.files import write as write_file
from ..result import Result
from ..words import factor
from . import charts, tables
from .factors import guessed, mean, timed
from .source import Source

Section = Callable[[Source], list[Markup]]


def page(results: Sequence[tuple[str, Result]]) -> str:
    """The page as HTML. results: their files' names, and what was in them."""
    sources = [Source(number, *each) for number, each in enumerate(results, 1)]
    sections = [_section(sources, *each) for each in SECTIONS]
    names = element(
        "ol",
        *(element("li", element("a", title, href=f"#{place}")) for place, title, *_ in SECTIONS),
    )
    machines = list(dict.fromkeys(source.machine for source in sources))
    header = element(
        "header",
        element("p", "lamina bench", class_="brand"),
        element("h1", "How fast this machine learns"),
        element("p", "; ".join(machines), class_="machine"),
        _headlines(sources),
        element("nav", names, aria_label="Contents"),
    )
    title = f"lamina bench: {machines[0] if machines else 'no result'}"
    body = [element("main", header, *sections), element("script", part(__package__, "script.js"))]
    rules = [part(pages.__name__, "style.css"), part(__package__, "style.css")]
    return document(title, "en", body, text(rules))


def _section(
    sources: Sequence[Source], place: str, title: str, lead: str, command: str, *parts: Section
) -> Markup:
    """A section with a part for each result that has rows for it, or how to measure them."""
    body: list[Markup] = []
    for source in sources:
        drawn = [each for part in parts for each in part(source)]
        if drawn:
            body += [source.note(), *drawn]
    if not body:
        hint = element(
            "p", "Not measured yet: ", element("code", command), " does it.", class_="hint"
        )
        body = [hint]
    return element("section", element("h2", title), element("p", lead), *body, id=place)


def _headlines(sources: Sequence[Source]) -> Markup:
    """The factors to remember, each a link to its section."""
    found: list[tuple[str, str, str]] = []
    for source in sources:
        known = sorted(timed(source.rows("story")), key=lambda row: row.variant)
        known = [row for row in known if row.work == known[0].work]
        if len(known) > 1:
            gain = known[0].median / known[-1].median
            told = factor(gain, guessed(known[0], known[-1]))
            found.append((told, f"{known[0].case}: from loops to {known[-1].variant[2:]}", "story"))
    machines: dict[str, list[float]] = {}
    for source in sources:
        contests = tables.contests(source.result, source.own, "training").values()
        gains = machines.setdefault(source.machine, [])
        gains += [
            min(row.median for row in timed(others)) / best.median
            for best, others in contests
            if timed(others)
        ]
    for gains in filter(None, machines.values()):
        what = "the speed of the fastest other library in a training step, geometric mean of"
        found.append((factor(mean(gains)), f"{what} {len(gains)}", "peers"))
    items = [
        element("li", element("a", element("b", value), element("span", what), href=f"#{place}"))
        for value, what, place in found
    ]
    return element("ul", *items, class_="headlines") if items else Markup("")


def _training(source: Source) -> list[Markup]:
    parts = []
    for kind in ("training", "epoch", "inference"):
        if drawn := tables.own(source, kind):
            parts += [element("h3", kind.capitalize()), *drawn]
    return parts


def _peers(source: Source) -> list[Markup]:
    parts = []
    for kind in ("training", "epoch", "inference"):
        if drawn := tables.peers(source, kind):
            parts += [element("h3", kind.capitalize()), *drawn]
    return parts


def _machine(source: Source) -> list[Markup]:
    made = element("h3", source.name, id=f"source-{source.number}")
    how = element("p", f"Made by lamina bench, mode {source.result.mode}.")
    tally = tables.tally(source.result.rows, source)
    return [made, how, tally, *tables.ceilings(source), *tables.environment(source)]


SECTIONS: tuple[
    tuple[str, str, str, str, Section] | tuple[str, str, str, str, Section, Section], ...
]
SECTIONS = (
    (
        "story", "From loops to one launch", "The same step of training, again and again, each"
        " time without something that the machine did not need to do.", "lamina bench",
        charts.story,
    ),
    (
        "operations", "Every operation", "How many times as fast as plain Python loops, on a"
        " logarithmic scale. Each mark links to its row.", "lamina bench", charts.speedups,
    ),
    (
        "roofline", "The roof", "No code is faster than the device's arithmetic (the flat part) or"
        " its memory (the slope). How far a mark lies below the roof is what is left to gain; one"
        " above the slope found its data in the caches. A small ring is a smaller"
        " size, a large ring an extrapolated figure.",
        "lamina bench", charts.roofline,
    ),
    (
        "crossover", "From which size on", "What is fastest on small arrays is seldom fastest on"
        " large ones. A dashed line marks where the lead changes by more than the noise.",
        "lamina bench", charts.crossover,
    ),
    (
        "trainings", "Whole trainings", "A training step is forward, backward and update.",
        "lamina bench", _training,
    ),
    (
        "peers", "Beside other libraries", "The same work in the same run, checked before it was"
        " timed, in interleaved rounds. A factor is the peer's time over that of lamina's fastest"
        " backend: below 1× the peer is faster. ± marks a difference within the noise.",
        "lamina bench peers", _peers,
    ),
    (
        "machine", "The machine", "Ceilings, versions and settings, as far as figures depend on"
        " them.", "lamina bench", _machine,
    ),
    (
        "rows", "All rows", "Every figure above is one of these, or the ratio of two. A median is"
        " that of the rounds; error is the largest difference from the oracle.", "lamina bench",
        tables.everything,
    ),
)  # fmt: skip


def read(paths: Sequence[Path]) -> list[tuple[str, Result]]:
    """Results with names that tell them apart. Raises: BadInput."""
    results = [Result.read(path) for path in paths]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [os.path.relpath(path) for path in paths]
    return list(zip(names, results, strict=True))


def write(paths: Sequence[Path], target: Path) -> None:
    """Reads results and writes the page. Raises: BadInput, OSError."""
    write_file(target, page(read(paths)))
