"""Generated code called by itself, without a program: a record is filled in by hand."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from lamina.kernels.chain import Chain, Operand, Statement
from lamina.kernels.llvm import library
from lamina.kernels.llvm.code import Chained
from lamina.kernels.llvm.flat import wide_of
from lamina.kernels.memory import address, aligned
from lamina.kernels.spec import Extent

MARK = 7  # before and after results


def call(one: Any, record: Sequence[int]) -> None:
    """Runs code with a record."""
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.address(one))
    slots = np.array(record, dtype=np.int64)
    function(slots.ctypes.data, None)


def run(chain: Chain, rows: int, columns: int, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a chain; each lies between lines that must stay as they are."""
    code = Chained(chain)
    given = [np.ascontiguousarray(x) for x in inputs]
    results = []
    for at in chain.outputs:
        made = chain.operands[at]
        count = {"full": rows * columns, "row": rows, "column": columns, "scalar": 1}[made.extent]
        wide = chain.summed(at) and made.extent == "scalar"
        dtype = made.dtype
        if wide:
            dtype = wide_of(chain.operands[chain.makers[at].inputs[0]].dtype)
        whole = aligned(count + 128, dtype)
        whole[...] = MARK
        results.append((whole, whole[64 : 64 + count]))
    memory = aligned(max(1, code.scratch(columns) // 8), "int64")
    places = [address(x) for x in given] + [address(part) for _, part in results]
    call(code, [rows, columns, address(memory), *places])
    for whole, part in results:
        assert (whole[:64] == whole.dtype.type(MARK)).all()
        assert (whole[64 + part.size :] == whole.dtype.type(MARK)).all()
    return [part.copy() for _, part in results]


class Builder:
    """A chain that is put together by name.

    >>> chain = Builder("float32")
    >>> x = chain.value("full")
    >>> y = chain.add("exp", x)
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.operands: list[Operand] = []
        self.statements: list[Statement] = []

    def value(self, extent: Extent, dtype: str = "", known: Any = None) -> int:
        """A new operand."""
        self.operands.append(Operand(extent, dtype or self.dtype, known))
        return len(self.operands) - 1

    def add(
        self, op: str, *inputs: int, extent: Extent = "full", dtype: str = "", **attrs: Any
    ) -> int:
        """The result of a statement. dtype: its own; to: the attribute `dtype`."""
        if "to" in attrs:
            attrs["dtype"] = attrs.pop("to")
        made = self.value(extent, dtype)
        self.statements.append(Statement(op, inputs, made, tuple(sorted(attrs.items()))))
        return made

    def built(
        self, inputs: Sequence[int], outputs: Sequence[int], width: int = 0, lanes: int = 0
    ) -> Chain:
        """The chain."""
        most = 64 // np.dtype(self.dtype).itemsize
        return Chain(
            tuple(self.operands), tuple(self.statements), tuple(inputs), tuple(outputs),
            width or most, lanes or most,
        )  # fmt: skip


def mapped(op: str, x: Any, dtype: str, **attrs: Any) -> Any:
    """An operation on the elements of one array."""
    chain = Builder(dtype)
    one = chain.value("full")
    (found,) = run(chain.built([one], [chain.add(op, one, **attrs)]), 1, x.size, [x])
    return found


def norm(dtype: str, width: int = 0, lanes: int = 0) -> Any:
    """A layer norm with its sums down the rows and of everything."""
    chain = Builder(dtype)
    x, scale, shift = chain.value("full"), chain.value("column"), chain.value("column")
    mean = chain.add("mean", x, extent="row", over="columns")
    off = chain.add("subtract", x, mean)
    variance = chain.add("mean", chain.add("multiply", off, off), extent="row", over="columns")
    little = chain.value("scalar", known=1e-5)
    root = chain.add("sqrt", chain.add("add", variance, little, extent="row"), extent="row")
    unit = chain.add("divide", off, root)
    y = chain.add("add", chain.add("multiply", unit, scale), shift)
    most = chain.add("max", y, extent="row", over="columns")
    kept = chain.add("exp", chain.add("subtract", y, most))
    share = chain.add("divide", kept, chain.add("sum", kept, extent="row", over="columns"))
    down = chain.add("sum", share, extent="column", over="rows")
    total = chain.add("sum", y, extent="scalar", over="all")
    roots = chain.add("sum", root, extent="scalar", over="rows")
    return chain.built([x, scale, shift], [y, share, most, down, total, roots], width, lanes)


def normed(x: Any, scale: Any, shift: Any) -> list[Any]:
    """What `norm` makes of arrays."""
    off = x - x.mean(1, keepdims=True)
    root = np.sqrt((off * off).mean(1, keepdims=True) + 1e-5)
    y = off / root * scale + shift
    kept = np.exp(y - y.max(1, keepdims=True))
    share = kept / kept.sum(1, keepdims=True)
    return [y, share, y.max(1), share.sum(0), y.sum(), root.sum()]
