"""Where what stands: slots of the control record, which a run shares, and of a share's own "now".

Steps (`steps_*.py`) are what a native program is made of. Each takes a record of 64-bit slots and
writes memory. A record holds addresses, sizes and numbers (float64 bits); what stands in which slot
is said in the step's docstring and filled in by the rules of `backends/native`. `like` is a null
pointer that says the dtype. A step unpacks its record and calls a kernel of `kernels/`; only what
moves data or chooses is written here.
"""

from __future__ import annotations

from typing import Any

Record = Any
Like = Any

(
    BATCHES, ROWS, ORDER, STOP, FAILED, RATES, FIRST_STEP, SEED, ROW_WEIGHTS, CURSOR, WEIGHT,
    WEIGHT_SUM, TOTAL, TRACE, READY,
) = range(15)  # fmt: skip
LEADER = 15  # the core that the leading thread was last seen on
BARRIER, PHASE = 16, 24  # cache lines of their own
# One more than the number of the batch in which an index was out of range: before the loss was
# looked at, or later. Two, for a thread may look at the first when another is further on.
EARLY, LATE = 32, 33
# Of several processes: the table with three numbers for each step of the run (`backends/parts.py`),
# or 0 where there is one process; whether this one's loss was not finite; what MPI answered; the
# address of what it is called with.
PARTS, LOST, FAULT, REDUCTION = 34, 35, 36, 37
SUMS, RESULTS, COLUMNS = 40, 72, 104  # from there on; of a column its address and its order's
MOST = 32  # sums, results or columns of one program
CONTROL_SLOTS = COLUMNS + 2 * MOST
# What is at the address REDUCTION (`backends/parts.py`, `Reducer.native`). CALL: of
# `MPI_Allreduce`; then what it is called with, and the most bytes a call. MEETING: the barrier of
# the processes of this host, or 0; PIECES: their pieces of memory, of PIECE bytes each (0: they
# share none), and one more for the sum. RANK: which of them this is, of RANKS. LOOKS: at the
# barrier, before a core is given away. At MEETING there are BARRIER and PHASE, and STOPPED: one
# more than the phase in which one of the processes asked all to stop.
(
    CALL, IN_PLACE, DATATYPE, OPERATION, COMMUNICATOR, MOST_BYTES, MEETING, PIECES, PIECE, RANK,
    RANKS, HOSTS, LOOKS,
) = range(13)  # fmt: skip
SUM_SLOTS = 13
STOPPED = 32
NUMBER, ROW, STEP, RATE = range(4)
NOW_SLOTS = 8
