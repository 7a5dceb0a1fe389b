"""The page of the language says what the reader does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from he_fsm.scenario import parse_scenarios
from he_fsm.scenario.judging.counting import TOTAL_FORMS
from he_fsm.scenario.language.conditions import CONDITIONS, RECORD_FORMS, STATE_NAMES
from he_fsm.scenario.language.reading import SCENARIO_FORMS
from he_fsm.scenario.language.verbs import VERBS

PAGE = (Path(__file__).parents[2] / "docs" / "scenario-language.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_is_read() -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (scenario,) = parse_scenarios(found.group(1), "page")
    assert len(scenario.expect) == 3


@pytest.mark.parametrize(
    "word",
    [
        *SCENARIO_FORMS,
        *CONDITIONS,
        *RECORD_FORMS,
        *STATE_NAMES,
        *TOTAL_FORMS,
        *(verb.value for verb in VERBS),
    ],
)
def test_every_word_is_on_the_page(word: str) -> None:
    assert f"`{word}`" in PAGE
