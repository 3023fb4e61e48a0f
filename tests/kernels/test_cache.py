"""Machine code on disk is stale when any source that it is made from changed, and only then."""

from __future__ import annotations

import ast
import inspect
import os
import shutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import FunctionType, ModuleType
from typing import Any

import lamina
import pytest
import support
from lamina.kernels import cache
from lamina.kernels.loops.table import DRIVERS
from numba.core.dispatcher import Dispatcher

PACKAGE = Path(lamina.__file__).parent
COMPILERS = ("njit", "jit", "cfunc", "CFunc", "vectorize", "guvectorize")  # Numba's, by any name
WITHOUT = ("tests", "benchmarks", "course")  # what nothing below them imports


def everything() -> list[ModuleType]:
    """All modules of the floors that may hold or call machine code."""
    names = [
        module.name
        for floor in ("kernels", "backends", "core")
        for module in walk_packages([str(PACKAGE / floor)], f"lamina.{floor}.")
        if module.name != "lamina.backends.cupy"
    ]
    return [import_module(name) for name in names]


def file_of(value: Any) -> Path | None:
    """Where a function or module of this package is written; None for anything else."""
    value = getattr(value, "py_func", value)
    if isinstance(value, FunctionType):
        path = Path(value.__code__.co_filename)
    elif isinstance(value, ModuleType) and getattr(value, "__file__", None):
        path = Path(str(value.__file__))
    else:
        return None
    return path if path.is_relative_to(PACKAGE) else None


def called(function: Any) -> Iterator[Path]:
    """The files of a compiled function and of all that it names: functions and modules."""
    function = getattr(function, "py_func", function)
    for value in (function, *(function.__globals__.get(n) for n in function.__code__.co_names)):
        path = file_of(value)
        if path is not None:
            yield path


def test_all_that_is_compiled_lies_under_the_digest() -> None:
    compiled = {
        id(value): value
        for module in everything()
        for value in vars(module).values()
        if isinstance(value, Dispatcher)
    }
    found = [*compiled.values(), *(loop for _, loop in DRIVERS.values())]
    assert len(compiled) > 50
    outside = {path for one in found for path in called(one) if not path.is_relative_to(cache.ROOT)}
    assert outside == set()


def compiling(root: Path) -> set[Path]:
    """The files that name one of Numba's compilers."""
    found = set()
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0] in WITHOUT:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
            if name in COMPILERS:
                found.add(path)
    return found


def imported(path: Path, root: Path) -> Iterator[Path]:
    """The files of the package that a file imports from."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
        folder = root.joinpath(*filter(None, base))
        for candidate in (folder, *(folder / alias.name for alias in node.names)):
            for file in (candidate.with_suffix(".py"), candidate / "__init__.py"):
                if file.is_file():
                    yield file


def beyond(root: Path) -> set[Path]:
    """What compiled sources take constants and functions from that the digest does not cover."""
    waiting = list(compiling(root))
    waiting += [
        f
        for folder in ("loops", "numba", "llvm")
        for f in (root / "kernels" / folder).rglob("*.py")
    ]
    seen = set()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imported(path, root)
    assert len(seen) > 20
    return {path.relative_to(root) for path in seen if not path.is_relative_to(root / "kernels")}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package that may be changed."""
    package = tmp_path / "lamina"
    for part in ("kernels", "backends", "core"):
        shutil.copytree(
            PACKAGE / part, package / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(PACKAGE / "__init__.py", package)
    return package


@pytest.mark.long
def test_what_compiled_sources_import_lies_under_the_digest(copied: Path) -> None:
    assert beyond(copied) == set()


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "line", "found"),
    [
        ("kernels/numba/fast_math.py", "from ...core.losses import EPSILON", "core/losses.py"),
        ("kernels/philox.py", "from ..backends.guard import LIMIT", "backends/guard.py"),
        ("kernels/chain.py", "from ..backends.guard import LIMIT", "backends/guard.py"),
        ("backends/guard.py", "import numba\nnumba.njit(print)", "backends/guard.py"),
    ],
)
def test_a_planted_source_elsewhere_is_found(
    file: str, line: str, found: str, copied: Path
) -> None:
    with (copied / file).open("a") as handle:
        handle.write(f"\n{line}\n")
    assert Path(found) in beyond(copied)


@pytest.mark.slow
def test_every_file_counts(copied: Path) -> None:
    root = copied / "kernels"
    files = sorted(root.rglob("*.py"))
    folders = {file.parent.relative_to(root).as_posix() for file in files}
    assert folders >= {".", "loops", "numba", "numba/native", "numpy", "vectorized"}
    before = cache.sources.__wrapped__(root)
    assert before == cache.sources()
    for file in files:
        text = file.read_text()
        file.write_text(text + "\nX = 1\n")
        assert cache.sources.__wrapped__(root) != before, file
        file.write_text(text)
    assert cache.sources.__wrapped__(root) == before


NUMBA = """
import numpy as np
from lamina.kernels.numba.table import numba_kernels
out = np.empty((1, 1))
numba_kernels()[{op!r}].function((out,), {inputs})
print(out[0, 0])
"""
LOOPS = """
import numpy as np
from lamina.kernels.loops.table import compiled_loop_kernels
out = np.empty((1, 1))
compiled_loop_kernels()["tanh"].function((out,), np.ones((1, 1)))
print(out[0, 0])
"""
STEP = """
import ctypes
import numpy as np
from lamina.kernels.numba.native import compiled
x, out = np.full(4, 0.25), np.zeros(1)
record = np.array([x.ctypes.data, 4, out.ctypes.data, 1], np.int64)
step = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(compiled.step("sum_all", "float64"))
step(record.ctypes.data, None)
print(out[0])
"""
GELU = NUMBA.format(op="gelu_tanh", inputs="np.ones((1, 1))")
SOFTMAX = NUMBA.format(op="softmax", inputs="np.ones((1, 1))")
MASK = """
import numpy as np
from lamina.kernels.numba.table import numba_kernels
out = np.empty((1, 8))
attrs = {"shape": (1, 8), "rate": 0.5, "stream": 1, "dtype": "float64"}
numba_kernels()["dropout_mask"].function((out,), 3, 4, **attrs)
print(int("".join(str(int(x > 0)) for x in out[0]), 2))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "old", "new", "script"),
    [
        ("philox.py", "ROUNDS = 10", "ROUNDS = 3", MASK),
        ("vectorized/activations.py", "GELU_CUBIC = 0.044715", "GELU_CUBIC = 0.5", GELU),
        ("numba/rows.py", "share = x.dtype.type(1.0 /", "share = x.dtype.type(3.0 /", SOFTMAX),
        ("loops/scalar.py", "return np.tanh(x)", "return np.tanh(x) + x", LOOPS),
        ("numba/native/steps_rows.py", "= found / a[3]", "= found / a[3] + 1.0", STEP),
    ],
)
def test_a_changed_constant_is_compiled_anew(
    file: str, old: str, new: str, script: str, copied: Path
) -> None:
    path = os.pathsep.join([str(copied.parent), *filter(None, sys.path)])
    kept = copied.parent / "cache"

    def printed() -> float:
        found = support.run_python(script, PYTHONPATH=path, LAMINA_CACHE_DIR=str(kept))
        return float(found)

    before = printed()
    files = {*kept.rglob("*.nbc"), *kept.rglob("*.code")}
    assert files
    changed = copied / "kernels" / file
    text = changed.read_text()
    assert text.count(old) == 1
    changed.write_text(text.replace(old, new))
    assert printed() != before
    changed.write_text(text)
    assert inspect.getfile(cache) == str(PACKAGE / "kernels" / "cache.py")  # none but the copy
