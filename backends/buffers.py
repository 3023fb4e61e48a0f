"""What executors share: where a value lies, the numbers of a step, and which plans are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from ..kernels.spec import Spec, length
from .device import Array, Device
from .parts import FIRST
from .program import ARENA, Place, Program, ValueId
from .state import Control, State

Key = TypeVar("Key")
Plan = TypeVar("Plan")

KEPT_PLANS = 8  # a full batch, a last partial one, and a few sizes of predict


class Plans(dict[Key, Plan]):
    """Plans by what they were made for (a number of rows), the eldest forgotten.

    Looked up with `get`, which costs a run nothing but the look.
    """

    def keep(self, key: Key, make: Callable[[], Plan]) -> Plan:
        """Makes a plan that is not there, after the eldest of too many has gone."""
        if len(self) >= KEPT_PLANS:
            del self[next(iter(self))]
        plan = self[key] = make()
        return plan


class Buffers:
    """The memory of a program's values: arenas of its own, and the flat segments of the state.

    They are as large as a batch of the program's capacity needs, and stay where they are: a batch
    of fewer rows uses the beginning of each. An arena is made when something is to lie in it: where
    calls return new arrays, nothing does.
    """

    def __init__(self, backend: Device, program: Program, state: State) -> None:
        self.backend, self.program, self.state = backend, program, state
        self.arenas: dict[str, Array] = {}
        self.own: dict[ValueId, Array] = {}  # of values that the memory plan takes for views
        self.given: dict[ValueId, Array] = {}  # of values that are to lie elsewhere

    def array(self, id: ValueId, rows: int) -> Array:
        """A value's memory as an array for so many rows; a constant's is made anew each time."""
        value, place = self.program.values[id], self.program.memory.places.get(id)
        spec = value.spec.at(rows)
        if id in self.given:
            return self.given[id]
        if value.kind == "constant":
            return self.backend.asarray(self.program.constants[id])
        if value.kind == "flat":
            return self.state.flats[value.source]
        return self.apart(id, rows) if place is None else self.view(place, spec)

    def apart(self, id: ValueId, rows: int) -> Array:
        """Memory of a value that it shares with none, as an array for so many rows."""
        value = self.program.values[id]
        spec = value.spec.at(rows)
        if id not in self.own:
            whole = length(value.spec.at(self.program.capacity))
            self.own[id] = self.backend.zeros(whole, spec.dtype)
        return self._shaped(self.own[id], 0, spec)

    def view(self, place: Place, spec: Spec) -> Array:
        """The memory at a place, as an array of that concrete spec."""
        flat = self.state.flats.get(place.segment)
        if flat is None:
            flat = self._arena(place.segment)
        return self._shaped(flat, place.offset, spec)

    def _arena(self, name: str) -> Array:
        if name not in self.arenas:
            dtype = name.removeprefix(ARENA)
            self.arenas[name] = self.backend.zeros(self.program.memory.arenas[dtype], dtype)
        return self.arenas[name]

    def _shaped(self, flat: Array, offset: int, spec: Spec) -> Array:
        return self.backend.xp.reshape(flat[offset : offset + length(spec)], spec.shape)


def even_weights(rows: int, dtype: str) -> np.ndarray:
    """What is in the column "weights" when all rows weigh the same: (rows, 1)."""
    return np.full((rows, 1), 1.0 / rows, dtype=dtype)


def rate_of(control: Control, number: int) -> float:
    """The learning rate of a step of a run; 0 where nothing is trained."""
    rates = control.learning_rates
    return 0.0 if rates is None else float(rates[number])


def first_row(control: Control, number: int) -> int:
    """Where in the batch this process's first row is."""
    return 0 if control.part is None else int(control.part.table[number, FIRST])


def signed(word: int) -> int:
    """A 64-bit number, such as a seed, as the signed one of the same bits."""
    return word - (1 << 64) if word >= 1 << 63 else word


def control_number(source: str, state: State, rate: float, first: int = 0) -> float | int:
    """A number that the host gives to each step: learning_rate, step, seed, counter or first_row.

    `step` is that of the update to come, from 1; `counter` keys the generator, from 0; `first` is
    the place of the first row in a batch that several processes share.
    """
    if source == "learning_rate":
        return rate
    if source == "step":
        return state.step + 1
    if source == "first_row":
        return first
    return state.seed if source == "seed" else state.step
