"""README and docs: every command of ours that a page names is there, with the options it gives."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from he_fsm.cli.main import cli
from tests.project.test_readme import PAGES, name_of

# A line of a block, and what stands between backticks.
LINE = re.compile(r"^ *(?:[$#] |sudo -u he-fsm |/opt/[\w-]+/bin/)?(he-fsm .+)$", re.MULTILINE)
WORDS = re.compile(r"`(?:sudo -u he-fsm )?(he-fsm [^`]+)`")
# Where the command ends, for the shell or for the reader.
END = re.compile(r" [|>#&;].*$|…|\.\.\.")


def commands(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = "\n".join(re.findall(r"(?ms)^ *```(?:sh|console)\n(.*?)^ *```$", text))
    indented = "\n".join(re.findall(r"(?m)^ {4,}\S.*$", text))
    for found in (*LINE.findall(blocks), *LINE.findall(indented), *WORDS.findall(text)):
        yield END.sub("", " ".join(found.split()))


def unknown(command: str) -> str:
    """Return what a command line names that is not there; empty: nothing."""
    words = shlex.split(command)[1:]
    here: click.Command = cli
    while isinstance(here, click.Group) and words and not words[0].startswith("-"):
        found = here.get_command(click.Context(here), words.pop(0))
        if found is None:
            return "command"
        here = found
    known = {name for option in here.params for name in option.opts}
    known |= {name for option in here.params for name in option.secondary_opts} | {"-h", "--help"}
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return " ".join(sorted(given - known))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_and_options_that_are_named_are_there(page: Path) -> None:
    found = {command: unknown(command) for command in commands(page)}
    assert {command: word for command, word in found.items() if word} == {}


@pytest.mark.parametrize(
    "name", ["hosts", "upgrade", "backup", "uninstall", "tutorial-sanlock", "tutorial-libvirt"]
)
def test_the_pages_of_operators_name_some(name: str) -> None:
    [page] = [page for page in PAGES if page.stem == name]
    assert len(list(commands(page))) >= 2


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("he-fsm status --watch", ""),
        ("he-fsm storage clear-slot 3", ""),
        ("he-fsm storage clear-slots 3", "command"),
        ("he-fsm maintenance local --offf", "--offf"),
        ("he-fsm --version", ""),
    ],
)
def test_what_is_not_there_is_found(command: str, word: str) -> None:
    assert unknown(command) == word
