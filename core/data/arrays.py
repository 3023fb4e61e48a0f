"""Arrays in NPY and NPZ files: read only where the file has as many bytes as it says.

Nothing is unpickled, and no memory is taken for what a header alone claims.
"""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ...kernels.errors import BadInput

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
MOST_DEFLATED = 1032  # times as long as what deflate made of it is the longest text
# What NumPy and zipfile raise for damage: for the archive, and for the header of an array.
_ARCHIVE = (zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, EOFError, KeyError)
_HEADER = (ValueError, TypeError, SyntaxError, tokenize.TokenError, OverflowError)
ERRORS = (OSError, *_ARCHIVE, *_HEADER)


def read_array(file: IO[bytes], length: int) -> np.ndarray:
    """The array of an open NPY file of that many bytes. Raises: ValueError, and other ERRORS."""
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"arrays of version {version} are not plain")
    try:
        shape, _, dtype = HEADERS[version](file)
    except MemoryError:  # what the parser of Python's expressions raises where they nest too deeply
        raise ValueError("its header nests too deeply") from None
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which could run as programs when they are read")
    there = length - file.tell()
    claimed = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not dtype.itemsize or claimed > there:
        raise ValueError(f"its header claims {dtype}{list(shape)}, but {there} bytes follow it")
    file.seek(0)
    made: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return made


def _members(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive."""
    whole = path.stat().st_size
    found = {}
    with zipfile.ZipFile(path) as archive:
        claimed = sum(info.file_size for info in archive.infolist())
        if claimed > MOST_DEFLATED * whole:
            raise ValueError(f"it claims {claimed} bytes, more than {whole} can hold")
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename:
                continue  # not what NumPy writes
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is packed in another way than NumPy's")
            with archive.open(info) as file:
                try:
                    found[name] = read_array(file, info.file_size)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
    return found


def read(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an NPY file, or those of an NPZ file by name.

    Raises: BadInput for what is no such file, is damaged, or does not fit into memory; OSError
    where it cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(len(np.lib.format.MAGIC_PREFIX))
        try:
            if start != np.lib.format.MAGIC_PREFIX:
                return _members(path)
            file.seek(0)
            return read_array(file, os.fstat(file.fileno()).st_size)
        except (*ERRORS, RecursionError) as error:
            raise BadInput(str(error) or type(error).__name__) from None
        except MemoryError:
            raise BadInput("its arrays are larger than this machine's memory") from None


def named(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file by name. Raises: BadInput for any other file."""
    try:
        found = read(path)
        if isinstance(found, np.ndarray):
            raise BadInput("it is a single array, an NPY")
    except (OSError, BadInput) as error:
        raise BadInput(f"{path} is no NPZ file of plain arrays: {error}") from None
    return found
