"""What generated functions are made of: slots of a record, loops, loads and stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from ..spec import ITEMSIZE
from .lanes import I8, I32, I64, TYPES, Lanes, Writer

NEAREST = 3  # of LLVM's localities: into every cache
STORED = {**TYPES, "bool": I8}
_LETTERS = {ir.FloatType(): "f32", ir.DoubleType(): "f64"}


class Function:
    """A native step that is being written: it takes a record and a null pointer.

    Its code is written by what is called on it, one thing after the other, up to `end`.
    """

    def __init__(self, module: Any, name: str) -> None:
        kinds = [I64.as_pointer(), I8.as_pointer()]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        self.entry = function.append_basic_block("entry")
        self.start = function.append_basic_block("start")
        self.builder = ir.IRBuilder(self.start)
        self.writer = Writer(self.builder)
        self.record = function.args[0]
        self.variables: dict[Any, Any] = {}

    def end(self) -> None:
        """Ends the function."""
        self.builder.ret_void()
        self.builder.position_at_end(self.entry)
        self.builder.branch(self.start)

    def slot(self, number: int) -> Any:
        """A slot of the record."""
        return self.builder.load(self.builder.gep(self.record, [I64(number)]))

    def variable(self, key: Any, kind: Any, first: Any = None) -> Any:
        """A variable of the whole call, made at its start."""
        if key not in self.variables:
            b, here = self.builder, self.builder.block
            b.position_at_end(self.entry)
            made = b.alloca(kind)
            if first is not None:
                b.store(first, made)
            b.position_at_end(here)
            self.variables[key] = made
        return self.variables[key]

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int) -> Iterator[Any]:
        """Code that is run for start, start + step, ... below stop."""
        b = self.builder
        before, head = b.block, b.append_basic_block("loop")
        body, after = b.append_basic_block("body"), b.append_basic_block("after")
        b.branch(head)
        b.position_at_end(head)
        at = b.phi(I64)
        at.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", at, stop), body, after)
        b.position_at_end(body)
        yield at
        at.add_incoming(b.add(at, I64(step)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def pointer(self, address: Any, elements: Any, dtype: str, width: int = 1) -> Any:
        """Where an element lies, for so many of them."""
        b, stored = self.builder, STORED[dtype]
        place = b.inttoptr(
            b.add(address, b.mul(elements, I64(ITEMSIZE[dtype]))), stored.as_pointer()
        )
        return place if width == 1 else b.bitcast(place, ir.VectorType(stored, width).as_pointer())

    def load(self, address: Any, elements: Any, dtype: str, width: int, mask: Any = None) -> Lanes:
        """Numbers of memory, in order; 0 where the mask is off."""
        b, stored = self.builder, STORED[dtype]
        place = self.pointer(address, elements, dtype, width)
        kind = stored if width == 1 else ir.VectorType(stored, width)
        if mask is None or width == 1:
            got = b.load(place, align=ITEMSIZE[dtype])
        else:
            arguments = [place, I32(ITEMSIZE[dtype]), mask, ir.Constant(kind, None)]
            got = self.writer.call(
                f"llvm.masked.load.{_suffix(stored, width)}.p0", kind, *arguments
            )
        if dtype == "bool":
            got = b.icmp_unsigned("!=", got, ir.Constant(kind, None if width > 1 else 0))
        return Lanes(self.writer, got, dtype, width)

    def store(
        self, value: Lanes, address: Any, elements: Any, mask: Any = None, past: bool = False
    ) -> None:
        """Numbers into memory, in order, where the mask is on. past: not through the caches."""
        b, stored, width = self.builder, STORED[value.dtype], value.width
        place = self.pointer(address, elements, value.dtype, width)
        given = value.ir
        if value.dtype == "bool":
            given = b.zext(given, stored if width == 1 else ir.VectorType(stored, width))
        if mask is None or width == 1:
            made = b.store(given, place, align=ITEMSIZE[value.dtype] * (width if past else 1))
            if past:
                made.set_metadata("nontemporal", b.module.add_metadata([I32(1)]))
            return
        name = f"llvm.masked.store.{_suffix(stored, width)}.p0"
        self.writer.call(name, ir.VoidType(), given, place, I32(ITEMSIZE[value.dtype]), mask)

    def fetch(self, address: Any, elements: Any, dtype: str) -> None:
        """Asks memory for the line of an element, which may lie behind the end: nobody waits."""
        b = self.builder
        place = b.bitcast(self.pointer(address, elements, dtype), I8.as_pointer())
        arguments = [place, I32(0), I32(NEAREST), I32(1)]  # to be read; data, not code
        self.writer.call("llvm.prefetch.p0", ir.VoidType(), *arguments)

    def settle(self) -> None:
        """Waits until what went past the caches can be seen by all cores."""
        self.builder.fence("seq_cst")

    def below(self, limit: Any, width: int) -> Any:
        """A mask: the lanes whose numbers are below a limit."""
        return (self.writer.count("int64", width) < self.writer.spread(limit, "int64", width)).ir


def _suffix(stored: Any, width: int) -> str:
    return f"v{width}{_LETTERS.get(stored) or f'i{stored.width}'}"
