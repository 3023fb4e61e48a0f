"""Where lamina keeps what it measured on this machine."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from pathlib import Path


def folder() -> Path:
    """LAMINA_CACHE_DIR, else `lamina` in the user's cache folder; it may not exist yet."""
    given = os.environ.get("LAMINA_CACHE_DIR")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lamina"


def machine() -> str:
    """This machine's name, fit for a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", platform.node() or "machine")


def write(path: Path, text: str) -> Path:
    """Writes a file whole or not at all, its folder made where there is none; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
