"""`lm.ops`: every operation of the table as a function on nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, reduce
from typing import Any

from ...kernels import ops as table
from ...kernels.errors import ShapeError
from .graph import Node, fill_shape, make


def _concatenate(arrays: Sequence[Node], axis: int = 0) -> Node:
    """The arrays one after the other along an axis."""
    if not arrays:
        raise ShapeError("[concatenate] needs at least one array")
    return reduce(lambda a, b: make("concatenate", a, b, axis=axis), arrays)


def _transpose(x: Node, axes: Sequence[int] | None = None) -> Node:
    """x with its axes in another order, reversed when none is given."""
    return x.T if axes is None else make("transpose", x, axes=axes)


def _reshape(x: Node, shape: Sequence[int]) -> Node:
    """x in another shape; one dimension may be -1."""
    return make("reshape", x, shape=fill_shape(x, shape))


SPECIAL: dict[str, Callable[..., Node]] = {
    "concatenate": _concatenate,
    "transpose": _transpose,
    "reshape": _reshape,
}


@cache
def function(name: str) -> Callable[..., Node]:
    """The function of an operation: inputs first, then attributes by position or name.

    Raises: UnknownName with the nearest spelling.
    """
    if name in SPECIAL:
        return SPECIAL[name]
    row = table.get(name)

    def apply(*args: Any, **attrs: Any) -> Node:
        count = len(row.inputs)
        if len(args) > count + len(row.attrs):
            raise ShapeError(f"[{name}] got {len(args)} arguments: {row.signature}")
        given = dict(zip(row.attrs, args[count:], strict=False))
        given.update(attrs)
        return make(name, *args[:count], **given)

    apply.__name__, apply.__qualname__ = name, f"ops.{name}"  # where pickle finds it
    apply.__doc__ = f"{row.reference.__doc__}\n\n{row.signature}"
    return apply


class Operations:
    """Every operation of the table as a function on nodes, as in `lm.ops.log(x)`."""

    def __getattr__(self, name: str) -> Callable[..., Node]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in table.OPS and name not in SPECIAL:
            raise AttributeError(str(_unknown(name)))
        return function(name)

    def __dir__(self) -> list[str]:
        return sorted(table.OPS)


def _unknown(name: str) -> Exception:
    try:
        table.get(name)
    except ValueError as error:
        return error
    raise AssertionError(name)


ops = Operations()
