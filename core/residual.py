"""Residual blocks, and the layers that a model's file may name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernels.errors import BadInput, ShapeError
from ..kernels.spec import ROWS, Spec
from .graph.graph import Node, leaf
from .layers import (
    Activation,
    Context,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Parameter,
    Standardize,
    applied,
    extend,
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
        if isinstance(self.layers, Layer):
            raise BadInput(f"Residual takes a list: Residual([{self.layers.brief()}])")
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise BadInput("Residual needs at least one layer, such as lm.Dense(10)")
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise BadInput(
                    f"Residual: a layer is an object such as lm.Dense(10), not {layer!r}"
                )

    def _arrays(self, shape: tuple[int, ...]) -> tuple[dict[str, Parameter], dict[str, Parameter]]:
        """Parameters and statistics of all layers, for rows of that shape."""
        trained: dict[str, Parameter] = {}
        learned: dict[str, Parameter] = {}
        node = leaf("batch", Spec((ROWS, *shape), "float32"), "x")
        for number, layer in enumerate(self.layers):
            node, parameters, statistics = extend(layer, node, Context(False, 0))
            trained |= {f"{number}.{name}": p for name, p in parameters.items()}
            learned |= {f"{number}.{name}": p for name, p in statistics.items()}
            if not all(p.moving for p in statistics.values()):
                raise BadInput(
                    f"[Residual] {layer.brief()} learns from all rows before training, which a"
                    " layer in a block cannot: put it before the block"
                )
        return trained, learned

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Those of its layers, "0.weight" of the first."""
        return self._arrays(shape)[0]

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Those of its layers, "1.mean" of the second."""
        return self._arrays(shape)[1]

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """x + f(x)."""
        node = x
        for number, layer in enumerate(self.layers):
            prefix = f"{number}."
            own = {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}
            node = applied(layer, node, own, context.inside(number))
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
        return {"layers": [{"class": type(one).__name__, **one.config()} for one in self.layers]}

    def brief(self) -> str:
        """The constructor's call with what differs from the defaults."""
        return f"Residual([{', '.join(layer.brief() for layer in self.layers)}])"


BUILTIN: dict[str, type[Layer]] = {
    c.__name__: c
    for c in (
        Dense, Flatten, Standardize, Dropout, Activation, LayerNorm, BatchNorm, Residual,
    )
}  # fmt: skip
