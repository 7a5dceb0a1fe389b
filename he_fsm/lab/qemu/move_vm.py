"""
Moves a real VM as somebody does who is no agent: `python -m he_fsm.lab.qemu.move_vm CONFIG ID`.

A process of the VM's host does what its agent would do, the lease handed over as always, but by
QEMU's monitor for people: the agent's serves one at a time. What QEMU says of the VM's state
meanwhile it prints, a line for each change.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

from he_fsm.errors import ConfigError, HeFsmError
from he_fsm.lab.host import ENDS_WITHIN_S
from he_fsm.lab.vm_sight import VmSight
from he_fsm.runtime.config import Config, load_config
from he_fsm.runtime.hypervisors.qemu.command import SECOND_MONITOR, fingerprint
from he_fsm.runtime.hypervisors.qemu.machine import Machine
from he_fsm.runtime.hypervisors.qemu.migration import channel as qemu_channel
from he_fsm.runtime.hypervisors.qemu.migration.departure import Departure
from he_fsm.runtime.hypervisors.qemu.section import VmConfig
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile
from he_fsm.runtime.parts import make_movable_lease


class Mover:
    """A process that moves a VM; *sight* lends it the monitor, and reads what it prints."""

    def __init__(self, config: Path, target: int, sight: VmSight) -> None:
        """Begin: the VM of the host with this *config* is to go to the host *target*."""
        self._sight = sight
        sight.lend()
        with config.with_name("mover.log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "he_fsm.lab.qemu.move_vm", str(config), str(target)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._thread = threading.Thread(target=self._listen, name="mover", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether it is still at it."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self._thread.join(ENDS_WITHIN_S)

    def _listen(self) -> None:
        with self.process:
            for line in self.process.stdout or ():
                self._sight.hear(line.decode().strip())
        self._sight.take_back()


async def move(config: Config, vm: VmConfig, target: int) -> str:
    """
    Move the VM of a host; give what came of it.

    Raises:
        HeFsmError: there is none, or the configuration can't be used.
    """
    file = VmFile(config.run_dir / STATE)
    record = file.read()
    if record is None or record.phase is not Phase.RUNNING or record.is_leaving:
        msg = "there is no VM here that runs and stays"
        raise HeFsmError(msg)

    def tell() -> None:
        sys.stdout.write(f"{machine.runstate}\n")
        sys.stdout.flush()

    machine = Machine(record, file, tell, lambda _: None, SECOND_MONITOR)
    if not await machine.answered():
        msg = "the VM has ended"
        raise HeFsmError(msg)
    options = config.hypervisor.move
    departure = Departure(machine, make_movable_lease(config), target, options)
    order = {"receive": config.host.id, "vm": fingerprint(vm)}
    result = await departure.run(qemu_channel.read_secret(options.secret_file), order)
    await machine.let_go()
    return f"{result.outcome.value}: {result.detail}"


def main() -> None:
    """Run as a command."""
    path, target = sys.argv[1:]
    try:
        config = load_config(Path(path))
        vm = config.hypervisor.vm
        if vm is None:
            msg = f"{path}: this host has no QEMU VM"
            raise ConfigError(msg)
        sys.stderr.write(asyncio.run(move(config, vm, int(target))) + "\n")
    except HeFsmError as error:
        sys.exit(f"{path}: {error}")


if __name__ == "__main__":
    main()
