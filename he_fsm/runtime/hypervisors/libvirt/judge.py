"""
Whether the domain may go on: sanlock is asked whenever it begins to execute, and in each pause.

What follows from what sanlock says are pure functions (`paused`); here it is asked, and remembered
how often the domain itself has taken the lease.
"""

from __future__ import annotations

import logging
import time
from typing import Final, Optional

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors import paused
from he_fsm.runtime.hypervisors.libvirt import domain as domains
from he_fsm.runtime.hypervisors.libvirt.connection import Connection, LibvirtRefusedError
from he_fsm.runtime.hypervisors.libvirt.domain import DomainSeen
from he_fsm.runtime.hypervisors.libvirt.here import Here
from he_fsm.runtime.hypervisors.vm_file import VmRecord
from he_fsm.runtime.ports import LeaseSeen, VmIdentity
from he_fsm.runtime.service.log import Repeats
from he_fsm.snapshot import VmState

_log = logging.getLogger(__name__)

# A domain that seems to execute without the lease is looked at so often before it is ended.
_ASKED: Final = 3


class Judge:
    """
    Judges the domain; for the thread that looks at it.

    The thread of libvirt's events sets two fields: `resumes` is how often the domain was resumed,
    and `was_sent` whether it has been paused in the last moment of a migration.
    """

    def __init__(self, here: Here) -> None:
        """Take what the threads share."""
        self.resumes = 0
        self.was_sent = False
        self._here = here
        self._repeats = Repeats(_log)
        # How often it had been resumed when the record's version of the lease was its own.
        self._counted: Optional[tuple[VmIdentity, int]] = None
        # The process, and the same, when it was last seen that it executes by its lease.
        self._judged: Optional[tuple[int, int]] = None
        self._is_suspect = False
        self._left_behind_since: Optional[float] = None

    @property
    def is_suspicious(self) -> bool:
        """Whether the domain has to be looked at again soon."""
        return self._is_suspect

    def begin(self) -> None:
        """Begin anew: there is no domain, or its events come by a new connection."""
        self._counted = self._judged = self._left_behind_since = None
        self._is_suspect = False

    def why_ended(
        self, connection: Connection, seen: DomainSeen, vm: VmIdentity, record: VmRecord
    ) -> str:
        """Say why the domain has to end now; empty: it may go on."""
        state = seen.vm_state()
        if record.has_holder and not record.holder_lives:
            # sanlock still names it, because QEMU has a copy of the lease.
            return "the holder of its lease has ended"
        try:
            if seen.executes and state is not VmState.ARRIVING:
                self._left_behind_since = None
                if self._here.departure is None:
                    self._here.has_lost_move = False
                why = self._why_not(connection, vm, record)
            elif state is VmState.PAUSED and self._here.departure is None:
                why = self._why_not_kept(connection, seen, vm, record)
            else:
                why = ""
        except LockspaceError as error:
            # The guard of the lease ends a domain whose sanlock is not there.
            self._repeats.complain("sanlock", "the domain's lease is not known: %s", error)
            return ""
        self._repeats.end("sanlock", "the domain's lease is known again")
        # It may have been paused, or resumed once more, between two questions, or an event of that
        # may be on its way: it is asked twice.
        was_suspect, self._is_suspect = self._is_suspect, bool(why)
        return why if was_suspect else ""

    def _known(self, vm: VmIdentity, record: VmRecord) -> paused.Known:
        """Return what is known of the process; what happened before is known from the record."""
        if self._counted is None or self._counted[0].pid != vm.pid:
            self._counted = (vm, self.resumes)
        return paused.Known(
            host_id=self._here.settings.host_id,
            pid=record.lease_pid,
            version=record.lease_version,
            resumes=self.resumes - self._counted[1],
        )

    def _why_not(self, connection: Connection, vm: VmIdentity, record: VmRecord) -> str:
        """Say why a domain that executes must not; empty: it may. Asked once for each resume."""
        now = (vm.pid, self.resumes)
        if self._judged == now:
            return ""
        seen: Optional[LeaseSeen] = self._here.sight.seen()
        if seen is not None and record.lease_pid not in seen.holders:
            seen = self._really_seen(connection, record)
        if seen is None:
            self._here.stir()
            return ""
        known = self._known(vm, record)
        # One resume may have come before its event, or before this agent.
        why = paused.why_not(seen, attrs.evolve(known, resumes=max(1, known.resumes)))
        # That was asked several times already.
        self._is_suspect |= why == paused.WITHOUT_LEASE
        if not why:
            self._judged, self._counted = now, (vm, now[1])
            self.was_sent = False
            self._here.known.note(vm, lease_version=seen.version)
        return why

    def _really_seen(self, connection: Connection, record: VmRecord) -> Optional[LeaseSeen]:
        """
        Return the lease of a domain that seems to execute without it; None: it does not execute.

        libvirt's plug-in takes the lease when libvirt resumes a domain. It does not where QEMU goes
        on by itself: the source of a migration that fails in its last moment, when libvirt has put
        the lease down. Then it is taken for the domain. Else somebody may be pausing and resuming
        it.
        """
        here, seen = self._here, None
        # Where a holder has the lease, libvirt neither takes it nor puts it down.
        is_plugin = here.settings.holder is None and not record.has_holder
        for _ in range(_ASKED if is_plugin else 1):
            again = domains.look(connection, here.name)
            if again is None or not again.executes:
                return None
            if self.was_sent and is_plugin:
                try:
                    here.sight.restore(record.pid)
                except LockspaceError as error:
                    _log.error("a domain executes, and the lease is not to be had: %s", error)
                else:
                    _log.error("the domain executed without the lease: it has been taken again")
            seen = here.sight.seen()
            if record.lease_pid in seen.holders:
                break
        return seen

    def _why_not_kept(
        self, connection: Connection, seen: DomainSeen, vm: VmIdentity, record: VmRecord
    ) -> str:
        """Say why a paused domain must not stay; resume one that a migration has left behind."""
        here, now = self._here, time.monotonic()
        if not seen.is_left_behind:
            self._left_behind_since = None
        elif here.has_lost_move:
            # Nobody ends it any more: there is nothing to wait for.
            self._left_behind_since = now - paused.LEFT_BEHIND_S
        elif self._left_behind_since is None:
            self._left_behind_since = now
        since = self._left_behind_since
        known = self._known(vm, record)
        lease = here.sight.seen()
        verdict = paused.of_paused(lease, known, None if since is None else now - since)
        if verdict is paused.Verdict.RESUME:
            _log.warning("a migration has left the domain paused: it is resumed")
            try:
                connection.call("resume the domain", here.domain(connection).resume)
            except LibvirtRefusedError as error:
                # Another host has the lease by now, or the domain executes: the next look tells.
                _log.warning("%s", error)
        if verdict is not paused.Verdict.DESTROY:
            return ""
        if record.lease_pid not in lease.clients:
            return "it is paused, and the sanlock daemon that runs now does not know it"
        return "it is paused, and another host has had the lease since"
