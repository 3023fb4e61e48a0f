"""What goes by indices, and dropout masks."""

from __future__ import annotations

import math
from typing import Any

from .. import philox
from ..op import Attrs, Specs
from ..spec import ITEMSIZE, Dim
from .arrays import Array, Out, dtype_of, line, matrix, size, whole_numbers
from .launch import flat, launch, number


def words(specs: Specs, attrs: Attrs) -> bool:
    """Whether rows of elements of 4 or 8 bytes are taken by one list of indices."""
    x, indices = specs[:2]
    return x.rank > 0 and indices.rank == 1 and ITEMSIZE[x.dtype] >= 4 and not _empty(specs)


def floating_rows(specs: Specs, attrs: Attrs) -> bool:
    """Whether rows of floating elements go by one list of indices."""
    x = specs[0]
    return x.dtype.startswith("float") and specs[1].rank == 1 and not _empty(specs)


def floating_matrix(specs: Specs, attrs: Attrs) -> bool:
    """Whether one element is taken of each row of a floating matrix."""
    return specs[0].rank == 2 and specs[0].dtype.startswith("float") and not _empty(specs)


def floating_result(specs: Specs, attrs: Attrs) -> bool:
    """Whether the result is floating."""
    return str(attrs["dtype"]).startswith("float") and not _empty(specs)


def _empty(specs: Specs) -> bool:
    shapes: list[Dim] = [d for s in specs for d in s.shape]
    return 0 in shapes


def gather_rows(out: Out, x: Array, indices: Array) -> None:
    """Rows by their numbers, whatever their elements are."""
    import cupy

    wide = x.dtype.itemsize == 8
    kernel, word = ("gather_long_words", "uint64") if wide else ("gather_words", "uint32")
    kind, target = getattr(cupy, word), out[0]
    launch(
        kernel, "float32", *flat(target.size), line(x).view(kind), whole_numbers(indices),
        target.view(kind), target.size, size(x.shape[1:]),
    )  # fmt: skip


def scatter_rows(out: Out, x: Array, indices: Array, *, rows: int) -> None:
    """Zeros, with rows added at their places: every element by one thread, in order."""
    target, count = out[0], x.shape[0]
    launch(
        "scatter_rows", dtype_of(x), *flat(target.size, 1), line(x), whole_numbers(indices), target,
        target.size, size(x.shape[1:]), count,
    )  # fmt: skip


def pick(out: Out, x: Array, labels: Array) -> None:
    """One element of each row."""
    x = matrix(x)
    launch(
        "pick_columns",
        dtype_of(x),
        *flat(x.shape[0], 1),
        x,
        whole_numbers(labels),
        out[0],
        *x.shape,
    )


def one_hot(out: Out, labels: Array, *, classes: int, dtype: str) -> None:
    """A one at each row's label."""
    target = out[0]
    launch(
        "one_hot_rows", dtype, *flat(target.size), whole_numbers(labels), target, target.size,
        classes,
    )  # fmt: skip


def dropout_mask(
    out: Out, seed: Any, counter: Any, first: int | None = None, *, shape: tuple[int, ...],
    rate: float, stream: int, dtype: str,
) -> None:  # fmt: skip
    """The words of the generator against a limit; seed and counter may lie on the device."""
    if not math.prod(shape):
        return
    skipped = (first or 0) * math.prod(shape[1:])
    launch(
        "dropout", dtype, *flat(out[0].size), *_word(seed), *_word(counter), skipped,
        stream & philox.WORD, philox.threshold(rate), 1.0 / (1.0 - rate), out[0], out[0].size,
    )  # fmt: skip


def _word(value: Any) -> tuple[Any, Any]:
    """64 bits as the signed number that has them."""
    given, at = number(value)
    given = int(given) & 0xFFFFFFFFFFFFFFFF
    return given - (1 << 64) if given >> 63 else given, at
