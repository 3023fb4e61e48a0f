"""Fixtures of the tests of native runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lamina.backends import threads
from support import decided


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A setter of the number of threads, with every step worth a split."""
    from lamina.backends.native import lowering

    monkeypatch.setattr(lowering, "SHARED_ELEMENTS", 0)
    before = list(threads._chosen)
    decided(monkeypatch, split_seconds=0.0)
    yield lambda count: threads._chosen.__setitem__(slice(None), [count])
    threads._chosen[:] = before
