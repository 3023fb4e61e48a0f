"""Norms and networks with them, that several test files use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import lamina as lm
import support


def own_norm(x: Any) -> Any:
    """A layer norm by hand, on nodes."""
    off = x - lm.ops.mean(x, axis=-1, keepdims=True)
    variance = lm.ops.mean(off * off, axis=-1, keepdims=True)
    return off / lm.ops.sqrt(variance + 1e-5)


@dataclass(frozen=True)
class Doubled(lm.Layer):
    """A layer of one's own, with a parameter."""

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, lm.Parameter]:
        return {"by": lm.Parameter((1, *shape), "ones")}

    def forward(self, x: Any, parameters: Mapping[str, Any], context: Any) -> Any:
        return x * parameters["by"] * 2.0


def norms(backend: Any = "numpy", **changes: Any) -> lm.Sequential:
    """A small network with everything.

    The optimizer's epsilon is large: a bias in front of a batch norm has no gradient but rounding.
    """
    layers = [
        lm.Dense(6), lm.BatchNorm(), lm.Activation("relu"),
        lm.Residual([lm.LayerNorm(), Doubled(), lm.Dropout(0.3),
                     lm.Residual([lm.BatchNorm(shift=False), lm.Dense(6, "silu")])]),
        lm.Dense(3, "softmax"),
    ]  # fmt: skip
    settings = {"layers": layers, "optimizer": lm.Adam(0.01, epsilon=1e-3), **changes}
    return support.classifier(backend, **settings)
