"""Rounding, and quotients of whole numbers, which the operation table does not have.

They are made of casts, which drop the fraction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....kernels.spec import INTEGERS
from ...graph.graph import Node, constant, make
from ..values import Call, cast, integral, operator, real

WHOLE = {"float32": 2.0**23, "float64": 2.0**52}  # from here on there are no fractions
SPLIT = 2.0**27 + 1.0  # parts a float64 into halves of 26 bits
REFINED = 3  # times: a quotient of 64 bits is off by 2^11 in float64, then by less than one


def rounded(x: Node, kind: str) -> Node:
    """Each number as a whole one: "trunc", "floor", "ceil" or "round" (halves to even)."""
    limit = WHOLE[x.dtype]
    inside = abs(x) < limit  # NaN and infinities are not
    near = make("where", inside, x, 0.0)
    whole = cast(cast(near, "int64"), x.dtype)
    if kind == "floor":
        whole = whole - make("where", whole > near, 1.0, constant(0.0, x.dtype))
    elif kind == "ceil":
        whole = whole + make("where", whole < near, 1.0, constant(0.0, x.dtype))
    elif kind == "round":
        # adding and taking off 2^52 rounds in the processor's own way, which is halves to even
        size = (abs(near) + limit) - limit
        whole = make("where", near < 0.0, -size, size)
    return make("where", inside, whole, x)


def quotient(call: Call, a: Node, b: Node, kind: str = "trunc") -> Node:
    """a / b of whole numbers without the fraction, exactly."""
    if a.dtype not in INTEGERS or b.dtype != a.dtype:
        raise call.refuse("takes whole numbers of one dtype")
    unsigned = a.dtype.startswith("u")
    wide = "int64" if unsigned else a.dtype
    found, divisor = cast(a, wide), cast(b, wide)
    real_divisor = cast(divisor, "float64")
    total, rest = None, found
    for _ in range(REFINED if wide == "int64" else 1):
        part = cast(rounded(make("divide", cast(rest, "float64"), real_divisor), "trunc"), wide)
        rest = rest - part * divisor
        total = part if total is None else total + part
    assert total is not None
    # the rest must have the sign of a (of b, where quotients are rounded down) and be below |b|
    one, none = call.like(found, 1), call.like(found, 0)
    positive = make("equal", make("less", found, none), make("less", divisor, none))
    step = make("where", positive, one, -one)
    size, limit = abs(rest), abs(divisor)
    over = make("where", make("greater_equal", size, limit), one, none)
    wrong = make("less", rest * make("sign", found), none)
    total = total + step * over - step * make("where", wrong, one, none)
    if kind == "floor":
        left = make("not_equal", total * divisor, found)
        down = make("where", positive, none, make("where", left, one, none))
        total = total - down
    return cast(total, a.dtype)


def _whole(kind: str) -> Any:
    def apply(call: Call) -> Node:
        x = call.node(0)
        return rounded(x, kind) if real(x.dtype) else x

    return apply


for _name in ("Floor", "Ceil", "Round"):
    operator(_name)(_whole(_name.lower()))


@operator("Mod")
def _mod(call: Call) -> Node:
    a, b = call.node(0), call.node(1)
    as_c = bool(call.attr("fmod", 0))
    if integral(a.dtype):
        return a - quotient(call, a, b, "trunc" if as_c else "floor") * b
    return cast(_remainder(cast(a, "float64"), cast(b, "float64"), as_c), a.dtype)


def _remainder(a: Node, b: Node, as_c: bool) -> Node:
    """What is left of a after whole multiples of b, of the sign of a (as in C), or of b.

    Products are taken off in two parts, so that nothing is lost (T. J. Dekker, A floating-point
    technique for extending the available precision, Numer. Math. 18, 1971).
    """
    rest = a
    for _ in range(REFINED):
        times = rounded(rest / b, "trunc")
        product, error = _exact_product(times, b)
        rest = (rest - product) - error
    size = abs(b)
    rest = make("where", make("less", rest * make("sign", a), 0.0), rest + size * make("sign", a),
                rest)  # fmt: skip
    if not as_c:
        other = make("less", make("sign", rest) * make("sign", b), 0.0)
        rest = make("where", other, rest + b, rest)
        beyond = make("where", make("less", make("sign", a) * make("sign", b), 0.0), b, a)
    else:
        beyond = a
    infinite = make("equal", size, float("inf"))
    finite = make("less", abs(a), float("inf"))
    both = make("where", infinite, finite, constant(np.asarray(False)))
    return make("where", both, beyond, rest)


def _exact_product(a: Node, b: Node) -> tuple[Node, Node]:
    """a * b as it is rounded, and what is missing of it."""

    def halves(x: Node) -> tuple[Node, Node]:
        wide = x * SPLIT
        high = wide - (wide - x)
        return high, x - high

    product = a * b
    (high_a, low_a), (high_b, low_b) = halves(a), halves(b)
    error = ((high_a * high_b - product) + high_a * low_b + low_a * high_b) + low_a * low_b
    return product, error
