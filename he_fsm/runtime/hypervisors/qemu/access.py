"""The QEMU VM of a host, for guard, monitors and commands: who it is, and its screen."""

from __future__ import annotations

from pathlib import Path

from he_fsm.errors import HypervisorError, MissingExtraError
from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.ports import Console


class QemuVm(RecordedVm):
    """The VM of one run folder; implements `ports.VmAccess`."""

    def __init__(self, run_dir: Path, vm: VmConfig) -> None:
        """Find the VM that is made of *vm*."""
        super().__init__(run_dir, vm.name)
        self._screen = vm.console

    def console(self, valid_s: int) -> Console:
        """Return a new password for the screen."""
        screen = self._screen
        if screen is None:
            msg = "the VM has no screen: hypervisor.vm.console is not set"
            raise HypervisorError(msg)
        try:
            from he_fsm.runtime.hypervisors.qemu.console import give_out  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(error.name, "qemu", "he-fsm console") from error
        try:
            password = give_out(self.run_dir, screen.kind, valid_s)
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
