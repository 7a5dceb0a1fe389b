"""A domain at one moment, as libvirt tells it, and what state of the VM that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs
import libvirt

from he_fsm.runtime.hypervisors.libvirt.connection import Connection
from he_fsm.snapshot import VmState

_NO_JOB: Final = libvirt.VIR_DOMAIN_JOB_NONE
_AWAY: Final = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
_HERE: Final = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN
_EXECUTES: Final = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_BLOCKED)
# The module of libvirt 9 has no name for it. Source: libvirt-domain.h, virDomainPausedReason.
_API_ERROR: Final = 14
# A source is left in one of these when its migration came to nothing in its last moment:
# "migrating" in libvirt 9, "API error" in 11.
LEFT_BEHIND: Final = (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, _API_ERROR)
_KEPT_DEAD: Final = ((libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_WATCHDOG),)
_STARTING_UP: Final = libvirt.VIR_DOMAIN_PAUSED_STARTING_UP
_REASONS: Final = {
    libvirt.VIR_DOMAIN_PAUSED_USER: "paused by a user",
    libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "paused for a migration",
    libvirt.VIR_DOMAIN_PAUSED_SAVE: "paused to be saved",
    libvirt.VIR_DOMAIN_PAUSED_DUMP: "paused for a dump",
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "paused by an error of its disk",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "paused by its watchdog",
    libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: "paused for a snapshot",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "paused after a crash of its guest",
    libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "paused while it starts",
    _API_ERROR: "paused after an error of libvirt's",
}


@attrs.frozen(kw_only=True)
class DomainSeen:
    """
    A domain whose process is here.

    `state` and `reason` are libvirt's numbers, `job` that of the operation under way (None: there
    is none), and `progress` how far a migration has come.
    """

    state: int
    reason: int
    job: Optional[int] = None
    progress: Optional[float] = None

    @property
    def executes(self) -> bool:
        """Whether its processors run; while it moves away, too."""
        return self.state in _EXECUTES

    @property
    def is_paused(self) -> bool:
        """Whether it is paused; libvirt's plug-in has released its lease then, or never had it."""
        return bool(self.state == libvirt.VIR_DOMAIN_PAUSED)

    @property
    def is_kept_dead(self) -> bool:
        """Whether its guest has reported its own death, and it was kept all the same."""
        return (self.state, self.reason) in _KEPT_DEAD or self.state == libvirt.VIR_DOMAIN_CRASHED

    @property
    def is_left_behind(self) -> bool:
        """Whether a migration has left it paused, and nothing is under way that would end that."""
        return self.is_paused and self.job is None and self.reason in LEFT_BEHIND

    def detail(self, *, keeps_lease: bool) -> str:
        """Say why it does not execute, for people; empty: it does."""
        if self.is_paused:
            lease = "it keeps its lease" if keeps_lease else "it has no lease"
            return f"{_REASONS.get(self.reason, 'paused')}; {lease}"
        if self.state == libvirt.VIR_DOMAIN_PMSUSPENDED:
            return "its guest sleeps"
        return "its guest has crashed" if self.state == libvirt.VIR_DOMAIN_CRASHED else ""

    def vm_state(self) -> VmState:
        """Return the state of the VM, as far as libvirt alone knows it."""
        if self.job == _HERE:
            return VmState.ARRIVING
        if self.job == _AWAY:
            return VmState.LEAVING
        if self.executes:
            return VmState.UP
        if self.state == libvirt.VIR_DOMAIN_SHUTDOWN:
            return VmState.STOPPING
        if self.is_paused and self.reason == _STARTING_UP:
            # Somebody starts it by hand.
            return VmState.STARTING
        return VmState.PAUSED


def look(connection: Connection, name: str) -> Optional[DomainSeen]:
    """
    Return how the domain *name* is; None: no process of it is here.

    Raises:
        HypervisorError: libvirt does not answer, or refuses.
    """
    return connection.call(f"look at the domain {name}", lambda: _look(connection.raw, name))


def _look(raw: Any, name: str) -> Optional[DomainSeen]:
    try:
        domain = raw.lookupByName(name)
        if not domain.isActive():
            return None
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_SHUTOFF:
            return None
        job = _job(domain)
    except libvirt.libvirtError as error:
        if error.get_error_code() in (
            libvirt.VIR_ERR_NO_DOMAIN,
            libvirt.VIR_ERR_OPERATION_INVALID,
        ):
            # It has ended between two questions.
            return None
        raise
    is_under_way = job.get("type", _NO_JOB) != _NO_JOB
    return DomainSeen(
        state=state,
        reason=reason,
        job=job.get("operation") if is_under_way else None,
        progress=progress_of(job),
    )


def _job(domain: Any) -> Mapping[str, Any]:
    """Return the statistics of the operation under way."""
    try:
        job: Mapping[str, Any] = domain.jobStats()
    except libvirt.libvirtError as error:
        # libvirt's way to say that a migration arrives: "available only on the source host".
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            return {"type": libvirt.VIR_DOMAIN_JOB_UNBOUNDED, "operation": _HERE}
        raise
    return job


def progress_of(job: Mapping[str, Any]) -> Optional[float]:
    """Return how far a migration has come, from 0 to 1; None: that is not known."""
    total, left = job.get("data_total", 0), job.get("data_remaining", 0)
    if not total:
        return None
    return min(1.0, max(0.0, 1 - float(left) / float(total)))
