"""A libvirt daemon of one host of a lab, with sanlock as its lock manager."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab import own_view
from he_fsm.lab.host import ENDS_WITHIN_S
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE

SOCKET: Final = "libvirt-sock"
# Its TCP port, which other hosts' daemons connect to. Source: libvirtd.conf.
TCP_PORT: Final = 16509
_PROGRAM: Final = "libvirtd"
_PID_FILE: Final = "libvirtd.pid"
_STARTS_WITHIN_S: Final = 20.0
_LOOK_S: Final = 0.01
# The daemon's own folders, and where they are for it.
_PLACES: Final = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
}
_PLUG_INS: Final = "/usr/lib*/*/libvirt/lock-driver/sanlock.so"
_DAEMON_CONF: Final = """\
listen_tls = 0
listen_tcp = {listens}
auth_tcp = "none"
auth_unix_rw = "none"
host_uuid = "{uuid}"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
_DRIVER_CONF: Final = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
_LOCK_MANAGER: Final = 'lock_manager = "sanlock"\n'
_PLUG_IN_CONF: Final = "auto_disk_leases = 0\nrequire_lease_for_disks = 0\n"


def program() -> Optional[str]:
    """Return the path of libvirtd, which need not be on everybody's PATH; None: it is missing."""
    return shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path="/usr/sbin:/sbin")


def missing() -> Iterator[str]:
    """Say what this machine lacks for such daemons, and which package has it."""
    if os.geteuid() != 0:
        yield "libvirt's system daemon needs root"
    if program() is None:
        yield "libvirtd is missing: install the package libvirt-daemon-system"
    if not list(Path("/").glob(_PLUG_INS.lstrip("/"))):
        yield "libvirt's sanlock plug-in is missing: install the package libvirt-sanlock"


def why_not() -> str:
    """Say why this machine can't have such daemons; empty: it can."""
    return next(missing(), "")


class LibvirtProcess:
    """
    One daemon; the VMs that it has started outlive it.

    *address* is where other hosts' daemons reach it; None: no domain moves to it. *within* gives
    the command that runs a command in the host's network.
    """

    def __init__(
        self,
        folder: Path,
        sanlock_run_dir: Path,
        address: Optional[str] = None,
        *,
        within: Callable[[list[str]], list[str]] = list,
        has_lock_manager: bool = True,
    ) -> None:
        """Write its configuration; nothing runs before `start`."""
        self.folder = folder
        self._within = within
        self._sanlock_run_dir = sanlock_run_dir
        # Each is the init system of what its daemon leaves running; the last one's daemon runs.
        self.views: list[subprocess.Popen[bytes]] = []
        for name in _PLACES:
            (folder / name).mkdir(parents=True, exist_ok=True)
        etc = folder / "etc"
        self._listens = address is not None
        text = _DAEMON_CONF.format(uuid=uuid.uuid4(), listens=int(self._listens))
        (etc / "libvirtd.conf").write_text(text)
        (etc / "qemu-sanlock.conf").write_text(_PLUG_IN_CONF)
        driver = _DRIVER_CONF + (_LOCK_MANAGER if has_lock_manager else "")
        if address is not None:
            driver += f'migration_host = "{address}"\n'
        (etc / "qemu.conf").write_text(driver)
        # Its own name has to be found at once: a name server that does not answer costs seconds.
        (folder / "hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
        (folder / "resolv.conf").write_text("")

    @property
    def uri(self) -> str:
        """Where this machine's processes reach it."""
        return f"qemu+unix:///system?socket={self.folder / 'run' / SOCKET}"

    @property
    def pid_dir(self) -> Path:
        """The folder of its VMs' pid files."""
        return self.folder / "run" / "qemu"

    @property
    def driver_conf(self) -> Path:
        """The configuration of its QEMU driver."""
        return self.folder / "etc" / "qemu.conf"

    def start(self) -> None:
        """
        Start it, and wait until it answers.

        Raises:
            HeFsmError: it does not come up.
        """
        (self.folder / "run" / SOCKET).unlink(missing_ok=True)
        places = {self.folder / name: Path(place) for name, place in _PLACES.items()}
        places |= {self.folder / name: Path("/etc", name) for name in ("hosts", "resolv.conf")}
        pid_file = str(self.folder / "run" / _PID_FILE)
        options = ["--listen"] if self._listens else []
        words = [str(program()), *options, "--pid-file", pid_file]
        view = own_view.words(words, places, stays=True)
        with (self.folder / "log" / "output").open("ab") as log:
            view_process = subprocess.Popen(  # noqa: S603 - the system's own daemon
                self._within(view),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, RUN_DIR_VARIABLE: str(self._sanlock_run_dir)},
                cwd=self.folder,
                start_new_session=True,
            )
        self.views.append(view_process)
        try:
            self._wait(view_process)
        except BaseException:
            self.kill()
            raise

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + _STARTS_WITHIN_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > until:
                msg = f"the libvirt daemon does not come up; see {self.folder / 'log'}"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.folder / "run" / SOCKET))
            except OSError:
                return False
        return True

    @property
    def pid(self) -> Optional[int]:
        """The daemon's number; None: it does not run."""
        try:
            pid = int((self.folder / "run" / _PID_FILE).read_text())
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError):
            return None
        return pid if name == _PROGRAM else None

    def stop(self) -> None:
        """Stop the daemon until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue the daemon after `stop`."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the daemon at once; its VMs run on."""
        self._signal(signal.SIGKILL)
        until = time.monotonic() + ENDS_WITHIN_S
        while self.pid is not None and time.monotonic() < until:
            time.sleep(_LOOK_S)

    def forget_boot(self) -> None:
        """Remove what lies in memory on a real machine; every process of it has ended."""
        for view in self.views:
            view.wait(ENDS_WITHIN_S)
        self.views.clear()
        shutil.rmtree(self.folder / "run")
        (self.folder / "run").mkdir()

    def close(self) -> None:
        """End the daemon; its VMs have ended before."""
        self.kill()
        for view in self.views:
            view.wait(ENDS_WITHIN_S)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)
