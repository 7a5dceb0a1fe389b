"""A policy whose times are a few loops each, so that everything happens within a small depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from he_fsm.policy import Policy

# One loop, in seconds; the checker's clock counts whole loops.
LOOP_S = 10.0
# Two failed starts block a host, so that two faults can bring about a block.
_FAILED_STARTS_MAX = 2
# The maximum of each time here, in loops. They have the same order as in the policy `talk`.
_MOST_LOOPS = {
    "block_s": 5,
    "block_max_s": 6,
    "endings_forget_s": 6,
    "dead_after_s": 3,
    "stagger_s": 1,
    "stagger_total_s": 2,
    "lease_claim_s": 1,
    "lease_settle_s": 1,
    "refused_retry_s": 1,
    "start_timeout_s": 5,
    "start_timeout_max_s": 5,
    "bad_health_s": 3,
    "paused_limit_s": 2,
    "stop_timeout_s": 3,
    "power_off_retry_s": 1,
    "migration_hold_s": 2,
    "migration_timeout_s": 4,
    "migration_backoff_s": 1,
    "migration_backoff_max_s": 2,
    "drain_retry_s": 1,
    "shutdown_stop_s": 2,
    "shutdown_last_s": 1,
}


def with_small_times(policy: Policy) -> Policy:
    """
    Return the policy with times of a few loops, and the same weights, thresholds and choices.

    A time is converted to the policy's own loops, rounded up, and limited to its maximum here; so a
    wait of 0 stays 0. The lease's times keep their proportions: io_timeout is a quarter of a loop,
    and the watchdog takes two loops. So a VM whose lease can't be renewed is killed after two
    loops, or three with the grace, and another host can acquire the lease after four.

    Raises:
        PolicyError: the small times are not safe together, because the policy's own hardly are.
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


def of_each_host(policy: Policy, hosts: int, watchdogs: Sequence[float]) -> tuple[Policy, ...]:
    """
    Return the policy with small times as each host has it.

    *watchdogs*: the time of each host's own watchdog (seconds); empty: the policy's everywhere. If
    they differ, the shortest takes one loop here, without a grace after SIGTERM, and all longer
    ones take five, with a grace of four: as with sanlock's 60 s and 10 s, a VM may run for longer
    after a host with the shortest one could acquire its lease than it takes to start another.
    """
    small = with_small_times(policy)
    if len(set(watchdogs)) <= 1:
        return (small,) * hosts
    shortest = min(watchdogs)
    long = attrs.evolve(
        small, watchdog_s=5 * LOOP_S, watchdog_unsaid_s=5 * LOOP_S, kill_grace_s=4 * LOOP_S
    )
    short = attrs.evolve(long, watchdog_s=LOOP_S, kill_grace_s=0.0)
    return tuple(short if watchdog_s == shortest else long for watchdog_s in watchdogs)


def loops(seconds: float) -> int:
    """Return how many loops *seconds* take, rounded up."""
    return math.ceil(seconds / LOOP_S)


def move_wait_loops(policy: Policy) -> int:
    """Return the least number of loops after which a failed migration is retried."""
    return loops(min(policy.migration_backoff_s, policy.drain_retry_s))
