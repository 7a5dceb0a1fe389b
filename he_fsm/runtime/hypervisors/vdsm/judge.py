"""
Whether the VM may go on: sanlock is asked whenever it begins to execute, and in each pause.

What follows from what sanlock says are pure functions (`hypervisors.paused`); vdsm's own words are
not asked for.
"""

from __future__ import annotations

import logging
from typing import Final, Optional

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors import paused
from he_fsm.runtime.hypervisors.vdsm.here import Here
from he_fsm.runtime.hypervisors.vdsm.status import VmSeen
from he_fsm.runtime.hypervisors.vm_file import VmRecord
from he_fsm.runtime.ports import LeaseSeen, VmIdentity
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.vdsm.interface import VdsmError
from he_fsm.snapshot import VmState

_log = logging.getLogger(__name__)

_UNKNOWN_PROCESS: Final = "it is paused, and the sanlock daemon that runs now does not know it"
_WAS_ELSEWHERE: Final = "it is paused, and another host has had the lease since"


class Judge:
    """Judges the VM; for the thread that looks at it."""

    def __init__(self, here: Here) -> None:
        """Take what the threads share."""
        self._here = here
        self._repeats = Repeats(_log)
        # How often it had been resumed when the record's version of the lease was its own.
        self._counted: Optional[tuple[VmIdentity, int]] = None
        # The process, and the same, when it was last seen that it executes by its lease.
        self._judged: Optional[tuple[int, int]] = None
        self._is_suspect = False

    @property
    def is_suspicious(self) -> bool:
        """Whether the VM has to be looked at again soon."""
        return self._is_suspect

    def begin(self) -> None:
        """Begin anew: there is no VM."""
        self._counted = self._judged = None
        self._is_suspect = False

    def doubt(self) -> None:
        """Ask sanlock again: events were lost, or a migration has come to nothing."""
        self._judged = None

    def why_ended(self, seen: VmSeen, vm: VmIdentity, record: VmRecord) -> str:
        """Say why the VM has to end now; empty: it may go on."""
        try:
            if seen.executes and self._here.departure is None:
                why = self._why_not(vm, record)
            elif seen.vm_state() is VmState.PAUSED and self._here.departure is None:
                why = self._why_not_kept(vm, record)
            else:
                why = ""
        except LockspaceError as error:
            # The guard of the lease ends a VM whose sanlock is not there.
            self._repeats.complain("sanlock", "the VM's lease is not known: %s", error)
            return ""
        self._repeats.end("sanlock", "the VM's lease is known again")
        # It may have been paused, or resumed, between the two questions: it is asked twice.
        was_suspect, self._is_suspect = self._is_suspect, bool(why)
        return why if was_suspect else ""

    def _known(self, vm: VmIdentity, record: VmRecord) -> paused.Known:
        """Return what is known of the process; what happened before is known from the record."""
        if self._counted is None or self._counted[0].pid != vm.pid:
            self._counted = (vm, self._here.resumes)
        return paused.Known(
            host_id=self._here.settings.host_id,
            pid=vm.pid,
            version=record.lease_version,
            resumes=self._here.resumes - self._counted[1],
        )

    def _why_not(self, vm: VmIdentity, record: VmRecord) -> str:
        """Say why a VM that executes must not; empty: it may. Asked once for each resume."""
        now = (vm.pid, self._here.resumes)
        if self._judged == now:
            return ""
        seen = self._seen(vm)
        known = self._known(vm, record)
        # One resume may have come before its event, or before this agent.
        why = paused.why_not(seen, attrs.evolve(known, resumes=max(1, known.resumes)))
        if not why:
            self._judged, self._counted = now, (vm, now[1])
            self._here.has_lost_move = False
            self._here.known.note(vm, lease_version=seen.version)
        return why

    def _seen(self, vm: VmIdentity) -> LeaseSeen:
        """
        Return the lease of a VM that executes, once it has been taken for it, where it has to be.

        libvirt's plug-in does not take it where QEMU goes on by itself: on the source of a
        migration that fails in its last moment, when libvirt has put the lease down.
        """
        here = self._here
        seen = here.sight.seen()
        if vm.pid in seen.holders or not here.has_lost_move:
            return seen
        try:
            here.sight.restore(vm.pid)
        except LockspaceError as error:
            _log.error("the VM executes, and its lease is not to be had: %s", error)
        else:
            _log.error("the VM executed without its lease: it has been taken again")
        return here.sight.seen()

    def _why_not_kept(self, vm: VmIdentity, record: VmRecord) -> str:
        """Say why a paused VM must not stay; resume one that a migration has left behind."""
        here = self._here
        known = self._known(vm, record)
        lease = here.sight.seen()
        left_behind_s = paused.LEFT_BEHIND_S if here.has_lost_move else None
        verdict = paused.of_paused(lease, known, left_behind_s)
        if verdict is paused.Verdict.RESUME:
            here.has_lost_move = False
            _log.warning("a migration has left the VM paused: it is resumed")
            try:
                here.call("VM.cont")
            except VdsmError as error:
                # Another host has the lease by now, or the VM executes: the next look tells.
                _log.warning("%s", error)
        if verdict is not paused.Verdict.DESTROY:
            return ""
        return _WAS_ELSEWHERE if vm.pid in lease.clients else _UNKNOWN_PROCESS
