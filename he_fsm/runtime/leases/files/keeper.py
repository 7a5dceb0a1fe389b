"""
Ends the VM's own process when its host has lost its id: what sanlock does to a real VM.

The lock alone would keep a second VM away for as long as this process lives; but a host that can't
renew must be free to take over from, so its VM has to be gone by then.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files import records
from he_fsm.runtime.leases.files.records import EngineRecord, HostLease
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.service.supervised import SupervisedThread

_log = logging.getLogger(__name__)

# How a process ends whose lease is lost.
EXIT_LEASE_LOST: Final = 5
_LOOKS_PER_IO_TIMEOUT: Final = 4
_PERIOD_MAX_S: Final = 1.0


def _end_process(why: str) -> None:
    _log.critical("the VM ends: %s", why)
    os._exit(EXIT_LEASE_LOST)


class LeaseKeeper:
    """
    Watches the lease that a process inherited, from threads of its own.

    *descriptor* is the engine's lease as `hold` or `EngineLease.pick_up` gave it. When the lease is
    lost, *on_lost* is called with the reason, once, in one of those threads; it ends the process.

    Raises:
        LockspaceError: the descriptor is not a lease that is held.
    """

    def __init__(
        self,
        descriptor: int,
        folder: str | Path,
        io_timeout_s: float,
        on_lost: Callable[[str], object] = _end_process,
    ) -> None:
        self._folder = Path(folder)
        self._engine_path = self._folder / records.ENGINE_FILE
        self._descriptor = descriptor
        self._on_lost = on_lost
        # The watchdog's time is for others to wait.
        self._rules = Rules(io_timeout_s=io_timeout_s, watchdog_s=0.0)
        self._period_s = min(_PERIOD_MAX_S, io_timeout_s / _LOOKS_PER_IO_TIMEOUT)
        record = records.read_line(descriptor, EngineRecord, self._engine_path)
        if record is None:
            msg = f"{self._engine_path} is nobody's lease"
            raise LockspaceError(msg)
        self._record = record
        self._host: Optional[HostLease] = records.read_host(self._folder, record.owner)
        self._why_lost: Optional[str] = None
        self._stopped = threading.Event()
        self._threads = (
            SupervisedThread("lease-reader", self._read),
            SupervisedThread("lease-keeper", self._watch),
        )

    def start(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no more: the lease was handed over, or the VM ends anyway."""
        self._stopped.set()
        for thread in self._threads:
            thread.close()

    def _read(self) -> None:
        """Keep what the storage says up to date; a storage that hangs hangs this thread alone."""
        while not self._stopped.wait(self._period_s):
            self._look()

    def _look(self) -> None:
        owner = self._record.owner
        try:
            host = records.read_host(self._folder, owner)
            is_in_place = records.is_same_file(self._descriptor, self._engine_path)
        except LockspaceError as error:
            _log.warning("the lease of host %d can't be read: %s", owner, error)
            return
        if host is None:
            return
        if host.generation != self._record.generation:
            self._why_lost = f"host {owner} has joined anew"
        elif host.left:
            self._why_lost = f"host {owner} has left the lockspace"
        elif not is_in_place:
            self._why_lost = f"{self._engine_path} was removed or replaced"
        self._host = host

    def _watch(self) -> None:
        """End the process in time, whatever the storage does."""
        was_overdue = False
        while not self._stopped.wait(self._period_s):
            why = self._why_lost
            now = time.monotonic()
            is_overdue = self._host is None or not self._rules.is_current(self._host, now)
            # Twice in a row: a process that was stopped for long gets one chance to read again.
            if is_overdue and was_overdue:
                why = f"host {self._record.owner} has not renewed its id for {self._age(now):.1f} s"
            if why is not None and not self._stopped.is_set():
                self._stopped.set()
                self._on_lost(why)
            was_overdue = is_overdue

    def _age(self, now: float) -> float:
        return float("inf") if self._host is None else now - self._host.renewed_at
