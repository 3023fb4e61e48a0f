"""Machine code kept on disk: as Numba does it, but fresh, checked, and never an exception.

Four things are done differently. The code is stale when any Python file of `kernels` changed, and
not only the function's own. Every file carries a checksum, so a damaged one is compiled anew
instead of run. What another user made or may write to is not believed, as whatever lies there would
be run. Where nothing can be read or written, one warning says so and work goes on without the disk.

LAMINA_CACHE_DIR, where it is set, is the folder; else the code lies in `__pycache__` beside the
module, or in the user's cache folder.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from numba.core import caching

from . import files

ROOT = Path(__file__).parent  # what machine code is made from lies in here, or runs when stale

_told: set[str] = set()
_good: set[str] = set()  # folders that are believed


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


class _Checked:
    """What all locators share: the stamp, and the check of the folder."""

    mode = 0o700  # of a folder that is made
    granted = ""  # a folder that is believed in any case
    _cache_path: str

    def get_source_stamp(self) -> str:
        return sources()

    def ensure_cache_path(self) -> None:
        """Makes the folder. Raises: OSError where it is not believed, or cannot be written."""
        path = self._cache_path
        # Before anything is made in it; once, as nobody else can change what was found good.
        why = "" if path in _good else files.doubt(path, self.granted)
        if not why and not Path(path).is_dir():
            files.make_folder(path, self.mode)
            why = files.doubt(path, self.granted)
        if why:
            say_once("doubt", f"machine code is not loaded from {path}, nor kept there: {why}")
            raise PermissionError(errno.EPERM, why, path)
        _good.add(path)
        tempfile.TemporaryFile(dir=path).close()


class _Given(_Checked, caching.InTreeCacheLocator):  # type: ignore[misc]
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
        if found is None and "doubt" not in _told:
            say_once("write", f"LAMINA_CACHE_DIR={os.environ['LAMINA_CACHE_DIR']} is not writable")
        return found


class _Beside(_Checked, caching.InTreeCacheLocator):  # type: ignore[misc]
    """The module's `__pycache__`."""

    mode = 0o755  # Python's own folder, which others may read

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        self.granted = str(Path(file).parent)  # whoever may write there has the module itself


class _User(_Checked, caching.UserWideCacheLocator):  # type: ignore[misc]
    """The user's cache folder."""

    def __init__(self, function: Any, file: str) -> None:
        super().__init__(function, file)
        if not Path(self._cache_path).is_absolute():  # XDG_CACHE_HOME is empty, or no such path
            folder = Path.home() / ".cache" / "numba"
            self._cache_path = str(folder / self.get_suitable_cache_subpath(file))


class _Results(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = [_Given, _Beside, _User]  # noqa: RUF012


class _Files(caching.IndexDataCacheFile):  # type: ignore[misc]
    """Data files end in the digest of what is before it; none is read that another could write."""

    def _read(self, path: str) -> bytes:
        """What a file holds. Raises: FileNotFoundError where there is none that is believed."""
        try:
            return files.read(path)
        except PermissionError as error:
            say_once("doubt", f"machine code in {path} is not loaded: it {error.strerror}")
            raise FileNotFoundError(errno.ENOENT, error.strerror, path) from None

    def _load_index(self) -> Any:
        try:
            file = io.BytesIO(self._read(self._index_path))
        except FileNotFoundError:
            return {}
        if pickle.load(file) != self._version:
            return {}
        stamp, overloads = pickle.load(file)
        return overloads if stamp == self._source_stamp else {}

    @contextmanager
    def _open_for_write(self, path: str) -> Iterator[io.BytesIO]:
        buffer = io.BytesIO()
        yield buffer
        files.write(path, buffer.getvalue(), files.PRIVATE)

    def _dump(self, content: Any) -> bytes:
        data: bytes = super()._dump(content)
        return data + hashlib.sha256(data).digest()

    def _load_data(self, name: str) -> Any:
        data = self._read(self._data_path(name))
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
