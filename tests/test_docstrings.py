"""Every public name says what it is, and each of its parameters is named in what it says."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import lamina as lm
import pytest

NAMES = sorted(name for name in lm.__all__ if not name.startswith("_"))


def documented(name: str, thing: Any) -> Iterator[tuple[str, Any, str]]:
    """(its name, a class, function or property, what says its parameters), with all it contains."""
    if inspect.ismodule(thing):
        for inner, value in vars(thing).items():
            here = getattr(value, "__module__", None) == thing.__name__
            if here and not inner.startswith("_") and (inspect.isclass(value) or callable(value)):
                yield from documented(f"{name}.{inner}", value)
    elif inspect.isclass(thing):
        said = " ".join(kind.__doc__ or "" for kind in thing.__mro__ if ours(kind))
        yield name, thing, said
        for inner, value in inspect.getmembers(thing):
            owner = next((kind for kind in thing.__mro__ if inner in vars(kind)), object)
            if not ours(owner) or inner.startswith("_"):
                continue
            if inspect.isfunction(value) or inspect.ismethod(value) or isinstance(value, property):
                above = [vars(kind)[inner] for kind in thing.__mro__ if inner in vars(kind)]
                texts = [inspect.getdoc(each) or "" for each in above if ours(owner)]
                yield f"{name}.{inner}", value, " ".join([*texts, said])
    elif inspect.isfunction(thing):
        yield name, thing, thing.__doc__ or ""


def ours(kind: type) -> bool:
    return kind.__module__.startswith("lamina.")


def missing(name: str, thing: Any, said: str) -> list[str]:
    """What the docstrings of a class, function or property do not say."""
    found = [] if (thing.__doc__ or "").strip() else [f"{name} has no docstring"]
    if isinstance(thing, property):
        return found
    try:
        parameters = list(inspect.signature(thing).parameters)
    except ValueError:  # an exception that takes what the built-in one takes
        parameters = []
    for parameter in parameters:
        if parameter not in ("self", "details") and not re.search(rf"\b{parameter}\b", said):
            found.append(f"{name} does not say what {parameter} is")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_are_complete(name: str) -> None:
    found = [gap for each in documented(name, getattr(lm, name)) for gap in missing(*each)]
    assert not found, "\n".join(found)


def test_a_gap_is_found() -> None:
    def half(told: int, hidden: int) -> int:
        """told: a number."""
        return told + hidden

    def silent() -> None: ...

    assert missing("half", half, half.__doc__ or "") == ["half does not say what hidden is"]
    assert missing("silent", silent, "") == ["silent has no docstring"]
    names = [each for name in NAMES for each, _, _ in documented(name, getattr(lm, name))]
    for one in ("Sequential.fit", "schedules.Cosine", "datasets.load", "Backend.compile", "Adam"):
        assert one in names
