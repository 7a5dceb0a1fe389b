"""A cluster that lives: what ends is started again, what is planned is done, and how all is."""

from __future__ import annotations

import heapq
import itertools
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Optional

import attrs
import psutil

from he_fsm.chaos.sizes import Size, summed_up
from he_fsm.chaos.strike import Counted, Unit
from he_fsm.chaos.summary import RESTART_WITHIN_S
from he_fsm.errors import HeFsmError
from he_fsm.lab.host import ENDS_WITHIN_S, LabHost
from he_fsm.lab.lab import Lab
from he_fsm.lab.processes import not_ended
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.hypervisors.vm_file import Phase

_LOOK_S = 0.02
# Between two looks at what daemons use.
_SAMPLE_S = 0.2
# An older report is not what an agent thinks now.
_LOOPS_FRESH = 3


@attrs.define(order=True)
class _Planned:
    """Something that will be done to a host; *undoes*: at once when the strikes are over."""

    at: float
    number: int
    undoes: bool = attrs.field(order=False)
    act: Callable[[], None] = attrs.field(order=False)


class Living:
    """
    The hosts of a lab, with an init system that starts again what has ended.

    `outages`: how long each outage of the health page was that has ended (real seconds).
    `changed_at`: when something was last done to a host (monotonic clock).
    """

    def __init__(self, lab: Lab, units: tuple[Unit, ...], source: random.Random) -> None:
        """Begin with a lab that runs; the init system's pauses come from *source*."""
        self.outages: list[float] = []
        self.changed_at = 0.0
        # Called for a host that its watchdog has reset.
        self.on_reset: Callable[[LabHost], None] = lambda _: None
        self._lab = lab
        self._units = units
        self._random = source
        self._restart_at: dict[tuple[str, str], float] = {}
        self._plan: list[_Planned] = []
        self._numbers = itertools.count()
        # Since when the health page is not good; None: it is.
        self._bad_since: Optional[float] = None

    # The plan.

    def later(self, after_s: float, act: Callable[[], None], *, undoes: bool) -> None:
        """Plan something; *after_s* is of the scenario."""
        at = time.monotonic() + after_s / self._lab.speed
        heapq.heappush(self._plan, _Planned(at, next(self._numbers), undoes, act))

    def undo_all(self) -> None:
        """End every fault that lasts; a watchdog's time stays what it is."""
        undoing = sorted(planned for planned in self._plan if planned.undoes)
        self._plan = [planned for planned in self._plan if not planned.undoes]
        heapq.heapify(self._plan)
        for planned in undoing:
            planned.act()

    # Time passes.

    def live_for(self, seconds: float) -> None:
        """Wait for so many real seconds."""
        self.live_until(lambda: False, seconds)

    def live_until(self, is_so: Callable[[], bool], within_s: float) -> bool:
        """Restart what has ended and watch the engine, until a condition holds or time is up."""
        ends_at = time.monotonic() + within_s
        while True:
            self._look_at_the_page()
            while self._plan and self._plan[0].at <= time.monotonic():
                heapq.heappop(self._plan).act()
            for host in self._lab.hosts.values():
                if host.was_reset:
                    self.on_reset(host)
                if host.is_powered and not host.is_frozen:
                    for unit in self._units:
                        self._restart(host, unit)
            if is_so():
                return True
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(_LOOK_S, left_s))

    def sizes(self, counted: Counted, for_s: float) -> dict[str, Size]:
        """Return what daemons use, by their names, summed up over so many real seconds."""
        found: dict[str, list[Size]] = {}
        ends_at = time.monotonic() + for_s
        while time.monotonic() < ends_at:
            for name, size in counted(self._lab):
                found.setdefault(name, []).append(size)
            self.live_for(_SAMPLE_S)
        return {name: summed_up(sizes) for name, sizes in found.items()}

    def _restart(self, host: LabHost, unit: Unit) -> None:
        """Start a daemon again that has ended, after a moment, as an init system does."""
        key = host.name, unit.name
        if not unit.has_ended(host):
            self._restart_at.pop(key, None)
            return
        now = time.monotonic()
        pause_s = self._random.uniform(0, RESTART_WITHIN_S)
        if now >= self._restart_at.setdefault(key, now + pause_s):
            del self._restart_at[key]
            unit.start(host)

    def _look_at_the_page(self) -> None:
        is_good = any(_page_is_good(host) for host in self._lab.hosts.values())
        now = time.monotonic()
        if not is_good and self._bad_since is None:
            self._bad_since = now
        elif is_good and self._bad_since is not None:
            self.outages.append(now - self._bad_since)
            self._bad_since = None

    # Conditions.

    def states(self) -> dict[str, object]:
        """Return each agent's state; None: it has not said since the last change."""
        states: dict[str, object] = {}
        for host in self._lab.hosts.values():
            try:
                report = host.client.last_report()
            except HeFsmError:
                report = {}
            age_s = report.get("age_s")
            # A report from before the last fault does not answer it.
            fresh_s = time.monotonic() - self.changed_at
            fresh_s = min(fresh_s, _LOOPS_FRESH * self._lab.policy.loop_s)
            is_new = age_s is not None and age_s < fresh_s
            states[host.name] = report.get("state") if is_new else None
        return states

    def running(self) -> list[str]:
        """Return the hosts that have a VM's process."""
        return [host.name for host in self._lab.hosts.values() if host.vm() is not None]

    def is_settled(self) -> bool:
        """Return whether one engine is up, and its host alone reports it."""
        if self._bad_since is not None:
            return False
        running = self.running()
        if len(running) != 1:
            return False
        wanted = dict.fromkeys(self._lab.hosts, "EngineDown")
        return self.states() == {**wanted, running[0]: "EngineUp"}

    def how_it_is(self) -> str:
        """Return the state in words."""
        page = "good" if self._bad_since is None else "bad"
        return f"the page is {page}, VMs on hosts {self.running()}, states {self.states()}"

    def torn_slots(self) -> Iterator[str]:
        """Return which slots of the whiteboard are damaged, or empty."""
        found = Whiteboard.parse(self._lab.whiteboard.read())
        ids = {host.host_id for host in self._lab.hosts.values()}
        yield from (f"slot {i}: {problem}" for i, problem in found.problems.items())
        yield from (f"slot {i} is empty" for i in sorted(ids - set(found.slots)))

    def end(self) -> list[str]:
        """End what was started, cleanly; return what is still running."""
        hosts = self._lab.hosts.values()
        # Agents first: they say goodbye by their brokers, and start no VM any more.
        for daemons in ([h.agent_process for h in hosts], [h.broker_process for h in hosts]):
            living = [process for process in daemons if process is not None]
            for process in living:
                # A process that is stopped would not receive the signal.
                process.send_signal(signal.SIGCONT)
                process.terminate()
            for process in living:
                # A process that does not end is reported below.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(ENDS_WITHIN_S)
        for host in hosts:
            host.kill_vm()
        return list(not_ended(self._left_over()))

    def _left_over(self) -> list[psutil.Process]:
        """Return what runs, but the hosts' services and what is a part of the lab itself."""
        hosts = self._lab.hosts.values()
        services = {service.pid for host in hosts for service in host.services()}
        services |= self._lab.own_pids()
        return [each for each in self._lab.left_over() if not services & _with_parents(each)]


def _with_parents(process: psutil.Process) -> set[int]:
    try:
        return {process.pid, *(parent.pid for parent in process.parents())}
    except psutil.NoSuchProcess:
        return set()


def _page_is_good(host: LabHost) -> bool:
    record = host.vm()
    return (
        record is not None
        and record.phase in (Phase.RUNNING, Phase.STOPPING)
        and host.executes(record)
        and host.page_is_good(record)
    )
