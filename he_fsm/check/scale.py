"""A policy whose times are a few loops each, so that everything happens within a small depth."""

from __future__ import annotations

import math

import attrs

from he_fsm.policy import Policy

# One loop, in seconds: the checker's clock goes by whole loops.
LOOP_S = 10.0
# Two failed starts block a host: one more than counts, and no more than two faults can bring about.
_FAILED_STARTS_MAX = 2
# The most loops that each time takes here. Their order is that of the policy `talk`.
_MOST_LOOPS = {
    "failed_starts_forget_s": 6,
    "dead_after_s": 3,
    "stagger_s": 1,
    "stagger_total_s": 2,
    "lease_claim_s": 1,
    "refused_retry_s": 1,
    "start_timeout_s": 5,
    "bad_health_s": 3,
    "paused_limit_s": 2,
    "stop_timeout_s": 3,
    "power_off_retry_s": 1,
    "migration_hold_s": 2,
    "migration_timeout_s": 4,
    "migration_backoff_s": 2,
    "migration_backoff_max_s": 4,
}


def with_small_times(policy: Policy) -> Policy:
    """
    Give the same weights, thresholds and choices with times of a few loops.

    A time is counted in the policy's own loops, begun ones whole, and cut to the most that it may
    take here; so a wait that the policy leaves out is left out here too. The lease's times keep
    their proportion: with io_timeout a quarter of a loop and a watchdog of two, a VM whose lease
    can't be renewed is killed after two loops, or three with the grace, and another host can take
    the lease after four.

    Raises:
        PolicyError: the times do not fit each other any more, because the policy's own hardly do.
    """
    times = {
        name: LOOP_S * min(most, math.ceil(getattr(policy, name) / policy.loop_s))
        for name, most in _MOST_LOOPS.items()
    }
    return attrs.evolve(
        policy,
        **times,
        failed_starts_max=min(policy.failed_starts_max, _FAILED_STARTS_MAX),
        reading_age_max_s=2 * LOOP_S,
        settle_loops=float(min(2, math.ceil(policy.settle_loops))),
        loop_s=LOOP_S,
        io_timeout_s=LOOP_S / 4,
        watchdog_s=2 * LOOP_S,
        kill_grace_s=LOOP_S,
    )


def loops(seconds: float) -> int:
    """Give how many loops *seconds* take, rounded up."""
    return math.ceil(seconds / LOOP_S)
