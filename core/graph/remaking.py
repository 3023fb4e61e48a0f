"""What a region of the backward stage makes again, instead of reading it from memory.

A chain forward leaves values in between that its derivative reads: of a layer norm, the numbers
without their mean and those scaled to unit variance. As arrays they would be written and read once
more each, while a subtraction and a product make them again from what is in memory anyway. Such an
instruction stands in `Region.again`; what it reads, `Region.sources`, lives until then. An executor
that runs both regions as one each need not write the value; others read it as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ...backends.program import Instruction, Region, ValueId

MOST = 3  # instructions that are done again for one value
CHEAP = frozenset(
    (
        "add", "subtract", "multiply", "negative", "maximum", "minimum", "abs", "where", "cast",
        "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "broadcast_to",
        "reshape",
    )
)  # fmt: skip


def with_remakes(
    instructions: Sequence[Instruction], regions: Sequence[Region], forward: int,
    kept: Collection[ValueId],
) -> tuple[Region, ...]:  # fmt: skip
    """The regions, those of the backward stage with what they make again.

    forward: how many instructions the forward stage has. kept: values that are read after the
    program.
    """
    where = {at: region for region in regions for at in range(region.start, region.stop)}
    makers = {id: at for at, one in enumerate(instructions) for id in one.outputs}
    readers: dict[ValueId, set[int]] = {}
    for at, one in enumerate(instructions):
        for id in one.inputs:
            if id is not None:
                readers.setdefault(id, set()).add(at)
    found = {region.start: region for region in regions}
    wanted: dict[int, set[int]] = {}
    sources: dict[int, dict[ValueId, None]] = {}
    for region in regions:
        for id in region.outputs if region.stop <= forward else ():
            cone = _cone(id, region, instructions, makers)
            outside = {at for at in readers.get(id, ()) if not region.start <= at < region.stop}
            others = [where.get(at) for at in outside]
            if cone is None or id in kept or not outside:
                continue
            if any(o is None or not _alike(o, region, id) or o.start < forward for o in others):
                continue
            positions, reads = cone
            for other in others:
                assert other is not None
                wanted.setdefault(other.start, set()).update(positions)
                sources.setdefault(other.start, {}).update(dict.fromkeys(reads))
            own = found[region.start]
            made = [i for at in range(region.start, region.stop) for i in instructions[at].outputs]
            more = [i for i in reads if i in made and i not in own.outputs]
            found[region.start] = replace(own, outputs=(*own.outputs, *more))
    for start, again in wanted.items():
        read = tuple(sources[start])
        found[start] = replace(found[start], again=tuple(sorted(again)), sources=read)
    return tuple(found[region.start] for region in regions)


def _alike(other: Region, region: Region, id: ValueId) -> bool:
    """Whether another region sees a value of a region as that does."""
    same = (other.rows, other.columns) == (region.rows, region.columns)
    return same and other.extents[id] == region.extents[id]


def _cone(
    id: ValueId, region: Region, instructions: Sequence[Instruction], makers: dict[ValueId, int]
) -> tuple[list[int], list[ValueId]] | None:
    """The instructions that make a value from what is in memory, and what they read; or None."""
    steps: list[int] = []
    reads: dict[ValueId, None] = {}

    def visit(id: ValueId) -> bool:
        at = makers.get(id)
        if at is None or not region.start <= at < region.stop or region.extents[id] == "row":
            reads[id] = None
            return True
        if at in steps:
            return True
        one = instructions[at]
        if one.op not in CHEAP or len(steps) >= MOST or region.extents[id] != "full":
            return False
        steps.append(at)
        return all(visit(i) for i in one.inputs if i is not None)

    if region.extents[id] != "full" or not visit(id):
        return None
    return steps, list(reads)
