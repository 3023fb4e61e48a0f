"""The nouns of the table: Op with its Cost, Tolerance, Sample and Indices, and Kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from .errors import ShapeError
from .spec import Dim, Spec

Attrs = Mapping[str, Any]
Specs = Sequence[Spec]


class Cost(NamedTuple):
    """What one call costs: floating-point operations, and bytes read and written once each."""

    flops: float
    bytes: float


class Tolerance(NamedTuple):
    """The error an implementation may make against the float64 oracle.

    |value - oracle| <= absolute + relative * max(|oracle|), the maximum over the whole array: a
    bound per element would punish sums that cancel.
    """

    relative: float
    absolute: float


@dataclass(frozen=True)
class Sample:
    """Inputs and attributes that an op is tested and measured with."""

    inputs: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)


class Indices(NamedTuple):
    """Whole numbers that say where memory is read or written: each must be in [0, limit).

    input: the input that holds them. noun: what they count. axis: of the first input, whose length
        is the limit. attr: the attribute that is the limit, where no axis is.
    """

    input: int
    noun: str
    axis: int = 0
    attr: str = ""

    def limit(self, specs: Specs, attrs: Attrs) -> Dim:
        """How many there are to choose from."""
        found: Dim = attrs[self.attr] if self.attr else specs[0].shape[self.axis]
        return found


class Op(NamedTuple):
    """One row of the operation table.

    name: what graphs, programs and errors call it.
    inputs: names of the inputs; one that ends in "?" is optional and may be None (last ones only).
    outputs: names of the outputs; which are made can depend on the attributes (see `infer`).
    attrs: attribute names with their defaults; `REQUIRED` where there is none.
    infer: (specs of the inputs, attributes) -> specs of the outputs; raises ShapeError, DtypeError.
    reference: (xp, *inputs, **attributes) -> the output, or a tuple of several: the vectorised
        expression over any array namespace. In float64 on NumPy it is the oracle.
    cost: (specs in, specs out, attributes) -> Cost, for concrete shapes.
    tolerance: per dtype of the floating inputs.
    samples: (generator, dtype, rows) -> inputs for tests; `rows` is the length of the leading axis.
    overwrites: for each output, the inputs whose memory it may take over.
    view: the reference returns a view of its first input where the namespace can.
    measured: (generator, dtype, elements) -> inputs whose largest array has about so many elements,
        for measuring; None: the first of `samples` with as many rows as that takes.
    hot: worth a kernel and a line in the benchmark.
    independent: what can be computed without the rest. "elements": every element, from those at
        its place in the inputs. "rows": every row, an index of the leading axis, from the inputs'
        rows; an output of rank 0 is the sum of what the rows give.
    derivative: of an activation, the value, "x" or "y", that the row `NAME_backward` takes beside
        the gradient. With "y" alone the input need not be kept. "zero": of what is constant
        wherever it has a derivative, so that no gradient is passed on. None: `derivatives.py`
        or `loss_derivatives.py` of the graph has a rule, or there is no derivative.
    in_dense: an activation, of elements and with the derivative "y", that `dense` computes itself.
    ufunc: the name of NumPy's universal function that computes it, if there is one.
    indices: which input says where, and up to where it may; no kernel looks at that itself.
    decays: an update that takes a share of the parameters off them: at too large a rate they grow
        without any gradient, so that their norm is looked at as well.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]
    infer: Callable[[Specs, Attrs], tuple[Spec, ...]]
    reference: Callable[..., Any]
    cost: Callable[[Specs, Specs, Attrs], Cost]
    tolerance: dict[str, Tolerance]
    samples: Callable[[np.random.Generator, str, int], Iterable[Sample]]
    overwrites: tuple[tuple[int, ...], ...] = ()
    view: bool = False
    measured: Callable[[np.random.Generator, str, int], Sample] | None = None
    hot: bool = False
    independent: Literal["elements", "rows"] | None = None
    derivative: Literal["x", "y", "zero"] | None = None
    in_dense: bool = False
    ufunc: str | None = None
    indices: Indices | None = None
    decays: bool = False

    @property
    def required(self) -> int:
        """The number of inputs that must be given."""
        return sum(not name.endswith("?") for name in self.inputs)

    def measured_sample(self, rng: np.random.Generator, dtype: str, elements: int) -> Sample:
        """Inputs whose largest array has about so many elements."""
        if self.measured is not None:
            return self.measured(rng, dtype, elements)
        probe = next(iter(self.samples(rng, dtype, 8)))
        arrays = [v.size for v in probe.inputs if isinstance(v, np.ndarray)]
        shapes = [int(np.prod(v)) for v in probe.attrs.values() if isinstance(v, tuple)]
        width = max([8, *arrays, *shapes]) / 8
        return next(iter(self.samples(rng, dtype, max(1, round(elements / width)))))

    @property
    def signature(self) -> str:
        """How the row reads: `dense(x, weight, bias?; activation='linear') -> y`."""
        attrs = ", ".join(n if v is REQUIRED else f"{n}={v!r}" for n, v in self.attrs.items())
        given = ", ".join(self.inputs) + (f"; {attrs}" if attrs else "")
        return f"{self.name}({given}) -> {', '.join(self.outputs)}"

    def complete(self, attrs: Attrs) -> dict[str, Any]:
        """The attributes with defaults filled in.

        Raises: ShapeError for an attribute that the op lacks or that is missing.
        """
        for name in attrs:
            if name not in self.attrs:
                raise ShapeError(f"[{self.name}] has no attribute {name!r}: {self.signature}")
        full = {**self.attrs, **attrs}
        for name, value in full.items():
            if value is REQUIRED:
                raise ShapeError(f"[{self.name}] needs the attribute {name!r}: {self.signature}")
        return full

    def check(self, specs: Sequence[Spec | None], attrs: Attrs) -> tuple[Spec, ...]:
        """The specs of the outputs, after the number of inputs was checked.

        Raises: ShapeError, DtypeError.
        """
        given = len(specs)
        if not self.required <= given <= len(self.inputs):
            raise ShapeError(f"[{self.name}] got {given} inputs: {self.signature}")
        return self.infer([s for s in specs if s is not None], attrs)


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()


def always(specs: Specs, attrs: Attrs) -> bool:
    """A kernel that takes every call of its op."""
    return True


@dataclass(frozen=True)
class Kernel:
    """An override of one op for one way of computing.

    op: the name of the op. `supports` is asked with specs and attrs of a call.
    function: (out, *inputs, **attributes) -> None writes every array of the tuple `out`. On a
        device whose arrays cannot be written, `out` is None and it returns the tuple instead.
    supports: whether it takes this call; False sends it to the reference.
    source: the function in which its arithmetic is written, for a reader to be led to, where that
        is not `function` itself.
    """

    op: str
    function: Callable[..., Any]
    supports: Callable[[Specs, Attrs], bool] = always
    source: Callable[..., Any] | None = None


def kernels(*rows: Kernel) -> dict[str, Kernel]:
    """A kernel table by op name."""
    return {row.op: row for row in rows}
