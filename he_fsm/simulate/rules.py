"""The rules that hold in every scenario, whatever it expects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import attrs

from he_fsm.effects import CancelMigration, Effect, MigrateVm, StartVm
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.host import Agent, SimHost

if TYPE_CHECKING:
    from he_fsm.simulate.engine import Vm
    from he_fsm.simulate.world import World


@attrs.frozen
class Violation:
    """A rule that was broken: its name, what was seen, and when (seconds)."""

    rule: str
    seen: str
    at: float


class Rules:
    """Watches one run; of each rule the first violation is kept."""

    def __init__(self, scenario: Scenario) -> None:
        """Begin with nothing broken."""
        self._score_max = scenario.policy.score_max
        self.broken: dict[str, Violation] = {}

    def _break(self, world: World, host: Optional[SimHost], rule: str, seen: str) -> None:
        if rule not in self.broken:
            self.broken[rule] = Violation(rule, seen, world.now)
            world.note(host, "rule", f"rule {rule} broken: {seen}", rule=rule)

    def check_engines(self, world: World, running: list[Vm], lease: Optional[str]) -> None:
        """Two engine VMs never execute at once, and none without its lease."""
        if len(running) > 1:
            names = ", ".join(sorted(vm.host.name for vm in running))
            self._break(world, None, "two-engines", f"engine VMs execute on hosts {names}")
        for vm in world.engine.vms.values():
            starts = vm.phase == "starting" and vm.host.runs
            if (starts or vm.executes) and lease != vm.host.name:
                holder = "free" if lease is None else f"held by host {lease}"
                text = f"the VM on host {vm.host.name} executes while its lease is {holder}"
                self._break(world, vm.host, "lease", text)

    def check_score(self, world: World, host: SimHost, score: object) -> None:
        """A published score is an integer from 0 to the policy's highest."""
        if not (type(score) is int and 0 <= score <= self._score_max):
            self._break(world, host, "score-range", f"host {host.name} published {score!r}")

    def check_effect(self, world: World, host: SimHost, agent: Agent, effect: Effect) -> None:
        """No deed in global maintenance, no start with score 0, no move to a host with score 0."""
        word = type(effect).__name__
        if agent.memory.global_maintenance and not isinstance(effect, CancelMigration):
            text = f"host {host.name} asked for {word} although it knows of global maintenance"
            self._break(world, host, "maintenance", text)
        if isinstance(effect, StartVm) and not agent.shown_score:
            text = f"host {host.name} starts the engine with score 0"
            self._break(world, host, "score-0", text)
        if isinstance(effect, MigrateVm):
            sighting = agent.memory.sightings.get(effect.target)
            record = None if sighting is None else sighting.record
            if record is not None and record.score == 0:
                text = f"host {host.name} moves the engine to host {effect.target} with score 0"
                self._break(world, host, "score-0", text)

    def crashed(self, world: World, host: SimHost, error: Exception) -> None:
        """An agent ended by an exception."""
        text = f"the agent of host {host.name} ended by {type(error).__name__}: {error}"
        self._break(world, host, "crash", text)
