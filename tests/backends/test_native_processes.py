"""Native runs after a fork, over ten thousand steps, and with caches of any kind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lamina as lm
import numpy as np
import pytest
import support
from lamina.__main__ import app
from typer.testing import CliRunner

FORK = """
import os, sys, threading
import numpy as np
import lamina as lm
from lamina.backends import threads
from dataclasses import replace
from lamina.kernels import thresholds
made = replace(thresholds.defaults(), split_seconds=0.0)
thresholds._current[:] = [thresholds.Found(made, frozenset(), "given")]
threads._chosen[:] = [2]
x = np.random.default_rng(0).standard_normal((640, 20)); y = (x[:, 0] > 0).astype(int)

def train(epochs):
    layers = [lm.Dense(64, "relu"), lm.Dense(2, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", backend="numba", seed=0)
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return model.get_weights()

expected = train(3)
if sys.argv[1] == "busy":
    stop = threading.Thread(target=train, args=(4000,), daemon=True)
    stop.start()
    while not threads.crew.busy:
        pass
child = os.fork()
if child == 0:
    if sys.argv[1] == "unguarded":  # what the handler does is undone: the parent's threads are gone
        threads.crew.__dict__.update(saved)
    same = all((a == b).all() for a, b in zip(train(3), expected))
    idle = threads.crew.busy == 0
    helped = threads.crew.helpers and all(h.thread.is_alive() for h in threads.crew.helpers)
    os._exit(0 if same and idle and helped else 3)
_, status = os.waitpid(child, 0)
os._exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("parent", ["idle", "busy"])
def test_a_forked_child_trains_on(parent: str) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, parent],
        timeout=support.PATIENCE, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_without_the_guard_the_child_is_alone() -> None:
    # One that is awake while the process forks would be waited for by the child, for ever.
    asleep = "while any(h.mailbox[0] for h in threads.crew.helpers): time.sleep(0.01)"
    script = FORK.replace(
        "child = os.fork()",
        f"import time\n{asleep}\nsaved = dict(threads.crew.__dict__)\nchild = os.fork()",
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, "unguarded"], timeout=support.PATIENCE,
        check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert done.returncode == 3


MEMORY = """
import resource, tracemalloc
import numpy as np
import lamina as lm
x = np.random.default_rng(0).standard_normal((3200, 8)); y = (x[:, 0] > 0).astype(int)
layers = [lm.Dense(16, "relu"), lm.Dense(2, "softmax")]
model = lm.Sequential(layers, "cross_entropy", backend="numba", seed=0)
model.fit(x, y, epochs=5, batch_size=32, verbose=0)
tracemalloc.start()
model.fit(x, y, epochs=5, batch_size=32, verbose=0)  # keeps its data and its history
first, _ = tracemalloc.get_traced_memory()
resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model.fit(x, y, epochs=100, batch_size=32, verbose=0)
assert model.state.step == 11_000
last, _ = tracemalloc.get_traced_memory()
assert last - first < 100_000, last - first
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 4_000
"""


@pytest.mark.long
def test_ten_thousand_steps_keep_their_memory() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", MEMORY], check=True, timeout=support.PATIENCE, env=env)


CACHED = """
import sys
import lamina as lm
model = lm.Sequential([lm.Dense(2, "softmax")], "cross_entropy", backend="numba", seed=0)
model.fit([[0.0, 1.0], [1.0, 0.0]], [0, 1], epochs=2, batch_size=2, verbose=0)
print(sum(map(float, model.get_weights()[0].ravel())))
"""


TANH = """
import numpy as np
from lamina.kernels.numba import activations
x = np.ones(1)
out = np.empty(1)
activations.activate_flat(x, activations.TANH, 0.0, out)
print(out[0])
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "kept", "index"),
    [
        pytest.param(CACHED, "*.code", "", id="program"),
        pytest.param(TANH, "*.nbc", "*.nbi", id="function"),
    ],
)
def test_damaged_and_unwritable_caches(code: str, kept: str, index: str, tmp_path: Path) -> None:
    def run(folder: Path) -> tuple[str, str]:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-W", "always::RuntimeWarning", "-c", code], check=True,
            timeout=support.PATIENCE, capture_output=True, text=True,
            env={**env, "LAMINA_CACHE_DIR": str(folder)},
        )  # fmt: skip
        return done.stdout, done.stderr

    cold, told = run(tmp_path)
    assert "compiling kernels" in told
    warm, told = run(tmp_path)
    assert warm == cold
    assert told == ""
    files = sorted(tmp_path.rglob(kept))
    assert files
    for number, file in enumerate(files):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data if number % 2 else data[: len(data) // 2])
    for file in list(tmp_path.rglob(index))[::3] if index else []:
        file.write_bytes(file.read_bytes()[:20])
    mended, told = run(tmp_path)
    assert mended == cold
    assert told.count("RuntimeWarning") == 1
    assert "damaged" in told
    again, told = run(tmp_path)
    assert (again, told) == (cold, "")
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    without, told = run(nowhere / "folder")
    assert without == cold
    assert told.count("RuntimeWarning") == 1


@pytest.mark.long
def test_machine_code_is_made_anew_when_a_file_that_it_calls_changed(tmp_path: Path) -> None:
    source = Path(lm.__file__).parent
    package = tmp_path / "lamina"
    for part in ("kernels", "backends", "core"):
        shutil.copytree(source / part, package / part)
    shutil.copy(source / "__init__.py", package)
    env = {
        **os.environ, "LAMINA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)]),
    }  # fmt: skip

    def printed() -> float:
        done = subprocess.run(
            [sys.executable, "-c", TANH], check=True, env=env, capture_output=True, text=True
        )
        return float(done.stdout)

    assert printed() == pytest.approx(np.tanh(1.0))
    assert list((tmp_path / "cache").rglob("*.nbc"))
    changed = package / "kernels" / "numba" / "fast_math.py"
    text = changed.read_text()
    assert text.count("e / (e + one)") == 1
    changed.write_text(text.replace("e / (e + one)", "two * e / (e + one)"))
    assert printed() == pytest.approx(2.0 * np.tanh(1.0))


@pytest.mark.slow
def test_warmup() -> None:
    done = CliRunner().invoke(app, ["warmup", "--backend", "numpy"])
    assert done.exit_code == 0
    assert "numpy: 0 pieces" in done.output
