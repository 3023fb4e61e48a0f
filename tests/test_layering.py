"""Imports run down only. The checker reads them without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("kernels", "backends", "core", "benchmarks", "course")  # bottom to top
MAY = {  # floor -> the floors it may import from, besides its own
    "kernels": (),
    "backends": ("kernels",),
    "core": ("kernels", "backends"),
    "benchmarks": ("kernels", "backends", "core", ""),
    "course": ("kernels", "backends", "core", ""),
}
DEVICES = ("loops", "numpy", "numba", "cupy")  # modules of backends that core must not know
FOREIGN = {  # floor -> libraries that are not its business
    "core": ("numba", "cupy", "cupyx", "jax", "torch"),
    "kernels": (),
    "backends": (),
}


def targets(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of all that a file imports, wherever in it."""
    package = ("lamina", *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += (node.module or "").split(".") if node.module else []
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name])
        elif isinstance(node, ast.Call) and node.args:
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            text = node.args[0]
            if name in ("import_module", "__import__") and isinstance(text, ast.Constant):
                dotted = str(text.value)
                level = len(dotted) - len(dotted.lstrip("."))
                base = list(package[: len(package) - level + 1]) if level else []
                yield node.lineno, ".".join([*base, dotted.lstrip(".")])


def violations(root: Path) -> list[str]:
    """Every import that runs up, or that goes where it must not."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        floor = parts[0] if parts[0] in FLOORS else ""
        if (len(parts) > 1 and not floor) or parts[0] == "tests":
            continue
        for line, name in targets(path, root):
            first, *rest = name.split(".")
            where = f"{path.relative_to(root)}:{line} imports {name}"
            if first != "lamina":
                if first in FOREIGN.get(floor, ()):
                    found.append(f"{where}: not for {floor}")
                continue
            to = rest[0] if rest and rest[0] in FLOORS else ""
            if not floor:  # the root: only the command line may go to the top
                if to in ("benchmarks", "course") and parts != ("__main__.py",):
                    found.append(f"{where}: only __main__ may")
            elif to != floor and to not in MAY[floor]:
                found.append(f"{where}: that is up")
            elif floor == "core" and to == "backends" and len(rest) > 1 and rest[1] in DEVICES:
                found.append(f"{where}: core asks the registry by name")
    return found


def test_imports_run_down_only() -> None:
    assert violations(ROOT) == []


def test_the_checker_sees_every_floor() -> None:
    for floor in ("kernels", "backends", "core"):
        files = list((ROOT / floor).rglob("*.py"))
        assert sum(len(list(targets(f, ROOT))) for f in files) > 20, floor


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("kernels/ops.py", "from ..backends.contract import Backend"),
        ("kernels/ops.py", "from .. import backends"),
        ("kernels/ops.py", "import lamina.core.graph.graph"),
        ("kernels/ops.py", "from lamina import core"),
        ("kernels/ops.py", "from lamina import Sequential"),
        ("kernels/ops.py", "def f():\n    from ..core import graph"),
        ("backends/walker.py", "from ..core.graph import Node"),
        (
            "backends/walker.py",
            "import importlib\nimportlib.import_module('..core.graph', __package__)",
        ),
        (
            "backends/walker.py",
            "import importlib\nimportlib.import_module('lamina.core.graph.graph')",
        ),
        ("core/model.py", "import numba"),
        ("core/model.py", "from cupy import ndarray"),
        ("core/model.py", "def f():\n    import numba.cuda"),
        ("core/model.py", "from ..backends.numpy import NumpyBackend"),
        ("core/model.py", "from ..backends import numba"),
        ("core/model.py", "from ..benchmarks import cases"),
        ("core/model.py", "from .. import Dense"),
        ("backends/conformance/__init__.py", "from ...core import model"),
        ("__init__.py", "from . import benchmarks"),
        ("course/planar.py", "from ..benchmarks import cases"),
        ("benchmarks/cases.py", "from ..course import planar"),
    ],
)
def test_a_planted_import_is_caught(file: str, line: str, tmp_path: Path) -> None:
    planted = tmp_path / file
    planted.parent.mkdir(parents=True, exist_ok=True)
    whole = (ROOT / file).read_text() if (ROOT / file).exists() else ""
    planted.write_text(f"{whole}\n{line}\n")
    found = violations(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("kernels/ops.py", "import numba"),
        ("backends/walker.py", "from ..kernels import philox"),
        ("core/model.py", "from ..backends.registry import select"),
        ("course/planar.py", "from .. import Sequential"),
        ("__main__.py", "from .benchmarks import cases"),
    ],
)
def test_what_runs_down_is_not(file: str, line: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    assert violations(tmp_path) == []
