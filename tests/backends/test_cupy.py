"""The cupy backend on CuPy's strict fake: faults that were found on it, each by a test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import measured
from lamina.backends.conformance.operations import LAYOUTS
from lamina.backends.dispatch import resolve
from lamina.kernels.spec import Spec

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")


@pytest.fixture
def device() -> Iterator[Any]:
    """The backend on the fake's first device."""
    with cupy_fake.installed():
        yield lm.get_backend("cupy")


@pytest.fixture
def expressions(device: Any) -> Any:
    """The same without kernels of its own."""
    from cupy_fake.expressions import Expressions

    return Expressions()


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """The names of all launches."""
    heard: list[str] = []
    cupy_fake.log.append(heard)
    yield heard
    cupy_fake.log.remove(heard)


@dataclass(frozen=True)
class Gain(lm.Layer):
    """One number for all features, of rank 0, times a constant."""

    def parameters(self, shape: tuple[int, ...]) -> dict[str, lm.Parameter]:
        return {"gain": lm.Parameter((), "ones")}

    def forward(self, x: Any, parameters: Any, context: Any) -> Any:
        return x * (parameters["gain"] * 2.0 + 1.0)


@pytest.mark.slow
def test_an_array_of_rank_0_stays_one(device: Any) -> None:
    assert device.asarray(np.array(2.0)).shape == ()
    x, y = support.regression(12, 3, 1)
    losses = [
        lm.Sequential([Gain(), lm.Dense(1)], "mean_squared_error", backend=backend, seed=0)
        .fit(x, y, epochs=2, batch_size=4, verbose=0)
        .history["loss"]
        for backend in ("numpy", "cupy")
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kit_makes_its_layouts_on_the_device(layout: str, device: Any) -> None:
    host = np.arange(12.0).reshape(3, 4)
    with device.active():
        made = LAYOUTS[layout](device, host)
        flat = LAYOUTS[layout](device, np.array(3.0))
    row_major = layout not in ("transposed", "strided")
    assert made.flags.c_contiguous is row_major
    assert (device.to_numpy(made).tolist(), flat.shape) == (host.tolist(), ())


@pytest.mark.long
def test_the_kit_where_there_are_only_expressions(expressions: Any) -> None:
    found = [str(one) for _, failures in lm.check_backend(expressions) for one in failures]
    assert found == []


def test_memory_that_nothing_lies_in_is_not_taken(expressions: Any) -> None:
    layers = [lm.Dense(3, activation="softmax")]  # no kernel writes what a step lets go of
    model = support.classifier(expressions, layers=layers).build(4)
    x, y = support.classes(8)
    for _ in range(3):
        model.train_on_batch(x, y)
    binding = next(iter(model.session._free.values()))[0]
    assert binding.program.memory.arenas
    assert binding.buffers.arenas == {}


def call(device: Any, op: str, *inputs: Any, **attrs: Any) -> Counter[str]:
    """What an operation asks of the device beside launches."""
    specs = [
        Spec(tuple(i.shape), i.dtype.name) if hasattr(i, "shape") else Spec((), "float64")
        for i in inputs
    ]
    ready = resolve(device, op, specs, attrs)
    with device.active():
        before = Counter(cupy_fake.counts)
        ready(None, *inputs)
        return cupy_fake.counts - before


def test_a_mask_uploads_nothing(expressions: Any) -> None:
    found = call(
        expressions, "dropout_mask", 7, 3, shape=(8, 5), rate=0.3, stream=1, dtype="float32"
    )
    assert found["launches"]
    assert (found["uploads"], found["waits"]) == (0, 0)


@pytest.mark.parametrize("op", ["adamw_update", "shrink", "add_decay", "rescale"])
def test_decay_counts_no_parameters(op: str, expressions: Any, asked: list[str]) -> None:
    flat = expressions.asarray(np.ones(9, dtype=np.float32))
    attrs: dict[str, Any] = {
        "adamw_update": {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.1},
        "shrink": {"weight_decay": 0.1},
        "add_decay": {"coefficient": 0.1},
        "rescale": {"factor": 0.5},
    }[op]
    attrs |= {"decayed": 4} if op in ("adamw_update", "shrink") else {"start": 2, "stop": 6}
    inputs: dict[str, Any] = {
        "adamw_update": (flat, flat, flat, flat, 0.1, 1),
        "shrink": (flat, 0.1),
    }
    call(expressions, op, *inputs.get(op, (flat, flat)), **attrs)
    assert asked
    assert "arange" not in asked


def test_float32_is_float32_whatever_cupy_was_told(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUPY_TF32", "1")
    a = device.asarray(np.ones((3, 3), dtype=np.float32))
    with device.active():
        device.xp.matmul(a, a)  # the fake's library takes the default math mode alone
    assert device.xp.products.library is cupy_fake.library.library()


def test_every_array_is_used_on_one_stream(device: Any) -> None:
    model = support.classifier("cupy")
    x, y = support.classes(20)
    model.fit(x, y, epochs=2, batch_size=8, verbose=0, validation_split=0.2)
    model.predict(x)  # the fake refuses a mix
    assert device.stream.is_non_blocking


def test_the_second_device_has_arrays_of_its_own(device: Any) -> None:
    x, y = support.classes(12)
    first, second = (support.classifier(name) for name in ("cuda:0", "cuda:1"))
    told = [m.fit(x, y, epochs=2, batch_size=4, verbose=0).history for m in (first, second)]
    assert told[0] == told[1]
    assert (first.backend.index, second.backend.index) == (0, 1)
    assert second.to("cuda:0").backend is first.backend
    with pytest.raises(lm.BackendUnavailable, match="there is no GPU number 2: 2 found"):
        support.classifier("cuda:2")


# What "auto" takes


@pytest.mark.slow
@pytest.mark.parametrize(("units", "taken"), [(8, "numba"), (4000, "cupy")])
def test_auto_goes_by_the_work_of_a_step(units: int, taken: str, device: Any) -> None:
    x, y = support.classes(640)
    layers = [lm.Dense(units, "relu"), lm.Dense(3, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", seed=0)
    assert model.backend is device
    assert "the work of a step decides when training begins" in model.backend_reason
    model.fit(x, y, epochs=1, batch_size=640, verbose=0)
    assert model.backend.name == taken
    told = lm.explain(model)
    assert "cupy from 1e+08 on (an estimate; to measure: lamina bench crossover)" in told
    for name in ("cupy", "cuda", "cuda:1"):  # always mean the GPU
        asked = lm.Sequential(layers, "cross_entropy", backend=name, seed=0)
        assert not asked.session._undecided
        assert asked.backend.name == "cupy"


def test_measured_choices_go_before_the_estimate(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_AUTO", "measured")
    found = measured.Crossover("2026-11-30", (measured.Threshold(0.0, "cupy"),), {})
    monkeypatch.setattr(measured, "read", lambda: found)
    x, y = support.classes(16)
    model = support.classifier("auto")
    model.fit(x, y, batch_size=8, verbose=0)
    assert model.backend is device
    assert "measured on 2026-11-30: cupy wins" in model.backend_reason


def test_thresholds_say_that_they_are_estimates(device: Any) -> None:
    origin, told = device.thresholds()
    assert "no GPU has measured" in origin
    assert ("gpu_flops", "1e+08", "default") in told
