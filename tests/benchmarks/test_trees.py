"""Two trees in turn: who is asked when, answers before times, and what counts as worse."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lamina.benchmarks.result import Result, Row
from lamina.kernels.errors import BadInput, LaminaError
from maintenance import script
from typer.testing import CliRunner

trees = script("trees")
ROOT = Path(__file__).parent.parent.parent
MACHINE = {"processor": "Z80", "cores": 2}


def tree(place: Path, work: Path, label: str = "old") -> Any:
    return trees.Tree.of(label, place, sys.executable, work)


def options(rounds: int = 2, **parts: Any) -> Any:
    empty = {"parts": (), "networks": (), "ops": (), "sizes": (), "peers": (), "backends": ()}
    return trees.Options(**{**empty, **parts}, rounds=rounds)


def runs(factor: float, variant: str, rows: int = 30) -> Any:
    """Five runs a side of a machine that varies by a percent; the first row is slower by factor."""
    rng = np.random.default_rng(0)
    made = trees.Runs()
    for label in ("old", "new"):
        for _ in range(5):
            found = []
            for number in range(rows):
                changed = factor if label == "new" and number == 0 else 1.0
                level = 1e-4 * changed * float(np.exp(rng.normal(0.0, 0.01)))
                seconds = tuple(level * np.exp(rng.normal(0.0, 0.003, 5)))
                found.append(Row("training", f"net {number}", "numba", variant, seconds=seconds))
            made.results.setdefault(label, []).append(Result("trees", dict(MACHINE), found))
    return made


def test_a_checkout_may_have_any_name_and_be_its_parent(tmp_path: Path) -> None:
    checkout = tmp_path / "anything"
    (checkout / "lamina").mkdir(parents=True)
    (checkout / "lamina" / "__main__.py").touch()
    for place in (checkout, checkout / "lamina"):
        found = tree(place, tmp_path / "work")
        assert (Path(found.path) / "lamina").resolve() == checkout / "lamina"
    with pytest.raises(BadInput, match="neither a checkout nor a virtual environment"):
        tree(tmp_path, tmp_path / "work")


def test_an_environment_runs_what_is_installed_in_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    found = tree(tmp_path, tmp_path / "work")
    assert (found.python, found.path) == (str(tmp_path / "bin" / "python"), "")


def test_a_process_sees_its_tree_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_BACKEND", "nowhere")
    monkeypatch.setenv("LAMINA_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    found = tree(ROOT, tmp_path)
    code = "import os; e = os.environ; print(*sorted(k for k in e if k.startswith('LAMINA')))"
    assert found.process("-c", code).split() == ["LAMINA_CACHE_DIR", "LAMINA_THREADS"]
    code = "import lamina; print(lamina.__file__)"
    assert found.process("-c", code).strip() == str(tmp_path / "old" / "lamina" / "__init__.py")
    with pytest.raises(LaminaError, match=r"old: .* failed: ZeroDivisionError"):
        found.process("-c", "1 / 0")


def test_the_trees_take_turns_and_the_first_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measured(tree: Any) -> Result:
        asked.append(tree.label)
        return Result("", {}, [Row("op", "relu", "numpy", "fused", seconds=(1.0,))])

    monkeypatch.setattr(trees.Options, "pieces", lambda self: [("a", measured), ("b", measured)])
    made = trees.Runs()
    sides = [tree(ROOT, tmp_path, label) for label in ("old", "new")]
    made.measure(sides, options(rounds=2), lambda text: None)
    assert asked == ["old", "new", "old", "new", "new", "old", "new", "old"]
    assert [len(r.rows) for r in made.results["old"] + made.results["new"]] == [2, 2, 2, 2]


def test_every_part_has_its_pieces() -> None:
    chosen = {"networks": ("3-2", "4-2"), "ops": ("relu",), "backends": ("numpy",)}
    names = [name for name, _ in options(parts=trees.PARTS, **chosen).pieces()]
    assert names == [
        "training, 3-2", "training, 4-2", "inference, 3-2", "inference, 4-2", "relu", "import",
        "first fit, warm, numpy", "first fit, cold, numpy",
    ]  # fmt: skip
    assert [name for name, _ in options(parts=("import",), **chosen).pieces()] == ["import"]


def test_differences_of_answers() -> None:
    a = [np.ones(3, np.float32), np.zeros((2, 2), np.float32)]
    assert trees.difference(a, [v.copy() for v in a]) == 0.0
    near = [a[0] * np.float32(1.001), a[1]]
    assert trees.difference(a, near) == pytest.approx(1e-3, rel=1e-3)
    assert 0.0 < trees.difference(a, [a[0], -a[1]]) < 1e-300  # -0.0 is equal and has other bits
    for other in ([a[0]], [a[0].astype(np.float64), a[1]], [a[0] * np.float32(np.nan), a[1]]):
        assert trees.difference(a, other) == np.inf


def test_answers_that_disagree_are_not_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor = {"old": 1.0, "new": 1.0}

    def answers(tree: Any, backend: str, dtype: str) -> list[np.ndarray]:
        return [np.ones(3) * factor[tree.label]]

    def untimed(*arguments: Any) -> None:
        raise AssertionError("timed all the same")

    monkeypatch.setattr(trees, "answers", answers)
    monkeypatch.setattr(trees.Runs, "measure", untimed)
    sides = [tree(ROOT, tmp_path, label) for label in ("old", "new")]
    assert "bit-identical" in trees.check_answers(sides, ["numpy"], True)[0]
    factor["new"] = 1.0 + 1e-12
    assert "differ by 1.0e-12" in trees.check_answers(sides, ["numpy"], False)[0]
    for more, value in ((["--identical"], 1.0 + 1e-12), ([], 1.01)):
        factor["new"] = value
        done = CliRunner().invoke(trees.app, [str(ROOT), str(ROOT), *more])
        assert done.exit_code == 1, done.output
        assert "the trees' answers differ" in done.output


@pytest.mark.slow
def test_the_exit_code_is_of_lamina_and_not_of_its_peers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path))
    console = trees.Console(width=130)
    for factor, variant, code in (
        (1.3, "lamina", 1), (1.0, "lamina", 0), (0.7, "lamina", 0), (1.3, "whole loop", 0)
    ):  # fmt: skip
        assert trees.report(runs(factor, variant), 0.0, console) == code, (factor, variant)
        assert ("WORSE: training/net 0/float32/numba" in capsys.readouterr().out) == bool(code)
    broken = runs(1.0, "lamina")
    for result in broken.results["new"]:
        last = result.rows.pop()
        result.rows.append(Row(*last.key.split("/")[:2], "numba", "lamina", status="wrong"))
    assert trees.report(broken, 0.0, console) == 1


def test_an_unknown_part() -> None:
    done = CliRunner().invoke(trees.app, [str(ROOT), str(ROOT), "--only", "imports"])
    assert done.exit_code == 2
    assert "did you mean 'import'" in done.output


@pytest.mark.long
def test_a_slow_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "IMPORTS", 3)
    slow = tmp_path / "slow"
    names = ("benchmarks", "results", "tests", ".*", "__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT, slow, ignore=shutil.ignore_patterns(*names))
    file = slow / "__init__.py"
    file.write_text(file.read_text() + "\nimport time\n\ntime.sleep(0.5)\n")
    line = ["--only", "import", "--backend", "numpy", "--rounds", "3", "--identical"]
    done = CliRunner().invoke(trees.app, [str(ROOT), str(slow), *line])
    assert done.exit_code == 1, done.output
    assert "numpy, float32: bit-identical" in done.output
    assert "WORSE: start/import lamina/float32/python/lamina" in done.output
