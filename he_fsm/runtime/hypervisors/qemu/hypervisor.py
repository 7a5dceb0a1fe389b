"""
A hypervisor whose VM is a QEMU process, without libvirt; implements `ports.Hypervisor`.

In the run folder of its host it keeps

    vm.json       the VM (`vm_file`); it survives the agent, and so does the VM
    vm.log        what QEMU says          vm.console   what the guest says
    vm.report     whether the last start got the lease
    vm.qmp        QEMU's monitor, for the agent alone
    vm.monitor    the same for people: `socat - UNIX:vm.monitor`
    vm.serial     the guest's serial console, at which people type

All talk with QEMU and with other hosts' agents happens in one thread of its own (`qemu_host`). What
others see is what that thread last saw, so that no method waits.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent import futures
from contextlib import suppress
from typing import Any, Final

from he_fsm.runtime.hypervisors.qemu.host import QemuHost, QemuSettings
from he_fsm.runtime.ports import MovableLease, Observation, Peer
from he_fsm.snapshot import LocalVm, Outcome, VmState

_log = logging.getLogger(__name__)

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
        self._host = self.make_host(settings, lease)
        # An order to start that the thread has not carried out yet.
        self._is_ordered = False
        # The same of an order to move: seen to stay, the VM would be taken for one that failed to.
        self._is_to_leave = False
        # The thread did not end in time what it was doing when it was told to close.
        self._is_late = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="qemu", daemon=True)
        self._thread.start()
        adopted = asyncio.run_coroutine_threadsafe(self._host.adopt(), self._loop)
        with suppress(futures.TimeoutError):
            adopted.result(_ADOPTED_S)

    def make_host(self, settings: QemuSettings, lease: MovableLease) -> QemuHost:
        """Make what the one thread sees; a lab's takes further orders."""
        return QemuHost(settings, lease)

    # Ask.

    def observe(self) -> Observation:
        """Return the VM as the thread last saw it, and how deeds have ended."""
        host = self._host
        # Asked for first: once the thread has begun a deed, its own state says so.
        is_ordered, is_to_leave = self._is_ordered, self._is_to_leave
        with host.guard:
            state = host.state
            is_begun = not (state is VmState.ABSENT and is_ordered)
            is_begun = is_begun and not (state is VmState.UP and is_to_leave)
            if not is_begun:
                # A result that is there already would come before its consequence.
                state = VmState.LEAVING if state is VmState.UP else VmState.STARTING
                return Observation(vm=LocalVm(state), detail="ordered")
            results, departure = host.take_results(), host.departure
            detail, since = host.detail, host.since
        record = host.record
        is_frozen = record is not None and record.process_state == _FROZEN
        if state in (VmState.UP, VmState.UNKNOWN) and is_frozen:
            # A process that was stopped as a whole does not answer, and does not execute.
            detail = "its process is stopped"
            return Observation(vm=LocalVm(VmState.PAUSED), results=results, detail=detail)
        return Observation(
            vm=LocalVm(state),
            results=results,
            progress=None if departure is None else departure.progress,
            detail=detail,
            since=since,
        )

    # Act.

    def start(self) -> None:
        """Take the lease and start the VM here, unless one is here."""
        self._order_start(paused=False)

    def start_paused(self) -> None:
        """Take the lease and make the VM here, which executes nothing before somebody lets it."""
        self._order_start(paused=True)

    def _order_start(self, *, paused: bool) -> None:
        if self._host.state is VmState.ARRIVING:
            self._host.tell(Outcome.START_REFUSED, "the VM arrives here by a migration")
        elif self._host.state is VmState.ABSENT and not self._is_ordered:
            self._is_ordered = True
            self._post(self._start(paused=paused))

    def shut_down(self) -> None:
        """Press the VM's power button; a paused guest does not see it."""
        if self._host.state not in _BLIND or self._is_ordered:
            self._post(self._host.shut_down())

    def power_off(self) -> None:
        """End the VM at once; one that only arrives is its source's."""
        self._post(self._host.power_off())

    def migrate(self, peer: Peer) -> None:
        """Order the VM's migration to the host *peer*."""
        if self._host.state is VmState.UP:
            self._is_to_leave = True
            self._post(self._migrate(peer))
        else:
            self._host.tell(Outcome.MIGRATION_FAILED, "the VM can't be migrated now")

    def cancel_migration(self) -> None:
        """Order the end of a migration."""
        self._post(self._host.cancel_migration())

    def give_up_arrival(self) -> None:
        """End the QEMU that waits for a VM to arrive."""
        self._post(self._host.give_up_arrival())

    def watch(self, wake: Callable[[], None]) -> None:
        """Call *wake* whenever something about the VM here changes."""
        self._host.wake = wake

    def close(self) -> None:
        """Watch no more; a running VM runs on, one that only arrives here does not."""
        self._host.wake = _nothing
        if self._loop.is_closed():
            return
        closing = asyncio.run_coroutine_threadsafe(self._host.close(), self._loop)
        try:
            closing.result(_CLOSED_S)
        except futures.TimeoutError:
            _log.warning("what looks after the VM does not end within %g s", _CLOSED_S)
            self._is_late = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self, *, paused: bool) -> None:
        try:
            await self._host.start(paused=paused)
        finally:
            self._is_ordered = False
            self._host.wake()

    async def _migrate(self, peer: Peer) -> None:
        try:
            await self._host.migrate(peer.host_id)
        finally:
            self._is_to_leave = False
            self._host.wake()

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        # The executor's threads end with the loop.
        self._loop.run_forever()
        if self._is_late:
            self._loop.run_until_complete(_ended())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def _post(self, order: Coroutine[Any, Any, Any]) -> futures.Future[Any]:
        """Queue an order for the thread."""
        return asyncio.run_coroutine_threadsafe(self._host.in_turn(order), self._loop)


async def _ended() -> None:
    """Wait for what is still under way, then end it: a slow disk may have held the loop up."""
    for is_cut_off in (False, True):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            if is_cut_off:
                task.cancel()
        if left:
            await asyncio.wait(left, timeout=_CLOSED_S)


def _nothing() -> None:
    """Wake nobody."""
