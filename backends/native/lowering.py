"""From a program to tasks: which steps compute each instruction, on which memory, in which share.

Every instruction becomes rows of tasks, one task (or none) for each share of the work. A task
says what it reads and writes, so that `stretches` can find where the shares must wait for each
other. An instruction that no rule knows is left to the walker.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from ...kernels.llvm.library import Code
from ...kernels.memory import Address
from ...kernels.numba.native.register_tile import BYTES, WIDE
from ...kernels.spec import ITEMSIZE, Dim, length
from ..program import Instruction, Program, ValueId
from .spans import ByteCount, Cut, Span, moved, span

SHARED_ELEMENTS = 4096  # below this an elementwise step is not worth the barrier it may cost


def bits(number: float) -> int:
    """A float64 as the integer that stands in a record's slot."""
    return int(np.float64(number).view(np.int64))


@dataclass
class Task:
    """One step on one share.

    record: its slots, as plain integers. batch: slot -> (column, offset), for addresses inside a
        batch column, which `load` fills in. scratch: slot -> bytes that its share alone uses, while
        it runs. owner: the position of the instruction that it belongs to, or -1.
    """

    step: str
    record: list[int]
    reads: list[Span] = field(default_factory=list)
    writes: list[Span] = field(default_factory=list)
    batch: dict[int, tuple[str, ByteCount]] = field(default_factory=dict)
    scratch: dict[int, ByteCount] = field(default_factory=dict)
    owner: int = -1
    code: Code | None = None


Shares = list[Task | None]


@dataclass(frozen=True)
class Memory:
    """Where a program's values lie.

    columns: of the batch columns' buffers. control: of the control block. now: the address of each
        share's now-record. scratch: gives that many bytes that nobody else uses. panels: gives a
        parameter a second place, which all programs of its state share. blas: of a routine.
    """

    address: Mapping[ValueId, Address]
    columns: Mapping[str, Span]
    control: Address
    now: list[Address]
    scratch: Callable[[ByteCount], Address]
    panels: Callable[[ValueId], Address]
    blas: Callable[[str], Address]


class Lowering:
    """The tasks of one program for one number of rows and of shares."""

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
        self.transposes: dict[ValueId, Address] = {}
        self.preparation: list[Shares] = []  # what is done once, as long as the parameters stay
        self.epilogue: list[Shares] = []  # what is done between the last gradient and the update
        self.blocks: dict[tuple[int, str], Span] = {}  # of a share and a use
        self.owner = -1  # the position of the instruction that is being lowered
        self.instructions = [one for _, one in program.instructions()]

    # Helpers

    def bytes(self, elements: int) -> ByteCount:
        """The size of so many elements of the program's dtype."""
        return ByteCount(elements * self.item)

    def cuts(self, count: int, work: float, multiple: int = 1) -> list[Cut]:
        """The part of `count` items for each share; all for the first where there is little."""
        if self.shares == 1 or work < SHARED_ELEMENTS:
            return [(0, count)] + [(0, 0)] * (self.shares - 1)
        units = -(-count // multiple)
        marks = [min(units * s // self.shares * multiple, count) for s in range(self.shares + 1)]
        return list(pairwise(marks))

    def weight_cuts(self, rows: int, work: float) -> list[Cut]:
        """The rows of a weight whose gradient each share computes."""
        return self.cuts(rows, work, 16 if rows >= 64 else 1)

    def bias_cuts(self, columns: int) -> list[Cut]:
        """The part of a bias whose gradient each share computes."""
        return self.cuts(columns, self.rows * columns if columns >= 32 else 0, 16)

    def owned(self) -> Iterator[list[Cut]]:
        """Ranges of the flat parameters, one for each share at a time, together all of them.

        Each share updates what it computed the gradient of, which its own cache still holds.
        """
        ranges: list[list[Cut]] = [[] for _ in range(self.shares)]
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

    def at(self, id: ValueId) -> Address:
        """A value's address."""
        return self.memory.address[id]

    def task(self, step: str, record: list[int], reads: list[Span], writes: list[Span]) -> Task:
        """A task, with the slots found that hold addresses of batch columns."""
        made = Task(step, record, reads, writes, owner=self.owner)
        starts = {read.start for read in reads}
        for slot, value in enumerate(record):
            if value not in starts:
                continue
            for name, column in self.memory.columns.items():
                if column.start <= value < column.stop:
                    made.batch[slot] = (name, ByteCount(value - column.start))
        return made

    def whole(self, id: ValueId) -> Span:
        """All of a value's memory."""
        spec = self.specs[id]
        return span(self.at(id), ByteCount(length(spec) * ITEMSIZE[spec.dtype]))

    def part(self, id: ValueId, start: int, stop: int) -> Span:
        """Rows of a value's memory."""
        whole = self.whole(id)
        row = whole.size // max(self.size(id, 0), 1) if self.specs[id].rank else 0
        first = moved(whole.start, ByteCount(start * row))
        return span(first, ByteCount((stop - start) * row))

    def flat(
        self, step: str, ids: tuple[ValueId, ...], out: ValueId, tail: Callable[..., list[int]]
    ) -> Iterator[Shares]:
        """One step over all elements. tail: (ids' addresses, elements, out's address) -> record."""
        count = length(self.specs[out])
        row: Shares = []
        for start, stop in self.cuts(count, count, 16):
            if stop == start:
                row.append(None)
                continue
            places = [moved(self.at(i), self.bytes(start)) for i in ids]
            target = moved(self.at(out), self.bytes(start))
            size = self.bytes(stop - start)
            row.append(
                self.task(
                    step, tail(places, stop - start, target), [span(p, size) for p in places],
                    [span(target, size)],
                )
            )  # fmt: skip
        yield row

    def rowwise(
        self,
        step: str,
        ids: tuple[ValueId, ...],
        outs: tuple[ValueId, ...],
        record: Callable[[list[Address], int, list[Address]], list[int]],
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
            made = record([r.start for r in reads], stop - start, [w.start for w in writes])
            row.append(self.task(step, made, reads, writes))
        yield row

    def first(self, step: str, record: list[int], reads: list[Span], writes: list[Span]) -> Shares:
        """A step of the first share alone."""
        return self.alone(self.task(step, record, reads, writes))

    def alone(self, task: Task) -> Shares:
        """A task of the first share alone."""
        return [task, *[None] * (self.shares - 1)]

    def one(self) -> Address:
        """The address of the number one in the program's dtype."""
        place = self.memory.scratch(ByteCount(8))
        kind = ctypes.c_float if self.item == 4 else ctypes.c_double
        kind.from_address(place).value = 1.0
        return place

    def real_matrices(self, *ids: ValueId) -> bool:
        """Whether values are matrices of the program's dtype."""
        return all(
            self.specs[i].rank == 2 and self.specs[i].dtype == self.program.dtype for i in ids
        )

    def reals(self, *ids: ValueId) -> bool:
        """Whether values are of the program's dtype and of one shape."""
        shape = self.specs[ids[0]].shape
        return all(
            self.specs[i].dtype == self.program.dtype and self.specs[i].shape == shape for i in ids
        )

    def size(self, id: ValueId, axis: int) -> int:
        """A dimension of a value."""
        return int(self.specs[id].shape[axis])  # type: ignore[arg-type]

    def parameter(self, w: ValueId) -> bool:
        """Whether a value is a parameter, and not computed from some in each step."""
        return self.program.values[w].kind == "parameter"

    def transposed(self, w: ValueId) -> Address:
        """The address of a weight's transpose in panels, see `pack_transposed`.

        Made at the start of each step if it is a parameter; one that the step computes is
        transposed where it is first needed.
        """
        if w not in self.transposes:
            place = self.memory.scratch(self.bytes(length(self.specs[w])))
            cuts = self.cuts(self.size(w, 0), length(self.specs[w]), self.wide)
            row = [self.transpose(w, part, place) for part in cuts]
            (self.prologue if self.parameter(w) else self.before).append(row)
            self.transposes[w] = place
        return self.transposes[w]

    def transpose(self, w: ValueId, rows: Cut, place: Address) -> Task | None:
        """Transposes rows of a weight into their part of the panels at `place`."""
        (start, stop), columns = rows, self.size(w, 1)
        if start == stop:
            return None
        read = self.part(w, start, stop)
        write = span(moved(place, self.bytes(start * columns)), read.size)
        record = [read.start, columns, stop - start, columns, write.start]
        return self.task("pack_transposed", record, [read], [write])

    def packed(self, w: ValueId) -> Address:
        """The address of a parameter's whole panels, which are made in the preparation."""
        place, columns, wide = self.memory.panels(w), self.size(w, 1), self.wide
        row: Shares = []
        for start, stop in self.cuts(columns // wide, length(self.specs[w])):
            panel = self.size(w, 0) * wide
            record = [self.at(w), columns, self.size(w, 0), start * wide, stop * wide, place]
            first = moved(place, self.bytes(start * panel))
            written = [span(first, self.bytes((stop - start) * panel))]
            made = self.task("pack", record, [self.whole(w)], written)
            row.append(None if start == stop else made)
        self.preparation.append(row)
        return place

    def count(self, length: Dim) -> int:
        """A dimension, for these rows."""
        return length if isinstance(length, int) else length.factor * self.rows

    # Instructions

    def finished(
        self, position: int, lower: Callable[[], Iterable[Shares] | None]
    ) -> list[Shares] | None:
        """Tasks with their owner, what must be done before them, and memory of their own."""
        self.owner = position
        found = lower()
        if found is None:
            self.owner = -1
            return None
        rows = list(found)  # a rule may be a generator, which makes its tasks now
        self.owner = -1
        rows, self.before = [*self.before, *rows], []
        for row in rows:
            for share, task in enumerate(row):
                if task is not None:
                    for slot, size in task.scratch.items():
                        task.record[slot] = self.block(share, size, f"{task.step} {slot}")
        return rows

    def block(self, share: int, size: ByteCount, use: str) -> Address:
        """Memory of a share's alone, for what it makes and uses before it asks for some again."""
        had = self.blocks.get((share, use))
        if had is None or had.size < size:
            had = self.blocks[share, use] = span(self.memory.scratch(size), size)
        return had.start


def optional(one: Instruction, index: int) -> ValueId | None:
    """An input, or None where it was left out."""
    return one.inputs[index] if index < len(one.inputs) else None


Rule = Callable[[Lowering, Instruction, dict[str, Any]], Iterator[Shares] | None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers how operations become steps; `rules.py` lists the modules that do."""

    def register(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, f"two rules lower {name}"
            RULES[name] = function
        return function

    return register


def stretches(rows: list[Shares], shares: int) -> list[list[Shares]]:
    """Cuts rows of tasks where one share touches what another one has written, or is to write."""
    found: list[list[Shares]] = [[]]
    reads: list[list[Span]] = [[] for _ in range(shares)]
    writes: list[list[Span]] = [[] for _ in range(shares)]
    for row in rows:
        if shares > 1 and _clash(row, reads, writes):
            found.append([])
            reads, writes = [[] for _ in range(shares)], [[] for _ in range(shares)]
        found[-1].append(row)
        for share, task in enumerate(row):
            if task is not None:
                reads[share] += task.reads
                writes[share] += task.writes
    return found


def _clash(row: Shares, reads: list[list[Span]], writes: list[list[Span]]) -> bool:
    for share, task in enumerate(row):
        if task is None:
            continue
        for other in range(len(row)):
            if other != share and (
                _meet(task.reads, writes[other])
                or _meet(task.writes, writes[other])
                or _meet(task.writes, reads[other])
            ):
                return True
    return False


def _meet(some: list[Span], others: list[Span]) -> bool:
    return any(a < d and c < b for a, b in some for c, d in others)
