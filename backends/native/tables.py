"""A native program's tables for one number of rows: where values lie, and what runs when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from ...kernels import thresholds
from ...kernels.llvm import library
from ...kernels.memory import Address, address, aligned
from ...kernels.numba.native import build, compiled, interpreter, slots
from ...kernels.spec import ITEMSIZE, concrete_attrs, length
from .. import threads
from ..buffers import Buffers, even_weights
from ..contract import Backend
from ..device import Array
from ..dispatch import Call, resolve
from ..program import Instruction, Program, Region, ValueId
from ..state import State
from .instructions import lower
from .lowering import Lowering, Memory
from .sharing import Sharing
from .spans import ByteCount, moved, span
from .tasks import Look, Shares, Task, stretches

# Slots of the record of `load` that are looked at here.
COLUMN, GATHERED, PATCHES, PATCH_COUNT = 2, 7, 8, 9


@dataclass(frozen=True)
class Stretch:
    """Native steps between two calls of the walker, as the tables that the loop reads.

    tasks: all shares', one behind the other. starts: (shares, stretches + 1), the first of each.
    """

    table: np.ndarray
    address: Address
    kept: list[np.ndarray]
    tasks: list[Task]
    starts: np.ndarray


@dataclass(frozen=True)
class Walked:
    """An instruction that Python calls."""

    call: Call
    instruction: Instruction


@dataclass
class Section:
    """Rows of tasks that become one stretch, while they are collected.

    prepared: how many of them prepare what stays while the parameters do; check, guarded: the rows
    that may ask for a stop; update: the first row of the update.
    """

    rows: list[Shares] = field(default_factory=list)
    prepared: int = 0
    check: int | None = None
    guarded: int | None = None
    update: int | None = None


@dataclass(frozen=True)
class Placed:
    """A task of one share, and its record in the memory that its step reads."""

    task: Task
    record: np.ndarray


@dataclass
class NativePlan:
    """A program made ready for one number of rows.

    mailboxes: where the addresses of the helpers' stand, for one run. prepares: whether something
    is done once while the parameters stay the same; version: of those it was done for. blas:
    whether a step calls BLAS, whose threads must then be held. kept: memory that records point to.
    lowered: the tasks of each instruction, None where it has none. together: regions that run as
    one, whose tasks are those of their first instruction. looks: what looks at indices, in the
    order of the program.
    """

    rows: int
    shares: int
    nows: np.ndarray
    mailboxes: Any
    mailboxes_address: Address
    parts: list[Stretch | Walked] = field(default_factory=list)
    lowered: list[list[Shares] | None] = field(default_factory=list)
    together: tuple[Region, ...] = ()
    looks: list[Look] = field(default_factory=list)
    prepares: bool = False
    version: tuple[int, int] | None = None
    blas: bool = False
    kept: list[np.ndarray] = field(default_factory=list)
    addresses: dict[ValueId, Address] = field(default_factory=dict)
    arrays: dict[ValueId, Array] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether batches need nothing but native code."""
        return len(self.parts) == 1 and isinstance(self.parts[0], Stretch)

    def told(self, program: Program) -> list[tuple[str, str, str]]:
        """(stage, operation, how it is run) for every instruction."""
        later = {at for one in self.together for at in range(one.start + 1, one.stop)}
        lines = []
        for at, (stage, one) in enumerate(program.instructions()):
            rows, how = self.lowered[at], "walked: no native step"
            if at in later:
                how = "native: with the one before"
            elif rows is not None:
                names = dict.fromkeys(t.step for row in rows for t in row if t is not None)
                shares = max((sum(t is not None for t in row) for row in rows), default=1)
                split = f", in {shares} shares" if shares > 1 else ""
                how = f"native: {' + '.join(names) or 'no work'}{split}"
            lines.append((stage, one.op, how))
        return lines


class Tables:
    """Makes the plans of one program on its state and its buffers."""

    def __init__(
        self, backend: Backend, program: Program, state: State, control_address: Address
    ) -> None:
        self.backend, self.program, self.state = backend, program, state
        self.thresholds = thresholds.current()
        self.control_address = control_address
        self.buffers = Buffers(backend, program, state)
        self.columns = [name for name in program.columns if name != "weights"]
        self.sharing = Sharing(program, state, self.buffers.given)

    def plan(self, rows: int, weighted: bool, shares: int) -> NativePlan:
        """The tables for batches of so many rows."""
        program, mailboxes = self.program, aligned(shares, "int64")
        nows = aligned(shares * slots.NOW_SLOTS, "int64")
        plan = NativePlan(rows, shares, nows, memoryview(mailboxes.data), address(mailboxes))
        plan.kept.append(mailboxes)
        self._addresses(plan, weighted)
        low = self._lower(plan)
        if any(found is None for found in plan.lowered) and plan.shares > 1:
            plan.shares = 1
            low = self._lower(plan)
        lowered, plan.looks = plan.lowered, low.looks
        mixed = any(found is None for found in lowered)
        plan.prepares = bool(low.preparation)
        section = Section(prepared=len(low.preparation))
        section.rows += [*low.preparation, *self._loads(low, plan, weighted, mixed), *low.prologue]
        updates = len(program.forward) + len(program.backward)
        for position, (_, one) in enumerate(program.instructions()):
            if position == len(program.forward) and program.sums:
                section.check = len(section.rows)
                section.rows.append(self._account(low))
            if position == updates:
                section.rows += [*low.epilogue, *self.sharing.before_update(low)]
                section.update = len(section.rows)
                section.guarded = section.update - 1
            found = lowered[position]
            if found is not None:
                section.rows += found
                continue
            self._close(plan, section)
            section = Section()
            specs = [None if s is None else s.at(rows) for s in program.specs(one)]
            attrs, trusted = concrete_attrs(one.attrs, rows), position not in program.computed
            call = resolve(self.backend, one.op, specs, attrs, trusted=trusted)
            plan.parts.append(Walked(call, one))
        if len(program.forward) == updates + len(program.update) and program.sums:
            section.check = len(section.rows)
            section.rows.append(self._account(low))
        section.rows += [*self.sharing.after_update(low), *self._stores(low, plan)]
        self._close(plan, section)
        return plan

    def _addresses(self, plan: NativePlan, weighted: bool) -> None:
        """Where every value lies, and arrays over it for the walker."""
        program, rows = self.program, plan.rows
        for value in program.values:
            if value.kind == "control":
                continue
            if value.source == "weights" and value.kind == "batch" and not weighted:
                array = even_weights(rows, value.spec.dtype)
            else:
                array = self.buffers.array(value.id, rows)
            plan.addresses[value.id], plan.arrays[value.id] = address(array), array
        # A reshaped value is the same memory.
        for _, one in program.instructions():
            if one.op == "reshape" and one.outputs[0] in self.buffers.own:
                source = one.inputs[0]
                assert source is not None
                plan.addresses[one.outputs[0]] = plan.addresses[source]
                shape = program.values[one.outputs[0]].spec.at(rows).shape
                plan.arrays[one.outputs[0]] = plan.arrays[source].reshape(shape)

    def _memory(self, plan: NativePlan) -> Memory:
        program, every = self.program, self.state.packed
        spans = {}
        for name in self.columns:
            id = self.program.columns[name]
            spec = self.program.values[id].spec.at(plan.rows)
            spans[name] = span(plan.addresses[id], ByteCount(length(spec) * ITEMSIZE[spec.dtype]))

        # These three know no tables, which would then be freed by the collector alone.
        def scratch(size: ByteCount) -> Address:
            plan.kept.append(aligned(-(-size // 8), "int64"))
            return address(plan.kept[-1])

        def panels(w: ValueId) -> Address:
            # Programs that run at once may both pack it: the same numbers to the same places.
            place = plan.addresses[w]
            if place not in every:
                made = aligned(length(program.values[w].spec), program.dtype)
                every.setdefault(place, made)  # another thread's may be there by now, and in use
            return address(every[place])

        base = address(plan.nows)
        return Memory(
            plan.addresses, spans, self.control_address,
            [moved(base, ByteCount(8 * slots.NOW_SLOTS * share)) for share in range(plan.shares)],
            scratch, panels,
            lambda routine, dtype: Address(compiled.blas(routine, dtype)),
        )  # fmt: skip

    def _lower(self, plan: NativePlan) -> Lowering:
        """Makes the tasks of every instruction; what made them."""
        low = Lowering(
            self.program, self._memory(plan), plan.rows, plan.shares, self.thresholds
        )  # fmt: skip
        low.updated = self.sharing.part
        plan.lowered, plan.together = lower(low)
        return low

    def _loads(self, low: Lowering, plan: NativePlan, weighted: bool, mixed: bool) -> list[Shares]:
        """Steps that bring the batch's rows and weights in."""
        found = []
        # who reads an output that is a column looks for it in the buffer
        buffered = mixed or len(self.program.outputs) > len(self.program.stacked)
        spans = {name: low.whole(self.program.columns[name]) for name in self.columns}
        # Rows of labels go where those of x go, though they are less work: to the share that needs
        # them, which then waits for no other.
        most = max((one.size for one in spans.values()), default=0)
        cuts = low.cuts(plan.rows, most / 4)
        for number, (name, whole) in enumerate(spans.items()):
            id = self.program.columns[name]
            words = whole.size // (4 * max(plan.rows, 1))
            row: Shares = []
            for share, (first, last) in enumerate(cuts):
                record = [
                    low.memory.now[share], low.memory.control, number, words, whole.start,
                    first, last - first, int(buffered), 0, 0,
                ]  # fmt: skip
                row.append(Task("load", record, [], [low.part(id, first, last)]))
            found.append(row)
        if weighted and "weights" in self.program.columns:
            whole = low.whole(self.program.columns["weights"])
            record = [low.memory.now[0], low.memory.control, plan.rows, whole.start]
            found.append(low.first("load_weights", record, [], [whole]))
        return found

    def _account(self, low: Lowering) -> Shares:
        """A step that adds to the sums of the run."""
        spans = [low.whole(id) for id in self.program.sums.values()]
        memory, watched = low.memory, self.program.watched
        mask = sum(1 << at for at, name in enumerate(self.program.sums) if name in watched)
        record = [memory.now[0], memory.control, len(spans), mask, *[one.start for one in spans]]
        return low.first("account", record, spans, [])

    def _stores(self, low: Lowering, plan: NativePlan) -> list[Shares]:
        """Steps that collect the rows of stacked outputs."""
        found = []
        for number, name in enumerate(self.program.stacked):
            id = self.program.outputs[name]
            whole = low.whole(id)
            words = whole.size // (4 * max(plan.rows, 1))
            record = [
                low.memory.now[0], low.memory.control, number, words, whole.start, 0, plan.rows,
            ]  # fmt: skip
            found.append(low.first("store_rows", record, [whole], []))
        return found

    def _close(self, plan: NativePlan, section: Section) -> None:
        """Adds the tables of the tasks collected so far."""
        rows = section.rows
        if not rows:
            return
        # What can be left out, the preparation and the update, is in stretches of its own.
        first, update = section.prepared, section.update
        prepared = stretches(rows[:first], plan.shares) if first else []
        cut = [*prepared, *stretches(rows[first:update], plan.shares)]
        if update is not None:
            cut += stretches(rows[update:], plan.shares)
        ends = list(accumulate(len(stretch) for stretch in cut))
        checks = [
            -1 if row is None else bisect_right(ends, row)
            for row in (section.check, section.guarded)
        ]
        tasks_of = [task for row in rows for task in row if task is not None]
        steps = {piece for task in tasks_of for piece in self._pieces(task)}
        generated = {task.code: None for task in tasks_of if task.code is not None}
        library.prepare(generated)
        pieces = [(name, "") for name in compiled.LOOPS if name == "lead" or plan.shares > 1]
        build.prepare([*pieces, *sorted(steps)], threads.count())
        plan.blas = plan.blas or any(name == "product" for name, _ in steps)
        starts: list[int] = []
        placed: list[Placed] = []
        for share in range(plan.shares):
            own = len(placed)
            for stretch in cut:
                starts.append(len(placed))
                placed += [
                    Placed(task, self._record(task))
                    for row in stretch
                    if (task := row[share]) is not None
                ]
            starts.append(len(placed))
            plan.kept += self._patches(placed[own:])
        tasks = [number for one in placed for number in (self._code(one.task), address(one.record))]
        tables = [np.array(starts, dtype=np.int64), np.array(tasks or [0], dtype=np.int64)]
        table = np.zeros(interpreter.PROGRAM_SLOTS, dtype=np.int64)
        table[: interpreter.TICKS] = [
            1, plan.shares, len(cut), address(tables[0]), address(tables[1]),
            address(plan.nows), *checks, len(prepared),
        ]  # fmt: skip
        kept = [*(one.record for one in placed), *tables]
        shape = (plan.shares, len(cut) + 1)
        plan.parts.append(
            Stretch(
                table, address(table), kept, [one.task for one in placed], tables[0].reshape(shape)
            )
        )

    def _code(self, task: Task) -> int:
        """The address of a task's code."""
        if task.code is not None:
            return library.address(task.code)
        return compiled.step(*self._pieces(task)[0])

    def _pieces(self, task: Task) -> list[compiled.Piece]:
        """The machine code of a task's step, if it has one, and of the steps that it calls."""
        names = [*([] if task.code is not None else [task.step]), *task.calls.values()]
        return [(name, task.dtype or self.program.dtype) for name in names]

    def _record(self, task: Task) -> np.ndarray:
        """A task's record, with the addresses of the steps that it calls."""
        record = np.array(task.record, dtype=np.int64)
        for slot, name in task.calls.items():
            record[slot] = compiled.step(name, task.dtype or self.program.dtype)
        return record

    def _patches(self, placed: list[Placed]) -> Iterator[np.ndarray]:
        """Tells a share's loads which of its slots hold addresses of their columns."""
        patches: dict[str, list[int]] = {name: [] for name in self.columns}
        for one in placed:
            for slot, (name, offset) in one.task.batch.items():
                patches[name] += [moved(address(one.record), ByteCount(8 * slot)), offset]
        for one in placed:
            if one.task.step == "load" and not one.record[GATHERED]:
                found = patches[self.columns[one.record[COLUMN]]]
                table = np.array(found or [0], dtype=np.int64)
                one.record[PATCHES], one.record[PATCH_COUNT] = address(table), len(found) // 2
                yield table
