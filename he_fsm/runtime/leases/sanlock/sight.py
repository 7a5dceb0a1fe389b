"""What became of the engine's lease where another daemon has sanlock take it for the VM."""

from __future__ import annotations

import time

from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.daemon.command import DaemonStatus, SanlockDaemon
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.leases.sanlock.view import JoinedView
from he_fsm.runtime.ports import LeasePlace, LeaseSeen
from he_fsm.snapshot import LeaseView, OwnerState


class SanlockSight:
    """
    Sees the engine's lease by sanlock's command; implements `ports.LeaseSight`.

    Unlike sanlock's module, the command can be given up where the daemon hangs, and a process can
    ask any daemon by it. The times of *rules* are as this process's clock counts them.
    """

    def __init__(self, settings: SanlockSettings, host_id: int, rules: Rules) -> None:
        """Look for the host *host_id*."""
        self.place: LeasePlace = SanlockHolder(settings=settings, host_id=host_id).place
        self._settings = settings
        self._host_id = host_id
        self._rules = rules
        self._daemon = SanlockDaemon(settings)

    def seen(self) -> LeaseSeen:
        """Return who has the lease now; raises `LockspaceError`."""
        daemon, now = self._daemon.status(), time.monotonic()
        lease = self._daemon.engine_lease()
        spaces = [space for space in daemon.spaces if space.name == self._settings.lockspace]
        is_joined = bool(spaces) and spaces[0].is_kept and not spaces[0].is_lost
        view = LeaseView(
            owner=lease.owner if lease.timestamp else None,
            owner_state=OwnerState.LIVE if lease.timestamp else OwnerState.FREE,
            joined=is_joined,
        )
        is_old = lease.owner == self._host_id and is_joined
        if is_old and lease.generation < spaces[0].generation:
            # This host has joined anew since: the lease of the old generation is nobody's. Its
            # daemon tells so of other hosts, and of this one only after some renewals.
            view = LeaseView(joined=True)
        elif is_joined and lease.timestamp:
            view = (
                JoinedView(
                    hosts=self._daemon.hosts(),
                    space=spaces[0],
                    then=daemon.now,
                    now=now,
                    rules=self._rules,
                    clock_rate=self._settings.clock_rate,
                )
                .status(lease)
                .view
            )
        return LeaseSeen(
            owner=view.owner,
            free_at=view.free_at,
            version=lease.version,
            holders=self._holders(daemon),
            clients=daemon.clients,
            is_joined=is_joined,
        )

    def restore(self, pid: int) -> None:
        """Take the lease for a process that should have it; raises `LockspaceError`."""
        self._daemon.acquire_for(pid)

    def _holders(self, daemon: DaemonStatus) -> frozenset[int]:
        wanted = self._settings.lockspace, self._settings.resource
        return frozenset(
            held.pid for held in daemon.held if (held.lockspace, held.resource) == wanted
        )
