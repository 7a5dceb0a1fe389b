"""
The layout of a state of the cluster: one tuple of whole numbers.

First come the cluster's numbers (`BUDGET` to `DONE`), then `WIDTH` numbers for each host, then, for
each reader and slot, how the slot differs from what the reader read last
(`he_fsm.check.local.SAME` and so on).
"""

from __future__ import annotations

from typing import Final

State = tuple[int, ...]

# The faults that are left; the owner of the engine's lease (0: nobody); the flag in slot 0; counts
# of what agents have done since the last fault or repair (`counted`).
BUDGET, OWNER, GLOBAL, DONE = range(4)
HEAD: Final = 4
# Of each host: the number of its memory; the place in its loop; the number of the record in its
# slot (0: empty), and of the record before that; flags; loops since its last renewal, plus one
# (0: it renews); its VM; the result that the agent reads next; failures here (`failed_of`); whose
# heartbeats it has read (`he_fsm.check.heard`).
MEMORY, LOOP, SLOT, BEFORE, FLAGS, LAPSE, VM, RESULT, FAILED, HEARD = range(10)
WIDTH: Final = 10

# The place in a loop: not begun, over, or no agent runs; otherwise the number of what the loop
# found or ordered.
TO_BEGIN, OVER, NO_AGENT = 0, -1, -2

# Flags of a host. FRESH: it has booted, and not written yet. SILENT: its hypervisor does not
# answer. NEWER: it runs the next release. MUTE: its own slot can't be written. DEAF: it can't read
# the whiteboard. NO_ID, NO_SANLOCK: it has lost its host id, or its lease manager. LATE: its lease
# manager saw the last renewals of others one loop after everybody else.
POWER, AGENT, CUT, NO_GATEWAY, MAINTENANCE, FRESH, SILENT, NEWER = (1 << bit for bit in range(8))
MUTE, DEAF, NO_ID, NO_SANLOCK, LATE = (1 << bit for bit in range(8, 13))
# WAITS_FOR_VM: the hypervisor waits for a VM whose source no longer answers.
WAITS_FOR_VM = 1 << 13
# A counter above the flags: in how many loops the watchdog resets the host.
_DOOM_AT, _SLEPT_AT, _LEAVES_AT = 15, 20, 23
IS_DOOMED: Final = 7 << _DOOM_AT
A_LOOP_OF_DOOM: Final = 1 << _DOOM_AT
# ASLEEP: the host is suspended. STRAY: the host was suspended, has a VM whose lease is not its own,
# and could not know that yet. SLEPT: for how many loops it was suspended, until its agent's next
# pass.
ASLEEP, STRAY = 1 << 18, 1 << 19
SLEPT: Final = 7 << _SLEPT_AT
A_LOOP_OF_SLEEP: Final = 1 << _SLEPT_AT
SLEPT_MAX: Final = SLEPT // A_LOOP_OF_SLEEP
# A counter: in how many loops the host goes down in order, whatever its agent does; and how long it
# waits at first, for a migration, a second try and a guest's shutdown.
IS_LEAVING: Final = 7 << _LEAVES_AT
A_LOOP_OF_LEAVING: Final = 1 << _LEAVES_AT
LEAVES_IN: Final = IS_LEAVING // A_LOOP_OF_LEAVING
# The flags that end when a host loses power, those that keep it from renewing its leases, and those
# that keep its agent from running an engine.
OF_THIS_BOOT: Final = (
    POWER | AGENT | NO_ID | NO_SANLOCK | LATE | WAITS_FOR_VM | IS_DOOMED | ASLEEP | STRAY | SLEPT
) | IS_LEAVING
NOT_RENEWING: Final = CUT | NO_ID | NO_SANLOCK | ASLEEP
UNFIT: Final = NOT_RENEWING | MAINTENANCE | SILENT | MUTE | DEAF | IS_DOOMED | IS_LEAVING

# A VM: its phase, whether the phase lasts one more loop, flags, and the target of its migration.
# STUCK: its shutdown or its migration does not end. OUTRUN: it is paused without its lease, which
# another host has had since.
NONE, STARTING, RUNNING, STOPPING, LEAVING = range(5)
PHASE: Final = 7
WAITS, BOOTED, SICK, PAUSED, STUCK, OUTRUN = (1 << bit for bit in range(3, 9))
TARGET: Final = 9


# Failures on a host that its agent knows: loops since the last failed start, the number of failed
# starts, and the loops that are left of the back-off after a failed migration.
_COUNT_AT, _WAIT_AT, _PART = 8, 16, 0xFF


def failed_of(count: int, age: int = 0, wait: int = 0) -> int:
    """Return a host's failures as a number."""
    return age | count << _COUNT_AT | wait << _WAIT_AT


def failed_starts(failed: int) -> int:
    """Return how many failed starts a host knows of."""
    return failed >> _COUNT_AT & _PART


def failed_ago(failed: int) -> int:
    """Return how many loops ago the last start failed."""
    return failed & _PART


def wait_after_move(failed: int) -> int:
    """Return for how many more loops the back-off forbids a migration."""
    return failed >> _WAIT_AT


# Actions of agents, each counted in its own bits of the number `DONE`, up to the maximum.
MOVE, START, REFUSED = (1 << bits for bits in (0, 4, 8))
DONE_MAX: Final = 15


def counted(done: int, what: int, most: int = DONE_MAX) -> int:
    """Return the counts with one more of an action, up to *most*."""
    return done if times(done, what) >= most else done + what


def times(done: int, what: int) -> int:
    """Return how often agents have done an action since the last fault or repair."""
    return done // what & DONE_MAX


def doomed_loops(flags: int) -> int:
    """Return in how many loops the watchdog resets a host; 0: it does not."""
    return (flags & IS_DOOMED) >> _DOOM_AT


def leaving_loops(flags: int) -> int:
    """Return in how many loops a host goes down in order; 0: no shutdown is under way."""
    return (flags & IS_LEAVING) >> _LEAVES_AT


def slept_loops(flags: int) -> int:
    """Return for how many loops a host was suspended since its agent's last look."""
    return (flags & SLEPT) >> _SLEPT_AT


def is_good(vm: int) -> bool:
    """Return whether a VM's health page is good."""
    return vm & PHASE in (RUNNING, LEAVING) and vm & (BOOTED | SICK | PAUSED) == BOOTED


def place(host: int) -> int:
    """Return the index at which the numbers of a host (0 for the first) begin."""
    return HEAD + WIDTH * host


def relation_at(hosts: int, reader: int, writer: int) -> int:
    """Return the index of the relation of a writer's slot to what a reader read last."""
    return HEAD + WIDTH * hosts + hosts * reader + writer
