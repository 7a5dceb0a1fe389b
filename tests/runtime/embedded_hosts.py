"""Hosts of this machine with an embedded hypervisor each, for tests."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Optional

import attrs
import psutil

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors.embedded import EmbeddedHypervisor, EmbeddedSettings
from he_fsm.runtime.hypervisors.faults import Faults
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.hypervisors.witness import DOUBLE, WitnessLine, read_log
from he_fsm.runtime.leases.embedded import EmbeddedLeases
from he_fsm.runtime.leases.hold import EmbeddedHolder
from he_fsm.runtime.leases.records import create_lockspace
from he_fsm.snapshot import Result, VmState
from tests.runtime.waiting import until

PAGE = "/ovirt-engine/services/health"
WATCHDOG_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class EmbeddedHosts:
    """Some hosts, their leases joined, their times short."""

    def __init__(self, folder: Path, io_timeout_s: float = 30.0) -> None:
        self.folder = folder
        self.ids = (1, 2)
        self.io_timeout_s = io_timeout_s
        self.leases_folder = folder / "leases"
        self.witness = folder / "engine.witness"
        self.port = free_port()
        create_lockspace(self.leases_folder)
        self.leases = {host_id: self._leases(host_id) for host_id in self.ids}
        self.settings = {host_id: self._settings(host_id) for host_id in self.ids}
        for host_id in self.ids:
            self.settings[host_id].run_dir.mkdir(parents=True)
            self.leases[host_id].join()
        self._hypervisors: dict[int, EmbeddedHypervisor] = {}
        self.told: dict[int, list[Result]] = {host_id: [] for host_id in self.ids}
        for host_id in self.ids:
            self.hypervisor(host_id)

    def _leases(self, host_id: int) -> EmbeddedLeases:
        return EmbeddedLeases(
            self.leases_folder, host_id, f"host{host_id}", self.io_timeout_s, WATCHDOG_S
        )

    def _settings(self, host_id: int) -> EmbeddedSettings:
        return EmbeddedSettings(
            host_id=host_id,
            run_dir=self.folder / "hosts" / str(host_id) / "run",
            hosts=str(self.folder / "hosts" / "{id}" / "run"),
            leases=self.leases_folder,
            witness=self.witness,
            port=self.port,
            io_timeout_s=self.io_timeout_s,
            watchdog_s=WATCHDOG_S,
            start_s=0.05,
            boot_s=0.1,
            shutdown_s=0.1,
            migration_s=0.2,
        )

    def change(self, host_id: int, **settings: float) -> None:
        """Let the next agent of a host have other times."""
        self.settings[host_id] = attrs.evolve(self.settings[host_id], **settings)
        self.restart_agent(host_id)

    def hypervisor(self, host_id: int) -> EmbeddedHypervisor:
        """Give the hypervisor as the host's agent has it."""
        if host_id not in self._hypervisors:
            holder = EmbeddedHolder(
                folder=self.leases_folder,
                host_id=host_id,
                io_timeout_s=self.io_timeout_s,
                watchdog_s=WATCHDOG_S,
            )
            self._hypervisors[host_id] = EmbeddedHypervisor(self.settings[host_id], holder)
        return self._hypervisors[host_id]

    def restart_agent(self, host_id: int) -> None:
        """The agent ends; the next question is another's, who knows nothing."""
        hypervisor = self._hypervisors.pop(host_id, None)
        if hypervisor is not None:
            hypervisor.close()

    # What happens to the VM.

    def switch(self, host_id: int, **words: str) -> None:
        Faults(self.settings[host_id].run_dir).set(**words)

    def signal(self, host_id: int, number: signal.Signals) -> None:
        os.kill(self.record(host_id).pid, number)

    def kill_process(self, host_id: int) -> None:
        """Kill the VM's process on a host, if there is one, and wait for its end."""
        record = VmFile(self.settings[host_id].run_dir / "vm.json").read()
        if record is not None and record.is_here:
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            until(lambda: record.process_state is None)

    # What is so.

    def record(self, host_id: int) -> VmRecord:
        record = VmFile(self.settings[host_id].run_dir / "vm.json").read()
        assert record is not None
        return record

    def state(self, host_id: int) -> VmState:
        """Ask a host's hypervisor, and keep what it has to tell."""
        hypervisor = self.hypervisor(host_id)
        state = hypervisor.vm().state
        self.told[host_id] += hypervisor.results()
        return state

    def reaches(self, host_id: int, state: VmState) -> None:
        until(lambda: self.state(host_id) is state)

    def page(self) -> Optional[int]:
        """Give the health page's status; None: nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", PAGE)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def is_good_on(self, host_id: int) -> bool:
        return self.state(host_id) is VmState.UP and self.page() == 200

    def start(self, host_id: int) -> None:
        """Start the VM, and wait until its page is good."""
        self.hypervisor(host_id).start()
        until(lambda: self.is_good_on(host_id))

    def migrates(self, source: int, target: int) -> None:
        """Order a migration, and wait until it is under way (or even over, on a busy machine)."""
        self.hypervisor(source).migrate(target)
        until(lambda: self.state(source) is VmState.LEAVING or self.told[source])

    def owner(self) -> Optional[int]:
        """Give who has the engine's lease; None: nobody, or somebody is taking it just now."""
        try:
            return self.leases[self.ids[0]].status().view.owner
        except LockspaceError as error:
            if error.errno != errno.EAGAIN:
                raise
            return None

    def witnessed(self) -> tuple[WitnessLine, ...]:
        return read_log(self.witness)

    @property
    def words(self) -> list[str]:
        return [line.word for line in self.witnessed()]

    def running(self) -> list[int]:
        """Give the hosts on which a VM runs, by the records of living processes."""
        files = {
            host_id: VmFile(settings.run_dir / "vm.json").read()
            for host_id, settings in self.settings.items()
        }
        return [
            host_id
            for host_id, record in files.items()
            if record is not None and record.is_here and record.phase is Phase.RUNNING
        ]

    def processes(self) -> list[psutil.Process]:
        """Give every living process that has to do with these hosts."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if str(self.folder) in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def wake_event(self, host_id: int) -> threading.Event:
        """Give an event that is set whenever the hypervisor tells of a change."""
        event = threading.Event()
        self.hypervisor(host_id).watch(event.set)
        return event

    def tear_down(self) -> None:
        """End everything; fails where two VMs executed or something is left."""
        for process in self.processes():
            process.kill()
        until(lambda: not self.processes())
        for host_id in self.ids:
            self.switch(host_id, hypervisor="ok")
            self.reaches(host_id, VmState.ABSENT)
        until(self.has_no_dying_children)
        for host_id in self.ids:
            self.restart_agent(host_id)
            self.leases[host_id].close()
        assert DOUBLE not in self.words

    def has_no_dying_children(self) -> bool:
        """Let the hypervisors ask for their children's status; say whether none is left over."""
        for host_id in self.ids:
            self.state(host_id)
        return not any(_is_dying(child) for child in psutil.Process().children())


def _is_dying(process: psutil.Process) -> bool:
    """Whether a process is on its way out, or is a zombie already."""
    try:
        return not process.cmdline()
    except psutil.ZombieProcess:
        return True
    except psutil.NoSuchProcess:
        return False
