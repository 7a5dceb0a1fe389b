"""The rules that hold in every scenario, whatever it expects; of each the first break counts."""

from __future__ import annotations

from typing import Optional

from he_fsm.effects import CancelMigration, Effect, MigrateVm, PowerOffVm, StartVm
from he_fsm.simulate.engine import Vm
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.world import Violation, World


def _break(world: World, host: Optional[SimHost], rule: str, seen: str) -> None:
    if rule not in world.broken:
        world.broken[rule] = Violation(rule, seen, world.now)
        world.note(host, "rule", f"rule {rule} broken: {seen}", rule=rule)


def check_engines(world: World, running: list[Vm], lease: Optional[str]) -> None:
    """Two engine VMs never execute at once, and none without its lease."""
    if len(running) > 1:
        names = ", ".join(sorted(vm.host.name for vm in running))
        _break(world, None, "two-engines", f"engine VMs execute on hosts {names}")
    for vm in world.engine.vms.values():
        starts = vm.phase == "starting" and vm.host.runs
        if (starts or vm.executes) and lease != vm.host.name:
            holder = "free" if lease is None else f"held by host {lease}"
            text = f"the VM on host {vm.host.name} executes while its lease is {holder}"
            _break(world, vm.host, "lease", text)


def check_score(world: World, host: SimHost, score: object) -> None:
    """A published score is an integer from 0 to the policy's highest."""
    if not (type(score) is int and 0 <= score <= world.policy.score_max):
        _break(world, host, "score-range", f"host {host.name} published {score!r}")


def check_effect(world: World, host: SimHost, agent: Agent, effect: Effect) -> None:
    """
    No deed in global maintenance, no start with score 0, no move to a host with score 0.

    Ending a VM that does not have its lease is none of maintenance's business.
    """
    word = type(effect).__name__
    has_lease = world.lockspace.owner is host.member
    ends_a_stray = isinstance(effect, PowerOffVm) and not has_lease
    is_harmless = ends_a_stray or isinstance(effect, CancelMigration)
    if agent.memory.global_maintenance and not is_harmless:
        text = f"host {host.name} asked for {word} although it knows of global maintenance"
        _break(world, host, "maintenance", text)
    if isinstance(effect, StartVm) and not agent.shown_score:
        text = f"host {host.name} starts the engine with score 0"
        _break(world, host, "score-0", text)
    if isinstance(effect, MigrateVm):
        sighting = agent.memory.sightings.get(effect.target)
        record = None if sighting is None else sighting.record
        if record is not None and record.score == 0:
            text = f"host {host.name} moves the engine to host {effect.target} with score 0"
            _break(world, host, "score-0", text)


def crashed(world: World, host: SimHost, error: Exception) -> None:
    """An agent ended by an exception."""
    text = f"the agent of host {host.name} ended by {type(error).__name__}: {error}"
    _break(world, host, "crash", text)
