"""The peers do the same work as lamina, and one that does not is never timed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lamina.__main__ import app
from lamina.backends.registry import BackendStatus
from lamina.benchmarks.networks import WORDS, Network, plain
from lamina.benchmarks.peers import by_hand, measurement, registry
from lamina.benchmarks.peers.by_hand_layers import ACTIVATIONS
from lamina.benchmarks.peers.peer import CHECKED, Peer, Task
from lamina.benchmarks.peers.process import PeerFailed, Process, Processes, Remote
from lamina.benchmarks.peers.products import Products
from lamina.benchmarks.peers.registry import PEERS, choose, lamina_peer
from lamina.benchmarks.peers.worker import digest
from lamina.benchmarks.result import Result, Row
from lamina.kernels.errors import BadInput, UnknownName
from lamina.kernels.spec import FLOATS
from typer.testing import CliRunner

DEEP = Network((6, 5, 4, 3), 8, "relu")
BINARY = Network((3, 4, 1), 16, "tanh")


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


def verdict(peer: Peer, task: Task) -> str:
    """What is wrong with a peer's answer."""
    found = digest(task, peer.prepare(task).answer())
    return measurement.disagreement(found, measurement.reference(task), task.network.dtype)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", [w for w in WORDS if plain(w) in ACTIVATIONS])
@pytest.mark.parametrize("network", [DEEP, BINARY, Network((4, 1), 8)])
def test_numpy_by_hand_agrees(network: Network, activation: str, dtype: str) -> None:
    network = replace(network, activation=activation, dtype=dtype)
    for task in (Task("training", network), Task("inference", network, 3)):
        assert verdict(PEERS[0], task) == ""


@pytest.mark.parametrize("mode", ["training", "inference", "epoch"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_lamina_agrees_with_its_reference(mode: str, backend: str) -> None:
    network = Network((64, 8, 10), 32) if mode == "epoch" else DEEP
    assert verdict(lamina_peer(backend), Task(mode, network, 3, "digits")) == ""


LIBRARIES = {peer.file: peer.modules for peer in PEERS if peer.modules}


@pytest.mark.long
@pytest.mark.parametrize("file", LIBRARIES)
def test_every_installed_library_agrees(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, _ in LIBRARIES[file]:
        pytest.importorskip(module)
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool for two small files
    peers = [p for p in PEERS if p.file == file]
    with Processes() as running:
        process = running[peers[0]]  # a process can do the work of any peer
        for peer in peers:
            compiled = peer.variant == "compile"
            if compiled and shutil.which("g++") is None:
                continue
            for mode in peer.modes:
                for dtype in FLOATS[:1] if compiled else FLOATS:  # the C++ compiler takes seconds
                    agrees(process, peer, mode, dtype)


def agrees(process: Process, peer: Peer, mode: str, dtype: str) -> None:
    network = Network((64, 8, 10), 32) if mode == "epoch" else Network((6, 5, 3), 8)
    task = Task(mode, replace(network, dtype=dtype), 3, "digits")
    process.peer = peer
    answer, expected = process.start(task), measurement.reference(task)
    wrong, error = measurement.disagreement(answer, expected, dtype, peer.loose)
    assert (peer, mode, dtype, wrong) == (peer, mode, dtype, "")
    assert error >= 0.0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", [DEEP, BINARY])
def test_another_beta_is_noticed(network: Network, dtype: str) -> None:
    task = Task("training", replace(network, dtype=dtype))
    found = digest(task, by_hand.Training(task, beta1=0.8).answer())
    wrong, _ = measurement.disagreement(found, measurement.reference(task), dtype)
    assert "off by" in wrong


@pytest.mark.slow
def test_what_is_wrong_is_not_timed(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("training", DEEP)
    expected = {name: [2.0 * v for v in vs] for name, vs in measurement.reference(task).items()}
    monkeypatch.setattr(measurement, "reference", lambda task: expected)
    (row,) = measurement.measure_peers([PEERS[0]], task, processes, rounds=1)
    assert (row.status, row.seconds) == ("wrong", ())
    assert "allowed 0.002" in row.reason


def test_numbers_that_are_none_are_wrong() -> None:
    expected = {"losses": [1.0, 0.5]}
    assert measurement.disagreement({"losses": [1.0, float("nan")]}, expected, "float32")[0]
    assert measurement.disagreement({"losses": [1.0]}, expected, "float32")[0]
    assert measurement.disagreement({"losses": [1.0, 0.5]}, expected, "float32") == ("", 0.0)


def test_a_missing_library_is_skipped_with_the_command(processes: Processes) -> None:
    peer = Peer("nowhere", "", "by_hand", ("training",), (("no_such_module", "nothing"),))
    (row,) = measurement.measure_peers([peer], Task("training", DEEP), processes, rounds=1)
    assert (row.status, row.reason) == ("skipped", "not installed: pip install nothing")


def test_a_library_that_fails_is_told_and_the_next_task_runs(processes: Processes) -> None:
    process = processes[PEERS[0]]
    with pytest.raises(PeerFailed, match="BadInput: it has no activation gelu"):
        process.start(Task("training", replace(DEEP, activation="gelu")))
    assert process.start(Task("training", DEEP))["losses"]


@pytest.mark.slow
def test_a_dead_process_is_told_and_started_again(processes: Processes) -> None:
    first = processes[PEERS[0]]
    first.process.kill()
    with pytest.raises(PeerFailed, match="its process ended"):
        first.start(Task("training", DEEP))
    assert processes[PEERS[0]].start(Task("training", DEEP))["losses"]


@pytest.mark.slow
def test_a_process_that_dies_between_rounds_costs_only_its_own_row(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interleave(remotes: list[Remote], rounds: int) -> None:
        first, second = remotes
        assert first.process is not None
        first.round()
        first.process.process.kill()
        assert (first.round(), first.round()) == (0.0, 0.0)
        second.round()

    monkeypatch.setattr(measurement, "interleave", interleave)
    rows = measurement.measure_peers(
        [PEERS[0], lamina_peer("numpy")], Task("training", DEEP), processes, 2
    )
    assert [(r.status, len(r.seconds)) for r in rows] == [("skipped", 0), ("ok", 1)]
    assert "its process ended" in rows[0].reason


def test_choosing() -> None:
    assert [p.name for p in choose("training", ["numpy"], ["numpy"])] == ["numpy", "numpy by hand"]
    assert {p.name for p in choose("epoch", [], ["loops"])} == {"loops", "torch", "scikit-learn"}
    assert "products" not in {p.name for p in choose("training", [], ["numpy"])}
    assert [p.name for p in choose("training", ["products"], ["numpy"])] == ["numpy", "products"]
    with pytest.raises(UnknownName, match="did you mean 'torch'"):
        choose("training", ["trch"], [])
    with pytest.raises(UnknownName, match="mode"):
        choose("sleeping", [], [])


def test_products_are_checked_by_themselves() -> None:
    work = Products(Task("training", DEEP))
    work.perform(3)
    assert len(work.answer()["losses"]) == CHECKED
    assert len(work.made) == 3 * len(work.kernels) - 1  # the input needs no gradient
    right = np.matmul

    def wrong(a: Any, b: Any, out: Any) -> None:
        right(a, b, out=out)
        out[0, 0] += 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "matmul", wrong)
        with pytest.raises(ArithmeticError, match="is off by"):
            work.answer()


def test_an_epoch_needs_a_network_that_fits_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "fashion_or_digits", lambda: ("digits", 64))
    assert measurement.tasks("epoch", [])[0].network.sizes == (64, 128, 10)
    with pytest.raises(BadInput, match=r"\.\.\.-10"):
        measurement.tasks("epoch", [DEEP])


@pytest.mark.long
def test_the_command(tmp_path: Path) -> None:
    target = tmp_path / "peers.json"
    line = ["bench", "peers", "3-4-2:8", "--peer", "numpy", "--backend", "numpy", "--rounds", "2"]
    done = CliRunner().invoke(app, [*line, "--json", str(target)])
    assert done.exit_code == 0, done.output
    assert "numpy by hand" in done.output
    rows = Result.read(target).rows
    assert [(r.kind, r.backend, r.status, len(r.seconds)) for r in rows] == [
        ("training", "numpy", "ok", 2), ("training", "numpy by hand", "ok", 2)
    ]  # fmt: skip
    assert all(isinstance(r, Row) and r.flops > 0 and 0.0 <= r.error <= r.allowed for r in rows)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["3"], "is no network"),
        (["3-2", "--dtype", "float16"], "unknown dtype 'float16'"),
        (["3-2", "--peer", "keras"], "unknown peer 'keras'"),
        (["3-2", "--json", "/no/such/folder/x.json"], "there is no folder"),
    ],
)
def test_wrong_arguments_are_a_line(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["bench", "peers", *arguments])
    assert done.exit_code == 2
    assert told in done.output


def test_a_table_is_of_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "status", lambda name: BackendStatus(name, True, "here"))
    with pytest.raises(BadInput, match="work on two devices, and a table is of one"):
        choose("training", [], ["numba", "cupy"])
    on_gpu = choose("training", [], ["cupy"])
    assert {p.name for p in on_gpu} == {"cupy", "torch", "jax"}
    assert {p.device for p in on_gpu} == {"cuda"}
    on_cpu = choose("training", [], [])
    assert {p.device for p in on_cpu} == {"cpu"}
    assert "cupy" not in {p.name for p in on_cpu}


def test_jax_works_where_the_table_is_and_says_so() -> None:
    pytest.importorskip("jax")
    task = Task("training", Network((4, 3), 8))
    (peer,) = [p for p in choose("training", ["jax"], ["numpy"]) if p.variant == "whole loop"]
    with Processes() as processes:
        assert processes[peer].start(task)["machine"] == "cpu: cpu, TF32 off"
        with pytest.raises(PeerFailed):  # no GPU here: it is not measured on the CPU in its place
            processes[replace(peer, device="cuda")].start(task)
