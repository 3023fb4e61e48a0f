"""Indices and labels out of range are refused in words, the same on every backend."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.backends.bounds import check
from lamina.backends.state import DataBlock
from lamina.backends.walker import Walker
from lamina.core.checkpoint import digest
from safetensors.numpy import save_file
from support import CPU, EVERY

X = np.random.default_rng(0).standard_normal((20, 4)).astype("float32")
ORDER = [-1, 3, 10**6]  # out of range of three classes


def picked(y: Any, p: Any) -> Any:
    return -lm.ops.log(lm.ops.pick(p, lm.ops.cast(y, "int32")))


def marked(y: Any, p: Any) -> Any:
    hot = lm.ops.one_hot(lm.ops.cast(y, "int32"), classes=3, dtype="float32")
    return ((p - hot) ** 2).sum(axis=1, keepdims=True)


def entropy(y: Any, p: Any) -> Any:
    return lm.ops.cross_entropy(p, lm.ops.cast(y, "int32"))


def taken(y: Any, p: Any) -> Any:
    table = np.ones((3, 1), "float32")
    rows = lm.ops.gather_rows(table, lm.ops.cast(y.reshape(-1), "int32"))
    return rows * p.sum(axis=1, keepdims=True)


def computed(y: Any, p: Any) -> Any:
    return lm.ops.pick(p, lm.ops.cast(y + 1.0, "int32"))


@dataclass(frozen=True)
class Embedding(lm.Layer):
    """Rows of a table by the numbers in the first column."""

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        return {"table": lm.Parameter((5, 2), "random_normal")}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return lm.ops.gather_rows(parameters["table"], lm.ops.cast(x[:, 0], "int32"))


def model(loss: Any, backend: Any) -> lm.Sequential:
    return lm.Sequential([lm.Dense(3, "softmax")], loss=loss, backend=backend, seed=0)


def labels(bad: float) -> np.ndarray:
    y = np.arange(20.0) % 3
    y[13] = bad
    return y


@pytest.mark.parametrize("bad", ORDER)
@pytest.mark.parametrize("loss", [picked, marked, entropy, taken])
@pytest.mark.parametrize("backend", EVERY)
def test_a_loss_of_ones_own_reads_no_label_out_of_range(backend: str, loss: Any, bad: int) -> None:
    one = model(loss, backend)
    with pytest.raises(lm.BadInput, match=rf"y has {bad} at row 13, .* go from 0 to 2"):
        one.fit(X, labels(bad), epochs=1, batch_size=8, verbose=0)
    with pytest.raises(lm.BadInput, match=rf"y has {bad} at row 13"):
        one.evaluate(X, labels(bad))
    with pytest.raises(lm.BadInput, match=rf"y has {bad} at row 13"):
        one.train_on_batch(X, labels(bad))
    one.fit(X, labels(1), epochs=1, batch_size=8, verbose=0)


@pytest.mark.parametrize("bad", ORDER)
@pytest.mark.parametrize("backend", EVERY)
def test_a_label_that_a_step_computes_is_told_with_its_row_of_the_data(
    backend: str, bad: int
) -> None:
    one = model(computed, backend)
    before = one.build(4).get_weights()
    with pytest.raises(lm.BadInput, match=rf"labels has {bad} at row 13, but x has 3 columns"):
        one.fit(X, labels(bad) - 1.0, epochs=1, batch_size=20, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, one.get_weights(), strict=True))


@pytest.mark.parametrize("backend", EVERY)
def test_features_that_become_indices_are_checked_wherever_they_come_in(
    backend: str, tmp_path: Any
) -> None:
    one = lm.Sequential(
        [Embedding(), lm.Dense(1)], loss="mean_squared_error", backend=backend, seed=0
    )
    x = np.random.default_rng(1).integers(0, 5, (20, 3)).astype("float32")
    one.fit(x, np.ones(20), epochs=1, batch_size=8, verbose=0)
    x[7, 0] = 5
    words = "x has 5 at row 7, column 0, but x has 5 rows, so indices go from 0 to 4"
    on_disk = np.memmap(tmp_path / "x", "float32", "w+", shape=x.shape)
    on_disk[...] = x
    for call in (
        lambda: one.fit(x, np.ones(20), epochs=1, batch_size=8, verbose=0),
        lambda: one.predict(x),
        lambda: one.prepare()(x),
        lambda: one.predict(on_disk),
        lambda: one.evaluate(x, np.ones(20)),
        lambda: lm.profile(one, x, np.ones(20), steps=1),
    ):
        with pytest.raises(lm.BadInput, match=words):
            call()


CALLS = {
    "gather_rows": lambda x, i: lm.ops.gather_rows(x, i),
    "scatter_rows": lambda x, i: lm.ops.scatter_rows(x, i, rows=2),
    "pick": lambda x, i: lm.ops.pick(x, i.reshape(-1, 1)),
    "one_hot": lambda x, i: lm.ops.one_hot(i.reshape(-1, 1), classes=3, dtype="float64") * x,
    "cross_entropy": lambda x, i: lm.ops.cross_entropy(x, i.reshape(-1, 1)),
    "softmax_cross_entropy": lambda x, i: lm.ops.softmax_cross_entropy(
        x, i.reshape(-1, 1), np.ones((2, 1))
    ),
}


@pytest.mark.parametrize("bad", [-1, 3, 7, 10**6, -(10**8)])
@pytest.mark.parametrize("name", CALLS)
def test_eager_calls_refuse_constants_and_computed_indices(name: str, bad: int) -> None:
    x = np.arange(6.0).reshape(2, 3) + 1.0
    told = set()
    for backend in CPU:
        for more in (0, 1):  # a constant, and a sum that a step makes

            def f(x: Any, i: Any, more: int = more) -> Any:
                return lm.ops.sum(CALLS[name](x, i + more if more else i))

            with pytest.raises(lm.BadInput, match=rf"\[{name}\] .* has {bad} at row 1") as caught:
                lm.value_and_grad(f, 0, backend=backend)(x, np.array([0, bad]) - more)
            told.add((more, str(caught.value)))
            with pytest.raises(lm.BadInput, match=rf"has {bad} at row 1"):
                lm.trace(f, x, np.array([0, bad]) - more, backend=backend)
    assert len(told) == 2  # in the same words on every backend


def test_indices_that_cannot_be_out_of_range_are_not_looked_at() -> None:
    def chosen(y: Any, p: Any) -> Any:
        best = lm.ops.argmax(p, axis=-1, keepdims=True)
        low = lm.ops.clip(lm.ops.cast(p, "int32"), 0, 2)[:, 0:1]
        return lm.ops.pick(p, best) + lm.ops.pick(p, low)

    for loss in (chosen, "cross_entropy"):
        program = model(loss, "numpy").build(4).session.program("train", 8, 1)
        assert program.bounds == ()
        assert program.computed == frozenset()
    bounds = model(picked, "numpy").build(4).session.program("train", 8, 1).bounds
    # a loss that is written out is recognised, and looks at its labels as the built-in one does
    assert [(b.column, b.op, b.limit) for b in bounds] == [("y", "softmax_cross_entropy", 3)]


def test_a_plug_in_that_is_walked_says_the_same() -> None:
    backend = lm.get_backend("numba")
    one = model(picked, backend).build(4)
    program = one.session.program("evaluate", 20, 1)
    data = DataBlock(backend, {"x": X, "y": labels(9).reshape(-1, 1).astype("float32")})
    with pytest.raises(lm.BadInput, match="y has 9 at row 13"):
        Walker(backend, program).bind(one.state, data)
    with pytest.raises(lm.BadInput, match="y has 9 at row 13") as caught:
        check(program, data)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("depth", [70, 3000, 200_000])
def test_a_description_that_nests_too_deeply_is_refused(tmp_path: Any, depth: int) -> None:
    nested = "[" * depth + "]" * depth
    for words in (nested, '{"layers": ' + nested + "}", '{"a":' * depth + "1" + "}" * depth):
        metadata = {
            "format": "lamina", "version": "1", "model": words, "digest": digest({}, words),
        }  # fmt: skip
        save_file({}, tmp_path / "m", metadata)
        with pytest.raises(lm.CheckpointError, match="nests too deeply"):
            lm.load(tmp_path / "m")
