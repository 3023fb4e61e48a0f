"""NVIDIA's runtime compiler, as its wheel brings it: no driver and no GPU are needed."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

MISSING = "no NVRTC: pip install nvidia-cuda-nvrtc"


@cache
def library() -> ctypes.CDLL | None:
    """The compiler, or None where its package is not installed."""
    found = find_spec("nvidia")
    places = list(found.submodule_search_locations or ()) if found else []
    return next(filter(None, map(loaded, map(Path, places))), None)


def loaded(place: Path) -> ctypes.CDLL | None:
    """The compiler from a folder of packages; it finds its other half only where that is loaded."""
    for path in sorted(place.glob("*/lib/libnvrtc.so.*")):
        if "alt" not in path.name:
            for other in path.parent.glob("libnvrtc-builtins.so.*"):
                if "alt" not in other.name:
                    ctypes.CDLL(str(other), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
    return None


@dataclass(frozen=True)
class Compiled:
    """What the compiler says: whether it took the text, its log, and the code of a virtual GPU."""

    succeeded: bool
    log: str
    assembly: str

    @property
    def registers(self) -> dict[str, int]:
        """Registers that a thread of each kernel uses."""
        return self._numbers(r"Used (\d+) registers")

    @property
    def spilled(self) -> dict[str, int]:
        """Bytes that a thread of each kernel writes for want of registers."""
        return self._numbers(r"(\d+) bytes spill stores")

    def _numbers(self, pattern: str) -> dict[str, int]:
        parts = re.split(r"Compiling entry function '(\w+)'", self.log)
        pairs = zip(parts[1::2], parts[2::2], strict=True)
        return {name: int(re.search(pattern, text)[1]) for name, text in pairs}  # type: ignore


def compiled(code: str, architecture: str, options: tuple[str, ...]) -> Compiled:
    """Compiles a text for an architecture (sm_90), as CuPy would."""
    nvrtc = library()
    assert nvrtc is not None, MISSING
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    name = ctypes.c_char_p(b"kernels.cu")
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), name, 0, None, None)
    told = [f"-arch={architecture}", *options, "-ftz=true", "--ptxas-options=-v"]
    given = (ctypes.c_char_p * len(told))(*(one.encode() for one in told))
    failed = nvrtc.nvrtcCompileProgram(program, len(told), given)
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, text)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(not failed, log.value.decode(), text.value.decode())


def faults(
    code: str,
    architecture: str,
    options: tuple[str, ...],
    threads: dict[str, int],
    registers: int = 96,
) -> str:
    """What is wrong with a text for an architecture; "" where nothing is.

    threads: the most that a block of each of its kernels has. registers: the most of a thread.
    """
    made = compiled(code, architecture, options)
    if not made.succeeded or "warning" in made.log:
        return made.log
    found = []
    for name, most in threads.items():
        if made.spilled[name]:
            found.append(f"{name} spills {made.spilled[name]} bytes")
        limit = min(registers, 65536 // most)
        if made.registers[name] > limit:
            found.append(f"{name} uses {made.registers[name]} registers of {limit}")
    return "\n".join(found)
