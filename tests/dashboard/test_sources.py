"""Where clusters are read: the demo, a whiteboard, and what an agent has kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.dashboard.sources.demo import DemoSource
from he_fsm.dashboard.sources.of_look import LookReader
from he_fsm.dashboard.sources.ring import kept_moments
from he_fsm.dashboard.sources.whiteboard import WhiteboardSource
from he_fsm.errors import HeFsmError, StorageError
from he_fsm.history.look import Look, Session
from he_fsm.live.seen import read_with
from he_fsm.live.verdict import verdict_of
from he_fsm.metadata import EngineStatus, HostRecord, Whiteboard
from he_fsm.runtime.history.keeper import Keeper
from he_fsm.runtime.history.ring import FOLDER, Limits, Ring
from he_fsm.scenario import parse_scenarios
from he_fsm.simulate import simulate

UP = EngineStatus("up", "good", "Up")
DOWN = EngineStatus("down", "bad", "unknown")


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now


# The demo.


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def demo(clock: Clock) -> DemoSource:
    return DemoSource(clock)


def test_the_demo_lives_on_and_begins_again(demo: DemoSource, clock: Clock) -> None:
    seen = []
    for minutes in (1, 4, 15, 26, 29):
        clock.now = 10_000.0 + 60.0 * minutes
        found = demo.status()
        verdict = verdict_of(found, clock.now)
        seen.append((verdict.engine, verdict.engine_on, found["hosts"]["3"]["maintenance"]))
    assert seen == [
        ("good", 1, False),
        # Its gateway fails, and the engine moves.
        ("good", 2, False),
        # Host 3 is looked after.
        ("good", 2, True),
        ("good", 1, False),
        ("good", 2, False),
    ]


def test_the_demo_says_why_a_host_lacks_points(demo: DemoSource, clock: Clock) -> None:
    clock.now += 180.0
    text = demo.status()["hosts"]["1"]["text"]
    assert "score-why=-1000 gateway (down)" in text


def test_the_demo_grows_old_between_two_looks(demo: DemoSource, clock: Clock) -> None:
    clock.now += 100.0
    before = demo.status()["agent"]["age_s"]
    clock.now += 1.0
    assert demo.status()["agent"]["age_s"] == pytest.approx(before + 1.0)


def test_the_demo_has_a_past(demo: DemoSource, clock: Clock) -> None:
    moments = list(demo.past(clock.now - 6 * 3600))
    times = [at for at, _ in moments]
    assert times == sorted(times)
    assert clock.now - 6 * 3600 <= times[0] < clock.now - 5 * 3600
    assert times[-1] < clock.now


def test_the_demo_can_be_asked_what_if(demo: DemoSource) -> None:
    demo.status()
    seen = read_with(demo, demo.policy)
    assert seen.living == [1, 2, 3]
    assert seen.runs_on == 1


# What an agent has kept.

STORY = """
scenarios:
  - name: story
    hosts: 2
    engine: {running_on: 1}
    timeline: [{at: 60s, host: 1, set: {gateway: 0}}]
    until: 5m
"""


@pytest.fixture(scope="module")
def looks() -> list[tuple[Session, Look]]:
    found: list[tuple[Session, Look]] = []

    def record(name: str, session: Session, look: Look) -> None:
        if name == "1":
            found.append((session, look))

    simulate(parse_scenarios(STORY, "story")[0], record=record)
    return found


@attrs.frozen
class _Config:
    """All of a configuration that is asked for."""

    state_dir: Path


def kept(folder: Path, looks: list[tuple[Session, Look]], looks_max: int = 10_000) -> Any:
    """Keep looks as an agent does; return what has the folder."""
    ring = Ring(folder / FOLDER, Limits(bytes_max=2**20, looks_max=looks_max))
    keeper = Keeper(ring, looks[0][0])
    keeper.start()
    for _, look in looks:
        keeper.take(look)
    keeper.close(20.0)
    return _Config(folder)


def test_the_past_is_what_the_agent_has_kept(
    tmp_path: Path, looks: list[tuple[Session, Look]]
) -> None:
    config = kept(tmp_path, looks)
    moments = list(kept_moments(config, 0.0))
    assert [at for at, _ in moments] == sorted(look.seen.wall_at for _, look in looks)
    engines = [verdict_of(status, at).engine_on for at, status in moments]
    assert (engines[0], engines[-1]) == (1, 2)
    told = [event["why"] for event in moments[-1][1]["agent"]["events"]]
    assert "migrated: to host 2" in told


def test_of_the_past_only_what_is_asked_for_is_returned(
    tmp_path: Path, looks: list[tuple[Session, Look]]
) -> None:
    config = kept(tmp_path, looks, looks_max=64)
    since = looks[-5][1].seen.wall_at
    assert len(list(kept_moments(config, since))) == 5


def test_a_torn_file_costs_what_is_torn(tmp_path: Path, looks: list[tuple[Session, Look]]) -> None:
    config = kept(tmp_path, looks)
    whole = len(list(kept_moments(config, 0.0)))
    (file,) = (tmp_path / FOLDER).glob("*.ring")
    file.write_bytes(file.read_bytes()[:-20])
    assert len(list(kept_moments(config, 0.0))) == whole - 1


def test_where_nothing_is_kept_there_is_no_past(tmp_path: Path) -> None:
    config: Any = _Config(tmp_path)
    assert list(kept_moments(config, 0.0)) == []


def test_before_the_first_look_there_is_no_status() -> None:
    with pytest.raises(HeFsmError, match="nothing was seen yet"):
        LookReader().status()


# A whiteboard.


def record(host_id: int, timestamp: int, *, has_engine: bool = False) -> HostRecord:
    return HostRecord(
        host_id=host_id,
        timestamp=timestamp,
        score=2400,
        engine=UP if has_engine else DOWN,
        hostname=f"host{host_id}",
    )


class Written:
    """A whiteboard that a test writes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.source = WhiteboardSource(path, clock=clock)

    def write(self, *records: HostRecord) -> dict[str, Any]:
        self.path.write_bytes(Whiteboard.build(records))
        return self.source.status()


@pytest.fixture
def written(tmp_path: Path, clock: Clock) -> Written:
    return Written(tmp_path / "whiteboard", clock)


def test_a_host_lives_when_its_record_grows(written: Written, clock: Clock) -> None:
    found = written.write(record(1, 100, has_engine=True), record(2, 100))
    assert (found["agent"]["alive"], found["agent"]["pending"]) == ([], [1, 2])
    assert verdict_of(found, 0.0).line.startswith("engine unknown: 2 records may be old")
    clock.now += 10.0
    found = written.write(record(1, 110, has_engine=True), record(2, 100))
    assert (found["agent"]["alive"], found["agent"]["pending"]) == ([1], [2])
    verdict = verdict_of(found, 0.0)
    assert (verdict.engine, verdict.engine_on) == ("good", 1)
    clock.now += 50.0
    found = written.write(record(1, 160, has_engine=True), record(2, 100))
    assert (found["agent"]["alive"], found["agent"]["pending"]) == ([1], [])


def test_the_age_of_a_record_is_since_it_grew(written: Written, clock: Clock) -> None:
    written.write(record(1, 100))
    clock.now += 10.0
    written.write(record(1, 110))
    clock.now += 7.0
    found = written.write(record(1, 110))
    assert found["agent"]["sees"]["1"]["age_s"] == 7.0


def test_since_when_the_engine_is_so_is_seen_from_outside(written: Written, clock: Clock) -> None:
    written.write(record(1, 100), record(2, 100))
    clock.now += 10.0
    written.write(record(1, 110, has_engine=True), record(2, 110))
    clock.now += 5.0
    found = written.write(record(1, 115, has_engine=True), record(2, 115))
    assert found["agent"]["engine_seen"] == {
        "host": 1,
        "condition": "good",
        "for_s": 5.0,
        "saw_change": True,
    }


def test_a_whiteboard_that_is_not_there(tmp_path: Path) -> None:
    source = WhiteboardSource(tmp_path / "none")
    with pytest.raises(StorageError, match="none can't be read"):
        source.status()


def test_who_looks_from_outside_misses_no_lease_manager(written: Written, clock: Clock) -> None:
    for timestamp in (100, 110):
        found = written.write(record(1, timestamp, has_engine=True), record(2, timestamp))
        clock.now += 10.0
    assert found["lease"] is None
    assert verdict_of(found, 0.0).level == "good"


def test_leases_that_are_not_there_are_not_known(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "whiteboard"
    path.write_bytes(Whiteboard.build([record(1, 1)]))
    source = WhiteboardSource(path, tmp_path / "none", clock=clock)
    assert source.status()["lease"] is None
