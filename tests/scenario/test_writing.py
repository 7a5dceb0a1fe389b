"""Scenarios as files: what is written is read back the same, or refused."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from he_fsm.scenario import Scenario, load_scenarios, parse_scenarios
from he_fsm.scenario.language.writing import scenarios_text

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "scenarios").glob("*.yaml")) + sorted(
    path for path in (ROOT / "examples").glob("*.yaml") if "scenarios:" in path.read_text()
)


def bare(scenario: Scenario) -> Scenario:
    """Return what can be written of a scenario, without where it was read."""
    timeline = tuple(
        attrs.evolve(entry, text="", place=scenario.place)
        for entry in scenario.timeline
        if not entry.since
    )
    return attrs.evolve(scenario, timeline=timeline, expect=())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_written_is_read_back_the_same(path: Path) -> None:
    scenarios = [bare(each) for each in load_scenarios(path)]
    back = parse_scenarios(scenarios_text(scenarios), "back.yaml")
    for was, found in zip(scenarios, back):
        assert bare(attrs.evolve(found, place=was.place)) == was
    assert len(back) == len(scenarios)


def test_a_lease_that_is_running_out_is_written_too() -> None:
    (scenario,) = parse_scenarios(
        "scenarios: [{name: x, hosts: 2, engine: {running_on: 1, lease_left: 40s},"
        " timeline: [{at: 0, host: 1, power: off}]}]",
        "x.yaml",
    )
    assert "lease_left: 40" in scenarios_text([scenario])


def test_what_hangs_on_conditions_is_refused() -> None:
    (since,) = parse_scenarios(
        "scenarios: [{name: x, hosts: 1, timeline: [{since: {engine: good}, engine: kill}]}]", "x"
    )
    with pytest.raises(ValueError, match="conditions"):
        scenarios_text([since])
    (expects,) = parse_scenarios(
        "scenarios: [{name: x, hosts: 1, expect: [{at: 1s, engine: down}]}]", "x"
    )
    with pytest.raises(ValueError, match="expectations"):
        scenarios_text([expects])
