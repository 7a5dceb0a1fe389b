"""Some hosts on this machine with a VM that runs on one of them, whatever the VM is."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

import psutil

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.leases.files.movable import MovableEmbedded
from he_fsm.runtime.leases.files.records import create_lockspace
from he_fsm.runtime.ports import Hypervisor, MovableLease, Peer, VmAccess
from he_fsm.snapshot import Outcome, Result, VmState
from he_fsm.testing.waiting import until

WATCHDOG_S: Final = 60.0
_SOCKET: Final = "vm.lease"


def free_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class VmHosts(ABC):
    """
    Hosts 1 and 2, each with a run folder and its host id taken; a subclass says what their VM is.

    The leases are embedded ones. `tear_down` ends everything whose command line names the folder.
    """

    def __init__(self, folder: Path, io_timeout_s: float = 30.0) -> None:
        """Make the hosts below *folder*."""
        self.folder = folder
        self.ids = (1, 2)
        self.io_timeout_s = io_timeout_s
        for host_id in self.ids:
            self.run_dir(host_id).mkdir(parents=True)
        self.leases = self.join_all()
        self._hypervisors: dict[int, Hypervisor] = {}
        # Other tests' processes, whose status they have not asked for.
        self._others = set(psutil.Process().children())
        self.told: dict[int, list[Result]] = {host_id: [] for host_id in self.ids}

    def join_all(self) -> dict[int, Any]:
        """Return what has taken each host's id: `Leases` with a `close`, if they need one."""
        self.leases_folder = self.folder / "leases"
        create_lockspace(self.leases_folder)
        leases = {
            host_id: EmbeddedLeases(
                self.leases_folder, host_id, f"host{host_id}", self.io_timeout_s, WATCHDOG_S
            )
            for host_id in self.ids
        }
        for each in leases.values():
            each.join()
        return leases

    def run_dir(self, host_id: int) -> Path:
        """Return the run folder of a host."""
        return self.folder / "hosts" / str(host_id) / "run"

    def lease(self, host_id: int) -> MovableLease:
        """Return how the host's VM takes the engine's lease."""
        return MovableEmbedded(
            folder=self.leases_folder,
            host_id=host_id,
            io_timeout_s=self.io_timeout_s,
            watchdog_s=WATCHDOG_S,
            socket=self.run_dir(host_id) / _SOCKET,
        )

    # What a subclass has to say.

    @abstractmethod
    def make(self, host_id: int) -> Hypervisor:
        """Make a host's adapter, as its agent does when it starts."""

    @abstractmethod
    def access(self, host_id: int) -> VmAccess:
        """Make what others on the host find the VM by."""

    @abstractmethod
    def page(self) -> Optional[int]:
        """Return the health page's status; None: nobody answers."""

    @abstractmethod
    def pause(self, host_id: int) -> None:
        """Pause the VM, as an error of its disk would."""

    @abstractmethod
    def resume(self, host_id: int) -> None:
        """Resume the VM."""

    @abstractmethod
    def starts_slowly(self, host_id: int) -> None:
        """Make the next start take long enough to be observed, 0.2 s or more."""

    @abstractmethod
    def shuts_down_slowly(self, host_id: int) -> None:
        """Make the guest's shutdown take long enough to be observed, 0.2 s or more."""

    def migrates_slowly(self, host_id: int) -> None:
        """Make a migration from a host take longer than any test; where VMs migrate at all."""
        raise NotImplementedError

    # The agents.

    def hypervisor(self, host_id: int) -> Hypervisor:
        """Return the hypervisor as the host's agent has it."""
        if host_id not in self._hypervisors:
            self._hypervisors[host_id] = self.make(host_id)
        return self._hypervisors[host_id]

    def restart_agent(self, host_id: int) -> None:
        """End the agent; the next question is another's, who knows nothing."""
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
        self.hypervisor(source).migrate(Peer(target))
        until(lambda: self.state(source) is VmState.LEAVING or self.told[source])

    def wake_event(self, host_id: int) -> threading.Event:
        """Return an event that is set whenever the hypervisor tells of a change."""
        event = threading.Event()
        self.hypervisor(host_id).watch(event.set)
        return event

    # Conditions.

    def pid(self, host_id: int) -> int:
        """Return the number of the VM's process."""
        vm = self.access(host_id).identity()
        if vm is None:
            msg = f"no VM is on host {host_id}"
            raise AssertionError(msg)
        return vm.pid

    def signal(self, host_id: int, number: signal.Signals) -> None:
        """Send a signal to the VM's process."""
        os.kill(self.pid(host_id), number)

    def state(self, host_id: int) -> VmState:
        """Ask a host's hypervisor, and keep the results that it tells in `told`."""
        seen = self.hypervisor(host_id).observe()
        self.told[host_id] += seen.results
        return seen.vm.state

    def outcomes(self, host_id: int) -> list[Outcome]:
        """Return what the hypervisor has told so far."""
        return [result.outcome for result in self.told[host_id]]

    def reaches(self, host_id: int, state: VmState) -> None:
        """Wait until a host's VM is in a state."""
        until(lambda: self.state(host_id) is state)

    def is_good_on(self, host_id: int) -> bool:
        """Whether the VM is up on a host, and its page good."""
        return self.state(host_id) is VmState.UP and self.page() == 200

    def owner(self) -> Optional[int]:
        """Return who has the engine's lease; None: nobody, or somebody takes it just now."""
        try:
            owner: Optional[int] = self.leases[self.ids[0]].status().view.owner
        except LockspaceError as error:
            if error.errno != errno.EAGAIN:
                raise
            return None
        return owner

    def running(self) -> list[int]:
        """Return the hosts on which a VM's process lives."""
        return [host_id for host_id in self.ids if self.access(host_id).identity() is not None]

    def processes(self) -> list[psutil.Process]:
        """Return every living process that has to do with these hosts."""
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
        """Collect the status of the hypervisors' children; return whether none is left over."""
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
