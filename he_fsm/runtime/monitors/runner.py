"""The threads that ask the monitors, and what these said last."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Callable, Optional

import attrs

from he_fsm.errors import MonitorError
from he_fsm.runtime.ports.monitors import HealthReport, Monitor, Value
from he_fsm.runtime.service.clocks import boot_time
from he_fsm.runtime.service.log import Repeats
from he_fsm.snapshot import Health, Reading, Readings

_log = logging.getLogger(__name__)

# The monitors' names, as health() and the log give them.
NETWORK = "network"
BRIDGE = "bridge"
MEM_FREE = "mem_free"
CPU_LOAD = "cpu_load"
MEM_LOAD = "mem_load"
ENGINE_HEALTH = "engine_health"
STORAGE = "storage"


@attrs.frozen
class _Look:
    """What a monitor's thread knows; replaced as a whole."""

    value: Optional[Value] = None
    # When the value was read; before the first, when the thread began.
    at: float = 0.0
    # When the measurement that is under way began; None: there is none.
    asked_at: Optional[float] = None
    fault: str = ""


class MonitorRunner:
    """
    Asks each monitor every *interval_s* seconds (from start to start) in a thread of its own.

    *monitors* are given by the names above; one that is missing reads as never measured. Asking
    the runner never waits for a monitor. A value that can't be renewed ages. A monitor that
    hangs is said to once, and once when it is back. `start` begins, `close` ends.

    Ages are counted by a clock that goes on while the host is suspended: what was measured before
    that is old.
    """

    def __init__(
        self,
        monitors: Mapping[str, Monitor],
        interval_s: float,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._clock = clock
        self._began_at = clock()
        self._closing = threading.Event()
        self._repeats = Repeats(_log, clock=clock)
        self._threads = {
            name: _MonitorThread(name, monitor, interval_s, clock, self._closing, self._repeats)
            for name, monitor in monitors.items()
        }

    def start(self) -> None:
        """Begin to measure."""
        for thread in self._threads.values():
            thread.start()

    def readings(self) -> Readings:
        """Return the last values with their ages."""
        now = self._clock()
        self._say_what_hangs(now)
        return Readings(
            gateway=self._reading(NETWORK, now),
            bridge=self._reading(BRIDGE, now),
            mem_free=self._reading(MEM_FREE, now),
            cpu_load=self._reading(CPU_LOAD, now),
            mem_load=self._reading(MEM_LOAD, now),
        )

    def engine_health(self) -> tuple[Health, float, str]:
        """
        Return what the health page said last, how many seconds ago, and why.

        A page that keeps the monitor beyond its deadline has not answered in time: it is silent
        now. A monitor that can't ask knows nothing, which is no reason to stop an engine.
        """
        now = self._clock()
        thread = self._threads.get(ENGINE_HEALTH)
        if thread is None:
            return Health.UNKNOWN, now - self._began_at, "there is no page to ask"
        look = thread.look
        age_s = max(0.0, now - look.at)
        overdue_s = thread.overdue_s(look, now)
        if overdue_s > 0:
            return Health.SILENT, 0.0, f"no answer; overdue by {overdue_s:.0f} s"
        if isinstance(look.value, HealthReport) and not look.fault:
            return look.value.health, age_s, look.value.why
        return Health.UNKNOWN, age_s, look.fault or "not asked yet"

    def health(self) -> Mapping[str, object]:
        """
        Return what each monitor last found, for people.

        For each name: value, age_s, and fault (why there is no newer value; empty if there is).
        """
        now = self._clock()
        self._say_what_hangs(now)
        found: dict[str, object] = {}
        for name, thread in self._threads.items():
            look = thread.look
            value: object = look.value
            if isinstance(look.value, HealthReport):
                value = f"{look.value.health.value}: {look.value.why}"
            fault = "it hangs" if thread.overdue_s(look, now) > 0 else look.fault
            age_s = round(max(0.0, now - look.at), 3)
            found[name] = {"value": value, "age_s": age_s, "fault": fault}
        return found

    def close(self, wait_s: float = 1.0) -> None:
        """End the threads; one that hangs is left behind after *wait_s*, and ends with its call."""
        self._closing.set()
        ends_at = time.monotonic() + wait_s
        for thread in self._threads.values():
            if thread.ident is not None:
                thread.join(max(0.0, ends_at - time.monotonic()))

    def _reading(self, name: str, now: float) -> Reading:
        thread = self._threads.get(name)
        if thread is None:
            return Reading(None, max(0.0, now - self._began_at))
        look = thread.look
        value = None if isinstance(look.value, HealthReport) else look.value
        return Reading(value, max(0.0, now - look.at))

    def _say_what_hangs(self, now: float) -> None:
        for name, thread in self._threads.items():
            if thread.overdue_s(thread.look, now) > 0:
                self._repeats.complain(
                    f"{name} hangs", "monitor %s hangs; its last value grows old", name
                )


class _MonitorThread(threading.Thread):
    """Asks one monitor again and again; a daemon thread, so that one that hangs stops nobody."""

    def __init__(  # noqa: PLR0913 - what all threads share
        self,
        name: str,
        monitor: Monitor,
        interval_s: float,
        clock: Callable[[], float],
        closing: threading.Event,
        repeats: Repeats,
    ) -> None:
        super().__init__(name=f"he-fsm monitor {name}", daemon=True)
        self._fact = name
        self._monitor = monitor
        self._interval_s = interval_s
        self._clock = clock
        self._closing = closing
        self._repeats = repeats
        self.look = _Look(at=clock())

    def overdue_s(self, look: _Look, now: float) -> float:
        """Say by how much what is under way is beyond its deadline; not above 0: it is not."""
        if look.asked_at is None:
            return 0.0
        return now - look.asked_at - self._monitor.deadline_s

    def run(self) -> None:
        while not self._closing.is_set():
            began_at = self._clock()
            self.look = attrs.evolve(self.look, asked_at=began_at)
            self.look = self._measure(self.look)
            self._repeats.end(f"{self._fact} hangs", "monitor %s is back", self._fact)
            self._closing.wait(max(0.0, began_at + self._interval_s - self._clock()))

    def _measure(self, before: _Look) -> _Look:
        try:
            value = self._monitor.measure()
        except MonitorError as error:
            self._repeats.complain(self._fact, "monitor %s: %s", self._fact, error)
            return attrs.evolve(before, asked_at=None, fault=str(error))
        except Exception:  # noqa: BLE001 - see below
            # A bug in one monitor must not silence it for good, nor end the broker.
            self._repeats.complain(
                self._fact, "monitor %s has a bug", self._fact, level=logging.ERROR, exc_info=True
            )
            return attrs.evolve(before, asked_at=None, fault="a bug; see the log")
        self._repeats.end(self._fact, "monitor %s measures again", self._fact)
        if value is None:
            return attrs.evolve(before, asked_at=None, fault="not known yet")
        return _Look(value, self._clock())
