"""Damage to a slot of the whiteboard, as the verb `slot` of a timeline asks for it."""

from __future__ import annotations

from typing import Any

from he_fsm.metadata.record import EngineStatus, HostRecord
from he_fsm.scenario.damage import Slot, damaged
from he_fsm.scenario.fault_words import fault_words
from he_fsm.scenario.model import TimelineEntry
from he_fsm.simulate.world import World

_GLOBAL_SLOT = "0"


def damage(world: World, entry: TimelineEntry, name: str) -> None:
    """Do one of the words of the verb `slot` to the slot of one host, or to the cluster's."""
    word, argument = entry.value
    slot = 0 if name == _GLOBAL_SLOT else world.hosts[name].host_id
    host = None if slot == 0 else world.hosts[name]
    world.note(host, "fault", fault_words(entry.verb, entry.value, slot))
    world.idle.end_all(slot)
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
        storage.mask(slot, _damaged(world, slot, word, argument), world.now, until)
    if until is not None:
        world.at(until, lambda: storage.unmask(slot, world.now))


def _damaged(world: World, slot: int, word: str, argument: Any) -> bytes:
    storage = world.storage
    found = Slot(
        number=slot,
        latest=storage.latest(slot),
        record=_last_record(world, slot) if slot else None,
        oldest=storage.oldest_copy(slot),
        copy=storage.kept_copy(slot),
        newest=max(host.identity.version for host in world.hosts.values()),
    )
    return damaged(found, word, argument, world.seed)


def _last_record(world: World, slot: int) -> HostRecord:
    """Return the last record that was written to a slot; an empty one says that nothing runs."""
    for host in world.hosts.values():
        if host.host_id == slot and host.agent is not None and host.agent.own is not None:
            return host.agent.own
    content = world.storage.read(world.now, 1).slots.get(slot)
    if isinstance(content, HostRecord):
        return content
    status = EngineStatus("down", "bad", "unknown", "vm not running on this host")
    return HostRecord(host_id=slot, timestamp=1, score=0, engine=status, hostname=f"host{slot}")
