"""What an optimizer asks of a program: operations on flat segments and on numbers of the host."""

from __future__ import annotations

from typing import Any, NamedTuple

CONTROLS = {"learning_rate": "float64", "step": "int64", "first_row": "int64"}


class Update(NamedTuple):
    """One operation of the update stage, on flat segments and control numbers by name."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any]
