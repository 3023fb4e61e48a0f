"""Models that native runs are tested with."""

from __future__ import annotations

from typing import Any

import lamina as lm
import numpy as np
import support
from lamina.backends.walker import Walker


def layers() -> list[Any]:
    return [
        lm.Standardize(), lm.Dense(13, "tanh", weight_decay=0.01), lm.Dropout(0.3),
        lm.Dense(17, "relu"), lm.Dense(3, "softmax"),
    ]  # fmt: skip


def trained(walked: bool = False, dtype: str = "float64", **options: Any) -> lm.Sequential:
    x, y = support.classes(70)
    rule = options.pop("optimizer", lm.Adam(1e-2, clip_norm=1.0))
    model = lm.Sequential(
        layers(), "cross_entropy", rule, ("accuracy",), "numba", dtype=dtype, seed=4
    )
    if walked:
        model.backend.compile = lambda program: Walker(model.backend, program)  # type: ignore[method-assign]
    weights = np.linspace(0.5, 2.0, len(x)) if options.get("weighted") else None
    try:
        model.fit(x, y, epochs=4, batch_size=32, sample_weight=weights, verbose=0)
    finally:
        if walked:
            del model.backend.compile  # type: ignore[method-assign]
    return model
