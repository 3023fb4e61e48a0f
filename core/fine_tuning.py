"""Factors on the learning rate of single arrays, and averages put in the place of weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..kernels.errors import BadInput
from .averages import AVERAGE
from .checks import check_number
from .session import Session


def by_array(names: Sequence[str], rates: Mapping[int | str, float]) -> dict[str, float]:
    """The factors on the learning rate by array, where they were given by layer too.

    names: of the model's arrays, "0.weight" of the first layer. rates: by such a name or a layer's
    number, from 0; later ones win. Raises: BadInput for one that is negative, or of no array.
    """
    found: dict[str, float] = {}
    for which, rate in rates.items():
        check_number(f"set_rates: the factor of {which!r}", rate, 0.0, np.inf, open_high=True)
        chosen = [name for name in names if which in (name, int(name.split(".")[0]))]
        if not chosen:
            raise BadInput(f"set_rates: no layer or array {which!r}: there are {names}")
        found.update(dict.fromkeys(chosen, float(rate)))
    return found


def take_average(session: Session) -> None:
    """Puts the average in the place of the weights, and keeps none from now on.

    Raises: NotBuilt; BadInput where nothing was averaged.
    """
    state, average = session.state, session.optimizer.average
    if average is None or AVERAGE not in state.layout.slots:
        raise BadInput("the model keeps no average: lm.Adam(1e-3, average=lm.EMA()) does, say")
    if state.step < average.start + average.every:
        raise BadInput(f"nothing is averaged yet, at step {state.step}: {average!r}")
    session.optimizer = replace(session.optimizer, average=None)
    session.set_rates({})
    session.state.write("parameters", state.read(AVERAGE))
