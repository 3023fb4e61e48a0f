"""Fusion: chains of operations become the fused rows of the table, before differentiation.

- product + bias + activation becomes `dense`, whatever the order and the shape of the bias;
- softmax, cross-entropy and the sum over rows become `softmax_cross_entropy`, whose derivative is
  p - y directly; sigmoid with binary cross-entropy likewise, and both where a user wrote out the
  logarithms.

An intermediate result that somebody else reads stays as it is. Simplification comes before: it has
the spellings of softmax, sigmoid and their logarithms that `_total` looks for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...kernels.ops import FUSABLE
from .graph import Node, consumers, make, order, outputs
from .rewriting import either_way, given, is_number, last_axis, opposite, over

LOSS_OF = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}
Key = tuple[str, Node | None]  # an activation's name and its input


@dataclass(frozen=True)
class Total:
    """The sum over rows of a loss that has a fused operation.

    activation: "softmax" or "sigmoid". z: its input. rest: labels or targets, and weights where
    rows have them.
    """

    activation: str
    z: Node
    rest: tuple[Node, ...]


def fuse(results: Sequence[Node]) -> list[Node]:
    """The same results, computed with fused operations where the graph has their patterns."""
    readers = consumers(results)
    totals = _totals(results, readers)
    pairs = {_key(total): total for total in totals.values()}
    done: dict[Node, Node] = {}
    made: dict[Key, tuple[Node, ...]] = {}
    stack = list(reversed(results))
    while stack:
        node = stack[-1]
        total = totals.get(node) or pairs.get(_own(node))
        waiting = [n for n in ((total.z, *total.rest) if total else given(node)) if n not in done]
        if node in done:
            stack.pop()
        elif waiting:
            stack.extend(reversed(waiting))
        elif total:
            if _key(total) not in made:
                pair = f"{total.activation}_{LOSS_OF[total.activation]}"
                inputs = (done[n] for n in (total.z, *total.rest))
                made[_key(total)] = outputs(make(pair, *inputs))
            done[node] = new = made[_key(total)][node in totals]
            new.name = new.name or node.name
        else:
            # leaves, and what has none of the patterns below it, are shared between the graphs
            new = over(node, tuple(None if n is None else done[n] for n in node.inputs))
            dense = _dense(new, node, readers)
            done[node] = new if dense is None else dense
    return [done[r] for r in results]


def _key(total: Total) -> Key:
    return total.activation, total.z


def _own(node: Node) -> Key:
    """What a node would be called if it was an activation."""
    return node.op, next(iter(given(node)), None)


def _totals(results: Sequence[Node], readers: dict[Node, list[Node]]) -> dict[Node, Total]:
    """The nodes that are totals of fused losses, one for each activation."""
    found: dict[Node, Total] = {}
    pairs: dict[Key, Total] = {}
    for node in order(results):
        total = _total(node, readers)
        if total is None or _key(total) in pairs:  # a second loss of them stays as it is
            continue
        if not _circular(total, pairs):
            found[node] = pairs[_key(total)] = total
    return found


def _circular(total: Total, pairs: dict[Key, Total]) -> bool:
    """Whether labels or weights come from the probabilities that would be computed with them."""
    stack, seen = [total.z, *total.rest], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        key = _own(node)
        if key == _key(total):
            return True
        stack.extend(pairs[key].rest if key in pairs else ())
        stack.extend(given(node))
    return False


def _total(node: Node, readers: dict[Node, list[Node]]) -> Total | None:
    """The loss whose sum over rows a node is."""
    sign, node = _signed(node)
    if node.op not in ("sum", "reshape") or node.shape != ():  # a sum of one row is a reshape
        return None
    inner, rows = _signed(given(node)[0])
    sign *= inner
    if rows.op in LOSS_OF.values():
        activation, *rest = given(rows)
        alone = sign > 0 and len(readers[rows]) == 1
        if alone and LOSS_OF.get(activation.op) == rows.op:
            return Total(activation.op, given(activation)[0], tuple(rest))
        return None
    for loss, weights in _weighted(rows):
        inner, loss = _signed(loss)
        if weights and weights[0].shape != loss.shape:
            continue
        if sign * inner < 0 and loss.op == "pick":
            logarithms, labels = given(loss)
            if logarithms.op == "log_softmax":
                return Total("softmax", given(logarithms)[0], (labels, *weights))
        if sign * inner > 0 and loss.ndim and loss.shape[-1] == 1:
            pair = _logistic(loss)
            if pair is not None:
                return Total("sigmoid", pair[0], (pair[1], *weights))
    return None


def _signed(node: Node) -> tuple[int, Node]:
    """1 and the node, or -1 and what it is the negative of."""
    return (-1, given(node)[0]) if node.op == "negative" else (1, node)


def _weighted(rows: Node) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """The ways to see a node as a loss by row and its weights."""
    yield rows, ()
    if rows.op == "multiply":
        for loss, weights in either_way(rows):
            yield loss, (weights,)


def _logistic(loss: Node) -> tuple[Node, Node] | None:
    """(z, t) of the mean over outputs of softplus(z) - z * t, as that or with both logarithms."""
    inner = 1
    if loss.op == "mean" and last_axis(loss):
        inner, loss = _signed(given(loss)[0])
    if inner < 0:
        return None
    if (
        loss.op == "subtract"
        and given(loss)[0].op == "softplus"
        and given(loss)[1].op == "multiply"
    ):
        softplus, product = given(loss)
        z = given(softplus)[0]
        for a, t in either_way(product):
            if a is z and t.spec == z.spec:
                return z, t
    if loss.op == "add":
        for yes, no in either_way(loss):
            if yes.op != "multiply" or no.op != "multiply":
                continue
            for t, below in either_way(yes):
                for rest, above in either_way(no):
                    known = below.op == above.op == "softplus" and rest.op == "subtract"
                    if not known or not is_number(given(rest)[0], 1) or rest.inputs[1] is not t:
                        continue
                    z = given(above)[0]
                    if opposite(given(below)[0], z) and t.spec == z.spec:
                        return z, t
    return None


def _dense(new: Node, old: Node, readers: dict[Node, list[Node]]) -> Node | None:
    """The `dense` node that a node completes: product + bias, or product (+ bias) + activation."""
    made = None
    if new.op == "add":
        for (product, bias), before in zip(either_way(new), given(old), strict=True):
            plain = product.op == "matmul" and not any(product.attrs.values())
            if not plain or len(readers[before]) > 1 or product.shape != new.shape:
                continue
            x, weight = given(product)
            width = weight.shape[-1]
            if weight.ndim == 2 and bias.shape == (1,) * (bias.ndim - 1) + (width,):
                row = bias if bias.ndim == 2 else make("reshape", bias, shape=(1, width))
                made = make("dense", x, weight, row)
                break
    elif new.op in FUSABLE:
        inner, before = given(new)[0], given(old)[0]
        if len(readers[before]) > 1:
            return None
        if inner.op == "matmul" and not any(inner.attrs.values()):
            if given(inner)[1].ndim != 2:
                return None
        elif inner.op != "dense" or inner.attrs["activation"] != "linear":
            return None
        made = make("dense", *inner.inputs, activation=new.op, **new.attrs)
    if made is not None:
        made.name = old.name
    return made
