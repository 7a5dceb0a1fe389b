"""What an agent counts: transitions by edge, failed starts, and runs that ended badly."""

from __future__ import annotations

import pytest

from he_fsm.memory import Memory
from he_fsm.remembered import FailedStarts
from he_fsm.runtime.agent.counted import Counted
from tests.history.recordings import recorded


@pytest.mark.parametrize(
    ("timeline", "ended"),
    [
        ("{at: 60s, host: 1, power: off}", {"starts": 0, "runs": 0}),
        ("{at: 60s, engine: kill}", {"starts": 0, "runs": 1}),
        ("{at: 50s, host: 1, starts: fail 1}, {at: 60s, engine: kill}", {"starts": 1, "runs": 1}),
    ],
)
def test_what_befell_the_engine_is_counted_where_it_was(
    timeline: str, ended: dict[str, int]
) -> None:
    """By the looks that a simulated agent has kept: each with the memory before it and after."""
    counted: dict[str, Counted] = {}
    edges = 0
    for host, looks in recorded(timeline).items():
        counted[host] = Counted()
        for _, look in looks:
            counted[host].take(look.seen.before, look.decided.memory, look.decided.edge)
            edges += look.decided.edge is not None
    reports = [each.report() for each in counted.values()]
    assert {key: sum(report["ended"][key] for report in reports) for key in ended} == ended
    assert sum(count for report in reports for *_, count in report["transitions"]) == edges


def test_what_was_forgotten_is_no_ending() -> None:
    counted = Counted()
    counted.take(Memory(failed=FailedStarts(count=3, good_runs=1)), Memory(), None)
    assert counted.report() == {"transitions": [], "ended": {"starts": 0, "runs": 0}}
