"""Other processes import what this one does, and nothing from the current folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import lamina
import pytest
import support
from lamina.kernels import isolated

SAY = "import json, sys; print(json.dumps([sys.path, sys.argv, lamina.__file__]))"
PLANTED = ("inspect", "json", "ast", "numpy", "numba", "typer", "lamina", "sitecustomize")
COMPILE = """
import sys
from lamina.kernels.numba.native import build
sys.path.insert(0, "")  # as in `python -c` and in notebooks
started = build._start()
print("copy float32", file=started.stdin, flush=True)
print(started.stdout.readline().strip())
started.stdin.close()
started.wait()
"""


def plant(folder: Path) -> Path:
    """Modules that leave a mark when they are imported; returns the mark's place."""
    mark = folder / "mark"
    for name in PLANTED:
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    return mark


def said(folder: Path, *arguments: str, **environment: str) -> tuple[list[str], list[str], str]:
    done = subprocess.run(
        isolated.command(f"import lamina; {SAY}", *arguments), cwd=folder, check=True, text=True,
        capture_output=True, env={**os.environ, **environment}, timeout=support.PATIENCE,
    )  # fmt: skip
    path, argv, file = json.loads(done.stdout)
    return path, argv, file


def test_a_process_has_the_package_and_its_arguments(tmp_path: Path) -> None:
    mark = plant(tmp_path)
    path, argv, file = said(tmp_path, "a", "b c", PYTHONPATH=str(tmp_path))
    assert file == lamina.__file__
    assert argv[1:] == ["a", "b c"]
    assert str(tmp_path) not in path
    assert "" not in path
    assert not mark.exists()


@pytest.mark.parametrize("entry", ["", ".", "here"])
def test_the_current_folder_is_left_out(
    entry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path) if entry == "here" else entry, *sys.path])
    mark = plant(tmp_path)
    assert said(tmp_path)[2] == lamina.__file__
    assert not mark.exists()


def test_the_standard_library_is_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(sys, "path", [str(other), *sys.path])
    path = isolated.path()
    standard = [one for one in path if Path(one, "inspect.py").exists()]
    assert path.index(standard[0]) < path.index(str(other))
    assert {one for one in sys.path if os.path.isabs(one)} >= set(path)  # noqa: PTH117


def test_where_the_package_lies_in_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then what it needs may lie there too, behind everything else."""
    here = Path(lamina.__file__).parents[1]
    monkeypatch.chdir(here)
    assert Path(isolated.path()[-1]) == here.resolve()


def test_a_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert isolated.path()


@pytest.mark.long
def test_the_process_that_compiles(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.mkdir()
    mark = plant(table)
    script = tmp_path / "script.py"
    script.write_text(COMPILE)
    done = subprocess.run(
        [sys.executable, "-P", str(script)], cwd=table, check=False, text=True,
        capture_output=True, timeout=support.PATIENCE,
        env={
            **os.environ, "LAMINA_CACHE_DIR": str(tmp_path / "cache"),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if os.path.isabs(p)),  # noqa: PTH117
        },
    )  # fmt: skip
    assert done.stdout == "done\n", done.stderr
    assert not mark.exists()
