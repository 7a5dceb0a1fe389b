"""Small scenarios for the tests: a timeline, and what must come of it in several phases."""

from __future__ import annotations

from he_fsm import Outcome, parse_scenarios, simulate
from he_fsm.scenario.model import Scenario

SEEDS = (1, 2, 3)


def scenario_of(timeline: str, *expect: str, **keys: str) -> Scenario:
    """
    Read a scenario of three equal hosts with the engine on host 1, unless *keys* say otherwise.

    *timeline* is its entries in one line, *expect* one expectation each.
    """
    body = {"hosts": "3", "engine": "{running_on: 1}", "until": "10m", **keys}
    lines = [f"    {key}: {value}" for key, value in body.items()]
    lines += [f"    timeline: [{timeline}]", "    expect:", *(f"      - {each}" for each in expect)]
    if not expect:
        lines.pop()
    text = "scenarios:\n  - name: play\n" + "\n".join(lines) + "\n"
    return parse_scenarios(text, "play.yaml")[0]


def play(timeline: str, *expect: str, **keys: str) -> Outcome:
    """Play it in several phases, in each of which everything must hold; return the first run."""
    scenario = scenario_of(timeline, *expect, **keys)
    outcomes = [simulate(scenario, seed=seed) for seed in SEEDS]
    wrong = [
        f"seed {outcome.seed}, {failure.at} s: {failure.expected}: {failure.seen}"
        for outcome in outcomes
        for failure in outcome.failures
    ]
    assert not wrong, "\n".join(wrong)
    return outcomes[0]


def texts(outcome: Outcome, kind: str, host: str | None = None) -> list[str]:
    """Return what the events of a kind say, in their order; those of one host, or all."""
    return [
        event.text()
        for event in outcome.events
        if event.kind == kind and host in (None, event.host)
    ]


def times(outcome: Outcome, text: str) -> list[float]:
    """Return when events of this text happened."""
    return [round(event.t, 3) for event in outcome.events if event.text() == text]
