from __future__ import annotations

from typing import Any, Callable

import pytest
import yaml

from he_fsm.scenario import json_schema, parse_scenarios
from he_fsm.scenario.judging.counting import TOTAL_FORMS
from he_fsm.scenario.language.conditions import CONDITIONS
from he_fsm.scenario.language.verbs import VERBS

jsonschema = pytest.importorskip("jsonschema")

HOSTS = "hosts: [{id: 1, clock: +5h, failed_starts: {count: 2, last: -5m}}, {id: 2, name: b}]"

GOOD = [
    "policy: ovirt",
    "policy: {base: ovirt, migration_threshold: 400, dead_after_s: 90s, base_score: 3400}",
    "world: {loop: 5s, jitter: 500ms, cold: on}",
    "maintenance: global",
    "engine: {running_on: null, memory: 1024, health: bad, paused: yes}",
    "engine: {running_on: b}",
    "until: 1h30m",
    "timeline:",
    "timeline: [{at: 1m, host: 1, set: {gateway: 0.5, bridge: off}}]",
    "timeline: [{at: 1m, hosts: all, power: on}, {at: 2m, hosts: [1, b], power: off}]",
    "timeline: [{at: 1m, host: 1, storage: slow 15s, every: 60, times: 3}]",
    "timeline: [{at: 1m, maintenance: none}, {at: 1m, host: 1, maintenance: on}]",
    "timeline: [{since: {engine: down, host: 1, total: {starts: 1}}, engine: migrate 2}]",
    "timeline: [{at: 1m, host: 0, slot: text 0x00, for: 5s}, {at: 1m, host: 1, clock: rate 1.1}]",
    "timeline: [{at: 1m, host: 1, clock: -1h}, {at: 0.5, host: 1, starts: fail 3}]",
    "expect: [{at: 1, engine_on: null}, {by: 2m, after: 1m, engine_on: [1, 2], engine: bad}]",
    "expect: [{from: 1, to: 2, never: yes, running: '>= 2'}, {never: true, engine: down}]",
    "expect: [{by: 1, score: {all: '> 0', 1-2: 3}, record: {1: {age: '<= 1m', vm: '!= up'}}}]",
    "expect: [{by: 1, sees: {1: {2: null}}, state: {1: EngineUp}, alive: {1: [1, 2]}}]",
    "expect: [{by: 1, lease: 1, problem: {1: {0: [crc, null]}}}]",
    "expect: [{total: {starts: 1, downtime: '<= 1m'}, host: 1, window: 10s}]",
    "expect: [{since: {engine: good}, any: [{at: 1, running: 1}, [{at: 1, running: 0}]]}]",
]
BAD = [
    "policy: {migration_treshold: 400}",
    "policy: {loop_s: 5}",
    "world: {lop: 5s}",
    "world: {loop: 5x}",
    "world: {loop: 0}",
    "maintenance: local",
    "engine: {health: fine}",
    "seed: -1",
    "until: soon",
    "timeline: [{at: 1m, host: 1, set: {gatway: 0}}]",
    "timeline: [{at: 1m, host: 1, set: {}}]",
    "timeline: [{at: 1m, host: 1, set: {gateway: 3}}]",
    "timeline: [{at: 1m, host: 1}]",
    "timeline: [{at: 1m, power: off}]",
    "timeline: [{at: 1m, host: 1, hosts: [2], power: off}]",
    "timeline: [{at: 1m, host: 1, power: off, agent: kill}]",
    "timeline: [{host: 1, power: off}]",
    "timeline: [{at: 1m, host: 1, power: of}]",
    "timeline: [{at: 1m, host: 1, engine: kill}]",
    "timeline: [{at: 1m, engine: kil}]",
    "timeline: [{at: 1m, engine: migrate}]",
    "timeline: [{at: 1m, host: 1, maintenance: global}]",
    "timeline: [{at: 1m, maintenance: on}]",
    "timeline: [{at: 1m, host: 1, power: off, for: 5s}]",
    "timeline: [{at: 1m, host: 1, power: off, times: 5}]",
    "expect: [{running: 1}]",
    "expect: [{by: 1}]",
    "expect: [{by: 1, at: 2, running: 1}]",
    "expect: [{at: 1, after: 2, running: 1}]",
    "expect: [{by: 1, engin: good}]",
    "expect: [{by: 1, engine: god}]",
    "expect: [{by: 1, score: {1: high}}]",
    "expect: [{by: 1, state: {1: engineup}}]",
    "expect: [{by: 1, record: {1: {scor: 3}}}]",
    "expect: [{by: 1, problem: {1: {2: crcs}}}]",
    "expect: [{by: 1, host: 1, running: 1}]",
    "expect: [{total: {start: 1}}]",
    "expect: [{any: [{at: 1, runing: 1}]}]",
    "expect: [{any: [{at: 1, running: 1}], by: 3}]",
    "expects: []",
]


def as_json(value: Any) -> Any:
    """Return the data as JSON has it: the keys are strings."""
    if isinstance(value, dict):
        return {str(key): as_json(inner) for key, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, list) else value


def text_of(body: str) -> str:
    return f"scenarios:\n  - name: a\n    {HOSTS}\n    {body}\n"


@pytest.fixture(scope="module")
def accepts() -> Callable[[str], bool]:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    validator = jsonschema.Draft202012Validator(json_schema())
    return lambda text: bool(validator.is_valid(as_json(yaml.safe_load(text))))


@pytest.mark.parametrize("body", GOOD)
def test_what_the_reader_takes_the_schema_takes(accepts: Callable[[str], bool], body: str) -> None:
    assert parse_scenarios(text_of(body), "f.yaml")
    assert accepts(text_of(body))


@pytest.mark.parametrize("body", BAD)
def test_what_the_reader_refuses_the_schema_refuses(
    accepts: Callable[[str], bool], refusal: Callable[..., str], body: str
) -> None:
    assert refusal(f"{HOSTS}\n{body}")
    assert not accepts(text_of(body))


def test_a_number_of_hosts_is_enough(accepts: Callable[[str], bool]) -> None:
    assert accepts("scenarios: [{name: a, hosts: 250}]")
    assert not accepts("scenarios: [{name: a, hosts: 2001}]")
    assert not accepts("scenarios: [{name: a}]")
    assert not accepts("scenarios: []")


def test_every_verb_condition_and_total_is_in_the_schema() -> None:
    scenario = json_schema()["properties"]["scenarios"]["items"]["properties"]
    entry = scenario["timeline"]["items"]["properties"]
    expectation = json_schema()["$defs"]["expectation"]["properties"]
    assert {verb.value for verb in VERBS} <= set(entry)
    assert set(CONDITIONS) <= set(expectation)
    narrowing = {"from", "to", "window", "host"}
    assert set(expectation["total"]["properties"]) == {*TOTAL_FORMS, *narrowing}
