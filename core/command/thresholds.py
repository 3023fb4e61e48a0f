"""What the command line says of the thresholds that a backend goes by."""

from __future__ import annotations

import textwrap

from ...backends.contract import Backend
from ...backends.selection import get_backend

WIDTH = 90


def lines(backend: Backend) -> list[str]:
    """Where they are from; then those that were measured, and those that are as they come."""
    origin, found = backend.thresholds()
    if not found:
        return []
    made = [f"thresholds     {origin}"]
    for kind in ("measured", "default"):
        told = [f"{name} {value}" for name, value, by in found if by == kind]
        if told:
            made += textwrap.wrap(f"{kind}: {', '.join(told)}", WIDTH, subsequent_indent="  ")
    return made


def described(name: str) -> dict[str, dict[str, str]]:
    """The same as plain data: name -> value, and whether it was measured or is the default."""
    return {one: {"value": v, "by": by} for one, v, by in get_backend(name).thresholds()[1]}
