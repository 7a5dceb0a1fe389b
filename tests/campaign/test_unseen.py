from __future__ import annotations

from pathlib import Path

import pytest

from he_fsm.campaign.reading import load_campaign
from he_fsm.campaign.results import YEAR_S, Outage, RunResult
from he_fsm.campaign.statistics import summarise
from he_fsm.campaign.unseen import unseen
from tests.campaign.campaigns import written

FAULTS = "{cause: vm, mtbf: 30d}\n{cause: host, mtbf: 50y, repair: 20m}"
TWENTY = "horizon: 1y\nruns: 20"


def texts(path: Path, *outages: Outage) -> list[str]:
    """Return what is said of twenty runs of a year, the first of which had these outages."""
    campaign = load_campaign(path)
    name = campaign.designs[0].variation.name
    played = [
        RunResult(
            variation=name,
            seed=seed,
            horizon_s=YEAR_S,
            outages=outages if seed == 1 else (),
        )
        for seed in range(1, 21)
    ]
    return [each.text for each in unseen(campaign, summarise(campaign, played))]


def outage(cause: str) -> Outage:
    return Outage(start_s=0.0, length_s=60.0, cause=cause)


def test_runs_without_an_outage_are_no_proof_that_there_is_none(tmp_path: Path) -> None:
    path = written(tmp_path, FAULTS, TWENTY)
    assert texts(path) == ["no run had an outage: rarer than 3 in 20 y at 95 %"]


def test_a_cause_that_never_struck_says_how_many_runs_would_show_it(tmp_path: Path) -> None:
    path = written(tmp_path, FAULTS, TWENTY)
    (said,) = texts(path, outage("vm"))
    assert said.startswith("no run had an outage due to 'host': rarer than 3 in 20 y at 95 %")
    assert said.endswith(" runs would show it")
    # So many runs have three strikes, on average: with 95 %, one at least.
    count = int(said.split("about ")[1].split()[0])
    hosts = len(load_campaign(path).designs[0].scenario.hosts)
    assert count == pytest.approx(3 * 50 / hosts, rel=0.02)


def test_a_fault_that_struck_often_without_an_outage_needs_no_more_runs(tmp_path: Path) -> None:
    path = written(tmp_path, FAULTS, TWENTY)
    (said,) = texts(path, outage("host"))
    assert said == "no run had an outage due to 'vm': rarer than 3 in 20 y at 95 %"


def test_what_happened_is_not_said_to_be_rare(tmp_path: Path) -> None:
    path = written(tmp_path, FAULTS, TWENTY)
    assert texts(path, outage("vm"), outage("host")) == []
