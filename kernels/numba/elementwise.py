"""Kernels element by element: what is registered here needs no native step and no rule of its own.

`@elementwise` stands above `@jit` of a kernel that is called like its operation and takes one or
two flat inputs and a flat output of one dtype. The table of kernels, the native step and the rule
that lowers the operation to it are made from that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

ELEMENTWISE: dict[str, Callable[..., None]] = {}


def elementwise(kernel: F) -> F:
    """Registers a kernel for the operation of its name."""
    ELEMENTWISE[kernel.__name__] = kernel
    return kernel
