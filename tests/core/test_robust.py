"""Power cuts, full disks, damaged files: nothing is lost, and no wrong model is loaded.

LAMINA_KILLS sets how often the training is killed (8 in the ordinary run).
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lamina as lm
import numpy as np
import pytest
import support

KILLS = int(os.environ.get("LAMINA_KILLS", "8"))
CHILD = """
import sys
import lamina as lm
path, backend = sys.argv[1:]
data = lm.datasets.load("moons")
try:
    model = lm.load(path, backend=backend)
except lm.CheckpointError as error:
    assert "there is no file" in str(error), error
    model = lm.Sequential(
        [lm.Dense(8, "tanh"), lm.Dropout(0.1), lm.Dense(1, "sigmoid")],
        "binary_cross_entropy", lm.Adam(1e-2), backend=backend, seed=5,
    )
print("ready", flush=True)
model.fit(data.x_train, data.y_train, epochs=100_000, verbose=0, callbacks=[lm.Checkpoint(path)])
"""


@pytest.mark.long
@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_killed_at_any_moment(backend: str, tmp_path: Path) -> None:
    def untrained() -> lm.Sequential:
        return lm.Sequential(
            [lm.Dense(8, "tanh"), lm.Dropout(0.1), lm.Dense(1, "sigmoid")],
            "binary_cross_entropy", lm.Adam(1e-2), backend=backend, seed=5,
        )  # fmt: skip

    @contextmanager
    def training(path: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A training that is ready to begin, or to go on from the file; killed at the end."""
        started = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), backend],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert started.stdout is not None
        try:
            assert started.stdout.readline() == b"ready\n"
            yield started
        finally:
            started.stdout.close()
            started.kill()
            started.wait()

    def until_there(path: Path) -> float:
        """The seconds that a training takes from being ready to its first file."""
        with training(path) as started:
            begin = time.perf_counter()
            while not path.exists() and started.poll() is None:
                time.sleep(0.001)
            seconds = time.perf_counter() - begin
        assert path.exists()
        return seconds

    # The first child compiles what is not on disk; the second tells how long a child takes to its
    # first file on this machine, which the moments of the kills are measured in.
    until_there(tmp_path / "compiled.safetensors")
    seconds = until_there(tmp_path / "timed.safetensors")
    path = tmp_path / "model.safetensors"
    chance = random.Random(0)
    epochs = []
    for _ in range(KILLS):
        with training(path):
            time.sleep(chance.uniform(0.3, 4.0) * seconds)
        if path.exists() or epochs:
            epochs.append(lm.load(path, backend=backend).state.epoch)
    if not path.exists():  # the machine was too busy for any of them
        until_there(path)
        epochs.append(lm.load(path, backend=backend).state.epoch)
    assert epochs == sorted(epochs)
    assert epochs[-1] > 0
    data = lm.datasets.load("moons")
    killed = lm.load(path, backend=backend)
    unbroken = untrained()
    unbroken.fit(data.x_train, data.y_train, epochs=killed.state.epoch, verbose=0)
    for model in (killed, unbroken):
        model.fit(data.x_train, data.y_train, epochs=2, verbose=0)
    for segment in ("parameters", "mean", "square"):
        np.testing.assert_array_equal(killed.state.read(segment), unbroken.state.read(segment))


@pytest.mark.slow
def test_damaged_files(tmp_path: Path) -> None:
    x, y = support.classes(12)
    model = support.classifier()
    model.fit(x, y, batch_size=4, verbose=0)
    whole = tmp_path / "whole.safetensors"
    model.save(whole)
    wanted, data = model.predict(x), whole.read_bytes()
    damaged, chance, refused = tmp_path / "damaged.safetensors", random.Random(1), 0
    for number in range(1000):
        bad = bytearray(data)
        if number % 4 == 0:
            bad = bad[: chance.randrange(len(bad))]
        elif number % 4 == 1:
            at = chance.randrange(len(bad))
            bad[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9)))
        else:
            for _ in range(chance.choice((1, 1, 2, 8, 64))):
                bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        damaged.write_bytes(bytes(bad))
        try:
            loaded = lm.load(damaged, backend="numpy")
        except lm.CheckpointError:
            refused += 1
        else:  # the damage was to nothing that counts
            np.testing.assert_array_equal(loaded.predict(x), wanted)
    assert refused > 950


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
import lamina as lm
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = sys.argv[1]
small = lm.Sequential([lm.Dense(2)], "mean_squared_error", backend="numpy", seed=0).build(2)
small.save(path)
large = lm.Sequential([lm.Dense(500)], "mean_squared_error", backend="numpy", seed=0).build(500)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    large.save(path)
except OSError as error:
    print("refused:", error)
"""
    path = tmp_path / "model.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
    )
    assert done.stdout.startswith("refused:"), done.stderr
    assert lm.load(path, backend="numpy").n_outputs == 2
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_stale_files_are_swept(tmp_path: Path) -> None:
    model = support.classifier()
    model.build(4)
    old, new = tmp_path / ".m.safetensors.1.tmp", tmp_path / ".m.safetensors.2.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (1.0, 1.0))
    model.save(tmp_path / "m.safetensors")
    assert not old.exists()
    assert new.exists()


def test_plateau_lowers_the_rate() -> None:
    x, y = support.classes(30)
    model = support.classifier(optimizer=lm.SGD(0.0))
    model.fit(x, y, epochs=5, verbose=0, batch_size=30, callbacks=[lm.Plateau(patience=2)])
    assert model.optimizer.learning_rate == 0.0
    model = support.classifier(optimizer=lm.SGD(1e-12))
    stuck = lm.Plateau(monitor="accuracy", patience=2, factor=0.5, minimum=3e-13)
    model.fit(x, y, epochs=7, verbose=0, batch_size=30, callbacks=[stuck])
    assert model.optimizer.learning_rate == 3e-13
    with pytest.raises(lm.BadInput, match="not a schedule"):
        support.classifier(optimizer=lm.SGD(lm.schedules.Cosine(0.1, 10))).fit(
            x, y, verbose=0, batch_size=30, callbacks=[lm.Plateau()]
        )


def test_log_files(tmp_path: Path) -> None:
    x, y = support.classes(30)
    model = support.classifier()
    table, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    logs = [lm.LogFile(table), lm.LogFile(lines)]
    told = model.fit(x, y, epochs=2, batch_size=30, verbose=0, callbacks=logs)
    model.fit(x, y, epochs=1, batch_size=30, verbose=0, callbacks=logs)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["loss"]) for row in rows[:2]] == told.history["loss"]
    objects = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [o["step"] for o in objects] == [1, 2, 3]
    with pytest.raises(lm.BadInput, match=r"writes .csv or .jsonl"):
        lm.LogFile(tmp_path / "log.txt")
