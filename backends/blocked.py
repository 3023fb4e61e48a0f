"""Regions in Python: a block of rows through all instructions of a region, while it is in a cache.

Instruction after instruction, NumPy goes over memory once for each; where matrices are larger than
a cache, that is most of the time. Here a region of such a size is one launch of the walker: values
that nobody outside reads lie in a few temporaries as large as a block, and sums down the rows are
added up block after block, always in the same order. Smaller regions are walked as they stand: a
call of NumPy costs as much as some thousand elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..kernels import ops
from ..kernels.spec import ITEMSIZE, Spec, concrete
from .contract import Backend
from .device import Array
from .dispatch import Call, resolve
from .joining import JoinedBinding
from .program import Program, Region, ValueId
from .state import DataBlock, State
from .walker import Walker, WalkerBinding

# Of all that a block of rows touches. It is several times a nearest cache, and yet the best: every
# instruction of every block is a call of NumPy, and in 1 MiB the calls cost what is saved.
BLOCK_BYTES = 1 << 22
LARGE_BYTES = 1 << 24  # of all that a region touches, from which it goes in blocks
DOWN = ("column", "scalar")  # extents of what is summed over the rows
ALIASES = ("reshape", "broadcast_to")  # the same numbers, seen as another matrix


def touched(program: Program, region: Region) -> int:
    """Bytes of the values of one row of a region."""
    return sum(
        ITEMSIZE[program.values[id].spec.dtype] * (region.columns if extent == "full" else 1)
        for id, extent in region.extents.items()
        if extent in ("full", "row")
    )


def in_blocks(program: Program, region: Region, rows: int) -> bool:
    """Whether a region is large enough, for batches of so many rows."""
    count = concrete((region.rows,), rows)[0]
    return len(region) > 1 and count > 1 and count * touched(program, region) >= LARGE_BYTES


class Blocked(Walker):
    """A walked program whose large regions go in blocks."""

    def bind(self, state: State, block: DataBlock) -> WalkerBinding:
        """Ties the program to a state and to data."""
        return BlockedBinding(self.backend, self.program, state, block)

    def regions(self) -> Sequence[Region]:
        """Those that are large, for batches of the program's capacity."""
        program = self.program
        return [r for r in program.regions if in_blocks(program, r, program.capacity)]

    def explain(self) -> list[tuple[str, str, str]]:
        """(stage, operation, kernel or reference, and whether in blocks of rows)."""
        lines = super().explain()
        for region in self.regions():
            for at in range(region.start, region.stop):
                stage, op, how = lines[at]
                lines[at] = (stage, op, how.replace("walked", "walked in blocks of rows"))
        return lines


class BlockedBinding(JoinedBinding):
    """A walked program, with what its large regions need."""

    def chosen(self, rows: int) -> Iterable[Region]:
        """Those that are large."""
        return [r for r in self.program.regions if in_blocks(self.program, r, rows)]

    def made(self, region: Region, rows: int) -> Callable[..., None]:
        """A region block after block."""
        return Blocks(self.backend, self.program, region, rows).run


@dataclass(frozen=True)
class Step:
    """One instruction on blocks of one size.

    made, reads: its output and inputs. shape: of the output. call: what computes it; None for one
    of the aliases. function: the call with its attributes, where all it does is to write an output
    or a temporary.
    """

    op: str
    made: ValueId
    reads: tuple[ValueId, ...]
    shape: tuple[int, int]
    call: Call | None
    function: Callable[..., Any] | None = None


class Blocks:
    """A region for a number of rows, ready to run."""

    def __init__(self, backend: Backend, program: Program, region: Region, rows: int) -> None:
        self.backend, self.program, self.region = backend, program, region
        self.rows, self.columns = concrete((region.rows,), rows)[0], region.columns
        every = [one for _, one in program.instructions()]
        self.instructions = every[region.start : region.stop]
        self.places, widths = self._temporaries()
        held = [*region.inputs, *region.outputs]
        bytes_a_row = sum(ITEMSIZE[dtype] * width for dtype, width in widths)
        bytes_a_row += sum(ITEMSIZE[self._dtype(id)] * self._shape(id, 1)[1] for id in held)
        self.block = min(max(BLOCK_BYTES // bytes_a_row, 1), self.rows)
        memory = [backend.zeros(self.block * width, dtype) for dtype, width in widths]
        sizes = {self.block, self.rows % self.block or self.block}
        self.steps = {count: self._steps(count) for count in sizes}
        self.inner = {count: self._inner(memory, count) for count in sizes}

    def _dtype(self, id: ValueId) -> str:
        return self.program.values[id].spec.dtype

    def _shape(self, id: ValueId, count: int) -> tuple[int, int]:
        """The matrix that a value is, of which so many rows are looked at."""
        extent = self.region.extents[id]
        return (
            1 if extent in DOWN else count,
            self.columns if extent in ("full", "column") else 1,
        )

    def _temporaries(self) -> tuple[dict[ValueId, int], list[tuple[str, int]]]:
        """Which temporary holds each inner value, and the dtype and columns of each."""
        root: dict[ValueId, ValueId] = {}
        last: dict[ValueId, int] = {}
        for time, one in enumerate(self.instructions):
            x, (y,) = one.inputs[0], one.outputs
            root[y] = root.get(x, x) if one.op in ALIASES and x is not None else y
            last.update((root.get(i, i), time) for i in one.inputs if i is not None)
        places: dict[ValueId, int] = {}
        made: list[tuple[str, int]] = []
        free: list[int] = []
        inner = {i for i in self.region.inner if root[i] == i}
        for time, one in enumerate(self.instructions):
            row, (y,) = ops.get(one.op), one.outputs
            read = {root.get(i, i) for i in one.inputs if i is not None}
            ended = {i for i in read if i in places and last[i] == time}
            taken = {one.inputs[at] for at in (row.overwrites or ((),))[0] if at < len(one.inputs)}
            free += [places[i] for i in ended & taken]  # an operation may write over these
            if y in inner:
                kind = self._dtype(y), self._shape(y, 1)[1]
                fitting = [number for number in free if made[number] == kind]
                if fitting:
                    free.remove(fitting[-1])
                else:
                    made.append(kind)
                places[y] = fitting[-1] if fitting else len(made) - 1
            free += [places[i] for i in ended - taken]
        return places, made

    def _inner(self, memory: Sequence[Array], count: int) -> dict[ValueId, Array]:
        """The temporary of each inner value, as a matrix of so many rows."""
        found = {}
        for id, number in self.places.items():
            rows, columns = self._shape(id, count)
            flat = memory[number][: rows * columns]
            found[id] = self.backend.xp.reshape(flat, (rows, columns))
        return found

    def _steps(self, count: int) -> list[Step]:
        """The instructions on blocks of so many rows."""
        found = []
        for one in self.instructions:
            (y,), op, attrs = one.outputs, one.op, one.attrs
            reads = tuple(i for i in one.inputs if i is not None)
            extent, call, function = self.region.extents[y], None, None
            if op not in ALIASES:
                if "axis" in attrs:
                    axes = {"row": (1,), "column": (0,), "scalar": (0, 1)}
                    attrs = {"axis": axes[extent], "keepdims": True}
                kind = "sum" if extent in DOWN else op
                specs = [Spec(self._shape(i, count), self._dtype(i)) for i in reads]
                call = resolve(self.backend, kind, specs, attrs, trusted=True)
                if call.writes and extent not in DOWN:
                    function = partial(call.function, **call.attrs)
            found.append(Step(op, y, reads, self._shape(y, count), call, function))
        return found

    def run(self, out: tuple[Array, ...], *inputs: Array) -> None:
        """Computes the region's outputs."""
        xp, region = self.backend.xp, self.region
        given = zip((*region.inputs, *region.outputs), (*inputs, *out), strict=True)
        whole = {id: xp.reshape(array, self._shape(id, self.rows)) for id, array in given}
        down = {id: whole.pop(id) for id in tuple(whole) if region.extents[id] in DOWN}
        for start in range(0, self.rows, self.block):
            stop = min(start + self.block, self.rows)
            env = {**down, **self.inner[stop - start]}
            for id, matrix in whole.items():
                env[id] = matrix[start:stop]
            for step in self.steps[stop - start]:
                if step.function is None:
                    self._do(step, env, first=start == 0)
                else:
                    step.function((env[step.made],), *[env[i] for i in step.reads])
        for step in self.steps[self.block]:
            if step.op == "mean" and step.made in down:
                rows, columns = self._shape(step.reads[0], self.rows)
                down[step.made] /= rows * columns // (step.shape[0] * step.shape[1])

    def _do(self, step: Step, env: dict[ValueId, Array], first: bool) -> None:
        """An instruction that does more, or less, than to write. env: matrices by value."""
        inputs, target = [env[i] for i in step.reads], env.get(step.made)
        if step.call is None:
            made = inputs[0]
            if step.op == "broadcast_to":
                made = self.backend.xp.broadcast_to(made, step.shape)
        elif target is not None and self.region.extents[step.made] in DOWN and not first:
            more = self.backend.xp.empty(step.shape, dtype=target.dtype)
            target += step.call((more,), *inputs)[0]
            return
        else:
            (made,) = step.call((target,), *inputs)
        if target is None:
            env[step.made] = made
        elif made is not target:
            self.backend.assign(target, made)
