"""How long each recovery takes at worst, and the inequalities between its times."""

from __future__ import annotations

import attrs

from he_fsm.policy import Policy, safety_rules
from he_fsm.unsafe import Inequality


@attrs.frozen(kw_only=True)
class Surroundings:
    """
    What surrounds the machine, in seconds: how regular its loops are, how fast storage and VM.

    `hosts`: how many there are; equal ones wait for their turn to start.
    """

    jitter_s: float = 1.0
    storage_latency_s: float = 0.01
    vm_start_s: float = 5.0
    vm_boot_s: float = 55.0
    vm_shutdown_s: float = 20.0
    migration_s: float = 15.0
    reboot_s: float = 120.0
    hosts: int = 3


@attrs.frozen(kw_only=True)
class Recovery:
    """
    The worst case of one recovery, in seconds after the fault.

    `acts_s`: until the machine acts (a start or a migration is ordered); `good_s`: until the
    health page is good again, or the move is done; `parts`: what `acts_s` is made of, in words;
    `downtime_s`: how long the engine is away at worst.
    """

    name: str
    acts_s: float
    good_s: float
    downtime_s: float
    parts: str


def recoveries(policy: Policy, around: Surroundings) -> tuple[Recovery, ...]:
    """Compute the worst case of each recovery by the rules of the machine."""
    look_s = policy.loop_s + around.jitter_s
    seen_s = look_s + around.storage_latency_s
    dead_s = seen_s + policy.dead_after_s
    turn_s = last_turn_s(policy, around.hosts)
    takeover_s = max(dead_s, policy.lease_expiry_s)
    up_s = around.vm_start_s + around.vm_boot_s
    stop_s = min(around.vm_shutdown_s, policy.stop_timeout_s)
    expiry = (
        f"the longer of lease expiry {policy.lease_expiry_s:g} (8 x io_timeout + watchdog) "
        f"and silence {dead_s:g} (look + latency + dead_after)"
    )

    def restart(name: str, acts_s: float, parts: str) -> Recovery:
        good_s = acts_s + up_s
        return Recovery(name=name, acts_s=acts_s, good_s=good_s, downtime_s=good_s, parts=parts)

    freed_s = min(look_s, policy.lease_news_s) + around.storage_latency_s
    crash_s = freed_s + turn_s
    hung_s = look_s + policy.bad_health_s + stop_s + crash_s
    settle_s = around.jitter_s + policy.settle_s + around.storage_latency_s
    return (
        restart("host crash", takeover_s, expiry),
        Recovery(
            name="agent death",
            acts_s=dead_s,
            good_s=0.0,
            downtime_s=0.0,
            parts=f"the VM runs on; the others report it silent after {dead_s:g} "
            "(look + latency + dead_after)",
        ),
        restart(
            "agent and VM death",
            freed_s + policy.dead_after_s + turn_s,
            f"lease news + latency {freed_s:g} + dead_after {policy.dead_after_s:g} "
            f"+ turn {turn_s:g}",
        ),
        restart("VM crash", crash_s, f"lease news + latency {freed_s:g} + turn {turn_s:g}"),
        restart(
            "guest panic",
            crash_s,
            f"as VM crash: a guest that reports a panic, or whose watchdog fires, ends at once; "
            f"lease news + latency {freed_s:g} + turn {turn_s:g}",
        ),
        restart(
            "VM paused",
            policy.paused_limit_s + crash_s,
            f"paused_limit {policy.paused_limit_s:g} + lease news + latency {freed_s:g} "
            f"+ turn {turn_s:g}",
        ),
        restart(
            "hung engine",
            hung_s,
            f"look {look_s:g} + bad_health {policy.bad_health_s:g} + shutdown {stop_s:g} "
            f"+ lease news + latency {freed_s:g} + turn {turn_s:g}",
        ),
        restart(
            "storage cut", takeover_s, f"{expiry}; the VM is killed by {policy.lease_kill_s:g}"
        ),
        _move(policy, around, look_s, stop_s + crash_s + up_s),
        _orderly_reboot(policy, around, stop_s, crash_s),
        Recovery(
            name="maintenance over",
            acts_s=seen_s,
            good_s=0.0,
            downtime_s=0.0,
            parts=f"its end by the clock of the first host, read by the others: look + latency "
            f"{seen_s:g}; each host whose clock is behind costs one more loop",
        ),
        restart(
            "cold start",
            settle_s,
            f"first look {around.jitter_s:g} + settle {policy.settle_s:g} "
            f"({policy.settle_loops:g} loops) + latency",
        ),
    )


def _move(policy: Policy, around: Surroundings, look_s: float, restart_s: float) -> Recovery:
    """Return what a lost gateway leads to: a move, where the engine can move or may be stopped."""
    acts_s = look_s + policy.migration_hold_s
    parts = f"look {look_s:g} + migration_hold {policy.migration_hold_s:g}"
    downtime_s, move_s = 0.0, around.migration_s
    if policy.move_by_restart:
        downtime_s = move_s = restart_s
        parts += "; stopped here, then started there (move_by_restart)"
    elif not policy.live_migration:
        acts_s = move_s = 0.0
        parts = "no move: the engine can't move while it runs, and move_by_restart is off"
    return Recovery(
        name="gateway lost",
        acts_s=acts_s,
        good_s=acts_s + move_s,
        downtime_s=downtime_s,
        parts=parts,
    )


def _orderly_reboot(
    policy: Policy, around: Surroundings, stop_s: float, crash_s: float
) -> Recovery:
    """Return what the orderly shutdown or reboot of the engine's host leads to."""
    up_s = around.vm_start_s + around.vm_boot_s
    name, moves = "orderly reboot", policy.live_migration and not policy.move_by_restart
    if policy.on_shutdown == "migrate" and moves:
        parts = f"the engine moves at once; the shutdown waits for it ({policy.on_shutdown})"
        return Recovery(
            name=name, acts_s=0.0, good_s=around.migration_s, downtime_s=0.0, parts=parts
        )
    if policy.on_shutdown == "freeze":
        acts_s = stop_s + around.reboot_s + around.jitter_s + policy.settle_s
        parts = f"shutdown {stop_s:g} + reboot {around.reboot_s:g} + settle {policy.settle_s:g}"
    else:
        acts_s = stop_s + crash_s
        parts = f"shutdown {stop_s:g} + lease news, latency and turn {crash_s:g}"
    down_s = acts_s + up_s
    return Recovery(name=name, acts_s=acts_s, good_s=down_s, downtime_s=down_s, parts=parts)


def last_turn_s(policy: Policy, hosts: int) -> float:
    """Return when the last of equal hosts has its turn to start, after the first."""
    if hosts < 2:
        return 0.0
    return min(policy.stagger_s * (hosts - 1), policy.stagger_total_s)


def notes(policy: Policy) -> tuple[str, ...]:
    """Return what else follows from the times, in sentences."""
    if policy.gets_sigterm:
        return ()
    note = (
        f"with a watchdog of {policy.watchdog_s:g} s, below {policy.sigterm_watchdog_s:g} s,"
        " sanlock sends a VM whose lease can't be renewed no SIGTERM and runs no killpath: the VM"
        f" gets SIGKILL {policy.lease_kill_s:g} s after the last renewal"
    )
    return (note,)


def inequalities(policy: Policy, around: Surroundings) -> tuple[Inequality, ...]:
    """Return every inequality between the times; those of the policy alone first."""
    seen_s = policy.loop_s + around.jitter_s + around.storage_latency_s
    return (
        *safety_rules(policy),
        Inequality(
            "heartbeat-within-liveness",
            "a living host's record grows before it is given up "
            "(loop + jitter + latency against dead_after)",
            seen_s,
            policy.dead_after_s,
        ),
        Inequality(
            "watchdog-is-told",
            "hosts have read how long an owner's watchdog takes before they could take its lease "
            "(loop + jitter + latency against 8 x io_timeout + watchdog)",
            seen_s,
            policy.lease_expiry_s,
        ),
        Inequality(
            "grace-is-sanlocks",
            "a grace after SIGTERM is counted on only where sanlock sends one "
            "(sigterm_watchdog, if there is a kill_grace, against watchdog)",
            policy.sigterm_watchdog_s if policy.kill_grace_s > 0 else 0.0,
            policy.watchdog_s + 1e-9,
        ),
        Inequality(
            "claim-is-read",
            "who is about to take a lease has read the others' claims "
            "(2 x latency against lease_claim)",
            2 * around.storage_latency_s,
            policy.lease_claim_s + 1e-9,
        ),
        Inequality(
            "lease-is-read",
            "a VM that has just come is not taken for one without its lease "
            "(latency + lease news against lease_settle)",
            around.storage_latency_s + policy.lease_news_s,
            policy.lease_settle_s,
        ),
        Inequality(
            "looks-are-not-gaps",
            "the time between two looks counts as observed (loop + jitter against 2 x loop)",
            policy.loop_s + around.jitter_s,
            policy.gap_s + 1e-9,
        ),
        Inequality(
            "hold-outlasts-a-look",
            "a fault that strikes everybody is seen by everybody before the engine moves "
            "(loop + jitter + latency against migration_hold)",
            seen_s,
            policy.migration_hold_s,
        ),
        Inequality(
            "boot-within-start-timeout",
            "a healthy start is not taken for a failed one "
            "(vm_start + vm_boot + look against start_timeout)",
            around.vm_start_s + around.vm_boot_s + policy.loop_s + around.jitter_s,
            policy.start_timeout_s,
        ),
        Inequality(
            "shutdown-within-stop-timeout",
            "a guest that obeys is not powered off (vm_shutdown against stop_timeout)",
            around.vm_shutdown_s,
            policy.stop_timeout_s,
        ),
        Inequality(
            "migration-within-its-timeout",
            "a migration that goes well is not cancelled (migration against migration_timeout)",
            around.migration_s,
            policy.migration_timeout_s,
        ),
    )
