"""Setting a simulated cluster up as it is at time 0."""

from __future__ import annotations

import random
from typing import Optional

from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.remembered import FailedStarts, Moves, VmWatch
from he_fsm.scenario.model import Host, Verb
from he_fsm.simulate import publish
from he_fsm.simulate.before import LONG_S, Before, LastLook, has_written
from he_fsm.simulate.clock import WALL_AT_ZERO_S, HostClock
from he_fsm.simulate.happenings import hypervisor, renewals
from he_fsm.simulate.host import Agent, SimHost, readings_of
from he_fsm.simulate.lockspace import Member
from he_fsm.simulate.page import Page
from he_fsm.simulate.schedule import LoopTimes
from he_fsm.simulate.world import World
from he_fsm.snapshot import VmState
from he_fsm.states.names import State
from he_fsm.tick import Facts, Identity, make_record, rate_host

# Hosts have been up for a day to a month, each for another time: their clocks never agree.
_UPTIME_S = (86_400, 2_592_000)
# The states of an agent whose VM is in the middle of something.
_DEEDS = {"starting": State.ENGINE_STARTING, "stopping": State.ENGINE_STOPPING}


def set_up(world: World) -> None:
    """Make the hosts, the leases, the engine and the agents of the scenario."""
    scenario = world.scenario
    world.damages_slots = any(entry.verb is Verb.SLOT for entry in scenario.timeline)
    world.suspends_hosts = any(
        entry.verb is Verb.POWER and entry.value == "suspend" for entry in scenario.timeline
    )
    for place, config in enumerate(scenario.hosts):
        world.hosts[config.name] = _host(world, config, place)
    world.by_id = {host.host_id: host for host in reversed(list(world.hosts.values()))}
    _wanted_views(world)
    world.storage.write_global(-LONG_S, maintenance=scenario.maintenance)
    for host in world.hosts.values():
        _lockspace(world, host)
    engine = scenario.engine
    if engine.running_on is not None:
        runs_on = world.hosts[engine.running_on]
        is_sick = engine.health == "bad"
        vm = world.engine.place(runs_on, world.now, is_sick=is_sick, is_paused=engine.paused)
        hypervisor.continue_deed(world, vm, engine.doing, engine.doing_for_s)
        world.lockspace.set_owner(runs_on.member, -LONG_S)
        if engine.lease_left_s is not None:
            runs_on.member.renews = False
            runs_on.member.renewed_at = engine.lease_left_s - runs_on.policy.lease_expiry_s
            renewals.lapse_lease(world, runs_on)
        if engine.paused and not scenario.world.pause_keeps_lease:
            hypervisor.give_lease_away(world, vm)
    first_looks = {host.name: _first_look(world, host) for host in world.hosts.values()}
    before, is_crowd = None, world.idle.begins_with_crowd()
    last_looks: dict[str, LastLook] = {}
    if not scenario.world.cold:
        for host in world.hosts.values():
            last = _write_before(world, host, first_looks[host.name])
            if last is not None and has_written(host):
                last_looks[host.name] = last
        before = Before.of(world.hosts.values(), world.storage)
    for host in world.hosts.values():
        if host.is_up and host.config.agent_running:
            last = None if is_crowd else last_looks.get(host.name)
            _start_agent(world, host, first_looks[host.name], before, last)
    if before is not None and is_crowd:
        world.idle.begin_crowd(before, last_looks)


def _host(world: World, config: Host, place: int) -> SimHost:
    draws = random.Random(f"{world.seed}/{config.name}")  # noqa: S311 - a simulation
    wall = config.wall_start_s
    if wall is None:
        wall = WALL_AT_ZERO_S + config.wall_offset_s
    clock = HostClock(float(draws.randrange(*_UPTIME_S)), wall)
    policy = config.policy_under(world.policy)
    period_s = 2 * policy.io_timeout_s
    monitors = {
        "gateway": config.gateway,
        "bridge": config.bridge,
        "mem_free": config.mem_free,
        "cpu_load": config.cpu_load,
        "mem_load": config.mem_load,
    }
    return SimHost(
        config=config,
        place=place,
        identity=Identity(
            host_id=config.id,
            hostname=config.hostname,
            memory_needed_mib=world.scenario.engine.memory,
            preference=config.preference,
        ),
        clock=clock,
        member=Member(
            *(config.id, config.name, clock, period_s),
            renewed_at=-draws.random() * period_s,
            watchdog_s=policy.watchdog_s,
        ),
        policy=policy,
        readings=readings_of(monitors),
        monitors=monitors,
        local_maintenance=config.maintenance,
        saved=_saved_before(config, clock, keeps_engine=_keeps(world, config)),
        saved_at=clock.monotonic(0.0),
        is_up=config.powered,
    )


def _wanted_views(world: World) -> None:
    """Sort what the scenario asks to see by the host that sees it."""
    for key in world.judge.wanted:
        if key[0] in ("alive", "problem", "sees"):
            world.wanted_views.setdefault(key[1], []).append(key)
    for keys in world.wanted_views.values():
        keys.sort(key=repr)


def _lockspace(world: World, host: SimHost) -> None:
    lockspace, member = world.lockspace, host.member
    held = lockspace.holders.get(host.host_id)
    if not host.is_up:
        # Off for a long time: its id ran out long ago.
        member.stop_renewing(-LONG_S)
        member.renewed_at = -2 * LONG_S - host.policy.lease_expiry_s
        member.is_joined = False
        if held is None:
            lockspace.holders[host.host_id] = member
            lockspace.lapsed[member.name] = member
    elif held is None or not held.renews:
        lockspace.holders[host.host_id] = member
    else:
        member.renews = member.is_joined = False


def _first_look(world: World, host: SimHost) -> float:
    """Return when an agent of time 0 makes its first pass: soon in a cold start, else anywhere."""
    draws = random.Random(f"{world.seed}/{host.name}/phase")  # noqa: S311 - a simulation
    span = world.times.jitter_s if world.times.cold else world.times.loop_s
    return draws.random() * span


def _write_before(world: World, host: SimHost, first_look: float) -> Optional[LastLook]:
    """Write the record that the host's last loop before time 0 left; return that loop."""
    if not host.member.is_joined and host.is_up:
        return None
    was_running = host.is_up and host.config.agent_running
    time = first_look - world.times.loop_s if was_running else -LONG_S
    facts = _facts_before(world, host, time)
    memory = _memory_before(world, host)
    score = rate_host(memory, facts, host.identity, host.policy)
    is_stopped = host.is_up and not host.config.agent_running
    record = make_record(
        facts,
        host.identity,
        score.total,
        host.policy,
        keeps_engine=memory.keeps_engine,
        # A host that keeps the engine went down in order.
        is_stopped=is_stopped or (memory.keeps_engine and not was_running),
    )
    page = Page(record, memory, facts, score, host.identity.version)
    written_at = min(time, -world.times.storage_latency_s)
    page.write(world.storage, host, written_at)
    host.written_score = record.score
    judge = world.judge
    if ("score", host.name) in judge.wanted:
        judge.observe(0.0, ("score", host.name), record.score)
    if ("record", host.name) in judge.wanted:
        judge.observe(0.0, ("record", host.name), publish.seen(record, time))
    return LastLook(written_at, facts.now, page)


def _facts_before(world: World, host: SimHost, time: float) -> Facts:
    return Facts(
        now=host.clock.monotonic(time),
        wall_offset_s=host.clock.wall_offset_s,
        readings=host.readings,
        vm=world.engine.as_seen_by(host),
        leases=None,
        local_maintenance=host.local_maintenance,
    )


def _start_agent(
    world: World,
    host: SimHost,
    first_look: float,
    before: Optional[Before],
    last: Optional[LastLook],
) -> None:
    """Start the agent of time 0; *last*: with which look it has seen the others, if with any."""
    loops = LoopTimes(
        host.clock.monotonic(first_look),
        world.times.loop_s,
        world.times.jitter_s,
        f"{world.seed}/{host.name}/0",
    )
    if world.times.cold:
        memory = host.saved
    else:
        memory = _memory_before(world, host)
        if last is not None and before is not None:
            memory = memory._replace(sightings=before.seen_by(host.host_id, last.now))
    agent = Agent(memory, loops)
    host.agent = agent
    if not world.times.cold:
        agent.heard_at = host.clock.monotonic(first_look - world.times.loop_s)
        agent.local_maintenance = host.local_maintenance
        facts = _facts_before(world, host, first_look - world.times.loop_s)
        agent.shown_score = rate_host(memory, facts, host.identity, host.policy).total
        agent.own = None
        agent.shown_state = memory.state
    judge = world.judge
    if ("state", host.name) in judge.wanted:
        judge.observe(0.0, ("state", host.name), memory.state.value)
    if before is None or not host.member.is_joined:
        agent.alive = frozenset((host.host_id,))
    elif host.host_id in before.writers:
        agent.alive = before.writers
    else:
        agent.alive = before.writers | {host.host_id}
    for key in world.wanted_views.get(host.name, ()):
        judge.observe(0.0, key, _view_before(world, agent, key))
    world.look_at(host, agent, first_look)


def _view_before(world: World, agent: Agent, key: tuple[object, ...]) -> object:
    """Return what a warm agent sees at time 0."""
    if key[0] == "alive":
        return agent.alive
    if key[0] == "problem":
        return None
    host_id = int(str(key[2]))
    if host_id not in agent.alive or world.times.cold:
        return None
    content = world.storage.read(0.0, 1).slots.get(host_id)
    return publish.seen(content, 0.0) if isinstance(content, HostRecord) else None


def _keeps(world: World, config: Host) -> bool:
    """Return whether a host keeps the engine, which it has shut down with itself."""
    return world.scenario.engine.kept_by == config.name


def _saved_before(config: Host, clock: HostClock, *, keeps_engine: bool) -> Memory:
    """Return what an agent finds on the disk that starts at time 0."""
    failed = config.failed_starts
    return Memory.beginning(clock.monotonic(0.0))._replace(
        keeps_engine=keeps_engine,
        failed=FailedStarts(count=failed.count, last_at=clock.monotonic(failed.last_s)),
    )


def _memory_before(world: World, host: SimHost) -> Memory:
    """Return what an agent remembers that has been running for a long time."""
    now = host.clock.monotonic(0.0)
    long_ago = now - LONG_S
    vm = _watch_before(world, host, now)
    maintenance = world.scenario.maintenance
    state = _state_before(world, host, vm)
    is_long = state not in _DEEDS.values()
    return Memory(
        state=state,
        since=long_ago if is_long else now - world.scenario.engine.doing_for_s,
        began_at=long_ago,
        read_at=now if host.member.is_joined else None,
        global_maintenance=maintenance if host.member.is_joined else None,
        failed=host.saved.failed,
        vm=vm,
        moves=Moves(seen_on=_engine_before(world)),
        keeps_engine=_keeps(world, host.config),
    )


def _engine_before(world: World) -> Optional[int]:
    """Return the host id on which everybody has seen the engine for long."""
    name = world.scenario.engine.running_on
    return None if name is None else world.hosts[name].host_id


def _watch_before(world: World, host: SimHost, now: float) -> Optional[VmWatch]:
    local = world.engine.as_seen_by(host)
    if local.state is VmState.ABSENT:
        return None
    engine = world.scenario.engine
    since = now - engine.doing_for_s
    if engine.doing == "starting":
        paused_since = now if engine.paused else None
        return VmWatch(since=since, started_here=True, bad_since=since, paused_since=paused_since)
    return VmWatch(
        since=now - LONG_S,
        started_here=True,
        was_good=True,
        bad_since=now if engine.health == "bad" and not engine.paused else None,
        paused_since=now if engine.paused else None,
        is_ordered_down=engine.doing == "stopping",
    )


def _state_before(world: World, host: SimHost, vm: Optional[VmWatch]) -> State:
    if not host.member.is_joined:
        return State.UNKNOWN
    if world.scenario.maintenance:
        return State.GLOBAL_MAINTENANCE
    if vm is not None:
        return _DEEDS.get(world.scenario.engine.doing, State.ENGINE_UP)
    if host.local_maintenance:
        return State.LOCAL_MAINTENANCE
    failed = host.config.failed_starts
    if -failed.last_s < world.policy.blocked_s(failed.count):
        return State.SCORE_BLOCKED
    return State.ENGINE_DOWN
