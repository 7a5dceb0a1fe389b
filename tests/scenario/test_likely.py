from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from he_fsm.policy import OVIRT, POLICIES, TALK, Policy
from he_fsm.scenario.beginning.likely import Rated
from he_fsm.score import score
from he_fsm.snapshot import Readings

shares = st.floats(0, 1)


@given(
    policy=st.sampled_from(list(POLICIES.values())),
    readings=st.fixed_dictionaries(
        {
            "gateway": shares,
            "bridge": shares,
            "mem_free": st.sampled_from([0.0, 4095.0, 4096.0, 12367.0]),
            "cpu_load": shares,
            "mem_load": shares,
        }
    ),
    failed_starts=st.integers(0, 2),
    vm_is_here=st.booleans(),
    known=st.sets(st.sampled_from(["gateway", "bridge", "mem_free", "cpu_load", "mem_load"])),
)
@example(OVIRT, dict.fromkeys(["gateway", "bridge", "mem_free"], 0.0), 0, False, set())
def test_a_score_that_readings_gave_is_explained_and_what_was_known_stays(
    policy: Policy,
    readings: dict[str, float],
    failed_starts: int,
    vm_is_here: bool,
    known: set[str],
) -> None:
    def total(found: dict[str, float], failed: int) -> int:
        rated = score(Readings.of(**found), policy, vm_is_here=vm_is_here, failed_starts=failed)
        return rated.total

    wanted = total(readings, failed_starts)
    kept = {name: readings[name] for name in known if name in readings}
    likely = Rated(score=wanted, policy=policy, known=kept, vm_is_here=vm_is_here).likely()
    if likely is None:
        # Failed starts beside a share of a part: two reasons at once are not looked for.
        assert failed_starts
        return
    assert total(dict(likely.readings), likely.failed_starts) == wanted
    assert {name: likely.readings[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("policy", "seen", "why"),
    [
        (TALK, 2400, "all is well"),
        (TALK, 1400, "-1000 gateway (down)"),
        (TALK, 600, "-1000 gateway (down), -800 bridge (down)"),
        (TALK, 2350, "-50 failed starts (1 of them)"),
        (TALK, 2390, "-10 gateway (99% answered)"),
        (OVIRT, 3400, "all is well"),
        (OVIRT, 1800, "-1600 gateway (down)"),
        (OVIRT, 2400, "-1000 cpu load (100% of capacity)"),
        (OVIRT, 3080, "-320 cpu load (56% of capacity)"),
    ],
)
def test_the_simplest_reason_is_taken(policy: Policy, seen: int, why: str) -> None:
    likely = Rated(score=seen, policy=policy, known={}).likely()
    assert likely is not None
    assert likely.why == why


def test_what_no_readings_give_is_said() -> None:
    assert Rated(score=2401, policy=TALK, known={}).likely() is None
    healthy = {"gateway": 1.0, "bridge": 1.0, "mem_free": 8000.0, "cpu_load": 0.1, "mem_load": 0.1}
    assert Rated(score=1399, policy=TALK, known=healthy).likely() is None
