"""Drawing faults: what strikes when, and the scenario that a run becomes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.campaign.draw import Strike, draw_strikes, scenario_of
from he_fsm.campaign.faults import Cause, Fault
from he_fsm.campaign.spans import Exponential, Fixed
from he_fsm.scenario.model import Verb
from tests.campaign.campaigns import design

DAY_S = 86_400.0


def told(folder: Path, faults: str, more: str = "", hosts: str = "2") -> list[tuple[object, ...]]:
    """Return the timeline of a run of ten days."""
    made = design(folder, faults, f"horizon: 10d\n{more}", hosts)
    return [
        (entry.at / DAY_S, "".join(entry.hosts), entry.verb.value, entry.value)
        for entry in scenario_of(made, 1).timeline
    ]


@pytest.mark.parametrize(
    ("cause", "begins", "ends"),
    [
        ("host", ("power", "off"), ("power", "on")),
        ("agent", ("agent", "kill"), ("agent", "start")),
        ("broker", ("broker", "kill"), ("broker", "start")),
        ("network", ("set", {"gateway": 0.0}), ("set", {"gateway": 0.5})),
        ("storage", ("storage", ("cut", None)), ("storage", ("restore", None))),
        ("hypervisor", ("hypervisor", "lost"), ("hypervisor", "back")),
    ],
)
def test_each_cause_begins_and_ends(
    tmp_path: Path, cause: str, begins: tuple[str, object], ends: tuple[str, object]
) -> None:
    line = f"{{cause: {cause}, hosts: 2, mtbf: {{fixed: 6d}}, repair: {{fixed: 2d}}}}"
    hosts = "[{id: 1}, {id: 2, gateway: 0.5}]"
    assert told(tmp_path, line, hosts=hosts) == [(6.0, "2", *begins), (8.0, "2", *ends)]


@pytest.mark.parametrize("cause", ["agent", "broker"])
def test_a_daemon_that_nobody_repairs_crashes_and_systemd_starts_it_again(
    tmp_path: Path, cause: str
) -> None:
    line = f"{{cause: {cause}, hosts: 2, mtbf: {{fixed: 4d}}}}"
    assert told(tmp_path, line) == [(4.0, "2", cause, "crash"), (8.0, "2", cause, "crash")]


def test_a_daemon_can_crash_often_and_be_killed_for_good_now_and_then(tmp_path: Path) -> None:
    faults = (
        "{cause: agent, name: crashes, hosts: 1, mtbf: {fixed: 3d}}\n"
        "{cause: agent, hosts: 1, mtbf: {fixed: 5d}, repair: {fixed: 2d}}"
    )
    assert told(tmp_path, faults) == [
        (3.0, "1", "agent", "crash"),
        (5.0, "1", "agent", "kill"),
        (6.0, "1", "agent", "crash"),
        (7.0, "1", "agent", "start"),
        (9.0, "1", "agent", "crash"),
    ]


def test_what_strikes_the_engine_has_no_host(tmp_path: Path) -> None:
    faults = "{cause: vm, mtbf: {fixed: 4d}}\n{cause: hang, mtbf: {fixed: 5d}, repair: {fixed: 1d}}"
    assert told(tmp_path, faults) == [
        (4.0, "", "engine", ("kill", None)),
        (5.0, "", "engine", ("hang", None)),
        (6.0, "", "engine", ("heal", None)),
        (8.0, "", "engine", ("kill", None)),
    ]


def test_a_rack_is_lost_as_a_whole_and_each_host_by_itself(tmp_path: Path) -> None:
    rack = "{cause: rack, hosts: [1, 2], mtbf: 3d, repair: 1h}"
    assert {hosts for _, hosts, _, _ in told(tmp_path, rack, hosts="3")} == {"12"}
    alone = told(tmp_path, rack.replace("rack", "host"), hosts="3")
    assert {hosts for _, hosts, _, _ in alone} == {"1", "2"}
    switch = "{cause: network, hosts: [2, 3], together: true, mtbf: 3d, repair: 1h}"
    assert {hosts for _, hosts, _, _ in told(tmp_path, switch, hosts="3")} == {"23"}


def test_windows_of_maintenance_go_from_host_to_host(tmp_path: Path) -> None:
    window = "{cause: maintenance, every: 6d, lasts: 1d, at: 1d}"
    assert told(tmp_path, window) == [
        (1.0, "1", "maintenance", "on"),
        (2.0, "1", "maintenance", "off"),
        (2.0, "2", "maintenance", "on"),
        (3.0, "2", "maintenance", "off"),
        (7.0, "1", "maintenance", "on"),
        (8.0, "1", "maintenance", "off"),
        (8.0, "2", "maintenance", "on"),
        (9.0, "2", "maintenance", "off"),
    ]


def test_a_host_is_on_again_when_its_own_crash_and_its_racks_are_over(tmp_path: Path) -> None:
    faults = (
        "{cause: host, hosts: 1, mtbf: {fixed: 2d}, repair: {fixed: 3d}}\n"
        "{cause: rack, hosts: all, mtbf: {fixed: 4d}, repair: {fixed: 2d}}"
    )
    told_of_1 = [(at, value) for at, hosts, _, value in told(tmp_path, faults) if "1" in str(hosts)]
    assert told_of_1 == [(2.0, "off"), (6.0, "on"), (7.0, "off")]


def test_a_run_is_a_scenario_with_its_seed_and_its_end(tmp_path: Path) -> None:
    scenario = scenario_of(design(tmp_path, "{cause: vm, mtbf: 1d}", "horizon: 3d"), 17)
    assert (scenario.seed, scenario.until, scenario.expect) == (17, 3 * DAY_S, ())


def drawn(folder: Path, more: str, hosts: str = "2", mtbf: str = "2d") -> list[Strike]:
    faults = f"{{cause: host, mtbf: {mtbf}, repair: 1h}}\n{{cause: vm, mtbf: 2d}}"
    made = design(folder, faults, f"horizon: 30d\n{more}", hosts)
    return list(draw_strikes(made.faults, 5, made.horizon_s))


def test_designs_are_compared_under_the_same_faults(tmp_path: Path) -> None:
    usual = drawn(tmp_path, "")
    assert drawn(tmp_path, "policy: ovirt") == usual
    assert drawn(tmp_path, "world: {loop: 5s}") == usual
    # A third host adds its own, and takes nothing away.
    assert [each for each in drawn(tmp_path, "", hosts="3") if each.hosts != ("3",)] == usual
    # Twice the time between failures: each comes later, and those of the VM as before.
    rarer = drawn(tmp_path, "", mtbf="4d")
    assert [each for each in rarer if each.cause is Cause.VM] == [
        each for each in usual if each.cause is Cause.VM
    ]
    first, later = (next(e for e in each if e.hosts == ("1",)) for each in (usual, rarer))
    assert later.start_s == pytest.approx(2 * first.start_s, abs=0.01)


@given(seed=st.integers(0, 10**9), mtbf_s=st.integers(100, 5000), repair_s=st.integers(0, 5000))
def test_strikes_are_in_order_and_those_of_one_host_do_not_overlap(
    seed: int, mtbf_s: int, repair_s: int
) -> None:
    fault = Fault(
        cause=Cause.HOST,
        name="x",
        hosts=("1", "2"),
        mtbf=Exponential(float(mtbf_s)),
        repair=Fixed(float(repair_s)),
    )
    strikes = draw_strikes([fault], seed, 20_000.0)
    assert strikes == draw_strikes([fault], seed, 20_000.0)
    assert list(strikes) == sorted(strikes, key=lambda each: each.start_s)
    for host in ("1", "2"):
        own = [each for each in strikes if each.hosts == (host,)]
        assert all(one.end_s <= other.start_s for one, other in zip(own, own[1:]))
        assert all(0 <= each.start_s < 20_000.0 for each in own)


def test_no_entry_comes_at_or_after_the_end(tmp_path: Path) -> None:
    made = design(tmp_path, "{cause: host, mtbf: 1d, repair: 1d}", "horizon: 10d")
    for seed in range(20):
        timeline = scenario_of(made, seed).timeline
        assert all(entry.at < 10 * DAY_S for entry in timeline)
        assert {entry.verb for entry in timeline} == {Verb.POWER}
