"""Damaged and forged ONNX files: each is read, or refused in words.

    python benchmarks/maintenance/damaged_onnx.py [--tries 10000] [--seed 0] [--only N] [FILE ...]

Files of other libraries and of lamina itself are damaged in their bytes (turned, cut, doubled, put
elsewhere) or forged in their words (shapes, dtypes, names, operators, attributes, numbers of
elements, data elsewhere); then they are read and, where that works, predict for a few rows. Any
exception but lamina's own is a finding, and so is more memory than a file may cost. The exit code
is 1 where anything was found; each finding names the try's number, which `--only` repeats.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import onnx
from lamina.kernels.errors import LaminaError

GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "onnx"
MEMORY = 2 << 30  # bytes beyond those at the beginning: a graph of a few kilobytes needs far less
NUMBERS = (-1, 0, 1, 2, 3, 7, 65, 2**20, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**63))
NAMES = ("", "x", "y", "0.weight", "no such name", "\x00", "é" * 50)
OPERATORS = (
    "Add", "MatMul", "Gemm", "Reshape", "Expand", "Tile", "ConstantOfShape", "Range", "Gather",
    "Slice", "Concat", "Pad", "OneHot", "Loop", "If", "Cast", "Softmax", "Split", "Attention",
    "TopK", "Nothing", "Shape", "Transpose", "Squeeze", "ReduceSum", "Constant", "Clip", "Pow",
    "CumSum", "EyeLike", "GatherND", "ScatterND", "LayerNormalization", "BatchNormalization",
)  # fmt: skip
Generator = np.random.Generator


def files(given: Sequence[Path] = ()) -> list[tuple[str, bytes]]:
    """(name, content) of the files to be damaged."""
    found = [*given] or sorted(GOLDEN.glob("*.onnx"))
    return [(path.name, path.read_bytes()) for path in found]


# Damage to bytes


def turned(rng: Generator, data: bytes) -> bytes:
    """Some bytes have other values."""
    made = bytearray(data)
    for at in rng.integers(len(made), size=int(rng.integers(1, 9))):
        made[at] = int(rng.integers(256))
    return bytes(made)


def cut(rng: Generator, data: bytes) -> bytes:
    """The end, or a part, is missing."""
    start, stop = sorted(int(i) for i in rng.integers(len(data) + 1, size=2))
    return data[:start] if rng.random() < 0.5 else data[:start] + data[stop:]


def moved(rng: Generator, data: bytes) -> bytes:
    """A part stands elsewhere as well."""
    start, stop, to = (int(i) for i in rng.integers(len(data) + 1, size=3))
    part = data[min(start, stop) : max(start, stop)][:4096]
    return data[:to] + part + data[to + (len(part) if rng.random() < 0.5 else 0) :]


def noise(rng: Generator, data: bytes) -> bytes:
    """Bytes that were never a file."""
    return rng.bytes(int(rng.integers(200)))


# Forged words


def forged(rng: Generator, data: bytes) -> bytes:
    """A well-formed file with words that do not fit."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(int(rng.integers(1, 4))):
        forgery = FORGERIES[int(rng.integers(len(FORGERIES)))]
        forgery(rng, model)
    made: bytes = model.SerializeToString()
    return made


def _one(rng: Generator, found: Sequence[Any]) -> Any:
    return found[int(rng.integers(len(found)))]


def _tensors(model: Any) -> list[Any]:
    held = [a.t for n in model.graph.node for a in n.attribute if a.HasField("t")]
    return [*model.graph.initializer, *held]


def forge_shape(rng: Generator, model: Any) -> None:
    """A tensor of another shape than its data."""
    tensors = _tensors(model)
    if tensors and (dims := _one(rng, tensors).dims):
        dims[int(rng.integers(len(dims)))] = _one(rng, NUMBERS)


def forge_dtype(rng: Generator, model: Any) -> None:
    """A tensor, or an input, of another dtype."""
    kind = int(rng.integers(30))
    tensors = _tensors(model)
    if tensors and rng.random() < 0.7:
        _one(rng, tensors).data_type = kind
    else:
        _one(rng, model.graph.input).type.tensor_type.elem_type = kind


def forge_sizes(rng: Generator, model: Any) -> None:
    """Whole numbers among the weights that are other ones: shapes, axes, indices."""
    tensors = [t for t in _tensors(model) if t.data_type == onnx.TensorProto.INT64]
    if tensors:
        tensor = _one(rng, tensors)
        made = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 8 * 8], np.int64).copy()
        if made.size:
            made[int(rng.integers(made.size))] = _one(rng, NUMBERS)
            tensor.raw_data = made.tobytes()


def forge_input(rng: Generator, model: Any) -> None:
    """An input of another shape."""
    dims = _one(rng, model.graph.input).type.tensor_type.shape.dim
    if dims:
        _one(rng, dims).dim_value = _one(rng, NUMBERS)


def forge_operator(rng: Generator, model: Any) -> None:
    """A node of another operator, or of another domain."""
    node = _one(rng, model.graph.node)
    if rng.random() < 0.9:
        node.op_type = _one(rng, OPERATORS)
    else:
        node.domain = _one(rng, ("ai.onnx.ml", "nowhere", "ai.onnx.preview.training"))


def forge_names(rng: Generator, model: Any) -> None:
    """A node that reads, or makes, something else."""
    node = _one(rng, model.graph.node)
    names = node.input if rng.random() < 0.6 else node.output
    known = [n for each in model.graph.node for n in (*each.input, *each.output)]
    if names:
        names[int(rng.integers(len(names)))] = _one(rng, [*NAMES, *known])


def forge_inputs(rng: Generator, model: Any) -> None:
    """A node with an input more or less."""
    node = _one(rng, model.graph.node)
    if rng.random() < 0.5 and node.input:
        del node.input[-1]
    else:
        node.input.append(_one(rng, [t.name for t in model.graph.initializer] or [""]))


def forge_attribute(rng: Generator, model: Any) -> None:
    """An attribute of another value or kind, or one that the operator has not."""
    node = _one(rng, model.graph.node)
    name = _one(
        rng, ("axis", "axes", "perm", "alpha", "to", "keepdims", "epsilon", "mode", "value")
    )
    value = _one(rng, (*NUMBERS[:9], 1e30, float("nan"), "words", [3, 1], [0.5], [2**62, -5]))
    del node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute(name, value))


def forge_versions(rng: Generator, model: Any) -> None:
    """Another operator set."""
    if model.opset_import:
        _one(rng, model.opset_import).version = _one(rng, (*NUMBERS, 7, 9, 11, 13, 17, 21))


def forge_order(rng: Generator, model: Any) -> None:
    """Nodes in another order, twice, or gone."""
    nodes = list(model.graph.node)
    rng.shuffle(nodes)
    kept = nodes[: int(rng.integers(1, len(nodes) + 1))] * int(rng.integers(1, 3))
    made = [type(n).FromString(n.SerializeToString()) for n in kept]
    del model.graph.node[:]
    model.graph.node.extend(made)


def forge_place(rng: Generator, model: Any) -> None:
    """Data that is said to lie in another file."""
    tensors = _tensors(model)
    if tensors:
        tensor = _one(rng, tensors)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        del tensor.external_data[:]
        places = ("../secret", "/etc/passwd", "damaged.onnx", "", "a/../../b", "link")
        for key, value in (
            ("location", _one(rng, places)), ("offset", str(_one(rng, NUMBERS))),
            ("length", str(_one(rng, NUMBERS))),
        ):  # fmt: skip
            tensor.external_data.add(key=key, value=value)


def forge_metadata(rng: Generator, model: Any) -> None:
    """Words beside the graph that say other things."""
    words = ("", "[]", "{}", "null", '{"columns": 3}', "[" * 2000, "x", "nan")
    keys = ("encoding", "features", "prediction", "loss", "columns", "features_dtype")
    for key in (f"lamina.{name}" for name in keys):
        if rng.random() < 0.5:
            model.metadata_props.add(key=key, value=_one(rng, words))


FORGERIES: tuple[Callable[[Generator, Any], None], ...] = (
    forge_shape, forge_dtype, forge_sizes, forge_input, forge_operator, forge_names,
    forge_inputs, forge_attribute, forge_versions, forge_order, forge_place, forge_metadata,
)  # fmt: skip
DAMAGES: tuple[Callable[[Generator, bytes], bytes], ...] = (
    turned, turned, cut, moved, noise, forged, forged, forged, forged,
)  # fmt: skip


def attempt(path: Path) -> str:
    """What is wrong with how a file is read; "" where it is read, or refused in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of numbers that overflow
            network = lm.load_onnx(path, backend="numpy")
            network.predict(_rows(network))
    except LaminaError as error:
        return "" if str(error).strip() else f"{type(error).__name__} without words"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _rows(network: Any) -> Any:
    """Three rows for a network."""
    if isinstance(network, lm.Sequential):
        return np.ones((3, *(network.features or ())), "float32")
    found = {}
    for port in network.inputs:
        shape = [3 if d is None else d for d in port.shape or (3, 8)]
        if np.prod(shape, dtype=float) > 1e6:
            raise lm.BadInput("larger than these rows are made")
        found[port.name] = np.ones(shape, port.dtype)
    return found


def try_files(tries: int, seed: int, only: int = -1, given: Sequence[Path] = ()) -> Iterator[str]:
    """What is found in so many tries."""
    found = files(given)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.onnx"
        (path.parent / "link").symlink_to("/etc/passwd")
        for number in range(tries) if only < 0 else [only]:
            rng = np.random.default_rng([seed, number])
            name, data = found[int(rng.integers(len(found)))]
            damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
            path.write_bytes(damage(rng, data))
            what = attempt(path)
            if what:
                yield f"{number} {name}, {damage.__name__}: {what}"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Damaged and forged ONNX files.")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--tries", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, default=-1, help="the number of one try to repeat")
    given = parser.parse_args()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY + (8 << 30), resource.RLIM_INFINITY))
    count = 0
    for line in try_files(given.tries, given.seed, given.only, given.files):
        count += 1
        print(line[:600], flush=True)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if most > used + MEMORY:
        count += 1
        print(f"it took {most / 2**30:.1f} GiB")
    print(f"{given.tries if given.only < 0 else 1} tries, {count} findings")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
