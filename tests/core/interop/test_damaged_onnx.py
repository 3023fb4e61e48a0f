"""A few hundred damaged and forged files: each is read, or refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lamina as lm
import pytest
from maintenance import script

pytest.importorskip("onnx")


@pytest.mark.long
def test_damaged_files_are_refused_in_words() -> None:
    tool = script("damaged_onnx")
    assert list(tool.try_files(400, seed=7)) == []


def test_other_exceptions_are_findings(monkeypatch: Any) -> None:
    tool = script("damaged_onnx")

    def broken(path: Path, backend: str) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(lm, "load_onnx", broken)
    found = list(tool.try_files(2, seed=0))
    assert len(found) == 2
    assert "IndexError: list index out of range" in found[0]
