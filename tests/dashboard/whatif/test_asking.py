"""What the page is answered: the simulator's own numbers, and the command's own errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.dashboard.whatif.asking import DAYS_MAX, HOSTS_MAX, SEEDS_MAX, link_reply, reply
from he_fsm.live.forecast import forecast_of
from he_fsm.scenario import load_scenarios, parse_scenarios
from he_fsm.simulate import simulate
from tests.dashboard.whatif.files import PLAIN, SHORT, WITH_FAULTS, add, asked, put

ROOT = Path(__file__).parents[3]
_CODE = "from he_fsm.cli.main import main; main()"


def test_the_numbers_are_those_of_the_command_for_the_saved_file(tmp_path: Path) -> None:
    edits = [put("timeline", 0, "at", value="90s"), put("policy", "migration_threshold", value=400)]
    found = asked(WITH_FAULTS, edits=edits)
    saved = tmp_path / "saved.yaml"
    saved.write_text(found["text"])
    done = subprocess.run(
        [sys.executable, "-c", _CODE, "simulate", "--json", str(saved)],
        capture_output=True,
        text=True,
        check=False,
    )
    (said,) = json.loads(done.stdout)["scenarios"]
    shown = found["answer"]["shown"]
    assert shown["totals"] == said["totals"]
    assert shown["final"] == said["final"]
    assert shown["verdict"] == said["verdict"]
    assert [each["line"] for each in shown["failures"]] == [
        each["line"] for each in said["failures"]
    ]
    assert [each["t"] for each in shown["happened"]] == [each["t"] for each in said["events"]]


def test_many_runs_are_those_of_the_seeds_from_1_on() -> None:
    found = asked(WITH_FAULTS, runs=5)["answer"]
    (scenario,) = parse_scenarios(WITH_FAULTS, "x")
    outcomes = [simulate(scenario, seed=seed) for seed in range(1, 6)]
    assert [each["seed"] for each in found["runs"]] == [1, 2, 3, 4, 5]
    assert [each["downtime"] for each in found["runs"]] == [o.totals["downtime"] for o in outcomes]
    forecast = forecast_of("moves", outcomes)
    assert (found["forecast"]["median_s"], found["forecast"]["worst_s"]) == (
        forecast.median_s,
        forecast.worst_s,
    )


def test_one_run_has_the_seed_of_the_file_and_a_shown_run_the_seed_that_is_asked() -> None:
    assert asked(WITH_FAULTS, edits=[put("seed", value=9)])["answer"]["shown"]["seed"] == 9
    assert asked(WITH_FAULTS, runs=3, show=2)["answer"]["shown"]["seed"] == 2


def test_the_run_with_the_longest_downtime_is_shown_if_none_is_asked_for() -> None:
    found = asked(WITH_FAULTS.partition("    expect:")[0], runs=6)["answer"]
    longest = max(found["runs"], key=lambda run: float(run["downtime"]))
    assert found["shown"]["seed"] == longest["seed"]
    assert len({run["downtime"] for run in found["runs"]}) > 1


def test_a_run_that_failed_is_shown_before_one_that_was_down_for_long() -> None:
    wanted = WITH_FAULTS.replace("{at: 10m, engine_on: 2}", '{total: {downtime: "<= 190s"}}')
    found = asked(wanted, runs=8)["answer"]
    failed = [run["seed"] for run in found["runs"] if not run["passed"]]
    assert 0 < len(failed) < 8
    assert found["shown"]["seed"] == failed[0]


def test_runs_that_take_too_long_are_left_out_and_that_is_said() -> None:
    steps = iter([True, False])
    found = reply({"text": PLAIN, "runs": 9}, goes_on=lambda: next(steps))["answer"]
    assert (found["asked"], len(found["runs"])) == (9, 2)


def test_an_expectation_that_fails_is_no_danger() -> None:
    found = asked(WITH_FAULTS, edits=[add(at="2m", host=2, power="off")])["answer"]
    assert not found["passed"]
    assert found["forecast"]["broken"] is None
    assert found["sentence"].startswith("the engine comes back on host")


def test_the_spells_of_a_run_cover_it_without_a_gap() -> None:
    (run,) = asked(WITH_FAULTS)["answer"]["runs"]
    spells = run["spells"]
    assert spells[0][0] == 0
    assert spells[-1][1] == 600
    assert all(one[1] == other[0] for one, other in zip(spells, spells[1:]))


def test_comments_and_order_stay_whatever_the_page_changes() -> None:
    edits = [
        put("hosts", 1, "cpu_load", value=0.9),
        put("policy", "migration_threshold", value=400),
        put("world", "loop", value="5s"),
        add(at="60s", host=2, power="off"),
    ]
    text = asked(PLAIN, edits=edits)["text"]
    assert text == (
        PLAIN.replace("cpu_load: 0.3", "cpu_load: 0.9").replace(
            "three   # the name\n",
            "three   # the name\n    policy: {migration_threshold: 400}\n    world: {loop: 5s}\n",
        )
    ).replace(
        "    until: 8m\n",
        "    timeline:\n      - {at: 60s, host: 2, power: 'off'}\n    until: 8m\n",
    )


def test_the_keys_of_hosts_are_kept_as_they_are_written() -> None:
    text = asked(WITH_FAULTS, edits=[put("timeline", 1, "host", value=3)])["text"]
    assert "- {at: 3m, hosts: 3, power: off}" in text


def test_the_last_fault_takes_the_timeline_with_it() -> None:
    edits = [{"do": "remove", "path": ["timeline", 0]}] * 2
    assert "timeline" not in yaml.safe_load(asked(WITH_FAULTS, edits=edits)["text"])["scenarios"][0]


def test_hosts_that_are_a_number_are_written_out_when_one_differs() -> None:
    found = asked(SHORT, edits=[put("hosts", 1, "gateway", value=0)])
    assert [each["gateway"] for each in found["model"]["hosts"]] == [1.0, 0.0, 1.0]
    more = asked(SHORT, edits=[{"do": "add", "path": ["hosts"], "value": {"id": 4}}])
    assert len(more["model"]["hosts"]) == 4


def test_an_error_is_the_commands_own_sentence_with_its_place(tmp_path: Path) -> None:
    wrong = WITH_FAULTS.replace("gateway: 0", "gatway: 0")
    saved = tmp_path / "wrong.yaml"
    saved.write_text(wrong)
    with pytest.raises(Exception, match="did you mean") as raised:
        load_scenarios(saved)
    found = reply({"text": wrong, "file": str(saved)})
    assert found["error"] == str(raised.value)
    assert (found["line"], found["column"], found["text"]) == (7, 34, wrong)


def test_an_unsafe_policy_is_named_and_the_text_keeps_what_was_asked() -> None:
    found = reply({"text": PLAIN, "edits": [put("policy", "kill_grace_s", value=90)]})
    assert "kill_grace" in found["error"]
    assert "kill_grace_s: 90" in found["text"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("scenarios: [", "not YAML"),
        ("scenarios: [{name: a, hosts: 251}]", f"at most {HOSTS_MAX} hosts"),
        ("scenarios: [{name: a, hosts: 2, until: 32d}]", f"at most {DAYS_MAX} days"),
        ("\ud800", "half of a surrogate pair"),
    ],
)
def test_what_can_not_be_played_is_said_in_a_sentence(text: str, said: str) -> None:
    found = reply({"text": text})
    assert said in found.get("error", "") + found.get("refused", "")


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({}, "expected 'text'"),
        ({"text": "a", "link": "1"}, "expected 'text'"),
        ({"text": 5}, "text: expected a text"),
        ({"text": PLAIN, "colour": 1}, "unknown key 'colour'"),
        ({"text": PLAIN, "runs": 0}, f"from 1 to {SEEDS_MAX}"),
        ({"text": PLAIN, "runs": SEEDS_MAX + 1}, f"from 1 to {SEEDS_MAX}"),
        ({"text": PLAIN, "seed": -1}, "seed: expected a whole number"),
        ({"text": PLAIN, "scenario": 1}, "the file has 1 scenarios"),
        ({"text": PLAIN, "edits": 7}, "edits: expected a list"),
        ({"text": PLAIN, "edits": [{}]}, "edits[0]: expected"),
        (
            {"text": PLAIN, "edits": [{"do": "burn", "path": ["seed"]}]},
            "edits[0].do: expected one of",
        ),
        ({"text": PLAIN, "edits": [{"do": "set", "path": []}]}, "edits[0].path: expected 1 to"),
        ({"text": PLAIN, "edits": [put("colour", value=1)]}, "a scenario has the keys"),
        ({"text": PLAIN, "edits": [put("seed", value=float("inf"))]}, "edits[0].value: expected"),
        ({"text": "x" * 300_000}, "at most 262144 are taken"),
    ],
)
def test_a_question_that_is_none_is_refused(plain: dict[str, Any], said: str) -> None:
    assert said in reply(plain)["refused"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
steps = st.sampled_from(["timeline", "hosts", "policy", "at", "seed", 0, 1, 5]) | json_values
edit_like = st.fixed_dictionaries(
    {"do": st.sampled_from(["set", "unset", "add", "remove"]), "path": st.lists(steps, max_size=4)},
    optional={"value": json_values},
)


@given(
    text=st.sampled_from([PLAIN, SHORT, WITH_FAULTS]) | st.text(max_size=20),
    edits=st.lists(edit_like | json_values, max_size=2),
)
def test_whatever_comes_is_answered_in_plain_values(text: str, edits: list[Any]) -> None:
    found = reply({"text": text, "edits": edits})
    assert {"answer", "error", "refused"} & set(found)
    json.dumps(found)


def test_a_link_holds_the_file_and_opens_as_it() -> None:
    found = link_reply({"text": WITH_FAULTS})
    assert reply({"link": found["link"]}) == reply({"text": WITH_FAULTS})
    assert "expected" in link_reply({"text": WITH_FAULTS, "more": 1})["refused"]
    assert "error" in reply({"link": "1damaged"})
