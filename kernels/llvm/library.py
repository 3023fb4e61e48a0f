"""Generated code made ready: compiled, kept on disk under its name, found by its address."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from .. import files
from ..cache import DiskCache, disk_cache, say_once, sources
from ..compilation import compiling


class Code(Protocol):
    """What code is written from: data that can be told apart and has a name."""

    @property
    def name(self) -> str:
        """Letters and digits that say all of it."""

    def write(self, module: Any) -> None:
        """Adds a function to a module, under the name."""

    def __hash__(self) -> int: ...


_lock = threading.Lock()
_made: dict[str, tuple[Any, int]] = {}  # name -> what holds the code, its address


class _Library(JITCodeLibrary):  # type: ignore[misc]
    """Code that needs little from the optimizer: vectors are written as such, sums as they stay.

    Numba's own passes would take five times as long, for code that is as fast.
    """

    def _optimize_functions(self, module: Any) -> None:
        """Left to the passes over the whole."""

    def _optimize_final_module(self) -> None:
        passes = binding.create_new_module_pass_manager()
        passes.add_sroa_pass()  # variables into registers
        passes.add_loop_rotate_pass()
        passes.add_simplify_cfg_pass()
        passes.add_instruction_combine_pass()
        tuning = binding.create_pipeline_tuning_options(speed_level=2)
        builder = binding.create_pass_builder(self._codegen._tm, tuning)
        passes.run(self._final_module, builder)


def _folder() -> Path | None:
    """Where code is kept; None where nothing can be."""
    found = disk_cache(_folder)
    return Path(found._cache_file._cache_path) if isinstance(found, DiskCache) else None


def _stamp() -> bytes:
    """Of what code depends on beside its own text: sources, compiler, processor."""
    codegen = cpu_target.target_context.codegen()
    text = repr((sources(), codegen.magic_tuple()))
    return hashlib.sha256(text.encode()).digest()


def _file(one: Code) -> Path | None:
    folder = _folder()
    return None if folder is None else folder / f"{one.name}.code"


def _read(one: Code) -> Any:
    """The library that is kept on disk, or None."""
    path = _file(one)
    if path is None:
        return None
    try:
        content = files.read(str(path))
    except OSError:
        return None
    stamp, check, state = content[:32], content[32:64], content[64:]
    if stamp != _stamp():
        return None
    if hashlib.sha256(state).digest() != check:
        say_once("read", f"machine code in {path} is damaged: compiled anew")
        return None
    return cpu_target.target_context.codegen().unserialize_library(pickle.loads(state))


def _write(one: Code, library: Any) -> None:
    path = _file(one)
    if path is None:
        return
    state = pickle.dumps(library.serialize_using_object_code())
    try:
        content = _stamp() + hashlib.sha256(state).digest() + state
        files.write(str(path), content, files.PRIVATE)
    except OSError as error:
        say_once("write", f"machine code cannot be kept on disk ({error}): compiled each time")


def _compile(one: Code) -> Any:
    with compiling("a chain of operations"), global_compiler_lock:
        codegen = cpu_target.target_context.codegen()
        library = _Library(codegen, one.name)
        library.enable_object_caching()
        module = library.create_ir_module(one.name)
        one.write(module)
        library.add_ir_module(module)
        library.finalize()
    return library


def address(one: Code) -> int:
    """The address of a chain's code, which is compiled where it is not on disk."""
    with _lock:
        if one.name not in _made:
            library = _read(one)
            if library is None:
                library = _compile(one)
                _write(one, library)
            _made[one.name] = library, library.get_pointer_to_function(one.name)
        return _made[one.name][1]


def prepare(wanted: Iterable[Code]) -> None:
    """Makes code ready."""
    for one in wanted:
        address(one)
