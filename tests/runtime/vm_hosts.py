"""Hosts of this machine with a VM that moves between them, for tests of any hypervisor."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Optional

import psutil

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.leases.embedded import EmbeddedLeases
from he_fsm.runtime.leases.records import create_lockspace
from he_fsm.runtime.ports import Hypervisor
from he_fsm.snapshot import Outcome, Result, VmState
from tests.runtime.waiting import until

WATCHDOG_S = 60.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class VmHosts:
    """Some hosts, their leases joined; what their VMs are is the subclass's business."""

    def __init__(self, folder: Path, io_timeout_s: float = 30.0) -> None:
        self.folder = folder
        self.ids = (1, 2)
        self.io_timeout_s = io_timeout_s
        self.leases_folder = folder / "leases"
        create_lockspace(self.leases_folder)
        self.leases = {host_id: self._leases(host_id) for host_id in self.ids}
        for host_id in self.ids:
            self.run_dir(host_id).mkdir(parents=True)
            self.leases[host_id].join()
        self._hypervisors: dict[int, Hypervisor] = {}
        # Other tests' processes, whose status they have not asked for.
        self._others = set(psutil.Process().children())
        self.told: dict[int, list[Result]] = {host_id: [] for host_id in self.ids}

    def _leases(self, host_id: int) -> EmbeddedLeases:
        return EmbeddedLeases(
            self.leases_folder, host_id, f"host{host_id}", self.io_timeout_s, WATCHDOG_S
        )

    def run_dir(self, host_id: int) -> Path:
        return self.folder / "hosts" / str(host_id) / "run"

    # What a subclass has to say.

    def _make(self, host_id: int) -> Hypervisor:
        raise NotImplementedError

    def page(self) -> Optional[int]:
        """Give the health page's status; None: nobody answers."""
        raise NotImplementedError

    def pause(self, host_id: int) -> None:
        """Let the VM execute no more, as an error of its disk would."""
        raise NotImplementedError

    def resume(self, host_id: int) -> None:
        raise NotImplementedError

    def starts_slowly(self, host_id: int) -> None:
        """Let a start take long enough to be looked at."""
        raise NotImplementedError

    def shuts_down_slowly(self, host_id: int) -> None:
        raise NotImplementedError

    def migrates_slowly(self, host_id: int) -> None:
        """Let a migration take longer than any test."""
        raise NotImplementedError

    # The agents.

    def hypervisor(self, host_id: int) -> Hypervisor:
        """Give the hypervisor as the host's agent has it."""
        if host_id not in self._hypervisors:
            self._hypervisors[host_id] = self._make(host_id)
        return self._hypervisors[host_id]

    def restart_agent(self, host_id: int) -> None:
        """The agent ends; the next question is another's, who knows nothing."""
        hypervisor = self._hypervisors.pop(host_id, None)
        if hypervisor is not None:
            hypervisor.close()

    def start(self, host_id: int) -> None:
        """Start the VM, and wait until its page is good."""
        self.hypervisor(host_id).start()
        until(lambda: self.is_good_on(host_id))

    def migrates(self, source: int, target: int) -> None:
        """Order a migration, and wait until it is under way (or even over, on a busy machine)."""
        self.hypervisor(target)
        self.hypervisor(source).migrate(target)
        until(lambda: self.state(source) is VmState.LEAVING or self.told[source])

    def wake_event(self, host_id: int) -> threading.Event:
        """Give an event that is set whenever the hypervisor tells of a change."""
        event = threading.Event()
        self.hypervisor(host_id).watch(event.set)
        return event

    # What is so.

    def signal(self, host_id: int, number: signal.Signals) -> None:
        os.kill(self.record(host_id).pid, number)

    def record(self, host_id: int) -> VmRecord:
        record = VmFile(self.run_dir(host_id) / "vm.json").read()
        assert record is not None
        return record

    def state(self, host_id: int) -> VmState:
        """Ask a host's hypervisor, and keep what it has to tell."""
        hypervisor = self.hypervisor(host_id)
        state = hypervisor.vm().state
        self.told[host_id] += hypervisor.results()
        return state

    def outcomes(self, host_id: int) -> list[Outcome]:
        return [result.outcome for result in self.told[host_id]]

    def reaches(self, host_id: int, state: VmState) -> None:
        until(lambda: self.state(host_id) is state)

    def is_good_on(self, host_id: int) -> bool:
        return self.state(host_id) is VmState.UP and self.page() == 200

    def owner(self) -> Optional[int]:
        """Give who has the engine's lease; None: nobody, or somebody is taking it just now."""
        try:
            return self.leases[self.ids[0]].status().view.owner
        except LockspaceError as error:
            if error.errno != errno.EAGAIN:
                raise
            return None

    def running(self) -> list[int]:
        """Give the hosts on which a VM runs, by the records of living processes."""
        files = {host_id: VmFile(self.run_dir(host_id) / "vm.json").read() for host_id in self.ids}
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

    def tear_down(self) -> None:
        """End everything; fails where something is left."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        until(lambda: not self.processes())
        for host_id in self.ids:
            self.reaches(host_id, VmState.ABSENT)
        until(self.has_no_dying_children)
        for host_id in self.ids:
            self.restart_agent(host_id)
            self.leases[host_id].close()

    def has_no_dying_children(self) -> bool:
        """Let the hypervisors ask for their children's status; say whether none is left over."""
        for host_id in self.ids:
            self.state(host_id)
        children = set(psutil.Process().children()) - self._others
        return not any(_is_dying(child) for child in children)


def _is_dying(process: psutil.Process) -> bool:
    """Whether a process is on its way out, or is a zombie already."""
    try:
        return not process.cmdline()
    except psutil.ZombieProcess:
        return True
    except psutil.NoSuchProcess:
        return False
