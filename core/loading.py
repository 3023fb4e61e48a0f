"""Loading: a model made again from its file, ready to predict or to go on training."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.contract import Backend
from ..backends.program import Layout
from ..backends.selection import Choice, preferred
from ..kernels.errors import CheckpointError
from . import averages, initializers, schedules
from .checkpoint import FACTOR, OFFSET, read
from .checks import check_count, check_number
from .data.columns import KINDS, Column
from .data.encoding import Encoding
from .data.splits import TASKS
from .layers import Layer
from .losses import BUILTIN as LOSSES
from .losses import CLASSES as LOSS_CLASSES
from .metrics import read as read_metric
from .model import Sequential
from .optimizers import BUILTIN as OPTIMIZERS
from .residual import BUILTIN as LAYERS
from .standardization import Shift
from .tracing import ForwardGraph

MOST_STEPS = 2**53  # what schedules and devices count exactly


def load(
    path: str | os.PathLike[str],
    backend: Choice = "auto",
    custom: Mapping[str, Any] | None = None,
) -> Sequential:
    """The model of a file, ready to predict or to go on training, on the given backend.

    path: of a file that `save` wrote. backend: as in `Sequential`.
    custom: name -> class or function, for layers, losses, metrics, activations, initializers and
        schedules of one's own.
    Raises: CheckpointError when the file is no model, is damaged, or needs a name not in `custom`;
        UnknownName, BackendUnavailable.
    """
    tensors, metadata = read(Path(path))
    words = dict(custom or {})
    chosen = preferred(backend)
    try:
        told = json.loads(metadata["model"], parse_int=_whole)
        model = _rebuilt(told, tensors, chosen.backend, words)
        model.session.adopt(chosen)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # words of a stranger's may break anything
        raise CheckpointError(f"{str(path)!r} does not describe a model: {error}") from error
    return model


def _whole(text: str) -> int:
    """A whole number, of which none has more than 64 bits. Raises: ValueError."""
    value = int(text)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{text} has more than 64 bits")
    return value


def _rebuilt(
    told: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    backend: Backend,
    custom: dict[str, Any],
) -> Sequential:
    """The model of a description, with the arrays that must fit it."""
    starts = {**initializers.BUILTIN, **LAYERS, **custom}  # layers: of blocks
    parts = {**schedules.BUILTIN, **averages.BUILTIN, **custom}
    layers = [_object(each, {**LAYERS, **custom}, starts, custom) for each in told["layers"]]
    for number, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            name = told["layers"][number]["class"]
            raise CheckpointError(f"custom[{name!r}] must be a Layer class")
    model = Sequential(
        layers,
        loss=_loss(told["loss"], custom),
        optimizer=_object(told["optimizer"], {**OPTIMIZERS, **custom}, parts, custom),
        metrics=[
            read_metric(m, partial(_named, custom=custom, kind="metric")) for m in told["metrics"]
        ],
        backend=backend,
        dtype=told["dtype"],
        seed=told["seed"],
    )
    features = told["features"]
    if not isinstance(features, list) or not features:
        raise CheckpointError(f"the shape of a row is a list of numbers, not {features!r}")
    for size in features:
        check_count("the number of features", size)
    step, epoch = _counter(told, "step"), _counter(told, "epoch")
    if callable(model.optimizer.learning_rate):
        model.optimizer.rates(step, 1)  # a schedule that cannot be called
    arrays = dict(tensors)
    shift = _shift(tuple(features), arrays)
    if shift is not None and told["learned"] is not True:
        raise CheckpointError(f"{OFFSET} is of statistics, which were not learned yet")
    graphs = model.session.checked(tuple(features))
    model.session.rates = _rates(told, graphs[True])
    if model.session.rates:  # a layer may be another one while it is frozen
        graphs = model.session.checked(tuple(features))
    model.session.build(
        tuple(features), lambda layout: _segments(layout, model.dtype, arrays), graphs
    )
    model.state.step, model.state.epoch = step, epoch
    model.session.learned, model.session.shift = told["learned"] is True, shift
    _add_data(model, told)
    return model


def _rates(told: Mapping[str, Any], graph: ForwardGraph) -> dict[str, float]:
    """The factors on the learning rate, by array; older files have none."""
    rates = told.get("rates", {})
    if not isinstance(rates, dict):
        raise CheckpointError(f"the factors on the learning rate are by name, not {rates!r}")
    for name, rate in rates.items():
        if name not in graph.names:
            raise CheckpointError(f"{name!r} has a factor on the learning rate, but is no array")
        check_number(f"the factor of {name!r}", rate, 0.0, math.inf, open_high=True)
    return {name: float(rate) for name, rate in rates.items()}


def _counter(told: Mapping[str, Any], name: str) -> int:
    """A number of steps or epochs that training can go on from."""
    check_count(name, told[name], least=0)
    value = int(told[name])
    if value > MOST_STEPS:
        raise CheckpointError(f"{name} is {value}, more than any training has")
    return value


def _add_data(model: Sequential, told: Mapping[str, Any]) -> None:
    """What the model knows of its data: names of columns, encoding, origin. Raises: ValueError."""
    assert model.features is not None
    columns, encoding, origin = (told.get(name) for name in ("columns", "encoding", "origin"))
    if columns is not None:
        if len(columns) != model.features[0]:
            raise ValueError(f"{len(columns)} columns have names, not {model.features[0]}")
        model.columns = tuple(str(name) for name in columns)
    if encoding is not None:
        made = Encoding.from_json(encoding)
        check_encoding(made)
        if made.columns and (len(made.feature_names),) != model.features:
            raise ValueError("the table's columns do not make the features of the model")
        model.encoding = made
    if origin is not None:
        if not isinstance(origin, dict):
            raise ValueError(f"its origin is {type(origin).__name__}, not a dictionary")
        model.origin = origin


def check_encoding(made: Encoding) -> None:
    """Raises: ValueError where tables could not be encoded, or predictions not turned back."""
    words: list[Any] = [*made.classes]
    for column in made.columns:
        words += [column.name, *column.words, column.kind, *column.parts, column.format]
        words += [column.decimal, column.fill if isinstance(column.fill, str) else ""]
        _check_column(column)
    if not all(isinstance(word, str) for word in words):
        raise ValueError("names of columns, classes and categories are words")
    names = [column.name for column in made.columns]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    if made.task not in TASKS:
        raise ValueError(f"the task is {made.task!r}, not one of {', '.join(TASKS)}")
    if not (math.isfinite(made.mean) and math.isfinite(made.scale) and made.scale > 0.0):
        raise ValueError("mean and scale of the label are finite, and the scale is above 0")


def _check_column(column: Column) -> None:
    """Raises: ValueError where a column could not be encoded."""
    if column.kind not in KINDS:
        raise ValueError(f"a column is {column.kind!r}, not one of {', '.join(KINDS)}")
    if isinstance(column.fill, str):
        if column.kind != "category" or column.fill not in column.words:
            raise ValueError(f"{column.fill!r} stands for what is missing, but is no known word")
    elif column.fill is not None and not math.isfinite(column.fill):
        raise ValueError("what stands for a missing number is finite")
    if column.kind == "yes/no" and len(column.words) != 2:
        raise ValueError("yes and no are two words")
    if not set(column.parts) <= {"elapsed", "month", "weekday", "hour"}:
        raise ValueError(f"a date has no parts {', '.join(map(str, column.parts))}")
    switches = (column.indicator, column.rest, column.embedded, column.clock, column.strict)
    if not all(isinstance(switch, bool) for switch in switches):
        raise ValueError("whether a column is imputed is true or false")
    if isinstance(column.origin, bool) or not isinstance(column.origin, int):
        raise ValueError("the origin of a date is a whole number of microseconds")


def _loss(told: Any, custom: Mapping[str, Any]) -> Any:
    """A loss: a name, a class of losses with its settings, or a function of the user's."""
    if isinstance(told, dict) and "class" in told:
        return _object(told, LOSS_CLASSES, {}, custom, "loss")
    if isinstance(told, dict):
        return _named(told["function"], custom, "loss")
    if told not in LOSSES:
        raise CheckpointError(f"unknown loss {told!r}")
    return told


def _named(name: str, custom: Mapping[str, Any], kind: str) -> Any:
    if name not in custom:
        raise CheckpointError(
            f"the model uses the {kind} {name!r}: pass custom={{{name!r}: ...}} to load"
        )
    return custom[name]


def _object(
    told: Mapping[str, Any],
    known: Mapping[str, Any],
    parts: Mapping[str, Any],
    custom: Mapping[str, Any],
    kind: str = "class",
) -> Any:
    """An object of a known class; parts: the classes that its settings may be of."""
    settings = {k: _setting(v, parts, custom) for k, v in told.items() if k != "class"}
    return _named(told["class"], known, kind)(**settings)


def _setting(value: Any, parts: Mapping[str, Any], custom: Mapping[str, Any]) -> Any:
    if isinstance(value, dict) and "class" in value:
        return _object(value, parts, parts, custom)
    if isinstance(value, dict) and set(value) == {"function"}:
        return _named(value["function"], custom, "function")
    return tuple(_setting(v, parts, custom) for v in value) if isinstance(value, list) else value


def _shift(features: tuple[int, ...], tensors: dict[str, np.ndarray]) -> Shift | None:
    """What the host does to features, taken out of the file's arrays."""
    offset, factor = tensors.pop(OFFSET, None), tensors.pop(FACTOR, None)
    if offset is None and factor is None:
        return None
    shape, found = (1, *features), []
    for array in (offset, factor):
        fits = array is not None and array.shape == shape and array.dtype == np.float64
        if array is None or not fits or not np.isfinite(array).all():
            raise CheckpointError(f"{OFFSET} and {FACTOR} must be finite float64{list(shape)}")
        found.append(array)
    return Shift(*found)


def _segments(
    layout: Layout, dtype: str, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The flat segments put together, once every array is known to fit.

    So a description that promises more than the file has costs no memory.
    """
    expected = {e.name: (e.segment, e) for e in layout.entries}
    for slot in layout.slots:
        expected.update({f"{slot}/{e.name}": (slot, e) for e in layout.entries if e.trainable})
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))
        raise CheckpointError(f"the file's arrays do not fit its description: {', '.join(odd[:5])}")
    for name, array in tensors.items():
        _, entry = expected[name]
        if array.shape != entry.shape or array.dtype.name != dtype:
            raise CheckpointError(
                f"{name} is {array.dtype}{list(array.shape)}, but the model needs"
                f" {dtype}{list(entry.shape)}"
            )
    segments = {
        name: np.zeros(layout.length(name), dtype=dtype)
        for name in ("parameters", "statistics", *layout.slots)
    }
    for name, array in tensors.items():
        segment, entry = expected[name]
        segments[segment][entry.offset : entry.offset + entry.size] = array.reshape(-1)
    return segments
