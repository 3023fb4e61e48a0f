"""A session: one network on one device, and what training and prediction need of it.

It traces the layers, holds the weights, checks what comes in, makes programs and lends bindings.
The model is its user's face; training, prediction, inspection and checkpoints work with this.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from ..backends import batching
from ..backends.contract import Binding
from ..backends.dispatch import check_dtype
from ..backends.measured import step_flops
from ..backends.program import Layout, Program
from ..backends.selection import Choice, Selection, choose_for, select_for
from ..backends.state import Casts, Control, DataBlock, State
from ..kernels.errors import BadInput, NotBuilt
from ..kernels.spec import ROWS, Spec
from . import inputs
from .arrays import frame_columns, host_array
from .examples import Examples
from .layers import Layer
from .losses import Loss, check_last
from .metrics import Whole, of_all, of_rows
from .optimizers import Optimizer
from .ownership import Lease, RightToTrain
from .row_metrics import Metric
from .standardization import Shift
from .tracing import ForwardGraph, first_values, forward_graph, layout_of
from .weights import by_layer, laid_out, replace_all

Kind = Literal[
    "train", "shared", "gradients", "evaluate", "predict"
]  # shared: with other processes


def means(control: Control) -> dict[str, float]:
    """The weighted means of loss and metrics so far."""
    return {name: control.mean(name) for name in control.sums}


class Session:
    """One network on one device.

    features: the shape of a row, once built. columns: of the data frame that it was built on.
    learned: whether layers with statistics have seen the training data. shift: what the host does
    to features before they are rounded, or None. rates: by array, factors on the learning rate
    that are not the layers' own. shared_by: the processes that trained it last. backend,
    backend_reason: the device, and why. right_to_train: of one thread at a time. Copies and pickles
    have memory of their own; these come back on another device where this cannot run.
    """

    def __init__(
        self,
        layers: tuple[Layer, ...],
        loss: Loss,
        optimizer: Optimizer,
        metrics: tuple[Metric | Whole, ...],
        dtype: str,
        seed: int,
        backend: Choice,
        precision: str | None = None,
    ) -> None:
        self.layers, self.loss, self.optimizer, self.metrics = layers, loss, optimizer, metrics
        self.dtype, self.seed = dtype, seed
        self.features: tuple[int, ...] | None = None
        self.columns: tuple[str, ...] | None = None
        self.learned = False
        self.shift: Shift | None = None
        self.rates: dict[str, float] = {}
        self.shared_by = ""
        self._state: State | None = None
        self._graphs: dict[bool, ForwardGraph] = {}
        # Bindings that nobody uses now, by what they run and over which columns.
        self._free: dict[tuple[Kind, int, int, tuple[str, ...]], list[Binding]] = {}
        self.precision = precision
        chosen = select_for(dtype, backend, precision)
        self.backend, self.backend_reason = chosen.backend, chosen.why
        self._undecided = chosen.open
        self.right_to_train, self._building = RightToTrain(), threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        found = {**self.__dict__, "_graphs": {}, "_free": {}, "was_on": self.backend.name}
        del found["right_to_train"], found["_building"]
        return found

    def __setstate__(self, found: dict[str, Any]) -> None:
        was_on = found.pop("was_on")
        self.__dict__.update(found)
        self.right_to_train, self._building = RightToTrain(), threading.Lock()
        if self.backend.name != was_on:
            self.backend_reason = f"auto: {was_on}, where it was pickled, cannot run here"
            self.precision = None  # and what else runs computes in float32
            check_dtype(self.backend, "Sequential", Spec((1,), self.dtype))
        if self.precision is not None:
            self.backend = self.backend.computing(self.precision)
        if self.features is not None:
            self._graphs = self._traced(self.features)

    # The device

    def choose(self, choice: Choice) -> None:
        """Moves to the device of a choice. Raises: ModelBusy."""
        with self.right_to_train:
            self.adopt(select_for(self.dtype, choice, self.precision))

    @property
    def chosen(self) -> Selection:
        """The device as it was chosen."""
        return Selection(self.backend, self.backend_reason, self._undecided)

    def adopt(self, chosen: Selection) -> None:
        """Takes a backend, and moves to it what there is."""
        if chosen.backend is not self.backend:
            if self._state is not None:
                self._state = self._state.moved(chosen.backend)
            self._free = {}  # leases that are out come back to lists that nobody reads
        self.backend, self.backend_reason = chosen.backend, chosen.why
        self._undecided = chosen.open

    def settle(self, rows: int) -> None:
        """Decides, where "auto" left it open, before the first step of training.

        rows: of a batch. The numbers of the model do not change.
        """
        if not self._undecided:
            return
        parameters = self.state.layout.length("parameters")
        self.adopt(choose_for(step_flops(rows, parameters), self.dtype, self.backend))

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

    def build(
        self,
        features: tuple[int, ...],
        values: Callable[[Layout], Mapping[str, np.ndarray]] | None = None,
        graphs: dict[bool, ForwardGraph] | None = None,
    ) -> None:
        """Makes the weights for rows of that shape, where there are none.

        values: gives the segments' first numbers, before any memory is taken; None draws them.
        graphs: the layers for such rows, where somebody checked them already.
        Raises: ShapeError, BadInput when layers do not fit each other or the loss.
        """
        with self._building:
            if self._state is None:
                self._make(features, values, graphs or self.checked(features))

    def _make(
        self,
        features: tuple[int, ...],
        values: Callable[[Layout], Mapping[str, np.ndarray]] | None,
        graphs: dict[bool, ForwardGraph],
    ) -> None:
        layout = layout_of(graphs[True], self.optimizer.segments(), self.rates)
        given = None if values is None else values(layout)
        state = State(self.backend, layout, self.dtype, self.seed)
        if given is None:
            for segment in ("parameters", "statistics"):
                state.write(segment, first_values(graphs[True], layout, segment, self.seed))
        else:
            for segment, flat in given.items():
                state.write(segment, flat)
        self.features, self._graphs, self._state = features, graphs, state
        found = (p for each in graphs[True].statistics for p in each.values())
        self.learned = all(p.moving for p in found)

    def set_rates(self, rates: Mapping[str, float]) -> None:
        """Puts other factors on the learning rate of arrays, and lays them out anew.

        What the optimizer keeps of an array is forgotten when that is frozen. Raises: ModelBusy.
        """
        with self.right_to_train:
            assert self.features is not None
            old, rates = self.state, {**self.rates, **rates}
            graphs = self._traced(self.features, rates)
            state = laid_out(old, layout_of(graphs[True], self.optimizer.segments(), rates))
            self.rates, self._graphs, self._state, self._free = rates, graphs, state, {}

    def checked(self, features: tuple[int, ...]) -> dict[bool, ForwardGraph]:
        """The layers as graphs that fit loss and metrics. Raises: ShapeError, BadInput."""
        graphs = self._traced(features)
        check_last(self.loss, graphs[False].prediction, self.layers[-1].brief())
        for metric in of_all(self.metrics):
            metric.check(graphs[False].prediction.op)
        return graphs

    def _traced(
        self, features: tuple[int, ...], rates: Mapping[str, float] | None = None
    ) -> dict[bool, ForwardGraph]:
        """The layers as graphs, by whether they train. rates: those to be, or None: as they are."""
        rates = self.rates if rates is None else rates
        return {
            mode: forward_graph(self.layers, features, self.dtype, mode, rates)
            for mode in (True, False)
        }

    def graph(self, training: bool = False) -> ForwardGraph:
        """The layers as a graph. Raises: NotBuilt."""
        self.state  # noqa: B018  raises NotBuilt
        return self._graphs[training]

    @property
    def outputs(self) -> int:
        """The number of columns of the prediction."""
        return self.graph().width

    @property
    def names(self) -> list[str]:
        """Arrays of layers in their order, those that are learned from data left out."""
        return self.graph().names

    def set_weights(self, given: Sequence[Any]) -> None:
        """Replaces the arrays of layers, in the order of `names`, all or none; a bias may be (n,).

        Raises: ShapeError, DtypeError, BadInput.
        """
        replace_all(self.state, self.names, given)

    # What comes in

    def rows(self, x: Any) -> np.ndarray:
        """Checked and cast features of a built network."""
        frame_columns(x, self.columns)
        return inputs.features(x, self.dtype, self.features, self.shift)

    def examples(self, x: Any, y: Any, sample_weight: Any = None, raw: bool = False) -> Examples:
        """Checked and cast features, targets and weights; the first ones build the network.

        raw: leave features as they came where statistics are still to be learned from them.
        """
        named = frame_columns(x, self.columns)
        raw = raw and not self.learned
        found = inputs.features(x, self.dtype, self.features, None if raw else self.shift, raw)
        features, fresh = found.shape[1:], self._state is None
        # Wrong targets build nothing: the next call may come with other features.
        graphs = self.checked(features) if fresh else self._graphs
        targets = inputs.targets(y, found, self.loss, graphs[False].width, self.dtype)
        weights, exponent = inputs.weights(sample_weight, len(found))
        examples = Examples(found, targets, weights, exponent, raw)
        if of_all(self.metrics):
            exact = None if self.loss.classes else host_array("y", y)
            shares = None
            if sample_weight is not None:
                shares = host_array("sample_weight", sample_weight).reshape(-1)
            examples = replace(examples, given_y=exact, given_weights=shares)
        if fresh:
            self.build(features, graphs=graphs)
            self.columns = named
        return examples

    def gradients(self, examples: Examples) -> list[dict[str, np.ndarray]]:
        """The training cost's gradient, per layer and by name; what is frozen is left out."""
        state = self.state
        with state.turn:
            self.cost(examples)
            flat = state.read("gradients")
        return by_layer(state.layout, flat, self.graph().parameters)

    def weighted(self, examples: Examples, class_weight: Any, whole: bool) -> Examples:
        """The examples with the weights of their classes; validation never has them.

        whole: these are all rows there are, so that each class must be among them.
        """
        if class_weight is None:
            return examples
        possible: Iterable[Any] | None = None
        if not whole:  # a batch may lack a class that there is
            known = self.loss.classes and self.loss.targets != "signs"
            possible = range(max(self.outputs, 2)) if known else class_weight
        weights = inputs.class_weights(examples.weights, class_weight, examples.y, possible)
        return replace(examples, weights=weights, exponent=0)

    def check_learned(self) -> None:
        """Raises BadInput while layers such as Standardize have no statistics."""
        if not self.learned:
            raise BadInput(
                "layers such as Standardize learn from all rows at once: call"
                " fit(x, y, epochs=0) on a sample of them first"
            )

    def learn(self, examples: Examples) -> Examples:
        """Lets layers with statistics see their input over the training data, once.

        examples: of the whole training data, raw. Returns them ready to be trained on.
        """
        if not self.learned:
            from .statistics import learn  # loaded by those whose layers learn

            self.shift = learn(self.backend, self.layers, self.graph(), self.state, examples)
            self.learned = True
        return self.ready(examples)

    def ready(self, examples: Examples) -> Examples:
        """Examples in the model's dtype, once statistics are learned; a memory map stays one."""
        return examples.ready(self.shift, self.dtype)

    @property
    def casts(self) -> Casts | None:
        """What makes rows of a memory map numbers of the dtype, where a plain cast will not do."""
        return None if self.shift is None else {"x": self.shift}

    # Programs

    def program(self, kind: Kind, capacity: int, outputs: int = 1) -> Program:
        """The program of that kind for batches up to `capacity` rows.

        outputs: the columns of the targets, which a loss of one's own leaves open.
        """
        from . import programs  # the compiler is loaded by those who run something

        training = kind not in ("evaluate", "predict")
        graph, layout = self.graph(training), self.state.layout
        if kind == "predict":
            return programs.predict_program(graph, graph.prediction, layout, capacity)
        labels = self.loss.labels and outputs == 1  # else rows of probabilities
        y = Spec((ROWS, 1), "int32") if labels else Spec((ROWS, outputs), self.dtype)
        return programs.train_program(
            graph, layout, self.loss, of_rows(self.metrics), y, capacity,
            optimizer=self.optimizer if kind in ("train", "shared") else None,
            differentiated=training, last=self.layers[-1].brief(),
            reduced=kind == "shared",
        )  # fmt: skip

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

    def forget_data(self) -> None:
        """Lets bindings that nobody uses go of the rows that they had last."""
        x = np.zeros((1, *(self.features or ())), self.dtype)
        for (_, _, outputs, streamed), free in self._free.items():
            labels = self.loss.labels and outputs == 1
            y = np.zeros((1, outputs), "int32" if labels else self.dtype)
            if streamed:  # whose programs read their rows in another way
                free.clear()
            for binding in free:
                binding.use(DataBlock(self.backend, {"x": x, "y": y}, dtype=self.dtype))

    # Runs

    def step(self, examples: Examples, control: Control) -> None:
        """One training step on all rows as one batch; adds to the sums in `control`."""
        rows = examples.rows
        self.settle(rows)
        state, block = self.state, examples.block(self.backend, self.dtype, self.casts)
        control.batch, control.cursor, control.steps = rows, 0, 1
        control.learning_rates = self.optimizer.rates(state.step, 1)
        lease = self.lease("train", batching.whole(rows), block, examples.outputs)
        with lease as binding, state.turn:
            binding.run(control)

    def measured(self, examples: Examples) -> Control:
        """The sums of loss and the metrics that are means over rows, nothing trained."""
        block = examples.block(self.backend, self.dtype, self.casts)
        capacity = batching.capacity(examples.rows)
        control = Control(batch=capacity, steps=batching.count(examples.rows, capacity))
        with self.lease("evaluate", capacity, block, examples.outputs) as binding:
            binding.run(control)
        return control

    def cost(self, examples: Examples) -> float:
        """The training cost, the weighted mean over rows; leaves its gradient in the state.

        Who reads it holds the state's turn, or another thread's gradient may be there.
        """
        block = examples.block(self.backend, self.dtype, self.casts)
        control = Control(batch=examples.rows)
        capacity = batching.whole(examples.rows)
        lease = self.lease("gradients", capacity, block, examples.outputs)
        with lease as binding, self.state.turn:
            binding.run(control)
        return control.mean("loss")
