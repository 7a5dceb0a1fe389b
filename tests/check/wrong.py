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

from he_fsm import liveness, tick
from he_fsm.check.cluster import Cluster
from he_fsm.effects import MigrateVm, StartVm
from he_fsm.liveness import Liveness
from he_fsm.memory import Memory
from he_fsm.snapshot import VmState
from he_fsm.states import engine_down, guards, leaving, remembering
from he_fsm.states.names import State
from he_fsm.states.row import Transition
from he_fsm.states.table import TABLE
from he_fsm.states.view import View

Patch = pytest.MonkeyPatch
Rows = tuple[Transition, ...]
# The package's own name for it is the function.
steps = importlib.import_module("he_fsm.step")
observing = importlib.import_module("he_fsm.observe")


def change(patch: Patch, rows_of: Callable[[State, Rows], Rows]) -> None:
    """Make the machine use other rows."""
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


def an_arrival_is_waited_for_without_end(patch: Patch) -> None:
    without(patch, "arrival_lost")


def two_hosts_get_one_lease(patch: Patch) -> None:
    starts_without_asking_for_the_lease(patch)
    patch.setattr(Cluster, "can_take", lambda *_: True)
    # Otherwise a VM that has lost the lease is ended before it executes.
    patch.setattr(guards, "_may_execute", lambda *_: False)


def nobody_kills_a_vm_whose_lease_has_run_out(patch: Patch) -> None:
    original = Cluster.__init__

    def begin(self: Cluster, *arguments: Any, **more: Any) -> None:
        original(self, *arguments, **more)
        self.times.kills = [100] * self.hosts

    patch.setattr(Cluster, "__init__", begin)


def waits_for_its_own_watchdog_alone(patch: Patch) -> None:
    patch.setattr(observing, "for_the_longer", lambda leases, *_: leases)


def liveness_goes_by_the_clocks(patch: Patch) -> None:
    def who(sightings: Any, own_id: int, now: float, dead_after_s: float, _: Any) -> Liveness:
        alive = [
            host_id
            for host_id, seen in sightings.items()
            if seen.record is not None and now - seen.record.timestamp < dead_after_s
        ]
        return Liveness(frozenset([own_id, *alive]), frozenset(), float("inf"))

    patch.setattr(observing, "who_is_alive", who)


def takes_a_replayed_record_for_news(patch: Patch) -> None:
    original = liveness._see_no_growth

    def see(before: Any, content: Any, now: float, *, was_blind: bool) -> Any:
        return original(before, content, now, was_blind=was_blind)._replace(grew_at=now)

    patch.setattr(liveness, "_see_no_growth", see)


def takes_all_others_for_dead_while_blind(patch: Patch) -> None:
    original = tick.decide

    def decide(memory: Memory, facts: tick.Facts, own: Any, whiteboard: Any, *rest: Any) -> Any:
        step = original(memory, facts, own, whiteboard, *rest)
        if whiteboard is not None:
            return step
        alone = step.liveness._replace(alive=frozenset([rest[0].host_id]), pending=frozenset())
        forgotten = {
            host_id: seen._replace(grew_at=float("-inf"))
            for host_id, seen in step.memory.sightings.items()
        }
        return step._replace(memory=step.memory._replace(sightings=forgotten), liveness=alone)

    patch.setattr(tick, "decide", decide)


def counts_a_silent_agent_as_alive(patch: Patch) -> None:
    original = liveness.who_is_alive

    def who(sightings: Any, own_id: int, now: float, _: float, dead: frozenset[int]) -> Liveness:
        return original(sightings, own_id, now, float("inf"), dead)

    patch.setattr(observing, "who_is_alive", who)


def counts_a_stopped_agent_as_alive(patch: Patch) -> None:
    original = liveness.who_is_alive

    def who(sightings: Any, *rest: Any) -> Liveness:
        going_on = {
            host_id: seen._replace(
                record=None if seen.record is None else attrs.evolve(seen.record, stopped=False)
            )
            for host_id, seen in sightings.items()
        }
        return original(going_on, *rest)

    patch.setattr(observing, "who_is_alive", who)


def moves_to_whoever_is_as_good(patch: Patch) -> None:
    def better(view: View) -> bool:
        best = view.best_other()
        return view.vm is VmState.UP and best is not None and best[1] >= view.own_score

    def move(view: View) -> tuple[MigrateVm, ...]:
        best = view.best_other()
        return () if best is None else (MigrateVm(best[0]),)

    instead(patch, State.ENGINE_UP, "better_host", when=better, effects=move)


def moves_to_a_dead_host(patch: Patch) -> None:
    def anybody(view: View) -> bool:
        return view.vm is VmState.UP and bool(view.memory.sightings) and view.best_other() is None

    def move(view: View) -> tuple[MigrateVm, ...]:
        return (MigrateVm(min(view.memory.sightings)),)

    instead(patch, State.ENGINE_UP, "better_host", when=anybody, effects=move)


def with_a_record(
    patch: Patch, changed: Callable[[tick.Facts], tick.Facts] = lambda facts: facts
) -> None:
    """Make an agent decide by the record that it would have written, and by other facts."""
    original = tick.decide

    def decide(memory: Memory, facts: tick.Facts, own: Any, whiteboard: Any, *rest: Any) -> Any:
        facts = changed(facts)
        identity, policy = rest
        if own is None:
            score = tick.rate_host(memory, facts, identity, policy)
            own = tick.make_record(facts, identity, score.total, policy)
        return original(memory, facts, own, whiteboard, *rest)

    patch.setattr(tick, "decide", decide)


def with_facts(patch: Patch, changed: Callable[[tick.Facts], tick.Facts]) -> None:
    """Make an agent score itself, and decide, by other facts."""
    rate, decide = tick.rate_host, tick.decide
    patch.setattr(tick, "rate_host", lambda m, facts, *rest: rate(m, changed(facts), *rest))
    patch.setattr(tick, "decide", lambda m, facts, *rest: decide(m, changed(facts), *rest))


def starts_though_its_slot_could_not_be_written(patch: Patch) -> None:
    with_a_record(patch)


def starts_without_its_host_id(patch: Patch) -> None:
    def joined(facts: tick.Facts) -> tick.Facts:
        if facts.leases is None:
            return facts
        return facts._replace(leases=attrs.evolve(facts.leases, joined=True))

    with_a_record(patch, joined)


def ignores_another_hosts_announcement(patch: Patch) -> None:
    patch.setattr(engine_down, "other_claims", lambda _: [])


def starts_what_is_up_elsewhere(patch: Patch) -> None:
    row = next(row for row in TABLE[State.ENGINE_DOWN] if row.name == "best_host")

    def starts(view: View) -> bool:
        return view.placement.engine_on is not None or row.when(view)

    instead(patch, State.ENGINE_DOWN, "best_host", when=starts)


def stops_an_engine_that_is_well(patch: Patch) -> None:
    def is_alone(view: View) -> bool:
        return view.vm is VmState.UP and view.best_other() is None

    instead(patch, State.ENGINE_UP, "health_bad", when=is_alone, then=None)


def tries_a_failed_migration_again_at_once(patch: Patch) -> None:
    patch.setattr(View, "wait_after_failure", lambda _: float("-inf"))


def a_boot_forgets_failed_starts(patch: Patch) -> None:
    patch.setattr(Memory, "after_boot", lambda _, now, __: Memory.beginning(now))


def a_refused_start_is_a_failed_one(patch: Patch) -> None:
    instead(patch, State.ENGINE_STARTING, "lease_held", then=remembering.count_failed_start)


def a_restart_forgets_the_block(patch: Patch) -> None:
    patch.setattr(Memory, "after_restart", lambda _, now: Memory.beginning(now))


def leaves_a_vm_without_its_lease_alone(patch: Patch) -> None:
    without(patch, "lease_elsewhere")


def an_engine_that_is_up_goes_on_without_its_lease(patch: Patch) -> None:
    # Without this row alone, the agent would go to `Unknown` in that pass, and that state's row of
    # the same name would end the VM.
    def rows_of(state: State, rows: Rows) -> Rows:
        if state is not State.ENGINE_UP:
            return rows
        left = [row for row in rows if row.name != "lease_elsewhere"]
        sees = {"facts_missing": guards.facts_are_missing}
        return tuple(attrs.evolve(row, when=sees.get(row.name, row.when)) for row in left)

    change(patch, rows_of)


def only_a_vm_that_is_up_can_have_lost_its_lease(patch: Patch) -> None:
    patch.setattr(guards, "_may_execute", lambda view, _: view.vm in (VmState.UP, VmState.PAUSED))


def a_lease_that_was_given_back_was_never_lost(patch: Patch) -> None:
    def is_held(row: Transition) -> Callable[[View], bool]:
        return lambda view: view.leases.owner is not None and row.when(view)

    change(
        patch,
        lambda _, rows: tuple(
            attrs.evolve(row, when=is_held(row)) if row.name == "lease_elsewhere" else row
            for row in rows
        ),
    )


def does_not_notice_that_it_was_suspended(patch: Patch) -> None:
    patch.setattr(observing, "_slept_s", lambda *_: 0.0)


def does_not_know_that_it_is_about_to_be_reset(patch: Patch) -> None:
    def lives_on(facts: tick.Facts) -> tick.Facts:
        if facts.leases is None:
            return facts
        return facts._replace(leases=attrs.evolve(facts.leases, doomed_until=None))

    with_facts(patch, lives_on)


def offers_itself_while_it_goes_down(patch: Patch) -> None:
    original = tick.rate_host

    def rate(memory: Memory, facts: tick.Facts, *rest: Any) -> Any:
        return original(memory, facts._replace(leaves_by=None), *rest)

    patch.setattr(tick, "rate_host", rate)


def lets_its_host_go_down_with_the_vm(patch: Patch) -> None:
    def whatever_is_here(view: View) -> str:
        return "whatever is here" if view.is_leaving else ""

    patch.setattr(leaving, "may_let_go", whatever_is_here)


def nothing_is_adopted(patch: Patch) -> None:
    without(patch, "vm_found_here")


def local_maintenance_is_ignored(patch: Patch) -> None:
    original = tick.rate_host

    def rate(memory: Memory, facts: tick.Facts, *rest: Any) -> Any:
        return original(memory, facts._replace(local_maintenance=False), *rest)

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
    # Otherwise the target ends it.
    without(patch, "migration_timed_out", "arrival_lost")


def an_edge_leads_elsewhere(patch: Patch) -> None:
    instead(patch, State.ENGINE_STARTING, "vm_gone", to=State.LOCAL_MAINTENANCE)


def an_edge_can_never_be_taken(patch: Patch) -> None:
    instead(patch, State.SCORE_BLOCKED, "vm_found_here", when=lambda _: False)


def two_states_hand_a_host_to_each_other(patch: Patch) -> None:
    # Without a VM EngineDown leads to EngineStarting, whose `vm_gone` leads back.
    instead(patch, State.ENGINE_DOWN, "vm_found_here", when=lambda view: not view.vm_is_here)
