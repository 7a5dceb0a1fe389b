"""The VM of a host, for guard, monitors and commands, and its screen."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.daemon_vm import DaemonVm
from he_fsm.runtime.hypervisors.vdsm.definition import load
from he_fsm.runtime.hypervisors.vdsm.section import VdsmConfig
from he_fsm.runtime.hypervisors.vdsm.status import number
from he_fsm.runtime.ports import Console
from he_fsm.runtime.vdsm.interface import NO_SUCH_VM, Listener, VdsmClient, VdsmError

# VNC takes no notice of more than 8 characters (RFC 6143, 7.2.2): 6 bytes in base 64.
_PASSWORD_BYTES: Final = 6
# In it the password is set and the port is known, or it is said that they are not (seconds).
_CONSOLE_S: Final = 4.5
_LOOK_S: Final = 0.2


class _Deaf:
    """Listens to no event."""

    def event(self, name: str, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def events_lost(self, why: str) -> None:
        """Do nothing."""


class VdsmVm(DaemonVm):
    """The VM of one host; implements `ports.VmAccess`."""

    def __init__(
        self,
        run_dir: Path,
        config: VdsmConfig,
        vm_id: str,
        connect: Callable[[Listener], VdsmClient],
    ) -> None:
        """Find the VM that *config* names; *run_dir* has the agent's record of it."""
        super().__init__(run_dir, config.name, config.pid_dir)
        self._config = config
        self._vm_id = vm_id
        self._connect = connect

    def console(self, valid_s: int) -> Console:
        """Have vdsm set a new password for the VM's screen, and return it."""
        if not load(self._config.conf).has_screen:
            msg = f"the VM {self.name} has no screen: its definition has no <graphics>"
            raise HypervisorError(msg)
        client = self._connect(_Deaf())
        try:
            return self._console(client, valid_s, time.monotonic() + _CONSOLE_S)
        except VdsmError as error:
            if error.code != NO_SUCH_VM:
                raise
            msg = f"the VM {self.name} does not run on this host"
            raise HypervisorError(msg) from error
        finally:
            client.close()

    def _console(self, client: VdsmClient, valid_s: int, ends_at: float) -> Console:
        screen = _screen(self._ask(client, ends_at, "VM.getStats"))
        if screen is None:
            msg = f"vdsm names no screen of the VM {self.name}"
            raise HypervisorError(msg)
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        # As oVirt's own command has it.
        ticket: dict[str, Any] = {
            "deviceType": "graphics",
            "graphicsType": screen.get("type"),
            "password": password,
            "ttl": valid_s,
            "existingConnAction": "keep",
            "params": {},
        }
        self._ask(client, ends_at, "VM.updateDevice", params=ticket)
        while (port := _port(screen)) is None:
            # It is given out when QEMU has begun.
            time.sleep(min(_LOOK_S, max(0.0, ends_at - time.monotonic())))
            screen = _screen(self._ask(client, ends_at, "VM.getStats")) or screen
        return Console(
            protocol=str(screen.get("type")),
            address=str(screen.get("ipAddress") or "127.0.0.1"),
            port=port,
            password=password,
            valid_s=valid_s,
        )

    def _ask(self, client: VdsmClient, ends_at: float, method: str, **params: Any) -> Any:
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            msg = f"vdsm has not said within {_CONSOLE_S:g} s where the VM's screen is"
            raise HypervisorError(msg)
        return client.call(method, {"vmID": self._vm_id, **params}, left_s)


def _screen(answer: Any) -> Optional[Mapping[str, Any]]:
    """Return the first screen in an answer to VM.getStats."""
    record = answer[0] if isinstance(answer, list) and answer else answer
    screens = record.get("displayInfo") if isinstance(record, Mapping) else None
    first = screens[0] if isinstance(screens, list) and screens else None
    return first if isinstance(first, Mapping) else None


def _port(screen: Mapping[str, Any]) -> Optional[int]:
    """Return the screen's port, plain before encrypted; None: none is given out yet."""
    for key in ("port", "tlsPort"):
        found = number(screen.get(key))
        if found is not None and found > 0:
            return int(found)
    return None
