"""The array namespace of CUDA C++ that is being written: references executed on it leave code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import ops, writing
from ..vectorized.activations import FAR, INV_SQRT_2PI, SQRT_HALF
from .expressions import TYPES, Expression


def _function(name: str) -> Callable[[Expression], Expression]:
    return lambda x: x.called(name)


class Namespace(writing.Namespace):
    """That of C++ expressions."""

    types = TYPES
    code = "generated CUDA C++"
    exp = staticmethod(_function("exp"))
    expm1 = staticmethod(_function("expm1"))
    log = staticmethod(_function("log"))
    log1p = staticmethod(_function("log1p"))
    tanh = staticmethod(_function("tanh"))
    sqrt = staticmethod(_function("sqrt"))

    @staticmethod
    def sign(x: Expression) -> Expression:
        """-1, 0 or 1; NaN stays."""
        size: Expression
        select = x.writer.select
        size = select(x > 0, x.like(1), select(x < 0, x.like(-1), x.like(0)))
        return select(x == x, size, x) if x.real else size


def _gelu(x: Expression) -> Expression:
    return 0.5 * x * (1.0 + (SQRT_HALF * x).called("erf"))


def _gelu_backward(gradient: Expression, x: Expression) -> Expression:
    phi = INV_SQRT_2PI * (-0.5 * x * x).called("exp")
    near: Expression = Namespace.clip(x, -FAR, FAR)
    return gradient * (0.5 * (1.0 + (SQRT_HALF * x).called("erf")) + near * phi)


# CUDA has an error function of its own, and a power; the reference has a rational approximation.
BETTER: dict[str, Callable[..., Expression]] = {
    "erf": lambda x: x.called("erf"),
    "power": lambda a, b: a.called("pow", b),
    "gelu": _gelu,
    "gelu_backward": _gelu_backward,
}


def apply(op: str, inputs: list[Expression], attrs: Mapping[str, Any]) -> Expression:
    """An operation on elements, as code."""
    if op in BETTER:
        return BETTER[op](*inputs, **attrs)
    made: Expression = ops.get(op).reference(Namespace(), *inputs, **attrs)
    return made
