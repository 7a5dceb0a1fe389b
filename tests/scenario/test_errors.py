from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.errors import ScenarioError
from he_fsm.scenario import load_scenarios, parse_scenarios


def said_about(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_scenarios(text, "f.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1:1: the file is empty"),
        ("# only this\n", "f.yaml:1:1: the file is empty"),
        ("- a\n", "f.yaml:1:1: expected a mapping with the key 'scenarios', got a list"),
        ("scenario: []\n", "f.yaml:1:1: scenario: unknown key, did you mean 'scenarios'?"),
        ("{}\n", "f.yaml:1:1: the key 'scenarios' is missing"),
        ("scenarios: []\n", "scenarios: expected a list of scenarios, got an empty list"),
        ("scenarios: {}\n", "scenarios: expected a list of scenarios, got an empty mapping"),
        ("scenarios: [3]\n", "f.yaml:1:13: scenarios[0]: expected a scenario"),
        ("scenarios:\n\t- a\n", "f.yaml:2:1: not YAML: while scanning"),
        ("scenarios: [\n", "f.yaml:2:1: not YAML"),
        ("scenarios: *x\n", "f.yaml:1:12: not YAML: found undefined alias 'x'"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: not YAML: expected a single document"),
        ("a: \x07\n", "f.yaml:1:4: not YAML: a character that is not allowed"),
        ('a: "\\UFFFFFFFF"\n', "not YAML: an escape in quotes"),
        ('a: "\\ud800"\n', "f.yaml:1:4: a: half of a surrogate pair"),
        ("[a]: 1\n", "a key has to be a plain value"),
        ("scenarios: !!python/object:x {}\n", "the YAML tag"),
        ("scenarios: !mine x\n", "the YAML tag !mine is not used here"),
        ("&a scenarios: &b [*b]\n", "an alias can't stand for something that it is part of"),
        ("a: &a {<<: *a}\n", "an alias can't stand for something that it is part of"),
        ("a: {<<: 3}\n", "expected a mapping after '<<'"),
        ("[" * 5000, "f.yaml:1:1: the file is nested too deeply"),
    ],
)
def test_what_is_no_scenario_file_is_refused(text: str, message: str) -> None:
    assert message in said_about(text)


def test_a_key_that_stands_twice_is_refused_with_both_places() -> None:
    said = said_about("scenarios:\n- name: a\n  hosts: 1\n  name: b\n")
    expected = "f.yaml:4:3: scenarios[0].name: this key stands here twice, first at f.yaml:2:3"
    assert said == expected


@pytest.mark.once
def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert said_about("\n".join(lines)) == (
        "f.yaml:6:5: a5: the file is too large when its aliases are written out"
    )


def test_an_unknown_key_is_named_with_its_place_and_path(refusal: Callable[..., str]) -> None:
    said = refusal(
        "timeline:\n  - {at: 0, host: 1, power: off}\n  - {at: 0, host: 1, set: {gatway: 0}}"
    )
    assert said == (
        "f.yaml:5:32: scenarios[0].timeline[1].set.gatway: unknown key, did you mean 'gateway'?"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("hosts: 0", "scenarios[0].hosts: expected 1 or more"),
        ("hosts: 2001", "expected 2000 or less"),
        ("hosts: []", "expected a number or a list of hosts"),
        ("hosts: many", "expected a whole number, got 'many'"),
        ("hosts: [1]", "scenarios[0].hosts[0]: expected a host like {id: 1}, got '1'"),
        ("hosts: [{}]", "the key 'id' is missing"),
        ("hosts: [{id: 0}]", "hosts[0].id: expected 1 or more"),
        ("hosts: [{id: 1}, {id: 1}]", "give 'name' where two hosts claim id 1"),
        ("hosts: [{id: 1, name: a}, {id: 2, name: a}]", "another host is called 'a' already"),
        ("hosts: [{id: 1, name: 2}]", "'2' can't be a name"),
        ("hosts: [{id: 1, name: all}]", "'all' can't be a name"),
        ("hosts: [{id: 1, name: 2-3}]", "'2-3' can't be a name"),
        ("hosts: [{id: 1, name: ''}]", "expected a host's name, got an empty one"),
        ("hosts: [{id: 1, gateway: 1.5}]", "expected 1 or less"),
        ("hosts: [{id: 1, agent: dead}]", "unknown word 'dead'"),
        ("hosts: [{id: 1, watchdog: maybe}]", "expected true or false, got 'maybe'"),
        ("hosts: [{id: 1, clock: noon}]", "expected an offset like +5h, or a date"),
        ("hosts: [{id: 1, clock: 1970-13-01}]", "there is no such date"),
        ("hosts: [{id: 1, failed_starts: {last: 5s}}]", "expected a time before 0"),
        ("hosts: [{id: 1, failed_starts: {cuont: 5}}]", "did you mean 'count'?"),
        ("hosts: [{id: 1, mem_free: .nan}]", "expected a number"),
        ("hosts: [{id: 1, mem_free: .inf}]", "expected a number"),
        ("hosts: [{id: 1, powered: no}]\nengine: {running_on: 1}", "has no power"),
        (
            "hosts: [{id: 2, name: a}, {id: 2, name: b}]\nengine: {running_on: 2}",
            "hosts a and b claim id 2: give the name",
        ),
        # YAML reads a number with a leading zero as octal, without a word.
        (
            "timeline: [{at: 060, host: 1, power: off}]",
            "timeline[0].at: '060' has a leading zero, and YAML reads it as octal, 48: write 60 or",
        ),
        ("hosts: [{id: 010}]", "hosts[0].id: '010' has a leading zero, and YAML reads it as"),
        ("timeline: [{at: 60, host: 010, power: off}]", "write 10 or 8"),
        ("expect: [{at: 1m, score: {010: 5}}]", "write 10 or 8"),
        ("expect: [{at: 1m, score: {1: 02400}}]", "write 2400 or 1280"),
        ("seed: -012", "write -12 or -10"),
        ("world: {loop: 0_12}", "write 12 or 10"),
        # With an 8 or a 9 it is no octal number, and YAML reads a text.
        (
            "timeline: [{at: 080, host: 1, power: off}]",
            "at: '080' has a leading zero, which in YAML means octal, where there is no digit 8",
        ),
        ("hosts: [{id: 08}]", "hosts[0].id: '08' has a leading zero"),
        ("engine: {memory: 04096}", "no digit 9: write 4096"),
        ("hosts: 9\ntimeline: [{at: 60, host: 08, power: off}]", "write 8"),
        ("hosts: 9\nexpect: [{at: 1m, score: {09: 5}}]", "no digit 9: write 9"),
        ("expect: [{at: 1m, problems: {08: crc}}]", "write 8"),
        ("seed: -0_9", "'-0_9' has a leading zero, which in YAML means octal, where there is no"),
        # Numbers that nothing has, with which a run would not end, or could not be written down.
        ("timeline: [{at: 60s, host: 1, clock: rate 1e9}]", "expected a clock's rate from 0.1 to"),
        ("timeline: [{at: 60s, host: 1, clock: rate 1e-9}]", "expected a clock's rate from 0.1"),
        (f"timeline: [{{at: 60s, host: 1, version: {'9' * 250}}}]", "expected 999 or less"),
        (f"timeline: [{{at: 60s, host: 1, failed_starts: {'9' * 50}}}]", "expected 1000000 or"),
        (f"timeline: [{{at: 60s, host: 1, starts: fail {'9' * 50}}}]", "expected 1000000 or"),
        (f"timeline: [{{at: 60s, host: 1, slot: score {'9' * 50}}}]", "or less"),
        (f"hosts: [{{id: 1, failed_starts: {{count: {'9' * 50}}}}}]", "expected 1000000 or"),
        ("policy: {base_score: -5}", "policy.base_score: base_score must be from 0 to 1000000"),
        (f"policy: {{base_score: {'9' * 600}}}", "policy.base_score: base_score must be from 0"),
        (f"policy: {{gateway_weight: {'9' * 600}}}", "the sum of the weights must be from 0 to"),
        # Percents are no fractions.
        ("hosts: [{id: 1, cpu_load: 95}]", "expected a fraction of capacity, 0 to 1; 0.95?"),
        (
            "timeline: [{at: 60s, host: 1, set: {mem_load: 250}}]",
            "expected a fraction of capacity, 0 to 1 (got '250')",
        ),
        ("engine: {running_on: 9}", "engine.running_on: there is no host 9"),
        (f"engine: {{running_on: {'9' * 5000}}}", "no host is named"),
        ("engine: {doing: starting}", "is for an engine that is somewhere: add running_on: N"),
        ("engine: {running_on: 1, lease_left: 0}", "lease_left: expected a time above 0"),
        ("engine: {running_on: 1, lease_left: 3m}", "expected at most 140 s, all that a lease has"),
        (
            "engine: {running_on: 1, lease_left: 1m}\ntimeline: [{at: 1s, host: 1, power: off}]",
            "whose host has failed: {at: 0, host: 1, power: off} in the timeline",
        ),
        ("engine: {lease_left: 1m}", "{at: 0, host: N, power: off} in the timeline"),
        ("engine: {health: paused}", "unknown word 'paused'; known: good, bad"),
        ("engine: 1", "expected a mapping like {running_on: 1}"),
        ("maintenance: local", "unknown word 'local', did you mean 'global'?"),
        ("world: {lop: 3s}", "world.lop: unknown key, did you mean 'loop'?"),
        ("world: {loop: 0}", "world.loop: expected a time above 0"),
        ("world: {loop: soon}", "world.loop: expected a time, like 10s"),
        ("world: {loop: true}", "expected a time"),
        ("world: {loop: 40s}", "world.loop: policy talk: a host that misses one loop"),
        ("policy: {dead_after_s: 5s, stagger_total_s: 1}", "scenarios[0].policy: policy talk:"),
        (
            "policy: {base: talk, dead_after_s: 20.5s}\nworld: {jitter: 11s}",
            "is 21.01 s, expected less",
        ),
        ("world: {jitter: 51s}", "world.jitter: loop + jitter + storage_latency is 61.01 s"),
        ("policy: {dead_after_s: 10s}", "scenarios[0].policy: policy talk:"),
        ("policy: {dead_after_s: -1}", "policy.dead_after_s: expected a time of 0 or more"),
        ("policy: {dead_after_s: 0}", "policy.dead_after_s: dead_after_s must be above 0"),
        ("policy: {gateway_weight: -5}", "policy.gateway_weight: gateway_weight must be 0 or more"),
        ("policy: {gateway_weight: 0.5}", "expected a whole number"),
        ("policy: {loop_s: 5s}", "policy.loop_s: this is set as 'loop' of 'world'"),
        ("policy: tlak", "scenarios[0].policy: unknown word 'tlak', did you mean 'talk'?"),
        ("policy: {base: ovrit}", "did you mean 'ovirt'?"),
        ("policy: [talk]", "expected a policy's name or a mapping"),
        ("seed: -1", "expected 0 or more"),
        ("seed: .5", "expected a whole number"),
        ("until: 0", "expected a time above 0"),
        ("timeline: 3", "timeline: expected a list of entries"),
        ("expect: {by: 3}", "expect: expected a list of entries"),
        ("until: 10001y", "until: expected 10000y at most, got '10001y'"),
        ("until: 1e300", "until: expected 10000y at most, got '1e300'"),
        ("until: {1: 2}", "expected a time, like 10s, 1h30m or a number of seconds, got a mapping"),
    ],
)
def test_a_bad_value_is_refused_where_it_stands(
    refusal: Callable[..., str], body: str, message: str
) -> None:
    said = refusal(body)
    assert said.startswith("f.yaml:")
    assert ": scenarios[0]" in said
    assert message in said


def test_a_missing_key_is_named() -> None:
    assert "f.yaml:1:13: scenarios[0]: the key 'name' is missing" in said_about(
        "scenarios: [{hosts: 1}]"
    )
    assert "the key 'hosts' is missing" in said_about("scenarios: [{name: a}]")


def test_a_file_that_is_not_utf_8_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"scenarios:\n- name: \xff\n")
    with pytest.raises(ScenarioError, match=r"f\.yaml:2:9: not UTF-8 \(byte 0xff\)"):
        load_scenarios(path)


def test_a_file_that_can_t_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="No such file"):
        load_scenarios(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="can't be read"):
        load_scenarios(str(tmp_path))
    with pytest.raises(ScenarioError, match="no path of a file"):
        load_scenarios("a\0b")


EXAMPLE = (
    "scenarios:\n  - name: a\n    hosts: [{id: 1, clock: '1970-01-01'}, {id: 2}]\n"
    "    engine: {running_on: 1}\n    timeline: [{at: 1m, host: 1, storage: slow 3s}]\n"
    "    expect: [{by: 3m, score: {1-2: '>= 3'}}, {total: {starts: 0}}]\n"
)


@given(
    st.lists(
        st.tuples(
            st.integers(0, len(EXAMPLE) - 1),
            st.sampled_from("0123-:[]{}'\"&*!<>|%@,# \n\tayn.\u0662"),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_file_is_refused_and_never_raises_anything_else(
    damage: list[tuple[int, str]],
) -> None:
    text = list(EXAMPLE)
    for index, character in damage:
        text[index] = character
    message = "f.yaml:"
    try:
        parse_scenarios("".join(text), "f.yaml")
    except ScenarioError as e:
        message = str(e)
    assert message.startswith("f.yaml:")
