"""Where things lie, in types of their own: to take an element for a byte here is to crash.

An address counts bytes from the start of the process's memory, a `ByteCount` is a distance of two.
Rows, columns and elements are plain numbers, and a `Cut` a part of so many of them. Elements become
bytes in one place, `Lowering.bytes`, and an address moves in one, `moved`.
"""

from __future__ import annotations

from typing import NamedTuple, NewType

from ...kernels.memory import Address

ByteCount = NewType("ByteCount", int)
Cut = tuple[int, int]  # from one row, column or element on, up to another


class Span(NamedTuple):
    """A range of addresses."""

    start: Address
    stop: Address

    @property
    def size(self) -> ByteCount:
        """How many bytes."""
        return ByteCount(self.stop - self.start)


def moved(place: Address, by: ByteCount) -> Address:
    """An address so many bytes further on."""
    return Address(place + by)


def span(start: Address, size: ByteCount) -> Span:
    """So many bytes from an address on."""
    return Span(start, moved(start, size))
