"""Who should run the engine, from shared facts alone."""

from __future__ import annotations

import attrs
import pytest

from he_fsm import OVIRT, TALK, EngineStatus, Placement, placement
from he_fsm.metadata.record import HostRecord
from he_fsm.testing.scenes import GOOD, NONE, record

BAD = EngineStatus("up", "bad", "Up", "failed liveliness check")
PAUSED = EngineStatus("up", "bad", "Paused", "bad vm status")


def place(
    *records: HostRecord, dead: tuple[int, ...] = (), pending: tuple[int, ...] = ()
) -> Placement:
    by_id = {found.host_id: found for found in records}
    alive = [host_id for host_id in by_id if host_id not in (*dead, *pending)]
    return placement(by_id, alive, TALK, pending)


def test_the_highest_score_starts_the_engine() -> None:
    plan = place(record(1, 1400), record(2, 2400), record(3, 2000))
    assert (plan.engine_on, plan.hosts, plan.score) == (None, (2,), 2400)
    assert plan.reason == "host 2 has the highest score, 2400"


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_lesson_b5_equal_scores_are_all_eager_in_the_order_of_their_ids(
    order: tuple[int, ...],
) -> None:
    plan = place(*[record(host_id) for host_id in order])
    assert plan.hosts == (1, 2, 3)
    assert plan.reason == "hosts 1, 2, 3 share the highest score, 2400"


@pytest.mark.parametrize("count", range(3, 9))
def test_lesson_b6_the_highest_of_many_is_chosen_not_the_lowest(count: int) -> None:
    for best in range(1, count + 1):
        found = [record(i, 2400 if i == best else 100 * i) for i in range(1, count + 1)]
        assert place(*found).hosts == (best,)


def test_many_equal_hosts_are_not_all_listed_in_the_reason() -> None:
    eight = place(*[record(i) for i in range(1, 9)])
    assert eight.reason == "hosts 1, 2, 3, 4, 5, 6, 7, 8 share the highest score, 2400"
    plan = place(*[record(i) for i in range(1, 10)])
    assert plan.hosts == tuple(range(1, 10))
    assert plan.reason == "hosts 1, 2, 3, 4, 5, 6, 7, 8, ... share the highest score, 2400"


def test_a_dead_host_is_left_out() -> None:
    assert place(record(1, 1000), record(2, 2400), dead=(2,)).hosts == (1,)


def test_a_host_whose_record_was_never_read_is_left_out() -> None:
    assert placement({1: record(1)}, {1, 2}, TALK, {3}).hosts == (1,)


def test_nobody_with_a_score_of_0_starts_the_engine() -> None:
    plan = place(record(1, 0), record(2, 0))
    assert (plan.hosts, plan.score) == ((), 0)
    assert plan.reason == "no living host has a score above 0"


def test_a_score_of_1_is_enough() -> None:
    assert place(record(1, 1), record(2, 0)).hosts == (1,)


def test_nobody_is_there() -> None:
    assert placement({}, (), TALK).hosts == ()


def test_a_score_that_the_policy_does_not_know_is_not_believed() -> None:
    assert place(record(1, 1000), record(2, 2401)).hosts == (1,)
    assert place(record(1, 1000), record(2, 2400)).hosts == (2,)
    assert placement({1: record(1, 3400)}, {1}, OVIRT).hosts == (1,)


@pytest.mark.parametrize("engine", [GOOD, BAD, PAUSED], ids=["good", "bad", "paused"])
def test_an_engine_that_runs_on_a_living_host_is_started_nowhere(engine: EngineStatus) -> None:
    plan = place(record(1), attrs.evolve(record(2, 0), engine=engine))
    assert (plan.engine_on, plan.hosts) == (2, ())
    assert plan.reason == "the engine runs on host 2"


@pytest.mark.parametrize("vm", ["down", "down_unexpected", "down_missing", "unknown"])
def test_an_engine_that_is_not_up_is_nowhere(vm: str) -> None:
    engine = EngineStatus(vm, "bad", "unknown")
    assert place(record(1), attrs.evolve(record(2), engine=engine)).engine_on is None


def test_an_engine_on_a_dead_host_is_nowhere() -> None:
    plan = place(record(1, 1000), attrs.evolve(record(2), engine=GOOD), dead=(2,))
    assert (plan.engine_on, plan.hosts) == (None, (1,))


@pytest.mark.parametrize(
    ("engines", "engine_on"),
    [
        ((BAD, GOOD, PAUSED), 2),
        ((PAUSED, PAUSED, BAD), 3),
        ((NONE, PAUSED, NONE), 2),
        ((GOOD, NONE, GOOD), 1),
        ((NONE, GOOD, GOOD), 2),
    ],
)
def test_of_two_that_claim_the_engine_the_healthier_has_it_then_the_lower_id(
    engines: tuple[EngineStatus, ...], engine_on: int
) -> None:
    found = [record(i, engine=engine) for i, engine in enumerate(engines, start=1)]
    assert place(*found).engine_on == engine_on
    assert place(*reversed(found)).engine_on == engine_on


def test_a_host_that_could_be_better_is_waited_for() -> None:
    plan = place(record(1, 1000), record(2, 2400), record(3, 1001), pending=(3, 2))
    assert (plan.hosts, plan.waits_for, plan.score) == ((), (2, 3), 1000)
    assert plan.reason == "host 2, 3 could be better and is not yet known to be alive or dead"


@pytest.mark.parametrize("score", [0, 999, 1000, 2401])
def test_a_host_that_could_not_be_better_is_not_waited_for(score: int) -> None:
    plan = place(record(1, 1000), record(2, score), pending=(2,))
    assert (plan.hosts, plan.waits_for) == ((1,), ())


def test_a_pending_host_that_is_as_good_has_its_turn_among_the_others() -> None:
    plan = place(record(1), record(2), record(3), record(4, 2399), pending=(2, 4))
    assert (plan.hosts, plan.turns) == ((1, 3), (1, 2, 3))
    assert place(record(1), record(2)).turns == (1, 2)
    assert place(record(1, 0), record(2, 0), pending=(2,)).turns == ()
    assert place(record(1, 1000), record(2), pending=(2,)).turns == ()


def test_an_engine_that_runs_is_more_than_a_host_that_could_be_better() -> None:
    plan = place(record(1, 1000, engine=GOOD), record(2, 2400), pending=(2,))
    assert (plan.engine_on, plan.waits_for) == (1, ())


def test_a_pending_host_that_claims_the_engine_does_not_have_it() -> None:
    plan = place(record(1, 2400), record(2, 2400, engine=GOOD), pending=(2,))
    assert (plan.engine_on, plan.hosts) == (None, (1,))
