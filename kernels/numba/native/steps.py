"""The table of steps: `@step` registers a function under its name.

A step takes a record of 64-bit slots and a null pointer that says the dtype, and writes memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Step = Callable[[Any, Any], None]
F = TypeVar("F", bound=Step)

STEPS: dict[str, Step] = {}


def step(function: F) -> F:
    """Registers a step."""
    assert function.__name__ not in STEPS, f"two steps are called {function.__name__}"
    STEPS[function.__name__] = function
    return function
