"""
A unit of systemd under the lease.

systemd runs the unit, and restarts it itself where its file says so; the lease is the warden's and
the keeper's. A unit that runs already when the lease was taken was started by somebody else, and
without the lease: it is ended first, and then started.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Optional

import attrs

from he_fsm.runtime.hypervisors.event_loop import HasFileno
from he_fsm.runtime.hypervisors.service.body import BodyError, Ending
from he_fsm.runtime.hypervisors.systemd.bus import Bus, BusError, RefusedByBusError
from he_fsm.runtime.service.dbus import SYSTEM_BUS
from he_fsm.runtime.service.supervised import SupervisedThread

_log = logging.getLogger("he_fsm.unit")
_GONE: Final = {"inactive", "failed"}
# Signals are waited for so long at a time; without one systemd is asked as often (seconds).
_SIGNAL_S: Final = 1.0
_AGAIN_S: Final = 0.5
# While a unit is ended, it is asked for, and its processes are killed, so often (seconds).
_ASK_S: Final = 0.02
_KILL_S: Final = 0.5
# Who looks for strays has other things to look at, and waits for no answer any longer (seconds).
_STRAYS_S: Final = 0.5


@attrs.frozen(kw_only=True)
class UnitOptions:
    """The unit's name, and the bus at which systemd is."""

    unit: str
    bus: str = SYSTEM_BUS


def make(options: Mapping[str, Any]) -> Unit:
    """Make the unit of some options, for the warden."""
    return Unit(UnitOptions(**options))


class UnitWatch:
    """A thread that makes `reader` readable whenever the unit may have changed."""

    def __init__(self, options: UnitOptions) -> None:
        """Begin at once."""
        self._options = options
        inside, self._written = os.pipe()
        self.reader = os.fdopen(inside, "rb", buffering=0)
        for descriptor in (inside, self._written):
            os.set_blocking(descriptor, False)
        SupervisedThread("unit-watch", self._run).start()

    def drain(self) -> None:
        """Take what was written."""
        while self.reader.read(4096):
            pass

    def _run(self) -> None:
        bus = Bus(self._options.bus)
        while True:
            try:
                bus.watch(bus.load(self._options.unit))
                while True:
                    bus.signalled(_SIGNAL_S)
                    self._say()
            except BusError as error:
                _log.warning("%s", error)
                self._say()
                time.sleep(_AGAIN_S)

    def _say(self) -> None:
        # A pipe that is full says it as well.
        with suppress(BlockingIOError):
            os.write(self._written, b".")


class Unit:
    """One run of a unit; implements `service.body.Body`."""

    def __init__(self, options: UnitOptions) -> None:
        """Begin with `begin`."""
        self._unit = options.unit
        self._options = options
        self._bus = Bus(options.bus)
        self._path = ""
        self._watch: Optional[UnitWatch] = None
        self._is_stopping = False
        self._ending: Optional[Ending] = None
        self._asked_at = self._killed_at = -1.0
        self.pid = 0

    def begin(self) -> int:
        """Order the start of the unit."""
        try:
            self._path = self._bus.load(self._unit)
            found = self._bus.properties(self._path, "Unit")
            if found["LoadState"] != "loaded":
                msg = f"systemd has no unit {self._unit} that it can start: {found['LoadState']}"
                raise BodyError(msg)
        except BusError as error:
            raise BodyError(str(error)) from error
        try:
            self._order(found)
        except RefusedByBusError as error:
            raise BodyError(str(error)) from error
        except BusError as error:
            # It is not known whether systemd has obeyed: what is seen of the unit tells.
            _log.warning("%s", error)
        self._watch = UnitWatch(self._options)
        return self.pid

    def _order(self, found: Mapping[str, Any]) -> None:
        with suppress(RefusedByBusError):
            self._bus.forget_failure(self._unit)
        if found["ActiveState"] in _GONE:
            self._bus.start(self._unit)
        else:
            _log.warning("%s runs without the lease: it is ended, and started", self._unit)
            self._bus.restart(self._unit)

    @property
    def readers(self) -> Sequence[HasFileno]:
        """Return what the watching thread writes to."""
        return () if self._watch is None else (self._watch.reader,)

    def look(self) -> Optional[Ending]:
        """Ask systemd how the unit is; while it does not answer the unit is as it was."""
        if self._watch is not None:
            self._watch.drain()
        if self._ending is None:
            with suppress(BusError):
                found = self._bus.properties(self._path, "Unit")
                self._note(found)
        return self._ending

    def stop(self) -> None:
        """Order the end of the unit, as its file says."""
        if not self._is_stopping:
            self._is_stopping = True
            self._try_stop()

    def end(self) -> bool:
        """Order the end of the unit, and kill its processes, until systemd says that it is gone."""
        if self.is_gone:
            return True
        now = time.monotonic()
        if now >= self._killed_at + _KILL_S:
            self._killed_at = now
            # In this order: a unit that is being stopped is not restarted by systemd.
            self._try_stop()
            with suppress(BusError):
                self._bus.kill(self._unit, signal.SIGKILL)
        return False

    @property
    def is_gone(self) -> bool:
        """Whether systemd says that nothing of the unit is left; it is asked now and then."""
        now = time.monotonic()
        if now < self._asked_at + _ASK_S:
            return False
        self._asked_at = now
        try:
            # The keeper asks as well where its warden has ended, and has begun nothing.
            self._path = self._path or self._bus.load(self._unit)
            return has_ended(self._bus.properties(self._path, "Unit"))
        except BusError:
            # safety: nobody knows, so the lease is kept.
            return False

    def _note(self, found: Mapping[str, Any]) -> None:
        with suppress(BusError, KeyError):
            service = self._bus.properties(self._path, "Service")
            self.pid = int(service["MainPID"])
        if has_ended(found):
            why = f"the unit {self._unit} is {found['ActiveState']}"
            self._ending = Ending(why, self._is_stopping)

    def _try_stop(self) -> None:
        try:
            self._bus.stop(self._unit)
        except BusError as error:
            _log.warning("%s", error)


def has_ended(found: Mapping[str, Any]) -> bool:
    """Return whether nothing of a unit with these properties runs, or is about to."""
    # A job that waits: the unit has yet to be started.
    has_job = bool(found["Job"][0])
    return found["ActiveState"] in _GONE and not has_job


class UnitStrays:
    """
    The unit where no keeper has the lease for it; implements `service.hypervisor.Strays`.

    Somebody has started it by hand, or at boot.
    """

    def __init__(self, options: UnitOptions) -> None:
        """Open nothing."""
        self._unit = options.unit
        self._bus = Bus(options.bus, _STRAYS_S)

    def run(self) -> bool:
        """Return whether the unit runs, or may soon; False where systemd does not say."""
        try:
            return not has_ended(self._bus.properties(self._bus.load(self._unit), "Unit"))
        except BusError:
            return False

    def end(self) -> None:
        """Order its end, and kill its processes."""
        with suppress(BusError):
            self._bus.stop(self._unit)
            self._bus.kill(self._unit, signal.SIGKILL)

    def close(self) -> None:
        """Disconnect."""
        self._bus.close()
