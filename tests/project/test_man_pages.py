"""The man pages: one for each command, from its definition, and clean for those that show them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from he_fsm import __version__
from he_fsm.cli.hosted_engine import words_of
from he_fsm.runtime.config import json_schema
from tests.cli.consent.test_asking import ALL
from tools.manual.roff import Page, filled, paragraphs, section

ROOT = Path(__file__).parents[2]
EPOCH = {"SOURCE_DATE_EPOCH": "1764547200", "PATH": "/usr/bin:/bin"}


def write(folder: Path) -> dict[str, str]:
    """Write all pages as `make packages` does; return their texts by their names."""
    tool = ROOT / "tools" / "man-pages"
    subprocess.run([sys.executable, str(tool), str(folder)], env=EPOCH, check=True)
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("man*/*")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("man")


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, str]:
    return write(folder)


def plain(roff: str) -> str:
    """Return the text of a page without what is meant for roff."""
    text = re.sub(r"\\f[BIR]", "", roff)
    for code, sign in (("\\-", "-"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(code, sign)
    return " ".join(text.split())


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_a_page_with_all_its_options(pages: dict[str, str], name: str) -> None:
    page = plain(pages[f"he-fsm-{name.replace(' ', '-')}.1"])
    assert f'"he-fsm {__version__}"' in page
    for param in ALL[name].params:
        if isinstance(param, click.Option):
            assert all(word in page for word in param.opts)
            assert " ".join((param.help or "").replace("`", "").split()) in page


def test_nothing_has_a_page_that_is_not_there(pages: dict[str, str]) -> None:
    groups = {name.rpartition(" ")[0].replace(" ", "-") for name in ALL if " " in name}
    named = {f"he-fsm-{name.replace(' ', '-')}" for name in (*ALL, *groups)}
    others = {"he-fsm.1", "he-fsm-agent.8", "he-fsm-broker.8", "he-fsm.yaml.5", "hosted-engine.8"}
    assert set(pages) == {f"{name}.1" for name in named} | others


def test_the_page_of_the_configuration_has_every_key(pages: dict[str, str]) -> None:
    page = plain(pages["he-fsm.yaml.5"])
    for section_name, schema in json_schema()["properties"].items():
        assert f"{section_name} (" in page
        for key in schema.get("properties", {}):
            assert f"{section_name}.{key} (" in page or section_name == "policy"


def test_the_page_of_the_original_has_every_command(pages: dict[str, str]) -> None:
    page = plain(pages["hosted-engine.8"])
    for name, words in words_of().items():
        assert f"{name} {words}".strip() in page


def test_pages_that_others_name_are_there(pages: dict[str, str]) -> None:
    named = {
        f"{name}.{number}"
        for text in pages.values()
        for name, number in re.findall(r"(he-fsm[\w.-]*)\((\d)\)", plain(text))
    }
    assert named - set(pages) == set()


def test_the_same_source_makes_the_same_pages(pages: dict[str, str], tmp_path: Path) -> None:
    assert write(tmp_path) == pages


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed: package man-db")
@pytest.mark.usefixtures("pages")
def test_man_shows_them_without_a_warning(folder: Path) -> None:
    files = sorted(map(str, folder.glob("man*/*")))
    shown = subprocess.run(
        [str(shutil.which("man")), "--warnings", "-E", "UTF-8", "-P", "cat", "-l", *files],
        env={**EPOCH, "MANWIDTH": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    assert shown.stdout.count("\nNAME\n") == len(files)


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.usefixtures("pages")
def test_mandoc_finds_nothing_wrong(folder: Path) -> None:
    files = sorted(map(str, folder.glob("man*/*")))
    found = subprocess.run(
        [str(shutil.which("mandoc")), "-T", "lint", "-W", "warning", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("shown", [filled, paragraphs])
def test_no_text_means_anything_to_roff(shown: object) -> None:
    texts = [
        ".so /etc/passwd",
        "'so /etc/passwd",
        r"a \fB b \n \(aq \" c \\",
        "a \"quoted\" word, and 'another'",
        "--a-long-option and a-hyphen",
        "100 % of $VISUAL, <b>, {x}, #1, ~ and ^",
        "a line that is long enough to be broken, just before a word with a dot, which is .so x",
    ]
    assert callable(shown)
    page = Page(
        name="x",
        section=1,
        about="y",
        blocks=tuple(section("Text", shown(text)) for text in texts),
    )
    ran = subprocess.run(
        [
            str(shutil.which("groff")),
            *["-man", "-Tutf8", "-P-c", "-P-b", "-P-u", "-Kutf8", "-rLL=300n", "-ww"],
        ],
        input=page.text("1", "2026-01-01"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    lines = " ".join(ran.stdout.split())
    assert [text for text in texts if " ".join(text.split()) not in lines] == []
