"""An array namespace alone is a complete backend, and a device says what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends.conformance import check_operations
from lamina.backends.dispatch import resolve
from lamina.core.conformance import PROGRAMS, check_program
from lamina.kernels.spec import Spec

array_api_strict = pytest.importorskip("array_api_strict")  # of the test extra


class Strict(lm.Backend):
    """array_api_strict: exactly the standard, nothing of NumPy besides; no kernels."""

    name = "strict"
    functional = True

    @property
    def xp(self) -> Any:
        return array_api_strict


def jax_backend() -> lm.Backend:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    class Jax(lm.Backend):
        name = "jax"
        functional = True

        @property
        def xp(self) -> Any:
            return jax.numpy

    return Jax()


NAMESPACES: dict[str, Callable[[], lm.Backend]] = {"array-api-strict": Strict, "jax": jax_backend}


@pytest.fixture(params=NAMESPACES)
def namespace(request: pytest.FixtureRequest) -> lm.Backend:
    return NAMESPACES[request.param]()


def test_digits_train_on_a_namespace_alone(namespace: lm.Backend) -> None:
    digits = lm.datasets.load("digits")
    x, y = digits.x_train[:640], digits.y_train[:640]

    def trained(backend: Any) -> tuple[list[float], list[float], float, list[np.ndarray]]:
        layers = [
            lm.Standardize(),
            lm.Dense(32, activation="relu"),
            lm.Dense(10, activation="softmax"),
        ]
        model = lm.Sequential(
            layers, loss="cross_entropy", optimizer=lm.Adam(0.01), metrics=("accuracy",),
            backend=backend, dtype="float64", seed=5,
        )  # fmt: skip
        told = model.fit(x, y, epochs=4, batch_size=48, verbose=0).history
        test = model.evaluate(digits.x_test, digits.y_test)["accuracy"]
        return told["loss"], told["accuracy"], test, model.get_weights()

    losses, accuracies, test, weights = trained(namespace)
    assert sorted(accuracies) == accuracies
    assert accuracies[0] < accuracies[-1]
    assert test > 0.85
    wanted = trained("numpy")
    np.testing.assert_allclose(losses, wanted[0], rtol=1e-10)
    assert accuracies == pytest.approx(wanted[1])
    for a, b in zip(weights, wanted[3], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_everything_else_works_on_a_namespace_alone(namespace: lm.Backend) -> None:
    pairs = zip(
        support.everything(namespace, inspected=False),
        support.everything("numpy", False),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    x, y = support.regression(20)
    models = [
        lm.Sequential(
            [lm.Dense(5, activation="leaky_relu"), lm.Dense(2, activation="softplus")],
            loss=support.huber, optimizer=lm.RMSprop(0.01), backend=b, dtype="float64", seed=1,
        )
        for b in (namespace, "numpy")
    ]  # fmt: skip
    told = [m.fit(x, y, epochs=3, batch_size=8, verbose=0).history["loss"] for m in models]
    np.testing.assert_allclose(told[0], told[1], rtol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_kit_s_programs_pass_on_a_namespace_alone(namespace: lm.Backend, name: str) -> None:
    for dtype in namespace.dtypes:
        assert check_program(namespace, name, dtype) == []


@pytest.mark.long
def test_the_kit_s_operations_pass_on_a_namespace_alone() -> None:
    failed = [str(f) for _, failures in check_operations(Strict()) for f in failures]
    assert failed == []


def test_float32_stays_float32(namespace: lm.Backend) -> None:
    x, y = support.classes(20)
    model = support.classifier(namespace, dtype="float32")
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    for flat in model.state.flats.values():
        assert str(flat.dtype).endswith("float32")
    assert model.predict(x).dtype == np.float32


def test_explain_names_the_reference_where_there_is_no_kernel() -> None:
    text = lm.explain(support.classifier(Strict()).build(4))
    assert text.count("vectorised reference") == sum(
        line.startswith(("forward", "backward", "update")) for line in text.splitlines()
    )
    assert "chosen by: asked for: a Backend object" in text


# What a device declares


class Single(Strict):
    name = "single"
    dtypes = ("float32",)


def test_a_dtype_that_the_device_lacks_is_refused_at_once() -> None:
    with pytest.raises(lm.DtypeError, match="backend 'single' has no float64; it has float32"):
        support.classifier(Single())
    support.classifier(Single(), dtype="float32").fit(*support.classes(16), batch_size=8, verbose=0)
    with pytest.raises(lm.DtypeError, match=r"\[add\] backend 'single' has no float64"):
        resolve(Single(), "add", [Spec((2,), "float64")] * 2, {})
    model = support.classifier("numpy").build(4)
    with pytest.raises(lm.DtypeError, match="has no float64"):
        model.to(Single())
    assert model.backend.name == "numpy"
    assert model.predict(support.classes(4)[0]).shape == (4, 3)


@pytest.mark.long
def test_a_device_with_one_dtype_passes_the_kit() -> None:
    found = [str(f) for _, failures in lm.check_backend(Single()) for f in failures]
    assert found == []
