"""lamina as a backend of ONNX: what `onnx.backend.test` and others call to run a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...backends.contract import Backend
from ...backends.selection import Choice, get_backend
from ...kernels.errors import BackendUnavailable, BadInput, CheckpointError, LaminaError
from ...kernels.spec import DTYPES
from .library import onnx
from .network import WORDS, run_once
from .reading import Parsed, parse
from .tracer import domain_of
from .values import OPERATORS


class OnnxPrepared:
    """A model made ready to be run: what `OnnxBackend.prepare` returns."""

    def __init__(self, parsed: Parsed, backend: Backend) -> None:
        self.parsed, self.backend = parsed, backend

    def run(self, inputs: Any, **options: Any) -> tuple[np.ndarray, ...]:
        """The outputs, in their order.

        inputs: arrays in the order of the graph's inputs, or by name. options: are not looked at.
        Raises: CheckpointError for what cannot be computed here, naming the node.
        """
        names = [port.name for port in self.parsed.inputs]
        if isinstance(inputs, Mapping):
            given = {name: np.asarray(array) for name, array in inputs.items()}
        else:
            several = inputs if isinstance(inputs, Sequence) else [inputs]
            given = dict(zip(names, map(np.asarray, several), strict=False))
        if left := [name for name in names if name not in given]:
            raise BadInput(f"the inputs {', '.join(left)} are missing")
        for name, array in given.items():
            if array.dtype.name not in (*DTYPES, WORDS):
                raise CheckpointError(f"the input {name!r} is {array.dtype}, which lamina has not")
        wanted = [port.name for port in self.parsed.outputs]
        found = run_once(self.parsed, given, wanted, self.backend)
        return tuple(found[name] for name in wanted)


class OnnxBackend:
    """lamina in the words of `onnx.backend.base.Backend`, for `onnx.backend.test` and tools.

    Models are run on the backend that `lm.use_backend`, LAMINA_BACKEND or "auto" choose; device
    "CPU" leaves that to them, "CUDA" asks for cupy.
    """

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **options: Any) -> OnnxPrepared:
        """A model made ready to be run.

        model: an onnx.ModelProto. device: "CPU" or "CUDA". options: backend, as in
        `lm.get_backend`; others are not looked at. Raises: CheckpointError; BackendUnavailable.
        """
        onnx("OnnxBackend")
        return OnnxPrepared(parse(model), get_backend(_choice(device, options)))

    @classmethod
    def run_model(
        cls, model: Any, inputs: Any, device: str = "CPU", **options: Any
    ) -> tuple[np.ndarray, ...]:
        """A model's outputs for inputs.

        model, device, options: as in `prepare`. inputs: as in `OnnxPrepared.run`.
        """
        return cls.prepare(model, device, **options).run(inputs)

    @classmethod
    def run_node(
        cls, node: Any, inputs: Any, device: str = "CPU", outputs_info: Any = None, **options: Any
    ) -> tuple[np.ndarray, ...]:
        """A single node's outputs for inputs.

        node: an onnx.NodeProto. inputs, device, options: as in `run_model`; opset_version is that
        of the node's operator set. outputs_info: is not looked at.
        """
        library = onnx("OnnxBackend")
        helper = library.helper
        untold = library.TypeProto()
        told = [helper.make_value_info(name, untold) for name in (*node.input, *node.output)]
        count = len(node.input)
        graph = helper.make_graph([node], "node", told[:count], told[count:])
        version = int(options.get("opset_version", library.defs.onnx_opset_version()))
        sets = [helper.make_opsetid(node.domain, version)]
        model = helper.make_model(graph, opset_imports=sets)
        return cls.run_model(model, inputs, device, **options)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether models can run there. device: "CPU" or "CUDA", with or without a number."""
        try:
            get_backend(_choice(device, {}))
        except (BackendUnavailable, LaminaError):
            return False
        return True

    @classmethod
    def is_compatible(cls, model: Any, device: str = "CPU", **options: Any) -> bool:
        """Whether lamina has a model's operators and the dtypes of its inputs.

        model: an onnx.ModelProto. device, options: as in `prepare`.
        """
        try:
            parsed = parse(model)
        except LaminaError:
            return False
        known = all(port.dtype in DTYPES for port in parsed.inputs)
        return known and not missing(parsed)

    @staticmethod
    def operators() -> list[str]:
        """The operators that lamina has; those that ONNX defines by these come on top."""
        return sorted(f"{domain}.{name}" if domain else name for domain, name in OPERATORS)


def _choice(device: str, options: Mapping[str, Any]) -> Choice:
    if options.get("backend") is not None:
        return options["backend"]  # type: ignore[no-any-return]
    kind, _, number = device.partition(":")
    if kind.upper() == "CUDA":
        return f"cuda:{number or 0}"
    return "auto" if kind.upper() == "CPU" else device


def missing(parsed: Parsed) -> list[str]:
    """Operators of a graph that lamina has not, neither itself nor by ONNX's definition."""
    own = set(parsed.functions)
    nodes = [*parsed.nodes, *(n for f in parsed.functions.values() for n in f.node)]
    found = set()
    for node in nodes:
        key = domain_of(node.domain), node.op_type
        if key not in OPERATORS and key not in own and not has_definition(node, parsed.opsets):
            found.add(node.op_type)
    return sorted(found)


def has_definition(node: Any, opsets: Mapping[str, int]) -> bool:
    """Whether ONNX defines a node's operator by others that lamina has, as far as can be seen."""
    from onnx import defs

    domain = domain_of(node.domain)
    try:
        schema = defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return False
    if schema.has_function:
        body = schema.function_body.node
        return all((domain_of(n.domain), n.op_type) in OPERATORS for n in body)
    return bool(schema.has_context_dependent_function)
