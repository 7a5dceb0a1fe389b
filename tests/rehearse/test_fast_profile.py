"""The profile `fast` on real sanlock, whose watchdog then takes 10 s, at the clock's own speed."""

from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.lab.sanlock.needs import missing
from he_fsm.rehearse.backends import SANLOCK
from he_fsm.rehearse.cannot import sanlock_cannot
from he_fsm.rehearse.run import rehearse
from he_fsm.scenario import load_scenarios

(SCENARIO,) = load_scenarios(Path(__file__).parents[2] / "examples" / "fast.yaml")
WHY_NOT = "; ".join([*missing(1.0), *sanlock_cannot(SCENARIO, 1.0)])


@pytest.mark.long
@pytest.mark.sanlock
@pytest.mark.qemu
@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")
def test_the_engine_executes_within_half_a_minute_of_a_power_cut() -> None:
    outcome = rehearse(SCENARIO, backend=SANLOCK)
    assert [f"{failure.expected}: {failure.seen}" for failure in outcome.failures] == []
