"""
The suspension of a host to memory, and its resumption.

A suspended host executes nothing, and neither its agent's clock nor its sanlock's counts the time.
So its lease expires for the others, but not for the host itself. When resumed, the host renews as
before, and its VM runs on, although another host may have acquired the lease.
"""

from __future__ import annotations

from he_fsm.check import layout as at
from he_fsm.check.layout import place
from he_fsm.check.local import LocalSteps


def suspend(new: list[int], host: int) -> bool:
    """
    Suspend a host between two of its loops; return False if it can't be.

    A host that does not renew its leases is left out: it counts the time since its last renewal on
    its own clock, which would stand still. So is one that shuts down: logind does not suspend it.
    """
    p = place(host)
    if new[p + at.FLAGS] & at.IS_LEAVING:
        return False
    if new[p + at.FLAGS] & (at.POWER | at.NOT_RENEWING) != at.POWER or new[p + at.LAPSE]:
        return False
    new[p + at.FLAGS] |= at.ASLEEP
    new[p + at.LAPSE] = 1
    new[p + at.LOOP] = at.NO_AGENT
    return True


def go_on(new: list[int], host: int) -> None:
    """Resume a suspended host; on its own clock no time has passed."""
    p = place(host)
    # If no agent has noticed an earlier sleep yet, the two add up.
    slept = min(at.slept_loops(new[p + at.FLAGS]) + new[p + at.LAPSE] - 1, at.SLEPT_MAX)
    new[p + at.FLAGS] &= ~(at.ASLEEP | at.SLEPT)
    new[p + at.FLAGS] += slept * at.A_LOOP_OF_SLEEP
    new[p + at.LAPSE] = 0
    # Heartbeats that it read before the sleep no longer count.
    new[p + at.HEARD] = 0
    if new[p + at.FLAGS] & at.AGENT:
        new[p + at.LOOP] = at.TO_BEGIN
    if new[p + at.VM] and new[at.OWNER] != host + 1:
        new[p + at.FLAGS] |= at.STRAY


def looked(steps: LocalSteps, new: list[int], host: int) -> None:
    """
    Record that a host's agent has made a pass after a suspension.

    A VM stays marked as stray until a pass could have found that out. Such a pass reads lease and
    hypervisor, and the VM is old enough that the lease cannot have been read before the VM came.
    """
    p = place(host)
    new[p + at.FLAGS] &= ~at.SLEPT
    flags = new[p + at.FLAGS]
    if not flags & at.STRAY or new[p + at.LOOP] != at.OVER:
        return
    if new[p + at.VM]:
        if flags & (at.CUT | at.NO_SANLOCK | at.SILENT) or new[p + at.LAPSE]:
            return
        watch = steps.memory(new[p + at.MEMORY]).vm
        if watch is None or steps.is_new(watch, host + 1):
            return
    new[p + at.FLAGS] &= ~at.STRAY
