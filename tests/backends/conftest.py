"""Fixtures of the tests of native runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lamina.backends import threads
from lamina.backends.native import executor


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A setter of the number of threads, with every step worth a split."""
    monkeypatch.setattr(executor, "SPLIT_SECONDS", 0.0)
    from lamina.backends.native import lowering

    monkeypatch.setattr(lowering, "SHARED_ELEMENTS", 0)
    before = list(threads._chosen)
    yield lambda count: threads._chosen.__setitem__(slice(None), [count])
    threads._chosen[:] = before
