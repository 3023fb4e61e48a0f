"""Prediction made ready: a function of arrays, without the checks of `predict`."""

from __future__ import annotations

import numpy as np

from ..backends import batching
from ..backends.contract import Binding
from ..backends.state import Control, DataBlock
from ..kernels.errors import DtypeError, ShapeError
from .session import Session

PROBABILITIES = ("softmax", "sigmoid")  # operations that a prediction of classes ends in


def classes_of(p: np.ndarray, op: str) -> np.ndarray:
    """Class numbers of probabilities, int32: the one rule for all that says a class.

    p: (n, outputs), what the operation `op` gave. Of several outputs of a softmax the likeliest,
    the first of equals: (n,). Of a sigmoid 1 from one half on, as the metric "accuracy" counts:
    (n,) for one output, (n, outputs) for several.
    """
    chosen: np.ndarray = np.argmax(p, axis=1) if op == "softmax" else p >= 0.5
    if chosen.ndim == 2 and chosen.shape[1] == 1:
        chosen = chosen[:, 0]
    return chosen.astype(np.int32)


class Predictor:
    """The prediction of a model as a function of rows; `model.prepare()` makes it.

    It uses the model's weights as they are when it is called, and may be called from several
    threads at once: each call has buffers of its own, which are kept for the next.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.backend, self.state = session.backend, session.state
        self.dtype = np.dtype(session.dtype)
        self.features = session.features
        self.free: dict[tuple[int, bool], list[Binding]] = {}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, (n, outputs).

        x: (n, features), row-major and of the model's dtype. Its numbers are not looked at.
        Raises: ShapeError, DtypeError.
        """
        if x.dtype != self.dtype or x.shape[1:] != self.features or not x.flags.c_contiguous:
            self._refuse(x)
        return self.run(x)

    def run(self, x: np.ndarray) -> np.ndarray:
        """The same for rows that were checked; a memory map of any dtype is read batch by batch."""
        rows = len(x)
        capacity = batching.capacity(rows)
        streamed = isinstance(x, np.memmap)
        free = self.free.setdefault((capacity, streamed), [])
        try:
            binding = free.pop()
        except IndexError:
            binding = self._bound(capacity)
        result = None if streamed or rows > capacity else binding.apply(x)
        if result is None:
            binding.use(DataBlock(self.state.backend, {"x": x}, dtype=self.state.dtype))
            binding.run(Control(batch=capacity, steps=batching.count(rows, capacity)))
            result = binding.read("prediction")
        free.append(binding)
        return result

    def _bound(self, capacity: int) -> Binding:
        program = self.session.program("predict", capacity)
        empty = np.zeros((1, *(self.features or ())), self.dtype)
        state = self.state
        block = DataBlock(state.backend, {"x": empty}, dtype=state.dtype)
        return self.backend.compile(program).bind(state, block)

    def _refuse(self, x: np.ndarray) -> None:
        if x.dtype != self.dtype:
            raise DtypeError(f"a prepared prediction takes {self.dtype}, not {x.dtype}")
        if x.shape[1:] != self.features:
            raise ShapeError(f"the model was built for rows of {self.features}, not {x.shape[1:]}")
        raise ShapeError("a prepared prediction takes row-major rows: np.ascontiguousarray(x)")
