"""What a campaign of random faults showed, and how long recovery may take."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from he_fsm.chaos.sizes import Growth
from he_fsm.runtime.storage.client import BACKOFF_MAX_S
from he_fsm.scenario import Scenario

# How long an init system waits before it starts a daemon again, at most (seconds).
RESTART_WITHIN_S = 1.0
# Loops that pass, at worst, until every host has seen the present state and has acted.
_LOOPS = 6


@attrs.frozen(kw_only=True)
class Summary:
    """
    What a campaign showed; all times are real seconds.

    `faults`: how many of each kind there were, resets by a watchdog among them. `recoveries`:
    outages of the health page that ended. `settled_s`: from the last fault until one engine was up
    and all agents knew; `bound_s`: what it may take. `problems`: what is not as it should be; none:
    all is well. `growths`: what daemons used before the first fault, and in the end.
    """

    seed: int
    strikes: int
    faults: dict[str, int]
    recoveries: int
    longest_outage_s: float
    settled_s: float
    bound_s: float
    doubles: int
    problems: tuple[str, ...]
    growths: tuple[Growth, ...] = ()

    def lines(self) -> Iterator[str]:
        """Return the summary for people."""
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        yield f"seed {self.seed}: {self.strikes} strikes; faults: {faults or 'none'}"
        yield f"recoveries: {self.recoveries}, longest outage {self.longest_outage_s:.1f} s"
        yield f"settled after {self.settled_s:.1f} s, bound {self.bound_s:.1f} s"
        yield f"two engines at once: {self.doubles}"
        yield from map(str, self.growths)
        yield from (f"PROBLEM: {problem}" for problem in self.problems)


def bound(scenario: Scenario, speed: float) -> float:
    """
    Return how long recovery may take after the last fault, in real seconds.

    The worst: every host is blocked by failed starts, the last start came to nothing in the longest
    time that one may take, its owner's lease has to run out, and a broker waits as long as it ever
    does before it tries storage again.
    """
    policy, world = scenario.policy, scenario.world
    scaled_s = (
        policy.lease_expiry_s
        + policy.block_max_s
        + policy.stagger_total_s
        + max(policy.start_timeout_max_s, policy.bad_health_s)
        + 2 * (world.vm_start_s + world.vm_boot_s)
        + _LOOPS * policy.loop_s
    )
    return RESTART_WITHIN_S + BACKOFF_MAX_S + scaled_s / speed
