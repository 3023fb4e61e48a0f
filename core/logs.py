"""Tables that grow by a line at a time, and whose header grows where it has to."""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..kernels import files


def listed(value: Any) -> Any:
    """An array in words of JSON."""
    return np.asarray(value).tolist()


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Appends a row to a CSV file under the header that it has; new columns come at its end.

    Where there are new ones the file is written anew beside its place and renamed, so that it is
    never half a file.
    """
    whole = True
    header: list[str] = []
    if path.is_file() and path.stat().st_size:
        with path.open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file), [])
        with path.open("rb") as raw:
            raw.seek(-1, os.SEEK_END)
            whole = raw.read(1) in b"\r\n"
    columns = [*header, *(name for name in row if name not in header)]
    if header and columns != header:
        files.append(path).close()  # refuses a link, which a new file would take the place of
        _widen(path, columns)
        whole = True
    with files.append(path) as file:
        if not whole:  # what ended the last training ended its line too
            file.write("\r\n")
        writer = csv.DictWriter(file, fieldnames=columns)
        if not header:
            writer.writeheader()
        writer.writerow(row)


def _widen(path: Path, columns: list[str]) -> None:
    """Gives a table more columns, empty in the rows that it has."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(old + [""] * (len(columns) - len(old)) for old in rows if old)
    files.write(path, text.getvalue(), stat.S_IMODE(path.stat().st_mode), sync=True)
