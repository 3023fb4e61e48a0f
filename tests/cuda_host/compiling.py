"""The compiler: found, called once for each text, and its libraries kept."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
FLAGS = ("-std=c++17", "-fPIC", "-fno-strict-aliasing", "-ffp-contract=fast", "-w")
REQUIRED = "LAMINA_REQUIRE_CUDA_GATES"  # set: a missing compiler is a failure, not a skip
MISSING = "no C++ compiler: install g++ (apt install g++) or PyPI's ziglang"


@cache
def compiler() -> tuple[str, ...] | None:
    """The command of a C++ compiler, or None."""
    for told in (os.environ.get("CXX", ""), "g++", "c++", "clang++"):
        command = shlex.split(told)
        if command and shutil.which(command[0]):
            return tuple(command)
    if find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "c++")
    return None


def obstacle() -> str | None:
    """What is missing for sources to be run here, or None."""
    if not sys.platform.startswith("linux"):
        return f"fibers are written for Linux, not for {sys.platform}"
    return None if compiler() else MISSING


@cache
def folder() -> Path:
    """Where libraries are kept, which belongs to this user alone."""
    kept = Path(tempfile.gettempdir()) / f"lamina-cuda-host-{os.getuid()}"
    kept.mkdir(mode=0o700, exist_ok=True)
    if kept.stat().st_uid != os.getuid() or kept.is_symlink():
        raise PermissionError(f"{kept} belongs to somebody else")
    return kept


@cache
def machine() -> tuple[str, ...]:
    """What makes a product and a sum one instruction here, as it is on a GPU."""
    info = Path("/proc/cpuinfo")
    fma = info.exists() and " fma" in info.read_text()
    return ("-mfma",) if fma and platform.machine() in ("x86_64", "AMD64") else ()


@cache
def alignment() -> tuple[str, ...]:
    """What has a compiler look at the address of every access."""
    if "ziglang" not in (compiler() or ()):
        return ("-O1", "-fsanitize=alignment")
    others = (
        "signed-integer-overflow,pointer-overflow,bounds,shift,null,object-size,"
        "float-cast-overflow,integer-divide-by-zero,return,unreachable,vla-bound,bool,enum,"
        "builtin,function,nonnull-attribute,returns-nonnull-attribute"
    )  # zig looks at nothing where it optimizes, and else at everything that is not taken out
    return ("-O0", "-fsanitize=undefined", f"-fno-sanitize={others}")


def library(text: str, *flags: str) -> Path:
    """The shared library of a C++ text, compiled at the first call for it.

    Raises: RuntimeError with the compiler's words.
    """
    command = compiler()
    assert command is not None, MISSING
    every = (*FLAGS, *machine(), *flags, f"-I{HERE}")
    header = (HERE / "device.h").read_text()
    key = repr((command, every, header, text))
    stem = folder() / hashlib.sha256(key.encode()).hexdigest()[:24]
    made = stem.with_suffix(".so")
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder()) as work:
            code, built = Path(work) / "source.cpp", Path(work) / "library.o"
            code.write_text(text)
            _run(*command, *every, "-c", str(code), "-o", str(built))
            shared = Path(work) / "library.so"
            _run(*command, "-shared", str(built), "-o", str(shared))
            shared.replace(made)  # at once: another process may compile the same
    return made


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)


@cache
def engine() -> ctypes.CDLL:
    """What runs blocks of threads; its names are seen by all that is loaded later."""
    text = (HERE / "engine.cpp").read_text()
    return ctypes.CDLL(str(library(text, "-O1")), mode=ctypes.RTLD_GLOBAL)
