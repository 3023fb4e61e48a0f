"""The onnx library, which is optional: loaded when a file is written or read."""

from __future__ import annotations

from typing import Any

from ...kernels.errors import BadInput


def onnx(what: str) -> Any:
    """The module `onnx`. what: the name that needs it. Raises: BadInput where it is not there."""
    try:
        import onnx
    except ImportError:
        raise BadInput(f'{what} needs the onnx library: pip install "lamina[onnx]"') from None
    return onnx
