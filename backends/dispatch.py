"""Dispatch: the one place where an operation reaches a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernels import bounds, ops
from ..kernels.errors import DtypeError
from ..kernels.op import Kernel
from ..kernels.spec import Spec
from .device import Array, Device


@dataclass(frozen=True)
class Call:
    """An operation resolved for one device, input specs and attributes.

    by_kernel: whether a kernel of the backend runs it; else it is the vectorised reference.
    writes: it writes into the arrays it is given as `out`; else it returns new ones. prefix: what
    goes before the inputs of one that does not write: the namespace for the reference, None for the
    `out` of a kernel.
    """

    op: str
    by_kernel: bool
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
    backend: Device,
    op: str,
    specs: Sequence[Spec | None],
    attrs: Mapping[str, Any],
    kernels: Mapping[str, Kernel] | None = None,
    trusted: bool = False,
) -> Call:
    """Finds what runs an operation: the only way from an operation to a kernel.

    op: its name in the table. specs: concrete specs of the inputs, None for an optional one left
        out. attrs: its attributes; defaults are filled in.
    kernels: those of one of the backend's variants; None: its own.
    trusted: indices are known to be in range; else the call raises BadInput where one is not.
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
    supported = kernel is not None and kernel.supports(given, full)
    function = kernel.function if kernel is not None and supported else row.reference
    if not trusted:
        function = bounds.guarded(row, given, full, function, backend.to_numpy)
    if supported:
        writes = not backend.functional
        prefix = () if writes else (None,)
        return Call(op, True, writes, outputs, function, full, prefix)
    return Call(op, False, False, outputs, function, full, (backend.xp,))


def check_dtype(backend: Device, op: str, spec: Spec) -> None:
    """Raises DtypeError for a floating dtype that the device lacks."""
    if spec.dtype not in backend.dtypes:
        raise DtypeError(
            f"[{op}] backend {backend.name!r} has no {spec.dtype};"
            f" it has {', '.join(backend.dtypes)}"
        )
