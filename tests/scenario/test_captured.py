from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import attrs
import pytest
import yaml

from he_fsm.errors import ScenarioError
from he_fsm.metadata import SLOT_BYTES, EngineStatus, HostRecord, Whiteboard
from he_fsm.metadata.codec import encode_global
from he_fsm.runtime.broker.status import status_of
from he_fsm.runtime.ports import LeaseStatus
from he_fsm.scenario import Scenario, load_scenarios, parse_scenarios
from he_fsm.scenario.beginning.captured import Captured, capture
from he_fsm.scenario.beginning.sight import Sight, sight_of
from he_fsm.scenario.language.additions import Additions
from he_fsm.simulate import Outcome, simulate
from he_fsm.simulate.start import set_up
from he_fsm.simulate.world import World
from he_fsm.snapshot import LeaseView, OwnerState

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "metadata" / "golden"
BOARDS = {path.stem: path for path in GOLDEN.glob("*.metadata")}

UP = EngineStatus("up", "good", "Up")
DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")


def board(name: str) -> Whiteboard:
    return Whiteboard.parse(BOARDS[name].read_bytes())


def record(host_id: int, score: int = 3400, engine: EngineStatus = DOWN, **more: Any) -> HostRecord:
    return HostRecord(
        host_id=host_id, timestamp=7, score=score, engine=engine, hostname="h", **more
    )


def whiteboard(*records: HostRecord) -> Whiteboard:
    return Whiteboard.parse(Whiteboard.build(records))


def scenario_of(captured: Captured, text: str = "{name: mine}") -> Scenario:
    additions = Additions.beginning(captured.keys, "wb.metadata")
    return parse_scenarios(f"scenarios: [{text}]", "mine.yaml", additions=additions)[0]


def starts(captured: Captured) -> Outcome:
    return simulate(scenario_of(captured))


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_the_cluster_begins_as_ovirts_agents_left_it(name: str) -> None:
    seen = board(name)
    captured = capture(seen)
    if not seen.records:
        assert captured.keys["hosts"] == []
        return
    outcome = starts(captured)
    scores = {view.host_id: view.score for view in outcome.start}
    assert scores == {number: found.score for number, found in seen.records.items()}
    for number, found in seen.records.items():
        host = outcome.scenario.host(str(number))
        assert host.hostname == found.hostname
        assert host.maintenance == found.local_maintenance
        assert host.agent_running is not found.stopped
    up = [number for number, found in seen.records.items() if found.engine.vm == "up"]
    runs_on = outcome.scenario.engine.running_on
    assert (runs_on is None) == (not up)
    assert runs_on is None or int(runs_on) in up
    assert outcome.scenario.maintenance == bool(seen.global_block.maintenance)


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_every_slot_that_can_not_be_believed_is_named(name: str) -> None:
    seen = board(name)
    notes = "\n".join(capture(seen).notes)
    for number, problem in seen.problems.items():
        assert f"slot {number} can't be believed ({problem.word.value}: " in notes
        assert f"host {number} is left out" in notes


def test_a_board_full_of_damage_is_a_few_notes() -> None:
    data = bytearray(Whiteboard.build([record(1, engine=UP)])) + bytes(SLOT_BYTES * 1999)
    for slot in range(2, 2001):
        data[slot * SLOT_BYTES : slot * SLOT_BYTES + 7] = b"garbage" if slot % 2 else b"9|9|7||"
    notes = capture(Whiteboard.parse(data)).notes
    assert len(notes) < 10
    assert max(map(len, notes)) < 300


def state_text(name: str) -> str:
    return f"maintenance=False\nstate={name}\nstopped=False\n"


STARTS = EngineStatus("up", "bad", "WaitForLaunch", "bad vm status")
POWERS_UP = EngineStatus("up", "bad", "Powering up", "bad vm status")
BOOTS = EngineStatus("up", "bad", "Up", "failed liveliness check")
POWERS_DOWN = EngineStatus("up", "bad", "Powering down", "failed liveliness check")
LEAVES = EngineStatus("up", "good", "Migration Source")
ARRIVES = EngineStatus("down", "bad", "Migration Destination", "bad vm status")


@pytest.mark.parametrize(
    ("status", "state", "doing"),
    [
        (STARTS, "EngineStart", "starting"),
        (POWERS_UP, "EngineStarting", "starting"),
        (BOOTS, "EngineStarting", "starting"),
        (POWERS_DOWN, "EngineStop", "stopping"),
        (BOOTS, "EngineForceStop", "stopping"),
        (POWERS_DOWN, "EngineStopping", "stopping"),
    ],
)
def test_what_the_engine_was_doing_goes_on(status: EngineStatus, state: str, doing: str) -> None:
    up = record(1, engine=status, text=state_text(state))
    seen = whiteboard(up, record(2, text=state_text("EngineDown")))
    captured = capture(seen)
    assert captured.keys["engine"] == {"running_on": 1, "doing": doing}
    assert any(f"the engine on host 1 was {doing}; since when" in note for note in captured.notes)
    sight = Sight(alive=frozenset({1, 2}), host_id=1, state=state, state_for_s=12.0)
    captured = capture(seen, sight)
    assert captured.keys["engine"] == {"running_on": 1, "doing": doing, "doing_for": 12.0}
    outcome = starts(captured)
    assert outcome.engine == "good"
    assert outcome.totals["starts"] == (doing == "stopping")


def test_a_migration_goes_on_to_the_host_that_waits_for_it() -> None:
    source = record(1, engine=LEAVES, text=state_text("EngineMigratingAway"))
    captured = capture(whiteboard(source, record(2, engine=ARRIVES), record(3)))
    assert captured.keys["timeline"] == [{"at": 0, "engine": "migrate 2"}]
    assert starts(captured).engine_on == "2"
    captured = capture(whiteboard(source, record(2), record(3)))
    assert "timeline" not in captured.keys
    assert any("no record says for where" in note for note in captured.notes)


@pytest.mark.parametrize(
    ("status", "state", "says"),
    [
        (EngineStatus("up", "bad", "RebootInProgress", "x"), "EngineUp", "was rebooting"),
        (UP, "EngineMaybeAway", "host 1 was in EngineMaybeAway: not used"),
    ],
)
def test_what_is_not_taken_over_is_said(status: EngineStatus, state: str, says: str) -> None:
    captured = capture(whiteboard(record(1, engine=status, text=state_text(state))))
    assert any(says in note for note in captured.notes)


def test_what_another_host_was_about_to_do_is_said() -> None:
    claims = EngineStatus("down", "bad", "WaitForLaunch", "waiting for the engine's lease")
    lost = record(3, text=state_text("ReinitializeFSM"))
    notes = capture(whiteboard(record(1, engine=UP), record(2, engine=claims), lost)).notes
    assert any("host 2 was about to take the engine's lease" in note for note in notes)
    assert any("host 3 was in ReinitializeFSM: not used" in note for note in notes)


# Older releases wrote the score in front of the reason.
@pytest.mark.parametrize("before", ["", "0: "])
def test_a_score_of_nothing_says_what_is_assumed(before: str) -> None:
    why = record(2, 0, text=f"score-why={before}the storage can't be read\n")
    notes = capture(whiteboard(record(1, engine=UP), why, record(3, 0))).notes
    assert any("host 2 has score 0, because of: the storage can't be read: " in n for n in notes)
    assert any("host 3 has score 0, reason unknown: " in n for n in notes)


@pytest.mark.parametrize("name", ["gateway-failure", "host-crash", "local-maintenance"])
def test_what_our_agents_write_is_taken_over_at_any_moment(name: str) -> None:
    scenarios = {each.name: each for each in load_scenarios(ROOT / "examples" / "talk.yaml")}
    found = simulate(scenarios[name])
    for views in (found.start, found.end):
        blocks = bytearray(SLOT_BYTES * (1 + max(view.host_id for view in views)))
        for view in views:
            at = view.host_id * SLOT_BYTES
            blocks[at : at + SLOT_BYTES] = view.block
        seen = Whiteboard.parse(blocks)
        captured = capture(seen)
        assert [note for note in captured.notes if "is read as" in note] == []
        scores = {view.host_id: view.score for view in starts(captured).start}
        assert scores == {number: found.score for number, found in seen.records.items()}


def test_readings_that_were_written_down_are_those() -> None:
    (host, *_) = capture(board("format-2013")).keys["hosts"]
    assert (host["gateway"], host["mem_free"], host["cpu_load"]) == (0.0, 12367.0, 0.055)


def test_without_a_status_what_is_assumed_is_one_sentence() -> None:
    captured = capture(whiteboard(record(1, engine=UP), record(2)))
    assert captured.notes[0].startswith("assumed (no --status): ")
    assert captured.keys["engine"] == {"running_on": 1}


@pytest.mark.parametrize(
    ("status", "keys"),
    [
        (UP, {}),
        (EngineStatus("up", "bad", "Up"), {"health": "bad"}),
        (EngineStatus("up", "bad", "Paused"), {"paused": True}),
    ],
)
def test_the_engine_does_as_its_host_says(status: EngineStatus, keys: dict[str, object]) -> None:
    captured = capture(whiteboard(record(1), record(2, engine=status)))
    assert captured.keys["engine"] == {"running_on": 2, **keys}


def test_of_two_that_say_they_run_it_the_healthier_does_unless_the_lease_says_otherwise() -> None:
    seen = whiteboard(record(1, engine=EngineStatus("up", "bad", "Up")), record(2, engine=UP))
    assert capture(seen).keys["engine"] == {"running_on": 2}
    by_lease = capture(seen, Sight(knows_lease=True, owner=1))
    assert by_lease.keys["engine"] == {"running_on": 1, "health": "bad"}
    nobody = capture(seen, Sight(knows_lease=True))
    assert nobody.keys["engine"] == {"running_on": None}
    assert sum("says that the VM is up" in note for note in nobody.notes) == 2


def test_the_dead_have_no_power_and_the_silent_no_agent() -> None:
    seen = whiteboard(record(1, engine=UP), record(2), record(3))
    sight = Sight(alive=frozenset({1}), dead=frozenset({3}), knows_lease=True, owner=1)
    scenario = scenario_of(capture(seen, sight))
    assert [host.powered for host in scenario.hosts] == [True, True, False]
    assert [host.agent_running for host in scenario.hosts] == [True, False, True]


def test_an_owner_that_fails_loses_its_power_and_the_engine_comes_back() -> None:
    seen = whiteboard(record(1, engine=UP), record(2))
    sight = Sight(alive=frozenset({2}), knows_lease=True, owner=1, owner_fails=True)
    outcome = starts(capture(seen, sight))
    assert outcome.engine_on == "2"
    assert outcome.totals["starts"] == 1


@pytest.mark.parametrize("left_s", [0.0, 5.0, 40.0, 89.0])
@pytest.mark.parametrize("skips", [True, False])
def test_a_lease_that_is_running_out_keeps_the_time_that_it_has_left(
    left_s: float, skips: bool
) -> None:
    seen = whiteboard(record(1, engine=UP), record(2), record(3))
    sight = Sight(
        alive=frozenset({2, 3}),
        knows_lease=True,
        owner=1,
        owner_fails=True,
        lease_left_s=left_s,
    )
    captured = capture(seen, sight)
    assert f"the lease can be taken {left_s:g} s later" in captured.notes[-1]
    # Nobody has it before; then a loop passes at most, and equal hosts are 2 s apart.
    expect = f"""[
        {{to: {max(left_s - 0.001, 0)}, lease: 1, engine: down}},
        {{from: {left_s + 0.02}, lease: [null, 2, 3]}},
        {{by: {left_s + 15}, lease: [2, 3]}},
        {{total: {{starts: 1}}}},
    ]"""
    outcome = simulate(
        scenario_of(captured, f"{{name: mine, expect: {expect}}}"), skips_idle_time=skips
    )
    assert outcome.failures == ()


def test_a_host_behind_a_bad_slot_takes_part_where_it_is_known_to_live() -> None:
    seen = board("bad-crc")
    (bad, *_) = seen.problems
    captured = capture(seen, Sight(alive=frozenset({bad, *seen.records})))
    assert {"id": bad} in captured.keys["hosts"]
    assert any(f"host {bad} lives, and is taken as healthy" in note for note in captured.notes)


def test_an_owner_without_a_slot_takes_part_too() -> None:
    captured = capture(whiteboard(record(1)), Sight(knows_lease=True, owner=7))
    assert {"id": 7} in captured.keys["hosts"]
    assert scenario_of(captured).engine.running_on == "7"


def test_a_host_that_does_not_know_of_its_vm_has_no_hypervisor() -> None:
    unknown = EngineStatus("unknown", "unknown", "unknown", "failed to getVmStats")
    outcome = starts(capture(whiteboard(record(1, engine=UP), record(2, 0, unknown))))
    assert outcome.end[1].state == "Unknown"


def test_a_score_that_nothing_explains_is_said_and_the_host_is_taken_as_healthy() -> None:
    captured = capture(whiteboard(record(1, 9999)))
    assert "host 1: no readings give its score 9999" in captured.notes


# What was known beside the whiteboard.


def test_ovirts_status_says_who_was_alive() -> None:
    status = {"1": {"live-data": True}, "2": {"live-data": False}, "global_maintenance": False}
    assert sight_of(status, "status.json") == Sight(alive=frozenset({1}))


def our_status(agent: dict[str, Any], leases: Optional[LeaseStatus]) -> dict[str, Any]:
    """Return what a broker says."""
    status = status_of(
        host_id=1,
        whiteboard=None,
        read_age_s=1.0,
        storage="ok",
        leases=leases,
        now=1000.0,
        report=agent,
        report_age_s=1.0,
        monitors={},
        local_maintenance=False,
        local_problem="",
        counts={},
        threads={},
    )
    plain: dict[str, Any] = json.loads(json.dumps(status))
    return plain


def test_our_status_says_who_had_the_lease_too() -> None:
    view = LeaseView(
        owner=2, owner_state=OwnerState.FAILING, free_at=1060.0, dead_hosts=frozenset({3})
    )
    status = our_status({"alive": [1, 2], "pending": [4]}, LeaseStatus(view=view))
    assert sight_of(status, "status.json") == Sight(
        alive=frozenset({1, 2, 4}),
        dead=frozenset({3}),
        knows_lease=True,
        owner=2,
        owner_fails=True,
        lease_left_s=60.0,
    )


def test_a_broker_alone_knows_little() -> None:
    assert sight_of(our_status({}, None), "status.json") == Sight()
    own = our_status({"state": "EngineStarting", "state_for_s": 20.0}, None)
    assert sight_of(own, "status.json") == Sight(
        host_id=1, state="EngineStarting", state_for_s=21.0
    )
    free = our_status({}, LeaseStatus(view=LeaseView()))
    assert sight_of(free, "status.json") == Sight(knows_lease=True)


@pytest.mark.parametrize(
    "status",
    [
        *([], {}, "x", None, {"agent": 1, "lease": {}, "hosts": {}}),
        *({"one": {"live-data": True}, "global_maintenance": True},),
        *({"1": {}, "global_maintenance": True},),
    ],
)
def test_what_is_no_status_is_one_sentence(status: object) -> None:
    with pytest.raises(ScenarioError, match=r"^status\.json: "):
        sight_of(status, "status.json")


@pytest.mark.parametrize("left", [float("nan"), float("inf"), "soon", [1]])
def test_a_lease_that_lasts_no_time_that_there_is_is_one_sentence(left: object) -> None:
    status = our_status({}, LeaseStatus(view=LeaseView(owner=1, owner_state=OwnerState.FAILING)))
    status["lease"]["free_in_s"] = left
    with pytest.raises(ScenarioError, match=r"^status\.json: a status that can't be understood"):
        sight_of(status, "status.json")


# Together with what a file says.


def test_a_files_timeline_follows_what_was_captured() -> None:
    unknown = EngineStatus("unknown", "unknown", "unknown")
    captured = capture(whiteboard(record(1, engine=UP), record(2, 0, unknown)))
    for text, verbs in [
        ("{name: mine, timeline: [{at: 5s, engine: kill}]}", ["hypervisor", "engine"]),
        ("{name: mine, timeline: null}", ["hypervisor"]),
    ]:
        assert [entry.verb.value for entry in scenario_of(captured, text).timeline] == verbs


def test_two_hosts_of_a_file_that_claim_one_id_stay_two() -> None:
    captured = capture(whiteboard(record(1, engine=UP)))
    text = "{name: mine, hosts: [{id: 1, gateway: 0}, {id: 1, name: twin}]}"
    hosts = scenario_of(captured, text).hosts
    assert [(host.name, host.gateway) for host in hosts] == [("1", 0.0), ("twin", 1.0)]


@pytest.mark.parametrize("text", ["{name: mine, hosts: [1]}", "{name: mine, timeline: 3}"])
def test_what_a_file_says_wrongly_is_refused_as_ever(text: str) -> None:
    with pytest.raises(ScenarioError, match="expected a"):
        scenario_of(capture(whiteboard(record(1))), text)


LIKED = """
name: liked
hosts:
  - {id: 1, preference: never}
  - {id: 2, preference: -50}
  - {id: 3, preference: 30, cpu_load: 0.9}
engine: {running_on: 2}
until: 1m
"""


def test_preferences_are_taken_over_from_what_the_hosts_wrote() -> None:
    """Else what-if would take a host for one that has a trouble, which passes."""
    (scenario,) = parse_scenarios(
        "scenarios: [" + json.dumps(yaml.safe_load(LIKED)) + "]", "a.yaml"
    )
    world = World(scenario, 1)
    set_up(world)
    written = b"".join(map(world.storage.latest, range(4)))
    hosts = capture(Whiteboard.parse(written)).keys["hosts"]
    assert [host.get("preference") for host in hosts] == ["never", -50, 30]
    assert not any("failed_starts" in host for host in hosts)


# What goes on by itself.

FROZEN = EngineStatus("down", "bad", "Frozen", "kept for this host until it is back")
# 2026-12-01 13:00:00 UTC, and how he_fsm writes it.
WRITTEN_AT = 1_796_130_000
WRITTEN = "timestamp=7 (Tue Dec  1 13:00:00 2026)\n"


def test_an_engine_that_is_kept_waits_for_its_host() -> None:
    kept = record(1, 0, FROZEN, stopped=True)
    captured = capture(whiteboard(kept, record(2), record(3)))
    assert captured.keys["engine"] == {"running_on": None, "kept_by": 1}
    assert "host 1 was shut down in order, and keeps the engine until it is back" in " ".join(
        captured.notes
    )
    scenario = scenario_of(captured, "{name: mine, until: 20m}")
    assert (scenario.host("1").powered, scenario.engine.kept_by) == (False, "1")
    assert starts_of(simulate(scenario)) == []
    boots = "{name: mine, until: 20m, timeline: [{at: 10m, host: 1, power: on}]}"
    assert [host for host, _ in starts_of(simulate(scenario_of(captured, boots)))] == ["1"]


def starts_of(outcome: Outcome) -> list[tuple[Optional[str], float]]:
    return [
        (event.host, event.t)
        for event in outcome.events
        if event.kind == "state" and event.details["to"] == "EngineStarting"
    ]


def test_an_engine_runs_whatever_the_record_of_a_host_says_that_kept_it() -> None:
    captured = capture(whiteboard(record(1, 0, FROZEN, stopped=True), record(2, engine=UP)))
    assert captured.keys["engine"] == {"running_on": 2}


def ending(until: Optional[int], **slot: Any) -> Whiteboard:
    data = bytearray(Whiteboard.build([record(1, engine=UP, text=WRITTEN, **slot), record(2)]))
    if until is not None:
        data[:SLOT_BYTES] = encode_global(maintenance=True, until=until)
    return Whiteboard.parse(bytes(data))


@pytest.mark.parametrize("left_s", [7200, 30, -5])
def test_a_global_maintenance_ends_when_its_time_is_over(left_s: int) -> None:
    captured = capture(ending(WRITTEN_AT + left_s))
    assert captured.keys["maintenance"] == "global"
    assert {"at": 0, "maintenance": "global", "for": max(1, left_s)} in captured.keys["timeline"]
    timeline = "{name: mine, until: 10m, timeline: [{at: 60s, engine: kill}]}"
    started = starts_of(simulate(scenario_of(captured, timeline)))
    # While it lasts, nobody starts the engine again.
    assert bool(started) is (left_s < 600)


def test_a_local_maintenance_of_the_host_that_was_asked_ends_too() -> None:
    board_now = ending(None, local_maintenance=True)
    sight = Sight(alive=frozenset({1, 2}), host_id=1, local_until=WRITTEN_AT + 90)
    captured = capture(board_now, sight)
    entry = {"at": 0, "host": 1, "maintenance": "on", "for": 90}
    assert entry in captured.keys["timeline"]
    assert "the local maintenance of host 1 ends by itself in 90 s" in captured.notes
    # No record says whether another host's ends.
    other = attrs.evolve(sight, host_id=2)
    assert "timeline" not in capture(board_now, other).keys


def test_the_status_says_when_the_local_maintenance_ends() -> None:
    plain = our_status({"alive": [1], "state": "LocalMaintenance", "state_for_s": 5.0}, None)
    assert sight_of(plain, "status").local_until is None
    plain["maintenance"]["local_until"] = 1_999_999_999
    assert sight_of(plain, "status").local_until == 1_999_999_999
