"""Shape and dtype rules of operations on arrays, and the errors they raise.

A rule takes the specs of the inputs and the attributes and returns the specs of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .errors import DtypeError, ShapeError
from .op import Attrs, Specs
from .spec import FLOATS, INTEGERS, Dim, Rows, Shape, Spec, broadcast_shapes, elements, normal_axis

Rule = Callable[[Specs, Attrs], tuple[Spec, ...]]


def listing(names: tuple[str, ...], specs: Specs) -> str:
    """`x: float32[64, 784], weight: float32[512, 10]`."""
    return ", ".join(f"{n.rstrip('?')}: {s}" for n, s in zip(names, specs, strict=False))


def same_dtype(op: str, names: tuple[str, ...], specs: Specs) -> str:
    """The dtype that all specs share. Raises: DtypeError."""
    kinds = {s.dtype for s in specs}
    if len(kinds) > 1:
        raise DtypeError(
            f"[{op}] inputs must have one dtype, cast them first ({listing(names, specs)})"
        )
    return kinds.pop()


def floating(op: str, names: tuple[str, ...], specs: Specs) -> str:
    """The floating dtype that all specs share. Raises: DtypeError."""
    kind = same_dtype(op, names, specs)
    if kind not in FLOATS:
        raise DtypeError(f"[{op}] takes floating inputs ({listing(names, specs)})")
    return kind


def integral(op: str, name: str, spec: Spec) -> None:
    """Checks that the spec is one of integers. Raises: DtypeError."""
    if spec.dtype not in INTEGERS:
        raise DtypeError(f"[{op}] {name} must be integers ({name}: {spec})")


def elementwise(
    op: str,
    names: tuple[str, ...],
    *,
    result: str | None = None,
    numbers: bool = True,
    floats: bool = False,
) -> Rule:
    """Inputs of one dtype that broadcast; the result has their dtype, or the given one.

    numbers: booleans are refused. floats: integers are refused as well.
    """

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        kind = (floating if floats else same_dtype)(op, names, specs)
        if numbers and kind == "bool":
            raise DtypeError(f"[{op}] takes numbers, not booleans ({listing(names, specs)})")
        shape = broadcast_shapes([s.shape for s in specs])
        if shape is None:
            raise ShapeError(f"[{op}] shapes do not broadcast ({listing(names, specs)})")
        return (Spec(shape, result or kind),)

    return infer


def like_first(op: str, names: tuple[str, ...]) -> Rule:
    """Floating inputs of one shape and dtype; the result is like them."""

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        kind = floating(op, names, specs)
        if len({s.shape for s in specs}) > 1:
            raise ShapeError(f"[{op}] inputs must have one shape ({listing(names, specs)})")
        return (Spec(specs[0].shape, kind),)

    return infer


def flat(op: str, names: tuple[str, ...]) -> Rule:
    """As `like_first`, of rank 1."""
    same = like_first(op, names)

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        result = same(specs, attrs)
        if specs[0].rank != 1:
            raise ShapeError(f"[{op}] takes flat buffers ({listing(names, specs)})")
        return result

    return infer


def along_last(op: str, names: tuple[str, ...]) -> Rule:
    """As `like_first`, and there must be a last axis that is not empty."""
    same = like_first(op, names)

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        result = same(specs, attrs)
        if specs[0].rank == 0 or specs[0].shape[-1] == 0:
            raise ShapeError(f"[{op}] needs a last axis with elements ({listing(names, specs)})")
        return result

    return infer


def clip(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """Bounds of whole numbers are whole numbers."""
    (spec,) = elementwise("clip", ("x",))(specs, attrs)
    bounds = attrs["low"], attrs["high"]
    if spec.dtype in INTEGERS:
        limits = np.iinfo(spec.dtype)
        if not all(isinstance(b, int) and limits.min <= b <= limits.max for b in bounds):
            raise DtypeError(f"[clip] bounds {bounds} are no whole numbers like those of x: {spec}")
    return (spec,)


def where(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """A boolean condition and two inputs of one dtype, which broadcast."""
    names = ("condition", "a", "b")
    if specs[0].dtype != "bool":
        raise DtypeError(f"[where] condition must be boolean ({listing(names, specs)})")
    kind = same_dtype("where", names[1:], specs[1:])
    shape = broadcast_shapes([s.shape for s in specs])
    if shape is None:
        raise ShapeError(f"[where] shapes do not broadcast ({listing(names, specs)})")
    return (Spec(shape, kind),)


def matmul(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """(..., m, k) @ (..., k, n), leading axes equal; either one transposed in its last two axes."""
    kind = floating("matmul", ("a", "b"), specs)
    a, b = specs
    if a.rank < 2 or b.rank < 2:
        raise ShapeError(f"[matmul] takes matrices ({listing(('a', 'b'), specs)})")
    m, k = a.shape[-2:] if not attrs["transpose_a"] else (a.shape[-1], a.shape[-2])
    k2, n = b.shape[-2:] if not attrs["transpose_b"] else (b.shape[-1], b.shape[-2])
    leading = broadcast_shapes([a.shape[:-2], b.shape[:-2]])
    if k != k2 or leading is None:
        sides = "".join(
            f", {n} transposed" for n in ("a", "b") if attrs[f"transpose_{n}"]
        )  # says which side to look at
        raise ShapeError(
            f"[matmul] a has {k} columns but b has {k2} rows ({listing(('a', 'b'), specs)}{sides})"
        )
    return (Spec((*leading, m, n), kind),)


def normal_axes(op: str, spec: Spec, attrs: Attrs) -> tuple[int, ...]:
    """The reduced axes, in order and not negative.

    Raises: ShapeError for an axis that there is not, or that stands twice.
    """
    axis = attrs["axis"]
    if axis is None:
        return tuple(range(spec.rank))
    axis = (axis,) if isinstance(axis, int) else axis
    axes = tuple(sorted(normal_axis(op, a, spec) for a in axis))
    if len(set(axes)) < len(axes):
        raise ShapeError(f"[{op}] an axis stands twice in {axis} (x: {spec})")
    return axes


def reduction(
    op: str, *, result: str | None = None, empty: bool = False, floats: bool = False
) -> Rule:
    """The shape without the reduced axes, or with ones in their place when keepdims is set.

    empty: an empty axis has a value. floats: integers are refused.
    """

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        spec = specs[0]
        axes = normal_axes(op, spec, attrs)
        if not empty and any(spec.shape[a] == 0 for a in axes):
            raise ShapeError(f"[{op}] of an empty axis has no value (x: {spec})")
        if spec.dtype == "bool" or (floats and spec.dtype not in FLOATS):
            wanted = "floating inputs" if floats else "numbers, not booleans"
            raise DtypeError(f"[{op}] takes {wanted}: cast first (x: {spec})")
        shape: Shape
        if attrs["keepdims"]:
            shape = tuple(1 if i in axes else d for i, d in enumerate(spec.shape))
        else:
            shape = tuple(d for i, d in enumerate(spec.shape) if i not in axes)
        return (Spec(shape, result or spec.dtype),)

    return infer


def transpose(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """Axes must be a permutation. Raises: ShapeError."""
    spec, axes = specs[0], attrs["axes"]
    if sorted(axes) != list(range(spec.rank)):
        raise ShapeError(f"[transpose] axes {axes} are no permutation of those of x: {spec}")
    return (Spec(tuple(spec.shape[a] for a in axes), spec.dtype),)


def reshape(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """The number of elements must stay. Raises: ShapeError."""
    spec, shape = specs[0], attrs["shape"]
    if elements(spec.shape) != elements(shape):
        factor, power = elements(spec.shape)
        count = f"{factor if factor != 1 or not power else ''}{' * '.join('n' * power)}"
        raise ShapeError(f"[reshape] {spec} has {count} elements, {shape} another number")
    return (Spec(tuple(shape), spec.dtype),)


def broadcast_to(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """The shape must be one that the input broadcasts to."""
    spec, shape = specs[0], tuple(attrs["shape"])
    if broadcast_shapes([spec.shape, shape]) != shape:
        raise ShapeError(f"[broadcast_to] {spec} does not broadcast to {shape}")
    return (Spec(shape, spec.dtype),)


def _length(start: Dim, stop: Dim, step: int) -> Dim:
    if isinstance(stop, Rows):
        return stop
    if isinstance(start, Rows):  # only an empty range starts at the symbolic end
        return 0
    return max(0, -(-(stop - start) // step))


def slice(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """One triple (start, stop, step) per axis, 0 <= start <= stop <= length, step >= 1."""
    spec = specs[0]
    starts, stops, steps = attrs["starts"], attrs["stops"], attrs["steps"]
    if not len(starts) == len(stops) == len(steps) == spec.rank:
        raise ShapeError(f"[slice] needs one start, stop and step per axis (x: {spec})")
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        length = spec.shape[axis]
        whole = (start, stop, step) == (0, length, 1)
        if not whole and isinstance(length, Rows):
            raise ShapeError(f"[slice] the batch axis cannot be cut (x: {spec})")
        if not whole and not (0 <= start <= stop <= length and step >= 1):
            raise ShapeError(
                f"[slice] {start}:{stop}:{step} is no range of axis {axis} (x: {spec})"
            )
    return (Spec(tuple(map(_length, starts, stops, steps)), spec.dtype),)


def unslice(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """The input must have the shape that the slice of `shape` has."""
    whole = Spec(tuple(attrs["shape"]), specs[0].dtype)
    cut = slice([whole], attrs)[0]
    if cut.shape != specs[0].shape:
        raise ShapeError(f"[unslice] x is {specs[0]} but the slice of {whole} is {cut}")
    return (whole,)


def concatenate(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """Equal shapes but for the axis that is joined."""
    names = ("a", "b")
    kind = same_dtype("concatenate", names, specs)
    a, b = specs
    if a.rank != b.rank:
        raise ShapeError(f"[concatenate] ranks differ ({listing(names, specs)})")
    axis = normal_axis("concatenate", attrs["axis"], a)
    others = [i for i in range(a.rank) if i != axis]
    if any(a.shape[i] != b.shape[i] for i in others):
        raise ShapeError(
            f"[concatenate] shapes differ beside axis {axis} ({listing(names, specs)})"
        )
    left, right = a.shape[axis], b.shape[axis]
    joined: Dim
    if isinstance(left, Rows) and isinstance(right, Rows):
        joined = Rows(left.factor + right.factor)
    elif isinstance(left, Rows) or isinstance(right, Rows):
        raise ShapeError(
            f"[concatenate] batch and fixed rows do not join ({listing(names, specs)})"
        )
    else:
        joined = left + right
    return (Spec((*a.shape[:axis], joined, *a.shape[axis + 1 :]), kind),)


def cast(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """The same shape, another dtype."""
    return (Spec(specs[0].shape, attrs["dtype"]),)


def gather_rows(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """x: (rows, ...), indices: (m,) -> (m, ...)."""
    x, indices = specs
    integral("gather_rows", "indices", indices)
    if x.rank < 1 or indices.rank != 1:
        raise ShapeError(
            f"[gather_rows] takes an array and a rank-1 list ({listing(('x', 'indices'), specs)})"
        )
    return (Spec((indices.shape[0], *x.shape[1:]), x.dtype),)


def scatter_rows(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """x: (m, ...), indices: (m,) -> (rows, ...)."""
    x, indices = specs
    integral("scatter_rows", "indices", indices)
    if x.rank < 1 or indices.rank != 1 or x.shape[0] != indices.shape[0]:
        raise ShapeError(
            f"[scatter_rows] needs one index per row ({listing(('x', 'indices'), specs)})"
        )
    return (Spec((attrs["rows"], *x.shape[1:]), x.dtype),)


def pick(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """x: (..., k), labels: (..., 1) integers -> (..., 1)."""
    check_labels("pick", "x", specs)
    return (Spec(specs[1].shape, specs[0].dtype),)


def check_labels(op: str, name: str, specs: Specs) -> None:
    """Checks one integral label per row. Raises: ShapeError, DtypeError."""
    x, labels = specs[:2]
    integral(op, "labels", labels)
    if x.rank < 1 or labels.shape != (*x.shape[:-1], 1):
        raise ShapeError(
            f"[{op}] needs one label a row, of shape {(*x.shape[:-1], 1)}"
            f" ({listing((name, 'labels'), specs)})"
        )


def one_hot(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """labels: (..., 1) -> (..., classes)."""
    labels = specs[0]
    integral("one_hot", "labels", labels)
    if labels.rank < 1 or labels.shape[-1] != 1:
        raise ShapeError(f"[one_hot] labels must be a column (labels: {labels})")
    return (Spec((*labels.shape[:-1], attrs["classes"]), attrs["dtype"]),)
