"""One QEMU process of this host, from its record to its end, as its monitor reports it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.qemu.command import MONITOR, SECOND_MONITOR, SERIAL
from he_fsm.runtime.hypervisors.qemu.console import SCREENS, void_password
from he_fsm.runtime.hypervisors.qemu.monitor import Monitor, MonitorLostError
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import has_ended, open_process, send_signal
from he_fsm.runtime.service.tasks import keep
from he_fsm.snapshot import VmState

_log = logging.getLogger(__name__)
# Where a migration's data arrives, on hosts of one machine.
DATA: Final = "vm.data"
# How often QEMU is asked how it is, though nothing has happened (seconds).
_HEARTBEAT_S: Final = 5.0
# How often a migration is looked at, though no event came; a switch-over waits for it (seconds).
_LOOK_S: Final = 0.01
_REAP_S: Final = 0.01
# What follows a VM takes its leave of the monitor, which takes milliseconds (seconds).
_CANCELLED_S: Final = 0.5
# After these events QEMU is asked for its state; the names are its own.
_CHANGES: Final = {"STOP", "RESUME", "SHUTDOWN", "GUEST_PANICKED", "SUSPEND", "WAKEUP", "RESET"}
# By these the guest reports that it is dead, and QEMU ends; what people are told of it.
_DEATHS: Final = {
    "GUEST_PANICKED": "the guest has panicked",
    "WATCHDOG": "the guest's watchdog has fired",
}
# QEMU ends by itself after such a report, or when it has closed its monitor. Where its storage
# holds it up, it is killed after the one, and taken for silent after the other (seconds).
_ENDS_S: Final = 1.0
# What it has said before its end is read for so long at most (seconds).
_LAST_WORDS_S: Final = 0.2
RUNNING: Final = "running"
# QEMU's words for a migration that is under way, and for one that has come to nothing.
_MOVES: Final = {"setup", "active", "pre-switchover", "device"}
_STAYS: Final = {"failed", "cancelled"}


class Machine:
    """
    The VM in one process; all methods are for one event loop.

    `runstate` is QEMU's own word for the VM's state, empty until it has answered. `is_answering`:
    its monitor answered when it was last asked; so it is taken to be at the beginning.
    `is_moving`: QEMU has reported that it sends the VM away, whoever has ordered that.
    """

    def __init__(
        self,
        record: VmRecord,
        file: VmFile,
        changed: Callable[[], None],
        ended: Callable[[Machine], None],
        monitor: str = MONITOR,
    ) -> None:
        """Look after the process of *record*; report changes, and its end once."""
        self.record = record
        self.is_moving = False
        self._was_sent = False
        self.runstate = ""
        self.is_answering = True
        # How often it has answered.
        self._answers = 0
        self._file = file
        self._changed = changed
        self._ended = ended
        self.run_dir: Path = file.path.parent
        self._monitor_path = self.run_dir / monitor
        self._monitor: Optional[Monitor] = None
        self._stirred = asyncio.Event()
        self._answered = asyncio.Event()
        self._end = asyncio.Event()
        # Until when the end of the process waits for what its monitor still has to tell.
        self._heard_until: Optional[float] = None
        self._process = open_process(record)
        if self._process is not None:
            asyncio.get_running_loop().add_reader(self._process, self._on_end)
        self._task = asyncio.ensure_future(keep("qemu", self._follow))

    @property
    def monitor(self) -> Monitor:
        """
        Return the monitor.

        Raises:
            MonitorLostError: there is none now.
        """
        if self._monitor is None:
            msg = "QEMU's monitor is not there"
            raise MonitorLostError(msg)
        return self._monitor

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._end.is_set()

    def tell(self, **changes: Any) -> None:
        """Change the record; the next agent reads it."""
        if "phase" in changes:
            changes["since"] = time.monotonic()
        self.record = attrs.evolve(self.record, **changes)
        self._file.write(self.record)
        self._changed()

    async def answered(self) -> bool:
        """Wait until QEMU has said how it is; False: its process has ended."""
        return await self._comes(self._answered)

    async def executes(self) -> bool:
        """Wait until the VM executes; False: its process has ended."""
        while self.runstate != RUNNING and not self.has_ended:
            await self.stirs()
        return not self.has_ended

    async def stirs(self) -> None:
        """Wait for an event, for the end of the process, or for a moment."""
        self._stirred.clear()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stirred.wait(), _LOOK_S)

    async def ask(self) -> None:
        """Ask QEMU for its state; raises `HypervisorError`."""
        status = await self.monitor.execute("query-status")
        self._answers += 1
        self._note(str(status["status"]), is_answering=True)
        self._answered.set()

    def kill(self) -> None:
        """End the process at once."""
        send_signal(self.record, signal.SIGKILL)

    async def ends(self) -> None:
        """Wait for the end of the process."""
        await self._end.wait()

    async def killed(self) -> None:
        """End the process, and wait for its end."""
        self.kill()
        await self._end.wait()

    async def let_go(self) -> None:
        """Follow it no more; the VM runs on."""
        while not self._task.done():
            # A cancel that comes just as a wait with a time-out ends is lost (bpo-37658).
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CANCELLED_S)
        self._stop_watching()

    async def _comes(self, event: asyncio.Event) -> bool:
        waits = [asyncio.ensure_future(each.wait()) for each in (event, self._end)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        return not self.has_ended

    async def _follow(self) -> None:
        """Keep connected, and take what QEMU tells."""
        if self._process is None:
            self._on_end()
        heart = asyncio.ensure_future(keep("qemu-heartbeat", self._beat))
        try:
            while True:
                monitor = await Monitor.connect(self._monitor_path, lambda: not self.has_ended)
                if monitor is None:
                    return
                self._monitor = monitor
                try:
                    await self._listen(monitor)
                finally:
                    self._monitor = None
                    await monitor.close()
        finally:
            heart.cancel()

    async def _listen(self, monitor: Monitor) -> None:
        await self._try_ask()
        async for name, data in monitor.events():
            _log.debug("QEMU says %s", name)
            if name == "BLOCK_IO_ERROR":
                _log.error("an error of the VM's disk: %s", data.get("reason", "unknown"))
            if name in _DEATHS:
                self._note_death(_DEATHS[name])
            is_going = name in {"POWERDOWN", "SHUTDOWN"} and not self.record.ending
            if is_going and self.record.phase is Phase.RUNNING:
                self.tell(phase=Phase.STOPPING)
            if name == "MIGRATION":
                self._note_migration(str(data.get("status")))
            if name == "RESUME":
                self._note_resumed()
            if name in _CHANGES:
                await self._try_ask()
            if name in SCREENS:
                await self._void_password(SCREENS[name])
            self._stirred.set()

    async def _void_password(self, protocol: str) -> None:
        """End the screen's password: somebody has got in with it."""
        try:
            await void_password(self.monitor, protocol)
        except HypervisorError as error:
            # The password expires in any case.
            _log.warning("the screen's password is not used up: %s", error)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            if self._monitor is not None:
                await self._try_ask()

    async def _try_ask(self) -> None:
        try:
            await self.ask()
        except HypervisorError as error:
            if self._monitor is None or self._monitor.is_connected:
                self._note_silence(str(error))
            else:
                # Most often the process ends, which the kernel tells a moment later: no silence.
                loop = asyncio.get_running_loop()
                loop.call_later(_ENDS_S, self._note_silence, str(error), self._answers)

    def _note_silence(self, why: str, since: Optional[int] = None) -> None:
        """Note that QEMU does not answer, unless it has, after *since* answers."""
        if not self.has_ended and since in (None, self._answers):
            _log.warning("%s", why)
            self._note(self.runstate, is_answering=False)

    def _note_death(self, why: str) -> None:
        """Believe a guest that reports its own death: nothing of it is waited for."""
        _log.error("%s: the VM ends", why)
        self.tell(ending=why)
        asyncio.get_running_loop().call_later(_ENDS_S, self.kill)

    def _note_migration(self, status: str) -> None:
        """Note what QEMU reports of a migration; QEMU reports nothing that nobody asked for."""
        # An arriving VM is no migration away.
        self._was_sent = status == "completed"
        is_away = status in _MOVES and self.record.phase is Phase.RUNNING
        if is_away != self.is_moving and (is_away or status in _STAYS):
            self.is_moving = is_away
            self._changed()

    def _note_resumed(self) -> None:
        """See that a VM stays that executes again after all of it was sent: nobody became it."""
        if self._was_sent:
            self._was_sent = self.is_moving = False
            self._changed()

    def _note(self, runstate: str, *, is_answering: bool) -> None:
        if (runstate, is_answering) != (self.runstate, self.is_answering):
            self.runstate, self.is_answering = runstate, is_answering
            self._stirred.set()
            self._changed()

    def _on_end(self) -> None:
        """Take the process's end, when it can be asked for its status."""
        self._stop_watching()
        if not has_ended(self.record.pid) or self._has_last_words():
            asyncio.get_running_loop().call_later(_REAP_S, self._on_end)
            return
        # A killed QEMU leaves its sockets.
        for name in (MONITOR, SECOND_MONITOR, SERIAL, DATA):
            (self.run_dir / name).unlink(missing_ok=True)
        try:
            self._file.clear(self.record)
        except (OSError, ValueError) as error:
            # The record names a process that has ended, and the next VM's record replaces it.
            _log.warning("the record of the VM that has ended stays: %s", error)
        self._end.set()
        self._stirred.set()
        self._ended(self)

    def _has_last_words(self) -> bool:
        """Whether the monitor of the process, which has ended, may still tell why."""
        now = time.monotonic()
        if self._heard_until is None:
            self._heard_until = now + _LAST_WORDS_S
        return self._monitor is not None and now < self._heard_until

    def _stop_watching(self) -> None:
        if self._process is not None:
            asyncio.get_running_loop().remove_reader(self._process)
            os.close(self._process)
            self._process = None


def detail_of(machine: Machine, state: VmState) -> str:
    """Return why a VM is as it is, where that is not all in its state."""
    if state is VmState.UNKNOWN:
        return "the hypervisor does not answer"
    if state is VmState.PAUSED:
        return f"QEMU says {machine.runstate}"
    record = machine.record
    return f"to host {record.leaving_to}" if record.is_leaving else record.failure


def state_of(machine: Machine) -> VmState:
    """Return what the VM is, by its record and by QEMU's own word."""
    record = machine.record
    if record.phase is Phase.MIGRATED:
        return VmState.ABSENT
    if record.phase is Phase.STARTING:
        return VmState.STARTING
    if record.phase is Phase.ARRIVING:
        return VmState.ARRIVING
    if record.is_leaving:
        return VmState.LEAVING
    if not machine.runstate or not machine.is_answering:
        return VmState.UNKNOWN
    if record.phase is Phase.STOPPING:
        return VmState.STOPPING
    if machine.is_moving:
        # Somebody else has ordered it.
        return VmState.LEAVING
    return VmState.UP if machine.runstate == RUNNING else VmState.PAUSED
