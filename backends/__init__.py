"""Devices: the contract, the registry, the program a device is asked to run, how it runs it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """`lamina.backends()` lists the devices, and `lamina.backends` is the package all the same."""

    def __call__(self, probe_again: bool = False) -> list[Any]:
        from .registry import backends

        return backends(probe_again)


sys.modules[__name__].__class__ = _Package
