"""Libraries of machine code kept on disk, and loaded without what types and lowers functions.

Numba's cache of functions makes all of its rules ready before it loads one, which takes longer than
a small training. What is kept here is found by a name and gives an address, no more.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any, NamedTuple

from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from . import files
from .cache import DiskCache, disk_cache, say_once, sources


class Kept(NamedTuple):
    """Machine code in memory: what holds it, and the address of its entry."""

    library: Any
    address: int


def folder() -> Path | None:
    """Where code is kept; None where nothing can be."""
    found = disk_cache(folder)
    return Path(found._cache_file._cache_path) if isinstance(found, DiskCache) else None


def _stamp() -> bytes:
    """Of what code depends on beside its own text: sources, compiler, processor."""
    codegen = cpu_target.target_context.codegen()
    text = repr((sources(), codegen.magic_tuple()))
    return hashlib.sha256(text.encode()).digest()


def _file(name: str) -> Path | None:
    found = folder()
    return None if found is None else found / f"{name}.code"


def read(name: str) -> Kept | None:
    """The code of a name, if it is on disk, whole, and made from these sources."""
    path = _file(name)
    if path is None:
        return None
    try:
        content = files.read(str(path))
    except PermissionError as error:
        say_once("doubt", f"machine code in {path} is not loaded: it {error.strerror}")
        return None
    except OSError:
        return None
    stamp, check, state = content[:32], content[32:64], content[64:]
    if stamp != _stamp():
        return None
    if hashlib.sha256(state).digest() != check:
        say_once("read", f"machine code in {path} is damaged: compiled anew")
        return None
    entry, called, code = pickle.loads(state)
    context = cpu_target.target_context
    with global_compiler_lock:
        rtsys.initialize(context)
        if not all(map(binding.address_of_symbol, called)):
            context.refresh()  # the linker would end the process
        library = context.codegen().unserialize_library(code)
        return Kept(library, library.get_pointer_to_function(entry))


def write(name: str, library: Any, entry: str) -> Kept:
    """Keeps a library that was compiled. entry: the function that is called."""
    path = _file(name)
    with global_compiler_lock:
        made = Kept(library, library.get_pointer_to_function(entry))
        if path is None or library.has_dynamic_globals:  # addresses of this process
            return made
        functions = [one for one in library._final_module.functions if one.is_declaration]
        called = [one.name for one in functions if not one.name.startswith("llvm.")]
        state = pickle.dumps((entry, called, library.serialize_using_object_code()))
    try:
        content = _stamp() + hashlib.sha256(state).digest() + state
        files.write(str(path), content, files.PRIVATE)
    except OSError as error:
        say_once("write", f"machine code cannot be kept on disk ({error}): compiled each time")
    return made
