"""Forged model files cost no more than they are long, and end in one kind of error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
import support
from lamina.core.checkpoint import digest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

FORGED = int(os.environ.get("LAMINA_FORGED", "3000"))
linux = pytest.mark.skipif(sys.platform != "linux", reason="a limit on memory, as Linux has it")


RATE = lm.schedules.WarmUp(3, lm.schedules.Cosine(0.01, 100))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A model with something of everything that a file can say."""
    return saved(tmp_path / "m.safetensors", lm.Adam(RATE))


def saved(path: Path, optimizer: Any, **rates: float) -> Path:
    """Such a model's file."""
    x, y = support.classes(12, 3, 2)
    layers = [
        lm.Standardize(),
        lm.Dense(4, "relu", kernel_initializer=lm.initializers.RandomNormal(0.1)),
        lm.Dropout(0.1), lm.Dense(2, "softmax"),
    ]  # fmt: skip
    model = support.classifier(layers=layers, optimizer=optimizer, dtype="float32")
    model.build(3).set_rates(rates)
    model.fit(x, y, batch_size=4, verbose=0)
    model.save(path)
    return path


def rewritten(path: Path, told: dict[str, Any], **metadata: str) -> None:
    """The file with other words and a checksum that fits."""
    with safe_open(path, framework="numpy") as file:
        words = dict(file.metadata())
    words["model"] = json.dumps({**json.loads(words["model"]), **told})
    words, tensors = {**words, **metadata}, load_file(path)
    save_file(tensors, path, {**words, "digest": digest(tensors, words["model"])})


@pytest.mark.long
@linux
@pytest.mark.parametrize(
    "optimizer",
    [lm.Adam(RATE), lm.AdamW(amsgrad=True, average=lm.EMA(0.9)), lm.NAdam(average=lm.SWA())],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_forged_by_the_thousand(optimizer: Any, path: Path) -> None:
    saved(path, optimizer, **{"1.bias": 0.0, "3.weight": 0.5})
    program = Path(support.__file__).with_name("forging.py")
    done = subprocess.run(
        [sys.executable, str(program), str(path), "7", str(FORGED)],
        capture_output=True, text=True, timeout=support.PATIENCE, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["refused"] > FORGED // 2
    assert counts["loaded"] > FORGED // 20


COST = """
import resource, sys
import lamina as lm
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    lm.load(sys.argv[1], backend="numpy")
except lm.CheckpointError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    "layers",
    [
        [{"class": "Dense", "units": 30_000}, {"class": "Dense", "units": 10_000}],
        [{"class": "Dense", "units": 10**9}],
        [{"class": "Standardize"}] * 3 + [{"class": "Dense", "units": 2**40}],
    ],
    ids=["deep", "wide", "wider than any memory"],
)
def test_a_promise_costs_no_memory(layers: list[Any], path: Path) -> None:
    rewritten(path, {"layers": layers, "loss": "mean_squared_error", "metrics": []})
    told, mib = support.run_python(COST, path).strip().splitlines()
    assert "do not fit its description" in told
    assert int(mib) < 150


def test_a_promise_about_shapes_that_exist(path: Path) -> None:
    """The names are those of the file, the sizes are not."""
    with safe_open(path, framework="numpy") as file:
        layers = json.loads(file.metadata()["model"])["layers"]
    layers[1]["units"] = 2**40
    rewritten(path, {"layers": layers})
    with pytest.raises(lm.CheckpointError, match="but the model needs"):
        lm.load(path, backend="numpy")


COLUMN = {"name": "a", "categories": [], "fill": None}
ENCODING = {"columns": [], "label": "y", "task": "classification", "classes": ["a", "b"],
            "mean": 0.0, "scale": 1.0}  # fmt: skip
NEW = {**ENCODING, "version": 2, "missing": None}
KINDLESS = {"name": "a", "kind": "number", "fill": 0.0}


@pytest.mark.parametrize(
    "told",
    [
        {"step": -1}, {"step": 2**60}, {"step": 2**70}, {"step": 1.5}, {"step": True},
        {"epoch": -1}, {"epoch": 10**400}, {"epoch": None},
        {"features": [3.0]}, {"features": 3}, {"features": [2**80]}, {"features": "abc"},
        {"features": [0]}, {"features": [-3]}, {"features": []},
        {"optimizer": {"class": "Adam", "learning_rate": 10**400}},
        {"optimizer": {"class": "Adam", "learning_rate": float("nan")}},
        {"optimizer": {"class": "Adam", "learning_rate": {"class": "Constant"}}},
        {"optimizer": {"class": "Adam", "learning_rate": {"class": "RandomNormal"}}},
        {"optimizer": {"class": "Adam", "learning_rate": {
            "class": "WarmUp", "steps": 9, "after": {"class": "Constant"}}}},
        {"optimizer": {"class": "Adam", "learning_rate": {
            "class": "WarmUp", "steps": 10**400, "after": 0.1}}},
        {"optimizer": {"class": "Adam", "learning_rate": {"class": "Step", "initial": 1,
                                                          "every": 0}}},
        {"rates": 3}, {"rates": None}, {"rates": [0.5]}, {"rates": {"1.bias": -1.0}},
        {"rates": {"1.bias": float("nan")}}, {"rates": {"1.bias": float("inf")}},
        {"rates": {"1.bias": 10**400}}, {"rates": {"1.bias": "1"}}, {"rates": {"1.bias": True}},
        {"rates": {"7.bias": 1.0}}, {"rates": {"0.mean": 1.0}}, {"rates": {"1.bias": 0.0}},
        {"columns": ["a"]}, {"columns": 7}, {"origin": [["a", 1]]}, {"origin": 3},
        {"encoding": {**ENCODING, "scale": 0.0}}, {"encoding": {**ENCODING, "scale": -1.0}},
        {"encoding": {**ENCODING, "mean": float("inf")}}, {"encoding": {**ENCODING, "mean": "x"}},
        {"encoding": {**ENCODING, "classes": [1, 2]}}, {"encoding": {**ENCODING, "task": "?"}},
        {"encoding": {**ENCODING, "columns": [COLUMN]}},
        {"encoding": {**ENCODING, "columns": [COLUMN] * 3}},
        {"encoding": {**ENCODING, "columns": [{**COLUMN, "categories": [1, 2, 3]}]}},
        {"encoding": 3}, {"encoding": {}},
        {"encoding": {**NEW, "columns": [KINDLESS]}},
        {"encoding": {**NEW, "columns": [KINDLESS] * 3}},
        *({"encoding": {**NEW, "columns": [KINDLESS, {**KINDLESS, "name": "b", **wrong}]}}
          for wrong in (
              {"kind": "?"}, {"words": [1]}, {"fill": "a"}, {"fill": float("nan")},
              {"parts": ["x"]}, {"origin": 0.5}, {"indicator": 1},
              {"kind": "yes/no"}, {"more": 1}, {"name": 3},
          )),
    ],
    ids=lambda told: json.dumps(told)[:60],
)  # fmt: skip
def test_words_out_of_range(told: dict[str, Any], path: Path) -> None:
    rewritten(path, told)
    with pytest.raises(lm.CheckpointError) as caught:
        lm.load(path, backend="numpy")
    assert "checksum" not in str(caught.value)


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a": ' * 100_000, "[" * 400 + "]" * 400])
def test_words_that_nest_too_deeply(deep: str, path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        words = dict(file.metadata())
    words["model"] = words["model"].replace('"units": 4', f'"units": {deep}')
    tensors = load_file(path)
    save_file(tensors, path, {**words, "digest": digest(tensors, words["model"])})
    with pytest.raises(lm.CheckpointError, match="does not describe a model"):
        lm.load(path, backend="numpy")


@pytest.mark.parametrize("version", ["²", "-1", "1.0", " 1", "9" * 5000, "0", "١"])
def test_versions_that_are_no_number(version: str, path: Path) -> None:
    rewritten(path, {}, version=version)
    with pytest.raises(lm.CheckpointError, match="upgrade lamina"):
        lm.load(path, backend="numpy")


def test_dtypes_that_numpy_has_not(path: Path) -> None:
    import struct

    for kind in ("BF16", "F8_E4M3", "F16", "?"):
        header = {"w": {"dtype": kind, "shape": [1], "data_offsets": [0, 2]}}
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0\0")
        with pytest.raises(lm.CheckpointError):
            lm.load(path, backend="numpy")


def test_a_stranger_s_step_is_not_trained_from(path: Path) -> None:
    """The largest that is believed trains on every backend."""
    rewritten(path, {"step": 2**53, "epoch": 2**53})
    x, y = support.classes(12, 3, 2)
    for backend in support.CPU:
        model = lm.load(path, backend=backend)
        model.fit(x, y, batch_size=4, verbose=0)
        assert model.state.step == 2**53 + 3
        assert all(np.isfinite(w).all() for w in model.get_weights())


# Planted links


def test_saving_follows_no_planted_link(path: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for number in range(os.getpid() - 2, os.getpid() + 3):
        (tmp_path / f".m.safetensors.{number}.tmp").symlink_to(victim)
    path.unlink()
    path.symlink_to(victim)
    model = support.classifier().build(4)
    model.save(path)
    assert victim.read_text() == "precious"
    assert not path.is_symlink()
    assert lm.load(path, backend="numpy").n_outputs == 3


def test_sweeping_takes_only_one_s_own(tmp_path: Path) -> None:
    """A name with signs of a pattern in it sweeps no other file's leftovers."""
    other = tmp_path / ".ma.safetensors.1.tmp"
    other.write_text("half")
    os.utime(other, (1.0, 1.0))
    support.classifier().build(4).save(tmp_path / "m[a].safetensors")
    assert other.exists()


def test_a_log_follows_no_link(tmp_path: Path) -> None:
    victim, log = tmp_path / "victim", tmp_path / "log.csv"
    victim.write_text("precious\n")
    log.symlink_to(victim)
    x, y = support.classes(12)
    with pytest.raises(OSError, match="is a link: name the file itself"):
        support.classifier().fit(x, y, batch_size=4, verbose=0, callbacks=[lm.LogFile(log)])
    assert victim.read_text() == "precious\n"


def test_many_threads_save_to_one_path(path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    models = [support.classifier(seed=seed).build(4) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda model: [model.save(path) for _ in range(10)], models))
    saved = lm.load(path, backend="numpy").get_weights()
    assert any(support.same(saved, model.get_weights()) for model in models)
    assert [one.name for one in path.parent.iterdir()] == ["m.safetensors"]
