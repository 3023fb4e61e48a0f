"""A file for each process, put together: what `lamina train 'part-{rank}.csv' --distributed` reads.

Each process reads the file that has its rank for a name, and all get a copy of all, in the order of
the ranks: so kinds of columns, classes and statistics are those of the whole, and so is the order
of the rows, as if one process had the files under one pattern.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..kernels.errors import BadInput
from .data import arrays, engine
from .distributed import Distributed
from .team import Team

RANK = "{rank}"
CHUNK = 1 << 24  # bytes of each file that are sent together


@contextmanager
def whole(source: str, team: Team) -> Iterator[str]:
    """A source of all rows, while this lasts: as it was given, or of the files of all processes.

    source: what `datasets.load` takes, or the path of a CSV, TSV, Parquet, JSON lines, Arrow or NPZ
    file with "{rank}" in it. team: the processes, all of which call this.
    Raises: BadInput for what is no file of each, and for NPZ files with other arrays than the first
    one's; the reader of the pattern refuses tables with other columns.
    """
    if RANK not in source:
        yield source
        return
    if not isinstance(team, Distributed):
        raise BadInput(f"{source!r} names a file of each process, which --distributed starts")
    path = team.checked(lambda: _own(source, team.rank))
    names = team.gathered(path.name)
    with tempfile.TemporaryDirectory(prefix="lamina-") as made:
        copies = [Path(made) / f"{rank:06}" / name for rank, name in enumerate(names)]
        _exchange(path, copies, team)
        if path.suffix.lower() == ".npz":
            one = Path(made) / "whole.npz"
            joined = _joined(copies)
            np.savez(one, **joined)  # type: ignore[arg-type]
            yield str(one)
        else:
            yield f"{glob.escape(made)}/*/*"


def _own(source: str, rank: int) -> Path:
    """The file of a process. Raises: BadInput."""
    if engine.is_query(source) or any(sign in source for sign in "*?["):
        raise BadInput(f"{RANK} stands in the path of one file of each process, not in {source!r}")
    path = Path(source.replace(RANK, str(rank)))
    if not path.is_file():
        raise BadInput(f"there is no file {str(path)!r}")
    return path


def _exchange(path: Path, copies: list[Path], team: Distributed) -> None:
    """Writes a copy of each process's file. path: this one's; copies: where they go."""
    for copy in copies:
        copy.parent.mkdir()
        copy.touch()
    with path.open("rb") as own:
        while any(chunks := team.gathered(own.read(CHUNK))):
            for copy, chunk in zip(copies, chunks, strict=True):
                with copy.open("ab") as file:
                    file.write(chunk)


def _joined(paths: list[Path]) -> dict[str, np.ndarray]:
    """The arrays of NPZ files, one behind the other by their names. Raises: BadInput."""
    every = [arrays.named(path) for path in paths]
    first = every[0]
    for path, found in zip(paths, every, strict=True):
        if found.keys() != first.keys():
            raise BadInput(
                f"{path.name} has {', '.join(found) or 'nothing'}, and {paths[0].name} has"
                f" {', '.join(first) or 'nothing'}: give all the same arrays"
            )
        for name, array in found.items():
            if array.ndim < 1 or array.shape[1:] != first[name].shape[1:]:
                raise BadInput(
                    f"{name} has the shape {array.shape} in {path.name}, and {first[name].shape} in"
                    f" {paths[0].name}: all but the number of rows must be the same"
                )
    return {name: np.concatenate([found[name] for found in every]) for name in first}
