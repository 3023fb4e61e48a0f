"""The suite: cases from the table, nothing timed unchecked, the story, the schema, the command."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from lamina.backends.contract import Backend
from lamina.backends.selection import get_backend
from lamina.benchmarks import cases, result, story, suite, timing, trainings
from lamina.benchmarks.networks import Network
from lamina.kernels import ops
from lamina.kernels.op import Kernel
from typer.testing import CliRunner

CPU = ("loops", "numpy", "numba")


class Planted(Backend):
    """A plug-in on NumPy whose ReLU is wrong by one part in a thousand."""

    name = "planted"

    @property
    def xp(self) -> Any:
        return np

    def kernels(self) -> Mapping[str, Kernel]:
        def relu(out: tuple[Any, ...], x: Any) -> None:
            np.multiply(np.maximum(x, 0.0), 1.001, out=out[0])

        return {"relu": Kernel("relu", relu)}


def variants(op: str) -> set[tuple[str, str]]:
    case = cases.Case(ops.get(op), 600, "float32")
    return {
        (name, way.variant)
        for name in CPU
        for way in cases.ways(get_backend(name), case.op, case.sample())
    }


def test_every_hot_operation_is_there_in_every_variant() -> None:
    for op in cases.hot_ops():
        found = variants(op.name)
        assert ("loops", "loops") in found
        assert ("numba", "compiled loops") in found
        assert ("numpy", "vectorised") in found
        assert (("numba", "fused") in found) == (op.name in get_backend("numba").kernels())
    assert {op.name for op in cases.hot_ops()} == {o.name for o in ops.OPS.values() if o.hot}


def test_a_way_that_would_run_the_same_is_listed_once() -> None:
    class Bare(Backend):
        name = "bare"
        xp = np  # type: ignore[assignment]

    case = cases.Case(ops.get("relu"), 100, "float32")
    assert [w.variant for w in cases.ways(Bare(), case.op, case.sample())] == ["vectorised"]


def test_samples_have_the_size_that_was_asked_for() -> None:
    for op in cases.hot_ops():
        for elements in (2_000, 60_000):
            case = cases.Case(op, elements, "float32")
            prepared = cases.Prepared(
                cases.Way(get_backend("numpy"), "vectorised", {}), op, case.sample(), "float32"
            )
            sizes = [v.size for v in case.sample().inputs if isinstance(v, np.ndarray)]
            largest = max([*sizes, *(int(np.prod(s.shape)) for s in prepared.call.outputs)])
            assert 0.8 * elements <= largest <= 1.25 * elements, op.name


@pytest.mark.long
def test_all_ways_are_right_in_float64() -> None:  # `.ci/run` verifies float32
    found = suite.measure_suite(
        suite.Options("verify", backends=("numpy", "numba"), dtypes=("float64",))
    )
    assert len(found.rows) > 100
    assert [row.key for row in found.rows if row.status == "wrong"] == []
    assert all(not row.seconds for row in found.rows)


def test_a_wrong_kernel_is_refused_and_never_timed() -> None:
    case = cases.Case(ops.get("relu"), 600, "float32")
    rows = {}
    for way in cases.ways(Planted(), case.op, case.sample()):
        rows[way.variant], contender = cases.prepare(case, way)
        assert (contender is None) == (way.variant == "kernels")
    assert rows["vectorised"].status == "ok"
    wrong = rows["kernels"]
    assert wrong.status == "wrong"
    assert "off by" in wrong.reason
    assert wrong.error is not None
    assert wrong.allowed is not None
    assert wrong.error > wrong.allowed


def test_a_kernel_that_raises_is_wrong_too() -> None:
    class Raising(Planted):
        def kernels(self) -> Mapping[str, Kernel]:
            def relu(out: tuple[Any, ...], x: Any) -> None:
                raise ValueError("no such device")

            return {"relu": Kernel("relu", relu)}

    case = cases.Case(ops.get("relu"), 600, "float32")
    *_, way = cases.ways(Raising(), case.op, case.sample())
    row, contender = cases.prepare(case, way)
    assert contender is None
    assert row.reason == "ValueError: no such device"


def test_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "devices", lambda chosen: [Planted()])
    done = CliRunner().invoke(app, ["bench", "--verify", "--op", "relu"])
    assert done.exit_code == 1
    assert "op/relu 600/float32/planted/kernels" in done.output


def test_a_plugged_in_backend_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.backends import registry

    before = registry.names()
    monkeypatch.setattr(suite, "names", lambda: [*before, "planted"])
    available = registry.status("numpy")
    monkeypatch.setattr(
        suite, "status", lambda name: available if name == "planted" else registry.status(name)
    )
    monkeypatch.setattr(
        suite, "get_backend", lambda name: Planted() if name == "planted" else get_backend(name)
    )
    assert "planted" in [backend.name for backend in suite.devices(())]


@pytest.mark.slow
def test_slow_ways_are_measured_on_fewer_elements_and_say_so() -> None:
    case = cases.Case(ops.get("tanh"), 3_000_000, "float32")
    (way,) = cases.ways(get_backend("loops"), case.op, case.sample(100))
    row, contender = cases.prepare(case, way)
    assert contender is not None
    assert 0 < row.measured < row.size == 3_000_000
    assert contender.units == pytest.approx(row.measured / row.size, rel=1e-3)
    assert row.flops == pytest.approx(3e7, rel=1e-3)  # of the whole, not of what was measured


@pytest.mark.long
def test_updates_run_in_place_without_running_away() -> None:
    for op in cases.hot_ops():
        if not op.name.endswith("_update"):
            continue
        case = cases.Case(op, 2_000, "float32")
        for way in cases.ways(get_backend("numba"), op, case.sample()):
            _, contender = cases.prepare(case, way)
            assert contender is not None
            for _ in range(200):
                contender.perform()
            ready = cases.Prepared(way, op, case.sample(), "float32")
            call = ready.runner()
            for _ in range(200):
                call()
            assert all(np.isfinite(v).all() for v in ready.inputs if isinstance(v, np.ndarray))


def test_the_five_steps_agree() -> None:
    rows = [row for row, _ in story.prepare(60, 7)]
    assert [row.variant for row in rows] == list(story.STEPS)
    for row in rows:
        assert row.status in ("ok", "skipped"), row.reason
    x, y = story.data(60, 7)
    ends = []
    for name, make in story.makers(x, y).items():
        if name.startswith("5"):
            continue
        one = make()
        one(20)
        if isinstance(one, story.Whole):
            w, b = one.model.get_weights()
            ends.append(np.append(w.reshape(-1), b))
        else:
            ends.append(np.append(one.w, one.b))
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-4, atol=1e-6)


def test_a_wrong_step_of_the_story_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_bias(x: Any, y: Any, w: Any, b: float) -> tuple[float, Any, float]:
        cost, w, _ = story.vectorised(x, y, w, b)
        return cost, w, b + 0.5

    monkeypatch.setattr(story, "loop_over_examples", no_bias)
    found = dict(zip(story.STEPS, story.prepare(60, 7), strict=True))
    row, contender = found[story.STEPS[1]]
    assert row.status == "wrong"
    assert contender is None


def test_a_training_that_is_off_is_refused() -> None:
    network = Network((6, 5, 3), 8)
    numpy = get_backend("numpy")
    expected = trainings.reference_loss(network)
    row, contender = trainings.prepare(network, numpy, expected)
    assert row.status == "ok"
    assert contender is not None
    row, contender = trainings.prepare(network, numpy, expected * 1.01)
    assert row.status == "wrong"
    assert contender is None


def test_rounds_are_interleaved_and_sized(monkeypatch: pytest.MonkeyPatch) -> None:
    now, order = [0.0], []
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def work(name: str, seconds: float) -> Any:
        def one() -> None:
            now[0] += seconds
            order.append(name)

        return one

    fast = timing.Contender("fast", work("fast", 1e-4), units=2)
    slow = timing.Contender("slow", work("slow", 0.5))
    for one in (fast, slow):
        one.warm(0.02)
    assert fast.repeats >= 100
    assert slow.repeats == 1
    order.clear()
    timing.interleave([fast, slow], 4)
    assert fast.seconds == pytest.approx([5e-5] * 4)
    assert slow.seconds == pytest.approx([0.5] * 4)
    turns = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert len(turns) >= 5  # and not all rounds of one, then all of the other


@pytest.mark.long
def test_a_result_follows_the_schema_and_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    arguments = ["bench", "--op", "relu", "--op", "adam_update", "--size", "2000", "--json"]
    done = CliRunner().invoke(app, [*arguments, str(target)])
    assert done.exit_code == 0, done.output
    document = json.loads(target.read_text())
    schema = json.loads(Path(result.__file__).with_name("schema.json").read_text())
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)
    read = result.Result.read(target)
    assert json.loads(read.to_json()) == document
    assert len({row.key for row in read.rows}) == len(read.rows) >= 10
    assert all(len(row.seconds) == 7 for row in read.rows)
    assert read.ceilings
    ceiling = read.ceiling(read.rows[0])
    assert ceiling is not None
    assert ceiling.share(read.rows[0])[0] > 0
    document["rows"][0]["seconds"] = []
    document["rows"][0]["status"] = "wrong"
    with pytest.raises(jsonschema.ValidationError):  # a refused row needs a reason
        jsonschema.validate(document, schema)


@pytest.mark.long
def test_baselines_of_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    done = CliRunner().invoke(app, ["bench", "--op", "relu", "--size", "900", "--save", "before"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "benchmarks" / "before.json").exists()
    done = CliRunner().invoke(app, ["bench", "--runs", "2"])
    assert done.exit_code == 2
    assert "--save" in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--op", "rleu"], "relu"),
        (["--backend", "nunba"], "numba"),
        (["--dtype", "float23"], "float32"),
        (["--size", "0"], "--size"),
        (["--quick", "--full"], "exclude"),
        (["--save", "../x"], "baseline"),
        (["--json", "/no/such/folder/x.json"], "folder"),
    ],
)
def test_bad_arguments(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert done.exit_code == 2
    assert told in done.output
    assert "Traceback" not in done.output


def test_ctrl_c_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lamina.benchmarks.commands import suite as suite_command

    def interrupted(options: Any, progress: Any, keep: result.Result) -> None:
        found = suite.measure_suite(suite.Options("verify", ("relu",), ("numpy",)))
        keep.rows, keep.environment = found.rows, found.environment
        raise KeyboardInterrupt

    monkeypatch.setattr(suite_command, "measure_suite", interrupted)
    target = tmp_path / "part.json"
    done = CliRunner().invoke(app, ["bench", "--op", "relu", "--json", str(target)])
    assert done.exit_code == 130
    assert len(result.Result.read(target).rows) >= 1


def test_a_file_that_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(lm.BadInput, match=r"x\.json"):
        result.Result.read(tmp_path / "x.json")
