"""Inputs for testing and measuring the rows of the table.

A maker takes a NumPy generator, a dtype name and the length of the leading axis, and yields
samples. Floating values are continuous random numbers, so no sample sits on a kink or a tie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .op import Sample

# In quotes: NumPy loads its generators, and hashlib and OpenSSL with them, when they are named.
Maker = Callable[["np.random.Generator", str, int], Iterator[Sample]]
Draw = Callable[["np.random.Generator", tuple[int, ...]], Any]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Standard normal numbers."""
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Numbers in [0.1, 2.1)."""
    return rng.random(shape) * 2.0 + 0.1


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Numbers in [0.02, 0.98)."""
    return rng.random(shape) * 0.96 + 0.02


def wide(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Normal numbers of standard deviation 4: saturated values are among them."""
    return rng.standard_normal(shape) * 4.0


def simplex(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Rows of probabilities."""
    p = rng.random(shape) + 0.05
    return p / p.sum(axis=-1, keepdims=True)


def labels(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> Any:
    """Class numbers as int32."""
    return rng.integers(0, classes, shape).astype("int32")


def elementwise(*draws: Draw, condition: bool = False, **attrs: Any) -> Maker:
    """Equal shapes of rank 2 and 3, and (when there are several inputs) broadcasting ones."""
    count = len(draws)

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        shapes = [((rows, 5),) * count, ((rows, 2, 3),) * count]
        if count > 1:
            shapes.append(((rows, 4), (1, 4), (rows, 1))[:count])
        for each in shapes:
            arrays = [d(rng, s).astype(dtype) for d, s in zip(draws, each, strict=True)]
            if condition:
                arrays[0] = arrays[0] > 0
            yield Sample(tuple(arrays), dict(attrs))

    return make


def rowwise(*draws: Draw, **attrs: Any) -> Maker:
    """Matrices of one shape, and arrays of rank 3, worked on along the last axis."""

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        for shape in ((rows, 6), (rows, 2, 3), (rows, 1)):
            yield Sample(tuple(d(rng, shape).astype(dtype) for d in draws), dict(attrs))

    return make


def reduction(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """Every kind of axis; over the leading axis only when it has rows."""
    x2, x3 = normal(rng, (rows, 5)).astype(dtype), normal(rng, (rows, 4, 3)).astype(dtype)
    yield Sample((x2,), {"axis": (1,), "keepdims": True})
    yield Sample((x3,), {"axis": (-1,), "keepdims": False})
    yield Sample((x3,), {"axis": (1, 2), "keepdims": False})
    if rows:
        yield Sample((x2,), {"axis": (0,), "keepdims": True})
        yield Sample((x3,), {"axis": (0, 2), "keepdims": False})
        yield Sample((x2,), {})


def argmax(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """Last, middle and first axis."""
    x = normal(rng, (rows, 4, 3)).astype(dtype)
    yield Sample((x,), {"axis": -1, "keepdims": True})
    yield Sample((x,), {"axis": 1})
    if rows:
        yield Sample((x,), {"axis": 0})


def matmul(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """All four transpositions, and a stack of matrices."""
    for ta in (False, True):
        for tb in (False, True):
            a = normal(rng, (7, rows) if ta else (rows, 7)).astype(dtype)
            b = normal(rng, (4, 7) if tb else (7, 4)).astype(dtype)
            yield Sample((a, b), {"transpose_a": ta, "transpose_b": tb})
    stack = normal(rng, (2, rows, 3)).astype(dtype)
    yield Sample((stack, normal(rng, (2, 3, 4)).astype(dtype)), {})


def transpose(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """Two and three axes."""
    yield Sample((normal(rng, (rows, 4)).astype(dtype),), {"axes": (1, 0)})
    yield Sample((normal(rng, (rows, 4, 3)).astype(dtype),), {"axes": (2, 0, 1)})


def reshape(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """Flattening and its opposite."""
    yield Sample((normal(rng, (rows, 4, 3)).astype(dtype),), {"shape": (rows, 12)})
    yield Sample((normal(rng, (rows, 6)).astype(dtype),), {"shape": (rows, 3, 2)})


def broadcast_to(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """Along an axis of length one, and along a new one."""
    yield Sample((normal(rng, (1, 4)).astype(dtype),), {"shape": (rows, 4)})
    yield Sample((normal(rng, (rows, 1)).astype(dtype),), {"shape": (2, rows, 3)})
    yield Sample((normal(rng, ()).astype(dtype),), {"shape": (rows, 2)})


def cuts(rows: int) -> Iterator[dict[str, Any]]:
    """Slices of an array of shape (rows, 6)."""
    yield {"starts": (0, 1), "stops": (rows, 4), "steps": (1, 1)}
    yield {"starts": (0, 0), "stops": (rows, 6), "steps": (1, 2)}
    yield {"starts": (min(1, rows), 3), "stops": (rows, 3), "steps": (2, 1)}


def slice(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """A part of the columns, every second one, none of them."""
    for attrs in cuts(rows):
        yield Sample((normal(rng, (rows, 6)).astype(dtype),), attrs)


def unslice(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """The opposite of the slices."""
    for attrs in cuts(rows):
        triples = zip(attrs["starts"], attrs["stops"], attrs["steps"], strict=True)
        cut = np.empty((rows, 6))[tuple(np.s_[a:b:c] for a, b, c in triples)].shape
        yield Sample((normal(rng, cut).astype(dtype),), {**attrs, "shape": (rows, 6)})


def concatenate(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """Along both axes."""
    a, b = normal(rng, (rows, 4)).astype(dtype), normal(rng, (rows, 2)).astype(dtype)
    yield Sample((a, b), {"axis": 1})
    yield Sample((a, normal(rng, (3, 4)).astype(dtype)), {"axis": 0})


def cast(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """To every kind of number."""
    for target in ("float32", "float64", "int32"):
        yield Sample((wide(rng, (rows, 4)).astype(dtype),), {"dtype": target})


def gather_rows(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """With repetitions, of rank 2 and 3."""
    for shape in ((6, 4), (6, 2, 3)):
        yield Sample((normal(rng, shape).astype(dtype), labels(rng, (rows,), 6)), {})


def scatter_rows(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """With repetitions, of rank 2 and 3."""
    for shape in ((rows, 4), (rows, 2, 3)):
        x = normal(rng, shape).astype(dtype)
        yield Sample((x, labels(rng, (rows,), 5)), {"rows": 5})


def pick(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """One label a row."""
    yield Sample((normal(rng, (rows, 5)).astype(dtype), labels(rng, (rows, 1), 5)), {})


def one_hot(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """One label a row."""
    yield Sample((labels(rng, (rows, 1), 5),), {"classes": 5, "dtype": dtype})


def row_loss(predictions: Draw, *, classes: bool) -> Maker:
    """With weights and without; labels or targets; one output and several."""

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        for width in (5, 1, 2) if not classes else (5, 2):
            p = predictions(rng, (rows, width)).astype(dtype)
            targets: Any = labels(rng, (rows, 1), width)
            if not classes:
                targets = unit(rng, (rows, width)).astype(dtype)
            yield Sample((p, targets), {})
            yield Sample((p, targets, positive(rng, (rows, 1)).astype(dtype)), {})

    return make


def dense(activations: tuple[str, ...]) -> Maker:
    """Every activation; with bias and without; one output; rank 3."""

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        bias = normal(rng, (1, 4)).astype(dtype)
        x, weight = normal(rng, (rows, 7)).astype(dtype), normal(rng, (7, 4)).astype(dtype)
        for activation in activations:
            yield Sample((x, weight, bias), {"activation": activation})
        yield Sample((x, weight, None), {"activation": "relu"})
        yield Sample((x, normal(rng, (7, 1)).astype(dtype), bias[:, :1].copy()), {})
        stack = normal(rng, (rows, 2, 7)).astype(dtype)
        yield Sample((stack, weight, bias), {"activation": "tanh"})

    return make


def dense_backward(activations: tuple[str, ...]) -> Maker:
    """Every activation, "linear" first; every set of outputs; rank 3."""

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        x, weight = normal(rng, (rows, 7)).astype(dtype), normal(rng, (7, 4)).astype(dtype)
        gradient, y = normal(rng, (rows, 4)).astype(dtype), unit(rng, (rows, 4)).astype(dtype)
        for activation in activations[1:]:
            yield Sample((gradient, x, weight, y), {"activation": activation})
        for bias in (True, False):
            for need in (True, False):
                attrs = {"bias": bias, "input": need}
                yield Sample((gradient, x, weight), attrs)
                yield Sample((gradient, x, weight, y), {"activation": "relu", **attrs})
        narrow = normal(rng, (7, 1)).astype(dtype)
        yield Sample((gradient[:, :1].copy(), x, narrow), {})
        x3, g3 = normal(rng, (rows, 2, 7)).astype(dtype), normal(rng, (rows, 2, 4)).astype(dtype)
        yield Sample((g3, x3, weight, np.tanh(g3)), {"activation": "tanh"})

    return make


def dropout_mask(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """A few keys, sizes that are no multiple of four, counters past 32 bits, rows that follow."""
    for seed, counter, stream, width in ((0, 0, 0, 5), (2**40 + 3, 2**33 + 1, 7, 3)):
        attrs = {"shape": (rows, width), "rate": 0.4, "stream": stream, "dtype": dtype}
        yield Sample((seed, counter), attrs)
    yield Sample((seed, counter, 3), attrs)


def update(slots: int, stepped: bool, **attrs: Any) -> Maker:
    """A flat buffer in the middle of a training."""

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        length = rows * 7
        buffers = [normal(rng, (length,)) for _ in range(2)]
        buffers += [positive(rng, (length,)) for _ in range(slots)]
        arrays = tuple(b.astype(dtype) for b in buffers)
        yield Sample((*arrays, 0.01, 3) if stepped else (*arrays, 0.01), dict(attrs))

    return make


def flat(count: int, *numbers: float, **attrs: Any) -> Maker:
    """Flat buffers of one length, then numbers."""

    def make(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
        arrays = tuple(normal(rng, (rows * 7,)).astype(dtype) for _ in range(count))
        yield Sample((*arrays, *numbers), dict(attrs))

    return make


def assign(rng: np.random.Generator, dtype: str, rows: int) -> Iterator[Sample]:
    """A flat buffer, and what some or all of its first elements become."""
    for count in (rows * 3, rows * 7):
        yield Sample(tuple(normal(rng, (n,)).astype(dtype) for n in (rows * 7, count)))


def _square(rng: np.random.Generator, dtype: str, elements: int) -> tuple[int, Any]:
    """The side of a square of about so many elements, and a maker of such squares."""
    side = max(2, round(elements**0.5))
    return side, lambda: normal(rng, (side, side)).astype(dtype) / np.dtype(dtype).type(side**0.5)


def square_matmul(rng: np.random.Generator, dtype: str, elements: int) -> Sample:
    """Two square matrices, scaled so that their product is of the order of one."""
    _, draw = _square(rng, dtype, elements)
    return Sample((draw(), draw()), {})


def square_dense(rng: np.random.Generator, dtype: str, elements: int) -> Sample:
    """A square batch through a square layer."""
    side, draw = _square(rng, dtype, elements)
    bias = normal(rng, (1, side)).astype(dtype)
    return Sample((draw(), draw(), bias), {"activation": "relu"})


def square_dense_backward(rng: np.random.Generator, dtype: str, elements: int) -> Sample:
    """The gradient of a square layer."""
    _, draw = _square(rng, dtype, elements)
    return Sample((draw(), draw(), draw(), draw()), {"activation": "relu"})


def wide_gather(rng: np.random.Generator, dtype: str, elements: int) -> Sample:
    """Rows of 64 elements in a shuffled order."""
    rows = max(1, elements // 64)
    return Sample((normal(rng, (rows, 64)).astype(dtype), labels(rng, (rows,), rows)), {})
