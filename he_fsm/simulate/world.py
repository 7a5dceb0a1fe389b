"""
The world of one scenario: true time, hosts, storage, leases, an engine, and what is to come.

This is plain state, and a queue of what is to happen. What does happen is in `happenings`, what an
agent does with a look in `agent`; both work on a `World`, which knows neither. `run` plays it.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional, Union

from he_fsm.history.look import Look
from he_fsm.liveness import NEVER
from he_fsm.report.events import Event
from he_fsm.report.truth import Truth
from he_fsm.scenario.judging.judge import Judge
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.engine import Engine, Vm
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.idle.hooks import IdleHooks
from he_fsm.simulate.lockspace import Lockspace
from he_fsm.simulate.schedule import FIRST
from he_fsm.simulate.storage import Storage
from he_fsm.snapshot import Result

Action = Callable[[], None]
# At one moment the file's entries act first, then what was under way ends, then agents look.
FILE, PROCESS = 0, 1


class Shown(NamedTuple):
    """
    The truth at one moment, whatever hosts believe.

    `main` is the host of the VM that people mean, `words` says what each VM does, by host,
    `running` how many of them execute, `lease` which host holds the engine's lease.
    """

    main: Optional[str]
    words: Mapping[str, str]
    running: int
    is_good: bool
    lease: Optional[str]


# It differs from whatever is shown first.
NOTHING_SHOWN = Shown(None, {}, -1, False, None)


class Violation(NamedTuple):
    """A rule that was broken: its name, what was seen, and when (seconds)."""

    rule: str
    seen: str
    at: float


class World:
    """
    One scenario with one seed.

    Deterministic: the same scenario and seed give the same events, on every machine. Times are
    true time in seconds since the scenario began.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        """Make a world without hosts; `start.set_up` brings them."""
        self.scenario = scenario
        self.seed = seed
        self.now = 0.0
        self.times = scenario.world
        self.policy = scenario.policy
        self.judge = Judge(scenario)
        self.events: list[Event] = []
        self.truth = Truth()
        self.storage = Storage(scenario.world.storage_latency_s, scenario.policy.score_max)
        self.lockspace = Lockspace(scenario.policy, scenario.world.storage_latency_s)
        self.engine = Engine()
        self.hosts: dict[str, SimHost] = {}
        # Of two hosts that claim one id, the first.
        self.by_id: dict[int, SimHost] = {}
        # The signals that the scenario asks of each host's own view.
        self.wanted_views: dict[str, list[tuple[Any, ...]]] = {}
        self.damages_slots = False
        # Whether any host is ever suspended: agents ask the boot clock then.
        self.suspends_hosts = False
        # Whether all hosts run one release.
        self.is_uniform = True
        self.trace: Optional[Callable[[dict[str, object]], None]] = None
        # Takes every look with its host, as an agent keeps them.
        self.record: Optional[Callable[[SimHost, Look], None]] = None
        # What is to happen: its time, its order at that time, a number, and what.
        self.queue: list[tuple[float, int, int, Action]] = []
        # The looks that are planned: time, turn, number, whose.
        self.ticks: list[tuple[float, int, int, SimHost, Agent]] = []
        self._sequence = 0
        # Of the look that is being made, or was the last.
        self.moment = (0.0, FIRST)
        self.idle = IdleHooks()
        # What the judge, the rules and the report were shown last; whether that may be out of date.
        self.shown = NOTHING_SHOWN._replace(lease=scenario.engine.running_on)
        self.truth_changed = True
        # The rules that were broken; of each the first violation.
        self.broken: dict[str, Violation] = {}

    # What is to happen.

    def at(self, time: float, action: Action, order: int = PROCESS) -> None:
        """
        Schedule *action* for *time*.

        Whatever it changes on a host, it has to touch, wake or tell that host.
        """
        self._sequence += 1
        heapq.heappush(self.queue, (time, order, self._sequence, action))

    def at_awake(self, host: SimHost, time: float, action: Action) -> None:
        """
        Schedule *action*, for which a host's own kernel waits, for *time*.

        It happens as much later as the host is suspended until then.
        """
        began_at = self.now

        def act() -> None:
            if host.clock.is_suspended:
                host.deferred.append(act)
                return
            late = time + host.clock.slept_s(began_at, self.now)
            if self.now < late:
                self.at(late, act)
            else:
                action()

        self.at(time, act)

    def after(self, vm: Vm, delay_s: float, action: Action) -> None:
        """
        End a VM's own process after *delay_s*; the delay does not run while its host is frozen.

        Time in which its host is suspended does not count.
        """
        due, slept_s = self.now + delay_s, vm.slept_s(self.now)

        def act() -> None:
            if vm.is_gone:
                return
            late = due + vm.slept_s(self.now) - slept_s
            if vm.host.is_frozen:
                vm.host.deferred.append(act)
            elif self.now < late:
                self.at(late, act)
            else:
                action()

        self.at(due, act)

    # When agents look.

    def touch(self, host: SimHost) -> None:
        """Something about the engine on *host* changed: its hypervisor tells its agent."""
        self.page_changed(host)
        if not host.hypervisor_is_lost:
            self.wake(host)

    def page_changed(self, host: SimHost) -> None:
        """The health page on *host* changed: no event, the agent finds it at its next look."""
        self.truth_changed = True
        host.local_vm = None
        self.idle.stir(host)

    def tell(self, host: SimHost, result: Result) -> None:
        """Tell a host's agent how an effect ended."""
        if host.agent is not None:
            host.agent.results.append(result)
            self.wake(host)

    def wake(self, host: SimHost) -> None:
        """Schedule a pass of a host's agent for now."""
        host.local_vm = None
        agent = host.agent
        if agent is not None and (agent.next_tick > self.now or agent.next_tick < 0):
            self.look_at(host, agent, self.now)

    def look_at(
        self, host: SimHost, agent: Agent, time: float, asked_for: Optional[float] = None
    ) -> None:
        """Schedule an agent's next pass for *time*, which it *asked* for on its own clock."""
        agent.next_tick = time
        agent.asked_for = asked_for
        self._sequence += 1
        agent.planned = self._sequence
        if time == NEVER:
            return
        turn, last = host.place, self.moment[1]
        if time == self.now and turn <= last:
            count = len(self.hosts)
            turn += last // count * count
            if turn <= last:
                turn += count
        heapq.heappush(self.ticks, (time, turn, self._sequence, host, agent))

    # What is true, and what people see.

    def host_of(self, host_id: int) -> Optional[SimHost]:
        """Return the host that holds an id, or claims it."""
        member = self.lockspace.holders.get(host_id)
        return self.by_id.get(host_id) if member is None else self.hosts[member.name]

    def expiry(self, name: str) -> float:
        """Return the true time at which a host's leases expire, if it does not renew until then."""
        host = self.hosts[name]
        if host.member.renews:
            return NEVER
        return host.member.renewed_at + host.policy.lease_expiry_s

    def mark_truth(self) -> None:
        """Something has become true or false that is not an agent's belief."""
        self.truth_changed = True

    def note(
        self,
        host: Optional[SimHost],
        kind: str,
        text: str,
        **details: Union[str, float, bool, None],
    ) -> None:
        """Write down what happens."""
        name = None if host is None else host.name
        self.events.append(Event(self.now, name, kind, {"text": text, **details}))

    def count(self, kind: str, host: SimHost) -> None:
        """Count towards the totals."""
        self.judge.count(self.now, kind, host.name)
