"""Dense layers, activations and losses spelled by hand: what is recognised, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from graph_support import built, counted, program

ops = lm.ops


@dataclass(frozen=True)
class Spelled(lm.Layer):
    """A dense layer in one of its spellings."""

    units: int
    spelling: str = "x @ w + b"
    activation: str = "tanh"

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        kernel = lm.initializers.get("xavier", "tanh")
        bias = (1, self.units) if "row" in self.spelling else (self.units,)
        found = {"weight": lm.Parameter((shape[-1], self.units), kernel)}
        return {**found, "bias": lm.Parameter(bias, "zeros")}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        w, b = parameters["weight"], parameters["bias"]
        z = {
            "x @ w + b": lambda: x @ w + b,
            "b + x @ w": lambda: b + x @ w,
            "row": lambda: b + (x @ w),
            "reshaped": lambda: (x.reshape((*x.shape, 1)).reshape(x.shape) @ w) + b.reshape(1, -1),
            "transposed": lambda: (x @ w.T.T).reshape((x.shape[0], -1)) + b,
            "scaled": lambda: 1.0 * (x @ w) + 0.0 + b,
            "spread": lambda: x @ w + ops.broadcast_to(b, (x.shape[0], self.units)),
        }[self.spelling]()
        return getattr(ops, self.activation)(z)


def numbers_of(y: Any) -> Any:
    return ops.cast(y, "int32")


def softmax_by_hand(z: Any) -> Any:
    e = ops.exp(z - ops.max(z, axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


ACTIVATIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "sigmoid by hand": ("sigmoid", lambda z: 1.0 / (1.0 + ops.exp(-z))),
    "silu": ("silu", lambda z: z * ops.sigmoid(z)),
    "silu by hand": ("silu", lambda z: z / (1.0 + ops.exp(-z))),
    "silu as a product": ("silu", lambda z: (1.0 / (ops.exp(-z) + 1.0)) * z),
    "softplus": ("softplus", lambda z: ops.log(1.0 + ops.exp(z))),
    "softplus by log1p": ("softplus", lambda z: ops.log1p(ops.exp(z))),
    "mish": ("mish", lambda z: z * ops.tanh(ops.softplus(z))),
    "mish by hand": ("mish", lambda z: ops.tanh(ops.log(ops.exp(z) + 1.0)) * z),
    "mish by log1p": ("mish", lambda z: z * ops.tanh(ops.log1p(ops.exp(z)))),
}

CLASSES: dict[str, Callable[[Any, Any], Any]] = {
    "picked": lambda y, z: -ops.log(ops.pick(ops.softmax(z), numbers_of(y))),
    "logarithms": lambda y, z: -ops.pick(ops.log(ops.softmax(z)), numbers_of(y)),
    "by hand": lambda y, z: -ops.log(ops.pick(softmax_by_hand(z), numbers_of(y))),
    "operations": lambda y, z: ops.cross_entropy(ops.softmax(z), numbers_of(y)),
    "negated": lambda y, z: ops.pick(-ops.log_softmax(z), numbers_of(y)) * 1.0,
}


def likelihood(y: Any, q: Any) -> Any:
    return -(y * ops.log(q) + (1.0 - y) * ops.log(1.0 - q))


CHANCES: dict[str, Callable[[Any, Any], Any]] = {
    "by hand": lambda y, z: likelihood(y, 1.0 / (1.0 + ops.exp(-z))),
    "sigmoid": lambda y, z: likelihood(y, ops.sigmoid(z)),
    "negative terms": lambda y, z: (
        -y * ops.log(ops.sigmoid(z)) - (1.0 - y) * ops.log1p(-ops.sigmoid(z))
    ),
    "meaned": lambda y, z: likelihood(y, ops.sigmoid(z)).mean(axis=1),
    "from logits": lambda y, z: ops.softplus(z) - z * y,
    "operations": lambda y, z: ops.binary_cross_entropy(ops.sigmoid(z), y),
}


@pytest.mark.parametrize("spelling", ["x @ w + b", "b + x @ w", "row", "reshaped", "transposed",
                                      "scaled", "spread"])  # fmt: skip
def test_a_dense_layer_is_recognised(spelling: str) -> None:
    x, y = support.regression(23, outputs=1)
    own = built([Spelled(5, spelling), lm.Dense(1)], "mean_squared_error")
    known = built([lm.Dense(5, "tanh"), lm.Dense(1)], "mean_squared_error")
    operations = counted(program(own))
    assert (operations["dense"], operations["dense_backward"]) == (2, 2)
    assert not operations.keys() & {"matmul", "add", "tanh", "tanh_backward", "transpose"}
    own.set_weights([w.reshape(v.shape) for w, v in zip(
        known.get_weights(), own.get_weights(), strict=True)])  # fmt: skip
    for model in (own, known):
        model.fit(x, y, epochs=3, batch_size=5, verbose=0)
    for a, b in zip(own.get_weights(), known.get_weights(), strict=True):
        np.testing.assert_array_equal(a.reshape(b.shape), b)


@pytest.mark.parametrize("spelling", ACTIVATIONS)
def test_activations_are_recognised(spelling: str) -> None:
    """The program is that of the activation by its name, and trains to the same bits."""
    x, y = support.regression(23, outputs=1)
    name, by_hand = ACTIVATIONS[spelling]
    own = built([lm.Dense(5, by_hand), lm.Dense(1)], "mean_squared_error")
    known = built([lm.Dense(5, name), lm.Dense(1)], "mean_squared_error")
    assert counted(program(own)) == counted(program(known))
    own.set_weights(known.get_weights())
    for model in (own, known):
        model.fit(x, y, epochs=3, batch_size=5, verbose=0)
    for a, b in zip(own.get_weights(), known.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_dense_layer_stays() -> None:
    def forward(of: Callable[[Any, Any, Any], Any], w: tuple[int, ...], b: tuple[int, ...]) -> str:
        x, *pair = (np.ones(shape) for shape in ((5, 4), w, b))
        return str(
            lm.trace(lambda x, w, b: of(x, w, b), x, *pair, backend="numpy", simplified=True)
        )

    assert "dense" in forward(lambda x, w, b: x @ w + b, (4, 3), (3,))
    assert "dense" not in forward(lambda x, w, b: x @ w + b, (4, 5), (5, 1))  # one a row
    assert "dense" not in forward(lambda x, w, b: x @ w + b, (4, 3), (5, 3))
    assert "dense" not in forward(lambda x, w, b: x @ w + b, (4, 3), ())
    assert "dense" not in forward(lambda x, w, b: (x @ w) + (x @ w + b), (4, 3), (3,))
    assert "dense" not in forward(lambda x, w, b: x @ w + b, (2, 4, 3), (3,))


@pytest.mark.parametrize("spelling", CLASSES)
def test_softmax_losses_are_recognised(spelling: str) -> None:
    x, y = support.classes(23)
    weights = np.linspace(0.1, 2.0, 23)
    own = built([lm.Dense(5, "tanh"), lm.Dense(3)], CLASSES[spelling])
    known = built([lm.Dense(5, "tanh"), lm.Dense(3, "softmax")], "cross_entropy")
    operations = counted(program(own))
    assert operations["softmax_cross_entropy"] == operations["softmax_cross_entropy_backward"] == 1
    assert operations.total() == counted(program(known)).total() + 1  # the cast of its labels
    known.set_weights(own.get_weights())
    for model in (own, known):
        model.fit(x, y, epochs=3, batch_size=5, verbose=0, sample_weight=weights)
    assert support.same(own.get_weights(), known.get_weights())


@pytest.mark.parametrize("spelling", CHANCES)
@pytest.mark.parametrize("outputs", [1, 2])
def test_sigmoid_losses_are_recognised(spelling: str, outputs: int) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((23, 4)), rng.random((23, outputs))
    weights = np.linspace(0.1, 2.0, 23)
    own = built([lm.Dense(5, "tanh"), lm.Dense(outputs)], CHANCES[spelling])
    layers = [lm.Dense(5, "tanh"), lm.Dense(outputs, "sigmoid")]
    known = built(layers, "binary_cross_entropy")
    assert counted(program(own, outputs=outputs)) == counted(program(known, outputs=outputs))
    known.set_weights(own.get_weights())
    for model in (own, known):
        model.fit(x, y, epochs=3, batch_size=5, verbose=0, sample_weight=weights)
    assert support.same(own.get_weights(), known.get_weights())


def test_what_is_another_loss_stays() -> None:
    """Guards against log(0), weights of classes, and smoothed labels are not the loss itself."""

    def halves(y: Any, z: Any, of: Any = 1.0, other: Any = 1.0, rest: float = 1.0) -> Any:
        yes, no = ops.log(ops.sigmoid(z)), ops.log(1.0 - ops.sigmoid(other * z))
        return -(y * yes + of * (rest - y) * no)

    others: list[Callable[[Any, Any], Any]] = [
        lambda y, z: likelihood(y, ops.clip(ops.sigmoid(z), low=1e-7, high=1.0 - 1e-7)),
        lambda y, z: halves(y, z, of=2.0),
        lambda y, z: halves(y, z, other=2.0),
        lambda y, z: halves(y, z, rest=2.0),
        lambda y, z: ops.log(ops.pick(ops.softmax(z), numbers_of(y))),  # its sign is the other
        lambda y, z: ops.softplus(z) - (z + 1.0) * y,
    ]
    for loss in others:
        found = counted(program(built([lm.Dense(1)], loss)))
        assert not {name for name in found if "cross_entropy" in name}


def test_a_recognised_loss_is_finite_for_saturated_rows() -> None:
    z, labels = np.array([[1000.0, -1000.0], [-1000.0, 1000.0]]), np.array([[1], [1]])
    for loss in CLASSES.values():
        cost, dz = lm.value_and_grad(lambda z, f=loss: f(labels, z).sum(), backend="numpy")(z)
        assert cost == 2000.0
        np.testing.assert_array_equal(dz, [[1.0, -1.0], [0.0, 0.0]])
    for loss in CHANCES.values():
        column = z[:, 0:1]
        cost, dz = lm.value_and_grad(
            lambda z, f=loss: f(np.array([[0.0], [1.0]]), z).sum(), backend="numpy"
        )(column)
        assert cost == 2000.0
        np.testing.assert_array_equal(dz, [[1.0], [-1.0]])


@pytest.mark.parametrize("crossed", [False, True])
def test_labels_made_from_the_probabilities_themselves(crossed: bool) -> None:
    """They are not fused with what they are made from, nor two pairs with each other."""
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))

    def f(a: Any, b: Any) -> Any:
        p, q = ops.softmax(a), ops.softmax(b)
        first = ops.argmax(q if crossed else p, axis=-1, keepdims=True)
        second = ops.argmax(p if crossed else q, axis=-1, keepdims=True)
        return ops.cross_entropy(p, first).sum() + ops.cross_entropy(q, second).sum()

    def picked(z: Any, other: Any) -> Any:
        shifted = z - z.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -np.take_along_axis(logs, other.argmax(axis=1)[:, None], 1).sum()

    cost, (da, _) = lm.value_and_grad(f, backend="numpy")(a, b)
    wanted = picked(a, b) + picked(b, a) if crossed else picked(a, a) + picked(b, b)
    assert cost == pytest.approx(wanted, rel=1e-12)
    chosen = (b if crossed else a).argmax(axis=1)
    p = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(da, p - np.eye(3)[chosen], rtol=1e-9, atol=1e-12)
