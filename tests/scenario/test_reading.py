from __future__ import annotations

from pathlib import Path
from typing import Callable

import attrs
import pytest

from he_fsm.errors import ScenarioError
from he_fsm.policy import OVIRT, PROFILES, TALK
from he_fsm.scenario import Scenario, World, load_scenarios, parse_scenarios

Read = Callable[..., Scenario]

WHOLE = """\
scenarios:
  - name: gateway-failure
    about: The gateway of host 1 fails; the engine moves to host 2.
    policy: talk
    world: {loop: 5s, jitter: 500ms, storage_latency: 20ms, io_timeout: 5s, vm_start: 6s,
            vm_boot: 1m, vm_shutdown: 21s, migration: 16s, reboot: 2m1s, cold: on}
    seed: 7
    hosts:
      - {id: 1, hostname: ovirt.localdomain, gateway: 0.5, bridge: off, mem_free: 100,
         cpu_load: 0.9, mem_load: 0.8, maintenance: yes,
         powered: true, agent: stopped, watchdog: no, clock: +5h,
         failed_starts: {count: 2, last: -60s}}
      - id: 2
    engine: {running_on: 1, memory: 2048, health: bad, paused: true}
    maintenance: global
    timeline:
      - {at: 60s, host: 1, set: {gateway: 0}}
    until: 10m
    expect:
      - {by: 3m, engine_on: 2, engine: good}
  - name: second
    hosts: 250
"""


def test_every_key_of_a_scenario_is_read() -> None:
    first, second = parse_scenarios(WHOLE, "f.yaml")
    assert first.name == "gateway-failure"
    assert first.about.startswith("The gateway")
    assert first.world == World(
        loop_s=5,
        jitter_s=0.5,
        storage_latency_s=0.02,
        io_timeout_s=5,
        vm_start_s=6,
        vm_boot_s=60,
        vm_shutdown_s=21,
        migration_s=16,
        reboot_s=121,
        cold=True,
    )
    assert first.seed == 7
    host = first.hosts[0]
    assert (host.id, host.name, host.hostname) == (1, "1", "ovirt.localdomain")
    assert (host.gateway, host.bridge, host.mem_free) == (0.5, 0.0, 100)
    assert (host.cpu_load, host.mem_load) == (0.9, 0.8)
    assert host.maintenance
    assert host.powered
    assert not host.agent_running
    assert not host.watchdog
    assert (host.wall_offset_s, host.wall_start_s) == (18000, None)
    assert (host.failed_starts.count, host.failed_starts.last_s) == (2, -60)
    assert first.hosts[1].hostname == "host2"
    assert (first.engine.running_on, first.engine.memory) == ("1", 2048)
    assert (first.engine.health, first.engine.paused) == ("bad", True)
    assert first.maintenance
    assert first.until == 600
    assert str(first.place) == "f.yaml:2"
    assert str(first.expect[0].place) == "f.yaml:20"
    assert str(first.timeline[0].place) == "f.yaml:17"
    assert [h.name for h in second.hosts] == [str(n) for n in range(1, 251)]


def test_what_is_left_out_has_the_defaults_of_the_page(read: Read) -> None:
    scenario = read("about: ''")
    assert scenario.world == World()
    assert scenario.policy == TALK
    assert scenario.seed == 1
    assert scenario.engine.running_on is None
    assert scenario.engine.memory == 4096
    assert not scenario.maintenance
    assert scenario.until == 600
    host = scenario.hosts[0]
    assert (host.gateway, host.bridge, host.mem_free) == (1, 1, 12367)
    assert (host.failed_starts.count, host.failed_starts.last_s) == (0, -300)


def test_the_run_ends_ten_minutes_after_the_last_time_mentioned(read: Read) -> None:
    assert read("timeline: [{at: 1h, host: 1, power: off}]").until == 4200
    repeated = "timeline: [{at: 1h, host: 1, power: off, every: 10s, times: 4}]"
    assert read(repeated).until == 4230
    assert read("expect: [{any: [[{by: 20m, running: 1}], {by: 5m, running: 0}]}]").until == 1800


def test_a_whole_number_may_be_written_in_any_way(read: Read) -> None:
    seeds = [read(f"seed: {text}").seed for text in ("4", "4.0", "'4'", "0x10", "1_000")]
    assert seeds == [4, 4, 4, 16, 1000]
    assert read("seed: 12345678901234567890").seed == 12345678901234567890


def test_sections_that_hold_nothing_are_empty(read: Read) -> None:
    scenario = read("about:\nworld:\nengine:\ntimeline:\nexpect:\n")
    assert (scenario.about, scenario.timeline, scenario.expect) == ("", (), ())


@pytest.mark.parametrize("word", ["true", "on", "yes", "True", "'on'", "'yes'", "ON"])
def test_every_word_for_true_is_true(read: Read, word: str) -> None:
    scenario = read(f"hosts: [{{id: 1, maintenance: {word}, gateway: {word}}}]")
    assert scenario.hosts[0].maintenance
    assert scenario.hosts[0].gateway == 1.0


@pytest.mark.parametrize(
    ("clock", "offset_s", "start_s"),
    [
        ("+0s", 0, None),
        ("-1h", -3600, None),
        ("3600", 3600, None),
        ('"1970-01-01"', 0, 0),
        ("1970-01-02", 0, 86400),
        ("2030-01-01T00:00:00Z", 0, 1893456000),
        ("2030-01-01 01:00:00 +01:00", 0, 1893456000),
        ("'2030-01-01 00:00:00'", 0, 1893456000),
        ("1969-12-31", 0, -86400),
    ],
)
def test_a_clock_is_an_offset_or_a_date(
    read: Read, clock: str, offset_s: float, start_s: float | None
) -> None:
    host = read(f"hosts: [{{id: 1, clock: {clock}}}]").hosts[0]
    assert (host.wall_offset_s, host.wall_start_s) == (offset_s, start_s)


def test_a_policy_is_named_or_changed(read: Read) -> None:
    assert read("policy: ovirt").policy == OVIRT
    changed = read(
        "policy: {base: ovirt, migration_threshold: 400, dead_after_s: 2m, move_by_restart: no}"
    ).policy
    assert changed.gateway_weight == OVIRT.gateway_weight
    assert (changed.migration_threshold, changed.dead_after_s) == (400, 120)
    assert not changed.move_by_restart
    assert read("policy: {gateway_weight: 1}").policy.bridge_weight == TALK.bridge_weight


def test_a_profile_changes_all_numbers_that_belong_to_it_and_each_may_be_changed_again(
    read: Read,
) -> None:
    scenario = read("policy: {base: ovirt, profile: fast, stagger_s: 2s}\nworld: {loop: 1s}")
    fast = {**PROFILES["fast"], "stagger_s": 2.0, "loop_s": 1.0}
    assert scenario.policy == attrs.evolve(OVIRT, **fast)
    assert (scenario.world.loop_s, scenario.world.io_timeout_s) == (1, 2)
    assert read("policy: {profile: fast}").world == World(loop_s=3.0, io_timeout_s=2.0)


def test_the_world_sets_the_times_that_a_policy_has_to_fit(read: Read) -> None:
    policy = read("world: {loop: 5s, io_timeout: 20s}").policy
    assert (policy.loop_s, policy.io_timeout_s) == (5, 20)
    # Safe only because of the short loop: the two are looked at together.
    quick = "policy: {dead_after_s: 15s, stagger_total_s: 10s, reading_age_max_s: 9s}"
    assert read(f"{quick}\nworld: {{loop: 5s}}").policy.dead_after_s == 15


def test_two_hosts_may_claim_one_id_under_two_names(read: Read) -> None:
    scenario = read(
        """
        hosts: [{id: 1}, {id: 2}, {id: 2, name: intruder}]
        engine: {running_on: intruder}
        timeline:
          - {at: 0, host: 2, power: off}
          - {at: 0, hosts: [intruder, 1], power: off}
          - {at: 0, hosts: 2-9, power: off}
        """
    )
    assert scenario.engine.running_on == "intruder"
    assert [entry.hosts for entry in scenario.timeline] == [
        ("2",),
        ("intruder", "1"),
        ("2", "intruder"),
    ]
    assert scenario.host("intruder").hostname == "host2"


def test_an_id_means_the_only_host_that_has_it(read: Read) -> None:
    scenario = read("hosts: [{id: 4, name: attic}]\nengine: {running_on: 4}")
    assert scenario.engine.running_on == "attic"


def test_anchors_and_merge_keys_work(read: Read) -> None:
    scenario = read(
        """
        hosts:
          - &weak {id: 1, gateway: 0, bridge: 0}
          - {<<: *weak, id: 2, bridge: 1}
          - {<<: [*weak], id: 3}
        """
    )
    assert [(host.id, host.gateway, host.bridge) for host in scenario.hosts] == [
        (1, 0, 0),
        (2, 0, 1),
        (3, 0, 0),
    ]


def test_a_file_is_read_as_utf_8_with_or_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + "scenarios: [{name: häuser, hosts: 2}]".encode())
    (scenario,) = load_scenarios(path)
    assert scenario.name == "häuser"
    assert scenario.place.file == str(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("policy.migration_threshold", "400"),
        ("policy", "{base: talk, migration_threshold: 400}"),
    ],
)
@pytest.mark.parametrize("policy", ["", "policy: talk\n", "policy: {migration_threshold: 300}\n"])
def test_an_override_beats_the_file(read: Read, key: str, value: str, policy: str) -> None:
    assert read(policy + "seed: 1", **{key: value}).policy.migration_threshold == 400


def test_an_override_keeps_what_it_does_not_name(read: Read) -> None:
    scenario = read(
        "policy: ovirt\nworld: {jitter: 2s}\nhosts: 2\nengine: {running_on: 1}",
        **{
            "policy.migration_threshold": "400",
            "world.loop": "5s",
            "engine.memory": "1024",
            "seed": "9",
            "until": "1h",
            "maintenance": "global",
        },
    )
    assert scenario.policy.gateway_weight == OVIRT.gateway_weight
    assert (scenario.world.loop_s, scenario.world.jitter_s) == (5, 2)
    assert (scenario.engine.memory, scenario.engine.running_on) == (1024, "1")
    assert (scenario.seed, scenario.until, scenario.maintenance) == (9, 3600, True)


def test_an_override_works_where_the_file_says_nothing(read: Read) -> None:
    assert read("world:\nseed: 1", **{"world.loop": "5s"}).world.loop_s == 5


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("policy.migration_threshold", "4oo", "expected a whole number, got '4oo'"),
        ("policy.migration_treshold", "4", "did you mean 'migration_threshold'?"),
        ("world.loop", "", "expected a time"),
        ("world.loop", "40s", "must be below"),
        ("world.loop", "[", "can't be read as YAML"),
        ("hosts", "3", "unknown key 'hosts'"),
        ("wurld.loop", "3", "unknown key 'wurld.loop'; known: policy"),
    ],
)
def test_a_bad_override_names_the_option(
    refusal: Callable[..., str], key: str, value: str, message: str
) -> None:
    said = refusal("seed: 1", **{key: value})
    assert said.startswith(f"--set {key}={value}: ")
    assert message in said


def test_names_are_unique_in_a_file() -> None:
    text = "scenarios:\n- {name: a, hosts: 1}\n- {name: a, hosts: 1}\n"
    with pytest.raises(ScenarioError, match=r"f:3:10: scenarios\[1\].name: .*see f:2"):
        parse_scenarios(text, "f")
