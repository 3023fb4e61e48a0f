"""What the wheel holds: every package and every data file, and nothing that is for maintainers."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("kernels", "backends", "core", "benchmarks", "course")
CHECKOUT_ONLY = ("benchmarks/maintenance", "benchmarks/results", "course/screens")
PROSE = (".md", ".sh")  # for readers of the checkout
SETUPTOOLS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"][
    "setuptools"
]


def installable() -> list[PurePosixPath]:
    """Every file that the package needs, relative to the root."""
    found = [PurePosixPath("py.typed"), *(PurePosixPath(p.name) for p in ROOT.glob("*.py"))]
    for top in TOPS:
        for path in (ROOT / top).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            generated = "__pycache__" in path.parts or path.suffix in PROSE
            if path.is_file() and not generated and not name.startswith(CHECKOUT_ONLY):
                found.append(PurePosixPath(name))
    return sorted(found)


def package(folder: PurePosixPath) -> str:
    return ".".join(("lamina", *folder.parts))


def faults(packages: list[str], data: dict[str, list[str]]) -> list[str]:
    """Files that would be left out, and entries that stand for nothing."""
    files = installable()
    found = [f"no package {package(f.parent)}: {f}" for f in files if f.suffix == ".py"
             and package(f.parent) not in packages]  # fmt: skip
    with_code = {package(f.parent) for f in files if f.name == "__init__.py"}
    found += [f"{name} is no package" for name in packages if name not in with_code]
    others = [f for f in files if f.suffix != ".py"]
    found += [f"no package data: {f}" for f in others
              if not any(f.match(p) for p in data.get(package(f.parent), ()))]  # fmt: skip
    found += [
        f"{name}: {pattern} stands for no file"
        for name, patterns in data.items()
        for pattern in patterns
        if not any(f.match(pattern) for f in others if package(f.parent) == name)
    ]
    return found


def test_the_lists_are_complete_and_right() -> None:
    assert len(set(SETUPTOOLS["packages"])) == len(SETUPTOOLS["packages"])
    assert faults(SETUPTOOLS["packages"], SETUPTOOLS["package-data"]) == []


def test_each_data_file_that_is_read_at_run_time_is_known() -> None:
    names = {f.name for f in installable()}
    assert {"schema.json", "style.css", "script.js", "py.typed"} <= names
    assert any(name.endswith(".npz") for name in names)


@pytest.mark.parametrize("name", SETUPTOOLS["packages"])
def test_a_package_left_out_is_noticed(name: str) -> None:
    left = [each for each in SETUPTOOLS["packages"] if each != name]
    assert f"no package {name}" in " ".join(faults(left, SETUPTOOLS["package-data"]))


@pytest.mark.parametrize("name", SETUPTOOLS["package-data"])
def test_data_left_out_is_noticed(name: str) -> None:
    left = {each: p for each, p in SETUPTOOLS["package-data"].items() if each != name}
    assert "no package data" in " ".join(faults(SETUPTOOLS["packages"], left))


def test_what_is_for_maintainers_is_noticed() -> None:
    packages = [*SETUPTOOLS["packages"], "lamina.benchmarks.maintenance"]
    assert faults(packages, SETUPTOOLS["package-data"]) == [
        "lamina.benchmarks.maintenance is no package"
    ]


def test_a_pattern_without_a_file_is_noticed() -> None:
    data = {**SETUPTOOLS["package-data"], "lamina.backends": ["*.txt"]}
    assert faults(SETUPTOOLS["packages"], data) == ["lamina.backends: *.txt stands for no file"]


def test_the_installed_package_has_every_file() -> None:
    # a build leaves another description, of the sources, in the checkout
    lists = [{str(f) for f in d.files or ()} for d in metadata.distributions(name="lamina")]
    installed = next((files for files in lists if "lamina/__init__.py" in files), None)
    if installed is None:
        pytest.skip("lamina runs from a folder here, not from a wheel")
    assert {f"lamina/{f}" for f in installable()} <= installed
    assert not [f for f in installed if f.startswith(tuple(f"lamina/{c}" for c in CHECKOUT_ONLY))]
