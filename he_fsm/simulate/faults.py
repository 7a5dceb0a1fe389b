"""What the verbs of a timeline do to the simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional

import attrs

from he_fsm.memory import FailedStarts
from he_fsm.scenario.damage import Slot, damaged
from he_fsm.scenario.fault_words import fault_words
from he_fsm.scenario.model import TimelineEntry, Verb
from he_fsm.simulate import daemons, quiet, renewals
from he_fsm.simulate.host import FROZEN, RUNS, SimHost, Trial

if TYPE_CHECKING:
    from he_fsm.simulate.world import World

_GLOBAL_SLOT = "0"


def apply(world: World, entry: TimelineEntry) -> None:
    """Let one entry of the timeline act now, and those hosts look that it is about."""
    _apply(world, entry)
    quiet.leave_if_irregular(world)
    for name in entry.hosts:
        host = world.hosts.get(name)
        if host is not None and host.agent is not None:
            quiet.stir(world, host, host.agent)


def _apply(world: World, entry: TimelineEntry) -> None:
    if entry.verb is Verb.SLOT:
        quiet.leave_all(world)
        for name in entry.hosts:
            _slot(world, entry, name)
        return
    words = fault_words(entry.verb, entry.value)
    if entry.verb is Verb.ENGINE:
        vm = world.engine.main
        world.note(vm.host if vm else None, "fault", words)
        _engine(world, entry.value)
        return
    if entry.verb is Verb.MAINTENANCE and not entry.hosts:
        world.note(None, "fault", words)
        shown_at = world.storage.write_global(world.now, maintenance=entry.value == "global")
        quiet.tell(world, shown_at)
        return
    act = _ON_HOST[entry.verb]
    for name in entry.hosts:
        host = world.hosts[name]
        world.note(host, "fault", words)
        act(world, host, entry.value)


def _set(_: World, host: SimHost, values: dict[str, float]) -> None:
    host.set_monitors(values)


def _power(world: World, host: SimHost, word: str) -> None:
    act = {
        "off": world.power_off,
        "on": world.power_on,
        "reset": world.reset,
        "freeze": world.freeze,
        "thaw": world.thaw,
    }[word]
    act(host)


def _agent(world: World, host: SimHost, word: str) -> None:
    agent = host.agent
    if word == "start":
        if agent is None and host.is_up:
            world.start_agent(host)
    elif agent is None:
        return
    elif word == "kill":
        world.kill_agent(host)
    elif word == "stop":
        world.stop_agent(host, agent)
    elif word == "freeze":
        agent.is_frozen = True
    elif agent.is_frozen:
        agent.is_frozen = False
        daemons.look_after_vm(world, host)
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
        host.agent.memory = attrs.evolve(host.agent.memory, failed=failed)
        world.wake(host)
    else:
        host.saved, host.saved_at = attrs.evolve(host.saved, failed=failed), now


def _version(world: World, host: SimHost, version: int) -> None:
    host.identity = attrs.evolve(host.identity, version=version)
    world.is_uniform = len({each.identity.version for each in world.hosts.values()}) == 1
    if host.agent is not None:
        world.kill_agent(host)
    if host.is_up:
        if host.broker == FROZEN:
            # It is restarted as well.
            host.broker = RUNS
        world.start_agent(host)


def _maintenance(world: World, host: SimHost, word: str) -> None:
    host.local_maintenance = word == "on"
    world.wake(host)


def _clock(world: World, host: SimHost, value: tuple[str, float]) -> None:
    word, amount = value
    if word == "jump":
        host.clock.jump(amount)
        return
    quiet.leave(world, host)
    host.clock.run_at(world.now, amount)
    world.note_rates()
    for member in world.lockspace.lapsed.values():
        renewals.tell_when_over(world, member)
    world.reschedule(host)


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
    Verb.MAINTENANCE: _maintenance,
    Verb.CLOCK: _clock,
}


def _engine(world: World, value: tuple[str, Any]) -> None:
    word, target = value
    engine = world.engine
    vm = engine.main
    if vm is None:
        return
    if word == "kill":
        engine.end(vm, "its process was killed")
    elif word == "shutdown":
        engine.shut_down(vm.host)
    elif word in ("hang", "heal"):
        vm.is_sick = word == "hang"
        engine.page_changed(vm)
    elif word == "pause":
        engine.pause(vm)
    elif word == "resume":
        engine.resume(vm)
    else:
        engine.migrate(vm.host, world.hosts[target], ours=False)


# Damage to a slot.


def _slot(world: World, entry: TimelineEntry, name: str) -> None:
    word, argument = entry.value
    slot = 0 if name == _GLOBAL_SLOT else world.hosts[name].host_id
    host = None if slot == 0 else world.hosts[name]
    world.note(host, "fault", fault_words(entry.verb, entry.value, slot))
    storage = world.storage
    if word == "snapshot":
        storage.keep_copy(slot)
        return
    until = None if entry.for_s is None else world.now + entry.for_s
    if word == "torn":
        storage.tear_next(slot, argument, until)
    elif until is None:
        storage.damage(slot, _damaged(world, slot, word, argument), world.now)
    else:
        storage.mask(slot, _damaged(world, slot, word, argument), until)
    if until is not None:
        world.at(until, lambda: storage.unmask(slot, world.now))


def _damaged(world: World, slot: int, word: str, argument: Any) -> bytes:
    storage = world.storage
    found = Slot(
        number=slot,
        latest=storage.latest(slot),
        record=world.last_record(slot) if slot else None,
        oldest=storage.oldest_copy(slot),
        copy=storage.kept_copy(slot),
        newest=max(host.identity.version for host in world.hosts.values()),
    )
    return damaged(found, word, argument, world.seed)
