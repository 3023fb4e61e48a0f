"""Captured steps of fused and generated kernels, on the strict fake, which executes their sources.

Nothing here ran on a GPU.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from cupy_steps import dense, nodes, training
from lamina.backends.captured import CapturedBinding
from lamina.backends.fused_programs import FusedSteps
from lamina.backends.fused_steps import FusedStepsBinding
from lamina.backends.state import Control, DataBlock
from lamina.kernels.cuda import control
from norm_support import own_norm

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")


@pytest.fixture(autouse=True)
def device() -> Iterator[Any]:
    """The backend on the fake's first device."""
    with cupy_fake.installed():
        yield lm.get_backend("cupy")


# Counted


@pytest.mark.long
@pytest.mark.parametrize(
    ("sizes", "features", "batch", "most"),
    [
        ((64, 10), 64, 32, 14),
        pytest.param((512, 256, 10), 784, 128, 17, marks=pytest.mark.slow),
    ],
    ids=["digits", "784-512-256-10"],
)
def test_nodes_of_a_step(sizes: Any, features: int, batch: int, most: int) -> None:
    binding, _ = training(dense(*sizes), features, batch, steps=20, metrics=())
    assert max(nodes(binding).values()) <= most
    with_metric, _ = training(dense(*sizes), features, batch, steps=20)
    assert max(nodes(with_metric).values()) <= most + 3


def bindings(model: lm.Sequential) -> list[Any]:
    """Those that have captured something."""
    found = [binding for free in model.session._free.values() for binding in free]
    return [binding for binding in found if binding.captures]


def regression(layers: list[Any], loss: Any) -> dict[int, float]:
    """Nodes a step of a training on rows of 64 numbers with 10 targets."""
    model = lm.Sequential(layers, loss=loss, optimizer=lm.Adam(1e-3), backend="cupy", seed=0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((160, 64)), rng.standard_normal((160, 10))
    model.fit(x, y, epochs=2, batch_size=32, verbose=0)
    (binding,) = bindings(model)
    return nodes(binding)


@pytest.mark.slow
def test_a_layer_norm_and_a_loss_of_one_s_own_are_a_few_nodes() -> None:
    plain = regression([lm.Dense(64, "relu"), lm.Dense(10)], "mean_squared_error")
    for norm in (lm.LayerNorm(), lm.Activation(own_norm)):
        more = regression([lm.Dense(64, "relu"), norm, lm.Dense(10)], support.huber)
        assert more[1] <= plain[1] + 6


def test_a_prediction_has_no_numbers() -> None:
    x, y = support.classes(24)
    model = support.classifier("cupy").build(4)
    predictor = model.prepare()
    for _ in range(3):
        predictor(x)
        model.evaluate(x, y)
    ((binding,),) = predictor.free.values()
    (names,) = [capture.replay.__self__.names for capture in binding.captures.values()]
    assert {"begin_step", "judge"}.isdisjoint(names)
    (binding,) = bindings(model)
    (names,) = [capture.replay.__self__.names for capture in binding.captures.values()]
    assert (names[0], names[-1]) == ("begin_step", "judge")


def off_by(y: Any, p: Any) -> Any:
    """A metric of one's own, a number a row."""
    return lm.ops.max(abs(p - y), axis=-1)


def shared(y: Any, p: Any) -> Any:
    """Another."""
    return lm.ops.mean(p * y, axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True])
def test_sums_by_one_launch_or_by_expressions(many: bool) -> None:
    """With decay, so that two norms are looked at; weights of rows, and a last partial batch."""
    x, y = support.regression(44, 5, 3)
    metrics: list[Any] = ["mean_absolute_error", "mean_squared_error", support.huber]
    metrics += [off_by, shared] if many else []
    found = []
    for backend in ("cupy", "numpy"):
        model = lm.Sequential(
            [lm.Dense(7, "tanh", weight_decay=0.01), lm.Dense(3)], "mean_squared_error",
            lm.AdamW(0.01), metrics=metrics, backend=backend, seed=0, dtype="float64",
        )  # fmt: skip
        told = model.fit(
            x, y, epochs=3, batch_size=8, verbose=0, sample_weight=np.linspace(0.5, 2.0, 44)
        ).history
        found.append(list(told.values()))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


# Planted faults


class GivenRate(FusedStepsBinding):
    """The learning rate of the first step, as a number of the host."""

    def _numbers(self, row: Any, counters: Any) -> dict[str, Any]:
        return super()._numbers(row, counters) | {"learning_rate": 0.1}


class GivenStep(FusedStepsBinding):
    """The optimizer's step as it is when a step is recorded."""

    def _numbers(self, row: Any, counters: Any) -> dict[str, Any]:
        return super()._numbers(row, counters) | {"step": self.state.step + 1}


class UncountedStep(FusedStepsBinding):
    """Nobody counts on, so that all steps have the rows and the numbers of the first."""

    def _judge(self, sums: Any, limit: Any) -> None:
        norm = control.Norm(self.state.flats["gradients"], limit, *self._parts)
        control.judge(self.memory.going, sums, norm)


class NoFlag(FusedStepsBinding):
    """Updates that do not ask whether all was finite."""

    def _keep(self, launch: Any, env: Any) -> None:
        launch.call.function(launch.out, *[env[i] for i in launch.inputs], **launch.call.attrs)


class OtherStream(FusedStepsBinding):
    """What looks at the gradient goes to a stream of its own."""

    aside: Any = None

    def _judge(self, sums: Any, limit: Any) -> None:
        import cupy

        self.aside = self.aside or cupy.cuda.Stream(non_blocking=True)
        with self.aside:
            super()._judge(sums, limit)


class Forgetful(FusedStepsBinding):
    """Memory of the step's numbers that no capture holds."""

    def own(self) -> tuple[Any, ...]:
        return super().own()[:1]


def bound(kind: type[CapturedBinding], spoilt: int = -1) -> Any:
    """A program that trains on 40 rows, 8 a step. spoilt: a row that is not finite."""
    layers = [lm.Dense(9, "tanh"), lm.Dropout(0.3), lm.Dense(3, "softmax")]
    model = support.classifier("cupy", layers=layers, optimizer=lm.Adam(0.1)).build(4)
    program = model.session.program("train", 8, 1)
    x, y = support.classes(40)
    if spoilt >= 0:
        x[spoilt] = np.inf
    columns = {"x": x, "y": y.reshape(-1, 1).astype(np.int32)}
    made = FusedSteps(model.backend, program, model.backend.graphs)
    made.binding = kind
    return made.bind(model.state, DataBlock(model.backend, columns, dtype="float64"))


def run(binding: Any, count: int = 5) -> np.ndarray:
    """A run of so many steps, with rates that fall; the parameters after it."""
    binding.run(Control(8, steps=count, learning_rates=0.1 / (1 + np.arange(count))))
    found: np.ndarray = binding.state.read("parameters")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GivenRate, GivenStep, UncountedStep])
def test_a_value_baked_into_a_graph_is_found(kind: type[CapturedBinding]) -> None:
    wanted = run(bound(FusedStepsBinding))
    assert np.array_equal(run(bound(FusedStepsBinding)), wanted)
    assert not np.allclose(run(bound(kind)), wanted, rtol=1e-3)


@pytest.mark.slow
def test_an_update_without_the_flag_is_found() -> None:
    ends = []
    for kind in (FusedStepsBinding, NoFlag):
        binding = bound(kind, spoilt=20)
        told = Control(8, steps=5, learning_rates=np.full(5, 0.1))
        binding.run(told)
        assert (told.stop, told.nonfinite_step, binding.state.step) == (True, 2, 2)
        ends.append(bool(np.isfinite(binding.state.read("parameters")).all()))
    assert ends == [True, False]


def test_two_streams_mixed_are_found() -> None:
    with pytest.raises(cupy_fake.Race, match="two streams"):
        run(bound(OtherStream))


@pytest.mark.long
def test_a_graph_replayed_after_its_memory_went_is_found() -> None:
    for kind, gone in ((FusedStepsBinding, False), (Forgetful, True)):
        binding = bound(kind)
        run(binding, 4)
        (capture,), state = binding.captures.values(), binding.state
        device, before = binding.backend, state.read("parameters")
        with device.active():
            binding._begin(Control(8, learning_rates=np.array([0.1])), 0, 1)
        del binding
        gc.collect()
        with device.active():
            if gone:
                with pytest.raises(cupy_fake.Freed, match="let go"):
                    capture.replay()
                continue
            capture.replay()
        assert not np.array_equal(state.read("parameters"), before)


# The fake's kernels

SOURCE = """
extern "C" __global__ void fill(real* x, int n, const real* value) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = *value;
}
"""


def filler() -> tuple[Any, Any]:
    import cupy
    from lamina.kernels.cuda.sources import common

    options = ("-std=c++17", "-DREAL=float")
    module = cupy.RawModule(code=common() + SOURCE, options=options, backend="nvrtc")
    return cupy, module


@pytest.mark.slow
def test_a_kernel_that_is_loaded_in_a_capture_is_refused(device: Any) -> None:
    _, module = filler()
    with device.active():
        device.stream.begin_capture()
        with pytest.raises(cupy_fake.CUDARuntimeError, match="loaded in a capture"):
            module.get_function("fill")
        with pytest.raises(cupy_fake.CUDARuntimeError, match="empty"):
            device.stream.end_capture()


def test_what_a_kernel_must_not_be_given_is_refused(device: Any) -> None:
    cupy, module = filler()
    with device.active():
        fill = module.get_function("fill")
        x, value = cupy.zeros(5, dtype=cupy.float32), cupy.ones((), dtype=cupy.float32)
        fill((1,), (32,), (x, np.int32(5), value))
        assert cupy.asnumpy(x).tolist() == [1.0] * 5
        with pytest.raises(TypeError, match="Unsupported type"):
            fill((1,), (32,), (x, np.int32(5), np.ones(1, np.float32)))
        with pytest.raises(TypeError, match="not an array of float64"):
            fill((1,), (32,), (x.astype(cupy.float64), np.int32(5), value))
        with pytest.raises(TypeError, match="not int"):
            fill((1,), (32,), (x, 5, value))
        for count in (6, 150):  # behind what was asked for, behind what the pool gave
            with pytest.raises(cupy_fake.Race, match="wrote outside"):
                fill((1,), (32,), (cupy.zeros(5, dtype=cupy.float32), np.int32(count), value))
        with cupy.cuda.Stream(non_blocking=True), pytest.raises(cupy_fake.Race, match="streams"):
            fill((1,), (32,), (x, np.int32(5), value))
    with cupy.cuda.Device(1), pytest.raises(ValueError, match="different from the current"):
        fill((1,), (32,), (x, np.int32(5), value))
