"""The QEMU VM of one host, as the one thread sees it that talks with QEMU and with other hosts."""

from __future__ import annotations

import asyncio
import logging
import resource
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.qemu import command as qemu_command
from he_fsm.runtime.hypervisors.qemu.accel import usable_accel
from he_fsm.runtime.hypervisors.qemu.machine import Machine, detail_of, state_of
from he_fsm.runtime.hypervisors.qemu.migration import channel as qemu_channel
from he_fsm.runtime.hypervisors.qemu.migration.arrival import (
    Arrival,
    has_arrived,
    let_run,
    settle_arrival,
)
from he_fsm.runtime.hypervisors.qemu.migration.channel import Channel
from he_fsm.runtime.hypervisors.qemu.migration.departure import (
    Departure,
    GivenUpError,
    in_thread,
    set_capabilities,
    settle,
)
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig, VmConfig
from he_fsm.runtime.hypervisors.qemu.state_file import load_from
from he_fsm.runtime.hypervisors.vm_file import STATE, Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.hypervisors.vm_process import begin, why_not_started
from he_fsm.runtime.ports import MovableLease
from he_fsm.runtime.service.log import Repeats
from he_fsm.snapshot import Outcome, Result, VmState

_log = logging.getLogger(__name__)
_MIB: Final = 1 << 20
_IN_MIGRATE: Final = "inmigrate"
# QEMU's word for a VM that was begun with `-S`.
_PRELAUNCH: Final = "prelaunch"
# How often a host that can't listen for migrations tries to (seconds).
LISTEN_AGAIN_S: Final = 20.0


@attrs.frozen(kw_only=True)
class QemuSettings:
    """One host: its id, its run folder, the VM, and how it moves."""

    host_id: int
    run_dir: Path
    vm: VmConfig
    move: MoveConfig = attrs.field(factory=MoveConfig)


class QemuHost:
    """
    What QEMU does on this host.

    Coroutines are for one event loop. `state`, `detail`, `since`, `record` and `departure` are read
    by other threads: each is replaced as a whole. A result comes with its consequence in `state`,
    so whoever wants both holds `guard`.
    """

    def __init__(self, settings: QemuSettings, lease: MovableLease) -> None:
        """Begin with `adopt`; raises `HypervisorError` where the secret can't be used."""
        self.state = VmState.UNKNOWN
        self.detail = "the hypervisor has not been asked yet"
        self.since = time.monotonic()
        self.departure: Optional[Departure] = None
        self.guard = threading.Lock()
        self._results: list[Result] = []
        self.wake: Callable[[], None] = lambda: None
        self._settings = settings
        self._lease = lease
        self._address = settings.move.address_of(settings.host_id)
        self._secret = qemu_channel.read_secret(settings.move.secret_file)
        self._file = VmFile(settings.run_dir / STATE)
        self._machine: Optional[Machine] = None
        self._server: Optional[asyncio.AbstractServer] = None
        self._tasks: set[asyncio.Future[Any]] = set()
        # Those that are never cut off in the middle: switch-overs, and the ends of machines.
        self._whole: set[asyncio.Future[Any]] = set()
        self._turn: Optional[asyncio.Lock] = None
        self._repeats = Repeats(_log)

    @property
    def record(self) -> Optional[VmRecord]:
        """What is known of the VM here."""
        machine = self._machine
        return None if machine is None else machine.record

    def tell(self, outcome: Outcome, detail: str) -> None:
        """Add a result that changes nothing about the VM; for any thread."""
        with self.guard:
            self._results.append(Result(outcome, detail))
        self.wake()

    def take_results(self) -> tuple[Result, ...]:
        """Return the results so far, each once; the caller holds `guard`."""
        results, self._results = tuple(self._results), []
        return results

    async def in_turn(self, order: Coroutine[Any, Any, Any]) -> Any:
        """Carry an order out after those that were given before it."""
        if self._turn is None:
            # Under Python 3.9 it belongs to the loop in which it is made.
            self._turn = asyncio.Lock()
        async with self._turn:
            return await order

    async def adopt(self) -> None:
        """Listen for migrations, and look after a VM that is here already."""
        if self._address is not None and not await self._listens(self._address):
            self._begin(self._listen(self._address))
        try:
            record = self._file.read()
        except (OSError, ValueError) as error:
            self.detail = f"the hypervisor can't be used: {error}"
            return
        if record is None:
            self._look()
            return
        machine = self._follow(record)
        if record.phase is Phase.MIGRATED:
            # Its agent ended before it had ended the source's process, which is paused.
            await machine.killed()
        elif record.phase is Phase.STARTING:
            self._begin(self._bring_up(machine))
        elif await machine.answered():
            await self._settle(machine)

    async def _listens(self, address: str) -> bool:
        """Listen for migrations; return whether that is possible now."""
        try:
            self._server = await qemu_channel.listen(address, self._secret, self._receive)
        except OSError as error:
            why = "no VM can migrate to here: %s can't be listened to: %s"
            self._repeats.complain("listen", why, address, error, level=logging.ERROR)
            return False
        self._repeats.end("listen", "VMs can migrate to here: listening to %s", address)
        return True

    async def _listen(self, address: str) -> None:
        """Try again until it is possible: a name may resolve later, or an interface come up."""
        while True:
            await asyncio.sleep(LISTEN_AGAIN_S)
            if await self._listens(address):
                return

    async def _settle(self, machine: Machine) -> None:
        try:
            if machine.record.phase is Phase.ARRIVING:
                self._begin(settle_arrival(machine, self._lease))
            elif machine.record.is_leaving:
                await settle(machine, self._lease)
            elif not await in_thread(self._lease.holds, machine.record.pid):
                _log.critical("the VM here runs without its lease: it is ended")
                # safety: another host may start one at any moment.
                await machine.killed()
        except (HypervisorError, LockspaceError) as error:
            _log.warning("the VM that was found here: %s", error)

    def _follow(self, record: VmRecord) -> Machine:
        self._machine = Machine(record, self._file, self._look, self._on_end)
        self._look()
        return self._machine

    def _on_end(self, machine: Machine) -> None:
        if machine is not self._machine:
            return
        # The machine follows its QEMU no more; keep the task until the machine has noticed that.
        self._begin(machine.let_go(), is_whole=True)
        self._machine = None
        if machine.record.phase is Phase.STARTING:
            self._look(why_not_started(self._settings.run_dir))
        elif machine.record.ending:
            self._look(Result(Outcome.GUEST_DIED, machine.record.ending))
        else:
            self._look()

    def _look(self, *results: Result) -> None:
        """Publish the present state for other threads, with the results that have led to it."""
        machine = self._machine
        state = VmState.ABSENT if machine is None else state_of(machine)
        # Its end is seen together with its result.
        state = state if self.departure is None else VmState.LEAVING
        is_other = state is not self.state
        with self.guard:
            self._results += results
            self.detail = "" if machine is None else detail_of(machine, state)
            if is_other:
                self.state, self.since = state, time.monotonic()
        if is_other or results:
            self.wake()

    def _begin(
        self, task: Coroutine[Any, Any, Any], *, is_whole: bool = False
    ) -> asyncio.Future[Any]:
        """Do what takes long beside the orders; *is_whole*: `close` waits for its end."""
        begun = asyncio.ensure_future(task)
        for kept in (self._tasks, self._whole) if is_whole else (self._tasks,):
            kept.add(begun)
            begun.add_done_callback(kept.discard)
        return begun

    # Start and stop.

    async def start(self, *, paused: bool = False) -> None:
        """Take the lease and start the VM, unless one is here; *paused*: it executes nothing."""
        try:
            if self._machine is None:
                # A saved state is where a start goes on; a VM to be looked at begins anew.
                is_saved = self._settings.vm.saved_state is not None and not paused
                machine = await self._spawn(
                    self._lease.wrap, Phase.STARTING, awaits=is_saved, paused=paused
                )
                self._begin(self._bring_up(machine, paused=paused))
        except HypervisorError as error:
            self.tell(Outcome.START_FAILED, str(error))

    async def _spawn(
        self,
        wrap: Callable[..., tuple[str, ...]],
        phase: Phase,
        *,
        awaits: bool,
        paused: bool = False,
    ) -> Machine:
        """Start a QEMU's process; raises `HypervisorError`."""
        vm, run_dir = self._settings.vm, self._settings.run_dir
        accel = vm.accel
        if accel == "auto":
            accel = await in_thread(usable_accel, qemu_command.binary_of(vm))
        command = qemu_command.command(vm, run_dir, accel, awaits=awaits, paused=paused)
        claimed: list[VmRecord] = []

        def claim(pid: int) -> bool:
            record = VmRecord(
                pid=pid,
                started_ticks=started_ticks(pid),
                phase=phase,
                port=0,
                since=time.monotonic(),
            )
            if vm.memory_limit is not None:
                limit = vm.memory_limit * _MIB
                resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
            if self._file.claim(record):
                claimed.append(record)
            return bool(claimed)

        try:
            begin(run_dir, lambda descriptor: wrap(command, descriptor), claim)
        except (OSError, ValueError) as error:
            msg = f"the VM can't be started: {error}"
            raise HypervisorError(msg) from error
        if not claimed:
            msg = "a VM is here already"
            raise HypervisorError(msg)
        return self._follow(claimed[0])

    async def _bring_up(self, machine: Machine, *, paused: bool = False) -> None:
        """Wait until the VM executes, or is ready to."""
        if not await machine.answered():
            return
        if paused or machine.runstate == _PRELAUNCH:
            # The agent that had ordered it may have ended meanwhile.
            machine.tell(phase=Phase.RUNNING)
            return
        try:
            saved = self._settings.vm.saved_state
            if saved is not None and machine.runstate == _IN_MIGRATE:
                await _load(machine, saved)
                await let_run(machine)
            elif await machine.executes():
                machine.tell(phase=Phase.RUNNING)
        except (HypervisorError, OSError) as error:
            if not machine.has_ended:
                _log.error("the VM can't be started: %s", error)
                await machine.killed()

    async def shut_down(self) -> None:
        """Press the power button; a migration is given up before."""
        machine = self._machine
        if machine is None:
            return
        if self.departure is not None:
            self.departure.cancel()
            while self.departure is not None and not machine.has_ended:
                await machine.stirs()
        try:
            await machine.monitor.execute("system_powerdown")
        except HypervisorError as error:
            _log.warning("the power button can't be pressed: %s", error)

    async def power_off(self) -> None:
        """End the VM, unless it only arrives here."""
        if self._machine is not None and self._machine.record.phase is not Phase.ARRIVING:
            self._machine.kill()

    # Move.

    async def cancel_migration(self) -> None:
        """Cancel a migration, unless it is too late."""
        if self.departure is not None:
            self.departure.cancel()

    async def give_up_arrival(self) -> None:
        """End the QEMU of a VM that only arrives."""
        if self._machine is not None and self._machine.record.phase is Phase.ARRIVING:
            self._machine.kill()

    async def migrate(self, target: int) -> None:
        """Begin to move the VM to the host *target*."""
        machine = self._machine
        if machine is None or self.departure is not None or state_of(machine) is not VmState.UP:
            self.tell(Outcome.MIGRATION_FAILED, "the VM can't be migrated now")
            return
        self.departure = Departure(machine, self._lease, target, self._settings.move)
        self._look()
        self._begin(self._depart(self.departure), is_whole=True)

    async def _depart(self, departure: Departure) -> None:
        order = {
            "receive": self._settings.host_id,
            "vm": qemu_command.fingerprint(self._settings.vm),
        }
        results: tuple[Result, ...] = ()
        try:
            results = (await departure.run(self._secret, order),)
        finally:
            # A VM that is left in LEAVING would be waited for without end.
            self.departure = None
            self._look(*results)

    async def _receive(self, channel: Channel, order: Mapping[str, Any]) -> None:
        """Take the VM of another host, whose agent says so."""
        if order.get("vm") != qemu_command.fingerprint(self._settings.vm):
            await channel.send(refused="this host's description of the VM is another")
            return
        arrival = Arrival(
            channel, self._lease, str(self._address), self._settings.move.tls, self._await_vm
        )
        await self._begin(arrival.run())

    async def _await_vm(self) -> Machine:
        machine: Machine = await self.in_turn(self._spawn_awaiting())
        return machine

    async def _spawn_awaiting(self) -> Machine:
        if self._machine is not None:
            msg = f"host {self._settings.host_id} has the VM already"
            raise GivenUpError(msg)
        return await self._spawn(self._lease.wrap_awaiting, Phase.ARRIVING, awaits=True)

    async def close(self) -> None:
        """End what can be ended, after the orders that were given; a VM that executes runs on."""
        await self.in_turn(self.cancel_migration())
        if self._server is not None:
            self._server.close()
            qemu_channel.forget(str(self._address))
        for task in tuple(self._tasks):
            # safety: a switch-over that is cut off would leave two VMs, or none.
            if task not in self._whole:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._machine is not None:
            await self._machine.let_go()
        self.state, self.detail = VmState.UNKNOWN, "nobody looks after the VM here any more"


async def _load(machine: Machine, saved: Path) -> None:
    """Load a saved state into QEMU; raises `HypervisorError`; `OSError`: it can't be read."""
    await set_capabilities(machine, "late-block-activate")
    await load_from(machine.monitor, saved)
    while not await has_arrived(machine):
        await machine.stirs()
