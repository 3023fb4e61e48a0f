"""The loop of steps: what runs a whole epoch in one call, on one thread or in step with others.

A program is cut into stretches at the points where one share reads what another wrote. Each
stretch has a list of tasks (address of a step, address of its record) for every share of the
work. There may be more shares than threads: a thread then runs several, one after the other, and
the numbers are the same as if each had a thread of its own.
"""

from __future__ import annotations

from ..jit import jit
from .machine import (
    MASK_WORDS,
    arrive,
    call,
    change_atomic,
    doubles,
    flush_subnormals,
    give_way,
    integers,
    leave_core,
    load_atomic,
    pause,
    restore,
    store_atomic,
    this_core,
    ticks,
)
from .slots import (
    BATCHES,
    CURSOR,
    EARLY,
    FIRST_STEP,
    LATE,
    LEADER,
    NOW_SLOTS,
    NUMBER,
    PHASE,
    RATE,
    RATES,
    READY,
    ROW,
    ROWS,
    STEP,
    STOP,
    TOTAL,
)

# Slots of a program.
# PREPARED: how many of the stretches prepare what stays the same while the parameters do.
THREADS, SHARES, STRETCHES, STARTS, TASKS, NOWS, CHECK, GUARD, PREPARED, TICKS = range(10)
PROGRAM_SLOTS = 10
SPINS = 2000  # looks at the barrier before the core is given away: some ten microseconds

# Slots of a helper's mailbox, a cache line, and the states that stand in the first.
STATE, CONTROL, PROGRAM, THREAD, CORE = range(5)
MASK = 8  # where a mask of cores is made
MAILBOX_SLOTS = MASK + MASK_WORDS
ASLEEP, IDLE, CLAIMED, WORKING = range(4)
IDLE_SPINS = 20_000  # looks before a helper without work falls asleep: some 200 microseconds


@jit
def wait(control: int, threads: int, mailbox: int) -> None:
    """Returns when all threads have come here. mailbox: a helper's; of the leader 0.

    A scheduler can leave two threads on one core while another is idle: each then waits while the
    other one works. The one that has waited in vain moves away.
    """
    phase, spins = arrive(control, threads), 0
    while phase >= 0 and load_atomic(control + 8 * PHASE) == phase:
        spins += 1
        if spins <= SPINS:
            pause()
            continue
        if mailbox == 0:
            integers(control)[LEADER] = this_core()
        elif integers(control)[LEADER] == this_core():
            leave_core(this_core(), mailbox + 8 * MASK)
        give_way()


def serve(mailbox: int) -> None:
    """A helper's time awake: runs what is posted, until nothing comes for a while."""
    p, waited = integers(mailbox), 0
    if p[CORE] == this_core():
        leave_core(p[CORE], mailbox + 8 * MASK)
    store_atomic(mailbox, IDLE)
    while True:
        state = load_atomic(mailbox)
        if state == WORKING:
            if p[CORE] == this_core():
                leave_core(p[CORE], mailbox + 8 * MASK)
            run(p[CONTROL], p[PROGRAM], p[THREAD], mailbox)
            store_atomic(mailbox, IDLE)
            waited = 0
        elif waited < IDLE_SPINS or state == CLAIMED:
            waited += 1
            if waited % 1024 == 0 and p[CORE] == this_core():  # the leader needs it
                leave_core(p[CORE], mailbox + 8 * MASK)
            pause()
        elif change_atomic(mailbox, IDLE, ASLEEP):
            return


def lead(control: int, program: int, mailboxes: int, helpers: int, patience: int) -> None:
    """A run on this thread and on those helpers that are awake, or wake up soon enough.

    mailboxes: the addresses of the helpers' ones. patience: how often to look after one that
        sleeps.
    """
    threads, core = 1, this_core()
    integers(control)[LEADER] = core
    for helper in range(helpers):
        mailbox = integers(mailboxes)[helper]
        integers(mailbox)[CORE] = core
        looks = 0
        while looks < patience and load_atomic(mailbox) == ASLEEP:
            looks += 1
            if looks % 16 == 0:
                give_way()  # it may have woken up on this core
            else:
                pause()
        if change_atomic(mailbox, IDLE, CLAIMED):
            p = integers(mailbox)
            p[CONTROL], p[PROGRAM], p[THREAD] = control, program, threads
            threads += 1
        else:
            integers(mailboxes)[helper] = 0
    integers(program)[THREADS] = threads
    for helper in range(helpers):
        if integers(mailboxes)[helper] != 0:
            store_atomic(integers(mailboxes)[helper], WORKING)
    run(control, program, 0, 0)
    for helper in range(helpers):
        mailbox = integers(mailboxes)[helper]
        spins = 0
        while mailbox != 0 and load_atomic(mailbox) == WORKING:
            spins += 1
            if spins > SPINS:
                give_way()
            else:
                pause()


@jit
def run(control: int, program: int, thread: int, mailbox: int) -> None:
    """All steps of a run; the threads of one run enter it together. mailbox: as in `wait`."""
    c, p = integers(control), integers(program)
    threads, shares, stretches = p[THREADS], p[SHARES], p[STRETCHES]
    starts, tasks = integers(p[STARTS]), integers(p[TASKS])
    check, guard = p[CHECK], p[GUARD]  # the stretches that may ask for a stop: loss, gradient
    clock = p[TICKS]  # where each task's time is added up, or 0
    mode = flush_subnormals()
    for number in range(c[BATCHES]):
        for share in range(thread, shares, threads):
            now = p[NOWS] + 8 * NOW_SLOTS * share
            integers(now)[NUMBER] = number
            row = c[CURSOR] + number * c[ROWS]
            integers(now)[ROW] = row % c[TOTAL] if c[TOTAL] != 0 else row
            integers(now)[STEP] = c[FIRST_STEP] + number + 1
            if c[RATES] != 0:
                doubles(now)[RATE] = doubles(c[RATES])[number]
        stopped = False
        prepared = p[PREPARED] if number > 0 or c[READY] != 0 else 0
        for stretch in range(prepared, stretches):
            for share in range(thread, shares, threads):
                at = share * (stretches + 1) + stretch
                if clock == 0:
                    for task in range(starts[at], starts[at + 1]):
                        call(tasks[2 * task], tasks[2 * task + 1])
                    continue
                for task in range(starts[at], starts[at + 1]):
                    begun = ticks()
                    call(tasks[2 * task], tasks[2 * task + 1])
                    integers(clock)[task] += ticks() - begun
            if threads > 1:
                wait(control, threads, mailbox)
            if stretch in (check, guard, stretches - 1):
                # A thread may come here late, when another has asked for a stop further on.
                loss = stretch not in (guard, stretches - 1)  # what comes behind has not been done
                stopped = 0 < load_atomic(control + 8 * STOP) <= 2 * number + (1 if loss else 2)
                stopped |= 0 < load_atomic(control + 8 * EARLY) <= number + 1
                if not loss:
                    stopped |= 0 < load_atomic(control + 8 * LATE) <= number + 1
                if stopped:
                    break
        if stopped:
            break
    restore(mode)
