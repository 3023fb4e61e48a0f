"""Sums of products over named axes."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ....kernels.spec import Dim, Rows, elements
from ...graph.graph import Node, make
from ..values import Call, Unknown, operator, real, reshape, taken, transpose
from .reductions import total

DOTS = "..."


@operator("Einsum")
def _einsum(call: Call) -> Node:
    equation = str(call.attr("equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    operands = call.nodes()
    if len(terms) != len(operands) or not all(real(x.dtype) for x in operands):
        raise call.refuse(f"{equation!r} does not fit {len(operands)} operands of floats")
    named = [_named(call, x, term) for x, term in zip(operands, terms, strict=True)]
    free = max((sum(1 for n in names if len(n) > 1) for _, names in named), default=0)
    dots = [f"{DOTS}{i}" for i in range(free)]
    if not arrow:
        counts = Counter(n for term in terms for n in term.replace(DOTS, ""))
        wanted = [*dots, *sorted(n for n, count in counts.items() if count == 1)]
    else:
        before, has_dots, after = right.partition(DOTS)
        wanted = [*before, *(dots if has_dots else []), *after]
    result, names = named[0]
    for at, (other, others) in enumerate(named[1:], 1):
        later = {n for _, each in named[at + 1 :] for n in each}
        result, names = _product(result, names, other, others, {*wanted, *later})
    axes = tuple(a for a, n in enumerate(names) if n not in wanted)
    if axes:
        result = total(result, axes)
        result = reshape(result, [d for a, d in enumerate(result.shape) if a not in axes])
        names = [n for n in names if n in wanted]
    if sorted(names) != sorted(wanted):
        raise call.refuse(f"{equation!r} names axes of no operand")
    return transpose(result, [names.index(n) for n in wanted])


def _named(call: Call, x: Node, term: str) -> tuple[Node, list[str]]:
    """An operand with a name for each axis; an axis that stands twice is its diagonal."""
    before, has_dots, after = term.partition(DOTS)
    rest = x.ndim - len(before) - len(after)
    if rest < 0 or (rest and not has_dots):
        raise call.refuse(f"{term!r} does not name the axes of {x.spec}")
    names = [*before, *(f"{DOTS}{i}" for i in range(rest)), *after]
    for name in [n for n, count in Counter(names).items() if count > 1]:
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            length = x.shape[first]
            if isinstance(length, Rows) or length != x.shape[second]:
                raise Unknown
            order = [a for a in range(x.ndim) if a not in (first, second)]
            x = transpose(x, [first, second, *order])
            x = reshape(x, (length * length, *x.shape[2:]))
            x = taken(x, np.arange(length, dtype=np.int32) * (length + 1), 0)
            names = [name, *(names[a] for a in order)]
    return x, names


def _product(
    a: Node, a_names: list[str], b: Node, b_names: list[str], kept: set[str]
) -> tuple[Node, list[str]]:
    """Two operands joined to one, summed over what nobody else reads: as products of matrices."""
    both = [n for n in a_names if n in b_names]
    summed = [n for n in both if n not in kept]
    stacked = [n for n in both if n in kept]
    own_a = [n for n in a_names if n not in b_names]
    own_b = [n for n in b_names if n not in a_names]
    left = _matrices(a, a_names, stacked, own_a, summed)
    right = _matrices(b, b_names, stacked, summed, own_b)
    made = make("matmul", left, right)
    lengths = {n: d for x, names in ((b, b_names), (a, a_names))
               for n, d in zip(names, x.shape, strict=True)}  # fmt: skip
    for n in stacked:  # where one of them is one, it is repeated
        pair = a.shape[a_names.index(n)], b.shape[b_names.index(n)]
        lengths[n] = pair[1] if pair[0] == 1 else pair[0]
    names = [*stacked, *own_a, *own_b]
    return reshape(made, [lengths[n] for n in names]), names


def _matrices(
    x: Node, names: list[str], stacked: list[str], rows: list[str], columns: list[str]
) -> Node:
    """x with its axes joined to (stacked ..., rows, columns)."""
    moved = transpose(x, [names.index(n) for n in (*stacked, *rows, *columns)])
    at, end = len(stacked), len(stacked) + len(rows)
    shape = moved.shape
    return reshape(moved, [*shape[:at], _joined(shape[at:end]), _joined(shape[end:])])


def _joined(lengths: tuple[Dim, ...]) -> Dim:
    """The length of axes taken together. Raises: Unknown where two of them count rows."""
    factor, power = elements(lengths)
    if power > 1:
        raise Unknown
    return Rows(factor) if power else factor
