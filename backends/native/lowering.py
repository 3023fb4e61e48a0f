"""From a program to entries: which steps compute each instruction, on which memory, in which share.

Every instruction becomes rows of entries, one entry (or none) for each share of the work. An entry
says what it reads and writes, so that `stretches` can find where the shares must wait for each
other. An instruction that nothing here knows is left to the walker.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from ...kernels.numba.native.register_tile import BYTES, WIDE
from ...kernels.spec import ITEMSIZE, concrete_attrs, length
from ..program import Instruction, Program

Range = tuple[int, int]
SHARED_ELEMENTS = 4096  # below this an elementwise step is not worth the barrier it may cost


def bits(number: float) -> int:
    """A float64 as the integer that stands in a record's slot."""
    return int(np.float64(number).view(np.int64))


@dataclass
class Entry:
    """One step on one share.

    record: its slots; addresses are plain integers. batch: slot -> (column, offset in bytes), for
        addresses inside a batch column, which `load` fills in. reads, writes: ranges of addresses.
        rooms: slot -> bytes of a room that its share alone uses, while it runs.
    """

    step: str
    record: list[int]
    reads: list[Range] = field(default_factory=list)
    writes: list[Range] = field(default_factory=list)
    batch: dict[int, tuple[str, int]] = field(default_factory=dict)
    rooms: dict[int, int] = field(default_factory=dict)


Shares = list[Entry | None]


@dataclass(frozen=True)
class Memory:
    """Where a program's values lie.

    address: value id -> address. column: address of a batch column's buffer -> its name.
    now: the address of each share's now-record. control: of the control block.
    scratch: gives that many bytes that nobody else uses. panels: gives a parameter a second
        place, which all programs of its state share.
    """

    address: Mapping[int, int]
    columns: Mapping[str, Range]
    control: int
    now: list[int]
    scratch: Callable[[int], int]
    panels: Callable[[int], int]
    blas: Callable[[str], int]


class Lowering:
    """The entries of one program for one number of rows and of shares."""

    def __init__(self, program: Program, memory: Memory, rows: int, shares: int) -> None:
        self.program = program
        self.memory = memory
        self.rows = rows
        self.shares = shares
        self.item = ITEMSIZE[program.dtype]
        self.wide = WIDE * BYTES // self.item  # columns of a panel
        self.specs = [v.spec.at(rows) for v in program.values]
        self.prologue: list[Shares] = []  # what is done before the first instruction
        self.before: list[Shares] = []  # what is done before the instruction that is being lowered
        self.turned: dict[int, int] = {}
        self.ahead: list[Shares] = []  # what is done once, as long as the parameters stay
        self.epilogue: list[Shares] = []  # what is done between the last gradient and the update
        self.blocks: dict[tuple[int, str], Range] = {}  # of a share and a use: address, size

    # Helpers

    def cuts(self, count: int, work: float, multiple: int = 1) -> list[Range]:
        """The part of `count` items for each share; all for the first where there is little."""
        if self.shares == 1 or work < SHARED_ELEMENTS:
            return [(0, count)] + [(0, 0)] * (self.shares - 1)
        units = -(-count // multiple)
        marks = [min(units * s // self.shares * multiple, count) for s in range(self.shares + 1)]
        return list(pairwise(marks))

    def weight_cuts(self, rows: int, work: float) -> list[Range]:
        """The rows of a weight whose gradient each share computes."""
        return self.cuts(rows, work, 16 if rows >= 64 else 1)

    def bias_cuts(self, columns: int) -> list[Range]:
        """The part of a bias whose gradient each share computes."""
        return self.cuts(columns, self.rows * columns if columns >= 32 else 0, 16)

    def owned(self) -> Iterator[list[Range]]:
        """Ranges of the flat parameters, one for each share at a time, together all of them.

        Each share updates what it computed the gradient of, which its own cache still holds.
        """
        ranges: list[list[Range]] = [[] for _ in range(self.shares)]
        for entry in self.program.layout.entries:
            if entry.segment != "parameters":
                continue
            parts = [(0, entry.size)]
            if len(entry.shape) == 2:
                columns = entry.shape[1]
                cuts = self.weight_cuts(entry.shape[0], entry.size)
                parts = [(a * columns, b * columns) for a, b in cuts]
                if entry.shape[0] == 1:
                    parts = self.bias_cuts(columns)
            for own, (start, stop) in zip(ranges, parts, strict=False):
                start, stop = start + entry.offset, stop + entry.offset
                if own and own[-1][1] == start:
                    start = own.pop()[0]
                own.append((start, stop))
        for each in zip_longest(*ranges, fillvalue=(0, 0)):
            yield list(each)

    def at(self, id: int) -> int:
        """A value's address."""
        return self.memory.address[id]

    def entry(self, step: str, record: list[int], reads: list[Range], writes: list[Range]) -> Entry:
        """An entry, with the slots found that hold addresses of batch columns."""
        made = Entry(step, record, reads, writes)
        starts = {low for low, _ in reads}
        for slot, value in enumerate(record):
            if value not in starts:
                continue
            for name, (low, high) in self.memory.columns.items():
                if low <= value < high:
                    made.batch[slot] = (name, value - low)
        return made

    def whole(self, id: int) -> Range:
        """All of a value's memory."""
        spec = self.specs[id]
        return self.at(id), self.at(id) + length(spec) * ITEMSIZE[spec.dtype]

    def part(self, id: int, start: int, stop: int) -> Range:
        """Rows of a value's memory."""
        low, high = self.whole(id)
        row = (high - low) // max(self.size(id, 0), 1) if self.specs[id].rank else 0
        return low + start * row, low + stop * row

    def flat(
        self, step: str, ids: tuple[int, ...], out: int, tail: Callable[..., list[int]]
    ) -> Iterator[Shares]:
        """One step over all elements. tail: (ids' addresses, elements, out's address) -> record."""
        count = length(self.specs[out])
        row: Shares = []
        for start, stop in self.cuts(count, count, 16):
            if stop == start:
                row.append(None)
                continue
            places = [self.at(i) + start * self.item for i in ids]
            target = self.at(out) + start * self.item
            size = (stop - start) * self.item
            row.append(
                self.entry(
                    step, tail(places, stop - start, target), [(p, p + size) for p in places],
                    [(target, target + size)],
                )
            )  # fmt: skip
        yield row

    def rowwise(
        self,
        step: str,
        ids: tuple[int, ...],
        outs: tuple[int, ...],
        record: Callable[[list[int], int, list[int]], list[int]],
        work: float,
    ) -> Iterator[Shares]:
        """One step over rows. record: (addresses of ids, rows, addresses of outs) -> record."""
        row: Shares = []
        for start, stop in self.cuts(self.size(ids[0], 0), work):
            if stop == start:
                row.append(None)
                continue
            reads = [self.part(i, start, stop) for i in ids]
            writes = [self.part(o, start, stop) for o in outs]
            made = record([r[0] for r in reads], stop - start, [w[0] for w in writes])
            row.append(self.entry(step, made, reads, writes))
        yield row

    def first(
        self, step: str, record: list[int], reads: list[Range], writes: list[Range]
    ) -> Shares:
        """A step of the first share alone."""
        return self.alone(self.entry(step, record, reads, writes))

    def alone(self, entry: Entry) -> Shares:
        """An entry of the first share alone."""
        return [entry, *[None] * (self.shares - 1)]

    def one(self) -> int:
        """The address of the number one in the program's dtype."""
        place = self.memory.scratch(8)
        kind = ctypes.c_float if self.item == 4 else ctypes.c_double
        kind.from_address(place).value = 1.0
        return place

    def real_matrices(self, *ids: int) -> bool:
        """Whether values are matrices of the program's dtype."""
        return all(
            self.specs[i].rank == 2 and self.specs[i].dtype == self.program.dtype for i in ids
        )

    def reals(self, *ids: int) -> bool:
        """Whether values are of the program's dtype and of one shape."""
        shape = self.specs[ids[0]].shape
        return all(
            self.specs[i].dtype == self.program.dtype and self.specs[i].shape == shape for i in ids
        )

    def size(self, id: int, axis: int) -> int:
        """A dimension of a value."""
        return int(self.specs[id].shape[axis])  # type: ignore[arg-type]

    def parameter(self, w: int) -> bool:
        """Whether a value is a parameter, and not computed from some in each step."""
        return self.program.values[w].kind == "parameter"

    def transposed(self, w: int) -> int:
        """The address of a weight's transpose in panels, see `pack_turned`.

        Made at the start of each step if it is a parameter; one that the step computes is
        transposed where it is first needed.
        """
        if w not in self.turned:
            place = self.memory.scratch(length(self.specs[w]) * self.item)
            cuts = self.cuts(self.size(w, 0), length(self.specs[w]), self.wide)
            row = [self.turn(w, part, place) for part in cuts]
            (self.prologue if self.parameter(w) else self.before).append(row)
            self.turned[w] = place
        return self.turned[w]

    def turn(self, w: int, rows: Range, place: int) -> Entry | None:
        """Transposes rows of a weight into their part of the panels at `place`."""
        (start, stop), columns = rows, self.size(w, 1)
        if start == stop:
            return None
        read, size = self.part(w, start, stop), columns * self.item
        target = place + start * size
        record = [read[0], columns, stop - start, columns, target]
        return self.entry("pack_turned", record, [read], [(target, place + stop * size)])

    def packed(self, w: int) -> int:
        """The address of a parameter's whole panels, which are made ahead."""
        place, columns, wide = self.memory.panels(w), self.size(w, 1), self.wide
        row: Shares = []
        for start, stop in self.cuts(columns // wide, length(self.specs[w])):
            panel = self.size(w, 0) * wide * self.item
            record = [self.at(w), columns, self.size(w, 0), start * wide, stop * wide, place]
            written = [(place + start * panel, place + stop * panel)]
            made = self.entry("pack", record, [self.whole(w)], written)
            row.append(None if start == stop else made)
        self.ahead.append(row)
        return place

    # Instructions

    def lower(self, one: Instruction) -> list[Shares] | None:
        """The entries of an instruction, or None where no step computes it."""
        ids = one.inputs
        if any(i is None for i in ids[:-1]):
            return None
        attrs = concrete_attrs(one.attrs, self.rows)
        rule = RULES.get(one.op)
        if rule is None:
            return None
        if any(length(self.specs[i]) == 0 for i in (*ids, *one.outputs) if i is not None):
            return None
        found = rule(self, one, attrs)
        if found is None:
            return None
        rows = list(found)
        rows, self.before = [*self.before, *rows], []
        for row in rows:
            for share, entry in enumerate(row):
                if entry is not None:
                    for slot, size in entry.rooms.items():
                        entry.record[slot] = self.block(share, size, f"{entry.step} {slot}")
        return rows

    def block(self, share: int, size: int, use: str) -> int:
        """Memory of a share's alone, for what it makes and uses before it asks for some again."""
        place, had = self.blocks.get((share, use), (0, 0))
        if had < size:
            place = self.memory.scratch(size)
            self.blocks[share, use] = place, size
        return place


def optional(one: Instruction, index: int) -> int | None:
    """An input, or None where it was left out."""
    return one.inputs[index] if index < len(one.inputs) else None


Rule = Callable[[Lowering, Instruction, dict[str, Any]], Iterator[Shares] | None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers how operations become steps."""

    def register(function: Rule) -> Rule:
        for name in names:
            RULES[name] = function
        return function

    return register


def stretches(rows: list[Shares], shares: int) -> list[list[Shares]]:
    """Cuts rows of entries where one share touches what another one has written, or is to write."""
    found: list[list[Shares]] = [[]]
    reads: list[list[Range]] = [[] for _ in range(shares)]
    writes: list[list[Range]] = [[] for _ in range(shares)]
    for row in rows:
        if shares > 1 and _clash(row, reads, writes):
            found.append([])
            reads, writes = [[] for _ in range(shares)], [[] for _ in range(shares)]
        found[-1].append(row)
        for share, entry in enumerate(row):
            if entry is not None:
                reads[share] += entry.reads
                writes[share] += entry.writes
    return found


def _clash(row: Shares, reads: list[list[Range]], writes: list[list[Range]]) -> bool:
    for share, entry in enumerate(row):
        if entry is None:
            continue
        for other in range(len(row)):
            if other != share and (
                _meet(entry.reads, writes[other])
                or _meet(entry.writes, writes[other])
                or _meet(entry.writes, reads[other])
            ):
                return True
    return False


def _meet(some: list[Range], others: list[Range]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
