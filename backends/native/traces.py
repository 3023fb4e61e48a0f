"""What a run of several passes leaves behind: the values of each step, which become means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def means_of(
    trace: np.ndarray, steps: int, passes: int, names: Sequence[str]
) -> list[dict[str, float]]:
    """The means of each pass that was whole, by name.

    trace: (steps, 1 + sums), a step's weight and then its values. steps: of a pass.
    """
    whole = trace[: passes * steps].reshape(-1, steps, trace.shape[1])
    weights = np.add.accumulate(whole[:, :, 0], axis=1)[:, -1]
    found: dict[str, np.ndarray] = {}
    for at, name in enumerate(names):  # one after the other, as `run` adds them
        sums = np.add.accumulate(whole[:, :, at + 1] * whole[:, :, 0], axis=1)[:, -1]
        found[name] = sums / weights
    return [
        {name: float(values[number]) for name, values in found.items()}
        for number in range(len(whole))
    ]
