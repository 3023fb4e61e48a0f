"""The matrix products of a training step and nothing else: what a step cannot be faster than.

Through NumPy, whose BLAS uses all cores. Inputs and gradients are random matrices of the step's
shapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...kernels.errors import BadInput
from .by_hand import Training
from .peer import Peer, Task, Workload

Array = np.ndarray
ALLOWED = {"float32": 1e-4, "float64": 1e-12}  # relative to the largest entry, in float64


class Products(Training):
    """Its answer is that of NumPy by hand; what is timed are products, checked by themselves."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        network, rng = task.network, np.random.default_rng(0)

        def matrices(rows: int | None) -> list[Array]:
            shapes = [(network.batch, size) for size in network.sizes]
            if rows is None:
                shapes = list(zip(network.sizes, network.sizes[1:], strict=False))
            return [rng.standard_normal(shape).astype(network.dtype) for shape in shapes]

        self.inputs, self.deltas = matrices(network.batch), matrices(network.batch)
        self.kernels = matrices(None)
        self.made = [np.empty((a.shape[0], b.shape[1]), a.dtype) for a, b in self.pairs()]

    def pairs(self) -> Iterator[tuple[Array, Array]]:
        """The factors, in the order of a step."""
        yield from zip(self.inputs, self.kernels, strict=False)
        for i in range(len(self.kernels) - 1, -1, -1):
            yield self.inputs[i].T, self.deltas[i + 1]
            if i:
                yield self.deltas[i + 1], self.kernels[i].T

    def perform(self, units: int) -> None:
        """The products of so many steps."""
        products = [(a, b, out) for (a, b), out in zip(self.pairs(), self.made, strict=True)]
        for _ in range(units):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    def answer(self) -> dict[str, Any]:
        """Raises: ArithmeticError for a product that is not what float64 finds."""
        self.perform(1)
        for (a, b), out in zip(self.pairs(), self.made, strict=True):
            right = a[:8].astype("float64") @ b.astype("float64")
            off = np.abs(out[:8] - right).max() / np.abs(right).max()
            if not off <= ALLOWED[self.task.network.dtype]:
                raise ArithmeticError(f"a product of {a.shape} and {b.shape} is off by {off:.1e}")
        return super().answer()


def workload(peer: Peer, task: Task) -> Workload:
    """The products. Raises: BadInput for layers that have more than the sizes tell."""
    if len(task.network.pairs) >= len(task.network.sizes):
        raise BadInput(f"it multiplies by no weights of {task.network.layer}")
    return Products(task)
