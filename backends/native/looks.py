"""What a run has found of indices that a step computes: whether one was out of range, and which."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels import ops
from ...kernels.bounds import OutOfRange
from ...kernels.numba.native.slots import EARLY, LATE, STOP
from .. import bounds
from ..program import Program
from .tasks import Look


def outside(control: np.ndarray) -> int:
    """One more than the number of the batch that an index out of range has stopped, or 0."""
    # What stands behind a loss that is not finite would not have been computed.
    late = 0 if control[STOP] % 2 else control[LATE]
    return int(control[EARLY] or late)


def found(program: Program, looks: Sequence[Look], rows: int, shares: int) -> OutOfRange:
    """What to raise: the first index out of range, of the first instruction that has one.

    looks: in the order of the program. rows: of the batch.
    """
    instructions = [one for _, one in program.instructions()]
    for look in looks:
        numbers = (ctypes.c_int64 * (3 * shares)).from_address(look.place)
        for share in range(shares):
            wrong, element, value = numbers[3 * share : 3 * share + 3]
            if not wrong:
                continue
            one = instructions[look.position]
            row, (id, limit) = ops.get(one.op), bounds.index(program, one, rows)
            assert row.indices is not None
            spec: Any = program.values[id].spec.at(rows)
            where = tuple(int(i) for i in np.unravel_index(element, spec.shape))
            number = np.dtype(spec.dtype).type(value)
            return OutOfRange(row, row.inputs[row.indices.input], number, where, spec.shape, limit)
    raise AssertionError("no step has found the index that stopped the run")
