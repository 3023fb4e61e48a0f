"""Which indices of a program come from data, and which a step computes; and the check of data.

An index is followed back through what only moves or casts elements. One that comes from a column
is checked where rows are given to a binding, a constant when the program is made; what is in range
by how it was made (argmax, clip, truths) needs no look; the rest a step checks, see `dispatch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..kernels import ops
from ..kernels.bounds import OutOfRange, first_outside
from ..kernels.spec import INTEGERS, Dim, concrete_attrs
from .program import Bound, Instruction, Program, Value, ValueId
from .state import DataBlock

MOVES = ("reshape", "transpose", "slice", "broadcast_to", "cast")
CHECKED_ROWS = 65_536  # rows of a column looked at together
Steps = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Origin:
    """Where a value's numbers come from: a value, and the steps that lead from it."""

    value: Value
    steps: Steps


class Sources:
    """The instructions of a program by what they make.

    known: column -> the number that all of its numbers are known to be below, and not negative.
    """

    def __init__(
        self, values: Sequence[Value], instructions: Sequence[Instruction], known: Mapping[str, int]
    ) -> None:
        self.values, self.known = values, known
        self.makers = {o: one for one in instructions for o in one.outputs}

    def origin(self, id: ValueId) -> Origin:
        """Follows a value back."""
        steps: list[tuple[str, dict[str, Any]]] = []
        one = self.makers.get(id)
        while one is not None and one.op in MOVES and one.inputs[0] is not None:
            steps.append((one.op, one.attrs))
            id = one.inputs[0]
            one = self.makers.get(id)
        return Origin(self.values[id], tuple(reversed(steps)))

    def limit(self, one: Instruction) -> tuple[ValueId, Dim] | None:
        """Which value holds an instruction's indices, and what they must be below; or None."""
        row = ops.get(one.op)
        if row.indices is None:
            return None
        specs = [self.values[i].spec for i in one.inputs if i is not None]
        id = one.inputs[row.indices.input]
        assert id is not None
        return id, row.indices.limit(specs, one.attrs)

    def look(self, one: Instruction) -> Literal["batch", "constant", "step"] | None:
        """When an instruction's indices are looked at: as rows come in, once, or by the step."""
        found = self.limit(one)
        if found is None:
            return None
        origin, limit = self.origin(found[0]), found[1]
        if not isinstance(limit, int):
            return "step"
        below, kind = self.below(origin), origin.value.kind
        if below is not None and below <= limit:
            return None
        return kind if kind == "batch" or kind == "constant" else "step"

    def below(self, origin: Origin) -> int | None:
        """A number that all are below by how they were made, none being negative; or None."""
        value, one = origin.value, self.makers.get(origin.value.id)
        if value.spec.dtype == "bool" or any(s[1].get("dtype") == "bool" for s in origin.steps):
            return 2
        if value.kind == "batch":
            return self.known.get(value.source)
        if one is None or one.inputs[0] is None:
            return None
        if one.op == "argmax":
            length = self.values[one.inputs[0]].spec.shape[one.attrs["axis"]]
            return length if isinstance(length, int) else None
        if one.op == "clip" and value.spec.dtype in INTEGERS:
            low, high = one.attrs["low"], one.attrs["high"]
            return int(high) + 1 if low >= 0 and high >= 0 else None
        return None


def examine(
    values: Sequence[Value],
    instructions: Sequence[Instruction],
    constants: Mapping[ValueId, np.ndarray],
    known: Mapping[str, int],
) -> tuple[tuple[Bound, ...], frozenset[int]]:
    """The bounds of a program, and the positions of instructions that must look at their indices.

    known: see `Sources`. Raises: BadInput for a constant that is out of range.
    """
    sources = Sources(values, instructions, known)
    found: dict[tuple[ValueId, int], Bound] = {}
    computed: set[int] = set()
    looked: set[tuple[ValueId, Dim]] = set()  # a value is assigned once: one look is enough
    for position, one in enumerate(instructions):
        where = sources.limit(one)
        if where is None or where in looked:
            continue
        looked.add(where)
        (id, limit), look = where, sources.look(one)
        if look == "step":
            computed.add(position)
        elif look is not None and isinstance(limit, int):
            origin = sources.origin(id)
            name = origin.value.source
            if look == "constant":
                name = origin.value.name
                if name == f"v{origin.value.id}":  # it has none of its own
                    name = ops.get(one.op).inputs[one.inputs.index(id)]
            bound = Bound(name, one.op, limit, origin.steps)
            if look == "batch":
                found[id, limit] = bound
            else:
                hold(bound, constants[origin.value.id], rows=1)
    return tuple(found.values()), frozenset(computed)


def computed(program: Program, rows: int) -> frozenset[tuple[ValueId, int]]:
    """The indices that a step makes, with the number that they must be below.

    The first instruction that reads them looks at them (`Program.computed`). An executor that goes
    on after that look must keep the others, too, from numbers that are out of range.
    rows: what a symbolic dimension stands for.
    """
    instructions = [one for _, one in program.instructions()]
    return frozenset(index(program, instructions[position], rows) for position in program.computed)


def index(program: Program, one: Instruction, rows: int) -> tuple[ValueId, int]:
    """The value that an instruction takes for indices, and the number that they must be below."""
    found = Sources(program.values, (), {}).limit(one)
    assert found is not None
    id, limit = found
    return id, limit if isinstance(limit, int) else limit.factor * rows


def moved(array: np.ndarray, steps: Steps, rows: int) -> np.ndarray:
    """The elements after the steps; numbers keep their value where a cast would cut or wrap them.

    rows: what a symbolic dimension stands for.
    """
    for op, attrs in steps:
        if op != "cast":
            array = ops.get(op).reference(np, array, **concrete_attrs(attrs, rows))
        elif attrs["dtype"] == "bool":
            array = array.astype(np.bool_)
        elif attrs["dtype"] not in INTEGERS:
            array = array.astype(attrs["dtype"])
        elif array.dtype.kind == "f":
            array = np.trunc(array)
    return array.astype(np.int32) if array.dtype.kind == "b" else array


def hold(bound: Bound, array: np.ndarray, rows: int, first: int = 0) -> None:
    """Raises OutOfRange where an element of a column is, with its row and value.

    rows: what a symbolic dimension stands for. first: the number of the array's first row in the
    whole data.
    """
    where = first_outside(moved(array, bound.steps, rows), bound.limit)
    if where is None:
        return
    moves = tuple(step for step in bound.steps if step[0] != "cast")
    number = int(moved(np.arange(array.size).reshape(array.shape), moves, rows)[where])
    own = tuple(int(i) for i in np.unravel_index(number, array.shape))
    told = (own[0] + first, *own[1:]) if own else own
    raise OutOfRange(ops.get(bound.op), bound.column, array[own], told, array.shape, bound.limit)


def check(program: Program, block: DataBlock) -> None:
    """Holds the rows that a binding is given to the program's bounds.

    Raises: OutOfRange, which is a BadInput, with the column, the row and the value.
    """
    for bound in program.bounds:
        first = 0
        for part in _parts(block, bound.column, program.dtype):
            hold(bound, part, len(part), first)
            first += len(part)


def in_data(error: OutOfRange, block: DataBlock, cursor: int, rows: int) -> OutOfRange:
    """What a step found in the batch of so many rows at the cursor, with the row of the data.

    Without an order the cursor may be in a later pass, each of which begins with row 0.
    """
    where, shape = error.where, error.shape
    if not block.columns or not where or shape[0] != rows:
        return error
    at = cursor + where[0]
    row = at % block.rows if block.order is None else int(block.order[at])
    return OutOfRange(error.row, error.name, error.value, (row, *where[1:]), shape, error.limit)


def _parts(block: DataBlock, name: str, dtype: str) -> Iterator[np.ndarray]:
    """The rows of a column on the host; those of one on disk as a run reads them, in parts."""
    if name not in block.streamed:
        column = block.columns[name]
        yield column if isinstance(column, np.ndarray) else block.backend.to_numpy(column)
        return
    column = block.streamed[name]
    for start in range(0, len(column), CHECKED_ROWS):
        yield np.asarray(column[start : start + CHECKED_ROWS], dtype=dtype)
