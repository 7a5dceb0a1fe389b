"""The judge of a single decision, by no more than what its host could know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from he_fsm import tick
from he_fsm.check.properties import Property
from he_fsm.effects import (
    Alarm,
    CancelMigration,
    Effect,
    EndGlobal,
    GiveUpArrival,
    LetGo,
    MigrateVm,
    Notify,
    PowerOffVm,
    ShutDownVm,
    StartVm,
    StopAgent,
    WriteGlobal,
)
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.snapshot import Health, Outcome, VmState
from he_fsm.states.names import State
from he_fsm.states.table import ROWS
from he_fsm.step import Step

_DECLARED = frozenset(row.label for row in ROWS)
Seen = tuple[Property, str]


def breaches_of(
    before: Memory, facts: tick.Facts, own: Optional[HostRecord], step: Step
) -> Iterator[Seen]:
    """Yield the properties that a decision breaks; their texts continue after the host's name."""
    if own is not None and own.score:
        yield from _judge_offer(facts, own.score)
    edge = step.edge
    if edge is not None and edge.label not in _DECLARED:
        yield Property.EDGES, f"takes an edge that is not declared: {edge.label}"
    refused = any(result.outcome is Outcome.START_REFUSED for result in facts.results)
    if refused and step.memory.failed.count > before.failed.count:
        yield Property.FAILED_STARTS, "counts a refused start as a failed one"
    if _leaves_an_outrun_vm(step, facts, own):
        yield Property.LEASE, "leaves a paused VM alone whose lease another host has"
    is_global = step.memory.global_maintenance is not False
    for effect in step.effects:
        if isinstance(effect, LetGo):
            yield from _judge_let_go(step, facts, is_global=is_global)
            continue
        if isinstance(effect, (Notify, Alarm, WriteGlobal, EndGlobal)):
            # These touch no VM.
            continue
        ends_a_stray = isinstance(effect, PowerOffVm) and _is_stray(step, facts, own)
        if is_global and not ends_a_stray and not isinstance(effect, CancelMigration):
            yield Property.MAINTENANCE, f"orders {word_of(effect)} in global maintenance"
        if isinstance(effect, StartVm):
            yield from _judge_start(facts, own)
            if step.memory.is_blind:
                yield Property.NO_NEEDLESS_WORK, "starts the engine without seeing the others"
        # During a stop, a power-off only completes what was begun for a reason.
        if isinstance(effect, PowerOffVm) and before.state is not State.ENGINE_STOPPING:
            yield from _judge_power_off(step, facts, own)
        if isinstance(effect, MigrateVm):
            yield from _judge_move(effect.target, step)


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
    elif own is None:
        yield Property.NO_NEEDLESS_WORK, "starts the engine though its record is not written"
    elif not own.score:
        yield Property.FAILED_STARTS, "starts the engine with score 0"
    if _is_doomed(facts):
        yield Property.NO_NEEDLESS_WORK, "starts the engine although it is about to be reset"
    if facts.leaves_by is not None:
        yield Property.NO_NEEDLESS_WORK, "starts the engine although it is about to be shut down"


def _judge_offer(facts: tick.Facts, score: int) -> Iterator[Seen]:
    """Judge a host that offers itself to the others."""
    if _is_doomed(facts):
        yield Property.MIGRATIONS, f"offers itself with score {score}, about to be reset"
    if facts.leaves_by is not None:
        yield Property.MIGRATIONS, f"offers itself with score {score}, about to be shut down"


def _judge_let_go(step: Step, facts: tick.Facts, *, is_global: bool) -> Iterator[Seen]:
    """Judge an agent that lets its host go down: only without a VM here, or when it must."""
    if facts.leaves_by is None:
        yield Property.NO_NEEDLESS_WORK, "lets its host go down, which nobody shuts down"
    elif facts.now < facts.leaves_by and not is_global and facts.vm.state is not VmState.ABSENT:
        text = f"lets its host go down with a VM that is {facts.vm.state.value}"
        yield Property.NO_NEEDLESS_WORK, text
    elif step.memory.state in (State.ENGINE_DOWN, State.SCORE_BLOCKED):
        yield Property.MIGRATIONS, "lets its host go down before it has taken itself out"


def _is_doomed(facts: tick.Facts) -> bool:
    """Return whether a host knows that its watchdog is about to reset it."""
    until = None if facts.leases is None else facts.leases.doomed_until
    return until is not None and facts.now < until


def _judge_power_off(step: Step, facts: tick.Facts, own: Optional[HostRecord]) -> Iterator[Seen]:
    """Judge a power-off; a VM without its lease must be powered off."""
    if _is_stray(step, facts, own):
        return
    if facts.vm.state is VmState.UP and facts.vm.health is Health.GOOD:
        yield Property.NO_NEEDLESS_WORK, "powers off an engine that is well"


def _is_stray(step: Step, facts: tick.Facts, own: Optional[HostRecord]) -> bool:
    """Return whether a VM here does not have its lease, as far as this host sees."""
    if facts.leases is None:
        return False
    owner = facts.leases.owner
    if owner is None:
        # After a suspension: other hosts have acquired the lease meanwhile, and released it.
        return step.memory.vm is not None and step.memory.vm.has_slept
    return own is None or owner != own.host_id


def _leaves_an_outrun_vm(step: Step, facts: tick.Facts, own: Optional[HostRecord]) -> bool:
    """Return whether another host has the lease of a VM that is paused here, and it goes on."""
    leases = facts.leases
    if own is None or leases is None or leases.owner in (None, own.host_id):
        return False
    watch = step.memory.vm
    if facts.vm.state is not VmState.PAUSED or watch is None:
        return False
    return watch.power_off_at is None


def _judge_move(target: int, step: Step) -> Iterator[Seen]:
    """Judge a move by its host's record of the target; `he_fsm.check.heard` judges its liveness."""
    seen = step.memory.sightings.get(target)
    if seen is None or seen.record is None:
        yield Property.MIGRATIONS, f"moves the engine to host {target}, of which it knows nothing"
    elif seen.record.local_maintenance:
        yield Property.MAINTENANCE, f"moves the engine to host {target}, which is in maintenance"
    elif not seen.record.score:
        yield Property.MIGRATIONS, f"moves the engine to host {target}, whose score is 0"


def word_of(effect: Effect) -> str:
    """Return an order as a word; empty for effects that only notify people."""
    if isinstance(effect, MigrateVm):
        return f"migrate {effect.target}"
    return _WORDS.get(type(effect), "")


_WORDS: dict[type, str] = {
    StartVm: "start",
    ShutDownVm: "shut down",
    PowerOffVm: "power off",
    CancelMigration: "cancel",
    GiveUpArrival: "give up arrival",
    StopAgent: "stop agent",
    LetGo: "let go",
}
