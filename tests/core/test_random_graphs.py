"""Random graphs of operations as layers and losses; faults that they find; and what they found."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import lamina as lm
import numpy as np
import planted
import pytest
import support
from lamina.backends import threads
from lamina.backends.numpy import NumpyBackend
from lamina.core.graph import derivatives, fusion
from lamina.core.graph.graph import Node, leaf
from lamina.kernels import ops
from lamina.kernels.errors import ShapeError
from lamina.kernels.op import Kernel
from lamina.kernels.spec import ROWS, Rows, Spec
from maintenance import script

tool = script("random_graphs")
WALKS = True  # whether an operation that the numba backend walks is a fault
WAYS = [way for backend in support.CPU for way in tool.ways(backend)]
# Rows that no user's layer or loss is written with.
INNER = ("softmax_cross_entropy", "sigmoid_binary_cross_entropy", "dropout_mask", "keep", "rescale",
         "shrink", "add_decay", "clip_norm", "assign")  # fmt: skip


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = list(threads._chosen)
    yield
    threads._chosen[:] = before


def findings(cases: range, *tried: Any, **options: Any) -> list[str]:
    """What is found, with the source of each case, not shrunk."""
    checker = tool.Checker(list(tried), WALKS, **options)
    cases_tried = [tool.drawn(0, number) for number in cases]
    found = [f"{what}\n{case}" for case in cases_tried for what in checker.check(case)]
    assert checker.loose.total() <= len(cases) / 2 * len({way.dtype for way in tried})
    return found


@pytest.mark.long
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_random_graphs_give_the_numbers_of_the_oracle(way: Any) -> None:
    assert findings(range(20) if way.backend == "numpy" else range(20, 24), way) == []


@pytest.mark.long
@pytest.mark.parametrize("backend", support.CPU)
def test_more_random_graphs_give_the_numbers_of_the_oracle(backend: str) -> None:
    cases = range(100, 115 if backend == "loops" else 140)
    assert findings(cases, *tool.ways(backend), differences=True) == []


# Drawing


@pytest.mark.long
def test_drawn_graphs_are_of_every_operation_depth_and_rank() -> None:
    seen: Counter[str] = Counter()
    depths, ranks = set(), set()
    for number in range(500):
        graph = tool.drawn(0, number).graph
        seen.update(one.op for one in graph.statements)
        depths.add(graph.depth)
        ranks |= {node.ndim for node in graph.nodes().values()}
    public = {n for n in ops.OPS if not n.endswith(("_backward", "_update")) and n not in INNER}
    assert public <= set(seen)
    assert depths == set(range(1, 9))
    assert ranks == {0, 1, 2, 3}


def test_a_number_always_draws_the_same_graph() -> None:
    assert [str(tool.drawn(3, n)) for n in range(9)] == [str(tool.drawn(3, n)) for n in range(9)]


@pytest.mark.parametrize("kind", ["layer", "loss"])
def test_what_is_printed_runs_and_gives_the_numbers_of_the_oracle(kind: str) -> None:
    case = next(c for c in (tool.drawn(0, n) for n in range(50)) if c.graph.kind == kind)
    printed: list[Any] = []
    text = str(case).replace('("numpy", "numba", "loops")', '("numpy",)')
    exec(text, {"print": lambda *values: printed.append(values)})
    (_, gradients, evaluated), (history,) = printed
    wanted, _ = tool.judged(case, "float64")
    for layer, arrays in enumerate(gradients):
        for name, array in arrays.items():
            assert wanted.difference(f"gradient of {layer}.{name}", array) == ""
    assert wanted.difference("loss", evaluated["loss"]) == ""
    assert wanted.difference("history", history["loss"]) == ""


# Planted faults


def operations(case: Any) -> list[str]:
    """What a case's statements compute."""
    return [one.op for one in case.graph.statements]


def first_found(way: Any, op: str = "", kind: str = "") -> tuple[Any, Any, Any]:
    """The checker, and the first of some cases with an operation in which it finds something."""
    checker = tool.Checker([way])
    drawn = (tool.drawn(0, number) for number in range(1000))
    for case in islice((case for case in drawn if not op or op in operations(case)), 25):
        for found in checker.check(case):
            if found.kind[1].startswith(kind):
                return checker, case, found
    raise AssertionError("nothing was found")


NUMPY = tool.Way("numpy", "float64")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maximum", "mean", "matmul", "softmax", "where"])
def test_a_wrong_sign_in_a_derivative_is_found(name: str, monkeypatch: Any) -> None:
    right = derivatives.RULES[name]

    def wrong(*given: Any) -> list[Node | None]:
        return [None if gradient is None else -gradient for gradient in right(*given)]

    monkeypatch.setitem(derivatives.RULES, name, wrong)
    _, _, found = first_found(NUMPY, name)
    assert found.where == "derivatives"


@pytest.mark.slow
def test_a_loss_that_counts_other_rows_is_found() -> None:
    for executor in (planted.StaleRows, planted.FullNormaliser, planted.NoWeights):
        device = planted.device(executor)
        _, _, found = first_found(tool.Way(device, "float64"))
        assert found.where == f"{device.name} float64"


class Broadcast(NumpyBackend):
    """Takes the first number of a column for all of them, where it is spread over a matrix."""

    name = "broadcast"

    @cached_property
    def _kernels(self) -> dict[str, Kernel]:
        def multiply(out: Any, a: Any, b: Any) -> None:
            column = np.shape(b)[1:] == (1,) and np.shape(a) != np.shape(b)
            np.multiply(a, b[:1] if column else b, out=out[0])

        return {**super()._kernels, "multiply": Kernel("multiply", multiply)}


@pytest.mark.long
def test_a_kernel_that_is_wrong_for_a_broadcast_is_found_and_shrunk() -> None:
    checker, case, found = first_found(tool.Way(Broadcast(), "float64"), "multiply")
    small = checker.shrink(case, found)
    assert "multiply" in operations(small)
    assert len(small.graph.statements) <= max(3, len(case.graph.statements) // 2)
    assert any(other.kind == found.kind for other in checker.check(small))


@pytest.mark.slow
def test_a_fusion_that_loses_a_bias_is_found_in_float32_too(monkeypatch: Any) -> None:
    right = fusion._dense

    def wrong(new: Node, old: Node, readers: Any) -> Node | None:
        found = right(new, old, readers)
        if found is None or found.op != "dense" or len(found.inputs) < 3:
            return found
        return Node("dense", found.inputs[:2], found.attrs, found.specs, found.name)

    monkeypatch.setattr(fusion, "_dense", wrong)
    first_found(tool.Way("numpy", "float32"), kind="trained")


# Shrinking


@pytest.mark.slow
def test_the_shrinker_leaves_what_the_failure_needs() -> None:
    drawn = (tool.drawn(0, number) for number in range(1000))
    case = next(
        c for c in drawn if {"mean", "transpose"} < set(operations(c)) and c.graph.depth > 6
    )

    def fails(candidate: Any) -> bool:
        return {"mean", "transpose"} <= set(operations(candidate)) and candidate.rows >= 2

    small = tool.shrunk(case, fails)
    assert len(small.graph.statements) <= min(5, len(case.graph.statements) - 2)
    assert (small.rows, small.batch, small.weighted, small.wrapped) == (2, 1, False, False)
    assert fails(small)
    assert small.graph.fits()


def test_a_process_that_dies_is_a_finding(monkeypatch: Any, capsys: Any) -> None:
    codes = iter([-11, 0])
    monkeypatch.setattr(tool, "python", lambda *_: next(codes, 0))
    monkeypatch.setattr(tool, "dies", lambda case, backend: True)
    monkeypatch.setattr(tool.sys, "argv", ["", "--count", "1", "--backend", "numpy"])
    assert tool.main() == 1
    assert "signal 11" in capsys.readouterr().out


@pytest.mark.long
def test_the_command_tries_graphs_and_says_what_it_tried(monkeypatch: Any, tmp_path: Any) -> None:
    def here(*arguments: Any) -> int:
        monkeypatch.setattr(tool.sys, "argv", ["", *map(str, arguments)])
        return int(tool.main())

    told = io.StringIO()
    monkeypatch.setattr(tool, "python", here)
    monkeypatch.setattr(tool.sys, "argv", ["", "--count", "3", "--backend", "numpy"])
    with contextlib.redirect_stdout(told):
        assert tool.main() == 0
    assert told.getvalue().startswith("3 graphs, 0 findings\noperations: ")


# What they found


def sums_of_products(x: Node) -> Node:
    """Each row's products with all rows, (n, n), summed and spread again."""
    products = lm.ops.matmul(x, x, transpose_b=True)
    wide = lm.ops.broadcast_to(products, shape=(2, *products.shape))
    return lm.ops.tanh(wide).sum(axis=0).mean(axis=1)


@pytest.mark.parametrize("backend", support.CPU)
@pytest.mark.parametrize(
    "f", [sums_of_products, lambda x: (x @ x.T).reshape(1, ROWS, -1).sum(axis=(0, 2))]
)
def test_products_of_rows_with_rows_have_derivatives(backend: str, f: Callable[..., Any]) -> None:
    def loss(y: Node, p: Node) -> Node:
        return f(p)

    x, y = support.regression(6, 3, 2)
    model = lm.Sequential(
        [lm.Dense(2, "tanh")], loss=loss, backend=backend, dtype="float64", seed=0
    )
    assert lm.check_gradients(model, x, y).passed
    model.fit(x, y, epochs=2, batch_size=4, verbose=0)


def test_shapes_of_rows_by_rows_are_told_apart() -> None:
    x = leaf("batch", Spec((ROWS, 3), "float32"), "x")
    square = x @ x.T
    assert square.reshape(-1, 1, ROWS).shape == (ROWS, 1, ROWS)
    for shape in ((ROWS, 1), (ROWS, ROWS, 2), (4, 4)):
        with pytest.raises(ShapeError, match=r"has n \* n elements"):
            lm.ops.reshape(square, shape)
    with pytest.raises(ShapeError, match="does not fit"):
        square.reshape(-1, 2)
    assert isinstance(square.reshape(-1, ROWS).shape[0], Rows)


def test_a_single_number_is_a_parameter(tmp_path: Any) -> None:
    class Shift(lm.Layer):
        def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
            return {"by": lm.Parameter(())}

        def forward(self, x: Node, parameters: Any, context: Any) -> Node:
            return x + parameters["by"]

    x, y = support.regression(8, 2, 1)
    model = lm.Sequential([Shift(), lm.Dense(1)], "mean_squared_error", backend="numpy", seed=0)
    model.fit(x, y, batch_size=8, verbose=0)
    weights = model.get_weights()
    model.set_weights([np.asarray(0.5), *weights[1:]])
    assert model.get_weights()[0].shape == ()
    assert model.get_weights()[0] == 0.5
    assert lm.check_gradients(model, x, y).passed
    with pytest.raises(ShapeError, match=r"0\.by has shape"):
        model.set_weights([np.ones(2), *weights[1:]])
