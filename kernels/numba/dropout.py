"""Masks of dropout by Philox4x32-10 (`kernels/philox.py`), eight blocks of four words at a time.

Each word lies in 64 bits, so that a vector holds the whole products of eight of them: compilers do
not see that the upper halves are zero, and would take the words one by one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from ..philox import MULTIPLIERS, ROUNDS, WEYL, WORD
from .instructions import intrinsic
from .jit import jit

Array = Any

FIRST, SECOND = (np.uint64(m) for m in MULTIPLIERS)
WEYL_FIRST, WEYL_SECOND = (np.uint32(w) for w in WEYL)
BLOCKS = 8  # at a time: their words, as 64 bits each, fill the widest vectors that processors have
LANES = 4 * BLOCKS
HALF, WHOLE = ir.IntType(32), ir.IntType(64)


@jit
def dropout_words(
    k0: Any, k1: Any, stream: Any, low: Any, high: Any, threshold: Any, scale: Any, skipped: int,
    out: Array,
) -> None:  # fmt: skip
    """0 where an element's word is below the threshold, else scale.

    skipped: how many elements come before; a block makes four.
    """
    begin, within = skipped // 4, skipped % 4
    if within != 0:  # the rest of a block that is begun
        _some(k0, k1, stream, low, high, threshold, scale, begin, within, out[: 4 - within])
        begin, out = begin + 1, out[4 - within :]
    whole = out.shape[0] // LANES * LANES
    for at in range(0, whole, LANES):
        block = np.uint32(begin + at // 4)
        eight_blocks(out, at, block, k0, k1, stream, low, high, threshold, scale)
    for at in range(whole, out.shape[0], 4):
        part = out[at : at + 4]
        _some(k0, k1, stream, low, high, threshold, scale, begin + at // 4, 0, part)


@jit
def _some(
    k0: Any, k1: Any, stream: Any, low: Any, high: Any, threshold: Any, scale: Any, block: int,
    first: int, out: Array,
) -> None:  # fmt: skip
    """The same for elements of one block, from its word `first` on."""
    words = _block(np.uint32(block), k0, k1, stream, low, high)
    for i in range(out.shape[0]):
        out[i] = scale if words[first + i] >= threshold else out.dtype.type(0)


@jit
def _block(c0: Any, a: Any, b: Any, c1: Any, c2: Any, c3: Any) -> Any:
    """Four words. c0 ... c3: what is ciphered; a, b: the key."""
    shift = np.uint64(32)
    for _ in range(ROUNDS):
        first, second = FIRST * np.uint64(c0), SECOND * np.uint64(c2)
        c0 = np.uint32(np.uint32(second >> shift) ^ c1 ^ a)
        c2 = np.uint32(np.uint32(first >> shift) ^ c3 ^ b)
        c1, c3 = np.uint32(second), np.uint32(first)
        a, b = np.uint32(a + WEYL_FIRST), np.uint32(b + WEYL_SECOND)
    return c0, c1, c2, c3


def _ciphered(builder: Any, block: Any, key: tuple[Any, Any], rest: tuple[Any, ...]) -> list[Any]:
    """The four words of each block, as vectors of words in 64 bits. All that is given has 64."""
    kind = ir.VectorType(WHOLE, BLOCKS)
    low, half = (ir.Constant(kind, [number] * BLOCKS) for number in (WORD, 32))
    factors = [ir.Constant(kind, [m] * BLOCKS) for m in MULTIPLIERS]

    def word(x: Any) -> Any:
        return builder.and_(x, low)

    own = builder.add(_spread(builder, block, BLOCKS), ir.Constant(kind, list(range(BLOCKS))))
    c0, (c1, c2, c3) = word(own), (word(_spread(builder, x, BLOCKS)) for x in rest)
    a, b = key
    for _ in range(ROUNDS):
        first, second = builder.mul(c0, factors[0]), builder.mul(c2, factors[1])
        keys = [_spread(builder, x, BLOCKS) for x in (a, b)]
        c0 = builder.xor(builder.xor(builder.lshr(second, half), c1), keys[0])
        c2 = builder.xor(builder.xor(builder.lshr(first, half), c3), keys[1])
        c1, c3 = word(second), word(first)
        a, b = (
            builder.and_(builder.add(x, WHOLE(weyl)), WHOLE(WORD))
            for x, weyl in zip((a, b), WEYL, strict=True)
        )
    return [c0, c1, c2, c3]


def _interleaved(builder: Any, words: list[Any]) -> Any:
    """Words in the order of elements: the four of a block, then those of the next."""
    w0, w1, w2, w3 = (builder.trunc(w, ir.VectorType(HALF, BLOCKS)) for w in words)

    def pairs(x: Any, y: Any, size: int) -> Any:
        """Runs of so many elements of x and y in turns."""
        count = x.type.count
        runs = range(0, count, size)
        order = [base + i for run in runs for base in (run, count + run) for i in range(size)]
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(HALF, 2 * count), order))

    return pairs(pairs(w0, w1, 1), pairs(w2, w3, 1), 2)


def _spread(builder: Any, number: Any, lanes: int) -> Any:
    """A number in every lane."""
    nothing = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    one = builder.insert_element(nothing, number, HALF(0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(HALF, lanes), None))


def _eight_blocks(
    typing_context: Any, out: Any, at: Any, block: Any, a: Any, b: Any, c1: Any, c2: Any, c3: Any,
    threshold: Any, scale: Any,
) -> Any:  # fmt: skip
    """The same for the words of blocks `block` to `block` + 7, from out[at] on."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, at, *words, threshold, scale = args
        block, a, b, c1, c2, c3 = (builder.zext(word, WHOLE) for word in words)
        every = _interleaved(builder, _ciphered(builder, block, (a, b), (c1, c2, c3)))
        kept = builder.icmp_unsigned(">=", every, _spread(builder, threshold, LANES))
        scales = _spread(builder, scale, LANES)
        found = builder.select(kept, scales, ir.Constant(scales.type, [0.0] * LANES))
        data = context.make_array(signature.args[0])(context, builder, array).data
        place = builder.bitcast(builder.gep(data, [at]), found.type.as_pointer())
        builder.store(found, place, align=4)
        return context.get_dummy_value()

    word = types.uint32
    return types.none(out, types.intp, *[word] * 7, scale), build


eight_blocks: Any = intrinsic(_eight_blocks)
