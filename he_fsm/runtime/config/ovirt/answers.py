"""
`answers.conf`: the answers that a deployment of oVirt was given, or keeps for the next host.

An INI file whose keys are told apart by capitals. Each value is written `type:value`. The section
says how binding the answers are: `environment:default` where nothing else is said, then `init`,
`override` and `enforce`. Source: otopi, as ovirt-hosted-engine-setup 2.7 uses it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Union

from he_fsm.document.lossless import ANSWERS
from he_fsm.errors import ConfigError

Answer = Union[bool, int, str, list[str], None]

DEFAULT: Final = "environment:default"
SECTIONS: Final = (DEFAULT, "environment:init", "environment:override", "environment:enforce")
# Whatever else stands there is true, also 0 and no.
_FALSE: Final = frozenset(("f", "F", "false", "False"))
_NUMBER: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)
_TYPES: Final = "none, bool, int, str, multi-str"


def answers_of(text: str, path: str = "answers.conf") -> dict[str, Answer]:
    """
    Return all answers by key, such as OVEHOSTED_NETWORK/fqdn; of two, the more binding one.

    *path* is for messages.

    Raises:
        ConfigError: a value has no type, or none that is known, or can't be read as that; the
            message names file and line.
    """
    found: dict[str, Answer] = {}
    by_section: dict[str, dict[str, Answer]] = {name: {} for name in SECTIONS}
    for entry in ANSWERS.read(text):
        if entry.section in by_section:
            place = f"{path}:{text.count(chr(10), 0, entry.begin) + 1}: {entry.key}"
            by_section[entry.section][entry.key] = _value(entry.value, place)
    for answers in by_section.values():
        found.update(answers)
    return found


def with_answer(text: str, key: str, answer: Answer, section: str = DEFAULT) -> str:
    """
    Return the text with another answer; all other bytes stay.

    Raises:
        ConfigError: the answer can't be written.
    """
    try:
        return ANSWERS.set(text, key, _written(answer), section)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _value(text: str, place: str) -> Answer:
    kind, colon, value = text.partition(":")
    if not colon:
        msg = f"{place}: expected TYPE:VALUE, where TYPE is one of {_TYPES}; got {text[:40]!r}"
        raise ConfigError(msg)
    read = _READERS.get(kind)
    if read is None:
        msg = f"{place}: expected one of the types {_TYPES}; got {kind!r}"
        raise ConfigError(msg)
    try:
        return read(value)
    except ValueError as error:
        msg = f"{place}: expected a number after int:, got {value[:40]!r}"
        raise ConfigError(msg) from error


def _written(answer: Answer) -> str:
    if answer is None:
        return "none:None"
    if isinstance(answer, bool):
        return f"bool:{answer}"
    if isinstance(answer, int):
        return f"int:{answer}"
    if isinstance(answer, list):
        return "multi-str:" + "\n".join(answer)
    return f"str:{answer}"


def _nothing(_: str) -> None:
    return None


def _flag(text: str) -> bool:
    return text not in _FALSE


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _lines(text: str) -> list[str]:
    return text.split("\n")


def _text(text: str) -> str:
    return text


_READERS: Final[Mapping[str, Callable[[str], Answer]]] = {
    "none": _nothing,
    "bool": _flag,
    "int": _number,
    "str": _text,
    "multi-str": _lines,
}
