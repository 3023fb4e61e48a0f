"""README's tables: the factors of a machine, and its training steps."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from ...kernels.errors import BadInput
from ...kernels.files import write
from ..result import Result, Row, grouped
from ..words import NONE, count, factor, seconds, short
from .factors import fastest, guessed, own_backends, timed, variant
from .source import Source

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
STEPS = ("loops", "vectorised", "fused")
PREFERRED = ("softmax_cross_entropy", "gelu", "adam_update")  # if there; else the first ones
OPS = 3

Line = tuple[str, Sequence[Row]]


def block(paths: Sequence[Path], folder: Path) -> str:
    """The tables of some results, with links to their files from `folder`.

    Raises: BadInput where there is nothing to show.
    """
    results = [Result.read(path) for path in paths]
    parts = []
    for path, result in zip(paths, results, strict=True):
        tables = [table for table in (_factors(result), _trainings(result)) if table]
        if tables:
            where = Path(os.path.relpath(path, folder)).as_posix()
            source = Source(1, path.name, result)
            note = (
                f"({source.machine}, {source.date}; medians, each checked before it was timed."
                f" Rows: [{where}]({where}). `lamina bench` measures your machine.)"
            )
            parts.append(
                "\n\n".join(
                    [*tables, fill(note, 100, break_on_hyphens=False, break_long_words=False)]
                )
            )
    if not parts:
        raise BadInput(
            "no rows for README: it shows the story, operations and trainings that"
            " `lamina bench --json FILE` measures"
        )
    return "\n\n".join(parts)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 1), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _factors(result: Result) -> str:
    """From loops to vectorised to fused: the story, and a few operations."""
    lines = [*_stories(result), *_operations(result)]
    if not lines:
        return ""
    marked = any(guessed(row) for _, rows in lines for row in rows)
    head = "Time, and how many times as fast as plain Python loops"
    wave = " (~: loops extrapolated from fewer elements)" if marked else ""
    body = [[name, *_cells(rows)] for name, rows in lines]
    return f"{head}{wave}:\n\n{_table(['', *STEPS], body)}"


def _cells(rows: Sequence[Row]) -> list[str]:
    loops = rows[0]
    gains = [factor(loops.median / row.median, guessed(loops, row)) for row in rows[1:]]
    wave = "~" if guessed(loops) else ""
    told = [f"{seconds(row.median)} ({gain})" for row, gain in zip(rows[1:], gains, strict=True)]
    return [wave + seconds(loops.median), *told]


def _stories(result: Result) -> list[Line]:
    found: list[Line] = []
    rows = [row for row in timed(result.rows) if row.kind == "story"]
    for (_, case, _), here in grouped(rows, lambda row: row.work).items():
        loops = next((row for row in here if row.variant.startswith("1 ")), None)
        rest = [
            fastest(row for row in here if row.variant.split(" ")[-1] == step) for step in STEPS[1:]
        ]
        three = [row for row in (loops, *rest) if row]
        if len(three) == len(STEPS):
            found.append((f"{case}, per {three[0].unit}", three))
    return found


def _operations(result: Result) -> list[Line]:
    """The largest case of some operations in which all three were timed."""
    found: dict[str, list[Row]] = {}
    rows = sorted(
        (row for row in result.rows if row.kind == "op"),
        key=lambda row: (row.dtype != "float32", -row.size),
    )
    for here in grouped(rows, lambda row: row.work).values():
        three = [row for row in (variant(here, step) for step in STEPS) if row]
        if len(three) == len(STEPS):
            found.setdefault(three[0].op or three[0].case, three)
    names = [name for name in PREFERRED if name in found]
    names += [name for name in found if name not in names]
    return [(_named(found[name][0]), found[name]) for name in names[:OPS]]


def _named(row: Row) -> str:
    return f"`{row.op or row.case}`, {count(row.size)} elements"


def _trainings(result: Result) -> str:
    """Networks by lamina's backends, in µs a step."""
    mine = own_backends(result)
    rows = [row for row in timed(result.rows) if row.kind == "training" and row.backend in mine]
    if not rows:
        return ""
    known = [each["name"] for each in result.environment["backends"]]
    columns = [name for name in known if any(row.backend == name for row in rows)]
    several = len({row.dtype for row in rows}) > 1
    lines = []
    for (_, case, dtype), here in grouped(rows, lambda row: row.work).items():
        best = [fastest(row for row in here if row.backend == name) for name in columns]
        cells = [short(row.median * 1e6) if row else NONE for row in best]
        lines.append([f"{case}, {dtype}" if several else case, *cells])
    dtype = "" if several else f", {rows[0].dtype}"
    table = _table(["network", *columns], lines)
    return f"A training step (forward, backward, update{dtype}), µs:\n\n{table}"


def files(readme: Path) -> list[Path]:
    """The results that README's block names; none where it has no block, or an empty one."""
    _, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    inside, end, _ = rest.partition(END)
    if not (begin and end):
        return []
    return [readme.parent / name for name in re.findall(r"\]\(([^)]+\.json)\)", inside)]


def rewrite(readme: Path, paths: Sequence[Path]) -> None:
    """Puts the tables between README's marks. Raises: BadInput where it has none."""
    try:
        whole = readme.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{readme} cannot be read: {error.strerror}") from None
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise BadInput(f"{readme} has no block: add the lines {BEGIN} and {END} where it goes")
    inside = block(paths, readme.parent)
    write(readme, f"{before}{BEGIN}\n{inside}\n{END}{after}")
