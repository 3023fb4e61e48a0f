"""Captured steps against launched ones: a hundred replays, the same bits; two runs, the same bits.

A difference is a failure, with the array that differs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ...backends.contract import Backend
from .writing import argument, backend, model, rows, write

STEPS, BATCH = 100, 32


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


def main(path: str) -> int:
    """1 where bits differ."""
    captured = backend()
    launched = type(captured)(captured.index, graphs=False)  # type: ignore[call-arg]
    wanted = trained(captured)
    found: dict[str, Any] = {
        "device": captured.device,
        "steps": STEPS * 2,
        "captured and launched differ in": different(wanted, trained(launched)),
        "two runs differ in": different(wanted, trained(captured)),
    }
    write(path, found)
    print(found)
    return int(any(value for name, value in found.items() if "differ" in name))


if __name__ == "__main__":
    sys.exit(main(argument()))
