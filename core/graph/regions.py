"""Regions: which instructions of a program go over memory once, together.

A chain such as a layer norm reads a matrix, works on it element by element, with a mean and a
variance of each row in between, and writes a matrix. Instruction after instruction that is ten
times over memory; a block of rows through the whole chain, while it lies in a near cache, is once.
`form` finds such chains, and puts the instructions of each side by side.

Every value of a region is seen as a matrix (rows, columns): all of it, one number a row, one a
column, or one. `views` says in which ways a single instruction can be seen so; a group of
instructions can be seen in the ways that suit them all. Taken in topological order, an instruction
joins

1. the groups that made what it reads: so that a value in between needs no memory;
2. the groups that read the same matrix: so that it is loaded once,

where there is a way to see them all, and where no instruction outside would have to run between
them: a group must not depend on itself through another one. What is summed down the rows is known
after the last block only, so who reads it is in another group: batch norm, whose mean and variance
are such sums, makes three. A reshape costs nothing by itself: it is in a group only between two
instructions that are.

The greedy choice is deterministic: it goes by the order of instructions and of their inputs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from ...backends.program import Instruction, Region, Value, ValueId
from ...kernels import ops
from ...kernels.rules import normal_axes
from ...kernels.spec import Dim, Extent, Rows, Shape, size

Space = tuple[Dim, int]
ALONG_ROWS = ("sum", "mean", "max")  # to one number a row, which the next instruction can use
DOWN_ROWS = ("sum", "mean")  # to one number a column, or to one; complete after the last block
BY_LABEL = ("one_hot", "pick")  # one label a row says at which column


@dataclass(frozen=True)
class View:
    """Values as matrices of one size.

    late: what is complete only after the last row.
    """

    extents: dict[ValueId, Extent]
    late: frozenset[ValueId] = frozenset()


Views = dict[Space, View]


# How a single instruction can be seen


def views(one: Instruction, values: Sequence[Value]) -> Views:
    """The ways in which an instruction works on matrices, row by row; none where it does not."""
    ids = [i for i in (*one.inputs, *one.outputs) if i is not None]
    if len(ids) < len(one.inputs) + 1 or len(one.outputs) > 1:
        return {}
    if not all(_is_matrix(values[i]) for i in ids):
        return {}
    row = ops.get(one.op)
    if row.independent == "elements" or one.op == "broadcast_to":
        return _broadcast(one, values)
    if one.op in ALONG_ROWS:
        return _reduced(one, values)
    if one.op == "reshape":
        before, after = (splits(values[i].spec.shape) for i in ids)
        return {s: View(dict.fromkeys(ids, "full")) for s in before if s in after}
    if one.op in BY_LABEL:
        wide = values[ids[-1] if one.op == "one_hot" else ids[0]].spec.shape
        space = _space(wide, len(wide) - 1)
        if space is None or space[1] == 1:
            return {}
        found = {i: _extent(True, values[i].spec.shape == wide, space) for i in ids}
        return {space: View(found)}
    return {}


def _is_matrix(value: Value) -> bool:
    """Whether a value has rows and columns: it is no number of the host, and not empty."""
    shape = value.spec.shape
    batched = sum(isinstance(d, Rows) for d in shape)
    return value.kind not in ("control", "flat") and 0 not in shape and batched < 2


def splits(shape: Shape) -> dict[Space, int]:
    """The matrices that an array is, and before which axis it is cut for that.

    One row, of all elements, is for vectors alone: a row is not shared, and not cut into blocks.
    """
    found: dict[Space, int] = {}
    for axis in range(len(shape) + 1):
        space = _space(shape, axis)
        if space is not None:
            found.setdefault(space, axis)
    matrix = any(rows != 1 and columns > 1 for rows, columns in found)
    return {space: axis for space, axis in found.items() if space[0] != 1 or not matrix}


def _space(shape: Shape, axis: int) -> Space | None:
    columns = size(shape[axis:])
    return None if isinstance(columns, Rows) else (size(shape[:axis]), columns)


def _extent(each_row: bool, each_column: bool, space: Space) -> Extent:
    """The extent of what has an element for each row, and for each column.

    Where there is one row or one column, two names fit: the one that has a row is taken.
    """
    rows, columns = space
    each_row = each_row or rows == 1
    if columns == 1:
        each_column = each_row
    if each_row:
        return "full" if each_column else "row"
    return "column" if each_column else "scalar"


def _broadcast(one: Instruction, values: Sequence[Value]) -> Views:
    """Elementwise: each input has the output's shape on either side of the cut, or ones there."""
    found: Views = {}
    shape = values[one.outputs[0]].spec.shape
    for space, axis in splits(shape).items():
        extents: dict[ValueId, Extent] = {one.outputs[0]: "full"}
        for id in one.inputs:
            assert id is not None
            own = values[id].spec.shape
            padded = (1,) * (len(shape) - len(own)) + own
            sides = [_side(padded[:axis], shape[:axis]), _side(padded[axis:], shape[axis:])]
            if None in sides:
                break
            extents[id] = _extent(bool(sides[0]), bool(sides[1]), space)
        else:
            found[space] = View(extents)
    return found


def _side(own: Shape, shape: Shape) -> bool | None:
    """Whether there are all elements (True) or one for all (False); None: some."""
    if own == shape:
        return True
    return False if all(d == 1 for d in own) else None


def _reduced(one: Instruction, values: Sequence[Value]) -> Views:
    """Reductions: over all columns, over all rows, or over everything."""
    x, y = one.inputs[0], one.outputs[0]
    assert x is not None
    spec = values[x].spec
    axes = normal_axes(one.op, spec, one.attrs)
    long = [axis for axis, length in enumerate(spec.shape) if length != 1]
    found: Views = {}
    for space, first in splits(spec.shape).items():
        rows = {a for a in long if a < first}
        columns = {a for a in long if a >= first}
        over = {a for a in axes if a in long}
        if over == columns != set():
            found[space] = View({x: "full", y: _extent(True, False, space)})
        elif one.op in DOWN_ROWS and over in (rows, rows | columns) and over:
            extent = _extent(False, over == rows, space)
            found[space] = View({x: "full", y: extent}, frozenset([y]))
    return found


# How several can be seen together


def _meet(one: Space, other: Space) -> Space | None:
    """The size of the matrices of both: what has one column can be one number a row elsewhere."""
    if one[0] != other[0]:
        return None
    if 1 in (one[1], other[1]):
        return one[0], max(one[1], other[1])
    return one if one == other else None


def _seen(view: View, space: Space, whole: Space) -> dict[ValueId, Extent]:
    """The extents in matrices of more columns."""
    if space == whole:
        return view.extents
    return {id: "row" if extent == "full" else extent for id, extent in view.extents.items()}


def _together(one: Views, other: Views) -> Views:
    """The ways to see two groups at once: every value has one extent."""
    found: Views = {}
    for space, view in one.items():
        for space2, view2 in other.items():
            whole = _meet(space, space2)
            if whole is None or whole in found:
                continue
            extents, more = _seen(view, space, whole), _seen(view2, space2, whole)
            if all(extents.get(id, extent) == extent for id, extent in more.items()):
                found[whole] = View({**extents, **more}, view.late | view2.late)
    return found


def _preferred(space: Space) -> tuple[bool, bool, int]:
    """What a group is seen as, if in several ways: long rows, but more than one of them."""
    return space[1] > 1, space[0] != 1, space[1]


# Groups


@dataclass(eq=False)
class _Group:
    """Instructions that stay together.

    members, before: bits at the positions of those in it, and of all that it depends on.
    views: how it can be seen; an instruction that is none for a region has no way.
    """

    positions: list[int]
    members: int
    before: int
    views: Views
    reads: frozenset[ValueId]


@dataclass
class _Stage:
    """The groups of one stage's instructions, as far as they have been looked at."""

    instructions: Sequence[Instruction]
    groups: dict[_Group, None] = field(default_factory=dict)
    of: list[_Group] = field(default_factory=list)  # by position
    makers: dict[ValueId, int] = field(default_factory=dict)
    readers: dict[ValueId, list[int]] = field(default_factory=dict)
    waiting: set[int] = field(default_factory=set)  # reshapes that are in no group so far

    def add(self, values: Sequence[Value], found: Views) -> None:
        """The next instruction, which can be seen in those ways."""
        position = len(self.of)
        one = self.instructions[position]
        before = 0
        for id in one.inputs:
            if id in self.makers:
                maker = self.of[self.makers[id]]
                before |= maker.members | maker.before
        reads = frozenset(i for i in one.inputs if i is not None)
        self.of.append(_Group([position], 1 << position, before, found, reads))
        self.groups[self.of[-1]] = None
        self.makers.update(dict.fromkeys(one.outputs, position))
        if not found:
            return
        if one.op == "reshape":
            self.waiting.add(position)
            return
        for id in reads_of(one):
            self.join([position, *self.made_by(id)])
        for id in reads_of(one):
            others = self.readers.setdefault(id, [])
            if any(d != 1 for d in values[id].spec.shape):
                for other in others:
                    self.join([position, other], shared=id)
            others.append(position)

    def made_by(self, id: ValueId) -> list[int]:
        """Which instruction made a value, and what a reshape that waits was made from."""
        found: list[int] = []
        while id in self.makers:
            position = self.makers[id]
            found.append(position)
            if position not in self.waiting:
                break
            (id,) = reads_of(self.instructions[position])
        return found

    def join(self, positions: Sequence[int], shared: ValueId | None = None) -> None:
        """Makes one group of those that the instructions are in, if they can be one.

        shared: a value that must be all of a matrix.
        """
        groups = list(dict.fromkeys(self.of[p] for p in positions))
        if len(groups) == 1 or all(p in self.waiting for p in positions[1:]):
            return
        views, reads = groups[0].views, groups[0].reads
        for group in groups[1:]:
            views, reads = _together(views, group.views), reads | group.reads
        views = {
            space: view
            for space, view in views.items()
            if not view.late & reads and (shared is None or view.extents[shared] == "full")
        }
        members = before = 0
        for group in groups:
            members |= group.members
            before |= group.before
        if not views or self._crossed(before & ~members, members):
            return
        made = _Group(
            sorted(p for g in groups for p in g.positions), members, before & ~members, views, reads
        )
        self.waiting.difference_update(positions)
        for group in groups:
            del self.groups[group]
        for group in self.groups:
            if group.before & members:
                group.before |= made.before | members
        self.groups[made] = None
        for position in made.positions:
            self.of[position] = made

    def _crossed(self, before: int, members: int) -> bool:
        """Whether something outside depends on some of the members, and others depend on it."""
        return any(g.members & before and g.before & members for g in self.groups)

    def ordered(self) -> Iterator[_Group]:
        """The groups, each after those that it depends on, else as they stand."""
        left, done = sorted(self.groups, key=lambda group: group.positions[0]), 0
        while left:
            group = next(g for g in left if not g.before & ~done)
            left.remove(group)
            done |= group.members
            yield group


def reads_of(one: Instruction) -> list[ValueId]:
    """What an instruction reads, each once."""
    return list(dict.fromkeys(i for i in one.inputs if i is not None))


# Programs


def form(
    values: Sequence[Value],
    stages: Sequence[Sequence[Instruction]],
    kept: Collection[ValueId],
    trusted: Callable[[Instruction], bool],
) -> tuple[list[list[Instruction]], tuple[Region, ...]]:
    """The instructions of each stage with those of a region side by side, and the regions.

    kept: values that are read after the program. trusted: whether the indices that an instruction
    takes are known to be in range; else it is in no region, for it must look at them.
    """
    ordered: list[list[Instruction]] = []
    found: list[tuple[int, _Group]] = []
    start = 0
    for instructions in stages:
        stage = _Stage(instructions)
        for one in instructions:
            stage.add(values, views(one, values) if trusted(one) else {})
        own: list[Instruction] = []
        for group in stage.ordered():
            if group.views and group.positions[0] not in stage.waiting:
                found.append((start + len(own), group))
            own += [instructions[p] for p in group.positions]
        ordered.append(own)
        start += len(own)
    every = [one for own in ordered for one in own]
    readers: dict[ValueId, list[int]] = {}
    for position, one in enumerate(every):
        for id in reads_of(one):
            readers.setdefault(id, []).append(position)

    def region(start: int, group: _Group) -> Region:
        stop = start + len(group.positions)
        rows, columns = space = max(group.views, key=_preferred)
        made = [id for one in every[start:stop] for id in one.outputs]
        used = dict.fromkeys(id for one in every[start:stop] for id in reads_of(one))
        return Region(
            start, stop, rows, columns, group.views[space].extents,
            inputs=tuple(id for id in used if id not in made),
            outputs=tuple(
                id for id in made
                if id in kept or any(not start <= p < stop for p in readers.get(id, []))
            ),
        )  # fmt: skip

    return ordered, tuple(region(start, group) for start, group in found)
