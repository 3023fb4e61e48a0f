"""The characters of a text file: unpacked, decoded, and looked at before anything else."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ...kernels.errors import BadInput

PLAIN = ("utf-8", "ascii")  # as DuckDB reads it
CHUNK = 1 << 22
MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open,
}  # fmt: skip
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
OTHERS = (  # what files begin with that are no text, and what to do with them
    (b"\x1f\x8b", "packed by gzip: let its name end in .gz"),
    (b"BZh", "packed by bzip2: let its name end in .bz2"),
    (b"\xfd7zXZ", "packed by xz: let its name end in .xz"),
    (b"PAR1", "a Parquet file: let its name end in .parquet"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet: unpack it, or save the sheet as CSV"),
)


def stream(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked."""
    opener = OPENERS.get(path.suffix.lower())
    found: IO[bytes] = opener(path, "rb") if opener else path.open("rb")
    return found


def text(path: Path, encoding: str) -> io.TextIOWrapper:
    """The characters of a file; only line ends part lines."""
    name = "utf-8-sig" if encoding == "utf-8" else encoding
    return io.TextIOWrapper(stream(path), encoding=name, newline="")


def check(path: Path, encoding: str | None) -> tuple[str, bool]:
    """The encoding of a file, and whether it can be read as it lies there; all is looked at.

    encoding: as asked for, or None. Raises: BadInput with the line of what is no character.
    """
    try:
        with stream(path) as file:
            start = file.read(6)
            for sign, what in OTHERS:
                if start.startswith(sign):
                    raise BadInput(f"{path.name} is no text, but {what}")
            chosen = _chosen(path, encoding, start)
            mixed = _look(path, chosen, start, file)
    except DAMAGE as error:
        told = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be read: {told}") from None
    packed = path.suffix.lower() in OPENERS
    return chosen, chosen in PLAIN and not packed and not mixed


def _chosen(path: Path, encoding: str | None, start: bytes) -> str:
    """The encoding that was asked for, or that the first bytes tell, or UTF-8."""
    marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
    try:
        given = "utf-8" if encoding is None else encoding
        "a".encode(given)  # some names are of no characters
        name = codecs.lookup(given).name
    except (LookupError, TypeError, ValueError):
        raise BadInput(
            f"--encoding {encoding} is none that Python knows: try utf-8, utf-16, cp1252 or latin-1"
        ) from None
    if marked is None or encoding is None:
        return marked or name
    if not name.replace("_", "-").startswith(marked):
        raise BadInput(
            f"{path.name} begins with the mark of {marked}, and is not in {encoding}: leave"
            " --encoding out"
        )
    return marked


def _look(path: Path, chosen: str, start: bytes, file: IO[bytes]) -> bool:
    """Looks at all characters; whether there are two kinds of line ends, which DuckDB refuses."""
    decoder = codecs.getincrementaldecoder(chosen)()
    lines, returns = 0, 0
    chunk = start + file.read(CHUNK)
    while chunk:
        following = file.read(CHUNK)
        if chosen in PLAIN and b"\0" in chunk:
            raise BadInput(
                f"{path.name}, line {lines + _line(chunk, chunk.index(0))} has zero bytes: it is no"
                " text, or of 16-bit characters, which --encoding utf-16 reads"
            )
        try:
            if not (chosen in PLAIN and chunk.isascii() and not decoder.getstate()[0]):
                told = decoder.decode(chunk, final=not following)
                if "\0" in told:
                    line = lines + told[: told.index("\0")].count("\n") + 1
                    raise BadInput(
                        f"{path.name}, line {line} has zeros among its characters: it is damaged,"
                        f" or not in {chosen}"
                    )
        except UnicodeError as error:
            at = error.start if isinstance(error, UnicodeDecodeError) else 0
            known = error.object if isinstance(error, UnicodeDecodeError) else b""
            raise BadInput(
                f"{path.name}, line {lines + _line(known, at)} is no text in {chosen}: save the"
                " file in UTF-8, or name its characters, as in --encoding cp1252 (Windows),"
                " latin-1 or utf-16"
            ) from None
        lines += chunk.count(b"\n")
        returns += chunk.count(b"\r")
        chunk = following
    return bool(lines and returns and lines != returns)


def _line(chunk: bytes, at: int) -> int:
    return chunk.count(b"\n", 0, at) + 1
