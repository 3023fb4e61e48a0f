"""Operators that move, cut, join and repeat elements, and those that ask for shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ....kernels.errors import ShapeError
from ....kernels.spec import DTYPES, Dim, Rows, Shape, broadcast_shapes, elements
from ...graph.graph import Node, constant, fill_shape, make
from ..values import (
    Call,
    Tensor,
    Unknown,
    cast,
    cut,
    expand,
    ints,
    operator,
    reshape,
    size_of,
    sizes,
    taken,
    transpose,
)


@operator("Identity")
def _identity(call: Call) -> Tensor:
    return call.tensor(0)


@operator("Constant")
def _constant(call: Call) -> np.ndarray:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        found = call.attr(name)
        if found is not None:
            kind = np.float32 if "float" in name else np.int64
            return found if name == "value" else np.asarray(found, kind)
    for name in ("value_string", "value_strings"):
        if call.attr(name) is not None:
            return np.asarray(call.attr(name), object)
    raise call.refuse("has no value that is known here")


@operator("Cast", "CastLike")
def _cast(call: Call) -> Tensor | Node:
    given = call.tensor(0)
    if call.proto.op_type == "Cast":
        dtype = dtype_name(call, call.attr("to"))
        if dtype == "object" and (given.chosen is not None or given.words):
            return given
    else:
        dtype = call.node(1).dtype
    if dtype not in DTYPES:
        raise call.refuse(f"lamina has no dtype {dtype}: it has {', '.join(DTYPES)}")
    if given.symbolic:
        if dtype not in ("int32", "int64"):
            raise Unknown
        return given
    x = call.node(0)
    return make("not_equal", x, call.like(x, 0)) if dtype == "bool" != x.dtype else cast(x, dtype)


def dtype_name(call: Call, number: int | None) -> str:
    """The name of a dtype that ONNX numbers; "object" of strings."""
    from onnx import helper

    try:
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(number)).name)
    except (KeyError, TypeError, ValueError):
        raise call.refuse(f"names no dtype that is known: {number}") from None


@operator("Shape")
def _shape(call: Call) -> np.ndarray:
    given = call.tensor(0)
    shape: Shape = given.node.shape if given.node is not None else np.shape(given.host)  # type: ignore[arg-type]
    found = shape[slice(call.attr("start"), call.attr("end"))]
    return sizes(found)


@operator("Size")
def _size(call: Call) -> np.ndarray:
    given = call.tensor(0)
    shape: Shape = given.node.shape if given.node is not None else np.shape(given.host)  # type: ignore[arg-type]
    factor, power = elements(shape)
    if power > 1:
        raise Unknown
    if power:
        found = np.empty((), object)
        found[()] = Rows(factor)
        return found
    return np.asarray(factor, np.int64)


@operator("Reshape")
def _reshape(call: Call) -> Node | Tensor:
    given = call.tensor(0)
    wanted: list[Dim] = call.wholes(1) if call.has(1) else list(call.attr("shape", ()))
    if given.chosen is not None:
        words, index = given.chosen
        return Tensor(chosen=(words, reshape(index, fill_shape_of(index, wanted))))
    x = call.node(0)
    if not call.attr("allowzero", 0):
        if any(d == 0 and a >= x.ndim for a, d in enumerate(wanted)):
            raise call.refuse(f"copies an axis that {x.spec} has not: {wanted}")
        wanted = [x.shape[a] if d == 0 else d for a, d in enumerate(wanted)]
    if -1 in wanted and 0 in x.shape:
        at, rest = wanted.index(-1), [d for d in wanted if d != -1]
        known = math.prod(ints(tuple(rest)))
        wanted[at] = size_of(x.shape, range(x.ndim)) // known if known else 0
    return reshape(x, fill_shape_of(x, wanted))


def fill_shape_of(x: Node, wanted: Sequence[Dim]) -> Shape:
    """A shape with its -1 filled in, where it may count rows."""
    if -1 in wanted:
        return fill_shape(x, tuple(wanted))
    if elements(tuple(wanted)) != elements(x.shape):
        raise ShapeError(f"[reshape] {x.spec} does not fit into {list(wanted)}")
    return tuple(wanted)


@operator("Flatten")
def _flatten(call: Call) -> Node:
    x, axis = call.node(0), int(call.attr("axis", 1))
    if not -x.ndim <= axis <= x.ndim:
        raise call.refuse(f"axis {axis} is out of range for {x.spec}")
    axis = axis + x.ndim if axis < 0 else axis
    sides = [elements(part) for part in (x.shape[:axis], x.shape[axis:])]
    if any(power > 1 for _, power in sides):
        raise Unknown
    return reshape(x, [Rows(factor) if power else factor for factor, power in sides])


@operator("Transpose")
def _transpose(call: Call) -> Node:
    x = call.node(0)
    return transpose(x, call.attr("perm", list(range(x.ndim))[::-1]))


@operator("Squeeze")
def _squeeze(call: Call) -> Node | Tensor:
    given = call.tensor(0)
    x = given.chosen[1] if given.chosen is not None else call.node(0)
    axes = call.axes(x.ndim)
    axes = [a for a, d in enumerate(x.shape) if d == 1] if axes is None else axes
    if any(x.shape[a] != 1 for a in axes):
        raise call.refuse(f"axes {axes} of {x.spec} are not all of length 1")
    made = reshape(x, [d for a, d in enumerate(x.shape) if a not in axes])
    return Tensor(chosen=(given.chosen[0], made)) if given.chosen is not None else made


@operator("Unsqueeze")
def _unsqueeze(call: Call) -> Node:
    x = call.node(0)
    given = call.attr("axes")
    rank = x.ndim + len(given if given is not None else call.ints(1))
    axes = call.axes(rank)
    if axes is None or len(set(axes)) < len(axes):
        raise call.refuse(f"axes {axes} are not different ones")
    rest = iter(x.shape)
    return reshape(x, [1 if a in axes else next(rest) for a in range(rank)])


@operator("Concat")
def _concat(call: Call) -> Node:
    found = call.nodes()
    axis = call.axis(found[0].ndim, call.attr("axis", 0))
    made = found[0]
    for other in found[1:]:
        if other.ndim == made.ndim and other.shape[axis] == 0:
            continue
        if made.shape[axis] == 0:
            made = other
            continue
        made = make("concatenate", made, other, axis=axis)
        call.bounded(made.shape)
    return made


@operator("Split")
def _split(call: Call) -> list[Node]:
    x = call.node(0)
    axis = call.axis(x.ndim, call.attr("axis", 0))
    length = size_of(x.shape, (axis,))
    parts = call.ints(1) if call.has(1) else call.attr("split")
    if parts is None:
        count = int(call.attr("num_outputs", call.outputs))
        part = -(-length // count)
        parts = [max(0, min(part, length - part * i)) for i in range(count)]
    if sum(parts) != length or any(p < 0 for p in parts):
        raise call.refuse(f"parts {parts} do not make up axis {axis} of {x.spec}")
    starts = [sum(parts[:i]) for i in range(len(parts))]
    return [cut(x, axis, s, s + p) for s, p in zip(starts, parts, strict=True)]


@operator("Slice")
def _slice(call: Call) -> Node:
    x = call.node(0)
    if call.has(1):
        starts, stops = call.wholes(1), call.wholes(2)
        axes = call.ints(3) if call.has(3) else list(range(len(starts)))
        steps = call.ints(4) if call.has(4) else [1] * len(starts)
    else:
        starts, stops = list(call.attr("starts", ())), list(call.attr("ends", ()))
        axes, steps = call.attr("axes") or list(range(len(starts))), [1] * len(starts)
    if not len(starts) == len(stops) == len(axes) == len(steps):
        raise call.refuse("needs one start, end and step for each axis")
    for start, stop, given, step in zip(starts, stops, axes, steps, strict=True):
        axis = call.axis(x.ndim, int(given))
        length = x.shape[axis]
        if isinstance(length, Rows):
            whole = step == 1 and start == 0
            if not whole or not (stop == length or (isinstance(stop, int) and stop >= 2**31 - 1)):
                raise Unknown
            continue
        if isinstance(start, Rows) or isinstance(stop, Rows):
            raise Unknown
        x = _sliced(call, x, axis, (int(start), int(stop), int(step)))
    return x


def _sliced(call: Call, x: Node, axis: int, triple: tuple[int, int, int]) -> Node:
    start, stop, step = triple
    length = size_of(x.shape, (axis,))
    if step == 0:
        raise call.refuse("a step is not 0")
    stop = None if step < 0 and stop < -length else stop  # type: ignore[assignment]
    places = range(*slice(start, stop, step).indices(length))
    if not len(places):
        return cut(x, axis, 0, 0)
    if step > 0:
        return cut(x, axis, places[0], max(places[0], places.stop), step)
    return taken(x, np.array(places, np.int32), axis)


@operator("Expand")
def _expand(call: Call) -> Node:
    x, wanted = call.node(0), tuple(call.wholes(1))
    shape = broadcast_shapes([x.shape, wanted])
    if shape is None:
        raise call.refuse(f"{x.spec} does not broadcast to {list(wanted)}")
    return expand(x, call.bounded(shape))


@operator("Tile")
def _tile(call: Call) -> Node:
    x, repeats = call.node(0), call.ints(1)
    if len(repeats) != x.ndim or any(r < 0 for r in repeats):
        raise call.refuse(f"needs one number from 0 for each axis, not {repeats}")
    inner: list[Dim] = []
    outer: list[Dim] = []
    for length, repeat in zip(x.shape, repeats, strict=True):
        inner += [1, length]
        outer += [repeat, length]
    shape = [r * d for r, d in zip(repeats, x.shape, strict=True)]
    call.bounded(tuple(shape))
    return reshape(expand(reshape(x, inner), tuple(outer)), shape)


@operator("ConstantOfShape")
def _constant_of_shape(call: Call) -> Node:
    value = call.attr("value")
    value = np.zeros(1, np.float32) if value is None else value
    if value.size != 1:
        raise call.refuse("its value is one number")
    return expand(call.constant(value.reshape(())), call.bounded(tuple(call.wholes(0))))


@operator("Range")
def _range(call: Call) -> Node:
    start, limit, step = (call.host(i).reshape(()) for i in range(3))
    if step == 0 or not all(np.isfinite(v) for v in (start, limit, step)):
        raise call.refuse("its numbers are finite, and its step is not 0")
    count = max(0, math.ceil((limit.item() - start.item()) / step.item()))
    call.bounded((count,), held=True)
    return call.constant(start + np.arange(count, dtype=start.dtype) * step)


@operator("EyeLike")
def _eye_like(call: Call) -> Node:
    x = call.node(0)
    rows, columns = ints(x.shape)
    call.bounded((rows, columns), held=True)
    to = call.attr("dtype")
    kind = x.dtype if to is None else dtype_name(call, to)
    return call.constant(np.eye(rows, columns, int(call.attr("k", 0))).astype(kind))


@operator("Trilu")
def _trilu(call: Call) -> Node:
    x = call.node(0)
    if x.ndim < 2:
        raise call.refuse(f"takes matrices, not {x.spec}")
    k = int(call.number(1)) if call.has(1) else 0
    rows, columns = ints(x.shape[-2:])
    call.bounded((rows, columns), held=True)
    k = max(-rows - columns, min(k, rows + columns))
    ones = np.ones((rows, columns), bool)
    kept = np.triu(ones, k) if call.attr("upper", 1) else np.tril(ones, k)
    nothing = constant(np.asarray(False)) if x.dtype == "bool" else call.like(x, 0)
    return make("where", constant(kept), x, nothing)


@operator("Pad")
def _pad(call: Call) -> Node:
    x, mode = call.node(0), call.attr("mode", "constant")
    pads = call.ints(1) if call.has(1) else list(call.attr("pads", ()))
    axes = call.ints(3) if call.has(3) else list(range(x.ndim))
    axes = [call.axis(x.ndim, a) for a in axes]
    if len(pads) != 2 * len(axes):
        raise call.refuse(f"needs two numbers for each axis, not {len(pads)}")
    fill = call.node(2) if call.has(2) else call.like(x, call.attr("value", 0.0))
    for at, axis in enumerate(axes):
        before, after = pads[at], pads[at + len(axes)]
        if before or after:
            x = _padded(call, x, axis, (before, after), mode, fill)
    return x


def _padded(call: Call, x: Node, axis: int, sides: tuple[int, int], mode: str, fill: Node) -> Node:
    length = size_of(x.shape, (axis,))
    start, stop = max(0, -sides[0]), length - max(0, -sides[1])
    before, after = max(0, sides[0]), max(0, sides[1])
    if start > stop:
        raise call.refuse(f"takes off more than axis {axis} of {x.spec} has")
    x = cut(x, axis, start, stop)
    length = stop - start
    shape = [*x.shape]
    shape[axis] = before + length + after
    call.bounded(tuple(shape))
    if mode == "constant":
        x = _sided(x, axis, before, fill, first=True)
        return _sided(x, axis, after, fill, first=False)
    known = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}
    if mode not in known or not length:
        raise call.refuse(f"its mode {mode!r} is not known for {x.spec}")
    places = np.pad(np.arange(length, dtype=np.int32), (before, after), mode=known[mode])  # type: ignore[call-overload]
    return taken(x, places, axis)


def _sided(x: Node, axis: int, count: int, fill: Node, first: bool) -> Node:
    """x with so many numbers joined to one side."""
    if not count:
        return x
    shape = list(x.shape)
    shape[axis] = count
    side = expand(reshape(fill, ()), tuple(shape))
    pair = (side, x) if first else (x, side)
    return make("concatenate", *pair, axis=axis)


@operator("DepthToSpace", "SpaceToDepth")
def _depth(call: Call) -> Node:
    x, b = call.node(0), int(call.attr("blocksize", 1))
    if x.ndim != 4 or b < 1:
        raise call.refuse(f"takes (n, channels, height, width), not {x.spec}")
    n = x.shape[0]
    c, h, w = ints(x.shape[1:])
    if call.proto.op_type == "SpaceToDepth":
        parted = reshape(x, (n, c, h // b, b, w // b, b))
        depth_first = call.attr("mode", "DCR") == "DCR"
        axes = (0, 3, 5, 1, 2, 4) if depth_first else (0, 1, 3, 5, 2, 4)
        return reshape(transpose(parted, axes), (n, c * b * b, h // b, w // b))
    if call.attr("mode", "DCR") == "DCR":
        parted = transpose(reshape(x, (n, b, b, c // (b * b), h, w)), (0, 3, 4, 1, 5, 2))
    else:
        parted = transpose(reshape(x, (n, c // (b * b), b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(parted, (n, c // (b * b), h * b, w * b))
