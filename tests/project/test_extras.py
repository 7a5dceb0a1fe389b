"""The extras: what is missing is said in one way, by a name that pip and the pages know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from he_fsm.errors import MissingExtraError
from he_fsm.report.extras import check_extra

ROOT = Path(__file__).parents[2]
SOURCES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "he_fsm").rglob("*.py")}
NAMED = re.compile(
    r"""MissingExtraError\.of\([^,()]+, "(\w+)"|(?:check_extra|load)\([^()]*, "(\w+)"\)"""
)


def extras() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = text.split("[project.optional-dependencies]\n")[1].split("\n[")[0]
    return set(re.findall(r"^(\w+) = \[", listed, re.MULTILINE))


def test_one_place_says_how_to_install_an_extra() -> None:
    assert [path.name for path, text in SOURCES.items() if "he-fsm[" in text] == ["errors.py"]


def test_every_extra_that_a_message_names_is_one_of_the_project() -> None:
    found = (NAMED.findall(text) for text in SOURCES.values())
    named = {of or checked for each in found for of, checked in each}
    assert {"campaign", "dask", "diagram", "parquet", "pictures", "qemu", "report"} <= named
    assert named <= extras()


def test_every_extra_is_explained() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE))
    assert extras() <= explained


def test_what_is_missing_is_one_sentence_with_the_command() -> None:
    with pytest.raises(MissingExtraError) as raised:
        check_extra("the weather", "no_such_package", "report")
    assert str(raised.value) == (
        "the weather needs the package no_such_package: pip install 'he-fsm[report]'"
    )
    check_extra("a test", "pytest", "test")
