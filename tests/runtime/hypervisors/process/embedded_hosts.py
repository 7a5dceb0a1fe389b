"""Hosts of this machine with an embedded hypervisor each, for tests."""

from __future__ import annotations

import http.client
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.runtime.hypervisors.process.faults import Faults
from he_fsm.runtime.hypervisors.process.hypervisor import EmbeddedHypervisor, EmbeddedSettings
from he_fsm.runtime.hypervisors.process.vm.witness import DOUBLE, WitnessLine, read_log
from he_fsm.runtime.hypervisors.vm_file import VmFile
from he_fsm.runtime.leases.files.hold import EmbeddedHolder
from he_fsm.testing.vm_hosts import WATCHDOG_S, free_port
from he_fsm.testing.waiting import until
from tests.runtime.hypervisors.vm_hosts import RecordedHosts

PAGE = "/ovirt-engine/services/health"


class EmbeddedHosts(RecordedHosts):
    """Some hosts with short times."""

    def __init__(self, folder: Path, io_timeout_s: float = 30.0) -> None:
        super().__init__(folder, io_timeout_s)
        self.witness = folder / "engine.witness"
        self.port = free_port()
        self.settings = {host_id: self._settings(host_id) for host_id in self.ids}
        for host_id in self.ids:
            self.hypervisor(host_id)

    def _settings(self, host_id: int) -> EmbeddedSettings:
        return EmbeddedSettings(
            host_id=host_id,
            run_dir=self.run_dir(host_id),
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
        """Set other times for the next agent of a host."""
        self.settings[host_id] = attrs.evolve(self.settings[host_id], **settings)
        self.restart_agent(host_id)

    def make(self, host_id: int) -> EmbeddedHypervisor:
        holder = EmbeddedHolder(
            folder=self.leases_folder,
            host_id=host_id,
            io_timeout_s=self.io_timeout_s,
            watchdog_s=WATCHDOG_S,
        )
        return EmbeddedHypervisor(self.settings[host_id], holder)

    def starts_slowly(self, host_id: int) -> None:
        self.change(host_id, start_s=1.0)

    def shuts_down_slowly(self, host_id: int) -> None:
        self.change(host_id, shutdown_s=0.3)

    def migrates_slowly(self, host_id: int) -> None:
        self.change(host_id, migration_s=30.0)

    # What happens to the VM.

    def switch(self, host_id: int, **words: str) -> None:
        Faults(self.settings[host_id].run_dir).set(**words)

    def pause(self, host_id: int) -> None:
        self.signal(host_id, signal.SIGSTOP)

    def resume(self, host_id: int) -> None:
        self.signal(host_id, signal.SIGCONT)

    def kill_process(self, host_id: int) -> None:
        """Kill the VM's process on a host, if there is one, and wait for its end."""
        record = VmFile(self.settings[host_id].run_dir / "vm.json").read()
        if record is not None and record.is_here:
            with suppress(ProcessLookupError):
                os.kill(record.pid, signal.SIGKILL)
            until(lambda: record.process_state is None)

    # What is so.

    def page(self) -> Optional[int]:
        """Return the health page's status; None: nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", PAGE)
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def witnessed(self) -> tuple[WitnessLine, ...]:
        return read_log(self.witness)

    @property
    def words(self) -> list[str]:
        return [line.word for line in self.witnessed()]

    def tear_down(self) -> None:
        """End everything; fails where two VMs executed or something is left."""
        for host_id in self.ids:
            self.switch(host_id, hypervisor="ok")
        super().tear_down()
        assert DOUBLE not in self.words
