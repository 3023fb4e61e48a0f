"""Shape and dtype rules of losses, layers and updates."""

from __future__ import annotations

from .errors import DtypeError, ShapeError
from .op import Attrs, Specs
from .rules import Rule, check_labels, floating, listing
from .spec import FLOATS, Spec

HOST_NUMBERS = ("learning_rate", "step")  # inputs that change from step to step


def row_loss(op: str, *, labels: bool, result: str) -> Rule:
    """The rule of a loss row.

    labels: the second input is one integer a row, else targets of the predictions' shape.
    result: "rows" one value a row, "like" the predictions' shape, "total" probabilities and a sum.
    """
    names = ("p", "labels" if labels else "targets", "weights")

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        p, targets = specs[:2]
        kind = floating(op, ("p", "weights"), [p, *specs[2:]])
        if p.rank < 1 or p.shape[-1] == 0:
            raise ShapeError(f"[{op}] needs at least one output ({listing(names, specs)})")
        if labels:
            check_labels(op, "p", specs)
        elif targets.shape != p.shape:
            raise ShapeError(f"[{op}] predictions and targets differ ({listing(names, specs)})")
        elif targets.dtype != kind:
            raise DtypeError(f"[{op}] predictions and targets differ ({listing(names, specs)})")
        column = (*p.shape[:-1], 1)
        if len(specs) > 2 and specs[2].shape != column:
            raise ShapeError(
                f"[{op}] needs one weight a row, of shape {column} ({listing(names, specs)})"
            )
        if result == "total":
            return (p, Spec((), kind))
        return (Spec(column if result == "rows" else p.shape, kind),)

    return infer


def dense(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """x: (..., n_in), weight: (n_in, n_out), bias: (1, n_out) -> (..., n_out)."""
    names = ("x", "weight", "bias")
    kind = floating("dense", names, specs)
    x, weight = specs[:2]
    if x.rank < 2 or weight.rank != 2:
        raise ShapeError(f"[dense] takes matrices ({listing(names, specs)})")
    if x.shape[-1] != weight.shape[0]:
        raise ShapeError(
            f"[dense] x has {x.shape[-1]} columns but weight has {weight.shape[0]} rows"
            f" ({listing(names[:2], specs)})"
        )
    if len(specs) > 2 and specs[2].shape != (1, weight.shape[1]):
        raise ShapeError(
            f"[dense] bias must have shape (1, {weight.shape[1]}) ({listing(names, specs)})"
        )
    return (Spec((*x.shape[:-1], weight.shape[1]), kind),)


def dense_backward(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """Gradients like weight, (1, n_out) if there is a bias, like x if it is asked for."""
    names = ("gradient", "x", "weight", "y")
    kind = floating("dense_backward", names, specs)
    gradient, x, weight = specs[:3]
    made = dense([x, weight], attrs)[0]
    if gradient != made or (len(specs) > 3 and specs[3] != made):
        raise ShapeError(
            f"[dense_backward] gradient and y must be like x @ weight ({listing(names, specs)})"
        )
    if attrs["activation"] != "linear" and len(specs) < 4:
        raise ShapeError(f"[dense_backward] {attrs['activation']} needs the output y")
    result = [weight]
    if attrs["bias"]:
        result.append(Spec((1, weight.shape[1]), kind))
    if attrs["input"]:
        result.append(x)
    return tuple(result)


def dropout_mask(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """The shape and dtype are attributes."""
    if not 0.0 <= attrs["rate"] < 1.0:
        raise ShapeError(f"[dropout_mask] rate must be in [0, 1), not {attrs['rate']!r}")
    if attrs["dtype"] not in FLOATS:
        raise DtypeError(f"[dropout_mask] dtype must be floating, not {attrs['dtype']}")
    return (Spec(tuple(attrs["shape"]), attrs["dtype"]),)


def assign(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
    """Two flat buffers, the second at most as long as the first, which comes back."""
    names = ("statistics", "observed")
    floating("assign", names, specs)
    flat = all(s.rank == 1 for s in specs)
    if flat:
        whole, part = (s.shape[0] for s in specs)
        flat = whole == part or (isinstance(whole, int) and isinstance(part, int) and part < whole)
    if not flat:
        raise ShapeError(
            f"[assign] takes a flat buffer and its first elements ({listing(names, specs)})"
        )
    return (specs[0],)


def update(op: str, names: tuple[str, ...], outputs: tuple[str, ...]) -> Rule:
    """Flat buffers of one length, then host numbers; buffers that are outputs come back."""

    def infer(specs: Specs, attrs: Attrs) -> tuple[Spec, ...]:
        buffers = {n: s for n, s in zip(names, specs, strict=True) if n not in HOST_NUMBERS}
        floating(op, tuple(buffers), tuple(buffers.values()))
        if any(s.rank != 1 for s in buffers.values()) or len(set(buffers.values())) > 1:
            raise ShapeError(f"[{op}] takes flat buffers of one length ({listing(names, specs)})")
        if any(s.rank > 0 for n, s in zip(names, specs, strict=True) if n in HOST_NUMBERS):
            numbers = " and ".join(n for n in names if n in HOST_NUMBERS)
            raise ShapeError(f"[{op}] {numbers} are single numbers ({listing(names, specs)})")
        return tuple(s for n, s in buffers.items() if n in outputs)

    return infer
