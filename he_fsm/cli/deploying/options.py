"""Options of `he-fsm deploy`: one for each question, and the files of answers."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar

import click
import yaml

from he_fsm.deploy.asking.answers import Given
from he_fsm.deploy.asking.questions import QUESTIONS
from he_fsm.deploy.planning.ovirt_files import given_of, has_secret
from he_fsm.document.files import read_text
from he_fsm.document.nodes import refused_as
from he_fsm.errors import AnswerError, ConfigError

Command = TypeVar("Command", bound=Callable[..., Any])


def question_options(command: Command) -> Command:
    """Add an option for each question; those of secrets name a file."""
    for question in reversed(QUESTIONS):
        metavar = "FILE" if question.is_secret else "ANSWER"
        about = question.prompt.partition(" (example")[0].rstrip(".")
        if question.is_secret:
            about += "; from a file that only its owner can read"
        command = click.option(question.option, question.key, metavar=metavar, help=f"{about}.")(
            command
        )
    return command


def given_by_options(answers: Mapping[str, Optional[str]]) -> dict[str, Given]:
    """
    Return what the options say.

    Raises:
        AnswerError: a file of a secret can't be used.
    """
    given = {}
    for question in QUESTIONS:
        text = answers.get(question.key)
        if text is None:
            continue
        if question.is_secret:
            text = _secret_of(Path(text), question.option)
        given[question.key] = Given(text, question.option)
    return given


def given_by_files(paths: Sequence[Path]) -> tuple[dict[str, Given], dict[str, bool]]:
    """
    Return what the answer files say, the last one first, and their words to the confirmations.

    Raises:
        ConfigError: a file can't be read.
        AnswerError: it holds a password, and others can read it.
    """
    given: dict[str, Given] = {}
    proceeds: dict[str, bool] = {}
    for path in paths:
        with refused_as(ConfigError):
            text = read_text(path)
        found, said = given_of(text, str(path))
        if has_secret(found):
            _check_private(path, f"{path}: it holds a password, and others can read it")
        given |= found
        proceeds |= said
    return given, proceeds


def settings_of(path: Optional[Path]) -> dict[str, Any]:
    """
    Return the values of a file that are put over the configuration.

    Raises:
        ConfigError: it can't be read, or is no mapping.
    """
    if path is None:
        return {}
    with refused_as(ConfigError):
        text = read_text(path)
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        msg = f"{path}{where}: this is no YAML: {getattr(error, 'problem', error)}"
        raise ConfigError(msg) from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        msg = f"{path}:1:1: expected keys of he-fsm.yaml, like policy: ovirt"
        raise ConfigError(msg)
    return found


def _secret_of(path: Path, option: str) -> str:
    _check_private(path, f"{option}: others can read {path}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{option}: {path} can't be read: {getattr(error, 'strerror', 'it is no text')}"
        raise AnswerError(msg) from error
    if len(lines) != 1:
        msg = f"{option}: expected one line in {path}, the password; there are {len(lines)}"
        raise AnswerError(msg)
    return lines[0]


def _check_private(path: Path, refusal: str) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        msg = f"{path} can't be read: {error.strerror}"
        raise AnswerError(msg) from error
    if stat.S_ISREG(mode) and stat.S_IMODE(mode) & 0o077:
        msg = f"{refusal}: chmod 600 {path}"
        raise AnswerError(msg)
