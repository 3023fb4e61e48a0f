"""The array namespace of LLVM instructions: references executed on lanes leave their code.

What is faster in another form than the reference's has that form in `BETTER`, by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import ops, writing
from . import functions
from .lanes import TYPES, Lanes


class Namespace(writing.Namespace):
    """That of LLVM instructions on lanes."""

    types = TYPES
    exp = staticmethod(functions.exp)
    expm1 = staticmethod(functions.expm1)
    log = staticmethod(functions.log)
    log1p = staticmethod(functions.log1p)
    tanh = staticmethod(functions.tanh)
    sign = staticmethod(functions.sign)

    @staticmethod
    def sqrt(x: Lanes) -> Lanes:
        """The square root."""
        return x.sqrt()


BETTER: dict[str, Callable[..., Lanes]] = {
    "sigmoid": functions.sigmoid,
    "softplus": functions.softplus,
    "gelu": functions.gelu,
    "erf": functions.erf,
    "power": functions.power,
    "silu": functions.silu,
    "silu_backward": functions.silu_backward,
    "mish": functions.mish,
    "mish_backward": functions.mish_backward,
    "quotient": functions.quotient,
}


def apply(op: str, inputs: list[Lanes], attrs: Mapping[str, Any]) -> Lanes:
    """An operation on elements, on lanes."""
    if op in BETTER:
        return BETTER[op](*inputs, **attrs)
    made: Lanes = ops.get(op).reference(Namespace(), *inputs, **attrs)
    return made
