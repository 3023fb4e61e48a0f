"""The contract of a device, and the one place where an operation reaches a kernel.

A backend needs an array namespace and three conversions; all else has a default. What it can do
better it says by overriding: kernels for single operations, `compile` for whole programs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels import ops
from ..kernels.errors import DtypeError
from ..kernels.op import Kernel
from ..kernels.spec import Spec
from .program import Instruction, Program
from .state import Control, DataBlock, State

Array = Any
CONTRACT_VERSION = 1


@dataclass(frozen=True)
class Obstacle:
    """Why a backend cannot run here, and the command or step that mends it."""

    reason: str
    fix: str


class Binding(ABC):
    """An executable bound to a state and a data block.

    watch: told the instruction and the seconds of each one that ran, where the executor can tell.
    pace: steps that a run may have and still be over soon; whoever trains adapts it.
    """

    pace: int = 1
    watch: Callable[[Instruction, float], None] | None = None

    @abstractmethod
    def run(self, control: Control) -> None:
        """Runs up to `control.steps` batches from `control.cursor` on, and tells in `control`.

        A loss or a gradient that is not finite ends the run before that step's update, with
        `control.stop`; see `guard`.
        """

    @abstractmethod
    def use(self, block: DataBlock) -> None:
        """Exchanges the data for a block with the same columns; buffers stay."""

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """An output of the program: stacked over the run's batches, or from the last batch."""

    def passes(self, control: Control, count: int) -> list[dict[str, float]] | None:
        """Runs `count` whole passes over the order, and gives the means of each.

        The order has the rows of all passes, or is None. None where the executor cannot; then
        nothing has run. After a stop the list is short.
        """
        return None

    def apply(self, x: np.ndarray) -> np.ndarray | None:
        """The stacked output for the rows of one host array, by a short cut for small calls.

        x: row-major, of the column's dtype and row shape, of at most the program's capacity of
        rows. None where there is no short cut: then `use`, `run` and `read` do it.
        """
        return None


class Executable(ABC):
    """A program made ready for one device."""

    @abstractmethod
    def bind(self, state: State, block: DataBlock) -> Binding:
        """Ties the program to a state and to data."""

    @abstractmethod
    def explain(self) -> list[tuple[str, str, str]]:
        """(segment, operation, how it is run) for every instruction."""


class Backend(ABC):
    """A device.

    name: what users write in `backend=`.
    functional: arrays cannot be written; every operation returns new ones.
    dtypes: the floating dtypes it computes in.
    """

    name: str = ""
    functional: bool = False
    dtypes: tuple[str, ...] = ("float32", "float64")
    contract_version: int = CONTRACT_VERSION

    def __init__(self, index: int = 0) -> None:
        self.index = index

    @classmethod
    def obstacle(cls, index: int = 0) -> Obstacle | None:
        """What keeps this backend from running here, or None. May import the device's library."""
        return None

    @property
    @abstractmethod
    def xp(self) -> Any:
        """The array namespace, which follows the array API standard."""

    @property
    def device(self) -> str:
        """The device in words."""
        return "CPU"

    def kernels(self) -> Mapping[str, Kernel]:
        """The kernels that override references, by operation."""
        return {}

    def variants(self) -> Mapping[str, Mapping[str, Kernel]]:
        """Ways of computing, slowest first, each with its kernels by operation: for benchmarks.

        An operation without a kernel is computed by its vectorised reference.
        """
        return {"vectorised": {}, "kernels": self.kernels()}

    def asarray(self, host: np.ndarray) -> Array:
        """A copy of a host array on the device."""
        return self.xp.asarray(host)

    def borrow(self, host: np.ndarray) -> Array:
        """A host array that is read during one call: itself, where the device can read it."""
        return self.asarray(host)

    def to_numpy(self, array: Array) -> np.ndarray:
        """A host copy of a device array; waits for it."""
        return np.array(array)

    def zeros(self, length: int, dtype: str) -> Array:
        """A flat array of zeros."""
        return self.xp.zeros((length,), dtype=getattr(self.xp, dtype))

    def assign(self, target: Array, source: Array) -> None:
        """Copies an array into memory that exists (not on functional devices)."""
        target[...] = source

    def synchronize(self) -> None:
        """Waits until all work is done."""
        return None

    def active(self) -> AbstractContextManager[Any]:
        """A context in which work goes to this device, for libraries with a current device."""
        return nullcontext()

    def compile(self, program: Program) -> Executable:
        """Makes a program ready to run; the default walks it instruction by instruction."""
        from .walker import Walker

        return Walker(self, program)

    def warmup(self) -> Iterator[str]:
        """Compiles ahead what programs may need; yields the name of each thing done."""
        yield from ()

    def __repr__(self) -> str:
        return f"<{self.name} backend on {self.device}>"


@dataclass(frozen=True)
class Call:
    """An operation resolved for one device, input specs and attributes.

    kernel: whether a kernel of the backend runs it; else it is the vectorised reference.
    writes: it writes into the arrays it is given as `out`; else it returns new ones.
    """

    op: str
    kernel: bool
    writes: bool
    outputs: tuple[Spec, ...]
    function: Callable[..., Any]
    attrs: dict[str, Any]
    prefix: tuple[Any, ...]

    def __call__(self, out: tuple[Array, ...] | None, *inputs: Any) -> tuple[Array, ...]:
        """Runs it; out: one array per output, ignored where the call does not write."""
        if self.writes:
            self.function(out, *inputs, **self.attrs)
            assert out is not None
            return out
        result = self.function(*self.prefix, *inputs, **self.attrs)
        return result if isinstance(result, tuple) else (result,)


def resolve(
    backend: Backend,
    op: str,
    specs: Sequence[Spec | None],
    attrs: Mapping[str, Any],
    kernels: Mapping[str, Kernel] | None = None,
) -> Call:
    """Finds what runs an operation: the only way from an operation to a kernel.

    specs: concrete specs of the inputs, None for an optional one left out. kernels: those of one of
        the backend's variants; None: its own.
    Raises: UnknownName, ShapeError, DtypeError.
    """
    row = ops.get(op)
    full = row.complete(attrs)
    outputs = row.check(specs, full)
    for spec in (*specs, *outputs):
        if spec is not None and spec.rank and spec.dtype.startswith("float"):
            check_dtype(backend, op, spec)
    kernel = (backend.kernels() if kernels is None else kernels).get(op)
    given = [s for s in specs if s is not None]
    if kernel is not None and kernel.supports(given, full):
        writes = not backend.functional
        prefix = () if writes else (None,)
        return Call(op, True, writes, outputs, kernel.function, full, prefix)
    return Call(op, False, False, outputs, row.reference, full, (backend.xp,))


def check_dtype(backend: Backend, op: str, spec: Spec) -> None:
    """Raises DtypeError for a floating dtype that the device lacks."""
    if spec.dtype not in backend.dtypes:
        raise DtypeError(
            f"[{op}] backend {backend.name!r} has no {spec.dtype};"
            f" it has {', '.join(backend.dtypes)}"
        )
