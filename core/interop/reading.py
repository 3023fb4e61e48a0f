"""ONNX files read with care: what they claim is checked before it costs memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...kernels.errors import CheckpointError
from .library import onnx
from .tracer import domain_of

MOST_HELD = 1 << 31  # elements of a tensor: its bytes have to be there
OLDEST = 6  # the operator set that is read from
NARROW = ("uint8", "int8", "uint16", "int16")  # taken where they are cast before anything else


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    dtype: NumPy's name; "object" of strings. shape: a number, or None for a free length, for each
    axis; None where nothing is said.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def carrier(self) -> str:
        """The dtype that holds its numbers here: a wider one for whole numbers of 8 and 16 bits."""
        return "int32" if self.dtype in NARROW else self.dtype

    def __str__(self) -> str:
        lengths = (
            "..."
            if self.shape is None
            else ", ".join("?" if d is None else str(d) for d in self.shape)
        )
        return f"{self.name} ({self.dtype}[{lengths}])"


@dataclass(frozen=True)
class Parsed:
    """A model's graph as it is read.

    weights: the initializers by name. opsets: by domain. functions: the file's own.
    """

    nodes: tuple[Any, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    weights: Mapping[str, np.ndarray]
    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)

    def cast_at_once(self, name: str) -> bool:
        """Whether all that reads a value casts it to another dtype."""
        readers = [node for node in self.nodes if name in node.input]
        return all(node.op_type == "Cast" and not node.domain for node in readers)

    def needed(self, outputs: Sequence[str], known: Sequence[str] = ()) -> tuple[Any, ...]:
        """The nodes that these outputs depend on, in their order. known: names to stop at."""
        wanted, found = set(outputs) - set(known), []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                found.append(node)
                wanted |= {name for name in node.input if name} - set(known)
                if node.op_type == "Gradient":
                    wanted |= _named(node)
        return tuple(reversed(found))


def _named(node: Any) -> set[str]:
    """The values that a Gradient names in its attributes."""
    found: set[str] = set()
    for one in node.attribute:
        found |= {s.decode("utf-8", "replace") for s in (*one.strings, one.s) if s}
    return found


def read(path: str | os.PathLike[str]) -> Parsed:
    """The model of a file, with data beside it if there is some.

    Raises: CheckpointError for what is no such file, is damaged, or reads files elsewhere.
    """
    library, place = onnx("reading ONNX files"), Path(path)
    if not place.is_file():
        raise CheckpointError(f"there is no file {str(place)!r}")
    try:
        model = library.ModelProto.FromString(place.read_bytes())
        return parse(model, place.parent)
    except MemoryError:
        raise
    except CheckpointError as error:
        raise CheckpointError(f"{str(place)!r}: {error}") from None
    except Exception as error:  # of protobuf, of onnx, of words that are no words
        raise CheckpointError(
            f"{str(place)!r} is no ONNX model, or is damaged: {str(error) or type(error).__name__}"
        ) from None


def parse(model: Any, folder: Path | None = None) -> Parsed:
    """A model's parts. Raises: CheckpointError.

    folder: where its data may lie, or None: nowhere.
    """
    graph = model.graph
    if not graph.node and not graph.output:
        raise CheckpointError("it has no graph")
    opsets = {domain_of(one.domain): one.version for one in model.opset_import}
    if graph.node and not opsets:
        raise CheckpointError("it does not say which operator sets it uses")
    if opsets.get("", OLDEST) < OLDEST:
        raise CheckpointError(f"operator set {opsets['']} is older than {OLDEST}: export it anew")
    if graph.sparse_initializer:
        raise CheckpointError("sparse weights are not known here")
    for tensor in attribute_tensors(model):
        load(tensor, folder)
    weights = {}
    for tensor in graph.initializer:
        load(tensor, folder)
        weights[tensor.name] = array(tensor)
    inputs = [port(v) for v in graph.input if v.name not in weights]
    functions = {(domain_of(f.domain), f.name): f for f in model.functions}
    metadata = {one.key: one.value for one in model.metadata_props}
    outputs = tuple(port(v) for v in graph.output)
    made = {name for node in graph.node for name in node.output}
    made |= {*weights, *(p.name for p in inputs)}
    for one in outputs:
        if one.name not in made:
            raise CheckpointError(f"nothing makes its output {one.name!r}")
    return Parsed(tuple(graph.node), tuple(inputs), outputs, weights, opsets, functions, metadata)


def attribute_tensors(model: Any) -> Iterator[Any]:
    """The tensors in attributes, of all nodes and functions."""
    nodes = [*model.graph.node, *(n for f in model.functions for n in f.node)]
    defaults = [a for f in model.functions for a in f.attribute_proto]
    for one in (*defaults, *(a for node in nodes for a in node.attribute)):
        if one.HasField("t"):
            yield one.t
        yield from one.tensors


def array(tensor: Any) -> np.ndarray:
    """A tensor's numbers, or its words as objects."""
    from onnx import numpy_helper

    made: np.ndarray = numpy_helper.to_array(tensor)
    return made.astype(object) if made.dtype.kind in "SU" else made


def load(tensor: Any, folder: Path | None) -> None:
    """Takes a tensor's data from the file beside the model, where it lies there.

    Raises: CheckpointError for data elsewhere, or of another length than its shape says.
    """
    from onnx import TensorProto, helper

    name = repr(tensor.name or "a tensor")
    if any(d < 0 for d in tensor.dims) or math.prod(tensor.dims) > MOST_HELD:
        raise CheckpointError(f"{name} has the shape {list(tensor.dims)}")
    if tensor.data_location != TensorProto.EXTERNAL:
        return
    told = {one.key: one.value for one in tensor.external_data}
    place = told.get("location", "")
    if folder is None:
        raise CheckpointError(f"{name} lies in the file {place!r}: give the model's path")
    inside = folder.resolve()
    target = Path(os.path.normpath(inside / place))  # links are not followed
    if not place or Path(place).is_absolute() or not target.is_relative_to(inside):
        raise CheckpointError(f"{name} lies in {place!r}, outside the model's folder")
    if any(p.is_symlink() for p in (target, *target.parents) if p.is_relative_to(inside)):
        raise CheckpointError(f"{name} lies in {place!r}, behind a link")
    if not target.is_file():
        raise CheckpointError(f"{name} lies in the file {place!r}, which is not there")
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    wanted = math.prod(tensor.dims) * kind.itemsize
    offset = int(told.get("offset", 0))
    length = int(told.get("length", wanted))
    if length != wanted or offset < 0 or offset + length > target.stat().st_size:
        raise CheckpointError(f"{name} needs {wanted} bytes, which {place!r} has not there")
    with target.open("rb") as file:
        file.seek(offset)
        tensor.raw_data = file.read(length)
    tensor.data_location = TensorProto.DEFAULT
    del tensor.external_data[:]


def port(value: Any) -> Port:
    """An input or output. Raises: CheckpointError for what is no tensor."""
    from onnx import helper

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return Port(value.name, kind or "untold", None)  # refused where it is used
    told = value.type.tensor_type
    try:
        dtype = str(np.dtype(helper.tensor_dtype_to_np_dtype(told.elem_type)).name)
    except (KeyError, TypeError, ValueError):
        dtype = "untold"
    if not told.HasField("shape"):
        return Port(value.name, dtype, None)
    dims = [d.dim_value if d.HasField("dim_value") else None for d in told.shape.dim]
    if any(d is not None and d < 0 for d in dims):
        dims = [None if d is not None and d < 0 else d for d in dims]
    return Port(value.name, dtype, tuple(dims))
