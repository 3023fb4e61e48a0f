"""What the columns of a matrix of features are: which the network scales, which hold codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...kernels.errors import BadInput


@dataclass(frozen=True)
class Columns:
    """The columns of features from left to right: numbers, then one-hot, then codes.

    numeric: how many leading columns hold numbers, which the network scales. one_hot: how many
        follow that are 0 or 1. embedded: of each of the last columns, how many codes it has: from
        0, which is an unseen or missing word.
    sources: for each column, the table's column that it is of.
    """

    numeric: int
    one_hot: int = 0
    embedded: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()

    @classmethod
    def of(cls, encoding: Any) -> Columns:
        """What an encoding of a table says of its features."""
        used = encoding.used
        numbers = [column.name for column in used for _ in column.numbers]
        words = [column.name for column in used for _ in column.one_hot]
        codes = [column.name for column in used if column.embedded]
        return cls(len(numbers), len(words), encoding.embedded, (*numbers, *words, *codes))

    @property
    def width(self) -> int:
        """How many columns there are."""
        return self.numeric + self.one_hot + len(self.embedded)

    def check(self, width: int) -> None:
        """Raises BadInput where a matrix has another number of columns."""
        if width != self.width:
            raise BadInput(
                f"the features have {width} columns, but {self.numeric} numbers, {self.one_hot}"
                f" one-hot columns and {len(self.embedded)} of codes make {self.width}"
            )

    def groups(self) -> dict[str, list[int]]:
        """The table's columns, and the features that each became."""
        found: dict[str, list[int]] = {}
        for number in range(self.width):
            name = self.sources[number] if self.sources else f"x{number}"
            found.setdefault(name, []).append(number)
        return found
