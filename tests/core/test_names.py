"""Names of other libraries: taken where they mean the same, answered where they do not."""

from __future__ import annotations

import doctest
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core import names


@pytest.mark.parametrize(
    ("given", "loss"),
    [
        ("mse", "mean_squared_error"),
        ("MSE", "mean_squared_error"),
        ("squared_error", "mean_squared_error"),
        ("sparse_categorical_crossentropy", "cross_entropy"),
        ("categorical_crossentropy", "cross_entropy"),
        ("binary_crossentropy", "binary_cross_entropy"),
    ],
)
def test_losses(given: str, loss: str) -> None:
    assert lm.Sequential([lm.Dense(1)], given, backend="numpy").loss.name == loss


@pytest.mark.parametrize(
    ("given", "metric"),
    [("acc", "accuracy"), ("mae", "mean_absolute_error"), ("mse", "mean_squared_error")],
)
def test_metrics(given: str, metric: str) -> None:
    loss = support.huber
    assert lm.Sequential([lm.Dense(1)], loss, metrics=(given,)).metrics[0].name == metric


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("logistic", "sigmoid"),
        ("identity", "linear"),
        ("swish", "silu"),
        ("Hardswish", "hard_swish"),
    ],
)
def test_activations(given: str, same: str) -> None:
    assert lm.Dense(3, given) == lm.Dense(3, same)


@pytest.mark.parametrize(
    ("given", "same"), [("glorot_normal", "xavier"), ("he_normal", "he"), ("lecun_normal", "lecun")]
)
def test_initializers(given: str, same: str) -> None:
    first = [
        lm.Sequential([lm.Dense(2, kernel_initializer=name)], "mse", seed=0).build(3).get_weights()
        for name in (given, same)
    ]
    assert support.same(*first)


@pytest.mark.parametrize("given", ["adam", "Adam", "SGD", "RMSprop", "adamw"])
def test_optimizers_in_any_case(given: str) -> None:
    made = lm.Sequential([lm.Dense(1)], "mse", given).optimizer
    assert type(made).__name__.lower() == given.lower()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: lm.Sequential([lm.Dense(1)], "log_loss"), '"cross_entropy" after softmax'),
        (lambda: lm.Sequential([lm.Dense(1)], "log_cosh"), "lm.ops.softplus"),
        (lambda: lm.Sequential([lm.Dense(1)], "poisson_nll"), "rates, from softplus"),
        (lambda: lm.Dense(3, "relu6"), "activation=lambda z: lm.ops.clip"),
        (lambda: lm.Dense(3, "HardTanh"), "activation=lambda z: lm.ops.clip"),
        (lambda: lm.Dense(3, kernel_initializer="glorot_uniform"), 'same variance is "xavier"'),
    ],
)
def test_what_is_not_here_is_answered(make: Any, says: str) -> None:
    with pytest.raises(lm.UnknownName) as caught:
        make()
    assert says in str(caught.value)
    assert "did you mean" not in str(caught.value)


def test_the_answers_can_be_run() -> None:
    x = np.random.default_rng(0).normal(size=(6, 2))
    y = np.array([[1.0], [-1.0]] * 3)
    for kind in ("loss", "activation"):
        for name, answer in names.NEAR[kind].items():
            if f"{kind}=" not in answer:
                continue
            code = answer.split(f"{kind}=", 1)[1].split(";")[0].split(", y -1")[0]
            function = eval(code, {"lm": lm})
            settings = {"loss": "mse", "activation": None, kind: function}
            model = lm.Sequential(
                [lm.Dense(1, settings["activation"])], settings["loss"], seed=0, dtype="float64",
                backend="numpy",
            )  # fmt: skip
            assert lm.check_gradients(model, x, y), name


def test_layers_that_are_in_no_list() -> None:
    for layers in ((lm.Dense(3), lm.Dense(1)), (lm.Dense(3), "mse")):
        with pytest.raises(lm.BadInput, match=r"Sequential\(\[Dense\(3\), \.\.\.\], loss=\.\.\.\)"):
            lm.Sequential(*layers)  # type: ignore[arg-type]


def test_doctests() -> None:
    assert doctest.testmod(names).failed == 0
