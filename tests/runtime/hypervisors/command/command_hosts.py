"""Hosts of this machine whose engine is a program, for tests."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import psutil

from he_fsm.runtime.hypervisors.service.hypervisor import (
    INSIDE,
    ServiceHypervisor,
    ServiceSettings,
)
from he_fsm.runtime.hypervisors.service.keeper import KeeperSettings
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.testing.vm_hosts import free_port
from tests.runtime.hypervisors.vm_hosts import RecordedHosts

_SERVICE = Path(__file__).with_name("service.py")
# As a keeper's limit in tests that wait for it (seconds).
STOP_LIMIT_S = 30.0


class CommandHosts(RecordedHosts):
    """Some hosts; the program is a copy of `service.py` in their folder."""

    body = "he_fsm.runtime.hypervisors.command.program:make"

    def __init__(self, folder: Path, io_timeout_s: float = 30.0) -> None:
        super().__init__(folder, io_timeout_s)
        self.port = free_port()
        self.program = folder / "service.py"
        shutil.copy(_SERVICE, self.program)
        self.words: dict[int, tuple[str, ...]] = {}
        self.changes: dict[int, dict[str, Any]] = {}
        self.stop_limit_s = STOP_LIMIT_S

    def command(self, words: Sequence[str] = ()) -> list[str]:
        return [sys.executable, str(self.program), str(self.port), *words]

    def says(self, host_id: int, *words: str, **changes: Any) -> None:
        """Run another program from the next start of a host on, or stop it in another way."""
        self.words[host_id] = words
        self.changes[host_id] = changes
        self.restart_agent(host_id)

    def options(self, host_id: int) -> dict[str, Any]:
        run = self.command(self.words.get(host_id, ()))
        return {"run": run, **self.changes.get(host_id, {})}

    def make(self, host_id: int) -> ServiceHypervisor:
        run_dir = self.run_dir(host_id)
        keeper = KeeperSettings(
            state=run_dir / STATE,
            lock=run_dir / INSIDE,
            body=self.body,
            options=self.options(host_id),
            stop_limit_s=self.stop_limit_s,
        )
        settings = ServiceSettings(run_dir=run_dir, python=sys.executable, keeper=keeper)
        return ServiceHypervisor(settings, self.lease(host_id))

    def page(self) -> Optional[int]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        except OSError:
            return None
        finally:
            connection.close()

    def inner(self, host_id: int) -> int:
        """Return the number of the program's own process."""
        pid = self.record(host_id).inner_pid
        assert pid is not None
        return pid

    def pause(self, host_id: int) -> None:
        os.kill(self.inner(host_id), signal.SIGSTOP)

    def resume(self, host_id: int) -> None:
        os.kill(self.inner(host_id), signal.SIGCONT)

    def starts_slowly(self, host_id: int) -> None:
        """A start takes three interpreters, 0.2 s and more."""

    def shuts_down_slowly(self, host_id: int) -> None:
        self.says(host_id, "slow")

    def programs(self) -> list[int]:
        """Return the processes of the program, those that it has left behind too."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if str(self.program) in process.cmdline():
                    found.append(process.pid)
        return found
