"""The layer API: layers, graph, gradients, planning, training, data, checkpoints."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "jobs":  # where it was before there was `command`: scripts import it from here
        from .command import jobs

        return jobs
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
