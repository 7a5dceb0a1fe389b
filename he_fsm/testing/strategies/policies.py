"""Policies at random, and ages near their limits."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import strategies as st

from he_fsm.policy import OVIRT, TALK, Policy
from he_fsm.testing.strategies.drawing import (
    GRID_S,
    STAGGER_UNIT_S,
    Draw,
    booleans,
    seconds,
    seconds_or_none,
    steps,
    whole,
)

_weights = st.sampled_from([0, 100, 400, 1000]) | st.integers(0, 1000)
_count = st.integers(0, 4)


@st.composite
def policies(draw: Draw) -> Policy:
    """Return safe policies with times of seconds, not minutes, so that short runs show all."""
    loop_s = draw(steps(GRID_S, 3))
    stagger_total_s = draw(_count) * STAGGER_UNIT_S
    kill_grace_s = draw(seconds_or_none)
    backoff_s = draw(seconds)
    start_timeout_s, block_s = 2 * draw(seconds), 2 * draw(seconds)
    alarm_s, shutdown_last_s = draw(seconds), draw(seconds)
    return whole(
        Policy,
        name="drawn",
        base_score=draw(st.none() | st.integers(1, 4000)),
        gateway_weight=draw(_weights),
        bridge_weight=draw(_weights),
        memory_weight=draw(_weights),
        cpu_load_weight=draw(_weights),
        mem_load_weight=draw(_weights),
        config_weight=draw(_weights),
        cpu_load_low=draw(st.sampled_from([0.0, 0.4, 0.8])),
        cpu_load_high=draw(st.sampled_from([0.8, 0.9, 1.5])),
        mem_load_limit=draw(st.sampled_from([0.0, 0.5, 0.8])),
        failed_start_penalty=draw(st.integers(0, 200)),
        failed_starts_max=draw(st.integers(1, 4)),
        score_floor=draw(st.integers(0, 1)),
        reading_age_max_s=loop_s + draw(seconds),
        dead_after_s=max(2 * loop_s, stagger_total_s) + draw(seconds),
        settle_loops=float(draw(_count)),
        stagger_s=draw(seconds_or_none),
        stagger_total_s=stagger_total_s,
        lease_claim_s=draw(seconds_or_none),
        lease_settle_s=draw(seconds),
        refused_retry_s=draw(seconds),
        start_timeout_s=start_timeout_s,
        start_timeout_max_s=start_timeout_s * 2 ** draw(_count),
        block_s=block_s,
        block_max_s=block_s * 2 ** draw(_count),
        endings_forget_s=2 * draw(seconds),
        bad_health_s=2 * draw(seconds),
        paused_limit_s=draw(seconds),
        stop_timeout_s=draw(seconds),
        power_off_retry_s=draw(seconds),
        migration_threshold=draw(st.integers(1, 1000)),
        migration_hold_s=draw(seconds_or_none),
        migration_timeout_s=draw(seconds),
        migration_backoff_s=backoff_s,
        migration_backoff_max_s=backoff_s * 2 ** draw(_count),
        drain_retry_s=min(backoff_s, draw(seconds)),
        move_by_restart=draw(booleans),
        live_migration=draw(booleans),
        on_shutdown=draw(st.sampled_from(["migrate", "stop", "freeze"])),
        shutdown_stop_s=shutdown_last_s + draw(seconds),
        shutdown_last_s=shutdown_last_s,
        slot_0_writers=draw(st.integers(1, 4)),
        empty_global_is_none=draw(booleans),
        alarm_repeat_s=alarm_s,
        alarm_repeat_max_s=alarm_s * 2 ** draw(_count),
        loop_s=loop_s,
        io_timeout_s=draw(seconds),
        watchdog_s=kill_grace_s + draw(seconds),
        watchdog_unsaid_s=kill_grace_s + draw(seconds),
        sigterm_watchdog_s=draw(seconds_or_none),
        kill_grace_s=kill_grace_s,
    )


any_policies = st.sampled_from([TALK, OVIRT]) | policies()

# How long ago something was, as a number for `age_s`.
ages = st.integers(0, 239)


def limits_s(policy: Policy) -> list[float]:
    """Return every time that a policy names."""
    named = [value for name, value in attrs.asdict(policy).items() if name.endswith("_s")]
    return sorted({*named, policy.settle_s, policy.lease_expiry_s})


def age_s(number: int, limits: Sequence[float]) -> float:
    """Read an age: half of them up to 30 s, half just under, at or over one of *limits*."""
    half = 120
    if number < half:
        return number * GRID_S
    index, side = divmod(number - half, 3)
    return max(0.0, limits[index % len(limits)] + (side - 1) * GRID_S)
