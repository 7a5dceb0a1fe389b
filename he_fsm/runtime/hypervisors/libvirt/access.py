"""
The domain of a host, for guard, monitors and commands: who it is, how to end it, its screen.

Who it is stands in the daemon's pid file and in the kernel, so that it is found, and can be ended,
while the daemon hangs or is not there. What it has to do with the lease is in the record that the
agent keeps (`vm.json`); a domain of which the agent has written nothing counts as having it.
"""

from __future__ import annotations

import secrets
import shutil
import signal
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final, Optional

from he_fsm.errors import HypervisorError, MissingExtraError
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read, with_password
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.hypervisors.vm_access import cgroup_of
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.hypervisors.vm_process import kill_process
from he_fsm.runtime.leases.vm_lock import is_hidden
from he_fsm.runtime.ports import Console, LeaseUse, VmIdentity

if TYPE_CHECKING:
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection

# libvirt's own groups below that of all the VM's processes, such as libvirt/emulator.
_INNER_GROUPS: Final = "/libvirt"
# VNC takes no notice of more than 8 characters (RFC 6143, 7.2.2): 6 bytes in base 64.
_PASSWORD_BYTES: Final = 6
# Five calls follow each other, of which each takes milliseconds where libvirt is well (seconds).
_CALL_S: Final = 1.0
_VIRSH: Final = "virsh"
_EXPIRES: Final = "%Y-%m-%dT%H:%M:%S"


class LibvirtVm:
    """The domain of one host; implements `ports.VmAccess`."""

    def __init__(self, run_dir: Path, config: LibvirtConfig) -> None:
        """Find the domain that *config* names; *run_dir* has the agent's record of it."""
        self._config = config
        self._pid_file = config.pid_dir / f"{config.domain}.pid"
        self._file = VmFile(run_dir / STATE)

    def identity(self) -> Optional[VmIdentity]:
        """Return the domain whose process lives here; asks no daemon."""
        pid = self._pid()
        if pid is None:
            return None
        try:
            ticks = started_ticks(pid)
        except ProcessLookupError:
            return None
        record = self._record(pid, ticks)
        return VmIdentity(
            name=self._config.domain,
            pid=pid,
            incarnation=str(ticks),
            cgroup=cgroup_of(pid).partition(_INNER_GROUPS)[0],
            lease=_lease_use(record),
            # safety: QEMU has a copy of the lease, and sanlock names a holder that has ended. Then
            # the VM has to have the lease by itself, or to end.
            lease_pid=record.holder_pid if record is not None and record.holder_lives else None,
        )

    def kill_now(self, vm: VmIdentity) -> None:
        """End the process of *vm*, and no other one of its number; asks no daemon."""
        try:
            kill_process(vm.pid, int(vm.incarnation), signal.SIGKILL)
        except PermissionError as error:
            msg = (
                f"this user may not end the VM's process {vm.pid}; give the service "
                "AmbientCapabilities=CAP_KILL"
            )
            raise HypervisorError(msg) from error

    def console(self, valid_s: int) -> Console:
        """Set a new password for the domain's screen by libvirt, and return it."""
        return self.set_password(secrets.token_urlsafe(_PASSWORD_BYTES), valid_s)

    def serial_console(self) -> Sequence[str]:
        """Return virsh's command for the domain's serial console."""
        if self.identity() is None:
            msg = f"the domain {self._config.domain} does not run on this host"
            raise HypervisorError(msg)
        if shutil.which(_VIRSH) is None:
            msg = "there is no virsh: install libvirt-clients (libvirt-client)"
            raise HypervisorError(msg)
        return (_VIRSH, "--connect", self._config.uri, "console", self._config.domain)

    def set_password(self, password: str, valid_s: int) -> Console:
        """Set this password for the domain's screen by libvirt."""
        try:
            from he_fsm.runtime.hypervisors.libvirt.connection import Connection  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(error.name, "libvirt", "he-fsm console") from error
        connection = Connection.opened(self._config.uri, _CALL_S)
        try:
            domain = connection.domain(self._config.domain)
            if domain is None:
                msg = f"libvirt knows no domain {self._config.domain}"
                raise HypervisorError(msg)
            if not read(connection.xml(domain, is_live=False)).screens:
                msg = f"the domain {self._config.domain} has no screen: it has no <graphics>"
                raise HypervisorError(msg)
            if not connection.is_active(domain):
                msg = f"the domain {self._config.domain} does not run on this host"
                raise HypervisorError(msg)
            ends_at = datetime.now(timezone.utc) + timedelta(seconds=valid_s)
            set_password(connection, domain, password, ends_at)
            screen = read(connection.xml(domain, is_live=True)).screens[0]
        finally:
            connection.close()
        return Console(
            protocol=screen.protocol,
            address=screen.address or "127.0.0.1",
            port=screen.port if screen.port > 0 else screen.tls_port,
            password=password,
            valid_s=valid_s,
        )

    def _pid(self) -> Optional[int]:
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ProcessLookupError):
            return None
        except (OSError, ValueError) as error:
            msg = f"nobody knows whether the domain runs here: {self._pid_file}: {error}"
            raise HypervisorError(msg) from error
        if _is_domain(pid, self._config.domain):
            return pid
        if is_hidden(pid):
            msg = (
                f"nobody knows whether the domain runs here: process {pid} is hidden from this "
                "user; give the service ProtectProc=default"
            )
            raise HypervisorError(msg)
        return None

    def _record(self, pid: int, ticks: int) -> Optional[VmRecord]:
        """Return what the agent has written of this process; None: nothing."""
        try:
            record = self._file.read()
        except (OSError, ValueError):
            return None
        if record is None or (record.pid, record.started_ticks) != (pid, ticks):
            return None
        return record


def _lease_use(record: Optional[VmRecord]) -> LeaseUse:
    if record is None:
        # safety: in doubt it executes by the lease, and has to end without it.
        return LeaseUse.HAS
    if record.is_leaving or record.phase is Phase.ARRIVING:
        return LeaseUse.MOVES
    # A paused domain has put its lease down; libvirt takes it again before it executes.
    is_waiting = record.phase is Phase.STARTING or record.is_paused
    return LeaseUse.WAITS if is_waiting else LeaseUse.HAS


def _is_domain(pid: int, name: str) -> bool:
    """Whether a process is the domain's QEMU, and not another one of an old number."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # QEMU writes a comma within a value twice.
    wanted = f"guest={name.replace(',', ',,')}".encode()
    following = (words[number + 1] for number, word in enumerate(words[:-1]) if word == b"-name")
    return any(word == wanted or word.startswith(wanted + b",") for word in following)


def set_password(connection: Connection, domain: object, password: str, ends_at: datetime) -> None:
    """
    Set the password of the first screen of a domain that runs, good until *ends_at* (UTC).

    Raises:
        HypervisorError: libvirt refuses, or does not answer.
    """
    xml = connection.xml(domain, is_live=True)
    try:
        connection.update(domain, with_password(xml, password, ends_at.strftime(_EXPIRES)))
    except HypervisorError as error:
        # QEMU takes a new password only where the screen was started with one.
        msg = (
            f"{error}; a screen needs a password in the domain's definition, which opens nothing: "
            "<graphics ... passwd='none' passwdValidTo='1970-01-01T00:00:01'>"
        )
        raise HypervisorError(msg) from error
