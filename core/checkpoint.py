"""A model in a file: one safetensors file that holds all that training needs to go on."""

from __future__ import annotations

import contextlib
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
from . import averages, initializers, schedules
from .layers import BUILTIN as LAYERS
from .layers import plain
from .optimizers import BUILTIN as OPTIMIZERS

if TYPE_CHECKING:
    from .model import Sequential

FORMAT = "lamina"
VERSION = 1
STALE_SECONDS = 3600.0
OBJECTS = {
    **{
        c.__name__: c
        for c in (initializers.Constant, initializers.RandomNormal, initializers.VarianceScaling)
    },
    **schedules.BUILTIN,
    **averages.BUILTIN,
}


def description(model: Sequential) -> dict[str, Any]:
    """The model without its numbers, in words of JSON."""
    optimizer = model.optimizer
    return {
        "layers": [{"class": type(la).__name__, **la.config()} for la in model.layers],
        "loss": plain(model.loss.function or model.loss.name),
        "metrics": [plain(m.function or m.name) for m in model.metrics],
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


def own_names(told: Any) -> list[str]:
    """The names in a description that are the user's: what `load` will want in `custom`."""
    known = {**LAYERS, **OPTIMIZERS, **OBJECTS}
    found: dict[str, None] = {}

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("class", "Dense") not in known:
                found[value["class"]] = None
            if set(value) == {"function"}:
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
    for entry in state.layout.entries:
        tensors[entry.name] = state.array(entry.name)
        for slot in state.layout.slots:
            if entry.trainable:
                tensors[f"{slot}/{entry.name}"] = state.array(entry.name, slot)
    # safetensors writes the memory as it lies, so every array must be C-contiguous
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    told = description(model)
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
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(to_bytes(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
        _sync_folder(target.parent)
    finally:
        beside.unlink(missing_ok=True)


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
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a file.

    Raises: CheckpointError when it is no model, is damaged, or comes from a later version.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"there is no file {str(path)!r}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            f"{str(path)!r} is no safetensors file, or is damaged: {error}"
        ) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{str(path)!r} is a safetensors file, but no model of lamina")
    version = metadata.get("version", "")
    if not version.isdigit() or int(version) > VERSION:
        raise CheckpointError(
            f"{str(path)!r} has format version {version!r}, this lamina reads up to {VERSION}:"
            " upgrade lamina"
        )
    if metadata.get("digest") != digest(tensors, metadata.get("model", "")):
        raise CheckpointError(f"{str(path)!r} is damaged: its checksum does not fit its contents")
    return tensors, metadata
