"""
Real sanlock daemons side by side, each a host, ten times faster than the clock; for tests.

Only the daemons are sped up (libfaketime); everything else has the true clock. The kernel's I/O
waits are not, so the I/O timeout must not be below 2 s of the daemon's.
"""

from __future__ import annotations

import glob
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest

from he_fsm.errors import SanlockMissingError
from he_fsm.runtime.leases import sanlock_module
from he_fsm.runtime.leases.sanlock_daemon import SanlockDaemon
from he_fsm.runtime.leases.sanlock_hold import SanlockHolder
from he_fsm.runtime.leases.sanlock_settings import RUN_DIR_VARIABLE, SanlockSettings
from he_fsm.runtime.ports import Leases
from he_fsm.runtime.storage.client import StorageClient
from he_fsm.runtime.storage.protocol import StorageSettings
from tests.runtime.waiting import until

SPEED = 10
# On the daemons' clocks: sanlock's 60 s of watchdog are a constant.
IO_TIMEOUT = 2
WATCHDOG = 60
DEADLINE_S = 20.0
PROGRAM = shutil.which("sanlock", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
FAKETIME = next(iter(glob.glob("/usr/lib*/*/faketime/libfaketimeMT.so.1")), "")  # noqa: PTH207


def _why_not() -> str:
    if PROGRAM is None:
        return "the command sanlock is not installed (package sanlock)"
    if not FAKETIME:
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


class Daemon:
    """One sanlock daemon: a host, as far as leases go."""

    def __init__(self, run_dir: Path, name: str, *, watchdog: bool = False) -> None:
        assert PROGRAM is not None
        self.run_dir = run_dir
        self.name = name
        run_dir.mkdir(parents=True, exist_ok=True)
        words = [PROGRAM, "daemon", "-D", "-w", str(int(watchdog)), "-h", "0", "-l", "0"]
        if os.geteuid() != 0:
            # By their names: the daemon would take a number for the name of nobody, and root.
            user, group = pwd.getpwuid(os.getuid()), grp.getgrgid(os.getgid())
            words += ["-U", user.pw_name, "-G", group.gr_name]
        environment = {
            **os.environ,
            "SANLOCK_PRIVILEGED": "0",
            RUN_DIR_VARIABLE: str(run_dir),
            "LD_PRELOAD": FAKETIME,
            "FAKETIME": f"+0 x{SPEED}",
        }
        with (run_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*words, "-e", name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.run_dir / "log").read_text()
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.run_dir / "sanlock.sock"))
            except OSError:
                return False
        return True

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once: it ignores SIGTERM while it has a lockspace."""
        self.process.kill()
        self.process.wait()
        # libfaketime would have removed them.
        for name in (f"faketime_shm_{self.process.pid}", f"sem.faketime_sem_{self.process.pid}"):
            with suppress(FileNotFoundError):
                Path("/dev/shm", name).unlink()  # noqa: S108 - that is where they are
        with suppress(FileNotFoundError):
            (self.run_dir / "sanlock.sock").unlink()


@attrs.frozen
class Host:
    """A host's daemon, and its storage worker, which is what the broker has of it."""

    daemon: Daemon
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
        self.daemons: list[Daemon] = []
        # The first host to come sets the leases up.
        self._is_set_up = False

    # As `lease_contract.Lab` has it.

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
        """Give a host; its daemon runs on where that has not ended."""
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

    def start(self, run_dir: Path, name: str) -> Daemon:
        daemon = Daemon(run_dir, name)
        self.daemons.append(daemon)
        return daemon

    def at(self, host_id: int) -> Host:
        """Give the last host that was set up for an id; a new one where there is none."""
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
            sanlock=settings,
        )

    def set_up(self, settings: SanlockSettings) -> None:
        done = python(
            "from he_fsm.runtime.leases.sanlock_storage import initialise\n"
            f"initialise(settings, {self.io_timeout_s})",
            settings,
        )
        assert done.returncode == 0, done.stderr

    def daemon_of(self, host_id: int) -> SanlockDaemon:
        return SanlockDaemon(self.at(host_id).settings)


def python(script: str, settings: SanlockSettings) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, as each has one daemon for ever; it has `settings`."""
    head = (
        "import sys\n"
        "from he_fsm.runtime.leases.sanlock_settings import SanlockSettings\n"
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
    """Give how many of the daemons' seconds have passed."""
    return (time.monotonic() - began) * SPEED


def kill_all(processes: list[Any]) -> None:
    for process in processes:
        process.kill()
        process.wait()
