"""What a run of several passes leaves behind: the values of each step, which become means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..program import Instruction, Program
from .tables import Stretch


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


def tell(
    watch: Callable[[Instruction, float], None], program: Program, part: Stretch,
    ticks: np.ndarray, seconds: float,
) -> None:  # fmt: skip
    """Tells a watcher what each instruction of a part took: of several shares, the slowest.

    ticks: of each task. seconds: of all of them together.
    """
    spent: dict[int, list[int]] = {}
    for share, starts in enumerate(part.starts):
        for task in range(starts[0], starts[-1]):
            times = spent.setdefault(part.tasks[task].owner, [0] * len(part.starts))
            times[share] += int(ticks[task])
    total = max(int(ticks[s[0] : s[-1]].sum()) for s in part.starts)
    instructions = [one for _, one in program.instructions()]
    for owner, times in spent.items():
        if owner >= 0:
            watch(instructions[owner], seconds * max(times) / max(total, 1))
