"""Where lamina keeps what it measured on this machine."""

from __future__ import annotations

import os
import platform
import re
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
