"""
A hypervisor whose VM is a QEMU process, without libvirt; implements `ports.Hypervisor`.

In the run folder of its host it keeps

    vm.json       the VM (`vm_file`); it survives the agent, and so does the VM
    vm.log        what QEMU says          vm.console   what the guest says
    vm.report     whether the last start got the lease
    vm.qmp        QEMU's monitor, for the agent alone
    vm.monitor    the same for people: `socat - UNIX:vm.monitor`

All talk with QEMU and with other hosts' agents happens in one thread of its own (`qemu_host`). What
others see is what that thread last saw, so that no method waits.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.qemu_host import QemuHost, QemuSettings
from he_fsm.runtime.ports import MovableLease
from he_fsm.snapshot import LocalVm, Outcome, Result, VmState

# A new agent knows by then how the VM is that it finds; else it says that it does not (seconds).
_ADOPTED_S: Final = 2.0
# How long the end of the agent waits for a switch-over that is under way (seconds).
_CLOSED_S: Final = 15.0
_FROZEN: Final = "T"
# In these the guest does not see its power button.
_BLIND: Final = {VmState.PAUSED, VmState.ARRIVING, VmState.ABSENT}


class QemuHypervisor:
    """
    The engine VM as a QEMU process.

    Methods may be called from any thread.
    """

    def __init__(self, settings: QemuSettings, lease: MovableLease) -> None:
        """
        Look after the run folder of *settings*; a VM that runs there is adopted.

        Raises:
            HypervisorError: the secret for migrations can't be used.
        """
        self._host = QemuHost(settings, lease)
        # An order to start that the thread has not carried out yet.
        self._is_ordered = False
        # The same of an order to move: seen to stay, the VM would be taken for one that failed to.
        self._is_to_leave = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="qemu", daemon=True)
        self._thread.start()
        adopted = asyncio.run_coroutine_threadsafe(self._host.adopt(), self._loop)
        with suppress(futures.TimeoutError):
            adopted.result(_ADOPTED_S)

    # Ask.

    def vm(self) -> LocalVm:
        """Say how the VM here is."""
        # Asked for first: once the thread has begun a start, its own state says so.
        is_ordered, is_to_leave = self._is_ordered, self._is_to_leave
        state, record = self._host.state, self._host.record
        if state is VmState.ABSENT and is_ordered:
            return LocalVm(VmState.STARTING)
        if state is VmState.UP and is_to_leave:
            return LocalVm(VmState.LEAVING)
        if (
            state in (VmState.UP, VmState.UNKNOWN)
            and record is not None
            and record.process_state == _FROZEN
        ):
            # A process that was stopped as a whole does not answer, and does not execute.
            return LocalVm(VmState.PAUSED)
        if state is VmState.UNKNOWN:
            raise HypervisorError(self._host.why_unknown)
        return LocalVm(state)

    def results(self) -> tuple[Result, ...]:
        """Give how effects ended since the last call."""
        results = self._host.results
        return tuple(results.popleft() for _ in range(len(results)))

    def progress(self) -> Optional[float]:
        """Give the part of the memory that is sent."""
        departure = self._host.departure
        return None if departure is None else departure.progress

    # Act.

    def start(self) -> None:
        """Take the lease and start the VM here, unless one is here."""
        if self._host.state is VmState.ARRIVING:
            self._host.tell(Outcome.START_REFUSED, "the VM arrives here by a migration")
        elif self._host.state is VmState.ABSENT and not self._is_ordered:
            self._is_ordered = True
            self._post(self._start())

    def shut_down(self) -> None:
        """Press the VM's power button; a paused guest does not see it."""
        if self._host.state not in _BLIND or self._is_ordered:
            self._post(self._host.shut_down())

    def power_off(self) -> None:
        """End the VM at once; one that only arrives is its source's."""
        self._post(self._host.power_off())

    def migrate(self, target: int) -> None:
        """Let the VM move to the host *target*."""
        if self._host.state is VmState.UP:
            self._is_to_leave = True
            self._post(self._migrate(target))
        else:
            self._host.tell(Outcome.MIGRATION_FAILED, "the VM can't be migrated now")

    def cancel_migration(self) -> None:
        """Give a migration up."""
        self._post(self._host.cancel_migration())

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever something about the VM here changes."""
        self._host.wake = wake

    def close(self) -> None:
        """Watch no more; a running VM runs on, one that only arrives here does not."""
        self._host.wake = _nothing
        if self._loop.is_closed():
            return
        with suppress(futures.TimeoutError):
            asyncio.run_coroutine_threadsafe(self._host.close(), self._loop).result(_CLOSED_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        try:
            await self._host.start()
        finally:
            self._is_ordered = False

    async def _migrate(self, target: int) -> None:
        try:
            await self._host.migrate(target)
        finally:
            self._is_to_leave = False

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        # The executor's threads end with the loop.
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def _post(self, order: Coroutine[Any, Any, Any]) -> futures.Future[Any]:
        """Let the thread carry an order out, after those before it."""
        return asyncio.run_coroutine_threadsafe(self._host.in_turn(order), self._loop)


def _nothing() -> None:
    """Wake nobody."""
