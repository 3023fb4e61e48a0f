"""Machine code that another user may have written is neither loaded nor run."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import support
from lamina.kernels import cache

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX"),
]
STRANGER = 54321
# A kernel of a module of its own, so that `__pycache__` beside it is the test's.
MODULE = """
from lamina.kernels.numba.jit import jit

@jit
def double(x):
    for i in range(x.size):
        x[i] += x[i]
"""
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import planted_module
x = np.ones(3)
planted_module.double(x)
print(x.tolist())
"""


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "planted_module.py").write_text(MODULE)
    (tmp_path / "cache").mkdir(0o700)
    yield tmp_path
    tmp_path.chmod(0o700)


def run(place: Path, given: str = "", **environment: str) -> str:
    """Runs the kernel; returns what was warned of."""
    done = subprocess.run(
        [sys.executable, "-W", "always::RuntimeWarning", "-c", RUN, str(place / "code")],
        capture_output=True, text=True, check=True, timeout=support.PATIENCE, cwd=place,
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LAMINA_CACHE_DIR": given, "XDG_CACHE_HOME": str(place / "user"), **environment,
        },
    )  # fmt: skip
    assert done.stdout == "[2.0, 2.0, 2.0]\n"
    return done.stderr


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("planted_module.double-*.nb?"))


def plant(files: list[Path], mark: Path) -> None:
    """Pickles that would run, in place of the code."""
    assert len(files) == 2
    for file in files:
        before = file.stat()
        file.write_bytes(pickle.dumps(Bomb(mark)))
        file.chmod(stat.S_IMODE(before.st_mode))


@pytest.mark.long
def test_the_plant_would_run(place: Path) -> None:
    """What the other tests plant does its work where the owner plants it."""
    given = str(place / "cache")
    run(place, given)
    plant(kept(place / "cache"), place / "mark")
    run(place, given)
    assert (place / "mark").exists()


@pytest.mark.long
def test_folders_and_files_are_private(place: Path) -> None:
    made = place / "new" / "cache"
    assert "not loaded" not in run(place, str(made))
    files = kept(made)
    for path in (made.parent, made, files[0].parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    assert run(place, str(made)) == ""


def attacked(place: Path, how: str, folder: Path, files: list[Path]) -> None:
    """Leaves planted code as another user could have."""
    plant(files, place / "mark")
    inner = files[0].parent
    if how == "everybody":
        inner.chmod(0o777)
    elif how == "everybody above":
        folder.chmod(0o777)
    elif how == "group":
        inner.chmod(0o770)
    elif how == "files of everybody":
        for file in files:
            file.chmod(0o666)
    else:
        if os.getuid() != 0:
            pytest.skip("only root can give files away")
        for path in {
            "owner": [inner, *files], "files of another": files, "owner above": [folder],
        }[how]:  # fmt: skip
            os.chown(path, STRANGER, STRANGER)


GIVEN = (
    "everybody", "everybody above", "group", "files of everybody", "owner", "owner above",
    "files of another",
)  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("how", GIVEN)
def test_planted_in_the_folder_that_is_given(how: str, place: Path) -> None:
    if how == "group" and os.getuid() != 0:
        pytest.skip("the group may be the user's own")
    folder = place / "cache"
    run(place, str(folder))
    attacked(place, how, folder, kept(folder))
    told = run(place, str(folder))
    assert not (place / "mark").exists()
    assert told.count("RuntimeWarning") == 1
    assert "is not loaded" in told
    run(place, str(folder))
    assert not (place / "mark").exists()


@pytest.mark.long
@pytest.mark.parametrize("how", ["everybody", "files of everybody", "owner", "files of another"])
@pytest.mark.parametrize("where", ["beside the module", "of the user"])
def test_planted_in_a_default_folder(where: str, how: str, place: Path) -> None:
    folder = place / ("code/__pycache__" if where == "beside the module" else "user/numba")
    if where == "of the user":
        (place / "code" / "__pycache__").write_text("no folder")
    run(place)
    attacked(place, how, folder, kept(folder))
    told = run(place)
    assert not (place / "mark").exists()
    assert told.count("RuntimeWarning") == 1 + ("of the user" in where and "files" not in how)
    assert "is not loaded" in told


@pytest.mark.long
def test_a_link_to_another_s_folder(place: Path) -> None:
    real, link = place / "real", place / "link"
    real.mkdir(0o700)
    run(place, str(real))
    plant(kept(real), place / "mark")
    real.chmod(0o777)
    link.symlink_to(real)
    assert "is not loaded" in run(place, str(link))
    assert not (place / "mark").exists()


@pytest.mark.long
def test_a_folder_that_is_not_absolute(place: Path) -> None:
    assert "not absolute" in run(place, "cache")
    assert kept(place / "cache") == []
    assert len(kept(place / "code" / "__pycache__")) == 2


@pytest.mark.long
@pytest.mark.parametrize("folder", ["", "relative"])
def test_a_user_s_folder_that_is_not_absolute(folder: str, place: Path) -> None:
    """Numba would take one in the current folder."""
    (place / "code" / "__pycache__").write_text("no folder")
    assert "RuntimeWarning" not in run(place, XDG_CACHE_HOME=folder, HOME=str(place / "home"))
    assert len(kept(place / "home" / ".cache")) == 2
    assert not (place / "numba").exists()
    assert not (place / "relative").exists()


@pytest.mark.long
def test_nothing_is_believed(place: Path) -> None:
    """Work goes on without the disk."""
    (place / "code" / "__pycache__").mkdir()
    (place / "code" / "__pycache__").chmod(0o777)
    (place / "user").mkdir()
    (place / "user").chmod(0o777)
    (place / "cache").chmod(0o777)
    assert "is not loaded" in run(place, str(place / "cache"))
    assert kept(place) == []


def test_a_reader_of_what_root_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of root are believed by everybody, as root may change the program anyway."""
    if os.getuid() != 0:
        pytest.skip("only root makes files of root")
    file = tmp_path / "file"
    file.write_bytes(b"x")
    monkeypatch.setattr(os, "getuid", lambda: STRANGER)
    assert cache.files.doubt(tmp_path) == ""
    assert cache.files.read(file) == b"x"
