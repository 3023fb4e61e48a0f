"""From a program to tasks: which steps compute each instruction, on which memory, in which share.

Every instruction becomes rows of tasks, one task (or none) for each share of the work. A task
says what it reads and writes, so that `stretches` can find where the shares must wait for each
other. Where no rule takes an instruction, `instructions.py` has code generated for it.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from ...kernels import thresholds
from ...kernels.memory import Address
from ...kernels.numba.native.register_tile import BYTES, WIDE
from ...kernels.spec import FLOATS, ITEMSIZE, Dim, Spec, length
from ...kernels.thresholds import Thresholds
from .. import bounds
from ..program import Instruction, Program, ValueId
from .joined import Joined
from .spans import ByteCount, Cut, Span, moved, span
from .tasks import Look, Shares, Task

SHARED_ELEMENTS = 4096  # below this an elementwise step is not worth the barrier it may cost


def bits(number: float) -> int:
    """A float64 as the integer that stands in a record's slot."""
    return int(np.float64(number).view(np.int64))


@dataclass(frozen=True)
class Memory:
    """Where a program's values lie.

    columns: of the batch columns' buffers. control: of the control record. now: the address of each
        share's now-record. scratch: gives that many bytes that nobody else uses. panels: gives a
        parameter a second place, which all programs of its state share. blas: of a routine for a
        dtype.
    """

    address: Mapping[ValueId, Address]
    columns: Mapping[str, Span]
    control: Address
    now: list[Address]
    scratch: Callable[[ByteCount], Address]
    panels: Callable[[ValueId], Address]
    blas: Callable[[str, str], Address]


class Lowering:
    """The tasks of one program for one number of rows and of shares.

    A rule is given it as its operation needs it: for arrays of another dtype than the program's
    (`typed`), for values of any rank as matrices (`folded`), for values that lie elsewhere
    (`places`). All see the same program and the same lists of tasks.
    """

    def __init__(
        self, program: Program, memory: Memory, rows: int, shares: int,
        found: Thresholds | None = None,
    ) -> None:  # fmt: skip
        self.program = program
        self.memory = memory
        self.rows = rows
        self.shares = shares
        self.thresholds = found or thresholds.current()
        self.dtype = program.dtype  # of the arrays that the steps work on
        self.specs = [v.spec.at(rows) for v in program.values]
        self.places: dict[ValueId, Address] = {}  # of values that stand elsewhere for a rule
        self.computed = bounds.computed(program, rows)
        self.looks: list[Look] = []
        self.indices: dict[tuple[ValueId, int], Address] = {}  # as int32
        self.prologue: list[Shares] = []  # what is done before the first instruction
        self.before: list[Shares] = []  # what is done before the instruction that is being lowered
        self.transposes: dict[ValueId, Address] = {}
        self.preparation: list[Shares] = []  # what is done once, as long as the parameters stay
        self.epilogue: list[Shares] = []  # what is done between the last gradient and the update
        self.blocks: dict[tuple[int, str], Span] = {}  # of a share and a use
        self.updated: Cut | None = None  # of the flat parameters, what this process updates; all
        self.owner = -1  # the position of the instruction that is being lowered
        self.instructions = [one for _, one in program.instructions()]
        self.joined = Joined(program)

    # Views

    @property
    def item(self) -> int:
        """Bytes of an element."""
        return ITEMSIZE[self.dtype]

    @property
    def wide(self) -> int:
        """Columns of a panel."""
        return WIDE * BYTES // self.item

    def typed(self, dtype: str) -> Lowering:
        """The same for steps on arrays of that dtype."""
        made = copy(self)
        made.dtype = dtype
        return made

    def real(self, one: Instruction) -> Lowering:
        """The same for the floating dtype that an instruction computes with, if there is one."""
        kinds = [self.specs[i].dtype for i in (*one.outputs, *one.inputs) if i is not None]
        return self.typed(next((kind for kind in kinds if kind in FLOATS), self.dtype))

    def at_place(self, id: ValueId, place: Address, dtype: str) -> Lowering:
        """The same with a value that lies elsewhere, in that dtype."""
        made = self.shaped({})
        made.specs[id] = Spec(self.specs[id].shape, dtype)
        made.places = {**self.places, id: place}
        return made

    def shaped(self, shapes: Mapping[ValueId, tuple[int, ...]]) -> Lowering:
        """The same with values seen in other shapes, whose elements lie as they did."""
        made = copy(self)
        made.specs = list(self.specs)
        for id, shape in shapes.items():
            made.specs[id] = Spec(shape, self.specs[id].dtype)
        return made

    def folded(self, one: Instruction) -> Lowering:
        """The same with the leading axes of an instruction's arrays joined to one of rows."""
        ids = [i for i in (*one.inputs, *one.outputs) if i is not None and self.specs[i].rank]
        shapes = {i: tuple(self.size(i, axis) for axis in range(self.specs[i].rank)) for i in ids}
        return self.shaped({i: (math.prod(s[:-1]), s[-1]) for i, s in shapes.items()})

    # Helpers

    def bytes(self, elements: int) -> ByteCount:
        """The size of so many elements of the dtype."""
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

        Each share updates what it computed the gradient of, which its own cache still holds; but
        what several processes have summed lies in the cache of who did.
        """
        if self.updated is not None:
            start, stop = self.updated
            cuts = self.cuts(stop - start, stop - start, 16)
            yield [(start + first, start + last) for first, last in cuts]
            return
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
        return self.places.get(id) or self.memory.address[id]

    def task(self, step: str, record: list[int], reads: list[Span], writes: list[Span]) -> Task:
        """A task, with the slots found that hold addresses of batch columns."""
        made = Task(step, record, reads, writes, owner=self.owner, dtype=self.dtype)
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

    def ones(self, count: int = 1) -> Address:
        """The address of so many times the number one, which nobody writes."""
        place = self.memory.scratch(self.bytes(count))
        kind = ctypes.c_float if self.item == 4 else ctypes.c_double
        (kind * count).from_address(place)[:] = [1.0] * count
        return place

    def reals(self, *ids: ValueId) -> bool:
        """Whether values are of the dtype and of one shape."""
        shape = self.specs[ids[0]].shape
        return all(self.specs[i].dtype == self.dtype and self.specs[i].shape == shape for i in ids)

    def blas(self, routine: str) -> Address:
        """The address of a BLAS routine."""
        return self.memory.blas(routine, self.dtype)

    def clear(self, *ids: ValueId) -> Iterator[Shares]:
        """Zeros in the memory of values."""
        for whole in map(self.whole, ids):
            if whole.size:
                yield self.first("clear", [whole.start, whole.size], [], [whole])

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
        rows = [*self.before, *rows]
        self.before.clear()
        for row in rows:
            for share, task in enumerate(row):
                if task is not None:
                    for slot, size in task.scratch.items():
                        task.record[slot] = self.block(share, size, f"{task.step} {slot}")
        return rows

    def full(self, one: Instruction) -> bool:
        """Whether there are elements in all of an instruction's arrays."""
        ids = (*one.inputs, *one.outputs)
        return all(length(self.specs[i]) for i in ids if i is not None)

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
TAKES_EMPTY: set[str] = set()  # operations that are more than sums, which over nothing are zeros


def rule(*names: str, empty: bool = False) -> Callable[[Rule], Rule]:
    """Registers how operations become steps; `rules.py` lists the modules that do.

    empty: the rule is asked for empty arrays too; else what is left of the outputs becomes zeros.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, f"two rules lower {name}"
            RULES[name] = function
            if empty:
                TAKES_EMPTY.add(name)
        return function

    return register
