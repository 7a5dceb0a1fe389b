"""A short campaign of random kills; `make chaos` is the long one."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import attrs
import pytest

from he_fsm.chaos.run import campaign
from he_fsm.chaos.sizes import Growth, Size
from he_fsm.chaos.strike import EMBEDDED_KIT, KILLS, Kit
from he_fsm.chaos.strike_sanlock import SANLOCK_KIT
from he_fsm.chaos.summary import Summary, bound
from he_fsm.errors import HeFsmError
from he_fsm.lab.embedded import EmbeddedLab
from he_fsm.rehearse.lab_spec import spec_of
from he_fsm.scenario import parse_scenarios
from tests.rehearse.scenes import scenario_of

SUMMARY = Summary(
    seed=7,
    strikes=2,
    faults={"vm": 2, "agent": 1},
    recoveries=2,
    longest_outage_s=4.25,
    settled_s=1.0,
    bound_s=30.0,
    doubles=0,
    problems=(),
)


@pytest.mark.rehearsal
def test_whatever_dies_one_engine_is_up_in_the_end():
    summary = campaign(seed=1, for_s=10.0)
    assert summary.problems == ()
    assert summary.doubles == 0
    assert summary.settled_s <= summary.bound_s
    assert summary.strikes > 0
    assert set(summary.faults) <= {fault.name for fault in KILLS}


def test_the_bound_is_longer_than_a_lease_lasts_and_shrinks_with_speed():
    scenario = scenario_of("hosts: 2")
    assert bound(scenario, 1.0) > scenario.policy.lease_expiry_s
    assert bound(scenario, 10.0) < bound(scenario, 1.0)


@pytest.mark.parametrize("limit", ["start_timeout_max_s", "bad_health_s"])
@pytest.mark.parametrize("kit", [EMBEDDED_KIT, SANLOCK_KIT], ids=["embedded", "sanlock"])
def test_the_bound_allows_for_an_engine_that_hangs_for_as_long_as_it_may(kit: Kit, limit: str):
    (scenario,) = parse_scenarios(kit.scenario, "chaos")
    least_s = scenario.policy.lease_expiry_s + getattr(scenario.policy, limit)
    assert bound(scenario, 1.0) > least_s + scenario.policy.block_max_s


def test_what_is_left_of_a_lab_is_told(labs: Path):
    with tempfile.TemporaryDirectory(dir=labs) as name:
        lab = EmbeddedLab(spec_of(scenario_of("hosts: 1"), 10.0), Path(name))
        assert list(lab.left_behind()) == []
        with subprocess.Popen(["/bin/sleep", "60"], cwd=lab.shared) as process:
            assert list(lab.left_behind()) == ["left over: /bin/sleep 60"]
            process.kill()
        lab.close()


def test_a_folder_that_is_to_be_kept_has_to_be_empty(tmp_path: Path):
    (tmp_path / "something").touch()
    with pytest.raises(HeFsmError, match="is not empty"):
        campaign(seed=1, for_s=1.0, keep=tmp_path)


def test_the_summary_says_what_failed_and_what_is_wrong():
    assert list(SUMMARY.lines()) == [
        "seed 7: 2 strikes; faults: agent 1, vm 2",
        "recoveries: 2, longest outage 4.2 s",
        "settled after 1.0 s, bound 30.0 s",
        "two engines at once: 0",
    ]
    grown = Growth("agent", Size(40.0, 12, 5), Size(41.0, 13, 5))
    counted = list(attrs.evolve(SUMMARY, growths=(grown,)).lines())
    assert counted[-1] == "agent: 40.0 -> 41.0 MiB, 12 -> 13 descriptors, 5 -> 5 threads"
    bad = attrs.evolve(SUMMARY, problems=("slot 2 is empty",))
    assert list(bad.lines())[-1] == "PROBLEM: slot 2 is empty"
