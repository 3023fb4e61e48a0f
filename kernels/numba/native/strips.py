"""Strips of a product's columns that fill no wide tile: two vectors, one, or part of one."""

from __future__ import annotations

from typing import Any

from .machine import pointer, register_jitable
from .register_tile import BYTES, CHAINS, LONG, MASKS, WIDE, size_of_real, tile

_two_long, _two_4, _two_1 = (tile(rows, 2) for rows in (LONG, 4, 1))
_one_long, _one_4, _one_1 = (tile(rows, 1) for rows in (LONG, 4, 1))
_xmm_long, _pair_long, _single_long = (tile(LONG, 1, width=width) for width in (4, 2, 1))
_xmm_1, _pair_1, _single_1 = (tile(1, 1, width=width) for width in (4, 2, 1))
_xmm_1_chains, _pair_1_chains, _single_1_chains = (
    tile(1, 1, chains=CHAINS, width=width) for width in (4, 2, 1)
)


def _masked(width: int) -> Any:
    """A tile of part of a vector of `width` elements, or of the processor's where that is 0."""
    tall, four, one = (tile(rows, 1, True, width=width) for rows in (LONG, 4, 1))
    four_chains, one_chains = (tile(rows, 1, True, CHAINS, width) for rows in (4, 1))

    @register_jitable
    def masked(
        x: Any, a_row: int, a_inner: int, y: Any, b_row: int, z: Any, out_row: int, height: int,
        inner: int, add: int, width: int, bias: int, relu: int,
    ) -> None:  # fmt: skip
        chained = inner > 0 and inner % CHAINS == 0
        if height == LONG:
            tall(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        elif height == 4 and chained:
            four_chains(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        elif height == 4:
            four(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        elif chained:
            one_chains(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)
        else:
            one(x, a_row, a_inner, y, b_row, z, out_row, inner, add, width, bias, relu)

    return masked


_in_mask = _masked(0)
# Of float32 half a vector, which takes AMD half the time.
_eight: Any = _masked(8) if BYTES == 64 else _in_mask


@register_jitable
def _in_halves(
    x: Any, a_row: int, a_inner: int, y: Any, b_row: int, z: Any, out_row: int, height: int,
    inner: int, add: int, width: int, bias: int, relu: int,
) -> None:  # fmt: skip
    """A tile of a narrower vector: of 4, 2 or 1 elements, or in a mask."""
    if width not in (4, 2, 1):
        if width > 8:
            _in_mask(x, a_row, a_inner, y, b_row, z, out_row, height, inner, add, width, bias, relu)
        else:
            _eight(x, a_row, a_inner, y, b_row, z, out_row, height, inner, add, width, bias, relu)
        return
    chained = inner > 0 and inner % CHAINS == 0
    if height == LONG:
        if width == 4:
            _xmm_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        elif width == 2:
            _pair_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        else:
            _single_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
    elif width == 4:
        if chained:
            _xmm_1_chains(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        else:
            _xmm_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
    elif width == 2:
        if chained:
            _pair_1_chains(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        else:
            _pair_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
    elif chained:
        _single_1_chains(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
    else:
        _single_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)


@register_jitable
def _two_vectors(
    x: Any, a_row: int, a_inner: int, y: Any, b_row: int, z: Any, out_row: int, height: int,
    inner: int, add: int, bias: int, relu: int,
) -> None:  # fmt: skip
    """A tile of two vectors, where a wide one has more."""
    if height == LONG:
        _two_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
    elif height == 4:
        _two_4(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
    else:
        _two_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)


@register_jitable
def _never(
    x: Any, a_row: int, a_inner: int, y: Any, b_row: int, z: Any, out_row: int, height: int,
    inner: int, add: int, bias: int, relu: int,
) -> None:  # fmt: skip
    """Where two vectors are a wide tile: nothing to compile."""


_double: Any = _two_vectors if WIDE > 2 else _never
_narrow: Any = _in_mask if MASKS else _in_halves


@register_jitable
def strip(
    a: int, a_row: int, a_inner: int, b: int, b_row: int, out: int, out_row: int, rows: int,
    inner: int, add: int, width: int, bias: int, relu: int, like: Any,
) -> None:  # fmt: skip
    """All rows of a strip of two vectors, of one, or of part of one."""
    size = size_of_real(like)
    lanes = BYTES // size
    y = pointer(b, like)
    row = 0
    while row < rows:
        x, z = pointer(a + size * row * a_row, like), pointer(out + size * row * out_row, like)
        some = 1 if not MASKS and width in (4, 2, 1) else 4
        height = LONG if row + LONG <= rows else some if row + some <= rows else 1
        if width == 2 * lanes:
            _double(x, a_row, a_inner, y, b_row, z, out_row, height, inner, add, bias, relu)
        elif width == lanes:
            if height == LONG:
                _one_long(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
            elif height == 4:
                _one_4(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
            else:
                _one_1(x, a_row, a_inner, y, b_row, z, out_row, inner, add, 0, bias, relu)
        else:
            _narrow(
                x, a_row, a_inner, y, b_row, z, out_row, height, inner, add, width, bias, relu
            )  # fmt: skip
        row += height
