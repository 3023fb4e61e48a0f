"""A graph from an ONNX file, ready to predict on a backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends import batching
from ...backends.contract import Backend
from ...backends.selection import Choice, get_backend
from ...backends.state import Control, DataBlock, State
from ...kernels.errors import BadInput, CheckpointError, DtypeError, LaminaError, ShapeError
from ...kernels.spec import DTYPES
from ..arrays import host_array
from ..data import answers
from ..data.encoding import Encoding
from ..data.frames import is_frame
from ..graph.autodiff import compute
from ..graph.graph import Node, constant
from ..scores import PROBABILITIES, classes_of
from .batches import Plan, plan_of
from .reading import Parsed, Port
from .tracing import chosen_output, trace
from .values import Tensor, Unknown, bounded

WORDS = "object"  # the dtype of strings


class OnnxNetwork:
    """A network that `lm.load_onnx` read, for prediction: any graph of operators that lamina has.

    parsed: the file's graph. output: the name of the output to predict.
    inputs, outputs: what goes in and comes out, with names, dtypes and shapes. output_name: the
    output that `predict` gives. backend: where it is computed. encoding: how tables become
    features, where the file says it.
    """

    def __init__(self, parsed: Parsed, backend: Backend, output: str | None = None) -> None:
        self.parsed, self.backend = parsed, backend
        self.inputs, self.outputs = parsed.inputs, parsed.outputs
        self.output_name = chosen_output(parsed, output)
        self.encoding: Encoding | None = None
        for port in self.inputs:
            if port.carrier not in (*DTYPES, WORDS):
                raise CheckpointError(
                    f"its input {port} is of a dtype that lamina has not: it has"
                    f" {', '.join(DTYPES)}"
                )
            if port.carrier != port.dtype and not parsed.cast_at_once(port.name):
                raise CheckpointError(
                    f"lamina does not compute in {port.dtype}: its input {port} must be cast to"
                    " another dtype before anything else"
                )
            _check_size(port)
        self._plan: Plan | None = None
        self._state: State | None = None
        self._free: dict[int, list[Any]] = {}
        self._trace()

    def _trace(self) -> None:
        """Makes the plan for rows of any number, or looks whether the graph can run at all."""
        try:
            self._plan = plan_of(self.parsed, self.output_name)
        except (Unknown, LaminaError) as error:
            lengths = [p.shape for p in self.inputs]
            if any(shape is None or None in shape[1:] for shape in lengths):
                if isinstance(error, CheckpointError):
                    raise
                return  # it is looked at when there are numbers
            shapes = [tuple(3 if d is None else d for d in shape or ()) for shape in lengths]
            zeros = {}
            for port, shape in zip(self.inputs, shapes, strict=True):
                one = np.asarray("" if port.dtype == WORDS else 0, port.carrier)
                zeros[port.name] = np.broadcast_to(one, shape)  # which costs no memory
            trace(self.parsed, _entering(zeros), [self.output_name])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_free": {}, "_state": None, "_plan": None}

    def __setstate__(self, found: dict[str, Any]) -> None:
        self.__dict__.update(found)
        self._trace()

    def to(self, backend: Choice) -> OnnxNetwork:
        """Moves the network to another device, in place; returns it.

        backend: as in `lm.get_backend`. Raises: UnknownName, BackendUnavailable.
        """
        self.backend = get_backend(backend)
        self._state, self._free = None, {}
        return self

    @property
    def output(self) -> str:
        """The operation that the prediction ends in, such as "softmax", or "" where it varies."""
        return "" if self._plan is None else self._plan.result.op

    def predict(self, x: Any) -> np.ndarray:
        """The network's output for rows: one array, (n, ...).

        x: (n, ...) of the graph's one input, cast to its dtype; of several inputs a dictionary, or
            a data frame with a column for each. Of a file with a table's encoding also such a
            table, as in `Sequential.predict`.
        Raises: BadInput, UnknownName, ShapeError, DtypeError.
        """
        return answers.predicted(self._predict, self.encoding, x)

    def _predict(self, x: Any) -> np.ndarray:
        given = x
        if len(self.inputs) > 1 and is_frame(x) and not isinstance(x, Mapping):
            given = {port.name: np.asarray(x[port.name])[:, None] for port in self.inputs}
        elif not isinstance(x, Mapping):
            if len(self.inputs) != 1:
                names = ", ".join(map(str, self.inputs))
                raise BadInput(
                    f"the graph has {len(self.inputs)} inputs: give a dictionary, or a data frame,"
                    f" with {names}"
                )
            given = {self.inputs[0].name: x}
        arrays = self._arrays(given)
        plan = self._plan
        rows = {len(a) for a in arrays.values() if a.ndim}
        if len(rows) > 1 and all(port.shape and port.shape[0] is None for port in self.inputs):
            counts = ", ".join(f"{name}: {len(a)}" for name, a in arrays.items())
            raise ShapeError(f"the inputs have different numbers of rows ({counts})")
        if plan is not None and rows != {0}:
            return self._run(plan, arrays, rows.pop())
        return self._piecewise(arrays)

    def predict_classes(self, x: Any) -> np.ndarray:
        """Class numbers, (n,) int32: the likeliest of several outputs, 0 or 1 of a single one.

        x: as in `predict`; of a table the classes' names come, (n,) strings.
        Raises: BadInput when the graph does not end in softmax or sigmoid.
        """
        if self.output not in PROBABILITIES:
            raise BadInput("predict_classes needs a graph that ends in softmax or sigmoid")
        return answers.classes(classes_of(self.predict(x), self.output), self.encoding, x)

    def run(
        self, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Outputs by name, for inputs by name, computed in one piece.

        inputs: an array for each input of the graph. outputs: names; None: all that there are.
        Raises: BadInput, ShapeError, DtypeError; CheckpointError for what cannot be computed here.
        """
        names = [port.name for port in self.outputs] if outputs is None else list(outputs)
        return run_once(self.parsed, self._arrays(inputs), names, self.backend)

    def __repr__(self) -> str:
        inputs, outputs = (", ".join(map(str, each)) for each in (self.inputs, self.outputs))
        return f"OnnxNetwork({inputs} -> {outputs}, backend={self.backend.name!r})"

    # Rows

    def _arrays(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The inputs as arrays of the graph's dtypes and shapes."""
        names = [port.name for port in self.inputs]
        if set(given) != set(names):
            odd = ", ".join(sorted(map(str, set(given) ^ set(names))))
            raise BadInput(f"the inputs are {', '.join(names)}; not as given: {odd}")
        return {port.name: _fitting(port, given[port.name]) for port in self.inputs}

    def _piecewise(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Whole, or in pieces of as many rows as the graph was exported for."""
        fixed = {p.shape[0] for p in self.inputs if p.shape}
        rows = {len(a) for a in arrays.values() if a.ndim}
        piece = fixed.pop() if len(fixed) == 1 else None
        if piece is None or len(rows) != 1 or rows == {piece}:
            return run_once(self.parsed, arrays, [self.output_name], self.backend)[self.output_name]
        (count,) = rows
        found = []
        for start in range(0, max(count, 1), piece):
            part = {name: a[start : start + piece] for name, a in arrays.items()}
            if not count:  # the shape of an answer without rows is that of one with some
                part = {n: np.zeros((piece, *a.shape[1:]), a.dtype) for n, a in arrays.items()}
            made = run_once(self.parsed, part, [self.output_name], self.backend)
            found.append(made[self.output_name])
        return np.concatenate(found) if count else found[0][:0]

    def _run(self, plan: Plan, arrays: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """All rows by one program, in batches where rows do not depend on each other."""
        capacity = batching.capacity(rows) if plan.independent else batching.whole(rows)
        if self._state is None:
            self._state = plan.state(self.backend)
        columns = {plan.sources[name]: array for name, array in arrays.items()}
        block = DataBlock(self.backend, columns, dtype=plan.dtype)
        free = self._free.setdefault(capacity, [])
        try:
            binding = free.pop()
        except IndexError:
            program = plan.program(capacity)
            binding = self.backend.compile(program).bind(self._state, block)
        binding.use(block)
        binding.run(Control(batch=capacity, steps=batching.count(rows, capacity)))
        made: np.ndarray = binding.read("prediction")
        free.append(binding)
        return made if plan.words is None else plan.words[made]


def _check_size(port: Port) -> None:
    """Raises CheckpointError for an input whose rows are larger than any."""

    def refuse(text: str) -> CheckpointError:
        return CheckpointError(f"its input {port} is too large: {text}")

    bounded(tuple(1 if d is None else d for d in port.shape or ()), refuse)


def _fitting(port: Port, given: Any) -> np.ndarray:
    """An array for an input. Raises: ShapeError, DtypeError, BadInput."""
    host = np.asarray(given, object) if port.dtype == WORDS else host_array(port.name, given)
    if host.dtype.kind == "f" and port.dtype not in ("float32", "float64"):
        raise DtypeError(f"the input {port} takes whole numbers, not {host.dtype}")
    array = np.ascontiguousarray(host, dtype=port.dtype).reshape(host.shape)
    if array.dtype.kind in "iu" and (array != host).any():
        raise DtypeError(f"the input {port} does not hold all numbers of {host.dtype}")
    if port.shape is not None:
        told, given_lengths = port.shape[1:], array.shape[1:]
        fits = len(port.shape) == array.ndim and all(
            length is None or length == given_lengths[axis] for axis, length in enumerate(told)
        )
        first = port.shape[0] if port.shape else None
        if not fits or (first and array.ndim and len(array) % first):
            raise ShapeError(f"the input {port} does not take an array of shape {array.shape}")
    return array if port.dtype == WORDS else array.astype(port.carrier, copy=False)


def run_once(
    parsed: Parsed, arrays: Mapping[str, np.ndarray], outputs: Sequence[str], backend: Backend
) -> dict[str, np.ndarray]:
    """Outputs of the graph for these very arrays, by one run of a program.

    Raises: CheckpointError naming the node that cannot be computed here.
    """
    try:
        found = trace(parsed, _entering(arrays), outputs)
    except Unknown:
        raise CheckpointError("its shapes depend on numbers that only a run computes") from None
    nodes: dict[str, Node] = {}
    results: dict[str, np.ndarray] = {}
    for name, value in found.items():
        node = _node(value)
        if node is None:
            results[name] = np.asarray(value.host)
        elif node.op == "constant":
            results[name] = np.asarray(node.attrs["value"])
        else:
            nodes[name] = node
    if nodes:
        results |= compute(nodes, backend)
    for name, value in found.items():
        if value.chosen is not None:
            results[name] = value.chosen[0][results[name]]
    return {name: results[name] for name in outputs}


def _entering(arrays: Mapping[str, np.ndarray]) -> dict[str, Node | np.ndarray]:
    """Inputs as they enter a graph: numbers as nodes, words as they are."""
    return {
        name: array if array.dtype == object else constant(array, array.dtype.name, name)
        for name, array in arrays.items()
    }


def _node(value: Tensor) -> Node | None:
    return value.node if value.chosen is None else value.chosen[1]
