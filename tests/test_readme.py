"""README's examples run, and the docstrings' too."""

from __future__ import annotations

import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import lamina
import pytest
from lamina.benchmarks.report import markdown

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
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
