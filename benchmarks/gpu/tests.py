"""Which test files have tests for a GPU that this machine can import."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

MARKS = ("mark.cuda", "support.EVERY", "import EVERY", "CPU, EVERY")


def cuda_tests(root: Path) -> list[str]:
    """Paths from the root of the checkout; a file whose imports are not installed is left out."""
    found = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text()
        if any(mark in text for mark in MARKS) and not missing(text, path.parent):
            found.append(str(path.relative_to(root)))
    return found


def missing(text: str, folder: Path) -> list[str]:
    """The modules that a file imports at its top, and that are not there."""
    names: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    own = {p.stem for place in (folder, *folder.parents[:2]) for p in place.glob("*.py")}
    return sorted(n for n in names - own if find_spec(n) is None)
