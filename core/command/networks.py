"""Plain networks for `lamina train`, with defaults that fit their size."""

from __future__ import annotations

import math
from dataclasses import replace

from ...backends import batching
from ...kernels.errors import BadInput
from .. import losses
from ..data.datasets import Dataset
from ..layers import Dense, Dropout, Flatten, Layer, Standardize
from ..model import Sequential
from ..optimizers import Adam
from ..tabular import recipe
from .settings import Settings

LOSSES = {  # those that the last layer for a task fits; a regression's label is standardized
    "regression": recipe.LOSSES["regression"],
    "two classes": ("binary_cross_entropy", "binary_focal"),
    "several classes": recipe.LOSSES["classification"],
}
# A layer of few units loses what it knows with each that is dropped, and learns little at the rate
# of a wide one: 2-4-1 on planar gets 0.55 so, and 0.9 with these.
NARROW = 32
NARROW_RATE, NARROW_STEPS = 0.03, 3000


def plain(settings: Settings, data: Dataset) -> Settings:
    """The settings of a plain network with every number decided."""
    hidden = (128, 64) if settings.hidden is None else settings.hidden
    narrow = min(hidden, default=NARROW) < NARROW
    batch = settings.batch_size or 32
    epochs = settings.epochs
    if epochs is None:
        steps = max(batching.count(len(data.x_train), batch), 1)
        epochs = max(-(-NARROW_STEPS // steps) if narrow else 0, 60)
    rate, dropout = settings.learning_rate, settings.dropout
    return replace(
        settings,
        recipe="simple",
        hidden=hidden,
        activation="relu" if settings.activation == "auto" else settings.activation,
        batch_size=batch,
        epochs=epochs,
        learning_rate=(NARROW_RATE if narrow else 1e-3) if rate is None else rate,
        dropout=(0.0 if narrow else 0.2) if dropout is None else dropout,
    )


def brief(settings: Settings, data: Dataset) -> str:
    """The network in a line: its layers' sizes and its dtype."""
    columns = math.prod(data.x_train.shape[1:])
    widths = [columns, *(settings.hidden or ()), len(data.class_names)]
    if data.task == "regression" or widths[-1] == 2:
        widths[-1] = 1
    return f"{'-'.join(map(str, widths))}, {settings.dtype}"


def network(settings: Settings, data: Dataset) -> Sequential:
    """The model for a data set: files are standardized, the last layer fits the task.

    settings: as `plain` decides them.
    """
    layers: list[Layer] = []
    if data.encoding is not None:  # the zeros and ones of categories stay as they are
        all_numbers = not data.encoding.columns or not data.encoding.one_hot
        layers.append(Standardize(None if all_numbers else data.encoding.numeric))
    if data.x_train.ndim > 2:
        layers.append(Flatten())
    for size in settings.hidden or ():
        layers.append(Dense(size, settings.activation))
        if settings.dropout:
            layers.append(Dropout(settings.dropout))
    classes = len(data.class_names)
    if data.task == "regression":
        last, kind, metrics = Dense(1), "regression", ("mean_absolute_error",)
    elif classes == 2:
        last, kind, metrics = Dense(1, "sigmoid"), "two classes", ("accuracy",)
    else:
        last, kind, metrics = Dense(classes, "softmax"), "several classes", ("accuracy",)
    layers.append(last)
    loss = loss_for(settings.loss, kind)
    assert settings.learning_rate is not None
    model = Sequential(
        layers,
        loss,
        Adam(settings.learning_rate),
        metrics,
        settings.backend,
        settings.dtype,
        seed=settings.seed,
    )
    model.encoding = data.encoding
    return model


def loss_for(choice: str, kind: str) -> str:
    """The loss of a task: the first that fits, or the one asked for. Raises: BadInput."""
    fitting = LOSSES[kind]
    name = fitting[0] if choice == "auto" else losses.get(choice).name
    if name not in fitting:
        raise BadInput(f"--loss {name} is not for {kind}: use one of {', '.join(fitting)}")
    return name
