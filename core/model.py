"""`Sequential`: layers, a loss, an optimizer and a backend; fit, evaluate, predict, save."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np

from ..backends.contract import Backend
from ..backends.selection import Choice
from ..backends.state import Control, State
from ..kernels.errors import BadInput, ShapeError, unknown
from ..kernels.spec import FLOATS
from . import inputs, losses, optimizers, sources, training
from .averages import AVERAGE
from .callbacks import Callback, check_callbacks
from .checks import check_count, check_number
from .examples import Examples
from .history import History, check_verbose, reporter
from .layers import Layer
from .predictor import PROBABILITIES, Predictor, classes_of
from .session import Session, means

if TYPE_CHECKING:
    from .data.tables import Encoding

T = TypeVar("T")


class Kept(Generic[T]):
    """An attribute of the model that its session keeps."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, model: None, owner: type) -> Kept[T]: ...
    @overload
    def __get__(self, model: Sequential, owner: type) -> T: ...
    def __get__(self, model: Sequential | None, owner: type) -> Kept[T] | T:
        return self if model is None else getattr(model.session, self.name)

    def __set__(self, model: Sequential, value: T) -> None:
        setattr(model.session, self.name, value)


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

    layers = Kept[tuple[Layer, ...]]()
    loss = Kept[losses.Loss]()
    optimizer = Kept[optimizers.Optimizer]()
    metrics = Kept[tuple[losses.Metric, ...]]()
    dtype = Kept[str]()
    seed = Kept[int]()
    backend = Kept[Backend]()
    backend_reason = Kept[str]()
    features = Kept[tuple[int, ...] | None]()  # the shape of a row, once built
    columns = Kept[tuple[str, ...] | None]()  # of the data frame that it was built on

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
        layers = tuple(layers)
        if not layers:
            raise BadInput("Sequential needs at least one layer, such as lm.Dense(10)")
        for layer in layers:
            if not isinstance(layer, Layer):
                raise BadInput(f"a layer is an object such as lm.Dense(10), not {layer!r}")
        if isinstance(metrics, str):
            raise BadInput(f'metrics is a sequence of names: metrics=("{metrics}",)')
        lowered, rule = losses.get(loss), optimizers.get(optimizer)
        watched = tuple(losses.get_metric(m) for m in metrics)
        names = ["loss", *(m.name for m in watched)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"two of the loss and the metrics are named {twice!r}: rename one")
        if dtype not in FLOATS:
            raise unknown("dtype", dtype, FLOATS)
        if precision is not None:
            raise BadInput(f"precision={precision!r}: no backend here computes in it; use None")
        seed = inputs.seed_of(seed)
        self.session = Session(layers, lowered, rule, watched, dtype, seed, backend)
        self.stop_training = False
        self.history: History | None = None
        self.told_custom = False  # whether save has said what load will need
        self.encoding: Encoding | None = None  # how tables become features; saved with the model
        self.origin: dict[str, Any] | None = None  # what `lamina train` began it with; saved too
        self._predictor: Predictor | None = None

    def to(self, backend: Choice) -> Sequential:
        """Moves the model, optimizer state included, to another device, in place; returns it."""
        self.session.choose(backend)
        return self

    # Weights

    @property
    def state(self) -> State:
        """Parameters, optimizer state and counters on the device. Raises: NotBuilt."""
        return self.session.state

    @property
    def built(self) -> bool:
        """Whether the model has weights."""
        return self.session.built

    @property
    def n_outputs(self) -> int:
        """The number of columns of the prediction."""
        return self.session.outputs

    def build(self, n_in: int | Sequence[int]) -> Sequential:
        """Makes the weights for rows of `n_in` features (or of that shape); returns the model.

        Raises: ShapeError, BadInput when layers do not fit each other or the loss.
        """
        shape = tuple(n_in) if isinstance(n_in, Sequence) else (n_in,)
        for size in shape:
            check_count("build: the number of features", size)
        features = tuple(int(size) for size in shape)
        if not self.built:
            self.session.build(features)
        elif features != self.features:
            raise ShapeError(f"the model was built for rows of {self.features}, not {features}")
        return self

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the trainable arrays, [W1, b1, ...]; W: (n_in, n_out), b: (1, n_out)."""
        return [self.state.array(name) for name in self.session.names]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replaces the trainable arrays; a bias may be (n_out,). All or nothing.

        Raises: ShapeError, DtypeError, BadInput.
        """
        self.session.set_weights(weights)

    def set_rates(self, rates: Mapping[int | str, float]) -> Sequential:
        """Puts factors on the learning rate of layers or of single arrays; returns the model.

        rates: {0: 0.1, "2.bias": 0.0}: of all arrays of a layer by its number, or of one by the
            layer's number and its name; 0 freezes. It holds for what is trained from now on, and
            is saved with the model. Not for within a fit.
        Raises: NotBuilt, BadInput.
        """
        names, found = self.session.names, {}
        for which, rate in rates.items():
            check_number(f"set_rates: the factor of {which!r}", rate, 0.0, np.inf, open_high=True)
            chosen = [n for n in names if which in (n, int(n.split(".")[0]))]
            if not chosen:
                raise BadInput(f"set_rates: no layer or array {which!r}: there are {names}")
            found.update(dict.fromkeys(chosen, float(rate)))
        self.session.set_rates(found)
        return self

    def freeze(self, *which: int | str) -> Sequential:
        """Lets arrays stay as they are, whatever is trained; returns the model.

        which: layers by number or arrays by name, as in `set_rates`; none: all that there are.
        Raises: NotBuilt, BadInput.
        """
        return self.set_rates(dict.fromkeys(which or self.session.names, 0.0))

    def unfreeze(self, *which: int | str) -> Sequential:
        """Lets arrays be trained again, at the whole learning rate; returns the model.

        which: as in `freeze`. Raises: NotBuilt, BadInput.
        """
        return self.set_rates(dict.fromkeys(which or self.session.names, 1.0))

    def averaged(self) -> Sequential:
        """A model of its own with the averaged weights, to evaluate, predict with and save.

        It has the average that the optimizer keeps (see `lm.EMA` and `lm.SWA`); this model stays
        as it is. Raises: NotBuilt; BadInput where nothing was averaged.
        """
        state, average = self.state, self.optimizer.average
        if average is None or AVERAGE not in state.layout.slots:
            raise BadInput("the model keeps no average: lm.Adam(1e-3, average=lm.EMA()) does, say")
        if state.step < average.start + average.every:
            raise BadInput(f"nothing is averaged yet, at step {state.step}: {average!r}")
        other = Sequential(
            self.layers, self.loss.function or self.loss.name,
            replace(self.optimizer, average=None), [m.function or m.name for m in self.metrics],
            self.backend, self.dtype, seed=self.seed,
        )  # fmt: skip
        other.session.rates = dict(self.session.rates)
        other.build(self.features or ())
        for segment in ("parameters", "statistics", *other.state.layout.slots):
            other.state.write(segment, state.read(AVERAGE if segment == "parameters" else segment))
        other.state.step, other.state.epoch = state.step, state.epoch
        other.session.learned = self.session.learned
        other.columns, other.encoding, other.origin = self.columns, self.encoding, self.origin
        return other

    @property
    def output(self) -> str:
        """The operation that the prediction ends in, such as "softmax"."""
        return self.session.graph().prediction.op

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
        accumulate: int = 1,
    ) -> History:
        """Trains; a second call goes on with the same optimizer state and epoch counter.

        epochs: passes over the rows, from 0. batch_size: rows a step, from 1.
        shuffle: take the rows in another order every epoch, drawn by the seed.
        sample_weight: (n,) from 0; the loss is the weighted mean. callbacks: see `lm.Callback`.
        x: (n, features); y: (n,) or (n, outputs). The last, smaller batch is trained on as well.
            A `np.memmap` is read batch by batch. Without y, x is an iterable of batches (x, y) or
            (x, y, sample_weight), or a function that returns one for every epoch.
        validation_data: (x, y) or (x, y, sample_weight). validation_split: a share of the rows held
            out, drawn by the seed. class_weight: label -> factor, or "balanced".
        verbose: "auto" shows a line on a terminal and plain lines elsewhere; 0 nothing.
        accumulate: batches whose gradients are joined to one step, as if they were one batch; the
            last step of an epoch takes what is left.
        Raises: BadInput, ShapeError, DtypeError, DivergenceError.
        """
        check_count("fit: epochs", epochs, least=0)
        check_count("fit: batch_size", batch_size)
        check_number("fit: validation_split", validation_split, 0.0, 1.0, open_high=True)
        check_verbose(verbose)
        check_count("fit: accumulate", accumulate)
        callbacks = check_callbacks(callbacks)
        session, held = self.session, None
        source: training.ArraySource | training.StreamSource
        if y is None:
            if validation_split or sample_weight is not None or class_weight is not None:
                raise BadInput(
                    "fit on batches takes weights from the batches (x, y, sample_weight), and"
                    " validation_data instead of validation_split"
                )
            source = sources.of_stream(session, x, int(epochs), int(accumulate))
            if validation_data is not None:
                held = self._given(validation_data)
        else:
            examples = session.examples(x, y, sample_weight, class_weight)
            inputs.check_classes(examples.y, self.loss)
            if validation_data is not None:
                held = self._given(validation_data)
            elif validation_split:
                examples, held = examples.split(self.seed, validation_split)
            session.learn(examples.x)
            rows, batch = examples.rows, min(int(batch_size), examples.rows)
            if batch_size > rows:
                warnings.warn(
                    f"batch_size {batch_size} is larger than the data:"
                    f" {rows} rows a batch are used",
                    stacklevel=2,
                )
            if epochs:
                session.settle(batch)
            source = sources.of_arrays(session, examples, batch, bool(shuffle), int(accumulate))
        begun = self.state.epoch if self.built else 0
        shown = reporter(verbose, int(epochs), source.rows, begun)
        return training.train(training.Fit(self, source, int(epochs), held, callbacks, shown))

    def _given(self, validation_data: Sequence[Any]) -> Examples:
        """The validation examples that the user gave."""
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise BadInput("validation_data must be (x, y) or (x, y, sample_weight)")
        return self.session.examples(*validation_data)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
    ) -> dict[str, float]:
        """One step on all the rows given; loss and metrics from before the update.

        x, y, sample_weight, class_weight: as in `fit`.
        Raises: DivergenceError where the loss or the gradient is not finite; nothing is updated.
        """
        session = self.session
        examples = session.examples(x, y, sample_weight, class_weight)
        session.learn(examples.x)
        control = Control(batch=examples.rows)
        session.step(examples, control)
        if control.stop:
            raise training.diverged(self, control)
        return means(control)

    def evaluate(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Loss and metrics over the data, nothing trained: {"loss": ..., "accuracy": ...}.

        x: (n, features); y: (n,) or (n, outputs); sample_weight: (n,).
        Raises: NotBuilt, BadInput, ShapeError, DtypeError.
        """
        self.state  # noqa: B018  raises NotBuilt
        return self.session.evaluate(self.session.examples(x, y, sample_weight))

    def predict(self, x: Any) -> np.ndarray:
        """The last layer's output, (n, outputs): probabilities after sigmoid or softmax.

        x: (n, features). Raises: NotBuilt, BadInput, ShapeError, DtypeError.
        """
        return self.prepare().run(self.session.rows(x))

    def prepare(self) -> Predictor:
        """`predict` without its checks, for many small calls: a function of row-major arrays.

        It is safe from several threads, and follows the model's weights. After `to` prepare anew.
        """
        if self._predictor is None or self._predictor.state is not self.session.state:
            self._predictor = Predictor(self.session)
        return self._predictor

    def predict_classes(self, x: Any) -> np.ndarray:
        """Class numbers, (n,) int32: the likeliest of several outputs, 0 or 1 of a single one.

        x: (n, features). Raises: NotBuilt; BadInput when the last layer gives no probabilities.
        """
        if self.output not in PROBABILITIES:
            raise BadInput("predict_classes needs a last layer that ends in softmax or sigmoid")
        return classes_of(self.predict(x), self.output)

    def gradients(self, x: Any, y: Any, sample_weight: Any = None) -> list[dict[str, np.ndarray]]:
        """The cost's gradient, per layer and by name: [{"weight": ..., "bias": ...}, ...].

        x, y, sample_weight: as in `fit`. Nothing is trained. A gradient has its array's shape;
        layers without parameters have an empty dictionary, and frozen arrays are left out.
        """
        session = self.session
        session.cost(session.examples(x, y, sample_weight))
        return [
            {
                name: self.state.array(f"{i}.{name}", "gradients")
                for name in found
                if self.state.layout[f"{i}.{name}"].trainable
            }
            for i, found in enumerate(session.graph().parameters)
        ]

    # Looking and keeping

    def summary(self) -> str:
        """A table of layers, output shapes and numbers of parameters; prints and returns it."""
        from .inspection import summary

        text = summary(self)
        print(text)
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything needed to go on training to a safetensors file, atomically.

        path: of the file; an older one is replaced once the new one is on disk.
        Raises: NotBuilt; OSError when the disk refuses, with the old file whole.
        """
        from .checkpoint import save

        save(self, path)

    def __repr__(self) -> str:
        layers = ", ".join(layer.brief() for layer in self.layers)
        return f"Sequential([{layers}], loss={self.loss.name!r}, backend={self.backend.name!r})"
