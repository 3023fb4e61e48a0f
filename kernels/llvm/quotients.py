"""Divisions by one number a row, through its reciprocal: the same quotients in a third of the time.

q = x r with r = 1 / s, and once corrected by what it lacks, x - q s, is x / s rounded to nearest
(P. Markstein, IBM J. Res. Dev. 34, 1990) as long as r is no subnormal number. So it is done where s
is a square root, or one and a small number, which is far from the largest numbers.
"""

from __future__ import annotations

from dataclasses import replace

from ..chain import Chain, Operand, Statement

SMALL = 1e10  # what may be added to a square root


def with_reciprocals(chain: Chain) -> Chain:
    """The chain with each such division as a "quotient" of number, divisor and reciprocal."""
    operands, statements = [*chain.operands], []
    reciprocals: dict[int, int] = {}
    for one in chain.statements:
        divisor = one.inputs[1] if one.op == "divide" else None
        wide = chain.operands[one.output].extent == "full"
        if divisor is None or not wide or not _moderate(chain, divisor):
            statements.append(one)
            continue
        if divisor not in reciprocals:
            dtype = operands[divisor].dtype
            reciprocals[divisor] = len(operands) + 1
            operands += [Operand("scalar", dtype, 1.0), Operand("row", dtype)]
            made = (len(operands) - 2, divisor)
            statements.append(Statement("divide", made, reciprocals[divisor]))
        inputs = (*one.inputs, reciprocals[divisor])
        statements.append(replace(one, op="quotient", inputs=inputs))
    return replace(chain, operands=tuple(operands), statements=tuple(statements))


def _moderate(chain: Chain, operand: int) -> bool:
    """Whether an operand is one number a row, and no very large one."""
    maker = chain.makers.get(operand)
    if chain.operands[operand].extent != "row" or maker is None:
        return False
    if maker.op == "add":
        known = [chain.operands[i].known for i in maker.inputs]
        others = [i for i in maker.inputs if chain.operands[i].known is None]
        small = all(k is None or 0 <= k < SMALL for k in known)
        return small and len(others) == 1 and _moderate(chain, others[0])
    return maker.op in ("sqrt", "copy") and (
        maker.op == "sqrt" or _moderate(chain, maker.inputs[0])
    )
