"""The array namespace of CUDA C++ that is being written: references executed on it leave code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import ops
from ..vectorized.activations import FAR, INV_SQRT_2PI, SQRT_HALF
from .expressions import TYPES, Expression


def _function(name: str) -> Callable[[Expression], Expression]:
    return lambda x: x.called(name)


class Namespace:
    """What the references of operations on elements ask of an array namespace."""

    exp = staticmethod(_function("exp"))
    expm1 = staticmethod(_function("expm1"))
    log = staticmethod(_function("log"))
    log1p = staticmethod(_function("log1p"))
    tanh = staticmethod(_function("tanh"))
    sqrt = staticmethod(_function("sqrt"))
    finfo = staticmethod(np.finfo)

    def __getattr__(self, name: str) -> str:
        if name not in TYPES:
            raise AttributeError(f"generated CUDA C++ has no {name!r}")
        return name

    @staticmethod
    def abs(x: Expression) -> Expression:
        """The absolute value."""
        return abs(x)

    @staticmethod
    def sign(x: Expression) -> Expression:
        """-1, 0 or 1; NaN stays."""
        select = x.writer.select
        size = select(x > 0, x.like(1), select(x < 0, x.like(-1), x.like(0)))
        return select(x == x, size, x) if x.real else size

    @staticmethod
    def where(condition: Expression, yes: Any, no: Any) -> Expression:
        """One of two, by a condition."""
        return condition.writer.select(condition, yes, no)

    @staticmethod
    def maximum(a: Expression, b: Any) -> Expression:
        """The larger; NaN wins."""
        select, b = a.writer.select, a.like(b)
        found = select(a > b, a, b)
        return select(a == a, found, a) if a.real else found

    @staticmethod
    def minimum(a: Expression, b: Any) -> Expression:
        """The smaller; NaN wins."""
        select, b = a.writer.select, a.like(b)
        found = select(a < b, a, b)
        return select(a == a, found, a) if a.real else found

    @staticmethod
    def clip(x: Expression, low: Any, high: Any) -> Expression:
        """Kept between two numbers; the upper one wins, and NaN stays."""
        select = x.writer.select
        x = select(x < low, x.like(low), x)
        return select(x > high, x.like(high), x)

    @staticmethod
    def zeros_like(x: Expression) -> Expression:
        """0."""
        return x.like(0)

    @staticmethod
    def ones_like(x: Expression) -> Expression:
        """1."""
        return x.like(1)

    @staticmethod
    def asarray(x: Expression) -> Expression:
        """The number itself."""
        return x

    @staticmethod
    def astype(x: Expression, dtype: str) -> Expression:
        """The number in another dtype."""
        return x.cast(dtype)


def _gelu(x: Expression) -> Expression:
    return 0.5 * x * (1.0 + (SQRT_HALF * x).called("erf"))


def _gelu_backward(gradient: Expression, x: Expression) -> Expression:
    phi = INV_SQRT_2PI * (-0.5 * x * x).called("exp")
    near = Namespace.clip(x, -FAR, FAR)
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
