"""Options that several commands share, such as how tables are read, and what their words say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ...kernels.errors import BadInput

Missing = Annotated[
    str | None,
    typer.Option(help='Words for missing cells instead of the usual, as in "NA,-".'),
]
Header = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line names the columns, or they are c1, c2, ...",
    ),
]
Delimiter = Annotated[str | None, typer.Option(help="What parts the cells: a character, or tab.")]
DecimalSign = Annotated[str | None, typer.Option(help="The sign before fractions: . or ,")]
Characters = Annotated[
    str | None, typer.Option(help="Of a text file that is not UTF-8, such as cp1252 or utf-16.")
]
Drop = Annotated[str | None, typer.Option(help="Columns to leave out, as in id,name.")]
Impute = Annotated[
    bool, typer.Option("--impute/--strict", help="Fill missing cells and say so, or refuse them.")
]
Types = Annotated[
    str | None,
    typer.Option(
        help="What columns are, as in age=number,zip=category: number, category, yes/no, date,"
        " date(%d/%m/%Y), S<M<L (words in order), identifier, text."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def sizes(text: str) -> tuple[int, ...]:
    """`128,64` as (128, 64); an empty text is no hidden layer: logistic regression."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise BadInput(f"--hidden takes layer sizes such as 128,64, not {text!r}")
    return tuple(int(part) for part in parts)


def check_target(option: str, path: Path | None) -> None:
    """Raises BadInput where no file can be written, before any work is done for it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise BadInput(f"{option}: there is no folder {str(path.absolute().parent)!r}")
    if path is not None and path.is_dir():
        raise BadInput(f"{option}: {str(path)!r} is a folder: name a file in it")


def read_report(path: Path) -> Any:
    """The JSON of an earlier run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise BadInput(f"{path} is no JSON: give a file that lamina train --json printed") from None
