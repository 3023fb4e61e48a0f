"""What generated code is made from, as plain data: its text is the name under which it is kept.

A chain of operations sees every value as a matrix (rows, columns): "full" has all its elements,
"row" one for each row, "column" one for each column, "scalar" one. Numbers of rows and columns are
no part of it: one piece of code serves them all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .spec import Extent


@dataclass(frozen=True)
class Operand:
    """A value of a chain. known: the number, where it is one that never changes."""

    extent: Extent
    dtype: str
    known: Any = None


@dataclass(frozen=True)
class Statement:
    """One operation on operands, which are named by their positions.

    op: of the table, on elements; or "copy"; or "sum", "mean", "max", which have an attribute
        `over`; "one_hot" and "pick", of which the labels are a row.
    """

    op: str
    inputs: tuple[int, ...]
    output: int
    attrs: tuple[tuple[str, Any], ...] = ()

    @property
    def over(self) -> str:
        """What a reduction runs over; "" of other operations."""
        return "columns" if self.op == "pick" else dict(self.attrs).get("over", "")


@dataclass(frozen=True)
class Chain:
    """A chain that goes over memory once.

    inputs, outputs: operands that lie in memory, in the order of a record's addresses. An output
    that is summed down the rows is a partial sum there, see `llvm/code.py`. width: columns in a
    vector. lanes: rows in a block. past: outputs go to memory past the caches, and what the next
    block reads is asked for ahead.
    """

    operands: tuple[Operand, ...]
    statements: tuple[Statement, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    width: int
    lanes: int
    past: bool = False

    @cached_property
    def name(self) -> str:
        """Letters and digits that say all of it."""
        return "f" + hashlib.sha256(repr(self).encode()).hexdigest()[:24]

    @property
    def flat(self) -> bool:
        """Whether rows and columns make no difference: one long row."""
        shaped = any(o.extent in ("row", "column") for o in self.operands)
        placed = any(s.op == "one_hot" or s.over in ("columns", "rows") for s in self.statements)
        return not shaped and not placed

    @cached_property
    def makers(self) -> dict[int, Statement]:
        """The statement that makes an operand."""
        return {s.output: s for s in self.statements}

    @cached_property
    def phases(self) -> dict[int, int]:
        """In which walk along a row's columns an operand is first known.

        A reduction along the columns is known to the walk after the one that made it. What is of
        one number a row is made before a walk.
        """
        found = dict.fromkeys(range(len(self.operands)), 0)
        for one in self.statements:
            before = max((found[i] for i in one.inputs), default=0)
            crosses = one.over == "columns" and self.operands[one.inputs[0]].extent == "full"
            found[one.output] = before + crosses
        return found

    def summed(self, output: int) -> str:
        """What an output is a partial result over: "rows", "all" or ""."""
        maker = self.makers.get(output)
        return maker.over if maker is not None and maker.over in ("rows", "all") else ""
