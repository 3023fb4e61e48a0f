"""Arrays of layers among the flat segments of a state: replaced, read by layer, laid out anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..backends.program import Layout
from ..backends.state import State
from ..kernels.errors import BadInput, ShapeError
from . import inputs
from .arrays import host_array
from .averages import AVERAGE


def replace_all(state: State, names: Sequence[str], given: Sequence[Any]) -> None:
    """Replaces the arrays of those names, one for one; a bias may be (n_out,). All or nothing.

    names: "0.weight" of the first layer. given: of any numbers, in the same order.
    Raises: ShapeError for another number of them or other shapes, DtypeError, BadInput.
    """
    if not isinstance(given, (list, tuple)):
        raise BadInput(f"set_weights takes a list of arrays, not {type(given).__name__}")
    if len(given) != len(names):
        raise ShapeError(f"set_weights got {len(given)} arrays, the model has {len(names)}")
    layout = state.layout
    flats = {"parameters": np.empty(layout.length("parameters"), dtype=state.dtype)}
    with state.turn:
        for name, value in zip(names, given, strict=True):
            entry = layout[name]
            own = host_array(name, value)
            array = inputs.cast(name, own, state.dtype)  # (1,) where its own shape is ()
            if entry.shape not in (own.shape, array.shape, (1, *array.shape)):
                raise ShapeError(f"set_weights: {name} has shape {entry.shape}, not {array.shape}")
            if entry.segment not in flats:  # frozen: among statistics, which stay
                flats[entry.segment] = state.read(entry.segment)
            flats[entry.segment][entry.offset : entry.offset + entry.size] = array.reshape(-1)
        for segment, flat in flats.items():
            state.write(segment, flat)


def by_layer(
    layout: Layout, flat: np.ndarray, parameters: Iterable[Iterable[str]]
) -> list[dict[str, np.ndarray]]:
    """Copies of what a flat array has of each layer's arrays, by name; frozen ones have nothing.

    parameters: per layer the names.
    """
    found = []
    for number, names in enumerate(parameters):
        entries = {name: layout[f"{number}.{name}"] for name in names}
        found.append(
            {
                name: flat[e.offset : e.offset + e.size].reshape(e.shape).copy()
                for name, e in entries.items()
                if e.trainable
            }
        )
    return found


def laid_out(old: State, layout: Layout) -> State:
    """A state with that layout and the numbers of an old one, on its device.

    Slots of arrays that were frozen, or that are kept only now, begin as an optimizer's do; an
    average of theirs begins as the arrays themselves.
    """
    state = State(old.backend, layout, old.dtype, old.seed)
    with old.turn:
        state.step, state.epoch = old.step, old.epoch
        known: Mapping[str, np.ndarray] = {name: old.read(name) for name in old.layout.segments}
    flats = {
        name: np.zeros(layout.length(name), dtype=old.dtype)
        for name in ("parameters", "statistics", *layout.slots)
    }
    for entry in layout.entries:
        place = slice(entry.offset, entry.offset + entry.size)
        was = old.layout[entry.name]
        there = slice(was.offset, was.offset + was.size)
        flats[entry.segment][place] = known[was.segment][there]
        for slot in layout.slots if entry.trainable else ():
            if was.trainable and slot in old.layout.slots:
                flats[slot][place] = known[slot][there]
            elif slot == AVERAGE:
                flats[slot][place] = known[was.segment][there]
    for name, flat in flats.items():
        state.write(name, flat)
    return state
