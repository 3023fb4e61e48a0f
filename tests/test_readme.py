"""README's examples run, and the docstrings' too."""

from __future__ import annotations

import ast
import doctest
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import lamina
import pytest
import test_layering
from lamina.benchmarks.report import markdown

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
READ = (ROOT / "README.md").read_text().split("**The first half hour**")[1].split("\n## ")[0]
FIRST = re.findall(r"^\| `(\S+\.py)` \| ([^|]*) \|", READ, re.M)
WORDS_A_MINUTE = 250
FLOORS = ("kernels", "backends", "core")
AT_LEAST = 12  # examples in the docstrings of these
MODULES = [
    module.name
    for floor in FLOORS
    for module in pkgutil.walk_packages(
        [str(Path(lamina.__file__).parent / floor)], f"lamina.{floor}."
    )
]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4
    assert "lamina.core.graph.autodiff" in MODULES


def test_the_docstrings_examples_are_found() -> None:
    """As many as there are: a module that moved out of sight would take its examples along."""
    finder, counted, named = doctest.DocTestFinder(), 0, 0
    for floor in FLOORS:
        for path in (Path(lamina.__file__).parent / floor).rglob("*.py"):
            named += len(re.findall(r"^\s*>>> ", path.read_text(), re.M))
    for name in MODULES:
        if name != "lamina.backends.cupy":
            for test in finder.find(import_module(name)):
                counted += len(test.examples)
    assert counted == named
    assert counted >= AT_LEAST


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    if name == "lamina.backends.cupy":
        pytest.importorskip("cupy")
    failed, _ = doctest.testmod(import_module(name))
    assert failed == 0


def test_the_tables_are_those_of_the_results_they_name() -> None:
    readme = ROOT / "README.md"
    paths = markdown.files(readme)
    assert paths
    assert all(path.is_relative_to(ROOT / "benchmarks" / "results") for path in paths)
    inside = readme.read_text().split(markdown.BEGIN)[1].split(markdown.END)[0]
    assert inside == f"\n{markdown.block(paths, ROOT)}\n"


def told(path: str, names: list[str]) -> Iterator[str]:
    """What of a file is read: its first lines, what classes say of themselves, whole functions."""
    text = (ROOT / path).read_text()
    tree = ast.parse(text)
    yield ast.get_docstring(tree) or ""
    for name in names:
        found: Any = tree
        for part in name.split("."):
            found = next(one for one in found.body if getattr(one, "name", None) == part)
        whole = ast.get_source_segment(text, found) or ""
        yield (ast.get_docstring(found) or "") if isinstance(found, ast.ClassDef) else whole


def test_the_first_half_hour_is_one() -> None:
    assert len(FIRST) > 20
    read = [part for path, names in FIRST for part in told(path, re.findall(r"`(.*?)`", names))]
    assert sum(len(part.split()) for part in read) <= 30 * WORDS_A_MINUTE


@pytest.mark.slow
def test_what_is_read_needs_nothing_that_comes_later() -> None:
    graph = test_layering.imports(ROOT, types=False)
    rest = READ.split("**The rest")[1]
    for order in ([path for path, _ in FIRST], re.findall(r"`([\w/]+/\w+\.py)`", rest)):
        assert len(order) == len(set(order)) > 20
        modules = [f"lamina.{path.removesuffix('.py').replace('/', '.')}" for path in order]
        for at, module in enumerate(modules):
            circle = next((c for c in test_layering.CIRCLES if module in c), ())
            assert graph[module].intersection(modules[at + 1 :]) <= set(circle), module
