"""The moves of which drawn graphs are made: an operation or two, and what it takes to fit them.

What people write of several is in `graph_patterns.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.core.graph.graph import Node
from lamina.kernels import ops
from lamina.kernels.spec import ROWS, Rows, size

if TYPE_CHECKING:
    from lamina.benchmarks.maintenance.graph_data import OTHER, OWN, Constant, Input
    from lamina.benchmarks.maintenance.graph_drawing import (
        Drawing,
        Refused,
        floating,
        move,
        shapely,
        whole,
    )
else:  # they lie beside this file and are not installed
    from graph_data import OTHER, OWN, Constant, Input
    from graph_drawing import Drawing, Refused, floating, move, shapely, whole

COMPARISONS = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
UNARY = ("exp", "expm1", "erf", "negative", "abs", "sign", "tanh")
POSITIVE = ("softplus", "sigmoid", "exp", "abs", "square", "relu")


# Elements


@move(3.0)
def unary(d: Drawing) -> str:
    """A function of single numbers."""
    return d.do(d.one_of(UNARY), d.last())


@move(4.0)
def activation(d: Drawing) -> str:
    """An activation, some with their number."""
    name = d.one_of(ops.ACTIVATIONS)
    attrs = {"alpha": 0.3} if "alpha" in ops.get(name).attrs and d.chance(0.5) else {}
    return d.do(name, d.last(shapely), **attrs)


@move(8.0)
def binary(d: Drawing) -> str:
    """Arithmetic of two values, or of one and a number on either side."""
    one = d.last()
    pair = [one, d.mate(one)]
    if d.chance(0.5):
        pair.reverse()
    return d.do(d.one_of(["add", "subtract", "multiply", "maximum", "minimum"]), *pair)


@move(1.5)
def outer(d: Drawing) -> str:
    """Every number of a row with every other, or with an array's: (n, k, 1) and (n, 1, k)."""
    name = d.last(lambda n: floating(n) and n.ndim in (1, 2))
    shape = d.node(name).shape
    high = d.do("reshape", name, shape=(*shape, 1))
    if d.chance(0.4):
        low: Input = d.array((int(d.rng.integers(2, 4)),))
    else:
        other = d.last(
            lambda n: floating(n) and n.shape[:-1] == shape[:-1] and n.ndim == len(shape)
        )
        low = d.do("reshape", other, shape=(*shape[:-1], 1, d.node(other).shape[-1]))
    return d.do(d.one_of(["add", "subtract", "multiply", "maximum"]), high, low)


@move(1.0)
def clip(d: Drawing) -> str:
    """Kept between two numbers."""
    return d.do("clip", d.last(), low=-0.63, high=0.87)


def positive(d: Drawing) -> str:
    """A value that is well above zero whatever the numbers are."""
    how, name = d.one_of(POSITIVE), d.last()
    made = d.do("multiply", name, name) if how == "square" else d.do(how, name)
    return d.do("add", made, abs(d.number()))


@move(3.0)
def guarded(d: Drawing) -> str:
    """A logarithm, a root, a power or a quotient where it is defined."""
    base = positive(d)
    how = d.one_of(["log", "log1p", "sqrt", "power", "power", "exponent", "divide", "divide"])
    if how == "power":
        return d.do("power", base, d.one_of([-1.0, 0.5, 2.0, 3.0, 1.7, d.mate(base)]))
    if how == "exponent":
        return d.do("power", abs(d.number()) + 0.1, d.last())
    if how == "divide":
        return d.do("divide", d.one_of([d.last(newest=0.3), d.number()]), base)
    return d.do(how, base)


# Conditions


def condition(d: Drawing) -> str:
    """Which of two values is larger; of whole numbers also whether they are equal."""
    name = d.last()
    if d.chance(0.3):
        name = d.last(whole) if d.chance(0.3) else numbers(d)
    ordered = COMPARISONS[:4] if floating(d.node(name)) else COMPARISONS
    return d.do(d.one_of(ordered), name, d.mate(name))


@move(2.5)
def choice(d: Drawing) -> str:
    """`where` of a condition and two values or numbers."""
    one = d.last()
    boolean: Input
    if d.chance(0.15):
        shape = [n for n in d.node(one).shape[1:] if isinstance(n, int)]
        boolean = Constant.of(d.rng.random(shape) < 0.5)
    else:
        boolean = d.last(lambda n: n.dtype == "bool") if d.chance(0.2) else condition(d)
    pair: list[Input] = [one, d.mate(one)]
    if d.chance(0.5):
        pair.reverse()
    return d.do("where", boolean, *pair)


@move(1.5)
def mask(d: Drawing) -> str:
    """A condition as numbers, times a value; or two conditions that agree."""
    boolean = condition(d)
    if d.chance(0.3):
        boolean = d.do(d.one_of(["equal", "not_equal"]), boolean, condition(d))
    return d.do("multiply", d.do("cast", boolean, dtype=OWN), d.last())


# Reductions


@move(5.0)
def reduction(d: Drawing) -> str:
    """Along any axes, with or without ones in their place."""
    name = d.last(shapely)
    axes = None if d.chance(0.15) else d.axes(d.node(name))
    op = d.one_of(["sum", "mean", "max"])
    return d.do(op, name, axis=axes, keepdims=d.chance(0.35))


# Shapes


@move(2.0)
def transposed(d: Drawing) -> str:
    """Another order of axes."""
    name = d.last(lambda n: n.ndim > 1)
    return d.do("transpose", name, axes=tuple(int(a) for a in d.rng.permutation(d.node(name).ndim)))


@move(2.0)
def reshaped(d: Drawing) -> str:
    """The same elements on other axes, the batch's axis in any of them."""
    name = d.last(lambda n: n.ndim > 0 and not _square(n))
    total = size(d.node(name).shape)
    factor = total.factor if isinstance(total, Rows) else total
    cuts = [
        (a, b, factor // a // b) for a in range(1, 5) for b in range(1, 5) if not factor % (a * b)
    ]
    shape = list(d.one_of(cuts))
    if isinstance(total, Rows):
        at = 0 if d.chance(0.7) else int(d.rng.integers(3))
        shape[at] = ROWS * shape[at]
    while len(shape) > 1 and 1 in shape and d.chance(0.6):
        shape.remove(1)
    return d.do("reshape", name, shape=tuple(shape))


def _square(node: Node) -> bool:
    return sum(isinstance(length, Rows) for length in node.shape) > 1


@move(2.0)
def cut(d: Drawing) -> str:
    """A slice of an axis that is not the batch's; one index and no axis; or a slice put back."""
    name = d.last(lambda n: any(isinstance(length, int) and length > 1 for length in n.shape))
    shape = d.node(name).shape
    at = d.one_of([a for a, length in enumerate(shape) if isinstance(length, int) and length > 1])
    length = shape[at]
    assert isinstance(length, int)
    start = int(d.rng.integers(0, length))
    stop, step = int(d.rng.integers(start + 1, length + 1)), int(d.rng.integers(1, 3))
    single = d.chance(0.3)
    if single:
        stop, step = start + 1, 1
    given = {
        "starts": tuple(start if a == at else 0 for a in range(len(shape))),
        "stops": tuple(stop if a == at else n for a, n in enumerate(shape)),
        "steps": tuple(step if a == at else 1 for a in range(len(shape))),
    }
    made = d.do("slice", name, **given)
    if single and not _square(d.node(name)):
        return d.do("reshape", made, shape=(*shape[:at], *shape[at + 1 :]))
    if d.chance(0.3) and floating(d.node(made)):
        return d.do("unslice", d.do("tanh", made), shape=shape, **given)
    return made


@move(0.3)
def emptied(d: Drawing) -> str:
    """A sum over nothing, added to a value."""
    name = d.last(lambda n: floating(n) and n.ndim > 0 and isinstance(n.shape[-1], int))
    shape = d.node(name).shape
    at, ends = len(shape) - 1, d.one_of([0, shape[-1]])
    given = {
        "starts": (*[0] * at, ends), "stops": (*shape[:at], ends), "steps": (1,) * len(shape),
    }  # fmt: skip
    nothing = d.do("slice", name, **given)
    return d.do("add", name, d.do("sum", d.do("tanh", nothing), axis=(-1,), keepdims=True))


@move(1.5)
def spread(d: Drawing) -> str:
    """Repeated along axes of one, or along new leading ones."""
    name = d.last()
    shape = d.node(name).shape
    wide = [int(d.rng.integers(2, 4)) if n == 1 and d.chance(0.7) else n for n in shape]
    if d.chance(0.5) and not d.node(name).spec.symbolic:
        wide = [ROWS, *wide]
    elif d.chance(0.4):
        wide = [int(d.rng.integers(1, 4)), *wide]
    if tuple(wide) == shape:
        raise Refused
    return d.do("broadcast_to", name, shape=tuple(wide))


@move(1.5)
def joined(d: Drawing) -> str:
    """Two values one after the other, along an axis that is not the batch's."""
    name = d.last(lambda n: floating(n) and any(isinstance(length, int) for length in n.shape))
    shape = d.node(name).shape
    at = d.one_of([a for a, length in enumerate(shape) if isinstance(length, int)])

    def fits(other: Node) -> bool:
        return floating(other) and other.ndim == len(shape) and isinstance(
            other.shape[at], int
        ) and all(other.shape[a] == shape[a] for a in range(len(shape)) if a != at)  # fmt: skip

    axis = at - len(shape) if d.chance(0.3) else at
    return d.do("concatenate", name, d.last(fits, newest=0.3), axis=axis)


# Products


@move(3.0)
def product(d: Drawing) -> str:
    """A product with an array, with another value, or with the value itself."""
    name = d.last(lambda n: floating(n) and n.ndim > 1)
    node = d.node(name)
    turn = d.chance(0.3)
    inner = node.shape[-2 if turn else -1]
    flags = {"transpose_a": True} if turn else {}
    if d.chance(0.6) and isinstance(inner, int):
        width, back = int(d.rng.integers(1, 5)), d.chance(0.3)
        shape: tuple[int, ...] = (width, inner) if back else (inner, width)
        if node.ndim == 3 and isinstance(node.shape[0], int) and d.chance(0.3):
            shape = (node.shape[0], *shape)
        return d.do("matmul", name, d.array(shape), **flags, **_flag("transpose_b", back))

    def fits(other: Node) -> bool:
        return floating(other) and other.ndim > 1 and inner in other.shape[-2:]

    other = d.last(fits, newest=0.3)
    back = d.node(other).shape[-2] != inner
    return d.do("matmul", name, other, **flags, **_flag("transpose_b", back))


def _flag(name: str, value: bool) -> dict[str, bool]:
    return {name: True} if value else {}


@move(1.5)
def dense(d: Drawing) -> str:
    """The layer's own operation, or product, bias and activation one after the other."""
    name = d.last(lambda n: floating(n) and n.ndim > 1 and isinstance(n.shape[-1], int))
    inner, width = d.node(name).shape[-1], int(d.rng.integers(1, 5))
    assert isinstance(inner, int)
    weight, bias = d.parameter((inner, width)), d.parameter((1, width))
    if d.chance(0.4):
        return d.do("dense", name, weight, bias, activation=d.one_of(ops.FUSABLE))
    made = d.do(
        "add", *d.one_of([lambda z: (z, bias), lambda z: (bias, z)])(d.do("matmul", name, weight))
    )
    return d.do(d.one_of(ops.ACTIVATIONS), made) if d.chance(0.5) else made


# Whole numbers and places


def numbers(d: Drawing) -> str:
    """Whole numbers from 0 to 2 that a step computes."""
    if d.chance(0.4):
        return d.do("argmax", d.last(shapely), axis=-1, keepdims=d.chance(0.5))
    scaled = d.do("clip", d.do("multiply", d.last(), 2.3), low=-2.7, high=2.8)
    made = d.do("cast", scaled, dtype=d.one_of(["int32", "int64", "int32"]))
    return d.do("abs", made)


@move(1.0)
def integers(d: Drawing) -> str:
    """Arithmetic of whole numbers, back among the others."""
    name = d.last(whole) if d.chance(0.3) else numbers(d)
    for _ in range(int(d.rng.integers(1, 3))):
        how = d.one_of(["add", "subtract", "multiply", "maximum", "minimum", "negative", "sign"])
        rest = () if how in ("negative", "sign") else (d.mate(name),)
        name = d.do(how, name, *rest)
    if d.chance(0.3) and d.node(name).ndim:
        how = d.one_of(["sum", "max"])
        name = d.do(how, name, axis=d.axes(d.node(name)), keepdims=d.chance(0.5))
    return d.do("cast", name, dtype=OWN)


@move(3.0)
def gathered(d: Drawing) -> str:
    """Rows of a table by numbers that stand there or are computed; or rows added to such places."""
    count = 3
    if d.chance(0.3):
        table = d.last(lambda n: floating(n) and n.ndim > 0 and isinstance(n.shape[0], int))
        length = d.node(table).shape[0]
        assert isinstance(length, int)
        places = Constant(tuple(int(i) for i in d.rng.integers(0, length, 4)))
        return d.do("gather_rows", table, places)
    found = d.do("clip", numbers(d), low=0, high=count - 1)
    if d.node(found).ndim != 1:
        total = size(d.node(found).shape)
        found = d.do("reshape", found, shape=(total,))
    if d.chance(0.6):
        return d.do("gather_rows", d.parameter((count, int(d.rng.integers(1, 4)))), found)
    length = d.node(found).shape[0]
    fitting = d.last(lambda n: floating(n) and n.ndim > 0 and n.shape[0] == length, newest=0.3)
    return d.do("scatter_rows", fitting, found, rows=count)


@move(1.0)
def labelled(d: Drawing) -> str:
    """Numbers of classes that are computed: ones at their places, or what stands there."""
    name = d.last(lambda n: shapely(n) and isinstance(n.shape[-1], int) and n.shape[-1] > 0)
    *rows, width = d.node(name).shape

    def fits(other: Node) -> bool:
        return shapely(other) and other.shape[:-1] == tuple(rows) and isinstance(
            other.shape[-1], int
        )  # fmt: skip

    other = d.last(fits, newest=0.3)
    labels, most = d.do("argmax", other, axis=-1, keepdims=True), d.node(other).shape[-1]
    assert isinstance(width, int)
    assert isinstance(most, int)
    safe = most <= width and d.chance(0.4)  # what argmax gives needs no look
    inside = labels if safe else d.do("clip", labels, low=0, high=width - 1)
    if d.chance(0.5):
        return d.do("pick", name, inside)
    ones = d.do("one_hot", inside, classes=width, dtype=d.one_of([OWN, "bool"]))
    if d.node(ones).dtype == "bool":
        return d.do("where", ones, name, d.number())
    return d.do("multiply", ones, name)


@move(2.0)
def lost(d: Drawing) -> str:
    """A loss of the table, one number a row."""
    name = d.last(lambda n: shapely(n) and isinstance(n.shape[-1], int) and n.shape[-1] > 0)
    shape = d.node(name).shape
    how = d.one_of(["cross_entropy", "binary_cross_entropy", "mean_squared_error"])
    if how == "mean_squared_error":
        return d.do(how, name, d.last(lambda n: floating(n) and n.shape == shape, newest=0.3))
    if how == "binary_cross_entropy":
        other = d.last(lambda n: floating(n) and n.shape == shape, newest=0.3)
        return d.do(how, d.do("sigmoid", name), d.do("sigmoid", other))
    labels = d.do("argmax", name if d.chance(0.2) else d.last(
        lambda n: floating(n) and n.shape == shape, newest=0.2
    ), axis=-1, keepdims=True)  # fmt: skip
    return d.do(how, d.do("softmax", name), labels)


@move(0.5)
def other_dtype(d: Drawing) -> str:
    """A part in the other floating dtype, and back."""
    name = d.do("cast", d.last(), dtype=OTHER)
    for _ in range(int(d.rng.integers(0, 3))):
        name = d.do(d.one_of(["tanh", "exp", "sigmoid", "negative"]), name)
    return d.do("cast", d.do("multiply", name, name) if d.chance(0.5) else name, dtype=OWN)
