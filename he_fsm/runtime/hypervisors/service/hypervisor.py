"""
A hypervisor whose engine is a service of this host; implements `ports.Hypervisor`.

In the run folder of its host it keeps

    vm.json       the service (`vm_file`); it survives the agent, and so does the service
    vm.log        what the service says, and what looks after it
    vm.report     whether the last start got the lease
    vm.inside     locked while anything of the service is left, whoever looks after it

The process that the lease manager knows is the `keeper`. A service does not move while it runs: a
planned move is a stop here and a start there, where the policy asks for it.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Optional, Protocol

import attrs

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.service.keeper import KeeperSettings
from he_fsm.runtime.hypervisors.service.tree import kill_holders, kill_marked
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.hypervisors.vm_process import begin, has_ended, send_signal, why_not_started
from he_fsm.runtime.hypervisors.vm_watcher import Watcher
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.ports import LeaseHolder, Observation, Peer
from he_fsm.snapshot import LocalVm, Outcome, Result, VmState

_log = logging.getLogger(__name__)
# The file that is locked while anything of the service is left, in the run folder.
INSIDE: Final = "vm.inside"
_KEEPER: Final = "he_fsm.runtime.hypervisors.service.keeper"
# What a keeper leaves is ended by the warden in milliseconds; an observation may wait for so long.
_SOON_S: Final = 0.15
_LOOK_S: Final = 0.005
# Where nobody ends what is left for so long, this does (seconds).
_ORPHANED_S: Final = 1.0
# How often it is looked whether the service runs without its lease (seconds).
_STRAYS_S: Final = 2.0
_LEFT: Final = "what the service has left behind is being ended"


class Strays(Protocol):
    """What can run here although no keeper has the lease for it; one thread asks."""

    def run(self) -> bool:
        """Return whether it runs; waits for half a second at most."""

    def end(self) -> None:
        """Order its end."""

    def close(self) -> None:
        """Release what asking needs."""


@attrs.frozen(kw_only=True)
class ServiceSettings:
    """
    The run folder, the Python that runs the keeper, and what it keeps the lease for.

    `strays`: None where nothing runs but by the keeper.
    """

    run_dir: Path
    python: str
    keeper: KeeperSettings
    strays: Optional[Strays] = None


class ServiceHypervisor:
    """
    The engine as a service of this host.

    Methods may be called from one thread at a time.
    """

    def __init__(self, settings: ServiceSettings, holder: LeaseHolder) -> None:
        """Look after the run folder of *settings*; a service that runs there is adopted."""
        self._settings = settings
        self._holder = holder
        self._run_dir = settings.run_dir
        self._file = VmFile(settings.run_dir / STATE)
        self._lock = VmLock(settings.run_dir / INSIDE)
        self._results: list[Result] = []
        # The service as it was last seen, so that its end can be judged; None: there is none.
        self._seen: Optional[VmRecord] = None
        # Processes that may be this one's children: their status has to be asked for.
        self._pids: set[int] = set()
        self._watcher: Optional[Watcher] = None
        # Since when something is left that no keeper looks after; for the watcher's thread.
        self._orphaned_at: Optional[float] = None
        # The first look is the watching thread's too: whoever begins to watch does not wait for it.
        self._strays_at = time.monotonic()

    # Ask.

    def observe(self) -> Observation:
        """Return the service here, and how deeds have ended."""
        try:
            with self._asking():
                record, is_left = self._look()
        except HypervisorError as error:
            return Observation(vm=LocalVm(VmState.UNKNOWN), detail=str(error))
        results, self._results = tuple(self._results), []
        if record is not None:
            state = _state(record)
            since = None if state is VmState.PAUSED else record.since
            return Observation(vm=LocalVm(state), results=results, since=since)
        if is_left:
            return Observation(vm=LocalVm(VmState.STOPPING), results=results, detail=_LEFT)
        return Observation(vm=LocalVm(VmState.ABSENT), results=results)

    # Act.

    def start(self) -> None:
        """Take the lease and start the service here, unless one is here."""
        with self._asking():
            record, is_left = self._look()
            if is_left:
                self._tell(Outcome.START_REFUSED, _LEFT)
            elif record is None:
                self._start()

    def shut_down(self) -> None:
        """Have the keeper stop the service; one that is paused does not see it."""
        with self._asking():
            record, _ = self._look()
            if record is not None and _state(record) is not VmState.PAUSED:
                send_signal(record, signal.SIGTERM)

    def power_off(self) -> None:
        """End the service at once, and what it has left."""
        with self._asking():
            record, is_left = self._look()
            if record is not None:
                send_signal(record, signal.SIGKILL)
            elif is_left:
                kill_holders(self._lock.path)

    def migrate(self, peer: Peer) -> None:
        """Refuse: what runs here can't move while it runs."""
        del peer
        self._tell(Outcome.MIGRATION_FAILED, "a service can't move while it runs")

    def cancel_migration(self) -> None:
        """Do nothing: none is ever under way."""

    def give_up_arrival(self) -> None:
        """Do nothing: none ever arrives."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever something about the service here changes."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = Watcher(self._file, wake, self._look_for_orphans)

    def close(self) -> None:
        """Watch no more; a running service runs on."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        if self._settings.strays is not None:
            self._settings.strays.close()
        self._reap()

    # Look.

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, LockspaceError) as error:
            msg = f"the service can't be looked after: {error}"
            raise HypervisorError(msg) from error

    def _look(self) -> tuple[Optional[VmRecord], bool]:
        """Return the service that is here, or whether something of it is left; note its end."""
        record = self._file.read()
        self._reap()
        if record is not None:
            self._pids.add(record.pid)
            if record.is_here:
                if self._seen is not None and self._seen.pid != record.pid:
                    self._judge(self._seen)
                self._seen = record
                return record, False
        if not self._is_empty_soon():
            return None, True
        # safety: keeper and warden have both been killed, and what is left has not even the lease.
        if record is not None and kill_marked(str(self._lock.path)):
            return None, True
        ended, self._seen = self._seen, None
        if ended is not None:
            # The record's last words, if it is the same run's.
            self._judge(record if record is not None and record.pid == ended.pid else ended)
        if record is not None:
            self._file.clear(record)
        return None, False

    def _is_empty_soon(self) -> bool:
        """Whether nothing is left, or will be in a moment: who ends it has been told to."""
        until = time.monotonic() + _SOON_S
        while not self._lock.is_free():
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_S)
        return True

    def _judge(self, record: VmRecord) -> None:
        """Tell how a run has ended of which nothing is left."""
        if record.phase is Phase.STARTING:
            result = why_not_started(self._run_dir)
            if result.outcome is Outcome.START_FAILED and record.ending:
                result = Result(Outcome.START_FAILED, record.ending)
            self._results.append(result)
        elif record.ending:
            self._tell(Outcome.GUEST_DIED, record.ending)

    def _look_for_orphans(self) -> bool:
        """Say whether something is left; end it where nobody else does. For the watcher."""
        try:
            has_keeper, is_left = self._is_kept(), not self._lock.is_free()
        except (OSError, ValueError, LockspaceError):
            # The agent finds it out when it asks.
            return False
        now = time.monotonic()
        if has_keeper or not is_left:
            self._orphaned_at = None
            if not has_keeper and now >= self._strays_at + _STRAYS_S:
                self._strays_at = now
                self._end_strays()
            return is_left
        if self._orphaned_at is None:
            self._orphaned_at = now
        elif now > self._orphaned_at + _ORPHANED_S:
            # safety: keeper and warden have both been killed; what is left still has the lease.
            kill_holders(self._lock.path)
        return True

    def _is_kept(self) -> bool:
        record = self._file.read()
        return record is not None and record.is_here

    def _end_strays(self) -> None:
        """End a service that somebody has started without the lease."""
        strays = self._settings.strays
        if strays is None or not strays.run():
            return
        with suppress(OSError, ValueError, LockspaceError):
            # What a keeper has started meanwhile has its record from before that.
            if not self._is_kept() and self._lock.is_free():
                _log.critical("the service runs here without its lease: it is ended")
                # safety: another host may start it at any moment, or has done so.
                strays.end()

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
                port=0,
                since=time.monotonic(),
            )
            if not self._file.claim(record):
                return False
            self._seen = record
            return True

        settings = self._settings
        command = (settings.python, "-m", _KEEPER, "--settings", settings.keeper.to_text())
        begin(self._run_dir, lambda descriptor: self._holder.wrap(command, descriptor), claim)


def _state(record: VmRecord) -> VmState:
    if record.phase is Phase.STARTING:
        return VmState.STARTING
    if record.is_stopped:
        return VmState.PAUSED
    return VmState.STOPPING if record.phase is Phase.STOPPING else VmState.UP
