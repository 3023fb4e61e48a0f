"""Arrays larger than the caches: written past them, not read first, where that pays.

A plain store reads the line that it is about to overwrite. So large arrays can be worked on in
pieces that fit the nearest cache, which are sent to memory with non-temporal stores. Measured on 32
MiB (Xeon, 2026-11): tanh 22 to 8 ms, the derivative of the sigmoid 6.4 to 4.7, of 3.6 that a copy
of as many bytes takes. On AMD's it is the other way round: tanh 4.9 in pieces, 3.9 without (EPYC
7003), 3.3 and 2.1 (EPYC 9004); the sigmoid's derivative 4.1 and 4.3, 4.1 and 3.6. Whoever calls
says whether it pays here: `kernels/thresholds.py`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types

from .jit import jit

intrinsic: Any = extending.intrinsic

LARGE = 8 * 2**20  # bytes of an array that is not expected to be in a cache when it is read next
PIECE = 4096  # elements of a piece: 16 or 32 KiB
LINE = 64

_I32, _I64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def _send_line(context: Any, source: Any, target: Any) -> Any:
    """Copies a line past the caches; the target starts at a multiple of LINE."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = ir.VectorType(_I64, LINE // 8).as_pointer()
        line = builder.load(builder.inttoptr(args[0], at), align=4)
        sent = builder.store(line, builder.inttoptr(args[1], at), align=LINE)
        sent.set_metadata("nontemporal", builder.module.add_metadata([_I32(1)]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def settle(context: Any) -> Any:
    """Makes what was sent visible to other threads, as a plain store is."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), build


@jit
def large(out: Any) -> bool:
    """Whether an array is larger than the caches."""
    return out.size * out.itemsize >= LARGE  # type: ignore[no-any-return]


@jit
def send(piece: Any, out: Any) -> None:
    """out = piece, of the same size, past the caches."""
    address, size = out.ctypes.data, out.itemsize
    before = min(out.size, (-address % LINE) // size)
    for i in range(before):
        out[i] = piece[i]
    source, target = piece.ctypes.data + before * size, address + before * size
    lines = (out.size - before) * size // LINE
    for line in range(lines):
        _send_line(source + line * LINE, target + line * LINE)
    for i in range(before + lines * LINE // size, out.size):
        out[i] = piece[i]
