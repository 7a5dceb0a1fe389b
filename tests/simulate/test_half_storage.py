"""Storage that a host can read and not write; a migration whose source falls silent."""

from __future__ import annotations

import pytest

from he_fsm import simulate
from tests.simulate.plays import play, scenario_of, times

KILLED = "the VM is gone: its lease could not be renewed, sanlock killed it"


def test_a_host_that_can_not_write_sees_the_others_and_is_seen_by_nobody() -> None:
    play(
        "{at: 60s, host: 2, storage: no-writes}, {at: 61s, host: 3, set: {gateway: 0}}",
        "{from: 60s, to: 72s, sees: {2: {3: {score: '!= 0'}}}}",
        "{after: 61s, by: 90s, sees: {2: {3: {score: 1400}}}}",
        "{after: 120s, by: 145s, alive: {1: [1, 3]}}",
        "{from: 145s, alive: {1: [1, 3]}, engine: good, engine_on: 1}",
        "{from: 72s, to: 120s, record: {2: {score: 2400}}}",
    )


def test_without_writes_renewals_stop_and_the_vm_is_killed_in_time() -> None:
    outcome = play(
        "{at: 60s, host: 1, storage: no-writes}, {at: 6m, host: 1, storage: restore}",
        # 8 x io_timeout after a renewal between 40 s and 60 s.
        "{from: 60s, to: 119s, running: 1, engine_on: 1, lease: 1}",
        "{by: 140s, engine: down}",
        "{from: 141s, to: 179s, lease: 1, engine: down}",
        "{by: 201s, engine_on: [2, 3], engine: starting}",
        "{by: 405s, alive: {2: [1, 2, 3]}}",
        "{at: 9m, state: {1: EngineDown}}",
        # Nor can its lease be handed over.
        "{total: {starts: 1, refused_starts: 0, migrations: 0}}",
    )
    assert len(times(outcome, KILLED)) == 1


def test_writes_that_are_back_in_time_change_nothing() -> None:
    play(
        "{at: 60s, host: 1, storage: no-writes}, {at: 80s, host: 1, storage: restore}",
        "{from: 0s, engine: good, engine_on: 1, lease: 1, alive: {2: [1, 2, 3]}}",
        "{total: {starts: 0, resets: 0}}",
    )


def test_a_host_that_can_not_write_does_not_start_the_engine() -> None:
    play(
        "{at: 60s, host: 1, storage: no-writes}, {at: 60s, host: 2, storage: no-writes}, "
        "{at: 60s, host: 3, power: off}, {at: 61s, engine: kill}",
        "{from: 61s, engine: down}",
        "{total: {starts: 0}}",
    )


def test_a_host_that_can_not_read_is_one_without_storage() -> None:
    # It looks at the leases before it writes, and its sanlock at its own block before it renews.
    changes = [
        simulate(
            scenario_of(
                f"{{at: 60s, host: 1, storage: {word}}}, {{at: 6m, host: 1, storage: restore}}"
            )
        ).changes
        for word in ("no-reads", "cut")
    ]
    assert changes[0] == changes[1]


@pytest.mark.parametrize(("before", "after"), [("cut", "no-writes"), ("no-writes", "cut")])
def test_one_loss_that_follows_another_leaves_the_time_as_it_was(before: str, after: str) -> None:
    play(
        f"{{at: 60s, host: 1, storage: {before}}}, {{at: 90s, host: 1, storage: {after}}}",
        "{from: 60s, to: 119s, running: 1, engine_on: 1}",
        "{by: 140s, engine: down}",
    )


# A migration whose source loses its power: 5 s of its 15 s have passed.
LOST = (
    "{at: 60s, engine: migrate 2}, {at: 65s, host: 1, power: off}, {at: 66s, host: 3, power: off}"
)
GIVEN_UP = "the source is silent: the VM that was to arrive is given up"


def test_a_target_hears_at_once_of_a_source_that_is_gone_where_nothing_is_said() -> None:
    outcome = simulate(scenario_of(LOST))
    assert times(outcome, GIVEN_UP) == []


def test_a_target_can_wait_for_a_source_that_fell_silent() -> None:
    outcome = simulate(scenario_of(LOST, world="{arrival_timeout: 30s}"))
    assert times(outcome, GIVEN_UP) == [95.0]
    assert outcome.failures == ()


def test_a_source_whose_vm_dies_is_not_silent() -> None:
    timeline = "{at: 60s, engine: migrate 2}, {at: 65s, engine: kill}"
    outcome = simulate(scenario_of(timeline, world="{arrival_timeout: 30s}"))
    assert times(outcome, GIVEN_UP) == []


def test_a_target_that_loses_its_power_waits_for_nothing() -> None:
    timeline = f"{LOST}, {{at: 70s, host: 2, power: reset}}"
    outcome = simulate(scenario_of(timeline, world="{arrival_timeout: 30s, reboot: 10s}"))
    assert times(outcome, GIVEN_UP) == []


def test_a_silent_source_can_be_waited_for_longer_than_its_lease_lasts() -> None:
    # Others than the target start the engine all the same.
    play(
        "{at: 60s, engine: migrate 2}, {at: 65s, host: 1, power: off}",
        "{by: 215s, engine_on: 3, engine: starting}",
        "{from: 215s, engine_on: 3}",
        "{total: {starts: 1}}",
        world="{arrival_timeout: 1y}",
    )


def test_a_silent_source_of_the_last_host_is_given_up_when_its_lease_expires() -> None:
    # With two hosts nobody but the target can start the engine.
    play(
        "{at: 60s, engine: migrate 2}, {at: 65s, host: 1, power: off}",
        "{by: 215s, engine_on: 2, engine: starting}",
        "{by: 6m, engine: good}",
        "{total: {starts: 1}}",
        world="{arrival_timeout: 1y}",
        hosts=2,
    )
