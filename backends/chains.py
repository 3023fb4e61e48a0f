"""Regions as chains: what generated code is made from, for whichever device it is generated.

Which instructions make a region is decided in `core/graph/regions.py`. Here each of its values
becomes an operand and each instruction a statement (`kernels/chain.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..kernels import ops
from ..kernels.chain import Operand, Statement
from ..kernels.spec import Extent, Spec, concrete_attrs
from .program import Instruction, Program, ValueId

REDUCTIONS = ("sum", "mean", "max")
MOVES = ("reshape", "broadcast_to")
COSTLY = 8.0  # of an element of an operation that is no arithmetic, in those that are


@dataclass
class Draft:
    """A region's operands and statements.

    at: the operand of a value. work: operations for each element.
    """

    operands: list[Operand] = field(default_factory=list)
    at: dict[ValueId, int] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    work: float = 0.0


def draft_of(
    program: Program,
    specs: Sequence[Spec],
    rows: int,
    extents: Mapping[ValueId, Extent],
    instructions: Sequence[Instruction],
) -> Draft | None:
    """Instructions as operands and statements; None where there are none for one of them.

    specs: of the values, for a batch of so many rows. extents: of the values that they work on.
    """
    draft = Draft()
    for id, extent in extents.items():
        known = program.literal(id)
        if known is not None:
            extent = "scalar"
        draft.at[id] = len(draft.operands)
        draft.operands.append(Operand(extent, specs[id].dtype, known))
    for one in instructions:
        made = _statement(one, draft, rows)
        if made is None:
            return None
        draft.statements.append(made)
        arithmetic = ops.get(one.op).tolerance["float32"].relative < 1e-6
        draft.work += 0.0 if made.op == "copy" else 1.0 if arithmetic else COSTLY
    return draft


def _statement(one: Instruction, draft: Draft, rows: int) -> Statement | None:
    ids = [draft.at[i] for i in one.inputs if i is not None]
    out = draft.at[one.outputs[0]]
    attrs = concrete_attrs(one.attrs, rows)
    if one.op in MOVES:
        return Statement("copy", tuple(ids), out)
    if one.op in REDUCTIONS:
        over = _over(draft.operands[ids[0]].extent, draft.operands[out].extent)
        if over == "":
            return Statement("copy", tuple(ids), out)
        if one.op == "max" and over != "columns":
            return None
        return Statement(one.op, tuple(ids), out, (("over", over),))
    if one.op == "one_hot":
        return Statement(one.op, tuple(ids), out, (("dtype", attrs["dtype"]),))
    if one.op != "pick" and ops.get(one.op).independent != "elements":
        return None
    return Statement(one.op, tuple(ids), out, tuple(sorted(attrs.items())))


def _over(source: Extent, result: Extent) -> str:
    """What a reduction runs over, by what it makes of what."""
    return {
        ("full", "row"): "columns", ("full", "column"): "rows", ("full", "scalar"): "all",
        ("row", "scalar"): "rows",
    }.get((source, result), "")  # fmt: skip
