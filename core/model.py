"""`Sequential`: layers, a loss, an optimizer and a backend; fit, evaluate, predict, save."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backends.contract import Binding
from ..backends.dispatch import check_dtype
from ..backends.program import Program
from ..backends.selection import Choice, Selection, select
from ..backends.state import Control, DataBlock, State
from ..kernels.errors import BadInput, NotBuilt, ShapeError, unknown
from ..kernels.spec import FLOATS, ROWS, Rows, Spec
from . import initializers, losses, optimizers, training, validation
from .callbacks import Callback, check_callbacks
from .data.tables import Encoding
from .history import History, check_verbose, reporter
from .layers import Layer, check_count, check_number
from .predictor import PROBABILITIES, Predictor, capacity_for, classes_of
from .tracing import Traced, layout_of, predict_program, trace_layers, train_program

INIT_STREAM = 0x1817


class Sequential:
    """A stack of layers, trained to lower a loss.

    layers: objects of the Layer protocol, first to last.
    loss: "cross_entropy" (after softmax), "binary_cross_entropy" (after sigmoid),
        "mean_squared_error", or a function loss(y_true, y_pred) on nodes with one value a row.
    optimizer: a name or an object such as `lm.Adam(1e-3)`. metrics: names or functions.
    backend: see `lm.get_backend`; "auto" leaves the choice to `use_backend`, then LAMINA_BACKEND,
        then the first available of cupy, numba, numpy, or what was measured (LAMINA_AUTO=measured).
    dtype: "float32" or "float64". precision: reserved for devices that compute in less; None.
    seed: keys initial weights, order of rows and dropout; None draws one, kept in `model.seed`.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | losses.Function,
        optimizer: str | optimizers.Optimizer = "adam",
        metrics: Sequence[str | losses.Function] = (),
        backend: Choice = "auto",
        dtype: str = "float32",
        precision: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise BadInput("Sequential needs at least one layer, such as lm.Dense(10)")
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise BadInput(f"a layer is an object such as lm.Dense(10), not {layer!r}")
        if isinstance(metrics, str):
            raise BadInput(f'metrics is a sequence of names: metrics=("{metrics}",)')
        self.loss = losses.get(loss)
        self.optimizer = optimizers.get(optimizer)
        self.metrics = tuple(losses.get_metric(m) for m in metrics)
        names = ["loss", *(m.name for m in self.metrics)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"two of the loss and the metrics are named {twice!r}: rename one")
        if dtype not in FLOATS:
            raise unknown("dtype", dtype, FLOATS)
        if precision is not None:
            raise BadInput(f"precision={precision!r}: no backend here computes in it; use None")
        self.dtype = dtype
        self.seed = validation.seed_of(seed)
        self.stop_training = False
        self.history: History | None = None
        self.told_custom = False  # whether save has said what load will need
        self.columns: tuple[str, ...] | None = None  # of the data frame that it was built on
        self.encoding: Encoding | None = None  # how tables become features; saved with the model
        self.origin: dict[str, Any] | None = None  # what `lamina train` began it with; saved too
        self.features: tuple[int, ...] | None = None
        self._state: State | None = None
        self._traced: dict[bool, Traced] = {}
        self._bindings: dict[Any, Binding] = {}
        self._predictor: Predictor | None = None
        self._learned = False
        self._choose(backend)

    # The device

    def _choose(self, backend: Choice) -> None:
        open_choice = isinstance(backend, str) and backend == "auto"
        chosen: Selection = select(None if open_choice else backend)
        check_dtype(chosen.backend, "Sequential", Spec((1,), self.dtype))
        self.adopt(chosen)

    def adopt(self, chosen: Selection) -> None:
        """Takes a backend, and moves to it what there is."""
        before, self.backend = getattr(self, "backend", None), chosen.backend
        self.backend_reason, self._undecided = chosen.why, chosen.open
        if self.backend is not before:
            self._bindings.clear()
            self._predictor = None
            if self._state is not None:
                self._state = self._state.moved(self.backend)

    def to(self, backend: Choice) -> Sequential:
        """Moves the model, optimizer state included, to another device, in place; returns it."""
        self._choose(backend)
        return self

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
        """Whether the model has weights."""
        return self._state is not None

    def build(self, n_in: int | Sequence[int]) -> Sequential:
        """Makes the weights for rows of `n_in` features (or of that shape); returns the model.

        Raises: ShapeError, BadInput when layers do not fit each other or the loss.
        """
        shape = tuple(n_in) if isinstance(n_in, Sequence) else (n_in,)
        for size in shape:
            check_count("build: the number of features", size)
        features = tuple(int(size) for size in shape)
        if self._state is not None:
            if features != self.features:
                raise ShapeError(f"the model was built for rows of {self.features}, not {features}")
            return self
        traced = {
            mode: trace_layers(self.layers, features, self.dtype, mode) for mode in (True, False)
        }
        losses.check_last(self.loss, traced[False].prediction, self.layers[-1].brief())
        layout = layout_of(traced[True], self.optimizer.state())
        state = State(self.backend, layout, self.dtype, self.seed)
        self.features, self._traced, self._state = features, traced, state
        for segment in ("parameters", "statistics"):
            state.write(segment, self._initial(segment))
        self._learned = not layout.length("statistics")
        return self

    def _initial(self, segment: str) -> np.ndarray:
        """The segment's first values, each array from a generator of its own."""
        flat = np.zeros(self.state.layout.length(segment))
        traced = self._traced[True]
        for number in range(len(self.layers)):
            both = {**traced.parameters[number], **traced.statistics[number]}
            for index, (name, parameter) in enumerate(both.items()):
                entry = self.state.layout[f"{number}.{name}"]
                if entry.segment != segment:
                    continue
                rng = np.random.default_rng([self.seed, INIT_STREAM, number, index])
                drawn = np.asarray(initializers.get(parameter.initializer)(entry.shape, rng))
                if drawn.shape != entry.shape:
                    raise ShapeError(
                        f"the initializer of {entry.name} gave shape {drawn.shape},"
                        f" not {entry.shape}"
                    )
                flat[entry.offset : entry.offset + entry.size] = drawn.reshape(-1)
        return flat

    def _names(self) -> list[str]:
        """Trainable arrays in the order of the layers."""
        parameters = self._trace().parameters
        return [f"{i}.{name}" for i, found in enumerate(parameters) for name in found]

    def _trace(self, training: bool = False) -> Traced:
        self.state  # noqa: B018  raises NotBuilt
        return self._traced[training]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the trainable arrays, [W1, b1, ...]; W: (n_in, n_out), b: (1, n_out)."""
        return [self.state.array(name) for name in self._names()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the trainable arrays; a bias may be (n_out,). All or nothing.

        Raises: ShapeError, DtypeError, BadInput.
        """
        names, layout = self._names(), self.state.layout
        if not isinstance(weights, (list, tuple)):
            raise BadInput(f"set_weights takes a list of arrays, not {type(weights).__name__}")
        if len(weights) != len(names):
            raise ShapeError(f"set_weights got {len(weights)} arrays, the model has {len(names)}")
        flat = self.state.read("parameters")
        for name, value in zip(names, weights, strict=True):
            entry = layout[name]
            array = validation.cast(name, validation.host_array(name, value), self.dtype)
            if array.shape != entry.shape and array.shape != entry.shape[1:]:
                raise ShapeError(f"set_weights: {name} has shape {entry.shape}, not {array.shape}")
            flat[entry.offset : entry.offset + entry.size] = array.reshape(-1)
        self.state.write("parameters", flat)

    @property
    def n_outputs(self) -> int:
        """The number of columns of the prediction."""
        width = self._trace().prediction.shape[-1]
        assert not isinstance(width, Rows)
        return width

    @property
    def output(self) -> str:
        """The operation that the prediction ends in, such as "softmax"."""
        return self._trace().prediction.op

    # Programs

    def _target(self, width: int) -> Spec:
        return Spec((ROWS, 1), "int32") if self.loss.labels else Spec((ROWS, width), self.dtype)

    def _program(self, kind: str, capacity: int, width: int) -> Program:
        if kind == "predict":
            traced = self._trace()
            return predict_program(traced, traced.prediction, self.state.layout, capacity)
        return train_program(
            self._trace(training=kind != "evaluate"),
            self.state.layout,
            self.loss,
            self.metrics,
            self._target(width),
            capacity,
            optimizer=self.optimizer if kind == "train" else None,
            differentiated=kind != "evaluate",
            last=self.layers[-1].brief(),
        )

    def _bound(self, kind: str, capacity: int, block: DataBlock, width: int = 1) -> Binding:
        """A program of that kind, bound to the state and the data; kept for the next call."""
        key = (kind, capacity, width, tuple(block.streamed))
        binding = self._bindings.get(key)
        if binding is None:
            executable = self.backend.compile(self._program(kind, capacity, width))
            binding = self._bindings[key] = executable.bind(self.state, block)
        binding.use(block)
        return binding

    def _data(
        self, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None
    ) -> dict[str, Any]:
        """Checked and cast features, targets and weights (None when all are equal)."""
        named = validation.frame_columns(x, self.columns)
        found = validation.features(x, self.dtype, self.features)
        if not self.built:
            self.columns = named
        self.build(found.shape[1:])
        width = self.n_outputs
        targets = validation.targets(y, len(found), self.loss, width, self.dtype)
        weights = validation.weights(sample_weight, class_weight, targets, len(found))
        return {"x": found, "y": targets, "weights": weights}

    def _block(self, data: Mapping[str, Any]) -> DataBlock:
        columns = {"x": data["x"], "y": data["y"]}
        return DataBlock(self.backend, columns, data["weights"], dtype=self.dtype)

    def _learn(self, x: np.ndarray) -> None:
        """Lets layers with statistics see their input over the training data, once."""
        if self._learned:
            return
        flat, traced = self.state.read("statistics"), self._trace()
        for number, layer in enumerate(self.layers):
            if not traced.statistics[number]:
                continue
            seen = x if number == 0 else self._forward(x, traced.outputs[number - 1])
            for name, value in layer.learn(seen).items():
                entry = self.state.layout[f"{number}.{name}"]
                flat[entry.offset : entry.offset + entry.size] = np.asarray(value).reshape(-1)
            self.state.write("statistics", flat)
        self._learned = True

    def _forward(self, x: np.ndarray, node: Any) -> np.ndarray:
        """One node of the forward graph over all rows."""
        if node.leaf:
            return x
        capacity = capacity_for(len(x))
        program = predict_program(self._trace(), node, self.state.layout, capacity)
        block = DataBlock(self.backend, {"x": x}, dtype=self.dtype)
        binding = self.backend.compile(program).bind(self.state, block)
        binding.run(Control(batch=capacity, steps=-(-len(x) // capacity)))
        return binding.read("prediction")

    # Training

    def fit(
        self,
        x: Any,
        y: Any = None,
        epochs: int = 1,
        batch_size: int = 32,
        validation_data: Sequence[Any] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
        callbacks: Sequence[Callback] = (),
        verbose: bool | int | str = "auto",
    ) -> History:
        """Trains; a second call goes on with the same optimizer state and epoch counter.

        x: (n, features); y: (n,) or (n, outputs). The last, smaller batch is trained on as well.
            A `np.memmap` is read batch by batch. Without y, x is an iterable of batches (x, y) or
            (x, y, sample_weight), or a function that returns one for every epoch.
        validation_data: (x, y) or (x, y, sample_weight). validation_split: a share of the rows held
            out, drawn by the seed. class_weight: label -> factor, or "balanced".
        verbose: "auto" shows a line on a terminal and plain lines elsewhere; 0 nothing.
        Raises: BadInput, ShapeError, DtypeError, DivergenceError.
        """
        check_count("fit: epochs", epochs, least=0)
        check_count("fit: batch_size", batch_size)
        check_number("fit: validation_split", validation_split, 0.0, 1.0, open_high=True)
        check_verbose(verbose)
        callbacks = check_callbacks(callbacks)
        source: training.Rows | training.Batches
        held: dict[str, Any] | None
        if y is None:
            if validation_split or sample_weight is not None or class_weight is not None:
                raise BadInput(
                    "fit on batches takes weights from the batches (x, y, sample_weight), and"
                    " validation_data instead of validation_split"
                )
            source = training.Batches(self, x, int(epochs))
            held = None if validation_data is None else self._held_out({}, validation_data, 0.0)
        else:
            data = self._data(x, y, sample_weight, class_weight)
            validation.check_classes(data["y"], self.loss)
            held = self._held_out(data, validation_data, validation_split)
            self._learn(data["x"])
            rows = len(data["x"])
            if batch_size > rows:
                warnings.warn(
                    f"batch_size {batch_size} is larger than the data:"
                    f" {rows} rows a batch are used",
                    stacklevel=2,
                )
            if epochs:
                self.settle(min(int(batch_size), rows))
            source = training.Rows(self, data, min(int(batch_size), rows), bool(shuffle))
        task = training.Task(
            model=self,
            source=source,
            epochs=int(epochs),
            held=held,
            callbacks=callbacks,
            reporter=reporter(
                verbose, int(epochs), source.rows, self.state.epoch if self.built else 0
            ),
        )
        return training.train(task)

    def _held_out(
        self, data: dict[str, Any], given: Sequence[Any] | None, share: float
    ) -> dict[str, Any] | None:
        """The validation rows: given, or taken out of the data."""
        if given is not None:
            if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
                raise BadInput("validation_data must be (x, y) or (x, y, sample_weight)")
            return self._data(*given)
        if not share:
            return None
        rows = len(data["x"])
        if rows < 2:
            raise BadInput("validation_split needs at least two rows")
        if isinstance(data["x"], np.memmap):
            raise BadInput(
                "validation_split would copy a memory map: pass validation_data=(x[a:], y[a:])"
            )
        kept, held = training.split(self.seed, rows, share)

        def part(numbers: np.ndarray) -> dict[str, Any]:
            return {name: None if v is None else v[numbers] for name, v in data.items()}

        found = part(held)
        data.update(part(kept))
        for name in (data, found):
            if name["weights"] is not None and not name["weights"].any():
                raise BadInput("validation_split leaves a part whose weights are all zero")
        return found

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
    ) -> dict[str, float]:
        """One step on all the rows given; loss and metrics from before the update.

        Raises: DivergenceError where the loss or the gradient is not finite; nothing is updated.
        """
        data = self._data(x, y, sample_weight, class_weight)
        self._learn(data["x"])
        control = Control(batch=len(data["x"]))
        self.step(data, control)
        if control.stop:
            raise training.diverged(self, control)
        return training.means(control)

    def step(self, data: Mapping[str, Any], control: Control) -> None:
        """One training step on checked data as one batch; adds to the control block's sums."""
        rows = len(data["x"])
        self.settle(rows)
        block = self._block(data)
        binding = self._bound("train", 1 << (rows - 1).bit_length(), block, data["y"].shape[1])
        control.batch, control.cursor, control.steps = rows, 0, 1
        control.learning_rates = self.optimizer.rates(self.state.step, 1)
        binding.run(control)

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Loss and metrics over the data, nothing trained: {"loss": ..., "accuracy": ...}."""
        self.state  # noqa: B018  raises NotBuilt
        return self.assess(self._data(x, y, sample_weight))

    def assess(self, data: Mapping[str, Any]) -> dict[str, float]:
        """Loss and metrics over checked data."""
        block = self._block(data)
        capacity = capacity_for(block.rows)
        control = Control(batch=capacity, steps=-(-block.rows // capacity))
        self._bound("evaluate", capacity, block, data["y"].shape[1]).run(control)
        return training.means(control)

    def predict(self, x: Any) -> np.ndarray:
        """The last layer's output, (n, outputs): probabilities after sigmoid or softmax."""
        self.state  # noqa: B018  raises NotBuilt
        validation.frame_columns(x, self.columns)
        found = validation.features(x, self.dtype, self.features)
        return self.prepare().run(found)

    def prepare(self) -> Predictor:
        """`predict` without its checks, for many small calls: a function of row-major arrays.

        It is safe from several threads, and follows the model's weights. After `to` prepare anew.
        """
        self.state  # noqa: B018  raises NotBuilt
        if self._predictor is None:
            self._predictor = Predictor(self)
        return self._predictor

    def predict_classes(self, x: Any) -> np.ndarray:
        """Class numbers, (n,) int32: the likeliest of several outputs, 0 or 1 of a single one.

        Raises: BadInput when the last layer gives no probabilities.
        """
        if self.output not in PROBABILITIES:
            raise BadInput("predict_classes needs a last layer that ends in softmax or sigmoid")
        return classes_of(self.predict(x), self.output)

    def gradients(self, x: Any, y: Any, sample_weight: Any = None) -> list[dict[str, np.ndarray]]:
        """The cost's gradient, per layer and by name: [{"weight": ..., "bias": ...}, ...].

        Nothing is trained. Layers without parameters have an empty dictionary.
        """
        data = self._data(x, y, sample_weight)
        self.measure(data)
        names = [list(found) for found in self._trace().parameters]
        return [
            {name: self.state.array(f"{i}.{name}", "gradients") for name in found}
            for i, found in enumerate(names)
        ]

    def measure(self, data: Mapping[str, Any]) -> float:
        """The training cost of checked data; leaves the gradient in the state's segment."""
        rows, block = len(data["x"]), self._block(data)
        capacity = 1 << (rows - 1).bit_length()
        control = Control(batch=rows)
        self._bound("gradients", capacity, block, data["y"].shape[1]).run(control)
        return control.mean("loss")

    # Looking and keeping

    def summary(self) -> str:
        """A table of layers, output shapes and numbers of parameters; prints and returns it."""
        from .inspection import summary

        text = summary(self)
        print(text)
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything needed to go on training to a safetensors file, atomically."""
        from .checkpoint import save

        save(self, path)

    def __repr__(self) -> str:
        layers = ", ".join(layer.brief() for layer in self.layers)
        return f"Sequential([{layers}], loss={self.loss.name!r}, backend={self.backend.name!r})"
