"""What becomes of a paused domain, and of one that executes: pure functions."""

from __future__ import annotations

from typing import Optional

import pytest

from he_fsm.runtime.hypervisors.paused import (
    LEFT_BEHIND_S,
    Known,
    Verdict,
    of_paused,
    why_not,
)
from he_fsm.runtime.ports import LeaseSeen

PID, OWN, VERSION = 4711, 1, 7
FREE = LeaseSeen(owner=None, version=VERSION, clients=frozenset({PID}))


def seen(owner: Optional[int], version: int = VERSION, *, knows: bool = True) -> LeaseSeen:
    clients = frozenset({PID} if knows else ())
    return LeaseSeen(owner=owner, version=version, clients=clients)


@pytest.mark.parametrize(
    ("lease", "version", "left_behind_s", "verdict"),
    [
        pytest.param(FREE, VERSION, None, Verdict.STAYS, id="nobody took it"),
        pytest.param(FREE, None, None, Verdict.STAYS, id="nothing is known of before"),
        pytest.param(seen(2, VERSION + 1), VERSION, None, Verdict.DESTROY, id="another has it"),
        pytest.param(seen(2), None, None, Verdict.DESTROY, id="another has it, and no more"),
        pytest.param(seen(None, VERSION + 1), VERSION, None, Verdict.DESTROY, id="another had it"),
        pytest.param(seen(OWN), VERSION, None, Verdict.STAYS, id="being put down"),
        pytest.param(seen(None, knows=False), VERSION, None, Verdict.DESTROY, id="new sanlock"),
        pytest.param(FREE, VERSION, 0.0, Verdict.STAYS, id="a migration ends"),
        pytest.param(FREE, VERSION, LEFT_BEHIND_S, Verdict.RESUME, id="left behind"),
        pytest.param(seen(2, VERSION + 1), VERSION, 0.0, Verdict.STAYS, id="the target has it"),
        pytest.param(
            seen(3, VERSION + 1), VERSION, LEFT_BEHIND_S, Verdict.DESTROY, id="a third has it"
        ),
    ],
)
def test_a_paused_domain(
    lease: LeaseSeen, version: Optional[int], left_behind_s: Optional[float], verdict: Verdict
) -> None:
    known = Known(host_id=OWN, pid=PID, version=version)
    assert of_paused(lease, known, left_behind_s) is verdict


def test_a_domain_that_was_resumed_and_paused_again_stays() -> None:
    known = Known(host_id=OWN, pid=PID, version=VERSION, resumes=2)
    assert of_paused(seen(None, VERSION + 2), known, None) is Verdict.STAYS
    assert of_paused(seen(None, VERSION + 3), known, None) is Verdict.DESTROY


def held(version: int) -> LeaseSeen:
    return LeaseSeen(owner=OWN, version=version, holders=frozenset({PID}), clients=frozenset({PID}))


@pytest.mark.parametrize(
    ("lease", "version", "resumes", "says"),
    [
        pytest.param(held(VERSION), VERSION, 1, "", id="as before"),
        pytest.param(held(VERSION + 1), VERSION, 1, "", id="resumed once"),
        pytest.param(held(VERSION + 2), VERSION, 2, "", id="resumed twice"),
        pytest.param(held(VERSION), None, 1, "", id="found"),
        pytest.param(held(VERSION + 2), VERSION, 1, "another host had", id="others in between"),
        pytest.param(FREE, VERSION, 1, "without the lease", id="no lease"),
        pytest.param(seen(2), VERSION, 1, "without the lease", id="another's lease"),
    ],
)
def test_a_domain_that_executes(
    lease: LeaseSeen, version: Optional[int], resumes: int, says: str
) -> None:
    why = why_not(lease, Known(host_id=OWN, pid=PID, version=version, resumes=resumes))
    assert bool(why) is bool(says)
    assert says in why
