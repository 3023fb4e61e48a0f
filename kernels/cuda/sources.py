"""The sources of the kernels, and what each of their kernels takes, read from the sources."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from . import activations
from .expressions import TYPES

FILES = (
    "layers", "reductions", "rows", "losses", "indices", "dropout", "updates", "segments",
    "control", "rounding", "naive",
)  # fmt: skip
HERE = Path(__file__).parent
_KERNEL = re.compile(
    r'extern "C" __global__ void\s+(?:__launch_bounds__\((\d+)\)\s+)?(\w+)\(([^)]*)\)'
)
_PARAMETER = re.compile(r"(const )?([\w ]+?)(\*?) (\w+)")


@dataclass(frozen=True)
class Parameter:
    """What a kernel takes in one place: a number, or the address of numbers of a type.

    constant: whether they are only read.
    """

    name: str
    type: str
    pointer: bool
    constant: bool

    @property
    def declared(self) -> str:
        """How C++ says its type."""
        return f"{'const ' * self.constant}{self.type}{'*' * self.pointer}"


@dataclass(frozen=True)
class Entry:
    """A kernel: its name, what it takes, and the most threads that a block of it may have."""

    name: str
    parameters: tuple[Parameter, ...]
    threads: int


@dataclass(frozen=True)
class Source:
    """CUDA C++ that is compiled as one module, with the kernels in it.

    name: of the file, for a compiler's messages. dtype: what `real` is. text: what follows on
    `common.cuh`. written_down: whether its kernels are functions that one block calls.
    """

    name: str
    dtype: str
    text: str
    written_down: bool = False

    @property
    def code(self) -> str:
        """All that is compiled."""
        return f'{common()}#line 1 "{self.name}.cu"\n{self.text}'

    @property
    def options(self) -> tuple[str, ...]:
        """What the compiler is told."""
        found = ("-std=c++17", f"-DREAL={TYPES[self.dtype]}")
        return (*found, "-DWRITTEN_DOWN") if self.written_down else found

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The kernels, by name."""
        return {entry.name: entry for entry in entries(self.text)}


def entries(text: str) -> list[Entry]:
    """The kernels in a text, in order."""
    found = []
    for threads, name, listed in _KERNEL.findall(text):
        parameters = []
        for one in re.sub(r"\s+", " ", listed).split(", "):
            match = _PARAMETER.fullmatch(one.strip())
            if match is None:
                raise ValueError(f"{name}: the parameter {one!r} cannot be read")
            parameters.append(Parameter(match[4], match[2], match[3] == "*", match[1] is not None))
        found.append(Entry(name, tuple(parameters), int(threads or 1024)))
    return found


@cache
def common() -> str:
    """What every source begins with."""
    return (HERE / "common.cuh").read_text()


@cache
def source(file: str, dtype: str) -> Source:
    """One of the files for a dtype; those that use activations have them written before."""
    text = (HERE / f"{file}.cu").read_text()
    if "activate(" in text:
        text = f'{activations.code(dtype)}#line 1 "{file}.cu"\n{text}'
    return Source(file, dtype, text)


@cache
def file_of(kernel: str) -> str:
    """The file in which a kernel is. Raises: LookupError."""
    for file in FILES:
        if kernel in source(file, "float32").entries:
            return file
    raise LookupError(f"there is no CUDA kernel {kernel!r}")
