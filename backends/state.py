"""What a program works on: the model's state, the data on the device, and what a run is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..kernels.memory import forget, taken
from .device import Array, Device
from .parts import Part
from .program import Layout

Casts = Mapping[str, Callable[[np.ndarray, str], np.ndarray]]  # by a column's name
MAPPED = 1 << 30  # bytes of a file that may lie in memory while its rows are read


class State:
    """Parameters, gradients, statistics and optimizer slots of one model on one device.

    All programs of a model share it. `flats`: each segment by name, one flat array of `dtype` on
    the backend; `layout` says what lies where. `seed` keys the random words of a run.
    `step` counts optimizer updates and `epoch` passes over the data, both over the model's life.
    `turn` is held by a run that writes a segment, and by who wants all of one moment.
    `with_loss`: the gradients and one number behind them, for the loss: what recorded steps of
    several processes sum together.

    Copies and pickles have memory of their own, and the same numbers.
    """

    def __init__(self, backend: Device, layout: Layout, dtype: str, seed: int) -> None:
        self.backend = backend
        self.layout = layout
        self.dtype = dtype
        self.seed = seed
        self.step = 0
        self.epoch = 0
        self.written = 0  # how often a segment was replaced
        self.turn = threading.RLock()
        # A parameter's address -> its numbers as an executor likes them, once for all programs.
        self.packed: dict[int, Array] = {}
        self.flats: dict[str, Array] = {
            name: backend.zeros(layout.length(name) + (name == "gradients"), dtype)
            for name in layout.segments
        }
        self.with_loss: Array = self.flats["gradients"]
        self.flats["gradients"] = self.with_loss[:-1]

    def write(self, segment: str, host: np.ndarray) -> None:
        """Replaces a whole segment by host numbers (cast to the state's dtype)."""
        array = np.ascontiguousarray(host, dtype=self.dtype).reshape(-1)
        with self.turn:
            if self.backend.functional:
                self.flats[segment] = self.backend.asarray(array)
            else:  # executables hold views of the segment, so its memory must stay
                self.backend.assign(self.flats[segment], self.backend.asarray(array))
            self.written += 1  # now: a run that copied the old numbers must see another version

    @property
    def version(self) -> tuple[int, int]:
        """Another one after every update and every `write`."""
        return self.step, self.written

    def read(self, segment: str) -> np.ndarray:
        """A host copy of a whole segment."""
        return np.asarray(self.backend.to_numpy(self.flats[segment]), dtype=self.dtype).reshape(-1)

    def array(self, name: str, segment: str | None = None) -> np.ndarray:
        """A host copy of the entry `name`, from its own segment or from the gradients or a slot."""
        entry = self.layout[name]
        flat = self.read(segment or entry.segment)
        return flat[entry.offset : entry.offset + entry.size].reshape(entry.shape)

    def moved(self, backend: Device) -> State:
        """The same state on another backend, or a copy on the same one."""
        return restored(backend, *self.numbers())

    def numbers(self) -> tuple[Layout, str, int, tuple[int, int], dict[str, np.ndarray]]:
        """All of one moment, on the host."""
        with self.turn:
            segments = {name: self.read(name) for name in self.layout.segments}
            return self.layout, self.dtype, self.seed, (self.step, self.epoch), segments

    def __deepcopy__(self, memo: dict[int, Any]) -> State:
        return self.moved(self.backend)

    def __reduce__(self) -> tuple[Callable[..., State], tuple[Any, ...]]:
        return restored, (self.backend, *self.numbers())


def restored(
    backend: Device,
    layout: Layout,
    dtype: str,
    seed: int,
    counters: tuple[int, int],
    segments: Mapping[str, np.ndarray],
) -> State:
    """A state with that step and epoch, and those numbers in its segments."""
    state = State(backend, layout, dtype, seed)
    state.step, state.epoch = counters
    for name, host in segments.items():
        state.write(name, host)
    return state


class DataBlock:
    """Rows of data for one backend, and an order to visit them in.

    columns: name -> host array with the rows along its first axis. Arrays in memory are uploaded
        once and stay on the device; a device that reads main memory reads them where they are. A
        `np.memmap` stays on disk, and what is no array (rows that are made when they are asked for,
        by a slice or by numbers) stays as it is: each batch is read, cast and uploaded when it is
        its turn.
    dtype: what a memory-mapped column of other numbers is cast to.
    weights: one non-negative number a row, on the host, or None when all rows weigh the same.
    order: row numbers to visit, or None for 0, 1, 2, ...
    casts: by a memory-mapped column's name what makes its rows numbers of the dtype, in place of a
        plain cast.

    Attributes: `columns`, those in memory, on the device; `streamed`, the others, on the host.
    """

    def __init__(
        self,
        backend: Device,
        columns: Mapping[str, np.ndarray],
        weights: np.ndarray | None = None,
        order: np.ndarray | None = None,
        dtype: str = "float32",
        casts: Casts | None = None,
    ) -> None:
        self.backend = backend
        self.dtype = dtype
        self.casts = casts or {}
        self.streamed: dict[str, np.ndarray] = {}
        self.columns: dict[str, Array] = {}
        self.rows = 1
        for name, column in columns.items():
            self.rows = len(column)
            if isinstance(column, np.memmap) or not isinstance(column, np.ndarray):
                self.streamed[name] = column
            else:
                self.columns[name] = backend.borrow(column)
        self.weights = weights
        self.order: np.ndarray | None = None
        self.device_order: Array | None = None
        if order is not None:
            self.reorder(order)

    def reorder(self, order: np.ndarray | None) -> None:
        """Sets the order in which the next run visits the rows."""
        self.order = None if order is None else np.ascontiguousarray(order, dtype=np.int32)
        self.device_order = None if self.order is None else self.backend.asarray(self.order)

    def read(self, name: str, start: int, rows: int) -> Array:
        """Rows [start, start + rows) of the order of a streamed column, on the device."""
        column, stop = self.streamed[name], start + rows
        large = isinstance(column, np.memmap) and column.nbytes > MAPPED
        if self.order is not None:
            numbers = self.order[start:stop]
            part = taken(column, numbers) if large else column[numbers]
        else:
            if large:
                forget(column)
            part = column[start:stop]
        cast = self.casts.get(name, np.asarray)
        return self.backend.asarray(cast(part, self.dtype))

    def batch_weights(self, start: int, rows: int) -> np.ndarray | None:
        """The weights of the rows [start, start + rows) of the order, as a host array."""
        weights = self.weights
        if weights is None:
            return None
        stop = start + rows
        batch: np.ndarray = (
            weights[start:stop] if self.order is None else weights[self.order[start:stop]]
        )
        return batch


@dataclass
class Control:
    """What a run is told, and what it tells.

    batch: rows a batch. cursor: the next row of the order. steps: batches to run at most.
    learning_rates: one number for each step of this run.
    part: of several processes that train one model, this one's; None: there is one.
    sums: name -> the accumulated sum of value times weight; weight_sum: that of the weights.
    stop: the run ended before an update, because a watched sum or the gradient was not finite: the
        state is as it was before that step, and the cursor behind its rows, whenever the executor
        came to know. nonfinite_step: which step of the run.
        nonfinite_instruction: which instruction of the forward stage made the first value that
        was not finite; -1 where it was the gradient. nonfinite_layer: the layer's number, or "".
    """

    batch: int
    cursor: int = 0
    steps: int = 1
    learning_rates: np.ndarray | None = None
    part: Part | None = None
    sums: dict[str, float] = field(default_factory=dict)
    weight_sum: float = 0.0
    stop: bool = False
    nonfinite_step: int = -1
    nonfinite_instruction: int = -1
    nonfinite_layer: str = ""

    def mean(self, name: str) -> float:
        """The weighted mean of a sum over the rows seen."""
        return self.sums.get(name, 0.0) / self.weight_sum if self.weight_sum else float("nan")
