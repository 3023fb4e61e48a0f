"""The stories of CONTRIBUTING that need no change of this tree work as they are told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import lamina as lm
import pytest
import support

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
FILES = re.findall(r"^`lamina-mine/(\S+)`:\n\n```\w+\n(.*?)^```", TEXT, re.M | re.S)
MODULES = [text for name, text in FILES if name == "lamina_mine.py"]
USE = """
import json
import os
import lamina as lm
import numpy as np
x = np.linspace(-1.0, 1.0, 84).reshape(21, 4)
made = []
for backend in ("mine", "numpy"):
    layers = [lm.Dense(8, "tanh"), lm.Dense(3, "softmax")]
    model = lm.Sequential(layers, "cross_entropy", backend=backend, dtype="float64", seed=0)
    model.fit(x, np.arange(21) % 3, epochs=2, batch_size=8, verbose=0)
    made.append(model.predict(x))
np.testing.assert_allclose(*made, rtol=1e-10)
"""


def test_there_are_two_stories_with_code() -> None:
    assert [name for name, _ in FILES] == ["pyproject.toml", "lamina_mine.py", "lamina_mine.py"]


@pytest.mark.long
@pytest.mark.parametrize("number", range(len(MODULES)), ids=["plug-in", "executor"])
def test_the_plug_in(number: int, tmp_path: Path) -> None:
    project = tomllib.loads(FILES[0][1])["project"]
    group = "lamina.backends"
    points = "".join(f"{n} = {to}\n" for n, to in project["entry-points"][group].items())
    installed = tmp_path / "lamina_mine-0.1.0.dist-info"  # as pip would leave it
    installed.mkdir()
    (installed / "METADATA").write_text("Name: lamina-mine\nVersion: 0.1.0\n")
    (installed / "entry_points.txt").write_text(f"[{group}]\n{points}")
    (tmp_path / "lamina_mine.py").write_text(MODULES[number])
    support.run_python(USE, PYTHONPATH=path(tmp_path))
    done = subprocess.run(
        [sys.executable, "-m", "lamina", "devices", "--check", "mine", "--json"],
        capture_output=True, text=True, check=False, timeout=support.PATIENCE,
        env={**os.environ, "PYTHONPATH": path(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["failures"] == {}


def path(folder: Path) -> str:
    """PYTHONPATH with the folder and with this lamina."""
    return os.pathsep.join([str(folder), str(Path(lm.__file__).parents[1])])
