"""The domain of a host, for guard, monitors and commands, and its screen."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from he_fsm.errors import HypervisorError, MissingExtraError
from he_fsm.runtime.hypervisors.daemon_vm import DaemonVm
from he_fsm.runtime.hypervisors.libvirt.definition.reading import read, with_password
from he_fsm.runtime.hypervisors.libvirt.section import LibvirtConfig
from he_fsm.runtime.ports import Console

if TYPE_CHECKING:
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection

# VNC takes no notice of more than 8 characters (RFC 6143, 7.2.2): 6 bytes in base 64.
_PASSWORD_BYTES: Final = 6
# Five calls follow each other, of which each takes milliseconds where libvirt is well (seconds).
_CALL_S: Final = 1.0
_VIRSH: Final = "virsh"
_EXPIRES: Final = "%Y-%m-%dT%H:%M:%S"


class LibvirtVm(DaemonVm):
    """The domain of one host; implements `ports.VmAccess`."""

    def __init__(self, run_dir: Path, config: LibvirtConfig) -> None:
        """Find the domain that *config* names; *run_dir* has the agent's record of it."""
        super().__init__(run_dir, config.domain, config.pid_dir)
        self._config = config

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
