"""What others may write to is not believed, and what is written follows no link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from lamina.kernels import files

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
as_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away"
)
STRANGER = 54321


def give_away(path: Path) -> None:
    os.lchown(path, STRANGER, STRANGER)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_folders_are_the_user_s_alone(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir(0o755)
    made = tmp_path / "old" / "a" / "b"
    files.make_folder(made)
    assert [mode(path) for path in (made, made.parent, tmp_path / "old")] == [0o700, 0o700, 0o755]
    assert files.doubt(made) == ""
    files.make_folder(made)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        files.make_folder(tmp_path / "file" / "a")


@pytest.mark.parametrize("bits", [0o777, 0o702, 0o1777])
def test_a_folder_that_everybody_may_write_to(bits: int, tmp_path: Path) -> None:
    tmp_path.chmod(bits)
    assert "written to by everybody" in files.doubt(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir(0o700)
    # In a folder where none may touch what is another's, one's own folder is safe.
    assert bool(files.doubt(inner)) == (bits != 0o1777)
    assert files.doubt(inner, granted=tmp_path) == ""


@pytest.mark.parametrize("bits", [0o777, 0o1777])
def test_a_folder_that_is_still_to_be_made(bits: int, tmp_path: Path) -> None:
    tmp_path.chmod(bits)
    wanted = tmp_path / "a" / "b"
    # As one that is there: on the way to it none may touch what is another's.
    assert bool(files.doubt(wanted)) == (bits != 0o1777)
    if bits == 0o1777:
        files.make_folder(wanted)
        assert files.doubt(wanted) == ""


def test_a_folder_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o770)
    monkeypatch.setattr(files, "_own_group", lambda user, group: False)
    assert "written to by a group" in files.doubt(tmp_path)
    monkeypatch.setattr(files, "_own_group", lambda user, group: True)
    assert files.doubt(tmp_path) == ""


def test_the_user_s_own_group(monkeypatch: pytest.MonkeyPatch) -> None:
    import grp
    import pwd

    def own(user: int, members: list[str], name: str = "ada", primary: int = 70) -> bool:
        person = pwd.struct_passwd(("ada", "x", user, primary, "", "/", ""))
        group = grp.struct_group((name, "x", 70, members))
        monkeypatch.setattr(pwd, "getpwuid", lambda number: person)
        monkeypatch.setattr(grp, "getgrgid", lambda number: group)
        found: bool = files._own_group.__wrapped__(user, 70)
        return found

    assert own(70, [])
    assert own(70, ["ada"])
    assert not own(70, ["ada", "eve"])
    assert not own(70, [], name="staff")
    assert not own(70, [], primary=20)
    assert not own(0, [])


@as_root
def test_a_folder_of_another_user(tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "theirs" / "mine"
    mine.mkdir(parents=True)
    assert files.doubt(mine) == ""
    give_away(theirs)
    assert "belongs to another user (54321)" in files.doubt(theirs)
    assert "theirs belongs" in files.doubt(mine)


@pytest.mark.parametrize("far", [False, True])
def test_links_on_the_way(far: bool, tmp_path: Path) -> None:
    real, open_, link = tmp_path / "real", tmp_path / "open", tmp_path / "link"
    real.mkdir(0o700)
    open_.mkdir()
    open_.chmod(0o777)
    if far:  # a link to a link in a folder of everybody's
        (open_ / "second").symlink_to(real)
        link.symlink_to("open/second")
    else:
        link.symlink_to(os.path.join("open", "..", "real"))  # noqa: PTH118
    assert "open can be written to by everybody" in files.doubt(link)
    link.unlink()
    link.symlink_to(real)
    assert files.doubt(link) == ""
    if os.getuid() == 0:
        give_away(link)
        assert "link belongs to another user" in files.doubt(link)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        files.doubt(tmp_path / "a")


def test_paths_that_are_not_absolute() -> None:
    assert "not absolute" in files.doubt("cache")
    assert "not absolute" in files.doubt("~/cache")


def test_where_users_have_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o777)
    file = tmp_path / "file"
    file.write_text("x")
    file.chmod(0o666)
    monkeypatch.delattr(os, "getuid")
    assert files.doubt(tmp_path) == ""
    assert files.read(file) == b"x"


def test_files_that_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    assert files.read(file) == b"x"
    file.chmod(0o666)
    with pytest.raises(PermissionError, match="written to by everybody"):
        files.read(file)
    file.chmod(0o644)
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(PermissionError, match="is a link"):
        files.read(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(PermissionError, match="is no file"):
        files.read(tmp_path / "pipe")
    if os.getuid() == 0:
        give_away(file)
        with pytest.raises(PermissionError, match="belongs to another user"):
            files.read(file)


# Writing


def planted(folder: Path, name: str, victim: Path) -> None:
    """Links under the names that a writer may have been guessed to use."""
    for number in (os.getpid(), 1, 2):
        (folder / f".{name}.{number}.tmp").symlink_to(victim)


def test_planted_links_are_not_followed(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "out.csv"
    victim.write_text("precious")
    planted(tmp_path, "out.csv", victim)
    target.symlink_to(victim)
    files.write(target, "mine")
    assert victim.read_text() == "precious"
    assert not target.is_symlink()
    assert target.read_text() == "mine"
    with pytest.raises(OSError, match="is a link: name the file itself"):
        files.append(tmp_path / f".out.csv.{os.getpid()}.tmp")


def test_names_cannot_be_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    real = os.open

    def watched(path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        seen.append((os.fspath(path), flags))
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", watched)
    for _ in range(3):
        files.write(tmp_path / "x", b"x")
    monkeypatch.undo()
    assert len({name for name, _ in seen}) == 3
    assert all(flags & os.O_EXCL and flags & os.O_NOFOLLOW for _, flags in seen)
    # a name that was guessed all the same
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / f".x.{'00' * 8}.tmp").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "x", b"y")
    assert not (tmp_path / "victim").exists()
    assert (tmp_path / "x").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["", ".", "missing/x"])
def test_errors_name_the_path_that_was_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=r"o such file|s a directory") as caught:
        files.write(name, "x")
    assert caught.value.filename == str(Path(name))
    assert not [*tmp_path.iterdir()]


def test_modes_of_what_is_written(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        files.write(tmp_path / "a", "x")
        files.write(tmp_path / "b", "x", files.PRIVATE)
        with files.append(tmp_path / "c") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in "abc"] == [0o644, 0o600, 0o644]


def test_what_is_passed_on_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    files.write(pipe, "through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    files.write(link, "away")
    assert stat.S_ISCHR(link.stat().st_mode)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["null", "pipe"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_nothing(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "x").write_text("old")
    place: tuple[object, str] = (os, "fsync") if failing == "fsync" else (Path, "replace")
    with monkeypatch.context() as patch:
        patch.setattr(*place, full)
        with pytest.raises(OSError, match="No space"):
            files.write(tmp_path / "x", "new", sync=True)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
