"""The VM of this host as the adapter's threads share it, and the calls that they make of vdsm."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.known_vm import KnownVm
from he_fsm.runtime.hypervisors.published import Published
from he_fsm.runtime.hypervisors.vdsm.access import VdsmVm
from he_fsm.runtime.hypervisors.vdsm.section import VdsmConfig
from he_fsm.runtime.hypervisors.vdsm.status import PAUSED, UP, VmSeen, number, stats_of
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.ports import LeaseSight, Peer, VmIdentity
from he_fsm.runtime.vdsm.interface import (
    NO_SUCH_VM,
    Listener,
    VdsmClient,
    VdsmError,
)

_log = logging.getLogger(__name__)

# A process that was told to end has ended by then, save where its storage hangs (seconds).
ENDS_S: Final = 10.0
_LOOK_S: Final = 0.02
_STATUS: Final = "|virt|VM_status|"
_MIGRATION: Final = "|virt|VM_migration_status|"
_CHUNK: Final = 4096

Connect = Callable[[Listener], VdsmClient]


@attrs.frozen(kw_only=True)
class VdsmSettings:
    """
    One host: its id, its run folder, and the VM.

    `lease_wait_s`: for so long a dying owner's lease may have to be waited for, at most (seconds).
    """

    host_id: int
    run_dir: Path
    vm_id: str
    config: VdsmConfig
    lease_wait_s: float


@attrs.define(eq=False)
class Starting:
    """
    A start under way.

    `is_unwanted`: it is to end before the VM executes. `is_created`: vdsm has been told to start
    it.
    """

    is_unwanted: bool = False
    is_created: bool = False


@attrs.define(eq=False)
class Departure:
    """
    A migration away from here that this adapter has ordered.

    `is_ended`: the VM was powered off meanwhile.
    """

    peer: Peer
    is_ended: bool = False


class Here(Published):
    """What the threads of one adapter know and order; implements `vdsm.interface.Listener`."""

    def __init__(self, settings: VdsmSettings, sight: LeaseSight, connect: Connect) -> None:
        """Know nothing yet, and begin to connect."""
        super().__init__("vdsm has not been asked yet")
        self.settings = settings
        self.sight = sight
        self.access = VdsmVm(settings.run_dir, settings.config, settings.vm_id, connect)
        self.starting: Optional[Starting] = None
        self.departure: Optional[Departure] = None
        # A migration that this adapter ordered has failed, and vdsm does no more about it.
        self.has_lost_move = False
        # The last record of the VM's end, which vdsm may forget before it is asked.
        self.last_down: Optional[VmSeen] = None
        self.progress: Optional[float] = None
        # How often the VM has gone on after a pause, by events, some of which may be lost.
        self.resumes = 0
        self.has_lost_events = False
        self._was_paused = False
        self.known = KnownVm(settings.run_dir / STATE, self.guard)
        self._stirs = threading.Lock()
        self._stir_in, self._stir_out = os.pipe()
        os.set_blocking(self._stir_in, False)
        os.set_blocking(self._stir_out, False)
        self._is_open = True
        self.client = connect(self)

    # vdsm.

    def call(self, method: str, **params: Any) -> Any:
        """
        Return the result of a verb about the VM; raises `HypervisorError`.

        It takes no longer than the deadline.
        """
        asked = {"vmID": self.settings.vm_id, **params}
        return self.client.call(method, asked, self.settings.config.deadline_s)

    def look(self) -> Optional[VmSeen]:
        """Return how the VM is; None: vdsm knows none. Raises `HypervisorError`."""
        try:
            seen = stats_of(self.call("VM.getStats"))
        except VdsmError as error:
            if error.code == NO_SUCH_VM:
                return None
            raise
        if seen is None:
            msg = "vdsm's answer to VM.getStats has no status"
            raise HypervisorError(msg)
        return seen

    def destroy(self) -> None:
        """End the VM, and have vdsm forget it; nothing happens where vdsm knows none."""
        try:
            self.call("VM.destroy")
        except VdsmError as error:
            if error.code != NO_SUCH_VM:
                raise

    # Events: in the client's thread.

    def event(self, name: str, params: Mapping[str, Any]) -> None:
        """Note what an event says of the VM, and have it looked at."""
        vm_id = self.settings.vm_id
        if name not in (f"{_STATUS}{vm_id}", f"{_MIGRATION}{vm_id}"):
            return
        record = params.get(vm_id)
        if name.startswith(_MIGRATION):
            percent = number(record.get("progress")) if isinstance(record, Mapping) else None
            self.progress = None if percent is None else min(1.0, max(0.0, percent / 100))
        else:
            seen = VmSeen.of(record)
            if seen is not None:
                self._note_status(seen)
        self.stir()

    def events_lost(self, why: str) -> None:
        """Look at the VM: what has happened may not have been told."""
        _log.debug("vdsm's events: %s", why)
        self.has_lost_events = True
        self.stir()

    def _note_status(self, seen: VmSeen) -> None:
        """Note what follows from the order in which statuses come; an answer may be an old one."""
        with self.guard:
            if seen.is_down:
                self.last_down = seen
            if seen.status in (UP, PAUSED):
                self.resumes += self._was_paused and seen.status == UP
                self._was_paused = seen.status == PAUSED

    # Waiting.

    def stir(self) -> None:
        """Have the VM looked at now."""
        super().stir()
        with self._stirs:
            if self._is_open:
                with suppress(BlockingIOError):
                    os.write(self._stir_out, b".")

    def wait(self, within_s: float, process: Optional[int]) -> None:
        """Wait until somebody stirs, or a process ends whose descriptor is *process*."""
        waiting = select.poll()
        waiting.register(self._stir_in, select.POLLIN)
        if process is not None:
            waiting.register(process, select.POLLIN)
        waiting.poll(within_s * 1000)
        with suppress(BlockingIOError):
            os.read(self._stir_in, _CHUNK)

    def close(self) -> None:
        """Disconnect; nobody looks any more."""
        self.client.close()
        with self._stirs:
            self._is_open = False
            os.close(self._stir_out)
            os.close(self._stir_in)

    # Ends.

    def end(self, vm: VmIdentity, why: str) -> None:
        """
        End the process *vm* at once, and wait until it has ended.

        safety: asks no daemon; it is what keeps a VM from executing without its lease.

        Raises:
            HypervisorError: it does not end, or this user may not end it.
        """
        _log.warning("the VM's process %d is ended: %s", vm.pid, why)
        try:
            self.access.kill_now(vm)
        except HypervisorError as error:
            _log.error("%s", error)
            self.destroy()
        ends_at = time.monotonic() + ENDS_S
        while vm.is_process_of(self.access.identity()):
            if time.monotonic() > ends_at:
                msg = f"the VM's process {vm.pid} does not end"
                raise HypervisorError(msg)
            time.sleep(_LOOK_S)
