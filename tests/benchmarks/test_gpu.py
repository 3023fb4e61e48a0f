"""The parts of `benchmarks/gpu.sh`: time that is kept, failures that are told, files that fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cuda_host.fixtures import needed
from lamina.benchmarks.gpu import __main__ as runner
from lamina.benchmarks.gpu import beside, ways
from lamina.benchmarks.gpu.__main__ import Part, parts, run_all
from lamina.benchmarks.gpu.tests import cuda_tests, missing
from lamina.benchmarks.networks import Network
from lamina.kernels.errors import BadInput

DEEP = Network((4, 5, 3), 8)
ROOT = Path(__file__).parents[2]


def part(name: str, code: str, seconds: float = 60.0, needs: str = "") -> Part:
    return Part(name, [sys.executable, "-c", code], seconds, needs)


@pytest.mark.long
def test_every_part_is_told_and_none_outlasts_the_clock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [
        part("good", "print('fine')"),
        part("bad", "raise ValueError('off by one')"),
        part("long", "print('begun', flush=True); import time; time.sleep(600)", 1.5),
        part("absent", "", needs="no-such-sanitizer"),
    ]
    outcomes = run_all(found, tmp_path, ROOT, 120.0)
    assert [o.status for o in outcomes] == ["passed", "failed", "stopped", "left out"]
    assert [o.said for o in outcomes] == [
        "fine", "ValueError: off by one", "begun", "there is no no-such-sanitizer",
    ]  # fmt: skip
    assert [o["name"] for o in json.loads((tmp_path / "summary.json").read_text())] == [
        "good", "bad", "long", "absent",
    ]  # fmt: skip
    assert (tmp_path / "bad.log").read_text().startswith("Traceback")
    late = run_all(found[:1], tmp_path, ROOT, 0.0)
    assert (late[0].status, late[0].said) == ("left out", "the time was over")
    assert capsys.readouterr().out.count("\n") == 5


@pytest.mark.slow
def test_all_that_is_wanted_is_a_part(tmp_path: Path) -> None:
    found = parts(tmp_path, ROOT)
    names = [one.name for one in found]
    known = "machine capture cuda-tests memcheck racecheck ways ceilings epoch"
    for name in known.split():
        assert name in names
    assert {f"beside-{who}" for who in beside.CONTENDERS} <= set(names)
    wanted = sum(one.seconds for one in found if one.name != "more-cuda-tests")
    assert wanted <= runner.SECONDS
    for one in found:  # what is a module is there
        if "-m" in one.command and one.command[one.command.index("-m") + 1].startswith("lamina"):
            name = one.command[one.command.index("-m") + 1].rpartition(".")[2]
            assert (ROOT / "benchmarks" / "gpu" / f"{name}.py").exists()


@pytest.mark.slow
def test_test_files_that_cannot_be_imported_are_left_out() -> None:
    found = cuda_tests(ROOT)
    assert "tests/backends/test_conformance.py" in found
    assert "tests/core/test_parity.py" in found
    assert "tests/core/test_planar.py" not in found
    text = "import pytest\nimport no_such_module.part\nfrom support import EVERY\nimport lamina"
    assert missing(text, ROOT / "tests" / "core") == ["no_such_module"]


@pytest.mark.slow
def test_a_contender_writes_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
    needed()
    monkeypatch.setattr(beside, "NETWORKS", (Network((4, 3), 8), Network((4, 5, 1), 8), DEEP))
    monkeypatch.setattr(beside, "SECONDS", 0.0)

    def failing(network: Network) -> Any:
        if len(network.sizes) > 2:
            raise (ArithmeticError if network.binary else BadInput)("not today")
        return beside.lamina(network)

    monkeypatch.setitem(beside.CONTENDERS, "lamina", ("cupy", failing))
    with cupy_fake.installed():
        assert beside.main("lamina", str(tmp_path / "one.json")) == 1
    first, second, third = json.loads((tmp_path / "one.json").read_text())["figures"]
    assert (first["network"], first["clock"], len(first["seconds"])) == (
        "4-3:8",
        "device events",
        5,
    )
    assert 5 < first["nodes"] < 20  # fused
    assert "Fake GPU" in first["machine"]
    assert "not today" in second["failed"]
    assert third["left out"] == "not today"
    monkeypatch.setitem(beside.CONTENDERS, "none", ("no_such_library", failing))
    assert beside.main("none", str(tmp_path / "two.json")) == 0
    told = json.loads((tmp_path / "two.json").read_text())
    assert told["left out"] == "no_such_library is not installed"


@pytest.mark.slow
def test_hot_operations_are_measured_in_every_way(tmp_path: Path) -> None:
    cupy_fake = pytest.importorskip("cupy_fake", reason="CuPy's package is not installed")
    needed()
    with cupy_fake.installed():
        ways.main(str(tmp_path / "ways.json"), 8, 5)
    told = json.loads((tmp_path / "ways.json").read_text())["seconds"]
    assert set(told) == {
        "matmul", "dense", "dense_backward", "softmax_cross_entropy", "adam_update",
    }  # fmt: skip
    assert all(set(one) == {"vectorised", "naive", "fused"} for one in told.values())
