"""Settling the answers: given ones first, then those that people give, then the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Optional, Protocol

import attrs

from he_fsm.deploy.asking.question import Look, Machine, Question, Section, Values
from he_fsm.deploy.asking.questions import BY_KEY, QUESTIONS
from he_fsm.deploy.asking.readers import Value
from he_fsm.errors import AnswerError

YES = {True: "Yes", False: "No"}
# Defaults that the installer has always announced so.
_MINIMUMS = ("cpus", "disk_gb", "memory_mb")


@attrs.frozen
class Given:
    """
    An answer that was given beforehand: its text, and where that stands.

    `is_kept`: an earlier deployment has kept it; where it can't be used, the question is asked.
    """

    text: str = attrs.field(repr=False)
    place: str
    is_kept: bool = False


class Surroundings(Protocol):
    """What only this machine can tell about an answer."""

    def problem(self, look: Look, value: Value) -> str:
        """Return why an answer can't be used, as the end of a sentence; empty: it can."""


class Asker(Protocol):
    """Who is asked: a person at a terminal, or nobody."""

    def heading(self, section: Section) -> None:
        """Announce the part of the dialogue that begins."""

    def ask(self, question: Question, words: str) -> Optional[str]:
        """
        Return what is answered; empty: the default; None: there is nobody to ask.

        A secret is read twice, without an echo.
        """

    def complain(self, message: str) -> None:
        """Say why an answer can't be used; the question follows once more."""


def settle(
    given: Mapping[str, Given],
    machine: Machine,
    around: Surroundings,
    asker: Asker,
    questions: Sequence[Question] = QUESTIONS,
) -> dict[str, Value]:
    """
    Return the answer of each question that has a meaning, by its key.

    Args:
        given: answers of options and files, by the question's key.
        machine: what defaults and conditions depend on.
        around: looks at what only this machine can tell.
        asker: is asked for what was not given.
        questions: all of them, or the first ones.

    Raises:
        AnswerError: an answer that was given can't be used, or one is missing and nobody is there.
    """
    values: dict[str, Value] = {}
    section = None
    for question in questions:
        _check_kind(values)
        if not question.applies(values, machine):
            continue
        if question.key in given:
            try:
                found = _taken(question, given[question.key], values, machine, around)
            except AnswerError as error:
                if not given[question.key].is_kept:
                    raise
                asker.complain(str(error))
            else:
                values[question.key] = found
                continue
        default = question.default_for(values, machine)
        if not question.is_asked:
            values[question.key] = _default(question, default)
            continue
        if question.section is not section:
            section = question.section
            asker.heading(section)
        values[question.key] = _asked(question, default, values, (machine, around, asker))
    _check_together(values)
    return values


def _taken(
    question: Question, given: Given, values: Values, machine: Machine, around: Surroundings
) -> Value:
    try:
        value = question.value_of(given.text, values)
        _look(question, value, values, (machine, around))
    except ValueError as error:
        msg = f"{given.place}: {_shown(question, given.text)} {error}"
        raise AnswerError(msg) from error
    return value


def _default(question: Question, default: Optional[Value]) -> Value:
    if default is None:
        msg = f"there is no answer to {question.key}: give {question.option}"
        raise AnswerError(msg)
    return default


def _asked(
    question: Question,
    default: Optional[Value],
    values: Values,
    circumstances: tuple[Machine, Surroundings, Asker],
) -> Value:
    machine, around, asker = circumstances
    words = _words(question, default)
    while True:
        text = asker.ask(question, words)
        if text is None:
            return _unasked(question, default, values, (machine, around))
        if not text and default is not None:
            text = text_of(default)
        try:
            value = question.value_of(text, values)
            _look(question, value, values, (machine, around))
        except ValueError as error:
            asker.complain(f"{_shown(question, text)} {error}")
        else:
            return value


def _unasked(
    question: Question,
    default: Optional[Value],
    values: Values,
    circumstances: tuple[Machine, Surroundings],
) -> Value:
    """Take the default of a question that nobody can be asked."""
    key = f" (or {question.ovirt} in the answer file)" if question.ovirt else ""
    if default is None:
        msg = f"no answer to {question.key!r}, and nobody to ask: give {question.option}{key}"
        raise AnswerError(msg)
    try:
        _look(question, default, values, circumstances)
    except ValueError as error:
        msg = f"{question.key}: {text_of(default)} {error}: give {question.option}{key}"
        raise AnswerError(msg) from error
    return default


def _look(
    question: Question,
    value: Value,
    values: Values,
    circumstances: tuple[Machine, Surroundings],
) -> None:
    machine, around = circumstances
    look = question.look_of(values, machine)
    problem = "" if look is None or value == "" else around.problem(look, value)
    if problem:
        raise ValueError(problem)


def _shown(question: Question, text: str) -> str:
    return "the password" if question.is_secret else repr(text)


def _words(question: Question, default: Optional[Value]) -> str:
    if default is None or default == "":
        return f"{question.prompt}: "
    if question.key in _MINIMUMS:
        return f"{question.prompt} [Defaults to minimum requirement: {text_of(default)}]: "
    return f"{question.prompt} [{text_of(default)}]: "


def text_of(value: Value) -> str:
    """Return a value as people write it."""
    return YES[value] if isinstance(value, bool) else str(value)


def _check_kind(values: Values) -> None:
    """Refuse what is deployed by somebody else, before anything more is asked."""
    if values.get("hypervisor") == "vdsm":
        msg = (
            "--hypervisor: a host with vdsm is deployed by oVirt's own ovirt-hosted-engine-setup,"
            " which makes the storage domain and the VM; he-fsm's agents take it over afterwards,"
            " by he-fsm deploy --hypervisor vdsm. qemu and libvirt are deployed here"
        )
        raise AnswerError(msg)


def _check_together(values: Values) -> None:
    """Refuse answers that do not fit each other."""
    kind, leases = values["hypervisor"], values["leases"]
    fit = {"embedded": ("embedded",), "libvirt": ("sanlock",)}.get(
        str(kind), ("sanlock", "embedded")
    )
    if leases not in fit:
        msg = f"--leases: {leases} don't go with the hypervisor {kind}: expected {' or '.join(fit)}"
        raise AnswerError(msg)
    if kind == "embedded" and values["storage_type"] not in ("directory", "nfs", "nfs3", "nfs4"):
        msg = "--storage-type: the embedded hypervisor needs a directory"
        raise AnswerError(msg)
    for one, other in (("storage", "vm_device"), ("lun", "vm_lun")):
        if other in values and values[one] == values[other]:
            said = f"{BY_KEY[other].option}: {values[other]}"
            msg = f"{said} is that of the leases: the VM's disk needs another one"
            raise AnswerError(msg)
