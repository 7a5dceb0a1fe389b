"""
A migration as the source's agent carries it out, and what makes it safe.

    source -> target   {"receive": ...}         the order, with the proof of `channel`
    target -> source   {"ready": URI}           its QEMU waits for the memory
    source -> target   {"take": true}           the source is paused and has put the lease down
    target -> source   {"taken": true}          it has the lease
    target -> source   {"running": true}        it executes
    source -> target   {"end": true}            give up: the target kills its QEMU
    target -> source   {"ended": true}          it is dead, and its lease free
    target -> source   {"refused": why}         at any time: it has ended, or will not

Never two execute, whoever dies when, because nobody executes without the lease:

* The source's VM is paused by an order of ours before QEMU would pause it for the switch-over. QEMU
  lets run again by itself what it has paused by itself, when a migration fails; not what we paused.
* QEMU waits before the switch-over. Only then is the lease put down.
* Whatever goes wrong afterwards: the source asks for the lease. With it, it goes on; without it,
  another has it, and the source's process is killed while it is still paused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.errors import HeFsmError, HypervisorError, LockspaceError
from he_fsm.runtime.hypervisors.qemu.machine import RUNNING, Machine
from he_fsm.runtime.hypervisors.qemu.migration.channel import Channel, ChannelClosedError, connect
from he_fsm.runtime.hypervisors.qemu.migration.encryption import CLIENT, encrypt
from he_fsm.runtime.hypervisors.qemu.migration.rounds import Rounds
from he_fsm.runtime.hypervisors.qemu.monitor import MonitorLostError, RefusedError
from he_fsm.runtime.hypervisors.qemu.section import MoveConfig
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.runtime.ports import MovableLease
from he_fsm.snapshot import Outcome, Result

_log = logging.getLogger(__name__)
# How long the target may take: to start its QEMU, to take the lease, to execute (seconds).
READY_S: Final = 10.0
TAKEN_S: Final = 2.0
RUNNING_S: Final = 10.0
_ENDED_S: Final = 3.0
# How long QEMU may take to end a migration that was cancelled, or let through (seconds).
_SETTLE_S: Final = 10.0
# The VM is paused when the rest of its memory would take so long to send (seconds).
_PAUSE_AT_S: Final = 0.1
_MIB: Final = 1 << 20
_UNLIMITED: Final = 1 << 60
# QEMU's words for a migration that is over, and for one that waits for the switch-over.
_OVER: Final = {"none", "completed", "failed", "cancelled"}
_AT_GATE: Final = "pre-switchover"


class GivenUpError(HypervisorError):
    """The migration failed; the VM runs on here, or is killed."""


class _TooQuickError(GivenUpError):
    """QEMU has paused the VM by itself, and would let it run by itself."""


class Departure:
    """One migration away from here."""

    def __init__(
        self, machine: Machine, lease: MovableLease, target: int, move: MoveConfig
    ) -> None:
        """Prepare the migration of the VM of *machine* to the host *target*."""
        self.progress = 0.0
        self._machine = machine
        self._lease = lease
        self._target = target
        self._move = move
        self._cancelled = asyncio.Event()
        self._was_sent = False
        self._pauses_first = False
        # When the VM was paused for the switch-over (monotonic clock); None: it executes.
        self._paused_at: Optional[float] = None

    def cancel(self) -> None:
        """Cancel the migration, unless it is too late."""
        self._cancelled.set()

    async def run(self, secret: bytes, order: Mapping[str, Any]) -> Result:
        """Carry the migration out to its end; *order* describes the VM to the target."""
        try:
            self._machine.tell(leaving_to=self._target, leaving_since=time.monotonic())
            await self._run(secret, order)
        except Exception as error:  # noqa: BLE001 - whatever it is, the migration is over
            if not isinstance(error, HeFsmError):
                _log.exception("the migration to host %d failed", self._target)
            why = str(error) or type(error).__name__
            if not self._machine.has_ended:
                self._stays(why)
            return Result(Outcome.MIGRATION_FAILED, why)
        return Result(Outcome.MIGRATION_DONE, f"to host {self._target}")

    def _stays(self, why: str) -> None:
        """Note that the VM has not left."""
        failed = self._machine.record.failed_migrations + 1
        try:
            self._machine.tell(
                leaving_to=None, leaving_since=None, failed_migrations=failed, failure=why
            )
        except OSError as error:
            # The next agent asks QEMU and the lease, whatever it reads.
            _log.warning("the VM's record is not written: %s", error)

    async def _run(self, secret: bytes, order: Mapping[str, Any]) -> None:
        address = self._move.address_of(self._target)
        if address is None:
            msg = "no `peers` are configured: nobody to migrate to"
            raise GivenUpError(msg)
        try:
            await self._attempt(address, secret, order)
        except _TooQuickError:
            # The VM runs on. The QEMU that waited for it has ended with the attempt.
            self._pauses_first = True
            await self._attempt(address, secret, order)

    async def _attempt(self, address: str, secret: bytes, order: Mapping[str, Any]) -> None:
        channel = await connect(address, secret, order)
        try:
            ready = await self._unless_cancelled(self._hear(channel, "ready", READY_S))
            await self._send_memory(str(ready["ready"]))
            await self._hand_over(channel)
        except _TooQuickError:
            await _end_target(channel)
            raise
        finally:
            await channel.close()

    async def _unless_cancelled(
        self, waiting: Coroutine[Any, Any, Mapping[str, Any]]
    ) -> Mapping[str, Any]:
        heard = asyncio.ensure_future(waiting)
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        try:
            await asyncio.wait({heard, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not heard.done():
                msg = "cancelled"
                raise GivenUpError(msg)
            return heard.result()
        finally:
            heard.cancel()
            cancelled.cancel()

    # The memory.

    async def _send_memory(self, uri: str) -> None:
        """Send it, until the VM is paused and all that is left is the switch-over."""
        try:
            if self._pauses_first:
                await self._pause()
            await self._send(uri)
        except Exception:
            await _forget(self._machine)
            await self._go_on()
            raise

    async def _send(self, uri: str) -> None:
        """Send the memory, until QEMU waits for the switch-over."""
        monitor = self._machine.monitor
        # Without a way back the source says "completed" though the target refused the VM.
        await set_capabilities(self._machine, "pause-before-switchover", "events", "return-path")
        tls = None if uri.startswith("unix:") else self._move.tls
        await encrypt(self._machine, tls, CLIENT)
        limit = self._move.bandwidth * _MIB or _UNLIMITED
        # QEMU shall not find by itself that it is near enough to the end: 1 ms.
        await monitor.execute("migrate-set-parameters", downtime_limit=1, max_bandwidth=limit)
        await monitor.execute("migrate", uri=uri)
        rounds = Rounds()
        while True:
            info = await monitor.execute("query-migrate")
            status = info.get("status", "setup")
            if status == _AT_GATE and self._paused_at is None:
                msg = "QEMU was ready for the switch-over before the VM could be paused"
                raise _TooQuickError(msg)
            if status == _AT_GATE:
                return
            if status in _OVER:
                msg = f"QEMU says that the migration {status}: {info.get('error-desc', 'why?')}"
                raise GivenUpError(msg)
            if self._cancelled.is_set():
                msg = "cancelled"
                raise GivenUpError(msg)
            if "ram" in info:
                self.progress = rounds.take(info["ram"], time.monotonic())
                await self._pause_or_go_on(rounds)
            await self._machine.stirs()

    async def _pause_or_go_on(self, rounds: Rounds) -> None:
        if self._paused_at is None:
            if rounds.rest_s <= _PAUSE_AT_S:
                await self._pause()
        elif time.monotonic() - self._paused_at > rounds.paused_max_s:
            rounds.wait_for_next()
            await self._go_on()

    async def _pause(self) -> None:
        await self._machine.monitor.execute("stop")
        self._paused_at = time.monotonic()

    async def _go_on(self) -> None:
        if self._paused_at is not None and not self._machine.has_ended:
            await _go_on(self._machine)
            self._paused_at = None

    # The switch-over.

    async def _hand_over(self, channel: Channel) -> None:
        """Hand the VM over to the target; else take the lease back and continue, or be killed."""
        try:
            await self._switch_over(channel)
        except Exception as error:  # noqa: BLE001 - whatever it is, the VM is paused, without a lease
            if not isinstance(error, HeFsmError):
                _log.exception("the switch-over to host %d failed", self._target)
            await self._take_back(channel, str(error) or type(error).__name__)
        try:
            self._machine.tell(phase=Phase.MIGRATED)
        except OSError as error:
            _log.warning("the VM's record is not written: %s", error)
        await self._machine.killed()

    async def _switch_over(self, channel: Channel) -> None:
        """Hand the lease over, let the rest of the memory go, and hear that the target executes."""
        pid = self._machine.record.pid
        # safety: the VM is paused by us, and QEMU waits: from here on nothing executes until
        # somebody has the lease.
        await in_thread(self._lease.put_down, pid, self._target)
        await channel.send(take=True)
        await self._hear(channel, "taken", TAKEN_S)
        monitor = self._machine.monitor
        await monitor.execute("migrate-continue", state=_AT_GATE)
        over = await _is_over(self._machine)
        status = over.get("status", "none")
        self._was_sent = status == "completed"
        if not self._was_sent:
            msg = f"QEMU says that the migration {status} at the switch-over"
            raise GivenUpError(msg)
        await self._hear(channel, "running", RUNNING_S)
        self._tell_how_long(over)

    def _tell_how_long(self, over: Mapping[str, Any]) -> None:
        """Log for how long the VM was stopped; QEMU's own figure begins at its switch-over."""
        stopped_s = time.monotonic() - (self._paused_at or time.monotonic())
        switched_s = float(over.get("downtime", 0)) / 1000
        _log.info(
            "the VM was stopped for %.3f s at most, by QEMU's figures for %.3f s",
            *(stopped_s, switched_s),
        )

    async def _take_back(self, channel: Channel, why: str) -> None:
        """Go on here, and say why; or find that the target is the VM, and return."""
        await _end_target(channel)
        try:
            await in_thread(self._lease.pick_up, self._machine.record.pid)
        except (LockspaceError, OSError) as error:
            if self._was_sent:
                _log.warning("%s; the target has the lease and all the memory", why)
                return
            # safety: it is paused, and has not executed since it had the lease.
            await self._machine.killed()
            msg = f"{why}; the VM is ended here, its lease is gone: {error}"
            raise GivenUpError(msg) from error
        try:
            await _forget(self._machine)
            await self._go_on()
        except HypervisorError as error:
            # The VM has the lease, but nobody can resume it.
            await self._machine.killed()
            msg = f"{why}; the VM is ended here: {error}"
            raise GivenUpError(msg) from error
        raise GivenUpError(why)

    async def _hear(self, channel: Channel, word: str, within_s: float) -> Mapping[str, Any]:
        """Wait for a word of the target; `GivenUpError`: it says no, or nothing."""
        try:
            message = await channel.receive(within_s)
        except ChannelClosedError as error:
            msg = f"host {self._target}: {error}"
            raise GivenUpError(msg) from error
        if word not in message:
            msg = f"host {self._target}: {message.get('refused', message)}"
            raise GivenUpError(msg)
        return message


async def _end_target(channel: Channel) -> None:
    """Have the target's QEMU killed, and wait until it is."""
    with suppress(ChannelClosedError):
        await channel.send(end=True)
        while "ended" not in await channel.receive(_ENDED_S):
            pass


async def set_capabilities(machine: Machine, *names: str) -> None:
    """Switch some of the capabilities of a QEMU's migrations on; raises `HypervisorError`."""
    capabilities = [{"capability": name, "state": True} for name in names]
    await machine.monitor.execute("migrate-set-capabilities", capabilities=capabilities)


async def settle(machine: Machine, lease: MovableLease) -> None:
    """
    Bring a VM that its last agent left in the middle of a migration into order, here or nowhere.

    Raises:
        HypervisorError: QEMU does not answer.
    """
    try:
        # Nothing happens where it has the lease.
        await in_thread(lease.pick_up, machine.record.pid)
    except LockspaceError:
        # safety: another host's VM executes, or may at any moment.
        await machine.killed()
        return
    await _forget(machine)
    if machine.runstate != RUNNING:
        await _go_on(machine)
    machine.tell(leaving_to=None, leaving_since=None)


async def _forget(machine: Machine) -> None:
    """Order QEMU to cancel a migration, and wait until QEMU has done so."""
    if not machine.has_ended:
        await machine.monitor.execute("migrate_cancel")
        await _is_over(machine)


async def _is_over(machine: Machine) -> Mapping[str, Any]:
    """Wait until QEMU is done with the migration, and give its word for how, and its figures."""
    ends_at = time.monotonic() + _SETTLE_S
    while time.monotonic() < ends_at:
        info: Mapping[str, Any] = await machine.monitor.execute("query-migrate")
        if info.get("status", "none") in _OVER:
            return info
        await machine.stirs()
    msg = "QEMU does not come to an end with the migration"
    raise MonitorLostError(msg)


async def _go_on(machine: Machine) -> None:
    """Resume the VM; it has the lease."""
    ends_at = time.monotonic() + _SETTLE_S
    while True:
        try:
            await machine.monitor.execute("cont")
            break
        except RefusedError:
            # QEMU has not yet ended the migration.
            if time.monotonic() > ends_at:
                raise
            await machine.stirs()
    await machine.ask()


async def in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    """Call what may wait for the storage where it keeps nobody else waiting."""
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)
