"""Policies: the numbers of the talk and of oVirt, and the sets that are refused."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given

from he_fsm import OVIRT, POLICIES, TALK, Policy, PolicyError
from he_fsm.policy import safety_rules
from he_fsm.testing.strategies import policies
from he_fsm.unsafe import has_words


def test_the_two_named_policies_are_there() -> None:
    assert {"talk": TALK, "ovirt": OVIRT} == POLICIES
    assert Policy() == TALK


def test_policy_talk_is_what_the_talk_says() -> None:
    weights = (
        TALK.gateway_weight,
        TALK.bridge_weight,
        TALK.memory_weight,
        TALK.cpu_load_weight,
        TALK.mem_load_weight,
    )
    assert weights == (1000, 800, 400, 100, 100)
    assert TALK.score_max == 2400
    assert (TALK.failed_start_penalty, TALK.failed_starts_max) == (50, 3)
    assert TALK.block_s == 600
    assert TALK.dead_after_s == 60
    assert (TALK.bad_health_s, TALK.start_timeout_s, TALK.stop_timeout_s) == (300, 600, 300)
    assert TALK.migration_threshold == 800
    assert not TALK.move_by_restart
    assert TALK.live_migration


def test_the_rest_of_policy_talk_is_what_the_design_says() -> None:
    assert (TALK.cpu_load_low, TALK.cpu_load_high, TALK.mem_load_limit) == (0.8, 0.8, 0.8)
    assert TALK.reading_age_max_s == 60
    assert (TALK.stagger_s, TALK.stagger_total_s, TALK.refused_retry_s) == (2, 20, 10)
    assert (TALK.paused_limit_s, TALK.power_off_retry_s) == (60, 30)
    assert (TALK.migration_hold_s, TALK.migration_timeout_s) == (30, 300)
    assert (TALK.migration_backoff_s, TALK.migration_backoff_max_s) == (60, 3600)
    assert (TALK.loop_s, TALK.io_timeout_s, TALK.watchdog_s, TALK.kill_grace_s) == (10, 10, 60, 40)
    assert not TALK.empty_global_is_none
    assert (TALK.block_max_s, TALK.endings_forget_s, TALK.start_timeout_max_s) == (7200, 3600, 7200)
    assert (TALK.drain_retry_s, TALK.slot_0_writers, TALK.score_floor) == (60, 4, 1)
    assert (TALK.alarm_repeat_s, TALK.alarm_repeat_max_s) == (600, 86400)
    assert (TALK.lease_claim_s, TALK.lease_settle_s, TALK.gap_s) == (10, 10, 20)


@pytest.mark.parametrize(
    ("endings", "blocked_s"),
    [(0, 0), (2, 0), (3, 600), (4, 1200), (6, 4800), (7, 7200), (9, 7200)],
)
def test_from_the_third_ending_on_each_blocks_for_twice_as_long(
    endings: int, blocked_s: float
) -> None:
    assert TALK.blocked_s(endings) == blocked_s


@pytest.mark.parametrize(
    ("time_outs", "limit_s"), [(0, 600), (1, 1200), (3, 4800), (4, 7200), (10**6, 7200)]
)
def test_each_start_that_took_too_long_doubles_the_next_ones_limit(
    time_outs: int, limit_s: float
) -> None:
    assert TALK.start_limit_s(time_outs) == limit_s


def test_policy_ovirt_differs_in_its_numbers_and_in_two_habits() -> None:
    talk, ovirt = attrs.asdict(TALK), attrs.asdict(OVIRT)
    assert {name: value for name, value in ovirt.items() if talk[name] != value} == {
        "name": "ovirt",
        "base_score": 3400,
        "gateway_weight": 1600,
        "bridge_weight": 600,
        "cpu_load_weight": 1000,
        "mem_load_weight": 0,
        "config_weight": 1000,
        "cpu_load_low": 0.4,
        "cpu_load_high": 0.9,
        "failed_starts_max": 4,
        "score_floor": 0,
        "move_by_restart": True,
        "empty_global_is_none": True,
    }
    assert OVIRT.memory_weight == 400


def test_the_highest_score_is_the_sum_of_the_weights_or_what_is_said() -> None:
    assert attrs.evolve(TALK, config_weight=50).score_max == 2450
    assert attrs.evolve(TALK, base_score=3400).score_max == 3400
    assert OVIRT.score_max == 3400


def test_the_leases_times_are_sanlocks() -> None:
    assert (TALK.lease_kill_s, TALK.lease_expiry_s) == (80, 140)
    fast = attrs.evolve(TALK, io_timeout_s=2.0, watchdog_s=10.0, kill_grace_s=0.0)
    assert (fast.lease_kill_s, fast.lease_expiry_s) == (16, 26)


def test_looking_around_takes_loops() -> None:
    assert TALK.settle_s == 20
    assert attrs.evolve(TALK, settle_loops=3.5, loop_s=4.0).settle_s == 14


MAY_BE_0 = {
    *("gateway_weight", "bridge_weight", "memory_weight", "cpu_load_weight", "mem_load_weight"),
    *("config_weight", "cpu_load_low", "cpu_load_high", "mem_load_limit", "failed_start_penalty"),
    *("settle_loops", "stagger_s", "stagger_total_s", "migration_hold_s", "kill_grace_s"),
    "sigterm_watchdog_s",
    *("lease_claim_s", "score_floor"),
}
NUMBERS = [
    field.name
    for field in attrs.fields(Policy)
    if field.name not in {"name", "base_score", "empty_global_is_none"}
    and field.name not in {"move_by_restart", "live_migration", "on_shutdown"}
]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [-1, -0.001, float("nan")])
def test_a_number_below_0_is_refused_with_its_name(name: str, value: float) -> None:
    change: dict[str, Any] = {name: value}
    with pytest.raises(PolicyError, match=name) as caught:
        attrs.evolve(TALK, **change)
    assert caught.value.rule == name
    assert caught.value.excess_s == 0.0


@pytest.mark.parametrize("name", NUMBERS)
def test_0_is_refused_where_it_means_never_or_always(name: str) -> None:
    change: dict[str, Any] = {name: 0}
    if name in MAY_BE_0:
        assert getattr(attrs.evolve(TALK, **change), name) == 0
    else:
        with pytest.raises(PolicyError, match=f"{name} must be above 0, got 0"):
            attrs.evolve(TALK, **change)


# Each inequality: what breaks it by how much, and what just keeps it.
@pytest.mark.parametrize(
    ("rule", "refused", "excess_s", "accepted"),
    [
        ("kill-before-takeover", {"kill_grace_s": 60.0}, 0.0, {"kill_grace_s": 59.875}),
        ("kill-before-takeover", {"watchdog_s": 10.0}, 30.0, {"watchdog_s": 40.125}),
        ("silent-hosts-are-dead", {"watchdog_unsaid_s": 40.0}, 0.0, {"watchdog_unsaid_s": 40.125}),
        ("two-loops-before-dead", {"dead_after_s": 20.0}, 0.0, {"dead_after_s": 20.125}),
        ("two-loops-before-dead", {"loop_s": 32.0}, 4.0, {"loop_s": 29.875}),
        ("readings-outlive-a-loop", {"reading_age_max_s": 9.0}, 1.0, {"reading_age_max_s": 10.125}),
        ("stagger-within-liveness", {"stagger_total_s": 60.5}, 0.5, {"stagger_total_s": 59.875}),
        ("backoff-grows", {"migration_backoff_s": 3601.0}, 1.0, {"migration_backoff_s": 3600.0}),
        ("drain-is-short", {"drain_retry_s": 3601.0}, 1.0, {"drain_retry_s": 3600.0}),
        ("block-grows", {"block_s": 7201.0}, 1.0, {"block_s": 7200.0}),
        ("start-limit-grows", {"start_timeout_s": 7201.0}, 1.0, {"start_timeout_s": 7200.0}),
        ("alarms-grow-rare", {"alarm_repeat_s": 86401.0}, 1.0, {"alarm_repeat_s": 86400.0}),
    ],
    ids=str,
)
def test_lesson_b42_times_that_do_not_fit_each_other_are_refused(
    rule: str, refused: dict[str, Any], excess_s: float, accepted: dict[str, Any]
) -> None:
    with pytest.raises(PolicyError, match="policy talk") as caught:
        attrs.evolve(TALK, **refused)
    assert caught.value.rule == rule
    assert caught.value.excess_s == pytest.approx(excess_s, abs=1e-6)
    assert attrs.evolve(TALK, **accepted)


def test_a_refusal_says_what_it_means_and_what_to_change() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(name="talk", kill_grace_s=80.0, watchdog_s=70.0)
    assert str(caught.value) == (
        "policy talk: a VM may still run 10 s after others may take its lease: 8 x io_timeout +"
        " kill_grace = 160 s must be below 8 x io_timeout + watchdog = 150 s. Lower kill_grace_s or"
        " raise watchdog_s"
    )


def test_a_refusal_says_which_inequality_fails_and_by_how_much() -> None:
    with pytest.raises(PolicyError) as caught:
        Policy(name="mine", loop_s=40.0)
    assert str(caught.value) == (
        "policy mine: a host that misses one loop would be taken for dead: 2 x loop = 80 s must be"
        " below dead_after = 60 s. Lower loop_s or raise dead_after_s"
    )


def test_every_inequality_has_a_name_of_its_own_and_room_in_the_shipped_policies() -> None:
    for policy in POLICIES.values():
        rules = safety_rules(policy)
        assert len({rule.name for rule in rules}) == len(rules)
        # Each says what its failure means, and what to change.
        assert [rule.name for rule in rules if not has_words(rule.name)] == []
        assert all(rule.holds and rule.excess_s < 0 for rule in rules)


@given(policy=policies())
def test_a_policy_that_is_accepted_keeps_every_inequality(policy: Policy) -> None:
    assert all(rule.holds for rule in safety_rules(policy))
    assert policy.score_max >= 0
