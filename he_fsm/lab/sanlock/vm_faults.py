"""
Real VMs that fail as the scenario says: `starts`, `boots` and `migrations`.

A start fails because QEMU finds no guest in its files, when it has the lease. Where QEMU reads them
before, its process is killed as soon as it executes. A guest never becomes healthy because it has
no health page; a VM that is to die is killed, and so is the process that receives a migration that
is to fail. The product takes no part in it.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Mapping
from typing import Final, Optional, Protocol

import attrs

from he_fsm.lab.guest_files import GuestFiles, Origin
from he_fsm.lab.host_network import HostNetwork
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.runtime.hypervisors.vm_process import send_signal

# A start or an arrival takes some tenths of a second.
_LOOK_S: Final = 0.01


class Host(Protocol):
    """What has to be known of a host."""

    @property
    def host_id(self) -> int:
        """Its id."""

    @property
    def guest_files(self) -> GuestFiles:
        """What its VMs begin from."""

    @property
    def network(self) -> HostNetwork:
        """How it is connected."""

    def vm(self) -> Optional[VmRecord]:
        """Return the VM's record, if a VM's process is here."""

    def lease_is_taken(self) -> bool:
        """Return whether the last start that was ordered here got the lease."""


@attrs.define(eq=False)
class _Trial:
    """Whether a thing fails: never, always (left None), or the next *left* times."""

    fails: bool = False
    left: Optional[int] = None

    @classmethod
    def of(cls, words: str) -> _Trial:
        """Read `ok`, `fail` or `fail N`."""
        word, _, count = words.partition(" ")
        return cls(word == "fail", int(count) if count else None)

    def use(self) -> None:
        """Use one failure up."""
        if self.left is not None:
            self.left -= 1
            self.fails = self.left > 0


@attrs.define(eq=False)
class _Switches:
    """What is to go wrong on one host, and what has begun there."""

    starts: _Trial = attrs.field(factory=_Trial)
    migrations: _Trial = attrs.field(factory=_Trial)
    is_sick: bool = False
    dies_after_s: Optional[float] = None
    # The last start that was seen to begin, and whether it was to fail.
    pid: Optional[int] = None
    is_failing: bool = False
    # When a VM is killed, by its process: seconds after it began to run.
    doomed: dict[int, float] = attrs.field(factory=dict)
    # The last arrival that was killed.
    refused: Optional[int] = None


class VmFaults:
    """The switches of all hosts of a lab; a thread looks after them from the first word on."""

    def __init__(
        self,
        hosts: Mapping[str, Host],
        well: Origin,
        sick: Optional[Origin],
        *,
        breaks_files: bool = True,
    ) -> None:
        """
        Start every host's VMs well.

        *sick* is where those start that never get healthy. *breaks_files*: the lease is taken
        before QEMU reads the guest's files.
        """
        self._hosts = hosts
        self._breaks_files = breaks_files
        self._well, self._sick = well, sick
        self._switches = {name: _Switches() for name in hosts}
        self._guard = threading.Lock()
        self._ends = threading.Event()
        self._thread: Optional[threading.Thread] = None
        for host in hosts.values():
            host.guest_files.lead(well)

    def set(self, name: str, words: Mapping[str, str]) -> None:
        """Set switches of a host; the others stay."""
        with self._guard:
            switches = self._switches[name]
            if "starts" in words:
                switches.starts = _Trial.of(words["starts"])
            if "migrations" in words:
                switches.migrations = _Trial.of(words["migrations"])
            if "boots" in words:
                word, _, seconds = words["boots"].partition(" ")
                switches.is_sick = word == "never"
                switches.dies_after_s = float(seconds) if seconds else None
            self._lead(name, switches)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="vm-faults", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop observing."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join()

    def _lead(self, name: str, switches: _Switches) -> None:
        origin = self._sick if switches.is_sick else self._well
        is_broken = switches.starts.fails and self._breaks_files
        self._hosts[name].guest_files.lead(None if is_broken else origin)

    def _run(self) -> None:
        while not self._ends.wait(_LOOK_S):
            records = {name: host.vm() for name, host in self._hosts.items()}
            with self._guard:
                for name, record in records.items():
                    self._look(name, self._switches[name], record)
                    if record is not None and record.phase is Phase.ARRIVING:
                        self._refuse(name, record, records)

    def _look(self, name: str, switches: _Switches, record: Optional[VmRecord]) -> None:
        is_new = record is not None and record.pid != switches.pid
        if switches.is_failing and (record is None or is_new):
            # The VM has ended. A start that was refused the lease has not failed.
            switches.is_failing = False
            if self._hosts[name].lease_is_taken():
                switches.starts.use()
                self._lead(name, switches)
        if record is None:
            return
        if is_new and record.phase is Phase.STARTING:
            switches.pid = record.pid
            switches.is_failing = switches.starts.fails
            if switches.is_failing and not self._breaks_files:
                switches.doomed[record.pid] = 0.0
            elif switches.dies_after_s is not None:
                switches.doomed[record.pid] = switches.dies_after_s
        runs_for_s = time.monotonic() - record.since if record.phase is Phase.RUNNING else 0.0
        if runs_for_s > switches.doomed.get(record.pid, math.inf):
            del switches.doomed[record.pid]
            send_signal(record, signal.SIGKILL)

    def _refuse(
        self, name: str, record: VmRecord, records: Mapping[str, Optional[VmRecord]]
    ) -> None:
        """Kill what would receive a VM whose migrations are to fail."""
        for source, vm in records.items():
            switches = self._switches[source]
            is_from_there = (
                vm is not None
                and vm.is_leaving
                and vm.leaving_to == self._hosts[name].host_id
                and record.pid != switches.refused
            )
            if is_from_there and switches.migrations.fails:
                switches.refused = record.pid
                switches.migrations.use()
                send_signal(record, signal.SIGKILL)
