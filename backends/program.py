"""What a device is asked to run, as plain data.

A program is made from a graph by `core/graph/planner.py`. It says nothing of how it is run: the
default walker, a native executor or a captured CUDA graph all read the same tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType

import numpy as np

from ..kernels.spec import Dim, Extent, Spec

ValueId = NewType("ValueId", int)  # its position among a program's values
ARENA = "arena."  # before a dtype: the segment of its temporaries
ValueKind = Literal["batch", "parameter", "constant", "control", "flat", "temporary"]


class Value(NamedTuple):
    """One named array of a program, assigned once.

    kind: "batch" (rows of a data column), "parameter" (one array of the model, statistics among
        them), "constant", "control" (a host number that changes from step to step), "flat" (a whole
        segment of the state; an update that assigns it anew writes the same memory), "temporary".
    source: which column, parameter entry, control number or segment it is; of a constant that is an
        argument of a traced function (`lm.grad`), which one, for its number is another at the next
        call.
    """

    id: ValueId
    name: str
    spec: Spec
    kind: ValueKind
    source: str = ""


@dataclass(frozen=True)
class Instruction:
    """One operation: values in (None for an optional input left out), values out, attributes.

    op: its name in the table. inputs, outputs: ids of values. attrs: all its attributes by name.
    layer: the number of the layer that it is the end of, or whose parameters it reads, in digits;
        "" of others (`guard.layer_at` tells of all).
    """

    op: str
    inputs: tuple[ValueId | None, ...]
    outputs: tuple[ValueId, ...]
    attrs: dict[str, Any]
    layer: str = ""


class Entry(NamedTuple):
    """One array of the model inside a flat segment.

    name: `0.weight`: the layer's number and the array's name in it.
    offset: in elements from the start of the segment.
    trainable: whether it lies in "parameters" (and has a gradient) or in "statistics".
    decayed: whether weight decay applies to it (biases are left alone).
    decay: the layer's own L2 coefficient.
    rate: a factor on the learning rate; what stands still (0) lies in "statistics".
    moving: a statistic that each step of training observes anew; they lie before the others.
    """

    name: str
    layer: int
    offset: int
    shape: tuple[int, ...]
    trainable: bool
    decayed: bool
    decay: float = 0.0
    rate: float = 1.0
    moving: bool = False

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def segment(self) -> str:
        """The flat segment that holds it."""
        return "parameters" if self.trainable else "statistics"

    @property
    def made(self) -> str:
        """The flat segment for what a step makes of it: its gradient, or its next value."""
        return "gradients" if self.trainable else "observed"


@dataclass(frozen=True)
class Layout:
    """Where a model's arrays lie in the flat segments: of parameters those that decay come first.

    slots: the segments that the optimizer keeps, such as "velocity", each as long as "parameters".
    """

    entries: tuple[Entry, ...]
    slots: tuple[str, ...] = ()

    def length(self, segment: str) -> int:
        """Elements of a segment; gradients and optimizer slots are as long as the parameters."""
        if segment == "observed":
            return sum(e.size for e in self.entries if e.moving)
        name = "statistics" if segment == "statistics" else "parameters"
        return sum(e.size for e in self.entries if e.segment == name)

    @property
    def decayed(self) -> int:
        """The number of leading parameter elements that weight decay applies to."""
        return sum(e.size for e in self.entries if e.trainable and e.decayed)

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of all flat segments."""
        before = ("before",) if self.rescaled else ()
        observed = ("observed",) if any(e.moving for e in self.entries) else ()
        return ("parameters", "gradients", "statistics", *observed, *self.slots, *before)

    @property
    def rescaled(self) -> list[tuple[float, int, int]]:
        """(factor on the learning rate, start, stop) for ranges where it is not one."""
        found: list[tuple[float, int, int]] = []
        scaled = [e for e in self.entries if e.trainable and e.rate != 1.0]
        for entry in sorted(scaled, key=lambda e: e.offset):
            start, stop = entry.offset, entry.offset + entry.size
            if found and found[-1][0] == entry.rate and found[-1][2] == start:
                start = found.pop()[1]
            found.append((entry.rate, start, stop))
        return found

    def of_segment(self, segment: str) -> list[Entry]:
        """What "gradients" or "observed" is put together from, in order."""
        return [e for e in self.entries if e.made == segment and (e.trainable or e.moving)]

    def __getitem__(self, name: str) -> Entry:
        return next(e for e in self.entries if e.name == name)


class Place(NamedTuple):
    """Where a value lies: an arena of one dtype or a flat segment, and the offset in elements."""

    segment: str
    offset: int


@dataclass(frozen=True)
class MemoryPlan:
    """Where values may lie at full capacity: a side table that an executor uses or ignores.

    places: by value id; a value without a place is a view of another, or not the program's memory.
    arenas: elements needed per dtype name. Values whose lives do not overlap share memory.
    """

    places: dict[ValueId, Place] = field(default_factory=dict)
    arenas: dict[str, int] = field(default_factory=dict)


class Bound(NamedTuple):
    """What the numbers of a batch column must be for an operation that takes them for indices.

    op: the operation; its indices are the column, after `steps` that only move or cast elements:
        (operation, attributes) each. limit: they must be in [0, limit).
    """

    column: str
    op: str
    limit: int
    steps: tuple[tuple[str, dict[str, Any]], ...] = ()


@dataclass(frozen=True)
class Region:
    """Instructions that go over memory once, a block of rows at a time.

    start, stop: its instructions are those at the positions start .. stop - 1 of
        `Program.instructions()`: consecutive, all of one stage (forward or backward).
    rows, columns: every value of it is seen as a matrix (rows, columns), row-major: "full" has
        rows * columns elements, "row" one for each row, "column" one for each column, "scalar" one.
    extents: of every value that its instructions read or write.
    inputs: values made outside that it reads. outputs: values made in it that somebody outside
        reads (later instructions, sums, outputs, gradients). The rest are inner: they need no
        memory.
    again: positions of earlier instructions that some of its inputs can be made by once more, from
        `sources`, which live until it: cheaper than to write and to read them. Whoever runs all
        regions that read such a value so, and the one that makes it, need not write it.
    """

    start: int
    stop: int
    rows: Dim
    columns: int
    extents: dict[ValueId, Extent]
    inputs: tuple[ValueId, ...]
    outputs: tuple[ValueId, ...]
    again: tuple[int, ...] = ()
    sources: tuple[ValueId, ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def inner(self) -> tuple[ValueId, ...]:
        """Values that nobody outside reads."""
        return tuple(i for i in self.extents if i not in (*self.inputs, *self.outputs))


@dataclass(frozen=True)
class Program:
    """Instructions in three stages, the values they name, and what comes out.

    forward, backward, update: between backward and update lies the reduction point.
    reduced: whether the gradients of several processes are summed there. Then a loss that is not
        finite ends no process's step: it makes the gradient not finite, which ends it for all.
    values: by id. constants: the arrays of those that are constants, by id.
    columns: batch column name -> value. "weights" holds each row's weight over their sum.
    gradients: parameter entry name -> the value that holds its gradient.
    observed: moving statistic's entry name -> the value that holds what it is after the step. They
        lie in a flat segment, as gradients do, from which the update takes them: so a step that is
        not taken moves none.
    outputs: name -> value, readable after a run.
    sums: name -> value of rank 0: the batch's weighted means, which a run adds up over batches,
        each times the batch's sum of weights.
    watched: the sums that must be finite for a run to go on: what training lowers, no metric.
    stacked: outputs whose rows a run collects over all batches.
    layout: where the model's arrays lie in the flat segments. dtype: of its floating numbers.
    capacity: the largest number of rows in a batch. memory: where values may lie in memory.
    bounds: what columns must hold to; a binding checks the rows it is given, once (`bounds.check`).
    computed: positions of instructions whose indices a step makes, which the step must check.
    regions: what goes over memory once, a side table that an executor uses or ignores: disjoint, in
        order; an instruction in none is on its own.
    """

    name: str
    values: tuple[Value, ...]
    forward: tuple[Instruction, ...]
    backward: tuple[Instruction, ...]
    update: tuple[Instruction, ...]
    constants: dict[ValueId, np.ndarray]
    columns: dict[str, ValueId]
    gradients: dict[str, ValueId]
    outputs: dict[str, ValueId]
    sums: dict[str, ValueId]
    stacked: tuple[str, ...]
    layout: Layout
    dtype: str
    capacity: int
    memory: MemoryPlan
    watched: tuple[str, ...] = ()
    bounds: tuple[Bound, ...] = ()
    computed: frozenset[int] = frozenset()
    regions: tuple[Region, ...] = ()
    observed: dict[str, ValueId] = field(default_factory=dict)
    reduced: bool = False

    def instructions(self) -> Iterator[tuple[str, Instruction]]:
        """Every instruction with the name of its stage, in order."""
        for stage in ("forward", "backward", "update"):
            for instruction in getattr(self, stage):
                yield stage, instruction

    def literal(self, id: ValueId) -> Any:
        """A constant's number, which may stand in code; None of what may be another next time."""
        array = self.constants.get(id)
        if array is None or array.size != 1 or self.values[id].source:
            return None
        return array.reshape(-1)[0].item()

    def specs(self, instruction: Instruction) -> list[Spec | None]:
        """The specs of an instruction's inputs."""
        return [None if i is None else self.values[i].spec for i in instruction.inputs]

    def __str__(self) -> str:
        lines = [f"program {self.name}, {self.dtype}, up to {self.capacity} rows"]
        fused = {region.start: region for region in self.regions if len(region) > 1}
        last, inside = "", range(0)
        for position, (stage, one) in enumerate(self.instructions()):
            if stage != last:
                lines.append(f"{stage}:")
                last = stage
            if position in fused:
                region = fused[position]
                inside = range(region.start, region.stop)
                lines.append(f"  region {region.rows!r} x {region.columns}:")
            outs = ", ".join(f"{self.values[o].name}: {self.values[o].spec}" for o in one.outputs)
            ins = ", ".join("-" if i is None else self.values[i].name for i in one.inputs)
            attrs = "".join(f", {k}={v!r}" for k, v in one.attrs.items())
            indent = "    " if position in inside else "  "
            lines.append(f"{indent}{outs} = {one.op}({ins}{attrs})")
        return "\n".join(lines)
