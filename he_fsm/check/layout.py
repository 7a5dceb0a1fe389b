"""
How a state of the cluster is written: one tuple of whole numbers.

First what is the cluster's (`BUDGET` to `MOVES`), then `WIDTH` numbers for each host, then for each
reader how every slot stands to what it saw last (`he_fsm.check.local.SAME` and so on).
"""

from __future__ import annotations

from typing import Final

State = tuple[int, ...]

# Faults left; who has the engine's lease (0: nobody); the flag in slot 0; moves that agents ordered
# since the last fault or repair.
BUDGET, OWNER, GLOBAL, MOVES = range(4)
HEAD: Final = 4
# Of each host: number of its memory; where its loop is; number of the record in its slot (0:
# empty), and of the record before that; flags; loops since its last renewal, plus one (0: it
# renews); its VM; what an agent is told next; failed starts that it knows of.
MEMORY, LOOP, SLOT, BEFORE, FLAGS, LAPSE, VM, RESULT, FAILED = range(9)
WIDTH: Final = 9

# Where a loop is, beside the number of what was found or ordered: it has yet to begin, it is over,
# no agent runs.
TO_BEGIN, OVER, NO_AGENT = 0, -1, -2

# Flags of a host. FRESH: it has booted, and not yet written. SILENT: its hypervisor does not
# answer. NEWER: it runs the next release.
POWER, AGENT, CUT, NO_GATEWAY, MAINTENANCE, FRESH, SILENT, NEWER = (1 << bit for bit in range(8))

# A VM: phase, whether that goes on for one more loop, flags, and the target of its migration.
# STUCK: its shutdown or its migration does not end.
NONE, STARTING, RUNNING, STOPPING, LEAVING = range(5)
PHASE: Final = 7
WAITS, BOOTED, SICK, PAUSED, STUCK = (1 << bit for bit in range(3, 8))
TARGET: Final = 8


def is_good(vm: int) -> bool:
    """Whether a VM's health page is good."""
    return vm & PHASE in (RUNNING, LEAVING) and vm & (BOOTED | SICK | PAUSED) == BOOTED


def place(host: int) -> int:
    """Give where the numbers of a host (0 for the first) begin."""
    return HEAD + WIDTH * host


def relation_at(hosts: int, reader: int, writer: int) -> int:
    """Give where it is written how a writer's slot stands to what a reader saw."""
    return HEAD + WIDTH * hosts + hosts * reader + writer
