"""Numbers while CUDA C++ is being written: Python's operators on them leave statements behind.

An `Expression` is what an array is in the references (`kernels/vectorized/`): a formula that is
written once against an array namespace is executed on it (`namespace.py`), and what it leaves is
the body of a function or a kernel. Each result is a variable of its own, and the compiler of CUDA
may contract a product and a sum; nothing else says "fast math".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..spec import FLOATS

TYPES = {
    "float32": "float", "float64": "double", "int32": "int", "int64": "long long",
    "uint32": "unsigned", "bool": "bool",
}  # fmt: skip


def literal(dtype: str, value: Any) -> str:
    """A number of a dtype as C++ writes it, every bit of it."""
    if dtype == "bool":
        return "true" if value else "false"
    if dtype not in FLOATS:
        return f"(({TYPES[dtype]}){int(value)}{'u' if dtype == 'uint32' else 'll'})"
    number = float(np.dtype(dtype).type(value))
    if math.isfinite(number):
        return f"({number.hex()}{'f' if dtype == 'float32' else ''})"
    name = "not_a_number" if math.isnan(number) else "infinite"
    sign = "-" if number < 0 else ""
    return f"({sign}{name}<{TYPES[dtype]}>())"


class Writer:
    """Where statements go. lines: those so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    def put(self, line: str) -> None:
        """One more line."""
        self.lines.append(line)

    def new(self, dtype: str, value: str) -> Expression:
        """A new variable that holds a value."""
        name = f"v{self.count}"
        self.count += 1
        self.put(f"const {TYPES[dtype]} {name} = {value};")
        return Expression(self, name, dtype)

    def constant(self, value: Any, dtype: str) -> Expression:
        """A number that is known while code is written."""
        return Expression(self, literal(dtype, value), dtype, value)

    def select(self, condition: Expression, yes: Any, no: Any) -> Expression:
        """One of two, by a condition."""
        like = yes if isinstance(yes, Expression) else no
        yes, no = like.like(yes), like.like(no)
        return self.new(like.dtype, f"{condition.text} ? {yes.text} : {no.text}")


class Expression:
    """One number of one element: a variable, or a literal.

    text: how C++ names it. known: the number, where it is one that is known.
    """

    __slots__ = ("dtype", "known", "text", "writer")
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, writer: Writer, text: str, dtype: str, known: Any = None) -> None:
        self.writer, self.text, self.dtype, self.known = writer, text, dtype, known

    @property
    def shape(self) -> tuple[int]:
        """One axis, as every element is computed by itself."""
        return (1,)

    @property
    def real(self) -> bool:
        """Whether the number is floating."""
        return self.dtype in FLOATS

    def like(self, value: Any) -> Expression:
        """A number in this dtype; an expression as it is."""
        return value if isinstance(value, Expression) else self.writer.constant(value, self.dtype)

    def made(self, value: str, dtype: str = "") -> Expression:
        """A result."""
        return self.writer.new(dtype or self.dtype, value)

    def called(self, function: str, *more: Any) -> Expression:
        """A function of C++ on this number and others."""
        arguments = [self, *map(self.like, more)]
        return self.made(f"{function}({', '.join(a.text for a in arguments)})")

    def _two(self, sign: str, other: Any, turned: bool = False, dtype: str = "") -> Expression:
        a, b = (self.like(other), self) if turned else (self, self.like(other))
        return self.made(f"{a.text} {sign} {b.text}", dtype)

    def __add__(self, other: Any) -> Expression:
        return self._two("+", other)

    def __radd__(self, other: Any) -> Expression:
        return self._two("+", other, turned=True)

    def __sub__(self, other: Any) -> Expression:
        return self._two("-", other)

    def __rsub__(self, other: Any) -> Expression:
        return self._two("-", other, turned=True)

    def __mul__(self, other: Any) -> Expression:
        return self._two("*", other)

    def __rmul__(self, other: Any) -> Expression:
        return self._two("*", other, turned=True)

    def __truediv__(self, other: Any) -> Expression:
        return self._two("/", other)

    def __rtruediv__(self, other: Any) -> Expression:
        return self._two("/", other, turned=True)

    def __neg__(self) -> Expression:
        return self.made(f"-{self.text}")

    def __pow__(self, other: int) -> Expression:
        """A product, for the exponents that formulas have: 2 and 3."""
        return self * self * self if other == 3 else self * self

    def __lt__(self, other: Any) -> Expression:
        return self._two("<", other, dtype="bool")

    def __le__(self, other: Any) -> Expression:
        return self._two("<=", other, dtype="bool")

    def __gt__(self, other: Any) -> Expression:
        return self._two(">", other, dtype="bool")

    def __ge__(self, other: Any) -> Expression:
        return self._two(">=", other, dtype="bool")

    def __eq__(self, other: Any) -> Expression:  # type: ignore[override]
        return self._two("==", other, dtype="bool")

    def __ne__(self, other: Any) -> Expression:  # type: ignore[override]
        return self._two("!=", other, dtype="bool")

    def __and__(self, other: Any) -> Expression:
        return self._two("&", other)

    def __or__(self, other: Any) -> Expression:
        return self._two("|", other)

    def __invert__(self) -> Expression:
        return self.made(f"{'!' if self.dtype == 'bool' else '~'}{self.text}")

    def __abs__(self) -> Expression:
        if self.real:
            return self.called("fabs")
        if self.dtype == "uint32":
            return self
        return self.writer.select(self < 0, -self, self)

    def cast(self, dtype: str) -> Expression:
        """The number in another dtype; towards zero into a whole one."""
        if dtype == self.dtype:
            return self
        if dtype == "bool":
            return self != 0
        return self.made(f"({TYPES[dtype]}){self.text}", dtype)
