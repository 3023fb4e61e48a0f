"""Machine code kept on disk: as Numba does it, but fresh, checked, and never an exception.

Three things are done differently. The code is stale when any file of `kernels` changed, not only
the function's own. Every file carries a checksum, so a damaged one is compiled anew instead of run.
Where nothing can be read or written, one warning says so and work goes on without the disk.

LAMINA_CACHE_DIR, where it is set, is the folder; else the code lies in `__pycache__` beside the
module, or in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import caching

ROOT = Path(__file__).parent  # what machine code is made from lies in here, or runs when stale

_told: set[str] = set()


@cache
def sources(root: Path = ROOT) -> str:
    """The digest of all sources that machine code is made from."""
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def say_once(kind: str, text: str) -> None:
    """One warning of a kind in a process."""
    if kind not in _told:
        _told.add(kind)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


class _Fresh:
    """What all locators share: the stamp."""

    def get_source_stamp(self) -> str:
        return sources()


class _Given(_Fresh, caching.InTreeCacheLocator):  # type: ignore[misc]
    """LAMINA_CACHE_DIR."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        folder = Path(os.environ["LAMINA_CACHE_DIR"])
        self._cache_path = str(folder / self.get_suitable_cache_subpath(file))

    @classmethod
    def from_function(cls, function: Any, file: str) -> Any:
        if not os.environ.get("LAMINA_CACHE_DIR"):
            return None
        found = super().from_function(function, file)
        if found is None:
            say_once("write", f"LAMINA_CACHE_DIR={os.environ['LAMINA_CACHE_DIR']} is not writable")
        return found


class _Beside(_Fresh, caching.InTreeCacheLocator):  # type: ignore[misc]
    """The module's `__pycache__`."""


class _User(_Fresh, caching.UserWideCacheLocator):  # type: ignore[misc]
    """The user's cache folder."""


class _Results(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = [_Given, _Beside, _User]  # noqa: RUF012


class _Files(caching.IndexDataCacheFile):  # type: ignore[misc]
    """Data files end in the digest of what is before it."""

    def _dump(self, content: Any) -> bytes:
        data: bytes = super()._dump(content)
        return data + hashlib.sha256(data).digest()

    def _load_data(self, name: str) -> Any:
        data = Path(self._data_path(name)).read_bytes()
        size = hashlib.sha256().digest_size
        if hashlib.sha256(data[:-size]).digest() != data[-size:]:
            raise ValueError("the checksum is wrong")
        return pickle.loads(data[:-size])


class DiskCache(caching.FunctionCache):  # type: ignore[misc]
    """The cache of one function."""

    _impl_class = _Results

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        file: Any = self._cache_file
        self._cache_file: Any = _Files(
            file._cache_path, self._impl.filename_base, file._source_stamp
        )

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled function, or None where there is none or it is damaged."""
        try:
            found = super().load_overload(signature, target)
        except Exception as error:  # whatever unpickling damaged bytes may raise
            name = self._cache_file._index_path
            say_once("read", f"machine code in {name} is damaged ({error}): compiled anew")
            found = None
            self._remove()
        return found

    def _remove(self) -> None:
        try:
            Path(self._cache_file._index_path).unlink(missing_ok=True)
        except OSError:
            self.disable()

    def save_overload(self, signature: Any, data: Any) -> None:
        """Writes the compiled function."""
        try:
            super().save_overload(signature, data)
        except Exception as error:  # a full or read-only disk; an index damaged meanwhile
            say_once("write", f"machine code cannot be kept on disk ({error}): compiled each time")


def disk_cache(function: Any) -> Any:
    """The cache of a function; one that keeps nothing where no folder can be written."""
    try:
        return DiskCache(function)
    except (RuntimeError, OSError) as error:  # no folder that can be written
        say_once("write", f"machine code cannot be kept on disk ({error}): compiled each time")
        return caching.NullCache()
