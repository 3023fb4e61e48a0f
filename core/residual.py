"""Residual blocks, and the layers that a model's file may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernels.errors import ShapeError
from . import blocks
from .ensemble import Ensemble
from .features import Clip, Embedding, FeatureScale, PiecewiseLinear, RobustScale
from .graph.graph import Node
from .layers import (
    Activation,
    Context,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Parameter,
    Standardize,
)
from .normalization import BatchNorm, LayerNorm


@dataclass(frozen=True)
class Residual(Layer):
    """x + f(x), f being layers one after the other (He et al. 2016); x keeps its shape, (n, ...).

    The arrays of its layers are the model's, by names such as "2.0.weight": of the first layer in
    the block that is layer 2. Blocks may stand in blocks, and layers of one's own too; a layer
    that learns from all rows, as `Standardize` does, must stand before.

    layers: a sequence of layers; what they make must have the shape of x.
    Raises: BadInput; ShapeError where the shapes differ.
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", blocks.check_layers("Residual", self.layers))

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Those of its layers, "0.weight" of the first."""
        return blocks.arrays("Residual", self.layers, shape)[0]

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Those of its layers, "1.mean" of the second."""
        return blocks.arrays("Residual", self.layers, shape)[1]

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x + f(x)."""
        node = blocks.chained(self.layers, x, parameters, context)
        if node.shape != x.shape:
            was, made = (", ".join(map(str, each.shape)) for each in (x, node))
            raise ShapeError(
                f"[Residual] its layers make ({made}) of rows ({was}), but x + f(x) needs one"
                f" shape: {self._way_out(x, node)}"
            )
        return x + node

    def _way_out(self, x: Node, node: Node) -> str:
        if x.ndim != 2 or node.ndim != 2:
            return "put lm.Flatten() before the block"
        return (
            f"end them in a layer of {x.shape[1]} outputs, or put lm.Dense({node.shape[1]}) before"
            " the block"
        )

    def config(self) -> dict[str, Any]:
        """Its layers, each with its class."""
        return {"layers": blocks.told(self.layers)}

    def brief(self) -> str:
        """The constructor's call with what differs from the defaults."""
        return f"Residual({blocks.brief(self.layers)})"


BUILTIN: dict[str, type[Layer]] = {
    c.__name__: c
    for c in (
        Dense, Flatten, Standardize, Dropout, Activation, LayerNorm, BatchNorm, Residual,
        RobustScale, PiecewiseLinear, FeatureScale, Embedding, Clip, Ensemble,
    )
}  # fmt: skip
