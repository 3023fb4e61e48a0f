"""Every rule that lowers an operation, by its name: the modules imported here register theirs."""

from __future__ import annotations

from . import elements, gradients, products, rows, updates  # noqa: F401
from .lowering import RULES as RULES
