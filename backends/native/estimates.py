"""How long one thread needs for a batch of a program, about."""

from __future__ import annotations

from ...kernels import ops
from ...kernels.spec import concrete_attrs
from ..program import Program

# What one thread does in a second: a 2-core Xeon with AVX-512, 2026-11. Only the order of magnitude
# matters.
FLOPS, BYTES = 1.5e11, 4e10


def estimate(program: Program, rows: int) -> float:
    """About how long one thread needs for one batch."""
    total = 0.0
    for _, one in program.instructions():
        ins = [s.at(rows) for s in program.specs(one) if s is not None]
        outs = [program.values[o].spec.at(rows) for o in one.outputs]
        cost = ops.get(one.op).cost(ins, outs, concrete_attrs(one.attrs, rows))
        total += max(cost.flops / FLOPS, cost.bytes / BYTES)
    return total
