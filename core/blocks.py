"""Layers within a layer: their arrays by name, and one applied after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..kernels.errors import BadInput
from ..kernels.spec import ROWS, Spec
from .graph.graph import Node, leaf
from .layers import Context, Layer, Parameter, applied, extend


def check_layers(kind: str, layers: Any) -> tuple[Layer, ...]:
    """The layers of a layer of that kind. Raises: BadInput for none, or for what is no layer."""
    if isinstance(layers, Layer):
        raise BadInput(f"{kind} takes a list: {kind}([{layers.brief()}])")
    found = tuple(layers)
    if not found:
        raise BadInput(f"{kind} needs at least one layer, such as lm.Dense(10)")
    for layer in found:
        if not isinstance(layer, Layer):
            raise BadInput(f"{kind}: a layer is an object such as lm.Dense(10), not {layer!r}")
    return found


def arrays(
    kind: str, layers: Sequence[Layer], shape: tuple[int, ...]
) -> tuple[dict[str, Parameter], dict[str, Parameter]]:
    """Parameters and statistics of layers one after the other, by name, "0.weight" of the first.

    kind: of the layer that has them, for messages. shape: of a row that comes in, without n.
    Raises: BadInput where one learns from all rows; ShapeError where they do not fit each other.
    """
    trained: dict[str, Parameter] = {}
    learned: dict[str, Parameter] = {}
    node = leaf("batch", Spec((ROWS, *shape), "float32"), "x")
    for number, layer in enumerate(layers):
        node, parameters, statistics = extend(layer, node, Context(False, 0))
        trained |= {f"{number}.{name}": p for name, p in parameters.items()}
        learned |= {f"{number}.{name}": p for name, p in statistics.items()}
        if not all(p.moving for p in statistics.values()):
            raise BadInput(
                f"[{kind}] {layer.brief()} learns from all rows before training, which a"
                " layer in a block cannot: put it before the block"
            )
    return trained, learned


def chained(
    layers: Sequence[Layer], x: Node, parameters: Mapping[str, Node], context: Context
) -> Node:
    """The last layer's output, (n, ...), of x, (n, ...). parameters: by names as in `arrays`."""
    for number, layer in enumerate(layers):
        x = applied(layer, x, within(parameters, number), context.inside(number))
    return x


def within(parameters: Mapping[str, Node], part: int) -> dict[str, Node]:
    """The arrays of a part by its own names: "0.weight" of part 0 is its "weight"."""
    prefix = f"{part}."
    return {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}


def told(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    """The layers in words of JSON, each with its class."""
    return [{"class": type(one).__name__, **one.config()} for one in layers]


def brief(layers: Sequence[Layer]) -> str:
    """The layers' constructor calls, in brackets."""
    return f"[{', '.join(layer.brief() for layer in layers)}]"
