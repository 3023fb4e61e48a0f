"""Large arrays on all cores: a kernel whose rows do not need each other, called on parts of them.

One core cannot move what memory gives. Each part runs the same machine code on whole rows, so the
numbers are those of one call; a sum over rows is the sum of its parts' sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.op import Kernel
from . import threads

LARGE = 8 * 2**20  # bytes of the first input; less is done before another thread is awake
GRAIN = 4096  # elements: parts of flat arrays begin where a block of the kernels does
SUMS = 64  # parts of a sum, however many cores there are: the same number every time

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus")
SHARED = (
    *ACTIVATIONS, *(f"{name}_backward" for name in ACTIVATIONS),
    "exp", "gelu", "gelu_backward", "gelu_tanh", "gelu_tanh_backward",
    "softmax", "softmax_backward", "log_softmax", "log_softmax_backward",
    "cross_entropy", "binary_cross_entropy", "mean_squared_error",
    "mean_squared_error_backward", "sigmoid_binary_cross_entropy_backward",
    "softmax_cross_entropy_backward", "softmax_cross_entropy", "sigmoid_binary_cross_entropy",
    "sgd_update", "momentum_update", "nesterov_update", "rmsprop_update", "adam_update",
)  # fmt: skip


def shared(kernel: Kernel) -> Kernel:
    """The kernel, on all free cores where its arrays are large."""

    def run(out: tuple[Any, ...], *inputs: Any, **attrs: Any) -> None:
        first = inputs[0]
        if first.nbytes < LARGE or first.ndim == 0 or threads.count() == 1:
            kernel.function(out, *inputs, **attrs)
            return
        rows = first.shape[0]
        cut = [isinstance(one, np.ndarray) and one.ndim > 0 for one in inputs]
        if any(one.shape[0] != rows for one, by in zip(inputs, cut, strict=True) if by):
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

    return Kernel(kernel.op, run, kernel.supports)
