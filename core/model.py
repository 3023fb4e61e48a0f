"""`Sequential`: layers, a loss, an optimizer and a backend; fit, evaluate, predict, save."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.contract import Backend
from ..backends.selection import Choice
from ..backends.state import Control, State
from ..kernels.errors import BadInput, ShapeError, unknown
from ..kernels.spec import FLOATS
from . import fine_tuning, inputs, losses, optimizers, row_metrics
from . import metrics as measures
from .attributes import Kept, trains
from .checks import check_count
from .layers import Layer, check_layers
from .ownership import busy
from .predictor import Predictor
from .scores import PROBABILITIES, classes_of
from .session import Session, means

if TYPE_CHECKING:
    from .callbacks import Callback
    from .data.encoding import Encoding
    from .distributed import Distributed
    from .history import History


class Sequential:
    """A stack of layers, trained to lower a loss.

    layers: objects of the Layer protocol, first to last.
    loss: of classes "cross_entropy" and "focal" (after softmax), "binary_cross_entropy" and
        "binary_focal" (after sigmoid), "kl_divergence" (of rows of probabilities, after softmax),
        "hinge" (of -1 and 1, or 0 and 1; after no activation); of numbers "mean_squared_error",
        "mean_absolute_error", "huber", "quantile", and "poisson" (of counts, after softplus or
        lm.ops.exp); an object such as `lm.Huber(0.5)`, `lm.Quantile(0.9)`, `lm.Focal(1.5)`,
        `lm.BinaryFocal()` or `lm.CrossEntropy(label_smoothing=0.1)`; or a function
        loss(y_true, y_pred) on nodes with one value a row. The mean over outputs is the row's.
    optimizer: a name or an object such as `lm.Adam(1e-3)`.
    metrics: means over rows: "accuracy", "mean_absolute_error", "mean_squared_error", or a function
        as the loss's; they cost nearly nothing. Or numbers from whole predictions: "f1", "roc_auc",
        "r2", "confusion_matrix", "top_3_accuracy", ... (`lm.metrics.names()`), a function of
        scikit-learn's as it is, a `functools.partial` of one, or `lm.metrics.whole(function)`.
        By their names, F1, precision, recall and Jaccard of several classes are "macro" means
        (others by a suffix, "f1_weighted"), 0 where nothing divides, and the area under the curve
        is one against the rest. Weights: `sample_weight`, not `class_weight`.
    backend: see `lm.get_backend`; "auto" leaves the choice to `use_backend`, then LAMINA_BACKEND,
        then the first available of cupy, numba, numpy; when training begins, the CPU for steps too
        small for a GPU, or what was measured to win (LAMINA_AUTO=measured).
    dtype: "float32" or "float64". precision: of the factors of products, for dtype float32 on a
        GPU from compute capability 8.0 on: "tf32" (10 bits behind the point) or "bfloat16" (7);
        None for float32. Sums, weights and all else are float32. It is not saved with the model.
    seed: keys initial weights, order of rows and dropout; None draws one, kept in `model.seed`.

    Several threads may evaluate, predict, ask for gradients and save at once; each sees the weights
    as they are then, those of a step that is under way among them. One thread trains at a time.
    Copies (`copy.deepcopy` and `copy.copy`) and pickles share no memory with the model and
    go on as it would have, bit for bit. A pickle comes back on the same backend and device, or with
    a warning on what "auto" takes where that one cannot run; functions and layers of one's own are
    pickled by name, so they must stand at the top of a module.
    """

    layers = Kept[tuple[Layer, ...]]()
    loss = Kept[losses.Loss]()
    optimizer = Kept[optimizers.Optimizer]()
    metrics = Kept[tuple[row_metrics.Metric | measures.Whole, ...]]()
    dtype = Kept[str]()
    precision = Kept["str | None"]()
    seed = Kept[int]()
    backend = Kept[Backend]()
    backend_reason = Kept[str]()
    features = Kept[tuple[int, ...] | None]()  # the shape of a row, once built
    columns = Kept[tuple[str, ...] | None]()  # of the data frame that it was built on

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: str | losses.Function | losses.Loss,
        optimizer: str | optimizers.Optimizer = "adam",
        metrics: Sequence[str | losses.Function | row_metrics.Metric | measures.Whole] = (),
        backend: Choice = "auto",
        dtype: str = "float32",
        precision: str | None = None,
        seed: int | None = None,
    ) -> None:
        layers = check_layers(layers)
        if isinstance(metrics, str):
            raise BadInput(f'metrics is a sequence of names: metrics=("{metrics}",)')
        lowered, rule = losses.get(loss), optimizers.get(optimizer)
        watched = tuple(measures.get(m) for m in metrics)
        names = ["loss", *(m.name for m in watched)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadInput(f"two of the loss and the metrics are named {twice!r}: rename one")
        if dtype not in FLOATS:
            raise unknown("dtype", dtype, FLOATS)
        seed = inputs.seed_of(seed)
        self.session = Session(layers, lowered, rule, watched, dtype, seed, backend, precision)
        self.stop_training = False
        self.history: History | None = None
        self.told_custom = False  # whether save has said what load will need
        self.encoding: Encoding | None = None  # how tables become features; saved with the model
        self.origin: dict[str, Any] | None = None  # what `lamina train` began it with; saved too
        self._predictor: Predictor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_predictor": None}  # which is made anew from the session

    def __copy__(self) -> Sequential:
        return copy.deepcopy(self)

    def to(self, backend: Choice) -> Sequential:
        """Moves the model, optimizer state included, to another device, in place; returns it.

        Not while other threads use it. Raises: UnknownName, BackendUnavailable, ModelBusy.
        """
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
        with self.state.turn:
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
            is saved with the model.
        Not while other threads use it. Raises: NotBuilt, BadInput; ModelBusy while another thread
        trains the model.
        """
        self.session.set_rates(fine_tuning.by_array(self.session.names, rates))
        return self

    def freeze(self, *which: int | str) -> Sequential:
        """Lets arrays stay as they are, whatever is trained; returns the model.

        which: layers by number or arrays by name, as in `set_rates`; none: all that there are.
        Raises: NotBuilt, BadInput, ModelBusy.
        """
        return self.set_rates(dict.fromkeys(which or self.session.names, 0.0))

    def unfreeze(self, *which: int | str) -> Sequential:
        """Lets arrays be trained again, at the whole learning rate; returns the model.

        which: as in `freeze`. Raises: NotBuilt, BadInput, ModelBusy.
        """
        return self.set_rates(dict.fromkeys(which or self.session.names, 1.0))

    def averaged(self) -> Sequential:
        """A model of its own with the averaged weights, to evaluate, predict with and save.

        It has the average that the optimizer keeps (see `lm.EMA` and `lm.SWA`); this model stays
        as it is. Raises: NotBuilt; BadInput where nothing was averaged.
        """
        other = copy.deepcopy(self)
        fine_tuning.take_average(other.session)
        other.history = None
        return other

    @property
    def output(self) -> str:
        """The operation that the prediction ends in, such as "softmax"."""
        return self.session.graph().prediction.op

    # Training

    @trains
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
        steps_per_epoch: int | None = None,
        accumulate: int = 1,
        distributed: bool | Distributed | None = None,
    ) -> History:
        """Trains; a second call goes on with the same optimizer state and epoch counter.

        epochs: passes over the rows, from 0. batch_size: rows a batch, from 1.
        shuffle: take the rows in another order every epoch, drawn by the seed.
        sample_weight: (n,) from 0; the loss is the weighted mean. callbacks: see `lm.Callback`.
        x: (n, features); y: (n,) or (n, outputs). The last, smaller batch is trained on as well.
            A `np.memmap` is read batch by batch. Without y, x is an iterable of batches (x, y) or
            (x, y, sample_weight), or a function that returns one for every epoch.
        steps_per_epoch: of an iterable, perhaps endless, so many batches are an epoch, and the next
            epoch goes on with those after them; one that ends is begun anew where it can be.
        Metrics from whole predictions (see `metrics`) cost a prediction of the training rows after
            every epoch, which is then the value; of an iterable's rows, which are gone, there is
            none, only `val_...`. Where one is not defined for the rows it is NaN, with a warning.
        validation_data: (x, y) or (x, y, sample_weight). validation_split: a share of the rows held
            out, drawn by the seed; of class numbers a share of every class.
        class_weight: label -> factor, or "balanced"; it multiplies sample_weight in training, never
            in validation. The weights of a batch are divided by their sum: they tell its rows
            apart, and with batch_size=1 they cancel (the history's loss is weighted all the same).
        verbose: "auto" shows a line on a terminal and plain lines elsewhere; 0 nothing.
        accumulate: batches whose gradients are joined to one step, as if they were one batch; the
            last step of an epoch takes what is left. Callbacks are told of every batch.
        distributed: True, or an `lm.Distributed`: processes share the rows of every batch.
        A callback may train the same model, in the same thread; its steps come where it is called:
            between two epochs, or from `on_batch_end` between two batches.
        Raises: BadInput, ShapeError, DtypeError, DivergenceError; ModelBusy while another thread
        trains the model.
        """
        from . import fitting, training  # loaded by those who train

        prepare = partial(
            fitting.prepared, self, x, y, epochs, batch_size, validation_data, validation_split,
            shuffle, sample_weight, class_weight, callbacks, verbose, steps_per_epoch, accumulate,
        )  # fmt: skip
        if not distributed:
            return training.train(prepare())
        from .distributed import fit

        return fit(self, distributed, prepare)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: Mapping[Any, float] | str | None = None,
    ) -> dict[str, float]:
        """One step on all the rows given; loss and metrics from before the update.

        Metrics from whole predictions are left out.

        x, y, sample_weight, class_weight: as in `fit`; the rows may lack a class that has a weight.
        Raises: BadInput while a layer such as Standardize has no statistics, which come from `fit`;
            DivergenceError where the loss or the gradient is not finite; nothing is updated.
            ModelBusy while another thread trains the model.
        """
        from . import training

        session = self.session
        lock = session.right_to_train.lock
        if not lock.acquire(False):
            raise busy()
        try:
            examples = session.examples(x, y, sample_weight)
            examples = session.weighted(examples, class_weight, whole=False)
            session.check_learned()
            control = Control(batch=examples.rows)
            session.step(examples, control)
            if control.stop:
                raise training.diverged(self, control)
        finally:
            lock.release()
        return means(control)

    def evaluate(
        self, x: Any, y: Any, sample_weight: Any = None,
        distributed: bool | Distributed | None = None,
    ) -> dict[str, float]:  # fmt: skip
        """Loss and metrics over the data, nothing trained: {"loss": ..., "accuracy": ...}.

        x: (n, features); y: (n,) or (n, outputs); sample_weight: (n,). distributed: as in `fit`.
        Raises: NotBuilt, BadInput, ShapeError, DtypeError.
        """
        self.state  # noqa: B018  raises NotBuilt
        from .distributed import evaluate  # loaded by those who evaluate

        return evaluate(self, distributed, partial(self.session.examples, x, y, sample_weight))

    def predict(self, x: Any) -> np.ndarray:
        """The last layer's output, (n, outputs): probabilities after sigmoid or softmax.

        x: (n, features); of a model that was trained on a table also such a table: a data frame,
            a dictionary of lists, a path or a query (see `lm.datasets.load`), its columns in any
            order. Then a regression's answers are in the label's own units.
        Raises: NotBuilt, BadInput, UnknownName, ShapeError, DtypeError.
        """
        if self.encoding is None:
            return self._run(x)
        from .data import answers

        return answers.predicted(self._run, self.encoding, x)

    def _run(self, x: Any) -> np.ndarray:
        return self.prepare().run(self.session.rows(x))

    def prepare(self) -> Predictor:
        """`predict` without its checks, for many small calls: a function of row-major arrays.

        It is safe from several threads, and follows the model's weights. After `to` and
        `set_rates` prepare anew.
        """
        if self._predictor is None or self._predictor.state is not self.session.state:
            self._predictor = Predictor(self.session)
        return self._predictor

    def predict_classes(self, x: Any) -> np.ndarray:
        """Class numbers, (n,) int32: the likeliest of several outputs, 0 or 1 of a single one.

        x: (n, features); of a table, as in `predict`, the classes' names come, (n,) strings.
        Raises: NotBuilt; BadInput when the last layer gives no probabilities.
        """
        if self.output not in PROBABILITIES:
            raise BadInput("predict_classes needs a last layer that ends in softmax or sigmoid")
        found = classes_of(self.predict(x), self.output)
        if self.encoding is None:
            return found
        from .data import answers

        return answers.classes(found, self.encoding, x)

    def gradients(self, x: Any, y: Any, sample_weight: Any = None) -> list[dict[str, np.ndarray]]:
        """The cost's gradient, per layer and by name: [{"weight": ..., "bias": ...}, ...].

        x, y, sample_weight: as in `fit`. Nothing is trained. A gradient has its array's shape;
        layers without parameters have an empty dictionary, and frozen arrays are left out.
        """
        return self.session.gradients(self.session.examples(x, y, sample_weight))

    # Looking and keeping

    def summary(self) -> str:
        """A table of layers, output shapes and numbers of parameters; prints and returns it."""
        from . import inspection  # loaded by those who look

        text = inspection.summary(self)
        print(text)
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything needed to go on training to a safetensors file, atomically.

        path: of the file; an older one is replaced once the new one is on disk.
        Raises: NotBuilt; OSError when the disk refuses, with the old file whole.
        """
        from . import checkpoint  # loaded by those who save

        checkpoint.save(self, path)

    def _repr_html_(self) -> str:
        from . import inspection

        return inspection.html(self)

    def __repr__(self) -> str:
        layers, loss = ", ".join(layer.brief() for layer in self.layers), self.loss.told()
        loss = repr(loss) if loss == self.loss.name else loss
        return f"Sequential([{layers}], loss={loss}, backend={self.backend.name!r})"
