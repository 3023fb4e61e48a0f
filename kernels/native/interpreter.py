"""The loop of steps: what runs a whole epoch in one call, on one thread or in step with others.

A program is cut into stretches at the points where one worker reads what another wrote. Each
stretch has a list of entries (address of a step, address of its record) for every share of the
work. There may be more shares than threads: a thread then runs several, one after the other, and
the numbers are the same as if each had a thread of its own.
"""

from __future__ import annotations

from ..jit import jit
from .machine import (
    add_atomic,
    call,
    doubles,
    flush_subnormals,
    give_way,
    integers,
    load_atomic,
    pause,
    restore,
    store_atomic,
    ticks,
)
from .steps import (
    BARRIER,
    CURSOR,
    FIRST_STEP,
    NOW_SLOTS,
    NUMBER,
    PHASE,
    RATE,
    RATES,
    ROW,
    ROWS,
    STEP,
    STEPS,
    STOP,
    TOTAL,
)

# Slots of a program.
THREADS, SHARES, STRETCHES, STARTS, ENTRIES, NOWS, CHECK, GUARD, TICKS = range(9)
PROGRAM_SLOTS = 9
SPINS = 2000  # looks at the barrier before the core is given away: some ten microseconds


@jit
def wait(control: int, threads: int) -> None:
    """Returns when all threads have come here."""
    phase = load_atomic(control + 8 * PHASE)
    if add_atomic(control + 8 * BARRIER, 1) == threads - 1:
        store_atomic(control + 8 * BARRIER, 0)
        store_atomic(control + 8 * PHASE, phase + 1)
        return
    spins = 0
    while load_atomic(control + 8 * PHASE) == phase:
        spins += 1
        if spins > SPINS:
            give_way()
        else:
            pause()


def run(control: int, program: int, thread: int) -> None:
    """All steps of a run; the threads of one run enter it together."""
    c, p = integers(control), integers(program)
    threads, shares, stretches = p[THREADS], p[SHARES], p[STRETCHES]
    starts, entries = integers(p[STARTS]), integers(p[ENTRIES])
    check, guard = p[CHECK], p[GUARD]  # the stretches that may ask for a stop: loss, gradient
    clock = p[TICKS]  # where each entry's time is added up, or 0
    mode = flush_subnormals()
    for number in range(c[STEPS]):
        for share in range(thread, shares, threads):
            now = p[NOWS] + 8 * NOW_SLOTS * share
            integers(now)[NUMBER] = number
            row = c[CURSOR] + number * c[ROWS]
            integers(now)[ROW] = row % c[TOTAL] if c[TOTAL] != 0 else row
            integers(now)[STEP] = c[FIRST_STEP] + number + 1
            if c[RATES] != 0:
                doubles(now)[RATE] = doubles(c[RATES])[number]
        stopped = False
        for stretch in range(stretches):
            for share in range(thread, shares, threads):
                at = share * (stretches + 1) + stretch
                if clock == 0:
                    for entry in range(starts[at], starts[at + 1]):
                        call(entries[2 * entry], entries[2 * entry + 1])
                    continue
                for entry in range(starts[at], starts[at + 1]):
                    begun = ticks()
                    call(entries[2 * entry], entries[2 * entry + 1])
                    integers(clock)[entry] += ticks() - begun
            if threads > 1:
                wait(control, threads)
            if stretch in (check, guard):
                # A thread may come here late, when another has asked for a stop further on.
                last = 2 * number + (2 if stretch == guard else 1)
                if 0 < load_atomic(control + 8 * STOP) <= last:
                    stopped = True
                    break
        if stopped:
            break
    restore(mode)
