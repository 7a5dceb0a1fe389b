"""What the simulator reports for each condition of an expectation, and of `since`."""

from __future__ import annotations

import pytest

from he_fsm import simulate
from tests.simulate.plays import play, scenario_of, texts, times

TWINS = "[{id: 1}, {id: 2}, {id: 2, name: other, hostname: other.localdomain}]"


def test_a_warm_cluster_knows_everything_at_time_0() -> None:
    play(
        "",
        "{at: 0s, engine_on: 1, engine: good, running: 1, lease: 1}",
        "{at: 0s, state: {1: EngineUp, 2-3: EngineDown}, score: {all: 2400}}",
        "{at: 0s, alive: {1: [1, 2, 3], 2: [1, 2, 3]}, problem: {1: {0: null, 1: null, 2: null}}}",
        "{at: 0s, record: {1: {vm: up, hostname: host1, maintenance: false, stopped: false}}}",
        "{at: 0s, record: {2: {vm: down, age: '<= 10s'}}}",
        "{at: 0s, sees: {1: {2: {score: 2400, age: '<= 10s'}}, 2: {1: {vm: up}, 2: {vm: down}}}}",
    )


def test_a_cold_cluster_knows_nothing_at_time_0() -> None:
    play(
        "",
        "{at: 0s, engine_on: null, engine: down, running: 0, lease: null}",
        "{at: 0s, sees: {1: {2: null}, 2: {3: null}}, problem: {1: {2: null}}}",
        "{by: 2s, score: {all: 2400}}",
        "{by: 23s, alive: {1: [1, 2, 3], 2: [1, 2, 3], 3: [1, 2, 3]}}",
        "{by: 25s, engine: starting}",
        world="{cold: true}",
        engine="{running_on: null}",
    )


def test_a_host_that_is_off_or_whose_agent_is_stopped_is_not_alive() -> None:
    play(
        "{at: 5m, host: 2, power: on}, {at: 5m, host: 3, agent: start}",
        "{from: 0s, to: 299s, alive: {1: [1]}, score: {3: 0}, record: {3: {stopped: true}}}",
        # Long ago it wrote; that it is off nobody could write.
        "{at: 0s, record: {2: {stopped: false, age: '>= 1h'}}, sees: {1: {2: null, 3: null}}}",
        "{at: 10m, alive: {1: [1, 2, 3]}}",
        "{from: 0s, engine: good}",
        hosts="[{id: 1}, {id: 2, powered: false}, {id: 3, agent: stopped}]",
        until="12m",
    )


@pytest.mark.parametrize(
    ("engine", "word", "running"),
    [
        ("{running_on: 1, health: bad}", "bad", 1),
        ("{running_on: 1, paused: true}", "bad", 0),
        ("{running_on: null}", "down", 0),
    ],
)
def test_the_engine_at_time_0(engine: str, word: str, running: int) -> None:
    play("", f"{{at: 0s, engine: {word}, running: {running}}}", engine=engine, until="30s")


def test_a_cluster_that_begins_in_global_maintenance_stays_in_it() -> None:
    play(
        "{at: 60s, engine: kill}",
        "{from: 0s, state: {all: GlobalMaintenance}}",
        "{from: 60s, engine: down, engine_on: null, lease: null}",
        "{total: {starts: 0}}",
        maintenance="global",
    )


def test_hosts_begin_in_the_state_that_they_have_been_in_for_long() -> None:
    play(
        "",
        "{from: 0s, to: 59s, state: {2: LocalMaintenance, 3: ScoreBlocked}, score: {2: 0, 3: 0}}",
        # Blocked since 9 minutes ago.
        "{from: 72s, state: {3: EngineDown}, score: {3: 2250}}",
        "{from: 0s, score: {4: 2350}, state: {4: EngineDown}}",
        hosts="[{id: 1}, {id: 2, maintenance: true}, {id: 3, failed_starts: {count: 3, last: -9m}},"
        " {id: 4, failed_starts: {count: 1, last: -10s}}]",
        until="9m",
    )


def test_a_cold_start_remembers_failed_starts() -> None:
    play(
        "",
        "{by: 2s, score: {1: 0, 2: 2400}, state: {1: ScoreBlocked}}",
        "{by: 30s, engine_on: 2}",
        hosts="[{id: 1, failed_starts: {count: 3, last: -1m}}, {id: 2}]",
        world="{cold: true}",
        engine="{running_on: null}",
    )


def test_score_and_record_are_what_was_written_last() -> None:
    play(
        "{at: 60s, host: 2, set: {gateway: 0}}, {at: 100s, host: 2, storage: cut}, "
        "{at: 110s, host: 2, set: {bridge: 0}}",
        "{from: 72s, to: 111s, score: {2: 1400}}",
        # It knows better, and can't write it.
        "{from: 111s, score: {2: 1400}, record: {2: {score: 1400}}}",
        "{from: 130s, record: {2: {age: '>= 20s'}}}",
    )


def test_the_age_of_a_record_grows_until_the_next_write() -> None:
    play(
        "{at: 60s, host: 2, agent: kill}",
        "{from: 0s, to: 60s, record: {2: {age: '<= 11s'}}}",
        "{from: 0s, to: 60s, sees: {1: {2: {age: '<= 22s'}}}}",
        "{from: 120s, record: {2: {age: '> 58s'}}}",
        # Once it is given up there is nothing to see.
        "{from: 132s, sees: {1: {2: null}, 3: {2: null}}}",
        "{from: 0s, sees: {1: {3: {age: '<= 22s'}}}}",
    )


def test_what_a_host_sees_of_itself_is_what_it_wrote() -> None:
    play(
        "{at: 60s, host: 2, set: {gateway: 0}}",
        "{from: 72s, sees: {2: {2: {score: 1400, hostname: host2, age: '<= 12s'}}}}",
    )


def test_the_hosts_of_sees_and_alive_are_judged_by_each_viewer() -> None:
    play(
        "{at: 60s, host: 1, storage: cut}",
        # Who can't read gives nobody up; the others give it up.
        "{from: 132s, alive: {1: [1, 2, 3], 2: [2, 3], 3: [2, 3]}}",
        until="4m",
    )


def test_the_lease_is_free_when_its_time_is_up() -> None:
    play(
        "{at: 60s, host: 1, power: off}",
        "{from: 0s, to: 179s, lease: 1}",
        "{by: 200s, lease: null}",
        "{from: 201s, lease: null}",
        hosts="[{id: 1}, {id: 2, gateway: 0, bridge: 0, mem_free: 0, cpu_load: 1, mem_load: 1}]",
        policy="{base: talk, score_floor: 0}",
    )


def test_two_hosts_that_claim_one_id() -> None:
    outcome = play(
        "",
        "{from: 12s, problem: {other: {2: held}, 2: {2: null}}, state: {other: Unknown}}",
        "{from: 0s, state: {2: EngineDown}, engine: good, alive: {1: [1, 2]}}",
        hosts=TWINS,
        until="2m",
    )
    assert "slot 2: held" in texts(outcome, "problem", "other")
    # It waits until the holder's lease has run out, and then for 2 x io_timeout + 1 s.
    play(
        "{at: 60s, host: 2, power: off}",
        "{from: 12s, to: 179s, state: {other: Unknown}, problem: {other: {2: held}}}",
        "{by: 243s, state: {other: EngineDown}, problem: {other: {2: null}}}",
        "{at: 5m, alive: {1: [1, 2]}, sees: {1: {2: {hostname: other.localdomain}}}}",
        hosts=TWINS,
    )


def test_an_id_that_was_given_back_is_taken_when_it_has_been_watched() -> None:
    play(
        "{at: 60s, host: 2, agent: stop}",
        "{at: 59s, problem: {other: {2: held}}}",
        "{from: 60s, to: 80s, state: {other: Unknown}}",
        "{by: 106s, state: {other: EngineDown}}",
        "{at: 3m, sees: {1: {2: {hostname: other.localdomain}}}}",
        hosts=TWINS,
    )


def test_a_host_that_comes_back_to_an_id_that_is_taken_waits() -> None:
    play(
        "{at: 60s, host: 2, power: off}, {at: 5m, host: 2, power: on}",
        "{at: 299s, state: {other: EngineDown}}",
        "{from: 432s, problem: {2: {2: held}}, state: {2: Unknown}}",
        "{from: 0s, engine: good}",
        hosts=TWINS,
    )


@pytest.mark.parametrize(
    ("timeline", "total", "host"),
    [
        ("{at: 60s, engine: kill}", "starts: 1", 1),
        ("{at: 0s, host: 1, starts: fail 1}, {at: 60s, engine: kill}", "failed_starts: 1", 1),
        ("{at: 60s, host: 1, set: {gateway: 0}}", "migrations: 1", 1),
        (
            "{at: 60s, host: 1, set: {gateway: 0}}, {at: 0s, host: 1, migrations: fail 1}",
            "failed_migrations: 1",
            1,
        ),
        ("{at: 60s, engine: hang}", "shutdowns: 1", 1),
        ("{at: 60s, engine: pause}", "poweroffs: 1", 1),
        ("{at: 60s, host: 2, power: freeze}", "resets: 1", 2),
        ("{at: 60s, host: 2, failed_starts: 3}", "notifications: 1", 2),
    ],
)
def test_totals_count_what_a_host_did(timeline: str, total: str, host: int) -> None:
    play(
        timeline,
        f"{{total: {{{total}}}}}",
        f"{{total: {{host: {host}, {total}}}}}",
        f"{{total: {{host: 3, {total.partition(':')[0]}: 0}}}}",
        f"{{total: {{to: 59s, {total.partition(':')[0]}: 0}}}}",
        until="8m",
    )


def test_a_start_that_is_refused_is_no_failed_start() -> None:
    play(
        "{at: 50s, host: 1, agent: stop}, {at: 60s, engine: kill}",
        "{total: {starts: 1, refused_starts: '>= 1', failed_starts: 0}}",
        world="{loop: 1s, storage_latency: 4s}",
    )


def test_an_expectation_may_count_from_since() -> None:
    play(
        "{at: 60s, host: 1, set: {gateway: 0}}, "
        "{since: {engine: migrating}, at: 5s, host: 1, power: off}",
        "{since: {engine: migrating}, at: 5s, engine: down}",
        "{since: {engine: down, total: {migrations: 0}}, by: 141s, engine: starting}",
        "{since: {total: {starts: 1}}, at: 60s, engine: good}",
    )


def test_a_since_may_wait_for_an_age_or_for_time_without_the_engine() -> None:
    outcome = play(
        "{at: 60s, host: 2, agent: kill}, "
        "{since: {record: {2: {age: '>= 30s'}}}, host: 3, set: {gateway: 0}}, "
        "{since: {record: {2: {age: '>= 30s'}}}, at: 5s, host: 2, agent: start}",
        "{since: {record: {2: {age: '>= 30s'}}}, from: 0s, to: 4s, record: {2: {age: '>= 30s'}}}",
    )
    faults = [event for event in outcome.events if event.kind == "fault"]
    assert faults[2].t - faults[1].t == pytest.approx(5.0)
    # Quiet hours are skipped up to that moment and no further.
    outcome = play(
        "{at: 30s, maintenance: global}, {at: 60s, engine: kill}, "
        "{since: {total: {downtime: '>= 1h'}}, maintenance: none}",
        "{from: 60s, to: 3659s, engine: down}",
        "{by: 3690s, engine: starting}",
        until="90m",
    )
    assert times(outcome, "global maintenance is ended") == [3660.0]


def test_a_since_that_never_comes_fails_the_expectation() -> None:
    scenario = scenario_of("", "{since: {engine: migrating}, at: 5s, engine: good}")
    failure = simulate(scenario).failures[0]
    assert failure.line == scenario.expect[0].place.line
    assert failure.expected == "{since: {engine: migrating}, at: 5s, engine: good}"
