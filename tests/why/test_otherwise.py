"""What would change a decision: it does so in the simulator, and a bit less does not."""

from __future__ import annotations

from typing import Any, Optional

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm import TALK
from he_fsm.scenario import Scenario, parse_scenarios
from he_fsm.simulate import Outcome, simulate
from he_fsm.simulate.standing import Standing, standing
from he_fsm.states.names import State
from he_fsm.why.otherwise import Otherwise, nearest, otherwise
from he_fsm.why.outlook import outlook

# The cluster is quiet for so long before somebody asks, or before something happens.
QUIET_S = 35
GATEWAY = TALK.gateway_weight


def gateway_that_costs(points: int) -> float:
    """Return the share of answered pings with which a host loses so many points."""
    return 0.0 if points == GATEWAY else max(0.0, 1 - (points + 0.5) / GATEWAY)


def scenario(hosts: str, *timeline: str, until: str = f"{QUIET_S}s", more: str = "") -> Scenario:
    text = (
        f"scenarios:\n  - name: asked\n    hosts: {hosts}\n    engine: {{running_on: 1}}\n"
        f"    timeline: [{', '.join(timeline)}]\n    until: {until}\n{more}"
    )
    (found,) = parse_scenarios(text, "asked.yaml")
    return found


def played(hosts: str, *timeline: str) -> Outcome:
    return simulate(scenario(hosts, *timeline, until="10m"))


def states(outcome: Outcome, host: str) -> list[tuple[float, str]]:
    return [
        (event.t, event.details["to"])
        for event in outcome.events
        if event.host == host and event.kind == "state"
    ]


def found(host: Standing, beginning: str) -> Optional[Otherwise]:
    return next((each for each in otherwise(host.case) if each.what.startswith(beginning)), None)


@given(lost=st.integers(0, GATEWAY))
def test_a_fall_of_the_score_moves_the_engine_and_a_smaller_one_does_not(lost: int) -> None:
    hosts = f"[{{id: 1}}, {{id: 2, gateway: {gateway_that_costs(lost)}}}]"
    asked = found(standing(scenario(hosts))[1], "host 1's score fell")
    if asked is None or asked.falls_by is None or asked.turn is None:
        # Not even the loss of all points is enough: the other host is too poor.
        assert lost > TALK.score_max - TALK.migration_threshold
        return
    assert asked.turn.target == 2
    if asked.falls_by > GATEWAY:
        return
    for falls_by, ends_on in ((asked.falls_by, "2"), (asked.falls_by - 1, "1")):
        gateway = gateway_that_costs(falls_by)
        entry = f"{{at: {QUIET_S}s, host: 1, set: {{gateway: {gateway}}}}}"
        assert played(hosts, entry).engine_on == ends_on


TWO = "[{id: 1}, {id: 2}]"


@pytest.mark.parametrize(
    ("asks", "beginning", "entry", "to"),
    [
        (2, "host 1 lost its power", "host: 1, power: off", State.ENGINE_STARTING),
        (1, "the VM on host 1 died", "engine: kill", State.ENGINE_DOWN),
        (1, "the VM on host 1 stayed paused", "engine: pause", State.ENGINE_STOPPING),
        (1, "the health page stayed bad", "engine: hang", State.ENGINE_STOPPING),
        (1, "local maintenance was set", "host: 1, maintenance: on", State.ENGINE_MIGRATING_AWAY),
        (
            1,
            "host 1 was shut down in order",
            "host: 1, power: shutdown",
            State.ENGINE_MIGRATING_AWAY,
        ),
        (2, "global maintenance was set", "maintenance: global", State.GLOBAL_MAINTENANCE),
        (2, "host 2 could read the storage no more", "host: 2, storage: cut", State.UNKNOWN),
    ],
)
def test_what_would_happen_happens_and_no_sooner(
    asks: int, beginning: str, entry: str, to: State
) -> None:
    asked = found(standing(scenario(TWO))[asks], beginning)
    assert asked is not None
    assert asked.turn is not None
    assert asked.turn.edge.to is to
    at, became = states(played(TWO, f"{{at: {QUIET_S}s, {entry}}}"), str(asks))[0]
    assert became == to.value
    # The fault is seen with the next look; a lease counts from its last renewal, before the fault.
    renewal_s = 2 * TALK.io_timeout_s
    earliest_s = asked.turn.after_s - (renewal_s if "lost its power" in beginning else 0)
    assert earliest_s <= at - QUIET_S <= asked.turn.after_s + 2 * TALK.loop_s


def test_a_fall_that_is_seen_only_with_a_threshold_is_not_one_of_a_host_that_is_alone() -> None:
    asked = standing(scenario("[{id: 1}]"))[1]
    assert found(asked, "host 1's score fell") is None


def test_in_global_maintenance_only_its_end_changes_something() -> None:
    host = standing(scenario(TWO, more="    maintenance: global\n"))[2]
    assert outlook(host.case) is None
    asked = found(host, "global maintenance was ended")
    assert asked is not None
    assert asked.turn is not None
    assert asked.turn.edge.source is State.GLOBAL_MAINTENANCE
    assert found(host, "host 1 lost its power") is None


def test_what_comes_by_itself_is_foretold() -> None:
    entry = "{at: 20s, host: 1, power: off}"
    host = standing(scenario(TWO, entry, until="2m"))[2]
    coming = outlook(host.case)
    assert coming is not None
    assert coming.edge.to is State.ENGINE_STARTING
    at = next(t for t, to in states(played(TWO, entry), "2") if to == "EngineStarting")
    assert coming.after_s == pytest.approx(at - 120, abs=1.0)


def test_a_better_host_that_is_silent_already_is_not_waited_for_longer_than_it_will_be() -> None:
    hosts = "[{id: 1}, {id: 2, cpu_load: 0.9}, {id: 3}]"
    entries = ("{at: 20s, host: 3, power: off}", "{at: 100s, host: 1, power: off}")
    asked = scenario(hosts, *entries, until="130s")
    asked = attrs.evolve(asked, engine=attrs.evolve(asked.engine, running_on="3"))
    coming = outlook(standing(asked)[2].case)
    assert coming is not None
    assert coming.edge.to is State.ENGINE_STARTING
    whole = attrs.evolve(asked, until=600.0)
    at = next(t for t, to in states(simulate(whole), "2") if to == "EngineStarting")
    assert coming.after_s == pytest.approx(at - 130, abs=TALK.loop_s)


@given(
    now=st.integers(0, 3400),
    limit=st.integers(0, 3400),
    change=st.one_of(st.none(), st.integers(0, 3400)),
)
def test_the_nearest_value_that_changes_something_is_found(
    now: int, limit: int, change: Optional[int]
) -> None:
    step = 1 if limit > now else -1
    way = range(now + step, limit + step, step) if now != limit else range(0)
    beyond: Any = change if change in way else None

    def changes_it(value: int) -> bool:
        return beyond is not None and (value - beyond) * step >= 0

    assert nearest(changes_it, now, limit) == beyond
