"""What becomes of the VMs of a lab: which of them starts, moves and ends."""

from __future__ import annotations

from typing import Optional, Protocol

from he_fsm.lab.lab import Lab
from he_fsm.rehearse.host_seen import HostSeen
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.scenario.judging.judge import Judge

# Of a VM that was ordered and does not execute yet.
STARTING_UP = "starting up"


class Note(Protocol):
    """Writes an event of the run down."""

    def __call__(
        self, t: float, host: Optional[str], kind: str, text: str, **details: object
    ) -> None:
        """Write it down."""


class VmObserver:
    """Compares the hosts' records of their VMs with those of the last time, in *hosts*."""

    def __init__(self, lab: Lab, judge: Judge, hosts: dict[str, HostSeen], note: Note) -> None:
        """Begin; counts go to *judge*, events to *note*."""
        self._lab = lab
        self._judge = judge
        self._hosts = hosts
        self._note = note
        self._is_first = True

    def observe(
        self, t: float, records: dict[str, Optional[VmRecord]], *, is_good: bool, is_first: bool
    ) -> dict[str, str]:
        """
        Return the word for each VM, by its host; count starts and migrations.

        Args:
            t: the scenario's time.
            records: the record that each host keeps of its VM, by the host's name.
            is_good: the health page of one of them answers well.
            is_first: nothing was observed before, so no VM that is found was started or came over.
        """
        self._is_first = is_first
        words = {}
        for name, record in records.items():
            seen = self._hosts[name]
            if record is not None and record.phase is Phase.ARRIVING:
                seen.arriving_pid = record.pid
            if record is None or not self._counts(name, record):
                self._vm_is_gone(t, name, seen, records)
                continue
            if record.pid != seen.pid:
                came_over = self._came_over(name, record, records)
                self._vm_is_new(t, name, seen, record, came_over=came_over)
            if record.failed_migrations > seen.failed_migrations:
                seen.failed_migrations = record.failed_migrations
                self._judge.count(t, "failed_migrations", name)
                self._note(t, name, "migration", f"the migration failed: {record.failure}")
            seen.leaving_to = record.leaving_to
            is_paused = self._lab.hosts[name].is_paused(record)
            word = _word(record, is_paused=is_paused, is_good=is_good, was_good=seen.was_good)
            if word == "good":
                seen.was_good = True
            words[name] = word
            shown = "starting" if word == STARTING_UP else word
            if shown != seen.word:
                seen.word = shown
                self._note(t, name, "vm", f"the engine is {shown}", vm=shown)
        return words

    def _counts(self, name: str, record: VmRecord) -> bool:
        """Return whether a process is a VM: it has got the lease, or had it."""
        if record.phase is Phase.STARTING:
            return self._lab.hosts[name].lease_is_taken()
        return record.phase is not Phase.ARRIVING

    def _vm_is_gone(
        self, t: float, name: str, seen: HostSeen, records: dict[str, Optional[VmRecord]]
    ) -> None:
        if seen.pid is None:
            return
        to = self._moved_to(name, seen, records)
        seen.pid = seen.word = seen.leaving_to = None
        seen.was_good = False
        seen.failed_migrations = 0
        if to is not None:
            self._hosts[to].is_sent_here = self._hosts[to].pid is None
            self._judge.count(t, "migrations", name)
            self._note(t, name, "migration", f"the VM runs on host {to} now", done=True, to=to)
        else:
            self._note(t, name, "vm", "the VM is gone", vm="gone")

    def _moved_to(
        self, name: str, seen: HostSeen, records: dict[str, Optional[VmRecord]]
    ) -> Optional[str]:
        """Return the host to which the VM of this one has moved; None: it has ended here."""
        left = self._lab.hosts[name].last_record()
        if left is not None and left.phase is Phase.MIGRATED and left.pid == seen.pid:
            return None if left.leaving_to is None else self._lab.name_of(left.leaving_to)
        if seen.leaving_to is None:
            return None
        # Some hypervisors keep no record of a VM that has left.
        to = self._lab.name_of(seen.leaving_to)
        there = records[to]
        return to if there is not None and there.phase is Phase.RUNNING else None

    def _vm_is_new(
        self, t: float, name: str, seen: HostSeen, record: VmRecord, *, came_over: bool
    ) -> None:
        seen.pid = record.pid
        seen.failed_migrations = record.failed_migrations
        seen.is_sent_here = False
        # A VM that arrived was good at its source; of a new VM that has to be observed.
        seen.was_good = came_over or self._is_first
        if not came_over and not self._is_first:
            self._judge.count(t, "starts", name)
            self._note(t, name, "vm", "lease taken, the VM starts", vm="starting")
            seen.word = "starting"

    def _came_over(
        self, name: str, record: VmRecord, records: dict[str, Optional[VmRecord]]
    ) -> bool:
        """
        Whether a VM has come from another host.

        A start may be over before it is observed: a VM that runs has come over, or was started.
        """
        if record.phase is Phase.STARTING:
            return False
        here = self._hosts[name]
        if here.is_sent_here or record.pid == here.arriving_pid:
            return True
        host_id = self._lab.hosts[name].host_id
        for other, host in self._lab.hosts.items():
            if other == name:
                continue
            sent, left = records[other], host.last_record()
            if self._hosts[other].leaving_to == host_id:
                return True
            if sent is not None and sent.leaving_to == host_id:
                return True
            # That of a host that lost its power may say for ever that its VM is leaving.
            if left is not None and left.phase is Phase.MIGRATED and left.leaving_to == host_id:
                return True
        return False


def _word(record: VmRecord, *, is_paused: bool, is_good: bool, was_good: bool) -> str:
    """Return the word for a VM; `STARTING_UP`: it does not execute yet."""
    if record.phase is Phase.STARTING:
        return STARTING_UP
    if is_paused:
        return "paused"
    if record.phase is Phase.STOPPING:
        return "stopping"
    if record.is_leaving:
        return "migrating"
    if is_good:
        return "good"
    return "bad" if was_good else "starting"
