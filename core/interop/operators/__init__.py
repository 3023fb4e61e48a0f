"""The operators of ONNX that lamina has, as graphs of its operations; importing fills the table."""

from . import (
    activations,
    arithmetic,
    einsum,
    indexing,
    learned,
    losses,
    norms,
    reductions,
    rounding,
    shapes,
    training,
)

__all__ = [
    "activations", "arithmetic", "einsum", "indexing", "learned", "losses", "norms", "reductions",
    "rounding", "shapes", "training",
]  # fmt: skip
