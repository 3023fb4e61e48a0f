"""Vectors of numbers while code is being written: Python's operators on them emit instructions.

`Lanes` are what an array is in the references (`kernels/vectorized/`): a formula that is written
once against an array namespace is executed on them (`namespace.py`), and what it leaves behind is
code. Nothing says "fast math": every element is rounded as IEEE says, in every lane alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir

from ..spec import FLOATS

TYPES: dict[str, Any] = {
    "float32": ir.FloatType(), "float64": ir.DoubleType(), "int32": ir.IntType(32),
    "uint32": ir.IntType(32), "int64": ir.IntType(64), "bool": ir.IntType(1),
}  # fmt: skip
I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def kind_of(dtype: str, width: int) -> Any:
    """The type of so many numbers of a dtype; of one, that of the number."""
    return TYPES[dtype] if width == 1 else ir.VectorType(TYPES[dtype], width)


def literal(dtype: str, value: Any) -> Any:
    """A number as LLVM's constant."""
    if dtype in FLOATS:
        return ir.Constant(TYPES[dtype], float(np.dtype(dtype).type(value)))
    return ir.Constant(TYPES[dtype], int(value))


class Writer:
    """Where instructions go."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def constant(self, value: Any, dtype: str, width: int) -> Lanes:
        """The same number in every lane."""
        one = literal(dtype, value)
        if width > 1:
            one = ir.Constant(kind_of(dtype, width), [one] * width)
        return Lanes(self, one, dtype, width, value)

    def count(self, dtype: str, width: int) -> Lanes:
        """0, 1, 2, ... in the lanes."""
        if width == 1:
            return self.constant(0, dtype, 1)
        numbers = [literal(dtype, i) for i in range(width)]
        return Lanes(self, ir.Constant(kind_of(dtype, width), numbers), dtype, width)

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Calls a function of LLVM by its name."""
        module, kinds = self.builder.module, [a.type for a in arguments]
        found = module.globals.get(name)
        if found is None:
            found = ir.Function(module, ir.FunctionType(result, kinds), name)
        return self.builder.call(found, arguments)

    def spread(self, scalar: Any, dtype: str, width: int) -> Lanes:
        """One number in every lane."""
        if width == 1:
            return Lanes(self, scalar, dtype, 1)
        kind = kind_of(dtype, width)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, I32(0))
        mask = ir.Constant(ir.VectorType(I32, width), [I32(0)] * width)
        return Lanes(
            self, self.builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), mask),
            dtype, width,
        )  # fmt: skip

    def select(self, condition: Lanes, yes: Any, no: Any) -> Lanes:
        """One of two by a condition, lane by lane."""
        like = yes if isinstance(yes, Lanes) else no
        yes, no = like.like(yes), like.like(no)
        chosen = self.builder.select(condition.ir, yes.ir, no.ir)
        return Lanes(self, chosen, like.dtype, like.width)


class Lanes:
    """Some numbers of one dtype, one in each lane; booleans are bits.

    known: the number, where it is one that is known while code is written.
    """

    __slots__ = ("dtype", "ir", "known", "width", "writer")
    __array_ufunc__ = None

    def __init__(self, writer: Writer, made: Any, dtype: str, width: int, known: Any = None):
        self.writer, self.ir, self.dtype, self.width, self.known = (
            writer, made, dtype, width, known,
        )  # fmt: skip

    # As an array

    @property
    def shape(self) -> tuple[int]:
        """One axis, as every lane is a number of its own."""
        return (self.width,)

    @property
    def real(self) -> bool:
        """Whether the numbers are floating."""
        return self.dtype in FLOATS

    def like(self, value: Any) -> Lanes:
        """A number in every lane, in this dtype; lanes as they are."""
        if isinstance(value, Lanes):
            return value
        return self.writer.constant(value, self.dtype, self.width)

    def made(self, value: Any, dtype: str = "") -> Lanes:
        """A result of as many lanes."""
        return Lanes(self.writer, value, dtype or self.dtype, self.width)

    def _two(self, other: Any, real: str, whole: str, turned: bool = False) -> Lanes:
        a, b = (self.like(other), self) if turned else (self, self.like(other))
        build = getattr(self.writer.builder, real if self.real else whole)
        return self.made(build(a.ir, b.ir))

    def __add__(self, other: Any) -> Lanes:
        return self._two(other, "fadd", "add")

    def __radd__(self, other: Any) -> Lanes:
        return self._two(other, "fadd", "add", turned=True)

    def __sub__(self, other: Any) -> Lanes:
        return self._two(other, "fsub", "sub")

    def __rsub__(self, other: Any) -> Lanes:
        return self._two(other, "fsub", "sub", turned=True)

    def __mul__(self, other: Any) -> Lanes:
        return self._two(other, "fmul", "mul")

    def __rmul__(self, other: Any) -> Lanes:
        return self._two(other, "fmul", "mul", turned=True)

    def __truediv__(self, other: Any) -> Lanes:
        return self._two(other, "fdiv", "fdiv")

    def __rtruediv__(self, other: Any) -> Lanes:
        return self._two(other, "fdiv", "fdiv", turned=True)

    def __neg__(self) -> Lanes:
        if self.real:
            return self.made(self.writer.builder.fneg(self.ir))
        return 0 - self

    def __pow__(self, other: int) -> Lanes:
        """A product, for the exponents that formulas have: 2 and 3."""
        if other not in (2, 3):
            raise NotImplementedError(f"** {other}: references multiply for other powers than 2, 3")
        return self * self * self if other == 3 else self * self

    def _compared(self, sign: str, other: Any) -> Lanes:
        b, other = self.writer.builder, self.like(other)
        if self.real:
            # "not equal" is the one comparison that holds for NaN
            compare = b.fcmp_unordered if sign == "!=" else b.fcmp_ordered
        else:
            compare = b.icmp_unsigned if self.dtype in ("uint32", "bool") else b.icmp_signed
        return self.made(compare(sign, self.ir, other.ir), "bool")

    def __lt__(self, other: Any) -> Lanes:
        return self._compared("<", other)

    def __le__(self, other: Any) -> Lanes:
        return self._compared("<=", other)

    def __gt__(self, other: Any) -> Lanes:
        return self._compared(">", other)

    def __ge__(self, other: Any) -> Lanes:
        return self._compared(">=", other)

    def __eq__(self, other: Any) -> Lanes:  # type: ignore[override]
        return self._compared("==", other)

    def __ne__(self, other: Any) -> Lanes:  # type: ignore[override]
        return self._compared("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def __and__(self, other: Any) -> Lanes:
        return self._two(other, "and_", "and_")

    def __or__(self, other: Any) -> Lanes:
        return self._two(other, "or_", "or_")

    def __invert__(self) -> Lanes:
        return self.made(self.writer.builder.not_(self.ir))

    # As machine words

    def _call(self, name: str, *more: Lanes) -> Lanes:
        suffix = f"{'' if self.width == 1 else f'v{self.width}'}f{32 if self.single else 64}"
        arguments = [self.ir, *(one.ir for one in more)]
        kind = kind_of(self.dtype, self.width)
        return self.made(self.writer.call(f"llvm.{name}.{suffix}", kind, *arguments))

    @property
    def single(self) -> bool:
        """Whether the numbers are float32."""
        return self.dtype == "float32"

    def fma(self, factor: Any, term: Any) -> Lanes:
        """self * factor + term, rounded once where the processor has an instruction for that."""
        return self._call("fmuladd", self.like(factor), self.like(term))

    def __abs__(self) -> Lanes:
        if self.real:
            return self._call("fabs")
        if self.dtype == "uint32":
            return self
        return self.writer.select(self < 0, -self, self)

    def sqrt(self) -> Lanes:
        """The square root."""
        return self._call("sqrt")

    def pow(self, other: Lanes) -> Lanes:
        """The C library's power, a lane at a time."""
        return self._call("pow", other)

    def with_sign(self, other: Lanes) -> Lanes:
        """These sizes with the signs of others."""
        return self._call("copysign", other)

    def below_zero(self) -> Lanes:
        """Whether the sign is minus, that of zero too."""
        return self.bits() < 0

    def rounded(self) -> Lanes:
        """The nearest whole number, the even one of two."""
        return self._call("rint")

    def bits(self) -> Lanes:
        """The words that the numbers are written in."""
        word = "int32" if self.single else "int64"
        return self.made(self.writer.builder.bitcast(self.ir, kind_of(word, self.width)), word)

    def number(self) -> Lanes:
        """The floating numbers that words are."""
        dtype = "float32" if self.dtype == "int32" else "float64"
        return self.made(self.writer.builder.bitcast(self.ir, kind_of(dtype, self.width)), dtype)

    def shifted(self, left: int = 0, right: int = 0) -> Lanes:
        """Words moved so many bits; to the right with their sign."""
        b = self.writer.builder
        return self.made(b.shl(self.ir, self.like(left).ir) if left else
                         b.ashr(self.ir, self.like(right).ir))  # fmt: skip

    def cast(self, dtype: str) -> Lanes:
        """The numbers in another dtype; towards zero into a whole one, as C and NumPy do it."""
        if dtype == self.dtype:
            return self
        if self.known is not None and not (self.real and not math.isfinite(self.known)):
            return self.writer.constant(np.dtype(dtype).type(self.known), dtype, self.width)
        b, kind = self.writer.builder, kind_of(dtype, self.width)
        if dtype == "bool":
            return self != 0
        if self.real and dtype in FLOATS:
            return self.made((b.fpext if self.single else b.fptrunc)(self.ir, kind), dtype)
        if self.real:
            return self._whole(dtype)
        signed = self.dtype in ("int32", "int64")
        if dtype in FLOATS:
            return self.made((b.sitofp if signed else b.uitofp)(self.ir, kind), dtype)
        wide = TYPES[dtype].width - TYPES[self.dtype].width
        if wide == 0:
            return self.made(self.ir, dtype)
        change = b.trunc if wide < 0 else b.sext if signed else b.zext
        return self.made(change(self.ir, kind), dtype)

    def _whole(self, dtype: str) -> Lanes:
        """Numbers as whole ones; those that do not fit as what the processor makes of them."""
        b, name = self.writer.builder, "int32" if dtype == "int32" else "int64"
        suffix = "" if self.width == 1 else f"v{self.width}"
        wide = self.writer.call(
            f"llvm.fptosi.sat.{suffix}i{TYPES[name].width}.{suffix}f{32 if self.single else 64}",
            kind_of(name, self.width), self.ir,
        )  # fmt: skip
        limit = 2.0 ** (TYPES[name].width - 1)
        fits = (self >= -limit) & (self < limit)
        low = self.writer.constant(-(2 ** (TYPES[name].width - 1)), name, self.width)
        found = self.writer.select(fits, self.made(wide, name), low)
        if dtype == "uint32":
            return self.made(b.trunc(found.ir, kind_of(dtype, self.width)), dtype)
        return found

    # Across lanes

    def halves(self, combine: Any) -> Any:
        """All lanes combined into one number, halves with halves: always in the same order."""
        found, b = self, self.writer.builder
        while found.width > 1:
            half = found.width // 2
            parts = [
                Lanes(self.writer, _part(b, found, start, half), self.dtype, half)
                for start in (0, half)
            ]
            found = combine(*parts)
        return found.ir


def _part(builder: Any, lanes: Lanes, start: int, count: int) -> Any:
    if count == 1:
        return builder.extract_element(lanes.ir, I32(start))
    mask = ir.Constant(ir.VectorType(I32, count), [I32(start + i) for i in range(count)])
    return builder.shuffle_vector(lanes.ir, ir.Constant(lanes.ir.type, ir.Undefined), mask)
