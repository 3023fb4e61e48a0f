"""Single machine instructions on floating numbers and their bits, for `fast_math` to build on.

Numba widens int32 + int32 to 64 bits, which halves the vector's width, so the arithmetic on bits is
built here in the width of the floating type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

intrinsic: Any = extending.intrinsic  # what they make says nothing of types
overload: Any = extending.overload

Number = Any
F = TypeVar("F", bound=Callable[..., Any])


def _layout(kind: Any) -> tuple[Any, int, int, int]:
    """Integer type, bits of the fraction, bias of the exponent and bits of sqrt(1/2)."""
    if kind == types.float32:
        return types.int32, 23, 127, int(np.float32(math.sqrt(0.5)).view(np.int32))
    return types.int64, 52, 1023, int(np.float64(math.sqrt(0.5)).view(np.int64))


def _power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2 ** n, where shifted = n + `magic_of`: its lowest bits are those of n with the bias."""
    integer, fraction, _, _ = _layout(shifted)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = builder.bitcast(args[0], context.get_value_type(integer))
        word = builder.shl(word, context.get_constant(integer, fraction))
        return builder.bitcast(word, context.get_value_type(shifted))

    return shifted(shifted), build


two_to: Any = intrinsic(_power_of_two)


def magic_of(kind: Any, more: int = 0) -> Any:
    """What, added to a number, rounds it to n, so that `two_to` of the sum is 2 ** (n + more)."""
    _, fraction, bias, _ = _layout(kind)
    number = np.float32 if kind == types.float32 else np.float64
    return number(1.5 * 2.0**fraction + bias + more)


def _split(part: str) -> Any:
    """x = m * 2 ** e with m in [sqrt(1/2), sqrt(2)), for positive normal x: gives e or m."""

    def split(typing_context: Any, x: Any) -> Any:
        integer, fraction, _, root = _layout(x)

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            width = context.get_constant(integer, fraction)
            kind = context.get_value_type(x)
            word = builder.bitcast(args[0], context.get_value_type(integer))
            exponent = builder.ashr(builder.sub(word, context.get_constant(integer, root)), width)
            if part == "exponent":
                return builder.sitofp(exponent, kind)
            return builder.bitcast(builder.sub(word, builder.shl(exponent, width)), kind)

        return x(x), build

    return intrinsic(split)


exponent_of, mantissa_of = _split("exponent"), _split("mantissa")


def _build_fmuladd(builder: Any, kind: Any, *args: Any) -> Any:
    """a * b + c, rounded once where the processor has an instruction for that, else twice."""
    name = "llvm.fmuladd.f32" if kind == types.float32 else "llvm.fmuladd.f64"
    number = args[0].type
    function = ir.FunctionType(number, [number] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)


@intrinsic
def fmuladd(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """What `fma` is in compiled code."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _build_fmuladd(builder, a, *args)

    return a(a, a, a), build


def fma(a: Number, b: Number, c: Number) -> Number:
    """a * b + c in one instruction, where kernels want one: no other product is fused with a sum.

    Left to the compiler, it would fuse one of the products of a * b + c * d in a vector loop, the
    other in the loop over what is left, and each copy of a function as it likes: results would
    change by a rounding with the place of an element in its array.
    """
    return a * b + c


@overload(fma, strict=False)
def _fma_in_kernels(a: Any, b: Any, c: Any) -> Any:
    return lambda a, b, c: fmuladd(a, b, c)


def polynomial(single: list[float], double: list[float]) -> Any:
    """Horner's scheme over coefficients, lowest power first, unrolled while compiling."""

    def evaluate(typing_context: Any, x: Any) -> Any:
        coefficients = single if x == types.float32 else double

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            total = context.get_constant(x, coefficients[-1])
            for c in reversed(coefficients[:-1]):
                total = _build_fmuladd(builder, x, total, args[0], context.get_constant(x, c))
            return total

        return x(x), build

    return intrinsic(evaluate)


@intrinsic
def with_sign(typing_context: Any, size: Any, x: Any) -> Any:
    """`size` with the sign of x."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name = "llvm.copysign.f32" if x == types.float32 else "llvm.copysign.f64"
        function = ir.FunctionType(args[0].type, [args[0].type] * 2)
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)

    return x(x, x), build


def compiled(function: Callable[[Number], Number]) -> Callable[[F], F]:
    """Registers what the function becomes in compiled code; inlined, or no loop is vectorised."""
    options: Any = {"error_model": "numpy", "forceinline": True}
    return cast(Callable[[F], F], overload(function, strict=False, jit_options=options))
