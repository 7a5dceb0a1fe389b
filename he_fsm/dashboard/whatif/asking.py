"""
What the page asks, and what it is answered: plain values in, plain values out.

Nothing is opened here and no clock is read; how long an answer may take is the caller's matter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.dashboard.whatif.answer import answer
from he_fsm.dashboard.whatif.edits import Edit, EditError, edited, read_edits
from he_fsm.dashboard.whatif.link import TEXT_BYTES_MAX, fragment_of, text_of
from he_fsm.dashboard.whatif.model import page_model
from he_fsm.errors import HeFsmError, ScenarioError
from he_fsm.scenario import Scenario, parse_scenarios

HOSTS_MAX: Final = 250
SEEDS_MAX: Final = 50
DAYS_MAX: Final = 31
ENTRIES_MAX: Final = 500
_DAY_S: Final = 86_400
_SEED_MAX: Final = 2**31
_NAME_MAX: Final = 200
# How the file is called that has no name yet.
FILE_NAME: Final = "what-if.yaml"
_KEYS: Final = frozenset(
    ("text", "link", "file", "scenario", "edits", "runs", "seed", "show", "page")
)


@attrs.frozen(kw_only=True)
class Asked:
    """
    One question of a page.

    `text`: a scenario file. `scenario`: the index of the one that is played. `edits`: are made
    before. `runs`: 1 plays the scenario's own seed, or `seed`; more play the seeds from 1 on.
    `show`: the seed of the run whose timeline is wanted.
    """

    text: str
    file: str = FILE_NAME
    scenario: int = 0
    edits: tuple[Edit, ...] = ()
    runs: int = 1
    seed: Optional[int] = None
    show: Optional[int] = None


def read_asked(plain: Mapping[str, Any]) -> Asked:
    """
    Read a question.

    Raises:
        EditError: it is none.
        ScenarioError: its link can't be read.
    """
    unknown = sorted(set(plain) - _KEYS)
    if unknown:
        msg = f"unknown key {unknown[0]!r}; known: {', '.join(sorted(_KEYS))}"
        raise EditError(msg)
    if ("text" in plain) == ("link" in plain):
        msg = "expected 'text' (a scenario file) or 'link' (the fragment of a link)"
        raise EditError(msg)
    text = _text(plain, "text", TEXT_BYTES_MAX) if "text" in plain else text_of(_link(plain))
    return Asked(
        text=text,
        file=_text(plain, "file", _NAME_MAX) if plain.get("file") else FILE_NAME,
        scenario=_whole(plain, "scenario", 0, 10_000) or 0,
        edits=read_edits(plain.get("edits", [])),
        runs=_whole(plain, "runs", 1, SEEDS_MAX) or 1,
        seed=_whole(plain, "seed", 0, _SEED_MAX),
        show=_whole(plain, "show", 0, _SEED_MAX),
    )


def _link(plain: Mapping[str, Any]) -> str:
    return _text(plain, "link", TEXT_BYTES_MAX)


def _text(plain: Mapping[str, Any], key: str, bytes_max: int) -> str:
    value = plain[key]
    if not isinstance(value, str):
        msg = f"{key}: expected a text"
        raise EditError(msg)
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        msg = f"{key}: half of a surrogate pair is no character"
        raise EditError(msg) from error
    if size > bytes_max:
        msg = f"{key}: {size} bytes, at most {bytes_max} are taken; he-fsm simulate plays more"
        raise EditError(msg)
    return value


def _whole(plain: Mapping[str, Any], key: str, low: int, high: int) -> Optional[int]:
    value = plain.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        msg = f"{key}: expected a whole number from {low} to {high}"
        raise EditError(msg)
    return value


def reply(plain: Mapping[str, Any], goes_on: Callable[[], bool] = lambda: True) -> dict[str, Any]:
    """
    Answer a question.

    Args:
        plain: what the page sent.
        goes_on: see `answer`.

    Returns:
        `text` (with the edits), `scenarios` (their names), `scenario`, `model` and `answer`. If the
        scenario can't be used: `text`, and `error` (the command's sentence), `line` and `column`.
        If the question itself can't be used: `refused`, a sentence.
    """
    try:
        asked = read_asked(plain)
    except EditError as error:
        return {"refused": str(error)}
    except ScenarioError as error:
        return {**_error(error, ""), "text": None}
    text = asked.text.removeprefix("\ufeff")
    try:
        text = edited(text, asked.scenario, asked.edits, asked.file)
        scenarios = parse_scenarios(text, asked.file)
        if asked.scenario >= len(scenarios):
            return {"refused": f"the file has {len(scenarios)} scenarios"}
        scenario = scenarios[asked.scenario]
        _check_size(scenario)
        found = answer(scenario, _seeds(asked, scenario), show=asked.show, goes_on=goes_on)
    except HeFsmError as error:
        return {**_error(error, asked.file), "text": text}
    return {
        "text": text,
        "scenarios": [each.name for each in scenarios],
        "scenario": asked.scenario,
        "model": page_model(scenario),
        "answer": found.as_json(),
    }


def _seeds(asked: Asked, scenario: Scenario) -> list[int]:
    if asked.runs > 1:
        return list(range(1, asked.runs + 1))
    return [scenario.seed if asked.seed is None else asked.seed]


def _check_size(scenario: Scenario) -> None:
    """
    Refuse what takes too long for a page.

    Raises:
        ScenarioError: the scenario is too large.
    """
    limits = (
        (len(scenario.hosts), HOSTS_MAX, "hosts"),
        (len(scenario.timeline), ENTRIES_MAX, "entries of a timeline"),
        (scenario.until / _DAY_S, DAYS_MAX, "days"),
    )
    for found, limit, what in limits:
        if found > limit:
            advice = "he-fsm simulate plays more"
            msg = f"{scenario.place.exact}: the page plays at most {limit} {what}; {advice}"
            raise ScenarioError(msg)


def _error(error: HeFsmError, file: str) -> dict[str, Any]:
    """Return an error's whole sentence, with its line and column where it has them."""
    found = re.match(rf"{re.escape(file)}:(\d+):(\d+): ", str(error)) if file else None
    return {
        "error": str(error),
        "line": None if found is None else int(found[1]),
        "column": None if found is None else int(found[2]),
    }


def link_reply(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fragment of a link that holds a scenario file, or why there is none."""
    try:
        if set(plain) != {"text"}:
            return {"refused": 'expected {"text": a scenario file}'}
        return {"link": fragment_of(_text(plain, "text", TEXT_BYTES_MAX))}
    except HeFsmError as error:
        return {"refused": str(error)}
