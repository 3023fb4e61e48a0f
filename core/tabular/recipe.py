"""The recipe for tables: RealMLP's network and schedule, in an ensemble that stops early.

Networks, scales and schedule are those of RealMLP-TD-S (D. Holzmüller, L. Grinsztajn, I. Steinwart,
*Better by Default*, NeurIPS 2024). Measured beside it on small tables, narrower networks that stop
when the loss of rows held out no longer falls, five of them on parts of their own, score higher for
less work: `python -m lamina.benchmarks.tables` repeats that. Bins of the numbers are ours as well
(`PiecewiseLinear`): of twelve tables that are not among those measured, nine scored higher with
them, two the same and one less (by 0.001).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ...kernels.errors import BadInput
from .. import schedules
from ..checks import check_count, check_number
from ..features import Embedding, FeatureScale, PiecewiseLinear, RobustScale
from ..initializers import RandomNormal
from ..layers import Dense, Dropout, Layer, check_activation
from ..losses import CrossEntropy, Loss, get
from ..optimizers import AdamW
from .columns import Columns

EMBED_FROM = 20  # words of a category from which on they are embedded, and not one-hot
# Of a schedule. 128 and eight members gain 0.001 in the mean; millions of rows need few passes.
LEAST_EPOCHS, MOST_EPOCHS = 2, 96
MOST_BINS = 1024  # of all columns of numbers: beyond, each has fewer
MOST_STEPS = 16_000  # of a member: beyond, tables are large enough to be seen fewer times
LARGE = (20_000, 100_000, 500_000)  # rows from which on batches are twice as large, each
LOSSES = {  # those that fit the last layer, the usual one first; numbers are standardized
    "classification": ("cross_entropy", "focal"),
    "regression": ("mean_squared_error", "mean_absolute_error", "huber", "quantile"),
}
SMALL, MEMBERS = 5_000, (5, 4, 2, 2, 1)  # members for fewer rows, and up to each limit of LARGE


@dataclass(frozen=True)
class Recipe:
    """How a table is learned; None and "auto" are decided by the task and the number of rows.

    hidden: sizes of the hidden layers. activation: theirs; "auto" is selu for classes and mish for
        numbers. dropout: behind each hidden layer, in [0, 1).
    members: networks in the ensemble, each with rows of its own held out. validation: the share of
        rows that each holds out, in (0, 1).
    epochs: passes over the rows at most. patience: epochs without a better loss on the rows held
        out after which a member ends. batch_size: rows a step, about: batches of an epoch are
        equal. learning_rate: the highest of the schedule.
    loss: by name; "auto" is cross-entropy, or the squared error. label_smoothing: of
        cross-entropy, in [0, 1). weight_decay: of weights, decoupled (AdamW).
    embedding: numbers that a code of a category becomes. bins: of each column of numbers, at most;
        0: none. time: seconds that training may take.
    Raises: BadInput, UnknownName.
    """

    hidden: tuple[int, ...] | None = None
    activation: str = "auto"
    dropout: float | None = None
    members: int | None = None
    validation: float = 0.2
    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    loss: str = "auto"
    label_smoothing: float = 0.1
    weight_decay: float = 0.0
    embedding: int = 8
    bins: int = 8
    time: float | None = None

    def __post_init__(self) -> None:
        for size in self.hidden or ():
            check_count("hidden", size)
        if self.activation != "auto":
            check_activation(self.activation)
        for name in ("members", "epochs", "patience", "batch_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), least=0 if name == "epochs" else 1)
        check_count("embedding", self.embedding)
        check_count("bins", self.bins, least=0)
        for name in ("dropout", "label_smoothing", "validation"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0.0, 1.0, open_high=True)
        for name in ("learning_rate", "weight_decay", "time"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0.0, math.inf, open_high=True)
        if self.time == 0 or not self.validation:
            raise BadInput(f"{'time' if self.time == 0 else 'validation'} must be above 0")

    def fitted(self, rows: int, task: str) -> Recipe:
        """The recipe with every number decided, for so many rows of training data."""
        large = sum(rows >= limit for limit in LARGE)
        classes = task == "classification"
        batch = 256 << large if self.batch_size is None else self.batch_size
        members = self.members or MEMBERS[sum(rows >= limit for limit in (SMALL, *LARGE))]
        epochs = self.epochs
        if epochs is None:
            steps = max(round(rows * (1.0 - self.validation) / batch), 1)
            epochs = min(MOST_EPOCHS, max(MOST_STEPS // steps, LEAST_EPOCHS))
        hidden = (256 if large else 128,) * 3 if self.hidden is None else self.hidden
        activation = ("selu" if classes else "mish") if self.activation == "auto" else None
        rate = (0.04 if classes else 0.07) if self.learning_rate is None else self.learning_rate
        return replace(
            self,
            hidden=hidden,
            activation=activation or self.activation,
            dropout=0.2 if self.dropout is None else self.dropout,
            members=members,
            epochs=epochs,
            patience=self.patience or patience_of(epochs),
            batch_size=batch,
            learning_rate=rate,
        )

    @property
    def parts(self) -> int:
        """How many parts the rows are cut in, of which each member holds out one."""
        return max(round(1.0 / self.validation), self.members or 1)

    def front(self, columns: Columns) -> list[Layer]:
        """The layers that learn from all rows: they stand before the members."""
        found: list[Layer] = [RobustScale(columns.numeric)]
        bins = min(self.bins, MOST_BINS // max(columns.numeric, 1))
        if columns.numeric and bins > 1:
            found.append(PiecewiseLinear(columns.numeric, bins))
        return found

    def layers(self, columns: Columns, outputs: int, last: str | None) -> list[Layer]:
        """One member's layers behind the scaling; a fitted recipe. last: the last activation."""
        assert self.hidden is not None
        found: list[Layer] = []
        if columns.embedded:
            found.append(Embedding(columns.embedded, self.embedding))
        found.append(FeatureScale(rate=6.0))
        for size in self.hidden:
            normal = RandomNormal(1.0)
            found.append(Dense(size, self.activation, True, "lecun", normal))
            if self.dropout:
                found.append(Dropout(self.dropout))
        found.append(Dense(outputs, last, True, "zeros"))
        return found

    def cost(self, task: str) -> Loss:
        """The loss that training lowers. Raises: BadInput for one that does not fit the task."""
        if self.loss == "auto" and task == "classification":
            return CrossEntropy(label_smoothing=self.label_smoothing)
        fitting = LOSSES[task]
        found = get(fitting[0] if self.loss == "auto" else self.loss)
        if found.function is None and found.name not in fitting:
            raise BadInput(
                f"the loss {found.name!r} is not for {task}: use one of {', '.join(fitting)}"
            )
        return found

    def optimizer(self, steps: int) -> AdamW:
        """Adam with its schedule over so many steps in all."""
        assert self.learning_rate is not None
        rate = schedules.CosineLogarithmic(self.learning_rate, max(steps, 1))
        return AdamW(rate, beta2=0.95, weight_decay=self.weight_decay)


def patience_of(epochs: int) -> int:
    """Epochs that a member waits for a better one: of 128, more than 32 gained nothing."""
    return max(epochs // 5, 16)


def rates(layers: list[Layer], shapes: dict[str, tuple[int, ...]]) -> dict[int | str, float]:
    """Factors on the learning rate by array: 1 / sqrt(n_in) for weights, 0.1 for biases.

    Adam's step is the same for any unit of its parameter, so these factors and weights of variance
    1 / n_in are the parametrization x @ W / sqrt(n_in) + b with W of variance 1 (neural tangent
    kernel), without the division.

    shapes: of the arrays, by names such as "1.weight".
    """
    found: dict[int | str, float] = {}
    for name, shape in shapes.items():
        number, array = name.split(".", 1)
        if isinstance(layers[int(number)], Dense):
            found[name] = shape[0] ** -0.5 if array == "weight" else 0.1
    return found
