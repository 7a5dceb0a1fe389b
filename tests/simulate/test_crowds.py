"""Large clusters are played as small ones are: what all hosts see alike is kept once."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from he_fsm import parse_scenarios, simulate
from he_fsm.crowd import CrowdSightings
from he_fsm.simulate.run import Run

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

from searching.checks import CHECKS
from searching.draw import text_of
from searching.run import drawn, wrong_with
from searching.skipping import differences

SKIPPING = CHECKS[0]
CROWDS: Any = importlib.import_module("he_fsm.simulate.idle.crowds")


@pytest.fixture
def crowds_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a crowd of all hosts, however few they are."""
    monkeypatch.setattr(CROWDS, "CROWD_MIN", 1)


# With number 122 a clock runs faster before any host has looked.
@pytest.mark.interpreted
@pytest.mark.usefixtures("crowds_of_two")
@pytest.mark.parametrize("numbers", [range(30), (122, 314, 412, 429)], ids=["any", "once wrong"])
def test_a_crowd_changes_nothing_that_people_or_agents_see(numbers: Any) -> None:
    for number in numbers:
        spec = drawn(SKIPPING, 1, number)
        assert wrong_with(SKIPPING, spec) == [], text_of(spec)


MANY = """
scenarios:
  - name: a host fails, and is back
    hosts: 14
    engine: {running_on: 1}
    timeline: [{at: 20s, host: 1, power: "off"}, {at: 7m, host: 1, power: "on"}]
    until: 12m
  - name: the gateway is lost for all, and half of them are silent for a while
    hosts: 14
    engine: {running_on: 5}
    timeline:
      - {at: 31s, hosts: all, set: {gateway: 0}}
      - {at: 90s, hosts: ["8-14"], agent: freeze}
      - {at: 5m, hosts: ["8-14"], agent: thaw}
    until: 8m
"""


@pytest.mark.parametrize("scenario", parse_scenarios(MANY, "many"), ids=lambda each: each.name)
def test_many_hosts_are_played_as_if_each_looked_for_itself(scenario: Any) -> None:
    assert list(differences(scenario)) == []


def test_hosts_that_all_see_alike_keep_it_once() -> None:
    (scenario, _) = parse_scenarios(MANY, "many")
    run = Run(scenario, 1)
    kept = [host.agent.memory.sightings for host in run.world.hosts.values() if host.agent]
    assert len({id(each.crowd) for each in kept if isinstance(each, CrowdSightings)}) == 1
    assert len(kept) == 14


def test_progress_is_told_up_to_the_end() -> None:
    times: list[float] = []
    (scenario, _) = parse_scenarios(MANY, "many")
    simulate(scenario, progress=times.append)
    assert times == sorted(times)
    assert 0 < times[0] < 20
    assert times[-1] <= scenario.until
    assert len(times) > 20
