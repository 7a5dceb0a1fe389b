"""What becomes of a cluster when a host's broker or its sanlock ends or stands still."""

from __future__ import annotations

import pytest

from he_fsm import simulate
from tests.simulate.plays import play, scenario_of, texts, times

# A host renews every 20 s: the fault at 60 s comes up to 20 s after the last renewal.
NO_WATCHDOG = {"hosts": "[{id: 1, watchdog: false}, {id: 2, watchdog: false}]"}
GUARDED = "the VM is gone: the sanlock daemon behind its lease has ended, the agent killed it"
OVERDUE = "the VM is gone: its lease was not renewed, the agent killed it"


# broker


@pytest.mark.parametrize(("ends", "comes_back"), [("kill", "start"), ("freeze", "thaw")])
def test_an_agent_without_its_broker_sees_nothing_and_says_nothing(
    ends: str, comes_back: str
) -> None:
    play(
        f"{{at: 60s, host: 2, broker: {ends}}}, {{at: 5m, host: 2, broker: {comes_back}}}",
        "{after: 60s, by: 75s, state: {2: Unknown}}",
        "{from: 145s, to: 299s, alive: {1: [1, 3], 3: [1, 3]}, state: {2: Unknown}}",
        "{after: 300s, by: 301s, state: {2: EngineDown}}",
        "{at: 6m, alive: {1: [1, 2, 3], 2: [1, 2, 3]}}",
    )


@pytest.mark.parametrize("ends", ["kill", "freeze"])
def test_a_vm_outlives_its_hosts_broker_for_sanlock_renews_its_lease(ends: str) -> None:
    play(
        f"{{at: 60s, host: 1, broker: {ends}}}",
        "{from: 0s, engine: good, engine_on: 1, running: 1, lease: 1}",
        "{after: 100s, by: 145s, problem: {2: {1: silent}}}",
        "{total: {starts: 0, refused_starts: 0, migrations: 0, resets: 0}}",
    )


def test_an_agent_without_its_broker_does_not_hear_of_the_local_flag() -> None:
    play(
        "{at: 60s, host: 1, broker: kill}, {at: 2m, host: 1, maintenance: on}, "
        "{at: 5m, host: 1, broker: start}",
        "{from: 60s, to: 299s, engine_on: 1, engine: good}",
        "{after: 300s, by: 6m, engine_on: [2, 3], state: {1: LocalMaintenance}}",
    )


def test_an_agent_that_starts_without_its_broker_knows_nothing() -> None:
    play(
        "{at: 60s, host: 2, agent: kill}, {at: 61s, host: 2, broker: kill}, "
        "{at: 70s, host: 2, agent: start}",
        "{from: 70s, state: {2: Unknown}}",
    )


# sanlock that ends


def test_a_vm_ends_with_its_daemon_and_its_lease_runs_out() -> None:
    outcome = play(
        "{at: 60s, host: 1, sanlock: kill}",
        "{from: 60s, to: 179s, engine: down, running: 0, lease: 1}",
        "{after: 60s, by: 75s, state: {1: Unknown}}",
        # 8 x io_timeout + 60 s after a renewal between 40 s and 60 s.
        "{after: 179s, by: 201s, engine_on: 2, engine: starting, lease: 2}",
        "{total: {starts: 1, resets: 0, failed_starts: 0}}",
        **NO_WATCHDOG,
    )
    assert times(outcome, GUARDED) == [60.0]


@pytest.mark.parametrize("again", ["", ", {at: 70s, host: 1, sanlock: start}"])
def test_a_watchdog_resets_a_host_whose_daemon_has_ended_though_another_was_started(
    again: str,
) -> None:
    play(
        "{at: 60s, host: 1, sanlock: kill}" + again,
        "{from: 0s, to: 169s, total: {resets: 0}}",
        "{by: 191s, total: {resets: 1}}",
        "{at: 9m, engine: good, running: 1, alive: {2: [1, 2, 3]}}",
        "{total: {resets: 1}}",
    )


def test_without_an_agent_the_vm_goes_on_until_the_watchdog_fires() -> None:
    play(
        "{at: 50s, host: 1, agent: kill}, {at: 60s, host: 1, sanlock: kill}",
        "{from: 60s, to: 169s, engine: good, engine_on: 1}",
        "{after: 169s, by: 191s, engine: down, total: {resets: 1}}",
        "{after: 179s, by: 201s, engine: starting, engine_on: [2, 3]}",
    )


def test_without_an_agent_and_a_watchdog_two_vms_run() -> None:
    outcome = simulate(
        scenario_of(
            "{at: 50s, host: 1, agent: kill}, {at: 60s, host: 1, sanlock: kill}", **NO_WATCHDOG
        )
    )
    assert {failure.expected for failure in outcome.failures} == {"rule two-engines", "rule lease"}


def test_a_daemon_that_comes_back_has_its_id_and_a_free_lease_when_it_has_joined() -> None:
    outcome = play(
        "{at: 60s, host: 1, sanlock: kill}, {at: 60s, host: 1, sanlock: start}",
        "{at: 61s, engine: down, lease: 1}",
        # The agent is notified, or polls, and joins: 2 x io_timeout + 1 s.
        "{from: 60s, to: 80s, engine: down, lease: 1}",
        "{after: 80s, by: 94s, engine: starting}",
        "{after: 80s, by: 200s, engine: good}",
        "{total: {starts: 1, resets: 0}}",
        **NO_WATCHDOG,
    )
    assert times(outcome, GUARDED) == [60.0]


def test_a_host_does_not_join_again_beside_its_old_vm() -> None:
    outcome = play(
        "{at: 50s, host: 1, agent: kill}, {at: 60s, host: 1, sanlock: kill}, "
        "{at: 61s, host: 1, sanlock: start}, {at: 2m, host: 1, agent: start}",
        # Nobody asks for the id, so that the lease stays what it was.
        "{from: 60s, to: 119s, engine: good, engine_on: 1, lease: 1}",
        # The agent ends the VM before anything else.
        "{at: 120s, engine: down, lease: 1}",
        "{from: 120s, to: 139s, lease: 1}",
        "{after: 139s, by: 142s, engine: starting, engine_on: [1, 2]}",
        **NO_WATCHDOG,
    )
    assert times(outcome, GUARDED) == [120.0]


def test_a_frozen_agent_ends_the_vm_when_it_goes_on() -> None:
    outcome = play(
        "{at: 50s, host: 1, agent: freeze}, {at: 60s, host: 1, sanlock: kill}, "
        "{at: 90s, host: 1, agent: thaw}",
        "{from: 60s, to: 89s, engine: good, engine_on: 1}",
        **NO_WATCHDOG,
    )
    assert times(outcome, GUARDED) == [90.0]


def test_a_host_without_a_vm_comes_back_with_its_daemon() -> None:
    play(
        "{at: 60s, host: 2, sanlock: kill}, {at: 5m, host: 2, sanlock: start}",
        "{after: 60s, by: 75s, state: {2: Unknown}}",
        "{from: 145s, to: 299s, alive: {1: [1]}}",
        "{after: 300s, by: 335s, state: {2: EngineDown}}",
        "{from: 0s, engine: good, engine_on: 1}",
        **NO_WATCHDOG,
    )


# sanlock that stands still


def test_a_daemon_that_stands_still_for_a_moment_loses_nothing() -> None:
    play(
        "{at: 60s, host: 1, sanlock: freeze}, {at: 110s, host: 1, sanlock: thaw}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1}",
        "{after: 60s, by: 75s, state: {1: Unknown}}",
        "{after: 110s, by: 125s, state: {1: EngineUp}}",
        "{total: {starts: 0, resets: 0}}",
    )


def test_a_daemon_that_goes_on_too_late_ends_its_vm_and_joins_anew() -> None:
    outcome = play(
        "{at: 60s, host: 1, sanlock: freeze}, {at: 150s, host: 1, sanlock: thaw}",
        "{from: 60s, to: 149s, engine: good, engine_on: 1, lease: 1}",
        "{after: 149s, by: 151s, engine: down, lease: 1}",
        "{after: 151s, by: 173s, engine: starting}",
        "{at: 9m, engine: good, running: 1}",
        "{total: {starts: 1, resets: 0}}",
    )
    assert times(outcome, "the VM is gone: its lease could not be renewed, sanlock killed it") == [
        150.1
    ]


def test_a_vm_whose_daemon_stands_still_is_ended_before_others_may_start_it() -> None:
    outcome = play(
        "{at: 60s, host: 1, sanlock: freeze}",
        "{from: 60s, to: 169s, engine: good, engine_on: 1}",
        "{after: 169s, by: 191s, engine: down}",
        "{after: 179s, by: 201s, engine: starting, engine_on: 2}",
        "{total: {resets: 0}}",
        **NO_WATCHDOG,
    )
    assert len(times(outcome, OVERDUE)) == 1


def test_a_watchdog_resets_a_host_whose_daemon_stands_still() -> None:
    play(
        "{at: 50s, host: 1, agent: kill}, {at: 60s, host: 1, sanlock: freeze}",
        "{from: 60s, to: 169s, engine: good, engine_on: 1}",
        "{after: 169s, by: 191s, engine: down, total: {resets: 1}}",
        "{after: 179s, by: 201s, engine: starting, engine_on: [2, 3]}",
    )


def test_a_daemon_that_ends_while_it_stands_still_is_one_that_has_ended() -> None:
    outcome = play(
        "{at: 60s, host: 1, sanlock: freeze}, {at: 90s, host: 1, sanlock: kill}",
        "{after: 179s, by: 201s, engine: starting, engine_on: 2}",
        **NO_WATCHDOG,
    )
    assert times(outcome, GUARDED) == [90.0]


def test_a_daemon_that_stands_still_lets_a_lease_go_when_it_goes_on() -> None:
    play(
        "{at: 60s, host: 1, sanlock: freeze}, {at: 61s, engine: kill}, "
        "{at: 90s, host: 1, sanlock: thaw}",
        "{from: 61s, to: 89s, engine: down, lease: 1}",
        "{after: 89s, by: 91s, engine: starting}",
    )


# both


def test_storage_that_comes_back_joins_nobody_whose_daemon_is_gone() -> None:
    play(
        "{at: 60s, host: 2, sanlock: kill}, {at: 70s, host: 2, storage: cut}, "
        "{at: 90s, host: 2, storage: restore}",
        "{from: 150s, alive: {1: [1]}, state: {2: Unknown}}",
        **NO_WATCHDOG,
    )


def test_a_host_that_boots_has_all_its_daemons() -> None:
    play(
        "{at: 60s, host: 2, sanlock: kill}, {at: 60s, host: 2, broker: freeze}, "
        "{at: 70s, host: 2, power: reset}",
        "{after: 190s, by: 220s, state: {2: EngineDown}}",
    )


def test_a_host_that_thaws_without_its_daemon_has_no_vm_any_more() -> None:
    outcome = play(
        "{at: 50s, host: 1, agent: freeze}, {at: 60s, host: 1, sanlock: kill}, "
        "{at: 61s, host: 1, power: freeze}, {at: 62s, host: 1, agent: thaw}, "
        "{at: 80s, host: 1, power: thaw}",
        **NO_WATCHDOG,
    )
    assert times(outcome, GUARDED) == [80.0]


def test_words_about_a_daemon_that_is_so_already_do_nothing() -> None:
    play(
        "{at: 60s, host: 1, sanlock: start}, {at: 61s, host: 1, sanlock: thaw}, "
        "{at: 62s, host: 1, broker: start}, {at: 63s, host: 1, broker: thaw}, "
        "{at: 64s, host: 2, power: off}, {at: 65s, host: 2, sanlock: kill}, "
        "{at: 66s, host: 2, broker: kill}",
        "{from: 0s, engine: good, engine_on: 1, state: {1: EngineUp}, total: {resets: 0}}",
    )


def test_an_id_whose_holder_died_is_watched_like_a_free_one_when_it_has_run_out() -> None:
    play(
        "{at: 60s, host: 2, power: off}",
        # 140 s after a renewal between 40 s and 60 s, and 2 x io_timeout + 1 s.
        "{from: 30s, to: 200s, state: {impostor: Unknown}}",
        "{after: 201s, by: 233s, state: {impostor: EngineDown}}",
        hosts="[{id: 1}, {id: 2}, {id: 2, name: impostor, hostname: impostor}]",
    )


def test_an_owner_that_begins_to_fail_is_seen_in_idle_time() -> None:
    scenario = scenario_of(
        "{at: 60s, host: 1, agent: kill}, {at: 72s, host: 1, power: off}",
        hosts="2",
        policy="{base: talk, dead_after_s: 30s}",
    )
    skipped = simulate(scenario)
    assert skipped.to_json() == simulate(scenario, skips_idle_time=False).to_json()
    assert texts(skipped, "problem", "2") == ["slot 1: silent", "slot 1 is believed again"]
