"""Captured steps of the cupy backend, counted on the strict fake; nothing here ran on a GPU."""

from __future__ import annotations

import gc
import re
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from cupy_steps import again, dense, nodes, training
from lamina.backends.captured import CapturedBinding, Kind
from lamina.backends.state import Control, DataBlock
from lamina.core import sources
from lamina.kernels import thresholds

cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
RATES = lm.schedules.Exponential(0.02, 5, 0.9)


@pytest.fixture
def device() -> Iterator[Any]:
    """The backend on the fake's first device."""
    with cupy_fake.installed():
        yield lm.get_backend("cupy")


@pytest.fixture
def launching(device: Any) -> Any:
    """The same without graphs."""
    return type(device)(0, graphs=False)


@pytest.fixture
def expressions(device: Any) -> Any:
    """The same without kernels of its own."""
    from cupy_fake.expressions import Expressions

    return Expressions()


@pytest.mark.slow
def test_digits_are_at_most_70_launches_of_expressions_a_step(expressions: Any) -> None:
    binding, _ = training(dense(64, 10), 64, 32, backend=expressions, metrics=())
    assert nodes(binding)[8] <= 70


@pytest.mark.slow
def test_a_larger_step_is_captured_alone(expressions: Any) -> None:
    binding, _ = training(dense(512, 256, 10), 784, 128, steps=10, backend=expressions, metrics=())
    assert list(nodes(binding)) == [1]
    assert nodes(binding)[1] <= 85


@pytest.mark.slow
def test_inside_a_run_nothing_goes_to_the_host_or_comes_from_it(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    between: list[Counter[str]] = []
    launch = cupy_fake.machine.Graph.launch

    def watched(graph: Any, stream: Any = None) -> None:
        between.append(Counter(cupy_fake.counts))
        launch(graph, stream)

    monkeypatch.setattr(cupy_fake.machine.Graph, "launch", watched)
    binding, _ = training([lm.Dense(8, "relu"), lm.Dropout(0.2), lm.Dense(10, "softmax")], 8, 4)
    between.clear()
    again(binding, 4, 24)
    assert len(between) == 3  # three graphs of eight steps
    spent = between[-1] - between[0]
    assert set(spent) == {"graphs", "nodes"}  # no launch, upload, download, wait or allocation
    before = Counter(cupy_fake.counts)
    again(binding, 4, 24)
    spent = cupy_fake.counts - before
    assert (spent["uploads"], spent["downloads"], spent["allocations"]) == (2, 2, 0)


def everything(backend: Any, rule: Any, path: Path) -> list[Any]:
    """Passes in one run, partial batches, weights of rows, a file on disk, single steps."""
    x, y = support.classes(42)
    np.save(path, x)
    layers = [
        lm.Standardize(), lm.Dense(9, "tanh", weight_decay=0.01), lm.Dropout(0.3),
        support.Scale(), lm.BatchNorm(), lm.Dense(3, "softmax"),
    ]  # fmt: skip
    told: list[Any] = []
    model = support.classifier(backend, layers=layers, optimizer=rule, dtype="float32")
    many = {"batch_size": 16, "verbose": 0, "validation_data": support.classes(9, seed=3)}
    model.fit(x, y, epochs=3, sample_weight=np.linspace(0.1, 2.0, 42), **many)
    told += model.history.history.values()
    model.fit(x[:32], y[:32], epochs=4, batch_size=2, verbose=0)
    told += model.history.history.values()
    model.fit(np.load(path, mmap_mode="r"), y, epochs=2, **many)
    told += [model.train_on_batch(x, y)["loss"] for _ in range(3)]
    told += [model.evaluate(x, y)["loss"], model.predict(x).tobytes()]
    return told + [w.tobytes() for w in model.get_weights()]


@pytest.mark.long
@pytest.mark.parametrize(
    "rule", [lm.AdamW(RATES, clip_norm=1.0), lm.NAdam(RATES, average=lm.EMA(0.9))],
    ids=lambda rule: type(rule).__name__,
)  # fmt: skip
def test_captured_and_not_captured_agree_bit_for_bit(
    rule: Any, device: Any, launching: Any, tmp_path: Path
) -> None:
    before = cupy_fake.counts["graphs"]
    wanted = everything(launching, rule, tmp_path / "x.npy")
    assert cupy_fake.counts["graphs"] == before
    assert everything(device, rule, tmp_path / "x.npy") == wanted
    assert cupy_fake.counts["graphs"] > before


@pytest.mark.long
def test_expressions_agree_bit_for_bit_as_well(expressions: Any, tmp_path: Path) -> None:
    rule, launching = lm.AdamW(RATES, clip_norm=1.0), type(expressions)(0, graphs=False)
    wanted = everything(launching, rule, tmp_path / "x.npy")
    assert everything(expressions, rule, tmp_path / "x.npy") == wanted


@pytest.mark.slow
def test_captured_passes_are_numpys(device: Any, tmp_path: Path) -> None:
    x, y = support.classes(48)
    found = []
    for backend in (device, "numpy"):
        model = support.classifier(backend, optimizer=lm.Lion(RATES))
        history = model.fit(x, y, epochs=12, batch_size=8, verbose=0).history
        found.append([*history["loss"], *history["accuracy"]])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)


@pytest.mark.long
def test_a_graph_owns_all_that_it_touches(device: Any) -> None:
    binding, model = training(dense(8, 10), 8, 4)
    captures = list(binding.captures.values())
    flats = dict(binding.state.flats)
    cells = {name: device.to_numpy(flat) for name, flat in flats.items()}
    with device.active():
        binding._begin(Control(4, learning_rates=np.full(8, 1e-3)), 0, 8)
        captures[-1].replay()
    wanted = {name: device.to_numpy(flat) for name, flat in flats.items()}
    memory = binding.memory
    for name, flat in flats.items():
        device.assign(flat, device.asarray(cells[name]))
    with device.active():
        binding._begin(Control(4, learning_rates=np.full(8, 1e-3)), 0, 8)
    del binding, model, memory
    gc.collect()
    junk = [device.zeros(n, "float32") for n in (8, 32, 64, 128, 320)]  # what was let go is taken
    with device.active():
        captures[-1].replay()
    assert all((device.to_numpy(flats[name]) == wanted[name]).all() for name in flats)
    assert junk


@pytest.mark.parametrize("rate", [1e30, 1e160, 1e200])
def test_divergence_is_numpys_at_the_same_step_in_its_words(rate: float, device: Any) -> None:
    x, y = support.regression(64, 3)
    ends = []
    for backend in ("cupy", "numpy"):
        layers = [lm.Dense(4), lm.Dense(2)]
        model = lm.Sequential(
            layers, "mean_squared_error", lm.SGD(rate), backend=backend, dtype="float64", seed=0
        )
        with pytest.raises(lm.DivergenceError) as caught:
            model.fit(x, y, epochs=99, batch_size=8, verbose=0)
        ends.append((str(caught.value), caught.value.step, caught.value.layer, model.get_weights()))
    assert ends[0][:3] == ends[1][:3]
    for got, wanted in zip(ends[0][3], ends[1][3], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [3, 90])
def test_what_follows_a_step_that_is_not_finite_changes_nothing(spoilt: int, device: Any) -> None:
    ends = []
    for backend in (device, lm.get_backend("numpy")):
        model = support.classifier(backend, layers=dense(8, 3)).build(4)
        x, y = support.classes(8 * 16)
        examples = model.session.examples(x, y)
        lease = model.session.lease("train", 8, examples.block(backend, "float64"))
        again(lease.binding, 8, 16)
        x = examples.x.copy()
        x[spoilt, 0] = np.inf
        y = examples.y
        lease.binding.use(DataBlock(backend, {"x": x, "y": y}, dtype="float64"))
        control = again(lease.binding, 8, 16)
        told = (
            control.stop, control.cursor, control.nonfinite_step, control.nonfinite_layer,
            control.nonfinite_instruction, control.weight_sum, model.state.step,
        )  # fmt: skip
        ends.append((told, model.get_weights()))
    assert ends[0][0] == ends[1][0]
    for got, wanted in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.slow
def test_a_step_that_cannot_be_captured_is_launched_with_a_warning(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(stream: Any, mode: Any = None) -> None:
        raise cupy_fake.CUDARuntimeError("cudaErrorStreamCaptureUnsupported: not today")

    monkeypatch.setattr(cupy_fake.machine.Stream, "begin_capture", refused)
    x, y = support.classes(40)
    model = support.classifier("cupy")
    with pytest.warns(RuntimeWarning, match="could not be captured.*not today"):
        model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    assert model.history.history["loss"][1] < model.history.history["loss"][0]


@pytest.mark.long
def test_unrolled_or_not_the_bits_are_the_same(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "POLITE_SECONDS", np.inf)  # runs get longer on any machine
    x, y = support.classes(8 * 40)
    found = []
    for least in (thresholds.UNROLLED_FLOPS, 0.0):
        monkeypatch.setattr(thresholds, "UNROLLED_FLOPS", least)
        model = support.classifier("cupy", dtype="float32")
        before = Counter(cupy_fake.counts)
        history = model.fit(x, y, epochs=3, batch_size=8, verbose=0).history
        spent = cupy_fake.counts - before
        found.append((history, [w.tobytes() for w in model.get_weights()], spent["graphs"]))
    assert found[0][:2] == found[1][:2]
    assert found[0][2] < found[1][2] / 3


@pytest.mark.long
def test_other_threads_predict_while_one_captures(device: Any) -> None:
    x, y = support.classes(8 * 30)
    ends = []
    for readers in (0, 2):
        model = support.classifier(device, dtype="float32").build(4)
        stop, found = threading.Event(), []

        def read(model: Any = model, stop: Any = stop, found: Any = found) -> None:
            while not stop.is_set():
                found.append(np.isfinite(model.predict(x[:5])).all())

        threads = [threading.Thread(target=read) for _ in range(readers)]
        for thread in threads:
            thread.start()
        model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        stop.set()
        for thread in threads:
            thread.join(support.PATIENCE)
        assert all(found)
        ends.append([w.tobytes() for w in model.get_weights()])
    assert ends[0] == ends[1]


# Memory, and planted faults


@pytest.mark.long
def test_out_of_memory_says_what_would_fit_and_that_does(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4096, 64)).astype("float32"), rng.integers(0, 10, 4096)

    def model() -> lm.Sequential:
        layers = [lm.Dense(512, "tanh"), lm.Dense(512, "tanh"), lm.Dense(10, "softmax")]
        return lm.Sequential(layers, "cross_entropy", backend="cuda:1", seed=0)

    model().fit(x[:8], y[:8], batch_size=8, verbose=0)  # the workspace, and what is kept
    gc.collect()
    cupy_fake.memory.default_pool.free_all_blocks()
    held = cupy_fake.memory.held[1]
    monkeypatch.setattr(cupy_fake.memory, "LIMIT", held + 16 * 2**20)
    one, said, found = model(), "", (0, 0)
    try:
        one.fit(x, y, batch_size=4096, verbose=0)
    except lm.OutOfDeviceMemory as error:  # its traceback holds the arrays of the step
        said, found = str(error), (error.wanted, error.free)
    assert found[0] > found[1] > 0
    told = re.search(r"GPU 1 has no room for [\d,]+ .*a row: batch_size=(\d+) would fit", said)
    assert told is not None
    assert 1 <= int(told.group(1)) < 4096
    assert one.state.step == 0
    gc.collect()
    history = one.fit(x[:1024], y[:1024], epochs=3, batch_size=256, verbose=0).history
    assert one.state.step == 12
    assert history["loss"][-1] < history["loss"][0]


class BakedRate(CapturedBinding):
    """The learning rate of the step that is recorded, as a number of the host."""

    def _numbers(self, row: Any, counters: Any) -> dict[str, Any]:
        return super()._numbers(row, counters) | {"learning_rate": self.rate}

    def _begin(self, control: Control, first: int, steps: int) -> list[float]:
        self.rate = float(control.learning_rates[first])
        return super()._begin(control, first, steps)


class LosesMemory(CapturedBinding):
    """A capture that holds nothing, in a pool that goes with it."""

    def _capture(self, ready: Any, kind: Kind) -> Any:
        made = super()._capture(ready, kind)
        object.__setattr__(made, "holds", ())
        self.pool = self.graphs.pool()
        gc.collect()
        return made


def steps_of(device: Any, kind: Any, rates: list[float]) -> bytes:
    model = support.classifier(device, layers=dense(8, 3)).build(4)
    examples = model.session.examples(*support.classes(8 * len(rates)))
    program = model.session.program("train", 8)
    block = examples.block(device, "float64")
    binding = kind(device, program, model.state, block, device.graphs)
    for number, rate in enumerate(rates):
        binding.run(Control(8, cursor=8 * number, learning_rates=np.array([rate])))
    return bytes(model.state.read("parameters").tobytes())


@pytest.mark.slow
def test_a_number_of_the_host_in_a_graph_is_found(device: Any) -> None:
    same, falling = [0.1] * 6, [0.1, 0.09, 0.08, 0.07, 0.06, 0.05]
    near = np.frombuffer(steps_of(device, BakedRate, same))
    np.testing.assert_allclose(near, np.frombuffer(steps_of(device, CapturedBinding, same)))
    assert steps_of(device, BakedRate, falling) != steps_of(device, CapturedBinding, falling)
    far = np.frombuffer(steps_of(device, BakedRate, falling))
    wanted = np.frombuffer(steps_of(device, CapturedBinding, falling))
    assert not np.allclose(far, wanted, rtol=1e-6)


@pytest.mark.slow
def test_a_graph_whose_memory_went_is_found(device: Any) -> None:
    with pytest.raises(cupy_fake.Freed):
        steps_of(device, LosesMemory, [0.1] * 6)


def test_an_upload_on_another_stream_is_found(device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import cupy

    def beside(host: np.ndarray) -> Any:
        return cupy.asarray(host)  # on the current stream of the thread, which is the null stream

    other = type(device)(0)
    monkeypatch.setattr(other, "asarray", beside)
    x, y = support.classes(16)
    with pytest.raises(cupy_fake.Race, match="two streams"):
        support.classifier(other).fit(x, y, batch_size=8, verbose=0)
