"""A hypervisor for he_fsm whose VM is a process that serves a health page (`he_fsm_toy_guest`)."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from he_fsm.document.forms import Duration, Integer
from he_fsm.document.mappings import written_as
from he_fsm.errors import HypervisorError
from he_fsm.runtime.config import Config
from he_fsm.runtime.config.kind_form import HypervisorSection, named
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.hypervisors.vm_process import (
    begin,
    has_ended,
    read_report,
    send_signal,
    why_not_started,
)
from he_fsm.runtime.kinds import HypervisorKind
from he_fsm.runtime.ports import LeaseHolder, MovableLease, Observation, Peer, VmAccess
from he_fsm.snapshot import LocalVm, Outcome, Result, VmState

STOPPED = "T"
LOOK_S = 0.1
STATES = {
    Phase.STARTING: VmState.STARTING,
    Phase.RUNNING: VmState.UP,
    Phase.STOPPING: VmState.STOPPING,
}


@attrs.frozen(kw_only=True)
class ToySection(HypervisorSection):
    """The section `hypervisor` of a configuration."""

    kind: str = named("toy", "toy: the VM is a web server")
    port: int = attrs.field(
        default=8710, metadata=written_as("port", Integer(1, 65535), "the health page's port")
    )
    boot_s: float = attrs.field(
        default=0.0, metadata=written_as("boot", Duration(), "from the start to the page")
    )
    shutdown_s: float = attrs.field(
        default=0.0, metadata=written_as("shutdown", Duration(), "how long a shut-down takes")
    )

    @property
    def health_url(self) -> str:
        """The page by which the engine is judged, unless the configuration names another."""
        return f"http://127.0.0.1:{self.port}/"


class ToyHypervisor:
    """Implements `he_fsm.runtime.ports.Hypervisor`; there are no migrations."""

    def __init__(self, run_dir: Path, command: tuple[str, ...], lease: LeaseHolder) -> None:
        """Adopt what runs in *run_dir*; a start becomes *command*, with the *lease*."""
        self._run_dir, self._command, self._lease = run_dir, command, lease
        self._file = VmFile(run_dir / STATE)
        self._results: list[Result] = []
        self._dying: set[int] = set()
        self._closing: threading.Event | None = None
        self._watcher: threading.Thread | None = None

    def observe(self) -> Observation:
        """Return the VM and the results; whatever can't be read is UNKNOWN."""
        try:
            record = self._look()
        except (OSError, ValueError, HypervisorError) as error:
            return Observation(vm=LocalVm(VmState.UNKNOWN), detail=str(error))
        results, self._results = tuple(self._results), []
        if record is None:
            return Observation(vm=LocalVm(VmState.ABSENT), results=results)
        is_stopped = record.process_state == STOPPED
        state = VmState.PAUSED if is_stopped else STATES[record.phase]
        return Observation(vm=LocalVm(state), results=results, since=record.since)

    def start(self) -> None:
        """Start the process that takes the lease and becomes the guest."""
        with_lease = lambda descriptor: self._lease.wrap(self._command, descriptor)  # noqa: E731
        try:
            if self._look() is None:
                begin(self._run_dir, with_lease, self._claim)
        except (OSError, ValueError) as error:
            msg = f"the VM can't be started: {error}"
            raise HypervisorError(msg) from error

    def shut_down(self) -> None:
        """Ask the guest to end; one that is stopped does not hear it."""
        record = self._look()
        if record is not None and record.process_state != STOPPED:
            send_signal(record, signal.SIGTERM)
            if record.phase is Phase.RUNNING:
                self._note(record, Phase.STOPPING)

    def power_off(self) -> None:
        """Kill the process."""
        record = self._look()
        if record is not None:
            send_signal(record, signal.SIGKILL)

    def migrate(self, peer: Peer) -> None:
        """Refuse."""
        text = f"this VM does not move, not to {peer} either"
        self._results.append(Result(Outcome.MIGRATION_FAILED, text))

    def cancel_migration(self) -> None:
        """Do nothing: there is none."""

    def give_up_arrival(self) -> None:
        """Do nothing: none arrives."""

    def watch(self, wake: Callable[[], None]) -> None:
        """Look ten times a second whether anything has changed."""
        self.close()
        closing = threading.Event()
        self._closing = closing
        last = self._glance()

        def run() -> None:
            seen = last
            while not closing.wait(LOOK_S):
                now = self._glance()
                if now != seen:
                    seen = now
                    wake()

        self._watcher = threading.Thread(target=run, name="toy-watcher", daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Watch no more; the VM runs on."""
        if self._closing is not None and self._watcher is not None:
            self._closing.set()
            self._watcher.join()
            self._closing = self._watcher = None

    def _look(self) -> VmRecord | None:
        """Return the VM that is here, and note how what was here has ended."""
        record = self._file.read()
        # Whoever started a process has to ask for its status, until its last thread has ended.
        self._dying = {pid for pid in self._dying if not has_ended(pid)}
        if record is None:
            return None
        if record.process_state is None:
            self._dying.add(record.pid)
            if record.phase is Phase.STARTING:
                self._results.append(why_not_started(self._run_dir))
            self._file.clear(record)
            return None
        has_lease = read_report(self._run_dir).get("lease") == "taken"
        if record.phase is Phase.STARTING and has_lease:
            return self._note(record, Phase.RUNNING)
        return record

    def _note(self, record: VmRecord, phase: Phase) -> VmRecord:
        now = attrs.evolve(record, phase=phase, since=time.monotonic())
        self._file.write(now)
        return now

    def _claim(self, pid: int) -> bool:
        return self._file.claim(
            VmRecord(
                pid=pid,
                started_ticks=started_ticks(pid),
                phase=Phase.STARTING,
                port=0,
                since=time.monotonic(),
            )
        )

    def _glance(self) -> object:
        try:
            record = self._file.read()
        except (OSError, ValueError):
            return None
        state = None if record is None else record.process_state
        has_lease = read_report(self._run_dir).get("lease")
        return record, state is None, state == STOPPED, has_lease


def guest(section: ToySection, host_id: int, witness: Path) -> tuple[str, ...]:
    """Return the guest's command; the witness proves in rehearsals that never two execute."""
    words = (section.port, section.boot_s, section.shutdown_s, host_id, witness)
    return (sys.executable, "-m", "he_fsm_toy_guest", *map(str, words))


def make(config: Config, lease: MovableLease) -> ToyHypervisor:
    """Make the adapter of a host's agent."""
    witness = config.storage.path / "witness"
    return ToyHypervisor(config.run_dir, guest(config.hypervisor, config.host.id, witness), lease)


def access(config: Config) -> VmAccess:
    """Make what the host's other processes find the VM by."""
    return RecordedVm(config.run_dir, "the toy")


KIND = HypervisorKind(section=ToySection, make=make, access=access)
