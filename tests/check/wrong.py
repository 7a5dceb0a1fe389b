"""
Deliberately wrong guards, policies and surroundings, put in place of the right ones from outside.

Each takes pytest's monkeypatch and changes what the whole process does; nothing in the product
leads there.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable

import attrs
import pytest

from he_fsm import tick
from he_fsm.check.cluster import Cluster
from he_fsm.effects import MigrateVm, StartVm
from he_fsm.liveness import Liveness
from he_fsm.memory import Memory
from he_fsm.snapshot import VmState
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import TABLE
from he_fsm.states.view import View

Patch = pytest.MonkeyPatch
Rows = tuple[Transition, ...]
# The package's own name for it is the function.
steps = importlib.import_module("he_fsm.step")


def change(patch: Patch, rows_of: Callable[[State, Rows], Rows]) -> None:
    """Let the machine go by other rows."""
    table = {state: rows_of(state, rows) for state, rows in TABLE.items()}
    patch.setattr(steps, "TABLE", table)


def without(patch: Patch, *names: str, source: State | None = None) -> None:
    """Leave rows out."""
    change(
        patch,
        lambda state, rows: tuple(
            row for row in rows if row.name not in names or source not in (None, state)
        ),
    )


def instead(patch: Patch, source: State, name: str, **changes: Any) -> None:
    """Change a row of a state."""
    change(
        patch,
        lambda state, rows: tuple(
            attrs.evolve(row, **changes) if (state, row.name) == (source, name) else row
            for row in rows
        ),
    )


def starts_without_asking_for_the_lease(patch: Patch) -> None:
    def starts(view: View) -> bool:
        here = view.snapshot.host_id in view.placement.hosts
        return view.vm is VmState.ABSENT and view.own_score > 0 and here

    instead(patch, State.ENGINE_DOWN, "best_host", when=starts)


def starts_beside_a_running_vm(patch: Patch) -> None:
    def starts(view: View) -> bool:
        return view.vm_is_here

    instead(patch, State.ENGINE_DOWN, "vm_found_here", when=starts, effects=lambda _: (StartVm(),))


def two_hosts_get_one_lease(patch: Patch) -> None:
    starts_without_asking_for_the_lease(patch)
    patch.setattr(Cluster, "can_take", lambda *_: True)


def nobody_kills_a_vm_whose_lease_has_run_out(patch: Patch) -> None:
    original = Cluster.__init__

    def begin(self: Cluster, *arguments: Any) -> None:
        original(self, *arguments)
        self.kill = 100

    patch.setattr(Cluster, "__init__", begin)


def liveness_goes_by_the_clocks(patch: Patch) -> None:
    def who(sightings: Any, own_id: int, now: float, dead_after_s: float, _: Any) -> Liveness:
        alive = [
            host_id
            for host_id, seen in sightings.items()
            if seen.record is not None and now - seen.record.timestamp < dead_after_s
        ]
        return Liveness(frozenset([own_id, *alive]), frozenset(), float("inf"))

    patch.setattr(steps, "who_is_alive", who)


def moves_to_whoever_is_as_good(patch: Patch) -> None:
    def better(view: View) -> bool:
        best = view.best_other()
        return view.vm is VmState.UP and best is not None and best[1] >= view.own_score

    instead(patch, State.ENGINE_UP, "better_host", when=better)


def moves_to_a_dead_host(patch: Patch) -> None:
    def anybody(view: View) -> bool:
        return view.vm is VmState.UP and bool(view.memory.sightings) and view.best_other() is None

    def move(view: View) -> tuple[MigrateVm, ...]:
        return (MigrateVm(min(view.memory.sightings)),)

    instead(patch, State.ENGINE_UP, "better_host", when=anybody, effects=move)


def a_refused_start_is_a_failed_one(patch: Patch) -> None:
    instead(patch, State.ENGINE_STARTING, "lease_held", then=guards.count_failed_start)


def a_restart_forgets_the_block(patch: Patch) -> None:
    patch.setattr(Memory, "after_restart", lambda _, now: Memory.beginning(now))


def nothing_is_adopted(patch: Patch) -> None:
    without(patch, "vm_found_here")


def local_maintenance_is_ignored(patch: Patch) -> None:
    original = tick.rate_host

    def rate(memory: Memory, facts: tick.Facts, *rest: Any) -> Any:
        return original(memory, attrs.evolve(facts, local_maintenance=False), *rest)

    patch.setattr(tick, "rate_host", rate)
    without(patch, "maintenance_set")


def global_maintenance_is_ignored(patch: Patch) -> None:
    without(patch, "global_maintenance")


def nobody_takes_over(patch: Patch) -> None:
    row = next(row for row in TABLE[State.ENGINE_DOWN] if row.name == "best_host")
    instead(
        patch,
        State.ENGINE_DOWN,
        "best_host",
        when=lambda view: not view.lease_runs_out and row.when(view),
    )


def a_hung_engine_is_left_alone(patch: Patch) -> None:
    without(patch, "health_bad")


def a_blocked_host_never_tries_again(patch: Patch) -> None:
    without(patch, "block_expired")


def a_guest_that_does_not_shut_down_is_waited_for(patch: Patch) -> None:
    without(patch, "deadline_passed")


def a_migration_that_does_not_end_is_waited_for(patch: Patch) -> None:
    without(patch, "migration_timed_out")


def an_edge_leads_elsewhere(patch: Patch) -> None:
    instead(patch, State.ENGINE_STARTING, "vm_gone", to=State.LOCAL_MAINTENANCE)


def an_edge_can_never_be_taken(patch: Patch) -> None:
    instead(patch, State.SCORE_BLOCKED, "vm_found_here", when=lambda _: False)


def two_states_hand_a_host_to_each_other(patch: Patch) -> None:
    # Without a VM EngineDown leads to EngineStarting, whose `vm_gone` leads back.
    instead(patch, State.ENGINE_DOWN, "vm_found_here", when=lambda view: not view.vm_is_here)
