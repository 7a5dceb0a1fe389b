"""Whether a run that skips quiet times shows what a run that steps through them shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from he_fsm.memory import Memory
from he_fsm.report.outcome import Outcome
from he_fsm.scenario.model import Scenario
from he_fsm.simulate.host import SimHost
from he_fsm.simulate.run import Run


def differences(scenario: Scenario, seed: Optional[int] = None) -> Iterator[str]:
    """Play the scenario both ways; say what differs, and which rule of the language was broken."""
    seed = scenario.seed if seed is None else seed
    skipping = Run(scenario, seed)
    stepping = Run(scenario, seed, skips_idle_time=False)
    skipped, stepped = skipping.play(), stepping.play()
    # What agents remember of each other has to be the same, too.
    skipping.skipper.end_all()
    for name, one, other in zip(_SHOWN, _shown(skipped), _shown(stepped)):
        if one != other:
            yield f"{name}: {_first_difference(one, other)}"
    for name, host in stepping.world.hosts.items():
        one, other = _memory_of(skipping.world.hosts[name]), _memory_of(host)
        if one != other:
            yield f"memory: of host {name}, skipped {one}, stepped {other}"
    for failure in stepped.failures:
        if failure.expected.startswith("rule "):
            yield f"{failure.expected} broken: {failure.seen}, at {failure.at} s"


def _memory_of(host: SimHost) -> Optional[Memory]:
    return None if host.agent is None else host.agent.memory


_SHOWN = ("events", "truth", "judgements", "totals", "final", "blocks")


def _shown(outcome: Outcome) -> tuple[Any, ...]:
    """Return all of a run that people can see, in the order of `_SHOWN`."""
    return (
        [(event.t, event.host, event.kind, event.details) for event in outcome.events],
        list(outcome.changes),
        [(str(failure.place), failure.seen, failure.at) for failure in outcome.failures],
        outcome.totals,
        outcome.to_json()["final"],
        [view.block for view in outcome.end],
    )


def _first_difference(skipped: Any, stepped: Any) -> str:
    if not isinstance(skipped, list):
        return f"skipped {skipped}, stepped {stepped}"
    at = _first_place(skipped, stepped)
    one = skipped[at] if at is not None and at < len(skipped) else "nothing more"
    other = stepped[at] if at is not None and at < len(stepped) else "nothing more"
    return f"skipped {one}, stepped {other}"


def _first_place(skipped: list[Any], stepped: list[Any]) -> Optional[int]:
    pairs = zip(skipped, stepped)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    return min(len(skipped), len(stepped)) if same is None else same
