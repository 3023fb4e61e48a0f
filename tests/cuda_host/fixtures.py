"""A device whose CUDA kernels run on the CPU, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from . import compiling, cupy_on_host
from .backend import HostCuda
from .modules import State


def missing(what: str) -> NoReturn:
    """Skips a test for what is not there; where the gates are required, it fails."""
    if os.environ.get(compiling.REQUIRED):
        pytest.fail(what)
    pytest.skip(what)


def needed() -> None:
    """Skips a test where no CUDA sources can be executed."""
    reason = compiling.obstacle()
    if reason:
        missing(reason)


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The device; State.order may be set, and State.launches is empty at first."""
    needed()
    monkeypatch.setattr(State, "order", 0)
    monkeypatch.setattr(State, "launches", [])
    with cupy_on_host.installed():
        yield HostCuda()
