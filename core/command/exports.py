"""The whole job of writing a model for other runtimes, as the command line runs it."""

from __future__ import annotations

from pathlib import Path

from ...kernels.errors import BadInput
from ..interop.exporting import export_onnx
from ..loading import load


def export(model: Path, target: Path, overwrite: bool) -> str:
    """Writes a model's file as an ONNX file; what to say of it.

    overwrite: replace a file that is there. Raises: LaminaError, OSError.
    """
    if target.exists() and not overwrite:
        raise BadInput(
            f"{target} is there already: replace it with --overwrite, or give another name"
        )
    found = load(model, "numpy")
    export_onnx(found, target)
    what = "the columns of its table" if found.encoding and found.encoding.columns else '"x"'
    return f"{target}: takes {what}, rows of any number"
