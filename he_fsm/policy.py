"""The numbers that a host decides by, and the check that they fit each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import attrs

from he_fsm.errors import PolicyError
from he_fsm.unsafe import (
    Inequality,
    OnShutdown,
    a_way_to_shut_down,
    failure_text,
    not_negative,
    positive,
)

# Far above any real one; a number of hundreds of digits fits no record.
SCORE_LIMIT = 1_000_000


@attrs.frozen(kw_only=True)
class Policy:
    """
    Weights, thresholds and time-outs. The defaults are the policy `talk`.

    Times are in seconds, memory in MiB, loads as fractions of capacity. Building one
    raises `PolicyError` where the numbers are unsafe together (see `check_safety`).

    Source: the oVirt talk on the hosted engine (score, threshold, time-outs), sanlock's
    `timeouts.h` (io_timeout, watchdog), docs/design.md (the rest).
    """

    name: str = "talk"

    # Score: what each monitor is worth. `base_score` None: the sum of the weights.
    base_score: Optional[int] = attrs.field(default=None)
    gateway_weight: int = attrs.field(default=1000, validator=not_negative)
    bridge_weight: int = attrs.field(default=800, validator=not_negative)
    memory_weight: int = attrs.field(default=400, validator=not_negative)
    cpu_load_weight: int = attrs.field(default=100, validator=not_negative)
    mem_load_weight: int = attrs.field(default=100, validator=not_negative)
    config_weight: int = attrs.field(default=0, validator=not_negative)
    # Below `low` a load costs nothing, from `high` on its whole weight, in proportion between.
    cpu_load_low: float = attrs.field(default=0.8, validator=not_negative)
    cpu_load_high: float = attrs.field(default=0.8, validator=not_negative)
    mem_load_limit: float = attrs.field(default=0.8, validator=not_negative)
    failed_start_penalty: int = attrs.field(default=50, validator=not_negative)
    failed_starts_max: int = attrs.field(default=3, validator=positive)
    # The least that penalties leave to a host that could run the engine: 0 forbids it the start.
    score_floor: int = attrs.field(default=1, validator=not_negative)
    reading_age_max_s: float = attrs.field(default=60.0, validator=positive)

    # Liveness.
    dead_after_s: float = attrs.field(default=60.0, validator=positive)

    # Starting.
    settle_loops: float = attrs.field(default=2.0, validator=not_negative)
    stagger_s: float = attrs.field(default=2.0, validator=not_negative)
    stagger_total_s: float = attrs.field(default=20.0, validator=not_negative)
    # How long before it takes a lease that runs out a host says so: twice a slot's longest way, so
    # that whoever may have the lease first has read what all who say so wrote.
    lease_claim_s: float = attrs.field(default=10.0, validator=not_negative)
    # For so long after a VM has come what is read of its lease may be from before: as long as the
    # release of a lease may take to be read, and a broker to look.
    lease_settle_s: float = attrs.field(default=10.0, validator=positive)
    # From a start that was refused, or failed at once, to the next one here.
    refused_retry_s: float = attrs.field(default=10.0, validator=positive)
    start_timeout_s: float = attrs.field(default=600.0, validator=positive)
    # A limit that was too short for the engine doubles with each try, up to this one.
    start_timeout_max_s: float = attrs.field(default=7200.0, validator=positive)

    # Bad endings: after `failed_starts_max` of them no start here for `block_s`, then for twice as
    # long each time. They are forgotten when the engine has run well for long enough.
    block_s: float = attrs.field(default=600.0, validator=positive)
    block_max_s: float = attrs.field(default=7200.0, validator=positive)
    endings_forget_s: float = attrs.field(default=3600.0, validator=positive)

    # Running here.
    bad_health_s: float = attrs.field(default=300.0, validator=positive)
    paused_limit_s: float = attrs.field(default=60.0, validator=positive)
    stop_timeout_s: float = attrs.field(default=300.0, validator=positive)
    power_off_retry_s: float = attrs.field(default=30.0, validator=positive)

    # Moving.
    migration_threshold: int = attrs.field(default=800, validator=positive)
    migration_hold_s: float = attrs.field(default=30.0, validator=not_negative)
    migration_timeout_s: float = attrs.field(default=300.0, validator=positive)
    migration_backoff_s: float = attrs.field(default=60.0, validator=positive)
    migration_backoff_max_s: float = attrs.field(default=3600.0, validator=positive)
    # While an administrator waits for a host to be empty, tries are this far apart.
    drain_retry_s: float = attrs.field(default=60.0, validator=positive)
    # A running engine is never given up for a hope, unless this asks for it.
    move_by_restart: bool = False
    # Whether what runs here can move while it executes. A program can't, and is never told to.
    live_migration: bool = True

    # An orderly shutdown or reboot of the engine's host. `migrate`: the engine moves first, and is
    # shut down where it can't; `stop`: it is shut down, and started on another host; `freeze`: it
    # is shut down, and no other host starts it until this one is back.
    on_shutdown: OnShutdown = attrs.field(default="migrate", validator=a_way_to_shut_down)
    # How long before the host goes down the engine is asked to shut down if it has not moved, and
    # how long before that its VM is powered off, so that its lease is released.
    shutdown_stop_s: float = attrs.field(default=60.0, validator=positive)
    shutdown_last_s: float = attrs.field(default=2.0, validator=positive)

    # Hosts that know the value of a slot 0 that can't be believed write it again, one after the
    # other, a loop apart, and all from this one on at the same time.
    slot_0_writers: int = attrs.field(default=4, validator=positive)
    # oVirt never writes slot 0 before somebody sets the flag; there an empty one is no alarm.
    empty_global_is_none: bool = False

    # An alarm is repeated after the first of these times, then after twice as long each time.
    alarm_repeat_s: float = attrs.field(default=600.0, validator=positive)
    alarm_repeat_max_s: float = attrs.field(default=86400.0, validator=positive)

    # The surroundings that the time-outs have to fit.
    loop_s: float = attrs.field(default=10.0, validator=positive)
    io_timeout_s: float = attrs.field(default=10.0, validator=positive)
    watchdog_s: float = attrs.field(default=60.0, validator=positive)
    # What a host has that tells no time: sanlock's own, the only one before its release 3.9.
    watchdog_unsaid_s: float = attrs.field(default=60.0, validator=positive)
    # Below so long a watchdog sanlock sends no SIGTERM and runs no killpath (its
    # `watchdog_fire_timeout` from 3.9 on): a VM whose lease can't be renewed gets SIGKILL at once.
    sigterm_watchdog_s: float = attrs.field(default=30.0, validator=not_negative)
    # sanlock's -g: from the polite kill of a VM whose lease can't be renewed to SIGKILL.
    kill_grace_s: float = attrs.field(default=40.0, validator=not_negative)

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that are unsafe together."""
        self._check_scores()
        check_safety(self)

    def _check_scores(self) -> None:
        """Refuse a highest score that no record can hold, or with which nothing is ever started."""
        name = "gateway_weight" if self.base_score is None else "base_score"
        if self.score_max < 0 or self.score_max > SCORE_LIMIT:
            what = "base_score" if self.base_score is not None else "the sum of the weights"
            msg = f"{what} must be from 0 to {SCORE_LIMIT}, got {self.score_max}"
            raise PolicyError(msg, name)

    @property
    def score_max(self) -> int:
        """The highest score that any host can have."""
        if self.base_score is not None:
            return self.base_score
        return (
            self.gateway_weight
            + self.bridge_weight
            + self.memory_weight
            + self.cpu_load_weight
            + self.mem_load_weight
            + self.config_weight
        )

    @property
    def lease_expiry_s(self) -> float:
        """How long after its last renewal a silent host's leases can be taken (sanlock)."""
        return 8 * self.io_timeout_s + self.watchdog_s

    @property
    def gets_sigterm(self) -> bool:
        """Whether sanlock asks a VM to end, by SIGTERM or a killpath, before it kills it."""
        return self.watchdog_s >= self.sigterm_watchdog_s

    @property
    def lease_kill_s(self) -> float:
        """How long after the last renewal sanlock kills the VM of a host that can't renew."""
        return 8 * self.io_timeout_s

    @property
    def lease_look_s(self) -> float:
        """How often a broker looks at the leases: ten times a loop, every second at least."""
        return min(1.0, self.loop_s / 10)

    @property
    def lease_news_s(self) -> float:
        """
        How soon an agent hears at worst that the engine's lease is free.

        News counts when two looks show the same: a VM that dies is often started again by its own
        host within one, and whoever asked for the lease in between would ask in vain.
        """
        return 2 * self.lease_look_s

    @property
    def lease_sight_s(self) -> float:
        """
        How long after one host another may get a lease that runs out.

        Each host's sanlock goes by when it saw the owner renew, which it looks at with its own
        renewals, every 2 x io_timeout; and it takes the lease within a second of its time.
        """
        return 2 * self.io_timeout_s + 1.0

    @property
    def arrival_limit_s(self) -> float:
        """
        How long a VM may be on its way to this host before the arrival is given up.

        The source cancels a migration after `migration_timeout_s`. If nothing is heard of that, the
        source or the network between the two hosts has failed.
        """
        return self.migration_timeout_s + self.dead_after_s

    @property
    def gap_s(self) -> float:
        """How far apart two looks may be at most for the time between them to count as observed."""
        return 2 * self.loop_s

    @property
    def shutdown_needs_s(self) -> float:
        """
        How long the host should wait with an orderly shutdown until the engine has left.

        A guest takes its time to shut down; a migration takes as long as two tries are apart, so
        that the second one is to another host.
        """
        moves = self.on_shutdown == "migrate" and self.live_migration and not self.move_by_restart
        return self.shutdown_stop_s + (self.drain_retry_s if moves else 0.0)

    def on_host(self, watchdog_s: float) -> Policy:
        """
        Return this policy on a host whose own watchdog takes *watchdog_s*.

        sanlock's grace between SIGTERM and SIGKILL has to end before that, and there is none below
        `sigterm_watchdog_s`.
        """
        grace_s = self.kill_grace_s if self.kill_grace_s < watchdog_s else watchdog_s / 2
        if watchdog_s < self.sigterm_watchdog_s:
            grace_s = 0.0
        return attrs.evolve(self, watchdog_s=watchdog_s, kill_grace_s=grace_s)

    def blocked_s(self, endings: int) -> float:
        """Return for how long after the last of so many bad endings this host starts nothing."""
        if endings < self.failed_starts_max:
            return 0.0
        return doubled_s(self.block_s, endings - self.failed_starts_max, self.block_max_s)

    def start_limit_s(self, time_outs: int) -> float:
        """Return how long a start may take after so many that took too long."""
        return doubled_s(self.start_timeout_s, time_outs, self.start_timeout_max_s)

    @property
    def settle_s(self) -> float:
        """How long an agent that knows nothing looks around before it starts an engine."""
        return self.settle_loops * self.loop_s


def doubled_s(first_s: float, times: int, longest_s: float) -> float:
    """Return a wait that doubles each time, up to the longest."""
    # Past 2**20 the longest wait has long been reached.
    return min(first_s * 2.0 ** min(times, 20), longest_s)


def check_safety(policy: Policy) -> None:
    """
    Check the inequalities without which the machine is unsafe or contradicts itself.

    Raises:
        PolicyError: names the inequality that fails, and by how much.
    """
    for rule in safety_rules(policy):
        if not rule.holds:
            msg = f"policy {policy.name}: {failure_text(rule.name, rule.left, rule.right)}"
            raise PolicyError(msg, rule.name, rule.excess_s)


def safety_rules(policy: Policy) -> tuple[Inequality, ...]:
    """Return the inequalities between the times of a policy, most important first."""
    return (
        Inequality(
            "kill-before-takeover",
            "the VM of a host that can't renew is killed before its lease is free "
            "(8 x io_timeout + kill_grace against 8 x io_timeout + watchdog)",
            policy.lease_kill_s + policy.kill_grace_s,
            policy.lease_expiry_s,
        ),
        Inequality(
            "silent-hosts-are-dead",
            "the VM of a host that tells no watchdog's time is killed before its lease is taken "
            "(8 x io_timeout + kill_grace against 8 x io_timeout + watchdog_unsaid)",
            policy.lease_kill_s + policy.kill_grace_s,
            policy.lease_kill_s + policy.watchdog_unsaid_s,
        ),
        Inequality(
            "two-loops-before-dead",
            "a host that misses one loop is not yet dead (2 x loop against dead_after)",
            2 * policy.loop_s,
            policy.dead_after_s,
        ),
        Inequality(
            "readings-outlive-a-loop",
            "a reading is still good when the next one is due (loop against reading_age_max)",
            policy.loop_s,
            policy.reading_age_max_s,
        ),
        Inequality(
            "stagger-within-liveness",
            "the last of equal hosts has its turn before the first is given up "
            "(stagger_total against dead_after)",
            policy.stagger_total_s,
            policy.dead_after_s,
        ),
        Inequality(
            "backoff-grows",
            "the first wait after a failed migration is no longer than the longest",
            policy.migration_backoff_s,
            policy.migration_backoff_max_s + 1e-9,
        ),
        Inequality(
            "drain-is-short",
            "an administrator who waits does not wait longer than the engine's own moves "
            "(drain_retry against the longest wait)",
            policy.drain_retry_s,
            policy.migration_backoff_max_s + 1e-9,
        ),
        Inequality(
            "block-grows",
            "the first block of a host is no longer than the longest",
            policy.block_s,
            policy.block_max_s + 1e-9,
        ),
        Inequality(
            "start-limit-grows",
            "the first limit of a start is no longer than the longest",
            policy.start_timeout_s,
            policy.start_timeout_max_s + 1e-9,
        ),
        Inequality(
            "stop-before-power-off",
            "a guest is asked to shut down with its host before its VM is powered off "
            "(shutdown_last against shutdown_stop)",
            policy.shutdown_last_s,
            policy.shutdown_stop_s,
        ),
        Inequality(
            "alarms-grow-rare",
            "the first pause between two alarms is no longer than the longest",
            policy.alarm_repeat_s,
            policy.alarm_repeat_max_s + 1e-9,
        ),
    )


TALK = Policy()

# Today's oVirt numbers (ovirt-hosted-engine-ha 2.5), for a host among oVirt agents.
OVIRT = Policy(
    name="ovirt",
    base_score=3400,
    gateway_weight=1600,
    bridge_weight=600,
    memory_weight=400,
    cpu_load_weight=1000,
    mem_load_weight=0,
    config_weight=1000,
    cpu_load_low=0.4,
    cpu_load_high=0.9,
    failed_starts_max=4,
    score_floor=0,
    move_by_restart=True,
    empty_global_is_none=True,
)

POLICIES = {policy.name: policy for policy in (TALK, OVIRT)}

# Numbers that belong together, on top of a policy. `fast` is for storage that always answers within
# 2 s: sanlock's shortest watchdog (its manual offers 10 s with an io_timeout of 2 s), and loops
# that find a dead host sooner than its lease expires.
PROFILES: Mapping[str, Mapping[str, float]] = {
    "fast": {
        "loop_s": 3.0,
        "io_timeout_s": 2.0,
        "watchdog_s": 10.0,
        "kill_grace_s": 0.0,
        "dead_after_s": 12.0,
        "stagger_s": 1.0,
        "stagger_total_s": 8.0,
        "lease_claim_s": 6.0,
        "refused_retry_s": 4.0,
    },
}
