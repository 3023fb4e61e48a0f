"""Imports run down only, in no circle, and what is private stays so.

The checkers read the sources without running anything.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from functools import cache
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
CIRCLES = {  # modules that import each other -> why they may
    ("lamina.backends.contract", "lamina.backends.walker"): (
        "a backend without an executor of its own is given the default one, when it compiles"
    ),
}
TYPES = {  # imports for types only that close a circle -> why the type is named
    ("lamina.core.callbacks", "lamina.core.model"): "a callback is told the model that trains",
    ("lamina.core.checkpoint", "lamina.core.model"): "what is saved",
    ("lamina.core.device_sums", "lamina.core.distributed"): "whose devices sum",
    ("lamina.core.distributed", "lamina.core.model"): "which several processes train",
    ("lamina.core.fitting", "lamina.core.model"): "whose fit is made ready",
    ("lamina.core.inspection", "lamina.core.model"): "what is looked at",
    ("lamina.core.model", "lamina.core.callbacks"): "what fit takes, loaded by those who train",
    ("lamina.core.moments", "lamina.core.model"): "what an action of one process changes",
    ("lamina.core.team", "lamina.core.model"): "which one process trains, or several",
    ("lamina.core.training", "lamina.core.model"): "whose history is written, and for callbacks",
}
FOREIGN = {  # floor -> libraries that are not its business
    "core": ("numba", "cupy", "cupyx", "jax", "torch"),
    "kernels": (),
    "backends": (),
}


def nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, and whether they are for types only: under `if TYPE_CHECKING`."""
    left = [(tree, False)]
    while left:
        node, types = left.pop()
        yield node, types
        only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        running = node.orelse if only and isinstance(node, ast.If) else ()
        for one in ast.iter_child_nodes(node):
            left.append((one, types or (only and one not in running)))


@cache  # the tree is read many times, with a line planted in one file of it
def imported(text: str, package: tuple[str, ...]) -> tuple[tuple[int, str, bool], ...]:
    """(line, absolute dotted name, for types only) of all that a text imports, wherever in it."""
    found = []
    for node, types in nodes(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name, types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += (node.module or "").split(".") if node.module else []
            found += [(node.lineno, ".".join([*base, a.name]), types) for a in node.names]
        elif isinstance(node, ast.Call) and node.args:
            name = (
                node.func.attr
                if isinstance(node.func, ast.Attribute)
                else getattr(node.func, "id", "")
            )
            told = node.args[0]
            if name in ("import_module", "__import__") and isinstance(told, ast.Constant):
                dotted = str(told.value)
                level = len(dotted) - len(dotted.lstrip("."))
                base = list(package[: len(package) - level + 1]) if level else []
                found.append((node.lineno, ".".join([*base, dotted.lstrip(".")]), types))
    return tuple(found)


def targets(path: Path, root: Path, types: bool = True) -> list[tuple[int, str]]:
    """(line, absolute dotted name) of all that a file imports; with those for types, or without."""
    package = ("lamina", *path.relative_to(root).parent.parts)
    every = imported(path.read_text(), package)
    return [(line, name) for line, name, only in every if types or not only]


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


def imports(root: Path, types: bool) -> dict[str, set[str]]:
    """Module -> the modules it imports, on load or later; with those for types only, or without."""
    files = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if len(parts) == 1 or parts[0] in FLOORS:
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            files[".".join(("lamina", *parts))] = path
    made = {}
    for module, path in files.items():
        names = {name for _, name in targets(path, root, types)}
        # What is no module is an attribute of one.
        found = {name if name in files else name.rpartition(".")[0] for name in names}
        made[module] = found & set(files) - {module}
    return made


def reach(graph: dict[str, set[str]], module: str) -> set[str]:
    """All modules that one imports, directly or through others."""
    seen: set[str] = set()
    left = [module]
    while left:
        new = graph[left.pop()] - seen
        seen |= new
        left.extend(new)
    return seen


def circles(root: Path) -> list[tuple[str, ...]]:
    """Modules that import each other while something runs; types do not count."""
    graph = imports(root, types=False)
    reached = {module: reach(graph, module) for module in graph}
    return sorted(
        {
            tuple(sorted(other for other in reached[module] if module in reached[other]))
            for module in graph
            if module in reached[module]
        }
    )


def circles_of_types(root: Path) -> list[tuple[str, str]]:
    """(module, imported) where an import for types only closes a circle."""
    graph, running = imports(root, types=True), imports(root, types=False)
    return sorted(
        (module, other)
        for module in graph
        for other in graph[module] - running[module]
        if module in reach(graph, other)
    )


@cache
def private(text: str) -> tuple[tuple[int, str], ...]:
    """(line, name) of every use of another object's or another module's private name."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        found += [
            (getattr(node, "lineno", 0), name)
            for name in names
            if name.startswith("_") and not name.endswith("__")
        ]
    return tuple(found)


def intrusions(folder: Path) -> list[str]:
    """Every use of another object's or another module's private name."""
    return [
        f"{path.relative_to(folder)}:{line} uses {name}"
        for path in sorted(folder.rglob("*.py"))
        for line, name in private(path.read_text())
    ]


def test_imports_run_down_only() -> None:
    assert violations(ROOT) == []


@pytest.mark.slow
def test_imports_go_in_no_circle_but_those_with_a_reason() -> None:
    assert circles(ROOT) == sorted(CIRCLES)
    assert circles_of_types(ROOT) == sorted(TYPES)


def test_core_leaves_private_what_is_private() -> None:
    assert intrusions(ROOT / "core") == []


def test_the_checker_sees_every_floor() -> None:
    for floor in ("kernels", "backends", "core"):
        files = list((ROOT / floor).rglob("*.py"))
        assert sum(len(targets(f, ROOT)) for f in files) > 20, floor


def copied(folder: Path, *floors: str) -> None:
    """The sources of these floors, or of all, in a folder where something can be planted."""
    for floor in floors or FLOORS:
        shutil.copytree(ROOT / floor, folder / floor, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)


def plant(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "line", "among"),
    [
        ("core/layers.py", "from .session import Session", "core.session"),
        ("core/layers.py", "from . import session", "core.session"),
        ("core/layers.py", "import lamina.core.session", "core.session"),
        ("core/session.py", "def f():\n    from .training import Fit", "core.training"),
        ("core/session.py", "def f():\n    from . import predictor", "core.predictor"),
        ("core/checkpoint.py", "def f():\n    from .loading import load", "core.model"),
        ("core/history.py", "if True:\n    from .model import Sequential", "core.model"),
        (
            "core/checks.py",
            "import importlib\nimportlib.import_module('.layers', __package__)",
            "core.layers",
        ),
    ],
)
def test_a_planted_circle_is_caught(file: str, line: str, among: str, tmp_path: Path) -> None:
    copied(tmp_path, "core")
    assert circles(tmp_path) == []
    plant(tmp_path / file, line)
    (found,) = circles(tmp_path)
    assert {f"lamina.{file[:-3].replace('/', '.')}", f"lamina.{among}"} <= set(found)


@pytest.mark.slow
def test_a_circle_of_types_is_none(tmp_path: Path) -> None:
    copied(tmp_path, "core")
    before = circles_of_types(tmp_path)
    plant(tmp_path / "core/layers.py", "if TYPE_CHECKING:\n    from .session import Session")
    assert circles(tmp_path) == []
    (found,) = set(circles_of_types(tmp_path)) - set(before)
    assert found == ("lamina.core.layers", "lamina.core.session")


@pytest.mark.parametrize(
    "line",
    [
        "def f(model):\n    return model._state",
        "def f(self):\n    return self.session._state",
        "def f(model):\n    model.session._free = {}",
        "class A:\n    def f(self, other):\n        return other._x",
        "from .training import _one_epoch",
        "from . import training\ntraining._one_epoch()",
    ],
)
def test_a_planted_intrusion_is_caught(line: str, tmp_path: Path) -> None:
    copied(tmp_path, "core")
    plant(tmp_path / "core" / "graph" / "planner.py", line)
    (found,) = intrusions(tmp_path / "core")
    assert found.startswith("graph/planner.py:")


def test_what_is_one_s_own_is_none(tmp_path: Path) -> None:
    plant(tmp_path / "own.py", "def f(self, cls):\n    self._x, cls._y = a.__doc__, b.c")
    assert intrusions(tmp_path) == []
