"""What the verbs of a timeline do to the simulated world."""

from __future__ import annotations

import functools
from typing import Any, Callable, Optional

import attrs

from he_fsm.remembered import FailedStarts
from he_fsm.scenario.fault_words import fault_words
from he_fsm.scenario.model import TimelineEntry, Verb
from he_fsm.simulate.clock import WALL_AT_ZERO_S
from he_fsm.simulate.happenings import (
    agent_process,
    daemons,
    freezing,
    guard,
    hypervisor,
    maintenance,
    migrations,
    power,
    renewals,
    restarts,
    shutdown,
    slots,
    suspension,
)
from he_fsm.simulate.host import FROZEN, RUNS, SimHost, Trial
from he_fsm.simulate.world import World


def apply(world: World, entry: TimelineEntry) -> None:
    """Apply one entry of the timeline now, and schedule passes of the hosts that it names."""
    _apply(world, entry)
    for name in entry.hosts:
        host = world.hosts.get(name)
        if host is not None:
            world.idle.stir(host)


def _apply(world: World, entry: TimelineEntry) -> None:
    if entry.verb is Verb.SLOT:
        for name in entry.hosts:
            slots.damage(world, entry, name)
        return
    words = fault_words(entry.verb, entry.value)
    if entry.verb is Verb.ENGINE:
        vm = world.engine.main
        world.note(vm.host if vm else None, "fault", words)
        _engine(world, entry.value)
        return
    if entry.verb is Verb.MAINTENANCE and not entry.hosts:
        world.note(None, "fault", words)
        is_set = entry.value == "global"
        until = maintenance.ends_at(WALL_AT_ZERO_S + world.now, entry.for_s)
        world.storage.write_global(world.now, maintenance=is_set, until=until)
        return
    if entry.verb is Verb.MAINTENANCE:
        for name in entry.hosts:
            world.note(world.hosts[name], "fault", words)
            maintenance.set_local(world, world.hosts[name], entry.value, entry.for_s)
        return
    act = _ON_HOST[entry.verb]
    for name in entry.hosts:
        host = world.hosts[name]
        world.note(host, "fault", words)
        act(world, host, entry.value)


def _set(_: World, host: SimHost, values: dict[str, float]) -> None:
    host.set_monitors(values)


def _power(world: World, host: SimHost, word: str) -> None:
    acts: dict[str, Callable[[World, SimHost], None]] = {
        "off": power.off,
        "on": power.on,
        "reset": power.reset,
        "freeze": freezing.freeze,
        "thaw": freezing.thaw,
        "suspend": suspension.suspend,
        "resume": suspension.resume,
        "shutdown": functools.partial(shutdown.begin, reboots=False),
        "reboot": functools.partial(shutdown.begin, reboots=True),
        "stay": shutdown.call_off,
    }
    acts[word](world, host)


def _agent(world: World, host: SimHost, word: str) -> None:
    agent = host.agent
    if word == "start":
        if agent is None and host.is_up:
            agent_process.start(world, host)
    elif word == "crash":
        restarts.crash_agent(world, host)
    elif word == "kill" or (agent is None and word == "stop"):
        agent_process.kill(world, host)
    elif agent is None:
        return
    elif word == "stop":
        agent_process.stop(world, host, agent)
    elif word == "freeze":
        agent.is_frozen = True
    elif agent.is_frozen:
        agent.is_frozen = False
        guard.look_after_vm(world, host)
        world.wake(host)


def _storage(world: World, host: SimHost, value: tuple[str, Optional[float]]) -> None:
    word, seconds = value
    answered = host.storage_answers
    host.storage = "ok" if word == "restore" else word
    host.slow_s = seconds if word == "slow" and seconds is not None else 0.0
    if answered and not host.storage_answers:
        renewals.end(world, host)
    elif host.storage_answers and not answered:
        renewals.begin(world, host)


def _hypervisor(world: World, host: SimHost, word: str) -> None:
    host.hypervisor_is_lost = word == "lost"
    world.wake(host)


def _trial(value: tuple[str, Any]) -> Trial:
    word, count = value
    return Trial(word, count or 0)


def _starts(_: World, host: SimHost, value: tuple[str, Any]) -> None:
    host.starts = _trial(value)


def _migrations(_: World, host: SimHost, value: tuple[str, Any]) -> None:
    host.migrations = _trial(value)


def _boots(_: World, host: SimHost, value: tuple[str, Any]) -> None:
    word, seconds = value
    host.boots = (word, float(seconds or 0.0))


def _failed_starts(world: World, host: SimHost, count: int) -> None:
    now = host.clock.monotonic(world.now)
    failed = FailedStarts(count=count, last_at=now)
    if host.agent is not None:
        host.agent.memory = host.agent.memory._replace(failed=failed)
        world.wake(host)
    else:
        agent_process.save(world, host, host.saved._replace(failed=failed))


def _version(world: World, host: SimHost, version: int) -> None:
    host.identity = attrs.evolve(host.identity, version=version)
    world.is_uniform = len({each.identity.version for each in world.hosts.values()}) == 1
    if host.agent is not None:
        agent_process.kill(world, host)
    if host.is_up:
        if host.broker == FROZEN:
            # It is restarted as well.
            host.broker = RUNS
        agent_process.start(world, host)


def _clock(world: World, host: SimHost, value: tuple[str, float]) -> None:
    word, amount = value
    if word == "jump":
        host.clock.jump(amount)
        return
    world.idle.note_rate(amount)
    host.clock.run_at(world.now, amount)
    # Its agent looks when the clock, which has changed, shows the time for which it asked.
    agent = host.agent
    if agent is not None and agent.asked_for is not None and agent.next_tick > world.now:
        time = max(world.now, host.clock.true_time(agent.asked_for))
        world.look_at(host, agent, time, agent.asked_for)


_ON_HOST: dict[Verb, Callable[[Any, SimHost, Any], None]] = {
    Verb.SET: _set,
    Verb.POWER: _power,
    Verb.AGENT: _agent,
    Verb.BROKER: daemons.broker,
    Verb.SANLOCK: daemons.sanlock,
    Verb.STORAGE: _storage,
    Verb.HYPERVISOR: _hypervisor,
    Verb.STARTS: _starts,
    Verb.BOOTS: _boots,
    Verb.MIGRATIONS: _migrations,
    Verb.FAILED_STARTS: _failed_starts,
    Verb.VERSION: _version,
    Verb.CLOCK: _clock,
}


def _engine(world: World, value: tuple[str, Any]) -> None:
    word, target = value
    vm = world.engine.main
    if vm is None:
        return
    if word == "kill":
        hypervisor.end(world, vm, "its process was killed")
    elif word == "panic":
        hypervisor.panic(world, vm)
    elif word == "shutdown":
        hypervisor.shut_down(world, vm.host)
    elif word in ("hang", "heal"):
        vm.is_sick = word == "hang"
        hypervisor.page_changed(world, vm)
    elif word == "pause":
        hypervisor.pause(world, vm)
    elif word == "resume":
        hypervisor.resume(world, vm)
    else:
        migrations.begin(world, vm.host, world.hosts[target], ours=False)
