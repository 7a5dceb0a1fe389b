"""What can be said of one decision by itself: it needs no more than what the host saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from he_fsm import tick
from he_fsm.check.properties import Property
from he_fsm.effects import (
    CancelMigration,
    Effect,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
)
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.snapshot import Outcome, VmState
from he_fsm.states.table import ROWS
from he_fsm.step import Step

_DECLARED = frozenset(row.label for row in ROWS)
Seen = tuple[Property, str]


def breaches_of(
    before: Memory, facts: tick.Facts, own: Optional[HostRecord], step: Step, policy: Policy
) -> Iterator[Seen]:
    """Say which properties one decision breaks; the sentences go on after the host's name."""
    edge = step.edge
    if edge is not None and edge.label not in _DECLARED:
        yield Property.EDGES, f"takes an edge that is not declared: {edge.label}"
    refused = any(result.outcome is Outcome.START_REFUSED for result in facts.results)
    if refused and step.memory.failed.count > before.failed.count:
        yield Property.FAILED_STARTS, "counts a refused start as a failed one"
    is_global = step.memory.global_maintenance is not False
    for effect in step.effects:
        if isinstance(effect, Notify):
            continue
        if is_global and not isinstance(effect, CancelMigration):
            yield Property.MAINTENANCE, f"orders {word_of(effect)} in global maintenance"
        if isinstance(effect, StartVm):
            yield from _judge_start(facts, own)
        if isinstance(effect, MigrateVm):
            yield from _judge_move(effect.target, facts, step, policy)


def _judge_start(facts: tick.Facts, own: Optional[HostRecord]) -> Iterator[Seen]:
    leases = facts.leases
    if facts.vm.state is not VmState.ABSENT:
        yield Property.LEASE, f"starts the engine beside a VM that is {facts.vm.state.value}"
    if leases is None or not leases.joined:
        yield Property.LEASE, "starts the engine without its host id"
    elif leases.owner not in (None, None if own is None else own.host_id) and (
        leases.free_at is None or leases.free_at > facts.now
    ):
        yield Property.LEASE, f"starts the engine while host {leases.owner} has the lease"
    if facts.local_maintenance:
        yield Property.MAINTENANCE, "starts the engine in local maintenance"
    elif own is None or not own.score:
        yield Property.FAILED_STARTS, "starts the engine with score 0"


def _judge_move(target: int, facts: tick.Facts, step: Step, policy: Policy) -> Iterator[Seen]:
    seen = step.memory.sightings.get(target)
    leases = facts.leases
    dead = leases is not None and target in leases.dead_hosts
    if seen is None or seen.record is None or dead:
        yield Property.MIGRATIONS, f"moves the engine to host {target}, which is dead"
        return
    silent_s = facts.now - (seen.since if seen.grew_at is None else seen.grew_at)
    if silent_s >= policy.dead_after_s or seen.record.stopped:
        yield Property.MIGRATIONS, f"moves the engine to host {target}, which is silent"
    elif seen.record.local_maintenance:
        yield Property.MAINTENANCE, f"moves the engine to host {target}, which is in maintenance"
    elif not seen.record.score:
        yield Property.MIGRATIONS, f"moves the engine to host {target}, whose score is 0"


def word_of(effect: Effect) -> str:
    """Give an order as a word; none for what only people are told."""
    if isinstance(effect, MigrateVm):
        return f"migrate {effect.target}"
    return _WORDS.get(type(effect), "")


_WORDS: dict[type, str] = {
    StartVm: "start",
    ShutDownVm: "shut down",
    PowerOffVm: "power off",
    CancelMigration: "cancel",
    StopAgent: "stop agent",
}
