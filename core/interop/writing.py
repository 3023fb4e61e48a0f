"""What an ONNX graph is put together in: nodes, weights, names, and shapes that count rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.spec import Rows, Shape

OPSET, ML_OPSET, IR = 18, 3, 8  # what runtimes since 2023 know
ML = "ai.onnx.ml"


class Writer:
    """An ONNX graph that is being written.

    rows: the name of an input whose first axis is the batch.
    """

    def __init__(self, rows: str = "") -> None:
        self.rows = rows
        self.nodes: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}
        self.used: set[str] = {rows} - {""}
        self.domains: set[str] = set()

    def name(self, wanted: str) -> str:
        """A name that nothing else has."""
        name, count = wanted, 1
        while name in self.used:
            count += 1
            name = f"{wanted}_{count}"
        self.used.add(name)
        return name

    def add(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attrs: Any) -> str:
        """A node of one output, whose name it returns. name: the one wanted for it."""
        from onnx import helper

        made = self.name(name or kind.lower())
        if domain:
            self.domains.add(domain)
        node = helper.make_node(kind, list(inputs), [made], name=made, domain=domain, **attrs)
        self.nodes.append(node)
        return made

    def constant(self, value: Any, dtype: str | None = None, name: str = "constant") -> str:
        """Numbers, kept in the file; returns their name."""
        made = self.name(name)
        self.weights[made] = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        return made

    def wholes(self, values: Sequence[int]) -> str:
        """A list of sizes or axes."""
        return self.constant(list(values), "int64", "sizes")

    def shape(self, shape: Shape) -> str:
        """A shape as a list of sizes, of which those that count rows are looked up in the input."""
        if not any(isinstance(d, Rows) for d in shape):
            return self.wholes([d for d in shape if isinstance(d, int)])
        parts = []
        for d in shape:
            if isinstance(d, Rows):
                count = self.add("Shape", self.rows, start=0, end=1)
                if d.factor != 1:
                    count = self.add("Mul", count, self.wholes([d.factor]))
                parts.append(count)
            else:
                parts.append(self.wholes([d]))
        return self.add("Concat", *parts, axis=0)


def elem_type(dtype: str) -> int:
    """ONNX's number of a dtype."""
    from onnx import TensorProto, helper

    if dtype == "object":
        return int(TensorProto.STRING)
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
