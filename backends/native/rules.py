"""Every rule that lowers an operation, by its name: the modules imported here register theirs."""

from __future__ import annotations

from . import elements, gradients, host_numbers, indices, losses, matrices, products, rows, updates  # noqa: F401
from .lowering import RULES as RULES
