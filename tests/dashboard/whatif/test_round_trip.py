"""The page and the file say the same: what is changed on the page is what the file then means."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from he_fsm.dashboard.whatif.asking import reply
from he_fsm.dashboard.whatif.edits import edited, read_edits
from he_fsm.dashboard.whatif.model import language, page_model
from he_fsm.errors import ScenarioError
from he_fsm.policy import Policy
from he_fsm.scenario import Verb, load_scenarios, parse_scenarios
from he_fsm.scenario.language.policies import FROM_WORLD
from he_fsm.simulate import simulate
from tests.dashboard.whatif.files import PLAIN, SHORT, WITH_FAULTS, add, put

ROOT = Path(__file__).parents[3]
FILES = sorted([*(ROOT / "tests" / "scenarios").glob("*.yaml"), ROOT / "examples" / "talk.yaml"])
# Larger files take seconds for each change: the test marked `long` has them.
SMALL_BYTES = 4_000
WORDS = language()


def entries() -> list[dict[str, Any]]:
    """Return an entry for each verb and each word of the language, as the page writes it."""
    found = []
    for verb in WORDS["verbs"]:
        written = [
            f"{word['word']} {word['first']}".strip() + (" 2" if word["is_host"] else "")
            for word in verb["words"]
        ] or [verb["first"]]
        for value in written:
            is_of_cluster = verb["words_with_host"] and value not in verb["words_with_host"]
            where = {} if verb["needs_host"] is False or is_of_cluster else {"host": 2}
            found.append({"at": "90s", **where, verb["name"]: value})
    return found


@pytest.mark.parametrize("entry", entries(), ids=str)
def test_every_verb_and_word_that_the_page_offers_is_one_of_the_language(
    entry: dict[str, Any],
) -> None:
    text = edited(PLAIN, 0, read_edits([add(**entry)]))
    (scenario,) = parse_scenarios(text, "x")
    (made,) = scenario.timeline
    assert made.verb.value in entry
    shown = page_model(scenario)["timeline"][0]
    again = edited(text, 0, read_edits([put("timeline", 0, shown["verb"], value=shown["value"])]))
    assert parse_scenarios(again, "x")[0].timeline[0].value == made.value


def test_the_page_has_every_verb_and_every_number_of_the_policy() -> None:
    assert [verb["name"] for verb in WORDS["verbs"]] == [verb.value for verb in Verb]
    shown = {control["key"] for group in WORDS["policy"] for control in group["controls"]}
    fields = {field.name for field in Policy.__attrs_attrs__}  # type: ignore[attr-defined]
    assert shown == fields - {"name", *FROM_WORLD}


def test_a_first_step_changes_what_happens() -> None:
    """No fault is added in a form that does nothing."""
    firsts = {verb["name"]: verb["first"] for verb in WORDS["verbs"]}
    assert [name for name, first in firsts.items() if first in ("ok", "on", "back", None)] == [
        "maintenance"
    ]


controls = [
    (("policy",), control)
    for group in WORDS["policy"]
    for control in group["controls"]
    if control["key"]
    in ("migration_threshold", "migration_hold_s", "gateway_weight", "bad_health_s")
]
controls += [(("hosts", index), control) for index in range(3) for control in WORDS["host"]]
controls += [(("world",), control) for control in WORDS["world"]]


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what somebody does on the page: move a slider, or add a fault."""
    if draw(st.booleans()):
        entry = draw(st.sampled_from(entries()))
        return dict(add(**{**entry, "at": draw(st.integers(0, 400))}))
    path, control = draw(st.sampled_from(controls))
    if control["kind"] in ("number", "time"):
        high = (
            control["maximum"]
            if control["limit"] is None
            else min(control["maximum"], control["limit"])
        )
        number = draw(st.integers(int(control["minimum"]), max(int(control["minimum"]), int(high))))
        value: Any = f"{number}s" if control["kind"] == "time" else number
    elif control["kind"] == "flag":
        value = draw(st.booleans())
    elif control["kind"] == "words":
        value = draw(st.sampled_from(control["words"]))
    else:
        value = "+1h" if control["key"] == "clock" else {"count": 1, "last": -60}
    return dict(put(*path, control["key"], value=value))


def applied(plain: Any, edit: dict[str, Any]) -> Any:
    """Do to the plain values what an edit does to the text."""
    scenario = plain["scenarios"][0]
    if isinstance(scenario["hosts"], int):
        scenario["hosts"] = [{"id": number} for number in range(1, scenario["hosts"] + 1)]
    if edit["do"] == "add":
        scenario.setdefault("timeline", []).append(edit["value"])
        return plain
    holder = scenario
    *above, last = edit["path"]
    for step in above:
        if step == "policy" and isinstance(holder.get("policy"), str):
            holder["policy"] = {"base": holder["policy"]}
        holder = holder[step] if isinstance(step, int) else holder.setdefault(step, {})
    holder[last] = edit["value"]
    return plain


def refusal_of(text: str) -> str:
    """Return what is wrong with a file, without its place; empty: nothing."""
    try:
        parse_scenarios(text, "x")
    except ScenarioError as error:
        return str(error).rpartition(": ")[2]
    return ""


@settings(max_examples=25)
@given(text=st.sampled_from([PLAIN, SHORT, WITH_FAULTS]), made=st.lists(changes(), max_size=5))
def test_what_is_done_on_the_page_is_what_the_file_then_plays(
    text: str, made: list[dict[str, Any]]
) -> None:
    new = edited(text, 0, read_edits(made))
    plain = yaml.safe_load(text)
    for edit in copy.deepcopy(made):
        plain = applied(plain, edit)
    expected = yaml.safe_dump(plain)
    refusal = refusal_of(expected)
    if refusal:
        assert refusal == reply({"text": new, "file": "x"})["error"].rpartition(": ")[2]
        return
    (scenario,) = parse_scenarios(expected, "x")
    (shown,) = parse_scenarios(new, "x")
    assert page_model(shown) == page_model(scenario) | {
        "timeline": [
            {**each, "text": mine["text"], "line": mine["line"]}
            for each, mine in zip(page_model(scenario)["timeline"], page_model(shown)["timeline"])
        ],
        "expect": page_model(shown)["expect"],
    }
    assert simulate(shown).events == simulate(scenario).events


def moves_and_moves_back(path: Path, scenarios: slice) -> None:
    text = path.read_text(encoding="utf-8")
    for index, scenario in list(enumerate(load_scenarios(path)))[scenarios]:
        page_model(scenario)
        for number, entry in enumerate(scenario.timeline[:2]):
            edits = read_edits([put("timeline", number, "at", value=entry.at + 1)])
            moved = parse_scenarios(edited(text, index, edits), str(path))[index].timeline[number]
            assert (moved.at, moved.hosts, moved.verb, moved.value) == (
                entry.at + 1,
                entry.hosts,
                entry.verb,
                entry.value,
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_of_each_file_of_the_repository_can_be_changed(path: Path) -> None:
    if len(path.read_bytes()) < SMALL_BYTES:
        moves_and_moves_back(path, slice(2))


@pytest.mark.long
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_scenario_of_the_repository_can_be_changed(path: Path) -> None:
    moves_and_moves_back(path, slice(None))
