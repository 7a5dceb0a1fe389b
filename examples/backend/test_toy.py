"""The toy keeps the contract that he_fsm ships: python -m pytest test_toy.py."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from he_fsm_toy import ToyHypervisor, ToySection, guest

from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.testing.hypervisors import HypervisorContract
from he_fsm.testing.vm_hosts import VmHosts, free_port


class ToyHosts(VmHosts):
    """What the suite has to be told about toys."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.section = ToySection(port=free_port())

    def make(self, host_id: int) -> ToyHypervisor:
        command = guest(self.section, host_id, self.folder / "witness")
        return ToyHypervisor(self.run_dir(host_id), command, self.lease(host_id))

    def access(self, host_id: int) -> RecordedVm:
        return RecordedVm(self.run_dir(host_id), "the toy")

    def page(self) -> int | None:
        try:
            with urllib.request.urlopen(self.section.health_url, timeout=2) as page:
                return int(page.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def pause(self, host_id: int) -> None:
        self.signal(host_id, signal.SIGSTOP)

    def resume(self, host_id: int) -> None:
        self.signal(host_id, signal.SIGCONT)

    def starts_slowly(self, host_id: int) -> None:
        """The lease alone takes 0.2 s and more."""

    def shuts_down_slowly(self, host_id: int) -> None:
        self.section = attrs.evolve(self.section, shutdown_s=0.3)
        self.restart_agent(host_id)


class TestToy(HypervisorContract):
    """All of it, but for migrations: that is `MigrationContract`."""

    @pytest.fixture
    def hosts(self, tmp_path: Path) -> Iterator[ToyHosts]:
        hosts = ToyHosts(tmp_path)
        yield hosts
        hosts.tear_down()
