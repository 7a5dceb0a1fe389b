"""docs/three-in-the-morning.md: it knows every alarm, and the messages that it quotes are real."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.alarms import MEANING

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "three-in-the-morning.md").read_text(encoding="utf-8")
# Between these stand a message's own words: numbers, what is cut, and what a field holds.
FIELDS = re.compile(rf"…|\d+|; but|\b(?:good|down|paused|{'|'.join(MEANING)})\b")
# Fewer letters prove nothing.
LETTERS_MIN = 5


def cells() -> Iterator[str]:
    """Yield the first cell of each row of a table."""
    for row in re.findall(r"^\|(.+)\|$", TEXT, re.MULTILINE):
        yield row.split("|")[0].strip()


def quoted() -> list[str]:
    """Return the messages that the page quotes: in the first cell of a row, not a command."""
    found = [text for cell in cells() for text in re.findall(r"`([^`]+)`", cell)]
    return [text for text in found if not text.startswith("he-fsm ")]


def words_of(message: str) -> list[str]:
    parts = (part.strip(" .,:;") for part in FIELDS.split(message))
    return [part for part in parts if part]


def literals(path: Path) -> str:
    """Return all texts of a module, each on a line of its own; a field of an f-string ends one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return "\n".join(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


MODULES = [literals(path) for path in (ROOT / "he_fsm").rglob("*.py")]


def is_real(message: str) -> bool:
    words = words_of(message)
    is_long = sum(map(len, words)) >= LETTERS_MIN
    return is_long and any(all(word in text for word in words) for text in MODULES)


def test_each_alarm_has_its_section() -> None:
    sections = re.findall(r"^### `([\w-]+)`$", TEXT, re.MULTILINE)
    assert sorted(sections) == sorted(MEANING)


def test_the_page_quotes_messages() -> None:
    assert len(quoted()) > 20


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_is_one_of_the_product(message: str) -> None:
    assert is_real(message)


@pytest.mark.parametrize("message", ["the engine is asleep on host 2", "host 2", "…"])
def test_an_invented_message_is_found_out(message: str) -> None:
    assert not is_real(message)
