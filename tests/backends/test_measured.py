"""LAMINA_AUTO=measured: what the file says, when it counts, and when it does not."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.backends import measured
from lamina.benchmarks import crossover
from lamina.kernels import folder
from lamina.kernels.host import processor

Plant = Callable[..., Path]


def planted(**changes: Any) -> dict[str, Any]:
    """Figures of this machine: loops win for small steps, numpy from 1,000,000 flops on."""
    training = [{"from": 0.0, "backend": "loops"}, {"from": 1e6, "backend": "numpy"}]
    found = {
        "schema": measured.SCHEMA, "date": "2026-01-02", "processor": processor(),
        "cores": os.cpu_count(), "backends": measured.available(),
        "training": {"thresholds": training, "points": []},
        "ops": {"relu": {"thresholds": [{"from": 0.0, "backend": "numpy"}], "points": []}},
    }  # fmt: skip
    found.update(changes)
    return found


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Plant:
    monkeypatch.setenv("LAMINA_AUTO", "measured")
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(measured, "_warned", set())

    def put(text: str | None = None, **changes: Any) -> Path:
        path = measured.path()
        path.write_text(json.dumps(planted(**changes)) if text is None else text)
        return path

    return put


def train(model: lm.Sequential, rows: int = 16, epochs: int = 1) -> lm.Sequential:
    x, y = support.classes(rows)
    model.fit(x, y, epochs=epochs, batch_size=rows, verbose=0)
    return model


def test_the_size_of_a_step_decides(plant: Plant) -> None:
    plant()
    small, large = support.classifier("auto"), support.classifier("auto", dtype="float32")
    assert small.backend.name == lm.get_backend("auto").name
    assert "decides when training begins" in small.backend_reason
    assert train(small).backend.name == "loops"  # 6 x 16 rows x 67 parameters = 6432
    assert train(large, 4096).backend.name == "numpy"
    assert "measured on 2026-01-02: loops wins from 0 flops" in lm.explain(small)
    assert "numpy wins from 1e+06 flops a step (here 1.65e+06)" in lm.explain(large)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fit", "batch", "batches"])
def test_weights_carry_over_exactly(plant: Plant, way: str) -> None:
    plant()
    x, y = support.classes(16)
    left, given = support.classifier("auto"), support.classifier("loops")
    left.build(4)
    given.build(4)
    drawn = [w + 0.125 for w in given.get_weights()]
    for model in (left, given):
        model.set_weights(drawn)
        model.predict(x)  # on the ordinary choice, which the training then leaves
        if way == "fit":
            model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        elif way == "batch":
            model.train_on_batch(x, y)
        else:
            model.fit(lambda: [(x[:8], y[:8]), (x[8:], y[8:])], epochs=2, verbose=0)
    assert left.backend.name == "loops"
    assert support.same(left.get_weights(), given.get_weights())
    for slot in left.state.layout.slots:
        assert left.state.read(slot).tobytes() == given.state.read(slot).tobytes()


@pytest.mark.slow
def test_the_choice_is_made_once(plant: Plant) -> None:
    plant()
    model = train(support.classifier("auto"))
    train(model, 4096)
    assert model.backend.name == "loops"
    train(model.to("auto"), 4096)
    assert model.backend.name == "numpy"


def test_no_epochs_decide_nothing(plant: Plant) -> None:
    plant()
    model = train(support.classifier("auto"), epochs=0)
    assert model.backend.name == lm.get_backend("auto").name
    assert train(model).backend.name == "loops"


def test_resuming_is_bit_identical(plant: Plant, tmp_path: Path) -> None:
    plant()
    whole = train(support.classifier("auto"), epochs=4)
    train(support.classifier("auto"), epochs=2).save(tmp_path / "half.safetensors")
    half = lm.load(tmp_path / "half.safetensors")
    assert train(half, epochs=2).backend.name == "loops"
    assert support.same(whole.get_weights(), half.get_weights())


@pytest.mark.slow
def test_every_other_choice_wins(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    assert train(support.classifier("numpy")).backend.name == "numpy"
    assert train(support.classifier("numba,numpy")).backend.name == "numba"
    with lm.use_backend("numpy"):
        model = train(support.classifier("auto"))
    assert (model.backend.name, model.backend_reason) == ("numpy", "use_backend 'numpy'")
    assert train(support.classifier("auto").to("numpy")).backend.name == "numpy"
    monkeypatch.setenv("LAMINA_BACKEND", "numpy")
    model = train(support.classifier("auto"))
    assert (model.backend.name, model.backend_reason) == ("numpy", "LAMINA_BACKEND 'numpy'")


@pytest.mark.slow  # compiles for an empty folder
def test_priority_is_the_default(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    ordinary = lm.get_backend("auto").name
    for value in ("", "priority"):
        monkeypatch.setenv("LAMINA_AUTO", value)
        model = train(support.classifier("auto"))
        assert (model.backend.name, "measured" in model.backend_reason) == (ordinary, False)


def test_an_unknown_value_lists_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_AUTO", "mesured")
    with pytest.raises(lm.UnknownName, match="valid: priority, measured"):
        support.classifier("auto")
    support.classifier("numpy")  # nothing is left open there


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("{", {}, "it is damaged"),
        ("[]", {}, "it is damaged"),
        ("{}", {}, "it is damaged"),
        (None, {"training": {"thresholds": []}}, "it is damaged"),
        (None, {"training": {"thresholds": [{"from": 5, "backend": "numpy"}]}}, "it is damaged"),
        (None, {"training": {"thresholds": [{"from": 0, "backend": "x"}]}}, "it is damaged"),
        (None, {"training": {"thresholds": [{"from": "a", "backend": "numpy"}]}}, "it is damaged"),
        (None, {"training": None}, "has no figures for training"),
        (None, {"schema": 99}, "schema 99"),
        (None, {"processor": "Z80"}, "measured on Z80"),
        (None, {"cores": 4096}, "with 4096 cores"),
        (None, {"backends": ["cupy", "numpy"]}, "measured with cupy, numpy; now loops"),
    ],
)
def test_a_file_that_says_nothing_is_ignored_with_one_warning(
    plant: Plant, text: str | None, changes: dict[str, Any], said: str
) -> None:
    plant(text, **changes)
    with pytest.warns(UserWarning, match=f"{said}.*lamina bench crossover") as told:
        model = train(support.classifier("auto"))
    assert len(told) == 1
    assert model.backend.name == lm.get_backend("auto").name
    assert "without figures: lamina bench crossover" in model.backend_reason
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(support.classifier("auto"))


@pytest.mark.usefixtures("plant")
def test_no_file_names_the_command() -> None:
    with pytest.warns(UserWarning, match="there is no such file.*lamina bench crossover"):
        train(support.classifier("auto"))


def test_a_dtype_that_the_winner_lacks(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant()
    monkeypatch.setattr(lm.get_backend("loops"), "dtypes", ("float32",), raising=False)
    model = train(support.classifier("auto"))
    assert model.backend.name == lm.get_backend("auto").name
    assert "but it has no float64" in model.backend_reason


def test_what_crossover_writes_is_read(plant: Plant) -> None:
    plant(ops={"tanh": {"thresholds": [{"from": 0.0, "backend": "numpy"}], "points": []}})
    points = [
        crossover.Point(1e3, {"loops": 1e-6, "numpy": 4e-6}),
        crossover.Point(1e5, {"loops": 1e-2, "numpy": 1e-5}),
    ]
    crossover.save(crossover.document({"": points, "relu": points[:1]}))
    found = measured.read()
    assert found is not None
    assert [t.backend for t in found.training] == ["loops", "numpy"]
    assert 1e3 < found.training[1].start < 1e5
    assert sorted(found.ops) == ["relu", "tanh"]  # what was not measured again stays
    assert list(measured.path().parent.glob(".*")) == []
    model = train(support.classifier("auto"))
    assert np.isfinite(model.get_weights()[0]).all()
    assert model.backend.name == measured.winner(found.training, 6.0 * 16 * 67).backend


def test_a_foreign_file_is_not_kept(plant: Plant) -> None:
    plant(processor="Z80")
    made = crossover.document({"relu": [crossover.Point(10.0, {"numpy": 1e-6})]})
    assert made["training"] is None
    assert list(made["ops"]) == ["relu"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_a_file_that_others_may_write_to_is_not_believed(plant: Plant, tmp_path: Path) -> None:
    path = plant()
    assert measured.problem() == ""
    path.chmod(0o666)
    assert measured.problem() == "it cannot be read (can be written to by everybody)"
    path.chmod(0o600)
    tmp_path.chmod(0o777)
    assert measured.problem() == f"it cannot be read ({tmp_path} can be written to by everybody)"
    with pytest.warns(UserWarning, match="the ordinary automatic choice is used"):
        assert measured.read() is None
    tmp_path.chmod(0o700)
    assert measured.read() is not None


@pytest.mark.parametrize("text", ["[" * 200_000, '{"schema": ' * 50_000])
def test_a_file_that_nests_too_deeply_is_damaged(text: str, plant: Plant) -> None:
    plant(text)
    assert measured.problem() == "it is damaged"


def test_paths_that_are_not_absolute_are_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", "here")
    monkeypatch.setenv("XDG_CACHE_HOME", "there")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder.folder() == tmp_path / ".cache" / "lamina"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert folder.folder() == tmp_path / "x" / "lamina"
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    assert folder.folder() == tmp_path
