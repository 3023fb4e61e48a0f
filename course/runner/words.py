"""The words of the course in another language; numbers stay those that were measured.

English is what the sections say. `course/chinese/` has a file of the same name for each: its title,
its cells of text in their order, and words of pictures and printed lines, where `#` stands for a
number (`#2` for the second one, where the order is another).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...kernels.errors import unknown
from .section import FOLDER, Section

FOLDERS = {"en": None, "zh": "chinese"}
NAMES = (  # of things that are the same in every language
    "sigmoid", "tanh", "relu", "leaky_relu", "logistic", "identity", "loops", "numpy", "numba",
    "cupy", "Xavier", "He", "ReLU", "dW1", "db1", "dW2", "db2", "nan", "inf",
)  # fmt: skip
NUMBER = re.compile(r"(?<![\w#])[-−+±]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
BOTH = re.compile(rf"{NUMBER.pattern}|\b(?:{'|'.join(NAMES)})\b")
WORD = re.compile(r"[A-Za-z]{2,}")


def template(text: str, what: re.Pattern[str] = NUMBER) -> tuple[str, list[str]]:
    """A line with # for each number, or for what else is given, and these.

    >>> template("4 hidden units: -0.5 %")
    ('# hidden units: # %', ['4', '-0.5'])
    """
    return what.sub("#", text), what.findall(text)


def filled(pattern: str, numbers: list[str]) -> str:
    """A pattern with its numbers, in their order or by their place.

    >>> filled("# of #", ["1", "2"]), filled("#2 of #1", ["1", "2"])
    ('1 of 2', '2 of 1')
    """
    left = iter(numbers)
    return re.sub(r"#(\d?)", lambda m: numbers[int(m[1]) - 1] if m[1] else next(left), pattern)


class Words:
    """What a section says, in one language.

    section: whose words, None for the page around all. language: "en" or "zh". missing: what was
    asked for and has no translation.
    """

    def __init__(self, section: Section | None, language: str) -> None:
        if language not in FOLDERS:
            raise unknown("language", language, tuple(FOLDERS))
        self.section, self.language, self.missing = section, language, list[str]()
        folder = FOLDERS[language]
        self.own = _read(folder, section.path.stem) if folder and section else {}
        common = _read(folder, "common") if folder else {}
        self.known: Mapping[str, str] = {**common.get("words", {}), **self.own.get("words", {})}
        self.kept = set(common.get("kept", ())) | set(self.own.get("kept", ()))

    @property
    def title(self) -> str:
        """The section's."""
        assert self.section is not None
        return str(self.own.get("title", self.section.title))

    def text(self, place: int, english: str) -> str:
        """The cell of text number `place`, from 0, which in English is this."""
        if self.language == "en":
            return english
        texts = self.own.get("text", ())
        if place >= len(texts):
            self.missing.append(english)
            return english
        return str(texts[place]).strip()

    def line(self, english: str) -> str:
        """A line of print, a label or a caption; cells of a table are apart by tabs."""
        if self.language == "en" or not WORD.search(english) or english.startswith("$\\math"):
            return english  # ticks of logarithmic axes are formulas
        return "\t".join(self._phrase(part) for part in english.split("\t"))

    def _phrase(self, english: str) -> str:
        text = english.strip()
        for what in (NUMBER, BOTH):  # a name may be a word of the sentence
            pattern, found = template(text, what)
            if pattern in self.known:
                return english.replace(text, filled(self.known[pattern], found))
        if not set(WORD.findall(pattern)) <= self.kept:
            self.missing.append(text)
        return english


def _read(folder: str, name: str) -> dict[str, Any]:
    path = Path(FOLDER / folder / f"{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
