"""
What becomes of a domain that has put its lease down: pure functions.

libvirt's sanlock plug-in, by which vdsm's VMs have their leases too, gives the lease away when a
domain is paused, takes it again when the domain is resumed, and does not look whether anybody had
it meanwhile. A domain that goes on then has the memory of before, and a disk that another host has
written to. sanlock counts how often a lease was taken, and that count tells.
"""

from __future__ import annotations

import enum
from typing import Final, Optional

import attrs

from he_fsm.runtime.ports import LeaseSeen

WITHOUT_LEASE: Final = "it executes without the lease"
# A migration ends by itself what it has paused; from then on it is taken to have been left
# (seconds). Source: tried with libvirt 9.0: 1.6 s at most.
LEFT_BEHIND_S: Final = 5.0


class Verdict(enum.Enum):
    """What to do with a domain that is paused."""

    # Nothing: whoever paused it may resume it.
    STAYS = "stays"
    # It was left behind by a migration, and nobody else will resume it.
    RESUME = "resume"
    # It must not execute again.
    DESTROY = "destroy"


@attrs.frozen(kw_only=True)
class Known:
    """
    What this host knows of a domain's process.

    `version` is the lease's, when the process was last known to have it; None: not known.
    `resumes`: how often the domain was resumed since, and so has taken the lease itself.
    """

    host_id: int
    pid: int
    version: Optional[int]
    resumes: int = 0

    def was_elsewhere(self, seen: LeaseSeen) -> bool:
        """Whether somebody else has taken the lease since."""
        return self.version is not None and seen.version > self.version + self.resumes


def of_paused(seen: LeaseSeen, known: Known, left_behind_s: Optional[float]) -> Verdict:
    """
    Judge a domain that is paused.

    Args:
        seen: the lease now.
        known: what is known of the domain.
        left_behind_s: for how long a migration has left it so; None: it has not.
    """
    was_left = left_behind_s is not None and left_behind_s >= LEFT_BEHIND_S
    is_elsewhere = seen.owner not in (None, known.host_id)
    # sanlock gives no lease to a process that it does not know: its daemon is another one by now.
    is_unknown = known.pid not in seen.clients
    if is_elsewhere or known.was_elsewhere(seen) or is_unknown:
        # A migration that ends well has its target take the lease, and ends its source itself.
        is_ending = left_behind_s is not None and not was_left
        return Verdict.STAYS if is_ending else Verdict.DESTROY
    return Verdict.RESUME if was_left else Verdict.STAYS


def why_not(seen: LeaseSeen, known: Known) -> str:
    """Say why a domain that executes must not, by the lease now; empty: it may."""
    if known.pid not in seen.holders:
        return WITHOUT_LEASE
    if known.was_elsewhere(seen):
        return "it was resumed after another host had the lease: its memory is older than its disk"
    return ""
