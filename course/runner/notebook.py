"""The sections as Jupyter notebooks."""

from __future__ import annotations

import ast
import io
import tokenize
from pathlib import Path

from ...kernels.errors import LaminaError
from .section import INSTALL, Section, reduced
from .words import Words

# SVG keeps words as words: they show in any language, whatever fonts Matplotlib has
FIRST = '%config InlineBackend.figure_formats = ["svg"]'


def write(
    section: Section, folder: Path, language: str, backend: str = "", small: bool = False
) -> Path:
    """Writes a section as a notebook without outputs; returns its path. Raises: LaminaError.

    backend: what its first cell chooses; "" leaves that to lamina. small: in its reduced size.
    """
    try:
        import jupytext
        import nbformat
    except ImportError:
        raise LaminaError(INSTALL) from None
    words, texts = Words(section, language), 0
    made = jupytext.reads(section.path.read_text(encoding="utf-8"), fmt="py:percent")
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = words.text(texts, cell.source)
            texts += 1
        else:
            cell.source = translated(cell.source, words)
            if small:
                cell.source = reduced(cell.source)[0]
    start = FIRST
    if backend:
        start += f'\nimport lamina\n\nlamina.use_backend("{backend}")'
    made.cells.insert(1, nbformat.v4.new_code_cell(start))
    made.metadata = {"kernelspec": {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }}  # fmt: skip
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"  # the same file for the same section
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{section.path.stem}.ipynb"
    path.write_text(nbformat.writes(made) + "\n", encoding="utf-8")
    return path


def translated(source: str, words: Words) -> str:
    """Code with the plain strings that are shown in another language."""
    if words.language == "en":
        return source
    rows = source.split("\n")
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type != tokenize.STRING or token.start[0] != token.end[0]:
            continue
        if not token.string.startswith(("'", '"')):  # one with fields
            continue
        said = ast.literal_eval(token.string)
        if isinstance(said, str) and said in words.known:
            row, at = token.start[0] - 1, token.end[1]
            rows[row] = rows[row][: token.start[1]] + repr(words.known[said]) + rows[row][at:]
    return "\n".join(rows)
