"""Philox4x32-10, the counter-based generator of Salmon et al. 2011 (SC '11), on 32-bit words alone.

A word depends only on (seed, stream, counter, position), so any device makes any part of a mask by
itself. Products are put together from 16-bit halves because some devices lack 64-bit integers.
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
WORD = 0xFFFFFFFF


def threshold(rate: float) -> int:
    """The 32-bit word below which an element is dropped, for a drop rate in [0, 1): rate * 2^32."""
    return min(round(rate * 2.0**32), WORD)


def key(seed: int) -> tuple[int, int]:
    """The two key words of a 64-bit seed, the low one first."""
    return seed & WORD, (seed >> 32) & WORD


def _multiply(constant: int, x: Any) -> tuple[Any, Any]:
    """High and low word of constant * x for an array of 32-bit words."""
    low, high = constant & 0xFFFF, constant >> 16  # as factors they take the words' dtype
    x_low, x_high = x & 0xFFFF, x >> 16
    low_low, high_low = x_low * low, x_low * high
    cross = (low_low >> 16) + (high_low & 0xFFFF) + x_high * low
    top = (high_low >> 16) + (cross >> 16) + x_high * high
    return top, (cross << 16) | (low_low & 0xFFFF)


def words(xp: Any, seed: int, stream: int, counter: Any, count: int, skipped: int = 0) -> Any:
    """`count` 32-bit words of (seed, stream, counter) as a rank-1 uint32 array.

    counter: a number, or an array of rank 0 and 64 bits. Block number b of four words is the cipher
    of (b, stream, low and high word of the counter). skipped: how many words come before.
    """
    begin, within = divmod(skipped, 4)
    c0 = xp.arange(begin, begin - (-(count + within) // 4), dtype=xp.uint32)
    zero = xp.zeros_like(c0)

    def word(value: Any) -> Any:
        if isinstance(value, Integral):
            return xp.asarray(int(value) & WORD, dtype=xp.uint32)
        return xp.astype(value & WORD, xp.uint32)

    c1, c2, c3 = zero + word(stream), zero + word(counter), zero + word(counter >> 32)
    k0, k1 = key(seed)
    for _ in range(ROUNDS):
        high0, low0 = _multiply(MULTIPLIERS[0], c0)
        high1, low1 = _multiply(MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ word(k0), low1, high0 ^ c3 ^ word(k1), low0
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    return xp.reshape(xp.stack((c0, c1, c2, c3), axis=1), (-1,))[within : within + count]
