"""A host that is suspended to memory: time that neither its agent nor its sanlock counts."""

from __future__ import annotations

import pytest

from he_fsm import simulate
from he_fsm.simulate.run import Run
from tests.simulate.plays import play, scenario_of, texts, times

LONE = {"hosts": "1"}
SLEEP = "{{at: 60s, host: {host}, power: suspend}}, {{at: {until}, host: {host}, power: resume}}"


def sleep(host: int, until: str) -> str:
    return SLEEP.format(host=host, until=until)


def test_a_short_sleep_changes_nothing_but_the_downtime() -> None:
    outcome = play(
        sleep(1, "75s"),
        "{from: 60s, to: 74s, engine: bad, running: 0, lease: 1}",
        "{from: 75s, engine: good, engine_on: 1, lease: 1}",
        "{total: {starts: 0, resets: 0, downtime: 15s}}",
        "{from: 0s, state: {1: EngineUp, 2: EngineDown}, alive: {2: [1, 2, 3]}}",
        # In its first look it trusts nothing that it knew: of the others it is to be seen again.
        "{to: 74s, alive: {1: [1, 2, 3]}}",
        "{at: 75s, alive: {1: [1]}}",
        "{from: 100s, alive: {1: [1, 2, 3]}}",
    )
    assert [event.details["edge"] for event in outcome.events if event.kind == "state"] == [
        "facts_missing",
        "vm_up",
    ]
    assert times(outcome, "power suspend") == [60.0]
    assert times(outcome, "power resume") == [75.0]


def test_others_take_the_lease_of_a_host_that_sleeps_and_no_watchdog_resets_it() -> None:
    play(
        "{at: 60s, host: 1, power: suspend}",
        "{from: 60s, to: 179s, lease: 1, running: 0}",
        "{after: 125s, by: 145s, alive: {2: [2, 3], 3: [2, 3]}}",
        # 8 x io_timeout + 60 s after a renewal between 40 s and 60 s.
        "{after: 179s, by: 201s, engine_on: [2, 3], lease: [2, 3]}",
        "{at: 9m, engine: good, running: 1}",
        "{total: {starts: 1, resets: 0}}",
    )


@pytest.mark.parametrize("before", ["", "{at: 4m, maintenance: global}, "])
def test_a_vm_whose_lease_was_taken_while_its_host_slept_ends_in_the_first_look(
    before: str,
) -> None:
    outcome = play(
        before + sleep(1, "20m"),
        "{after: 200s, by: 5m, engine_on: [2, 3], engine: good}",
        "{from: 5m, engine_on: [2, 3], engine: good, running: 1}",
        "{total: {poweroffs: 1}, host: 1}",
        "{total: {starts: 1}}",
        until="25m",
    )
    stops = [event for event in outcome.events if event.details.get("edge") == "lease_elsewhere"]
    assert [(event.t, event.host) for event in stops] == [(1200.0, "1")]
    told = [event.t for event in outcome.events if event.kind == "notification"]
    assert 1200.0 in told


@pytest.mark.parametrize("asleep_at", ["1s", "6s", "12s", "40s"])
def test_a_vm_that_was_starting_ends_in_the_first_look_as_well(asleep_at: str) -> None:
    # At 1 s it has its lease and does not execute yet; for 10 s its watch is young.
    outcome = play(
        "{at: 60s, engine: kill}, "
        f"{{since: {{engine: starting}}, at: {asleep_at}, host: 1, power: suspend}}, "
        "{at: 20m, host: 1, power: resume}",
        "{from: 10m, engine_on: [2, 3], engine: good, running: 1}",
        "{total: {poweroffs: 1}, host: 1}",
        until="25m",
    )
    assert 1200.0 in {event.t for event in outcome.events if event.kind == "notification"}


def test_a_vm_that_was_leaving_ends_in_the_first_look_as_well() -> None:
    # Its lease was not handed over: it ran out, and another host took it.
    play(
        "{at: 60s, engine: migrate 2}, {at: 73s, host: 1, power: suspend}, "
        "{at: 20m, host: 1, power: resume}",
        "{from: 10m, engine_on: [2, 3], engine: good, running: 1}",
        "{total: {poweroffs: 1}, host: 1}",
        until="25m",
    )


def test_so_does_one_whose_lease_another_host_had_and_gave_back() -> None:
    # Nobody has the lease when it goes on, and its VM has it no more than then.
    outcome = play(
        f"{sleep(1, '20m')}, {{at: 10m, maintenance: global}}, {{at: 12m, engine: kill}}, "
        "{at: 21m, maintenance: none}",
        "{from: 13m, to: 21m, lease: null, running: 0}",
        "{at: 30m, engine: good, running: 1}",
        "{total: {poweroffs: 1}, host: 1}",
        until="30m",
    )
    stops = [event for event in outcome.events if event.details.get("edge") == "lease_elsewhere"]
    assert [(event.t, event.host) for event in stops] == [(1200.0, "1")]


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_lease_that_is_taken_after_the_sleep_ends_the_vm_in_the_next_look(seed: int) -> None:
    # Its sanlock can't renew, and does not count the sleep: it gives up when others have long
    # taken the lease. Until then this host sees all that there is to be seen.
    outcome = simulate(
        scenario_of(
            "{at: 60s, host: 1, power: suspend}, {at: 70s, host: 1, storage: no-writes}, "
            "{at: 170s, host: 1, power: resume}",
            hosts="2",
        ),
        seed=seed,
    )
    (taken,) = [event.t for event in outcome.events if event.text() == "host 2 holds the lease"]
    edges = {
        (event.details["from"], event.details["edge"]): event.t
        for event in outcome.events
        if event.kind == "state" and event.host == "1"
    }
    assert edges["Unknown", "vm_up"] == 170.0
    assert edges["EngineUp", "lease_elsewhere"] <= taken + 10.0
    assert {failure.expected for failure in outcome.failures} <= {"rule lease", "rule two-engines"}


def test_after_a_long_sleep_its_sanlock_renews_on_and_its_vm_goes_on() -> None:
    # Its first look has to end that VM; where no agent looks, nobody does.
    timeline = f"{{at: 50s, host: 1, agent: kill}}, {sleep(1, '5m')}"
    outcome = simulate(scenario_of(timeline))
    broken = {failure.expected: failure for failure in outcome.failures}
    assert set(broken) == {"rule two-engines", "rule lease"}
    assert {failure.at for failure in outcome.failures} == {300.0}
    assert "executes while its lease is held by host" in broken["rule lease"].seen
    gone = [text for text in texts(outcome, "vm", "1") if "gone" in text]
    assert gone == []


def test_a_host_that_slept_for_long_renews_its_host_id_and_is_believed_again() -> None:
    play(
        sleep(2, "9m"),
        "{from: 145s, to: 539s, alive: {1: [1, 3]}}",
        "{after: 9m, by: 565s, alive: {1: [1, 2, 3], 2: [1, 2, 3]}}",
        "{at: 15m, state: {2: EngineDown}}",
        "{from: 0s, engine: good, engine_on: 1}",
        until="15m",
    )


def test_a_lease_that_nobody_took_is_its_own_again() -> None:
    play(
        sleep(1, "1h"),
        "{from: 60s, to: 179s, lease: 1}",
        "{from: 201s, to: 59m, lease: null}",
        "{from: 1h, engine_on: 1, lease: 1, running: 1}",
        "{total: {starts: 0, resets: 0}}",
        until="70m",
        **LONE,
    )


def test_its_agent_looks_at_once_when_it_goes_on() -> None:
    # Else the flag would be seen up to a loop later.
    play(
        f"{sleep(2, '70s')}, {{at: 65s, host: 2, maintenance: on}}",
        "{from: 70s, state: {2: LocalMaintenance}}",
    )


def test_a_boot_goes_on_where_it_stood_still() -> None:
    play(
        "{at: 60s, engine: kill}, {at: 90s, host: 1, power: suspend}, "
        "{at: 190s, host: 1, power: resume}",
        "{by: 76s, engine: starting}",
        "{from: 90s, to: 189s, engine: bad}",
        # Begun between 60 s and 71 s: 60 s of its own, and 100 s asleep.
        "{from: 190s, to: 219s, engine: starting, engine_on: 1}",
        "{after: 219s, by: 232s, engine: good, engine_on: 1}",
        "{total: {starts: 1, failed_starts: 0}}",
        **LONE,
    )


def test_a_start_that_is_slept_through_goes_on_as_well() -> None:
    play(
        "{at: 60s, engine: kill}, {since: {engine: starting}, at: 1s, host: 1, power: suspend}, "
        "{since: {engine: starting}, at: 31s, host: 1, power: resume}",
        # 5 s until the VM runs, of which one had passed.
        "{since: {engine: starting}, from: 1s, to: 34s, running: 0}",
        "{since: {engine: starting}, from: 35s, to: 89s, running: 1, engine: starting}",
        "{since: {engine: starting}, from: 90s, engine: good}",
        **LONE,
    )


@pytest.mark.parametrize(("sleeper", "moved"), [(1, True), (2, False)])
def test_a_migration_stands_still_with_its_source_and_fails_without_its_target(
    sleeper: int, moved: bool
) -> None:
    # It takes 15 s: of a source that slept for 60 s from its fifth second on, till the 75th.
    outcome = simulate(
        scenario_of(
            "{at: 60s, engine: migrate 2}, "
            f"{{at: 65s, host: {sleeper}, power: suspend}}, "
            f"{{at: 125s, host: {sleeper}, power: resume}}"
        )
    )
    assert times(outcome, "the VM runs on host 2 now") == ([135.0] if moved else [])
    failed = times(outcome, "the migration failed: host 2 does not answer")
    assert failed == ([] if moved else [75.0])


def test_the_target_of_a_migration_does_not_wait_for_a_source_that_sleeps() -> None:
    play(
        "{at: 60s, engine: migrate 2}, {at: 65s, host: 1, power: suspend}, "
        "{at: 20m, host: 1, power: resume}",
        "{after: 197s, by: 5m, engine_on: 2}",
        "{from: 5m, engine: good, engine_on: 2, running: 1}",
        until="25m",
        hosts="2",
    )


def test_a_sleep_that_follows_another_adds_to_it() -> None:
    play(
        "{at: 60s, engine: kill}, {at: 80s, host: 1, power: suspend, every: 20s, times: 3}, "
        "{at: 90s, host: 1, power: resume, every: 20s, times: 3}",
        # 60 s of its own from a start between 60 s and 71 s, and three times 10 s.
        "{from: 130s, to: 149s, engine: starting}",
        "{after: 149s, by: 162s, engine: good}",
        **LONE,
    )


def test_the_time_in_which_sanlock_gives_up_is_not_counted_asleep() -> None:
    play(
        f"{{at: 50s, host: 1, storage: cut}}, {sleep(1, '100s')}",
        # 8 x io_timeout after a renewal between 30 s and 50 s, and 40 s asleep.
        "{from: 100s, to: 149s, engine: good, engine_on: 1}",
        "{after: 149s, by: 171s, engine: down}",
    )


def test_storage_that_goes_and_comes_back_asleep_is_not_noticed() -> None:
    play(
        f"{sleep(1, '160s')}, {{at: 70s, host: 1, storage: cut}}, "
        "{at: 150s, host: 1, storage: restore}",
        "{from: 160s, engine: good, engine_on: 1, lease: 1}",
        "{total: {starts: 0, resets: 0, downtime: 100s}}",
    )


def test_storage_that_was_lost_asleep_is_given_up_after_its_own_time() -> None:
    play(
        f"{sleep(1, '100s')}, {{at: 70s, host: 1, storage: cut}}",
        # 80 s after a renewal between 40 s and 60 s, and 40 s asleep.
        "{from: 100s, to: 159s, engine: good, engine_on: 1}",
        "{after: 159s, by: 181s, engine: down}",
    )


def test_a_watchdog_that_was_counting_does_not_count_asleep() -> None:
    play(
        "{at: 50s, host: 2, sanlock: kill}, {at: 60s, host: 2, power: suspend}, "
        "{at: 10m, host: 2, power: resume}",
        # 130 s after a renewal between 30 s and 50 s, and 540 s asleep.
        "{from: 0s, to: 699s, total: {resets: 0}}",
        "{after: 699s, by: 721s, total: {resets: 1}}",
        until="15m",
    )


def test_the_agents_guard_over_a_sanlock_that_hangs_does_not_count_asleep() -> None:
    hangs = "{at: 50s, host: 1, sanlock: freeze}"
    ended = [
        times(
            simulate(scenario_of(timeline, hosts="[{id: 1, watchdog: false}]")),
            "the VM is gone: its lease was not renewed, the agent killed it",
        )
        for timeline in (hangs, f"{hangs}, {sleep(1, '65s')}")
    ]
    assert ended[1] == [pytest.approx(ended[0][0] + 5.0)]


def test_a_host_id_that_another_host_has_taken_meanwhile_ends_the_vm() -> None:
    outcome = simulate(
        scenario_of(
            f"{{at: 40s, host: 1, agent: kill}}, {sleep(1, '10m')}",
            hosts="[{id: 1}, {id: 1, name: twin, gateway: 0}]",
            until="15m",
        )
    )
    assert times(outcome, "the VM is gone: its host id is another host's, sanlock killed it") == [
        600.1
    ]


def test_a_daemon_that_systemd_was_about_to_start_is_started_after_the_sleep() -> None:
    outcome = play(f"{{at: 59s, host: 2, agent: crash}}, {sleep(2, '100s')}")
    assert times(outcome, "the agent starts") == [101.0]


def test_who_waits_for_a_lease_waits_longer_by_its_sleep() -> None:
    play(
        f"{{at: 59s, host: 1, power: off}}, {sleep(2, '160s')}",
        # 140 s after a renewal between 39 s and 59 s, and 100 s asleep.
        "{from: 59s, to: 278s, engine: down}",
        "{after: 278s, by: 302s, engine_on: 2}",
        "{total: {starts: 1, refused_starts: 0}}",
        hosts="2",
    )


@pytest.mark.parametrize("word", ["thaw", "on", "freeze", "suspend"])
def test_other_words_do_nothing_to_a_host_that_sleeps(word: str) -> None:
    once = sleep(2, "10m")
    again = f"{once}, {{at: 90s, host: 2, power: {word}}}"
    changes = [simulate(scenario_of(timeline)).changes for timeline in (once, again)]
    assert changes[0] == changes[1]


@pytest.mark.parametrize("before", ["", "{at: 50s, host: 2, power: freeze}, "])
def test_resume_and_suspend_mean_nothing_to_a_host_that_runs_or_stands_still(before: str) -> None:
    once = f"{before}{{at: 120s, host: 2, power: thaw}}"
    timelines = (
        once,
        f"{before}{{at: 60s, host: 2, power: resume}}, {{at: 120s, host: 2, power: thaw}}",
    )
    changes = [simulate(scenario_of(timeline)).changes for timeline in timelines]
    assert changes[0] == changes[1]


def test_a_host_that_sleeps_can_lose_its_power() -> None:
    outcome = play(
        "{at: 60s, host: 2, power: suspend}, {at: 2m, host: 2, power: reset}, "
        "{at: 5m, host: 2, power: resume}",
        "{at: 9m, state: {2: EngineDown}, alive: {1: [1, 2, 3]}}",
    )
    assert times(outcome, "the host has booted") == [240.0]


def test_the_boot_clock_counts_the_sleep_and_the_monotonic_one_does_not() -> None:
    run = Run(scenario_of(sleep(2, "100s"), until="5m"), 1)
    clocks = {name: host.clock for name, host in run.world.hosts.items()}
    slept = {name: clock.boottime(0.0) - clock.monotonic(0.0) for name, clock in clocks.items()}
    run.play()
    after = {name: clock.boottime(300.0) - clock.monotonic(300.0) for name, clock in clocks.items()}
    assert {name: after[name] - slept[name] for name in clocks} == pytest.approx(
        {"1": 0.0, "2": 40.0, "3": 0.0}
    )
