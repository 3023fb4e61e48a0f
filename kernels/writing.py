"""What array namespaces of generated code share: references executed on one leave their code.

There is one for LLVM (`llvm/namespace.py`) and one for CUDA C++ (`cuda/namespace.py`). Their values
have operators that write, `like` (a number as such a value), `cast`, `real` (whether they are no
integers), and `writer.select` (one of two by a condition).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar

import numpy as np


class Namespace:
    """What the references of operations on elements ask of an array namespace, but for functions.

    types: the dtypes that there are, each an attribute of the namespace. code: what is written, for
    messages.
    """

    types: ClassVar[Collection[str]] = ()
    code: ClassVar[str] = "generated code"
    finfo = staticmethod(np.finfo)

    def __getattr__(self, name: str) -> str:
        if name not in self.types:
            raise AttributeError(f"{self.code} has no {name!r}")
        return name

    @staticmethod
    def abs(x: Any) -> Any:
        """The absolute value."""
        return abs(x)

    @staticmethod
    def where(condition: Any, yes: Any, no: Any) -> Any:
        """One of two, by a condition."""
        return condition.writer.select(condition, yes, no)

    @staticmethod
    def maximum(a: Any, b: Any) -> Any:
        """The larger; NaN wins."""
        select, b = a.writer.select, a.like(b)
        found = select(a > b, a, b)
        return select(a == a, found, a) if a.real else found

    @staticmethod
    def minimum(a: Any, b: Any) -> Any:
        """The smaller; NaN wins."""
        select, b = a.writer.select, a.like(b)
        found = select(a < b, a, b)
        return select(a == a, found, a) if a.real else found

    @staticmethod
    def clip(x: Any, low: Any, high: Any) -> Any:
        """Kept between two numbers; the upper one wins, and NaN stays."""
        select = x.writer.select
        x = select(x < low, low, x)
        return select(x > high, high, x)

    @staticmethod
    def zeros_like(x: Any) -> Any:
        """0."""
        return x.like(0)

    @staticmethod
    def ones_like(x: Any) -> Any:
        """1."""
        return x.like(1)

    @staticmethod
    def asarray(x: Any) -> Any:
        """The value itself."""
        return x

    @staticmethod
    def astype(x: Any, dtype: str) -> Any:
        """The value in another dtype."""
        return x.cast(dtype)
