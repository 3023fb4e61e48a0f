"""Where the nodes of a computation graph stand when it is drawn: columns by depth, rows apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .columns import short
from .graph.graph import Node

SIGNS = {
    "add": "{} + {}", "subtract": "{} − {}", "multiply": "{} · {}", "divide": "{} / {}",
    "negative": "−{}", "matmul": "{} @ {}", "power": "{} ^ {}",
}  # fmt: skip


class Traced(Protocol):
    """What `lm.trace` returns, as far as it is drawn."""

    @property
    def nodes(self) -> Sequence[Node]:
        """In order of computation."""

    @property
    def names(self) -> Mapping[Node, str]:
        """What each is called."""

    @property
    def values(self) -> Mapping[Node, np.ndarray]:
        """The number or array of each."""

    @property
    def derivatives(self) -> Mapping[Node, np.ndarray]:
        """The result's derivatives."""

    def formula(self, node: Node) -> str:
        """The node's operation on its inputs' names."""


@dataclass
class Placed:
    """A node to be drawn.

    name, formula, value, derivative: its words; formula is "" for an input. depth: the arrows
    between it and the first column. row: its place in that. inputs: the nodes arrows come from.
    """

    name: str
    formula: str
    value: str
    derivative: str
    inputs: list[Placed] = field(default_factory=list)
    depth: int = 0
    row: float = 0.0


def placed(trace: Traced) -> list[Placed]:
    """All nodes but nameless constants, which stand in the formulas: inputs first."""
    found: dict[Node, Placed] = {}
    for node in trace.nodes:
        if node.op == "constant" and not node.name:
            continue
        names = [trace.names[one] for one in node.inputs if one is not None]
        formula = SIGNS[node.op].format(*names) if node.op in SIGNS else trace.formula(node)
        found[node] = Placed(
            trace.names[node], "" if node.leaf else formula, _brief(trace.values[node]),
            _brief(trace.derivatives.get(node)), [found[n] for n in node.inputs if n in found],
        )  # fmt: skip
    nodes = list(found.values())
    for one in nodes:
        one.depth = 1 + max((other.depth for other in one.inputs), default=-1)
    for one in reversed(nodes):  # each stands right before what first takes it
        users = [other.depth for other in nodes if any(one is i for i in other.inputs)]
        one.depth = min(users, default=one.depth + 1) - 1
    _rows(nodes)
    return nodes


def _rows(nodes: list[Placed]) -> None:
    """Gives each its row: beside what takes it, one row at least between two of a depth."""
    for depth in range(max(one.depth for one in nodes), -1, -1):
        own = [one for one in nodes if one.depth == depth]
        wanted = {}
        for one in own:
            users = [u for u in nodes if any(one is other for other in u.inputs)]
            wanted[id(one)] = sum(user.row for user in users) / max(len(users), 1)
        own.sort(key=lambda one: wanted[id(one)])
        centre = sum(wanted.values()) / max(len(own), 1)
        for number, one in enumerate(own):
            one.row = centre + number - (len(own) - 1) / 2
    least = min(one.row for one in nodes)
    for one in nodes:
        one.row -= least


def _brief(array: np.ndarray | None) -> str:
    """As `short`, a number in four digits."""
    if array is not None and array.ndim == 0 and array.dtype.kind == "f":
        return f"{array.item() + 0.0:.4g}"
    return short(array)
