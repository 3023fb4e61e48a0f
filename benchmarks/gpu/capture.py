"""Captured steps against launched ones: a hundred replays, the same bits; two runs, the same bits.

Many steps by one block against them: the same numbers but for rounding, and twice the same bits. A
difference is a failure, with the array that differs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ...backends.contract import Backend
from .writing import argument, backend, model, rows, size, write

STEPS, BATCH = size(100, 20), 32
ROUNDING = 1e-2  # float32 after so many steps of Adam


def trained(on: Backend, epochs: int = 2) -> dict[str, np.ndarray]:
    """All that a training leaves."""
    one = model(on)
    x, y = rows(STEPS * BATCH)
    history = one.fit(x, y, epochs=epochs, batch_size=BATCH, verbose=0).history
    found = {name: np.array(values) for name, values in history.items()}
    return found | {name: one.state.read(name) for name in one.state.layout.segments}


def different(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> list[str]:
    """The names of arrays that are not the same bits; gradients are no result."""
    names = [name for name in one if name != "gradients"]
    return [name for name in names if one[name].tobytes() != other[name].tobytes()]


def apart(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """The largest difference, in shares of the largest number of its array."""
    pairs = [(one[name].astype("float64"), other[name]) for name in one if name != "gradients"]
    return max(
        float(np.abs(a - b).max(initial=0.0) / max(np.abs(b).max(initial=0.0), 1e-30))
        for a, b in pairs
    )


def main(path: str) -> int:
    """1 where bits differ, or a persistent kernel is further off than rounding."""
    captured, small = backend(persistent=False), backend()
    wanted, found = trained(captured), trained(small)
    off = apart(found, wanted)
    told: dict[str, Any] = {
        "device": captured.device,
        "steps": STEPS * 2,
        "captured and launched differ in": different(wanted, trained(backend(graphs=False))),
        "two runs differ in": different(wanted, trained(captured)),
        "two persistent runs differ in": different(found, trained(small)),
        "persistent and captured are apart by": off,
    }
    write(path, told)
    print(told)
    return int(off > ROUNDING or any(value for name, value in told.items() if "differ" in name))


if __name__ == "__main__":
    sys.exit(main(argument()))
