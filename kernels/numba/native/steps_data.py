"""Steps that bring a batch's rows in, keep its account, and collect results."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import updates
from ..jit import jit
from .machine import (
    arrive,
    bytes_at,
    call,
    call_mpi,
    doubles,
    give_way,
    integers,
    line,
    load_atomic,
    pause,
    pointer,
    real,
    register_jitable,
    singles,
    store_atomic,
    unsigned,
    words,
)
from .slots import (
    CALL,
    COLUMNS,
    COMMUNICATOR,
    DATATYPE,
    FAILED,
    FAULT,
    HOSTS,
    IN_PLACE,
    LOOKS,
    LOST,
    MEETING,
    MOST_BYTES,
    NUMBER,
    OPERATION,
    ORDER,
    PARTS,
    PHASE,
    PIECE,
    PIECES,
    RANK,
    RANKS,
    RATE,
    REDUCTION,
    RESULTS,
    ROW,
    ROW_WEIGHTS,
    SEED,
    STEP,
    STOP,
    STOPPED,
    SUMS,
    TRACE,
    WEIGHT,
    WEIGHT_SUM,
    Like,
    Record,
)
from .steps import step

BLOCK = 2048  # numbers of a sum that stay in the nearest cache


@step
def load(a: Record, like: Like) -> None:
    """This share's rows of a column: gathered in the order of the run, or read where they lie.

    0 now, 1 control, 2 column, 3 words a row, 4 buffer, 5 first row, 6 rows, 7 gather always,
    8 patches, 9 number of patches. A patch is the address of a slot that other steps read the
    column's address from, and the offset that goes there.
    """
    now, control = integers(a[0]), integers(a[1])
    base, order, width = control[COLUMNS + 2 * a[2]], control[COLUMNS + 2 * a[2] + 1], a[3]
    first, rows = a[5], a[6]
    address = base + 4 * width * now[ROW]
    if order != 0 or a[7] != 0:
        address = a[4]
        numbers = words(order + 4 * (now[ROW] + first))
        target = a[4] + 4 * width * first
        for i in range(rows):
            row = numbers[i] if order != 0 else now[ROW] + first + i
            source = base + 4 * width * row
            if width == 1:
                words(target)[i] = words(source)[0]
            elif width == 2:
                integers(target)[i] = integers(source)[0]
            else:
                copy_words(words(source), words(target + 4 * width * i), width)
    patches = integers(a[8])
    for i in range(a[9]):
        integers(patches[2 * i])[0] = address + patches[2 * i + 1]


@jit
def copy_words(source: Any, target: Any, count: int) -> None:
    """Copies 32-bit words."""
    for i in range(count):
        target[i] = source[i]


@step
def load_weights(a: Record, like: Like) -> None:
    """The weights of the batch's rows over their sum; the sum goes to the control record.

    0 now, 1 control, 2 rows, 3 target.
    """
    now, control = integers(a[0]), integers(a[1])
    given, order, first = doubles(control[ROW_WEIGHTS]), control[ORDER], now[ROW]
    target = pointer(a[3], like)
    if control[PARTS] != 0:  # of several processes, of whose rows these are some
        part = doubles(control[PARTS] + 24 * now[NUMBER])
        total, share = part[0], part[1]
    else:
        total = 0.0
        for i in range(a[2]):
            total += given[words(order)[first + i] if order != 0 else first + i]
        share = 1.0 / total if total > 0.0 else 0.0
    for i in range(a[2]):
        target[i] = share * given[words(order)[first + i] if order != 0 else first + i]
    doubles(a[1])[WEIGHT] = total


@step
def account(a: Record, like: Like) -> None:
    """Adds the batch's values to the sums; asks for a stop where a watched one is not finite.

    Where there is a trace, each step's values go there too, behind the step's weight.

    0 now, 1 control, 2 number of sums, 3 a bit for each that is watched, 4... their addresses.
    """
    now, control, numbers = integers(a[0]), integers(a[1]), doubles(a[1])
    finite = True
    numbers[WEIGHT_SUM] += numbers[WEIGHT]
    trace = control[TRACE]
    if trace != 0:
        trace += 8 * (a[2] + 1) * now[NUMBER]
        doubles(trace)[0] = numbers[WEIGHT]
    for i in range(a[2]):
        value = np.float64(pointer(a[4 + i], like)[0])
        numbers[SUMS + i] += value * numbers[WEIGHT]
        if trace != 0:
            doubles(trace)[1 + i] = value
        if (a[3] >> i) & 1 != 0 and not abs(value) < np.inf:
            finite = False
    if not finite and control[PARTS] != 0:
        control[LOST] = 1  # `all_reduce` tells the other processes
    elif not finite and control[STOP] == 0:
        control[STOP] = 2 * now[NUMBER] + 1
        control[FAILED] = now[NUMBER]


@step
def all_reduce(a: Record, like: Like) -> None:
    """Makes the sum of the gradients of all processes; not finite, where a loss is not.

    0 control, 1 gradient, 2 how many, 3 out, which may be the gradient, and is where this host's
    processes share no memory, 4 whether each process here needs but its own part of the sum until
    `agree`. Nothing is copied where both are in that memory.
    """
    control, width = integers(a[0]), line(a[1], 1, like).itemsize
    sums = integers(control[REDUCTION])
    if control[LOST] != 0:
        pointer(a[1], like)[0] = np.nan
    if sums[RANKS] == 1 and sums[HOSTS] == 1:
        return
    each, fault = (sums[PIECE] if sums[PIECE] != 0 else sums[MOST_BYTES]) // width, 0
    for first in range(0, a[2], each):
        place, out, count = a[1] + first * width, a[3] + first * width, min(each, a[2] - first)
        if sums[PIECE] != 0:
            fault = add_on_host(sums, place, out, count, a[4] != 0, like)
        else:
            fault = add_over_mpi(sums, out, count, like)
        if fault != 0:
            control[FAULT] = fault
            pointer(a[3], like)[0] = np.nan  # which ends the run
            break


@register_jitable
def add_over_mpi(sums: Any, place: int, count: int, like: Like) -> int:
    """Has MPI make some numbers the sum of those of all processes; what it answers."""
    width = line(place, 1, like).itemsize
    each, fault = sums[MOST_BYTES] // width, 0
    for first in range(0, count, each):
        if fault == 0:
            fault = call_mpi(
                sums[CALL], sums[IN_PLACE], place + first * width, min(each, count - first),
                sums[DATATYPE], sums[OPERATION], sums[COMMUNICATOR],
            )  # fmt: skip
    return fault


@register_jitable
def meet(sums: Any) -> None:
    """Returns when all processes of this host have come here.

    Where there are more processes than cores, who waits keeps others from coming.
    """
    phase, looked = arrive(sums[MEETING], sums[RANKS]), 0
    while phase >= 0 and load_atomic(sums[MEETING] + 8 * PHASE) == phase:
        looked += 1
        if looked <= sums[LOOKS]:
            pause()
        else:
            give_way()


@register_jitable
def add_on_host(
    sums: Any, place: int, out: int, count: int, parted: bool, like: Like
) -> int:  # fmt: skip
    """Makes the sum of some numbers of all processes, through memory that those here share.

    Each process adds up its part of what all here have there, in the order of their ranks; the
    first one adds what other hosts have. parted: who goes on needs no other's part of it yet.
    """
    rank, ranks, width = sums[RANK], sums[RANKS], line(place, 1, like).itemsize
    own, result = sums[PIECES] + sums[PIECE] * rank, sums[PIECES] + sums[PIECE] * ranks
    if place != own:
        updates.copy(line(place, count, like), line(own, count, like))
    meet(sums)
    part = -(-count // (16 * ranks)) * 16  # whole cache lines; `parts.own` says the same
    stop = min((rank + 1) * part, count)
    for start in range(rank * part, stop, BLOCK):
        size, first = min(BLOCK, stop - start), sums[PIECES] + width * start
        total = line(result + width * start, size, like)
        updates.copy(line(first, size, like), total)
        for other in range(1, ranks):
            updates.add(line(first + sums[PIECE] * other, size, like), total)
    fault = 0
    if sums[HOSTS] > 1 or not parted:
        meet(sums)
    if sums[HOSTS] > 1:
        if rank == 0:
            fault = add_over_mpi(sums, result, count, like)
        meet(sums)
    if out != result:
        updates.copy(line(result, count, like), line(out, count, like))
    return fault


@step
def guard(a: Record, like: Like) -> None:
    """Asks for a stop before an update that would leave the finite numbers.

    0 now, 1 control, 2 gradients or parameters, 3 how many, 4 the norm they may not reach at rates
    up to 1.
    """
    now, control = integers(a[0]), integers(a[1])
    limit = np.float64(real(a[4], like)) / max(1.0, doubles(a[0])[RATE])
    fine = updates.squares_below(line(a[2], a[3], like), limit * limit)
    if not fine and control[STOP] == 0:
        control[STOP] = 2 * now[NUMBER] + 2
        control[FAILED] = now[NUMBER]


@step
def agree(a: Record, like: Like) -> None:
    """Waits for all processes of this host, and asks for a stop where one of them has.

    0 now, 1 control.
    """
    now, control = integers(a[0]), integers(a[1])
    sums = integers(control[REDUCTION])
    stopped, phase = sums[MEETING] + 8 * STOPPED, load_atomic(sums[MEETING] + 8 * PHASE)
    if control[STOP] != 0:
        store_atomic(stopped, phase + 1)  # no other phase's: nobody has to take it back
    meet(sums)
    if load_atomic(stopped) == phase + 1 and control[STOP] == 0:
        control[STOP] = 2 * now[NUMBER] + 2
        control[FAILED] = now[NUMBER]


@step
def await_updates(a: Record, like: Like) -> None:
    """Returns when all processes of this host have updated their parts. 0 control."""
    control = integers(a[0])
    meet(integers(control[REDUCTION]))


@step
def store_rows(a: Record, like: Like) -> None:
    """Copies a value's rows to where a run collects them.

    0 now, 1 control, 2 result, 3 words a row, 4 source, 5 first row, 6 rows.
    """
    now, control = integers(a[0]), integers(a[1])
    target = control[RESULTS + a[2]] + 4 * a[3] * (now[ROW] + a[5])
    copy_words(words(a[4] + 4 * a[3] * a[5]), words(target), a[3] * a[6])


@step
def fill(a: Record, like: Like) -> None:
    """One number everywhere. 0 where it stands, 1 how many, 2 out."""
    value, out = pointer(a[0], like)[0], pointer(a[2], like)
    for i in range(a[1]):
        out[i] = value


@step
def copy(a: Record, like: Like) -> None:
    """0 source, 1 words, 2 target."""
    copy_words(words(a[0]), words(a[2]), a[1])


@step
def clear(a: Record, like: Like) -> None:
    """0 memory, 1 bytes that become zero."""
    out = bytes_at(a[0])
    for i in range(a[1]):
        out[i] = 0


# Numbers of any dtype: which one a record says by its place here.
NUMBERS = ("int32", "int64", "uint32", "float32", "float64")


@jit
def whole(address: int, kind: int, i: int) -> Any:
    """Element i of an array of NUMBERS[kind], as int64."""
    if kind == 0:
        return np.int64(words(address)[i])
    if kind == 1:
        return integers(address)[i]
    if kind == 2:
        return np.int64(unsigned(address)[i])
    return np.int64(singles(address)[i]) if kind == 3 else np.int64(doubles(address)[i])


@jit
def fraction(address: int, kind: int) -> Any:
    """The number of NUMBERS[kind] that stands there, as float64."""
    if kind == 4:
        return doubles(address)[0]
    return np.float64(singles(address)[0]) if kind == 3 else np.float64(whole(address, kind, 0))


@step
def numbers(a: Record, like: Like) -> None:
    """A now-record and a control record for steps whose host numbers a program computes.

    0 now, 1 control, of which the seed alone is set; 2 learning rate or 0, 3 its dtype; 4 step or
    0, 5 its dtype, 6 what is added to it; 7 seed or 0, 8 its dtype.
    """
    if a[2] != 0:
        doubles(a[0])[RATE] = fraction(a[2], a[3])
    if a[4] != 0:
        integers(a[0])[STEP] = whole(a[4], a[5], 0) + a[6]
    if a[7] != 0:
        integers(a[1])[SEED] = whole(a[7], a[8], 0)


@step
def repeat(a: Record, like: Like) -> None:
    """A step for each of many matrices, whose addresses in its record move on.

    0 the step, 1 slots of its record, 2 memory for one, 3 first, 4 behind the last, 5 how many
    axes, 6 how many slots move. Then the length of each axis; for each slot that moves, which it is
    and its bytes along each axis; the record of the first.
    """
    axes, moving, record = a[5], a[6], integers(a[2])
    moves = 7 + axes
    own = moves + moving * (1 + axes)
    for number in range(a[3], a[4]):
        for slot in range(a[1]):
            record[slot] = a[own + slot]
        for m in range(moving):
            at, rest, offset = moves + m * (1 + axes), number, 0
            for axis in range(axes - 1, -1, -1):
                offset += rest % a[7 + axis] * a[at + 1 + axis]
                rest //= a[7 + axis]
            record[a[at]] += offset
        call(a[0], a[2])
