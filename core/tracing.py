"""From layers to a graph, for training and for the rest, and where the arrays lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..backends.program import Entry, Layout
from ..kernels.errors import ShapeError
from ..kernels.spec import ROWS, Rows, Spec
from . import initializers
from .graph.graph import Node, leaf
from .layers import Context, Layer, Parameter, extend

INIT_STREAM = 0x1817


@dataclass(frozen=True)
class ForwardGraph:
    """A model's layers as a graph.

    x: the batch's rows. outputs: the node behind each layer; the last one is the prediction.
    parameters, statistics: per layer, by name. observed: by the name of an array, what moving
    statistics are after a step of training.
    """

    x: Node
    outputs: tuple[Node, ...]
    parameters: tuple[dict[str, Parameter], ...]
    statistics: tuple[dict[str, Parameter], ...]
    observed: dict[str, Node] = field(default_factory=dict)

    @property
    def prediction(self) -> Node:
        """The last layer's output."""
        return self.outputs[-1] if self.outputs else self.x

    @property
    def names(self) -> list[str]:
        """The arrays of layers, those that are learned from data left out, in their order."""
        return [f"{i}.{name}" for i, found in enumerate(self.parameters) for name in found]

    @property
    def width(self) -> int:
        """The number of columns of the prediction."""
        width = self.prediction.shape[-1]
        assert not isinstance(width, Rows)
        return width


def forward_graph(
    layers: Sequence[Layer],
    features: tuple[int, ...],
    dtype: str,
    training: bool,
    rates: Mapping[str, float] | None = None,
) -> ForwardGraph:
    """The forward graph for inputs whose rows have the shape `features`.

    rates: by name, what stands in the place of the arrays' own factors on the learning rate.
    """
    if not features or any(d < 1 for d in features):
        raise ShapeError(f"a model needs at least one feature, not rows of shape {features}")
    x = leaf("batch", Spec((ROWS, *features), dtype), "x")
    node, outputs, parameters, statistics = x, [], [], []
    observed: dict[str, Node] = {}
    for number, layer in enumerate(layers):
        context = Context(training, number, rates=rates or {}, observed=observed)
        node, trained, learned = extend(layer, node, context)
        outputs.append(node)
        parameters.append(trained)
        statistics.append(learned)
    return ForwardGraph(x, tuple(outputs), tuple(parameters), tuple(statistics), observed)


def layout_of(
    graph: ForwardGraph, slots: tuple[str, ...], rates: Mapping[str, float] | None = None
) -> Layout:
    """Offsets in the flat segments: weights that decay, then other parameters, then statistics.

    graph: one that trains. slots: the optimizer's segments. rates: by name, what stands in the
    place of the parameters' own factors. Those that are frozen lie among the statistics, so that
    training does not know of them. Moving statistics come first there, so that a step replaces the
    beginning of the segment.
    """
    rates = rates or {}
    found: list[tuple[int, str, Parameter, float]] = []
    for number, (trained, learned) in enumerate(
        zip(graph.parameters, graph.statistics, strict=True)
    ):
        for name, p in trained.items():
            key = f"{number}.{name}"
            found.append((number, key, p, rates.get(key, p.rate)))
        found += [(number, f"{number}.{name}", p, 0.0) for name, p in learned.items()]
    found.sort(key=lambda row: (not row[3], row[1] not in graph.observed, not row[2].decayed))
    entries, offsets = [], {True: 0, False: 0}
    for number, name, p, rate in found:
        moves = rate != 0.0
        entry = Entry(
            name, number, offsets[moves], p.shape, moves, p.decayed, p.decay, rate,
            moving=name in graph.observed,
        )  # fmt: skip
        offsets[moves] += entry.size
        entries.append(entry)
    return Layout(tuple(entries), slots)


def first_values(graph: ForwardGraph, layout: Layout, segment: str, seed: int) -> np.ndarray:
    """A segment's first values, flat, float64, each array from a generator of its own.

    segment: "parameters" or "statistics". Raises: ShapeError where an initializer gives others.
    """
    flat = np.zeros(layout.length(segment))
    for number, pair in enumerate(zip(graph.parameters, graph.statistics, strict=True)):
        both = {**pair[0], **pair[1]}
        for index, (name, parameter) in enumerate(both.items()):
            entry = layout[f"{number}.{name}"]
            if entry.segment != segment:
                continue
            rng = np.random.default_rng([seed, INIT_STREAM, number, index])
            drawn = np.asarray(initializers.get(parameter.initializer)(entry.shape, rng))
            if drawn.shape != entry.shape:
                raise ShapeError(
                    f"the initializer of {entry.name} gave shape {drawn.shape}, not {entry.shape}"
                )
            flat[entry.offset : entry.offset + entry.size] = drawn.reshape(-1)
    return flat
