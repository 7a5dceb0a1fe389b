"""Running scenarios: setting a world up, letting it happen, and what came out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, Callable, Final, Optional

from he_fsm.history.look import Look, Session
from he_fsm.liveness import NEVER
from he_fsm.report.outcome import HostView, Outcome
from he_fsm.scenario.judging.judge import Failure
from he_fsm.scenario.model import Scenario
from he_fsm.simulate import start
from he_fsm.simulate.agent import tick
from he_fsm.simulate.happenings import faults
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.idle.skipper import Skipper
from he_fsm.simulate.schedule import FIRST, LAST
from he_fsm.simulate.showing import show_truth
from he_fsm.simulate.world import FILE, World

Trace = Callable[[dict[str, object]], None]
# What simulated agents call their release.
_PROGRAM: Final = "simulator"
# Takes a host's name, who decides there, and each of its looks.
Record = Callable[[str, Session, Look], None]
# Takes the scenario's time to which a run has come (seconds).
Progress = Callable[[float], None]


def simulate(  # noqa: PLR0913 - one for each option
    scenario: Scenario,
    *,
    seed: Optional[int] = None,
    trace: Optional[Trace] = None,
    record: Optional[Record] = None,
    progress: Optional[Progress] = None,
    skips_idle_time: bool = True,
) -> Outcome:
    """
    Run one scenario in memory.

    Args:
        seed: other loop and lease-renewal phases; the scenario's own where not given.
        trace: called with every look of every agent, as a plain object.
        record: called with every look of every agent, as agents keep them (`he_fsm.history`).
        progress: called again and again with the time to which the run has come.
        skips_idle_time: False steps through quiet hours too; the events are the same.
    """
    seed = scenario.seed if seed is None else seed
    is_watched = trace is not None or record is not None
    run = Run(scenario, seed, skips_idle_time=skips_idle_time and not is_watched)
    run.world.trace = trace
    run.progress = progress
    if record is not None:
        run.world.record = _recorder(record)
    return run.play()


def _recorder(record: Record) -> Callable[[SimHost, Look], None]:
    def take(host: SimHost, look: Look) -> None:
        # Its clock begins anew with each boot.
        boot = f"{host.name}, {host.clock.boots}"
        session = Session(identity=host.identity, policy=host.policy, program=_PROGRAM, boot=boot)
        record(host.name, session, look)

    return take


def simulate_all(scenarios: Iterable[Scenario], **options: Any) -> tuple[Outcome, ...]:
    """Run several scenarios, one after the other."""
    return tuple(simulate(scenario, **options) for scenario in scenarios)


class Run:
    """One run of a scenario: its world, and who skips idle time in it."""

    def __init__(self, scenario: Scenario, seed: int, *, skips_idle_time: bool = True) -> None:
        """Set the cluster up as it is at time 0."""
        world = self.world = World(scenario, seed)
        skips = skips_idle_time and not world.judge.watches_age
        skipper = self.skipper = Skipper(world, skips=skips)
        world.idle = skipper
        world.storage.on_change = skipper.slot_changes
        world.lockspace.on_change = skipper.leases_change
        self.progress: Optional[Progress] = None
        start.set_up(world)

    def play(self) -> Outcome:
        """Run until the scenario's end, and return the outcome."""
        world = self.world
        scenario = world.scenario
        at_start = _views(world)
        self._play()
        verdict = world.judge.finish(scenario.until)
        rules = tuple(
            Failure(
                place=scenario.place,
                expected=f"rule {broken.rule}",
                seen=broken.seen,
                at=broken.at,
            )
            for broken in world.broken.values()
        )
        vm = world.engine.main
        return Outcome(
            scenario=scenario,
            seed=world.seed,
            failures=rules + verdict.failures,
            totals=verdict.totals,
            events=tuple(world.events),
            changes=tuple(world.truth.changes),
            engine_on=None if vm is None else vm.host.name,
            engine="down" if vm is None else vm.word,
            versions=max(host.identity.version for host in world.hosts.values()),
            start=at_start,
            end=_views(world),
        )

    def _play(self) -> None:
        world = self.world
        until, queue, ticks = world.scenario.until, world.queue, world.ticks
        for index, entry in enumerate(world.scenario.timeline):
            if not entry.since:
                self._plan(index, 0.0)
        self._settle()
        while True:
            next_event = queue[0][0] if queue else NEVER
            next_tick = ticks[0][0] if ticks else NEVER
            time = min(next_event, next_tick)
            check = world.judge.next_check(world.now)
            if check is not None and check < time:
                time = check
            if time > until:
                break
            if time != world.now:
                world.now = time
                world.moment = (time, FIRST)
            self._happen(time)
            self._settle()
            if self.progress is not None:
                self.progress(time)
        world.now = until
        world.moment = (until, LAST)
        self.skipper.finish()
        self._settle()

    def _happen(self, time: float) -> None:
        """Carry out everything of one moment, agents last."""
        world, skipper = self.world, self.skipper
        queue, ticks = world.queue, world.ticks
        while True:
            if queue and queue[0][0] <= time:
                action = heapq.heappop(queue)[3]
                action()
                skipper.end_irregular()
            elif ticks and ticks[0][0] <= time:
                _, turn, planned, host, agent = heapq.heappop(ticks)
                if host.agent is agent and agent.planned == planned:
                    world.moment = (time, turn)
                    tick(world, skipper, host, agent)
            else:
                break
        # All looks of this moment are over, those that were skipped too: more make another round.
        count = len(world.hosts)
        turn = world.moment[1]
        world.moment = (time, (max(0, turn // count) + 1) * count - 1)

    def _settle(self) -> None:
        """Show the judge what is true now that this moment is over."""
        world = self.world
        while True:
            if world.truth_changed:
                world.truth_changed = False
                show_truth(world)
            for index in world.judge.settle(world.now):
                self._plan(index, world.now)
            if not (world.queue and world.queue[0][0] <= world.now):
                return
            self._happen(world.now)

    def _plan(self, index: int, since: float) -> None:
        """Plan the moments of one entry of the timeline, which count from *since*."""
        world = self.world
        entry = world.scenario.timeline[index]
        for moment in entry.moments(since, world.scenario.until):
            world.at(moment, lambda: faults.apply(world, entry), FILE)


def _views(world: World) -> tuple[HostView, ...]:
    views = []
    for host in world.hosts.values():
        agent = host.agent
        block = world.storage.latest(host.host_id)
        views.append(
            HostView(
                name=host.name,
                host_id=host.host_id,
                hostname=host.identity.hostname,
                state=None if agent is None else agent.memory.state.value,
                score=host.written_score,
                writes=agent is not None and host.runs and not agent.is_frozen,
                powered=host.is_up,
                block=block,
            )
        )
    return tuple(views)
