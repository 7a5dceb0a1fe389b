"""
The watchdog's time is each host's own: what a host tells of it, and how long the others wait.

sanlock keeps a lockspace's io_timeout on the storage, but not the watchdog's time. So a host whose
watchdog fires after 10 s takes the lease of a host with 60 s long before that host's VM is
certainly dead, and sanlock says nothing. Therefore each host's record tells its time, and a host
waits for the larger one of its own and the owner's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Optional

from he_fsm.crowd import CrowdSightings
from he_fsm.memory import Sighting
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.snapshot import LeaseView

# A time that was scaled for a rehearsal, or written as text, may differ in its last digits.
_SAME: Final = 1e-6
Sightings = Mapping[int, Sighting]


def time_to_tell(leases: Optional[LeaseView], policy: Policy) -> float:
    """
    Return the watchdog's time that this host's record tells (seconds).

    That is the longest one known: a VM here may run for so long after its host id has been lost.
    """
    told_s = policy.watchdog_s
    if leases is not None:
        told_s = max(told_s, leases.watchdog_s or 0.0, leases.kill_grace_s or 0.0)
    return told_s


def time_of(seen: Optional[Sighting], policy: Policy) -> float:
    """
    Return the watchdog's time of another host, as its slot tells it (seconds).

    A host that tells none has sanlock's own time. So has, at least, one whose slot can't be
    believed now: what was believed last may be out of date.
    """
    if seen is None or seen.record is None:
        return policy.watchdog_unsaid_s
    told_s = time_in(seen.record, policy)
    return told_s if seen.problem is None else max(told_s, policy.watchdog_unsaid_s)


def time_in(record: HostRecord, policy: Policy) -> float:
    """Return the watchdog's time that a record tells, or sanlock's own where it tells none."""
    return policy.watchdog_unsaid_s if record.watchdog_s is None else record.watchdog_s


def for_the_longer(leases: LeaseView, sightings: Sightings, policy: Policy) -> LeaseView:
    """Return the leases as they can be had: an owner with a longer watchdog is waited for."""
    owner, free_at = leases.owner, leases.free_at
    if owner is None or free_at is None:
        return leases
    # safety: its VM may run until its own watchdog fires.
    longer_s = time_of(sightings.get(owner), policy) - policy.watchdog_s
    return leases._replace(free_at=free_at + longer_s) if longer_s > 0.0 else leases


def why_unlike(leases: Optional[LeaseView], policy: Policy) -> str:
    """Return how this host's lease manager differs from its policy; empty: it does not."""
    if leases is None or (leases.watchdog_s is None and leases.kill_grace_s is None):
        return ""
    pairs = (
        ("watchdog_fire_timeout", leases.watchdog_s, "watchdog_s", policy.watchdog_s),
        ("kill_grace_seconds", leases.kill_grace_s, "kill_grace_s", policy.kill_grace_s),
    )
    found = [
        f"sanlock's {theirs} is {real:g} s, the policy's {ours} is {meant:g} s"
        for theirs, real, ours, meant in pairs
        if real is not None and not math.isclose(real, meant, rel_tol=_SAME, abs_tol=_SAME)
    ]
    return "; ".join(found)


def others_unlike(sightings: Sightings, policy: Policy) -> list[tuple[int, float]]:
    """Return the hosts, ascending, whose records tell another watchdog's time, with that time."""
    # With hundreds of hosts this is asked with every look: the usual answer has to be quick.
    meant, unsaid = policy.watchdog_s, policy.watchdog_unsaid_s
    if type(sightings) is CrowdSightings and sightings.crowd.watchdogs <= {meant}:
        sightings = sightings.others
    found = [
        (host_id, unsaid if seen.record.watchdog_s is None else seen.record.watchdog_s)
        for host_id, seen in sightings.items()
        if seen.record is not None
        and (unsaid if seen.record.watchdog_s is None else seen.record.watchdog_s) != meant
    ]
    return sorted(
        (host_id, told_s)
        for host_id, told_s in found
        if not math.isclose(told_s, meant, rel_tol=_SAME)
    )
