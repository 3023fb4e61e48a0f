"""A model in a file: one safetensors file that holds all that training needs to go on."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..kernels.errors import CheckpointError
from ..kernels.files import write
from . import averages, initializers, losses, metrics, schedules
from .layers import plain
from .optimizers import BUILTIN as OPTIMIZERS
from .residual import BUILTIN as LAYERS

if TYPE_CHECKING:
    from .model import Sequential

FORMAT = "lamina"
VERSION = 1
OFFSET, FACTOR = "host/offset", "host/factor"  # of `Shift`, where there is one
STALE_SECONDS = 3600.0
OBJECTS = {**initializers.BUILTIN, **schedules.BUILTIN, **averages.BUILTIN}
DEEPEST = 64  # levels of a description: layers of settings of objects need half a dozen


def description(model: Sequential) -> dict[str, Any]:
    """The model without its numbers, in words of JSON."""
    optimizer = model.optimizer
    return {
        "layers": [{"class": type(la).__name__, **la.config()} for la in model.layers],
        "loss": written(model.loss),
        "metrics": [metrics.written(metric) for metric in model.metrics],
        "optimizer": plain(optimizer),
        "dtype": model.dtype,
        "seed": model.seed,
        "features": list(model.features or ()),
        "step": model.state.step,
        "epoch": model.state.epoch,
        "learned": model.session.learned,
        "rates": model.session.rates,
        "columns": None if model.columns is None else list(model.columns),
        "encoding": None if model.encoding is None else model.encoding.to_json(),
        "origin": model.origin,
    }


def written(loss: losses.Loss) -> Any:
    """A loss in words of JSON: its name where that says all."""
    if loss.function is not None:
        return plain(loss.function)
    return loss.name if losses.BUILTIN.get(loss.name) == loss else plain(loss)


def own_names(told: Any) -> list[str]:
    """The names in a description that are the user's: what `load` will want in `custom`."""
    known = {**LAYERS, **OPTIMIZERS, **OBJECTS, **losses.CLASSES}
    found: dict[str, None] = {}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("class", "Dense") not in known:
                found[value["class"]] = None
            if "function" in value and "class" not in value:
                found[value["function"]] = None
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    for part in ("layers", "loss", "metrics", "optimizer"):
        look(told[part])
    return list(found)


def save(model: Sequential, path: str | os.PathLike[str]) -> None:
    """Writes the model beside the target and renames, so an older file is never lost.

    Raises: NotBuilt; OSError when the disk refuses, with the old file whole.
    """
    from safetensors.numpy import save as to_bytes

    state, tensors = model.state, {}
    with state.turn:
        for entry in state.layout.entries:
            tensors[entry.name] = state.array(entry.name)
            for slot in state.layout.slots:
                if entry.trainable:
                    tensors[f"{slot}/{entry.name}"] = state.array(entry.name, slot)
        if (shift := model.session.shift) is not None:
            tensors[OFFSET], tensors[FACTOR] = shift.offset, shift.factor
        told = description(model)
    # safetensors writes the memory as it lies, so every array must be C-contiguous
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    words = json.dumps(told)
    own = own_names(told)
    if own and not model.told_custom:
        custom = ", ".join(f"{name!r}: {name}" for name in own)
        warnings.warn(
            f"this model uses parts of your own: lm.load will need custom={{{custom}}}",
            stacklevel=3,
        )
        model.told_custom = True
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "model": words,
        "digest": digest(tensors, words),
    }
    target = Path(path)
    _sweep(target)
    write(target, to_bytes(tensors, metadata), sync=True)


def digest(tensors: Mapping[str, np.ndarray], words: str) -> str:
    """A checksum of the arrays, their names, shapes and dtypes, and the description."""
    found = hashlib.blake2b(words.encode(), digest_size=16)
    for name in sorted(tensors):
        array = tensors[name]
        found.update(f"{name} {array.dtype.name} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _sweep(target: Path) -> None:
    """Removes what a killed process left beside the file, once it is surely nobody's."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > STALE_SECONDS:
                left.unlink()


def _deep(words: str) -> bool:
    """Whether JSON nests deeper than any description does."""
    try:
        level = [json.loads(words)]
    except RecursionError:
        return True
    except ValueError:
        return False  # no JSON: that is said where the description is read
    for _ in range(DEEPEST):
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a file.

    Raises: CheckpointError when it is no model, is damaged, or comes from a later version.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise CheckpointError(f"there is no file {str(path)!r}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except MemoryError:  # it is as large as it says
        raise
    except Exception as error:  # SafetensorError; dtypes that NumPy has not; a disk that fails
        raise CheckpointError(
            f"{str(path)!r} is no safetensors file, or is damaged: {error}"
        ) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{str(path)!r} is a safetensors file, but no model of lamina")
    version = metadata.get("version", "")
    if version not in map(str, range(1, VERSION + 1)):
        raise CheckpointError(
            f"{str(path)!r} has format version {version!r}, this lamina reads up to {VERSION}:"
            " upgrade lamina"
        )
    if metadata.get("digest") != digest(tensors, metadata.get("model", "")):
        raise CheckpointError(f"{str(path)!r} is damaged: its checksum does not fit its contents")
    if _deep(metadata.get("model", "")):
        raise CheckpointError(f"{str(path)!r} does not describe a model: it nests too deeply")
    return tensors, metadata
