from __future__ import annotations

from typing import Any, Callable

import pytest

from he_fsm.scenario import Scenario, TimelineEntry, Verb

Read = Callable[..., Scenario]


def entry_of(read: Read, text: str) -> TimelineEntry:
    return read(f"timeline:\n  - {{{text}}}").timeline[0]


@pytest.mark.parametrize(
    ("written", "verb", "value"),
    [
        ("set: {gateway: off, bridge: 0.5}", Verb.SET, {"gateway": 0.0, "bridge": 0.5}),
        (
            "set: {mem_free: 100, cpu_load: 0.9, mem_load: 1}",
            Verb.SET,
            {"mem_free": 100, "cpu_load": 0.9, "mem_load": 1},
        ),
        ("power: off", Verb.POWER, "off"),
        ("power: on", Verb.POWER, "on"),
        ("power: 'on'", Verb.POWER, "on"),
        ("power: no", Verb.POWER, "off"),
        ("power: reset", Verb.POWER, "reset"),
        ("power: freeze", Verb.POWER, "freeze"),
        ("power: thaw", Verb.POWER, "thaw"),
        ("power: suspend", Verb.POWER, "suspend"),
        ("power: resume", Verb.POWER, "resume"),
        *[(f"agent: {word}", Verb.AGENT, word) for word in ("kill", "crash", "stop", "start")],
        *[(f"agent: {word}", Verb.AGENT, word) for word in ("freeze", "thaw")],
        *[(f"broker: {word}", Verb.BROKER, word) for word in ("kill", "start", "freeze", "thaw")],
        ("broker: crash", Verb.BROKER, "crash"),
        *[(f"sanlock: {word}", Verb.SANLOCK, word) for word in ("kill", "start", "freeze", "thaw")],
        *[(f"storage: {w}", Verb.STORAGE, (w, None)) for w in ("cut", "hang", "restore")],
        *[(f"storage: {w}", Verb.STORAGE, (w, None)) for w in ("no-writes", "no-reads")],
        ("storage: slow 15s", Verb.STORAGE, ("slow", 15)),
        ("storage: slow 15", Verb.STORAGE, ("slow", 15)),
        ("hypervisor: lost", Verb.HYPERVISOR, "lost"),
        ("hypervisor: back", Verb.HYPERVISOR, "back"),
        ("starts: ok", Verb.STARTS, ("ok", None)),
        ("starts: fail", Verb.STARTS, ("fail", None)),
        ("starts: fail 3", Verb.STARTS, ("fail", 3)),
        ("boots: ok", Verb.BOOTS, ("ok", None)),
        ("boots: never", Verb.BOOTS, ("never", None)),
        ("boots: die 30", Verb.BOOTS, ("die", 30)),
        ("boots: die 1m30s", Verb.BOOTS, ("die", 90)),
        ("migrations: ok", Verb.MIGRATIONS, ("ok", None)),
        ("migrations: fail", Verb.MIGRATIONS, ("fail", None)),
        ("migrations: fail 2", Verb.MIGRATIONS, ("fail", 2)),
        ("migrations: hang", Verb.MIGRATIONS, ("hang", None)),
        ("failed_starts: 3", Verb.FAILED_STARTS, 3),
        ("version: 2", Verb.VERSION, 2),
        ("maintenance: on", Verb.MAINTENANCE, "on"),
        ("maintenance: off", Verb.MAINTENANCE, "off"),
        ("maintenance: yes", Verb.MAINTENANCE, "on"),
        ("clock: +1h", Verb.CLOCK, ("jump", 3600)),
        ("clock: -1h", Verb.CLOCK, ("jump", -3600)),
        ("clock: 60", Verb.CLOCK, ("jump", 60)),
        ("clock: rate 1.01", Verb.CLOCK, ("rate", 1.01)),
        *[
            (f"slot: {word}", Verb.SLOT, (word, None))
            for word in ("corrupt", "zero", "bad-crc", "bad-text", "too-new", "too-old")
        ],
        *[
            (f"slot: {word}", Verb.SLOT, (word, None))
            for word in ("wrong-id", "stale", "snapshot", "replay")
        ],
        ("slot: torn", Verb.SLOT, ("torn", 300)),
        ("slot: torn 512", Verb.SLOT, ("torn", 512)),
        ("slot: score 9999", Verb.SLOT, ("score", 9999)),
        ("slot: score -1", Verb.SLOT, ("score", -1)),
        ("slot: text 0x00ff", Verb.SLOT, ("text", b"\x00\xff")),
        ("slot: text hello  world", Verb.SLOT, ("text", b"hello  world")),
        ("slot: text 0xgg", Verb.SLOT, ("text", b"0xgg")),
        ("slot: text 0x123", Verb.SLOT, ("text", b"0x123")),
        ("slot: 'text 1|0x'", Verb.SLOT, ("text", b"1|0x")),
    ],
)
def test_a_verb_about_a_host_is_read(read: Read, written: str, verb: Verb, value: Any) -> None:
    entry = entry_of(read, f"at: 1m, host: 1, {written}")
    assert (entry.at, entry.hosts, entry.verb, entry.value) == (60, ("1",), verb, value)
    assert entry.text == f"{{at: 1m, host: 1, {written}}}".replace("'", "")


@pytest.mark.parametrize(
    ("written", "verb", "value"),
    [
        ("maintenance: global", Verb.MAINTENANCE, "global"),
        ("maintenance: none", Verb.MAINTENANCE, "none"),
        *[
            (f"engine: {word}", Verb.ENGINE, (word, None))
            for word in ("kill", "panic", "shutdown", "hang", "heal", "pause", "resume")
        ],
        ("engine: migrate 2", Verb.ENGINE, ("migrate", "2")),
    ],
)
def test_a_verb_about_no_host_is_read(read: Read, written: str, verb: Verb, value: Any) -> None:
    entry = entry_of(read, f"at: 0, {written}")
    assert (entry.hosts, entry.verb, entry.value) == ((), verb, value)


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("host: 2", ("2",)),
        ("host: '2'", ("2",)),
        ("hosts: [1, 3]", ("1", "3")),
        ("hosts: [3, 1-2, 1]", ("3", "1", "2")),
        ("hosts: 2-250", ("2", "3")),
        ("hosts: all", ("1", "2", "3")),
    ],
)
def test_hosts_are_named_in_many_ways(read: Read, written: str, names: tuple[str, ...]) -> None:
    assert entry_of(read, f"at: 0, {written}, power: off").hosts == names


def test_the_global_slot_is_host_0(read: Read) -> None:
    entry = entry_of(read, "at: 0, host: 0, slot: zero, for: 200s")
    assert (entry.hosts, entry.for_s) == (("0",), 200)
    assert entry_of(read, "at: 0, hosts: [0, 2], slot: zero").hosts == ("0", "2")


@pytest.mark.parametrize(
    ("written", "moments"),
    [
        ("at: 60s", (60,)),
        ("at: 60s, every: 10s, times: 3", (60, 70, 80)),
        ("at: 540s, every: 30s", (540, 570, 600)),
        ("at: 540s, every: 30s, times: 9", (540, 570, 600)),
        ("at: 599s, every: 100ms", tuple(599 + 0.1 * n for n in range(11))),
        ("at: 601s", ()),
        ("at: 601s, every: 1s", ()),
    ],
)
def test_an_entry_repeats(read: Read, written: str, moments: tuple[float, ...]) -> None:
    entry = entry_of(read, f"{written}, host: 1, power: reset")
    assert entry.moments(0, 600) == pytest.approx(moments)


def test_times_count_from_since(read: Read) -> None:
    entry = entry_of(read, "since: {engine: migrating}, at: 5s, host: 1, power: off")
    assert entry.since[0].key == ("engine",)
    assert entry.moments(100, 600) == (105,)
    assert entry_of(read, "since: {engine: down}, host: 1, power: off").at == 0


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("host: 1, power: off", "the key 'at' is missing"),
        ("at: 0, host: 1", "no verb here"),
        ("at: 0, host: 1, power: off, agent: kill", "an entry has one verb"),
        ("at: 0, power: off", "'power' is about hosts"),
        ("at: 0, host: 1, engine: kill", "'engine' is about no host"),
        ("at: 0, host: 1, hosts: [2], power: off", "not both"),
        ("at: 0, hosts: [], power: off", "at least one host"),
        ("at: 0, host: 9, power: off", "there is no host 9"),
        ("at: 0, hosts: 7-9, power: off", "no host has an id from 7 to 9"),
        ("at: 0, hosts: 3-2, power: off", "ends before it begins"),
        ("at: 0, host: 0, power: off", "only the verb 'slot'"),
        ("at: 0, host: bob, power: off", "no host is named 'bob'"),
        ("at: 0, host: 1, maintenance: global", "expected on or off"),
        ("at: 0, maintenance: on", "expected global or none"),
        ("at: 0, host: 1, power: of", "unknown word 'of', did you mean 'off'?"),
        ("at: 0, sanlock: kill", "'sanlock' is about hosts"),
        ("at: 0, host: 1, sanlock: stop", "unknown word 'stop'; known: kill, start, freeze, thaw"),
        ("at: 0, host: 1, broker: kil", "unknown word 'kil', did you mean 'kill'?"),
        ("at: 0, host: 1, power: [off]", "expected one of off, on"),
        ("at: 0, host: 1, storage: slow", "something has to follow 'slow'"),
        ("at: 0, host: 1, storage: slow fast", "expected a time"),
        ("at: 0, host: 1, storage: cut 3", "nothing may follow 'cut'"),
        ("at: 0, host: 1, starts: fail 0", "expected 1 or more"),
        ("at: 0, host: 1, starts: fails", "did you mean 'fail'?"),
        ("at: 0, host: 1, set: {}", "expected at least one of gateway"),
        ("at: 0, host: 1, set: {gateway: 2}", "expected 1 or less"),
        ("at: 0, host: 1, set: {gateway: maybe}", "true, false or a fraction"),
        ("at: 0, host: 1, set: {mem_free: -1}", "expected 0 or more"),
        ("at: 0, host: 1, set: {mem_free: yes}", "expected a number, got 'yes'"),
        ("at: 0, host: 1, clock: rate 0", "must be above 0"),
        ("at: 0, host: 1, clock: later", "expected a time"),
        ("at: 0, host: 1, slot: zeros", "did you mean 'zero'?"),
        ("at: 0, host: 1, slot: torn 5000", "expected 4096 or less"),
        (f"at: 0, host: 1, slot: text {'a' * 4097}", "a slot has 4096 bytes"),
        ("at: 0, host: 1, slot: snapshot, for: 3s", "'for' goes with"),
        ("at: 0, host: 1, power: off, for: 3s", "'for' goes with"),
        ("at: 0, host: 1, power: off, times: 3", "'times' needs 'every'"),
        ("at: 0, host: 1, power: off, every: 0", "expected a time above 0"),
        ("at: 0, host: 1, power: off, every: 1s, times: 0", "expected 1 or more"),
        ("at: -5s, host: 1, power: off", "expected a time of 0 or more"),
        ("at: 0, engine: migrate 9", "there is no host 9"),
        ("at: 0, engine: migrate", "something has to follow"),
        ("since: {}, host: 1, power: off", "expected a condition"),
        ("at: 0, host: 1, version: 1.5", "expected a whole number"),
        ("at: 0, host: 1, pwoer: off", "unknown key, did you mean 'power'?"),
    ],
)
def test_a_bad_entry_is_refused(refusal: Callable[..., str], written: str, message: str) -> None:
    said = refusal(f"timeline:\n  - {{{written}}}")
    assert said.startswith("f.yaml:4:")
    assert ": scenarios[0].timeline[0]" in said
    assert message in said
