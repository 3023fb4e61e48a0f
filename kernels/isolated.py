"""Other processes of Python that import what this one does, and nothing from the current folder."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path

# The package is taken from where it lies, however this process came to find it.
START = """
import importlib.util, json, sys
sys.path[:], name, folder = json.loads(sys.argv.pop(1))
spec = importlib.util.spec_from_file_location(
    name, folder + "/__init__.py", submodule_search_locations=[folder]
)
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
"""
PACKAGE = __name__.removesuffix(".kernels.isolated")
FOLDER = Path(__file__).absolute().parents[1]


def path() -> list[str]:
    """This process's `sys.path` for another one: the standard library first, absolute folders only.

    The current folder is left out, and comes last where the package lies in it: it may hold a file
    that is called as a module.
    """
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    standard |= {os.path.join(one, "lib-dynload") for one in standard}  # noqa: PTH118
    try:
        here = os.path.realpath(os.getcwd())  # noqa: PTH109
    except OSError:  # it was removed
        here = ""
    elsewhere = [p for p in sys.path if os.path.isabs(p) and os.path.realpath(p) != here]  # noqa: PTH117
    elsewhere.sort(key=lambda one: one not in standard)
    return [*elsewhere, here] if os.path.realpath(FOLDER.parent) == here else elsewhere


def command(code: str, *arguments: str) -> list[str]:
    """What starts a process that runs `code` with the package imported, given `arguments`."""
    flags = ["-B"] if sys.dont_write_bytecode else []
    if sys.pycache_prefix:
        flags += ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    given = json.dumps([path(), PACKAGE, str(FOLDER)])
    return [sys.executable, "-I", *flags, "-c", START + code, given, *arguments]
