"""Training over MPI itself, on two processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lamina as lm
import numpy as np
import pytest
from support import PATIENCE

PACKAGE = Path(lm.__file__).parents[1]
BESIDE = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
MPIEXEC = BESIDE or shutil.which("mpiexec")  # the one that mpi4py's library came with, first

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("mpi4py") is None or MPIEXEC is None,
        reason='needs mpi4py and mpiexec: pip install "lamina[mpi]"',
    ),
]

FIT = """
import sys
import numpy as np
import lamina as lm

backend, path, distributed = sys.argv[1], sys.argv[2], sys.argv[3] == "several"
rng = np.random.default_rng(0)
x, y, w = rng.normal(size=(103, 6)), rng.integers(0, 3, 103), rng.uniform(0.0, 2.0, 103)
team = lm.Distributed() if distributed else None
layers = [lm.Standardize(), lm.Dense(9, "relu"), lm.Dropout(0.3), lm.Dense(3, "softmax")]
optimizer = lm.Adam(1e-2, clip_norm=0.3)
made = dict(metrics=("accuracy", "f1"), backend=backend, dtype="float64", seed=4)
given = dict(batch_size=17, sample_weight=w, verbose=0, distributed=team)
model = lm.Sequential(layers, "cross_entropy", optimizer, **made)
whole = model.fit(x, y, epochs=8, validation_split=0.1, **given)
again = lm.Sequential(layers, "cross_entropy", optimizer, **made)
again.fit(x, y, epochs=3, validation_split=0.1, callbacks=[lm.Checkpoint(path + ".safe")], **given)
if distributed:
    team.communicator.Barrier()
resumed = lm.load(path + ".safe", backend=backend)
resumed.fit(x, y, epochs=5, validation_split=0.1, **given)
flat = [np.concatenate([a.ravel() for a in one.get_weights()]) for one in (model, resumed)]
numbers = [v for name in sorted(whole.history) for v in whole.history[name]]
if team is None or team.rank == 0:
    np.savez(path, weights=flat[0], resumed=flat[1], numbers=numbers)
    print(lm.explain(model))
"""


def several(ranks: int, *command: object, seconds: float = PATIENCE) -> tuple[int, str]:
    """The exit code and what was printed, on both streams."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        [str(MPIEXEC), "-n", str(ranks), sys.executable, *map(str, command)],
        env=environment, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_two_processes_come_to_what_one_comes_to(backend: str, tmp_path: Path) -> None:
    """And what goes on from a checkpoint comes to the same bits."""
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    alone, said = several(1, "-c", FIT, backend, one, "alone")
    assert alone == 0, said
    code, said = several(2, "-c", FIT, backend, two, "several")
    assert code == 0, said
    assert "ranks: 2 over MPI, 2 on this host" in said
    wanted, found = np.load(one), np.load(two)
    np.testing.assert_allclose(found["numbers"], wanted["numbers"], rtol=1e-10)
    np.testing.assert_allclose(found["weights"], wanted["weights"], atol=1e-11)
    np.testing.assert_array_equal(found["resumed"], found["weights"])


LARGE = """
import sys
import numpy as np
import lamina as lm
from lamina.backends import mpi

mpi.LARGEST, mpi.SHARED = int(sys.argv[2]), sys.argv[4]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(24, 500)), rng.integers(0, 3, 24)
team = lm.Distributed() if sys.argv[3] == "several" else None
layers = [lm.Dense(600, "tanh"), lm.Dense(3, "softmax")]
model = lm.Sequential(layers, "cross_entropy", dtype="float64", backend="numba", seed=1)
model.build(500)
if team is not None:
    assert team.window("float64", 300_000) is None
model.fit(x, y, epochs=3, batch_size=8, verbose=0, distributed=team)
weights = np.concatenate([a.ravel() for a in model.get_weights()])
if team is not None:
    assert (team.window("float64", 300_000) is None) == (mpi.LARGEST == 0)
    assert len(set(team.gathered(weights.tobytes()))) == 1
if team is None or team.rank == 0:
    np.save(sys.argv[1], weights)
"""


def test_gradients_of_more_than_one_piece(tmp_path: Path) -> None:
    """In more memory, or piece by piece; no file is left behind."""
    shared, found = tmp_path / "shared", {}
    shared.mkdir()
    for name, ranks, largest in (("alone", 1, 0), ("several", 2, 0), ("several", 2, 1 << 30)):
        path = tmp_path / f"{name}{len(found)}.npy"
        code, said = several(ranks, "-c", LARGE, path, largest, name, shared)
        assert code == 0, said
        found[path] = np.load(path)
    alone, pieces, whole = found.values()
    np.testing.assert_allclose(pieces, alone, atol=1e-9)
    np.testing.assert_array_equal(pieces, whole)
    assert not list(shared.iterdir())


SPLIT = """
import os, signal, sys, threading
import numpy as np
import lamina as lm
from lamina.backends.native import sharing
from lamina.kernels.memory import address
from lamina.kernels.numba.native import slots

path, steps, dies = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "dies"
sharing.STEPS = steps
rng = np.random.default_rng(0)
x, y = rng.normal(size=(400, 150)), rng.integers(0, 3, 400)
team = lm.Distributed()
layers = [lm.Dense(400, "tanh"), lm.Dense(3, "softmax")]
model = lm.Sequential(layers, "cross_entropy", dtype="float32", backend="numba", seed=1)
model.build(150)
if dies and team.rank == 1:
    threading.Timer(5.0, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
model.fit(x, y, epochs=10**6 if dies else 6, batch_size=7, verbose=0, distributed=team)
count, how = model.state.layout.length("parameters"), team.native("float32")
own, total = team.window("float32", count)
pieces, piece = how[slots.PIECES], how[slots.PIECE]
assert (address(own), address(total)) == (pieces + team.rank * piece, pieces + 2 * piece)
held = team.held("float32", count, 3)
assert address(held.segments[0]) >= pieces + 3 * piece
numbers = model.state.numbers()[-1]
flat = np.concatenate([numbers[name] for name in ("parameters", *model.state.layout.slots)])
assert len(set(team.gathered(flat.tobytes()))) == 1
if team.rank == 0:
    np.save(path, flat)
"""


def test_split_updates_come_to_the_bits_of_whole_ones(tmp_path: Path) -> None:
    """In memory that processes share, which holds the parameters behind the gradients."""
    found = []
    for steps in (2, 1 << 30):
        path = tmp_path / f"{steps}.npy"
        code, said = several(2, "-c", SPLIT, path, steps, "lives")
        assert code == 0, said
        found.append(np.load(path))
    np.testing.assert_array_equal(*found)


def test_one_that_is_killed_in_a_split_update_ends_all(tmp_path: Path) -> None:
    code, _ = several(2, "-c", SPLIT, tmp_path / "none.npy", 2, "dies")
    assert code != 0
    assert not list(tmp_path.iterdir())


FAIL = """
import lamina as lm
import numpy as np

team = lm.Distributed()

def batches():
    for number in range(1000000):
        if number == 50 and team.rank == 1:
            raise ValueError("the disk of rank 1 is gone")
        yield np.ones((4, 2)), np.ones(4)

model = lm.Sequential([lm.Dense(1)], "mean_squared_error", lm.SGD(1e-3), backend="numpy")
model.fit(batches, distributed=team)
"""


def test_one_that_raises_ends_all_with_its_reason() -> None:
    code, said = several(2, "-c", FAIL)
    assert code != 0
    assert "rank 1 of 2 ends the job: the disk of rank 1 is gone" in said


BEFORE = """
import lamina as lm
import numpy as np

team = lm.Distributed()
if team.rank == 1:
    raise OSError("rank 1 cannot read its table")
model = lm.Sequential([lm.Dense(1)], "mean_squared_error", lm.SGD(1e-3), backend="numpy")
model.fit(np.ones((4, 2)), np.ones(4), distributed=team)
"""


def test_one_that_raises_before_its_training_ends_all() -> None:
    """The others wait for it in theirs."""
    code, said = several(2, "-c", BEFORE)
    assert code != 0
    assert "OSError: rank 1 cannot read its table" in said


def test_the_command_line_trains_and_says_what_is_wrong_once(tmp_path: Path) -> None:
    train = ["-m", "lamina", "train", "planar", "--distributed", "--backend", "numpy", "--json"]
    model, log = tmp_path / "m.safetensors", tmp_path / "log.csv"
    code, said = several(2, *train, "--epochs", 3, "--save", model, "--log", log)
    assert code == 0, said
    report: dict[str, Any] = json.loads(said)
    assert len(report["history"]["loss"]) == 3
    assert len(log.read_text().splitlines()) == 4
    assert lm.load(model).state.epoch == 3
    code, said = several(2, *train, "--epochs", 3, "--save", model)
    assert code != 0
    assert said.count("is there already") == 1
    assert "Traceback" not in said


def test_a_file_of_each_rank_is_a_part_of_one_table(tmp_path: Path) -> None:
    """Three ranks; the word "far" is in the last file alone."""
    rng = np.random.default_rng(0)
    lines = [
        f"{a:.3f},{'far' if row >= 50 else 'near'},{'yes' if a > 0 else 'no'}\n"
        for row, a in enumerate(rng.normal(size=60))
    ]
    for rank, (start, stop) in enumerate([(0, 20), (20, 50), (50, 60)]):
        (tmp_path / f"part-{rank}.csv").write_text("".join(["a,b,label\n", *lines[start:stop]]))
    (tmp_path / "one.csv").write_text("".join(["a,b,label\n", *lines]))
    found = {}
    for ranks, name, more in ((3, "part-{rank}.csv", ["--distributed"]), (1, "one.csv", [])):
        train = ["-m", "lamina", "train", tmp_path / name, "--recipe", "simple", "--epochs", 2]
        train += ["--dtype", "float64", "--backend", "numpy", "--json", *more]
        code, said = several(ranks, *train)
        assert code == 0, said
        found[ranks] = json.loads(said)
    np.testing.assert_allclose(found[3]["history"]["loss"], found[1]["history"]["loss"], rtol=1e-10)
    assert found[3]["columns"] == found[1]["columns"]
    assert found[3]["test"] == pytest.approx(found[1]["test"], rel=1e-10)
