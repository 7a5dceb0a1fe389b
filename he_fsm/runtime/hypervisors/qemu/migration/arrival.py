"""A migration as the target's agent carries it out; see `departure` for who says what."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError, HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.qemu.machine import DATA, Machine
from he_fsm.runtime.hypervisors.qemu.migration.channel import (
    Channel,
    ChannelClosedError,
    host_of,
    is_local,
)
from he_fsm.runtime.hypervisors.qemu.migration.departure import (
    READY_S,
    RUNNING_S,
    GivenUpError,
    in_thread,
    set_capabilities,
)
from he_fsm.runtime.hypervisors.qemu.migration.encryption import SERVER, encrypt
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.ports import MovableLease

_log = logging.getLogger(__name__)
_HAS_ENDED: Final = "the QEMU that was to receive the VM has ended"
_OVER: Final = {"failed", "cancelled"}


class Arrival:
    """One migration to here; *begin* starts the QEMU that waits for it."""

    def __init__(
        self,
        channel: Channel,
        lease: MovableLease,
        address: str,
        tls: Optional[Path],
        begin: Callable[[], Awaitable[Machine]],
    ) -> None:
        """Receive what the source at the other end of *channel* sends to *address*."""
        self._channel = channel
        self._lease = lease
        self._address = address
        self._tls = tls
        self._begin = begin

    async def run(self) -> None:
        """Carry it out to its end: the VM runs here, or nothing is left of it."""
        machine = None
        try:
            machine = await self._begin()
            await self._receive(machine)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be left behind
            if isinstance(error, HeFsmError):
                _log.warning("no VM arrives: %s", error)
            else:
                _log.exception("no VM arrives")
            if machine is not None and machine.record.phase is not Phase.ARRIVING:
                # The arrived process is the VM by now, and runs on.
                return
            # safety: it is dead before anybody has its lease, and before the source is notified.
            if machine is not None:
                await machine.killed()
            with suppress(ChannelClosedError):
                await self._channel.send(refused=str(error), ended=True)
        except asyncio.CancelledError:
            # The agent ends; without the lease, nothing here can become the VM.
            if machine is not None and machine.record.phase is Phase.ARRIVING:
                machine.kill()
            raise

    async def _receive(self, machine: Machine) -> None:
        uri = await self._listen(machine)
        await self._channel.send(ready=uri)
        message = await _unless_ended(machine, self._channel.receive())
        if "take" not in message:
            msg = "the source has given the migration up"
            raise GivenUpError(msg)
        await in_thread(self._lease.pick_up, machine.record.pid)
        # A source whose agent has ended meanwhile has sent all of the VM, or has not.
        with suppress(ChannelClosedError):
            await self._channel.send(taken=True)
        await self._arrive(machine)
        with suppress(ChannelClosedError):
            await self._channel.send(running=True)

    async def _listen(self, machine: Machine) -> str:
        """Order QEMU to wait for the memory; return the URI for the source's QEMU."""
        try:
            answers = await asyncio.wait_for(machine.answered(), READY_S)
        except asyncio.TimeoutError:
            msg = f"the QEMU that was to receive the VM has not answered within {READY_S:g} s"
            raise GivenUpError(msg) from None
        if not answers:
            raise GivenUpError(_HAS_ENDED)
        # The disk is the source's until the VM executes here.
        await set_capabilities(machine, "late-block-activate", "events", "return-path")
        if is_local(self._address):
            uri = f"unix:{machine.run_dir / DATA}"
            await machine.monitor.execute("migrate-incoming", uri=uri)
            return uri
        await encrypt(machine, self._tls, SERVER)
        host = host_of(self._address)
        await machine.monitor.execute("migrate-incoming", uri=f"tcp:{host}:0")
        info = await machine.monitor.execute("query-migrate")
        return f"tcp:{host}:{info['socket-address'][0]['port']}"

    async def _arrive(self, machine: Machine) -> None:
        """Wait for the rest of the VM, and let it execute; the source may say that it gives up."""
        given_up = asyncio.ensure_future(self._channel.receive())
        try:
            await self._wait_for_the_rest(machine, given_up)
        finally:
            given_up.cancel()
            with suppress(asyncio.CancelledError, ChannelClosedError):
                await given_up
        await let_run(machine)

    async def _wait_for_the_rest(self, machine: Machine, given_up: asyncio.Future[Any]) -> None:
        ends_at = time.monotonic() + RUNNING_S
        while not await has_arrived(machine):
            if given_up.done() and given_up.exception() is None:
                msg = "the source has given the migration up"
                raise GivenUpError(msg)
            if time.monotonic() > ends_at:
                msg = "the rest of the VM does not come"
                raise GivenUpError(msg)
            await machine.stirs()


async def _unless_ended(
    machine: Machine, waiting: Coroutine[Any, Any, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Wait for a word of the source; `GivenUpError`: the process that would need it has ended."""
    heard, ended = asyncio.ensure_future(waiting), asyncio.ensure_future(machine.ends())
    try:
        await asyncio.wait({heard, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not heard.done():
            raise GivenUpError(_HAS_ENDED)
        return heard.result()
    finally:
        heard.cancel()
        ended.cancel()


async def has_arrived(machine: Machine) -> bool:
    """Whether all of a VM is here; `HypervisorError`: it will never be."""
    status = (await machine.monitor.execute("query-migrate")).get("status")
    if status in _OVER:
        msg = f"QEMU says that the migration {status}"
        raise GivenUpError(msg)
    return bool(status == "completed")


async def let_run(machine: Machine) -> None:
    """Resume a VM that has arrived; it has the lease."""
    await machine.monitor.execute("cont")
    await machine.ask()
    machine.tell(phase=Phase.RUNNING)


async def settle_arrival(machine: Machine, lease: MovableLease) -> None:
    """Resume a VM that arrived while its last agent ended, or end it; see `settle`."""
    ends_at = time.monotonic() + RUNNING_S
    try:
        if await in_thread(lease.holds, machine.record.pid):
            while time.monotonic() < ends_at:
                if await has_arrived(machine):
                    await let_run(machine)
                    return
                await machine.stirs()
    except (HypervisorError, LockspaceError) as error:
        _log.warning("no VM arrives: %s", error)
    await machine.killed()
