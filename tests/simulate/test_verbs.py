"""Every verb of a timeline does what the scenario language says; damage to slots: test_slots."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from he_fsm import simulate, tick
from he_fsm.effects import StartVm
from he_fsm.memory import Memory
from he_fsm.metadata import HostRecord, decode_slot
from he_fsm.step import Step
from tests.simulate.plays import play, scenario_of, texts, times

LONE = {"hosts": "1"}
PAIR = {"hosts": "2"}
# Host 1 would rather not run the engine: a migration away is due 30 s after the next look.
WORSE = "{at: 60s, host: 1, set: {gateway: 0}}"


# set


@pytest.mark.parametrize(
    ("reading", "score"),
    [
        ("gateway: 0", 1400),
        ("gateway: 0.5", 1900),
        ("bridge: off", 1600),
        ("mem_free: 4095", 2000),
        ("cpu_load: 0.9", 2300),
        ("mem_load: 0.9", 2300),
        ("gateway: 0, bridge: 0, mem_free: 0, cpu_load: 1, mem_load: 1", 1),
    ],
)
def test_set_is_what_monitors_read_from_then_on(reading: str, score: int) -> None:
    play(
        f"{{at: 60s, host: 2, set: {{{reading}}}}}, {{at: 5m, host: 2, set: {{mem_free: 9999}}}}",
        "{to: 59s, score: {2: 2400}}",
        f"{{from: 72s, to: 299s, score: {{2: {score}, 3: 2400}}}}",
        # What an entry does not name stays as it is.
        # Penalties leave 1 point, which is no part of the sum.
        f"{{from: 312s, score: {{2: {score // 100 * 100 + 400 * ('mem_free' in reading)}}}}}",
    )


# power


def test_off_takes_vm_agent_and_renewals_at_once_and_on_boots_the_host() -> None:
    outcome = play(
        "{at: 60s, host: 1, power: off}, {at: 6m, host: 1, power: on}",
        "{at: 60s, engine: down, running: 0, engine_on: null}",
        # Its leases run out 140 s after the last renewal, at most 20 s before the fault.
        "{from: 60s, to: 179s, lease: 1, engine: down}",
        "{by: 201s, engine: starting, lease: [2, 3]}",
        "{to: 479s, never: true, from: 61s, state: {1: EngineDown}}",
        "{by: 481s, state: {1: EngineDown}}",
        "{at: 9m, alive: {2: [1, 2, 3]}}",
        "{total: {starts: 1, resets: 0}}",
    )
    assert times(outcome, "the host has booted") == [480.0]


def test_off_and_on_mean_nothing_to_a_host_that_is_so_already() -> None:
    again = ", ".join(
        f"{{at: {at}, host: 1, power: {word}}}"
        for at, word in [("50s", "on"), ("60s", "off"), ("70s", "off"), ("6m", "on"), ("7m", "on")]
    )
    once = "{at: 60s, host: 1, power: off}, {at: 6m, host: 1, power: on}"
    changes = [simulate(scenario_of(timeline)).changes for timeline in (once, again)]
    assert changes[0] == changes[1]


def test_power_that_fails_during_the_boot_ends_it() -> None:
    play(
        "{at: 60s, host: 2, power: reset}, {at: 2m, host: 2, power: off}",
        "{from: 3m, alive: {1: [1, 3]}}",
        "{from: 60s, never: true, state: {2: EngineDown}}",
    )


def test_reset_is_off_and_on() -> None:
    outcome = play(
        "{at: 60s, host: 2, power: reset}",
        "{from: 140s, to: 179s, alive: {1: [1, 3], 3: [1, 3]}}",
        "{by: 205s, alive: {1: [1, 2, 3]}}",
        "{total: {resets: 0}}",
    )
    assert times(outcome, "the host has booted") == [180.0]


def test_a_reset_owner_frees_its_lease_when_it_is_back() -> None:
    play(
        "{at: 60s, host: 1, power: reset}",
        "{from: 60s, to: 109s, lease: 1, engine: down}",
        "{at: 110s, lease: null}",
        "{by: 125s, engine: starting}",
        world="{reboot: 50s}",
    )


def test_a_short_freeze_changes_nothing_but_the_downtime() -> None:
    outcome = play(
        "{at: 60s, host: 1, power: freeze}, {at: 75s, host: 1, power: thaw}",
        "{from: 60s, to: 74s, engine: bad, running: 0, lease: 1}",
        "{from: 75s, engine: good, engine_on: 1, lease: 1}",
        "{total: {starts: 0, resets: 0, downtime: 15s}}",
        "{from: 0s, state: {1: EngineUp, 2: EngineDown}, alive: {1: [1, 2, 3], 2: [1, 2, 3]}}",
    )
    assert texts(outcome, "state") == []


def test_a_watchdog_resets_a_frozen_host_and_then_thaw_does_nothing() -> None:
    with_thaw = play(
        "{at: 60s, host: 1, power: freeze}, {at: 215s, host: 1, power: thaw}",
        "{at: 61s, engine: bad, engine_on: 1}",
        # 8 x io_timeout after the last renewal, and less than the watchdog's minute later.
        "{from: 60s, to: 169s, total: {resets: 0}}",
        "{by: 191s, total: {resets: 1}}",
        "{by: 201s, lease: [2, 3], engine: starting}",
        "{at: 10m, alive: {2: [1, 2, 3]}, state: {1: EngineDown}}",
        "{total: {resets: 1, starts: 1}}",
    )
    without = simulate(scenario_of("{at: 60s, host: 1, power: freeze}"))
    assert with_thaw.changes == without.changes


def test_without_a_watchdog_a_late_thaw_breaks_the_rules() -> None:
    hosts = "[{id: 1, watchdog: false}, {id: 2}, {id: 3}]"
    timeline = "{at: 60s, host: 1, power: freeze}, {at: 400s, host: 1, power: thaw}"
    outcome = simulate(scenario_of(timeline, hosts=hosts))
    broken = {failure.expected: failure for failure in outcome.failures}
    assert set(broken) == {"rule two-engines", "rule lease"}
    assert {failure.at for failure in outcome.failures} == {400.0}
    assert "engine VMs execute on hosts 1, 2" in broken["rule two-engines"].seen
    assert outcome.totals["resets"] == 0
    # Its own lease manager ends it as soon as that wakes up.
    assert times(outcome, "the VM is gone: its lease could not be renewed, sanlock killed it") == [
        400.1
    ]


def test_without_a_watchdog_a_thaw_before_the_leases_run_out_is_harmless() -> None:
    play(
        "{at: 60s, host: 1, power: freeze}, {at: 170s, host: 1, power: thaw}",
        "{at: 169s, lease: 1, engine: bad}",
        # Its lease manager finds that it could not renew in time, kills the VM, and joins anew.
        "{by: 171s, engine: down, lease: 1}",
        "{at: 9m, engine: good, running: 1}",
        "{total: {resets: 0, starts: 1}}",
        hosts="[{id: 1, watchdog: false}, {id: 2}, {id: 3}]",
    )


def test_a_thaw_with_storage_gone_leaves_the_vm_until_its_lease_manager_gives_up() -> None:
    play(
        "{at: 60s, host: 1, power: freeze}, {at: 70s, host: 1, storage: cut}, "
        "{at: 80s, host: 1, power: thaw}",
        "{from: 80s, to: 119s, engine: good, engine_on: 1}",
        "{by: 141s, engine: down}",
        "{by: 201s, engine_on: [2, 3], engine: starting}",
    )


def test_a_boot_that_was_frozen_goes_on_after_the_thaw() -> None:
    play(
        "{at: 60s, engine: kill}, {at: 80s, host: 1, power: freeze}, "
        "{at: 130s, host: 1, power: thaw}",
        "{by: 76s, engine: starting}",
        "{from: 80s, to: 129s, engine: bad}",
        "{at: 131s, engine: good, engine_on: 1}",
        **LONE,
    )


def test_thaw_and_freeze_mean_nothing_to_a_host_that_runs_or_is_off() -> None:
    play(
        "{at: 60s, host: 1, power: thaw}, {at: 70s, host: 2, power: off}, "
        "{at: 80s, host: 2, power: freeze}, {at: 90s, host: 2, power: thaw}",
        "{from: 0s, engine: good, engine_on: 1}",
        "{from: 150s, alive: {1: [1, 3]}}",
    )


def test_a_watchdog_resets_a_host_that_can_not_renew_and_one_without_a_lockspace() -> None:
    play(
        "{at: 60s, host: 2, storage: cut}, {at: 70s, host: 2, power: freeze}, "
        "{at: 60s, host: 3, storage: cut}, {at: 5m, host: 3, power: freeze}",
        "{from: 60s, to: 169s, total: {host: 2, resets: 0}}",
        "{by: 191s, total: {host: 2, resets: 1}}",
        # Its lease manager has given up long ago: only the kernel's own time counts.
        "{from: 0s, to: 349s, total: {host: 3, resets: 0}}",
        "{by: 351s, total: {host: 3, resets: 1}}",
    )


def test_a_host_without_a_lockspace_that_thaws_joins_when_it_can() -> None:
    play(
        "{at: 60s, host: 2, storage: cut}, {at: 150s, host: 2, power: freeze}, "
        "{at: 160s, host: 2, storage: restore}, {at: 170s, host: 2, power: thaw}",
        "{from: 170s, to: 171s, state: {2: Unknown}}",
        "{at: 10m, state: {2: EngineDown}, alive: {1: [1, 2]}}",
        hosts="[{id: 1}, {id: 2, watchdog: false}]",
    )


# agent


@pytest.mark.parametrize("word", ["kill", "freeze"])
def test_the_vm_outlives_an_agent_that_is_killed_or_frozen(word: str) -> None:
    back = {"kill": "start", "freeze": "thaw"}[word]
    outcome = play(
        f"{{at: 60s, host: 1, agent: {word}}}, {{at: 5m, host: 1, agent: {back}}}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1, running: 1}",
        # Silent, but its host renews the engine's lease: nobody starts it.
        "{from: 132s, to: 299s, alive: {2: [2, 3]}, problem: {2: {1: silent}, 3: {1: silent}}}",
        "{from: 132s, to: 299s, record: {1: {stopped: false, age: '>= 61s'}}}",
        "{by: 325s, alive: {2: [1, 2, 3]}, state: {1: EngineUp}}",
        "{from: 330s, problem: {2: {1: null}}}",
        "{total: {starts: 0, refused_starts: 0, migrations: 0, downtime: 0}}",
    )
    # Nothing but `start` starts an agent.
    assert times(outcome, "the agent starts") == ([300.0] if word == "kill" else [])


def test_a_killed_agent_says_nothing_and_its_state_is_unknown() -> None:
    outcome = play("{at: 60s, host: 2, agent: kill}", "{from: 61s, record: {2: {stopped: false}}}")
    assert outcome.to_json()["final"]["hosts"]["2"] == {"state": None, "score": 2400}


def test_a_stopped_agent_says_so_and_gives_the_host_id_back_where_no_vm_is() -> None:
    play(
        "{at: 60s, host: 2, agent: stop}, {at: 5m, host: 2, agent: start}",
        "{from: 60s, to: 299s, record: {2: {stopped: true, score: 0, vm: down}}, score: {2: 0}}",
        # Out at once, without a wait for silence.
        "{from: 72s, to: 299s, alive: {1: [1, 3], 3: [1, 3]}}",
        # A free id is watched for 2 x io_timeout + 1 s before it is taken again.
        "{from: 300s, to: 320s, state: {2: Unknown}, score: {2: 0}}",
        "{by: 322s, state: {2: EngineDown}, score: {2: 2400}, record: {2: {stopped: false}}}",
        "{by: 345s, alive: {1: [1, 2, 3]}}",
        "{from: 0s, engine: good, engine_on: 1}",
    )


def test_a_stopped_agent_keeps_the_host_id_for_its_vm() -> None:
    play(
        "{at: 60s, host: 1, agent: stop}, {at: 5m, host: 1, agent: start}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1}",
        "{from: 60s, to: 299s, record: {1: {stopped: true, score: 0, vm: up}}}",
        "{from: 72s, to: 299s, alive: {2: [2, 3]}, problem: {2: {1: silent}}}",
        "{by: 301s, state: {1: EngineUp}, score: {1: 2400}}",
        "{total: {starts: 0, refused_starts: 0}}",
    )


def test_a_stop_without_storage_can_tell_nobody() -> None:
    play(
        "{at: 60s, host: 2, storage: cut}, {at: 61s, host: 2, agent: stop}",
        "{from: 62s, record: {2: {stopped: false}}, score: {2: 2400}}",
        "{from: 140s, alive: {1: [1, 3]}}",
    )


def test_a_stopped_agents_host_joins_when_its_agent_is_back_and_not_with_the_storage() -> None:
    play(
        "{at: 60s, host: 2, agent: stop}, {at: 70s, host: 2, storage: cut}, "
        "{at: 90s, host: 2, storage: restore}, {at: 5m, host: 2, agent: start}",
        "{from: 90s, to: 320s, alive: {1: [1, 3]}, score: {2: 0}}",
        "{by: 322s, state: {2: EngineDown}}",
    )


def test_power_that_fails_on_a_host_whose_agent_is_gone() -> None:
    play(
        "{at: 60s, host: 1, agent: kill}, {at: 2m, host: 1, power: off}",
        "{from: 60s, to: 119s, engine: good}",
        "{by: 261s, engine: starting, engine_on: [2, 3]}",
    )


def test_words_about_an_agent_that_is_so_already_do_nothing() -> None:
    outcome = play(
        "{at: 60s, host: 2, agent: start}, {at: 61s, host: 2, agent: thaw}, "
        "{at: 70s, host: 2, agent: kill}, {at: 71s, host: 2, agent: kill}, "
        "{at: 72s, host: 2, agent: stop}, {at: 73s, host: 2, agent: freeze}, "
        "{at: 80s, host: 3, power: off}, {at: 81s, host: 3, agent: start}",
        "{from: 160s, alive: {1: [1]}, record: {2: {stopped: false}}}",
    )
    assert texts(outcome, "agent") == []


# storage


@pytest.mark.parametrize("word", ["cut", "hang"])
def test_without_storage_renewals_stop_and_the_vm_is_killed_in_time(word: str) -> None:
    outcome = play(
        f"{{at: 60s, host: 1, storage: {word}}}, {{at: 6m, host: 1, storage: restore}}",
        "{by: 72s, state: {1: Unknown}}",
        "{from: 60s, to: 119s, engine: good, engine_on: 1}",
        "{by: 140s, engine: down}",
        "{from: 60s, to: 179s, lease: 1}",
        "{by: 201s, engine_on: [2, 3], lease: [2, 3]}",
        # The last thing that anybody reads of it is from before.
        "{from: 72s, to: 359s, record: {1: {vm: up, age: '>= 1s'}}}",
        "{by: 382s, state: {1: EngineDown}}",
        "{by: 405s, alive: {2: [1, 2, 3]}}",
        "{total: {starts: 1, poweroffs: 0, shutdowns: 0}}",
    )
    assert "sanlock killed it" in " ".join(texts(outcome, "vm", "1"))


def test_storage_that_is_back_in_time_changes_nothing() -> None:
    play(
        "{at: 60s, host: 1, storage: cut}, {at: 100s, host: 1, storage: restore}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1, problem: {2: {1: null}}}",
        "{at: 99s, state: {1: Unknown}}",
        "{by: 101s, state: {1: EngineUp}}",
    )


def test_slow_storage_delays_what_others_see() -> None:
    play(
        "{at: 60s, host: 2, storage: slow 15s}, {at: 100s, host: 2, set: {gateway: 0}}, "
        "{at: 5m, host: 2, storage: restore}",
        "{since: {score: {2: 1400}}, from: 0s, to: 14s, sees: {1: {2: {score: 2400}}}}",
        "{since: {score: {2: 1400}}, by: 27s, sees: {1: {2: {score: 1400}}}}",
        "{from: 0s, alive: {1: [1, 2, 3]}, problem: {1: {2: null}}}",
        "{from: 110s, to: 299s, never: true, sees: {1: {2: {age: '> 26s'}}}}",
        # Leases are renewed all the same.
        "{from: 0s, engine: good, lease: 1}",
    )


def test_storage_that_returns_slow_renews_again() -> None:
    play(
        "{at: 60s, host: 2, storage: cut}, {at: 70s, host: 2, storage: slow 1s}, "
        "{at: 80s, host: 2, storage: restore}, {at: 90s, host: 2, storage: restore}",
        "{at: 69s, problem: {2: {2: null}}}",
        "{from: 95s, state: {2: EngineDown}, alive: {1: [1, 2, 3]}}",
    )


def test_what_a_vm_left_behind_without_storage_is_given_back_when_that_returns() -> None:
    play(
        "{at: 60s, host: 1, storage: cut}, {at: 70s, engine: kill}, "
        "{at: 71s, host: 1, set: {gateway: 0}}, {at: 110s, host: 1, storage: restore}",
        "{from: 70s, to: 109s, lease: 1, engine: down}",
        "{by: 135s, engine_on: [2, 3], engine: starting}",
    )


def test_storage_that_comes_and_goes_lets_nobody_join() -> None:
    play(
        "{at: 60s, host: 2, storage: cut}, {at: 4m, host: 2, storage: restore}, "
        "{at: 250s, host: 2, storage: cut}, {at: 6m, host: 2, storage: restore}",
        # A free id is watched for 21 s first.
        "{from: 200s, to: 380s, state: {2: Unknown}}",
        "{by: 382s, state: {2: EngineDown}}",
    )


def test_a_host_that_boots_without_storage_joins_when_that_returns() -> None:
    play(
        "{at: 60s, host: 2, power: reset}, {at: 70s, host: 2, storage: cut}, "
        "{at: 5m, host: 2, storage: restore}",
        "{from: 180s, to: 320s, state: {2: Unknown}, alive: {1: [1, 3]}}",
        "{by: 322s, state: {2: EngineDown}}",
        "{at: 6m, alive: {1: [1, 2, 3]}}",
    )


# hypervisor


def test_a_lost_hypervisor_takes_no_orders_but_the_vm_goes_on() -> None:
    play(
        "{at: 60s, host: 1, hypervisor: lost}, {at: 5m, host: 1, hypervisor: back}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1}",
        "{from: 60s, to: 299s, state: {1: Unknown}, score: {1: 0}}",
        "{from: 300s, state: {1: EngineUp}, score: {1: 2400}}",
        "{total: {starts: 0, migrations: 0, downtime: 0}}",
    )


def test_a_host_without_its_hypervisor_receives_no_migration() -> None:
    play(
        "{at: 55s, host: 2, hypervisor: lost}, {at: 60s, engine: migrate 2}",
        "{from: 0s, engine_on: 1}",
        "{total: {migrations: 0, failed_migrations: 1}}",
    )


def test_orders_to_a_hypervisor_that_does_not_answer_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decide = tick.decide

    def reckless(memory: Memory, facts: tick.Facts, *others: Any) -> Step:
        return decide(memory, facts, *others)._replace(effects=(StartVm(),))

    monkeypatch.setattr(tick, "decide", reckless)
    outcome = simulate(
        scenario_of("{at: 0s, hosts: all, hypervisor: lost}", engine="{running_on: null}")
    )
    assert (outcome.totals["starts"], outcome.totals["refused_starts"]) == (0, 0)


# starts, boots


def test_starts_that_fail_hold_the_lease_for_vm_start_each() -> None:
    outcome = play(
        "{at: 0s, host: 1, starts: fail 1}, {at: 60s, engine: kill}",
        "{from: 60s, to: 64s, engine: starting, running: 0, lease: 1, score: {1: '>= 2300'}}",
        "{at: 66s, engine: starting, total: {failed_starts: 1}}",
        "{at: 126s, engine: good}",
        "{total: {starts: 2, failed_starts: 1}}",
        **LONE,
    )
    assert times(outcome, "the VM is gone: the VM did not come up") == [65.0]


def test_starts_fail_until_they_are_ok() -> None:
    play(
        "{at: 0s, host: 1, starts: fail}, {at: 60s, engine: kill}, {at: 5m, host: 1, starts: ok}",
        "{at: 76s, state: {1: ScoreBlocked}, score: {1: 0}, lease: null, engine: down}",
        # The death and two failed starts, the last of them at 70 s.
        "{from: 76s, to: 669s, state: {1: ScoreBlocked}}",
        "{by: 735s, engine: good}",
        "{total: {starts: 3, failed_starts: 2}}",
        **LONE,
        until="20m",
    )


def test_another_host_is_not_touched_by_starts_that_fail_here() -> None:
    play(
        "{at: 0s, host: 1, starts: fail}, {at: 60s, engine: kill}",
        "{by: 3m, engine: good, engine_on: [2, 3]}",
        "{total: {host: 1, failed_starts: 1}}",
        "{total: {host: 2, failed_starts: 0}}",
    )


def test_a_vm_that_never_boots_is_shut_down_after_the_start_timeout() -> None:
    play(
        "{at: 0s, host: 1, boots: never}, {at: 60s, engine: kill}, {at: 700s, host: 1, boots: ok}",
        "{from: 60s, to: 659s, engine: starting, engine_on: 1}",
        "{from: 65s, to: 659s, running: 1}",
        "{from: 660s, to: 679s, engine: stopping}",
        "{total: {starts: '>= 2', failed_starts: '>= 1', shutdowns: '>= 1'}}",
        **LONE,
        until="12m",
    )


def test_a_vm_dies_so_long_after_its_start() -> None:
    outcome = play(
        "{at: 0s, host: 1, boots: die 20s}, {at: 60s, engine: kill}, {at: 70s, host: 1, boots: ok}",
        "{from: 65s, to: 84s, engine: starting, running: 1}",
        "{at: 146s, engine: good}",
        "{total: {starts: 2, failed_starts: 1}}",
        **LONE,
    )
    assert times(outcome, "the VM is gone: the VM died") == [85.0]
    assert "a started VM dies here after 20 s" in texts(outcome, "fault")


def test_a_vm_that_was_good_may_die_as_well() -> None:
    play(
        "{at: 0s, host: 1, boots: die 90s}, {at: 60s, engine: kill}, {at: 70s, host: 1, boots: ok}",
        "{from: 120s, to: 154s, engine: good}",
        "{at: 155s, engine: starting}",
        "{total: {starts: 2, failed_starts: 0}}",
        **LONE,
    )


def test_a_start_that_fails_while_nobody_watches_gives_the_lease_back() -> None:
    play(
        "{at: 0s, host: 1, starts: fail}, {at: 60s, engine: kill}, {at: 62s, host: 1, agent: kill}",
        "{from: 60s, to: 64s, lease: 1, engine: starting}",
        "{at: 65s, lease: null, engine: down}",
        **LONE,
        until="2m",
    )


def test_a_guest_that_is_shut_down_while_it_boots_never_becomes_healthy() -> None:
    play(
        "{at: 60s, engine: kill}, {at: 110s, engine: shutdown}",
        "{from: 110s, to: 129s, engine: stopping}",
        "{from: 60s, to: 140s, total: {downtime: 80s}}",
        **LONE,
    )


# migrations


def test_migrations_fail_when_their_time_has_passed() -> None:
    play(
        "{at: 0s, host: 1, migrations: fail 1}, " + WORSE,
        "{since: {engine: migrating}, from: 0s, to: 14s, engine: migrating, engine_on: 1}",
        "{since: {engine: migrating}, at: 15s, engine: good, total: {failed_migrations: 1}}",
        "{since: {engine: migrating}, from: 15s, to: 74s, engine: good, engine_on: 1}",
        "{since: {engine: migrating}, by: 91s, engine_on: 2, lease: 2}",
        "{from: 0s, running: 1}",
        "{total: {failed_migrations: 1, migrations: 1, downtime: 0, starts: 0}}",
        "{total: {host: 1, migrations: 1}}",
        **PAIR,
    )


def test_migrations_fail_until_they_are_ok() -> None:
    play(
        "{at: 0s, host: 1, migrations: fail}, {at: 10m, host: 1, migrations: ok}, " + WORSE,
        "{from: 0s, to: 10m, engine_on: 1}",
        "{total: {from: 0s, to: 10m, failed_migrations: 4}}",
        "{at: 29m, engine_on: 2}",
        **PAIR,
        until="30m",
    )


def test_a_migration_that_hangs_is_cancelled_after_its_timeout() -> None:
    play(
        "{at: 0s, host: 1, migrations: hang}, " + WORSE,
        "{since: {engine: migrating}, from: 0s, to: 299s, engine: migrating, engine_on: 1}",
        "{since: {engine: migrating}, at: 301s, engine: good, engine_on: 1}",
        "{total: {failed_migrations: 1, migrations: 0, downtime: 0}}",
        **PAIR,
        until="7m",
    )


def test_a_target_that_dies_fails_the_migration() -> None:
    play(
        WORSE + ", {since: {engine: migrating}, at: 5s, host: 2, power: off}",
        "{from: 0s, engine_on: 1, running: 1}",
        "{total: {failed_migrations: 1, migrations: 0}}",
        **PAIR,
    )


def test_a_source_that_dies_takes_the_vm_and_its_migration_along() -> None:
    play(
        WORSE + ", {since: {engine: migrating}, at: 5s, host: 1, power: off}",
        "{since: {engine: migrating}, from: 5s, to: 100s, engine: down, engine_on: null}",
        "{at: 9m, engine_on: 2, engine: good}",
        "{total: {failed_migrations: 0, migrations: 0, starts: 1}}",
        **PAIR,
    )


def test_a_host_that_can_not_reach_the_lease_takes_part_in_no_migration() -> None:
    play(
        "{at: 55s, host: 2, storage: cut}, {at: 60s, engine: migrate 2}",
        "{from: 0s, engine_on: 1}",
        "{total: {failed_migrations: 1}}",
        **PAIR,
        until="3m",
    )


@pytest.mark.parametrize("mode", ["ok", "fail"])
def test_a_migration_ends_without_the_agents_too(mode: str) -> None:
    place = {"ok": 2, "fail": 1}[mode]
    play(
        f"{{at: 0s, host: 1, migrations: {mode}}}, {{at: 60s, engine: migrate 2}}, "
        "{at: 61s, hosts: all, agent: kill}",
        "{from: 60s, to: 74s, engine: migrating, engine_on: 1}",
        f"{{from: 75s, engine: good, engine_on: {place}, lease: {place}}}",
        **PAIR,
    )


# failed_starts, version


def test_failed_starts_count_from_now() -> None:
    play(
        "{at: 60s, host: 1, failed_starts: 2}, {at: 70s, host: 2, failed_starts: 3}",
        "{from: 60s, score: {1: 2300}}",
        "{from: 70s, to: 669s, score: {2: 0}, state: {2: ScoreBlocked}}",
        "{from: 672s, score: {2: 2250}, state: {2: EngineDown}}",
        "{total: {failed_starts: 0}}",
        until="15m",
    )


def test_failed_starts_of_an_agent_that_is_gone_are_what_the_next_one_finds() -> None:
    play(
        "{at: 60s, host: 2, agent: kill}, {at: 70s, host: 2, failed_starts: 3}, "
        "{at: 80s, host: 2, agent: start}, {at: 60s, host: 3, power: off}, "
        "{at: 70s, host: 3, failed_starts: 3}, {at: 80s, host: 3, power: on}",
        "{from: 81s, to: 669s, score: {2: 0}, state: {2: ScoreBlocked}}",
        # A block runs on while the host is off.
        "{from: 201s, to: 669s, score: {3: 0}, state: {3: ScoreBlocked}}",
        "{at: 690s, score: {2-3: 2250}, state: {2-3: EngineDown}}",
        until="15m",
    )


def test_failed_starts_before_time_0_are_found_by_an_agent_that_starts_later() -> None:
    play(
        "{at: 60s, host: 2, agent: start}, {at: 60s, host: 3, power: on}",
        "{from: 82s, to: 539s, score: {2: 0}, state: {2: ScoreBlocked}}",
        "{from: 181s, score: {3: 2300}}",
        hosts="[{id: 1}, {id: 2, agent: stopped, failed_starts: {count: 3, last: -1m}},"
        " {id: 3, powered: false, failed_starts: {count: 2, last: -1m}}]",
    )


def test_a_newer_release_takes_over() -> None:
    outcome = play(
        "{at: 60s, host: 2, version: 2}",
        "{by: 72s, problem: {1: {2: too-new}, 3: {2: too-new}}}",
        # The new release reads the old ones' records.
        "{from: 65s, problem: {2: {1: null, 3: null}}}",
        "{at: 9m, record: {1: {stopped: true}, 3: {stopped: true}}, alive: {2: [2]}}",
        "{at: 9m, engine: good, engine_on: 2}",
        "{total: {shutdowns: 1, starts: 1}}",
    )
    assert outcome.versions == 2
    block = next(view.block for view in outcome.end if view.host_id == 2)
    assert block.startswith(b"2|2|")
    assert isinstance(decode_slot(2, block, version=2), HostRecord)


def test_a_version_for_a_host_that_is_off_is_there_after_the_boot() -> None:
    outcome = play(
        "{at: 60s, host: 2, power: off}, {at: 70s, host: 2, version: 2}, "
        "{at: 80s, host: 2, power: on}",
        "{to: 200s, from: 60s, problem: {1: {2: null}}}",
        "{by: 215s, problem: {1: {2: too-new}}}",
        until="4m",
    )
    assert times(outcome, "the agent starts") == [200.0]


# maintenance


def test_local_maintenance_moves_the_engine_and_takes_the_host_out() -> None:
    play(
        "{at: 60s, host: 1, maintenance: on}, {at: 5m, host: 1, maintenance: off}",
        "{from: 60s, to: 299s, score: {1: 0}, record: {1: {maintenance: true}}}",
        "{by: 76s, engine_on: [2, 3], state: {1: LocalMaintenance}}",
        "{from: 300s, state: {1: EngineDown}, score: {1: 2400}, record: {1: {maintenance: false}}}",
        "{total: {migrations: 1, downtime: 0}}",
    )


def test_in_global_maintenance_nobody_does_anything() -> None:
    play(
        "{at: 60s, maintenance: global}, {at: 80s, engine: kill}, {at: 5m, maintenance: none}",
        "{from: 72s, to: 299s, state: {1: GlobalMaintenance, 2: GlobalMaintenance}}",
        "{from: 80s, to: 299s, engine: down, lease: null}",
        # Records are still written.
        "{from: 72s, to: 299s, alive: {1: [1, 2, 3]}, score: {1: 2400}}",
        "{by: 330s, engine: starting}",
        "{total: {to: 299s, starts: 0}}",
    )


# clock


def test_a_wall_clock_that_jumps_changes_what_people_read_alone() -> None:
    jumped = play(
        "{at: 60s, host: 2, clock: +1h}, {at: 70s, host: 3, clock: -1h}",
        "{from: 0s, alive: {1: [1, 2, 3]}, problem: {1: {2: null, 3: null}}}",
        "{from: 0s, engine: good}",
        until="2m",
    )
    walls = {view.name: _wall_clock(view.block) for view in jumped.end}
    assert round((walls["2"] - walls["1"]).total_seconds() / 3600, 1) == 1.0
    assert round((walls["3"] - walls["1"]).total_seconds() / 3600, 1) == -1.0


def _wall_clock(block: bytes) -> datetime:
    """Return the date beside the timestamp in what a host wrote for people."""
    written = re.search(r"^timestamp=\d+ \((.*)\)$", block[512:].decode(), re.MULTILINE)
    assert written is not None
    return datetime.strptime(written[1], "%a %b %d %H:%M:%S %Y")  # noqa: DTZ007 - differences


def test_only_the_rate_touches_the_monotonic_clock() -> None:
    scenario = scenario_of(
        "{at: 0s, host: 1, clock: rate 2}, {at: 0s, host: 2, clock: rate 0.5}, "
        "{at: 0s, host: 3, clock: +1h}"
    )
    looks: dict[str, list[float]] = {}
    simulate(scenario, trace=lambda look: looks.setdefault(str(look["host"]), []).append(look["t"]))
    # Loops of 10 to 11 s on the host's own clock, in 10 minutes.
    assert 109 <= len(looks["1"]) <= 122
    assert 27 <= len(looks["2"]) <= 31
    assert 54 <= len(looks["3"]) <= 61


def test_clocks_that_run_apart_give_nobody_up() -> None:
    play(
        "{at: 30s, host: 1, clock: rate 1.01}, {at: 30s, host: 2, clock: rate 0.99}",
        "{from: 0s, engine: good, engine_on: 1, alive: {1: [1, 2, 3], 2: [1, 2, 3]}}",
        until="2h",
    )


# engine


def test_a_killed_vm_gives_its_lease_back_and_is_started_again() -> None:
    play(
        "{at: 60s, engine: kill}, {at: 0s, hosts: all, starts: fail}",
        "{at: 60s, engine: starting, engine_on: 1}",
        "{total: {starts: '>= 1', shutdowns: 0, poweroffs: 0}}",
        until="2m",
    )
    play(
        "{at: 30s, maintenance: global}, {at: 60s, engine: kill}",
        "{from: 60s, engine: down, engine_on: null, lease: null, running: 0}",
    )


def test_a_guest_that_shuts_itself_down_takes_its_time() -> None:
    play(
        "{at: 60s, engine: shutdown}",
        "{from: 60s, to: 79s, engine: stopping, running: 1, engine_on: 1}",
        "{at: 81s, engine: starting}",
        # Nobody ordered it.
        "{total: {shutdowns: 0, poweroffs: 0, starts: 1}}",
    )


def test_a_hung_engine_is_bad_until_it_heals() -> None:
    play(
        "{at: 60s, engine: hang}, {at: 100s, engine: heal}",
        "{from: 60s, to: 99s, engine: bad, running: 1, engine_on: 1}",
        "{from: 100s, engine: good}",
        "{total: {downtime: 40s, starts: 0}}",
    )


def test_a_hung_engine_is_good_again_after_a_new_start() -> None:
    play(
        "{at: 60s, engine: hang}",
        "{from: 60s, to: 360s, engine: bad}",
        "{by: 460s, engine: good}",
        "{total: {shutdowns: 1, starts: 1, failed_starts: 1}}",
    )


def test_an_engine_that_hangs_while_it_boots_was_never_good() -> None:
    outcome = play(
        "{at: 60s, engine: kill}, {at: 80s, engine: hang}, {at: 200s, engine: heal}",
        "{from: 60s, to: 199s, engine: starting}",
        "{from: 200s, engine: good}",
        **LONE,
    )
    assert times(outcome, "the engine's health page is good") == [200.0]


def test_a_paused_vm_runs_again_or_is_powered_off() -> None:
    play(
        "{at: 60s, engine: pause}, {at: 100s, engine: resume}",
        "{from: 60s, to: 99s, engine: bad, running: 0, engine_on: 1, lease: 1}",
        "{from: 100s, engine: good, running: 1}",
        "{total: {poweroffs: 0, starts: 0, downtime: 40s}}",
    )
    play(
        "{at: 60s, engine: pause}",
        "{from: 60s, to: 119s, engine: bad, running: 0}",
        "{at: 121s, engine: starting}",
        "{total: {poweroffs: 1, starts: 1, failed_starts: 0}}",
    )


def test_a_guest_stands_still_while_it_is_paused() -> None:
    booting = play(
        "{at: 60s, engine: kill}, {at: 110s, engine: pause}, {at: 140s, engine: resume}",
        "{from: 110s, to: 139s, engine: bad, running: 0}",
        "{from: 140s, engine: good}",
        **LONE,
    )
    assert times(booting, "the engine's health page is good") == [140.0]
    stopping = play(
        "{at: 60s, engine: shutdown}, {at: 70s, engine: pause}, {at: 90s, engine: resume}",
        "{from: 70s, to: 89s, running: 0, engine_on: 1}",
        "{at: 91s, engine: starting}",
        **LONE,
    )
    assert times(stopping, "the VM is gone: the guest has shut down") == [90.0]


def test_a_paused_guest_can_not_shut_down() -> None:
    play(
        "{at: 60s, engine: pause}, {at: 61s, engine: shutdown}, {at: 100s, engine: resume}",
        "{from: 60s, to: 99s, engine: bad, running: 0}",
        "{from: 100s, engine: good}",
        **LONE,
    )


def test_somebody_outside_migrates_the_engine() -> None:
    outcome = play(
        "{at: 60s, engine: migrate 3}",
        "{from: 60s, to: 74s, engine: migrating, engine_on: 1, running: 1}",
        "{from: 75s, engine: good, engine_on: 3, lease: 3, running: 1}",
        "{total: {migrations: 1, starts: 0, downtime: 0}}",
        "{total: {host: 1, migrations: 1}}",
    )
    assert "live migration to host 3 begins by somebody outside" in texts(outcome, "migration", "1")


def test_a_migration_to_where_the_vm_is_fails() -> None:
    play(
        "{at: 60s, engine: migrate 1}",
        "{from: 0s, engine_on: 1}",
        "{total: {failed_migrations: 1, migrations: 0}}",
    )


def test_an_engine_that_boots_moves_and_boots_on() -> None:
    play(
        "{at: 60s, engine: kill}, {at: 70s, engine: migrate 2}",
        "{at: 84s, engine: migrating, engine_on: 1}",
        "{from: 85s, to: 119s, engine: starting, engine_on: 2}",
        "{from: 121s, engine: good, engine_on: 2}",
        **PAIR,
    )


def test_words_about_an_engine_that_is_not_there_do_nothing() -> None:
    words = ["kill", "panic", "shutdown", "hang", "heal", "pause", "resume", "migrate 2"]
    timeline = ", ".join(f"{{at: 60s, engine: {word}}}" for word in words)
    outcome = play(
        timeline,
        "{from: 0s, engine: down}",
        engine="{running_on: null}",
        maintenance="global",
    )
    assert texts(outcome, "vm") == []
    assert len(texts(outcome, "fault")) == len(words)


def test_words_about_a_vm_that_is_so_already_or_not_yet_do_nothing() -> None:
    play(
        # Its process only begins: there is nothing to pause or to migrate.
        "{at: 60s, engine: kill}, {at: 61s, engine: pause}, {at: 62s, engine: migrate 2}, "
        "{at: 200s, engine: resume}, {at: 201s, engine: shutdown}, {at: 202s, engine: shutdown}",
        "{from: 125s, to: 200s, engine: good}",
        "{from: 201s, to: 220s, engine: stopping}",
        "{total: {migrations: 0, failed_migrations: 0}}",
        **PAIR,
    )


# when


def test_an_entry_repeats_every_so_often() -> None:
    outcome = play("{at: 60s, every: 2m, times: 3, engine: hang}", until="9m")
    assert times(outcome, "engine: hang") == [60.0, 180.0, 300.0]
    endless = play("{at: 60s, every: 2m, engine: hang}", until="9m")
    assert times(endless, "engine: hang") == [60.0, 180.0, 300.0, 420.0, 540.0]


def test_an_entry_counts_from_since() -> None:
    outcome = play(
        "{at: 60s, engine: kill}, "
        "{since: {engine: good, total: {starts: 1}}, at: 30s, host: 3, set: {gateway: 0}}, "
        "{since: {engine_on: 3}, at: 1s, host: 1, power: off}",
    )
    good = times(outcome, "the engine's health page is good")
    assert times(outcome, "monitors read gateway 0") == [good[0] + 30]
    # What never comes true does nothing.
    assert times(outcome, "power off") == []


def test_an_entry_about_several_hosts_acts_on_each() -> None:
    play(
        "{at: 60s, hosts: [2, 3], set: {gateway: 0}}, {at: 5m, hosts: all, set: {bridge: 0}}",
        "{from: 72s, to: 299s, score: {1: 2400, 2-3: 1400}}",
        "{from: 312s, score: {1: 1600, 2-3: 600}}",
    )


def test_entries_of_one_moment_act_in_the_files_order_before_any_agent() -> None:
    outcome = play(
        "{at: 60s, host: 2, power: off}, {at: 60s, host: 2, power: on}, "
        "{at: 60s, host: 2, power: off}",
        "{from: 125s, alive: {1: [1, 3]}}",
    )
    assert times(outcome, "the host has booted") == []
