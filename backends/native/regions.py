"""How a region becomes generated code: one task a share, and what brings the shares' sums together.

Which instructions make a region is decided in `core/graph/regions.py`; what code is written for
one in `kernels/llvm/code.py`. Here its values are placed: numbers that never change into the code,
the rest at the addresses of a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ...kernels.chain import Chain
from ...kernels.llvm.code import Chained
from ...kernels.llvm.combine import Combine
from ...kernels.llvm.flat import wide_of
from ...kernels.llvm.layout import Layout
from ...kernels.llvm.quotients import with_reciprocals
from ...kernels.spec import ITEMSIZE, Extent, length
from ..chains import Draft, draft_of
from ..program import Instruction, Region, ValueId
from .lowering import Lowering, bits
from .spans import ByteCount, Span, moved, span
from .tasks import Shares, Task

LARGE = 8 * 2**20  # bytes of a result that is not expected to be in a cache when it is read next
FEW_BYTES = 8192  # of a block's rows, in all walks: the nearest cache holds the next ones as well


def possible(low: Lowering, region: Region) -> bool:
    """Whether code is generated for a region."""
    return (
        _draft(low, _extents(low, region, []), low.instructions[region.start : region.stop])
        is not None
    )


def lower(low: Lowering, region: Region) -> list[Shares]:
    """The tasks of a region."""
    own = range(region.start, region.stop)
    again = [at for at in region.again if low.joined.at(at) is not None]
    instructions = [low.instructions[at] for at in (*again, *own)]
    extents = _extents(low, region, again)
    draft = _draft(low, extents, instructions)
    assert draft is not None
    rows, columns = low.count(region.rows), region.columns
    made = {id for one in instructions for id in one.outputs}
    reads = dict.fromkeys(i for one in instructions for i in one.inputs if i not in made)
    inputs = [i for i in reads if i is not None and draft.operands[draft.at[i]].known is None]
    wanted = [o for o in region.outputs if low.joined.written(region, o)]
    there = {*inputs, *wanted}
    outputs = [o for o in wanted if not _in_place(low, instructions, o, there)]
    if not outputs or rows * columns == 0:
        return []
    lanes = 64 // low.item
    width = lanes
    while width > 2 and width // 2 >= columns > 1:
        width //= 2
    chain = with_reciprocals(Chain(
        tuple(draft.operands), tuple(draft.statements), tuple(draft.at[i] for i in inputs),
        tuple(draft.at[o] for o in outputs), width, lanes,
    ))  # fmt: skip
    if _past(low, chain, columns, [o for o in outputs if extents[o] == "full"]):
        block = max(1, FEW_BYTES // Layout(chain).walks // (columns * low.item))
        chain = replace(chain, past=True, lanes=min(lanes, 1 << block.bit_length() - 1))
    return list(_tasks(low, region, chain, draft, inputs, outputs))


def _draft(
    low: Lowering, extents: dict[ValueId, Extent], instructions: Sequence[Instruction]
) -> Draft | None:
    return draft_of(low.program, low.specs, low.rows, extents, instructions)


def _extents(low: Lowering, region: Region, again: Sequence[int]) -> dict[ValueId, Extent]:
    """Of all that a region works on, what it makes again included."""
    found: dict[ValueId, Extent] = {}
    for at in again:
        other, one = low.joined.at(at), low.instructions[at]
        assert other is not None
        ids = [i for i in (*one.inputs, *one.outputs) if i is not None]
        found.update({i: other.extents[i] for i in ids})
    return {**found, **region.extents}


def _past(low: Lowering, chain: Chain, columns: int, full: list[ValueId]) -> bool:
    """Whether results are too large for the caches, and lie as stores past them need it."""
    vector = chain.width * low.item
    whole = [ITEMSIZE[low.specs[o].dtype] * length(low.specs[o]) for o in full]
    return (
        max(whole, default=0) >= LARGE
        and columns % chain.width == 0
        and all(low.specs[o].dtype == low.program.dtype and low.at(o) % vector == 0 for o in full)
    )


def _in_place(
    low: Lowering, instructions: list[Instruction], output: ValueId, there: set[ValueId]
) -> bool:
    """Whether an output is another value that is in memory, seen in another shape."""
    maker = next(one for one in instructions if output in one.outputs)
    source = maker.inputs[0]
    return maker.op == "reshape" and source in there and low.at(source) == low.at(output)


def _part(low: Lowering, id: ValueId, extent: Extent, rows: tuple[int, int], columns: int) -> Span:
    """The memory of a value that some rows touch."""
    item = ITEMSIZE[low.specs[id].dtype]
    if extent in ("column", "scalar"):
        return span(low.at(id), ByteCount(length(low.specs[id]) * item))
    line = item * (columns if extent == "full" else 1)
    first = moved(low.at(id), ByteCount(rows[0] * line))
    return span(first, ByteCount((rows[1] - rows[0]) * line))


def _tasks(
    low: Lowering, region: Region, chain: Chain, draft: Draft, inputs: list[ValueId],
    outputs: list[ValueId],
) -> Iterator[Shares]:  # fmt: skip
    rows, columns = low.count(region.rows), region.columns
    by_element = rows == 1 and chain.flat
    count = columns if by_element else rows
    cuts = low.cuts(count, rows * columns * draft.work / 4, chain.width if by_element else 1)
    shares = [share for share, (start, stop) in enumerate(cuts) if stop > start]
    partial = {o: _partial(low, chain, draft.at[o], columns, len(shares)) for o in outputs}
    code, row = Chained(chain), list[Task | None]([None] * low.shares)
    for number, share in enumerate(shares):
        start, stop = cuts[share]
        part = (0, 1) if by_element else (start, stop)
        here = stop - start if by_element else columns

        def place(id: ValueId, part: tuple[int, int] = part, start: int = start,
                  stop: int = stop) -> Span:  # fmt: skip
            extent = chain.operands[draft.at[id]].extent
            if by_element and extent == "full":
                return _part(low, id, "row", (start, stop), 1)
            return _part(low, id, extent, part, columns)

        reads = [place(i) for i in inputs]
        writes = []
        for o in outputs:
            own = partial[o]
            if own is None:
                writes.append(place(o))
            else:
                writes.append(span(moved(own.start, ByteCount(number * own.size)), own.size))
        record = [
            part[1] - part[0], here, 0, *(s.start for s in reads), *(s.start for s in writes),
        ]  # fmt: skip
        made = low.task("fused", record, reads, writes)
        made.code = code
        size = code.scratch(columns)
        if size:
            made.scratch[2] = ByteCount(size)
        row[share] = made
    yield row
    for o in outputs:
        own = partial[o]
        if own is not None:
            yield _combined(low, chain, draft.at[o], own, len(shares), o, region)


def _partial(low: Lowering, chain: Chain, operand: int, columns: int, shares: int) -> Span | None:
    """Memory for the shares' parts of an output: the first one's, or None where it is whole."""
    if not chain.summed(operand):
        return None
    made = chain.operands[operand]
    size = ByteCount(-(-(columns * 8 if made.extent == "column" else 8) // 64) * 64)
    return span(low.memory.scratch(ByteCount(size * shares)), size)


def _combined(
    low: Lowering, chain: Chain, operand: int, own: Span, shares: int, output: ValueId,
    region: Region,
) -> Shares:  # fmt: skip
    """Brings the shares' parts of an output together."""
    made, maker = chain.operands[operand], chain.makers[operand]
    source = chain.operands[maker.inputs[0]]
    rows, columns = low.count(region.rows), region.columns
    divisor = 1.0
    if maker.op == "mean":
        divisor = float(rows * columns if maker.over == "all" else rows)
    column = made.extent == "column"
    joined = Combine(made.dtype if column else wide_of(source.dtype), made.dtype, 64 // low.item)
    record = [
        own.start, shares, own.size, columns if column else 1, low.at(output), bits(divisor),
    ]  # fmt: skip
    parts = span(own.start, ByteCount(own.size * shares))
    task = low.task("combine", record, [parts], [low.whole(output)])
    task.code = joined
    return low.alone(task)
