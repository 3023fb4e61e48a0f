"""Loading: a model made again from its file, ready to predict or to go on training."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.contract import Backend
from ..backends.selection import Choice, select
from ..kernels.errors import CheckpointError, LaminaError
from .checkpoint import OBJECTS, read
from .data.tables import Encoding
from .layers import BUILTIN as LAYERS
from .layers import Layer
from .losses import BUILTIN as LOSSES
from .losses import METRICS
from .model import Sequential
from .optimizers import BUILTIN as OPTIMIZERS


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
    chosen = select(None if backend == "auto" else backend)
    try:
        told = json.loads(metadata["model"])
        model = _rebuilt(told, chosen.backend, words)
        model.session.adopt(chosen)
        segments = _segments(model, tensors)
        model.state.step, model.state.epoch = int(told["step"]), int(told["epoch"])
        model.session.learned = bool(told["learned"])
        if told.get("columns") is not None:
            model.columns = tuple(str(name) for name in told["columns"])
        if told.get("encoding") is not None:
            model.encoding = Encoding.from_json(told["encoding"])
        if told.get("origin") is not None:
            model.origin = dict(told["origin"])
    except CheckpointError:
        raise
    except (LaminaError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{str(path)!r} does not describe a model: {error}") from error
    for segment, flat in segments.items():
        model.state.write(segment, flat)
    return model


def _rebuilt(told: Mapping[str, Any], backend: Backend, custom: dict[str, Any]) -> Sequential:
    layers = [_object(each, {**LAYERS, **custom}, custom, "layer") for each in told["layers"]]
    loss = _function(told["loss"], LOSSES, custom, "loss")
    metrics = [_function(m, METRICS, custom, "metric") for m in told["metrics"]]
    model = Sequential(
        layers,
        loss=loss,
        optimizer=_object(told["optimizer"], {**OPTIMIZERS, **custom}, custom, "optimizer"),
        metrics=metrics,
        backend=backend,
        dtype=told["dtype"],
        seed=told["seed"],
    )
    model.session.rates = {str(k): float(v) for k, v in told.get("rates", {}).items()}
    return model.build(told["features"])


def _function(told: Any, known: Mapping[str, Any], custom: Mapping[str, Any], kind: str) -> Any:
    """A loss or metric: a built-in name, or a function of the user's."""
    if isinstance(told, dict):
        return _named(told["function"], custom, kind)
    if told not in known:
        raise CheckpointError(f"unknown {kind} {told!r}")
    return told


def _named(name: str, custom: Mapping[str, Any], kind: str) -> Any:
    if name not in custom:
        raise CheckpointError(
            f"the model uses the {kind} {name!r}: pass custom={{{name!r}: ...}} to load"
        )
    return custom[name]


def _object(
    told: Mapping[str, Any], known: Mapping[str, Any], custom: dict[str, Any], kind: str
) -> Any:
    settings = {k: _setting(v, custom) for k, v in told.items() if k != "class"}
    found = _named(told["class"], known, kind)(**settings)
    if kind == "layer" and not isinstance(found, Layer):
        raise CheckpointError(f"custom[{told['class']!r}] must be a Layer class")
    return found


def _setting(value: Any, custom: dict[str, Any]) -> Any:
    if isinstance(value, dict) and "class" in value:
        return _object(value, {**OBJECTS, **custom}, custom, "object")
    if isinstance(value, dict) and set(value) == {"function"}:
        return _named(value["function"], custom, "function")
    return tuple(_setting(v, custom) for v in value) if isinstance(value, list) else value


def _segments(model: Sequential, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The flat segments put together, every array checked before anything is written."""
    layout = model.state.layout
    expected = {e.name: (e.segment, e) for e in layout.entries}
    for slot in layout.slots:
        expected.update({f"{slot}/{e.name}": (slot, e) for e in layout.entries if e.trainable})
    if set(tensors) != set(expected):
        odd = sorted(set(tensors) ^ set(expected))
        raise CheckpointError(f"the file's arrays do not fit its description: {', '.join(odd[:5])}")
    segments = {
        name: np.zeros(layout.length(name), dtype=model.dtype)
        for name in ("parameters", "statistics", *layout.slots)
    }
    for name, array in tensors.items():
        segment, entry = expected[name]
        if array.shape != entry.shape or array.dtype.name != model.dtype:
            raise CheckpointError(
                f"{name} is {array.dtype}{list(array.shape)}, but the model needs"
                f" {model.dtype}{list(entry.shape)}"
            )
        segments[segment][entry.offset : entry.offset + entry.size] = array.reshape(-1)
    return segments
