"""The sections as Jupyter notebooks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from ...kernels.errors import LaminaError
from .section import INSTALL, Section, reduced
from .words import Words

# SVG keeps words as words: they show in any language, whatever fonts Matplotlib has
SHOWN = ("suptitle", "title", "xlabel", "ylabel", "label")  # calls and arguments
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
    """Code with titles and labels of pictures in another language; other strings may be keys."""
    if words.language == "en":
        return source
    rows = [row.encode() for row in source.split("\n")]  # places in a syntax tree are bytes
    shown = [
        text
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        for text in _shown(call)
        if isinstance(text, ast.Constant) and text.value in words.known
    ]
    for text in sorted(shown, key=lambda text: (text.lineno, text.col_offset), reverse=True):
        row, made = text.lineno - 1, repr(words.known[str(text.value)]).encode()
        rows[row] = rows[row][: text.col_offset] + made + rows[row][text.end_col_offset :]
    return b"\n".join(rows).decode()


def _shown(call: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call that are words in a picture."""
    if isinstance(call.func, ast.Attribute) and call.func.attr.removeprefix("set_") in SHOWN:
        yield from call.args
    yield from (each.value for each in call.keywords if each.arg in SHOWN)
