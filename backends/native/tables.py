"""A native program's tables for one number of rows: where values lie, and what runs when."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from ...kernels.memory import address, aligned
from ...kernels.numba.native import build, compiled, interpreter, slots
from ...kernels.spec import ITEMSIZE, concrete_attrs, length
from .. import guard, threads
from ..contract import Backend
from ..device import Array
from ..dispatch import Call, resolve
from ..program import Instruction, Program
from ..state import State
from . import elements, gradients, products, rows, updates
from .lowering import Entry, Lowering, Memory, Shares, bits, stretches

RULES_OF = (  # they register
    elements, gradients, products, rows, updates,
)  # fmt: skip


@dataclass
class Stretch:
    """Native steps between two calls of the walker, as the tables that the loop reads."""

    program: np.ndarray
    address: int
    kept: list[Any]
    owners: list[int]  # of each entry: the position of its instruction, or -1
    starts: np.ndarray  # (shares, stretches + 1): the first entry of each


@dataclass
class Walked:
    """An instruction that Python calls."""

    call: Call
    instruction: Instruction
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]


@dataclass
class Plan:
    """A program made ready for one number of rows."""

    rows: int
    shares: int
    parts: list[Stretch | Walked] = field(default_factory=list)
    lowered: list[list[Shares] | None] = field(default_factory=list)
    nows: Any = None
    posts: Any = None  # where the addresses of the helpers' posts stand, for one run
    posts_address: int = 0
    ahead: bool = False  # whether something is prepared while the parameters stay the same
    version: tuple[int, int] | None = None  # of the parameters that it was prepared from
    blas: bool = False  # whether a step calls BLAS, whose threads must then be held
    kept: list[Any] = field(default_factory=list)  # scratch memory that records point to
    addresses: dict[int, int] = field(default_factory=dict)
    arrays: dict[int, Array] = field(default_factory=dict)


class Tables:
    """Makes the plans of one program on its state and its buffers."""

    def __init__(
        self, backend: Backend, program: Program, state: State, control_address: int
    ) -> None:
        self.backend, self.program, self.state = backend, program, state
        self.control_address = control_address
        self.arenas = {
            f"arena.{dtype}": aligned(elements, dtype)
            for dtype, elements in program.plan.arenas.items()
        }
        self.own: dict[int, np.ndarray] = {}  # values that the memory plan takes for views
        self.columns = [name for name in program.columns if name != "weights"]

    def plan(self, rows: int, weighted: bool, shares: int) -> Plan:
        """The tables for batches of so many rows."""
        program = self.program
        plan = Plan(rows, shares)
        self._addresses(plan, weighted)
        lowered = self._lower(plan)
        if any(found is None for found in lowered) and plan.shares > 1:
            plan.shares = 1
            lowered = self._lower(plan)
        plan.lowered = lowered
        mixed = any(found is None for found in lowered)
        rows_of_entries: list[Shares] = []
        owner = self.owner
        loads = self._loads(plan, weighted, mixed)
        rows_of_entries += [*self.low.ahead, *loads, *self.low.prologue]
        ahead, plan.ahead = len(self.low.ahead), bool(self.low.ahead)
        check = guarded = update = None
        updates = len(program.forward) + len(program.backward)
        for position, (_, one) in enumerate(program.instructions()):
            if position == len(program.forward) and program.sums:
                check = len(rows_of_entries)
                rows_of_entries.append(self._account(plan))
            if position == updates:
                rows_of_entries += [*self.low.epilogue, *self._guard(plan)]
                update = len(rows_of_entries)
                guarded = update - 1
            found = lowered[position]
            if found is not None:
                owner.update({id(row): position for row in found})
                rows_of_entries += found
                continue
            self._close(plan, rows_of_entries, ahead, check, guarded, update)
            rows_of_entries, ahead, check, guarded, update = [], 0, None, None, None
            specs = [None if s is None else s.at(rows) for s in program.specs(one)]
            call = resolve(self.backend, one.op, specs, concrete_attrs(one.attrs, rows))
            plan.parts.append(Walked(call, one, one.inputs, one.outputs))
        if len(program.forward) == updates + len(program.update) and program.sums:
            check = len(rows_of_entries)
            rows_of_entries.append(self._account(plan))
        rows_of_entries += self._stores(plan)
        self._close(plan, rows_of_entries, ahead, check, guarded, update)
        return plan

    def _addresses(self, plan: Plan, weighted: bool) -> None:
        """Where every value lies, and arrays over it for the walker."""
        program, rows = self.program, plan.rows
        plan.kept.append(aligned(plan.shares, "int64"))
        plan.posts, plan.posts_address = memoryview(plan.kept[-1].data), address(plan.kept[-1])
        plan.nows = aligned(plan.shares * slots.NOW_SLOTS, "int64")
        for value in program.values:
            spec = value.spec.at(rows)
            place = program.plan.places.get(value.id)
            if value.kind == "control":
                continue
            if value.kind == "constant":
                array = np.ascontiguousarray(program.constants[value.id])
            elif value.kind == "flat":
                array = self.state.flats[value.source]
            elif value.source == "weights" and value.kind == "batch" and not weighted:
                array = np.full((rows, 1), 1.0 / rows, dtype=spec.dtype)
            elif place is None:
                if value.id not in self.own:
                    whole = length(value.spec.at(program.capacity))
                    self.own[value.id] = aligned(whole, spec.dtype)
                array = self.own[value.id]
            elif place.segment in self.arenas:
                array = self.arenas[place.segment][place.offset :]
            else:
                array = self.state.flats[place.segment][place.offset :]
            plan.addresses[value.id] = address(array)
            flat = array.reshape(-1)[: length(spec)]
            plan.arrays[value.id] = flat.reshape(spec.shape)
            plan.kept.append(array)
        # A reshaped value is the same memory.
        for _, one in program.instructions():
            if one.op == "reshape" and one.outputs[0] in self.own:
                source = one.inputs[0]
                assert source is not None
                plan.addresses[one.outputs[0]] = plan.addresses[source]
                shape = program.values[one.outputs[0]].spec.at(rows).shape
                plan.arrays[one.outputs[0]] = plan.arrays[source].reshape(shape)

    def _memory(self, plan: Plan) -> Memory:
        ranges = {}
        for name in self.columns:
            id = self.program.columns[name]
            spec = self.program.values[id].spec.at(plan.rows)
            size = length(spec) * ITEMSIZE[spec.dtype]
            ranges[name] = (plan.addresses[id], plan.addresses[id] + size)

        def scratch(size: int) -> int:
            plan.kept.append(aligned(-(-size // 8), "int64"))
            return address(plan.kept[-1])

        def panels(w: int) -> int:
            # Programs that run at once may both pack it: the same numbers to the same places.
            place, kept = plan.addresses[w], self.state.packed
            if place not in kept:
                kept[place] = aligned(length(self.program.values[w].spec), self.program.dtype)
            return address(kept[place])

        base = address(plan.nows)
        return Memory(
            plan.addresses, ranges, self.control_address,
            [base + 8 * slots.NOW_SLOTS * share for share in range(plan.shares)], scratch, panels,
            lambda routine: compiled.blas(routine, self.program.dtype),
        )  # fmt: skip

    def _lower(self, plan: Plan) -> list[list[Shares] | None]:
        low = self.low = Lowering(self.program, self._memory(plan), plan.rows, plan.shares)
        self.owner: dict[int, int] = {}  # id of a row of entries -> position of its instruction
        found = []
        for position, (_, one) in enumerate(self.program.instructions()):
            found.append(low.lower(one))
            for row in (*low.ahead, *low.prologue, *low.epilogue):
                self.owner.setdefault(id(row), position)
        return found

    def _loads(self, plan: Plan, weighted: bool, mixed: bool) -> list[Shares]:
        """Steps that bring the batch's rows and weights in."""
        low, found = self.low, []
        spans = {name: low.whole(self.program.columns[name]) for name in self.columns}
        # Rows of labels go where those of x go, though they are less work: to the share that needs
        # them, which then waits for no other.
        most = max((stop - base for base, stop in spans.values()), default=0)
        cuts = low.cuts(plan.rows, most / 4)
        for number, (name, (base, stop)) in enumerate(spans.items()):
            id = self.program.columns[name]
            words = (stop - base) // (4 * max(plan.rows, 1))
            row: Shares = []
            for share, (first, last) in enumerate(cuts):
                record = [
                    low.memory.now[share], low.memory.control, number, words, base, first,
                    last - first, int(mixed), 0, 0,
                ]  # fmt: skip
                row.append(Entry("load", record, [], [low.part(id, first, last)]))
            found.append(row)
        if weighted and "weights" in self.program.columns:
            span = low.whole(self.program.columns["weights"])
            record = [low.memory.now[0], low.memory.control, plan.rows, span[0]]
            found.append(low.first("load_weights", record, [], [span]))
        return found

    def _account(self, plan: Plan) -> Shares:
        spans = [self.low.whole(id) for id in self.program.sums.values()]
        memory = self.low.memory
        record = [memory.now[0], memory.control, len(spans), *[low for low, _ in spans]]
        return self.low.first("account", record, spans, [])

    def _guard(self, plan: Plan) -> list[Shares]:
        """Steps that look at what the update is to work on."""
        low, found = self.low, []
        limit = bits(guard.bound(self.program.dtype))
        for name in guard.watched(self.program):
            base = address(self.state.flats[name])
            for cuts in low.owned():
                row: Shares = []
                for share, (start, stop) in enumerate(cuts):
                    span = (base + start * low.item, base + stop * low.item)
                    now, control = low.memory.now[share], low.memory.control
                    record = [now, control, span[0], stop - start, limit]
                    row.append(None if start == stop else low.entry("guard", record, [span], []))
                found.append(row)
        return found

    def _stores(self, plan: Plan) -> list[Shares]:
        """Steps that collect the rows of stacked outputs."""
        low, found = self.low, []
        for number, name in enumerate(self.program.stacked):
            id = self.program.outputs[name]
            base, stop = low.whole(id)
            words = (stop - base) // (4 * max(plan.rows, 1))
            record = [
                low.memory.now[0], low.memory.control, number, words, base, 0, plan.rows,
            ]  # fmt: skip
            found.append(low.first("store_rows", record, [(base, stop)], []))
        return found

    def _close(
        self, plan: Plan, rows: list[Shares], ahead: int, check: int | None, guarded: int | None,
        update: int | None,
    ) -> None:  # fmt: skip
        """Adds the tables of the entries collected so far.

        ahead: how many rows prepare what stays the same; check, guarded: the rows that may ask for
        a stop; update: the first row of the update.
        """
        if not rows:
            return
        # What can be left out, the preparation and the update, is in stretches of its own.
        prepared = stretches(rows[:ahead], plan.shares) if ahead else []
        cut = [*prepared, *stretches(rows[ahead:update], plan.shares)]
        if update is not None:
            cut += stretches(rows[update:], plan.shares)
        ends = list(accumulate(len(stretch) for stretch in cut))
        checks = [-1 if row is None else bisect_right(ends, row) for row in (check, guarded)]
        steps = {entry.step for row in rows for entry in row if entry is not None}
        pieces = [(name, "") for name in compiled.LOOPS if name == "lead" or plan.shares > 1]
        pieces += [(name, self.program.dtype) for name in sorted(steps)]
        build.prepare(pieces, threads.count())
        starts: list[int] = []
        entries: list[int] = []
        kept, owners = [], []
        plan.blas = plan.blas or any(
            entry is not None and entry.step == "product" for row in rows for entry in row
        )
        for share in range(plan.shares):
            for stretch in cut:
                starts.append(len(entries) // 2)
                for row in stretch:
                    entry = row[share]
                    if entry is not None:
                        kept.append(record := np.array(entry.record, dtype=np.int64))
                        entries += [compiled.step(entry.step, self.program.dtype), address(record)]
                        owners.append(self.owner.get(id(row), -1))
                        entry.record = record  # type: ignore[assignment]
            starts.append(len(entries) // 2)
        self._patch(rows, plan)
        tables = [np.array(starts, dtype=np.int64), np.array(entries or [0], dtype=np.int64)]
        program = np.zeros(interpreter.PROGRAM_SLOTS, dtype=np.int64)
        program[: interpreter.TICKS] = [
            1, plan.shares, len(cut), address(tables[0]), address(tables[1]),
            address(plan.nows), *checks, len(prepared),
        ]  # fmt: skip
        shape = (plan.shares, len(cut) + 1)
        plan.parts.append(
            Stretch(program, address(program), [*kept, *tables], owners, tables[0].reshape(shape))
        )

    def _patch(self, rows: list[Shares], plan: Plan) -> None:
        """Tells each share's loads which of its slots hold addresses of the column."""
        for share in range(plan.shares):
            slots: dict[str, list[int]] = {name: [] for name in self.columns}
            for row in rows:
                entry = row[share]
                if entry is None:
                    continue
                for slot, (name, offset) in entry.batch.items():
                    slots[name] += [address(entry.record) + 8 * slot, offset]  # type: ignore[arg-type]
            for row in rows:
                entry = row[share]
                if entry is not None and entry.step == "load" and not entry.record[7]:
                    pairs = np.array(slots[self.columns[entry.record[2]]] or [0], dtype=np.int64)
                    plan.kept.append(pairs)
                    entry.record[8], entry.record[9] = address(pairs), len(pairs) // 2
