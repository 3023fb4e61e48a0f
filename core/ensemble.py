"""Several networks of the same layers as one layer: their outputs' mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernels.errors import BadInput
from . import blocks
from .checks import check_count
from .graph.graph import Node
from .layers import Context, Layer, Parameter

MOST = 1000  # members: a graph has nodes for each


@dataclass(frozen=True)
class Ensemble(Layer):
    """The mean of `members` networks of the same layers, each with weights of its own.

    (n, features) becomes what the layers make of it. Before a softmax the mean is that of the
    members' logits: a geometric mean of their probabilities. Arrays have names such as
    "1.3.0.weight": of the first layer of member 3 of the ensemble that is layer 1.

    layers: a sequence of layers, the same for each member; one that learns from all rows, as
        `Standardize` does, must stand before the ensemble. members: how many, from 1 to
        1000.
    Raises: BadInput.
    """

    layers: Sequence[Layer]
    members: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", blocks.check_layers("Ensemble", self.layers))
        check_count("Ensemble: members", self.members)
        if self.members > MOST:
            raise BadInput(f"Ensemble: members must be at most {MOST}, not {self.members}")

    def _all(self, found: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """One member's arrays, for each of them."""
        members = range(self.members)
        return {f"{number}.{name}": p for number in members for name, p in found.items()}

    def parameters(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Those of all members, "0.1.weight" of the second layer of the first."""
        return self._all(blocks.arrays("Ensemble", self.layers, shape)[0])

    def statistics(self, shape: tuple[int, ...]) -> Mapping[str, Parameter]:
        """Those of all members."""
        return self._all(blocks.arrays("Ensemble", self.layers, shape)[1])

    def forward(self, x: Node, parameters: Mapping[str, Node], context: Context) -> Node:
        """The mean of the members' outputs."""
        total = None
        for number in range(self.members):
            own, place = blocks.within(parameters, number), context.inside(number)
            one = blocks.chained(self.layers, x, own, place)
            total = one if total is None else total + one
        assert total is not None
        return total * (1.0 / self.members)

    def config(self) -> dict[str, Any]:
        """Its layers, each with its class, and how many members."""
        return {"layers": blocks.told(self.layers), "members": self.members}

    def brief(self) -> str:
        """The constructor's call."""
        return f"Ensemble({blocks.brief(self.layers)}, {self.members})"
