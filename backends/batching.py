"""How a run of rows is cut into batches: full ones in order, and a last one with what is left."""

from __future__ import annotations

LARGEST = 1024  # rows a batch when nothing is trained: large enough for a product to pay


def size(rows: int, batch: int, cursor: int) -> int:
    """The rows of the batch that begins at `cursor`; 0 at the end.

    >>> [size(10, 4, cursor) for cursor in (0, 4, 8, 10)]
    [4, 4, 2, 0]
    """
    return max(min(batch, rows - cursor), 0)


def count(rows: int, batch: int, cursor: int = 0) -> int:
    """The batches from `cursor` on, a last partial one among them.

    >>> count(10, 4), count(10, 4, cursor=8), count(10, 4, cursor=10)
    (3, 1, 0)
    """
    return max(-(-(rows - cursor) // batch), 0)


def full(rows: int, batch: int, cursor: int = 0) -> int:
    """The full batches from `cursor` on.

    >>> full(10, 4), full(10, 4, cursor=8)
    (2, 0)
    """
    return max((rows - cursor) // batch, 0)


def cut(rows: int, batch: int) -> tuple[int, int]:
    """The full batches of a pass, and the rows of the last partial one.

    >>> cut(10, 4), cut(8, 4)
    ((2, 2), (2, 0))
    """
    return divmod(rows, batch)


def whole(rows: int) -> int:
    """The planned batch when all rows are one: a power of two, so that few plans are made.

    >>> whole(1), whole(100), whole(5000)
    (1, 128, 8192)
    """
    return 1 << max(rows - 1, 0).bit_length()


def capacity(rows: int) -> int:
    """The planned batch when nothing is trained: `whole`, up to a limit.

    >>> capacity(1), capacity(100), capacity(5000)
    (1, 128, 1024)
    """
    return min(LARGEST, whole(rows))
