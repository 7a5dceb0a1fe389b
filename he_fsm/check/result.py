"""The result of a check: for each property, whether it held, and a run that breaks it."""

from __future__ import annotations

from typing import Any, Optional

import attrs

from he_fsm.check import quiet_runs
from he_fsm.check.expand import Bounds
from he_fsm.check.properties import Property
from he_fsm.check.quiet_runs import Longest
from he_fsm.check.scale import loops, of_each_host
from he_fsm.check.search.explored import Explored
from he_fsm.check.search.paths import Paths, Run
from he_fsm.policy import Policy
from he_fsm.states.names import State as Machine
from he_fsm.states.row import Transition
from he_fsm.states.table import ROWS

# A start, a boot, a shutdown and a migration take two loops each, and are each seen a loop later.
_GOING_ON_LOOPS = 12
# In these states a host has no VM and starts none, or starts it by another edge.
_WATCHING = (Machine.ENGINE_DOWN, Machine.LOCAL_MAINTENANCE, Machine.SCORE_BLOCKED)


@attrs.frozen
class Verdict:
    """One property: held (True), broken (False) or open (None), what was seen, and the run."""

    prop: Property
    held: Optional[bool]
    seen: str
    run: Optional[Run] = None

    @property
    def word(self) -> str:
        """The verdict in words."""
        if self.held is None:
            return "open"
        return "held" if self.held else "broken"

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain values."""
        plain: dict[str, Any] = {
            "property": self.prop.value,
            "meaning": self.prop.meaning,
            "verdict": self.word,
            "seen": self.seen,
        }
        if self.run is not None:
            plain["rounds"] = [[list(action) for action in each] for each in self.run.rounds]
            plain["circle"] = [[list(action) for action in each] for each in self.run.circle]
        return plain


def verdicts(explored: Explored) -> tuple[Verdict, ...]:
    """Judge an exploration; until it is complete, properties that held so far are open."""
    paths = Paths(explored)
    return tuple(_verdict(explored, prop, paths) for prop in Property)


def _verdict(explored: Explored, prop: Property, paths: Paths) -> Verdict:
    breach = explored.breaches.get(prop)
    if breach is not None:
        return Verdict(prop, False, breach.seen, paths.run_to(breach))
    held = True if explored.is_whole else None
    if prop is Property.RECOVERY:
        graph = quiet_runs.down(explored.nodes.values())
        return _by_itself(explored, prop, paths, quiet_runs.longest_run(graph))
    if prop is Property.WAY_OUT:
        graph = quiet_runs.waiting(explored.nodes.values())
        return _by_itself(explored, prop, paths, quiet_runs.longest_run(graph))
    if prop is Property.EDGES:
        return _edges(explored)
    return Verdict(prop, held, "")


def _by_itself(explored: Explored, prop: Property, paths: Paths, longest: Longest) -> Verdict:
    """Judge a property of progress: what must happen without a fault or a repair."""
    bound = bound_loops(explored.bounds)
    if longest.circle:
        visited = explored.nodes[longest.circle[0]].visited
        run = paths.run_round(visited, longest.circle)
        return Verdict(
            prop, False, "this never comes about: the cluster goes round in a circle", run
        )
    if longest.rounds > bound and longest.begins is not None:
        run = paths.run_round(explored.nodes[longest.begins].visited, (longest.begins,))
        text = f"it takes {longest.rounds} loops, the bound is {bound}"
        return Verdict(prop, False, text, run)
    text = f"{longest.rounds} loops at most, the bound is {bound}"
    return Verdict(prop, True if explored.is_whole else None, text)


def _edges(explored: Explored) -> Verdict:
    rows = possible_rows(explored.bounds)
    unused = [row.label for row in rows if (row.source.value, row.name) not in explored.edges]
    text = f"{len(rows) - len(unused)} of {len(rows)} used"
    if not unused:
        return Verdict(Property.EDGES, True, text)
    bounds = explored.bounds
    # With one host, fewer faults than hosts, or not all kinds, some edges cannot be reached.
    reaches_all = 1 < bounds.hosts <= bounds.faults and bounds.strike == bounds.possible
    if explored.is_whole and reaches_all:
        return Verdict(Property.EDGES, False, f"{text}; not used: {', '.join(unused)}")
    return Verdict(Property.EDGES, None, text)


def possible_rows(bounds: Bounds) -> tuple[Transition, ...]:
    """
    Return the declared edges that can be reached: a policy moves the engine in one of two ways.

    A VM runs on although another host has its lease only if hosts may be suspended. What can't move
    while it runs never leaves, and never arrives.
    """
    rows = [row for row in ROWS if not _moves_otherwise(row, bounds.policy)]
    if not bounds.policy.live_migration:
        moving = Machine.ENGINE_MIGRATING_AWAY
        rows = [row for row in rows if moving not in (row.source, row.to)]
        rows = [row for row in rows if row.name != "arrival_lost"]
        # Where a host watches, a VM that it has not started can only have arrived.
        rows = [row for row in rows if row.name != "vm_found_here" or row.source not in _WATCHING]
    if "suspend" not in bounds.strike:
        rows = [row for row in rows if row.name != "lease_elsewhere"]
    return tuple(rows)


def _moves_otherwise(row: Transition, policy: Policy) -> bool:
    """Return whether a row moves the engine in the way that the policy does not use."""
    if row.name in ("better_host_restart", "maintenance_restart"):
        return not policy.move_by_restart
    migrates = row.name in ("better_host", "maintenance_set") and bool(row.does)
    return migrates and (policy.move_by_restart or not policy.live_migration)


def bound_loops(bounds: Bounds) -> int:
    """
    Return the bound on the loops in which the engine must be back, and a state must be left.

    It is the sum of all waits: a start that times out, a guest that does not shut down, a block, a
    dead owner's lease, silence, the settling of a new agent, turns, and the VM's own times.
    """
    policies = of_each_host(bounds.policy, bounds.hosts, bounds.watchdogs)
    small = max(policies, key=lambda policy: policy.watchdog_s)
    hung_s = max(small.start_timeout_s, small.bad_health_s) + small.stop_timeout_s
    free_s = small.lease_expiry_s + small.dead_after_s + small.power_off_retry_s
    turn_s = small.settle_s + small.stagger_total_s + small.lease_sight_s + small.refused_retry_s
    wait_s = small.block_max_s
    return loops(hung_s + free_s + turn_s + wait_s) + _GOING_ON_LOOPS
