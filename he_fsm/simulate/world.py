"""A cluster in one process: true time, hosts, storage, leases, an engine, what befalls them."""

from __future__ import annotations

import heapq
import math
from typing import Any, Callable, Optional, Union

from he_fsm.liveness import NEVER
from he_fsm.memory import Sighting
from he_fsm.metadata.record import EngineStatus, HostRecord
from he_fsm.report.events import Event
from he_fsm.report.truth import Truth
from he_fsm.scenario.judge import Judge
from he_fsm.scenario.model import Scenario
from he_fsm.simulate import agent as agents
from he_fsm.simulate import daemons, faults, quiet, renewals, start
from he_fsm.simulate.engine import Engine, Vm
from he_fsm.simulate.host import RUNS, Agent, SimHost
from he_fsm.simulate.lockspace import Lockspace
from he_fsm.simulate.rules import Rules
from he_fsm.simulate.schedule import LoopTimes
from he_fsm.simulate.storage import Storage
from he_fsm.snapshot import Result

Action = Callable[[], None]
# At one moment the file's entries act first, then what was under way ends, then agents look.
FILE, PROCESS, LOOK = 0, 1, 2


class World:
    """
    One scenario with one seed.

    Deterministic: the same scenario and seed give the same events, on every machine. Times are
    true time in seconds since the scenario began.
    """

    def __init__(self, scenario: Scenario, seed: int, *, skips_idle_time: bool = True) -> None:
        """Set the cluster up as it is at time 0."""
        self.scenario = scenario
        self.seed = seed
        self.now = 0.0
        self.times = scenario.world
        self.policy = scenario.policy
        self.judge = Judge(scenario)
        self.rules = Rules(scenario)
        self.events: list[Event] = []
        self.truth = Truth()
        self.storage = Storage(scenario.world.storage_latency_s, scenario.policy.score_max)
        self.lockspace = Lockspace(scenario.policy, scenario.world.storage_latency_s)
        self.engine = Engine(self)
        self.hosts: dict[str, SimHost] = {}
        # Of two hosts that claim one id, the first.
        self.by_id: dict[int, SimHost] = {}
        # The signals that the scenario asks of each host's own view.
        self.wanted_views: dict[str, list[tuple[Any, ...]]] = {}
        self.damages_slots = False
        self.trace: Optional[Callable[[dict[str, object]], None]] = None
        self.skips_idle_time = skips_idle_time and not self.judge.watches_age
        self._queue: list[tuple[float, int, int, Action, bool]] = []
        # Agents' ticks have a queue of their own: whatever is in the other one ends idle time.
        self._ticks: list[tuple[float, bool, int, SimHost, Agent]] = []
        self._sequence = 0
        self._truth_changed = True
        # The hosts whose looks may be skipped, by id, and what those have to hear of.
        self.steady: dict[int, SimHost] = {}
        self.news: list[quiet.News] = []
        self.trusted: dict[int, Sighting] = {}
        self.is_uniform = True
        # The longest loop that any host has, in true time, and how many looks before a moment say
        # what was seen at it.
        self.longest_loop_s = 0.0
        self.last_looks = 0
        self.note_rates()
        self._shown_lease = scenario.engine.running_on
        start.set_up(self)

    # Time.

    def at(
        self, time: float, action: Action, order: int = PROCESS, *, is_local: bool = False
    ) -> None:
        """
        Let *action* happen at *time*.

        *is_local*: only hosts that it touches, wakes or tells, and leases, can be changed by it.
        """
        self._sequence += 1
        heapq.heappush(self._queue, (time, order, self._sequence, action, is_local))

    def after(self, vm: Vm, delay_s: float, action: Action) -> None:
        """Let a VM's own process end after *delay_s*; it stands still while its host is frozen."""

        def act() -> None:
            if vm.is_gone:
                return
            if vm.host.is_frozen:
                vm.host.deferred.append(act)
            else:
                action()

        self.at(self.now + delay_s, act, is_local=True)

    def is_believed(self, host_id: int) -> bool:
        """Whether any agent takes a host for alive, or does not know yet."""
        agents = (host.agent for host in self.hosts.values() if host.agent is not None)
        return any(
            host_id in agent.liveness.alive or host_id in agent.liveness.pending for agent in agents
        )

    def run(self) -> None:
        """Let everything happen until the scenario's end."""
        until = self.scenario.until
        for index, entry in enumerate(self.scenario.timeline):
            if not entry.since:
                self._plan(index, 0.0)
        self._settle()
        while True:
            next_event = self._queue[0][0] if self._queue else NEVER
            next_tick = self._ticks[0][0] if self._ticks else NEVER
            time = min(next_event, next_tick)
            check = self.judge.next_check(self.now)
            if check is not None and check < time:
                time = check
            if time > until:
                break
            self.now = time
            self._happen(time)
            self._settle()
        self.now = until
        quiet.leave_all(self, math.nextafter(until, math.inf))
        self._settle()

    def _happen(self, time: float) -> None:
        """Let everything of one moment happen, agents last."""
        queue, ticks = self._queue, self._ticks
        while True:
            if queue and queue[0][0] <= time:
                _, _, _, action, is_local = heapq.heappop(queue)
                self._act(action, is_local=is_local)
            elif ticks and ticks[0][0] <= time:
                _, _, planned, host, agent = self._next_tick()
                if host.agent is agent and agent.planned == planned:
                    agents.tick(self, host, agent)
            else:
                return

    def _act(self, action: Action, *, is_local: bool) -> None:
        """Let an action happen, and those look who can see something of it."""
        lockspace = self.lockspace
        changes, handovers = lockspace.changes, lockspace.handovers
        action()
        if not is_local or lockspace.changes != changes:
            self.disturb()
        elif lockspace.handovers != handovers:
            quiet.tell(self, self.now + self.times.storage_latency_s)

    def _next_tick(self) -> tuple[float, bool, int, SimHost, Agent]:
        """Take the next look; those of one moment are in the order in which they were planned."""
        ticks = self._ticks
        first = heapq.heappop(ticks)
        if first[1] or not (ticks and ticks[0][:2] == first[:2]):
            return first
        together = [first]
        while ticks and ticks[0][:2] == first[:2]:
            together.append(heapq.heappop(ticks))
        turns = [quiet.turn(host, agent, time) for time, _, _, host, agent in together]
        first = together.pop(turns.index(min(turns)))
        for tick in together:
            heapq.heappush(ticks, tick)
        return first

    def next_rank(self) -> int:
        """Give the place of one that looks after all others that have looked."""
        self._sequence += 1
        return self._sequence

    def note_rates(self) -> None:
        """Take in how fast the hosts' clocks run."""
        rates = [1.0, *(host.clock.rate for host in self.hosts.values())]
        times = self.times
        longest_s = (times.loop_s + times.jitter_s) / min(rates)
        self.longest_loop_s = max(self.longest_loop_s, longest_s)
        self.last_looks = max(self.last_looks, 2 + int(longest_s * max(rates) / times.loop_s))

    def disturb(self) -> None:
        """Something happens: the cluster is no longer idle."""
        if self.skips_idle_time:
            quiet.disturb(self)

    def _settle(self) -> None:
        """Show the judge what is true now that this moment is over."""
        while True:
            if self._truth_changed:
                self._truth_changed = False
                self._show_truth()
            for index in self.judge.settle(self.now):
                self._plan(index, self.now)
            if not (self._queue and self._queue[0][0] <= self.now):
                return
            self._happen(self.now)

    def _plan(self, index: int, since: float) -> None:
        entry = self.scenario.timeline[index]
        for moment in entry.moments(since, self.scenario.until):
            self.at(moment, lambda: faults.apply(self, entry), FILE, is_local=True)

    def host_of(self, host_id: int) -> Optional[SimHost]:
        """Give the host that holds an id, or claims it."""
        member = self.lockspace.holders.get(host_id)
        return self.by_id.get(host_id) if member is None else self.hosts[member.name]

    # What people see.

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

    def _show_truth(self) -> None:
        """Report what is true, whatever hosts believe; judge the rules that always hold."""
        judge, now = self.judge, self.now
        vms = tuple(self.engine.vms.values())
        running = [each for each in vms if each.executes]
        is_good = any(each.page_is_good for each in running)
        vm = (running or vms or (None,))[0]
        owner = self.lockspace.owner
        if owner is not None and now >= self.expiry(owner.name):
            owner = None
        lease = None if owner is None else owner.name
        judge.observe(now, ("engine_on",), None if vm is None else vm.host.name)
        judge.observe(now, ("engine",), "down" if vm is None else vm.word)
        judge.observe(now, ("running",), len(running))
        judge.observe(now, ("healthy",), is_good)
        judge.observe(now, ("lease",), lease)
        words = {each.host.name: each.word for each in vms}
        main = None if vm is None else vm.host.name
        self.truth.show_engine(now, main, words, is_good=is_good)
        self.truth.show(now, "lease", lease, None if lease is None else "held")
        if lease != self._shown_lease:
            self._shown_lease = lease
            text = (
                "the engine's lease is free" if lease is None else f"host {lease} holds the lease"
            )
            self.events.append(Event(now, lease, "lease", {"text": text, "owner": lease}))
            if lease is None:
                news_at = now + self.policy.lease_news_s
                self.at(news_at, self._hear_of_the_lease, is_local=True)
        self.rules.check_engines(self, running, lease)

    def _hear_of_the_lease(self) -> None:
        """Let brokers that can read tell their agents that the lease is free, if it still is."""
        if self._shown_lease is None:
            for host in self.hosts.values():
                if host.is_up and host.sees_leases:
                    self.wake(host)

    def hear_of_the_lease_manager(self, host: SimHost) -> None:
        """Let the broker tell its agent that the lease manager answers no more, or again."""

        def hear() -> None:
            if host.sees_storage:
                self.wake(host)

        self.at(self.now + self.policy.lease_news_s, hear, is_local=True)

    def expiry(self, name: str) -> float:
        """Give the true time at which a host's leases run out, if it does not renew until then."""
        member = self.hosts[name].member
        if member.renews:
            return NEVER
        return member.renewed_at + self.policy.lease_expiry_s

    def last_record(self, slot: int) -> HostRecord:
        """Give the last record that was written to a slot; an empty one says that nothing runs."""
        for host in self.hosts.values():
            if host.host_id == slot and host.agent is not None and host.agent.own is not None:
                return host.agent.own
        content = self.storage.read(self.now, 1).slots.get(slot)
        if isinstance(content, HostRecord):
            return content
        status = EngineStatus("down", "bad", "unknown", "vm not running on this host")
        return HostRecord(host_id=slot, timestamp=1, score=0, engine=status, hostname=f"host{slot}")

    # Agents.

    def touch(self, host: SimHost) -> None:
        """Something about the engine on *host* changed: its hypervisor tells its agent."""
        self.page_changed(host)
        if not host.hypervisor_is_lost:
            self.wake(host)

    def page_changed(self, host: SimHost) -> None:
        """The health page on *host* changed: no event, the agent finds it at its next look."""
        self._truth_changed = True
        host.local_vm = None
        if host.agent is not None:
            quiet.stir(self, host, host.agent)

    def tell(self, host: SimHost, result: Result) -> None:
        """Tell a host's agent how an effect ended."""
        if host.agent is not None:
            host.agent.results.append(result)
            self.wake(host)

    def wake(self, host: SimHost) -> None:
        """Let a host's agent look now."""
        host.local_vm = None
        agent = host.agent
        if agent is not None and (agent.next_tick > self.now or agent.next_tick < 0):
            self.look_at(host, agent, self.now)

    def look_at(self, host: SimHost, agent: Agent, time: float) -> None:
        """Let an agent look next at *time*."""
        agent.next_tick = time
        self._sequence += 1
        agent.planned = self._sequence
        if time != NEVER:
            heapq.heappush(self._ticks, (time, time == self.now, self._sequence, host, agent))

    def start_agent(self, host: SimHost, *, after_boot: bool = False) -> None:
        """Start a host's agent; failed starts and the like survived on its disk."""
        host.restarts += 1
        now = host.clock.monotonic(self.now)
        memory = agents.memory_of_new_agent(host, now, after_boot=after_boot)
        seed = f"{self.seed}/{host.name}/{host.restarts}"
        loops = LoopTimes(now, self.times.loop_s, self.times.jitter_s, seed)
        host.agent = Agent(memory, loops, alive=frozenset((host.host_id,)), began_at=self.now)
        self.truth.show(self.now, "state", host.name, memory.state.value)
        self.note(host, "agent", "the agent starts")
        daemons.look_after_vm(self, host)
        self.wake(host)

    def kill_agent(self, host: SimHost) -> None:
        """End the agent's process; its VM runs on."""
        quiet.leave(self, host)
        if host.agent is not None:
            host.saved, host.saved_at = host.agent.memory, host.clock.monotonic(self.now)
            host.agent = None
            self.truth.show(self.now, "state", host.name, None)
            key = ("state", host.name)
            if key in self.judge.wanted:
                self.judge.observe(self.now, key, None)

    def stop_agent(self, host: SimHost, agent: Agent) -> None:
        """Stop the agent cleanly: set the stopped flag, give the host id back if no VM needs it."""
        quiet.leave(self, host)
        agents.publish_stopped(self, host, agent)
        self.note(host, "agent", "the agent has stopped cleanly")
        self.kill_agent(host)
        can_leave = host.sees_leases and host.holds_id
        if can_leave and self.engine.on(host) is None:
            self.lockspace.leave(host.member, self.now)
            self._truth_changed = True

    def reschedule(self, host: SimHost) -> None:
        """Ask again when a host looks, after its clocks changed."""
        agent = host.agent
        if agent is not None:
            agents.plan_next(self, host, agent)

    # Hardware.

    def mark_truth(self) -> None:
        """Something has become true or false that is not an agent's belief."""
        self._truth_changed = True

    def power_off(self, host: SimHost) -> None:
        """Cut the power: VM, agent and renewals end at once."""
        host.boot += 1
        host.is_booting = False
        if not host.is_up:
            return
        self.kill_agent(host)
        host.is_up = host.is_frozen = False
        host.deferred.clear()
        vm = self.engine.on(host)
        if vm is not None:
            self.engine.end(vm, "its host lost power")
        host.owes_release = False
        member = host.member
        if member.renews and member.is_joined:
            renewals.lapse_lease(self, host)
        host.lapse += 1
        self._truth_changed = True

    def power_on(self, host: SimHost) -> None:
        """Boot a host that is off."""
        if host.is_up or host.is_booting:
            return
        host.is_booting = True
        boot = host.boot

        def booted() -> None:
            if host.boot == boot:
                self._booted(host)

        self.at(self.now + self.times.reboot_s, booted)

    def _booted(self, host: SimHost) -> None:
        host.is_booting = False
        host.is_up = True
        host.boot += 1
        host.broker = host.sanlock = RUNS
        host.clock.boot(self.now)
        self.note(host, "agent", "the host has booted")
        if host.storage_answers:
            renewals.join(self, host)
        else:
            host.member.is_joined = False
        self.start_agent(host, after_boot=True)

    def reset(self, host: SimHost) -> None:
        """Power off and on again."""
        self.power_off(host)
        self.power_on(host)

    def freeze(self, host: SimHost) -> None:
        """Stop everything on a host; its watchdog, if it has one, resets it in time."""
        if not host.runs:
            return
        vm = self.engine.on(host)
        renewed_at = host.member.last_renewal(self.now)
        host.is_frozen = True
        if host.member.renews:
            renewals.end(self, host)
        self._truth_changed = True
        if vm is not None:
            self.note(host, "vm", "the VM stands still with its host", vm="paused")
        if host.config.watchdog:
            # Without a lockspace there is no lease that its lease manager would wait for.
            joined = host.member.is_joined
            fires_at = renewed_at + self.policy.lease_kill_s if joined else self.now
            fires_at += self.policy.watchdog_s * daemons.LAST_MOMENT
            boot = host.boot
            self.at(fires_at, lambda: self._watchdog_fires(host, boot))

    def _watchdog_fires(self, host: SimHost, boot: int) -> None:
        if host.boot == boot and host.is_frozen and not host.member.renews:
            self.watchdog_resets(host)

    def watchdog_resets(self, host: SimHost) -> None:
        """Power off and on again, by the watchdog."""
        self.count("resets", host)
        self.note(host, "fault", "the watchdog resets the host", reset=True)
        self.reset(host)

    def thaw(self, host: SimHost) -> None:
        """Let everything on a frozen host go on."""
        if not host.is_frozen:
            return
        host.is_frozen = False
        self._truth_changed = True
        deferred, host.deferred = host.deferred, []
        if host.sanlock == RUNS:
            renewals.resume(self, host)
        for action in deferred:
            self.at(self.now, action)
        daemons.look_after_vm(self, host)
        self.wake(host)
