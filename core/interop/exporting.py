"""`export_onnx`: a model as an ONNX file, for every runtime that reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ...kernels.errors import BadInput
from ...kernels.files import write as write_file
from ..graph.graph import Node, order
from ..losses import BUILTIN as LOSSES
from ..model import Sequential
from .library import onnx
from .tables import Told, answers, features_of
from .writers import write
from .writing import IR, ML, ML_OPSET, OPSET, Writer, elem_type

MOST_BYTES = 2**31 - 2**20  # what a file of this kind holds
ROWS_NAME = "n"
FORMAT = "1"  # of the words in the metadata


class Estimator(Protocol):
    """What has a model of its own."""

    def to_sequential(self) -> Sequential:
        """The network with its weights."""
        ...


def export_onnx(model: Sequential | Estimator, path: str | os.PathLike[str]) -> None:
    """Writes the model's prediction to an ONNX file, atomically; the number of rows stays free.

    The graph has the layers as the operations that they are, layers and activations of one's own
    among them, and what `Standardize` learned. A model of plain arrays has the input "x" and the
    output "prediction". A model of a table has an input for each column that it uses, (n, 1), and
    its encoding in the graph: numbers, with NaN where nothing is known; words without blanks
    around them ("" for nothing), also where words stand among numbers; dates as int64 microseconds
    since 1970, as NumPy's datetime64[us] keeps them. Words that training never saw and missing
    cells count as they do in `predict`. Its outputs are "probabilities", and "label" with the names
    of the classes, or "value" in the label's own units.
    `lm.load_onnx` reads it back, to predict and to train on; the optimizer's state is not in it.

    model: a model that has weights, or an estimator that has one. path: of the file; an older one
    is replaced once the new one is on disk.
    Raises: NotBuilt; BadInput for an operation that ONNX cannot say, or more than 2 GiB of weights;
    OSError when the disk refuses, with the old file whole.
    """
    library = onnx("export_onnx")
    if hasattr(model, "to_sequential"):
        model = model.to_sequential()
    if not isinstance(model, Sequential):
        raise BadInput(f"export_onnx takes an lm.Sequential, not {type(model).__name__}")
    made = proto(model)
    library.checker.check_model(made)
    write_file(path, made.SerializeToString(), sync=True)


def proto(model: Sequential) -> Any:
    """The model as onnx.ModelProto. Raises: NotBuilt, BadInput."""
    from onnx import helper, numpy_helper

    state = model.state
    model.session.check_learned()
    arrays = {}
    with state.turn:
        for entry in state.layout.entries:
            arrays[entry.name] = state.array(entry.name)
    if sum(a.nbytes for a in arrays.values()) > MOST_BYTES:
        raise BadInput("an ONNX file in one piece holds at most 2 GiB of weights")
    out, told = Writer(), {"lamina.dtype": model.dtype}
    inputs, x = _entry(out, model)
    prediction = network(out, model, x, arrays)
    outputs = answers(out, model, prediction)
    told |= _metadata(model, x, prediction)
    values = [
        helper.make_tensor_value_info(one.name, elem_type(one.dtype), one.shape, one.doc)
        for one in (*inputs, *outputs)
    ]
    graph = helper.make_graph(
        out.nodes,
        "lamina",
        values[: len(inputs)],
        values[len(inputs) :],
        [_tensor(numpy_helper, name, array) for name, array in out.weights.items()],
    )
    sets = [helper.make_opsetid("", OPSET)]
    sets += [helper.make_opsetid(ML, ML_OPSET)] if ML in out.domains else []
    made = helper.make_model(graph, opset_imports=sets, producer_name="lamina")
    made.ir_version = IR
    helper.set_model_props(made, told)
    return made


def _tensor(numpy_helper: Any, name: str, array: np.ndarray) -> Any:
    return numpy_helper.from_array(array, name)


def _entry(out: Writer, model: Sequential) -> tuple[list[Told], str]:
    """The inputs, and the name of the features in the graph."""
    assert model.features is not None
    shift = model.session.shift
    dtype = model.dtype if shift is None else "float64"
    encoding = model.encoding
    if encoding is not None and encoding.columns:
        return features_of(out, encoding, dtype)
    out.rows = out.name("x")
    return [Told("x", dtype, [ROWS_NAME, *model.features])], "x"


def network(out: Writer, model: Sequential, x: str, arrays: Mapping[str, np.ndarray]) -> str:
    """The layers; the name of the prediction. x: the features' name."""
    shift = model.session.shift
    if shift is not None:  # in float64, before the numbers are rounded
        x = out.add("Sub", x, out.constant(shift.offset, "float64", "offset"))
        x = out.add("Mul", x, out.constant(shift.factor, "float64", "factor"))
        if model.dtype != "float64":
            x = out.add("Cast", x, to=elem_type(model.dtype))
    graph = model.session.graph()
    names: dict[Node, str] = {graph.x: x}
    for node in order([graph.prediction]):
        if node in names:
            continue
        if node.op == "constant":
            names[node] = out.constant(node.attrs["value"], node.dtype)
        elif node.op == "parameter":
            names[node] = out.constant(arrays[node.source], model.dtype, node.source)
        elif node.leaf:
            raise BadInput(f"a prediction that reads {node.source!r} cannot be said in ONNX")
        else:
            given = [names[n] for n in node.inputs if n is not None]
            names[node] = write(out, node, given)
    return names[graph.prediction]


def _metadata(model: Sequential, x: str, prediction: str) -> dict[str, str]:
    """What the graph does not say, in words."""
    told = {
        "lamina.format": FORMAT,
        "lamina.layers": repr(model),
        "lamina.features": x,
        "lamina.prediction": prediction,
        "lamina.features_dtype": model.dtype if model.session.shift is None else "float64",
    }
    if model.loss.name in LOSSES:
        told["lamina.loss"] = model.loss.name
    if model.columns is not None:
        told["lamina.columns"] = json.dumps(list(model.columns))
    if model.encoding is not None:
        told["lamina.encoding"] = json.dumps(model.encoding.to_json())
    return told
