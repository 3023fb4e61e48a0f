"""How each instruction of a program is run: together with others, by a step, or by loops over axes.

A region of several instructions becomes one piece of generated code. An instruction by itself has a
step of the table where a rule knows one for the call; else code is generated for it alone, as a
chain where it works on whole rows, as loops over axes where it does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ...kernels.numba.native.steps_elements import ARITHMETIC, COMPARISONS
from ...kernels.spec import concrete_attrs
from ..chains import MOVES, REDUCTIONS
from ..program import Instruction, Region
from . import nests, regions, rules  # noqa: F401  what lowers an operation registers
from .lowering import RULES, TAKES_EMPTY, Lowering
from .tasks import Shares

ELEMENTWISE = (*ARITHMETIC, *COMPARISONS)


def lower(low: Lowering) -> tuple[list[list[Shares] | None], tuple[Region, ...]]:
    """The tasks of every instruction, None where it has none, and which regions run as one.

    A region's tasks are those of its first instruction.
    """
    low.joined.only(region for region in low.program.regions if _together(low, region))
    found: list[list[Shares] | None] = []
    together: list[Region] = []
    while len(found) < len(low.instructions):
        at = len(found)
        region = low.joined.regions.get(at)
        if region is None:
            found.append(_alone(low, at))
            continue
        rows = low.finished(region.start, partial(regions.lower, low, region))
        assert rows is not None
        together.append(region)
        found += [rows, *([] for _ in range(at + 1, region.stop))]
    return found, tuple(together)


def _together(low: Lowering, region: Region) -> bool:
    """Whether a region's instructions run as one; those of one known step go alone."""
    instructions = low.instructions[region.start : region.stop]
    working = [one for one in instructions if one.op not in MOVES]
    known = len(working) == 1 and _by_step(region, working[0])
    checked = any(at in low.program.computed for at in range(region.start, region.stop))
    return not known and not checked and regions.possible(low, region)


def _by_step(region: Region, one: Instruction) -> bool:
    """Whether an operation that has a step has it for this: not where axes are taken apart.

    Arithmetic by steps is of arrays of one shape, and reduces to one number alone.
    """
    extents = [region.extents[i] for i in (*one.inputs, *one.outputs) if i is not None]
    if one.op in REDUCTIONS:
        return one.op in RULES and extents[-1] == "scalar"
    return one.op in RULES and (one.op not in ELEMENTWISE or len(set(extents)) == 1)


def _alone(low: Lowering, position: int) -> list[Shares] | None:
    """The tasks of the instruction at a position, or None where no step computes it."""
    return low.finished(position, lambda: _tasks(low, low.instructions[position]))


def _tasks(low: Lowering, one: Instruction) -> Iterable[Shares] | None:
    low, rule, found = low.real(one), RULES.get(one.op), None
    if not low.full(one) and one.op not in TAKES_EMPTY:
        return nests.lower(low, one) if one.op in nests.MOVES else low.clear(*one.outputs)
    if rule is not None:
        found = rule(low, one, concrete_attrs(one.attrs, low.rows))
    return nests.lower(low, one) if found is None else found
