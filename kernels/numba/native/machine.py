"""What compiled code needs and Numba does not offer: pointers, calls through them, BLAS, a barrier.

All are single instructions or a few of them, built with LLVM's builder. Addresses come in as
integers at run time, never baked into machine code, so the code can be cached on disk.
"""

from __future__ import annotations

import platform
import sys
from typing import Any

from llvmlite import ir
from numba import carray, extending, types
from numba.core import cgutils

from .slots import BARRIER, PHASE

intrinsic: Any = extending.intrinsic  # its type says nothing of what it makes
register_jitable: Any = extending.register_jitable

LINUX = sys.platform == "linux"
X86 = platform.machine().lower() in ("x86_64", "amd64")
FLUSH = 0x8040  # bits of MXCSR: flush results to zero, take subnormal operands for zero

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


@intrinsic
def pointer(context: Any, address: Any, like: Any) -> Any:
    """An integer address as a pointer to the type that `like` points to."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return like(types.int64, like), build


def _pointer_to(kind: Any, what: str) -> Any:
    """An intrinsic: an integer address as a pointer to one type, whatever the dtype."""

    def typed(context: Any, address: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.int64), build

    typed.__doc__ = f"An integer address as a pointer to {what}."
    return intrinsic(typed)


integers = _pointer_to(types.int64, "int64")
words = _pointer_to(types.int32, "int32")
doubles = _pointer_to(types.float64, "float64")
bytes_at = _pointer_to(types.uint8, "booleans")
singles = _pointer_to(types.float32, "float32")
unsigned = _pointer_to(types.uint32, "uint32")


@intrinsic
def real(context: Any, bits: Any, like: Any) -> Any:
    """A float64 that stands as bits in an integer slot, in the type that `like` points to."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = builder.bitcast(args[0], ir.DoubleType())
        single = signature.return_type == types.float32
        return builder.fptrunc(wide, ir.FloatType()) if single else wide

    return like.dtype(types.int64, like), build


@register_jitable
def matrix(address: int, rows: int, columns: int, like: Any) -> Any:
    """Memory at an address as a row-major matrix of what `like` points to."""
    return carray(pointer(address, like), (rows, columns))


@register_jitable
def matrix_words(address: int, rows: int) -> Any:
    """Memory at an address as a column of int32."""
    return carray(words(address), (rows, 1))


@register_jitable
def line(address: int, length: int, like: Any) -> Any:
    """Memory at an address as an array of what `like` points to."""
    return carray(pointer(address, like), (length,))


@intrinsic
def call(context: Any, function: Any, record: Any) -> Any:
    """Calls the step at an address with its record; the second argument says only the dtype."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64.as_pointer(), _I8.as_pointer()])
        target = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(target, [builder.inttoptr(args[1], _I64.as_pointer()), _I8.as_pointer()(None)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


def _blas(scalars: str) -> Any:
    """An intrinsic that calls a Fortran routine: every argument by reference.

    scalars: a letter for each argument: c character code, i integer, r real, p address.
    """

    def typed(context: Any, routine: Any, like: Any, arguments: Any) -> Any:
        kinds = tuple(like.dtype if s == "r" else types.int64 for s in scalars)

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            number = ir.FloatType() if like.dtype == types.float32 else ir.DoubleType()
            given = cgutils.unpack_tuple(builder, args[2], len(scalars))
            passed = []
            for letter, value in zip(scalars, given, strict=True):
                if letter == "p":
                    passed.append(builder.inttoptr(value, _I8.as_pointer()))
                    continue
                if letter == "r":
                    slot = cgutils.alloca_once(builder, number)
                    builder.store(value, slot)
                else:
                    width = _I8 if letter == "c" else _I32
                    slot = cgutils.alloca_once(builder, width)
                    builder.store(builder.trunc(value, width), slot)
                passed.append(builder.bitcast(slot, _I8.as_pointer()))
            kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer()] * len(scalars))
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), passed)
            return context.get_dummy_value()

        return types.void(types.int64, like, types.Tuple(kinds)), build

    return intrinsic(typed)


gemm: Any = _blas("cciiirpipirpi")


@intrinsic
def call_mpi(
    context: Any, function: Any, send: Any, receive: Any, count: Any, datatype: Any, operation: Any,
    communicator: Any,
) -> Any:  # fmt: skip
    """Calls `MPI_Allreduce` at an address; gives its error code.

    Handles are passed as 64 bits: an MPI whose handles are numbers of 32 reads the lower half.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_I32, [_I64] * 6)
        target = builder.inttoptr(args[0], kind.as_pointer())
        return builder.sext(builder.call(target, args[1:]), _I64)

    return types.int64(*[types.int64] * 7), build


@intrinsic
def add_atomic(context: Any, address: Any, amount: Any) -> Any:
    """Adds to the integer at an address, seen by all threads; gives the value before."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.atomic_rmw("add", place, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), build


@intrinsic
def load_atomic(context: Any, address: Any) -> Any:
    """The integer at an address, as other threads have left it."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _I64.as_pointer())
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(types.int64), build


@intrinsic
def store_atomic(context: Any, address: Any, value: Any) -> Any:
    """Sets the integer at an address, for all threads to see."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _I64.as_pointer())
        builder.store_atomic(args[1], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def change_atomic(context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Sets the integer at an address if it is the expected one; whether it was."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], _I64.as_pointer())
        found = builder.cmpxchg(place, args[1], args[2], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), build


@register_jitable
def arrive(control: int, count: int) -> Any:
    """Comes to the barrier at a control record: the phase until whose end to wait, or -1.

    count: of those that meet; the last one lets all go.
    """
    phase = load_atomic(control + 8 * PHASE)
    if add_atomic(control + 8 * BARRIER, 1) < count - 1:
        return phase
    store_atomic(control + 8 * BARRIER, 0)
    store_atomic(control + 8 * PHASE, phase + 1)
    return -1


@intrinsic
def give_way(context: Any) -> Any:
    """Lets another thread have the core."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_I32, [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def this_core(context: Any) -> Any:
    """The number of the core that this thread is on; -1 where nothing tells."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not LINUX:
            return _I64(-1)
        kind = ir.FunctionType(_I32, [])
        function = cgutils.get_or_insert_function(builder.module, kind, "sched_getcpu")
        return builder.sext(builder.call(function, []), _I64)

    return types.int64(), build


@intrinsic
def _affinity(context: Any, set: Any, mask: Any) -> Any:
    """Sets or reads the cores that this thread may use, a mask of MASK_WORDS words."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if LINUX:
            kind = ir.FunctionType(_I32, [_I32, _I64, _I64])
            call = [_I32(0), _I64(8 * MASK_WORDS), args[1]]
            for name, wanted in (("sched_setaffinity", True), ("sched_getaffinity", False)):
                with builder.if_then(builder.icmp_signed("==", args[0], ir.IntType(1)(wanted))):
                    function = cgutils.get_or_insert_function(builder.module, kind, name)
                    builder.call(function, call)
        return context.get_dummy_value()

    return types.void(types.boolean, types.int64), build


MASK_WORDS = 16  # of 64 cores each


@register_jitable
def leave_core(core: int, mask: int) -> None:
    """Moves this thread to another of its cores; it may come back later. mask: MASK_WORDS words."""
    words, bit = integers(mask), 1 << (core % 64)
    for i in range(MASK_WORDS):
        words[i] = 0
    _affinity(False, mask)
    if core < 0 or core >= 64 * MASK_WORDS or words[core // 64] & bit == 0:
        return
    others = 0
    words[core // 64] ^= bit
    for i in range(MASK_WORDS):
        others |= words[i]
    if others != 0:
        _affinity(True, mask)
        words[core // 64] ^= bit
        _affinity(True, mask)


@intrinsic
def pause(context: Any) -> Any:
    """Tells the processor that it is in a waiting loop."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def ticks(context: Any) -> Any:
    """The processor's counter of time, which runs evenly; 0 where it has none."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_I64, [])
        name = "llvm.readcyclecounter"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])

    return types.int64(), build


@intrinsic
def flush_subnormals(context: Any) -> Any:
    """Makes this thread compute without subnormal numbers; gives what `restore` takes.

    Moments of weights without a gradient shrink into the subnormal range and stay there, where
    every operation costs a hundred cycles. Only x86 has it here; elsewhere nothing is changed.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not X86:
            return _I32(0)
        slot = cgutils.alloca_once(builder, _I32)
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer()])
        module, raw = builder.module, builder.bitcast(slot, _I8.as_pointer())
        store = cgutils.get_or_insert_function(module, kind, "llvm.x86.sse.stmxcsr")
        load = cgutils.get_or_insert_function(module, kind, "llvm.x86.sse.ldmxcsr")
        builder.call(store, [raw])
        before = builder.load(slot)
        builder.store(builder.or_(before, _I32(FLUSH)), slot)
        builder.call(load, [raw])
        return before

    return types.int32(), build


@intrinsic
def restore(context: Any, mode: Any) -> Any:
    """Puts back what `flush_subnormals` gave."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if X86:
            slot = cgutils.alloca_once(builder, _I32)
            builder.store(args[0], slot)
            kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer()])
            name = "llvm.x86.sse.ldmxcsr"
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            builder.call(function, [builder.bitcast(slot, _I8.as_pointer())])
        return context.get_dummy_value()

    return types.void(types.int32), build
