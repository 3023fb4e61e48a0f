"""The sections as they lie here: their numbers, titles and cells, in jupytext's percent format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...kernels.errors import LaminaError, unknown

FOLDER = Path(__file__).resolve().parent.parent
TITLE = re.compile(r"# # ([\d., –]+) (.+)")
# `epochs = 5000  # reduced: 50` says what a quick run, and one on plain loops, takes instead
SIZE = re.compile(r"^(\w+) = (.+?)  # reduced: (.+)$", re.MULTILINE)
INSTALL = 'the course needs more: pip install "lamina[course]"'


@dataclass(frozen=True)
class Cell:
    """A piece of a section. kind: "markdown" or "code"."""

    kind: str
    source: str


@dataclass(frozen=True)
class Section:
    """A file of the course.

    path: of the file. number: of the course's sections that it is about, "2.8", "2.5–2.6", or
    "3.3, 3.5". title: in English.
    """

    path: Path
    number: str
    title: str

    @property
    def name(self) -> str:
        """The file's name, without its numbers: `vectorization`."""
        return re.sub(r"^s\d+_\d+_", "", self.path.stem)

    @property
    def spans(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """From where to where, to compare by."""
        ends = [part.split("–") for part in self.number.split(", ")]
        return [(order(each[0]), order(each[-1])) for each in ends]

    def about(self, number: str) -> bool:
        """Whether a section of the course, such as "2.6", is among those that it is about."""
        return any(low <= order(number) <= high for low, high in self.spans)

    def cells(self) -> list[Cell]:
        """Words and code in their order. Raises: LaminaError without jupytext."""
        try:
            import jupytext
        except ImportError:
            raise LaminaError(INSTALL) from None
        found = jupytext.reads(self.path.read_text(encoding="utf-8"), fmt="py:percent")
        return [Cell(cell.cell_type, cell.source) for cell in found.cells]


def order(number: str) -> tuple[int, ...]:
    """`2.10` as (2, 10), to compare by."""
    return tuple(int(part) for part in number.split("."))


def sections() -> list[Section]:
    """All of them, in the course's order."""
    found = []
    for path in FOLDER.glob("s[0-9]*.py"):
        with path.open(encoding="utf-8") as file:
            next(file)
            said = TITLE.match(next(file))
        assert said is not None, path
        found.append(Section(path, said[1], said[2].strip()))
    return sorted(found, key=lambda one: (one.spans[0], one.path.stem))


def chosen(names: Sequence[str]) -> list[Section]:
    """The sections of these numbers ("2.8"), chapters ("2"), names ("vectorization"), or "all".

    Raises: UnknownName.
    """
    every, found = sections(), []
    for name in names:
        number = re.fullmatch(r"\d+\.\d+", name) is not None
        own = [
            one
            for one in every
            if name in ("all", one.name, one.path.stem, one.number.split(".")[0])
            or (number and one.about(name))
        ]
        if not own:
            known = [*dict.fromkeys(one.number for one in every), *(one.name for one in every)]
            raise unknown("section", name, (*known, "all"))
        found += [one for one in own if one not in found]
    return found


def reduced(source: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """A cell's code in its reduced size, and what that changes: name -> (whole, reduced)."""
    changed = {name: (whole, small) for name, whole, small in SIZE.findall(source)}
    return SIZE.sub(r"\1 = \3", source), changed
