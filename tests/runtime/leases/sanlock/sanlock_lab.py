"""
Real sanlock daemons side by side, each a host, ten times faster than the clock; for tests.

Only the daemons are sped up (libfaketime); everything else has the true clock. The kernel's I/O
waits are not, so the I/O timeout must not be below 2 s of the daemon's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest

from he_fsm.errors import SanlockMissingError
from he_fsm.lab.sanlock.release import program
from he_fsm.lab.sanlock_process import SanlockProcess, faketime
from he_fsm.runtime.leases.sanlock.daemon import module as sanlock_module
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE, SanlockSettings
from he_fsm.runtime.ports import Leases
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings

SPEED = 10
# On the daemons' clocks: sanlock's 60 s of watchdog are a constant.
IO_TIMEOUT = 2
WATCHDOG = 60
# A loop of 10 s, as this process's clock counts it.
LOOP_S = 10 / SPEED
DEADLINE_S = 20.0


def _why_not() -> str:
    if program() is None:
        return "the command sanlock is not installed (package sanlock)"
    if faketime() is None:
        return "libfaketime is not installed (package faketime)"
    try:
        sanlock_module._imported()
    except SanlockMissingError as error:
        return str(error)
    return ""


WHY_NOT = _why_not()
NEEDS_SANLOCK = [
    pytest.mark.sanlock,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "sanlock is here"),
]


@attrs.frozen
class Host:
    """A host's daemon, and its storage worker, which is what the broker has of it."""

    daemon: SanlockProcess
    settings: SanlockSettings
    client: StorageClient


class SanlockLab:
    """Hosts of one lockspace; times as this process's clock counts them."""

    io_timeout_s = IO_TIMEOUT / SPEED
    watchdog_s = WATCHDOG / SPEED

    def __init__(self, folder: Path, disk: Optional[Path] = None, **area: int) -> None:
        self.folder = folder
        self.disk = disk or folder / "leases"
        self.area = area
        self.hosts: list[Host] = []
        self.daemons: list[SanlockProcess] = []
        # The first host to come sets the leases up.
        self._is_set_up = False

    # As `he_fsm.testing.leases.Lab` has it.

    def host(self, host_id: int, name: str) -> StorageClient:
        return self.add(host_id, name).client

    def crash(self, host: Leases) -> None:
        self.of(host).daemon.kill()

    def holder(self, host_id: int) -> SanlockHolder:
        return SanlockHolder(settings=self.at(host_id).settings, host_id=host_id)

    def close(self) -> None:
        for host in self.hosts:
            host.client.close()
        for daemon in self.daemons:
            daemon.kill()

    # More than that.

    def add(self, host_id: int, name: str) -> Host:
        """Return a host; its daemon runs on where that has not ended."""
        running = [d for d in self.daemons if d.name == name and d.process.poll() is None]
        # A host that comes back is the same place: its VM's lock is there.
        settings = self.settings(self.folder / name, self.folder / name / "engine.lock")
        daemon = running[0] if running else self.start(Path(settings.run_dir), name)
        if not self._is_set_up:
            self.set_up(settings)
            self._is_set_up = True
        client = StorageClient(self.storage(settings, host_id), DEADLINE_S)
        host = Host(daemon, settings, client)
        self.hosts.append(host)
        return host

    def start(self, run_dir: Path, name: str, *, has_watchdog: bool = False) -> SanlockProcess:
        daemon = SanlockProcess(run_dir, name, SPEED, has_watchdog=has_watchdog)
        self.daemons.append(daemon)
        return daemon

    def at(self, host_id: int) -> Host:
        """Return the last host that was set up for an id; a new one where there is none."""
        found = [host for host in self.hosts if host.client._settings.host_id == host_id]
        return found[-1] if found else self.add(host_id, f"host{host_id}")

    def of(self, client: Leases) -> Host:
        return next(host for host in self.hosts if host.client is client)

    def settings(self, run_dir: Path, vm_lock: Path) -> SanlockSettings:
        align = self.area.get("align_bytes", 1 << 20)
        return SanlockSettings(
            lockspace="he",
            path=str(self.disk),
            resource="engine",
            resource_path=str(self.disk),
            resource_offset=align,
            run_dir=str(run_dir),
            vm_lock=str(vm_lock),
            doom_note=str(vm_lock.with_name("doom.json")),
            clock_rate=SPEED,
            **self.area,
        )

    def storage(self, settings: SanlockSettings, host_id: int) -> StorageSettings:
        return StorageSettings(
            whiteboard=str(self.folder / "whiteboard"),
            leases="",
            host_id=host_id,
            name="unused",
            io_timeout_s=self.io_timeout_s,
            watchdog_s=self.watchdog_s,
            maker="he_fsm.runtime.leases.sanlock.serve:make",
            lease=settings.to_text(),
            keeps_host_id=True,
        )

    def set_up(self, settings: SanlockSettings) -> None:
        done = python(
            "from he_fsm.runtime.leases.sanlock.storage import initialise\n"
            f"initialise(settings, {self.io_timeout_s})",
            settings,
        )
        assert done.returncode == 0, done.stderr

    def leave_by_force(self, host_id: int) -> None:
        """Have sanlock kill whoever holds a lease of the host, and give the host's id back."""
        settings = self.at(host_id).settings
        lockspace = f"{settings.lockspace}:{host_id}:{settings.path}:{settings.offset}"
        subprocess.run(
            [str(program()), "client", "rem_lockspace", "-s", lockspace],
            env={**os.environ, RUN_DIR_VARIABLE: settings.run_dir},
            check=True,
            capture_output=True,
            timeout=30,
        )

    def daemon_of(self, host_id: int) -> SanlockDaemon:
        return SanlockDaemon(self.at(host_id).settings)


def python(script: str, settings: SanlockSettings) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, as each has one daemon for ever; it has `settings`."""
    head = (
        "import sys\n"
        "from he_fsm.runtime.leases.sanlock.settings import SanlockSettings\n"
        "settings = SanlockSettings.from_text(sys.argv[1])\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + script, settings.to_text()],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def since(began: float) -> float:
    """Return how many of the daemons' seconds have passed."""
    return (time.monotonic() - began) * SPEED


def kill_all(processes: list[Any]) -> None:
    for process in processes:
        process.kill()
        process.wait()
