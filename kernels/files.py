"""Files written whole, and files that are believed: those that nobody else may write to.

Believed are files and folders of this user and of root, which may do anything here anyway, as long
as no one else may write to them; links on the way to them as well. Where users have no numbers
(Windows) everything is believed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TextIO

PRIVATE = 0o600
MOST_LINKS = 40  # that lead to one another, as in Linux
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


# Who may write


@cache
def _own_group(user: int, group: int) -> bool:
    """Whether a group is the user's own, which many systems give each user, and nobody else's."""
    if user == 0:
        return False
    import grp
    import pwd

    with contextlib.suppress(KeyError):
        person, found = pwd.getpwuid(user), grp.getgrgid(group)
        alone = set(found.gr_mem) <= {person.pw_name}
        return alone and person.pw_gid == group and found.gr_name == person.pw_name
    return False


def _doubt(status: os.stat_result, passage: bool = False) -> str:
    """Who else may write there, in words, or an empty text.

    passage: of a folder or link on the way: one where everybody may make files, but none may touch
    those of others, will do, and so will one of whoever the root folder belongs to (in some
    containers not root).
    """
    user, mode = os.getuid(), status.st_mode
    owners = {0, user, os.stat("/").st_uid} if passage else {0, user}  # noqa: PTH116
    if status.st_uid not in owners:
        return f"belongs to another user ({status.st_uid})"
    if stat.S_ISLNK(mode) or (passage and mode & stat.S_ISVTX):
        return ""
    if mode & stat.S_IWOTH:
        return "can be written to by everybody"
    if mode & stat.S_IWGRP and not _own_group(user, status.st_gid):
        return f"can be written to by a group ({status.st_gid})"
    return ""


def _way(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """The folders and links on the way to a path, from the root, as far as they are there."""
    left = [*reversed(Path(path).parts)]
    at, links = left.pop(), 0
    yield at, os.lstat(at)
    while left:
        part = left.pop()
        if part == "..":
            at = os.path.dirname(at)  # noqa: PTH120  no link is left in it
            continue
        step = os.path.join(at, part)  # noqa: PTH118
        try:
            status = os.lstat(step)
        except FileNotFoundError:
            return
        yield step, status
        if not stat.S_ISLNK(status.st_mode):
            at = step
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = Path(os.readlink(step))  # noqa: PTH115
        if target.is_absolute():
            at = target.anchor
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)


def doubt(folder: str | os.PathLike[str], granted: str | os.PathLike[str] = "") -> str:
    """Why what lies in a folder is not believed, in words; an empty text where it is.

    granted: a folder on the way that is believed in any case. Raises: OSError.
    """
    if not hasattr(os, "getuid"):
        return ""
    if not Path(folder).is_absolute():
        return f"{os.fspath(folder)} is not absolute: it would be another one in every folder"
    known = {at for at, _ in _way(os.fspath(granted))} if granted else set()
    way = [step for step in _way(os.fspath(folder)) if step[0] not in known]
    last = (
        len(way) if Path(folder).exists() else len(way) + 1
    )  # what is to be made has no doubt yet
    for number, (at, status) in enumerate(way, 1):
        found = _doubt(status, passage=number < last)
        if found:
            return f"{at} {found}"
    return ""


def make_folder(folder: str | os.PathLike[str], mode: int = 0o700) -> None:
    """Makes a folder, and those above it, where they are missing: for this user alone.

    Raises: OSError.
    """
    path = Path(folder)
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path == path.parent:
            break
        path = path.parent
    for one in reversed(missing):
        one.mkdir(mode, exist_ok=True)


def read(path: str | os.PathLike[str]) -> bytes:
    """What a file holds that nobody else may write to.

    Raises: PermissionError for any other file, with the reason; OSError.
    """
    try:  # a pipe in the file's place must not wait for someone to write to it
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | NO_FOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise PermissionError(errno.EPERM, "is a link", os.fspath(path)) from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        found = _doubt(status) if hasattr(os, "getuid") else ""
        if not stat.S_ISREG(status.st_mode):
            found = "is no file"
        if found:
            raise PermissionError(errno.EPERM, found, os.fspath(path))
        return file.read()


# Writing


def _passed_on(path: Path) -> bool:
    """Whether what is written there goes elsewhere (a terminal, a pipe): nothing to be replaced."""
    try:
        link, status = path.lstat(), path.stat()
    except OSError:
        return False
    if stat.S_ISLNK(link.st_mode) and hasattr(os, "getuid") and _doubt(link):
        return False
    device = stat.S_ISCHR(status.st_mode) or stat.S_ISFIFO(status.st_mode)
    return device or path.parent == Path("/dev")


def write(
    path: str | os.PathLike[str], data: bytes | str, mode: int = 0o666, sync: bool = False
) -> None:
    """Writes a file whole or not at all; an older one, or a link, is replaced when it is done.

    data: bytes, or text for UTF-8. mode: as in `open`, less the umask. sync: be sure that it is on
    disk. Raises: OSError, with the older file whole.
    """
    path, content = Path(path), data.encode() if isinstance(data, str) else data
    if _passed_on(path):
        path.write_bytes(content)
        return
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # Nobody can know the name and put a link there, which `O_EXCL` would not follow either.
    beside = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, mode)
    except OSError as error:
        if not isinstance(error, FileExistsError):
            error.filename = str(path)  # the one that was asked for
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(handle)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if sync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the renaming itself survive a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def append(path: str | os.PathLike[str]) -> TextIO:
    """Opens a text file, made where there is none, to write at its end.

    Raises: OSError, for a link as well.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | NO_FOLLOW, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            error.strerror = "is a link: name the file itself"
        raise
    return os.fdopen(handle, "a", newline="", encoding="utf-8")
