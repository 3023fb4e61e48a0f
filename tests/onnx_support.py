"""ONNX files by hand, and those that other libraries wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
NODE = helper.make_node


def golden(path: Path) -> tuple[Any, np.ndarray]:
    """The rows of a file, and what its own library answers."""
    told = {p.key: p.value for p in onnx.load(path).metadata_props}
    found = json.loads(told["golden"])
    x = found["x"]
    return x if isinstance(x, dict) else np.array(x), np.array(found["y"])


def write(
    path: Path,
    nodes: Sequence[Any],
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    weights: dict[str, Any] | None = None,
    opset: int = 18,
    **more: Any,
) -> Path:
    """A graph by hand. inputs, outputs: (dtype, shape) by name."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes), "by hand", [info(n, *t) for n, t in inputs.items()],
        [info(n, *t) for n, t in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (weights or {}).items()],
    )  # fmt: skip
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8, **more)
    path.write_bytes(model.SerializeToString())
    return path
