"""Layers, losses and dropout that are put into networks: by hand, built in, and in the peers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from lamina.__main__ import app
from lamina.benchmarks import networks, spellings
from lamina.benchmarks.commands.peers import places
from lamina.benchmarks.networks import (
    CELLS,
    LAYERS,
    LOSSES,
    NETWORKS,
    SMALL_TO_LARGE,
    WORDS,
    Network,
    changed,
    parse,
    plain,
)  # fmt: skip
from lamina.benchmarks.peers import by_hand_layers, by_hand_losses, masks, measurement
from lamina.benchmarks.peers.peer import Peer, Task
from lamina.benchmarks.peers.process import Processes
from lamina.benchmarks.peers.products import workload as products
from lamina.benchmarks.peers.registry import PEERS, lamina_peer
from lamina.benchmarks.peers.table import Cell, matrices
from lamina.benchmarks.peers.worker import digest
from lamina.benchmarks.result import Result, Row
from lamina.kernels.errors import BadInput, UnknownName
from rich.console import Console
from typer.testing import CliRunner

SEVERAL = Network((6, 8, 8, 4), 8)
ONE = Network((6, 8, 5, 1), 16)
DROPPED = replace(SEVERAL, dropout=0.3)
TOGETHER = (
    "own_layer_norm:own_swish:dropout=0.3:own_focal",
    "own_batch_norm:own_mish:own_label_smoothing",
    "own_residual:own_selu:own_huber",
    "own_gated:own_gelu:own_gaussian",
    "own_hard_swish:own_cross_entropy:dropout=0.5",
    "own_softsign:own_mean_absolute_error",
    "own_hard_sigmoid:mean_squared_error",
)  # each part once, several at a time


def made(network: Network, word: str) -> Network:
    """The network with words put in, or none where this version has no such part."""
    found = changed(network, word.split(":"))
    if plain(found.loss) == "gaussian" and found.binary:
        found = replace(found, sizes=(*found.sizes[:-1], 2))
    try:
        networks.check(found)
    except UnknownName as error:
        pytest.skip(str(error))
    return found


def verdict(peer: Peer, task: Task) -> str:
    found = digest(task, peer.prepare(task).answer())
    expected = {} if task.random else measurement.reference(task)
    return measurement.verdict(found, task, expected)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("word", [*LAYERS, *LOSSES, "dropout=0.3", *TOGETHER])
@pytest.mark.parametrize("network", [SEVERAL, ONE], ids=["several", "one"])
def test_numpy_by_hand_agrees(network: Network, word: str, dtype: str) -> None:
    network = made(replace(network, dtype=dtype), word)
    if plain(network.activation) not in by_hand_layers.ACTIVATIONS:
        network = replace(network, activation="tanh")
    assert verdict(PEERS[0], Task("training", network)) == ""
    if plain(network.layer) != "batch_norm":
        assert verdict(PEERS[0], Task("inference", network, 3)) == ""


@pytest.mark.parametrize("mode", ["training", "inference", "epoch"])
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_lamina_agrees_with_its_reference(mode: str, backend: str) -> None:
    network = changed(Network((64, 8, 10), 32), ["own_layer_norm", "dropout=0.3", "own_swish"])
    assert verdict(lamina_peer(backend), Task(mode, network, 3, "digits")) == ""


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes() as running:
        yield running


def told(processes: Processes, peer: Peer, task: Task) -> str:
    """The verdict on a peer in a process, which serves all peers of its library."""
    process = processes[next(p for p in PEERS if p.file == peer.file)]
    process.peer = peer
    expected = {} if task.random else measurement.reference(task)
    return measurement.verdict(process.start(task), task, expected)[0]


@pytest.mark.slow
@pytest.mark.parametrize("word", TOGETHER)
@pytest.mark.parametrize("network", [SEVERAL, ONE], ids=["several", "one"])
@pytest.mark.parametrize("file", ["with_jax", "with_torch"])
def test_libraries_agree(file: str, network: Network, word: str, processes: Processes) -> None:
    pytest.importorskip(file.removeprefix("with_"))
    network = made(network, word)
    for peer in (p for p in PEERS if p.file == file and p.variant != "compile"):
        for mode in peer.modes:
            if mode == "epoch" or (mode == "inference" and plain(network.layer) == "batch_norm"):
                continue
            for dtype in ("float32", "float64"):
                task = Task(mode, replace(network, dtype=dtype), 3)
                wrong = told(processes, peer, task)
                assert (peer.variant, mode, dtype, wrong) == (peer.variant, mode, dtype, "")


@pytest.mark.slow
def test_compiled_torch_tells_its_masks(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool for two small files
    (peer,) = (p for p in PEERS if p.variant == "compile")
    assert told(processes, peer, Task("training", DROPPED)) == ""


def test_a_library_that_has_no_such_network_says_so() -> None:
    for file, word in (("with_sklearn", "own_layer_norm"), ("with_onnx", "own_gated")):
        peer = next(p for p in PEERS if p.file == file)
        if not peer.missing:
            with pytest.raises(BadInput, match=word):
                peer.prepare(Task("inference", changed(SEVERAL, [word]), 2))
    with pytest.raises(BadInput, match="no weights of own_residual"):
        products(PEERS[-1], Task("training", changed(SEVERAL, ["own_residual"])))
    with pytest.raises(BadInput, match="no activation gelu here"):
        PEERS[0].prepare(Task("training", changed(SEVERAL, ["own_gelu"])))


@pytest.mark.parametrize("word", [w for w in (*WORDS, *LAYERS, *LOSSES) if w.startswith("own_")])
@pytest.mark.parametrize("network", [SEVERAL, ONE], ids=["several", "one"])
def test_spellings_have_right_gradients(network: Network, word: str) -> None:
    network = made(replace(network, batch=4, activation="tanh", dtype="float64"), word)
    x, y = networks.data_for(network, 1)
    model = networks.model_for(network, "numpy").build(network.sizes[0])
    found = lm.check_gradients(model, x, y)
    assert found, str(found)


@pytest.mark.parametrize("word", [w for w in (*WORDS, *LAYERS, *LOSSES) if w.startswith("own_")])
@pytest.mark.parametrize("network", [SEVERAL, ONE], ids=["several", "one"])
def test_by_hand_and_built_in_are_the_same(network: Network, word: str) -> None:
    other = plain(word)
    if other not in (*WORDS, *LAYERS, *LOSSES):
        pytest.skip(f"there is no {other}")
    base = replace(network, dtype="float64")
    own, built_in = made(base, word), made(base, other)
    x, y = networks.data_for(own, 1)
    models = [networks.model_for(each, "numpy").build(6) for each in (own, built_in)]
    models[1].set_weights(models[0].get_weights())
    losses = [[m.train_on_batch(x, y)["loss"] for _ in range(3)] for m in models]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize("word", ["relu", "dropout=0.5", *spellings.LAYERS])
def test_sizes_count_every_weight(word: str) -> None:
    network = made(SEVERAL, word)
    weights = networks.model_for(network, "numpy").build(6).get_weights()
    assert network.parameters == sum(w.size for w in weights)
    matrices = [w.shape for w in weights if w.shape[0] > 1]
    assert network.pairs == matrices
    assert network.flops == 2.0 * 8 * (3 * sum(a * b for a, b in matrices) - 6 * 8)


def test_names() -> None:
    network = parse("64-32-10:16:own_swish:own_layer_norm:dropout=0.25:own_huber:float64")
    assert network == Network(
        (64, 32, 10), 16, "own_swish", "float64", "own_layer_norm", "own_huber", 0.25
    )
    assert network.case == "64-32-10, batch 16, own_swish, own_layer_norm, dropout 0.25, own_huber"
    assert [n.case for n in NETWORKS[:2]] == ["2-4-1, batch 400, tanh", "64-1, batch 256"]
    for text in (
        "512-1024-512-20:256", "1024-1024-1024-1024-10:256", "784-300-100-10:100",
        "100-200-100-1:512",
    ):  # fmt: skip
        networks.check(parse(text))


def test_every_cell_has_a_key_of_its_own() -> None:
    parts = (*WORDS, *LAYERS, *LOSSES)
    cells = [each for each in CELLS if each in parts or "=" in each]
    found = places([], {"dtype": "", "dropout": ""}, cells, "training")
    cases = {network.case for network in found}
    assert len(cases) == len(found) == len(cells) * len(SMALL_TO_LARGE) > 40
    twice = places(["3-4-2", "3-4-2"], {}, ["relu", "tanh", "relu"], "training")
    assert [cell for _, cell in twice.values()] == ["relu", "tanh"]


def test_targets_of_numbers() -> None:
    labels = np.array([0, 2, 1], np.int32)
    assert networks.targets(SEVERAL, labels) is labels
    rows = networks.targets(changed(SEVERAL, ["own_huber"]), labels)
    assert (rows.dtype, rows.argmax(axis=1).tolist()) == (np.float32, [0, 2, 1])
    assert networks.targets(changed(ONE, ["own_huber"]), labels).tolist() == [[0.0], [2.0], [1.0]]
    assert networks.targets(changed(SEVERAL, ["own_gaussian"]), labels).shape == (3, 2)


def drawn(task: Task) -> np.ndarray:
    return np.random.default_rng(0).random(masks.shape(task)) >= task.network.dropout


def test_masks_travel() -> None:
    task = Task("training", DROPPED)
    given = drawn(task)
    assert np.array_equal(masks.unpack(masks.pack(given), task), given)
    assert masks.oddity(given, task) == ""
    fewer = {"masks": masks.pack(given[:5])}
    assert "masks of 640 numbers, not of 1280" in measurement.verdict(fewer, task, {})[0]


def test_odd_masks_are_noticed() -> None:
    task = Task("training", DROPPED)
    once = np.repeat(drawn(task)[:1], 10, axis=0)
    assert "new mask at every step" in masks.oddity(once, task)
    alike = drawn(task)
    alike[..., 8:] = alike[..., :8]
    assert "two of its layers" in masks.oddity(alike, task)
    most = np.random.default_rng(0).random(masks.shape(task)) >= 0.1
    assert "its masks keep 0.9" in masks.oddity(most, task)


def test_dropout_that_does_something_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("training", replace(DROPPED, dtype="float64"))
    right = by_hand_layers.Drop.forward

    def unscaled(self: Any, x: Any) -> Any:
        return right(self, x) * 0.7

    def kept(self: Any, x: Any) -> Any:  # what it tells is not what it did
        found = right(self, x)
        self.kept = np.roll(self.kept, 1)
        return found

    for planted in (unscaled, kept):
        monkeypatch.setattr(by_hand_layers.Drop, "forward", planted)
        assert "off by" in verdict(PEERS[0], task)


@pytest.mark.parametrize(
    ("word", "where", "name", "value"),
    [
        ("own_layer_norm", by_hand_layers, "EPSILON", 1e-3),
        ("own_huber", by_hand_losses, "DELTA", 0.9),
        ("own_focal", by_hand_losses, "GAMMA", 1.9),
        ("own_label_smoothing", by_hand_losses, "SMOOTHING", 0.11),
        ("own_selu", by_hand_layers, "ALPHA", 1.6),
        ("batch_norm", by_hand_layers, "MOMENTUM", 0.11),
    ],
)
def test_another_constant_is_noticed(
    word: str, where: Any, name: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task("training", made(replace(SEVERAL, dtype="float64"), word))
    monkeypatch.setattr(where, name, value)
    assert "off by" in verdict(PEERS[0], task)


@pytest.mark.long
def test_the_command(tmp_path: Path) -> None:
    target = tmp_path / "peers.json"
    line = ["bench", "peers", "3-4-2:8", "3-4-4-1:8", "--peer", "numpy", "--backend", "numpy"]
    cells = ["--cell", "relu", "--cell", "own_layer_norm:dropout=0.2", "--cell", "own_huber"]
    done = CliRunner().invoke(
        app, [*line, *cells, "--rounds", "2", "--layer", "own_gated", "--json", str(target)]
    )
    assert done.exit_code == 0, done.output
    assert "masks of its own" in done.output
    assert "classes are rows of zeros and a one" in done.output.replace("\n", " ")
    assert "6 of 6 cells; least" in done.output
    rows = Result.read(target).rows
    assert len({row.key for row in rows}) == len(rows) == 12
    assert {row.status for row in rows} == {"ok"}
    assert rows[0].case == "3-4-2, batch 8, relu, own_gated"
    assert rows[-1].case == "3-4-4-1, batch 8, relu, own_gated, own_huber"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["3-4-2", "--layer", "relu"], "unknown layer 'relu'"),
        (["3-4-2", "--loss", "own_hubr"], "did you mean 'own_huber'"),
        (["3-4-2", "--cell", "huger"], "'huger' behind 3-4-2 is no batch size"),
        (["3-4-2:dropout=2"], "a rate is a number from 0, below 1"),
        (["3-2", "--layer", "own_gated"], "no hidden layer for own_gated"),
        (["3-2", "--dropout", "0.5"], "no hidden layer for dropout"),
        (["3-4-1", "--loss", "own_gaussian"], "use 3-4-2"),
        (["3-4-2:own_batch_norm", "--mode", "inference"], "in training alone"),
        (["64-4-10:own_huber", "--mode", "epoch"], "an epoch"),
    ],
)
def test_wrong_arguments_are_a_line(arguments: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["bench", "peers", *arguments])
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())


def test_a_part_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "import_module", lambda name: object())
    for word in ("layer_norm", "focal", "label_smoothing"):
        with pytest.raises(UnknownName, match=f"'own_{word}'"):
            networks.check(changed(SEVERAL, [word]))


@pytest.mark.slow
def test_a_process_computes_with_dropout() -> None:
    with Processes() as processes:
        (row,) = measurement.measure_peers(
            [PEERS[0]], Task("training", DROPPED), processes, rounds=1
        )
    assert (row.status, len(row.seconds)) == ("ok", 1)


@pytest.mark.slow
def test_masks_that_are_odd_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks, "oddity", lambda masks, task: "odd")
    with Processes() as processes:
        (row,) = measurement.measure_peers(
            [PEERS[0]], Task("training", DROPPED), processes, rounds=1
        )
    assert (row.status, row.reason, row.seconds) == ("wrong", "odd", ())


def cell(network: str, word: str, own: float, peer: float) -> Cell:
    case = f"{network}, {word}"
    return Cell(network, word, [
        Row("training", case, "numba", "lamina", seconds=(own,) * 3),
        Row("training", case, "jax", "whole loop", seconds=(peer,) * 3 if peer else ()),
    ])  # fmt: skip


def test_the_table_of_cells() -> None:
    cells = [
        cell("a", "relu", 1.0, 2.0), cell("b", "relu", 1.0, 1.0),
        cell("a", "own_mish", 1.0, 0.5), cell("b", "own_mish", 1.0, 0.0),
    ]  # fmt: skip
    (table,) = matrices(cells)
    console = Console(width=100, record=True, file=StringIO())
    console.print(table)
    drawn = console.export_text()
    lines = [line.split("│")[1:-1] for line in drawn.splitlines() if "│" in line]
    assert [[part.strip() for part in line] for line in lines] == [
        ["relu", "2.00", "1.00~", "1.41"],
        ["own_mish", "0.50", "–~", "0.50"],
        ["mean", "1.00", "1.00", "1.00"],
    ]
    assert "3 of 4 cells; least 0.50: a, own_mish" in " ".join(drawn.split())
    assert "jax, whole loop" in drawn
