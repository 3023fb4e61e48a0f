"""Large arrays on all cores: a kernel whose rows do not need each other, called on parts of them.

One core cannot move what memory gives. Each part runs the same machine code on whole rows, so the
numbers are those of one call; a sum over rows is the sum of its parts' sums.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..kernels.op import Kernel
from ..kernels.ops import OPS
from . import threads

LARGE = 8 * 2**20  # bytes of the first input; less is done before another thread is awake
GRAIN = 4096  # elements: parts of flat arrays begin where a block of the kernels does
SUMS = 64  # parts of a sum, however many cores there are: the same number every time


def shared(kernel: Kernel) -> Kernel:
    """The kernel, on all free cores where its arrays are large; itself where rows need each other.

    What is cut is the leading axis: in an operation along the last one there must be another.
    """
    independent = OPS[kernel.op].independent
    if independent is None:
        return kernel
    least = 2 if independent == "rows" else 1

    def run(out: tuple[Any, ...], *inputs: Any, **attrs: Any) -> None:
        first = inputs[0]
        if first.nbytes < LARGE or first.ndim < least or threads.count() == 1:
            kernel.function(out, *inputs, **attrs)
            return
        rows, rank = first.shape[0], first.ndim
        cut = [isinstance(one, np.ndarray) and one.ndim > 0 for one in inputs]
        arrays = (one for one, by in zip(inputs, cut, strict=True) if by)
        if any(one.shape[0] != rows or one.ndim != rank for one in arrays):
            kernel.function(out, *inputs, **attrs)
            return

        def part(start: int, stop: int, sums: list[Any]) -> None:
            some = [one[start:stop] if by else one for one, by in zip(inputs, cut, strict=True)]
            kernel.function((*[one[start:stop] for one in out if one.ndim], *sums), *some, **attrs)

        totals = [one for one in out if not one.ndim]  # they stand behind the others
        if not totals:
            grain = max(1, GRAIN * rows // first.size)
            threads.crew.share(lambda start, stop: part(start, stop, []), rows, grain)
            return
        count = min(SUMS, rows)
        found = [np.empty((count,), one.dtype) for one in totals]
        marks = [rows * number // count for number in range(count + 1)]

        def parts(start: int, stop: int) -> None:
            for number in range(start, stop):
                own = [each[number : number + 1].reshape(()) for each in found]
                part(marks[number], marks[number + 1], own)

        threads.crew.share(parts, count, 1)
        for one, each in zip(totals, found, strict=True):
            one[...] = each.sum(dtype=np.float64)

    return replace(kernel, function=run, source=kernel.source or kernel.function)
