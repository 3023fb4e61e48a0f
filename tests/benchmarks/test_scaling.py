"""The model of steps on ranks: planted machines are found again, and its sums are done by hand."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import lamina
import pytest
from lamina.__main__ import app
from lamina.benchmarks.networks import Network
from lamina.benchmarks.result import Row
from lamina.benchmarks.scaling import launch, measurement, table
from lamina.benchmarks.scaling.measurement import Place, Scaling
from lamina.benchmarks.scaling.model import Link, Machine, bandwidth, between, latency
from lamina.kernels.errors import BadInput
from lamina.kernels.host import usable_cores
from typer.testing import CliRunner

SCHEMA = Path(lamina.__file__).with_name("benchmarks") / "schema.json"
WIRE = Link(20e-6, 1.25e9)
# 1 ms and 10 µs a row on one core of two, and sums over two ranks of 5 µs and 2 GB/s.
WORK = [(rows, 1e-3 + 1e-5 * rows) for rows in (16, 64, 256, 512)]
HERE = Machine(2, {1: WORK}, {2: [(s, 1e-5 + s / 2e9) for s in (1e3, 1e6)]}, 1e6)


@pytest.mark.parametrize("ranks", [2, 3, 8])
@pytest.mark.parametrize("planted", [WIRE, Link(0.0, 3e9), Link(1e-3, math.inf)])
def test_a_planted_link_is_found_again(planted: Link, ranks: int) -> None:
    points = [(size, planted.sum(ranks, size)) for size in (64.0, 4096.0, 1e6, 1e8)]
    found = Link.fitted(ranks, points)
    assert found.latency == pytest.approx(planted.latency, rel=1e-6, abs=1e-15)
    assert found.bandwidth == pytest.approx(planted.bandwidth, rel=1e-6)


def test_a_sum_is_messages_and_bytes() -> None:
    assert WIRE.sum(1, 1e6) == 0.0
    assert WIRE.sum(2, 1e6) == pytest.approx(2 * 20e-6 + 1e6 / 1.25e9)
    assert WIRE.sum(5, 1e6) == pytest.approx(6 * 20e-6 + 1.6 * 1e6 / 1.25e9)


def test_a_step_is_its_share_of_the_work_and_the_sums() -> None:
    local = 1e-5 + 1e6 / 2e9
    assert HERE.step(512, 1, 1) == pytest.approx(1e-3 + 512e-5)
    assert HERE.step(512, 2, 1) == pytest.approx(1e-3 + 256e-5 + local)
    assert HERE.step(100, 2, 1, 3, WIRE) == pytest.approx(
        1e-3 + 17e-5 + local + WIRE.sum(3, 1e6)  # the largest of six shares has 17 rows
    )
    hidden = replace(HERE, overlap=0.1)
    assert hidden.step(512, 2, 1) == pytest.approx(0.9 * (1e-3 + 256e-5) + local)
    assert replace(HERE, overlap=1.0).step(512, 2, 1) == pytest.approx(1e-3 + 256e-5)


def test_ranks_without_a_core_of_their_own_take_turns() -> None:
    crowded = replace(HERE, behind={4: 2e-3})
    assert crowded.step(512, 4, 1) == pytest.approx(2 * (1e-3 + 128e-5) + 2e-3)


def test_ranks_that_were_measured_taking_turns_are_not_multiplied() -> None:
    crowded = replace(HERE, behind={4: 2e-3}, turns={4: [(128, 5e-3)]})
    assert crowded.step(512, 4, 1) == pytest.approx(7e-3)


def test_what_ranks_took_in_the_same_minute_is_what_is_predicted() -> None:
    """Of as many ranks as cores, and of more, whose work is theirs alone."""
    told = HERE.told(512, 2, 1, 4e-3, 5e-4)
    assert told.step(512, 2, 1) == pytest.approx(4.5e-3)
    assert told.told(512, 2, 1, 3e-3, 1e-3).step(512, 2, 1) == pytest.approx(4e-3)
    crowded = told.told(510, 4, 1, 9e-3, 1e-3)
    assert crowded.turns == {4: [(128.0, 9e-3)]}
    assert crowded.step(510, 4, 1) == pytest.approx(10e-3)
    assert crowded.step(512, 2, 1) == pytest.approx(4.5e-3)


def test_sums_are_of_rounds_like_the_median_one() -> None:
    steps, sums = (3.0, 7.0, 7.2, 3.1, 6.9), (0.5, 3.0, 3.2, 0.6, 3.1)
    assert measurement.alike(steps, sums) == 3.1
    assert measurement.alike((3.0, 7.0), (0.5, 3.0)) == 1.75  # none is like the median


def test_where_more_hosts_do_not_pay() -> None:
    slow = HERE.most(512, 2, 1, Link(1e-3, 1e7))
    assert slow == (1, 1)
    # Half of the work, and two messages of 1 ms more: 256, 130, 68, 38, 24, 18, 16, 16, 17 ms.
    work = [(rows, 1e-3 * rows) for rows in (1, 512)]
    large = Machine(2, {1: work}, {2: [(1e3, 1e-6), (1e6, 1e-3)]}, 1e4)
    assert large.most(512, 2, 1, Link(1e-3, 1e10)) == (64, 64)
    assert large.most(512, 2, 1, Link(4e-3, 1e10))[0] == 16  # 56, 48, 48 ms


def test_values_between_and_beyond_measured_ones() -> None:
    points = [(10.0, 1.0), (20.0, 3.0), (40.0, 4.0)]
    assert [between(points, at) for at in (10.0, 15.0, 40.0, 60.0)] == [1.0, 2.0, 4.0, 5.0]
    assert between(points, 5.0) == 0.25  # the line says 0: half of what is proportional there
    assert between([(10.0, 2.0)], 20.0) == 4.0


@pytest.mark.parametrize("text", ["", "20", "us", "-1us", "0us", "20 minutes", "nanus", "1e999s"])
def test_a_latency_that_is_none_says_how_one_looks(text: str) -> None:
    with pytest.raises(BadInput, match=r"--latency .* such as 20us"):
        latency(text)


def test_units_of_a_network() -> None:
    assert bandwidth("10Gbit/s") == bandwidth("1.25GB") == pytest.approx(1.25e9)
    with pytest.raises(BadInput, match="such as 10Gbit"):
        bandwidth("10Gb/min")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--hosts", "4"], "--latency, such as 20us"),
        (["--latency", "20us"], "--bandwidth, such as"),
        (["--latency", "fast", "--bandwidth", "10Gbit"], "'fast'"),
        (["--backend", "numbers"], "numbers"),
        (["--backend", "numpy", "--python-sums"], "numpy has no others"),
        (["64"], "'64' is no network"),
        (["--json", "/nowhere/at/all.json"], "/nowhere/at"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(given: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["bench", "scale", *given])
    assert done.exit_code == 2
    assert told in done.stderr


def test_without_an_mpi_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r'mpi4py, which is not there: pip install "\.\[mpi\]"'):
        launch.mpiexec()
    monkeypatch.setattr(launch, "find_spec", lambda name: object())
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r'mpiexec, which is not on the PATH: pip install "\.\[mpi'):
        launch.mpiexec()


def test_another_mpi_than_that_of_mpiexec_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = SimpleNamespace(
        COMM_WORLD=SimpleNamespace(size=1), Get_library_version=lambda: "Some MPI, 1.0"
    )
    monkeypatch.setitem(sys.modules, "mpi4py", SimpleNamespace(MPI=alone))
    monkeypatch.setattr(launch, "mpiexec", lambda: "/usr/bin/mpiexec")
    with pytest.raises(BadInput, match=r"2 ranks .* each sees 1: /usr/bin/mpiexec .*Some MPI"):
        launch.world(2)


def test_places_share_the_cores() -> None:
    assert measurement.places((4, 1, 2), 2) == [
        Place(1, 1), Place(1, 2), Place(2, 1), Place(4, 1)
    ]  # fmt: skip
    assert measurement.places((2,), 8) == [Place(1, 1), Place(1, 8), Place(2, 4)]
    assert Place(2, 4, 3).name == "3 hosts x 2 ranks x 4 threads"


def test_the_verdict_names_the_hosts() -> None:
    row = Row("scaling", "c", "numba", "1 rank x 1 thread", seconds=(1.0,))
    found = Scaling(Network((4, 2), 512), HERE, [row], [], [])
    assert table.verdict(found, Place(2, 1), None) == "4-2: fastest here with 1 rank x 1 thread."
    told = table.verdict(found, Place(2, 1), Link(1e-3, 1e7))
    assert "from 1 host on" in told
    assert "shortest on 1 (" in told


def test_a_prediction_stands_beside_the_measured_steps() -> None:
    row = Row("scaling", "c", "numba", "2 ranks x 1 thread", seconds=(1.0, 2.0, 3.0), predicted=1.5)
    assert table.off(row) == "-25 %"
    assert table.off(replace(row, predicted=None)) == ""


@pytest.mark.skipif(
    find_spec("mpi4py") is None
    or not (Path(sys.executable).with_name("mpiexec").is_file() or shutil.which("mpiexec")),
    reason='needs mpi4py and mpiexec: pip install "lamina[mpi]"',
)
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_ranks_are_measured_and_predicted(backend: str, tmp_path: Path) -> None:
    file = tmp_path / "scale.json"
    options = ["--ranks", "2", "--backend", backend, "--rounds", "1", "--json", str(file)]
    options += ["--python-sums"] if backend == "numba" else []
    hosts = ["--hosts", "3", "--latency", "20us", "--bandwidth", "10Gbit"]
    done = CliRunner().invoke(app, ["bench", "scale", "6-5-3:9", *options, *hosts])
    assert done.exit_code == 0, done.output
    document = json.loads(file.read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    rows = {row["variant"]: row for row in document["rows"] if row["kind"] == "scaling"}
    together, far = rows["2 ranks x 1 thread"], rows[f"3 hosts x {usable_cores()} ranks x 1 thread"]
    assert together["status"] == "ok", together["reason"]  # its losses are those of one rank
    assert together["predicted"] > 0.0
    if backend == "numba":
        called = rows["sums in Python, 2 ranks x 1 thread"]
        assert called["status"] == "ok", called["reason"]
    assert (far["status"], far["reason"]) == ("skipped", "predicted, not run")
    assert far["predicted"] > 0.0
    assert "twice as many shorten a step by less than a tenth" in " ".join(done.output.split())
