"""A session: one network on one device, and what training and prediction need of it.

It traces the layers, holds the weights, checks what comes in, makes programs and lends bindings.
The model is its user's face; training, prediction, inspection and checkpoints work with this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..backends import batching
from ..backends.contract import Binding
from ..backends.dispatch import check_dtype
from ..backends.program import Layout, Program
from ..backends.selection import Choice, Selection, select
from ..backends.state import Control, DataBlock, State
from ..kernels.errors import BadInput, NotBuilt, ShapeError
from ..kernels.spec import ROWS, Rows, Spec
from . import initializers, inputs
from .averages import AVERAGE
from .examples import Examples
from .graph.graph import Node
from .layers import Layer
from .losses import Loss, Metric, check_last
from .optimizers import Optimizer
from .tracing import ForwardGraph, forward_graph, layout_of, predict_program, train_program

INIT_STREAM = 0x1817
Kind = Literal["train", "gradients", "evaluate", "predict"]


def select_for(dtype: str, choice: Choice) -> Selection:
    """The backend for a choice, "auto" leaving it to the later ones; it must know the dtype."""
    open_choice = isinstance(choice, str) and choice == "auto"
    chosen = select(None if open_choice else choice)
    check_dtype(chosen.backend, "Sequential", Spec((1,), dtype))
    return chosen


def first_values(graph: ForwardGraph, layout: Layout, segment: str, seed: int) -> np.ndarray:
    """A segment's first values, each array from a generator of its own. Raises: ShapeError."""
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


def means(control: Control) -> dict[str, float]:
    """The weighted means of loss and metrics so far."""
    return {name: control.mean(name) for name in control.sums}


class Lease:
    """A binding that is nobody else's until it is given back; one that is not is forgotten."""

    __slots__ = ("_free", "binding")

    def __init__(self, binding: Binding, free: list[Binding]) -> None:
        self.binding = binding
        self._free = free

    def close(self) -> None:
        """Gives the binding back; once."""
        self._free.append(self.binding)

    def __enter__(self) -> Binding:
        return self.binding

    def __exit__(self, *details: object) -> None:
        self.close()


class Session:
    """One network on one device.

    features: the shape of a row, once built. columns: of the data frame that it was built on.
    learned: whether layers with statistics have seen the training data. backend, backend_reason:
    the device, and why this one.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        loss: Loss,
        optimizer: Optimizer,
        metrics: tuple[Metric, ...],
        dtype: str,
        seed: int,
        backend: Choice,
    ) -> None:
        self.layers, self.loss, self.optimizer, self.metrics = layers, loss, optimizer, metrics
        self.dtype, self.seed = dtype, seed
        self.features: tuple[int, ...] | None = None
        self.columns: tuple[str, ...] | None = None
        self.learned = False
        self.rates: dict[str, float] = {}  # by array: factors that are not the layers' own
        self._state: State | None = None
        self._graphs: dict[bool, ForwardGraph] = {}
        # Bindings that nobody uses now, by what they run and over which columns.
        self._free: dict[tuple[Kind, int, int, tuple[str, ...]], list[Binding]] = {}
        chosen = select_for(dtype, backend)
        self.backend, self.backend_reason = chosen.backend, chosen.why
        self._undecided = chosen.open

    # The device

    def choose(self, choice: Choice) -> None:
        """Moves to the device of a choice."""
        self.adopt(select_for(self.dtype, choice))

    def adopt(self, chosen: Selection) -> None:
        """Takes a backend, and moves to it what there is."""
        if chosen.backend is not self.backend:
            if self._state is not None:
                self._state = self._state.moved(chosen.backend)
            self._free = {}  # leases that are out come back to lists that nobody reads
        self.backend, self.backend_reason = chosen.backend, chosen.why
        self._undecided = chosen.open

    def settle(self, rows: int) -> None:
        """Decides, where LAMINA_AUTO=measured left it open, before the first step of training.

        rows: of a batch. The numbers of the model do not change.
        """
        if not self._undecided:
            return
        from ..backends.measured import step_flops
        from ..backends.selection import choose

        parameters = self.state.layout.length("parameters")
        self.adopt(choose(step_flops(rows, parameters), self.dtype, self.backend))

    # Weights

    @property
    def state(self) -> State:
        """Parameters, optimizer state and counters on the device. Raises: NotBuilt."""
        if self._state is None:
            raise NotBuilt("the model has no weights yet: call fit(x, y), or build(n_features)")
        return self._state

    @property
    def built(self) -> bool:
        """Whether there are weights."""
        return self._state is not None

    def build(self, features: tuple[int, ...]) -> None:
        """Makes the weights for rows of that shape.

        Raises: ShapeError, BadInput when layers do not fit each other or the loss.
        """
        graphs = {
            mode: forward_graph(self.layers, features, self.dtype, mode) for mode in (True, False)
        }
        check_last(self.loss, graphs[False].prediction, self.layers[-1].brief())
        layout = layout_of(graphs[True], self.optimizer.segments(), self.rates)
        state = State(self.backend, layout, self.dtype, self.seed)
        for segment in ("parameters", "statistics"):
            state.write(segment, first_values(graphs[True], layout, segment, self.seed))
        self.features, self._graphs, self._state = features, graphs, state
        self.learned = not any(graphs[True].statistics)

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Puts other factors on the learning rate of arrays; of 0: they are frozen.

        What the optimizer keeps of an array is forgotten when that is frozen.
        """
        old = self.state
        layout = layout_of(
            self.graph(training=True), self.optimizer.segments(), {**self.rates, **rates}
        )
        state = State(self.backend, layout, self.dtype, self.seed)
        state.step, state.epoch = old.step, old.epoch
        flats = {name: state.read(name) for name in layout.segments}
        for entry in layout.entries:
            place = slice(entry.offset, entry.offset + entry.size)
            flats[entry.segment][place] = old.array(entry.name).reshape(-1)
            for slot in layout.slots if entry.trainable else ():
                moved = old.layout[entry.name].trainable and slot in old.layout.slots
                if moved or slot == AVERAGE:
                    kept = old.array(entry.name, slot if moved else None)
                    flats[slot][place] = kept.reshape(-1)
        for name, flat in flats.items():
            state.write(name, flat)
        self.rates, self._state, self._free = {**self.rates, **rates}, state, {}

    def graph(self, training: bool = False) -> ForwardGraph:
        """The layers as a graph. Raises: NotBuilt."""
        self.state  # noqa: B018  raises NotBuilt
        return self._graphs[training]

    @property
    def outputs(self) -> int:
        """The number of columns of the prediction."""
        width = self.graph().prediction.shape[-1]
        assert not isinstance(width, Rows)
        return width

    @property
    def names(self) -> list[str]:
        """Trainable arrays in the order of the layers."""
        return [f"{i}.{name}" for i, found in enumerate(self.graph().parameters) for name in found]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the trainable arrays; a bias may be (n_out,). All or nothing.

        Raises: ShapeError, DtypeError, BadInput.
        """
        names, layout = self.names, self.state.layout
        if not isinstance(weights, (list, tuple)):
            raise BadInput(f"set_weights takes a list of arrays, not {type(weights).__name__}")
        if len(weights) != len(names):
            raise ShapeError(f"set_weights got {len(weights)} arrays, the model has {len(names)}")
        flats = {name: self.state.read(name) for name in ("parameters", "statistics")}
        for name, value in zip(names, weights, strict=True):
            entry = layout[name]
            array = inputs.cast(name, inputs.host_array(name, value), self.dtype)
            if array.shape != entry.shape and array.shape != entry.shape[1:]:
                raise ShapeError(f"set_weights: {name} has shape {entry.shape}, not {array.shape}")
            flat = flats[entry.segment]
            flat[entry.offset : entry.offset + entry.size] = array.reshape(-1)
        for segment, flat in flats.items():
            self.state.write(segment, flat)

    # What comes in

    def rows(self, x: Any) -> np.ndarray:
        """Checked and cast features of a built network."""
        inputs.frame_columns(x, self.columns)
        return inputs.features(x, self.dtype, self.features)

    def examples(
        self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> Examples:
        """Checked and cast features, targets and weights; the first ones build the network."""
        named = inputs.frame_columns(x, self.columns)
        found = inputs.features(x, self.dtype, self.features)
        if self._state is None:
            self.build(found.shape[1:])
            self.columns = named
        targets = inputs.targets(y, len(found), self.loss, self.outputs, self.dtype)
        weights = inputs.weights(sample_weight, class_weight, targets, len(found))
        return Examples(found, targets, weights)

    def learn(self, x: np.ndarray) -> None:
        """Lets layers with statistics see their input over the training data, once."""
        if self.learned:
            return
        flat, graph = self.state.read("statistics"), self.graph()
        for number, layer in enumerate(self.layers):
            if not graph.statistics[number]:
                continue
            seen = x if number == 0 else self._forward(x, graph.outputs[number - 1])
            for name, value in layer.learn(seen).items():
                entry = self.state.layout[f"{number}.{name}"]
                flat[entry.offset : entry.offset + entry.size] = np.asarray(value).reshape(-1)
            self.state.write("statistics", flat)
        self.learned = True

    def _forward(self, x: np.ndarray, node: Node) -> np.ndarray:
        """One node of the forward graph over all rows."""
        if node.leaf:
            return x
        rows, capacity = len(x), batching.capacity(len(x))
        program = predict_program(self.graph(), node, self.state.layout, capacity)
        block = DataBlock(self.backend, {"x": x}, dtype=self.dtype)
        binding = self.backend.compile(program).bind(self.state, block)
        binding.run(Control(batch=capacity, steps=batching.count(rows, capacity)))
        return binding.read("prediction")

    # Programs

    def program(self, kind: Kind, capacity: int, outputs: int = 1) -> Program:
        """The program of that kind for batches up to `capacity` rows.

        outputs: the columns of the targets, which a loss of one's own leaves open.
        """
        graph, layout = self.graph(training=kind in ("train", "gradients")), self.state.layout
        if kind == "predict":
            return predict_program(graph, graph.prediction, layout, capacity)
        labels = self.loss.labels
        return train_program(
            graph,
            layout,
            self.loss,
            self.metrics,
            Spec((ROWS, 1), "int32") if labels else Spec((ROWS, outputs), self.dtype),
            capacity,
            optimizer=self.optimizer if kind == "train" else None,
            differentiated=kind != "evaluate",
            last=self.layers[-1].brief(),
        )

    def lease(self, kind: Kind, capacity: int, block: DataBlock, outputs: int = 1) -> Lease:
        """A program of that kind bound to the state and the data, for one user at a time."""
        key = (kind, capacity, outputs, tuple(block.streamed))
        free = self._free.setdefault(key, [])
        try:
            binding = free.pop()
        except IndexError:
            executable = self.backend.compile(self.program(kind, capacity, outputs))
            return Lease(executable.bind(self.state, block), free)
        binding.use(block)
        return Lease(binding, free)

    # Runs

    def step(self, examples: Examples, control: Control) -> None:
        """One training step on all rows as one batch; adds to the control block's sums."""
        rows = examples.rows
        self.settle(rows)
        block = examples.block(self.backend, self.dtype)
        control.batch, control.cursor, control.steps = rows, 0, 1
        control.learning_rates = self.optimizer.rates(self.state.step, 1)
        with self.lease("train", batching.whole(rows), block, examples.outputs) as binding:
            binding.run(control)

    def evaluate(self, examples: Examples) -> dict[str, float]:
        """Loss and metrics, nothing trained."""
        block = examples.block(self.backend, self.dtype)
        capacity = batching.capacity(examples.rows)
        control = Control(batch=capacity, steps=batching.count(examples.rows, capacity))
        with self.lease("evaluate", capacity, block, examples.outputs) as binding:
            binding.run(control)
        return means(control)

    def cost(self, examples: Examples) -> float:
        """The training cost; leaves the gradient in the state's segment."""
        block = examples.block(self.backend, self.dtype)
        control = Control(batch=examples.rows)
        capacity = batching.whole(examples.rows)
        with self.lease("gradients", capacity, block, examples.outputs) as binding:
            binding.run(control)
        return control.mean("loss")
