"""The QEMU VM of a host, for guard, monitors and commands: who it is, and its screen."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HypervisorError, MissingExtraError
from he_fsm.runtime.hypervisors.qemu.command import SERIAL
from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.ports import Console

_SOCAT: Final = "socat"
# Ctrl-] ends it, as with virsh.
_ESCAPE: Final = "0x1d"


class QemuVm(RecordedVm):
    """The VM of one run folder; implements `ports.VmAccess`."""

    def __init__(self, run_dir: Path, vm: VmConfig) -> None:
        """Find the VM that is made of *vm*."""
        super().__init__(run_dir, vm.name)
        self._screen = vm.console

    def console(self, valid_s: int) -> Console:
        """Return a new password for the screen."""
        return self._opened(None, valid_s)

    def set_password(self, password: str, valid_s: int) -> Console:
        """Set this password for the screen."""
        return self._opened(password, valid_s)

    def serial_console(self) -> Sequence[str]:
        """Return the command that connects a terminal with the guest's serial console."""
        if self.identity() is None:
            msg = "the VM is not on this host"
            raise HypervisorError(msg)
        if shutil.which(_SOCAT) is None:
            msg = "there is no socat, which connects the terminal: install socat"
            raise HypervisorError(msg)
        # The address of socat has commas and colons of its own.
        path = re.sub(r"([,:!\\'\"])", r"\\\1", str(self.run_dir / SERIAL))
        return (_SOCAT, f"STDIO,raw,echo=0,escape={_ESCAPE}", f"UNIX-CONNECT:{path}")

    def _opened(self, password: Optional[str], valid_s: int) -> Console:
        screen = self._screen
        if screen is None:
            msg = "the VM has no screen: hypervisor.vm.console is not set"
            raise HypervisorError(msg)
        try:
            from he_fsm.runtime.hypervisors.qemu.console import give_out  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(error.name, "qemu", "he-fsm console") from error
        try:
            password = give_out(self.run_dir, screen.kind, valid_s, password)
        except OSError as error:
            msg = f"QEMU's monitor can't be used: {error.strerror}"
            raise HypervisorError(msg) from error
        return Console(
            protocol=screen.kind,
            address=screen.address,
            port=screen.port,
            password=password,
            valid_s=valid_s,
        )
