"""Steps that work by number: rows of an array, elements of rows, labels."""

from __future__ import annotations

from typing import Any

from ..jit import jit
from .machine import bytes_at, integers, line, store_atomic, words
from .slots import NUMBER, Like, Record
from .steps import step
from .steps_data import copy_words, whole


@step
def indices(a: Record, like: Like) -> None:
    """Whole numbers as int32. One that is not in [0, limit) is told, and becomes 0: what reads it
    before the run has stopped then stays in its memory.

    0 x, 1 its dtype, see `NUMBERS`, 2 how many, 3 out, 4 whether they are looked at, 5 limit,
    6 now, 7 control record, 8 slot of it: EARLY or LATE, 9 number of the first, 10 what was found:
    whether there is one, its number and its value.
    """
    out, found = words(a[3]), integers(a[10])
    if a[4] != 0:
        found[0] = 0
    for i in range(a[2]):
        value = whole(a[0], a[1], i)
        if a[4] != 0 and not 0 <= value < a[5]:
            if found[0] == 0:
                found[0], found[1], found[2] = 1, a[9] + i, value
                store_atomic(a[7] + 8 * a[8], integers(a[6])[NUMBER] + 1)
            value = 0
        out[i] = value


@jit
def copy_bytes(source: int, target: int, count: int) -> None:
    """Copies so many bytes from one address to another."""
    if count % 4 == 0:
        copy_words(words(source), words(target), count // 4)
        return
    x, out = bytes_at(source), bytes_at(target)
    for i in range(count):
        out[i] = x[i]


@step
def gather_rows(a: Record, like: Like) -> None:
    """0 x, 1 bytes a row, 2 indices, 3 how many, 4 out."""
    chosen = words(a[2])
    for i in range(a[3]):
        copy_bytes(a[0] + a[1] * chosen[i], a[4] + a[1] * i, a[1])


@step
def scatter_rows(a: Record, like: Like) -> None:
    """Some columns of some rows of out: sums of the rows of x with their numbers, in their order.

    0 x, 1 rows of x, 2 columns, 3 indices, 4 out, 5 rows of out, 6 first row, 7 behind the last,
    8 first column, 9 how many; 10 whether they are booleans, of which one is enough.
    """
    x, out = line(a[0], a[1] * a[2], like), line(a[4], a[5] * a[2], like)
    chosen, many = words(a[3]), a[9]
    for i in range(a[6], a[7]):
        clear_row(out[i * a[2] + a[8] :], many)
    for i in range(a[1]):
        at = chosen[i]
        if a[6] <= at < a[7]:
            source, target = x[i * a[2] + a[8] :], out[at * a[2] + a[8] :]
            for j in range(many):
                target[j] += source[j]
            if a[10] != 0:
                for j in range(many):
                    target[j] = min(target[j], 1)


@jit
def clear_row(out: Any, count: int) -> None:
    """Makes the first elements zero."""
    for j in range(count):
        out[j] = 0


@step
def pick(a: Record, like: Like) -> None:
    """One element of each row. 0 x, 1 rows, 2 columns, 3 labels, 4 out, 5 bytes of an element."""
    labels, size = words(a[3]), a[5]
    for i in range(a[1]):
        copy_bytes(a[0] + size * (i * a[2] + labels[i]), a[4] + size * i, size)


@step
def one_hot(a: Record, like: Like) -> None:
    """0 labels, 1 rows, 2 classes, 3 out, 4 bytes of an element, 5 the bits of a one."""
    labels, classes = words(a[0]), a[2]
    for i in range(a[1]):
        row = a[3] + a[4] * classes * i
        if a[4] == 1:
            for j in range(classes):
                bytes_at(row)[j] = 0
            bytes_at(row)[labels[i]] = a[5]
        elif a[4] == 4:
            for j in range(classes):
                words(row)[j] = 0
            words(row)[labels[i]] = a[5]
        else:
            for j in range(classes):
                integers(row)[j] = 0
            integers(row)[labels[i]] = a[5]
