"""The maintainers' tools: they lie in the checkout and are not installed."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parent.parent / "benchmarks" / "maintenance"


def script(name: str) -> ModuleType:
    """A tool as a module, by its file's name; it finds what lies beside it."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    spec = spec_from_file_location(f"maintenance_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look up their annotations
    spec.loader.exec_module(module)
    return module
