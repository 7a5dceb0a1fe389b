"""The people in front of a deployment: a terminal, or nobody."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final, Optional

import attrs
import click

from he_fsm.deploy.asking.question import Question, Section
from he_fsm.deploy.asking.readers import yes_no
from he_fsm.words import printable

_INDENT: Final = " " * 10


@attrs.define
class Dialogue:
    """
    Asks and tells; implements `Asker` and `People`.

    *is_there*: somebody sits at a terminal. *proceeds*: what an answer file says to confirmations.
    """

    is_there: bool
    proceeds: Mapping[str, bool] = attrs.field(factory=dict)

    def heading(self, section: Section) -> None:
        """Print the part of the dialogue that begins."""
        if self.is_there:
            click.echo(f"\n{_INDENT}--== {section.value} ==--\n")

    def ask(self, question: Question, words: str) -> Optional[str]:
        """Ask; a secret twice, without echo. None: nobody is there. Ctrl-D ends the deployment."""
        if not self.is_there:
            return None
        if not question.is_secret:
            return _read(f"{_INDENT}{words}").strip()
        while True:
            first = _read_hidden(f"{_INDENT}{words}")
            if not first or first == _read_hidden(f"{_INDENT}Confirm {words[len('Enter ') :]}"):
                return first
            self.complain("the passwords do not match")

    def complain(self, message: str) -> None:
        """Say why an answer can't be used."""
        click.echo(f"[ ERROR ] {printable(message)}")

    def complain_lines(self, message: str) -> None:
        """Say why the deployment has failed, line by line."""
        for line in message.splitlines():
            self.complain(line)

    def info(self, text: str) -> None:
        """Say what is done now."""
        click.echo(f"[ INFO  ] {printable(text)}")

    def text(self, text: str) -> None:
        """Say something that people need."""
        for line in text.split("\n"):
            click.echo(f"{_INDENT}{line}" if line else "")

    def confirm(self, question: str, *, default: bool) -> bool:
        """Ask a yes or no question; the default where nobody is there."""
        if not self.is_there:
            return default
        *above, last = question.splitlines()
        for line in above:
            click.echo(f"{_INDENT}{line}")
        while True:
            said = _read(f"{_INDENT}{last}[{'Yes' if default else 'No'}]: ").strip()
            if not said:
                return default
            try:
                return bool(yes_no(said))
            except ValueError as error:
                self.complain(f"{said!r} {error}")

    def proceeds_with(self, name: str, question: str, *, default: bool) -> bool:
        """Return what the answer file says to a confirmation; ask where it says nothing."""
        if name in self.proceeds:
            return self.proceeds[name]
        return self.confirm(question, default=default)


def is_by_ssh_alone() -> bool:
    """Whether a lost connection would end this process: SSH without screen or tmux."""
    variables = os.environ
    return "SSH_CONNECTION" in variables and not {"STY", "TMUX"} & variables.keys()


def somebody_is_there() -> bool:
    """Whether somebody can answer at a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _read(words: str) -> str:
    try:
        return str(click.prompt(words, default="", show_default=False, prompt_suffix=""))
    except click.Abort:
        click.echo()
        raise


def _read_hidden(words: str) -> str:
    return str(
        click.prompt(words, default="", show_default=False, prompt_suffix="", hide_input=True)
    )
