"""A daemon that dies is started again by systemd; one that is killed for good is not."""

from __future__ import annotations

import pytest

from he_fsm import simulate
from tests.simulate.plays import play, scenario_of, texts, times

BROKER_STARTS = "systemd starts the broker again"


def test_an_agent_that_crashes_is_started_again_and_its_vm_goes_on() -> None:
    outcome = play(
        "{at: 60s, host: 1, agent: crash}",
        "{from: 60s, to: 61s, never: true, state: {1: EngineUp}}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1, running: 1}",
        "{from: 0s, alive: {2: [1, 2, 3], 3: [1, 2, 3]}}",
        "{after: 62s, by: 63s, state: {1: EngineUp}}",
        "{total: {starts: 0, refused_starts: 0, migrations: 0, notifications: 0}}",
    )
    assert times(outcome, "agent: crash") == [60.0]
    assert times(outcome, "the agent starts") == [62.0]


def test_a_broker_that_crashes_is_started_again() -> None:
    outcome = play(
        "{at: 60s, host: 2, broker: crash}",
        "{from: 0s, alive: {1: [1, 2, 3]}, engine: good}",
        "{after: 62s, by: 75s, state: {2: EngineDown}}",
        "{from: 75s, state: {2: EngineDown}, alive: {2: [1, 2, 3]}}",
    )
    assert times(outcome, BROKER_STARTS) == [62.0]


def test_the_world_says_how_long_systemd_waits() -> None:
    outcome = play("{at: 60s, host: 1, agent: crash}", world="{agent_restart: 30s}")
    assert times(outcome, "the agent starts") == [90.0]


def test_a_broker_that_is_away_for_long_is_missed() -> None:
    play(
        "{at: 60s, host: 2, broker: crash}",
        "{from: 145s, to: 299s, alive: {1: [1, 3]}, state: {2: Unknown}}",
        "{after: 300s, by: 301s, state: {2: EngineDown}}",
        world="{broker_restart: 4m}",
    )


def test_a_daemon_that_crashes_again_and_again_is_never_left_dead() -> None:
    # The shipped units have no start limit (tests/packaging).
    outcome = play(
        "{at: 60s, host: 1, agent: crash, every: 3s, times: 40}",
        "{from: 0s, engine: good, engine_on: 1}",
        "{by: 190s, state: {1: EngineUp}}",
        "{from: 190s, state: {1: EngineUp}, alive: {2: [1, 2, 3]}}",
    )
    assert len(times(outcome, "agent: crash")) == 40
    assert times(outcome, "the agent starts")[-1] == 179.0


@pytest.mark.parametrize("word", ["kill", "stop"])
def test_what_is_killed_or_stopped_before_systemd_has_started_it_stays_dead(word: str) -> None:
    outcome = play(
        f"{{at: 60s, host: 2, agent: crash}}, {{at: 61s, host: 2, agent: {word}}}, "
        "{at: 60s, host: 3, broker: crash}, {at: 61s, host: 3, broker: kill}",
        "{from: 60s, never: true, state: {2: EngineDown}}",
        "{from: 75s, state: {3: Unknown}}",
    )
    assert texts(outcome, "agent") == []


def test_what_is_started_by_hand_is_not_started_twice() -> None:
    outcome = play(
        "{at: 60s, host: 1, agent: crash}, {at: 61s, host: 1, agent: start}, "
        "{at: 60s, host: 2, broker: crash}, {at: 61s, host: 2, broker: start}",
        "{from: 0s, engine: good, alive: {3: [1, 2, 3]}}",
        "{from: 61s, state: {1: EngineUp}}",
        world="{jitter: 0s}",
    )
    assert times(outcome, "the agent starts") == [61.0]
    assert times(outcome, BROKER_STARTS) == []


def test_a_crash_means_nothing_to_what_is_dead_already() -> None:
    outcome = play(
        "{at: 60s, host: 2, agent: kill}, {at: 61s, host: 2, agent: crash}, "
        "{at: 60s, host: 3, broker: kill}, {at: 61s, host: 3, broker: crash}, "
        "{at: 70s, host: 1, agent: crash}, {at: 71s, host: 1, agent: crash}",
        "{from: 60s, never: true, state: {2: EngineDown}}",
        "{from: 75s, state: {3: Unknown}}",
    )
    assert times(outcome, "the agent starts") == [72.0]


def test_a_daemon_that_stands_still_can_crash_and_runs_when_it_is_started_again() -> None:
    play(
        "{at: 60s, host: 1, agent: freeze}, {at: 70s, host: 1, agent: crash}, "
        "{at: 60s, host: 2, broker: freeze}, {at: 90s, host: 2, broker: crash}",
        "{from: 0s, engine: good, engine_on: 1}",
        "{after: 72s, by: 73s, state: {1: EngineUp}}",
        "{after: 92s, by: 93s, state: {2: EngineDown}}",
    )


def test_a_host_that_loses_its_power_boots_as_if_nothing_had_crashed() -> None:
    outcome = play(
        "{at: 60s, host: 2, agent: crash}, {at: 60s, host: 2, broker: crash}, "
        "{at: 61s, host: 2, power: reset}",
        "{at: 9m, state: {2: EngineDown}, alive: {1: [1, 2, 3]}}",
    )
    assert times(outcome, "the agent starts") == [181.0]
    assert times(outcome, BROKER_STARTS) == []


def test_a_host_that_stands_still_starts_its_daemons_when_it_goes_on() -> None:
    outcome = play(
        "{at: 60s, host: 2, agent: crash}, {at: 60s, host: 2, broker: crash}, "
        "{at: 61s, host: 2, power: freeze}, {at: 80s, host: 2, power: thaw}",
        "{at: 3m, state: {2: EngineDown}, alive: {1: [1, 2, 3]}}",
    )
    assert times(outcome, "the agent starts") == times(outcome, BROKER_STARTS) == [80.0]


def test_nothing_crashes_where_nothing_runs() -> None:
    outcome = simulate(
        scenario_of(
            "{at: 60s, host: 2, power: off}, {at: 70s, host: 2, agent: crash}, "
            "{at: 70s, host: 2, broker: crash}, {at: 60s, host: 3, power: freeze}, "
            "{at: 70s, host: 3, agent: crash}, {at: 70s, host: 3, broker: crash}, "
            "{at: 80s, host: 3, power: thaw}"
        )
    )
    assert texts(outcome, "agent") == []


def test_the_engine_is_started_by_a_broker_and_an_agent_that_are_back() -> None:
    play(
        "{at: 59s, host: 1, agent: crash}, {at: 59s, host: 1, broker: crash}, "
        "{at: 60s, engine: kill}",
        "{after: 61s, by: 90s, engine: starting, engine_on: [1, 2, 3]}",
        "{after: 110s, by: 150s, engine: good}",
        "{total: {starts: 1}}",
    )
