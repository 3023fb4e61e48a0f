"""Generated code made ready: compiled, kept on disk under its name, found by its address."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from .. import kept
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
_made: dict[str, kept.Kept] = {}


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
            found = kept.read(one.name)
            _made[one.name] = found or kept.write(one.name, _compile(one), one.name)
        return _made[one.name].address


def prepare(wanted: Iterable[Code]) -> None:
    """Makes code ready."""
    for one in wanted:
        address(one)
