"""
A hypervisor whose VM is a process of this machine, with the rules of a real one.

For rehearsals, demonstrations and tests: several hosts on one machine, each with a run folder of
its own, in which this keeps

    vm.json       the VM (`vm_file`); it survives the agent, and so does the VM
    vm.log        what the VM's process says
    vm.report     whether the last start got the lease
    vm.orders     the VM's own named pipe for orders (`vm.engine`)
    host.json     this host's paths to what is shared, for VMs that arrive
    faults.json   switches by which a rehearsal lets things fail (`faults`)

The VM is a process of its own session (`vm.engine`). It is told apart from others of its
number, watched by a descriptor of the process, and adopted by the next agent.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.process.faults import DIE, FAIL, LOST, NEVER, Faults
from he_fsm.runtime.hypervisors.process.vm.options import HOST, ORDERS, VmOptions
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.hypervisors.vm_process import (
    begin,
    has_ended,
    send_signal,
    why_not_started,
)
from he_fsm.runtime.hypervisors.vm_watcher import Watcher
from he_fsm.runtime.ports import LeaseHolder, Observation, Peer
from he_fsm.runtime.service.files import write_json
from he_fsm.snapshot import LocalVm, Outcome, Result, VmState

# How long a VM may take to obey an order to leave (seconds).
_OBEYS_WITHIN_S = 2.0


@attrs.frozen(kw_only=True)
class EmbeddedSettings:
    """
    One host of this machine; times in seconds.

    `hosts`: the path of any host's run folder, with `{id}` in place of its id; `run_dir` is this
    host's. `leases`, `io_timeout_s`, `watchdog_s`: the lockspace. `witness`: the file by which
    rehearsals know that never two VMs execute, one for all hosts.
    """

    host_id: int
    run_dir: Path
    hosts: str
    leases: Path
    witness: Path
    port: int
    io_timeout_s: float = 10.0
    watchdog_s: float = 60.0
    start_s: float = 5.0
    boot_s: float = 55.0
    shutdown_s: float = 20.0
    migration_s: float = 15.0


class EmbeddedHypervisor:
    """
    The engine VM as a process; implements `ports.Hypervisor`.

    Methods may be called from one thread at a time.
    """

    def __init__(self, settings: EmbeddedSettings, holder: LeaseHolder) -> None:
        """
        Look after the run folder of *settings*; a VM that runs there is adopted.

        Raises:
            HeFsmError: the run folder can't be written.
        """
        self._settings = settings
        paths = {"leases": str(settings.leases), "witness": str(settings.witness)}
        write_json(settings.run_dir / HOST, paths)
        self._holder = holder
        self._run_dir = settings.run_dir
        self._file = VmFile(settings.run_dir / STATE)
        self._faults = Faults(settings.run_dir)
        self._results: list[Result] = []
        # The VM as it was last seen, so that its end can be judged; None: no VM.
        self._seen: Optional[VmRecord] = None
        # Processes that may be this one's children: their status has to be asked for.
        self._pids: set[int] = set()
        self._watcher: Optional[Watcher] = None
        # The VM as it was when it was ordered to leave, until it obeys; and when that was.
        self._ordered: Optional[tuple[VmRecord, float]] = None

    # Ask.

    def observe(self) -> Observation:
        """Return the VM here, and how deeds have ended."""
        try:
            with self._asking():
                record = self._look()
        except HypervisorError as error:
            return Observation(vm=LocalVm(VmState.UNKNOWN), detail=str(error))
        results, self._results = tuple(self._results), []
        if record is None:
            return Observation(vm=LocalVm(VmState.ABSENT), results=results)
        state = _state(record)
        # From the order on it is leaving: seen to stay, it would be taken for failed.
        if state is VmState.UP and self._ordered is not None:
            state = VmState.LEAVING
        return Observation(
            vm=LocalVm(state),
            results=results,
            progress=_progress(record),
            detail=f"to host {record.leaving_to}" if record.is_leaving else record.failure,
            since=_since(record, state),
        )

    # Act.

    def start(self) -> None:
        """Take the lease and start the VM here, unless one is here."""
        with self._asking():
            record = self._look()
            if record is None:
                self._start()
            elif record.phase is Phase.ARRIVING:
                self._tell(Outcome.START_REFUSED, "the VM arrives here by a migration")

    def shut_down(self) -> None:
        """Press the VM's power button; a paused guest does not see it."""
        with self._asking():
            record = self._look()
            if record is not None and _state(record) not in (VmState.PAUSED, VmState.ARRIVING):
                send_signal(record, signal.SIGTERM)

    def power_off(self) -> None:
        """End the VM at once; one that only arrives is its source's."""
        with self._asking():
            record = self._look()
            if record is not None and record.phase is not Phase.ARRIVING:
                send_signal(record, signal.SIGKILL)

    def migrate(self, peer: Peer) -> None:
        """Order the VM's migration to the host *peer*, which is one of this machine."""
        with self._asking():
            record = self._look()
            if (
                record is None
                or _state(record) is not VmState.UP
                or not self._order(migrate=peer.host_id)
            ):
                self._tell(Outcome.MIGRATION_FAILED, "the VM can't be migrated now")
            else:
                self._ordered = (record, time.monotonic())

    def cancel_migration(self) -> None:
        """Order the end of a migration."""
        with self._asking():
            self._order(cancel=True)

    def give_up_arrival(self) -> None:
        """End the process that waits for a VM to arrive."""
        with self._asking():
            record = self._look()
            if record is not None and record.phase is Phase.ARRIVING:
                send_signal(record, signal.SIGKILL)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever something about the VM here changes."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = Watcher(self._file, wake)

    def close(self) -> None:
        """Watch no more; a running VM runs on."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self._reap()

    # Look.

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if self._faults.read("hypervisor") == LOST:
            msg = "the hypervisor does not answer"
            raise HypervisorError(msg)
        try:
            yield
        except (OSError, ValueError) as error:
            msg = f"the hypervisor can't be used: {error}"
            raise HypervisorError(msg) from error

    def _look(self) -> Optional[VmRecord]:
        """Return the VM that is here, and note how what was here has ended."""
        record, seen = self._file.read(), self._seen
        is_here = record is not None and record.is_here
        if seen is not None:
            self._judge(seen, record, is_here=is_here)
        if record is not None:
            self._pids.add(record.pid)
            if record.process_state is None:
                self._file.clear(record)
        self._reap()
        self._seen = record if is_here else None
        self._see_it_obey(self._seen)
        return self._seen

    def _see_it_obey(self, record: Optional[VmRecord]) -> None:
        """Wait no longer for a VM to leave that has begun to, can't, or does not in time."""
        if self._ordered is None:
            return
        before, at = self._ordered
        is_waiting = (
            record is not None
            and record.pid == before.pid
            and not record.is_leaving
            and record.failed_migrations == before.failed_migrations
        )
        if not is_waiting:
            self._ordered = None
        elif time.monotonic() > at + _OBEYS_WITHIN_S:
            self._ordered = None
            self._tell(Outcome.MIGRATION_FAILED, "the VM did not take the order")

    def _judge(self, seen: VmRecord, record: Optional[VmRecord], *, is_here: bool) -> None:
        is_same = record is not None and record.pid == seen.pid
        if record is None or not is_same:
            record = seen
        if record.failed_migrations > seen.failed_migrations:
            self._tell(Outcome.MIGRATION_FAILED, record.failure)
        if record.phase is Phase.MIGRATED:
            self._tell(Outcome.MIGRATION_DONE, f"to host {record.leaving_to}")
        elif record.phase is Phase.STARTING and not (is_same and is_here):
            self._results.append(why_not_started(self._run_dir))
        elif record.ending and not (is_same and is_here):
            self._tell(Outcome.GUEST_DIED, record.ending)

    def _tell(self, outcome: Outcome, detail: str) -> None:
        self._results.append(Result(outcome, detail))

    def _reap(self) -> None:
        """Ask for the status of children that have ended; others' children are theirs."""
        for pid in tuple(self._pids):
            if has_ended(pid):
                self._pids.discard(pid)

    # Start.

    def _start(self) -> None:
        def claim(pid: int) -> bool:
            self._pids.add(pid)
            record = VmRecord(
                pid=pid,
                started_ticks=started_ticks(pid),
                phase=Phase.STARTING,
                port=self._settings.port,
                since=time.monotonic(),
            )
            if not self._file.claim(record):
                return False
            self._seen = record
            return True

        def wrap(descriptor: int) -> tuple[str, ...]:
            return self._holder.wrap(self._options().command(), descriptor)

        begin(self._run_dir, wrap, claim)

    def _options(self) -> VmOptions:
        settings = self._settings
        boots, _, seconds = self._faults.read("boots").partition(" ")
        return VmOptions(
            host_id=settings.host_id,
            port=settings.port,
            state=self._file.path,
            witness=settings.witness,
            hosts=settings.hosts,
            leases=settings.leases,
            io_timeout_s=settings.io_timeout_s,
            watchdog_s=settings.watchdog_s,
            start_s=settings.start_s,
            boot_s=None if boots == NEVER else settings.boot_s,
            shutdown_s=settings.shutdown_s,
            migration_s=settings.migration_s,
            ordered_at=time.monotonic(),
            die_after_s=float(seconds) if boots == DIE else None,
            fail=self._faults.take("starts") == FAIL,
        )

    def _order(self, **order: Any) -> bool:
        """Write to the VM's pipe; False: nobody reads it."""
        try:
            descriptor = os.open(self._run_dir / ORDERS, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            os.write(descriptor, json.dumps(order).encode() + b"\n")
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def _progress(record: VmRecord) -> Optional[float]:
    """Return the part of the migration's time that has passed."""
    since, until = record.leaving_since, record.leaving_until
    if not record.is_leaving or since is None or until is None:
        return None
    passed_s = time.monotonic() - since
    # A migration is done when the VM runs on the other host, not before.
    return min(passed_s / (until - since), 0.99) if until > since else 0.0


def _since(record: VmRecord, state: VmState) -> Optional[float]:
    if state is VmState.LEAVING:
        return record.leaving_since
    # The time at which a process was stopped is not recorded.
    return None if state is VmState.PAUSED else record.since


def _state(record: VmRecord) -> VmState:
    if record.phase is Phase.STARTING:
        # The start of a VM that is stopped does not continue.
        return VmState.PAUSED if record.is_stopped else VmState.STARTING
    if record.phase is Phase.ARRIVING:
        return VmState.ARRIVING
    if record.is_leaving:
        return VmState.LEAVING
    if record.is_stopped:
        return VmState.PAUSED
    return VmState.STOPPING if record.phase is Phase.STOPPING else VmState.UP
