"""Captured steps on a device that records: the walker's numbers, and faults that are found."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import captured, control_block
from lamina.backends.buffers import Buffers
from lamina.backends.captured import CapturedBinding, Kind
from lamina.backends.recorded import Prepared
from lamina.backends.state import Control, DataBlock, State
from lamina.kernels import thresholds
from null_device import Freed, HostRead, NullBackend

RATES = lm.schedules.Exponential(0.02, 5, 0.9)


def layers() -> list[Any]:
    return [
        lm.Standardize(), lm.Dense(9, "tanh", weight_decay=0.01), lm.Dropout(0.3),
        support.Scale(), lm.Dense(3, "softmax"),
    ]  # fmt: skip


def trained(backend: Any, x: Any = None, **changes: Any) -> tuple[list[float], lm.Sequential]:
    """A small training with a last partial batch, a schedule, dropout and weights of rows."""
    rows, y = support.classes(42)
    settings: dict[str, Any] = {"optimizer": lm.AdamW(RATES, weight_decay=0.1, clip_norm=1.0)}
    model = support.classifier(backend, layers=layers(), **settings | changes)
    model.fit(
        rows if x is None else x, y, epochs=3, batch_size=16, verbose=0,
        sample_weight=np.linspace(0.1, 2.0, 42), validation_data=support.classes(10, seed=3),
    )  # fmt: skip
    assert model.history is not None
    told = model.history.history
    return [*told["loss"], *told["accuracy"], *told["val_loss"]], model


def agree(one: Any, other: Any, near: float = 1e-12) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=near, atol=near)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [lm.SGD(RATES), lm.SGD(RATES, momentum=0.9), lm.RMSprop(RATES), lm.AdamW(RATES, clip_norm=1.0)],
    ids=lambda rule: type(rule).__name__,
)
def test_a_captured_training_is_the_walked_one(optimizer: Any) -> None:
    device = NullBackend()
    (told, model), (wanted, twin) = (trained(b, optimizer=optimizer) for b in (device, "numpy"))
    agree(told, wanted)
    agree(model.get_weights(), twin.get_weights())
    x, y = support.classes(50, seed=2)
    agree([model.predict(x)], [twin.predict(x)])
    agree(model.evaluate(x, y).values(), twin.evaluate(x, y).values())
    model.set_weights([0.5 * w for w in model.get_weights()])  # into the memory that is captured
    twin.set_weights([0.5 * w for w in twin.get_weights()])
    for _ in range(2):
        agree(model.train_on_batch(x, y).values(), twin.train_on_batch(x, y).values())
    agree([model.predict(x)], [twin.predict(x)])
    assert "captured: " in str(lm.explain(model))
    assert device.replays >= 2 * len(device.recordings)


def test_there_is_one_capture_for_a_number_of_rows() -> None:
    device = NullBackend()
    x, y = support.classes(42)
    model = support.classifier(device)
    model.fit(x, y, epochs=4, batch_size=16, verbose=0)
    # Of 16 rows, and of 10; first steps are asked for piece by piece, one for a batch alone.
    assert (len(device.recordings), device.replays) == (2, 9)
    model.fit(x[::-1], y[::-1], epochs=2, batch_size=16, verbose=0)  # another block of data
    assert (len(device.recordings), device.replays) == (4, 15)


@pytest.mark.slow
def test_small_steps_are_captured_by_eights(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = support.classes(8 * 21 + 3)
    found = []
    for least in (thresholds.UNROLLED_FLOPS, 0.0):
        monkeypatch.setattr(thresholds, "UNROLLED_FLOPS", least)
        device = NullBackend()
        model = support.classifier(device, optimizer=lm.NAdam(RATES, average=lm.EMA(0.9)))
        history = model.fit(x, y, epochs=2, batch_size=8, verbose=0)
        found.append((history.history["loss"], model.get_weights(), device.replays))
    (told, weights, some), (wanted, same, all_of_them) = found
    assert (told, some < all_of_them) == (wanted, True)
    assert support.same(weights, same)


def test_passes_in_one_run_are_those_of_the_walker() -> None:
    x, y = support.classes(48)
    found = []
    for backend in (NullBackend(), "numpy"):
        for shuffle in (True, False):
            model = support.classifier(backend, optimizer=lm.Adam(RATES))
            told = model.fit(x, y, epochs=9, batch_size=16, shuffle=shuffle, verbose=0).history
            found.append([*told["loss"], *told["accuracy"]])
    agree(found[0], found[2])
    agree(found[1], found[3])


def test_a_run_of_more_steps_than_the_table_has(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = support.classes(83)
    found = []
    for backend in (NullBackend(), "numpy"):
        model = support.classifier(backend)
        session, examples = model.build(4).session, model.session.examples(x, y)
        binding = session.lease("train", 8, examples.block(model.backend, "float64")).binding
        if backend != "numpy":
            for module in (captured, control_block):
                monkeypatch.setattr(module, "STEPS", 4)
        control = Control(8, steps=11, learning_rates=np.linspace(0.1, 0.01, 11))
        binding.run(control)
        found.append([control.sums["loss"], control.weight_sum, *model.get_weights()])
    agree(*found)


def test_the_host_waits_once_a_run() -> None:
    device = NullBackend()
    binding = bound(device, steps_of=4)
    before = device.reads
    binding.run(Control(8, steps=4, learning_rates=np.full(4, 0.1)))
    assert device.replays == 3  # the first was asked for piece by piece
    assert device.reads - before == 2 + len(binding.results)  # sums, flag, outputs: after the last


def test_a_column_on_disk_is_read_batch_by_batch(tmp_path: Path) -> None:
    x, _ = support.classes(42)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    agree(trained(NullBackend(), mapped)[0], trained("numpy", mapped)[0])


# What is not finite


@pytest.mark.parametrize("rate", [1e160, 1e200])
def test_a_step_that_is_not_finite_is_not_taken(rate: float) -> None:
    x, y = support.regression(64, 3)
    ends = []
    for backend in (NullBackend(), "numpy"):
        model = lm.Sequential(
            [lm.Dense(4), lm.Dense(2)], "mean_squared_error", lm.SGD(rate), backend=backend,
            dtype="float64", seed=0,
        ).build(3)  # fmt: skip
        with pytest.raises(lm.DivergenceError) as caught:
            model.fit(x, y, epochs=9, batch_size=8, verbose=0)
        ends.append((model, caught.value))
    (model, error), (twin, wanted) = ends
    assert (error.step, error.layer, str(error)) == (wanted.step, wanted.layer, str(wanted))
    assert model.state.step == twin.state.step
    agree(model.get_weights(), twin.get_weights())


def test_what_follows_a_flag_is_left_out() -> None:
    told = []
    for backend in (NullBackend(), lm.get_backend("numpy")):
        binding = bound(backend, steps_of=4, spoilt=20)
        control = Control(8, steps=4, learning_rates=np.full(4, 0.1))
        binding.run(control)
        told.append((binding, control))
    (one, flagged), (other, stopped) = told
    assert flagged.stop
    assert one.state.step == other.state.step == 2
    assert (flagged.cursor, flagged.nonfinite_step) == (stopped.cursor, stopped.nonfinite_step)
    assert flagged.nonfinite_instruction == stopped.nonfinite_instruction >= 0
    assert flagged.nonfinite_layer == stopped.nonfinite_layer == "0"
    assert flagged.weight_sum == stopped.weight_sum
    agree([one.state.read("parameters")], [other.state.read("parameters")])


# Planted faults


def bound(
    backend: Any, kind: type[CapturedBinding] = CapturedBinding, steps_of: int = 3,
    spoilt: int = -1, start: int = 0, capacity: int = 8,
) -> Any:  # fmt: skip
    """A training program, bound to rows of its own for so many steps of 8.

    spoilt: a row that is not finite. start: the state's step.
    """
    model = support.classifier(
        "numpy", optimizer=lm.Adam(0.1), layers=[*layers()[1:-1], lm.Dense(3, "softmax")]
    ).build(4)
    program = model.session.program("train", capacity, 1)
    state = State(backend, program.layout, "float64", model.seed)
    for segment in program.layout.segments:
        state.write(segment, model.state.read(segment))
    state.step = start
    x, y = support.classes(8 * steps_of + 4)
    if spoilt >= 0:
        x[spoilt] = np.inf
    block = DataBlock(backend, {"x": x, "y": y.reshape(-1, 1).astype(np.int32)}, dtype="float64")
    if isinstance(backend, NullBackend):
        return kind(backend, program, state, block, backend)
    return backend.compile(program).bind(state, block)


def run(binding: Any, batches: tuple[int, ...] = (8, 8, 8, 8, 8)) -> np.ndarray:
    """Steps of one run each, with rates that fall; the parameters after them."""
    control = Control(8)
    for number, rows in enumerate(batches):
        control.batch = rows
        control.learning_rates = np.array([0.1 / (1 + number)])
        binding.run(control)
    found: np.ndarray = binding.state.read("parameters")
    return found


def test_without_a_fault_the_steps_are_those_of_numpy() -> None:
    device = NullBackend()
    agree(run(bound(device, steps_of=5)), run(bound(lm.get_backend("numpy"), steps_of=5)))
    # Alone at first, as a batch that comes once; then by a cursor, and the third is recorded.
    assert device.replays == 3


class GivenRate(CapturedBinding):
    """The learning rate of the first step, as a number of the host."""

    def _numbers(self, row: Any, counters: Any) -> dict[str, Any]:
        return super()._numbers(row, counters) | {"learning_rate": 0.1}


class UploadedRate(CapturedBinding):
    """The learning rate of the first step, as memory that nobody writes again."""

    kept: Any = None

    def _numbers(self, row: Any, counters: Any) -> dict[str, Any]:
        self.kept = self.backend.asarray(np.array(0.1)) if self.kept is None else self.kept
        return super()._numbers(row, counters) | {"learning_rate": self.kept}


class LateRate(CapturedBinding):
    """The learning rate, asked of the host while the device records."""

    def _numbers(self, row: Any, counters: Any) -> dict[str, Any]:
        self.kept = self.backend.asarray(np.array(0.1))
        return super()._numbers(row, counters)


class OwnCursor(CapturedBinding):
    """The batch, cut out of the data at the cursor of the recorded step."""

    at = 0

    def _ask(self, control: Control, number: int, kind: Kind) -> list[Any]:
        self.at = control.cursor
        return super()._ask(control, number, kind)

    def _gathered(self, ready: Prepared, at: Any, count: int) -> dict[int, Any]:
        found = super()._gathered(ready, at, count)
        rows = self.block.columns["x"][self.at : self.at + ready.rows, ...]
        return found | {self.program.columns["x"]: rows}


def test_a_number_of_the_host_in_a_capture_is_found() -> None:
    with pytest.raises(HostRead, match="was given a number of the host"):
        run(bound(NullBackend(), GivenRate, steps_of=5))
    with pytest.raises(HostRead, match="numbers of the host"):
        run(bound(NullBackend(), LateRate, steps_of=5))


@pytest.mark.parametrize("kind", [UploadedRate, OwnCursor])
def test_numbers_of_the_first_step_in_the_others_are_found(kind: type[CapturedBinding]) -> None:
    wanted = run(bound(lm.get_backend("numpy"), steps_of=5))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(run(bound(NullBackend(), kind, steps_of=5)), wanted)


def recorded(kind: type[CapturedBinding], step: int, cursor: int, rate: float) -> list[str]:
    device = NullBackend()
    binding = bound(device, kind, start=step, steps_of=5)
    rates = np.array([rate, rate / 2, rate / 3])
    binding.run(Control(8, cursor=cursor, steps=3, learning_rates=rates))
    return device.recordings[0].constants


def test_recordings_of_a_step_are_the_same_whenever_it_is() -> None:
    first, later = ((0, 0, 0.1), (7, 8, 0.3))
    assert recorded(CapturedBinding, *first) == recorded(CapturedBinding, *later)
    assert recorded(OwnCursor, *first) != recorded(OwnCursor, *later)


def forget(binding: CapturedBinding) -> None:
    """Lets go of what a capture holds, as if nobody needed it once it is recorded."""
    for ready in binding.prepared.values():
        ready.done.clear()
        ready.plan.env = [None] * len(ready.plan.env)
        ready.plan.stages.clear()
    for capture in binding.captures.values():
        object.__setattr__(capture, "holds", ())


class NewBuffers(CapturedBinding):
    """Memory for each number of rows, which takes the place of that before."""

    def _prepare(self, rows: int) -> Prepared:
        self.buffers = Buffers(self.backend, self.program, self.state)
        forget(self)
        return super()._prepare(rows)


def test_a_replay_on_state_that_was_replaced_is_found() -> None:
    binding = bound(NullBackend(), steps_of=6)
    run(binding, (8, 8, 8))
    flats, backend = binding.state.flats, binding.backend
    forget(binding)
    for name in flats:
        flats[name] = backend.asarray(backend.to_numpy(flats[name]))
    with pytest.raises(Freed):
        run(binding, (8,))


@pytest.mark.slow
def test_a_capture_holds_all_that_it_touches() -> None:
    device = NullBackend()
    binding = bound(device, steps_of=6)
    run(binding, (8, 8, 8))
    (capture,) = binding.captures.values()
    parameters = binding.state.flats["parameters"]
    before = device.to_numpy(parameters)
    binding._begin(Control(8, learning_rates=np.array([0.1])), 0, 1)
    del binding
    gc.collect()
    capture.replay()
    assert not np.array_equal(device.to_numpy(parameters), before)


class AnyRows(CapturedBinding):
    """The first capture, whatever the number of rows."""

    def _ask(self, control: Control, number: int, kind: Kind) -> list[Any]:
        for first in list(self.captures):
            self.captures[kind], _ = self.captures[first], self.warm.add(kind)
        return super()._ask(control, number, kind)


def blocks(binding: Any, *rows: int) -> np.ndarray:
    """A step on each of several blocks with so many rows; the parameters after them."""
    x, y = support.classes(20)
    for number, count in enumerate(rows):
        columns = {"x": x[:count], "y": y[:count].reshape(-1, 1).astype(np.int32)}
        binding.use(DataBlock(binding.backend, columns, dtype="float64"))
        binding.run(Control(count, learning_rates=np.array([0.1 / (1 + number)])))
    found: np.ndarray = binding.state.read("parameters")
    return found


def test_a_replay_on_memory_that_was_let_go_is_found() -> None:
    blocks(bound(NullBackend()), 8, 8, 4, 8)
    with pytest.raises(Freed):
        blocks(bound(NullBackend(), NewBuffers), 8, 8, 4, 8)


@pytest.mark.parametrize("rows", [1, 4])
def test_a_replay_for_another_number_of_rows_is_found(rows: int) -> None:
    batches = (8, 8, rows)
    wanted = blocks(bound(lm.get_backend("numpy")), *batches)
    agree(blocks(bound(NullBackend()), *batches), wanted)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(blocks(bound(NullBackend(), AnyRows), *batches), wanted)


def test_plans_that_are_forgotten_take_their_captures_along() -> None:
    device = NullBackend()
    binding = bound(device, capacity=16)
    for rows in range(1, 10):
        blocks(binding, rows, rows)
    assert [kind.rows for kind in binding.captures] == list(range(2, 10))
    blocks(binding, 9, 2)
    assert len(device.recordings) == 9
    blocks(binding, 1)
    assert len(device.recordings) == 10
