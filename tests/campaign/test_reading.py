"""Campaign files: what they say, what varies, and what is refused where."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from he_fsm.campaign.reading import json_schema, load_campaign
from he_fsm.errors import ScenarioError
from tests.campaign.campaigns import campaign, design, written

ROOT = Path(__file__).parents[2]
VM = "{cause: vm, mtbf: 7d}"


def names(folder: Path, more: str) -> list[str]:
    return [each.variation.name for each in campaign(folder, VM, more).designs]


def refused(folder: Path, faults: str = VM, more: str = "", hosts: str = "2") -> str:
    with pytest.raises(ScenarioError) as caught:
        campaign(folder, faults, more, hosts)
    message = str(caught.value)
    prefix = f"{folder / 'campaign.yaml'}:"
    assert message.startswith(prefix)
    return message[len(prefix) :]


def test_a_campaign_says_little_where_the_usual_is_meant(tmp_path: Path) -> None:
    found = campaign(tmp_path, VM)
    assert (found.runs, found.horizon_s, found.seed, found.confidence) == (
        *(100, 365 * 86400.0, 1),
        0.95,
    )
    assert names(tmp_path, "") == ["as written"]
    assert found.designs[0].scenario.until == found.horizon_s


def test_the_keys_of_a_scenario_mean_what_they_mean_there(tmp_path: Path) -> None:
    more = "policy: {base: talk, migration_threshold: 400}\nworld: {loop: 5s}\nmaintenance: global"
    scenario = design(tmp_path, VM, more, hosts="[{id: 1}, {id: 7}]").scenario
    assert (scenario.policy.migration_threshold, scenario.world.loop_s) == (400, 5.0)
    assert [host.id for host in scenario.hosts] == [1, 7]
    assert scenario.maintenance
    assert scenario.engine.running_on == "1"


def test_a_grid_has_every_combination(tmp_path: Path) -> None:
    more = "vary: {policy: [talk, ovirt], world.loop: {from: 5s, to: 15s, steps: 3}}"
    assert names(tmp_path, more) == [
        f"policy={policy}, world.loop={loop}" for policy in ("talk", "ovirt") for loop in _LOOPS
    ]
    designs = campaign(tmp_path, VM, more).designs
    assert [each.scenario.policy.name for each in designs] == ["talk"] * 3 + ["ovirt"] * 3
    assert [each.scenario.policy.loop_s for each in designs] == [5.0, 10.0, 15.0] * 2
    assert designs[0].variation.settings == {"policy": "talk", "world.loop": "5s"}


_LOOPS = ("5s", "10s", "15s")


def test_whole_numbers_stay_whole_and_each_is_there_once(tmp_path: Path) -> None:
    more = "vary: {policy.failed_starts_max: {from: 2, to: 4, steps: 5}}"
    assert names(tmp_path, more) == [f"policy.failed_starts_max={n}" for n in (2, 3, 4)]


def test_hosts_and_faults_can_vary_too(tmp_path: Path) -> None:
    more = "vary: {hosts: [2, 3], faults.vm.mtbf: [7d, 14d]}"
    designs = campaign(tmp_path, VM, more).designs
    assert [len(each.scenario.hosts) for each in designs] == [2, 2, 3, 3]
    means = [each.faults[0].mtbf.mean_s for each in designs if each.faults[0].mtbf is not None]
    assert [mean / 86400 for mean in means] == [7, 14, 7, 14]


def test_a_policy_is_changed_after_it_is_chosen_whatever_stands_first(tmp_path: Path) -> None:
    more = "vary: {policy.migration_threshold: [400], policy: [ovirt]}"
    policy = design(tmp_path, VM, more).scenario.policy
    assert (policy.name, policy.migration_threshold) == ("ovirt", 400)


def test_a_random_search_takes_some_points_the_same_with_each_seed(tmp_path: Path) -> None:
    more = (
        "vary: {policy.migration_threshold: {from: 100, to: 2000}, world.loop: [5s, 10s]}\n"
        "search: {random: 8}\nseed: "
    )
    assert names(tmp_path, f"{more}1") == names(tmp_path, f"{more}1")
    assert names(tmp_path, f"{more}1") != names(tmp_path, f"{more}2")
    for each in campaign(tmp_path, VM, f"{more}1").designs:
        assert 100 <= each.scenario.policy.migration_threshold <= 2000
        assert each.scenario.world.loop_s in (5.0, 10.0)
    # A point that comes up again is played once.
    few = "vary: {world.loop: [5s, 10s]}\nsearch: {random: 30}"
    assert sorted(names(tmp_path, few)) == ["world.loop=10s", "world.loop=5s"]


def test_values_can_be_set(tmp_path: Path) -> None:
    path = written(tmp_path, VM)
    overrides = {"runs": "7", "horizon": "2y", "world.loop": "4s", "faults.vm.mtbf": "1d"}
    found = load_campaign(path, overrides)
    made = found.designs[0]
    assert (found.runs, found.horizon_s, made.scenario.world.loop_s) == (7, 2 * 365 * 86400.0, 4.0)
    assert made.faults[0].mtbf is not None
    assert made.faults[0].mtbf.mean_s == 86400.0


@pytest.mark.parametrize("key", ["name", "world", "faults", "faults.vm", "expect", "policy.x.y"])
def test_what_cannot_be_set_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ScenarioError, match=f"^--set {key}=1: "):
        load_campaign(written(tmp_path, VM), {key: "1"})


def test_a_design_is_told_from_another_one_by_what_it_plays(tmp_path: Path) -> None:
    usual = design(tmp_path, VM)
    assert design(tmp_path, VM, "about: Words.").fingerprint == usual.fingerprint
    others = [
        design(tmp_path, "{cause: vm, mtbf: 8d}"),
        design(tmp_path, VM, "horizon: 2y"),
        design(tmp_path, VM, "needless_within: 1h"),
        design(tmp_path, VM, "policy: {base: talk, migration_threshold: 900}"),
        design(tmp_path, VM, hosts="3"),
    ]
    assert len({each.fingerprint for each in (usual, *others)}) == 6


HOST = "{cause: host, mtbf: 1d, repair: 1h}"


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ("{cause: hots, mtbf: 1d}", "6:15: campaign.faults[0].cause: unknown word 'hots', did you"),
        ("{mtbf: 1d}", "6:7: campaign.faults[0]: the key 'cause' is missing"),
        (
            "{cause: host, mtbf: 1d}",
            "6:7: campaign.faults[0]: the key 'repair' is missing: 'host' needs it",
        ),
        (
            "{cause: vm, mtbf: 1d, repair: 1h}",
            "6:29: campaign.faults[0].repair: this does not go with the cause 'vm'",
        ),
        (
            "{cause: hang, hosts: 1, mtbf: 1d}",
            "6:21: campaign.faults[0].hosts: this does not go with the cause 'hang'",
        ),
        (
            "{cause: maintenance, mtbf: 1d, repair: 1h}",
            "6:28: campaign.faults[0].mtbf: this does not go with the cause 'maintenance'",
        ),
        (
            "{cause: maintenance, every: 1d, lasts: 12h}",
            "6:35: campaign.faults[0].every: one round of these windows takes 86400 s, expected",
        ),
        (
            "{cause: host, hosts: 9, mtbf: 1d, repair: 1h}",
            "6:28: campaign.faults[0].hosts: there is no host 9",
        ),
        (
            f"{HOST}\n{HOST}",
            "7:7: campaign.faults[1]: another fault is called 'host' already: give 'name'",
        ),
        (
            "{cause: vm, mtbf: 1ms}",
            "6:5: campaign.faults: about 3.15e+10 faults a run, expected at most 1000000",
        ),
    ],
)
def test_a_fault_that_cannot_be_used_is_refused_at_its_place(
    tmp_path: Path, faults: str, said: str
) -> None:
    assert refused(tmp_path, faults).startswith(said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("rnus: 5", "7:3: campaign.rnus: unknown key, did you mean 'runs'?"),
        ("runs: 0", "7:9: campaign.runs: expected 1 or more, got '0'"),
        ("confidence: 95", "7:15: campaign.confidence: expected 0.9999 or less, got '95'"),
        ("world: {loop: 90s}", "7:17: campaign.world.loop: policy talk: a host that misses one"),
        (
            "vary: {world.loop: [5s, 90s]}",
            "7:27: campaign.vary.world.loop[1]: policy talk: a host that misses one loop",
        ),
        ("vary: {world.lop: [5s]}", "7:22: campaign.world.lop: unknown key, did you mean 'loop'?"),
        ("vary: {expect: [1]}", "7:10: campaign.vary.expect: this can't be varied; known: policy"),
        (
            "vary: {faults.mv.mtbf: [1d]}",
            "7:27: campaign.vary.faults.mv.mtbf[0]: no fault is called 'mv'; known: vm",
        ),
        ("vary: {world.loop: 5s}", "7:22: campaign.vary.world.loop: expected a list of values, or"),
        ("vary: {world.loop: [5s, 5s]}", "7:27: campaign.vary.world.loop[1]: 5s stands here twice"),
        (
            "vary: {world.loop: {from: 5s, to: 4s, steps: 2}}",
            "7:37: campaign.vary.world.loop.to: expected more than 'from'",
        ),
        (
            "vary: {world.loop: {from: 5s, to: 9s}}",
            "7:9: campaign.vary: a grid needs 'steps' in the range of world.loop",
        ),
        ("aim: {least: dwontime}", "7:16: campaign.aim.least: unknown word 'dwontime', did you"),
    ],
)
def test_a_key_that_cannot_be_used_is_refused_at_its_place(
    tmp_path: Path, more: str, said: str
) -> None:
    assert refused(tmp_path, more=more).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scenarios: []", ":1:1: scenarios: unknown key; known: campaign"),
        ("campaign: {name: x, hosts: 1}", ":1:11: campaign: the key 'faults' is missing"),
        ("campaign: 5", ":1:11: campaign: expected a mapping with 'name', 'hosts' and 'faults'"),
        ("", ":1:1: the file is empty, expected a mapping with the key 'campaign'"),
    ],
)
def test_what_is_no_campaign_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_campaign(path)
    assert str(caught.value).startswith(f"{path}{said}")


def test_too_many_variations_are_refused(tmp_path: Path) -> None:
    steps = "{from: 1, to: 2, steps: 500}"
    more = f"vary: {{world.vm_boot: {steps}, world.vm_start: {steps}}}"
    assert "these are more than 10000 variations" in refused(tmp_path, more=more)


def test_the_schema_knows_what_the_reader_knows(tmp_path: Path) -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    plain = yaml.safe_load((ROOT / "examples" / "campaign.yaml").read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(json.dumps(plain)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"campaign": {"name": "x", "hosts": 2, "faults": [{}]}}, schema)
    assert load_campaign(ROOT / "examples" / "campaign.yaml").designs
    assert load_campaign(written(tmp_path, VM)).name == "c"
