"""What the parts have in common: results as JSON, and the backend that they are about."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...backends.selection import get_backend
from ...core.layers import Dense, Dropout
from ...core.model import Sequential
from ...core.optimizers import AdamW

# On the fake of CuPy, to see that every part ends: sizes are small, and no figure means anything.
REHEARSAL = os.environ.get("LAMINA_REHEARSAL") == "1"


def size(full: Any, small: Any) -> Any:
    """A size of what is measured; the small one in a rehearsal."""
    return small if REHEARSAL else full


def backend(graphs: bool = True, persistent: bool = True) -> Any:
    """The GPU. Raises: BackendUnavailable with the reason and what mends it.

    graphs, persistent: whether steps are captured, and small ones a persistent kernel.
    """
    known: Any = get_backend("cuda")
    return known if graphs and persistent else type(known)(known.index, graphs, persistent)


def write(path: str, found: Any) -> None:
    """Keeps what was found, as far as it is known: a part may be stopped."""
    if REHEARSAL:
        found = {"rehearsal": "on a fake of CuPy, in small sizes: no figure means anything"} | found
    Path(path).write_text(json.dumps(found, indent=1) + "\n")


def argument(at: int = 1) -> str:
    """A word of the command line."""
    return sys.argv[at]


def model(on: Backend, seed: int = 0) -> Sequential:
    """A network with all that a step may have."""
    layers = [Dense(64, "relu", weight_decay=1e-4), Dropout(0.2), Dense(10, "softmax")]
    rule = AdamW(1e-3, clip_norm=1.0)
    return Sequential(layers, "cross_entropy", rule, ("accuracy",), backend=on, seed=seed)


def rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 64 features and ten classes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((count, 64)).astype("float32")
    return x, rng.integers(0, 10, count)
