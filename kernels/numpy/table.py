"""The table of NumPy kernels: universal functions, and what the modules beside it write in place.

A function there that is called like an operation is its kernel; the others are its helpers. Other
operations of single elements are their references, computed in parts that stay in a cache.
"""

from __future__ import annotations

import numpy as np

from ..op import Kernel, always
from ..ops import OPS
from . import activations, losses, operations, updates

MODULES = (operations, activations, losses, updates)
SUPPORTS = {
    "sum": operations.no_empty_sum, "mean": operations.no_empty_sum,
    "max": operations.no_empty_sum, "dense": activations.fusable,
    "dense_backward": activations.fusable,
}  # fmt: skip


def numpy_kernels() -> dict[str, Kernel]:
    """Every NumPy kernel, by operation."""
    parts = {
        name: Kernel(name, operations.in_parts(op.reference))
        for name, op in OPS.items()
        if op.independent == "elements" and not op.ufunc
    }
    table = {
        name: Kernel(name, operations.ufunc(name), source=getattr(np, op.ufunc))
        for name, op in OPS.items()
        if op.ufunc
    }
    written = {name: f for module in MODULES for name, f in vars(module).items() if name in OPS}
    made = {name: Kernel(name, f, SUPPORTS.get(name, always)) for name, f in written.items()}
    return parts | table | made
