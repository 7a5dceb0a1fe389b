"""
Random faults on real daemons: whatever fails, one engine is up in the end and never were two.

A campaign strikes random hosts at random moments with what its back end's kit has: processes are
killed or stopped, storage is cut, hosts lose their power. What an init system would start again is
started again, and what a watchdog would do is done when it would. Hosts, faults and moments come
from a seed. What the processes are doing then does not: a failure need not come again.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Optional

import attrs
import psutil

from he_fsm.errors import HeFsmError
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.rehearse.chaos_kit import EMBEDDED_KIT, Fault, Kit, Unit
from he_fsm.rehearse.chaos_summary import RESTART_WITHIN_S, Summary, bound
from he_fsm.rehearse.host import ENDS_WITHIN_S, LabHost
from he_fsm.rehearse.lab import Lab
from he_fsm.runtime.hypervisors.vm_file import Phase
from he_fsm.scenario import Scenario, parse_scenarios

_log = logging.getLogger(__name__)
_LOOK_S = 0.02
# What lives for so long after the end of everything is left over (seconds).
_LEFT_AFTER_S = 1.0
# Of the scenario: between the faults of one strike, at most.
_APART_MAX_S = 2.0
# An older report is not what an agent thinks now.
_LOOPS_FRESH = 3
# As the simulator has it: a watchdog's last pet may be this share of its time old.
_WATCHDOG_SHARE = 5 / 6
WATCHDOG = "reset by the watchdog"
_MOUNTS = Path("/proc/self/mounts")


def campaign(
    seed: int,
    for_s: float,
    *,
    speed: float = 10.0,
    kit: Kit = EMBEDDED_KIT,
    keep: Optional[Path] = None,
) -> Summary:
    """
    Strike for *for_s* real seconds, then see whether everything comes back.

    Args:
        seed: what hosts, faults and moments come from.
        for_s: how long to strike.
        speed: as of a rehearsal.
        kit: what can be done to the hosts.
        keep: leave the hosts' folders here, with their logs.

    Raises:
        HeFsmError: the cluster does not even come up, or this machine lacks something for it.
    """
    (scenario,) = parse_scenarios(kit.scenario, "chaos")
    reasons = [*kit.backend.missing(speed), *kit.backend.cannot(scenario, speed)]
    if reasons:
        msg = f"the {kit.backend.name} back end can't do this: " + "; ".join(reasons)
        raise HeFsmError(msg)
    folder = keep or Path(tempfile.mkdtemp(prefix="he-fsm-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    lab = kit.backend.make(scenario, speed, folder)
    try:
        try:
            lab.set_up()
            summary = _Campaign(lab, kit, seed).run(for_s)
        finally:
            lab.close()
        left = tuple(_left_of_all(lab))
        return attrs.evolve(summary, problems=(*summary.problems, *left))
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def _left_of_all(lab: Lab) -> Iterator[str]:
    """Say what is left when the whole lab has ended."""
    yield from _left_of(lab.left_over())
    if f"{lab.folder}/" in _MOUNTS.read_text(encoding="utf-8"):
        yield f"something is still mounted below {lab.folder}"


@attrs.define(order=True)
class _Planned:
    """Something that will be done to a host; *undoes*: at once when the strikes are over."""

    at: float
    number: int
    undoes: bool = attrs.field(order=False)
    act: Callable[[], None] = attrs.field(order=False)


class _Campaign:
    """One run in one lab."""

    def __init__(self, lab: Lab, kit: Kit, seed: int) -> None:
        self._lab = lab
        self._kit = kit
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._faults: Counter[str] = Counter()
        self._restart_at: dict[tuple[str, str], float] = {}
        self._plan: list[_Planned] = []
        self._numbers = itertools.count()
        # When the last fault began or ended (monotonic clock).
        self._changed_at = 0.0
        # Since when the health page is not good; None: it is.
        self._bad_since: Optional[float] = None
        self._outages: list[float] = []

    def run(self, for_s: float) -> Summary:
        lab = self._lab
        lab.start()
        bound_s = bound(lab.scenario, lab.speed)
        if not self._live_until(self._is_settled, bound_s):
            msg = f"after {bound_s:.0f} s the engine is not up, before any fault: {self._states()}"
            raise HeFsmError(msg)
        self._outages.clear()
        strikes = self._strike_for(for_s)
        self._undo_all()
        last_fault = time.monotonic()
        has_settled = self._live_until(self._is_settled, bound_s)
        settled_s = time.monotonic() - last_fault
        problems = [] if has_settled else [f"after {bound_s:.1f} s: {self._how_it_is()}"]
        problems.extend(self._torn_slots())
        problems.extend(self._kit.damage(lab))
        problems.extend(self._left_after_the_end())
        seen_double = lab.doubles()
        return Summary(
            seed=self._seed,
            strikes=strikes,
            faults=dict(self._faults),
            recoveries=len(self._outages),
            longest_outage_s=max(self._outages, default=0.0),
            settled_s=settled_s,
            bound_s=bound_s,
            doubles=len(seen_double),
            problems=(*problems, *seen_double),
        )

    # Faults.

    def _strike_for(self, for_s: float) -> int:
        """Let every combination of faults have its turn, in random order, again and again."""
        ends_at = time.monotonic() + for_s
        combinations: list[tuple[Fault, ...]] = []
        strikes = 0
        while time.monotonic() < ends_at:
            if not combinations:
                sizes = range(1, self._kit.at_once + 1)
                combinations = [
                    c for n in sizes for c in itertools.combinations(self._kit.faults, n)
                ]
                self._random.shuffle(combinations)
            self._strike(combinations.pop())
            strikes += 1
            pause_s = self._random.uniform(0, self._kit.pause_max_s) / self._lab.speed
            self._live_for(min(pause_s, ends_at - time.monotonic()))
        return strikes

    def _strike(self, faults: tuple[Fault, ...]) -> None:
        hosts = [host for host in self._lab.hosts.values() if _can_be_struck(host)]
        if not hosts:
            return
        host = self._random.choice(hosts)
        if self._random.random() < 0.5:
            # Half of the time where the engine is: that is where it matters most.
            host = next((each for each in hosts if each.vm() is not None), host)
        for fault in self._random.sample(faults, len(faults)):
            if _can_be_struck(host):
                self._strike_one(host, fault)
            self._live_for(self._random.uniform(0, _APART_MAX_S) / self._lab.speed)

    def _strike_one(self, host: LabHost, fault: Fault) -> None:
        blow = fault.strike(host)
        if blow is None:
            return
        boot = host.boot
        self._changed_at = time.monotonic()
        _log.info("host %s: %s", host.name, fault.name)
        self._faults[fault.name] += 1
        undo, is_unsafe = blow.undo, blow.is_unsafe

        def undone() -> None:
            if undo is not None and (blow.outlasts_boot or host.boot == boot):
                _log.info("host %s: %s is over", host.name, fault.name)
                undo()
                self._changed_at = time.monotonic()

        def watchdog_fires() -> None:
            if is_unsafe is not None and host.boot == boot and is_unsafe():
                self._reset(host)

        if undo is not None:
            lasts_s = self._random.uniform(0, fault.lasts_max_s)
            self._later(lasts_s, undone, undoes=True)
        if is_unsafe is not None:
            self._later(_watchdog_fires_after_s(self._lab.scenario), watchdog_fires, undoes=False)

    def _reset(self, host: LabHost) -> None:
        _log.info("host %s: the watchdog resets it", host.name)
        self._faults[WATCHDOG] += 1
        host.power_off()
        self._changed_at = time.monotonic()
        boot = host.boot

        def booted() -> None:
            if host.boot == boot and not host.is_powered:
                host.power_on()

        self._later(self._lab.scenario.world.vm_boot_s, booted, undoes=True)

    def _later(self, after_s: float, act: Callable[[], None], *, undoes: bool) -> None:
        """Plan something; *after_s* is of the scenario."""
        at = time.monotonic() + after_s / self._lab.speed
        heapq.heappush(self._plan, _Planned(at, next(self._numbers), undoes, act))

    def _undo_all(self) -> None:
        """End every fault that lasts; a watchdog's time stays what it is."""
        undoing = sorted(planned for planned in self._plan if planned.undoes)
        self._plan = [planned for planned in self._plan if not planned.undoes]
        heapq.heapify(self._plan)
        for planned in undoing:
            planned.act()

    # Time passes.

    def _live_for(self, seconds: float) -> None:
        self._live_until(lambda: False, seconds)

    def _live_until(self, is_so: Callable[[], bool], within_s: float) -> bool:
        """Restart what has ended and watch the engine, until something is so or time is up."""
        ends_at = time.monotonic() + within_s
        while True:
            self._look_at_the_page()
            while self._plan and self._plan[0].at <= time.monotonic():
                heapq.heappop(self._plan).act()
            for host in self._lab.hosts.values():
                if host.is_powered and not host.is_frozen:
                    for unit in self._kit.units:
                        self._restart(host, unit)
            if is_so():
                return True
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(_LOOK_S, left_s))

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
            self._outages.append(now - self._bad_since)
            self._bad_since = None

    # What is so.

    def _states(self) -> dict[str, object]:
        states: dict[str, object] = {}
        for host in self._lab.hosts.values():
            try:
                report = host.client.last_report()
            except HeFsmError:
                report = {}
            age_s = report.get("age_s")
            # What was so before the last fault is nobody's answer to it.
            fresh_s = time.monotonic() - self._changed_at
            fresh_s = min(fresh_s, _LOOPS_FRESH * self._lab.policy.loop_s)
            is_new = age_s is not None and age_s < fresh_s
            states[host.name] = report.get("state") if is_new else None
        return states

    def _running(self) -> list[str]:
        return [host.name for host in self._lab.hosts.values() if host.vm() is not None]

    def _is_settled(self) -> bool:
        """Say whether one engine is up, and its host alone says so."""
        if self._bad_since is not None:
            return False
        running = self._running()
        if len(running) != 1:
            return False
        wanted = dict.fromkeys(self._lab.hosts, "EngineDown")
        return self._states() == {**wanted, running[0]: "EngineUp"}

    def _how_it_is(self) -> str:
        page = "good" if self._bad_since is None else "bad"
        return f"the page is {page}, VMs on hosts {self._running()}, states {self._states()}"

    def _torn_slots(self) -> Iterator[str]:
        found = Whiteboard.parse(self._lab.whiteboard.read())
        ids = {host.config.id for host in self._lab.hosts.values()}
        yield from (f"slot {i}: {problem}" for i, problem in found.problems.items())
        yield from (f"slot {i} is empty" for i in sorted(ids - set(found.slots)))

    def _left_after_the_end(self) -> list[str]:
        """End what was started, cleanly; give what runs all the same."""
        hosts = self._lab.hosts.values()
        # Agents first: they say goodbye by their brokers, and start no VM any more.
        for daemons in ([h.agent_process for h in hosts], [h.broker_process for h in hosts]):
            living = [process for process in daemons if process is not None]
            for process in living:
                # One that is stopped would not hear of its end.
                process.send_signal(signal.SIGCONT)
                process.terminate()
            for process in living:
                process.wait(ENDS_WITHIN_S)
        for host in hosts:
            host.kill_vm()
        return list(_left_of(self._left_over()))

    def _left_over(self) -> list[psutil.Process]:
        """Give what runs, but the hosts' services and what is a part of the lab itself."""
        hosts = self._lab.hosts.values()
        services = {service.pid for host in hosts for service in host.services()}
        services |= self._lab.own_pids()
        return [each for each in self._lab.left_over() if not services & _with_parents(each)]


def _left_of(processes: list[psutil.Process]) -> Iterator[str]:
    """Say which of these do not end; whoever looks at the lab starts some that do."""
    _, living = psutil.wait_procs(processes, timeout=_LEFT_AFTER_S)
    for process in living:
        with suppress(psutil.NoSuchProcess):
            yield f"left over: {' '.join(process.cmdline())}"


def _with_parents(process: psutil.Process) -> set[int]:
    try:
        return {process.pid, *(parent.pid for parent in process.parents())}
    except psutil.NoSuchProcess:
        return set()


def _can_be_struck(host: LabHost) -> bool:
    return host.is_powered and not host.is_frozen


def _page_is_good(host: LabHost) -> bool:
    record = host.vm()
    return (
        record is not None
        and record.phase in (Phase.RUNNING, Phase.STOPPING)
        and host.executes(record)
        and host.page_is_good(record)
    )


def _watchdog_fires_after_s(scenario: Scenario) -> float:
    """Give when it fires; the last renewal is not older than a renewal's period."""
    policy = scenario.policy
    fires_s = policy.lease_kill_s + policy.watchdog_s * _WATCHDOG_SHARE
    return fires_s - 2 * policy.io_timeout_s
