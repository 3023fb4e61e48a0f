"""From the nodes of an ONNX graph to nodes of lamina's, one operator after the other.

What is known on the host (weights, sizes, attributes) stays there, and small sums with sizes are
done there; what computes on tensors becomes operations of the table, for any backend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...kernels import ops
from ...kernels.errors import CheckpointError, LaminaError, ShapeError
from ...kernels.spec import Rows, Shape, elements
from ..graph.graph import SELECT, Node, constant, order
from . import operators  # noqa: F401  # they fill the table
from .values import HELD, MOST, OPERATORS, Call, Tensor, Unknown, bounded, label, sizes

SMALL = 1 << 12  # elements of what is computed on the host while a graph is read
REARRANGED = 16  # times that all weights of a file may be rearranged while it is read
DEEPEST = 16  # functions in functions
ARRANGING = ("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")
COUNTING = (
    *ARRANGING, "Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Min", "Max", "Equal", "Less",
    "Greater", "LessOrEqual", "GreaterOrEqual", "And", "Or", "Not", "Where", "Gather", "Slice",
    "Concat", "Shape", "Size", "ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin", "Ceil",
    "Floor", "Sqrt", "Pow", "Range", "Split", "Clip",
)  # fmt: skip
WITH_WORDS = (
    "Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Gather", "Concat",
    "Slice", "Split",
)  # fmt: skip
WITH_ROWS = ("Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Mul", "Identity")


def domain_of(name: str) -> str:
    """A domain's name; the default one has two."""
    return "" if name == "ai.onnx" else name


@dataclass(frozen=True)
class Scope:
    """Where names stand: in the graph, or in the body of a function.

    opsets: by domain. attributes: of the call, for a function's body. depth: functions around it.
    """

    values: dict[str, Tensor]
    opsets: Mapping[str, int]
    attributes: Mapping[str, Any]
    depth: int = 0


class Tracer:
    """One way through a graph.

    functions: the file's own, by domain and name.
    given: nodes of inputs, which are computed on the device even where their numbers are known.
    held: elements of the file's weights.
    """

    def __init__(
        self, functions: Mapping[tuple[str, str], Any], given: Sequence[Node], held: int
    ) -> None:
        self.functions, self.given = functions, set(given)
        # Rows that somebody gave may be many: what is made of them may be larger than a file's.
        largest = max((elements(node.shape)[0] for node in given), default=0)
        self.most = max(MOST, 64 * largest)
        self.constants: dict[int, tuple[np.ndarray, Node]] = {}
        self.known: dict[Node, np.ndarray] = {}
        self.left = HELD + REARRANGED * held  # elements that may yet be computed on the host

    def run(self, nodes: Sequence[Any], scope: Scope) -> None:
        """Traces nodes in their order. Raises: CheckpointError, Unknown."""
        for proto in nodes:
            try:
                self.step(proto, scope)
            except (CheckpointError, Unknown):
                raise
            except (LaminaError, ValueError, TypeError, IndexError, KeyError) as error:
                if _counts_rows(proto, scope):
                    raise Unknown from error
                raise CheckpointError(f"{label(proto)}: {error}") from error

    def step(self, proto: Any, scope: Scope) -> None:
        """Traces one node."""
        inputs = []
        for name in proto.input:
            if name and name not in scope.values:
                raise CheckpointError(f"{label(proto)}: nothing before it makes {name!r}")
            inputs.append(scope.values[name] if name else None)
        key = domain_of(proto.domain), proto.op_type
        version = scope.opsets.get(key[0], 0)
        attributes = attributes_of(proto, scope.attributes)
        found = self.folded(proto, key, inputs, version, attributes)
        if found is None:
            call = _Call(self, proto, inputs, version, attributes, scope)
            if key in OPERATORS and key not in self.functions:
                found = OPERATORS[key](call)
            else:
                found = self.body(call, key, scope)
        results = found if isinstance(found, (list, tuple)) else [found]
        for at, name in enumerate(proto.output):
            result = results[at] if at < len(results) else None
            if name and result is None:
                raise CheckpointError(f"{label(proto)}: its output {name!r} is not known here")
            if name:
                scope.values[name] = self.tensor(result, proto)

    def tensor(self, result: Any, proto: Any) -> Tensor:
        """A result as a value; what is known now is kept on the host."""
        if isinstance(result, Node):
            if result.op == "constant" and result not in self.given:
                return Tensor(host=result.attrs["value"])
            bounded(
                result.shape, lambda text: CheckpointError(f"{label(proto)}: {text}"), self.most
            )
            return Tensor(node=result)
        return result if isinstance(result, Tensor) else Tensor(host=np.asarray(result))

    def constant(self, array: np.ndarray) -> Node:
        """The node of an array, once for all that read it."""
        if id(array) not in self.constants:
            self.constants[id(array)] = array, constant(array, array.dtype.name)
        return self.constants[id(array)][1]

    def evaluate(self, node: Node) -> np.ndarray:
        """A node's numbers, by the references. Raises: Unknown where they depend on the rows."""
        for one in order([node]):
            if one not in self.known:
                self.spend(elements(one.shape)[0])
                self.known[one] = _computed(one, self.known)
        return self.known[node]

    # On the host

    def spend(self, count: int) -> None:
        """Counts elements made on the host. Raises: ShapeError where they are too many."""
        self.left -= count
        if self.left < 0:
            raise ShapeError(f"{count} elements more are too many to be made on the host")

    def folded(
        self,
        proto: Any,
        key: tuple[str, str],
        inputs: Sequence[Tensor | None],
        version: int,
        attributes: Mapping[str, Any],
    ) -> Any:
        """What an operator makes of numbers that are known, or None where it is to be traced."""
        if key[0] or not inputs or any(i is not None and i.host is None for i in inputs):
            return None
        if any(i is not None and i.symbolic for i in inputs):
            return self.with_rows(proto, inputs) if key[1] in WITH_ROWS else None
        words = any(i is not None and i.words for i in inputs)
        if key[1] not in (WITH_WORDS if words else COUNTING):
            return None
        arrays = [None if i is None else i.host for i in inputs]
        looked = arrays[1:] if words else arrays
        small = all(a is None or a.size <= SMALL for a in looked)
        whole = words and sum(a.size for a in arrays if a is not None) <= HELD
        if not small and key[1] not in ARRANGING and not whole:
            return None
        if key[1] == "Range" and small:
            return None  # which looks at its length first
        from onnx.reference import ReferenceEvaluator

        plain = type(proto).FromString(proto.SerializeToString())
        if any(a.ref_attr_name for a in plain.attribute):
            return None
        names = [n for n in plain.input if n]
        values = {n: a for n, a in zip(proto.input, arrays, strict=True) if n}
        with np.errstate(all="ignore"):
            made = ReferenceEvaluator(plain, opsets={"": version}).run(
                list(plain.output), {n: values[n] for n in names}
            )
        self.spend(sum(np.size(each) for each in made))
        return [Tensor(host=np.asarray(each)) for each in made]

    def with_rows(self, proto: Any, inputs: Sequence[Tensor | None]) -> Tensor:
        """Sizes that count rows, moved and multiplied. Raises: Unknown for anything else."""
        try:
            made = _with_rows(proto.op_type, [None if i is None else i.host for i in inputs])
        except (TypeError, ValueError, IndexError) as error:
            raise Unknown from error
        return Tensor(host=sizes(made.reshape(-1).tolist()).reshape(made.shape))

    # Functions

    def body(self, call: Call, key: tuple[str, str], scope: Scope) -> list[Tensor | None]:
        """What a function's own nodes make: of one of the file's, or one that ONNX defines."""
        if scope.depth >= DEEPEST:
            raise call.refuse("functions are nested too deeply")
        function = self.functions.get(key) or defined(call, key)
        if function is None:
            version = f"{key[0] or 'ai.onnx'} {call.version}"
            raise call.refuse(f"lamina has no operator {key[1]!r} ({version})")
        values = {
            name: value
            for name, value in zip(function.input, call.inputs, strict=False)
            if value is not None
        }
        defaults = {a.name: attribute(a) for a in function.attribute_proto}
        opsets = {domain_of(o.domain): o.version for o in function.opset_import}
        inner = Scope(values, opsets, {**defaults, **call.attributes}, scope.depth + 1)
        for proto in function.node:
            left = [n for n in proto.input if n and n not in values]
            for name in left:  # an input of the function that was left out
                if name not in function.input:
                    raise call.refuse(f"nothing in its function makes {name!r}")
            if left:
                proto = _without(proto, left)
            self.run([proto], inner)
        return [values.get(name) for name in function.output]


class _Call(Call):
    def __init__(
        self,
        tracer: Tracer,
        proto: Any,
        inputs: Sequence[Tensor | None],
        version: int,
        attributes: Mapping[str, Any],
        scope: Scope,
    ) -> None:
        super().__init__(
            proto, inputs, version, attributes, tracer.evaluate, lambda name: scope.values[name]
        )
        self.tracer = tracer

    def bounded(self, shape: Shape, held: bool = False) -> Shape:
        return bounded(shape, self.refuse, HELD if held else self.tracer.most)

    def constant(self, array: np.ndarray) -> Node:
        super().constant(array)  # refuses dtypes
        return self.tracer.constant(array)


def _with_rows(kind: str, arrays: Sequence[np.ndarray | None]) -> np.ndarray:
    first = arrays[0]
    assert first is not None
    if kind == "Identity":
        return first
    if kind == "Mul":
        return np.asarray(first * arrays[1], object)
    if kind == "Concat":
        return np.concatenate([a for a in arrays if a is not None])
    if kind == "Gather" and arrays[1] is not None:
        return np.asarray(np.take(first, arrays[1].astype(np.int64)), object)
    if kind in ("Squeeze", "Unsqueeze", "Reshape"):
        return first.reshape(() if kind == "Squeeze" else (-1,))
    starts, stops = (a.reshape(-1).tolist() if a is not None else [] for a in arrays[1:3])
    if kind == "Slice" and len(starts) == 1 and len(arrays) < 5:
        return first[int(starts[0]) : int(stops[0])]
    raise Unknown


def _without(proto: Any, names: Sequence[str]) -> Any:
    """A node whose inputs of these names are left out."""
    made = type(proto)()
    made.CopyFrom(proto)
    for at, name in enumerate(made.input):
        if name in names:
            made.input[at] = ""
    return made


def _counts_rows(proto: Any, scope: Scope) -> bool:
    """Whether an input of a node depends on the number of rows."""
    for name in proto.input:
        found = scope.values.get(name)
        if found is None:
            continue
        if found.symbolic or (
            found.node is not None and any(isinstance(d, Rows) for d in found.node.shape)
        ):
            return True
    return False


def _computed(node: Node, known: Mapping[Node, Any]) -> Any:
    if node.op == "constant":
        return node.attrs["value"]
    if node.leaf:
        raise Unknown
    if node.op == SELECT and node.inputs[0] is not None:
        return known[node.inputs[0]][node.attrs["index"]]
    arrays = [None if n is None else known[n] for n in node.inputs]
    with np.errstate(all="ignore"):
        made = ops.get(node.op).reference(np, *arrays, **node.attrs)
    return made if len(node.specs) > 1 else np.asarray(made).astype(node.dtype)


def attributes_of(proto: Any, outer: Mapping[str, Any]) -> dict[str, Any]:
    """A node's attributes by name; those of a function's body may be the call's."""
    found = {}
    for one in proto.attribute:
        if one.ref_attr_name:
            if one.ref_attr_name in outer:
                found[one.name] = outer[one.ref_attr_name]
        else:
            found[one.name] = attribute(one)
    return found


def attribute(one: Any) -> Any:
    """An attribute's value: numbers, words as str, arrays for tensors."""
    from onnx import AttributeProto, helper, numpy_helper

    if one.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        return one  # a graph in a graph: no operator here has one
    value = helper.get_attribute_value(one)
    if one.type == AttributeProto.TENSOR:
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if one.type == AttributeProto.STRINGS:
        return [v.decode("utf-8", "replace") for v in value]
    return list(value) if one.type in (AttributeProto.INTS, AttributeProto.FLOATS) else value


def defined(call: Call, key: tuple[str, str]) -> Any:
    """The function that ONNX itself defines an operator by, or None."""
    from onnx import FunctionProto, TypeProto, defs, helper

    try:
        schema = defs.get_schema(key[1], call.version, key[0])
    except defs.SchemaError:
        return None
    if schema.has_function:
        return schema.function_body
    if not schema.has_context_dependent_function:
        return None
    types = []
    for given in call.inputs:
        if given is None:
            types.append(TypeProto().SerializeToString())
            continue
        dtype = given.node.dtype if given.node is not None else np.asarray(given.host).dtype
        shape = given.node.shape if given.node is not None else np.shape(given.host)  # type: ignore[arg-type]
        dims = [d if isinstance(d, int) else "n" for d in shape]
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        types.append(helper.make_tensor_type_proto(kind, dims).SerializeToString())
    versions = [v for v in schema.context_dependent_function_opset_versions if v <= call.version]
    if not versions:
        return None
    made = schema.get_context_dependent_function_with_opset_version(
        max(versions), call.proto.SerializeToString(), types
    )
    return FunctionProto.FromString(made)
