"""Damage to slots: what is written there, what others report of it, and for how long."""

from __future__ import annotations

import pytest

from he_fsm import simulate
from he_fsm.metadata import HostRecord, decode_slot
from he_fsm.simulate.run import Run
from tests.simulate.plays import play, scenario_of, texts

# Each word, and what others report of the slot; null: a block that is believed.
WORDS = [
    ("corrupt", "garbage"),
    ("zero", "empty"),
    ("bad-crc", "crc"),
    ("bad-text", "null"),
    ("too-new", "too-new"),
    ("too-old", "too-old"),
    ("wrong-id", "wrong-id"),
    ("stale", "replayed"),
    ("replay", "replayed"),
    ("score 1000", "null"),
    ("score 99999", "range"),
    ("score -1", "range"),
    ("text 0x31ff", "garbage"),
    ("text 0x", "empty"),
    ("text hello", "garbage"),
]


@pytest.mark.parametrize(("word", "problem"), WORDS)
def test_a_slot_is_overwritten_once_until_its_host_writes_again(word: str, problem: str) -> None:
    play(
        # Just after a write, so that the others look before the next one.
        f"{{at: 60s, host: 2, set: {{cpu_load: 0.9}}}}, "
        f"{{since: {{score: {{2: 2300}}}}, at: 20ms, host: 2, slot: {word}}}",
        f"{{since: {{score: {{2: 2300}}}}, by: 10s, problem: {{1: {{2: {problem}}}}}}}",
        f"{{since: {{score: {{2: 2300}}}}, by: 10s, problem: {{3: {{2: {problem}}}}}}}",
        f"{{from: 0s, never: true, problem: {{1: {{2: [{_others(problem)}]}}}}}}",
        # It is believed again when it grows.
        "{from: 82s, problem: {1: {2: null}, 3: {2: null}}}",
        # One block is no reason to give a host up, nor for anything else.
        "{from: 0s, alive: {1: [1, 2, 3], 3: [1, 2, 3]}}",
        "{from: 0s, engine: good, engine_on: 1, state: {2: EngineDown}}",
        "{from: 71s, score: {2: 2300}, sees: {2: {2: {score: 2300}}}}",
        "{total: {starts: 0, migrations: 0, shutdowns: 0, notifications: 0}}",
        world="{jitter: 0s}",
    )


@pytest.mark.parametrize(("word", "problem"), WORDS)
def test_every_reader_sees_it_for_so_long_whatever_the_host_writes(word: str, problem: str) -> None:
    play(
        f"{{at: 60s, host: 2, slot: {word}, for: 200s}}",
        f"{{from: 72s, to: 260s, problem: {{1: {{2: {problem}}}, 3: {{2: {problem}}}}}}}",
        # A slot that does not grow is a host that is silent, whatever the reason.
        "{from: 132s, to: 260s, alive: {1: [1, 3], 3: [1, 3]}}",
        "{from: 272s, alive: {1: [1, 2, 3], 3: [1, 2, 3]}, problem: {1: {2: null}, 3: {2: null}}}",
        # The host itself writes on, and knows of nothing.
        "{from: 0s, record: {2: {age: '<= 11s'}}, alive: {2: [1, 2, 3]}}",
        "{from: 0s, engine: good, engine_on: 1}",
        "{total: {starts: 0, migrations: 0, shutdowns: 0}}",
    )


def test_bad_text_is_the_latest_record_with_noise_for_people() -> None:
    run = Run(scenario_of("{at: 60s, host: 2, slot: bad-text, for: 5m}", until="2m"), 1)
    before = run.world.storage.read(0.0, 1).slots[2]
    run.play()
    shown = run.world.storage.read(run.world.now, 1).slots[2]
    assert isinstance(before, HostRecord)
    assert isinstance(shown, HostRecord)
    assert shown.score == 2400
    assert shown.timestamp > before.timestamp
    assert set(shown.text) == {"\udcff"} or "\ufffd" in shown.text


def test_a_score_that_is_claimed_for_a_host_is_believed_when_it_may_be_one() -> None:
    run = Run(scenario_of("{at: 60s, host: 2, slot: score 100, for: 5m}", until="2m"), 1)
    run.play()
    shown = run.world.storage.read(run.world.now, 1).slots[2]
    assert isinstance(shown, HostRecord)
    assert (shown.score, shown.hostname) == (100, "host2")


def test_a_whole_block_of_a_newer_release_that_does_not_grow_supersedes_nobody() -> None:
    play(
        "{at: 60s, host: 2, slot: too-new, for: 5m}",
        "{from: 0s, engine: good, engine_on: 1, record: {1: {stopped: false}}}",
    )


def test_a_replayed_snapshot_is_the_block_that_was_kept() -> None:
    outcome = play(
        "{at: 60s, host: 2, slot: snapshot}, {at: 100s, host: 2, set: {gateway: 0}}, "
        "{at: 200s, host: 2, slot: replay, for: 30s}",
        "{from: 125s, to: 199s, sees: {1: {2: {score: 1400}}}}",
        "{by: 212s, problem: {1: {2: replayed}}}",
        # A timestamp that goes back is no heartbeat: the last believed record stays.
        "{from: 212s, sees: {1: {2: {score: 1400}}}}",
        "{from: 245s, problem: {1: {2: null}}}",
    )
    assert texts(outcome, "fault", "2")[0] == "slot 2: snapshot"


def test_an_old_copy_that_is_shown_for_long_gives_the_host_up() -> None:
    play(
        "{at: 60s, host: 1, slot: snapshot}, {at: 3m, host: 1, slot: replay, for: 3m}",
        "{at: 5m, alive: {2: [2, 3]}}",
        # It renews the engine's lease: nobody starts the engine.
        "{from: 0s, engine: good, engine_on: 1}",
        "{at: 9m, alive: {2: [1, 2, 3]}}",
        "{total: {starts: 0, refused_starts: 0}}",
    )


@pytest.mark.parametrize(
    ("word", "problem"),
    # Of a record of about 90 bytes the first 300 are all, and the rest is for people.
    [("torn", "null"), ("torn 40", "crc"), ("torn 4096", "null"), ("torn 0", "null")],
)
def test_only_the_first_bytes_of_the_next_write_arrive(word: str, problem: str) -> None:
    play(
        f"{{at: 60s, host: 2, slot: {word}}}, {{at: 60s, host: 2, set: {{gateway: 0}}}}",
        f"{{from: 0s, never: true, problem: {{1: {{2: [{_others(problem)}]}}}}}}",
        # It is torn when the host writes, not before.
        "{to: 60s, problem: {1: {2: null}}}",
        "{from: 95s, problem: {1: {2: null}}, sees: {1: {2: {score: 1400}}}}",
        "{from: 0s, alive: {1: [1, 2, 3]}}",
    )


def test_a_torn_write_may_be_seen_for_long() -> None:
    play(
        "{at: 60s, host: 2, slot: torn 40, for: 200s}",
        "{from: 84s, to: 260s, problem: {1: {2: crc}, 3: {2: crc}}}",
        "{from: 145s, to: 260s, alive: {1: [1, 3]}}",
        "{from: 272s, alive: {1: [1, 2, 3]}, problem: {1: {2: null}}}",
    )


def test_a_write_that_never_came_is_not_torn_later() -> None:
    play(
        "{at: 60s, host: 2, agent: kill}, {at: 70s, host: 2, slot: torn 40, for: 60s}, "
        "{at: 200s, host: 2, agent: start}",
        "{from: 0s, problem: {1: {2: null}}}",
    )


def test_a_torn_block_of_an_empty_slot_has_nothing_after_it() -> None:
    play(
        "{at: 0s, host: 2, slot: torn 40, for: 20s}",
        "{from: 12s, to: 19s, problem: {1: {2: [garbage, crc]}}}",
        "{from: 32s, problem: {1: {2: null}}}",
        world="{cold: true}",
        engine="{running_on: null}",
        until="1m",
    )


def test_of_two_faults_that_hide_a_slot_the_later_lasts_as_long_as_it_says() -> None:
    play(
        "{at: 60s, host: 2, slot: corrupt, for: 100s}, {at: 100s, host: 2, slot: zero, for: 100s}",
        "{from: 72s, to: 99s, problem: {1: {2: garbage}}}",
        "{from: 112s, to: 199s, problem: {1: {2: empty}}}",
        "{from: 212s, problem: {1: {2: null}}}",
    )


def test_others_slots_are_not_hidden() -> None:
    play(
        "{at: 60s, hosts: [1, 2], slot: corrupt, for: 30s}",
        "{by: 72s, problem: {3: {1: garbage, 2: garbage}, 1: {2: garbage}, 2: {1: garbage}}}",
        "{from: 0s, problem: {1: {3: null, 1: null}, 2: {3: null}}}",
        "{from: 0s, alive: {1: [1, 2, 3]}}",
    )


# Slot 0.


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        *[(word, "garbage") for word in ("corrupt", "bad-crc", "too-new", "too-old", "wrong-id")],
        *[(word, "garbage") for word in ("bad-text", "score 5", "text 0xff00")],
        ("zero", "empty"),
        ("stale", "null"),
        ("replay", "null"),
        ("text maintenance=0", "null"),
    ],
)
def test_the_global_slot_can_be_damaged_too(word: str, problem: str) -> None:
    play(
        # Readers see it so whatever is written there meanwhile.
        f"{{at: 60s, host: 0, slot: '{word}', for: 240s}}",
        f"{{from: 72s, to: 299s, problem: {{1: {{0: {problem}}}, 2: {{0: {problem}}}}}}}",
        # The last good value holds.
        "{from: 0s, engine: good, state: {1: EngineUp}, problem: {1: {2: null}}}",
        "{from: 312s, problem: {1: {0: null}, 2: {0: null}}}",
    )


@pytest.mark.parametrize("word", ["corrupt", "zero", "torn", "text maintenance=q"])
def test_the_global_slot_is_written_again_by_hosts_that_know_its_value(word: str) -> None:
    play(
        f"{{at: 60s, host: 0, slot: '{word}'}}",
        "{from: 95s, problem: {1: {0: null}, 2: {0: null}, 3: {0: null}}}",
        "{from: 0s, engine: good, state: {1: EngineUp}}",
    )


def test_the_global_slot_can_be_hidden_kept_and_written_by_somebody() -> None:
    play(
        "{at: 30s, host: 0, slot: snapshot}, {at: 60s, host: 0, slot: text maintenance=1}, "
        "{at: 120s, host: 0, slot: replay}, {at: 180s, host: 0, slot: zero, for: 60s}, "
        "{at: 230s, maintenance: global}",
        "{from: 72s, to: 119s, state: {1: GlobalMaintenance}}",
        "{from: 132s, to: 239s, state: {1: EngineUp}}",
        "{from: 192s, to: 239s, problem: {1: {0: empty}}}",
        "{from: 252s, state: {1: GlobalMaintenance}, problem: {1: {0: null}}}",
    )


def test_a_damaged_global_slot_leaves_an_agent_that_knows_nothing_in_maintenance() -> None:
    play(
        "{at: 0s, host: 0, slot: corrupt}, {at: 3m, maintenance: none}",
        "{from: 12s, to: 179s, engine: down, problem: {1: {0: garbage}}}",
        "{by: 225s, engine: starting}",
        world="{cold: true}",
        engine="{running_on: null}",
    )


# What people read of it.


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("text hello", "text hello"),
        ("text a|b=ü", "text a|b=ü"),
        ("text 0x68690a", "text 0x68690a"),
        ("text 0x00ff", "text 0x00ff"),
        ("text 0x", "text 0x"),
        ("torn 0", "torn 0"),
        ("torn", "torn 300"),
        ("score 0", "score 0"),
        ("zero", "zero"),
    ],
)
def test_a_fault_says_what_was_written_as_the_file_does(word: str, says: str) -> None:
    outcome = simulate(scenario_of(f"{{at: 1s, host: 2, slot: '{word}'}}", until="2s"))
    assert texts(outcome, "fault") == [f"slot 2: {says}"]


@pytest.mark.parametrize("score", [0, 2400, 10**9, -5])
def test_a_claimed_score_is_in_a_whole_block(score: int) -> None:
    timeline = f"{{at: 1s, host: 2, slot: score {score}, for: 1m}}"
    run = Run(scenario_of(timeline, until="2s"), 1)
    run.play()
    shown = run.world.storage.read(run.world.now, 1).slots[2]
    block = run.world.storage.latest(2)
    assert isinstance(decode_slot(2, block), HostRecord)
    if 0 <= score <= 2400:
        assert isinstance(shown, HostRecord)
        assert shown.score == score
    else:
        assert not isinstance(shown, HostRecord)
        assert shown.word.value == "range"


@pytest.mark.parametrize("word", ["bad-crc", "wrong-id", "too-new", "too-old", "score 9"])
def test_a_slot_that_was_never_written_can_be_damaged_as_well(word: str) -> None:
    problem = "null" if word == "score 9" else word.replace("bad-", "")
    play(
        f"{{at: 0s, host: 2, agent: kill}}, {{at: 20s, host: 2, slot: {word}, for: 30s}}",
        f"{{by: 32s, problem: {{1: {{2: {problem}}}}}}}",
        "{from: 0s, record: {2: null}}",
        world="{cold: true}",
        engine="{running_on: null}",
        until="1m",
    )


def _others(problem: str) -> str:
    """Return all words but this one, and but null."""
    words = ["crc", "wrong-id", "too-new", "too-old", "garbage", "range", "replayed", "empty"]
    return ", ".join(word for word in [*words, "silent", "held"] if word != problem)
