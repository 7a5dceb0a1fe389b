"""One run: what of it is counted, and what outages are put down to."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.campaign.draw import Strike, scenario_of
from he_fsm.campaign.faults import Cause
from he_fsm.campaign.play import Lasting, play
from he_fsm.campaign.results import NO_FAULT, RunResult
from he_fsm.scenario import Scenario, parse_scenarios
from he_fsm.scenario.language.writing import scenarios_text
from he_fsm.simulate import simulate
from tests.campaign.campaigns import design


def played(folder: Path, faults: str, more: str = "", hosts: str = "2", seed: int = 1) -> RunResult:
    return play(design(folder, faults, f"horizon: 10d\n{more}", hosts), seed)


def causes(run: RunResult) -> list[str]:
    return [outage.cause for outage in run.outages]


def test_an_outage_is_put_down_to_what_struck_the_host_of_the_engine(tmp_path: Path) -> None:
    faults = (
        "{cause: host, hosts: 1, mtbf: {fixed: 2d}, repair: {fixed: 5d}}\n"
        "{cause: agent, hosts: 2, mtbf: {fixed: 47h}, repair: {fixed: 2h}}"
    )
    # The agent of host 2 was killed an hour before host 1, with the engine, lost its power.
    run = played(tmp_path, faults, hosts="3")
    assert causes(run) == ["host"]
    assert run.outages[0].start_s == 2 * 86400.0
    assert run.starts == 1


def test_two_faults_at_once_and_the_later_one_counts(tmp_path: Path) -> None:
    faults = (
        "{cause: network, together: true, mtbf: {fixed: 1d}, repair: {fixed: 20d}}\n"
        "{cause: vm, mtbf: {fixed: 3d}}"
    )
    assert causes(played(tmp_path, faults)) == ["vm", "vm", "vm"]


def test_storage_that_is_lost_ends_the_engine_later_and_is_its_cause(tmp_path: Path) -> None:
    faults = "{cause: storage, hosts: 1, mtbf: {fixed: 6d}, repair: {fixed: 5m}}"
    run = played(tmp_path, faults)
    assert causes(run) == ["storage"]
    assert run.outages[0].start_s > 6 * 86400.0 + 30


def test_an_engine_that_does_not_run_at_first_is_nobodys_fault(tmp_path: Path) -> None:
    made = design(tmp_path, "{cause: vm, mtbf: {fixed: 50d}}", "horizon: 1d")
    idle = attrs.evolve(made.scenario, engine=attrs.evolve(made.scenario.engine, running_on=None))
    run = play(attrs.evolve(made, scenario=idle), 1)
    assert causes(run) == [NO_FAULT]
    assert run.outages[0].start_s == 0.0


def test_an_outage_that_lasts_when_the_run_ends_is_open(tmp_path: Path) -> None:
    faults = "{cause: rack, hosts: all, mtbf: {fixed: 4d}, repair: {fixed: 20d}}"
    run = played(tmp_path, faults)
    assert [(outage.length_s, outage.is_open) for outage in run.outages] == [(6 * 86400.0, True)]
    assert run.availability == pytest.approx(0.4)


def test_what_is_counted_is_what_the_simulator_counts(tmp_path: Path) -> None:
    faults = (
        "{cause: host, mtbf: 3d, repair: 1h}\n{cause: network, mtbf: 2d, repair: 1h}\n"
        "{cause: hang, mtbf: 3d, repair: 1h}\n{cause: storage, mtbf: 9d, repair: 3m}"
    )
    made = design(tmp_path, faults, "horizon: 15d", "3")
    for seed in range(1, 4):
        run, totals = play(made, seed), simulate(scenario_of(made, seed)).totals
        assert run.downtime_s == pytest.approx(totals["downtime"], abs=0.01)
        assert run.longest_outage_s == pytest.approx(totals["longest_outage"], abs=0.01)
        assert (run.starts, run.migrations) == (totals["starts"], totals["migrations"])
        assert run.resets == totals["resets"]
        assert run.broken_rules == ()
        assert NO_FAULT not in causes(run)


# Moves.


def test_a_move_away_from_a_host_that_soon_was_well_again_was_needless(tmp_path: Path) -> None:
    short = "{cause: network, hosts: 1, mtbf: {fixed: 2d}, repair: {fixed: 2m}}"
    run = played(tmp_path, short, hosts="2")
    assert (run.migrations, run.needless_moves) == (1, 1)
    long = short.replace("2m", "2h")
    run = played(tmp_path, long)
    assert (run.migrations, run.needless_moves) == (1, 0)
    # Who takes three hours for soon calls that needless too.
    assert played(tmp_path, long, "needless_within: 3h").needless_moves == 1


def test_a_move_for_maintenance_is_needed(tmp_path: Path) -> None:
    run = played(tmp_path, "{cause: maintenance, hosts: 1, every: 6d, lasts: 2h}")
    assert (run.migrations, run.needless_moves, run.outages) == (1, 0, ())


# The scenario of a run as a file.


def comparable(scenario: Scenario) -> Scenario:
    """Return the scenario without what says where it was written."""
    bare = tuple(attrs.evolve(each, text="", place=scenario.place) for each in scenario.timeline)
    return attrs.evolve(scenario, timeline=bare)


FAULTS = (
    "{cause: host, mtbf: 3d, repair: 1h}\n{cause: rack, hosts: [a, 7], mtbf: 9d, repair: 1h}\n"
    "{cause: agent, mtbf: 5d, repair: 1h}\n{cause: network, mtbf: 2d, repair: 1h}\n"
    "{cause: storage, mtbf: 8d, repair: 3m}\n{cause: hypervisor, mtbf: 9d, repair: 3m}\n"
    "{cause: agent, name: crash, mtbf: 4d}\n{cause: broker, mtbf: 6d}\n"
    "{cause: vm, mtbf: 2d}\n{cause: hang, mtbf: 3d, repair: 1h}\n"
    "{cause: maintenance, every: 5d, lasts: 1h}"
)
HOSTS = (
    "[{id: 1}, {id: 2, name: a, gateway: 0.25, watchdog: false, clock: +5h, mem_free: 9000}, "
    "{id: 7, hostname: h, agent: stopped, clock: '1999-12-31', failed_starts: {count: 1}}]"
)
MORE = (
    "policy: {base: ovirt, migration_threshold: 700, base_score: null}\n"
    "world: {loop: 7s, cold: true, vm_boot: 31.5s}\nhorizon: 20d\nmaintenance: none"
)


def test_a_run_as_a_file_is_the_same_scenario(tmp_path: Path) -> None:
    scenario = scenario_of(design(tmp_path, FAULTS, MORE, HOSTS), 3)
    assert len(scenario.timeline) > 50
    (back,) = parse_scenarios(scenarios_text([scenario]), "back.yaml")
    assert comparable(attrs.evolve(back, place=scenario.place)) == comparable(scenario)


def test_it_has_the_same_outages(tmp_path: Path) -> None:
    made = design(tmp_path, FAULTS, MORE, HOSTS)
    (back,) = parse_scenarios(scenarios_text([scenario_of(made, 3)]), "back.yaml")
    assert simulate(back).totals["downtime"] == pytest.approx(play(made, 3).downtime_s, abs=0.01)


@given(
    strikes=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=12),
    moments=st.lists(st.integers(0, 70), max_size=8),
)
def test_what_is_in_progress_is_known_at_each_moment(
    strikes: list[tuple[int, int]], moments: list[int]
) -> None:
    known = tuple(
        Strike(str(index), Cause.HOST, ("1",), float(start), float(start + length))
        for index, (start, length) in enumerate(sorted(strikes))
    )
    lasting = Lasting(known)
    for moment in sorted(moments):
        in_progress = [each for each in known if each.start_s <= moment <= each.end_s]
        assert lasting.at(float(moment)) == in_progress


def test_orderly_reboots_cost_no_outage_and_a_policy_that_stops_the_engine_one_each(
    tmp_path: Path,
) -> None:
    """A fault without `repair` is a reboot; with one the host is off for so long."""
    for repair in ("", ", repair: {fixed: 1h}"):
        faults = f"{{cause: shutdown, hosts: 1, mtbf: {{fixed: 3d}}{repair}}}"
        run = played(tmp_path, faults)
        assert (causes(run), run.starts) == ([], 0)
        stops = played(tmp_path, faults, "policy: {base: talk, on_shutdown: freeze}")
        assert causes(stops)[0] == "shutdown"
