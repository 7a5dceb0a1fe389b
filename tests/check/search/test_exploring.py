from __future__ import annotations

import time

import attrs
import pytest

from he_fsm.check.expand import Bounds
from he_fsm.check.faults import KINDS, USUAL
from he_fsm.check.properties import Property
from he_fsm.check.result import possible_rows
from he_fsm.check.scale import with_small_times
from he_fsm.check.search.explore import explore
from he_fsm.check.search.explored import Explored, Progress, begun
from he_fsm.policy import OVIRT, TALK, check_safety
from he_fsm.states.table import ROWS
from tests.check.exploring import broken, explored, judged

# Each strikes at a place of its own, or keeps hosts from something else.
KINDS_WITHOUT_REDUCTIONS = [
    *("crash", "vm", "cut", "gateway", "global", "agent"),
    *("stop", "mute", "deaf", "id", "sanlock", "suspend"),
]
FEW = ("crash", "vm", "maintenance")


def told(found: Explored) -> tuple[object, ...]:
    """Return what does not depend on who found it, and in which order."""
    return (
        found.states,
        found.transitions,
        set(found.parents),
        found.depth,
        found.edges,
        set(found.nodes),
    )


@pytest.mark.compiled
def test_with_two_hosts_and_two_faults_every_property_holds() -> None:
    found = explored(faults=2)
    assert found.is_whole
    verdicts = judged(found)
    assert {prop: verdict.word for prop, verdict in verdicts.items()} == dict.fromkeys(
        Property, "held"
    )


@pytest.mark.parametrize("policy", [TALK, OVIRT], ids=["talk", "ovirt"])
@pytest.mark.parametrize("hosts", [1, 2])
def test_with_one_fault_of_any_kind_nothing_is_broken(policy: object, hosts: int) -> None:
    found = explored(hosts=hosts, policy=policy)
    assert found.is_whole
    assert broken(found) == set()


@pytest.mark.once
def test_with_three_hosts_and_few_kinds_nothing_is_broken() -> None:
    assert broken(explored("cut", "vm", hosts=3)) == set()


def test_small_times_fit_each_other() -> None:
    for policy in (TALK, OVIRT):
        small = with_small_times(policy)
        check_safety(small)
        assert with_small_times(small) == small


def test_with_many_hosts_the_usual_kinds_strike() -> None:
    assert Bounds(hosts=2).strike == KINDS
    assert Bounds(hosts=3).strike == USUAL < KINDS
    assert Bounds(hosts=3, kinds=KINDS).strike == KINDS


@pytest.mark.parametrize("by_restart", [False, True])
def test_what_can_not_move_while_it_runs_never_leaves_and_meets_no_fault_of_a_migration(
    by_restart: bool,
) -> None:
    policy = attrs.evolve(TALK, live_migration=False, move_by_restart=by_restart)
    bounds = Bounds(policy=policy, faults=1)
    assert KINDS - bounds.strike == {"migration", "stuck", "outside", "arrival"}
    rows = {(row.source.value, row.name) for row in possible_rows(bounds)}
    assert not any("EngineMigratingAway" in row for row in rows)
    found = explored("gateway", "maintenance", "vm", faults=1, policy=policy)
    assert found.edges <= rows
    assert (("EngineUp", "better_host_restart") in found.edges) is by_restart
    assert all(verdict.held is not False for verdict in judged(found).values())


def test_a_vm_loses_its_lease_only_where_hosts_are_suspended() -> None:
    ends = [row for row in ROWS if row.name == "lease_elsewhere"]
    asked = {kind: possible_rows(Bounds(kinds=frozenset([kind]))) for kind in ("cut", "suspend")}
    assert set(asked["suspend"]) - set(asked["cut"]) == set(ends)
    taken = explored("suspend", faults=2).edges
    assert {("EngineUp", "lease_elsewhere"), ("EngineStarting", "lease_elsewhere")} <= taken


@pytest.mark.parametrize(
    ("hosts", "faults", "word"),
    [(2, 2, "broken"), (2, 1, "open"), (3, 2, "open"), (3, 3, "broken")],
)
def test_an_edge_is_missed_only_where_every_host_may_be_struck(
    hosts: int, faults: int, word: str
) -> None:
    nothing_used = Explored(Bounds(hosts=hosts, faults=faults, kinds=KINDS))
    assert judged(nothing_used)[Property.EDGES].word == word


@pytest.mark.once
@pytest.mark.parametrize("kinds", KINDS_WITHOUT_REDUCTIONS)
def test_without_the_reductions_the_verdicts_are_the_same(kinds: str) -> None:
    reduced, whole = explored(kinds), explored(kinds, reduced=False)
    assert len(whole.parents) > len(reduced.parents)
    assert broken(reduced) == broken(whole) == set()
    assert reduced.edges <= whole.edges


def test_several_processes_find_what_one_finds() -> None:
    alone = explored(*FEW)
    team = explored(*FEW, workers=2)
    assert told(alone)[2:] == told(team)[2:]
    assert alone.states == team.states


def test_exploring_goes_on_where_it_stopped() -> None:
    whole = explored(*FEW)
    parts = begun(Bounds(hosts=2, faults=1, kinds=frozenset(FEW)))
    times = 0
    while not parts.is_whole:
        # The time is over after the first handful.
        explore(parts, time_s=0.0)
        times += 1
    assert times > 3
    assert told(parts) == told(whole)


def test_an_interrupted_exploration_has_lost_nothing() -> None:
    whole = explored(*FEW)
    parts = begun(Bounds(hosts=2, faults=1, kinds=frozenset(FEW)))
    told_of: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        told_of.append(progress)
        if len(told_of) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(parts, tell=interrupt)
    assert not parts.is_whole
    explore(parts, tell=interrupt)
    assert told(parts) == told(whole)
    assert told_of[-1].waiting == 0


def test_progress_counts_up() -> None:
    seen: list[Progress] = []
    found = begun(Bounds(hosts=2, faults=1, kinds=frozenset(FEW)))
    explore(found, tell=seen.append)
    assert [each.states for each in seen] == sorted(each.states for each in seen)
    assert seen[-1].whole == len(found.parents)
    assert seen[-1].seconds <= time.monotonic()
