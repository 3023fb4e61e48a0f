"""What simplification makes of models: programs before and after, and their numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from graph_support import built, counted, program
from lamina.benchmarks.networks import NETWORKS, Network, model_for
from lamina.core import programs, tracing
from lamina.core.graph import autodiff
from lamina.kernels.spec import ROWS, Spec

ops = lm.ops


def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are made without simplification."""
    for module in (programs, autodiff):
        monkeypatch.setattr(module, "simplify", list)
        monkeypatch.setattr(module, "simplify_all", lambda a, b: (dict(a), dict(b)))


@dataclass(frozen=True)
class Normed(lm.Layer):
    """Layer normalisation as its formula reads."""

    power: bool = False

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        row = (1, shape[-1])
        return {"scale": lm.Parameter(row, "ones"), "shift": lm.Parameter(row, "zeros")}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True) + 1e-5
        normed = centred / (variance**0.5 if self.power else ops.sqrt(variance))
        return normed * parameters["scale"] + parameters["shift"]


@dataclass(frozen=True)
class Gated(lm.Layer):
    """(x @ w + b) * sigmoid(x @ v + c), the sigmoid by hand."""

    units: int

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        pair = {"w": (shape[-1], self.units), "b": (self.units,)}
        pair |= {"v": (shape[-1], self.units), "c": (self.units,)}
        return {k: lm.Parameter(v, "xavier" if len(v) == 2 else "zeros") for k, v in pair.items()}

    def forward(self, x: Any, p: Any, context: Any) -> Any:
        return (x @ p["w"] + p["b"]) * (1.0 / (1.0 + ops.exp(-(x @ p["v"] + p["c"]))))


def gaussian(y: Any, p: Any) -> Any:
    """The negative log likelihood of a normal distribution: columns of means, of log deviations."""
    mean, deviation = p[:, 0:1], p[:, 1:2]
    return 0.5 * ((y - mean) / ops.exp(deviation)) ** 2 + deviation


MODELS: dict[str, tuple[Callable[[], lm.Sequential], int]] = {
    "layer norm": (lambda: built([lm.Dense(6), Normed(), lm.Dense(1)], "mean_squared_error"), 1),
    "power": (lambda: built([lm.Dense(6), Normed(True), lm.Dense(1)], "mean_squared_error"), 1),
    "gated": (lambda: built([Gated(5), lm.Dense(2)], support.huber), 2),
    "gaussian": (lambda: built([lm.Dense(6, "tanh"), lm.Dense(2)], gaussian), 1),
    "metrics": (
        lambda: built(
            [lm.Standardize(), lm.Dense(6, "relu"), lm.Dropout(0.3), lm.Dense(1)],
            "mean_squared_error", metrics=("mean_absolute_error", "mean_squared_error"),
        ),
        1,
    ),
}  # fmt: skip


def texts(network: Network) -> list[str]:
    """Its programs for training, evaluating and predicting, made without weights."""
    session = model_for(network, "numpy").session
    graph, optimizer = session.checked((network.sizes[0],))[True], session.optimizer
    layout = tracing.layout_of(graph, optimizer.segments())
    y = Spec((ROWS, 1), network.dtype if network.binary else "int32")
    made = [
        programs.train_program(
            graph, layout, session.loss, (), y, network.batch, last="",
            optimizer=optimizer if trains else None, differentiated=trains,
        )
        for trains in (True, False)
    ]  # fmt: skip
    made.append(programs.predict_program(graph, graph.prediction, layout, network.batch))
    return [str(one) for one in made]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.name)
def test_the_paved_road_is_as_it_was(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seven networks' programs are the same text with simplification and without."""
    simplified = texts(network)
    untouched(monkeypatch)
    assert simplified == texts(network)


@pytest.mark.parametrize("kind", ["train", "evaluate", "predict"])
def test_dropout_and_metrics_are_as_they_were(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [lm.Standardize(), lm.Dense(6, "relu"), lm.Dropout(0.3), lm.Dense(3, "softmax")]
    model = built(layers, "cross_entropy", metrics=("accuracy",))
    with_it = str(program(model, kind))
    untouched(monkeypatch)
    assert with_it == str(program(model, kind))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_squared_error_has_the_same_bits_without_its_ones(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = support.regression(23)

    def train() -> tuple[lm.Sequential, list[np.ndarray]]:
        model = built([lm.Dense(6, "tanh"), lm.Dense(2)], "mean_squared_error", dtype=dtype)
        model.fit(x, y, epochs=3, batch_size=5, verbose=0)
        return model, model.get_weights()

    model, weights = train()
    less = counted(program(model, outputs=2))
    untouched(monkeypatch)
    model, wanted = train()
    more = counted(program(model, outputs=2))
    assert support.same(weights, wanted)
    assert more - less == Counter(multiply=1, reshape=1, broadcast_to=1)


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_computed_twice_and_nothing_for_nobody(name: str) -> None:
    make, outputs = MODELS[name]
    made = program(make(), outputs=outputs)
    said = [
        (one.op, one.inputs, str(one.attrs))
        for where, one in made.instructions()
        if where != "update"
    ]
    assert len(set(said)) == len(said)
    read = {i for _, one in made.instructions() for i in one.inputs}
    read |= {*made.sums.values(), *made.gradients.values(), *made.outputs.values()}
    for _, one in made.instructions():
        assert read & set(one.outputs) or one.op.endswith("_update")


def test_layer_normalisation_is_as_short_as_it_can_be() -> None:
    """Its operations on whole matrices; those on a number a row cost nearly nothing."""
    made = program(built([lm.Dense(6), Normed(), lm.Dense(1)], "mean_squared_error"))
    wide = {v.id for v in made.values if v.spec.shape[1:] == (6,) and v.spec.symbolic}
    found: dict[str, list[str]] = {"forward": [], "backward": [], "update": []}
    for where, one in made.instructions():
        if wide & {*one.inputs, *one.outputs} and "dense" not in one.op:
            found[where].append(one.op)
    assert found["forward"] == [
        "mean", "subtract", "multiply", "mean", "multiply", "multiply", "add",
    ]  # fmt: skip
    assert found["backward"] == [
        "multiply", "multiply", "multiply", "sum", "multiply", "add", "sum", "add",  # of its input
        "multiply", "sum", "sum",  # of its scale and shift
    ]  # fmt: skip


def test_programs_of_one_s_own_layers_get_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    def lengths() -> dict[str, int]:
        made = {name: program(make(), outputs=k) for name, (make, k) in MODELS.items()}
        return {name: len(p.forward) + len(p.backward) for name, p in made.items()}

    assert lengths() == {
        "layer norm": 34, "power": 34, "gated": 35, "gaussian": 22, "metrics": 19,
    }  # fmt: skip
    untouched(monkeypatch)
    assert lengths() == {
        "layer norm": 44, "power": 46, "gated": 51, "gaussian": 30, "metrics": 23,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("backend", support.EVERY)
@pytest.mark.parametrize("name", MODELS)
def test_numbers_stay(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, outputs = MODELS[name]
    x, y = support.regression(23, outputs=outputs)

    def train() -> list[np.ndarray]:
        model = make().to(backend)
        model.fit(x, y, epochs=0, batch_size=5, verbose=0)  # Standardize learns
        losses = [model.train_on_batch(x[:k], y[:k])["loss"] for k in (23, 7, 23)]
        gradients = [g for layer in model.gradients(x, y) for g in layer.values()]
        told = list(model.evaluate(x, y).values())
        return [np.array([*losses, *told]), model.predict(x), *gradients]

    made = train()
    untouched(monkeypatch)
    for got, wanted in zip(made, train(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10)


def test_arguments_stand_for_any_number() -> None:
    """An argument that happens to be 0 or 1, or equal to another, is neither folded nor joined."""
    assert lm.grad(lambda a, b: a * b + a, backend="numpy")(1.0, 1.0) == (2.0, 1.0)
    assert lm.grad(lambda a, b: a + b, backend="numpy")(0.0, 0.0) == (1.0, 1.0)
    assert lm.grad(lambda a, b: a**b, backend="numpy")(3.0, 2.0)[0] == 6.0
    x = np.ones((2, 2))
    both = lm.grad(lambda a, b: (a * b * b).sum(), backend="numpy")(x, x)
    np.testing.assert_array_equal(both, [x, 2.0 * x])


def test_names_survive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer's output keeps its name when another node takes its place; the first name wins."""

    @dataclass(frozen=True)
    class Nothing(lm.Layer):
        def forward(self, x: Any, parameters: Any, context: Any) -> Any:
            return x * 1.0 + 0.0

    @dataclass(frozen=True)
    class Halved(lm.Layer):
        def forward(self, x: Any, parameters: Any, context: Any) -> Any:
            return (x + x * x) / 2.0

    layers = [lm.Dense(3), Nothing(), Halved(), Nothing(), lm.Dense(1)]
    model = built(layers, "mean_squared_error")
    named = {v.name for v in program(model).values if re.match(r"\d\.", v.name)}
    assert named >= {"0.dense", "2.halved", "4.dense", "0.weight", "4.bias"}
    assert not {n for n in named if "nothing" in n}
    assert [one.layer for one in program(model).forward if one.layer] == ["0", "2", "4"]
    assert "Nothing" in model.summary()
    untouched(monkeypatch)
    assert "1.nothing" in {v.name for v in program(model).values}


def test_a_trace_shows_both_what_is_said_and_what_is_computed() -> None:
    def f(z: Any) -> Any:
        return (-ops.log(ops.pick(ops.softmax(z), np.array([[1]])))).sum()

    z = np.array([[1.0, 2.0, 3.0]])
    before, after = (lm.trace(f, z, backend="numpy", simplified=s) for s in (False, True))
    assert [row[1].split("(")[0] for row in before.rows()] == [
        "input", "softmax", "pick", "log", "negative", "sum",
    ]  # fmt: skip
    assert [row[1].split("(")[0] for row in after.rows()] == [
        "input", "softmax_cross_entropy", "loss of v1",
    ]  # fmt: skip
    assert before.rows()[-1][2:] == after.rows()[-1][2:] == ("1.40761", "1")
    assert before.rows()[0][2:] == after.rows()[0][2:]
    assert "loss of v1" in after.to_dot()
