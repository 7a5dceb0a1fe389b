"""
Random kills on real daemons: whatever dies, one engine is up in the end and never were two.

A campaign kills (SIGKILL) agents, brokers, storage workers and engine VMs of random hosts at random
moments, in every combination; what an init system would start again is started again. The moments
come from a seed. What the processes are doing then does not: a failure need not come again.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import psutil
import requests

from he_fsm.errors import HeFsmError
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.rehearse.embedded import EmbeddedLab
from he_fsm.rehearse.host import LabHost
from he_fsm.rehearse.witness import doubles
from he_fsm.runtime.config.settings import HEALTH_PAGE
from he_fsm.runtime.leases.records import EngineRecord, host_ids, open_engine, read_host, read_line
from he_fsm.runtime.storage.client import BACKOFF_MAX_S
from he_fsm.scenario import Scenario, parse_scenarios

KINDS = ("agent", "broker", "worker", "vm")
_SCENARIO = """
scenarios:
  - name: chaos
    policy: {base: talk, failed_starts_forget_s: 60}
    world: {io_timeout: 3s, vm_start: 2s, vm_boot: 10s}
    hosts: 3
"""
_LOOK_S = 0.02
_PAGE_TIMEOUT_S = 0.5
# How long an init system waits before it starts a daemon again, at most (seconds).
_RESTART_WITHIN_S = 1.0
# Of the scenario: between two faults, at most; and between the victims of one.
_PAUSE_MAX_S = 30.0
_APART_MAX_S = 2.0
_ENDS_WITHIN_S = 10.0
# Loops that pass, at worst, until everybody has seen what is so and has acted.
_LOOPS = 6
# An older report is not what an agent thinks now.
_LOOPS_FRESH = 3


@attrs.frozen(kw_only=True)
class Summary:
    """
    What a campaign showed; all times are real seconds.

    `kills`: how many processes of each kind were killed. `recoveries`: outages of the health page
    that ended. `settled_s`: from the last fault until one engine was up and all agents knew;
    `bound_s`: what it may take. `problems`: what is not as it should be; none: all is well.
    """

    seed: int
    faults: int
    kills: dict[str, int]
    recoveries: int
    longest_outage_s: float
    settled_s: float
    bound_s: float
    doubles: int
    problems: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Give the summary for people."""
        kills = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        yield f"seed {self.seed}: {self.faults} faults; killed: {kills or 'nothing'}"
        yield f"recoveries: {self.recoveries}, longest outage {self.longest_outage_s:.1f} s"
        yield f"settled after {self.settled_s:.1f} s, bound {self.bound_s:.1f} s"
        yield f"two engines at once: {self.doubles}"
        yield from (f"PROBLEM: {problem}" for problem in self.problems)


def campaign(seed: int, for_s: float, *, speed: float = 10.0) -> Summary:
    """
    Kill processes for *for_s* real seconds, then see whether everything comes back.

    Raises:
        HeFsmError: the cluster does not even come up.
    """
    (scenario,) = parse_scenarios(_SCENARIO, "chaos")
    folder = Path(tempfile.mkdtemp(prefix="he-fsm-chaos-"))
    lab = EmbeddedLab(scenario, speed, folder)
    try:
        return _Campaign(lab, seed).run(for_s)
    finally:
        lab.close()
        shutil.rmtree(folder, ignore_errors=True)


def bound(scenario: Scenario, speed: float) -> float:
    """
    Give how long recovery may take after the last fault, in real seconds.

    The worst: every host is blocked by failed starts, the last start came to nothing, its owner's
    lease has to run out, and a broker waits as long as it ever does before it tries storage again.
    """
    policy, world = scenario.policy, scenario.world
    scaled_s = (
        policy.lease_expiry_s
        + policy.failed_starts_forget_s
        + policy.stagger_total_s
        + 2 * (world.vm_start_s + world.vm_boot_s)
        + _LOOPS * policy.loop_s
    )
    return _RESTART_WITHIN_S + BACKOFF_MAX_S + scaled_s / speed


class _Campaign:
    """One run in one lab."""

    def __init__(self, lab: EmbeddedLab, seed: int) -> None:
        self._lab = lab
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._page = requests.Session()
        self._kills: Counter[str] = Counter()
        self._restart_at: dict[tuple[str, str], float] = {}
        # Since when the health page is not good; None: it is.
        self._bad_since: float | None = None
        self._outages: list[float] = []

    def run(self, for_s: float) -> Summary:
        lab = self._lab
        lab.start()
        bound_s = bound(lab.scenario, lab.speed)
        if not self._live_until(self._is_settled, bound_s):
            msg = f"after {bound_s:.0f} s the engine is not up, before anything was killed"
            raise HeFsmError(msg)
        self._outages.clear()
        faults = self._strike_for(for_s)
        last_fault = time.monotonic()
        has_settled = self._live_until(self._is_settled, bound_s)
        settled_s = time.monotonic() - last_fault
        problems = [] if has_settled else [f"after {bound_s:.1f} s: {self._states()}"]
        problems.extend(self._torn_files())
        problems.extend(self._left_after_the_end())
        seen_double = doubles(lab.shared)
        self._page.close()
        return Summary(
            seed=self._seed,
            faults=faults,
            kills=dict(self._kills),
            recoveries=len(self._outages),
            longest_outage_s=max(self._outages, default=0.0),
            settled_s=settled_s,
            bound_s=bound_s,
            doubles=len(seen_double),
            problems=(*problems, *seen_double),
        )

    # Faults.

    def _strike_for(self, for_s: float) -> int:
        """Let every combination of victims have its turn, in random order, again and again."""
        ends_at = time.monotonic() + for_s
        combinations: list[tuple[str, ...]] = []
        faults = 0
        while time.monotonic() < ends_at:
            if not combinations:
                sizes = range(1, len(KINDS) + 1)
                combinations = [c for n in sizes for c in itertools.combinations(KINDS, n)]
                self._random.shuffle(combinations)
            self._strike(combinations.pop())
            faults += 1
            pause_s = self._random.uniform(0, _PAUSE_MAX_S) / self._lab.speed
            self._live_for(min(pause_s, ends_at - time.monotonic()))
        return faults

    def _strike(self, kinds: tuple[str, ...]) -> None:
        host = self._random.choice(list(self._lab.hosts.values()))
        if self._random.random() < 0.5:
            # Half of the time where the engine is: that is where it matters most.
            host = next((h for h in self._lab.hosts.values() if h.vm() is not None), host)
        victims = [(kind, pid) for kind in kinds for pid in _pids(host, kind)]
        self._random.shuffle(victims)
        for kind, pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            self._kills[kind] += 1
            self._live_for(self._random.uniform(0, _APART_MAX_S) / self._lab.speed)

    # Time passes.

    def _live_for(self, seconds: float) -> None:
        self._live_until(lambda: False, seconds)

    def _live_until(self, is_so: Callable[[], bool], within_s: float) -> bool:
        """Restart what has ended and watch the engine, until something is so or time is up."""
        ends_at = time.monotonic() + within_s
        while True:
            self._look_at_the_page()
            for host in self._lab.hosts.values():
                self._restart(host, "broker", host.broker_process is None)
                self._restart(host, "agent", host.agent_process is None)
            if is_so():
                return True
            left_s = ends_at - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(_LOOK_S, left_s))

    def _restart(self, host: LabHost, name: str, is_gone: bool) -> None:
        """Start a daemon again that has ended, after a moment, as an init system does."""
        process = host.broker_process if name == "broker" else host.agent_process
        if not is_gone and process is not None and process.poll() is None:
            return
        now = time.monotonic()
        pause_s = self._random.uniform(0, _RESTART_WITHIN_S)
        if now < self._restart_at.setdefault((host.name, name), now + pause_s):
            return
        del self._restart_at[host.name, name]
        if name == "broker":
            host.start_broker()
        else:
            host.start_agent()

    def _look_at_the_page(self) -> None:
        url = f"http://127.0.0.1:{self._lab.port}{HEALTH_PAGE}"
        try:
            is_good = "DB Up" in self._page.get(url, timeout=_PAGE_TIMEOUT_S).text
        except requests.RequestException:
            is_good = False
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
            is_new = age_s is not None and age_s < _LOOPS_FRESH * self._lab.policy.loop_s
            states[host.name] = report.get("state") if is_new else None
        return states

    def _is_settled(self) -> bool:
        """Say whether one engine is up, and its host alone says so."""
        if self._bad_since is not None:
            return False
        running = [host.name for host in self._lab.hosts.values() if host.vm() is not None]
        if len(running) != 1:
            return False
        wanted = dict.fromkeys(self._lab.hosts, "EngineDown")
        return self._states() == {**wanted, running[0]: "EngineUp"}

    def _torn_files(self) -> Iterator[str]:
        found = Whiteboard.parse(self._lab.whiteboard.read())
        ids = {host.config.id for host in self._lab.hosts.values()}
        yield from (f"slot {i}: {problem}" for i, problem in found.problems.items())
        yield from (f"slot {i} is empty" for i in sorted(ids - set(found.slots)))
        folder = self._lab.shared / "leases"
        try:
            for host_id in host_ids(folder):
                read_host(folder, host_id)
            descriptor = open_engine(folder)
            try:
                read_line(descriptor, EngineRecord, folder / "engine")
            finally:
                os.close(descriptor)
        except HeFsmError as error:
            yield str(error)

    def _left_after_the_end(self) -> list[str]:
        """End what was started, cleanly; give what runs all the same."""
        hosts = self._lab.hosts.values()
        # Agents first: they say goodbye by their brokers, and start no VM any more.
        for daemons in ([h.agent_process for h in hosts], [h.broker_process for h in hosts]):
            living = [process for process in daemons if process is not None]
            for process in living:
                process.terminate()
            for process in living:
                process.wait(_ENDS_WITHIN_S)
        for host in hosts:
            for pid in _pids(host, "vm"):
                os.kill(pid, signal.SIGKILL)
        psutil.wait_procs(self._lab.left_over(), timeout=1.0)
        return [f"left over: {' '.join(each.cmdline())}" for each in self._lab.left_over()]


def _pids(host: LabHost, kind: str) -> list[int]:
    """Give the processes of a kind on a host; none where there is none now."""
    if kind == "vm":
        record = host.vm()
        return [] if record is None else [record.pid]
    process = host.agent_process if kind == "agent" else host.broker_process
    if process is None or process.poll() is not None:
        return []
    if kind != "worker":
        return [process.pid]
    try:
        return [child.pid for child in psutil.Process(process.pid).children()]
    except psutil.NoSuchProcess:
        return []
