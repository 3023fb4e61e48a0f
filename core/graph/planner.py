"""From graph to program: values and instructions in order, and where each value may lie.

Simplification, fusion and differentiation come before: `programs.py` and, for functions,
`autodiff.py` call them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np

from ...backends import bounds
from ...backends.program import (
    ARENA,
    Instruction,
    Layout,
    MemoryPlan,
    Place,
    Program,
    Region,
    Value,
    ValueId,
    ValueKind,
)
from ...kernels import ops
from ...kernels.spec import ROWS, Rows, Spec, concrete, size
from . import regions
from .graph import SELECT, Node, constant, make, order
from .remaking import with_remakes
from .update import CONTROLS, Update

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


class _Builder:
    def __init__(self, dtype: str, layout: Layout, reduced: bool) -> None:
        self.dtype = dtype
        self.layout = layout
        self.reduced = reduced
        self.values: list[Value] = []
        self.constants: dict[ValueId, np.ndarray] = {}
        self.ids: dict[tuple[Node, int], ValueId] = {}
        self.shared: dict[tuple[str, str], ValueId] = {}

    def new(self, name: str, spec: Spec, kind: ValueKind, source: str = "") -> ValueId:
        number = ValueId(len(self.values))
        self.values.append(Value(number, name or f"v{number}", spec, kind, source))
        return number

    def id(self, node: Node) -> ValueId:
        """The value of a node; leaves get theirs at their first use."""
        if node.op == SELECT:
            assert node.inputs[0] is not None
            return self.ids[node.inputs[0], node.attrs["index"]]
        if (node, 0) not in self.ids:
            if node.op == "constant":
                number = self.new(node.name, node.spec, "constant", node.name)
                self.constants[number] = node.attrs["value"]
            else:
                key = (node.op, node.source)
                if key not in self.shared:
                    kind: ValueKind = node.op  # type: ignore[assignment]
                    self.shared[key] = self.new(node.name, node.spec, kind, node.source)
                number = self.shared[key]
            self.ids[node, 0] = number
        return self.ids[node, 0]

    def instruction(self, node: Node) -> Instruction:
        ins = tuple(None if i is None else self.id(i) for i in node.inputs)
        if self.reduced and node.op == "dropout_mask" and node.shape[0] == ROWS:
            ins = (*ins[:2], self.flat("first_row"))  # as the whole batch would draw it
        outs = []
        for index, spec in enumerate(node.specs):
            suffix = f".{index}" if len(node.specs) > 1 else ""
            name = f"{node.name}{suffix}" if node.name else ""
            outs.append(self.new(name, spec, "temporary"))
            self.ids[node, index] = outs[-1]
        # A layer's output has its number in its name, and so have the parameters it reads.
        read = (i.source for i in node.inputs if i is not None and i.op == "parameter")
        named = [node.name, *read]
        layer = next((name.split(".")[0] for name in named if name), "")
        return Instruction(node.op, ins, tuple(outs), node.attrs, layer)

    def update(self, update: Update) -> Instruction:
        ins = tuple(self.flat(name) for name in update.inputs)
        outs = tuple(self.flat(name, again=True) for name in update.outputs)
        return Instruction(update.op, ins, outs, update.attrs)

    def flat(self, name: str, again: bool = False) -> ValueId:
        """The current value of a segment or control number; `again` makes the next one."""
        kind: ValueKind = "control" if name in CONTROLS else "flat"
        key = (kind, name)
        if again or key not in self.shared:
            spec = (
                Spec((), CONTROLS[name])
                if kind == "control"
                else Spec((self.layout.length(name),), self.dtype)
            )
            self.shared[key] = self.new(name, spec, kind, name)
        return self.shared[key]


def plan(
    name: str,
    *,
    dtype: str,
    capacity: int,
    layout: Layout,
    columns: Sequence[Node] = (),
    outputs: Mapping[str, Node] | None = None,
    sums: Mapping[str, Node] | None = None,
    watched: Sequence[str] = (),
    stacked: Sequence[str] = (),
    gradients: Mapping[str, Node | None] | None = None,
    updates: Sequence[Update] = (),
    classes: Mapping[str, int] | None = None,
    observed: Mapping[str, Node] | None = None,
    reduced: bool = False,
) -> Program:
    """A program from nodes.

    outputs, sums, gradients: what to compute, by name. A gradient of None (no path to the
    parameter) becomes zeros. columns: the batch leaves, in the data block's words. watched: the
    sums that must be finite for a run to go on. classes: column -> the number that its class
    numbers, which were checked, are below. observed: what moving statistics are after the step.
    reduced: whether several processes each run a part of the batch's rows.
    updates: the update's instructions, over segments by name. stacked: outputs that collect rows
    over a run. layout, capacity: as in `Program`.
    Raises: BadInput for constant indices that are out of range.
    """
    outputs, sums, gradients = outputs or {}, sums or {}, gradients or {}
    observed = observed or {}
    build = _Builder(dtype, layout, reduced)
    results = [*sums.values(), *outputs.values()]
    filled = {key: _own(node, layout, key, dtype) for key, node in gradients.items()}
    filled.update(observed)
    forward_nodes = order([*results, *observed.values()])
    done = set(forward_nodes)
    forward = [build.instruction(n) for n in forward_nodes if _computed(n)]
    backward = []
    taken = {build.id(r) for r in results}
    made: dict[str, ValueId] = {}
    backward_nodes = [n for n in order(filled.values()) if n not in done and _computed(n)]
    for node in backward_nodes:
        backward.append(build.instruction(node))
    for key, node in filled.items():
        number = build.id(node)
        if number in taken or build.values[number].kind != "temporary" or _is_view(node):
            copy = make("reshape", node, shape=node.shape)
            backward.append(build.instruction(copy))
            number = build.id(copy)
        taken.add(number)
        made[key] = number
    update = [build.update(u) for u in updates]
    column_ids = {n.source: build.id(n) for n in columns if _used(n, build)}
    output_ids = {key: build.id(node) for key, node in outputs.items()}
    sum_ids = {key: build.id(node) for key, node in sums.items()}
    kept = {*output_ids.values(), *sum_ids.values()}
    known = bounds.Sources(build.values, [*forward, *backward], classes or {})
    (forward, backward), found = regions.form(
        build.values, (forward, backward), {*kept, *made.values()},
        lambda one: known.look(one) != "step",
    )  # fmt: skip
    found = with_remakes([*forward, *backward], found, len(forward), {*kept, *made.values()})
    bound, computed = bounds.examine(
        build.values, [*forward, *backward], build.constants, classes or {}
    )
    return Program(
        name=name,
        values=tuple(build.values),
        forward=tuple(forward),
        backward=tuple(backward),
        update=tuple(update),
        constants=build.constants,
        columns=column_ids,
        gradients={key: made[key] for key in gradients},
        observed={key: made[key] for key in observed},
        outputs=output_ids,
        sums=sum_ids,
        stacked=tuple(stacked),
        layout=layout,
        dtype=dtype,
        capacity=capacity,
        memory=memory(build.values, [*forward, *backward], made, kept, layout, capacity, found),
        watched=tuple(watched),
        bounds=bound,
        computed=computed,
        regions=found,
        reduced=reduced,
    )


def _used(node: Node, build: _Builder) -> bool:
    """Whether a batch leaf is read; the weights are always kept, for the sums need them."""
    return node.source == "weights" or (node.op, node.source) in build.shared


def _computed(node: Node) -> bool:
    return not node.leaf and node.op != SELECT


def _is_view(node: Node) -> bool:
    return node.op != SELECT and not node.leaf and ops.get(node.op).view


def _own(node: Node | None, layout: Layout, key: str, dtype: str) -> Node:
    if node is not None:
        return node
    return make("broadcast_to", constant(0.0, dtype), shape=layout[key].shape)


def memory(
    values: Sequence[Value],
    instructions: Sequence[Instruction],
    gradients: Mapping[str, ValueId],
    kept: set[ValueId],
    layout: Layout,
    capacity: int,
    found: Sequence[Region] = (),
) -> MemoryPlan:
    """Offsets for every value: flat segments for parameters and gradients, arenas for the rest.

    A value dies after its last reader, views of it included, and its memory is given to the next
    that fits. An operation that may overwrite an input takes the input's memory when it is the last
    reader.

    found: the regions. One of several instructions is as one instruction in time: a block of rows
    goes through all of them before the next is read, so what it writes may not lie where it reads,
    whatever the order. Values that nobody outside reads take each other's memory where they have
    one shape: a row then lies where the same row was. Who goes in blocks needs none for them.
    """
    places: dict[ValueId, Place] = {}
    for value in values:
        if value.kind == "parameter":
            entry = layout[value.source]
            places[value.id] = Place(entry.segment, entry.offset)
    for key, number in gradients.items():
        places[number] = Place(layout[key].made, layout[key].offset)
    roots = {v.id: v.id for v in values}
    last = dict.fromkeys(roots, -1)
    turns = _turns(instructions, found)
    at_last = dict(last)  # the same by the instruction in its turn
    for time, turn in enumerate(turns):
        for at, one in enumerate(turn):
            if ops.get(one.op).view and one.inputs[0] is not None:
                roots[one.outputs[0]] = roots[one.inputs[0]]
            for i in (*one.inputs, *one.outputs):
                if i is not None:
                    last[roots[i]], at_last[roots[i]] = time, at
    sources = {region.start: region.sources for region in found}
    needed = [sources.get(at, ()) for at in accumulate(map(len, turns), initial=0)]
    for time, ids in enumerate(needed):
        for i in ids:
            last[roots[i]] = max(last[roots[i]], time)
    for number in kept:
        last[roots[number]] = len(turns)
    heap = _Heap(capacity)
    for value in values:
        if value.kind == "batch":  # alive from the start of every step
            places[value.id] = heap.take(value.spec)

    def overwritten(one: Instruction, index: int, time: int) -> ValueId | None:
        """The input, read for the last time, whose memory an output may take over."""
        row, spec = ops.get(one.op), values[one.outputs[index]].spec
        for at in row.overwrites[index] if index < len(row.overwrites) else ():
            source = one.inputs[at] if at < len(one.inputs) else None
            if source is None or roots[source] != source or last[source] != time:
                continue
            place, value = places.get(source), values[source]
            free = place is not None and place.segment.startswith(ARENA)
            if free and value.kind == "temporary" and value.spec == spec:
                return source
        return None

    for time, turn in enumerate(turns):
        made: set[ValueId] = set()  # in the arenas
        left: dict[Spec, list[ValueId]] = {}  # of these, what was read for the last time
        for at, one in enumerate(turn):
            for index, number in enumerate(one.outputs):
                if number in places or roots[number] != number:
                    continue
                spec, source = values[number].spec, None
                if len(turn) == 1:
                    source = overwritten(one, index, time)
                elif last[number] == time and left.get(spec):
                    source = left[spec].pop()
                if source is None:
                    places[number] = heap.take(spec)
                else:
                    places[number] = places[source]
                    last[source] = len(turns) + 1  # the memory has a new owner
                made.add(number)
            for i in {roots[i] for i in (*one.inputs, *one.outputs) if i is not None} & made:
                if last[i] == time and at_last[i] == at:
                    left.setdefault(values[i].spec, []).append(i)
        used = [i for one in turn for i in (*one.inputs, *one.outputs)] + [*needed[time]]
        for i in {roots[i] for i in used if i is not None}:
            if last[i] == time and values[i].kind == "temporary":
                heap.free(places.get(i), values[i].spec)
    return MemoryPlan(places, heap.lengths)


def _turns(
    instructions: Sequence[Instruction], found: Sequence[Region]
) -> list[Sequence[Instruction]]:
    """The instructions one by one, those of a region together."""
    stops = {region.start: region.stop for region in found}
    turns, at = [], 0
    while at < len(instructions):
        stop = stops.get(at, at + 1)
        turns.append(instructions[at:stop])
        at = stop
    return turns


class _Heap:
    """Arenas by dtype, with best-fit reuse of freed ranges."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.lengths: dict[str, int] = {}
        self.holes: dict[str, list[tuple[int, int]]] = {}

    def _length(self, spec: Spec) -> int:
        total = size(concrete(spec.shape, self.capacity))
        assert not isinstance(total, Rows)
        step = ALIGNMENT // 4
        return -(-max(total, 1) // step) * step

    def take(self, spec: Spec) -> Place:
        length, kind = self._length(spec), spec.dtype
        holes = self.holes.setdefault(kind, [])
        fitting = [h for h in holes if h[1] >= length]
        if fitting:
            offset, free = min(fitting, key=lambda h: (h[1], h[0]))
            holes.remove((offset, free))
            if free > length:
                holes.append((offset + length, free - length))
        else:
            offset = self.lengths.get(kind, 0)
            self.lengths[kind] = offset + length
        return Place(f"{ARENA}{kind}", offset)

    def free(self, place: Place | None, spec: Spec) -> None:
        if place is None or not place.segment.startswith(ARENA):
            return
        holes = self.holes.setdefault(spec.dtype, [])
        start, length = place.offset, self._length(spec)
        for hole in list(holes):  # neighbours become one
            if hole[0] + hole[1] == start:
                start, length = hole[0], length + hole[1]
                holes.remove(hole)
            elif start + length == hole[0]:
                length += hole[1]
                holes.remove(hole)
        holes.append((start, length))
