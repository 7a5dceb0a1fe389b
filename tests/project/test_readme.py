"""README and docs: programs and commands run and print what is written, links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.report.browser import CHROMIUM

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"([^\n]*)\n+```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"^ *print\(.*\)  # (.+)$", re.MULTILINE)
STATUS = re.compile(r"# exit status (\d+)$")
# What a reader's commands may need; they write beside these, not into the project.
SHARED = ("docs", "examples", "tests")
# A page that shows one scenario file and calls it so later.
CALLED = {"scenario-language.md": "gateway.yaml"}
# Folders that a page names already and that are about to be added.


class Block(NamedTuple):
    """A fenced block of a page, and the line of text before it."""

    before: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if any(each.language == language for each in blocks(page))]


def name_of(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
def test_programs_run_and_print_what_their_comments_say(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page):
        save(page, block, tmp_path)
        if block.language == "python":
            exec(compile(block.text, f"<{page.name}>", "exec"), names)  # noqa: S102 - our own page
            assert capsys.readouterr().out.splitlines() == PRINTED.findall(block.text)


def save(page: Path, block: Block, folder: Path) -> None:
    """Do what a page asks for: save a scenario file under the name in the line before it."""
    named = re.search(r"`([\w-]+\.yaml)`", block.before)
    name = named[1] if named else CALLED.get(page.name)
    if block.language == "yaml" and name:
        (folder / name).write_text(block.text, encoding="utf-8")


def commands(text: str) -> list[str]:
    return text.replace("\\\n", " ").splitlines()


def run(command: str, folder: Path) -> str:
    """Run one line of a page as a reader would; return what it prints."""
    wanted = STATUS.search(command)
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == (int(wanted[1]) if wanted else 0), f"{command}\n{done.stdout}"
    return done.stdout


def install(folder: Path) -> None:
    """Make the project's files and its command available to a reader's shell."""
    for name in SHARED:
        (folder / name).symlink_to(ROOT / name)
    (folder / "bin").mkdir()
    script = folder / "bin" / "he-fsm"
    call = f"import sys; sys.path[0] = {str(ROOT)!r}; from he_fsm.cli.main import main; main()"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{call}" "$@"\n')
    script.chmod(0o755)


def is_runnable(command: str) -> bool:
    """Return whether a line is one of ours, and what it needs is installed."""
    if not command.startswith("he-fsm "):
        return False
    if "--html" in command and importlib.util.find_spec("plotly") is None:
        return False
    if "--png" in command and (importlib.util.find_spec("kaleido") is None or CHROMIUM is None):
        return False
    if command.startswith("he-fsm campaign") and importlib.util.find_spec("scipy") is None:
        return False
    return "svg" not in command or shutil.which("dot") is not None


@pytest.mark.once
@pytest.mark.parametrize("page", pages_with("sh"), ids=name_of)
def test_commands_run_and_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    install(tmp_path)
    output = ""
    for block in blocks(page):
        save(page, block, tmp_path)
        if block.language == "sh":
            ours = [line for line in commands(block.text) if is_runnable(line)]
            output = "".join(run(line, tmp_path) for line in ours)
        elif block.language == "text":
            rest = output.splitlines()
            for line in block.text.splitlines():
                if line.strip() not in ("", "..."):
                    assert line in rest, f"not printed, or not in this order: {line}"
                    rest = rest[rest.index(line) + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [
        link
        for link in links
        if not link.startswith(("http:", "https:")) and not (page.parent / link).exists()
    ]
    assert missing == []


def slugs(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_headings_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([\w/.-]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    missing = [
        f"{name}#{slug}"
        for name, slug in links
        if slug not in slugs(page.parent / name if name else page)
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_of_the_package_that_are_named_are_there(page: Path) -> None:
    named = re.findall(r"`((?:he_fsm|tools|packaging)/[\w/.-]*)`", page.read_text(encoding="utf-8"))
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tests_that_are_named_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file_name, test in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text):
        assert (ROOT / file_name).is_file(), file_name
        if test:
            source = (ROOT / file_name).read_text(encoding="utf-8")
            assert re.search(rf"^ *def {test}\(", source, re.MULTILINE), f"{file_name}::{test}"
