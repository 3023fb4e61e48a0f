"""Large arrays on all cores: a kernel whose rows do not need each other, called on parts of them.

One core cannot move what memory gives. Each part runs the same machine code on whole rows, so the
numbers are those of one call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.op import Kernel
from . import threads

LARGE = 8 * 2**20  # bytes of the first input; less is done before another thread is awake
GRAIN = 4096  # elements: parts of flat arrays begin where a block of the kernels does

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus")
SHARED = (
    *ACTIVATIONS, *(f"{name}_backward" for name in ACTIVATIONS),
    "gelu", "gelu_backward", "gelu_tanh", "gelu_tanh_backward",
    "softmax", "softmax_backward", "log_softmax", "log_softmax_backward",
    "cross_entropy", "binary_cross_entropy", "mean_squared_error",
    "mean_squared_error_backward", "sigmoid_binary_cross_entropy_backward",
    "softmax_cross_entropy_backward",
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

        def part(start: int, stop: int) -> None:
            some = [one[start:stop] if by else one for one, by in zip(inputs, cut, strict=True)]
            kernel.function(tuple(one[start:stop] for one in out), *some, **attrs)

        threads.crew.share(part, rows, max(1, GRAIN * rows // first.size))

    return Kernel(kernel.op, run, kernel.supports)
