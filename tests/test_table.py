"""The declared table: whole, without doubles, every state reachable and none absorbing."""

from __future__ import annotations

import pytest

from he_fsm import TABLE, State, Transition
from he_fsm.states.table import INITIAL, ROWS

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)


def reachable(start: State) -> set[State]:
    found, new = {start}, [start]
    while new:
        for row in TABLE[new.pop()]:
            if row.to not in found:
                found.add(row.to)
                new.append(row.to)
    return found


def test_every_state_has_its_rows_and_a_meaning() -> None:
    assert set(TABLE) == set(State)
    for state in State:
        assert TABLE[state]
        assert state.meaning


def test_rows_stand_under_their_own_source_and_have_names_of_their_own_there() -> None:
    for state, rows in TABLE.items():
        assert {row.source for row in rows} == {state}
        assert len({row.name for row in rows}) == len(rows)


def test_lesson_b37_every_state_is_reached_from_every_other_and_none_absorbs() -> None:
    assert INITIAL is State.UNKNOWN
    for state in State:
        assert reachable(state) == set(State)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TABLE[State.UNKNOWN] = ()  # type: ignore[index]


@each_row
@pytest.mark.interpreted
def test_each_row_says_its_condition_in_words(row: Transition) -> None:
    assert row.says
    assert row.says == row.says.strip()
    assert row.when.__doc__
    assert row.label == f"{row.source.value} --{row.name}--> {row.to.value}"


def test_lesson_b14_people_are_told_what_concerns_the_engine_and_not_what_comes_and_goes() -> None:
    silent = {(row.source, row.name) for row in ROWS if not row.notifies}
    derived = {(State.UNKNOWN, row.name) for row in TABLE[State.UNKNOWN]}
    hands_off = {
        (row.source, row.name) for row in ROWS if row.name in {"facts_missing", "hypervisor_silent"}
    }
    # People are notified even there of a VM without its lease, and of one that ended unseen.
    derived -= {(State.UNKNOWN, "lease_elsewhere"), (State.UNKNOWN, "vm_gone")}
    assert silent == derived | hands_off | {
        # A start that another host was quicker with, and what others do with the VM.
        (State.ENGINE_STARTING, "lease_held"),
        (State.ENGINE_STARTING, "vm_leaving"),
        (State.ENGINE_UP, "vm_leaving"),
    }


def test_what_all_hosts_see_at_the_same_time_is_told_by_one() -> None:
    marked = {(row.source, row.name) for row in ROWS if row.by_one}
    enters = {(row.source, row.name) for row in ROWS if row.to is State.GLOBAL_MAINTENANCE}
    assert marked == (enters - {(State.UNKNOWN, "global_maintenance")}) | {
        (State.GLOBAL_MAINTENANCE, "maintenance_over")
    }
    assert all(row.notifies for row in ROWS if row.by_one or row.in_series)


def test_a_vm_without_its_lease_is_the_first_thing_that_every_state_asks_for() -> None:
    """But for the states that adopt a VM they find."""
    first = {state for state, rows in TABLE.items() if rows[0].name == "lease_elsewhere"}
    adopts = {row.source for row in ROWS if row.name == "vm_found_here"}
    assert first == set(State) - (adopts - {State.UNKNOWN})


def test_what_counts_as_a_failed_start_is_marked() -> None:
    marked = {(row.source, row.name) for row in ROWS if row.counts_failed_start}
    assert marked == {
        (State.ENGINE_STARTING, "start_failed"),
        (State.ENGINE_STARTING, "last_start_failed"),
        (State.ENGINE_STARTING, "start_timed_out"),
        (State.ENGINE_UP, "health_bad"),
    }
