"""docs/lessons.md: every row names what answers it, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from he_fsm import load_scenarios

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "lessons.md"
LATER = "later"
FILES = [*(ROOT / "tests" / "scenarios").glob("*.yaml"), ROOT / "examples" / "talk.yaml"]
SCENARIOS = {scenario.name for path in FILES for scenario in load_scenarios(path)}


def rows() -> dict[str, str]:
    """Return the last cell of each row of the page's tables, by the number of the lesson."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"0\.\d|[BCD]\d*", cells[0]):
            assert cells[0] not in found
            found[cells[0]] = cells[-1]
    return found


ROWS = rows()


def test_every_lesson_has_its_row() -> None:
    wanted = [f"0.{n}" for n in range(1, 7)] + [f"B{n}" for n in range(1, 47)]
    wanted += ["C", *(f"D{n}" for n in range(1, 11))]
    assert list(ROWS) == wanted


@pytest.mark.parametrize("lesson", list(ROWS))
def test_a_lesson_is_answered_by_what_is_there_or_later(lesson: str) -> None:
    names = re.findall(r"`([^`]+)`", ROWS[lesson])
    assert names or LATER in ROWS[lesson]
    for name in names:
        if "::" in name:
            file_name, test = name.split("::")
            source = (ROOT / file_name).read_text(encoding="utf-8")
            assert re.search(rf"^ *def {test}\(", source, re.MULTILINE), name
        else:
            assert name in SCENARIOS


def test_every_scenario_of_a_lesson_is_named_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    of_lessons = {name for name in SCENARIOS if name.startswith("lesson-")}
    assert {name for name in of_lessons if f"`{name}`" not in text} == set()
