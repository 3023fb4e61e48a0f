"""Where lamina keeps what it measured on this machine, and what the machine is called."""

from __future__ import annotations

import errno
import os
import platform
import re
from pathlib import Path

from . import files


def folder() -> Path:
    """LAMINA_CACHE_DIR, else `lamina` in the user's cache folder; it may not exist yet.

    Paths that are not absolute are none: they would be other folders in every current one.
    """
    given, cache = (Path(os.environ.get(n) or "") for n in ("LAMINA_CACHE_DIR", "XDG_CACHE_HOME"))
    if given.is_absolute():
        return given
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "lamina"


def machine() -> str:
    """This machine's name, fit for a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node() or "machine")


def read(path: Path) -> str:
    """A file that nobody else may write to. Raises: OSError; ValueError for no text in UTF-8."""
    why = files.doubt(path.parent)
    if why:
        raise PermissionError(errno.EPERM, why, str(path))
    return files.read(path).decode()


def write(path: Path, text: str) -> Path:
    """Writes a file whole or not at all, its folder made where there is none; returns its path."""
    files.make_folder(path.parent)
    files.write(path, text, files.PRIVATE)
    return path
