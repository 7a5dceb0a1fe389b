"""What a trace shows: every look of every agent, a plain object each."""

from __future__ import annotations

import attrs

from he_fsm.effects import Effect
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.world import World
from he_fsm.step import Step
from he_fsm.tick import Facts


def traced(
    world: World, host: SimHost, agent: Agent, decision: Step, facts: Facts
) -> dict[str, object]:
    """Return one look of an agent as a line of the trace."""
    return {
        "t": round(world.now, 3),
        "host": host.name,
        "now": round(facts.now, 3),
        "state": decision.memory.state.value,
        "edge": None if decision.edge is None else decision.edge.name,
        "why": decision.reason,
        "score": agent.shown_score,
        "vm": facts.vm.state.value,
        "health": facts.vm.health.value,
        "alive": sorted(decision.liveness.alive),
        "pending": sorted(decision.liveness.pending),
        "placement": decision.placement.reason,
        "effects": [_effect_text(effect) for effect in decision.effects],
        "wake_in": None
        if decision.wake_at == float("inf")
        else round(decision.wake_at - facts.now, 3),
    }


def _effect_text(effect: Effect) -> str:
    values = ", ".join(f"{name}={value}" for name, value in attrs.asdict(effect).items())
    return f"{type(effect).__name__}({values})"
