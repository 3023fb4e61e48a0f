"""What lies in the current folder, or was planted beside the files, is not run and not followed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import lamina as lm
import numpy as np
import pytest
import support
from lamina.__main__ import app
from lamina.benchmarks.commands import suite
from lamina.benchmarks.peers.process import Process
from lamina.benchmarks.peers.registry import PEERS
from lamina.benchmarks.report import markdown
from lamina.benchmarks.report import write as write_report
from lamina.benchmarks.result import Result
from sample_result import sample
from typer.testing import CliRunner

MODULES = ("inspect", "json", "ast", "numpy", "numba", "scipy", "typer", "sitecustomize", "lamina")


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a planted module makes when it is imported; the current folder is full of them."""
    found = tmp_path / "mark"
    place = tmp_path / "place"
    place.mkdir()
    for name in MODULES:
        (place / f"{name}.py").write_text(f"open({str(found)!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(place)
    return found


@pytest.mark.long
def test_training_on_a_table_beside_which_modules_lie(mark: Path, tmp_path: Path) -> None:
    """As an installed command does: the folder of a script is first on its path."""
    rows = [f"{i},{'ab'[i % 2]}" for i in range(40)]
    Path("table.csv").write_text("size,kind\n" + "\n".join(rows) + "\n")
    command = tmp_path / "bin" / "lamina"
    command.parent.mkdir()
    command.write_text("from lamina.__main__ import main\nmain()\n")
    path = [p for p in sys.path if os.path.isabs(p) and p != os.getcwd()]  # noqa: PTH109, PTH117
    done = subprocess.run(
        [
            sys.executable, str(command), "train", "table.csv", "--backend", "numba", "--epochs",
            "2", "--hidden", "4",
        ],
        capture_output=True, text=True, timeout=support.PATIENCE, check=False,
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join(path), "LAMINA_THREADS": "2",
            "LAMINA_CACHE_DIR": str(tmp_path / "cache"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    assert "compiled" in done.stderr  # so the other process was started, where there are cores
    assert not mark.exists()


@pytest.mark.slow
def test_a_peer_s_process(mark: Path) -> None:
    process = Process(PEERS[0])
    try:
        assert process.ask("nothing") == {}
    finally:
        process.close()
    assert not mark.exists()


@pytest.mark.long
def test_repeated_runs_of_the_suite(
    mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMINA_CACHE_DIR", str(tmp_path / "cache"))
    words = ["bench", "--op", "relu", "--size", "10", "--backend", "numpy", "--save", "a"]
    monkeypatch.setattr(sys, "argv", ["lamina", *words, "--runs", "2"])
    assert suite.repeat_suite("a", 2) == 0
    assert not mark.exists()
    runs = sorted(path.name for path in (tmp_path / "cache" / "benchmarks" / "a").iterdir())
    assert runs == ["1.json", "2.json"]


# Planted links


def predicted(target: Path) -> None:
    model = support.classifier().build(4)
    model.save(target.with_name("m.safetensors"))
    np.save(target.with_name("x.npy"), np.ones((3, 4)))
    files = [str(target.with_name(name)) for name in ("m.safetensors", "x.npy")]
    done = CliRunner().invoke(app, ["predict", *files, "--output", str(target)])
    assert done.exit_code == 0, done.output
    assert "3 rows written" in done.output


def reported(target: Path) -> None:
    sample().write(target.with_name("in.json"))
    write_report([target.with_name("in.json")], target)


def tabled(target: Path) -> None:
    sample().write(target.with_name("in.json"))
    words = [str(target.with_name("in.json")), "--markdown", str(target)]
    done = CliRunner().invoke(app, ["bench", "report", *words])
    assert done.exit_code == 0, done.output


def in_readme(target: Path) -> None:
    sample().write(target.with_name("in.json"))
    target.write_text(f"{markdown.BEGIN}\n{markdown.END}\n")  # the link's target: that is all
    markdown.rewrite(target, [target.with_name("in.json")])


WRITERS: dict[str, Callable[[Path], None]] = {
    "a model": lambda target: support.classifier().build(4).save(target),
    "predictions": predicted,
    "a result": lambda target: sample().write(target),
    "a report": reported,
    "tables": tabled,
    "README": in_readme,
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_follows_no_link(name: str, tmp_path: Path) -> None:
    place, victim = tmp_path / "place", tmp_path / "victim"
    place.mkdir()
    victim.write_text("precious")
    target = place / "out"
    for number in range(os.getpid() - 2, os.getpid() + 3):
        (place / f".out.{number}.tmp").symlink_to(victim)
    target.symlink_to(victim)
    WRITERS[name](target)
    wanted = f"{markdown.BEGIN}\n{markdown.END}\n" if name == "README" else "precious"
    assert victim.read_text() == wanted
    assert not target.is_symlink()
    assert len(target.read_bytes()) > 50


def test_predictions_go_to_a_device(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    predicted(link)
    assert link.is_symlink()
    assert not Path(os.devnull).is_file()


def test_a_result_that_nests_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("[" * 200_000, "[]", "3", '{"schema": 1, "rows": [3]}'):
        path.write_text(text)
        with pytest.raises(lm.BadInput, match="is no result of lamina bench"):
            Result.read(path)


def test_a_report_to_repeat_that_nests_too_deeply(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("[" * 200_000)
    done = CliRunner().invoke(app, ["train", "--repeat", str(tmp_path / "run.json")])
    assert done.exit_code == 2
    assert "is no JSON" in done.output
