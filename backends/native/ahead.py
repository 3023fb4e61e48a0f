"""Columns on disk, of which the next batch is read while the one before is computed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..state import DataBlock
from ..threads import crew


def batches(
    block: DataBlock, columns: list[str], cursor: int, rows: int, count: int
) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Of each batch the columns that are streamed, with their numbers.

    columns: of the program. cursor: the first row, in the order of the run. rows: of a batch.
    count: of batches.
    """
    streamed = [(at, name) for at, name in enumerate(columns) if name in block.streamed]

    def read(start: int) -> list[tuple[int, np.ndarray]]:
        return [(at, block.read(name, start, rows)) for at, name in streamed]

    following = crew.read(read, cursor)
    for number in range(1, count + 1):
        ready = following.result()
        if number < count:
            following = crew.read(read, cursor + number * rows)
        yield ready
