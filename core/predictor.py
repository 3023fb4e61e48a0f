"""Prediction made ready: a function of arrays, without the checks of `predict`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import batching
from ..backends.contract import Binding
from ..backends.state import Control, DataBlock
from ..kernels.errors import DtypeError, ShapeError
from .session import Session
from .standardization import Shift


class Predictor:
    """The prediction of a model as a function of rows; `model.prepare()` makes it.

    It uses the model's weights as they are when it is called, and may be called from several
    threads at once: each call has buffers of its own, which are kept for the next. A copy or a
    pickle of it brings a copy of the model's weights.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.backend, self.state = session.backend, session.state
        self.dtype = np.dtype(session.dtype)
        self.features = session.features
        self.free: dict[tuple[int, bool], list[Binding]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "free": {}}

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The last layer's output, (n, outputs).

        x: (n, features), row-major and of the model's dtype; float64 as well where the model keeps
            features apart that its dtype does not. Its numbers are not looked at.
        Raises: ShapeError, DtypeError.
        """
        if self.session.shift is not None:
            x = self._shifted(x, self.session.shift)
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
            binding.use(self._block(x))
            binding.run(Control(batch=capacity, steps=batching.count(rows, capacity)))
            result = binding.read("prediction")
        free.append(binding)
        return result

    def forget_data(self) -> None:
        """Lets go of the rows that were predicted last."""
        for (_, streamed), free in self.free.items():
            if streamed:
                free.clear()
            for binding in free:
                binding.use(self._no_data())

    def _bound(self, capacity: int) -> Binding:
        program = self.session.program("predict", capacity)
        return self.backend.compile(program).bind(self.state, self._no_data())

    def _no_data(self) -> DataBlock:
        return self._block(np.zeros((1, *(self.features or ())), self.dtype))

    def _block(self, x: np.ndarray) -> DataBlock:
        session = self.session
        return DataBlock(self.backend, {"x": x}, dtype=session.dtype, casts=session.casts)

    def _shifted(self, x: np.ndarray, shift: Shift) -> np.ndarray:
        if x.dtype not in (self.dtype, np.float64):
            self._refuse(x)
        if x.shape[1:] != self.features:
            self._refuse(x.astype(self.dtype))
        return x if isinstance(x, np.memmap) else shift(x, self.dtype.name)

    def _refuse(self, x: np.ndarray) -> None:
        if x.dtype != self.dtype:
            raise DtypeError(f"a prepared prediction takes {self.dtype}, not {x.dtype}")
        if x.shape[1:] != self.features:
            raise ShapeError(f"the model was built for rows of {self.features}, not {x.shape[1:]}")
        raise ShapeError("a prepared prediction takes row-major rows: np.ascontiguousarray(x)")
