"""The array namespace of code that is being written: references executed on it leave their code.

What is faster in another form than the reference's has that form in `BETTER`, by operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import ops
from . import functions
from .lanes import TYPES, Lanes


class Namespace:
    """What the references of operations on elements ask of an array namespace."""

    exp = staticmethod(functions.exp)
    expm1 = staticmethod(functions.expm1)
    log = staticmethod(functions.log)
    log1p = staticmethod(functions.log1p)
    tanh = staticmethod(functions.tanh)
    sign = staticmethod(functions.sign)
    finfo = staticmethod(np.finfo)

    def __getattr__(self, name: str) -> str:
        if name not in TYPES:
            raise AttributeError(f"generated code has no {name!r}")
        return name

    @staticmethod
    def abs(x: Lanes) -> Lanes:
        """The absolute value."""
        return abs(x)

    @staticmethod
    def sqrt(x: Lanes) -> Lanes:
        """The square root."""
        return x.sqrt()

    @staticmethod
    def where(condition: Lanes, yes: Any, no: Any) -> Lanes:
        """One of two, by a condition."""
        return condition.writer.select(condition, yes, no)

    @staticmethod
    def maximum(a: Lanes, b: Any) -> Lanes:
        """The larger; NaN wins."""
        select, b = a.writer.select, a.like(b)
        found = select(a > b, a, b)
        return select(a == a, found, a) if a.real else found

    @staticmethod
    def minimum(a: Lanes, b: Any) -> Lanes:
        """The smaller; NaN wins."""
        select, b = a.writer.select, a.like(b)
        found = select(a < b, a, b)
        return select(a == a, found, a) if a.real else found

    @staticmethod
    def clip(x: Lanes, low: Any, high: Any) -> Lanes:
        """Kept between two numbers; the upper one wins, and NaN stays."""
        select = x.writer.select
        x = select(x < low, low, x)
        return select(x > high, high, x)

    @staticmethod
    def zeros_like(x: Lanes) -> Lanes:
        """0 in every lane."""
        return x.like(0)

    @staticmethod
    def ones_like(x: Lanes) -> Lanes:
        """1 in every lane."""
        return x.like(1)

    @staticmethod
    def asarray(x: Lanes) -> Lanes:
        """The lanes themselves."""
        return x

    @staticmethod
    def astype(x: Lanes, dtype: str) -> Lanes:
        """The numbers in another dtype."""
        return x.cast(dtype)


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
