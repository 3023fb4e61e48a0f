"""What an optimizer asks of a program: operations on flat segments and on numbers of the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CONTROLS = {"learning_rate": "float64", "step": "int64", "first_row": "int64"}


@dataclass(frozen=True)
class Update:
    """One operation of the update segment, on flat segments and control numbers by name."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
