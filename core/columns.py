"""Tables of words, as the terminal shows them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Lines of texts in columns as wide as their widest; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in rows]
    return "\n".join(lines)


def short(array: np.ndarray | None) -> str:
    """An array in one line of at most 40 characters, or its dtype and shape; "" for none."""
    if array is None:
        return ""
    if array.ndim == 0:
        return f"{array.item() + 0.0:g}" if array.dtype.kind == "f" else str(array.item())
    text = np.array2string(array, precision=4, threshold=6, separator=", ").replace("\n", "")
    return text if len(text) <= 40 else f"{array.dtype}{list(array.shape)}"
